/* gap.c - the simplest exit classifier: the gap between the two most probable tokens is the score.
 *
 * Nothing to fit, nothing to store; with its own threshold of 0.8 a request leaves when the first token leads
 * by 80 points. Good as a baseline, and for a model that no trace exists of: such a policy.json is written by
 * hand.
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

static or_status gap_fit(const or_fit_rows *rows, const or_train_options *options, void **model)
{
    (void)rows, (void)options;
    *model = NULL; /* all it knows is in the policy's threshold */
    return OR_OK;
}

static double gap_score(const void *model, const double *x, double *message)
{
    (void)model, (void)message;
    return x[0];
}

static uint64_t gap_cost(const void *model)
{
    (void)model;
    return 0;
}

static or_status gap_load(const cJSON *policy, const char *path, int n_features, void **model)
{
    (void)policy, (void)path, (void)n_features;
    *model = NULL;
    return OR_OK;
}

static void gap_free(void *model)
{
    (void)model;
}

const or_classifier_ops or_classifier_gap = {
    .name = "gap",
    .features = 1u << OR_FEATURE_GAP,
    .only_features = true,
    .threshold = 0.8,
    .max_rows = 4000, /* none is looked at */
    .fit = gap_fit,
    .score = gap_score,
    .cost = gap_cost,
    .load = gap_load,
    .free = gap_free,
};
