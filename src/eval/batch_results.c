/* batch_results.c - the lines of the results, plain ones and OpenAI's (see batch.h).
 *
 * Everything here is made of what a request says and what was drawn for it; no time, place or number of
 * ranks comes in, so that runs compare by cmp. Numbers are written such that they read back to the same
 * bits. */
#include "batch_internal.h"
#include "outcome.h"

#include <math.h>
#include <string.h>

/* ", " before all but the first of a list. */
static const char *comma(size_t i)
{
    return i ? ", " : "";
}

/* The likeliest tokens that are listed of token t. */
static int listed(const or_batch_request *request, const or_token *t)
{
    return t->n_best < request->settings.logprobs ? t->n_best : request->settings.logprobs;
}

/* ---- plain --------------------------------------------------------------------------------------------- */

/* "top_probs" or "gaps": one for each token. */
static or_status put_floats(const or_continuation *going, const char *key, bool gaps, or_buffer *out)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": [", key));
    for (size_t i = 0; i < going->n; i++) {
        OR_TRY(or_buffer_puts(out, comma(i)));
        OR_TRY(or_json_put_float(out, gaps ? going->tokens[i].gap : going->tokens[i].top_prob));
    }
    return or_buffer_puts(out, "]");
}

/* log P = logit - logsumexp, of the layer's distribution as it is, before temperature; of the token that was
 * followed where one was:
 *
 *   "logprobs": [{"token": 263, "logprob": -0.31, "top": [[263, -0.31], ...]}, ...] */
static or_status put_logprobs(const or_batch_request *request, or_buffer *out)
{
    const or_continuation *going = request->going;
    OR_TRY(or_buffer_puts(out, ", \"logprobs\": ["));
    for (size_t i = 0; i < going->n; i++) {
        const or_token *t = &going->tokens[i];
        const int32_t token = request->follow.count > 0 ? request->follow.ids[i] : t->token;
        OR_TRY(or_buffer_printf(out, "%s{\"token\": %d, \"logprob\": ", comma(i), token));
        OR_TRY(or_json_put_float(out, t->logprob));
        OR_TRY(or_buffer_puts(out, ", \"top\": ["));
        for (int b = 0; b < listed(request, t); b++) {
            OR_TRY(or_buffer_printf(out, "%s[%d, ", comma((size_t)b), t->best[b].token));
            OR_TRY(or_json_put_float(out, t->best[b].logit - t->logsumexp));
            OR_TRY(or_buffer_puts(out, "]"));
        }
        OR_TRY(or_buffer_puts(out, "]}"));
    }
    return or_buffer_puts(out, "]");
}

/* The members are in the order that batch.h gives. */
static or_status put_plain(const or_batch_request *request, or_finish why, or_buffer *out)
{
    static const char *const names[] = {
        [OR_FINISH_LENGTH] = "length", [OR_FINISH_END] = "eos", [OR_FINISH_STOP] = "stop"};
    const or_continuation *going = request->going;
    OR_TRY(or_buffer_printf(out, "{\"id\": %s, \"tokens\": [", request->id));
    for (size_t i = 0; i < going->n; i++)
        OR_TRY(or_buffer_printf(out, "%s%d", comma(i), going->tokens[i].token));
    OR_TRY(or_buffer_puts(out, "]"));
    if (request->follow.count == 0) {
        OR_TRY(or_buffer_puts(out, ", \"text\": "));
        OR_TRY(or_json_put_string(out, going->text.size ? going->text.data : ""));
    }
    OR_TRY(or_buffer_puts(out, ", \"exit_layers\": ["));
    for (size_t i = 0; i < going->n; i++)
        OR_TRY(or_buffer_printf(out, "%s%d", comma(i), going->tokens[i].exit_layer));
    OR_TRY(or_buffer_puts(out, "]"));
    OR_TRY(put_floats(going, "top_probs", false, out));
    OR_TRY(put_floats(going, "gaps", true, out));
    if (request->settings.logprobs >= 0) OR_TRY(put_logprobs(request, out));
    return or_buffer_printf(out, ", \"finish\": \"%s\"}\n", names[why]);
}

/* ---- OpenAI -------------------------------------------------------------------------------------------- */

/* The text of a token by itself in *text (malloc'ed), or as the vocabulary has it where it has none of
 * whole characters. Decoded twice over, since a space may be dropped at the beginning of a text: then the
 * length is odd. */
static or_status token_text(const or_tokenizer *tokenizer, int32_t token, char **text)
{
    const int32_t twice[2] = {token, token};
    char *decoded = NULL;
    size_t size = 0;
    if (token < or_tokenizer_vocab(tokenizer))
        OR_TRY(or_tokenizer_decode(tokenizer, twice, 2, &decoded, &size));
    const bool whole = size > 0 && strlen(decoded) == size && !strstr(decoded, "\xef\xbf\xbd");
    or_status status = or_strdup(whole ? decoded + size / 2 : or_tokenizer_piece(tokenizer, token), text);
    free(decoded);
    return status;
}

static or_status put_token_text(const or_batch *batch, int32_t token, or_buffer *out)
{
    char *text = NULL;
    OR_TRY(token_text(batch->plan.tokenizer, token, &text));
    or_status status = or_json_put_string(out, text);
    free(text);
    return status;
}

/* {" time": -0.31, ...}: the likeliest, and the token itself where it is not among them. Two tokens may
 * have one text; the likelier one stands for both, as no object has a member twice. */
static or_status put_top(const or_batch *batch, const or_batch_request *request, const or_token *t,
                         or_buffer *out)
{
    const int n = listed(request, t);
    char *texts[OR_BATCH_LOGPROBS + 1] = {0};
    or_status status = or_buffer_puts(out, "{");
    size_t put = 0;
    for (int b = 0; b <= n && status == OR_OK; b++) {
        const int32_t token = b < n ? t->best[b].token : t->token;
        OR_TRY_GOTO(done, token_text(batch->plan.tokenizer, token, &texts[b]));
        bool there = false;
        for (int before = 0; before < b; before++) there |= strcmp(texts[before], texts[b]) == 0;
        if (there) continue;
        OR_TRY_GOTO(done, or_buffer_puts(out, comma(put++)));
        OR_TRY_GOTO(done, or_json_put_string(out, texts[b]));
        OR_TRY_GOTO(done, or_buffer_puts(out, ": "));
        OR_TRY_GOTO(done, or_json_put_float(out, b < n ? t->best[b].logit - t->logsumexp : t->logprob));
    }
    if (status == OR_OK) status = or_buffer_puts(out, "}");
done:
    for (int b = 0; b <= n; b++) free(texts[b]);
    return status;
}

/* Characters, as Python counts: all bytes but those that go on with one (10xxxxxx) begin one. */
static size_t count_characters(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{...}, ...], "text_offset": [...]};
 * top_logprobs is null for 0. */
static or_status put_legacy_logprobs(const or_batch *batch, const or_batch_request *request, or_buffer *out)
{
    const or_continuation *going = request->going;
    OR_TRY(or_buffer_puts(out, "{\"tokens\": ["));
    for (size_t i = 0; i < going->n; i++) {
        OR_TRY(or_buffer_puts(out, comma(i)));
        OR_TRY(put_token_text(batch, going->tokens[i].token, out));
    }
    OR_TRY(or_buffer_puts(out, "], \"token_logprobs\": ["));
    for (size_t i = 0; i < going->n; i++) {
        OR_TRY(or_buffer_puts(out, comma(i)));
        OR_TRY(or_json_put_float(out, going->tokens[i].logprob));
    }
    OR_TRY(or_buffer_puts(out, request->settings.logprobs > 0 ? "], \"top_logprobs\": ["
                                                              : "], \"top_logprobs\": null"));
    for (size_t i = 0; request->settings.logprobs > 0 && i < going->n; i++) {
        OR_TRY(or_buffer_puts(out, comma(i)));
        OR_TRY(put_top(batch, request, &going->tokens[i], out));
    }
    OR_TRY(or_buffer_puts(out,
                          request->settings.logprobs > 0 ? "], \"text_offset\": [" : ", \"text_offset\": ["));
    for (size_t i = 0; i < going->n; i++)
        OR_TRY(
            or_buffer_printf(out, "%s%zu", comma(i), count_characters(going->text.data, going->offsets[i])));
    return or_buffer_puts(out, "]}");
}

/* "id" and "custom_id", without the closing brace. */
static or_status begin_openai(const or_batch_request *request, or_buffer *out)
{
    return or_buffer_printf(out, "{\"id\": \"batch_req_%zu\", \"custom_id\": %s", request->number,
                            request->id);
}

/* Numbers instead of OpenAI's random names. Where the line names no model, the command line's does. */
static or_status put_openai(const or_batch *batch, const or_batch_request *request, or_finish why,
                            or_buffer *out)
{
    const or_continuation *going = request->going;
    OR_TRY(begin_openai(request, out));
    OR_TRY(or_buffer_printf(
        out,
        ", \"response\": {\"status_code\": 200, \"request_id\": \"req_%zu\", \"body\": "
        "{\"id\": \"cmpl-%zu\", \"object\": \"text_completion\", \"created\": 0, \"model\": ",
        request->number, request->number));
    OR_TRY(or_json_put_string(out, request->model ? request->model : batch->plan.model));
    OR_TRY(or_buffer_puts(out, ", \"choices\": [{\"index\": 0, \"text\": "));
    OR_TRY(or_json_put_string(out, going->text.size ? going->text.data : ""));
    OR_TRY(or_buffer_puts(out, ", \"logprobs\": "));
    OR_TRY(request->settings.logprobs >= 0 ? put_legacy_logprobs(batch, request, out)
                                           : or_buffer_puts(out, "null"));
    return or_buffer_printf(out,
                            ", \"finish_reason\": \"%s\"}], \"usage\": {\"prompt_tokens\": %zu, "
                            "\"completion_tokens\": %zu, \"total_tokens\": %zu}}}, \"error\": null}\n",
                            why == OR_FINISH_LENGTH ? "length" : "stop", request->prompt.count, going->n,
                            request->prompt.count + going->n);
}

/* ---- either -------------------------------------------------------------------------------------------- */

or_status or_batch_put_result(const or_batch *batch, const or_batch_request *request, or_finish why,
                              or_buffer *out)
{
    return request->openai ? put_openai(batch, request, why, out) : put_plain(request, why, out);
}

/* {"id": "b", "error": "..."}, or with "response": null and "error": {"code": "...", "message": "..."} */
static or_status put_error(const or_batch_request *request, const char *code, const char *message,
                           or_buffer *out)
{
    if (request->openai) {
        OR_TRY(begin_openai(request, out));
        OR_TRY(
            or_buffer_printf(out, ", \"response\": null, \"error\": {\"code\": \"%s\", \"message\": ", code));
        OR_TRY(or_json_put_string(out, message));
        return or_buffer_puts(out, "}}\n");
    }
    OR_TRY(or_buffer_printf(out, "{\"id\": %s, \"error\": ", request->id));
    OR_TRY(or_json_put_string(out, message));
    return or_buffer_puts(out, "}\n");
}

or_status or_batch_put_refusal(const or_batch_request *request, or_buffer *out)
{
    return put_error(request, "invalid_request", request->error, out);
}

or_status or_batch_put_failure(const or_batch_request *request, or_buffer *out)
{
    or_buffer why = {0};
    or_status status = or_outcome_put_fault(request->fault, &why);
    if (status == OR_OK) status = put_error(request, "server_error", why.data, out);
    or_buffer_free(&why);
    return status;
}
