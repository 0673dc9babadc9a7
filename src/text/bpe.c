/* bpe.c - byte-level BPE (GPT-2, OPT, Llama-3): text to pieces and back.
 *
 * The text is cut by patterns (split.h); the bytes of each piece are written in GPT-2's alphabet
 * (alphabet.h) and merged two by two, the pair of the lowest rank first (Radford et al. 2019, section 2.2).
 * Bytes have pieces, so there is no unknown text; one that needs a byte without a piece is refused.
 *
 *   "I'll go"  ->  I | 'll | Ġgo  ->  I | ' l l | Ġ g o  ->  I | 'll | Ġgo
 */
#include "alphabet.h"
#include "decoder.h"
#include "merge.h"
#include "utf8.h"

#include <string.h>

/* Bytes that vocabularies lack which were trained without GPT-2's list of all bytes: C0, C1 and F5..FF are
 * in no UTF-8; F1..F4 begin planes 4 to 16, of which only some tags and variation selectors of plane 14 are
 * assigned. */
static bool is_seldom_met(int byte)
{
    return byte == 0xc0 || byte == 0xc1 || byte > 0xf0;
}

/* A token for each byte is what makes any text encodable, as symbols begin as these. */
or_status or_bpe_index_bytes(or_tokenizer *t, const char *where)
{
    or_buffer character = {0};
    or_status status = OR_OK;
    for (int byte = 0; byte < 256 && status == OR_OK; byte++) {
        character.size = 0;
        status = or_alphabet_put((uint8_t)byte, &character);
        if (status == OR_OK) t->bytes[byte] = or_vocab_find(t, character.data, character.size);
        if (status == OR_OK && t->bytes[byte] < 0 && !is_seldom_met(byte))
            status =
                or_fail(OR_ERR_INPUT, "tokenizer refused", where,
                        "byte 0x%02X has no token \"%s\", expected one for each byte", byte, character.data);
    }
    or_buffer_free(&character);
    return status;
}

/* What encoding a text needs. */
typedef struct work {
    const or_tokenizer *tokenizer;
    or_merging merging;
    or_buffer spelled; /* a piece of text in the alphabet */
} work;

/* The token that a whole piece of text is, -1 when there is none. */
static or_status find_whole(work *w, const char *text, size_t size, int32_t *id)
{
    *id = -1;
    if (size > OR_PIECE_MAX) return OR_OK;
    w->spelled.size = 0;
    for (size_t i = 0; i < size; i++) OR_TRY(or_alphabet_put((uint8_t)text[i], &w->spelled));
    *id = or_vocab_find(w->tokenizer, w->spelled.data, w->spelled.size);
    return OR_OK;
}

/* With `ignore_merges` a piece that is a token as a whole is that token, wherever merges would lead.
 * Merging works on the bytes, one symbol for each; that they are spelled in the alphabet matters to the
 * vocabulary only. */
static or_status encode_piece(work *w, const char *text, size_t size, or_tokens *tokens)
{
    const or_tokenizer *t = w->tokenizer;
    or_merging *m = &w->merging;
    int32_t whole = -1;
    if (t->ignore_merges) OR_TRY(find_whole(w, text, size, &whole));
    if (whole >= 0) return or_tokens_add(tokens, whole);
    or_merging_restart(m, text);
    for (size_t i = 0; i < size; i++) {
        const uint8_t byte = (uint8_t)text[i];
        if (t->bytes[byte] < 0)
            return or_fail(OR_ERR_INPUT, "text refused", NULL,
                           "the vocabulary has no token for its byte 0x%02X", byte);
        OR_TRY(or_merging_add(m, 1, t->bytes[byte]));
    }
    OR_TRY(or_merging_run(m));
    for (int32_t i = 0; i >= 0; i = m->symbols[i].next) OR_TRY(or_tokens_add(tokens, m->symbols[i].id));
    return OR_OK;
}

/* A prefix is put in front only where the text has no space: `prefix_if_none` is always true of this kind,
 * as ByteLevel's add_prefix_space in the tokenizers library. */
static or_status encode(const or_tokenizer *t, const char *text, size_t size, or_tokens *tokens)
{
    work w = {.tokenizer = t, .merging = {.tokenizer = t}};
    or_buffer prefixed = {0};
    or_cuts cuts = {0};
    or_status status = OR_OK;
    if (t->prefix_space && text[0] != ' ') {
        status = or_buffer_puts(&prefixed, " ");
        if (status == OR_OK) status = or_buffer_append(&prefixed, text, size);
        text = prefixed.data;
        size = prefixed.size;
    }
    if (status == OR_OK) status = or_splits_cut(t->splits, text, size, &cuts);
    for (size_t i = 0, at = 0; i < cuts.count && status == OR_OK; at = cuts.ends[i++])
        status = encode_piece(&w, text + at, cuts.ends[i] - at, tokens);
    free(cuts.ends);
    or_buffer_free(&prefixed);
    or_buffer_free(&w.spelled);
    or_merging_free(&w.merging);
    return status;
}

/* Everything is bytes, and a character may be spread over tokens. A piece that is not spelled in the alphabet
 * (a token somebody added) is its text as it stands, as in the tokenizers library. */
static or_status decode(const or_piece *piece, or_decoder *decoder)
{
    bool understood;
    if (piece->kind == OR_PIECE_CONTROL) return OR_OK;
    OR_TRY(or_alphabet_bytes(piece->text, piece->length, &decoder->bytes, &understood));
    return understood ? OR_OK : or_buffer_append(&decoder->bytes, piece->text, piece->length);
}

const or_tokenizer_kind or_tokenizer_kind_bpe = {"byte-level BPE", encode, decode, .subparts = true};
