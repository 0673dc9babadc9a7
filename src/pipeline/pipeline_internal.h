/* pipeline_internal.h - a rank's share of the pipeline: its stage, its inbox, its link to the next rank.
 *
 *   inbox (<= `granted` waves) --merge--> running --stage--> held --credit--> wire
 *                                           |  ^
 *                     thin, in mid-stage    v  | merged with the next wave at that layer
 *                                          parked
 *
 * A rank may have OR_CREDITS waves on their way to the next rank that the next rank has not yet taken from
 * its inbox: one that it will take now and one that arrives while it computes. So no inbox grows without
 * bound. Where messages are long under way that is too few: a rank that gets a wave which has waited for its
 * credit, while it had nothing to do itself, gives as many again for good, as long as its memory has room.
 */
#ifndef OFFRAMP_PIPELINE_PIPELINE_INTERNAL_H
#define OFFRAMP_PIPELINE_PIPELINE_INTERNAL_H

#include "clock.h"
#include "events.h"
#include "stage.h"
#include "transport.h"

enum {
    OR_CREDITS = 2,
    OR_CREDITS_MOST = 16,
    OR_THIN_ROWS = 8 /* a layer takes about as long for fewer rows: reading its weights */
};

/* Continuations that a merged wave may have at most: the share that each stage gets of those in flight, or as many as a
 * layer runs in the time of one. Larger ones would leave fewer waves than there are stages, and stages without. */
static inline size_t or_merge_most(size_t sequences, int n_stages)
{
    const size_t stages = (size_t)n_stages, share = (sequences + stages - 1) / stages;
    return share > OR_THIN_ROWS ? share : OR_THIN_ROWS;
}

/* Credits that a rank gives in all from now on, of at most `most`, when a wave comes that has waited for its credit and
 * that the rank itself has waited for, asleep: as many as are under way do not fill the time that they are under way.
 * A wait that naps alone explain, which make the rank before send late by a few milliseconds, is none. */
static inline size_t or_credits_after(size_t granted, size_t most, double waited)
{
    if (waited <= 3 * OR_CLOCK_NAP_MOST) return granted;
    return 2 * granted < most ? 2 * granted : most;
}

/* What the first rank knows of a run (run.c). */
typedef struct or_tracker or_tracker;

/* What the first rank knows of the other pipelines (replicas.c). */
typedef struct or_replicas or_replicas;

/* Ranks, that of rank 0 too, are counted within the pipeline: rank r has stage r. */
struct or_pipeline {
    or_transport *world;     /* all ranks of the job, not owned */
    or_transport *transport; /* those of this pipeline; `world` where it is the only one */
    int n_replicas, replica; /* pipelines, and which of them this is */
    or_replicas *replicas;   /* rank 0 of each of several */
    int rank;
    or_plan plan;
    or_rank_cost *costs; /* [ranks] of the plan "auto", else NULL */
    or_model *model;
    or_stage stage;
    size_t wave_tokens;
    size_t longest; /* tokens of the longest prompt, see or_pipeline_longest() */
    bool share_prefixes;
    uint64_t numbers; /* rank 0: continuations so far */
    bool paused;      /* no rank runs or serves, and nothing is under way */
    bool failed; /* a run or serve went wrong: the other ranks cannot be reached in good order any more */

    or_wave inbox[OR_CREDITS_MOST];
    size_t n_inbox, granted,
        granted_most; /* waves there; credits that the rank before has in all, and may get */
    or_wave running;  /* the wave the stage works on; held when it is done and waits for a credit */
    bool held;
    /* rank > 0: a thin wave in the middle of the stage, which waits for the next one to come up */
    or_wave parked;
    int credits, allowed; /* waves that may be sent to the next rank now, and on the way at a time */
    bool starved;         /* the held wave has waited for a credit */

    or_timeline *timeline; /* NULL: nothing is recorded; not owned */
    or_wait waiting;       /* for a wave, a credit, records */
    double napped; /* when the last nap ended, if nothing but looking for messages came after it; else 0 */
    bool begun;    /* riders of inbox[0] have been taken */
    int64_t n_begun, n_run; /* waves of the inbox in this run: riders were taken, and have run */

    or_tracker *tracker;      /* rank 0, during a run */
    bool finishing;           /* rank > 0: rank 0 wants to know what was done */
    bool closing;             /* rank > 0: rank 0 said so */
    or_stage_stats *gathered; /* rank 0: statistics that came in, [n_stages] */
    int n_gathered;
};

/* The plan "auto" (auto_plan.c): fills plan and costs. Collective, blocking; fails on all ranks alike. */
or_status or_pipeline_plan_auto(or_pipeline *pipeline, const or_pipeline_options *options,
                                const or_hparams *hparams, const or_shares *shares);

/* Receives what has arrived and acts on it. */
or_status or_pipeline_pump(or_pipeline *pipeline);

/* Runs pipeline->running through the stage; what is left is sent on or held. */
or_status or_pipeline_advance(or_pipeline *pipeline);

/* Sends the held wave if there is one and a credit for it. */
or_status or_pipeline_send_held(or_pipeline *pipeline);

/* Begins the counts of a run, and its events. */
void or_pipeline_begin_run(or_pipeline *pipeline);

/* First rank: takes a rank's events, or hands them on to rank 0 of the job. Takes over `data` (malloc'ed). */
or_status or_pipeline_keep_events(or_pipeline *pipeline, void *data, size_t size);

/* A nap of pipeline->waiting, booked as waiting or idle, with the time since the last one if nothing was done in it. */
void or_pipeline_nap(or_pipeline *pipeline);

/* Rank of the job that has rank `rank` of this pipeline: the one that messages name. */
static inline int or_pipeline_rank(const or_pipeline *pipeline, int rank)
{
    return pipeline->replica * or_transport_size(pipeline->transport) + rank;
}

/* Rank 0: runs a job by this pipeline alone, or_pipeline_run() of each replica. */
or_status or_pipeline_run_own(or_pipeline *pipeline, const or_job *job, or_run_stats *stats);

/* Refuses (OR_ERR_INPUT) a request that this pipeline cannot run. */
or_status or_pipeline_check(const or_pipeline *pipeline, size_t index, const or_request *request);

/* Rank 0, during a run: how many continuations could be begun now, and pages for them. */
void or_pipeline_room_now(const or_pipeline *pipeline, size_t *slots, size_t *pages);

/* Rank 0: takes records of any stage (run.c). */
or_status or_tracker_take(or_tracker *tracker, const or_record *records, size_t n_records);

#endif
