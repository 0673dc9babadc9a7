/* packing_q4_0.c - q4_0 weights by VPDPBUSD, in panels of packing_blocks.h; the order of summation is said in
 * dot_blocks.h. Numbers are 0 to 15, 8 too high; columns 0-15 are the low halves of the bytes, columns 16-31
 * the high ones. */
#include "packing_blocks.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TYPE   OR_Q4_0
#define MINIMA 0
enum { BYTES = 18, ZERO = 8, RUNS = 1, PARTS = 1, ASKING = 3 };
static const or_elements elements[] = {{2, 2}, {BYTES, 4}};

OR_INLINE OR_VNNI __m512i numbers(const unsigned char *block, int run, int quad, int half)
{
    (void)run;
    return or_nibbles(or_words(block, or_block_q4_0.q, quad % 4, half), quad / 4 * 4);
}

OR_INLINE OR_VNNI __m512 scale(const unsigned char *block, int run, int part, int half)
{
    (void)run, (void)part;
    return or_halves(block, 0, half);
}

#include "dot_blocks.h"

const or_packing or_packing_q4_0 = {
    .dtype = TYPE,
    .bytes = bytes,
    .pack = pack,
    .expand = expand,
    .round = round_columns,
    .matmul = matmul,
};
#endif
