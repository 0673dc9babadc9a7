/* train.h - fitting and calibrating an exit policy from traces. Local, deterministic for a given seed.
 *
 * Instances (not rows) are split into fit, calibration and test parts; those of the same task and index (one
 * question at several numbers of shots) stay together. Labels: 1 where this layer's argmax is the full
 * model's (AdaInfer, section 4.2). The classifier is fitted on the rows of the fit part (a large trace is
 * sub-sampled), stored and read back, so that what is calibrated is what will run. Its threshold is the one
 * that saves most compute while the calibration part's agreement with full depth, counted with one extra
 * error (the conformal risk bound (errors + 1) / (n + 1) <= 1 - target, arXiv 2208.02814), reaches the
 * target. This is done for three sets of ramps: after all layers, after every second one (2, 4, ..), and
 * the set that saves most on the fit part after paying for its own ramps, each set with the threshold that
 * keeps the target there. Kept is what saves most work on the calibration part. Where nothing saves any, or
 * no threshold reaches the target, the policy has no ramps and never fires. The test part decides nothing:
 * it is for the report, and for the survivors in the policy's file (policy.h).
 *
 * With a guarantee (a confidence such as 0.95) the target is promised of the very policy that is written, not
 * on average over calibration parts: the probability that a request drawn like those of the trace gets the
 * full model's token is at least the target, unless the calibration part was one of the unlucky 1 - guarantee
 * of all that might have been drawn. Its threshold is found by Learn then Test (arXiv 2110.01052;
 * src/exit/guarantee.c): thresholds taken from the fit part's scores are tested on the calibration part by
 * exact binomial tests, from the strictest to the boldest, up to the first that cannot be shown to keep the
 * target. So that the promise holds,
 *   - the labels of the calibration part are used for that and for nothing else: of the three sets of ramps
 *     that one is kept which saves most on the fit part, under the lowest threshold that keeps the target;
 *   - of each calibration question one number of shots is taken, drawn by the seed, since the tests want
 *     independent instances.
 * It speaks of one training: of several policies the one that calibrates best has no promise. And of one
 * request's next token where the policy is used on requests like these; not of other tasks, nor of running
 * text; of a policy with a shortlist as far as what the next paragraph assumes is true.
 *
 * A trace has what the whole distribution shows. Of a policy with a shortlist (policy.h) it is assumed that
 * the shortlist shows the same: what its ramps cost and save is then an estimate, and a rather favourable
 * one. A request whose shortlist is too sure pays for a confirmation and stays; one whose shortlist lacks the
 * likeliest token may stay where it could leave.
 */
#ifndef OFFRAMP_TRAIN_H
#define OFFRAMP_TRAIN_H

#include <offramp/trace.h>

typedef struct or_train_options {
    const char *classifier; /* "svm", "crf", "gap", "top_prob", "fixed" */
    unsigned features;      /* bit 1u << or_feature; 0: the classifier's default */
    const char *kernel;     /* svm: "rbf" or "linear" */
    double c, gamma;        /* svm: cost; RBF width, 0 = 1 / number of features */
    double error_weight; /* svm: cost of a row that would leave wrongly, in rows that would stay needlessly.
                               * An SVM ranks rows well near its border only; a weight w puts the border where
                               * w / (w + 1) of the rows are right, so near the target instead of near 1/2 */
    double l2; /* crf: weight of the squared weights beside the log-likelihood of all chains, above 0 */
    double target_agreement; /* with full depth, 0..1; 0: keep the classifier's own threshold (gap: 0.8) */
    double guarantee;        /* confidence with which the target is promised, 0..1; 0: no promise */
    double threshold;        /* used when target_agreement is 0 and this is > 0 */
    double test_share;       /* of the instances, 0..0.5 */
    int shortlist;           /* tokens of the policy's shortlist, 2..OR_SHORTLIST; 0: none */
    /* Choose the ramps that pay beside layers of one row, as a generated token runs them; else beside layers
     * of a whole prompt. Any policy may be used for both. */
    bool generation;
    uint64_t seed;
    /* Rows fitted at most, by a crf in whole instances; more are sub-sampled by the seed. 0: the classifier's
     * own number, svm 4000, crf 1000000. */
    size_t max_rows;
    bool everywhere; /* a ramp after every layer, whether it pays or not; no other set is looked at */
} or_train_options;

void or_train_defaults(or_train_options *options); /* svm, rbf, weight 20, l2 1, 0.99, 0.2, seed 1 */

/* Turns options whose classifier is "svm" or "crf" into what AdaInfer does (section 4): features gap and top
 * prob, a ramp after every layer, both kinds of error alike, and the classifier's own border as threshold -
 * an SVM's 0, even odds of a CRF - without calibration. */
void or_train_paper(or_train_options *options);

/* How a policy does on some instances, replayed from their trace. */
typedef struct or_train_result {
    size_t instances;
    double agreement;       /* share whose token at the exit is the full model's */
    double exit_layer_mean; /* layers executed */
    double layers_saved;    /* 1 - exit_layer_mean / L */
    double work_saved;   /* 1 - multiply-adds with ramps and classifier / full depth with its one head; of one
                             * row when trained for generation; an estimate with a shortlist */
    double oracle_saved; /* layers saved by leaving at the first layer from which the token stays right */
} or_train_result;

/* The sets of ramps that are compared; with `everywhere` the first is all there is, and what is kept. */
typedef enum or_train_set {
    OR_TRAIN_ALL,
    OR_TRAIN_SECOND, /* layers 2, 4, .. */
    OR_TRAIN_CHOSEN, /* what was kept: the search's set, unless one of the others did better, or nothing */
    OR_TRAIN_SETS
} or_train_set;

/* One of them, with a classifier and a threshold of its own. */
typedef struct or_train_ramps {
    int n_ramps;
    double threshold;       /* INFINITY: it never fires */
    or_train_result result; /* of the test part; of the calibration part where there is no test part */
} or_train_ramps;

/* What is promised; with guarantee 0 nothing. The bound is the agreement that so few errors show at that
 * confidence, at least the target: Clopper and Pearson's, of this threshold as if it had been fixed before.
 * What is promised is the target. */
typedef struct or_train_promise {
    double guarantee, bound;
    size_t questions, errors; /* of the calibration part; how many get a wrong token under the threshold */
} or_train_promise;

typedef struct or_train_report {
    size_t fit_instances, fit_rows, fit_rows_all; /* rows used, rows there were */
    or_train_result calibration, test;
    or_train_promise promise;
    or_train_ramps ramps[OR_TRAIN_SETS];
    double threshold; /* INFINITY: the policy never fires */
    int n_ramps;      /* 0: it saves nothing to have any */
    double seconds;
} or_train_report;

/* Refuses options out of their range (OR_ERR_USAGE) and classifiers that there are not or that do not look at such
 * features (OR_ERR_INPUT); or_train() does so, too. */
or_status or_train_check(const or_train_options *options);

/* Trains on `trace` and writes `path` (policy.json) and what belongs beside it. OR_ERR_INPUT when the trace
 * is too small (the message says how many instances are needed), has one label only, or lacks what a
 * shortlist or generation is priced by (n_vocab, row_macs); OR_ERR_USAGE for options out of their range. The
 * same trace, options and file name give the same bytes. */
or_status or_train(const or_trace *trace, const or_train_options *options, const char *path,
                   or_train_report *report);

/* Replays a policy over an item of a trace of as many layers as the policy has, n_layers; returns its exit
 * layer 1..L and the token there. Pure. */
int or_policy_replay(const or_policy *policy, const or_trace_item *item, int n_layers, int32_t *token);

#endif
