/* feature.c - from what a ramp sees to the numbers that a classifier looks at.
 *
 * All features but the cosines and `reliability` lie in 0..1, whatever the depth of the model, so that a figure in a policy
 * file means the same for 16 layers and for 80.
 */
#include "policy_internal.h"

#include <string.h>

/* As policy.json and --features have them; the first five are also the measured columns of trace.csv. */
static const char *const names[OR_FEATURE_COUNT] = {
    [OR_FEATURE_GAP] = "gap",
    [OR_FEATURE_TOP_PROB] = "top_prob",
    [OR_FEATURE_COS_ATTN] = "cos_attn",
    [OR_FEATURE_COS_MLP] = "cos_mlp",
    [OR_FEATURE_COS_HIDDEN] = "cos_hidden",
    [OR_FEATURE_LAYER] = "layer",
    [OR_FEATURE_STABLE] = "stable",
    [OR_FEATURE_RELIABILITY] = "reliability",
};

/* A state begins (OR_RAMP_STATE_START) with token -1, which no vocabulary has: the first ramp finds another
 * token and counts 1. */
int32_t or_ramp_state_update(or_ramp_state *state, int32_t token)
{
    state->stable = state->token == token ? state->stable + 1 : 1;
    state->token = token;
    return state->stable;
}

const char *or_feature_name(or_feature feature)
{
    return names[feature];
}

int or_feature_find(const char *name)
{
    for (int i = 0; i < OR_FEATURE_COUNT; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

double or_feature_value(or_feature feature, const or_observation *seen, int n_layers,
                        const or_reliability *table)
{
    switch (feature) {
    case OR_FEATURE_GAP:
        return seen->gap;
    case OR_FEATURE_TOP_PROB:
        return seen->top_prob;
    case OR_FEATURE_COS_ATTN:
        return seen->cos_attn;
    case OR_FEATURE_COS_MLP:
        return seen->cos_mlp;
    case OR_FEATURE_COS_HIDDEN:
        return seen->cos_hidden;
    case OR_FEATURE_LAYER:
        return (double)seen->layer / n_layers;
    case OR_FEATURE_STABLE:
        /* never more than n_layers in a trace of this model, but an observation may come from anywhere */
        return (double)(seen->stable < n_layers ? seen->stable : n_layers) / n_layers;
    case OR_FEATURE_RELIABILITY:
        return or_reliability_of(table, seen->token);
    case OR_FEATURE_COUNT:
        break;
    }
    return 0;
}
