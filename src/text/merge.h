/* merge.h - the merging of BPE, which is the same for every kind: symbols side by side, merged two by two,
 * always the pair of the lowest rank, the leftmost among equals, until no pair can be merged.
 *
 * A kind adds the symbols of a text from left to right, runs the merging, and reads what is left:
 *
 *   or_merging m = {.tokenizer = t, .text = text};
 *   or_merging_add(&m, length, id) ...; or_merging_run(&m);
 *   for (int32_t i = 0; i >= 0; i = m.symbols[i].next) ...
 *
 * Takes O(n log n) for n symbols. or_merging_restart() begins another text in the same memory.
 */
#ifndef OFFRAMP_TEXT_MERGE_H
#define OFFRAMP_TEXT_MERGE_H

#include "tokenizer_internal.h"

/* A piece of the text so far, in a list from left to right; the first one is always symbol 0. */
typedef struct or_symbol {
    uint32_t at, length;    /* bytes of the text; length 0: merged into the one before */
    int32_t id;             /* -1: no piece */
    int32_t previous, next; /* -1: none */
} or_symbol;

typedef struct or_candidate or_candidate;

/* Begun with the tokenizer and the text (less than 2 GiB), all else zero. */
typedef struct or_merging {
    const or_tokenizer *tokenizer;
    const char *text;
    or_symbol *symbols;
    or_candidate *heap;
    size_t n_symbols, n_heap, symbols_capacity, heap_capacity;
} or_merging;

/* Appends the symbol of the next `length` >= 1 bytes. */
or_status or_merging_add(or_merging *merging, size_t length, int32_t id);
or_status or_merging_run(or_merging *merging);
void or_merging_restart(or_merging *merging, const char *text);
void or_merging_free(or_merging *merging);

#endif
