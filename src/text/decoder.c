/* decoder.c - ids to text, a token at a time.
 *
 *   id -> piece -> bytes -> characters, U+FFFD where there are none -> text
 *
 * Whether bytes form a character depends on the few that follow, so the beginning of one waits for them.
 * What is decided then is what would be decided over all bytes at once.
 */
#include "decoder.h"

#include "utf8.h"

#include <string.h>

/* Each round takes at least one byte. */
or_status or_decoder_settle(or_decoder *d, bool more)
{
    size_t at = 0;
    while (at < d->bytes.size) {
        const char *bytes = d->bytes.data + at;
        const size_t left = d->bytes.size - at, length = or_utf8_length(bytes, left);
        if (length == 0 && more && or_utf8_begins(bytes, left)) break;
        if (length > 0)
            OR_TRY(or_buffer_append(&d->text, bytes, length));
        else
            OR_TRY(or_buffer_puts(&d->text, OR_REPLACEMENT));
        at += length > 0 ? length : d->tokenizer->kind->subparts ? or_utf8_broken(bytes, left) : 1;
    }
    d->bytes.size -= at;
    if (d->bytes.size > 0) memmove(d->bytes.data, d->bytes.data + at, d->bytes.size);
    return OR_OK;
}

/* Of the first text there is, the space that encoding put in front. */
static void drop_space(or_decoder *d)
{
    if (d->begun || d->text.size == 0) return;
    d->begun = true;
    if (d->tokenizer->prefix_space && d->text.data[0] == ' ')
        memmove(d->text.data, d->text.data + 1, d->text.size--); /* with the NUL */
}

/* Ids are checked here once for all kinds. */
or_status or_decoder_put(or_decoder *d, int32_t id)
{
    const or_tokenizer *t = d->tokenizer;
    if (id < 0 || (size_t)id >= t->n_pieces)
        return or_fail(OR_ERR_INPUT, "token refused", NULL, "id %d was found, expected 0..%zu", id,
                       t->n_pieces - 1);
    OR_TRY(t->kind->decode(&t->pieces[id], d));
    OR_TRY(or_decoder_settle(d, true));
    drop_space(d);
    return OR_OK;
}

or_status or_decoder_end(or_decoder *d)
{
    OR_TRY(or_decoder_settle(d, false));
    drop_space(d);
    return OR_OK;
}

/* The bytes between tokens are the beginning of one character, and so one maximal subpart. */
size_t or_decoder_broken(const or_decoder *d)
{
    return d->tokenizer->kind->subparts && d->bytes.size > 0 ? 1 : d->bytes.size;
}

void or_decoder_free(or_decoder *d)
{
    or_buffer_free(&d->text);
    or_buffer_free(&d->bytes);
}
