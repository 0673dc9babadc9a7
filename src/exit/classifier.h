/* classifier.h - the kinds of exit classifier: the table behind "classifier" in policy.json.
 *
 * A classifier looks at a feature vector and gives a score; higher means surer that the layers to come will
 * not change the token. Where the line is drawn (the threshold) is the policy's business, not the
 * classifier's.
 *
 * A classifier that fit() made is already what a loaded one will be: whatever the file format rounds is
 * rounded before fit() returns, so that a threshold calibrated on it holds for the file.
 */
#ifndef OFFRAMP_EXIT_CLASSIFIER_H
#define OFFRAMP_EXIT_CLASSIFIER_H

#include "json.h"

#include <offramp/policy.h>
#include <offramp/train.h>

/* The rows to fit: x [rows, n_features] row-major, finite; right [rows], both values occur. They are single
 * ones, or for a kind with .chains whole instances: the rows of each follow each other in the order of the
 * ramps. */
typedef struct or_fit_rows {
    const double *x;
    const bool *right; /* this layer's token is the full model's */
    size_t rows;
    int n_features;
    size_t chain; /* rows of an instance, of which `rows` is a multiple; 1: single rows */
} or_fit_rows;

typedef struct or_classifier_ops {
    const char *name;
    unsigned features;  /* those it looks at when none are named; bit 1u << or_feature */
    bool only_features; /* it looks at exactly these, others are refused */
    double threshold;   /* when neither a target nor a threshold is given */
    size_t max_rows;    /* fitted at most when the options do not say */
    bool chains;        /* it is fitted to whole instances */

    /* Makes a classifier in *model; released by free(). */
    or_status (*fit)(const or_fit_rows *rows, const or_train_options *options, void **model);

    /* x [n_features]. *message is what the request carries from ramp to ramp (or_ramp_state): a kind that looks
     * back reads it and leaves the next one there; for the others NULL will do. */
    double (*score)(const void *model, const double *x, double *message);

    /* Multiply-adds of one score. */
    uint64_t (*cost)(const void *model);

    /* Appends its members to the JSON object of the policy, each as ",\n  \"key\": value", and writes the
     * files that belong beside `path` (policy.json). NULL: nothing to store. */
    or_status (*save)(const void *model, const char *path, or_buffer *json);

    /* The way back; `policy` is the whole object of the file `path`, distrusted like everything in a file. */
    or_status (*load)(const cJSON *policy, const char *path, int n_features, void **model);

    /* Appends to the object "training" what fit() was told, each as "\"key\": value, ". NULL: nothing. */
    or_status (*describe)(const or_train_options *options, int n_features, or_buffer *json);

    void (*free)(void *model); /* NULL is fine */
} or_classifier_ops;

extern const or_classifier_ops or_classifier_gap, or_classifier_top_prob, or_classifier_fixed; /* single.c */
extern const or_classifier_ops or_classifier_svm;                                              /* svm.c */
extern const or_classifier_ops or_classifier_crf;                                              /* crf.c */

/* The kind of that name; OR_ERR_INPUT lists those there are. `where` is the file, or NULL for an option. */
or_status or_classifier_find(const char *name, const char *where, const or_classifier_ops **ops);

/* Refuses features (bits) that this kind does not look at. */
or_status or_classifier_check_features(const or_classifier_ops *ops, unsigned features, const char *where);

#endif
