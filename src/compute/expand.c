/* expand.c - stored weights to float32: the plain formats, and the table of all. Exact for the plain ones
 * (every f16 and bf16 value is a float); what the block-quantised ones mean is said in expand_q.c and
 * expand_k.c. */
#include "compute.h"
#include "expand.h"
#include "half.h"
#include "vector.h"

static void expand_f32(const unsigned char *data, size_t count, float *out)
{
    memcpy(out, data, count * sizeof *out);
}

OR_CLONES static void expand_f16(const unsigned char *data, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) out[i] = or_half_load(data + 2 * i);
}

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

static void (*const table[OR_DTYPE_OTHER])(const unsigned char *data, size_t count, float *out) = {
    [OR_F32] = expand_f32,      [OR_F16] = expand_f16,      [OR_BF16] = expand_bf16,
    [OR_Q8_0] = or_expand_q8_0, [OR_Q4_0] = or_expand_q4_0, [OR_Q4_1] = or_expand_q4_1,
    [OR_Q5_0] = or_expand_q5_0, [OR_Q5_1] = or_expand_q5_1, [OR_Q2_K] = or_expand_q2_k,
    [OR_Q3_K] = or_expand_q3_k, [OR_Q4_K] = or_expand_q4_k, [OR_Q5_K] = or_expand_q5_k,
    [OR_Q6_K] = or_expand_q6_k,
};

/* `from` is whole blocks, so the first one begins at a byte. */
void or_expand(const void *data, or_dtype dtype, size_t from, size_t count, float *out)
{
    if (dtype >= OR_DTYPE_OTHER) return; /* never a weight: or_checkpoint_require() refuses it */
    table[dtype]((const unsigned char *)data + or_dtype_bytes(dtype, from), count, out);
}
