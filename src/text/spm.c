/* spm.c - SentencePiece BPE: text to pieces and back.
 *
 * Spaces become ▁ (U+2581), a ▁ is put in front, and the characters are merged two by two: always the pair of
 * the lowest rank, the leftmost among equals, until no pair can be merged (Kudo and Richardson,
 * arXiv 1808.06226, section 3.1). What remains without a piece is written as its bytes <0xXX>.
 *
 *   "low er"  ->  ▁ l o w ▁ e r  ->  ▁ lo w ▁ er  ->  ▁ low ▁er  ->  ▁low ▁er
 *
 * merge.c does the merging.
 */
#include "decoder.h"
#include "merge.h"

#include "utf8.h"

#include <string.h>

static const char space_piece[] = "\xe2\x96\x81"; /* ▁ */
enum { SPACE_LENGTH = 3 };

/* The longest USER piece that the text begins with; 0 when there is none. */
static size_t user_length(const or_tokenizer *t, const char *text, size_t size)
{
    for (size_t length = size < t->longest_user ? size : t->longest_user; length > 0; length--) {
        const int32_t id = or_vocab_find(t, text, length);
        if (id >= 0 && t->pieces[id].kind == OR_PIECE_USER) return length;
    }
    return 0;
}

/* The text as symbols: characters, and whole USER pieces. */
static or_status split(or_merging *m, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = user_length(m->tokenizer, m->text + at, size - at);
        if (length == 0) length = or_utf8_length(m->text + at, size - at);
        OR_TRY(or_merging_add(m, length, or_vocab_find(m->tokenizer, m->text + at, length)));
        at += length;
    }
    return OR_OK;
}

/* Appends the bytes of a symbol as <0xXX>; *done is false when one of them has no piece (nothing is added).
 * */
static or_status put_bytes(const or_tokenizer *t, const unsigned char *bytes, size_t count, or_tokens *tokens,
                           bool *done)
{
    *done = true;
    for (size_t i = 0; i < count; i++) *done = *done && t->bytes[bytes[i]] >= 0;
    for (size_t i = 0; *done && i < count; i++) OR_TRY(or_tokens_add(tokens, t->bytes[bytes[i]]));
    return OR_OK;
}

/* The ids of the symbols that are left: pieces, bytes, or the unknown token. */
static or_status emit(const or_merging *m, or_tokens *tokens)
{
    const or_tokenizer *t = m->tokenizer;
    bool after_unknown = false;
    for (int32_t i = 0; i >= 0; i = m->symbols[i].next) {
        const or_symbol *s = &m->symbols[i];
        bool known = s->id >= 0;
        if (known)
            OR_TRY(or_tokens_add(tokens, s->id));
        else
            OR_TRY(put_bytes(t, (const unsigned char *)m->text + s->at, s->length, tokens, &known));
        if (!known && t->unknown >= 0 && !(after_unknown && t->fuse_unknown))
            OR_TRY(or_tokens_add(tokens, t->unknown));
        after_unknown = !known;
    }
    return OR_OK;
}

/* ▁ in front, and for every space. */
static or_status escape(const or_tokenizer *t, const char *text, size_t size, or_buffer *out)
{
    const bool begins =
        text[0] == ' ' || (size >= SPACE_LENGTH && memcmp(text, space_piece, SPACE_LENGTH) == 0);
    if (t->prefix_space && !(t->prefix_if_none && begins)) OR_TRY(or_buffer_puts(out, space_piece));
    for (const char *at = text, *end = text + size; at < end;) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        OR_TRY(or_buffer_append(out, at, (size_t)((space ? space : end) - at)));
        if (!space) break;
        OR_TRY(or_buffer_puts(out, space_piece));
        at = space + 1;
    }
    return OR_OK;
}

/* The text is escaped, cut into symbols, merged, and read off; symbols are places in `escaped`. */
static or_status encode(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens)
{
    or_merging m = {.tokenizer = tokenizer};
    or_buffer escaped = {0};
    or_status status = escape(tokenizer, text, size, &escaped);
    m.text = escaped.data;
    if (status == OR_OK) status = split(&m, escaped.size);
    if (status == OR_OK) status = or_merging_run(&m);
    if (status == OR_OK) status = emit(&m, tokens);
    or_merging_free(&m);
    or_buffer_free(&escaped);
    return status;
}

/* A piece's text, its ▁ as spaces. */
static or_status put_piece(const or_piece *piece, or_buffer *out)
{
    for (size_t i = 0; i < piece->length;) {
        if (piece->length - i >= SPACE_LENGTH && memcmp(piece->text + i, space_piece, SPACE_LENGTH) == 0) {
            OR_TRY(or_buffer_puts(out, " "));
            i += SPACE_LENGTH;
        } else {
            OR_TRY(or_buffer_append(out, piece->text + i++, 1));
        }
    }
    return OR_OK;
}

/* Bytes that came as <0xXX> are a character of their own: any other token cuts it off. Of those that form no
 * UTF-8 each becomes U+FFFD (as SentencePiece does; the tokenizers library gives up the whole run instead).
 * */
static or_status decode(const or_piece *piece, or_decoder *decoder)
{
    if (piece->kind == OR_PIECE_BYTE) return or_buffer_append(&decoder->bytes, &piece->byte, 1);
    OR_TRY(or_decoder_settle(decoder, false));
    return piece->kind == OR_PIECE_CONTROL ? OR_OK : put_piece(piece, &decoder->text);
}

const or_tokenizer_kind or_tokenizer_kind_spm = {"SentencePiece BPE", encode, decode, .subparts = false};
