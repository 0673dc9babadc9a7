/* half.h - IEEE half precision (f16), the format in which blocks of quantised weights hold their scales.
 *
 * f16: sign, 5 exponent bits (bias 15), 10 mantissa bits. Both ways are branch-free enough to become vectors.
 */
#ifndef OFFRAMP_COMPUTE_HALF_H
#define OFFRAMP_COMPUTE_HALF_H

#include "vector.h"

/* The greatest finite one. */
#define OR_HALF_MAX 65504.0f

/* Exactly. Moving the 15 low bits into a float's place and multiplying by 2^112 corrects the bias and makes
 * subnormals normal in one step; the largest exponent (Inf, NaN) must become a float's largest. */
OR_INLINE float or_half_value(uint16_t half)
{
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &magnitude, sizeof value);
    value *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= (half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
    bits |= (uint32_t)(half & 0x8000) << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The nearest half, of two equally near ones the even; beyond 65520 infinite; NaN stays NaN. */
OR_INLINE uint16_t or_half_nearest(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    /* Normal: the exponent's bias is changed, and 13 mantissa bits are rounded off; a carry is right. */
    uint32_t half = (magnitude - 0x38000000u + 0xfff + (magnitude >> 13 & 1)) >> 13;
    /* Below 2^-14: the last bit of 0.5 + x is worth 2^-24, as a subnormal half's is, so the sum rounds. */
    float shifted;
    memcpy(&shifted, &magnitude, sizeof shifted);
    shifted += 0.5f;
    uint32_t subnormal;
    memcpy(&subnormal, &shifted, sizeof subnormal);
    half = magnitude < 0x38800000u ? subnormal - 0x3f000000u : half;
    half = magnitude >= 0x47800000u ? 0x7c00 : half;
    half = magnitude > 0x7f800000u ? 0x7e00 | (magnitude >> 13 & 0x3ff) : half;
    return (uint16_t)(sign | half);
}

/* A scale as blocks store it: two bytes, at any address. */
OR_INLINE float or_half_load(const unsigned char *stored)
{
    uint16_t half;
    memcpy(&half, stored, sizeof half);
    return or_half_value(half);
}

/* Stores a scale, and gives it as stored. Never an infinite one: it would make NaN of a block's zeros. */
OR_INLINE float or_half_store(float value, unsigned char *stored)
{
    value = value > OR_HALF_MAX ? OR_HALF_MAX : value < -OR_HALF_MAX ? -OR_HALF_MAX : value;
    const uint16_t half = or_half_nearest(value);
    memcpy(stored, &half, sizeof half);
    return or_half_value(half);
}

#endif
