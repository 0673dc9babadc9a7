/* simulate.h - a run of the pipeline without a model: what it would take on ranks of given costs (cost.h).
 *
 * Events in the order of their times: a stage has run some layers, a wave arrives, a credit comes back, records come
 * home, a sleeping rank looks up. What the ranks do is what pipeline.h's do: rank 0 fills waves up to the token budget
 * and gives each stage its share of the continuations, ranks merge what has arrived, send while there is a credit and
 * hold the wave else, park thin waves, and look for messages by naps. A wave's layers take what the curves say for the
 * rows that are left.
 *
 * Simplified: messages travel by themselves at the link's speed; nothing of a rank's time goes to them. The time of a
 * row does not depend on its position. Layers that a token skipped cost the next one nothing (of the KV policies that
 * is propagate, whose small cost is left out); shared beginnings of prompts and the room of the cache are not looked
 * at.
 *
 * Pure: plain structs, no clock, no randomness; the same input gives the same result.
 */
#ifndef OFFRAMP_SIMULATE_H
#define OFFRAMP_SIMULATE_H

#include <offramp/cost.h>
#include <offramp/pipeline.h>

typedef struct or_sim_request {
    double arrival;       /* seconds since the beginning; never less than that of the request before */
    int32_t rows;         /* of its prompt, >= 1 */
    int32_t tokens;       /* of its continuation; 0: it is scored and has one answer */
    const int32_t *exits; /* [max(tokens, 1)] exit layers, 1 .. n_layers; NULL: full depth */
} or_sim_request;

typedef struct or_simulation {
    const or_plan *plan; /* of n_layers = plan->bound[plan->n_stages] layers */
    /* [plan->n_stages]; a rank's latency is also that of its records and credits. */
    const or_rank_cost *ranks;
    /* [n_layers + 1] whether all are checked after a layer; NULL: nowhere. Who leaves behind a layer without a ramp
     * has a given exit (or_request.exits): its token is computed at the stage's end. */
    const bool *ramp;
    double row_bytes;   /* of a row on the wire */
    size_t wave_tokens; /* rows of a wave at most, >= 1 */
    size_t sequences;   /* continuations in flight at most, >= 1 */
    /* That all ranks share, each having one thread; 0: each has its own. A fraction says how ranks hinder each other
     * that share memory or a core's units: with 1.5, two that work are 0.75 as fast as one alone, of which `ranks` is. */
    double cores;
    const or_sim_request *requests; /* [n_requests] */
    size_t n_requests;
} or_simulation;

/* Seconds that requests took, by rank: half of them took no more than `median`. */
typedef struct or_latencies {
    double mean, median, p90, p99, most;
} or_latencies;

typedef struct or_simulated {
    /* As of a real run, but that stages have no macs and no peak. busy + idle + wait of a stage are run.seconds. */
    or_run_stats run;
    or_latencies admitted; /* from where rank 0 took the request into the pipeline until its last answer */
    or_latencies arrived;  /* from its arrival */
    uint64_t rows;         /* of all prompts */
} or_simulated;

/* OR_ERR_INPUT for a request that cannot be, OR_ERR_FAILED for lack of memory. *result is released by
 * or_simulated_free() in any case. */
or_status or_simulate(const or_simulation *simulation, or_simulated *result);
void or_simulated_free(or_simulated *result);

#endif
