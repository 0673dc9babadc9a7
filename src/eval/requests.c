/* requests.c - what all request files have in common.
 *
 * Lines are read one by one and forgotten; what stays of a request is up to the command. */
#include "requests.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* As JSON has it; a carriage return before the line break is blank too. */
static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", line[i])) return false;
    return true;
}

/* Whatever is wrong with it, the message names file and line. */
static or_status read_line(const char *text, size_t size, const char *path, size_t line,
                           or_requests_take *take, void *context)
{
    char where[512];
    snprintf(where, sizeof where, "%s:%zu", path, line);
    cJSON *object = NULL;
    or_status status = or_json_parse(text, size, where, &object);
    if (status == OR_OK && !cJSON_IsObject(object))
        status = or_fail(OR_ERR_INPUT, "request refused", where, "found no object, expected {...}");
    if (status == OR_OK) status = or_json_refuse_twins(object, where);
    if (status == OR_OK) status = take(context, object, line, where);
    cJSON_Delete(object);
    return status;
}

or_status or_requests_each(const or_buffer *text, const char *path, or_requests_take *take, void *context)
{
    size_t number = 0, taken = 0;
    for (size_t at = 0; at < text->size;) {
        const char *line = text->data + at, *end = memchr(line, '\n', text->size - at);
        const size_t size = end ? (size_t)(end - line) : text->size - at;
        number++;
        if (!is_blank(line, size)) {
            OR_TRY(read_line(line, size, path, number, take, context));
            taken++;
        }
        at += size + 1;
    }
    if (taken > 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "no requests", path, "the file has none, expected a JSON object a line");
}

/* 2^53 is the first whole number with a neighbour that a double cannot tell from it. */
or_status or_request_id(const cJSON *object, const char *key, const char *where, char **id)
{
    const cJSON *found = or_json_find(object, key);
    if (!found) return or_fail(OR_ERR_INPUT, "request refused", where, "it has no \"%s\"", key);
    if (cJSON_IsNumber(found) && !(fabs(found->valuedouble) < 9007199254740992.0))
        return or_fail(OR_ERR_INPUT, "request refused", where,
                       "its \"%s\" is a number above 2^53, which is not exact, expected a string", key);
    *id = cJSON_PrintUnformatted(found);
    return *id ? OR_OK : or_fail_memory(0);
}

/* valueint is cut to int's range by cJSON, so a number outside of it does not equal it and is refused. */
or_status or_request_ids(const cJSON *list, const or_hparams *h, const char *where, or_tokens *out)
{
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsNumber(item) || item->valuedouble != item->valueint || item->valueint < 0 ||
            item->valueint >= h->n_vocab)
            return or_fail(OR_ERR_INPUT, "request refused", where, "a token is not one of 0..%d",
                           h->n_vocab - 1);
        OR_TRY(or_tokens_add(out, item->valueint));
    }
    return OR_OK;
}

/* As a task's prompt. A tokenizer may know more tokens than the model. */
static or_status encode(or_request_reader *reader, const char *text, const char *where, or_tokens *out)
{
    if (!reader->tokenizer) {
        OR_TRY(or_tokenizer_open(reader->model, &reader->opened));
        reader->tokenizer = reader->opened;
    }
    if (or_tokenizer_adds_bos(reader->tokenizer))
        OR_TRY(or_tokens_add(out, or_tokenizer_bos(reader->tokenizer)));
    OR_TRY(or_tokenizer_encode(reader->tokenizer, text, strlen(text), out));
    for (size_t i = 0; i < out->count; i++)
        if (out->ids[i] >= reader->hparams->n_vocab)
            return or_fail(OR_ERR_INPUT, "request refused", where, "token %d is not one of the model's 0..%d",
                           out->ids[i], reader->hparams->n_vocab - 1);
    return OR_OK;
}

or_status or_request_tokens(or_request_reader *reader, const cJSON *tokens, const cJSON *prompt,
                            const char *where, or_tokens *out)
{
    /* tokens before prompt where a request has both: they are exact */
    if (cJSON_IsArray(tokens))
        OR_TRY(or_request_ids(tokens, reader->hparams, where, out));
    else if (cJSON_IsString(prompt) && (!tokens || tokens == prompt))
        OR_TRY(encode(reader, prompt->valuestring, where, out));
    else
        return or_fail(OR_ERR_INPUT, "request refused", where,
                       "found neither \"prompt\", a string, nor \"tokens\", an array");
    /* an empty prompt has no last position to look at */
    if (out->count > 0 && out->count <= reader->longest) return OR_OK;
    return or_fail(OR_ERR_INPUT, "request refused", where, "its prompt has %zu tokens, expected 1..%zu (%s)",
                   out->count, reader->longest,
                   reader->longest < (size_t)reader->hparams->n_context ? "what memory or a message holds"
                                                                        : "the model's context");
}
