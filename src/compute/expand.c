/* expand.c - stored weights to float32, exactly (every f16 and bf16 value is a float). */
#include "compute.h"
#include "vector.h"

/* bf16 is the upper half of a float. */
OR_CLONES static void expand_bf16(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

/* f16: sign, 5 exponent bits (bias 15), 10 mantissa bits. Moving the 15 low bits into a float's place and
 * multiplying by 2^112 corrects the bias and makes subnormals normal in one step; the largest exponent (Inf,
 * NaN) must become a float's largest. */
OR_CLONES static void expand_f16(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
        float value;
        memcpy(&value, &magnitude, sizeof value);
        value *= 0x1p112f;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        bits |= (half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
        bits |= (uint32_t)(half & 0x8000) << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

void or_expand(const void *data, or_dtype dtype, size_t from, size_t count, float *out)
{
    const unsigned char *bytes = (const unsigned char *)data + or_dtype_bytes(dtype, from);
    switch (dtype) {
    case OR_F32:
        memcpy(out, bytes, count * sizeof *out);
        break;
    case OR_F16:
        expand_f16(bytes, count, out);
        break;
    case OR_BF16:
        expand_bf16(bytes, count, out);
        break;
    default:
        break; /* never a weight: or_checkpoint_require() refuses it */
    }
}
