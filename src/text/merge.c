/* merge.c - BPE's merging with a heap and a list.
 *
 * A heap holds the pairs that may be merged and the symbols are a linked list. A pair stays in the heap
 * when one of its halves has been merged elsewhere; it is dropped when it comes up.
 */
#include "merge.h"

/* Two neighbours that may be merged. Symbols only grow, so it still holds if their length is still
 * `length`. */
struct or_candidate {
    uint32_t rank, length;
    int32_t left, right; /* symbols */
    int32_t merged;      /* id */
};

/* Symbols are numbered from left to right, so the lower number is the leftmost. */
static bool goes_before(const or_candidate *a, const or_candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void swap(or_candidate *a, or_candidate *b)
{
    const or_candidate held = *a;
    *a = *b;
    *b = held;
}

/* A binary heap: the children of entry i are 2 i + 1 and 2 i + 2, and no child goes before its parent. */
static or_status push(or_merging *m, const or_candidate *added)
{
    OR_RESERVE(m->heap, m->heap_capacity, m->n_heap + 1);
    size_t at = m->n_heap++;
    m->heap[at] = *added;
    for (; at > 0 && goes_before(&m->heap[at], &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&m->heap[at], &m->heap[(at - 1) / 2]);
    return OR_OK;
}

/* Takes the best; the last entry takes its place and sinks. Only while n_heap > 0. */
static or_candidate pop(or_merging *m)
{
    const or_candidate top = m->heap[0];
    m->heap[0] = m->heap[--m->n_heap];
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child >= m->n_heap) return top;
        if (child + 1 < m->n_heap && goes_before(&m->heap[child + 1], &m->heap[child])) child++;
        if (!goes_before(&m->heap[child], &m->heap[at])) return top;
        swap(&m->heap[child], &m->heap[at]);
        at = child;
    }
}

/* USER pieces are whole and stay as they are. */
static bool is_fixed(const or_merging *m, const or_symbol *s)
{
    return s->id >= 0 && m->tokenizer->pieces[s->id].kind == OR_PIECE_USER;
}

/* Puts the pair (left, its next) into the heap if it can be merged. */
static or_status consider(or_merging *m, int32_t left)
{
    const int32_t right = left < 0 ? -1 : m->symbols[left].next;
    if (right < 0) return OR_OK;
    const or_symbol *a = &m->symbols[left], *b = &m->symbols[right];
    const uint32_t length = a->length + b->length;
    or_merge merge;
    if (is_fixed(m, a) || is_fixed(m, b) ||
        !or_vocab_can_merge(m->tokenizer, a->id, b->id, m->text + a->at, length, &merge))
        return OR_OK;
    return push(m, &(or_candidate){merge.rank, length, left, right, merge.merged});
}

or_status or_merging_add(or_merging *m, size_t length, int32_t id)
{
    OR_RESERVE(m->symbols, m->symbols_capacity, m->n_symbols + 1);
    const int32_t i = (int32_t)m->n_symbols++;
    uint32_t at = 0;
    if (i > 0) {
        m->symbols[i - 1].next = i;
        at = m->symbols[i - 1].at + m->symbols[i - 1].length;
    }
    m->symbols[i] =
        (or_symbol){.at = at, .length = (uint32_t)length, .id = id, .previous = i - 1, .next = -1};
    return OR_OK;
}

/* Each merge makes at most two new pairs, with what is left and right of it, so that at most 3 n candidates
 * ever are in the heap. The right half is emptied and unlinked, and the left one becomes the merged piece:
 * symbol 0 stays the first. */
or_status or_merging_run(or_merging *m)
{
    for (size_t i = 0; i < m->n_symbols; i++) OR_TRY(consider(m, (int32_t)i));
    while (m->n_heap > 0) {
        const or_candidate best = pop(m);
        or_symbol *left = &m->symbols[best.left], *right = &m->symbols[best.right];
        if (left->length == 0 || right->length == 0 || left->length + right->length != best.length)
            continue; /* one of the two has been merged since */
        left->id = best.merged;
        left->length = best.length;
        left->next = right->next;
        right->length = 0;
        if (left->next >= 0) m->symbols[left->next].previous = best.left;
        OR_TRY(consider(m, left->previous));
        OR_TRY(consider(m, best.left));
    }
    return OR_OK;
}

/* The heap is empty after a run that did not fail. */
void or_merging_restart(or_merging *m, const char *text)
{
    m->text = text;
    m->n_symbols = 0;
}

void or_merging_free(or_merging *m)
{
    free(m->heap);
    free(m->symbols);
    m->heap = NULL;
    m->symbols = NULL;
}
