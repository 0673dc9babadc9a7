/* transport.h - messages between ranks. The only place, with main.c, that calls MPI.
 *
 * While requests flow everything is point-to-point and non-blocking: a send takes over its buffer and frees
 * it when MPI is done with it, arrived messages are polled. The collective calls wait asleep.
 */
#ifndef OFFRAMP_PIPELINE_TRANSPORT_H
#define OFFRAMP_PIPELINE_TRANSPORT_H

#include "health.h"

typedef enum or_tag {
    /* within a pipeline, by the ranks of or_transport_split() */
    OR_TAG_WAVE,    /* r -> r+1: or_wave_encode() */
    OR_TAG_CREDIT,  /* r+1 -> r: a wave was taken from the inbox, another may be sent; no data */
    OR_TAG_MORE,    /* r+1 -> r: a credit for good, beside those that there were; no data */
    OR_TAG_RECORDS, /* r -> 0: array of or_record */
    OR_TAG_BEGIN,   /* 0 -> r: a run begins; no data */
    OR_TAG_FINISH,  /* 0 -> r: the run is over, answer with the statistics; no data */
    OR_TAG_EVENTS, /* r -> 0, before the statistics, where a timeline is recorded: or_timeline_pack(); also from
                     * leaders to rank 0 of the job, before the totals, for each of their ranks */
    OR_TAG_STATS, /* r -> 0: or_stage_stats */
    OR_TAG_CLOSE, /* 0 -> r: leave or_pipeline_serve(); no data */
    OR_TAG_CLOCK, /* 0 -> r: what is the time; no data. r -> 0: a double (or_clocks_compare()) */
    /* between rank 0 of the job and the leaders of the other pipelines (replicas.h) */
    OR_TAG_JOB,    /* 0 -> leader: a run begins; uint64_t, its requests in all */
    OR_TAG_ASK,    /* leader -> 0: or_appetite */
    OR_TAG_GIVE,   /* 0 -> leader: requests, or_request_encode() */
    OR_TAG_NEWS,   /* leader -> 0: what came of them, or_news_encode() */
    OR_TAG_ENOUGH, /* 0 -> leader: uint64_t, the request of which no more tokens are wanted */
    OR_TAG_END,    /* 0 -> leader: begin nothing more, answer with the totals; no data */
    OR_TAG_TOTALS  /* leader -> 0: what its pipeline did in the run */
} or_tag;

typedef struct or_message {
    int from;
    or_tag tag;
    void *data; /* malloc'ed, the receiver frees it */
    size_t size;
} or_message;

/* A transport of the ranks of one of `parts` pipelines: so many consecutive ranks each, which the size must
 * be a multiple of. or_transport_host_sum() is not for it. Collective, blocking; closed before the whole. */
or_status or_transport_split(or_transport *transport, int parts, or_transport **part);

/* Starts sending; takes over `data` (malloc'ed, NULL when size is 0) whatever happens. size < 2^31. Local,
 * non-blocking. */
or_status or_transport_send(or_transport *transport, int to, or_tag tag, void *data, size_t size);

/* Lets MPI work; *arrived says whether *message was filled. Messages of one sender come in the order in
 * which it sent them, those of different senders in any. Local, non-blocking. */
or_status or_transport_poll(or_transport *transport, or_message *message, bool *arrived);

/* Sends whose buffers are not free yet. Local. */
size_t or_transport_sending(const or_transport *transport);

/* OR_OK if all ranks give the same value, else OR_ERR_INPUT everywhere, saying that `what` differs.
 * Collective, blocking (asleep). */
or_status or_transport_same(or_transport *transport, uint64_t value, const char *what);

/* *sum = the values of all ranks on this host, of which there are *ranks. Collective, blocking (asleep). */
or_status or_transport_host_sum(or_transport *transport, uint64_t value, uint64_t *sum, int *ranks);

/* *value becomes the least that a rank gave. Collective, blocking (asleep). */
or_status or_transport_least(or_transport *transport, uint64_t *value);

/* all[size * n_ranks] = what the ranks give, `size` bytes each, in their order. Collective, blocking (asleep). */
or_status or_transport_gather(or_transport *transport, const void *mine, size_t size, void *all);

/* What this rank does, for the watch: before and after each layer, and when it begins to wait. `stage` may be
 * NULL: as before. Without a watch nothing. Local, non-blocking. */
void or_transport_tell(or_transport *transport, or_doing doing, int layer, size_t rows,
                       const or_stage_stats *stage);

/* Rank 0: whether requests are in the pipeline, so that somebody must do something. Local, non-blocking. */
void or_transport_tell_run(or_transport *transport, bool runs);

/* Waits, asleep, until all ranks are here. Collective. */
or_status or_transport_barrier(or_transport *transport);

#endif
