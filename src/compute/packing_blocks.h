/* packing_blocks.h - block-quantised weights for VPDPBUSD, x rounded to bytes: what the types share.
 *
 * Panels are of 32 outputs here, two vectors of sums. A panel is the stored blocks (blocks.h) of its outputs,
 * the outputs side by side: the stored block is cut into elements, and an element at byte `at` of it lies at
 * byte 32 at + size o of the packed block, for output o of the panel:
 *
 *            d      scales    q: words of four numbers, or of four and four      bytes of 32 stored blocks,
 *           +------+---------+-------------------------------------------+       and no more
 *           | 0-31 | 0-31 .. | 0-31 | 0-31 | 0-31 | ...                  |
 *           +------+---------+-------------------------------------------+
 *
 * So a vector of words is four columns of each of 16 outputs, which VPDPBUSD multiplies by four columns of x.
 *
 * x is rounded in blocks of 32 columns: d = max |x| / 127 and q = x / d to the nearest integer, ties to even
 * (-128 .. 127); d = 0 for a block of zeros. A number that is not finite makes d so, and with it all outputs
 * of its row, of this row only.
 *
 * Weights are the unsigned operand. Their numbers are stored `zero` too high (q8_0: by turning the sign bit),
 * so an integer sum begins with -zero times the sum of its q.
 *
 * A type is a file that says how numbers and scales come out of its packed block, and includes dot_blocks.h.
 */
#ifndef OFFRAMP_COMPUTE_PACKING_BLOCKS_H
#define OFFRAMP_COMPUTE_PACKING_BLOCKS_H

#include "blocks.h"
#include "packing.h"

enum {
    OR_WIDE = 32, /* outputs of a panel */
    OR_GROUP = 6  /* rows of x that meet a panel together, at most */
};

/* Only code that runs after usable() of the set said yes. */
#define OR_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* 32 columns of a row of x. */
typedef struct or_rounded {
    int8_t q[OR_BLOCK];
    int32_t offset[2]; /* -zero times the sum of q, of each part */
    float d, d_sum;    /* d times the sum of q */
} or_rounded;

/* Blocks of a panel that meet some rows. */
typedef struct or_piece {
    const unsigned char *w; /* [blocks], packed */
    const or_rounded *x;    /* [rows, x_stride] */
    size_t blocks, x_stride;
    float *y; /* [rows, y_stride], of which as many outputs are the panel's as `masks` say */
    size_t y_stride;
    uint16_t masks[2];
    bool first; /* of the slices: y is not read */
} or_piece;

/* Elements of `size` bytes, up to byte `end` of a stored block. */
typedef struct or_elements {
    size_t end, size;
} or_elements;

/* A type. */
typedef struct or_panel_type {
    or_dtype dtype;
    int zero;
    size_t part;                                      /* columns of an integer sum, 16 or 32 */
    const or_elements *elements;                      /* all of a stored block, in the order of its bytes */
    void (*multiply[OR_GROUP + 1])(const or_piece *); /* by number of rows */
} or_panel_type;

/* The functions of or_packing. */
size_t or_panels_bytes(const or_panel_type *type, int rows, int columns);
void or_panels_pack(const or_panel_type *type, const or_matrix *w, void *packed);
void or_panels_expand(const or_panel_type *type, const or_matrix *w, int output, size_t from, size_t count,
                      float *out);
void or_panels_round(const or_panel_type *type, const float *x, size_t count, float *out);
void or_panels_matmul(const or_panel_type *type, const or_matrix *w, const float *x, size_t n, float *y);

#if defined(__x86_64__)
#include <immintrin.h>

/* How a type's file takes a block apart: what lies at byte `at` of the stored block, of outputs 0-15 or
 * 16-31. A word, the `i`th from there. */
OR_INLINE OR_VNNI __m512i or_words(const unsigned char *block, size_t at, int i, int half)
{
    return _mm512_load_si512(block + OR_WIDE * (at + 4 * (size_t)i) + 64 * half);
}

/* A half, widened. */
OR_INLINE OR_VNNI __m512 or_halves(const unsigned char *block, size_t at, int half)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(block + OR_WIDE * at + 32 * half)));
}

/* A byte. */
OR_INLINE OR_VNNI __m128i or_bytes(const unsigned char *block, size_t at, int half)
{
    return _mm_load_si128((const __m128i *)(block + OR_WIDE * at + 16 * half));
}

OR_INLINE OR_VNNI __m512 or_bytes_widened(__m128i bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

/* The low (shift 0) or high (shift 4) halves of bytes. */
OR_INLINE OR_VNNI __m512i or_nibbles(__m512i words, int shift)
{
    return (__m512i)((__v16su)words >> shift) & _mm512_set1_epi8(15);
}
#endif

#endif
