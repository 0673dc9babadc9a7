/* pipeline.h - running requests through a model whose layers are split over MPI ranks.
 *
 *   rank 0: admit -> embed -> layers, ramps --wave--> rank 1: layers, ramps --wave--> ... --> last: head
 *             ^                    |                             |                              |
 *             +---- records -------+-----------------------------+------------------------------+
 *
 * Every rank opens the pipeline (collective). Then rank 0 calls or_pipeline_run() as often as it likes, and
 * the others or_pipeline_serve(), which returns when rank 0 closes. Requests that exit on a rank are not
 * sent on: later ranks never see them, and sleep while nothing arrives. All ranks close (collective).
 *
 * The ranks may also form several pipelines, replicas of each other, of so many consecutive ranks each. All
 * take requests from the one queue that rank 0 keeps, when they have room for more, and send their answers
 * there: a slow one takes fewer.
 *
 * A request's answer - token, exit layer, probabilities, bit for bit - does not depend on the plan, the wave
 * size, the threads, the replica, or on the other requests. Where numbers become NaN or infinite, the request
 * whose they are fails (or_job.fault), and nobody else.
 */
#ifndef OFFRAMP_PIPELINE_H
#define OFFRAMP_PIPELINE_H

#include <offramp/cost.h>
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
 * MPI_THREAD_SERIALIZED; all calls come from the thread that did so. Collective, blocking. */
or_status or_transport_open(or_transport **transport);
void or_transport_close(or_transport *transport); /* collective; NULL is fine */

int or_transport_rank(const or_transport *transport);
int or_transport_size(const or_transport *transport);

/* All ranks give their status and get the worst one. The lowest rank that has it keeps its message; on the
 * others the message becomes "", so that one line is printed. Collective, blocking (asleep). */
or_status or_transport_agree(or_transport *transport, or_status status);

/* Host name of a rank, owned by the transport. Local. */
const char *or_transport_host(const or_transport *transport, int rank);

/* How far a job is; total 0 where nothing was said. */
typedef struct or_headway {
    size_t done, total;
    double requests_per_second, tokens_per_second, exit_layer_mean, seconds_left; /* NAN: unknown */
} or_headway;

typedef struct or_watch_options {
    double timeout;      /* seconds without a sign of life after which a rank is lost; 0: never */
    const char *status;  /* rank 0: file that is replaced every few seconds (docs/cluster.md); NULL: none */
    const char *command; /* what the status calls the job */
    bool alive;          /* rank 0: control lines on stderr for launch/offramp-mpirun */
} or_watch_options;

/* Watches the job from now on, by a thread: a rank that is dead, stopped, cut off or hangs while requests are in
 * the pipeline ends it within the timeout, with one line that names rank, host and what it was doing, and
 * exit code OR_ERR_PEER (or the launcher's, where that is faster). SIGUSR2 prints each rank's state, SIGTERM becomes
 * SIGUSR1. Ends with or_transport_close(). The first layer of a wave must take less time than the timeout.
 * OR_ERR_FAILED when there is no thread. Collective, blocking. */
or_status or_transport_watch(or_transport *transport, const or_watch_options *options);

/* For the status file: how far the job is, and how it ends. Local, non-blocking; rank 0. */
void or_transport_tell_headway(or_transport *transport, const or_headway *headway);
void or_transport_tell_end(or_transport *transport, or_status status);

/* Ends the job on all ranks, from any of them; does not return. transport NULL: of MPI_COMM_WORLD. */
void or_transport_abort(or_transport *transport, or_status status) __attribute__((noreturn));

/* ---- requests and answers ----------------------------------------------------------------------------- */

enum { OR_BEST = 10 }; /* tokens listed in or_answer.best */

typedef struct or_token_logit {
    int32_t token;
    float logit;
} or_token_logit;

/* How a token is drawn from the next-token distribution of its layer. */
typedef struct or_sampling {
    float temperature; /* logits are divided by it; 0: the likeliest token, the lowest id among equals */
    int32_t top_k;     /* among the so many likeliest; 0: all */
    float top_p;       /* among the likeliest that together reach this share; 1: all */
    uint64_t seed;     /* a draw is a pure function of seed, position and distribution */
} or_sampling;

/* What becomes of the keys and values of a token in the layers that it skipped (docs/kv-policies.md). */
typedef enum or_kv_policy {
    OR_KV_DEFERRED, /* its hidden state waits, and is run through them with the next token that goes deeper */
    OR_KV_PROPAGATE, /* they are projected from its hidden state when the next token goes deeper: not exact */
    OR_KV_VERIFY,    /* as deferred, and its token is a draft that the full depth confirms or replaces */
    OR_KV_POLICIES
} or_kv_policy;

/* "deferred", "propagate", "verify"; -1 for another name. */
const char *or_kv_policy_name(or_kv_policy policy);
int or_kv_policy_find(const char *name);

/* One prompt: its next token is wanted (max_tokens 0, or_job.answer), or a continuation (or_job.token). */
typedef struct or_request {
    const int32_t *tokens; /* [n_tokens], each 0 .. n_vocab-1; 1 <= n_tokens <= or_pipeline_longest() */
    size_t n_tokens;
    size_t n_shared; /* leading ones with which other requests of the job begin too: computed once; 0 */
    int policy;      /* index of the pipeline's policies, -1: full depth */
    bool observe;    /* record every layer's observation (with cosines if the pipeline has taps) */
    const int32_t *choices; /* tokens among which or_answer.choice picks; may be NULL */
    size_t n_choices;

    /* Generation. Prompt and continuation fit into the model's context and into the pages of the KV cache
     * (or_pipeline_room()); observe and choices are not for it. */
    size_t max_tokens; /* tokens of the continuation at most */
    or_kv_policy kv;
    or_sampling sampling;
    bool likeliest;      /* fill or_token.best */
    const int32_t *ends; /* [n_ends] tokens behind which nothing comes; may be NULL */
    size_t n_ends;
    const int32_t
        *forced;          /* [max_tokens]: the continuation that is followed, whatever is drawn; NULL: none */
    const int32_t *exits; /* [max_tokens]: the exit layer of each token, 1..L, given; NULL: by the policy. Of
                           * a scored prompt [1]; it then has no choices and is not observed */
} or_request;

/* A token of a continuation. */
typedef struct or_token {
    int32_t token;                /* as drawn, also where another one is followed (forced) */
    int32_t exit_layer;           /* layers executed for it; L for a draft that was replaced */
    float top_prob, gap;          /* of the distribution at that layer, before temperature */
    float logprob;                /* log P there of `token`, or of the forced one */
    float logsumexp;              /* of the logits there */
    or_token_logit best[OR_BEST]; /* greatest logits there, with `likeliest`; n_best of them */
    int n_best;
} or_token;

/* Why nothing more comes. */
typedef enum or_finish {
    OR_FINISH_LENGTH, /* max_tokens were drawn */
    OR_FINISH_END,    /* the last token is one of `ends` */
    OR_FINISH_STOP    /* or_job.token() said so */
} or_finish;

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
    /* How many requests may be asked for by now, *there <= n_requests and not fewer than were; and whether
     * *more may follow: the run goes on until there are none. `begun` were begun. Called often. NULL: all
     * are there. */
    or_status (*ready)(void *context, size_t begun, size_t *there, bool *more);
    /* Fills request `index`; its arrays must stay valid until its answer was given. Called in order. */
    or_status (*request)(void *context, size_t index, or_request *request);
    /* Takes the answer of request `index`; in any order. */
    or_status (*answer)(void *context, size_t index, const or_answer *answer);
    /* Called now and then, also while nothing happens (progress bars, syncing). May be NULL. */
    or_status (*tick)(void *context);
    /* True: begin nothing more (signal). What is scored is finished; continuations are left where they are.
     * May be NULL. */
    bool (*stop)(void *context);

    /* Generation; may be NULL where no request asks for it. Takes the next token of request `index`, in
     * order and final (a draft only when it was confirmed). *more is true and may be made false: enough of
     * this request. */
    or_status (*token)(void *context, size_t index, const or_token *token, bool *more);
    /* Nothing more comes of request `index`; its arrays are not looked at any more. */
    or_status (*finish)(void *context, size_t index, or_finish why);

    /* Instead of answer() or finish(): request `index` has failed, and what was given of it is void, as its
     * numbers are not finite after `layer` layers - the first after which the hidden state that gives its
     * token is NaN, infinite or so large that no norm can be taken of it, or its logits are not finite at a
     * ramp or at full depth. The layer depends on the request alone; the others are not disturbed. NULL: that
     * is an error of the run (OR_ERR_FAILED). */
    or_status (*fault)(void *context, size_t index, int layer);

    const char *name; /* what a timeline calls it; may be NULL */
} or_job;

/* ---- the pipeline ------------------------------------------------------------------------------------- */

typedef struct or_pipeline or_pipeline;
typedef struct or_timeline or_timeline; /* timeline.h */

typedef struct or_pipeline_options {
    const char *model;       /* path */
    const char *drop_layers; /* the model is run without them: or_checkpoint_open_without(); NULL: with all */
    const char *local; /* folder on each host for copies of the layers, or_checkpoint_copy_to(); NULL: none */
    const char *plan;  /* of each replica's ranks: "auto" (or_plan_auto()), or see or_plan_parse() */
    int replicas;      /* pipelines, of which each has all layers; must divide the ranks; 0: one */
    size_t wave_tokens;         /* rows of a wave at most; a longer prompt is a wave by itself */
    bool taps;                  /* carry what the cosine features need */
    or_policy *const *policies; /* not owned; the same on all ranks */
    size_t n_policies;
    bool allow_other_model;   /* accept policies trained on another model */
    size_t sequences;         /* continuations in flight at most; 0: the pipeline only scores prompts */
    uint64_t kv_memory;       /* bytes of a rank's KV cache at most; 0: what fits beside the rest */
    bool no_prefix_cache;     /* or_request.n_shared is ignored: each computes its own */
    uint64_t memory_per_rank; /* bytes that a rank may take; 0: what its host has, in all for its ranks */

    /* The plan "auto": what the job is like (length 0: prompts of OR_PLAN_PROMPT tokens; who leaves, only rank 0
     * has to know), and what work costs on each rank, [ranks]; NULL: that is measured, which takes some seconds.
     * What the plan promises is said in the log unless quiet_plan. */
    or_workload workload;
    const or_rank_cost *costs;
    bool quiet_plan;
    or_timeline *timeline; /* records what the ranks do; not owned; NULL, on all ranks alike: none */
} or_pipeline_options;

enum { OR_PLAN_PROMPT = 128 };

/* Opens this rank's stage. Refuses with the numbers, before anything is loaded, what will not fit into
 * memory (OR_ERR_INPUT), a plan or replicas that do not fit the ranks (OR_ERR_USAGE), and a model or policy
 * that is not the same everywhere. Fails on all ranks alike. Collective, blocking. */
or_status or_pipeline_open(or_transport *transport, const or_pipeline_options *options,
                           or_pipeline **pipeline);

/* Drains and closes; after a failed run or serve it only releases memory. Collective. NULL is fine. */
void or_pipeline_close(or_pipeline *pipeline);

/* Between two runs: lets the other ranks return from or_pipeline_serve(), with nothing under way. What all ranks
 * then agree to do may be another run, or closing. Collective: rank 0 between runs, the others when they have
 * returned; blocking (asleep). Not after a failed run or serve. */
or_status or_pipeline_pause(or_pipeline *pipeline);

const or_hparams *or_pipeline_hparams(const or_pipeline *pipeline);
const or_plan *or_pipeline_plan(const or_pipeline *pipeline); /* of each replica */
int or_pipeline_replicas(const or_pipeline *pipeline);

/* What the plan makes of a job, whose length is known, on all replicas together. False where work was neither
 * measured nor given: without the plan "auto". */
bool or_pipeline_forecast(const or_pipeline *pipeline, const or_workload *work, or_forecast *forecast);
const or_rank_cost *or_pipeline_costs(
    const or_pipeline *pipeline); /* [ranks], all replicas'; NULL likewise */

/* For the watch: rank 0 begins to put results on disk, or is done with it. Whoever has a disk that may hang calls it
 * around what waits for that. NULL: nothing. Local, non-blocking. */
void or_pipeline_tell_write(const or_pipeline *pipeline, bool begins);

uint64_t or_pipeline_fingerprint(const or_pipeline *pipeline); /* of the model */

/* Tokens of the longest prompt that it takes: the model's context, unless a message (1 GiB) or the memory
 * that a rank may take holds less. */
size_t or_pipeline_longest(const or_pipeline *pipeline);

/* Tokens that the KV cache holds: a continuation and its prompt may have so many. Whole pages of OR_PAGE;
 * the least of all ranks; 0 when the pipeline only scores. */
size_t or_pipeline_room(const or_pipeline *pipeline);

/* What a stage did during a run. Times in seconds. */
typedef struct or_stage_stats {
    int32_t replica;                           /* whose stage it is, from 0 */
    int32_t first, last;                       /* layers (first, last], i.e. first+1 .. last counted from 1 */
    uint64_t requests_in, exits, requests_out; /* in = exits + out; without the prefixes that they share */
    uint64_t waves_in, waves_run, waves_out, rows_in; /* merging makes waves_run smaller than waves_in */
    uint64_t ramp_rows;                               /* rows whose next-token distribution was computed */
    double macs; /* multiply-adds executed: layers, ramps, heads (or_hparams_layer_macs() and the like) */
    /* From the run's begin to its end; the rest goes to messages, and on rank 0 to admission. */
    double busy;   /* computing */
    double ramp;   /* of that: checks after layers whether somebody leaves; not the head at full depth */
    double wait;   /* a finished wave could not be sent for lack of credit */
    double idle;   /* nothing to do */
    uint64_t peak; /* bytes of memory of its process, at most until then (or_machine_peak()) */
} or_stage_stats;

typedef struct or_run_stats {
    int n_stages; /* of all replicas: the ranks of the job */
    or_stage_stats stage[OR_PLAN_STAGES];
    uint64_t
        *survivors; /* [L + 1]: requests, or tokens, that executed more than l layers; malloc'ed by the run */
    uint64_t tokens; /* of continuations */
    uint64_t drafts,
        drafts_replaced; /* verify: early tokens, and those that the full depth did not confirm */
    uint64_t prompt_tokens, prompt_tokens_shared; /* and those of them that others had computed */
    double seconds;
} or_run_stats;
void or_run_stats_free(or_run_stats *stats);

/* Adds what came of another run of the same model. The layers of the stages become those of the last one.
 * `sum` begins as {0}. */
or_status or_run_stats_add(or_run_stats *sum, const or_run_stats *run);

/* Rank 0: runs the job's requests and returns when every one was answered, or has failed. OR_STOPPED when
 * job->stop() asked and what was admitted is done. Other ranks must be in or_pipeline_serve(). Blocking;
 * sleeps while idle. */
or_status or_pipeline_run(or_pipeline *pipeline, const or_job *job, or_run_stats *stats);

/* Other ranks: works until rank 0 pauses or closes. Blocking; sleeps while idle. */
or_status or_pipeline_serve(or_pipeline *pipeline);

#endif
