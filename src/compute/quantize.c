/* quantize.c - float32 to stored weights: the plain formats, and the table of all. */
#include "compute.h"
#include "half.h"
#include "quantize.h"

/* The plain types have blocks of one number. */
static void quantize_f32(const float *x, unsigned char *out)
{
    memcpy(out, x, sizeof *x);
}

static void quantize_f16(const float *x, unsigned char *out)
{
    const uint16_t half = or_half_nearest(*x);
    memcpy(out, &half, sizeof half);
}

/* The upper half, rounded to nearest even by what it carries from the lower; a NaN must stay one. */
static void quantize_bf16(const float *x, unsigned char *out)
{
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    const uint16_t half = (uint16_t)(*x != *x ? bits >> 16 | 0x40 : rounded >> 16);
    memcpy(out, &half, sizeof half);
}

/* One block each; which block that is does not matter, so or_quantize() is a pure function of x. */
static void (*const table[OR_DTYPE_OTHER])(const float *x, unsigned char *out) = {
    [OR_F32] = quantize_f32,      [OR_F16] = quantize_f16,      [OR_BF16] = quantize_bf16,
    [OR_Q8_0] = or_quantize_q8_0, [OR_Q4_0] = or_quantize_q4_0, [OR_Q4_1] = or_quantize_q4_1,
    [OR_Q5_0] = or_quantize_q5_0, [OR_Q5_1] = or_quantize_q5_1, [OR_Q2_K] = or_quantize_q2_k,
    [OR_Q3_K] = or_quantize_q3_k, [OR_Q4_K] = or_quantize_q4_k, [OR_Q5_K] = or_quantize_q5_k,
    [OR_Q6_K] = or_quantize_q6_k,
};

void or_quantize(const float *x, or_dtype dtype, size_t count, void *out)
{
    if (dtype >= OR_DTYPE_OTHER) return; /* never a weight */
    const size_t block = or_dtype_block(dtype), bytes = or_dtype_block_bytes(dtype);
    unsigned char *to = out;
    for (size_t i = 0; i < count; i += block, to += bytes) table[dtype](x + i, to);
}
