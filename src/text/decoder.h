/* decoder.h - ids to text, a token at a time: or_tokenizer_decode() is one decoder over all ids, or_stream
 * another that is read as it goes. */
#ifndef OFFRAMP_TEXT_DECODER_H
#define OFFRAMP_TEXT_DECODER_H

#include "tokenizer_internal.h"

/* {.tokenizer} is ready for the first token. Released by or_decoder_free(). */
typedef struct or_decoder {
    const or_tokenizer *tokenizer;
    or_buffer text;  /* what is certain; UTF-8. Who reads it may take from its front, or all of it */
    or_buffer bytes; /* between tokens: the beginning of a character, at most 3 bytes */
    bool begun;      /* there was text, so that no space in front is to be dropped any more */
} or_decoder;

/* Appends the next token to the text. OR_ERR_INPUT for an id outside the vocabulary. */
or_status or_decoder_put(or_decoder *decoder, int32_t id);

/* Nothing follows: a character that is not complete becomes U+FFFD, so many as or_decoder_broken() says. */
or_status or_decoder_end(or_decoder *decoder);
size_t or_decoder_broken(const or_decoder *decoder);

void or_decoder_free(or_decoder *decoder);

/* For kinds: moves the bytes to the text, U+FFFD for what forms no UTF-8. With `more` to follow, the
 * beginning of a character stays behind. */
or_status or_decoder_settle(or_decoder *decoder, bool more);

#define OR_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

#endif
