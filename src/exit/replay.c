/* replay.c - what a policy does to requests whose full run was recorded, step by step as the pipeline does
 * it: at each of the policy's ramps, in the order of the layers, count `stable`, then ask.
 */
#include "train_internal.h"

/* Exit layer n_layers is a run to the end, where the head gives the token. */
int or_policy_replay(const or_policy *policy, const or_trace_item *item, int n_layers, int32_t *token)
{
    or_ramp_state state = OR_RAMP_STATE_START;
    for (int layer = 1; layer < n_layers; layer++) {
        if (!or_policy_has_ramp(policy, layer)) continue;
        or_observation seen = item->seen[layer - 1];
        seen.stable = or_ramp_state_update(&state, seen.token);
        if (!or_policy_fires(policy, &seen, &state)) continue;
        *token = seen.token;
        return layer;
    }
    *token = item->final_token;
    return n_layers;
}

int or_oracle_exit(const or_trace_item *item, int n_layers)
{
    int layer = n_layers;
    while (layer > 1 && item->seen[layer - 2].token == item->final_token) layer--;
    return layer;
}

void or_replay_result(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                      or_train_result *result)
{
    *result = (or_train_result){.instances = count};
    if (count == 0) return;
    int n_layers = trace->meta.n_layers;
    or_prices prices = or_prices_of_trace(policy, &trace->meta);
    or_steps steps = {0};
    uint64_t agree = 0, oracle = 0;
    for (size_t i = 0; i < count; i++) {
        const or_trace_item *item = &trace->items[chosen[i]];
        int32_t token;
        int exit = or_policy_replay(policy, item, n_layers, &token);
        agree += token == item->final_token;
        oracle += (uint64_t)or_oracle_exit(item, n_layers);
        or_steps_add(&steps, policy->ramp, n_layers, exit);
    }
    /* full depth pays n_layers layers and its head once; the oracle is counted in layers alone */
    double n = (double)count, work = or_steps_macs(&steps, &prices);
    result->agreement = (double)agree / n;
    result->exit_layer_mean = (double)steps.layers / n;
    result->layers_saved = 1 - result->exit_layer_mean / n_layers;
    result->work_saved = 1 - work / (n * (n_layers * prices.layer + prices.head));
    result->oracle_saved = 1 - (double)oracle / n / n_layers;
}

/* Counted in whole numbers, which doubles hold exactly: first who leaves behind layer l + 1, then, from the
 * end on, who goes beyond l. */
void or_replay_survivors(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                         double *survivors)
{
    int n_layers = trace->meta.n_layers;
    for (int layer = 0; layer <= n_layers; layer++) survivors[layer] = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t token;
        survivors[or_policy_replay(policy, &trace->items[chosen[i]], n_layers, &token) - 1]++;
    }
    for (int layer = n_layers - 2; layer >= 0; layer--) survivors[layer] += survivors[layer + 1];
    for (int layer = 0; layer < n_layers; layer++) survivors[layer] /= (double)count;
}

/* Every ramp is asked, also those behind the first that fires: calibration tries all thresholds on the
 * scores. (What travels from ramp to ramp does not depend on the threshold.) What is allocated is in *scores
 * after a failure, too. */
or_status or_scores_make(const or_policy *policy, const or_trace *trace, const size_t *chosen, size_t count,
                         or_scores *scores)
{
    size_t cells, at = 0;
    *scores = (or_scores){.count = count, .n_ramps = or_policy_ramp_count(policy)};
    if (__builtin_mul_overflow(count, (size_t)scores->n_ramps, &cells)) return or_fail_memory(SIZE_MAX);
    OR_TRY(OR_NEW(scores->score, cells));
    OR_TRY(OR_NEW(scores->right, cells));
    for (size_t i = 0; i < count; i++) {
        const or_trace_item *item = &trace->items[chosen[i]];
        or_ramp_state state = OR_RAMP_STATE_START;
        for (int layer = 1; layer < policy->n_layers; layer++) {
            if (!policy->ramp[layer]) continue;
            /* the trace counted `stable` over all layers; here it counts over the policy's ramps */
            or_observation seen = item->seen[layer - 1];
            seen.stable = or_ramp_state_update(&state, seen.token);
            scores->score[at] = or_policy_score(policy, &seen, &state);
            scores->right[at++] = seen.token == item->final_token;
        }
    }
    return OR_OK;
}

void or_scores_free(or_scores *scores)
{
    free(scores->score);
    free(scores->right);
    *scores = (or_scores){0};
}
