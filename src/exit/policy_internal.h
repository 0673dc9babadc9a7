/* policy_internal.h - what is in an or_policy, for the files of this floor. */
#ifndef OFFRAMP_EXIT_POLICY_INTERNAL_H
#define OFFRAMP_EXIT_POLICY_INTERNAL_H

#include "classifier.h"
#include "reliability.h"

#include <offramp/policy.h>

enum { OR_MAX_LAYERS = 4096 }; /* deeper models are refused as broken files */

/* Invariants: 1 <= n_features, all different; ramp[0] and ramp[n_layers] are false; shortlist is 0 or
 * 2..OR_SHORTLIST; threshold is finite, or INFINITY for a policy that never fires; survivors fall from 1 to
 * 0; `model` was made by `ops`. */
struct or_policy {
    char *path; /* of its file, for messages and for what lies beside it */
    char *name;
    const or_classifier_ops *ops;
    void *model;
    int n_features;
    or_feature features[OR_FEATURE_COUNT];
    or_reliability reliability; /* empty unless `reliability` is among the features */
    int n_layers;
    bool *ramp;    /* [n_layers + 1], by layers executed */
    int shortlist; /* tokens, 0: none */
    double threshold;
    double *survivors;    /* [n_layers + 1], or NULL; decides nothing */
    uint64_t fingerprint; /* of the model it was trained on */
    uint64_t content;     /* hash of policy.json, which holds that of an SVM's file */
};

/* A policy without ramps that never fires and has no classifier yet: what load and training start from. */
or_status or_policy_new(const char *path, int n_layers, or_policy **policy);

/* The value of one feature for a model of `n_layers`, with a policy's table of tokens, which may be empty
 * where `reliability` is not asked for. */
double or_feature_value(or_feature feature, const or_observation *seen, int n_layers,
                        const or_reliability *table);

/* x [n_features] = what the classifier looks at; and its score, which brings the state on as
 * or_policy_fires() does. */
void or_policy_features(const or_policy *policy, const or_observation *seen, double *x);
double or_policy_score(const or_policy *policy, const or_observation *seen, or_ramp_state *state);

bool or_policy_looks_at(const or_policy *policy, or_feature feature);

int or_policy_ramp_count(const or_policy *policy);

/* Writes the policy to its path, after the classifier's own files. `notes` are more members for the JSON
 * object,
 * each as ",\n  \"key\": value": how it was trained and calibrated, for people. */
or_status or_policy_save(const or_policy *policy, const char *notes);

/* The file name of `path` without folder and ".json"; malloc'ed. */
or_status or_policy_stem(const char *path, char **stem);

/* The 16 lower-case hexadecimal digits under `key` as a number. */
or_status or_policy_read_hash(const cJSON *object, const char *key, const char *where, uint64_t *value);

#endif
