/* slow_blocks.h - the block-quantised formats once more, number by number, straight from their description in
 * ggml's documentation and with none of the code under test: the oracle for widening and quantising. */
#ifndef OFFRAMP_TESTS_SLOW_BLOCKS_H
#define OFFRAMP_TESTS_SLOW_BLOCKS_H

#include <offramp/dtype.h>

#include <math.h>
#include <stdint.h>

/* value = scale * q - minimum; q may be low .. high. */
typedef struct slow_number {
    float scale, minimum;
    int q, low, high;
} slow_number;

static inline float slow_half(const unsigned char *bytes)
{
    const int bits = bytes[0] + 256 * bytes[1], exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double magnitude = exponent == 31  ? mantissa ? NAN : INFINITY
                             : exponent == 0 ? ldexp(mantissa, -24)
                                             : ldexp(1024 + mantissa, exponent - 25);
    return (float)(bits & 0x8000 ? -magnitude : magnitude);
}

static inline int slow_signed(unsigned char byte)
{
    return byte < 128 ? byte : byte - 256;
}

/* q4_k and q5_k: integer scale (which = 0) or minimum (which = 1) of a part, of twelve bytes. */
static inline int slow_six_bits(const unsigned char *scales, int part, int which)
{
    if (part < 4) return scales[4 * which + part] % 64;
    const int low = which ? scales[4 + part] / 16 : scales[4 + part] % 16;
    return low + 16 * (scales[4 * which + part - 4] / 64);
}

/* Number i, 0 .. 31, of a block. */
static inline slow_number slow_of_32(or_dtype dtype, const unsigned char *b, int i)
{
    if (dtype == OR_Q8_0) /* -128 can be read, but is not written */
        return (slow_number){slow_half(b), 0, slow_signed(b[2 + i]), -127, 127};
    const bool five = dtype == OR_Q5_0 || dtype == OR_Q5_1, offset = dtype == OR_Q4_1 || dtype == OR_Q5_1;
    const int high_at = offset ? 4 : 2, q_at = high_at + (five ? 4 : 0), levels = five ? 32 : 16;
    const int nibble = i < 16 ? b[q_at + i] % 16 : b[q_at + i - 16] / 16;
    const int fifth = five ? b[high_at + i / 8] >> i % 8 & 1 : 0, zero = offset ? 0 : levels / 2;
    return (slow_number){slow_half(b), offset ? -slow_half(b + 2) : 0.0f, nibble + 16 * fifth - zero, -zero,
                         levels - 1 - zero};
}

/* Number i, 0 .. 255, of a super-block. */
static inline slow_number slow_of_256(or_dtype dtype, const unsigned char *b, int i)
{
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32, part = i / 16;
    switch (dtype) {
    case OR_Q2_K: /* scales 0, q 16, d 80, dmin 82 */
        return (slow_number){slow_half(b + 80) * (float)(b[part] % 16),
                             slow_half(b + 82) * (float)(b[part] / 16),
                             b[16 + 32 * half + l] >> 2 * quarter & 3, 0, 3};
    case OR_Q3_K: { /* high bits 0, q 32, scales 96, d 108 */
        const unsigned char *scales = b + 96;
        const int low = part < 8 ? scales[part] % 16 : scales[part - 8] / 16;
        const int scale = low + 16 * (scales[8 + part % 4] >> part / 4 * 2 & 3) - 32;
        const int q = (b[32 + 32 * half + l] >> 2 * quarter & 3) + 4 * (b[l] >> (4 * half + quarter) & 1) - 4;
        return (slow_number){slow_half(b + 108) * (float)scale, 0, q, -4, 3};
    }
    case OR_Q4_K:   /* d 0, dmin 2, scales 4, q 16 */
    case OR_Q5_K: { /* high bits 16, q 48 */
        const bool five = dtype == OR_Q5_K;
        const unsigned char byte = b[(five ? 48 : 16) + i / 64 * 32 + l];
        const int nibble = i % 64 < 32 ? byte % 16 : byte / 16, fifth = five ? b[16 + l] >> i / 32 & 1 : 0;
        return (slow_number){slow_half(b) * (float)slow_six_bits(b + 4, i / 32, 0),
                             slow_half(b + 2) * (float)slow_six_bits(b + 4, i / 32, 1), nibble + 16 * fifth,
                             0, five ? 31 : 15};
    }
    default: { /* q6_k: q 0, high bits 128, scales 192, d 208 */
        const unsigned char byte = b[64 * half + 32 * (quarter % 2) + l];
        const int nibble = quarter < 2 ? byte % 16 : byte / 16;
        const int q = nibble + 16 * (b[128 + 32 * half + l] >> 2 * quarter & 3) - 32;
        return (slow_number){slow_half(b + 208) * (float)slow_signed(b[192 + part]), 0, q, -32, 31};
    }
    }
}

static inline slow_number slow_block(or_dtype dtype, const unsigned char *block, int i)
{
    return or_dtype_block(dtype) == 32 ? slow_of_32(dtype, block, i) : slow_of_256(dtype, block, i);
}

static inline float slow_value(slow_number number)
{
    return number.scale * (float)number.q - number.minimum;
}

#endif
