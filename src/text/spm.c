/* spm.c - SentencePiece BPE: text to pieces and back.
 *
 * Spaces become ▁ (U+2581), a ▁ is put in front, and the characters are merged two by two: always the pair of
 * the lowest rank, the leftmost among equals, until no pair can be merged (Kudo and Richardson,
 * arXiv 1808.06226, section 3.1). A heap holds the pairs that may be merged, so that a text of n characters
 * takes O(n log n). What remains without a piece is written as its bytes <0xXX>.
 */
#include "tokenizer_internal.h"

#include "utf8.h"

#include <string.h>

static const char space_piece[] = "\xe2\x96\x81"; /* ▁ */
enum { SPACE_LENGTH = 3 };

/* A piece of the text so far; merged ones are chained over. */
typedef struct symbol {
    uint32_t at, length; /* bytes of the text; length 0: merged into the one before */
    int32_t id;          /* -1: no piece */
    int32_t previous, next;
} symbol;

/* Two neighbours; valid while both still have these ids. */
typedef struct candidate {
    uint32_t rank;
    int32_t left, right; /* symbols */
    const or_merge *merge;
} candidate;

typedef struct work {
    const or_tokenizer *tokenizer;
    symbol *symbols;
    candidate *heap;
    size_t n_symbols, n_heap, symbols_capacity, heap_capacity;
} work;

static bool goes_before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void swap(candidate *a, candidate *b)
{
    const candidate held = *a;
    *a = *b;
    *b = held;
}

static or_status push(work *w, const candidate *added)
{
    OR_RESERVE(w->heap, w->heap_capacity, w->n_heap + 1);
    size_t at = w->n_heap++;
    w->heap[at] = *added;
    for (; at > 0 && goes_before(&w->heap[at], &w->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&w->heap[at], &w->heap[(at - 1) / 2]);
    return OR_OK;
}

static candidate pop(work *w)
{
    const candidate top = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child >= w->n_heap) return top;
        if (child + 1 < w->n_heap && goes_before(&w->heap[child + 1], &w->heap[child])) child++;
        if (!goes_before(&w->heap[child], &w->heap[at])) return top;
        swap(&w->heap[child], &w->heap[at]);
        at = child;
    }
}

/* Puts the pair (left, its next) into the heap if it can be merged. */
static or_status consider(work *w, int32_t left)
{
    const int32_t right = left < 0 ? -1 : w->symbols[left].next;
    if (right < 0 || w->symbols[left].id < 0 || w->symbols[right].id < 0) return OR_OK;
    const or_merge *merge = or_vocab_find_merge(w->tokenizer, w->symbols[left].id, w->symbols[right].id);
    if (!merge) return OR_OK;
    const candidate found = {merge->rank, left, right, merge};
    return push(w, &found);
}

/* The symbols of single characters, chained. */
static or_status split(work *w, const char *text, size_t size)
{
    for (size_t at = 0; at < size;) {
        const size_t length = or_utf8_length(text + at, size - at);
        const int32_t i = (int32_t)w->n_symbols;
        OR_RESERVE(w->symbols, w->symbols_capacity, w->n_symbols + 1);
        w->symbols[w->n_symbols++] = (symbol){
            .at = (uint32_t)at,
            .length = (uint32_t)length,
            .id = or_vocab_find(w->tokenizer, text + at, length),
            .previous = i - 1,
            .next = at + length < size ? i + 1 : -1,
        };
        at += length;
    }
    return OR_OK;
}

static or_status merge_all(work *w)
{
    for (size_t i = 0; i < w->n_symbols; i++) OR_TRY(consider(w, (int32_t)i));
    while (w->n_heap > 0) {
        const candidate best = pop(w);
        symbol *left = &w->symbols[best.left], *right = &w->symbols[best.right];
        if (left->length == 0 || right->length == 0 || left->id != best.merge->left ||
            right->id != best.merge->right || left->next != best.right)
            continue; /* one of the two has been merged since */
        left->id = best.merge->merged;
        left->length += right->length;
        left->next = right->next;
        right->length = 0;
        if (left->next >= 0) w->symbols[left->next].previous = best.left;
        OR_TRY(consider(w, left->previous));
        OR_TRY(consider(w, best.left));
    }
    return OR_OK;
}

/* The ids of a symbol: its piece, or its bytes, or the unknown token (one for a run of unknown ones). */
static or_status emit(const work *w, const char *text, const symbol *s, bool *after_unknown,
                      or_tokens *tokens)
{
    const or_tokenizer *t = w->tokenizer;
    const bool was_unknown = *after_unknown;
    *after_unknown = false;
    if (s->id >= 0) return or_tokens_add(tokens, s->id);
    bool bytes = true;
    for (uint32_t i = 0; i < s->length; i++) bytes = bytes && t->bytes[(uint8_t)text[s->at + i]] >= 0;
    for (uint32_t i = 0; bytes && i < s->length; i++)
        OR_TRY(or_tokens_add(tokens, t->bytes[(uint8_t)text[s->at + i]]));
    if (bytes) return OR_OK;
    *after_unknown = true;
    return was_unknown || t->unknown < 0 ? OR_OK : or_tokens_add(tokens, t->unknown);
}

/* ▁ in front, and for every space. */
static or_status escape(const or_tokenizer *t, const char *text, size_t size, or_buffer *out)
{
    if (t->prefix_space) OR_TRY(or_buffer_puts(out, space_piece));
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ')
            OR_TRY(or_buffer_puts(out, space_piece));
        else
            OR_TRY(or_buffer_append(out, text + i, 1));
    }
    return OR_OK;
}

or_status or_spm_encode(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens)
{
    work w = {.tokenizer = tokenizer};
    or_buffer escaped = {0};
    bool after_unknown = false;
    if (size == 0) return OR_OK;
    or_status status = escape(tokenizer, text, size, &escaped);
    OR_TRY_GOTO(done, status);
    if (escaped.size > INT32_MAX / 2) {
        status =
            or_fail(OR_ERR_INPUT, "text too long", NULL, "found %zu bytes, expected less than 1 GiB", size);
        goto done;
    }
    OR_TRY_GOTO(done, split(&w, escaped.data, escaped.size));
    OR_TRY_GOTO(done, merge_all(&w));
    for (int32_t i = 0; i >= 0 && status == OR_OK; i = w.symbols[i].next)
        status = emit(&w, escaped.data, &w.symbols[i], &after_unknown, tokens);
done:
    or_buffer_free(&escaped);
    free(w.symbols);
    free(w.heap);
    return status;
}

/* Appends bytes that came as <0xXX>; those that form no UTF-8 become U+FFFD, one each. */
static or_status flush_bytes(or_buffer *bytes, or_buffer *out)
{
    for (size_t i = 0; i < bytes->size;) {
        const size_t length = or_utf8_length(bytes->data + i, bytes->size - i);
        if (length > 0)
            OR_TRY(or_buffer_append(out, bytes->data + i, length));
        else
            OR_TRY(or_buffer_puts(out, "\xef\xbf\xbd"));
        i += length > 0 ? length : 1;
    }
    bytes->size = 0;
    return OR_OK;
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

or_status or_spm_decode(const or_tokenizer *tokenizer, const int32_t *ids, size_t count, or_buffer *out)
{
    or_buffer bytes = {0};
    const size_t begin = out->size;
    or_status status = or_buffer_append(out, "", 0);
    for (size_t i = 0; i < count && status == OR_OK; i++) {
        const or_piece *piece = &tokenizer->pieces[ids[i]];
        if (piece->kind == OR_PIECE_BYTE) {
            status = or_buffer_append(&bytes, &piece->byte, 1);
        } else {
            status = flush_bytes(&bytes, out);
            if (status == OR_OK && piece->kind == OR_PIECE_NORMAL) status = put_piece(piece, out);
        }
    }
    if (status == OR_OK) status = flush_bytes(&bytes, out);
    or_buffer_free(&bytes);
    if (tokenizer->prefix_space && out->size > begin && out->data[begin] == ' ') {
        memmove(out->data + begin, out->data + begin + 1, out->size - begin); /* with the NUL */
        out->size--;
    }
    return status;
}
