/* curve.c - survivor curves: reading them, and drawing exit layers by them. */
#include "curve.h"

#include "file.h"
#include "json.h"
#include "random.h"
#include "train_internal.h"

#include <offramp/trace.h>

#include <string.h>

static const char refused[] = "survivors refused";

/* Entry `layer` of the array. */
static or_status take_share(const cJSON *item, int layer, const char *path, or_curve *curve)
{
    const double value = item->valuedouble, before = layer ? curve->share[layer - 1] : 1;
    if (!cJSON_IsNumber(item))
        return or_fail(OR_ERR_INPUT, refused, path, "the share behind layer %d is no number", layer);
    if (!(value >= 0 && value <= before) || (layer == 0 && value != 1))
        return or_fail(OR_ERR_INPUT, refused, path, "the share behind layer %d is %g, expected %s", layer,
                       value, layer ? "a number from 0 up to the one before" : "1: all tokens begin");
    curve->share[layer] = value;
    return OR_OK;
}

static or_status read_array(const cJSON *json, const char *path, or_curve *curve)
{
    const int count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : 0;
    if (count != curve->n_layers + 1)
        return or_fail(OR_ERR_INPUT, refused, path,
                       "found %d shares, expected an array of %d: behind 0 to %d layers of the model", count,
                       curve->n_layers + 1, curve->n_layers);
    int layer = 0;
    for (const cJSON *item = json->child; item; item = item->next)
        OR_TRY(take_share(item, layer++, path, curve));
    return OR_OK;
}

static or_status read_json(const char *path, or_curve *curve)
{
    or_buffer text = {0};
    cJSON *json = NULL;
    or_status status = or_file_read(path, &text);
    if (status == OR_OK) status = or_json_parse(text.data, text.size, path, &json);
    if (status == OR_OK) status = read_array(json, path, curve);
    cJSON_Delete(json);
    or_buffer_free(&text);
    return status;
}

/* share[l] = items that leave after more than l layers. */
static or_status count_exits(const or_trace *trace, const or_policy *policy, const char *path,
                             or_curve *curve)
{
    const int n_layers = curve->n_layers;
    if (trace->meta.n_layers != n_layers)
        return or_fail(OR_ERR_INPUT, refused, path, "the trace is of %d layers, expected %d as the model has",
                       trace->meta.n_layers, n_layers);
    if (trace->count == 0)
        return or_fail(OR_ERR_INPUT, refused, path, "the trace is empty, expected requests");
    if (policy) OR_TRY(or_policy_check(policy, n_layers, trace->meta.fingerprint, false));
    for (size_t i = 0; i < trace->count; i++) {
        int32_t token;
        const or_trace_item *item = &trace->items[i];
        const int exit =
            policy ? or_policy_replay(policy, item, n_layers, &token) : or_oracle_exit(item, n_layers);
        for (int layer = 0; layer < exit; layer++) curve->share[layer]++;
    }
    for (int layer = 0; layer <= n_layers; layer++) curve->share[layer] /= (double)trace->count;
    return OR_OK;
}

static or_status read_trace(const char *path, const or_policy *policy, or_curve *curve)
{
    or_trace trace = {0};
    or_status status = or_trace_read(path, &trace);
    if (status == OR_OK) status = count_exits(&trace, policy, path, curve);
    or_trace_free(&trace);
    return status;
}

or_status or_curve_read(const char *path, int n_layers, const or_policy *policy, or_curve *curve)
{
    const char *end = strrchr(path, '.');
    *curve = (or_curve){.n_layers = n_layers};
    OR_TRY(OR_NEW(curve->share, (size_t)n_layers + 1));
    if (end && strcmp(end, ".csv") == 0) return read_trace(path, policy, curve);
    if (policy)
        return or_fail(OR_ERR_USAGE, "wrong option", path,
                       "found a policy for a curve that is given, expected one for a trace (.csv)");
    return read_json(path, curve);
}

void or_curve_free(or_curve *curve)
{
    free(curve->share);
    *curve = (or_curve){0};
}

/* The inverse of the curve at u, uniform in 0 .. 1: a token leaves after more than l layers if u < S(l),
 * which is the case for a share S(l) of them. The first draw mixes the parts of the state, which are near
 * each other. */
int or_curve_exit(const or_curve *curve, uint64_t seed, uint64_t sequence, uint64_t token)
{
    uint64_t state = seed;
    state = or_random(&state) + sequence;
    state = or_random(&state) + token;
    const double u = (double)(or_random(&state) >> 11) * 0x1p-53;
    int layer = 1;
    while (layer < curve->n_layers && u < curve->share[layer]) layer++;
    return layer;
}
