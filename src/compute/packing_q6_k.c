/* packing_q6_k.c - q6_k weights by VPDPBUSD, in panels of packing_blocks.h; the order of summation is said in
 * dot_blocks.h. Numbers are 0 to 63, 32 too high, four bits here and two there; each 16 have a scale of a
 * signed byte, in units of d. */
#include "packing_blocks.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TYPE   OR_Q6_K
#define MINIMA 0
enum { BYTES = 210, ZERO = 32, RUNS = 8, PARTS = 2, ASKING = 1 };
static const or_elements elements[] = {{192, 4}, {208, 1}, {BYTES, 2}};

OR_INLINE OR_VNNI __m512i numbers(const unsigned char *block, int run, int quad, int half)
{
    const or_bit_array *low = &or_block_q6_k.low, *high = &or_block_q6_k.high;
    const __m512i four = or_words(block, or_run_byte(low, run), quad, half);
    const __m512i two = or_words(block, or_run_byte(high, run), quad, half);
    const int right = or_run_shift(high, run) - 4; /* to bits 4 and 5 */
    const __m512i above = right < 0 ? (__m512i)((__v16su)two << -right) : (__m512i)((__v16su)two >> right);
    return or_nibbles(four, or_run_shift(low, run)) | (above & _mm512_set1_epi8(0x30));
}

OR_INLINE OR_VNNI __m512 scale(const unsigned char *block, int run, int part, int half)
{
    const __m128i scales = or_bytes(block, or_block_q6_k.scales + (size_t)(2 * run + part), half);
    return _mm512_mul_ps(or_halves(block, or_block_q6_k.d, half),
                         _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)));
}

#include "dot_blocks.h"

const or_packing or_packing_q6_k = {
    .dtype = TYPE,
    .bytes = bytes,
    .pack = pack,
    .expand = expand,
    .round = round_columns,
    .matmul = matmul,
};
#endif
