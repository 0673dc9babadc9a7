/* batch_run.c - the requests of a batch through the pipeline: what its job asks for and what becomes of
 * the tokens.
 *
 *   give_request() -> take_token() ... take_token() -> finish() -> journal, in memory -> tick(): on disk
 *
 * Between the first and the last a request has an or_continuation; as many are there as sequences are in
 * flight. Its result is made once, as the bytes of its line, and is that from then on: in memory, in the
 * journal, in the file. */
#include "batch_internal.h"

#include "clock.h"
#include "shared.h"

#include <math.h>
#include <string.h>

void or_continuation_free(or_continuation *going)
{
    if (!going) return;
    or_stream_close(going->stream);
    or_buffer_free(&going->text);
    free(going->tokens);
    free(going->offsets);
    free(going);
}

/* ---- the job ------------------------------------------------------------------------------------------- */

/* Tokens that end a text, unless they are to be drawn like others. */
static size_t find_ends(const or_batch *batch, const int32_t **ends)
{
    *ends = NULL;
    return batch->plan.ignore_ends ? 0 : or_tokenizer_ends(batch->plan.tokenizer, ends);
}

/* `index` counts the pending requests. Arrays are the request's, the plan's and the tokenizer's, and stay. */
static or_status give_request(void *context, size_t index, or_request *request)
{
    or_batch *batch = context;
    or_batch_request *from = &batch->requests[batch->pending[index]];
    const or_batch_settings *settings = &from->settings;
    *request = (or_request){
        .tokens = from->prompt.ids,
        .n_tokens = from->prompt.count,
        .policy = settings->policy,
        .max_tokens = settings->max_tokens,
        .kv = settings->kv,
        .sampling = settings->sampling,
        .likeliest = settings->logprobs > 0,
        .n_shared = from->n_shared,
        .forced = from->follow.ids,
    };
    if (from->follow.count == 0) request->n_ends = find_ends(batch, &request->ends);
    OR_TRY(OR_NEW(from->going, 1));
    from->going->admitted = or_clock_now();
    return or_stream_open(batch->plan.tokenizer, from->prompt.ids, from->prompt.count, settings->stops,
                          settings->n_stops, &from->going->stream);
}

/* New text. A NUL is a character that C strings, and so journals, cannot carry: it is kept as U+FFFD. */
static or_status take_text(or_batch *batch, or_continuation *going, const char *text, size_t size)
{
    if (size > 0 && batch->plan.text) OR_TRY(batch->plan.text(batch->plan.context, text, size));
    for (size_t at = 0; at < size;) {
        const char *nul = memchr(text + at, '\0', size - at);
        const size_t run = nul ? (size_t)(nul - text) - at : size - at;
        OR_TRY(or_buffer_append(&going->text, text + at, run));
        if (nul) OR_TRY(or_buffer_puts(&going->text, "\xef\xbf\xbd"));
        at += run + 1;
    }
    return OR_OK;
}

/* Without text are the tokens that end one, and those with which a vocabulary was filled up to a round
 * number: the model may draw them, the tokenizer does not know them. */
static bool has_text(const or_batch *batch, int32_t token)
{
    const int32_t *ends;
    const size_t n_ends = find_ends(batch, &ends);
    for (size_t i = 0; i < n_ends; i++)
        if (ends[i] == token) return false;
    return token < or_tokenizer_vocab(batch->plan.tokenizer);
}

/* Text is found token by token, since a stop text must end a request before it draws more. Beside a
 * continuation that is followed, what was drawn is no text. */
static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    or_batch *batch = context;
    const or_batch_request *request = &batch->requests[batch->pending[index]];
    or_continuation *going = request->going;
    const char *text;
    size_t size;
    OR_RESERVE(going->tokens, going->tokens_capacity, going->n + 1);
    OR_RESERVE(going->offsets, going->offsets_capacity, going->n + 1);
    if (going->n == 0) going->first = or_clock_now();
    going->tokens[going->n] = *token;
    going->offsets[going->n++] = going->text.size;
    batch->drawn++;
    batch->layers += (uint64_t)token->exit_layer;
    if (request->follow.count > 0 || !has_text(batch, token->token)) return OR_OK;
    OR_TRY(or_stream_put(going->stream, token->token, &text, &size, &going->stopped));
    if (going->stopped) *more = false;
    return take_text(batch, going, text, size);
}

/* Writes what take_line() in batch.c reads back; the line of the results goes as a text, so that it comes
 * back as the same bytes:
 *
 *   {"request":17,"tokens":2,"layers":19,"result":"{\"id\": 7, ...}\n"}
 *   {"request":18,"tokens":0,"layers":0,"fault":7,"result":"{\"id\": 8, \"error\": ...}\n"} */
static or_status append_line(or_batch *batch, const or_batch_request *request)
{
    or_buffer line = {0};
    or_status status =
        or_buffer_printf(&line, "{\"request\":%zu,\"tokens\":%llu,\"layers\":%llu", request->number,
                         (unsigned long long)request->tokens, (unsigned long long)request->layers);
    OR_TRY_GOTO(done, status);
    if (request->fault > 0) OR_TRY_GOTO(done, or_buffer_printf(&line, ",\"fault\":%d", request->fault));
    OR_TRY_GOTO(done, or_buffer_puts(&line, ",\"result\":"));
    OR_TRY_GOTO(done, or_json_put_string(&line, request->result.data));
    OR_TRY_GOTO(done, or_buffer_puts(&line, "}"));
    status = or_journal_append(batch->journal, line.data, line.size);
done:
    or_buffer_free(&line);
    return status;
}

/* The result is there. */
static or_status keep_result(or_batch *batch, or_batch_request *request)
{
    or_continuation_free(request->going);
    request->going = NULL;
    batch->n_finished++;
    batch->n_unsynced++;
    return batch->journal ? append_line(batch, request) : OR_OK;
}

/* A stop text may be complete with the last token there was room for: then that is why. */
static or_status finish(void *context, size_t index, or_finish why)
{
    or_batch *batch = context;
    or_batch_request *request = &batch->requests[batch->pending[index]];
    or_continuation *going = request->going;
    const char *text;
    size_t size;
    if (going->stopped) why = OR_FINISH_STOP;
    OR_TRY(or_stream_end(going->stream, &text, &size));
    OR_TRY(take_text(batch, going, text, size));
    request->tokens = going->n;
    for (size_t i = 0; i < going->n; i++) request->layers += (uint64_t)going->tokens[i].exit_layer;
    request->first = going->first - going->admitted;
    request->last = or_clock_now() - going->admitted;
    OR_TRY(or_batch_put_result(batch, request, why, &request->result));
    return keep_result(batch, request);
}

/* What was drawn of it is dropped. */
static or_status fail(void *context, size_t index, int layer)
{
    or_batch *batch = context;
    or_batch_request *request = &batch->requests[batch->pending[index]];
    request->fault = layer;
    OR_TRY(or_batch_put_failure(request, &request->result));
    return keep_result(batch, request);
}

/* ---- between layers ------------------------------------------------------------------------------------ */

/* done is what is on disk, the rates are of what this process has drawn. Without a journal nobody is shown
 * any. */
static void report(or_batch *batch, double now)
{
    if (!batch->show) return;
    const double seconds = now - batch->begin;
    const size_t done = batch->n_journal, ran = done - batch->n_begun_done;
    or_eval_progress progress = {
        .done = done,
        .total = batch->n_begun_done + batch->n_pending,
        .exit_layer_mean = batch->drawn ? (double)batch->layers / (double)batch->drawn : NAN,
        .requests_per_second = seconds > 0 ? (double)batch->n_finished / seconds : NAN,
        .tokens_per_second = seconds > 0 ? (double)batch->drawn / seconds : NAN,
    };
    progress.seconds_left = ran ? seconds / (double)ran * (double)(progress.total - done) : NAN;
    batch->show(batch->context, &progress);
    batch->last_show = now;
}

/* As in eval_run.c: a result counts once it is on disk. */
or_status or_batch_sync(or_batch *batch)
{
    if (!batch->journal) return OR_OK;
    or_pipeline_tell_write(batch->pipeline, true);
    or_status status = or_journal_sync(batch->journal, &batch->n_journal);
    or_pipeline_tell_write(batch->pipeline, false);
    OR_TRY(status);
    batch->n_unsynced = 0;
    batch->last_sync = or_clock_now();
    return OR_OK;
}

static or_status tick(void *context)
{
    or_batch *batch = context;
    const double now = or_clock_now();
    if (batch->n_unsynced > 0 && (now - batch->last_sync > 0.1 || batch->n_unsynced >= 1024))
        OR_TRY(or_batch_sync(batch));
    if (now - batch->last_show > 0.1) report(batch, now);
    return OR_OK;
}

/* What is finished is in the journal; continuations under way are begun anew by --resume. */
static bool asked_to_stop(void *context)
{
    const or_batch *batch = context;
    return batch->stop && batch->stop(batch->context);
}

/* ---- a run --------------------------------------------------------------------------------------------- */

/* Shared beginnings are looked for among what runs: a prompt whose result is there shares nothing any
 * more. */
static or_status find_shared(or_batch *batch)
{
    const or_tokens **prompts = NULL;
    size_t *shared = NULL;
    or_status status = OR_NEW(prompts, batch->n_pending);
    if (status == OR_OK) status = OR_NEW(shared, batch->n_pending);
    for (size_t i = 0; i < batch->n_pending && status == OR_OK; i++)
        prompts[i] = &batch->requests[batch->pending[i]].prompt;
    if (status == OR_OK) status = or_shared_prefixes(prompts, batch->n_pending, shared);
    for (size_t i = 0; i < batch->n_pending && status == OR_OK; i++)
        batch->requests[batch->pending[i]].n_shared = shared[i];
    free(shared);
    free(prompts);
    return status;
}

/* In the order of the file, which is the order of admission. */
or_status or_batch_begin(or_batch *batch, or_job *job)
{
    free(batch->pending);
    batch->n_pending = 0;
    OR_TRY(OR_NEW(batch->pending, batch->n_requests));
    for (size_t i = 0; i < batch->n_requests; i++)
        if (batch->requests[i].result.size == 0 && !batch->requests[i].error)
            batch->pending[batch->n_pending++] = i;
    OR_TRY(find_shared(batch));
    batch->n_begun_done = batch->n_journal;
    batch->begin = batch->last_sync = or_clock_now();
    *job = (or_job){
        .n_requests = batch->n_pending,
        .context = batch,
        .request = give_request,
        .token = take_token,
        .finish = finish,
        .fault = fail,
        .tick = tick,
        .stop = asked_to_stop,
        .name = "run",
    };
    return OR_OK;
}

/* After a failure lines that no tick has synced are lost; their requests run again on --resume. The file
 * is written anew also where nothing was left to run. */
or_status or_batch_run(or_batch *batch, or_pipeline *pipeline, or_eval_show *show, bool (*stop)(void *),
                       void *context)
{
    or_job job;
    batch->show = show;
    batch->stop = stop;
    batch->context = context;
    batch->pipeline = pipeline;
    OR_TRY(or_batch_begin(batch, &job));
    or_status status = job.n_requests > 0 ? or_pipeline_run(pipeline, &job, batch->stats) : OR_OK;
    if (status == OR_OK || status == OR_STOPPED) {
        or_status synced = or_batch_sync(batch);
        if (synced != OR_OK) status = synced;
    }
    report(batch, or_clock_now());
    return status == OR_OK && batch->output ? or_batch_write(batch) : status;
}
