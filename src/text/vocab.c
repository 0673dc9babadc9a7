/* vocab.c - pieces and merges, found by hashing (XXH3, open addressing, linear probing). */
#include "tokenizer_internal.h"

#include "utf8.h"

#include <string.h>
#include <xxhash.h>

static const char refused[] = "tokenizer refused";

or_status or_vocab_reserve(or_tokenizer *tokenizer, size_t n, const char *where)
{
    if (n == 0 || n > OR_VOCAB_MAX)
        return or_fail(OR_ERR_INPUT, refused, where, "it has %zu tokens, expected 1..%d", n, OR_VOCAB_MAX);
    OR_TRY(OR_NEW(tokenizer->pieces, n));
    tokenizer->n_pieces = n;
    return OR_OK;
}

/* Upper case only, as SentencePiece writes them; "<0x0a>" is a piece like others. */
bool or_piece_is_byte(const char *text, size_t length, uint8_t *byte)
{
    static const char digits[] = "0123456789ABCDEF";
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return false;
    const char *high = memchr(digits, text[3], 16), *low = memchr(digits, text[4], 16);
    if (!high || !low) return false;
    *byte = (uint8_t)((high - digits) << 4 | (low - digits));
    return true;
}

/* Sets one id once. Which ids were not is found by or_vocab_index(), when all were to be. */
or_status or_vocab_set(or_tokenizer *t, int64_t id, const char *text, size_t length, or_piece_kind kind,
                       const char *where)
{
    if (id < 0 || (uint64_t)id >= t->n_pieces)
        return or_fail(OR_ERR_INPUT, refused, where, "token id %lld was found, expected 0..%zu",
                       (long long)id, t->n_pieces - 1);
    or_piece *piece = &t->pieces[id];
    if (piece->text)
        return or_fail(OR_ERR_INPUT, refused, where, "token id %lld is given twice, expected once",
                       (long long)id);
    if (length == 0 || length > OR_PIECE_MAX)
        return or_fail(OR_ERR_INPUT, refused, where, "the text of token %lld has %zu bytes, expected 1..%d",
                       (long long)id, length, OR_PIECE_MAX);
    if (!or_utf8_valid(text, length, NULL) || memchr(text, '\0', length))
        return or_fail(OR_ERR_INPUT, refused, where,
                       "the text of token %lld is broken, expected UTF-8 without NUL", (long long)id);
    if (kind == OR_PIECE_BYTE) {
        if (!or_piece_is_byte(text, length, &piece->byte))
            return or_fail(OR_ERR_INPUT, refused, where,
                           "byte token %lld is \"%.*s\", expected <0x00>..<0xFF>", (long long)id, (int)length,
                           text);
        t->bytes[piece->byte] = (int32_t)id;
    }
    if (kind == OR_PIECE_USER && length > t->longest_user) t->longest_user = length;
    piece->kind = kind;
    piece->length = (uint32_t)length;
    piece->text = strndup(text, length);
    return piece->text ? OR_OK : or_fail_memory(length + 1);
}

/* Slots for n entries, at most half full. */
static or_status make_slots(size_t n, uint32_t **slots, size_t *n_slots)
{
    size_t wanted = 16;
    while (wanted < 2 * n) wanted *= 2;
    OR_TRY(OR_NEW(*slots, wanted));
    *n_slots = wanted;
    return OR_OK;
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

/* Texts must differ as an id is looked up by its text when merging by text, and when names of tokens are
 * read. */
or_status or_vocab_index(or_tokenizer *t, const char *where)
{
    OR_TRY(make_slots(t->n_pieces, &t->piece_slots, &t->n_piece_slots));
    for (size_t id = 0; id < t->n_pieces; id++) {
        const or_piece *piece = &t->pieces[id];
        if (!piece->text)
            return or_fail(OR_ERR_INPUT, refused, where, "no token has id %zu, expected all of 0..%zu", id,
                           t->n_pieces - 1);
        const size_t slot = piece_slot(t, piece->text, piece->length);
        if (t->piece_slots[slot] != 0)
            return or_fail(OR_ERR_INPUT, refused, where,
                           "tokens %u and %zu have the same text \"%s\", expected different ones",
                           t->piece_slots[slot] - 1, id, piece->text);
        t->piece_slots[slot] = (uint32_t)id + 1;
    }
    return OR_OK;
}

/* An empty slot holds 0 and so gives -1. */
int32_t or_vocab_token(const or_tokenizer *t, const char *text, size_t length)
{
    return (int32_t)t->piece_slots[piece_slot(t, text, length)] - 1;
}

/* NORMAL and USER are found in text; the kinds behind them (or_piece_kind) are not. */
int32_t or_vocab_find(const or_tokenizer *t, const char *text, size_t length)
{
    const int32_t id = or_vocab_token(t, text, length);
    return id >= 0 && t->pieces[id].kind <= OR_PIECE_USER ? id : -1;
}

or_status or_vocab_add_merge(or_tokenizer *t, const or_merge *merge)
{
    OR_RESERVE(t->merges, t->merges_capacity, t->n_merges + 1);
    t->merges[t->n_merges++] = *merge;
    return OR_OK;
}

/* The merged piece is found by its text, which is what the file leaves unsaid. */
or_status or_vocab_add_pair(or_tokenizer *t, const char *left, size_t left_length, const char *right,
                            size_t right_length, uint32_t rank, const char *where)
{
    char both[2 * OR_PIECE_MAX];
    or_merge merge = {or_vocab_token(t, left, left_length), or_vocab_token(t, right, right_length), -1, rank};
    if (merge.left >= 0 && merge.right >= 0) { /* so both fit */
        memcpy(both, left, left_length);
        memcpy(both + left_length, right, right_length);
        merge.merged = or_vocab_token(t, both, left_length + right_length);
    }
    if (merge.merged < 0)
        return or_fail(OR_ERR_INPUT, refused, where,
                       "merge %u is \"%.*s\" and \"%.*s\", expected two tokens that make a third", rank + 1,
                       (int)left_length, left, (int)right_length, right);
    return t->pieces[merge.merged].kind == OR_PIECE_CONTROL ? OR_OK : or_vocab_add_merge(t, &merge);
}

/* The first space parts them; whether a second is in the right half shows when no such token is found. */
or_status or_vocab_add_pair_text(or_tokenizer *t, const char *text, size_t length, uint32_t rank,
                                 const char *where)
{
    const char *space = memchr(text, ' ', length);
    if (!space || space == text || space + 1 == text + length)
        return or_fail(OR_ERR_INPUT, refused, where, "merge %u was not understood, expected \"a b\"",
                       rank + 1);
    const size_t left = (size_t)(space - text);
    return or_vocab_add_pair(t, text, left, space + 1, length - left - 1, rank, where);
}

/* The slot of this pair, found as above; its key is both ids in one number. */
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

/* In order, so that a pair given again takes the slot over. */
or_status or_vocab_index_merges(or_tokenizer *t)
{
    OR_TRY(make_slots(t->n_merges, &t->merge_slots, &t->n_merge_slots));
    for (size_t i = 0; i < t->n_merges; i++)
        t->merge_slots[merge_slot(t, t->merges[i].left, t->merges[i].right)] = (uint32_t)i + 1;
    return OR_OK;
}

/* By text the halves need not be pieces themselves, only their sum must be (characters without a piece can
 * be part of one). A text longer than any piece is not looked up, which keeps the cost of a pair bounded. */
bool or_vocab_can_merge(const or_tokenizer *t, int32_t left, int32_t right, const char *text, size_t length,
                        or_merge *merge)
{
    if (t->by_text) {
        const int32_t merged = length <= OR_PIECE_MAX ? or_vocab_find(t, text, length) : -1;
        if (merged < 0) return false;
        *merge = (or_merge){left, right, merged, t->pieces[merged].rank};
        return true;
    }
    if (left < 0 || right < 0) return false;
    const uint32_t at = t->merge_slots[merge_slot(t, left, right)];
    if (at == 0) return false;
    *merge = t->merges[at - 1];
    return true;
}

/* For sorting ids by their scores. */
typedef struct scored {
    float score;
    uint32_t id;
} scored;

static int by_falling_score(const void *a, const void *b)
{
    const float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

/* Ranks count distinct scores, 0 for the best. qsort() leaves equal scores in any order, which so does not
 * matter. */
or_status or_vocab_rank(or_tokenizer *t, const float *scores)
{
    scored *order = NULL;
    OR_TRY(OR_NEW(order, t->n_pieces));
    for (size_t i = 0; i < t->n_pieces; i++) order[i] = (scored){scores[i], (uint32_t)i};
    qsort(order, t->n_pieces, sizeof *order, by_falling_score);
    uint32_t rank = 0;
    for (size_t i = 0; i < t->n_pieces; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        t->pieces[order[i].id].rank = rank;
    }
    free(order);
    return OR_OK;
}
