/* train_internal.h - the steps of training an exit policy, each a file of its own. */
#ifndef OFFRAMP_EXIT_TRAIN_INTERNAL_H
#define OFFRAMP_EXIT_TRAIN_INTERNAL_H

#include "policy_internal.h"

#include <offramp/train.h>

/* ---- split.c: which instances fit, which calibrate, which test ---- */

/* A number in 0 .. below-1 (below > 0), the same sequence on every machine. */
uint64_t or_draw(uint64_t *state, uint64_t below);

/* `order` holds every item's number once: first those that fit, then those that calibrate, then the test. */
typedef struct or_parts {
    size_t *order;
    size_t n_fit, n_calibration, n_test;
} or_parts;

/* Items of the same task and index (one question at several numbers of shots) stay together. */
or_status or_parts_make(const or_trace *trace, double test_share, uint64_t seed, or_parts *parts);
void or_parts_free(or_parts *parts);

/* Keeps one item of each question of the calibration part, drawn by the seed, so that they are independent of
 * each other; the others are then in no part. */
void or_parts_thin(const or_trace *trace, uint64_t seed, or_parts *parts);

/* The instances that chose nothing: the test part; without one the calibration part. *count > 0 of them. */
const size_t *or_parts_judging(const or_parts *parts, size_t *count);

/* How many of `questions` go where; what or_parts_make() does to groups. */
void or_parts_count(size_t questions, double test_share, size_t *fit, size_t *calibration, size_t *test);

/* ---- prices.c: what steps cost ---- */

/* Multiply-adds of one request's steps. */
typedef struct or_prices {
    double layer;
    double first_ramp; /* output projection and classifier, at the first ramp that a request passes */
    double later_ramp; /* at each behind it */
    double confirm;    /* of an exit at a later ramp */
    double head;       /* the final output projection, paid by who runs to the end */
} or_prices;

/* `head` of one row, in multiply-adds, over n_vocab tokens; n_vocab is looked at with a shortlist only. */
or_prices or_prices_of(const or_policy *policy, double layer, double head, int n_vocab);
or_prices or_prices_of_trace(const or_policy *policy, const or_trace_meta *meta);

/* How many of each were taken, by one request or more. Counted in whole numbers and priced at the end, so
 * that the order of the requests does not matter. */
typedef struct or_steps {
    uint64_t layers, first_ramps, later_ramps, confirms, heads;
} or_steps;

/* Adds those of a request that left behind exit_layer, 1..n_layers; ramp [n_layers] by layers executed. */
void or_steps_add(or_steps *steps, const bool *ramp, int n_layers, int exit_layer);
double or_steps_macs(const or_steps *steps, const or_prices *prices);

/* ---- replay.c: what a policy does to recorded instances ---- */

/* The first layer from which on the token is the full model's: where a ramp that knew would fire. */
int or_oracle_exit(const or_trace_item *item, int n_layers);

/* How the policy does on the items trace->items[chosen[0 .. count-1]]; all 0 when count is 0. */
void or_replay_result(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                      or_train_result *result);

/* survivors [n_layers + 1] = the share of these items, of which there must be some, that execute more than l
 * layers under the policy. */
void or_replay_survivors(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                         double *survivors);

/* Every score that the policy gives on some instances, whether or not they would get that far. */
typedef struct or_scores {
    size_t count; /* instances */
    int n_ramps;
    double *score; /* [count, n_ramps], ramps in the order of their layers */
    bool *right;   /* [count, n_ramps]: the token there is the full model's */
} or_scores;

or_status or_scores_make(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                         or_scores *scores);
void or_scores_free(or_scores *scores);

/* ---- levels.c: thresholds that stand for all ---- */

enum { OR_LEVELS = 1024 };

/* at[count] falls: first INFINITY, under which none leaves, then every score that there is, or of many every
 * so-manieth. */
typedef struct or_levels {
    int count;
    double at[OR_LEVELS];
} or_levels;

or_status or_levels_make(const or_scores *scores, or_levels *levels);

/* ---- calibrate.c: the threshold ---- */

/* From this threshold on down, the instance leaves at a ramp where its token is right or not. */
typedef struct or_exit_event {
    double score;
    size_t instance;
    bool right;
} or_exit_event;

/* How many instances leave with a wrong token, as the threshold falls from INFINITY. */
typedef struct or_descent {
    or_exit_event *events; /* [count], strictest first; next: those not yet reached */
    size_t count, next;
    bool *wrong; /* per instance, at the threshold reached */
    long errors;
} or_descent;

/* or_descent_free() also after a failure. */
or_status or_descent_begin(const or_scores *scores, or_descent *descent);
long or_descent_to(or_descent *descent, double threshold); /* no higher than the last one */
void or_descent_free(or_descent *descent);

/* Errors that `count` calibration instances may make under a target agreement; -1: even none are too many. */
long or_errors_allowed(double target, size_t count);

/* The lowest of the scores that can be the threshold, INFINITY when not even the highest can: going down from
 * the highest, every threshold on the way leaves at most `allowed` instances with a wrong token. */
or_status or_calibrate(const or_scores *scores, long allowed, double *threshold);

/* ---- guarantee.c: the threshold that keeps a promise ---- */

/* Errors that `count` independent calibration instances may make for the promise that at least `target` of
 * all requests agree, with confidence `guarantee`, both above 0 and below 1; -1: even none are too many. */
long or_guarantee_errors(double target, double guarantee, size_t count);

/* The fewest instances of which no error is enough for the promise: target^n <= 1 - guarantee. */
size_t or_guarantee_needed(double target, double guarantee);

/* The agreement that so few errors show at that confidence (Clopper and Pearson, Biometrika 26, 1934), for a
 * threshold that was fixed beforehand. */
double or_guarantee_bound(double guarantee, size_t errors, size_t count);

/* The lowest of the levels before the first that leaves more than `allowed` instances with a wrong token, and
 * how many it leaves; INFINITY and 0 when the first level below that does. The levels must not be made of
 * `scores`. */
or_status or_guarantee_keep(const or_scores *scores, const or_levels *levels, long allowed, double *threshold,
                            size_t *errors);

/* ---- ramps.c: which layers have a ramp ---- */

/* ramp [n_layers + 1] by layers executed = one after every `stride` layers, none where that is 0. */
void or_ramps_every(int stride, int n_layers, bool *ramp);

/* ramp [n_layers + 1] = the set of ramps under which the instances take the least work that was found, each
 * set with the lowest threshold of its own that leaves at most `allowed` with a wrong token; or all with
 * *threshold, whatever is wrong, where that is not NULL. `scores` is of a policy with ramps after all of the
 * layers 1 .. n_layers - 1. */
or_status or_ramps_choose(const or_scores *scores, const double *threshold, long allowed,
                          const or_prices *prices, bool *ramp);

/* ---- candidate.c: policies, fitted and calibrated ---- */

/* What stays the same for all candidates of a training. */
typedef struct or_train_job {
    const or_trace *trace; /* whose layer_macs are of what the policy is for */
    const or_train_options *options;
    const char *path; /* of the policy to be */
    const or_classifier_ops *ops;
    unsigned features;
    or_parts parts;
} or_train_job;

typedef struct or_candidate {
    or_policy *policy;
    or_train_result calibration;
    double saved;                  /* of work, by which candidates are compared (candidate.c) */
    size_t errors;                 /* wrong tokens of the calibration part */
    size_t fit_rows, fit_rows_all; /* rows fitted; rows there were */
} or_candidate;

/* The best policy for the job, and how it and the others do: compared [OR_TRAIN_SETS].
 * or_policy_free(best->policy), also after a failure. */
or_status or_candidate_find(const or_train_job *job, or_candidate *best, or_train_ramps *compared);

#endif
