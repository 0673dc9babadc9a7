/* vocab.c - pieces and merges, with hash tables for finding them. */
#include "tokenizer_internal.h"

#include "utf8.h"

#include <string.h>
#include <xxhash.h>

or_status or_vocab_reserve(or_tokenizer *tokenizer, size_t n, const char *where)
{
    if (n == 0 || n > OR_VOCAB_MAX)
        return or_fail(OR_ERR_INPUT, "tokenizer refused", where, "it has %zu tokens, expected 1..%d", n,
                       OR_VOCAB_MAX);
    tokenizer->n_pieces = n;
    return OR_NEW(tokenizer->pieces, n);
}

/* "<0x0A>" -> 10 */
static bool parse_byte(const char *text, size_t length, uint8_t *byte)
{
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return false;
    char *end;
    char digits[3] = {text[3], text[4], '\0'};
    *byte = (uint8_t)strtoul(digits, &end, 16);
    return *end == '\0' && end == digits + 2;
}

or_status or_vocab_set(or_tokenizer *tokenizer, int64_t id, const char *text, size_t length,
                       or_piece_kind kind, const char *where)
{
    const char *what = "tokenizer refused";
    if (id < 0 || (size_t)id >= tokenizer->n_pieces)
        return or_fail(OR_ERR_INPUT, what, where, "token id %lld is outside 0..%zu", (long long)id,
                       tokenizer->n_pieces - 1);
    or_piece *piece = &tokenizer->pieces[id];
    if (piece->text) return or_fail(OR_ERR_INPUT, what, where, "token id %lld is given twice", (long long)id);
    if (!or_utf8_valid(text, length, NULL) || memchr(text, '\0', length))
        return or_fail(OR_ERR_INPUT, what, where, "the text of token %lld is not UTF-8", (long long)id);
    piece->kind = kind;
    piece->length = (uint32_t)length;
    if (kind == OR_PIECE_BYTE) {
        if (!parse_byte(text, length, &piece->byte))
            return or_fail(OR_ERR_INPUT, what, where, "byte token %lld is \"%.*s\", expected <0x00>..<0xFF>",
                           (long long)id, (int)length, text);
        tokenizer->bytes[piece->byte] = (int32_t)id;
    }
    return or_format(&piece->text, "%.*s", (int)length, text);
}

/* Slots for n entries, at most half full. */
static or_status make_slots(size_t n, uint32_t **slots, size_t *n_slots)
{
    *n_slots = 16;
    while (*n_slots < 2 * n) *n_slots *= 2;
    return OR_NEW(*slots, *n_slots);
}

/* The slot of this text: the one that holds it, or the empty one where it belongs. */
static size_t piece_slot(const or_tokenizer *t, const char *text, size_t length)
{
    size_t slot = XXH3_64bits(text, length) & (t->n_piece_slots - 1);
    for (;; slot = (slot + 1) & (t->n_piece_slots - 1)) {
        if (t->piece_slots[slot] == 0) return slot;
        const or_piece *piece = &t->pieces[t->piece_slots[slot] - 1];
        if (piece->length == length && memcmp(piece->text, text, length) == 0) return slot;
    }
}

or_status or_vocab_index(or_tokenizer *t, const char *where)
{
    OR_TRY(make_slots(t->n_pieces, &t->piece_slots, &t->n_piece_slots));
    for (size_t id = 0; id < t->n_pieces; id++) {
        const or_piece *piece = &t->pieces[id];
        if (piece->kind != OR_PIECE_NORMAL || piece->length == 0) continue;
        size_t slot = piece_slot(t, piece->text, piece->length);
        if (t->piece_slots[slot] != 0)
            return or_fail(OR_ERR_INPUT, "tokenizer refused", where,
                           "tokens %u and %zu have the same text \"%s\"", t->piece_slots[slot] - 1, id,
                           piece->text);
        t->piece_slots[slot] = (uint32_t)id + 1;
    }
    return OR_OK;
}

int32_t or_vocab_find(const or_tokenizer *t, const char *text, size_t length)
{
    return (int32_t)t->piece_slots[piece_slot(t, text, length)] - 1;
}

or_status or_vocab_merge(or_tokenizer *t, const or_merge *merge)
{
    OR_RESERVE(t->merges, t->merges_capacity, t->n_merges + 1);
    t->merges[t->n_merges++] = *merge;
    return OR_OK;
}

static size_t merge_slot(const or_tokenizer *t, int32_t left, int32_t right)
{
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t slot = XXH3_64bits(&pair, sizeof pair) & (t->n_merge_slots - 1);
    for (;; slot = (slot + 1) & (t->n_merge_slots - 1)) {
        if (t->merge_slots[slot] == 0) return slot;
        const or_merge *merge = &t->merges[t->merge_slots[slot] - 1];
        if (merge->left == left && merge->right == right) return slot;
    }
}

or_status or_vocab_index_merges(or_tokenizer *t)
{
    OR_TRY(make_slots(t->n_merges, &t->merge_slots, &t->n_merge_slots));
    for (size_t i = 0; i < t->n_merges; i++) {
        size_t slot = merge_slot(t, t->merges[i].left, t->merges[i].right);
        if (t->merge_slots[slot] == 0)
            t->merge_slots[slot] = (uint32_t)i + 1; /* given twice: the first counts */
    }
    return OR_OK;
}

const or_merge *or_vocab_find_merge(const or_tokenizer *t, int32_t left, int32_t right)
{
    const uint32_t at = t->merge_slots[merge_slot(t, left, right)];
    return at ? &t->merges[at - 1] : NULL;
}
