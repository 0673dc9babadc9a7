/* policy.c - exit policies: the file policy.json, the checks before one is used, and the decision itself.
 *
 * {"format": "offramp-policy-1", "classifier": "svm", "features": ["gap", "layer"], "layers": 16,
 *  "ramps": [3, 4, 7], "shortlist": 16, "threshold": 0.37, "fingerprint": "16 hexadecimal digits",
 *  "reliability": {...},                         where it is a feature (reliability.c)
 *  "survivors": [1, 1, 1, 0.9, 0.7, ..., 0],   decides nothing: for plans
 *  "calibration": {...}, "training": {...},    for people, not read
 *  "svm": {...}}                               what the classifier itself stores ("crf" of a crf)
 *
 * "threshold": "never" is a policy that exits nobody: what training makes when no threshold reaches the
 * target. "shortlist" may be absent or 0: every ramp computes the whole distribution. "survivors" may be
 * absent, as in a file written by hand.
 */
#include "policy_internal.h"

#include "file.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const char format_name[] = "offramp-policy-1";

or_status or_policy_stem(const char *path, char **stem)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    if (length > 5 && strcmp(base + length - 5, ".json") == 0) length -= 5;
    return or_format(stem, "%.*s", (int)length, base);
}

or_status or_policy_new(const char *path, int n_layers, or_policy **policy)
{
    or_policy *made = NULL;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, OR_NEW(made, 1));
    made->n_layers = n_layers;
    made->threshold = INFINITY;
    OR_TRY_GOTO(unwind, or_strdup(path, &made->path));
    OR_TRY_GOTO(unwind, or_policy_stem(path, &made->name));
    OR_TRY_GOTO(unwind, OR_NEW(made->ramp, (size_t)n_layers + 1));
    *policy = made;
unwind:
    if (status != OR_OK) or_policy_free(made);
    return status;
}

void or_policy_free(or_policy *policy)
{
    if (!policy) return;
    if (policy->ops) policy->ops->free(policy->model);
    or_reliability_free(&policy->reliability);
    free(policy->survivors);
    free(policy->ramp);
    free(policy->name);
    free(policy->path);
    free(policy);
}

/* Text in the file, since a JSON number does not hold 64 bits exactly. */
or_status or_policy_read_hash(const cJSON *object, const char *key, const char *where, uint64_t *value)
{
    const char *text;
    OR_TRY(or_json_string(object, key, where, &text));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return or_fail(OR_ERR_INPUT, "wrong field", where,
                       "\"%s\" is \"%s\", expected 16 lower-case hexadecimal digits", key, text);
    *value = strtoull(text, NULL, 16);
    return OR_OK;
}

/* The order in the file is the order of the classifier's columns. */
static or_status read_features(const cJSON *json, or_policy *policy)
{
    const cJSON *array;
    unsigned seen = 0;
    OR_TRY(or_json_array(json, "features", policy->path, &array));
    for (const cJSON *item = array->child; item; item = item->next) {
        int feature = cJSON_IsString(item) ? or_feature_find(item->valuestring) : -1;
        if (feature < 0)
            return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                           "element %d of \"features\" is %s, expected a feature (gap, top_prob, cos_attn, "
                           "cos_mlp, cos_hidden, layer, stable, reliability)",
                           policy->n_features + 1, cJSON_IsString(item) ? item->valuestring : "no string");
        if (seen >> feature & 1)
            return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                           "\"features\" names %s twice, expected each once", item->valuestring);
        seen |= 1u << feature;
        policy->features[policy->n_features++] =
            (or_feature)feature; /* all different: at most all there are */
    }
    if (seen == 0)
        return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                       "\"features\" is empty, expected one or more");
    return or_classifier_check_features(policy->ops, seen, policy->path);
}

/* An empty list is fine, such a policy exits nobody. The last layer has none: behind it is the head. */
static or_status read_ramps(const cJSON *json, or_policy *policy)
{
    const cJSON *array;
    int last = 0;
    OR_TRY(or_json_array(json, "ramps", policy->path, &array));
    for (const cJSON *item = array->child; item; item = item->next) {
        double layer = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(layer > last && layer < policy->n_layers) || layer != floor(layer))
            return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                           "\"ramps\" holds %g after %d, expected layers ascending within 1..%d", layer, last,
                           policy->n_layers - 1);
        last = (int)layer;
        policy->ramp[last] = true;
    }
    return OR_OK;
}

/* Two tokens at least, since the gap is one between two. */
static or_status read_shortlist(const cJSON *json, or_policy *policy)
{
    int64_t tokens = 0;
    OR_TRY(or_json_opt_int(json, "shortlist", policy->path, 0, OR_SHORTLIST, &tokens));
    if (tokens == 1)
        return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                       "\"shortlist\" is 1, expected 0 (none) or a whole number 2..%d", OR_SHORTLIST);
    policy->shortlist = (int)tokens;
    return OR_OK;
}

/* INFINITY, which or_policy_new() has set, stays for "never"; JSON has no such number. */
static or_status read_threshold(const cJSON *json, or_policy *policy)
{
    const cJSON *item = or_json_find(json, "threshold");
    if (cJSON_IsNumber(item) && isfinite(item->valuedouble))
        policy->threshold = item->valuedouble;
    else if (!cJSON_IsString(item) || strcmp(item->valuestring, "never") != 0)
        return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                       "\"threshold\" is %s, expected a finite number or \"never\"",
                       item ? "something else" : "nothing");
    return OR_OK;
}

/* Shares of requests: a plan trusts that they start with all, never rise, and end with none. */
static or_status read_survivors(const cJSON *json, or_policy *policy)
{
    const cJSON *array, *item;
    double last = 1;
    if (!or_json_find(json, "survivors")) return OR_OK;
    OR_TRY(or_json_array(json, "survivors", policy->path, &array));
    if (cJSON_GetArraySize(array) != policy->n_layers + 1)
        return or_fail(OR_ERR_INPUT, "wrong field", policy->path,
                       "\"survivors\" has %d elements, expected one for each of 0..%d layers executed",
                       cJSON_GetArraySize(array), policy->n_layers);
    OR_TRY(OR_NEW(policy->survivors, (size_t)policy->n_layers + 1));
    item = array->child;
    for (int layer = 0; layer <= policy->n_layers; layer++, item = item->next) {
        double share = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        double low = layer == 0 ? 1 : 0, high = layer == policy->n_layers ? 0 : last;
        if (!(share >= low && share <= high)) /* not for NaN either */
            return or_fail(
                OR_ERR_INPUT, "wrong field", policy->path,
                "element %d of \"survivors\" is %g, expected shares from 1 down to 0 that never rise",
                layer + 1, share);
        policy->survivors[layer] = last = share;
    }
    return OR_OK;
}

/* Members that are not asked for are not looked at: notes for people may grow.
 * *policy is set as soon as there is one, also when what follows fails; the caller frees it. */
static or_status read_policy(const cJSON *json, const char *path, or_policy **policy)
{
    const char *format, *classifier;
    int64_t layers;
    OR_TRY(or_json_string(json, "format", path, &format));
    if (strcmp(format, format_name) != 0)
        return or_fail(OR_ERR_INPUT, "policy refused", path, "its format is \"%s\", expected \"%s\"", format,
                       format_name);
    OR_TRY(or_json_string(json, "classifier", path, &classifier));
    OR_TRY(or_json_int(json, "layers", path, 2, OR_MAX_LAYERS, &layers));
    /* each step needs those before it: features are the classifier's, ramps lie within the layers */
    OR_TRY(or_policy_new(path, (int)layers, policy));
    OR_TRY(or_classifier_find(classifier, path, &(*policy)->ops));
    OR_TRY(read_features(json, *policy));
    if (or_policy_looks_at(*policy, OR_FEATURE_RELIABILITY))
        OR_TRY(or_reliability_read(json, path, &(*policy)->reliability));
    OR_TRY(read_ramps(json, *policy));
    OR_TRY(read_shortlist(json, *policy));
    OR_TRY(read_threshold(json, *policy));
    OR_TRY(read_survivors(json, *policy));
    OR_TRY(or_policy_read_hash(json, "fingerprint", path, &(*policy)->fingerprint));
    /* last, since the classifier checks its model against the number of features */
    return (*policy)->ops->load(json, path, (*policy)->n_features, &(*policy)->model);
}

/* Hash of the values in the file, whatever its line breaks; the notes for people are in it as well. An SVM's
 * file is covered by its own hash, which is one of the values. */
static or_status hash_content(const cJSON *json, or_policy *policy)
{
    char *text = cJSON_PrintUnformatted(json);
    if (!text) return or_fail_memory(0);
    policy->content = XXH3_64bits(text, strlen(text));
    cJSON_free(text);
    return OR_OK;
}

or_status or_policy_load(const char *path, or_policy **policy)
{
    cJSON *json = NULL;
    *policy = NULL;
    OR_TRY(or_json_load(path, &json));
    or_status status = read_policy(json, path, policy);
    if (status == OR_OK) status = hash_content(json, *policy);
    if (status != OR_OK) {
        or_policy_free(*policy);
        *policy = NULL;
    }
    cJSON_Delete(json);
    return status;
}

/* One that looks at the gap. */
static or_status new_gap(int n_layers, or_policy **policy)
{
    OR_TRY(or_policy_new("gap", n_layers, policy));
    (*policy)->ops = &or_classifier_gap;
    (*policy)->features[(*policy)->n_features++] = OR_FEATURE_GAP;
    return OR_OK;
}

/* Instead of those that it has. */
static or_status set_ramps(or_policy *policy, int n_layers, const int *ramps, size_t n_ramps)
{
    bool *ramp = NULL;
    OR_TRY(OR_NEW(ramp, (size_t)n_layers + 1));
    free(policy->ramp);
    policy->ramp = ramp;
    policy->n_layers = n_layers;
    for (size_t i = 0; i < n_ramps; i++) {
        if (ramps[i] < 1 || ramps[i] >= n_layers)
            return or_fail(OR_ERR_USAGE, "ramp refused", NULL, "it is after layer %d, expected 1..%d",
                           ramps[i], n_layers - 1);
        policy->ramp[ramps[i]] = true;
    }
    return OR_OK;
}

/* A threshold of INFINITY would spare the classifier; a score of DBL_MAX there is not. What the file says of
 * survivors is of those who may leave. */
or_status or_policy_probe(const char *path, int n_layers, const int *ramps, size_t n_ramps,
                          or_policy **policy)
{
    *policy = NULL;
    or_status status = path ? or_policy_load(path, policy) : new_gap(n_layers, policy);
    if (status == OR_OK && n_ramps > 0) status = set_ramps(*policy, n_layers, ramps, n_ramps);
    if (status == OR_OK) {
        (*policy)->threshold = DBL_MAX;
        free((*policy)->survivors);
        (*policy)->survivors = NULL;
        return OR_OK;
    }
    or_policy_free(*policy);
    *policy = NULL;
    return status;
}

/* Appends `"features": [...], "layers": L, "ramps": [...]`, and "shortlist" where there is one. */
static or_status put_shape(const or_policy *policy, or_buffer *out)
{
    const char *comma = "";
    OR_TRY(or_buffer_puts(out, "\"features\": ["));
    for (int i = 0; i < policy->n_features; i++, comma = ", ")
        OR_TRY(or_buffer_printf(out, "%s\"%s\"", comma, or_feature_name(policy->features[i])));
    OR_TRY(or_buffer_printf(out, "],\n  \"layers\": %d,\n  \"ramps\": [", policy->n_layers));
    comma = "";
    for (int layer = 1; layer < policy->n_layers; layer++) {
        if (!policy->ramp[layer]) continue;
        OR_TRY(or_buffer_printf(out, "%s%d", comma, layer));
        comma = ", ";
    }
    OR_TRY(or_buffer_puts(out, "]"));
    return policy->shortlist ? or_buffer_printf(out, ",\n  \"shortlist\": %d", policy->shortlist) : OR_OK;
}

static or_status put_survivors(const or_policy *policy, or_buffer *out)
{
    if (!policy->survivors) return OR_OK;
    OR_TRY(or_buffer_puts(out, ",\n  \"survivors\": ["));
    for (int layer = 0; layer <= policy->n_layers; layer++) {
        if (layer > 0) OR_TRY(or_buffer_puts(out, ", "));
        OR_TRY(or_json_put_double(out, policy->survivors[layer]));
    }
    return or_buffer_puts(out, "]");
}

/* The whole file. The classifier comes last, since its own files must be on disk before policy.json names
 * them: a job that dies in between leaves the old policy.json, whose hash refuses the new model file. */
static or_status put_policy(const or_policy *policy, const char *notes, or_buffer *out)
{
    OR_TRY(or_buffer_printf(out, "{\n  \"format\": \"%s\",\n  \"classifier\": \"%s\",\n  ", format_name,
                            policy->ops->name));
    OR_TRY(put_shape(policy, out));
    OR_TRY(or_buffer_puts(out, ",\n  \"threshold\": "));
    if (isinf(policy->threshold))
        OR_TRY(or_buffer_puts(out, "\"never\""));
    else
        OR_TRY(or_json_put_double(out, policy->threshold));
    OR_TRY(or_buffer_printf(out, ",\n  \"fingerprint\": \"%016" PRIx64 "\"", policy->fingerprint));
    if (or_policy_looks_at(policy, OR_FEATURE_RELIABILITY))
        OR_TRY(or_reliability_put(&policy->reliability, out));
    OR_TRY(put_survivors(policy, out));
    OR_TRY(or_buffer_puts(out, notes));
    if (policy->ops->save) OR_TRY(policy->ops->save(policy->model, policy->path, out));
    return or_buffer_puts(out, "\n}\n");
}

/* or_file_write() swaps the file whole: a reader finds the old policy or the new one. */
or_status or_policy_save(const or_policy *policy, const char *notes)
{
    or_buffer out = {0};
    or_status status = put_policy(policy, notes, &out);
    if (status == OR_OK) status = or_file_write(policy->path, out.data, out.size);
    or_buffer_free(&out);
    return status;
}

/* Ramps, `layer` and `stable` count in layers of one model, so another depth is refused whatever
 * allow_other says; another fingerprint of the same depth may be the same model fine-tuned. */
or_status or_policy_check(const or_policy *policy, int n_layers, uint64_t fingerprint, bool allow_other)
{
    if (policy->n_layers != n_layers)
        return or_fail(OR_ERR_INPUT, "policy refused", policy->path,
                       "it is for a model of %d layers, this one has %d, train one from this model's trace",
                       policy->n_layers, n_layers);
    if (policy->fingerprint != fingerprint && !allow_other)
        return or_fail(OR_ERR_INPUT, "policy refused", policy->path,
                       "it was trained on model %016" PRIx64 ", this one is %016" PRIx64
                       ", train one from this model's trace or pass --allow-other-model",
                       policy->fingerprint, fingerprint);
    return OR_OK;
}

const char *or_policy_name(const or_policy *policy)
{
    return policy->name;
}

const char *or_policy_classifier(const or_policy *policy)
{
    return policy->ops->name;
}

bool or_policy_has_ramp(const or_policy *policy, int layer)
{
    return layer >= 1 && layer < policy->n_layers && policy->ramp[layer];
}

/* Behind this layer nobody leaves before the end. */
int or_policy_last_ramp(const or_policy *policy)
{
    int layer = policy->n_layers - 1;
    while (layer > 0 && !policy->ramp[layer]) layer--;
    return layer;
}

int or_policy_ramp_count(const or_policy *policy)
{
    int count = 0;
    for (int layer = 1; layer < policy->n_layers; layer++) count += policy->ramp[layer];
    return count;
}

bool or_policy_looks_at(const or_policy *policy, or_feature feature)
{
    for (int i = 0; i < policy->n_features; i++)
        if (policy->features[i] == feature) return true;
    return false;
}

/* They cost extra: a pipeline must carry each layer's vectors (taps) to have them. */
bool or_policy_wants_cosines(const or_policy *policy)
{
    return or_policy_looks_at(policy, OR_FEATURE_COS_ATTN) ||
           or_policy_looks_at(policy, OR_FEATURE_COS_MLP) ||
           or_policy_looks_at(policy, OR_FEATURE_COS_HIDDEN);
}

/* Of the content, for telling runs apart; the model's is what or_policy_check() compares. */
uint64_t or_policy_fingerprint(const or_policy *policy)
{
    return policy->content;
}

const double *or_policy_survivors(const or_policy *policy)
{
    return policy->survivors;
}

uint64_t or_policy_cost(const or_policy *policy)
{
    return policy->ops->cost(policy->model);
}

int or_policy_shortlist(const or_policy *policy)
{
    return policy->shortlist;
}

void or_policy_features(const or_policy *policy, const or_observation *seen, double *x)
{
    for (int i = 0; i < policy->n_features; i++)
        x[i] = or_feature_value(policy->features[i], seen, policy->n_layers, &policy->reliability);
}

double or_policy_score(const or_policy *policy, const or_observation *seen, or_ramp_state *state)
{
    double x[OR_FEATURE_COUNT];
    or_policy_features(policy, seen, x);
    return policy->ops->score(policy->model, x, &state->message);
}

bool or_policy_fires(const or_policy *policy, const or_observation *seen, or_ramp_state *state)
{
    /* INFINITY means never; a score that is not a number (a broken model's) does not fire either */
    return isfinite(policy->threshold) && or_policy_score(policy, seen, state) >= policy->threshold;
}
