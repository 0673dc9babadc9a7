/* stream.h - the text of a continuation as its tokens come, up to a stop text.
 *
 * Local. A stream belongs to one thread at a time; its tokenizer must outlive it.
 *
 * What put() and end() give, one after the other, is the text of prompt and continuation
 * (or_tokenizer_decode() of both together) behind what it has in common with the prompt's own. It is always
 * whole characters: one whose bytes come in several tokens is given when it is complete, and what no
 * character can come of any more as U+FFFD, by the same rules. A prompt that ends within a character has
 * U+FFFD there; where the continuation completes it, the whole character is given.
 */
#ifndef OFFRAMP_STREAM_H
#define OFFRAMP_STREAM_H

#include <offramp/status.h>
#include <offramp/tokenizer.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct or_stream or_stream;

/* Begins behind `prompt` [n_prompt]; the ids that are decoded together with the continuation (BOS may be
 * among them; it has no text). stops [n_stops]: texts behind which nothing is wanted; copied, and so is
 * what is needed of the prompt. They are looked for in the continuation only. OR_ERR_INPUT for an id
 * outside the vocabulary, and a stop text that is empty or not UTF-8. *stream is NULL unless OR_OK; the
 * caller closes. */
or_status or_stream_open(const or_tokenizer *tokenizer, const int32_t *prompt, size_t n_prompt,
                         const char *const *stops, size_t n_stops, or_stream **stream);
void or_stream_close(or_stream *stream); /* NULL is fine */

/* Takes the next token. *text, *size: what is new and certain, which may be nothing; without a NUL behind it,
 * valid until the next call. Text that may be the beginning of a stop text is held back. *stopped: a stop
 * text is complete; the text ends before it, and nothing more is given. Of several the one that is complete
 * first counts; of those that end together the one that begins first. A token takes time for the bytes of
 * its text, times the number of stops, and not for the text before it. OR_ERR_INPUT for an id outside the
 * vocabulary. */
or_status or_stream_put(or_stream *stream, int32_t token, const char **text, size_t *size, bool *stopped);

/* After the last token: what was held back, nothing when a stop text was complete. A character that is not
 * complete is U+FFFD. */
or_status or_stream_end(or_stream *stream, const char **text, size_t *size);

#endif
