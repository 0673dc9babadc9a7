/* pipeline.h - running requests through a model whose layers are split over MPI ranks.
 *
 *   rank 0: admit -> embed -> layers, ramps --wave--> rank 1: layers, ramps --wave--> ... --> last: head
 *             ^                    |                             |                              |
 *             +---- records -------+-----------------------------+------------------------------+
 *
 * Every rank opens the pipeline (collective). Then rank 0 calls or_pipeline_run() as often as it likes, and
 * the others or_pipeline_serve(), which returns when rank 0 closes. Requests that exit on a rank are not sent
 * on: later ranks never see them, and sleep while nothing arrives. All ranks close (collective).
 *
 * A request's answer - token, exit layer, probabilities, bit for bit - does not depend on the plan, the wave
 * size, the threads, or on the other requests.
 */
#ifndef OFFRAMP_PIPELINE_H
#define OFFRAMP_PIPELINE_H

#include <offramp/model.h>
#include <offramp/plan.h>
#include <offramp/policy.h>
#include <offramp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- the ranks ---------------------------------------------------------------------------------------- */

typedef struct or_transport or_transport;

/* The ranks of MPI_COMM_WORLD, on a communicator of our own. MPI must be initialised with at least
 * MPI_THREAD_FUNNELED; all calls come from the thread that did so. Collective, blocking. */
or_status or_transport_open(or_transport **transport);
void or_transport_close(or_transport *transport); /* collective; NULL is fine */

int or_transport_rank(const or_transport *transport);
int or_transport_size(const or_transport *transport);

/* All ranks give their status and get the worst one. The lowest rank that has it keeps its message; on the
 * others the message becomes "", so that one line is printed. Collective, blocking (asleep). */
or_status or_transport_agree(or_transport *transport, or_status status);

/* Host name of every rank, [size] of them, on rank 0; NULL elsewhere. Collective at open. */
const char *or_transport_host(const or_transport *transport, int rank);

/* ---- requests and answers ----------------------------------------------------------------------------- */

enum { OR_BEST = 10 }; /* tokens listed in or_answer.best */

/* One prompt whose next token is wanted. */
typedef struct or_request {
    const int32_t *tokens; /* [n_tokens], each 0 .. n_vocab-1; 1 <= n_tokens <= or_pipeline_longest() */
    size_t n_tokens;
    int policy;             /* index of the pipeline's policies, -1: full depth */
    bool observe;           /* record every layer's observation (with cosines if the pipeline has taps) */
    const int32_t *choices; /* tokens among which or_answer.choice picks; may be NULL */
    size_t n_choices;
} or_request;

typedef struct or_token_logit {
    int32_t token;
    float logit;
} or_token_logit;

/* What came of a request. */
typedef struct or_answer {
    or_observation exit; /* at the layer where it left; exit.layer layers were executed */
    int32_t choice;      /* index of the choice with the greatest logit there, lowest among equals; -1 */
    float logsumexp;     /* of the logits there */
    or_token_logit best[OR_BEST]; /* greatest logits there, n_best of them; only with observe */
    int n_best;
    const or_observation
        *seen; /* with observe: [exit.layer] observations, else NULL; valid in the call only */
} or_answer;

/* Where requests come from and answers go to; both are called on rank 0 only, between layers. */
typedef struct or_job {
    size_t n_requests;
    void *context;
    /* Fills request `index`; its arrays must stay valid until its answer was given. Called in order. */
    or_status (*request)(void *context, size_t index, or_request *request);
    /* Takes the answer of request `index`; in any order. */
    or_status (*answer)(void *context, size_t index, const or_answer *answer);
    /* Called now and then, also while nothing happens (progress bars, syncing). May be NULL. */
    or_status (*tick)(void *context);
    /* True: admit no more requests (signal). May be NULL. */
    bool (*stop)(void *context);
} or_job;

/* ---- the pipeline --------------------------------------------------------------------------------------- */

typedef struct or_pipeline or_pipeline;

typedef struct or_pipeline_options {
    const char *model;          /* path */
    const char *plan;           /* see or_plan_parse() */
    size_t wave_tokens;         /* rows of a wave at most; a longer prompt is a wave by itself */
    bool taps;                  /* carry what the cosine features need */
    or_policy *const *policies; /* not owned; the same on all ranks */
    size_t n_policies;
    bool allow_other_model;   /* accept policies trained on another model */
    uint64_t memory_per_rank; /* bytes that a rank may take; 0: what its host has, in all for its ranks */
} or_pipeline_options;

/* Opens this rank's stage. Refuses with the numbers, before anything is loaded, what will not fit into
 * memory (OR_ERR_INPUT), a plan that does not fit the ranks (OR_ERR_USAGE), and a model or policy that is
 * not the same everywhere. Fails on all ranks alike. Collective, blocking. */
or_status or_pipeline_open(or_transport *transport, const or_pipeline_options *options,
                           or_pipeline **pipeline);

/* Drains and closes; after a failed run or serve it only releases memory. Collective. NULL is fine. */
void or_pipeline_close(or_pipeline *pipeline);

const or_hparams *or_pipeline_hparams(const or_pipeline *pipeline);
const or_plan *or_pipeline_plan(const or_pipeline *pipeline);
uint64_t or_pipeline_fingerprint(const or_pipeline *pipeline); /* of the model */

/* Tokens of the longest prompt that it takes: the model's context, unless a message (1 GiB) or the memory
 * that a rank may take holds less. */
size_t or_pipeline_longest(const or_pipeline *pipeline);

/* What a stage did during a run. Times in seconds. */
typedef struct or_stage_stats {
    int32_t first, last;                       /* layers (first, last], i.e. first+1 .. last counted from 1 */
    uint64_t requests_in, exits, requests_out; /* in = exits + out */
    uint64_t waves_in, waves_run, waves_out, rows_in; /* merging makes waves_run smaller than waves_in */
    uint64_t ramp_rows;                               /* rows whose next-token distribution was computed */
    double busy;                                      /* computing */
    double wait; /* a finished wave could not be sent for lack of credit */
    double idle; /* nothing to do */
} or_stage_stats;

typedef struct or_run_stats {
    int n_stages;
    or_stage_stats stage[OR_PLAN_STAGES];
    uint64_t *survivors; /* [L + 1]: requests that executed more than l layers; malloc'ed by the run */
    double seconds;
} or_run_stats;
void or_run_stats_free(or_run_stats *stats);

/* Rank 0: runs the job's requests and returns when every one was answered. OR_STOPPED when job->stop() asked
 * and what was admitted is done. Other ranks must be in or_pipeline_serve(). Blocking; sleeps while idle. */
or_status or_pipeline_run(or_pipeline *pipeline, const or_job *job, or_run_stats *stats);

/* Other ranks: works until rank 0 closes. Blocking; sleeps while idle. */
or_status or_pipeline_serve(or_pipeline *pipeline);

#endif
