/* packing_q8_0.c - q8_0 weights by VPDPBUSD, in panels of packing_blocks.h; the order of summation is said in
 * dot_blocks.h. A number is 128 too high once its sign bit is turned. */
#include "packing_blocks.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TYPE   OR_Q8_0
#define MINIMA 0
enum { BYTES = 34, ZERO = 128, RUNS = 1, PARTS = 1, ASKING = 5 };
static const or_elements elements[] = {{2, 2}, {BYTES, 4}};

OR_INLINE OR_VNNI __m512i numbers(const unsigned char *block, int run, int quad, int half)
{
    (void)run;
    return _mm512_xor_si512(or_words(block, 2, quad, half), _mm512_set1_epi8(-128));
}

OR_INLINE OR_VNNI __m512 scale(const unsigned char *block, int run, int part, int half)
{
    (void)run, (void)part;
    return or_halves(block, 0, half);
}

#include "dot_blocks.h"

const or_packing or_packing_q8_0 = {
    .dtype = TYPE,
    .bytes = bytes,
    .pack = pack,
    .expand = expand,
    .round = round_columns,
    .matmul = matmul,
};
#endif
