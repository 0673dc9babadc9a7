/* sample.h - drawing a token from a row of logits. Pure: no MPI, no state; the same arguments give the same
 * token on every rank and every machine.
 */
#ifndef OFFRAMP_PIPELINE_SAMPLE_H
#define OFFRAMP_PIPELINE_SAMPLE_H

#include <offramp/pipeline.h>

/* Refuses (OR_ERR_INPUT, naming the field and `where`, which may be NULL) what or_sample() does not take:
 * it wants a finite temperature >= 0, top_k >= 0, and 0 < top_p <= 1. */
or_status or_sampling_check(const or_sampling *how, const char *where);

/* The token for position `position` of a sequence from its logits [n], finite, n >= 1. Scratch [n] is
 * overwritten where temperature is not 0.
 *
 *   temperature 0   the greatest logit, the lowest id among equals, as or_top.token
 *   otherwise       1. the top_k greatest logits, lower ids first among equals
 *                   2. softmax(logits / temperature) over these
 *                   3. the fewest likeliest of these, in the same order, that together reach top_p
 *                      (at least one)
 *                   4. of these the first at which the running sum of probabilities exceeds u
 *                      of their whole sum
 *
 * The running sum goes from the likeliest down; with top_k 0 and top_p 1, where nothing is left out, by
 * ascending ids. u in [0, 1) is the upper 53 bits of XXH3's hash of {seed, position}, two 64-bit numbers. */
int32_t or_sample(const or_sampling *how, int64_t position, const float *logits, size_t n,
                  or_token_logit *scratch);

/* The greatest of n logits in best [most], greatest first, lower ids first among equals; returns how many,
 * which is less than `most` only for smaller n. */
int32_t or_best_tokens(const float *logits, size_t n, or_token_logit *best, int32_t most);

#endif
