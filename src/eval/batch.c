/* batch.c - opening a batch, its output and journal, the finished file, and figures. */
#include "batch_internal.h"

#include "compute.h"
#include "eval_internal.h"
#include "file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* ---- opening ------------------------------------------------------------------------------------------- */

/* The stop texts of the command line, by opening a stream with them: a bad one is refused before anything
 * runs. */
static or_status check_stops(const or_batch_plan *plan)
{
    or_stream *stream = NULL;
    OR_TRY(or_stream_open(plan->tokenizer, NULL, 0, plan->settings.stops, plan->settings.n_stops, &stream));
    or_stream_close(stream);
    return OR_OK;
}

or_status or_batch_open(const or_batch_plan *plan, or_batch **out)
{
    or_batch *batch = NULL;
    OR_TRY(OR_NEW(batch, 1));
    batch->plan = *plan;
    or_status status = OR_NEW(batch->stats, 1);
    OR_TRY_GOTO(close, status);
    OR_TRY_GOTO(close, or_check_policy_names(plan->policies, plan->n_policies));
    OR_TRY_GOTO(close, check_stops(plan));
    OR_TRY_GOTO(close, or_batch_read(batch));
    *out = batch;
    return OR_OK;

close:
    or_batch_close(batch);
    return status;
}

/* `going` is there when a run ended with it under way. */
static void free_request(or_batch_request *request)
{
    for (size_t i = 0; i < request->n_stops; i++) free(request->stops[i]);
    free(request->stops);
    cJSON_free(request->id);
    free(request->model);
    free(request->error);
    or_tokens_free(&request->prompt);
    or_tokens_free(&request->follow);
    or_buffer_free(&request->result);
    or_continuation_free(request->going);
}

void or_batch_close(or_batch *batch)
{
    if (!batch) return;
    for (size_t i = 0; i < batch->n_requests; i++) free_request(&batch->requests[i]);
    if (batch->stats) or_run_stats_free(batch->stats);
    free(batch->stats);
    or_journal_close(batch->journal);
    free(batch->output);
    free(batch->pending);
    free(batch->requests);
    free(batch);
}

/* ---- output -------------------------------------------------------------------------------------------- */

/* A result of an earlier process, as append_line() in batch_run.c wrote it. What is refused here may have
 * run there, where there was more room. */
static or_status take_line(void *context, const cJSON *line, const char *where)
{
    or_batch *batch = context;
    int64_t number, tokens, layers, fault = 0;
    const char *result;
    OR_TRY(or_json_int(line, "request", where, 1, (int64_t)batch->n_requests, &number));
    OR_TRY(or_json_int(line, "tokens", where, 0, INT64_C(1) << 53, &tokens));
    OR_TRY(or_json_int(line, "layers", where, 0, INT64_C(1) << 53, &layers));
    if (or_json_find(line, "fault"))
        OR_TRY(or_json_int(line, "fault", where, 1, batch->plan.hparams->n_layers, &fault));
    OR_TRY(or_json_string(line, "result", where, &result));
    or_batch_request *request = &batch->requests[number - 1];
    if (request->result.size > 0)
        return or_fail(OR_ERR_INPUT, "journal refused", where, "it holds this result a second time");
    request->tokens = (uint64_t)tokens;
    request->layers = (uint64_t)layers;
    request->fault = (int)fault;
    batch->n_journal++;
    return or_buffer_puts(&request->result, result);
}

/* All that decides the results, as 16 hexadecimal digits; each hash is the seed of the next. Plan, wave
 * size, threads, sequences in flight and the size of the KV cache are left out: no continuation depends on
 * them. */
static void describe(const or_batch *batch, uint64_t fingerprint, char text[32])
{
    const or_batch_plan *plan = &batch->plan;
    const or_batch_settings *s = &plan->settings;
    const uint64_t numbers[] = {batch->input_hash,
                                s->max_tokens,
                                (uint64_t)s->sampling.top_k,
                                s->sampling.seed,
                                s->kv,
                                (uint64_t)s->policy,
                                (uint64_t)s->logprobs,
                                plan->ignore_ends,
                                s->n_stops,
                                plan->n_policies};
    const float reals[] = {s->sampling.temperature, s->sampling.top_p};
    uint64_t hash = XXH3_64bits_withSeed(numbers, sizeof numbers, fingerprint);
    hash = XXH3_64bits_withSeed(reals, sizeof reals, hash);
    hash = XXH3_64bits_withSeed(plan->model, strlen(plan->model), hash); /* OpenAI's lines name it */
    const char *kernels = or_kernels_get()->name;                        /* sets sum in different orders */
    hash = XXH3_64bits_withSeed(kernels, strlen(kernels), hash);
    for (size_t i = 0; i < s->n_stops; i++)
        hash = XXH3_64bits_withSeed(s->stops[i], strlen(s->stops[i]) + 1, hash);
    for (size_t p = 0; p < plan->n_policies; p++) {
        /* requests choose by the name */
        const char *name = or_policy_name(plan->policies[p]);
        const uint64_t policy = or_policy_fingerprint(plan->policies[p]);
        hash = XXH3_64bits_withSeed(&policy, sizeof policy, hash);
        hash = XXH3_64bits_withSeed(name, strlen(name) + 1, hash);
    }
    snprintf(text, 32, "%016llx", (unsigned long long)hash);
}

/* The journal knows whether a run is to be begun or gone on with. Results without one are nobody's to
 * overwrite. */
or_status or_batch_output(or_batch *batch, const char *path, uint64_t fingerprint, bool resume)
{
    char run[32];
    char *journal = NULL;
    OR_TRY(or_strdup(path, &batch->output));
    OR_TRY(or_format(&journal, "%s.journal", path));
    describe(batch, fingerprint, run);
    or_status status;
    if (or_path_exists(path) && !(resume && or_path_exists(journal)))
        status = or_fail(OR_ERR_INPUT, "output is there", path, "%s",
                         resume ? "it has no journal from which to go on, use another name"
                                : "go on with it by --resume, or use another name");
    else
        status = or_journal_open(journal, run, resume, take_line, batch, &batch->journal);
    free(journal);
    return status;
}

/* In the order of the file. What is refused is not in the journal: that follows from the file again. */
or_status or_batch_write(const or_batch *batch)
{
    or_buffer out = {0};
    or_status status = OR_OK;
    for (size_t i = 0; i < batch->n_requests && status == OR_OK; i++) {
        const or_batch_request *request = &batch->requests[i];
        if (request->result.size > 0)
            status = or_buffer_append(&out, request->result.data, request->result.size);
        else
            status = or_batch_put_refusal(request, &out);
    }
    if (status == OR_OK) status = or_journal_check(batch->journal);
    if (status == OR_OK) status = or_file_write(batch->output, out.data, out.size);
    or_buffer_free(&out);
    return status;
}

/* ---- figures ------------------------------------------------------------------------------------------- */

static int compare_seconds(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lower of the two in the middle where there are two. */
static void rank_seconds(double *seconds, size_t n, double *median, double *worst)
{
    if (n > 0) qsort(seconds, n, sizeof *seconds, compare_seconds);
    *median = n > 0 ? seconds[(n - 1) / 2] : NAN;
    *worst = n > 0 ? seconds[n - 1] : NAN;
}

/* What this process ran; others' results have no seconds. first, last: [n_requests] of work space. */
static void measure(const or_batch *batch, double *first, double *last, or_batch_summary *summary)
{
    size_t ran = 0;
    for (size_t i = 0; i < batch->n_requests; i++) {
        const or_batch_request *request = &batch->requests[i];
        if (request->last == 0) continue;
        first[ran] = request->first;
        last[ran++] = request->last;
    }
    rank_seconds(first, ran, &summary->first_median, &summary->first_worst);
    rank_seconds(last, ran, &summary->last_median, &summary->last_worst);
    const double seconds = batch->stats->seconds;
    summary->requests_per_second = ran && seconds > 0 ? (double)ran / seconds : NAN;
    summary->tokens_per_second = batch->drawn && seconds > 0 ? (double)batch->drawn / seconds : NAN;
}

/* Tokens and layers are of all results, those from the journal among them. */
or_status or_batch_summarise(const or_batch *batch, or_batch_summary *summary)
{
    double *seconds = NULL;
    uint64_t layers = 0;
    OR_TRY(OR_NEW(seconds, 2 * batch->n_requests));
    *summary = (or_batch_summary){.requests = batch->n_requests, .stats = batch->stats};
    for (size_t i = 0; i < batch->n_requests; i++) {
        const or_batch_request *request = &batch->requests[i];
        summary->refused += request->error && request->result.size == 0;
        summary->failed += request->fault > 0;
        summary->tokens += request->tokens;
        layers += request->layers;
    }
    summary->exit_layer_mean = summary->tokens ? (double)layers / (double)summary->tokens : NAN;
    measure(batch, seconds, seconds + batch->n_requests, summary);
    free(seconds);
    return OR_OK;
}

/* Refused ones did not run: they neither fail nor speak for the weights. */
or_status or_batch_check(const or_batch *batch)
{
    size_t failed = 0, ran = 0;
    const or_batch_request *first = NULL;
    for (size_t i = batch->n_requests; i-- > 0;) {
        ran += batch->requests[i].result.size > 0;
        failed += batch->requests[i].fault > 0;
        if (batch->requests[i].fault > 0) first = &batch->requests[i];
    }
    if (failed == 0) return OR_OK;
    const char *doubt = failed == ran ? "; are the weights damaged?" : "";
    or_buffer why = {0};
    or_status status = or_outcome_put_fault(first->fault, &why);
    if (status == OR_OK && batch->plan.prompt)
        status = or_fail(OR_ERR_FAILED, "prompt failed", NULL, "%s%s", why.data, doubt);
    else if (status == OR_OK)
        status = or_fail(OR_ERR_FAILED, "requests failed", NULL,
                         "%zu of %zu, the first is that of line %zu with the id %s: %s%s", failed,
                         batch->n_requests, first->line, first->id, why.data, doubt);
    or_buffer_free(&why);
    return status;
}
