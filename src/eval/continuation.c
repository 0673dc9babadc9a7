/* continuation.c - a generated answer while its tokens come. */
#include "outcome.h"

#include <offramp/stream.h>

#include <string.h>

struct or_continuation {
    or_stream *stream;
    or_buffer text;
    or_outcome outcome; /* what is known of it; the text only at the end */
    size_t capacity;    /* of outcome.exit_layers */
};

or_status or_continuation_open(const or_tokenizer *tokenizer, const or_task *task,
                               const or_instance *instance, or_continuation **continuation)
{
    size_t n_stops;
    const char *const *stops = or_task_stops(task, &n_stops);
    or_continuation *c;
    OR_TRY(OR_NEW(c, 1));
    or_status status =
        or_stream_open(tokenizer, instance->prompt.ids, instance->prompt.count, stops, n_stops, &c->stream);
    if (status == OR_OK)
        *continuation = c;
    else
        or_continuation_close(c);
    return status;
}

void or_continuation_close(or_continuation *c)
{
    if (!c) return;
    or_outcome_free(&c->outcome);
    or_buffer_free(&c->text);
    or_stream_close(c->stream);
    free(c);
}

/* A NUL character, which a model with byte tokens can write, would end the text early in a C string and is
 * refused by the journal's reader: it becomes U+FFFD. */
static or_status add_text(or_continuation *c, const char *text, size_t size)
{
    while (size > 0) {
        const char *nul = memchr(text, '\0', size);
        const size_t before = nul ? (size_t)(nul - text) : size;
        OR_TRY(or_buffer_append(&c->text, text, before));
        if (!nul) break;
        OR_TRY(or_buffer_puts(&c->text, "\xef\xbf\xbd"));
        text += before + 1;
        size -= before + 1;
    }
    return OR_OK;
}

or_status or_continuation_put(or_continuation *c, const or_token *token, bool *more)
{
    or_outcome *outcome = &c->outcome;
    const char *text;
    size_t size;
    bool stopped = false;
    if (outcome->n_tokens == 0) {
        outcome->token = token->token;
        outcome->exit_layer = token->exit_layer;
        outcome->gap = token->gap;
        outcome->top_prob = token->top_prob;
    }
    OR_RESERVE(outcome->exit_layers, c->capacity, outcome->n_tokens + 1);
    outcome->exit_layers[outcome->n_tokens++] = token->exit_layer;
    OR_TRY(or_stream_put(c->stream, token->token, &text, &size, &stopped));
    if (stopped) *more = false;
    return add_text(c, text, size);
}

or_status or_continuation_end(or_continuation *c, or_outcome *outcome)
{
    const char *text;
    size_t size;
    OR_TRY(or_stream_end(c->stream, &text, &size));
    OR_TRY(add_text(c, text, size));
    OR_TRY(or_buffer_puts(&c->text, "")); /* a text of its own, also an empty one */
    *outcome = c->outcome;
    outcome->text = c->text.data;
    outcome->done = true;
    c->outcome = (or_outcome){0};
    c->text = (or_buffer){0};
    return OR_OK;
}
