/* expand.h - how each block-quantised format is widened. One function per format, for whole blocks; in the
 * table of expand.c. The layouts are drawn in blocks.h.
 *
 * Widening has two steps, each a loop that every compiler and instruction set makes good code of: 256 numbers
 * are unpacked to bytes, eight at a time in a 64-bit word (a mask cuts off what a shift moves into the
 * neighbouring byte); then the bytes become floats, part by part.
 */
#ifndef OFFRAMP_COMPUTE_EXPAND_H
#define OFFRAMP_COMPUTE_EXPAND_H

#include "blocks.h"

void or_expand_q8_0(const unsigned char *block, size_t count, float *out);
void or_expand_q4_0(const unsigned char *block, size_t count, float *out);
void or_expand_q4_1(const unsigned char *block, size_t count, float *out);
void or_expand_q5_0(const unsigned char *block, size_t count, float *out);
void or_expand_q5_1(const unsigned char *block, size_t count, float *out);
void or_expand_q2_k(const unsigned char *block, size_t count, float *out);
void or_expand_q3_k(const unsigned char *block, size_t count, float *out);
void or_expand_q4_k(const unsigned char *block, size_t count, float *out);
void or_expand_q5_k(const unsigned char *block, size_t count, float *out);
void or_expand_q6_k(const unsigned char *block, size_t count, float *out);

/* The same small number in each byte of a word. */
#define OR_EACH_BYTE(number) (0x0101010101010101u * (uint64_t)(number))

/* Up to 256 numbers between the steps. A part's value is scale * (number - zero) + offset; formats without
 * offset use -0, which changes no sum, and minima are negated, which is the same as subtracting them. */
typedef struct or_unpacked {
    uint64_t words[OR_SUPERBLOCK / 8]; /* a byte each */
    float scale[OR_PARTS], offset[OR_PARTS];
} or_unpacked;

OR_INLINE uint64_t or_load_word(const unsigned char *stored)
{
    uint64_t word;
    memcpy(&word, stored, sizeof word);
    return word;
}

/* The second step, for `parts` parts of `part` numbers each. */
OR_INLINE void or_unpacked_widen(const or_unpacked *from, size_t parts, size_t part, int zero,
                                 float *restrict out)
{
    for (size_t p = 0; p < parts; p++) {
        const unsigned char *numbers = (const unsigned char *)from->words + p * part;
        const float scale = from->scale[p], offset = from->offset[p];
#pragma omp simd /* or short loops are unrolled before they can become vectors */
        for (size_t i = 0; i < part; i++) out[p * part + i] = scale * (float)(numbers[i] - zero) + offset;
    }
}

#endif
