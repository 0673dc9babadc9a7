/* policy.h - when a request may leave: what a ramp sees, and the classifier that decides.
 *
 * After a layer l with a ramp, the next-token distribution p that this layer would give (final norm, output
 * projection, softmax; the "logit lens") yields an observation. A policy turns the observation into a feature
 * vector and its classifier into a score; the request exits when the score reaches the policy's threshold
 * (AdaInfer, arXiv 2403.02181, section 4: features gap and top prob, classifiers SVM and CRF).
 *
 * A decision is a pure function of the request's own observations, at this ramp and at those of the policy
 * before: it does not depend on other requests, ranks or threads. What the earlier ones leave behind travels
 * with the request, in or_ramp_state. Local; a policy is read-only once loaded, but one thread at a time may
 * ask it.
 */
#ifndef OFFRAMP_POLICY_H
#define OFFRAMP_POLICY_H

#include <offramp/model.h>
#include <offramp/status.h>

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OR_SHORTLIST = 64 }; /* tokens of a shortlist at most */

/* What a ramp sees of one request after `layer` layers (1..L). Cosines compare this layer's last-position
 * vector with the previous layer's; 0 where there is no previous one. */
typedef struct or_observation {
    int32_t layer;
    int32_t token;    /* argmax of p, the lowest id among equals */
    float top_prob;   /* P(top) */
    float gap;        /* P(top) - P(second) */
    float cos_attn;   /* attention output, after its projection, before the residual */
    float cos_mlp;    /* feed-forward output, before the residual */
    float cos_hidden; /* hidden state after the residual; the previous of layer 1 is the embedding */
    int32_t stable;   /* ramps in a row, this one included, with this same token; 1 = it just changed */
} or_observation;

/* What a request carries from one of its policy's ramps to the next: for `stable`, and what the classifier
 * has to remember. Plain numbers, also on the wire. */
typedef struct or_ramp_state {
    int32_t token;
    int32_t stable;
    double message; /* the classifier's: a CRF's log-odds that the last token was the full model's */
} or_ramp_state;

/* Before the first ramp: no token, and none that could be the full model's. */
#define OR_RAMP_STATE_START ((or_ramp_state){-1, 0, -INFINITY})

/* Updates the state by a ramp that saw `token`, and returns the new `stable`. The message is left to
 * or_policy_fires(). */
int32_t or_ramp_state_update(or_ramp_state *state, int32_t token);

/* The features a policy may name, in this order. */
typedef enum or_feature {
    OR_FEATURE_GAP,
    OR_FEATURE_TOP_PROB,
    OR_FEATURE_COS_ATTN,
    OR_FEATURE_COS_MLP,
    OR_FEATURE_COS_HIDDEN,
    OR_FEATURE_LAYER,  /* l / L */
    OR_FEATURE_STABLE, /* min(stable, L) / L, counted over the policy's own ramps */
    /* Log-odds that a ramp that shows this token is right, by the policy's table of the rows fitted. */
    OR_FEATURE_RELIABILITY,
    OR_FEATURE_COUNT
} or_feature;

/* "gap", "top_prob", "cos_attn", "cos_mlp", "cos_hidden", "layer", "stable", "reliability"; -1 for another
 * name. */
const char *or_feature_name(or_feature feature);
int or_feature_find(const char *name);

typedef struct or_policy or_policy;

/* Reads policy.json (and what lies beside it: an SVM's model file). OR_ERR_INPUT names what is wrong. */
or_status or_policy_load(const char *path, or_policy **policy);
void or_policy_free(or_policy *policy); /* NULL is fine */

/* For measuring what ramps cost: a policy that asks its classifier and lets nobody leave. The classifier is
 * that of the file `path`, or the gap where that is NULL; its ramps are ramps[n_ramps], layers 1 .. n_layers
 * - 1 of a model of any depth (OR_ERR_USAGE for others), or with n_ramps 0 those of the file. */
or_status or_policy_probe(const char *path, int n_layers, const int *ramps, size_t n_ramps,
                          or_policy **policy);

/* Refuses (OR_ERR_INPUT) a policy of another depth; or of another model's fingerprint unless allow_other. */
or_status or_policy_check(const or_policy *policy, int n_layers, uint64_t fingerprint, bool allow_other);

const char *or_policy_name(const or_policy *policy);         /* file name without folder and .json */
const char *or_policy_classifier(const or_policy *policy);   /* "svm", "crf", "gap", "top_prob", "fixed" */
bool or_policy_has_ramp(const or_policy *policy, int layer); /* layer 1..L; L itself never has one */
int or_policy_last_ramp(const or_policy *policy);            /* 0 when it has none */
bool or_policy_wants_cosines(const or_policy *policy);
uint64_t or_policy_fingerprint(const or_policy *policy); /* hash of policy.json, and so of its SVM file */
uint64_t or_policy_cost(const or_policy *policy);        /* multiply-adds of one decision, for flops_ratio */

/* The share of requests that execute more than l layers, [n_layers + 1], S(0) = 1 .. S(L) = 0, never rising;
 * as training saw it on the instances that chose nothing of the policy (the test part of its trace; with
 * --test-share 0 the calibration part, which set the threshold). Says what to expect of requests like those
 * of the trace, and decides nothing. NULL: the file does not say. Lives as long as the policy. */
const double *or_policy_survivors(const or_policy *policy);

/* Tokens of the shortlist (2..OR_SHORTLIST) that ramps look at before they compute a whole distribution; 0:
 * they have none, each ramp computes it. See docs/kv-policies.md, "Cheap ramps". */
int or_policy_shortlist(const or_policy *policy);

/* Multiply-adds of the ramps of one row that left behind exit_layer (a ramp, or L: at none), that ramp
 * included: output projections and decisions, not the final head of a row that went to the end. A ramp with a
 * shortlist of K tokens takes K / n_vocab of a head; but the first ramp takes a whole one, and so does the
 * confirmation of an exit at a later one. With a shortlist this is an estimate: a whole distribution that was
 * computed and then let nobody leave is not in it. */
double or_policy_ramp_macs(const or_policy *policy, const or_hparams *hparams, int exit_layer);

/* True when a request that showed `seen` at a ramp layer leaves there; `state` is the request's, with this
 * ramp counted by or_ramp_state_update(), and is brought on. To be asked once at each of the policy's ramps,
 * in order. */
bool or_policy_fires(const or_policy *policy, const or_observation *seen, or_ramp_state *state);

#endif
