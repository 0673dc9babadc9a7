/* cost.h - what the stages of a pipeline take in time, and the plan whose slowest stage is fastest.
 *
 *   load      a wave as it begins: rows, riders; which layers have ramps; survivors S(l)
 *   rank      what a layer, a ramp, an embedding take there by rows, how fast its link is, what memory it may take
 *   forecast  seconds of such a wave in each stage: the slowest sets the pace of the pipeline
 *   layout    a plan, and how many pipelines of so many ranks have it
 *
 * Behind layer l a share S(l) of the riders is left, so layer l + 1 takes the time of rows * S(l) rows; where a
 * request leaves, its time goes to others. Links work beside the stages and set the pace only where they are
 * slower. Waves are taken not to be merged: merged ones take less where a layer's time is that of reading its
 * weights. Pure functions over plain structs. Times in seconds, sizes in bytes; layers counted from 1.
 */
#ifndef OFFRAMP_COST_H
#define OFFRAMP_COST_H

#include <offramp/plan.h>

#include <stdbool.h>
#include <stdint.h>

enum { OR_COST_POINTS = 8 };

/* Seconds for a number of rows, as measured at some: rows ascending. */
typedef struct or_cost_curve {
    int n_points;
    double rows[OR_COST_POINTS], seconds[OR_COST_POINTS];
} or_cost_curve;

/* On a line between the points, as at the first below it (reading the weights takes as long for one row as for
 * some), in proportion to the rows beyond the last. 0 for 0 rows, and for a curve without points. */
double or_cost_at(const or_cost_curve *curve, double rows);

/* What work takes on one rank, with its threads. */
typedef struct or_rank_cost {
    or_cost_curve layer; /* a layer, by rows */
    or_cost_curve ramp;  /* a ramp or the final head, by riders that it checks */
    double embed;        /* a row's embedding, where the rank is the first */
    double latency;      /* of its link to the next rank: seconds, */
    double bandwidth;    /* and bytes per second; 0: takes no time */
    uint64_t memory;     /* bytes that it may take; 0: as many as it wants */
} or_rank_cost;

/* What a rank has to do for each wave. */
typedef struct or_load {
    int n_layers;
    double rows, riders; /* of a wave as it begins */
    double in_flight;    /* riders under way in a pipeline at most, who go round again; 0: any number */
    double requests;     /* of the job; 0: any number */
    double row_bytes;    /* of a row on the wire */
    const double
        *survivors;   /* [n_layers + 1] share of riders that execute more than l layers: S(0) = 1, never
                              * more than before; S(n_layers) is not looked at. NULL: nobody leaves */
    const bool *ramp; /* [n_layers + 1] whether riders are checked after layer l; NULL: nowhere */
    bool given; /* exits are given (or_request.exits): those that leave a stage are projected together, at
                       * its end */
} or_load;

/* What a job asks of a pipeline, as far as it is known beforehand. */
typedef struct or_workload {
    size_t length;           /* tokens of a prompt that is scored */
    size_t requests;         /* in all, which may not fill a wave; 0: any number */
    size_t sequences;        /* continuations at a time, each a row of a wave; 0: prompts are scored */
    const double *survivors; /* these as in or_load; not owned */
    const bool *ramp;
    bool given;
} or_workload;

/* The load of each of `replicas` pipelines of n_stages ranks with waves of up to wave_tokens rows: full waves of whole
 * prompts, or as many continuations in each wave as give every stage some. A pipeline has its share of the requests, and
 * `sequences` of its own. */
or_load or_load_of(const or_workload *work, int n_stages, int replicas, size_t wave_tokens,
                   const or_hparams *hparams);

/* Where nothing was measured: costs in multiply-adds instead of seconds, for prompts of `length` tokens. Shares and
 * ratios of forecasts mean something then, where layers are bound by arithmetic. */
or_rank_cost or_cost_of_macs(const or_hparams *hparams, size_t length);

/* Layers first + 1 .. last with their ramps on that rank; with first 0 the embedding, with last n_layers the
 * final head. */
double or_stage_seconds(const or_rank_cost *rank, const or_load *load, int first, int last);

/* Rows that are left behind layer `last`, to the next rank; 0 behind the last layer. */
double or_link_seconds(const or_rank_cost *rank, const or_load *load, int last);

/* What a plan makes of a load. Stages and links are those of the slowest replica. */
typedef struct or_forecast {
    int n_stages;
    int pipelines;                /* that have something to do: the replicas, or fewer requests */
    double stage[OR_PLAN_STAGES]; /* seconds of a wave */
    double link[OR_PLAN_STAGES];  /* to the next stage; the last has none: 0 */
    double slowest;               /* of all these */
    double through;               /* of a wave that meets no other: the sum */
    double first;                 /* share of a wave that the first and the last one have: small ones */
    /* So often a wave is through, of whichever replica: `slowest`, or more where those in flight are too few to keep
     * it busy while others are on their way. */
    double every;
    double requests_per_second; /* riders of a wave over `every` */
} or_forecast;

/* ranks[replicas * n_stages of the plan], the ranks of a replica one behind the other. */
void or_forecast_make(const or_plan *plan, int replicas, const or_rank_cost *ranks, const or_load *load,
                      or_forecast *forecast);

/* Seconds for `waves` waves: the pipelines fill by a small one each, then one is done every `every` seconds. */
double or_forecast_seconds(const or_forecast *forecast, double waves);

/* Bytes that a stage would take: layers first + 1 .. last, the stage's number being `stage`. */
typedef uint64_t or_stage_bytes(const void *context, int stage, int first, int last);

/* The plan for pipelines of n_stages ranks whose slowest stage (or link), of all replicas, is fastest; among equal
 * ones the one with the least sum of squares of stage times, then the one with more layers in front. Exact: dynamic
 * programming over the layers and stages, O(replicas n_stages n_layers^2). Where few are in flight, and the way
 * round is what they wait for, another plan may reach more: that is not looked for. Stages that take more than their rank's
 * `memory` are not considered; bytes may be NULL where no rank has a limit. OR_ERR_USAGE with more stages than
 * layers, OR_ERR_INPUT when no plan fits. */
or_status or_plan_best(int n_stages, int replicas, const or_rank_cost *ranks, const or_load *load,
                       or_stage_bytes *bytes, const void *context, or_plan *plan);

/* What a plan must know of the model to tell stage's bytes: the context of or_plan_stage_bytes(), which is
 * or_plan_memory() as an or_stage_bytes. */
typedef struct or_plan_sizes {
    const or_hparams *hparams; /* not owned */
    const or_shares *shares;
    size_t wave_tokens;
    int threads;
} or_plan_sizes;
uint64_t or_plan_stage_bytes(const void *sizes, int stage, int first, int last);

/* A way to use ranks, and what it makes of a job. */
typedef struct or_layout {
    int replicas; /* pipelines, of plan.n_stages ranks each */
    or_plan plan;
    or_forecast forecast;
} or_layout;

/* or_plan_best() for a job on n_ranks ranks, and its forecast. OR_ERR_USAGE also where the ranks are no multiple of
 * the replicas. */
or_status or_plan_auto(int n_ranks, int replicas, const or_rank_cost *ranks, const or_workload *work,
                       const or_plan_sizes *sizes, or_layout *layout);

/* layout->forecast, for the plan and the replicas that it has. */
void or_layout_forecast(or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                        const or_plan_sizes *sizes);

/* The fewest ranks that reach as much in one pipeline (to half a per cent) as `layout`, which is one. False: all of
 * its ranks are of use. */
bool or_layout_fewer(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                     const or_plan_sizes *sizes, or_layout *fewer);

/* The best other number of replicas on the ranks of `layout`. False: none reaches 3 % more. */
bool or_layout_replicas(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                        const or_plan_sizes *sizes, or_layout *other);

#endif
