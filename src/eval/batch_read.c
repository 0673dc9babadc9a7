/* batch_read.c - requests, plain ones and OpenAI's.
 *
 * What is wrong with the file as a list of requests - no object, no id, an id twice - refuses the file.
 * What is wrong with one request refuses that request: its message, without the file's name, becomes its
 * result's error.
 */
#include "batch_internal.h"

#include "file.h"
#include "requests.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

typedef struct reader {
    or_batch *batch;
    or_request_reader prompts;
} reader;

/* ---- members ------------------------------------------------------------------------------------------- */

/* Each takes its member of a plain line or an OpenAI body over into the request's settings, which begin as
 * the plan's. null is as good as absent. */
typedef or_status read_member(const cJSON *object, or_batch_request *request);

static or_status read_max_tokens(const cJSON *object, or_batch_request *request)
{
    int64_t most = (int64_t)request->settings.max_tokens;
    OR_TRY(or_json_opt_int(object, "max_tokens", NULL, 1, INT32_MAX, &most));
    request->settings.max_tokens = (size_t)most;
    return OR_OK;
}

/* The bounds are asked for in this form so that NaN, if it came, would be outside. */
static or_status read_temperature(const cJSON *object, or_batch_request *request)
{
    double value = (double)request->settings.sampling.temperature;
    OR_TRY(or_json_opt_number(object, "temperature", NULL, &value));
    if (!(value >= 0 && value <= 100))
        return or_fail(OR_ERR_INPUT, "wrong field", NULL, "\"temperature\" is %g, expected 0..100", value);
    request->settings.sampling.temperature = (float)value;
    return OR_OK;
}

static or_status read_top_k(const cJSON *object, or_batch_request *request)
{
    int64_t value = request->settings.sampling.top_k;
    OR_TRY(or_json_opt_int(object, "top_k", NULL, 0, INT32_MAX, &value));
    request->settings.sampling.top_k = (int32_t)value;
    return OR_OK;
}

static or_status read_top_p(const cJSON *object, or_batch_request *request)
{
    double value = (double)request->settings.sampling.top_p;
    OR_TRY(or_json_opt_number(object, "top_p", NULL, &value));
    if (!(value > 0 && value <= 1))
        return or_fail(OR_ERR_INPUT, "wrong field", NULL, "\"top_p\" is %g, expected above 0 and at most 1",
                       value);
    request->settings.sampling.top_p = (float)value;
    return OR_OK;
}

/* OpenAI's may be negative. Whole numbers are exact in JSON as we read it below 2^53. */
static or_status read_seed(const cJSON *object, or_batch_request *request)
{
    const int64_t most = (INT64_C(1) << 53) - 1;
    if (!or_json_find(object, "seed")) return OR_OK;
    int64_t seed;
    OR_TRY(or_json_int(object, "seed", NULL, -most, most, &seed));
    request->settings.sampling.seed = (uint64_t)seed;
    return OR_OK;
}

/* stops[] has room: read_stop() has counted them. */
static or_status add_stop(const cJSON *item, or_batch_request *request)
{
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0')
        return or_fail(OR_ERR_INPUT, "wrong field", NULL,
                       "\"stop\" holds something else, expected texts that are not empty");
    OR_TRY(or_strdup(item->valuestring, &request->stops[request->n_stops]));
    request->n_stops++;
    return OR_OK;
}

/* A text or an array of them, which may be empty: no stop texts, whatever the command line says. */
static or_status read_stop(const cJSON *object, or_batch_request *request)
{
    const cJSON *stop = or_json_find(object, "stop");
    const bool many = cJSON_IsArray(stop);
    if (!stop) return OR_OK;
    OR_TRY(OR_NEW(request->stops, many ? (size_t)cJSON_GetArraySize(stop) : 1));
    if (!many) OR_TRY(add_stop(stop, request));
    for (const cJSON *item = many ? stop->child : NULL; item; item = item->next)
        OR_TRY(add_stop(item, request));
    request->settings.stops = (const char *const *)request->stops;
    request->settings.n_stops = request->n_stops;
    return OR_OK;
}

static or_status read_kv(const cJSON *object, or_batch_request *request)
{
    const char *name = NULL;
    OR_TRY(or_json_opt_string(object, "kv", NULL, &name));
    if (!name) return OR_OK;
    const int found = or_kv_policy_find(name);
    if (found < 0)
        return or_fail(OR_ERR_INPUT, "unknown KV policy", NULL,
                       "\"kv\" is \"%s\", expected deferred, propagate or verify", name);
    request->settings.kv = (or_kv_policy)found;
    return OR_OK;
}

/* true or false in plain lines, how many in OpenAI's. */
static or_status read_logprobs(const cJSON *object, or_batch_request *request)
{
    int64_t n = request->settings.logprobs;
    bool wanted = n >= 0;
    if (request->openai) {
        OR_TRY(or_json_opt_int(object, "logprobs", NULL, 0, OR_BATCH_LOGPROBS, &n));
    } else {
        OR_TRY(or_json_opt_bool(object, "logprobs", NULL, &wanted));
        n = wanted ? OR_BATCH_LOGPROBS : -1;
    }
    request->settings.logprobs = (int)n;
    return OR_OK;
}

/* What results call the model; another one than runs is not refused, since batch files name OpenAI's. */
static or_status read_model(const cJSON *object, or_batch_request *request)
{
    const char *name = NULL;
    OR_TRY(or_json_opt_string(object, "model", NULL, &name));
    return name ? or_strdup(name, &request->model) : OR_OK;
}

/* A member of a request. Without `read` it is read elsewhere, ignored, or must have a value that asks for
 * nothing: the number `neutral`, false, or what is empty. */
typedef struct member {
    const char *name;
    enum { PLAIN = 1, OPENAI = 2, BOTH = 3 } forms;
    read_member *read;
    bool must_be_neutral;
    double neutral;
} member;

/* A new one is a line here, and a read_<name>() where it is a setting. */
static const member members[] = {
    {"id", PLAIN, NULL, false, 0},
    {"tokens", PLAIN, NULL, false, 0},
    {"prompt", BOTH, NULL, false, 0},
    {"max_tokens", BOTH, read_max_tokens, false, 0},
    {"temperature", BOTH, read_temperature, false, 0},
    {"top_k", BOTH, read_top_k, false, 0},
    {"top_p", BOTH, read_top_p, false, 0},
    {"seed", BOTH, read_seed, false, 0},
    {"stop", BOTH, read_stop, false, 0},
    {"policy", BOTH, NULL, false, 0},
    {"kv", BOTH, read_kv, false, 0},
    {"logprobs", BOTH, read_logprobs, false, 0},
    {"follow", PLAIN, NULL, false, 0},
    {"model", OPENAI, read_model, false, 0},
    {"user", OPENAI, NULL, false, 0},
    {"n", OPENAI, NULL, true, 1},
    {"best_of", OPENAI, NULL, true, 1},
    {"echo", OPENAI, NULL, true, 0},
    {"stream", OPENAI, NULL, true, 0},
    {"suffix", OPENAI, NULL, true, 0},
    {"logit_bias", OPENAI, NULL, true, 0},
    {"presence_penalty", OPENAI, NULL, true, 0},
    {"frequency_penalty", OPENAI, NULL, true, 0},
};
enum { MEMBERS = sizeof members / sizeof *members };

/* OpenAI's clients write out defaults: 0, false, {}, null, and empty texts. */
static bool is_neutral(const cJSON *item, double neutral)
{
    if (cJSON_IsNumber(item)) return item->valuedouble == neutral;
    if (cJSON_IsString(item)) return item->valuestring[0] == '\0';
    return cJSON_IsNull(item) || cJSON_IsFalse(item) || (cJSON_IsObject(item) && !item->child);
}

/* A member that is not known is refused, whatever it holds: a typo must not silently change a run.
 * Messages have no file: they go into results, which are the same wherever the requests lie. */
static or_status read_members(const cJSON *object, or_batch_request *request)
{
    const int form = request->openai ? OPENAI : PLAIN;
    for (const cJSON *item = object->child; item; item = item->next) {
        const member *m = NULL;
        for (size_t i = 0; i < MEMBERS && !m; i++)
            if (strcmp(members[i].name, item->string) == 0 && members[i].forms & form) m = &members[i];
        if (!m)
            return or_fail(OR_ERR_INPUT, "request refused", NULL, "found \"%s\", which no request has",
                           item->string);
        if (m->must_be_neutral && !is_neutral(item, m->neutral))
            return or_fail(OR_ERR_INPUT, "request refused", NULL, "\"%s\" asks for what offramp does not do",
                           m->name);
        if (m->read) OR_TRY(m->read(object, request));
    }
    return OR_OK;
}

/* By name, since a request file does not know in which order the policies are given. Apart from the table,
 * because it needs the plan. */
static or_status read_policy(const or_batch_plan *plan, const cJSON *object, or_batch_request *request)
{
    const char *name = NULL;
    OR_TRY(or_json_opt_string(object, "policy", NULL, &name));
    if (!name) return OR_OK;
    request->settings.policy = -1;
    if (strcmp(name, "full") == 0) return OR_OK;
    for (size_t p = 0; p < plan->n_policies; p++)
        if (strcmp(name, or_policy_name(plan->policies[p])) == 0) request->settings.policy = (int)p;
    if (request->settings.policy >= 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "unknown policy", NULL,
                   "\"policy\" is \"%s\", expected \"full\" or the name of a --policy", name);
}

/* ---- requests ------------------------------------------------------------------------------------------ */

/* A tokenizer may know fewer tokens than the model, whose vocabulary is filled up to a round number: those have no
 * text, so no prompt has them. */
static or_status check_prompt(const or_batch_plan *plan, const or_batch_request *request)
{
    const int known = or_tokenizer_vocab(plan->tokenizer);
    for (size_t i = 0; i < request->prompt.count; i++)
        if (request->prompt.ids[i] >= known)
            return or_fail(OR_ERR_INPUT, "request refused", NULL,
                           "token %d has no text, the tokenizer knows 0..%d", request->prompt.ids[i],
                           known - 1);
    return OR_OK;
}

/* Prompt and continuation must fit into the model's context; max_tokens is cut to what is left of it, since 128 as a
 * default must not refuse a prompt that leaves 100. A continuation that is followed is never cut. Nor is one cut to
 * the room of the KV cache, which differs from job to job: a result would depend on it, and not say so. */
static or_status fit(const or_batch_plan *plan, or_batch_request *request)
{
    const size_t context = (size_t)plan->hparams->n_context, prompt = request->prompt.count;
    OR_TRY(check_prompt(plan, request));
    if (prompt >= context)
        return or_fail(OR_ERR_INPUT, "prompt too long", NULL,
                       "it has %zu tokens, with its continuation there is room for %zu (the model's context)",
                       prompt, context);
    if (request->follow.count > context - prompt)
        return or_fail(
            OR_ERR_INPUT, "continuation too long", NULL,
            "\"follow\" has %zu tokens, behind the prompt there is room for %zu (the model's context)",
            request->follow.count, context - prompt);
    size_t *most = &request->settings.max_tokens;
    if (*most > context - prompt) *most = context - prompt;
    if (prompt + *most > plan->room)
        return or_fail(
            OR_ERR_INPUT, "KV cache too small", NULL,
            "%zu tokens of prompt and %zu behind it need room for %zu, it has room for %zu; use more "
            "--kv-memory or smaller max_tokens",
            prompt, *most, prompt + *most, plan->room);
    return OR_OK;
}

/* Settings first: a request with two faults is refused for its settings. */
static or_status read_plain(reader *r, const cJSON *object, or_batch_request *request)
{
    OR_TRY(read_members(object, request));
    OR_TRY(read_policy(&r->batch->plan, object, request));
    OR_TRY(or_request_tokens(&r->prompts, or_json_find(object, "tokens"), or_json_find(object, "prompt"),
                             NULL, &request->prompt));
    OR_TRY(or_batch_read_follow(&r->batch->plan, object, request));
    return fit(&r->batch->plan, request);
}

/* The line around the body has four members. An array of ids as prompt is tokens; a chat would need a
 * template. */
static or_status read_openai(reader *r, const cJSON *object, or_batch_request *request)
{
    const char *method, *url;
    const cJSON *body;
    OR_TRY(or_json_string(object, "method", NULL, &method));
    OR_TRY(or_json_string(object, "url", NULL, &url));
    OR_TRY(or_json_object(object, "body", NULL, &body));
    if (strcmp(method, "POST") != 0 || strcmp(url, "/v1/completions") != 0)
        return or_fail(OR_ERR_INPUT, "request refused", NULL, "found %s %s, expected POST /v1/completions",
                       method, url);
    if (or_json_find(body, "messages"))
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "found \"messages\" (a chat), expected a \"prompt\"");
    for (const cJSON *item = object->child; item; item = item->next)
        if (strcmp(item->string, "custom_id") != 0 && strcmp(item->string, "method") != 0 &&
            strcmp(item->string, "url") != 0 && strcmp(item->string, "body") != 0)
            return or_fail(OR_ERR_INPUT, "request refused", NULL, "found \"%s\", which no batch line has",
                           item->string);
    OR_TRY(read_members(body, request));
    OR_TRY(read_policy(&r->batch->plan, body, request));
    const cJSON *prompt = or_json_find(body, "prompt");
    OR_TRY(or_request_tokens(&r->prompts, prompt, prompt, NULL, &request->prompt));
    return fit(&r->batch->plan, request);
}

/* Counted before what can fail, for or_batch_close(). */
static or_status add_request(or_batch *batch, size_t line, bool openai)
{
    OR_RESERVE(batch->requests, batch->capacity, batch->n_requests + 1);
    or_batch_request *request = &batch->requests[batch->n_requests++];
    *request = (or_batch_request){
        .number = batch->n_requests,
        .line = line,
        .openai = openai,
        .settings = batch->plan.settings,
    };
    return OR_OK;
}

/* One line. What one request cannot have is said in its result. */
static or_status take_line(void *context, const cJSON *object, size_t line, const char *where)
{
    reader *r = context;
    const bool openai = or_json_find(object, "custom_id") != NULL;
    OR_TRY(add_request(r->batch, line, openai));
    or_batch_request *request = &r->batch->requests[r->batch->n_requests - 1];
    OR_TRY(or_request_id(object, openai ? "custom_id" : "id", where, &request->id));
    or_status status = openai ? read_openai(r, object, request) : read_plain(r, object, request);
    if (status != OR_ERR_INPUT) return status;
    return or_strdup(or_status_message(), &request->error);
}

/* The first of two that are the same comes first, whatever qsort() does. */
static int compare_ids(const void *a, const void *b)
{
    const or_batch_request *x = *(or_batch_request *const *)a, *y = *(or_batch_request *const *)b;
    const int order = strcmp(x->id, y->id);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Ids are compared as JSON, so 1 and "1" are two. */
static or_status check_ids(const or_batch *batch)
{
    or_batch_request **order = NULL;
    or_status status = OR_NEW(order, batch->n_requests);
    if (status != OR_OK) return status;
    for (size_t i = 0; i < batch->n_requests; i++) order[i] = &batch->requests[i];
    qsort(order, batch->n_requests, sizeof(or_batch_request *), compare_ids);
    for (size_t i = 1; i < batch->n_requests && status == OR_OK; i++) {
        if (strcmp(order[i - 1]->id, order[i]->id) != 0) continue;
        char where[512];
        snprintf(where, sizeof where, "%s:%zu", batch->plan.input, order[i]->line);
        status = or_fail(OR_ERR_INPUT, "an id twice", where, "line %zu has %s too, expected another",
                         order[i - 1]->line, order[i]->id);
    }
    free(order);
    return status;
}

/* Ids come last, when all are known; the hash is of the bytes as they are, for the journal's head. */
static or_status read_file(reader *r)
{
    or_batch *batch = r->batch;
    or_buffer text = {0};
    or_status status = or_file_read(batch->plan.input, &text);
    if (status == OR_OK) {
        batch->input_hash = XXH3_64bits(text.data, text.size);
        status = or_requests_each(&text, batch->plan.input, take_line, r);
    }
    or_buffer_free(&text);
    return status == OR_OK ? check_ids(batch) : status;
}

/* The plan's only request; here nothing else goes on when it is refused. */
static or_status read_prompt(reader *r)
{
    OR_TRY(add_request(r->batch, 0, false));
    or_batch_request *request = &r->batch->requests[0];
    cJSON *prompt = cJSON_CreateStringReference(r->batch->plan.prompt);
    request->id = cJSON_PrintUnformatted(prompt);
    or_status status = request->id ? or_request_tokens(&r->prompts, NULL, prompt, NULL, &request->prompt)
                                   : or_fail_memory(0);
    cJSON_Delete(prompt);
    return status == OR_OK ? fit(&r->batch->plan, request) : status;
}

or_status or_batch_read(or_batch *batch)
{
    const or_batch_plan *plan = &batch->plan;
    reader r = {.batch = batch,
                .prompts = {
                    .model = plan->model,
                    .tokenizer = plan->tokenizer,
                    .hparams = plan->hparams,
                    .longest = plan->longest,
                }};
    return plan->prompt ? read_prompt(&r) : read_file(&r);
}
