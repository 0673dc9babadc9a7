/* queue.h - the queue of work that the replicas of a pipeline share: who gets which request of the job, and
 * whose news are to be believed. Rank 0 keeps it.
 *
 *   job --request(), in order--> next --or_queue_take()--> share of replica 0: 0 3 4 ...
 *                                                          share of replica 1: 1 2 5 ...
 *   job <--answer(), token(), finish()-- or_queue_hear(): replica 1 says of its request 2 (of the job: 5) ...
 *
 * Nobody is given work in advance: a replica takes when it has room, so a slow one takes less (work
 * stealing). Of prompts it takes a small part of what is left at a time, and it never holds more than an even
 * share of what is not done: so at the end all are busy until nearly the same moment. Pure: no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_QUEUE_H
#define OFFRAMP_PIPELINE_QUEUE_H

#include "request_wire.h"

/* What a replica has room for now. Plain numbers, also on the wire. */
typedef struct or_appetite {
    uint64_t received;     /* requests that it has got so far: told by these from one that is out of date */
    uint64_t rows;         /* of prompts that are scored; the last one may go beyond */
    uint64_t slots, pages; /* of continuations */
} or_appetite;

/* What is known of a request of the job. */
typedef struct or_ticket {
    int32_t n_choices;
    int32_t tokens_left; /* of its continuation; -1: it is scored */
    bool open;           /* given to a replica, and not done */
    bool observe;
    bool enough; /* the job wants no more tokens of it, */
    bool late;   /* but got some, which it is not told */
} or_ticket;

/* The requests of one replica, in the order in which it got them. */
typedef struct or_share {
    size_t *requests; /* [count] of the job */
    size_t count, capacity;
    size_t n_open;
} or_share;

typedef struct or_queue {
    const or_job *job;
    or_status (*check)(const void *context, size_t index, const or_request *request);
    const void *context; /* of check() */
    or_ticket *tickets;  /* [job->n_requests] */
    or_share *shares;    /* [n_replicas] */
    int n_replicas;
    bool share;  /* prompts share the beginnings that they say */
    size_t next; /* first request that nobody has */
    bool ready;  /* it is in `request`, and was checked */
    or_request request;
    size_t n_open, n_done;
} or_queue;

/* Tokens of its prompt that are computed for it alone, when what it shares is there already. */
static inline size_t or_request_own(const or_request *request, bool share)
{
    const size_t most = request->n_tokens - 1, shared = request->n_shared < most ? request->n_shared : most;
    return request->n_tokens - (share ? shared / OR_PAGE * OR_PAGE : 0);
}

/* For a run of the job. or_queue_close() of {0} is fine. */
or_status or_queue_open(or_queue *queue, const or_job *job, int n_replicas);
void or_queue_close(or_queue *queue);

/* How many requests the replica may take at this moment, one after the other: 0 when none are left, when it
 * has its share, or when the next one does not fit its appetite. */
or_status or_queue_portion(or_queue *queue, int replica, const or_appetite *appetite, size_t *portion);

/* Gives it the next request, which makes the appetite less; *taken is false when it does not fit, or there is
 * none. */
or_status or_queue_take(or_queue *queue, int replica, or_appetite *appetite, or_request *request,
                        bool *taken);

/* Tells the job what a replica says of a request. *more becomes false when the job wants no more tokens of
 * it: those that still come are dropped, so it makes no difference when the replica hears of that.
 * OR_ERR_PEER when the request is not the replica's, is done, or cannot have such news. */
or_status or_queue_hear(or_queue *queue, int replica, const or_news *news, bool *more);

#endif
