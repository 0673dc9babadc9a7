/* batch_follow.c - the continuation that a request follows, whatever is drawn ("follow"): what a text is
 * worth to the model, and where early exits would have drawn another token.
 *
 * A text's tokens are those of the whole: the end of the prompt and the beginning of what follows may be
 * one token. As with the answers of tasks (prompt.c), what encode(prompt) and encode(prompt + follow) begin
 * with is the prompt:
 *
 *   encode(prompt)            Q : _
 *   encode(prompt + follow)   Q : _yes .      -> prompt "Q :", followed "_yes ."
 */
#include "batch_internal.h"

#include "requests.h"

#include <string.h>

/* BOS stands in front of both. */
static or_status encode_whole(const or_tokenizer *tokenizer, const char *prompt, const char *follow,
                              or_tokens *whole)
{
    or_buffer text = {0};
    or_status status = or_buffer_puts(&text, prompt);
    if (status == OR_OK) status = or_buffer_puts(&text, follow);
    if (status == OR_OK && or_tokenizer_adds_bos(tokenizer))
        status = or_tokens_add(whole, or_tokenizer_bos(tokenizer));
    if (status == OR_OK) status = or_tokenizer_encode(tokenizer, text.data, text.size, whole);
    or_buffer_free(&text);
    return status;
}

/* Cuts the prompt to what it has in common with `whole`; the rest of that is followed. A tokenizer may know
 * more tokens than the model. */
static or_status divide(const or_tokens *whole, const or_hparams *hparams, or_batch_request *request)
{
    or_tokens *prompt = &request->prompt;
    size_t common = 0;
    while (common < prompt->count && common < whole->count && prompt->ids[common] == whole->ids[common])
        common++;
    if (common == 0)
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "\"prompt\" and \"follow\" are one token, expected a prompt of its own");
    prompt->count = common;
    for (size_t i = common; i < whole->count; i++) {
        if (whole->ids[i] >= hparams->n_vocab)
            return or_fail(OR_ERR_INPUT, "request refused", NULL, "token %d is not one of the model's 0..%d",
                           whole->ids[i], hparams->n_vocab - 1);
        OR_TRY(or_tokens_add(&request->follow, whole->ids[i]));
    }
    return OR_OK;
}

/* The tokens of a prompt that is given as tokens are no text to which one could be joined. */
static or_status read_text(const or_batch_plan *plan, const cJSON *object, const char *follow,
                           or_batch_request *request)
{
    const cJSON *prompt = or_json_find(object, "prompt");
    if (or_json_find(object, "tokens") || !cJSON_IsString(prompt))
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "\"follow\" is a text behind \"tokens\", expected an array of token ids");
    or_tokens whole = {0};
    or_status status = encode_whole(plan->tokenizer, prompt->valuestring, follow, &whole);
    if (status == OR_OK) status = divide(&whole, plan->hparams, request);
    or_tokens_free(&whole);
    return status;
}

/* What the line itself says must not contradict; what the command line says is for requests that draw. */
static or_status check_settings(const cJSON *object, const or_batch_request *request)
{
    if (request->n_stops > 0)
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "found \"stop\" beside \"follow\", which nothing ends early");
    if (or_json_find(object, "max_tokens") && request->settings.max_tokens != request->follow.count)
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "\"max_tokens\" is %zu, expected the %zu tokens of \"follow\", or none",
                       request->settings.max_tokens, request->follow.count);
    return OR_OK;
}

or_status or_batch_read_follow(const or_batch_plan *plan, const cJSON *object, or_batch_request *request)
{
    const cJSON *follow = or_json_find(object, "follow");
    or_batch_settings *settings = &request->settings;
    if (!follow) return OR_OK;
    if (cJSON_IsArray(follow))
        OR_TRY(or_request_ids(follow, plan->hparams, NULL, &request->follow));
    else if (cJSON_IsString(follow))
        OR_TRY(read_text(plan, object, follow->valuestring, request));
    else
        return or_fail(OR_ERR_INPUT, "wrong field", NULL,
                       "\"follow\" is neither a text nor an array of token ids");
    if (request->follow.count == 0)
        return or_fail(OR_ERR_INPUT, "request refused", NULL, "\"follow\" is no token, expected some");
    OR_TRY(check_settings(object, request));
    settings->max_tokens = request->follow.count;
    settings->stops = NULL;
    settings->n_stops = 0;
    if (settings->logprobs < 0) settings->logprobs = 0;
    return OR_OK;
}
