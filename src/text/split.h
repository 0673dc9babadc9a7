/* split.h - how byte-level BPE cuts a text before anything is merged: by steps, each a pattern that cuts
 * every piece so far into its matches and the gaps between them ("Isolated" in the tokenizers library).
 *
 *   "I'll go"  --GPT-2's pattern-->  I | 'll | ␣go
 *
 * Patterns are Oniguruma's, as tokenizer.json has them, and matched by PCRE2. split_pattern.c makes the one
 * of the other. Steps are read-only once they are added and may be used by several threads at once.
 */
#ifndef OFFRAMP_TEXT_SPLIT_H
#define OFFRAMP_TEXT_SPLIT_H

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

/* GPT-2's pattern (Radford et al. 2019; also OPT's), and Llama-3's as its tokenizer.json has it. */
extern const char or_split_gpt2[], or_split_llama3[];

/* Every digit by itself: the first step of those who split numbers (SmolLM, StarCoder). */
extern const char or_split_digit[];

typedef struct or_splits or_splits;

/* Appends a step; *splits is NULL before the first. literal: the pattern is plain text. Refused: a pattern
 * that is broken, that may match nothing at all, or that PCRE2 may read otherwise than Oniguruma. */
or_status or_splits_add(or_splits **splits, const char *pattern, bool literal, const char *where);
void or_splits_free(or_splits *splits); /* NULL is fine */

/* True when the steps are these patterns, which a NULL ends. */
bool or_splits_are(const or_splits *splits, const char *const *patterns);

/* Where a text was cut: piece i ends before byte ends[i] and begins where the one before ends. {0} is
 * empty. */
typedef struct or_cuts {
    uint32_t *ends;
    size_t count, capacity;
} or_cuts;

/* Cuts `size` >= 1 bytes of valid UTF-8; no pieces are empty. The caller frees cuts->ends, even after an
 * error. splits may be NULL, which cuts nothing. OR_ERR_INPUT when a pattern takes too long on this text. */
or_status or_splits_cut(const or_splits *splits, const char *text, size_t size, or_cuts *cuts);

/* The PCRE2 pattern that means what `pattern` means to Oniguruma, appended to *out; refused where a
 * construct is read differently by the two. */
or_status or_split_translate(const char *pattern, const char *where, or_buffer *out);

#endif
