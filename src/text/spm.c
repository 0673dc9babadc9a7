/* spm.c - SentencePiece BPE: text to pieces and back.
 *
 * Spaces become ▁ (U+2581), a ▁ is put in front, and the characters are merged two by two: always the pair of
 * the lowest rank, the leftmost among equals, until no pair can be merged (Kudo and Richardson,
 * arXiv 1808.06226, section 3.1). What remains without a piece is written as its bytes <0xXX>.
 *
 *   "low er"  ->  ▁ l o w ▁ e r  ->  ▁ lo w ▁ er  ->  ▁ low ▁er  ->  ▁low ▁er
 *
 * A heap holds the pairs that may be merged and the symbols are a linked list, so that a text of n characters
 * takes O(n log n). A pair stays in the heap when one of its halves has been merged elsewhere; it is dropped
 * when it comes up.
 */
#include "tokenizer_internal.h"

#include "utf8.h"

#include <string.h>

static const char space_piece[] = "\xe2\x96\x81"; /* ▁ */
enum { SPACE_LENGTH = 3 };

/* A piece of the text so far, in a list from left to right. */
typedef struct symbol {
    uint32_t at, length; /* bytes of the text; length 0: merged into the one before */
    int32_t id;          /* -1: no piece */
    int32_t previous, next;
} symbol;

/* Two neighbours that may be merged. Symbols only grow, so it still holds if their length is still `length`. */
typedef struct candidate {
    uint32_t rank, length;
    int32_t left, right; /* symbols */
    int32_t merged;      /* id */
} candidate;

typedef struct work {
    const or_tokenizer *tokenizer;
    const char *text;
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

static bool is_fixed(const work *w, const symbol *s)
{
    return s->id >= 0 && w->tokenizer->pieces[s->id].kind == OR_PIECE_USER;
}

/* Puts the pair (left, its next) into the heap if it can be merged. */
static or_status consider(work *w, int32_t left)
{
    const int32_t right = left < 0 ? -1 : w->symbols[left].next;
    if (right < 0) return OR_OK;
    const symbol *a = &w->symbols[left], *b = &w->symbols[right];
    const uint32_t length = a->length + b->length;
    or_merge merge;
    if (is_fixed(w, a) || is_fixed(w, b) ||
        !or_vocab_can_merge(w->tokenizer, a->id, b->id, w->text + a->at, length, &merge))
        return OR_OK;
    return push(w, &(candidate){merge.rank, length, left, right, merge.merged});
}

/* The longest USER piece that the text begins with; 0 when there is none. */
static size_t user_length(const or_tokenizer *t, const char *text, size_t size)
{
    for (size_t length = size < t->longest_user ? size : t->longest_user; length > 0; length--) {
        const int32_t id = or_vocab_find(t, text, length);
        if (id >= 0 && t->pieces[id].kind == OR_PIECE_USER) return length;
    }
    return 0;
}

/* The text as a list of symbols: characters, and whole USER pieces. */
static or_status split(work *w, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t length = user_length(w->tokenizer, w->text + at, size - at);
        if (length == 0) length = or_utf8_length(w->text + at, size - at);
        const int32_t i = (int32_t)w->n_symbols;
        OR_RESERVE(w->symbols, w->symbols_capacity, w->n_symbols + 1);
        w->symbols[w->n_symbols++] = (symbol){
            .at = (uint32_t)at,
            .length = (uint32_t)length,
            .id = or_vocab_find(w->tokenizer, w->text + at, length),
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
        if (left->length == 0 || right->length == 0 || left->length + right->length != best.length)
            continue; /* one of the two has been merged since */
        left->id = best.merged;
        left->length = best.length;
        left->next = right->next;
        right->length = 0;
        if (left->next >= 0) w->symbols[left->next].previous = best.left;
        OR_TRY(consider(w, left->previous));
        OR_TRY(consider(w, best.left));
    }
    return OR_OK;
}

/* Appends the bytes of a symbol as <0xXX>; *done is false when one of them has no piece (nothing is added). */
static or_status put_bytes(const or_tokenizer *t, const unsigned char *bytes, size_t count, or_tokens *tokens,
                           bool *done)
{
    *done = true;
    for (size_t i = 0; i < count; i++) *done = *done && t->bytes[bytes[i]] >= 0;
    for (size_t i = 0; *done && i < count; i++) OR_TRY(or_tokens_add(tokens, t->bytes[bytes[i]]));
    return OR_OK;
}

/* The ids of the symbols that are left: pieces, bytes, or the unknown token. */
static or_status emit(const work *w, or_tokens *tokens)
{
    const or_tokenizer *t = w->tokenizer;
    bool after_unknown = false;
    for (int32_t i = 0; i >= 0; i = w->symbols[i].next) {
        const symbol *s = &w->symbols[i];
        bool known = s->id >= 0;
        if (known)
            OR_TRY(or_tokens_add(tokens, s->id));
        else
            OR_TRY(put_bytes(t, (const unsigned char *)w->text + s->at, s->length, tokens, &known));
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

static or_status encode(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens)
{
    work w = {.tokenizer = tokenizer};
    or_buffer escaped = {0};
    if (size == 0) return OR_OK;
    if (size > INT32_MAX / 4) /* symbols and their bytes are counted in 32 bits, and a space takes three */
        return or_fail(OR_ERR_INPUT, "text too long", NULL, "found %zu bytes, expected less than 512 MiB",
                       size);
    or_status status = escape(tokenizer, text, size, &escaped);
    w.text = escaped.data;
    if (status == OR_OK) status = split(&w, escaped.size);
    if (status == OR_OK) status = merge_all(&w);
    if (status == OR_OK) status = emit(&w, tokens);
    free(w.heap);
    free(w.symbols);
    or_buffer_free(&escaped);
    return status;
}

/* Appends bytes that came as <0xXX>; those that form no UTF-8 become U+FFFD, one each (as SentencePiece does;
 * the tokenizers library gives up the whole run instead). */
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

static or_status decode(const or_tokenizer *tokenizer, const int32_t *ids, size_t count, or_buffer *out)
{
    or_buffer bytes = {0}; /* of a character that may go on */
    const size_t begin = out->size;
    or_status status = or_buffer_append(out, "", 0);
    for (size_t i = 0; i < count && status == OR_OK; i++) {
        const or_piece *piece = &tokenizer->pieces[ids[i]];
        if (piece->kind == OR_PIECE_BYTE) {
            status = or_buffer_append(&bytes, &piece->byte, 1);
        } else {
            status = flush_bytes(&bytes, out);
            if (status == OR_OK && piece->kind != OR_PIECE_CONTROL) status = put_piece(piece, out);
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

const or_tokenizer_kind or_tokenizer_kind_spm = {"SentencePiece BPE", encode, decode};
