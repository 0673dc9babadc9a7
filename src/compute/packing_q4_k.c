/* packing_q4_k.c - q4_k weights by VPDPBUSD, in panels of packing_blocks.h; the order of summation is said in
 * dot_blocks.h. Numbers are 0 to 15; a run has a scale and a minimum of six bits, in units of d and dmin. */
#include "packing_blocks.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TYPE   OR_Q4_K
#define MINIMA 1
enum { BYTES = 144, ZERO = 0, RUNS = 8, PARTS = 1, ASKING = 1 };
static const or_elements elements[] = {{4, 2}, {16, 1}, {BYTES, 4}};

OR_INLINE OR_VNNI __m512i numbers(const unsigned char *block, int run, int quad, int half)
{
    const or_bit_array *array = &or_block_q4_k.low;
    return or_nibbles(or_words(block, or_run_byte(array, run), quad, half), or_run_shift(array, run));
}

/* The six bits of a run, of the scale or, where `minimum` is 1, of the minimum. */
OR_INLINE OR_VNNI __m512 six_bits(const unsigned char *block, int run, int minimum, int half)
{
    const size_t at = or_block_q4_k.scales, same = (size_t)(4 * minimum + run % 4);
    const __m128i first = or_bytes(block, at + same, half);
    if (run < 4) return or_bytes_widened(first & _mm_set1_epi8(63));
    const __m128i low = (__m128i)((__v8hu)or_bytes(block, at + 4 + (size_t)run, half) >> 4 * minimum);
    const __m128i high = (__m128i)((__v8hu)first >> 2) & _mm_set1_epi8(0x30);
    return or_bytes_widened((low & _mm_set1_epi8(15)) | high);
}

OR_INLINE OR_VNNI __m512 scale(const unsigned char *block, int run, int part, int half)
{
    (void)part;
    return _mm512_mul_ps(or_halves(block, or_block_q4_k.d, half), six_bits(block, run, 0, half));
}

OR_INLINE OR_VNNI __m512 minimum(const unsigned char *block, int run, int half)
{
    return _mm512_mul_ps(or_halves(block, or_block_q4_k.dmin, half), six_bits(block, run, 1, half));
}

#include "dot_blocks.h"

const or_packing or_packing_q4_k = {
    .dtype = TYPE,
    .bytes = bytes,
    .pack = pack,
    .expand = expand,
    .round = round_columns,
    .matmul = matmul,
};
#endif
