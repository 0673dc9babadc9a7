/* classifier.c - the table of exit classifiers. */
#include "classifier.h"

#include <string.h>

/* A new kind is one file and one entry here; single.c says how. */
static const or_classifier_ops *const table[] = {
    &or_classifier_svm, &or_classifier_crf, &or_classifier_gap, &or_classifier_top_prob, &or_classifier_fixed,
};

enum { N_KINDS = sizeof table / sizeof table[0] };

or_status or_classifier_find(const char *name, const char *where, const or_classifier_ops **ops)
{
    char known[128] = "";
    for (size_t i = 0; i < N_KINDS; i++) {
        if (strcmp(table[i]->name, name) == 0) {
            *ops = table[i];
            return OR_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", table[i]->name);
    }
    return or_fail(OR_ERR_INPUT, "unknown exit classifier", where, "found \"%s\", expected one of: %s", name,
                   known);
}

/* Both lists in the message are in the order of or_feature, each name behind a space. */
or_status or_classifier_check_features(const or_classifier_ops *ops, unsigned features, const char *where)
{
    if (!ops->only_features || features == ops->features) return OR_OK;
    char wanted[128] = "", found[128] = "";
    for (int i = 0; i < OR_FEATURE_COUNT; i++) {
        size_t used = strlen(wanted);
        if (ops->features >> i & 1) snprintf(wanted + used, sizeof wanted - used, " %s", or_feature_name(i));
        used = strlen(found);
        if (features >> i & 1) snprintf(found + used, sizeof found - used, " %s", or_feature_name(i));
    }
    return or_fail(OR_ERR_INPUT, "wrong features", where, "found%s, classifier \"%s\" looks at%s alone",
                   found, ops->name, wanted);
}
