/* vector.h - how loops are written here so that the compiler makes vectors of them and every machine gets the
 * same bits.
 *
 * A float sum is kept in OR_LANES partial sums, lane i adding elements i, i + OR_LANES, ...; the lanes are
 * then added pairwise. The order is in the source, so SSE2, AVX2 and AVX-512 give equal results, and with
 * -ffp-contract=off no multiply-add is fused on one machine and not on another. OR_CLONES makes the compiler
 * build a function once per instruction set; the loader takes the best one that runs.
 */
#ifndef OFFRAMP_COMPUTE_VECTOR_H
#define OFFRAMP_COMPUTE_VECTOR_H

#include <stdint.h>
#include <string.h>

enum { OR_LANES = 16 };

#if defined(__x86_64__) && !defined(OFFRAMP_SANITIZE) /* sanitizers cannot start before ifunc resolvers */
#define OR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define OR_CLONES
#endif

/* A helper of OR_CLONES functions: built into each of them, so for its instruction set, and with its
 * constants. */
#define OR_INLINE static inline __attribute__((always_inline))

/* The lanes added pairwise: 16 -> 8 -> 4 -> 2 -> 1. Overwrites them. */
static inline float or_lanes_sum(float lanes[OR_LANES])
{
    for (int half = OR_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* e^x to about 2 units in the last place, branch-free so that loops over it become vectors. Below -87 it is
 * e^-87 (1.6e-38), which a softmax does not see; above 88 it is e^88.
 * x = n ln2 + r, |r| <= ln2/2; e^r by a polynomial (Cephes expf's coefficients); times 2^n by the exponent. */
static inline float or_exp(float x)
{
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    float shifted = x * 1.44269504088896341f + round;
    float n = shifted - round;
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits; /* n as the low bits of `shifted` have it: a NaN, which is no integer, stays one in p */
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float power; /* 2^n */
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

#endif
