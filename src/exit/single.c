/* single.c - the simplest exit classifiers, which all others are compared with: one feature is the score.
 *
 *   gap        the first token leads the second by so much (0.8: AdaInfer's rule of thumb)
 *   top_prob   the first token has so much of the probability
 *   fixed      so much of the layers is executed: all requests leave after the same one
 *
 * Nothing to fit, nothing to store; calibration finds the threshold. Good also for a model that no trace
 * exists of: such a policy.json is written by hand.
 *
 * To write the next classifier:
 *   1. make src/exit/<name>.c with the functions of or_classifier_ops (classifier.h) and one const struct
 *      or_classifier_<name>; the model that fit() makes is any struct of your own behind void *;
 *   2. declare the struct in classifier.h and name it in the table of classifier.c;
 *   3. give it a case in tests/unit/test_classifier.c: fit, save, load, and the same score bit for bit.
 * score() must be a pure function of x and of what the request carries from its own ramps before: its exit
 * may not depend on other requests. crf.c is one that carries something.
 */
#include "classifier.h"

static or_status nothing_fit(const or_fit_rows *rows, const or_train_options *options, void **model)
{
    (void)rows, (void)options;
    *model = NULL; /* all it knows is in the policy's threshold */
    return OR_OK;
}

static double feature_score(const void *model, const double *x, double *message)
{
    (void)model, (void)message;
    return x[0];
}

static uint64_t nothing_cost(const void *model)
{
    (void)model;
    return 0;
}

static or_status nothing_load(const cJSON *policy, const char *path, int n_features, void **model)
{
    (void)policy, (void)path, (void)n_features;
    *model = NULL;
    return OR_OK;
}

static void nothing_free(void *model)
{
    (void)model;
}

/* One of the kinds; its own threshold is for when there is no calibration. */
#define KIND(kind, feature, own)                                                                             \
    const or_classifier_ops or_classifier_##kind = {                                                         \
        .name = #kind,                                                                                       \
        .features = 1u << (feature),                                                                         \
        .only_features = true,                                                                               \
        .threshold = (own),                                                                                  \
        .max_rows = 4000, /* none is looked at */                                                            \
        .fit = nothing_fit,                                                                                  \
        .score = feature_score,                                                                              \
        .cost = nothing_cost,                                                                                \
        .load = nothing_load,                                                                                \
        .free = nothing_free,                                                                                \
    }

KIND(gap, OR_FEATURE_GAP, 0.8);
KIND(top_prob, OR_FEATURE_TOP_PROB, 0.9);
KIND(fixed, OR_FEATURE_LAYER, 0.75);
