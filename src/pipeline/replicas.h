/* replicas.h - several pipelines that work off one job.
 *
 *        rank 0                                          leader of another pipeline
 *   job, shared queue (queue.h)   ------ JOB ----->     a job of its own, whose requests come as it asks
 *        |                        <----- ASK -------     there is room for so much
 *        |  own pipeline          ----- GIVE ------>     requests
 *        v                        <----- NEWS ------     answers, tokens, ends: to the job at once
 *     answers                     ---- ENOUGH ----->     no more tokens of one
 *                                 ----- END ------->     all is done, or the job is to stop
 *                                 <---- TOTALS -----     what the pipeline did
 *
 * The first rank of a pipeline is its leader; it runs its job as rank 0 does where there is one pipeline
 * (run.c), and the ranks behind it know of no replicas. Rank 0 gives its own pipeline requests wave by wave,
 * from the same queue. A leader asks while it has a wave in hand, so that it need not wait for rank 0 to be
 * between two layers; with JOB comes as much as an empty pipeline would ask for.
 */
#ifndef OFFRAMP_PIPELINE_REPLICAS_H
#define OFFRAMP_PIPELINE_REPLICAS_H

#include "pipeline_internal.h"
#include "queue.h"

/* A request that a leader got. */
typedef struct or_received {
    or_request *request; /* one block; NULL when nothing more comes of it */
    bool enough;         /* rank 0 wants no more tokens of it */
} or_received;

struct or_replicas {
    /* Rank 0, during a run. */
    const or_job *job; /* the caller's; NULL outside of a run */
    or_queue queue;
    or_appetite *asks; /* [n_replicas] what each leader asked for last */
    bool over, ended;  /* nothing more is given out; the leaders were told so */
    char **totals;     /* [n_replicas] messages that came in */
    int n_totals;
    or_observation *seen; /* [n_layers] of the news that is being read */

    /* Leaders. */
    bool begun;            /* rank 0 has a run */
    bool over_here;        /* and wants nothing more of it to be begun */
    or_received *received; /* [n_requests], the first n_received are here */
    size_t n_received, n_requests;
    or_appetite asked; /* last */
    or_buffer news;    /* for rank 0, sent after each look at the messages */
};

/* For the first rank of each pipeline, as soon as it knows which it is. Local. */
or_status or_replicas_open(or_pipeline *pipeline);
void or_replicas_free(or_replicas *replicas); /* NULL is fine */

/* Rank 0: tells the leaders to leave or_replicas_serve(). Local, non-blocking. */
or_status or_replicas_close(or_pipeline *pipeline);

/* Acts on what the other leaders have sent, and sends what is to be sent. Local, non-blocking. */
or_status or_replicas_pump(or_pipeline *pipeline);

/* Rank 0: or_pipeline_run(). */
or_status or_replicas_run(or_pipeline *pipeline, const or_job *job, or_run_stats *stats);

/* Leaders: or_pipeline_serve(). */
or_status or_replicas_serve(or_pipeline *pipeline);

/* Against what rank 0 and leaders check each other's messages. */
or_request_limits or_replicas_limits(const or_pipeline *pipeline);

/* or_replicas_pump() of a leader (leader.c). */
or_status or_leader_pump(or_pipeline *pipeline);

/* What a pipeline has room for when a run begins: all know it of each other, and no leader has to ask. */
or_appetite or_replicas_begin(const or_pipeline *pipeline);

/* What a leader tells of its pipeline's part of a run: this, then or_stage_stats of each stage, then its
 * survivors [L + 1]. */
typedef struct or_totals {
    uint64_t tokens, drafts, drafts_replaced, prompt_tokens, prompt_tokens_shared;
} or_totals;
size_t or_totals_size(const or_pipeline *pipeline);

#endif
