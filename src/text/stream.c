/* stream.c - the text of a continuation as its tokens come.
 *
 *   token -> decoder -> text: | given | held back, and looked at | new |
 *
 * Each stop text is looked for by the algorithm of Knuth, Morris and Pratt (SIAM J. Comput. 6(2), 1977), a
 * byte at a time. How much of a stop text the text's end matches is also how much must be held back for it.
 */
#include <offramp/stream.h>

#include "decoder.h"
#include "utf8.h"

#include <string.h>

typedef struct stop {
    char *text;
    size_t length;
    size_t *borders; /* [length]: of the first i + 1 bytes, the longest beginning that is also their end */
    size_t matched;  /* bytes of the stop text with which the text ends; less than length */
} stop;

struct or_stream {
    or_decoder decoder; /* its text begins with what was given by the last call */
    size_t given, seen; /* bytes of that text: given away; looked at, held back from `given` on */
    size_t owed;        /* characters U+FFFD that the prompt had for its last bytes, while they may follow */
    bool over;          /* a stop text was complete, or end() was called: nothing more is given */
    stop *stops;        /* [n_stops] */
    size_t n_stops;
};

/* The longest beginning of the stop text that what was matched so far ends with, and the byte behind it. */
static size_t advance(const stop *s, size_t matched, char byte)
{
    while (matched > 0 && s->text[matched] != byte) matched = s->borders[matched - 1];
    return matched + (s->text[matched] == byte);
}

static or_status open_stop(const char *text, stop *s)
{
    s->length = strlen(text);
    if (s->length == 0 || !or_utf8_valid(text, s->length, NULL))
        return or_fail(OR_ERR_INPUT, "stop text refused", NULL, "it is %s, expected UTF-8 text",
                       s->length == 0 ? "empty" : "not UTF-8");
    OR_TRY(or_strdup(text, &s->text));
    OR_TRY(OR_NEW(s->borders, s->length));
    for (size_t i = 1; i < s->length; i++) s->borders[i] = advance(s, s->borders[i - 1], text[i]);
    return OR_OK;
}

/* Of the prompt's text only its end matters: whether there was any, and bytes of a character that may go
 * on. */
static or_status read_prompt(or_stream *stream, const int32_t *prompt, size_t n_prompt)
{
    for (size_t i = 0; i < n_prompt; i++) {
        OR_TRY(or_decoder_put(&stream->decoder, prompt[i]));
        stream->decoder.text.size = 0;
    }
    stream->owed = or_decoder_broken(&stream->decoder);
    return OR_OK;
}

or_status or_stream_open(const or_tokenizer *tokenizer, const int32_t *prompt, size_t n_prompt,
                         const char *const *stops, size_t n_stops, or_stream **out)
{
    or_stream *stream = NULL;
    *out = NULL;
    or_status status = OR_NEW(stream, 1);
    if (status != OR_OK) return status;
    stream->decoder.tokenizer = tokenizer;
    OR_TRY_GOTO(close, OR_NEW(stream->stops, n_stops));
    for (size_t i = 0; i < n_stops; i++)
        OR_TRY_GOTO(close, open_stop(stops[i], &stream->stops[stream->n_stops++]));
    OR_TRY_GOTO(close, read_prompt(stream, prompt, n_prompt));
    *out = stream;
    return OR_OK;

close:
    or_stream_close(stream);
    return status;
}

void or_stream_close(or_stream *stream)
{
    if (!stream) return;
    for (size_t i = 0; i < stream->n_stops; i++) {
        free(stream->stops[i].text);
        free(stream->stops[i].borders);
    }
    free(stream->stops);
    or_decoder_free(&stream->decoder);
    free(stream);
}

/* Takes `size` bytes from the front of the text. */
static void take(or_stream *stream, size_t size)
{
    or_buffer *text = &stream->decoder.text;
    text->size -= size;
    if (size > 0) memmove(text->data, text->data + size, text->size);
}

/* U+FFFD that the prompt had there already: what prompt and whole have in common ends at the first character
 * that is another. Until then nothing was given or held back, so that it is in front. */
static void take_owed(or_stream *stream)
{
    const or_buffer *text = &stream->decoder.text;
    const size_t length = strlen(OR_REPLACEMENT);
    while (stream->owed > 0 && text->size > 0) {
        const bool same = text->size >= length && memcmp(text->data, OR_REPLACEMENT, length) == 0;
        stream->owed = same ? stream->owed - 1 : 0;
        if (same) take(stream, length);
    }
}

/* Looks at the new text. *held: bytes of its end that are the beginning of a stop text, or, when it is
 * complete, all of it and what is behind; of stop texts that end together the longest begins first. Text
 * and stop texts are UTF-8, so they match in whole characters. */
static void look(or_stream *stream, size_t *held)
{
    const or_buffer *text = &stream->decoder.text;
    *held = 0;
    for (stop *s = stream->stops; s < stream->stops + stream->n_stops; s++)
        if (s->matched > *held) *held = s->matched;
    while (stream->seen < text->size && !stream->over) {
        const char byte = text->data[stream->seen++];
        size_t longest = 0, complete = 0;
        for (stop *s = stream->stops; s < stream->stops + stream->n_stops; s++) {
            s->matched = advance(s, s->matched, byte);
            if (s->matched > longest) longest = s->matched;
            if (s->matched == s->length && s->length > complete) complete = s->length;
        }
        stream->over = complete > 0;
        *held = stream->over ? complete + text->size - stream->seen : longest;
    }
}

/* Gives what is certain of the text. At the `last` call that is all of it, unless a stop text is complete. */
static void give(or_stream *stream, bool last, const char **text, size_t *size)
{
    const or_buffer *all = &stream->decoder.text;
    size_t held;
    take_owed(stream);
    look(stream, &held);
    stream->given = all->size - (last && !stream->over ? 0 : held);
    stream->over = stream->over || last;
    *text = stream->given > 0 ? all->data : "";
    *size = stream->given;
}

/* Forgets what the last call gave. */
static void forget(or_stream *stream)
{
    take(stream, stream->given);
    stream->seen -= stream->given;
    stream->given = 0;
}

or_status or_stream_put(or_stream *stream, int32_t token, const char **text, size_t *size, bool *stopped)
{
    *text = "";
    *size = 0;
    *stopped = stream->over;
    if (stream->over) return OR_OK;
    forget(stream);
    OR_TRY(or_decoder_put(&stream->decoder, token));
    give(stream, false, text, size);
    *stopped = stream->over;
    return OR_OK;
}

or_status or_stream_end(or_stream *stream, const char **text, size_t *size)
{
    *text = "";
    *size = 0;
    if (stream->over) return OR_OK;
    forget(stream);
    OR_TRY(or_decoder_end(&stream->decoder));
    give(stream, true, text, size);
    return OR_OK;
}
