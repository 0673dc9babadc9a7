/* crf.c - conditional random field: the labels of a request's ramps as one chain (AdaInfer, arXiv 2403.02181,
 * section 4.2, has it beside the SVM). crf_chain.h is the model and its sums, crf_fit.h how it is fitted.
 *
 *   score = P(y_r = 1 | x_1..x_r),   the chain's filtered marginal at this ramp
 *
 * so that it looks back on all ramps before, through the log-odds that travel with the request
 * (or_ramp_state). The chain is over the policy's own ramps: the classifier is fitted to these, and a ramp
 * that the policy has not is no part of it. (Where those of a set show one label only, training serves them
 * by the classifier that it fitted to ramps everywhere; the score is the filtered marginal of the policy's
 * ramps all the same.)
 *
 * Features are brought to mean 0 and variance 1 (scale.h), so that l2 holds all weights alike.
 *
 * A filtered marginal knows nothing of the ramps to come, and the model was fitted to whole chains: it says
 * well which of two requests is surer, less well how sure. The threshold is calibrated as for every kind.
 *
 * On disk: all of it in policy.json, numbers with as many digits as read back to the same doubles; what was
 * calibrated is what runs.
 */
#include "classifier.h"
#include "crf_fit.h"
#include "scale.h"

#include <math.h>
#include <string.h>

typedef struct crf {
    int n_features;
    or_scale scale;
    double weights[OR_FEATURE_COUNT + OR_CRF_STEPS]; /* [n_features + OR_CRF_STEPS] */
} crf;

static void scale_row(const crf *self, const double *x, double *z)
{
    for (int j = 0; j < self->n_features; j++) z[j] = or_scale_at(&self->scale, x, j);
}

/* A score that is no number (of features that are none) says nothing to the ramps that follow. */
static double crf_score(const void *model, const double *x, double *message)
{
    const crf *self = model;
    double z[OR_FEATURE_COUNT];
    scale_row(self, x, z);
    const or_crf_factor factor = or_crf_factor_of(self->weights, z, self->n_features);
    const double log_odds = or_crf_filter(*message, &factor);
    if (!isnan(log_odds)) *message = log_odds;
    return 1 / (1 + exp(-log_odds));
}

static uint64_t crf_cost(const void *model)
{
    const crf *self = model;
    return 2 * (uint64_t)self->n_features + OR_CRF_STEPS; /* scaling, the sum over features, the step */
}

static void crf_release(void *model)
{
    free(model);
}

/* Rows are whole chains, one after the other. */
static or_status crf_fit(const or_fit_rows *rows, const or_train_options *options, void **model)
{
    crf *self = NULL;
    double *z = NULL;
    or_status status = OR_OK;
    const size_t width = (size_t)rows->n_features;
    OR_TRY_GOTO(unwind, OR_NEW(self, 1));
    OR_TRY_GOTO(unwind, OR_NEW(z, rows->rows * width));
    self->n_features = rows->n_features;
    or_scale_fit(rows->x, rows->rows, rows->n_features, &self->scale);
    for (size_t i = 0; i < rows->rows; i++) scale_row(self, rows->x + i * width, z + i * width);
    const or_crf_data data = {z, rows->right, rows->rows / rows->chain, rows->chain, rows->n_features};
    OR_TRY_GOTO(unwind, or_crf_fit(&data, options->l2, self->weights, NULL));
    *model = self;
unwind:
    free(z);
    if (status != OR_OK) crf_release(self);
    return status;
}

/* Appends
 *
 *   "crf": {"offset": [...], "scale": [...], "weights": [...],
 *           "steps": [go on to go on, go on to stop, stop to go on, stop to stop]}
 *
 * the first three one number per feature. */
static or_status crf_save(const void *model, const char *path, or_buffer *json)
{
    const crf *self = model;
    (void)path;
    OR_TRY(or_buffer_puts(json, ",\n  \"crf\": {"));
    OR_TRY(or_scale_put(&self->scale, self->n_features, json));
    OR_TRY(or_buffer_puts(json, ","));
    OR_TRY(or_numbers_put(json, "weights", self->weights, self->n_features));
    OR_TRY(or_buffer_puts(json, ","));
    OR_TRY(or_numbers_put(json, "steps", self->weights + self->n_features, OR_CRF_STEPS));
    return or_buffer_puts(json, "\n  }");
}

static or_status read_members(const cJSON *entry, const char *path, crf *self)
{
    OR_TRY(or_scale_read(entry, path, self->n_features, &self->scale));
    OR_TRY(or_numbers_read(entry, "weights", path, "feature", self->n_features, -HUGE_VAL, self->weights));
    return or_numbers_read(entry, "steps", path, "pair of labels", OR_CRF_STEPS, -HUGE_VAL,
                           self->weights + self->n_features);
}

static or_status crf_open(const cJSON *policy, const char *path, int n_features, void **model)
{
    const cJSON *entry;
    crf *self = NULL;
    OR_TRY(or_json_object(policy, "crf", path, &entry));
    OR_TRY(OR_NEW(self, 1));
    self->n_features = n_features;
    or_status status = read_members(entry, path, self);
    if (status == OR_OK)
        *model = self;
    else
        crf_release(self);
    return status;
}

static or_status crf_describe(const or_train_options *options, int n_features, or_buffer *json)
{
    (void)n_features;
    OR_TRY(or_buffer_puts(json, "\"l2\": "));
    OR_TRY(or_json_put_double(json, options->l2));
    return or_buffer_puts(json, ", ");
}

const or_classifier_ops or_classifier_crf = {
    .name = "crf",
    .features =
        1u << OR_FEATURE_GAP | 1u << OR_FEATURE_TOP_PROB | 1u << OR_FEATURE_LAYER | 1u << OR_FEATURE_STABLE,
    .threshold = 0.95,
    .max_rows = 1000000,
    .chains = true,
    .fit = crf_fit,
    .score = crf_score,
    .cost = crf_cost,
    .save = crf_save,
    .load = crf_open,
    .describe = crf_describe,
    .free = crf_release,
};
