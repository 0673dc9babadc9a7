/* expand_k.c - widens super-blocks of 256 numbers. Arithmetic is float32 in the order that blocks.h gives.
 *
 * Every format does the same with a super-block: each part's scale and minimum become floats (how they are
 * packed is all that differs), the numbers are unpacked to bytes, and both are put together by
 * or_unpacked_widen().
 */
#include "expand.h"
#include "half.h"

/* The numbers, run by run, low bits and then the high ones above them. `type` is constant where this is
 * built in, so branches and shifts are resolved. */
OR_INLINE void unpack_numbers(const unsigned char *restrict block, const or_superblock *type, or_unpacked *to)
{
    for (int run = 0; run < OR_SUPERBLOCK / OR_RUN; run++) {
        const unsigned char *low = block + or_run_byte(&type->low, run);
        const int low_shift = or_run_shift(&type->low, run);
        uint64_t *words = to->words + run * (OR_RUN / 8);
        for (size_t i = 0; i < OR_RUN / 8; i++)
            words[i] = or_load_word(low + 8 * i) >> low_shift & OR_EACH_BYTE((1 << type->low.bits) - 1);
        if (type->high.bits == 0) continue;
        const unsigned char *high = block + or_run_byte(&type->high, run);
        const int high_shift = or_run_shift(&type->high, run);
        for (size_t i = 0; i < OR_RUN / 8; i++)
            words[i] |= (or_load_word(high + 8 * i) >> high_shift & OR_EACH_BYTE((1 << type->high.bits) - 1))
                        << type->low.bits;
    }
}

/* Part p has byte p of the scales: scale below, minimum above. */
OR_CLONES void or_expand_q2_k(const unsigned char *block, size_t count, float *out)
{
    or_unpacked unpacked;
    for (size_t from = 0; from < count; from += OR_SUPERBLOCK, block += or_block_q2_k.bytes) {
        const unsigned char *scales = block + or_block_q2_k.scales;
        const float d = or_half_load(block + or_block_q2_k.d),
                    dmin = or_half_load(block + or_block_q2_k.dmin);
        for (int p = 0; p < 16; p++) {
            unpacked.scale[p] = d * (float)(scales[p] & 15);
            unpacked.offset[p] = -(dmin * (float)(scales[p] >> 4));
        }
        unpack_numbers(block, &or_block_q2_k, &unpacked);
        or_unpacked_widen(&unpacked, 16, 16, 0, out + from);
    }
}

/* Scales of six bits in two places, stored 32 too high; no minima. */
OR_CLONES void or_expand_q3_k(const unsigned char *block, size_t count, float *out)
{
    or_unpacked unpacked;
    for (size_t from = 0; from < count; from += OR_SUPERBLOCK, block += or_block_q3_k.bytes) {
        const unsigned char *scales = block + or_block_q3_k.scales;
        const float d = or_half_load(block + or_block_q3_k.d);
        for (int p = 0; p < 16; p++) {
            const int low = scales[p % 8] >> (p / 8 * 4) & 15, high = scales[8 + p % 4] >> (p / 4 * 2) & 3;
            unpacked.scale[p] = d * (float)((low | high << 4) - 32);
            unpacked.offset[p] = -0.0f;
        }
        unpack_numbers(block, &or_block_q3_k, &unpacked);
        or_unpacked_widen(&unpacked, 16, 16, or_block_q3_k.zero, out + from);
    }
}

/* q4_k and q5_k differ in the number's bits only. Each turn unpacks two parts, p and 4 + p: the lower ones
 * have their six bits in one byte, the upper ones four of them in the third group and two above the lower
 * parts' bits. */
OR_INLINE void expand_q4_or_q5(const unsigned char *block, size_t count, const or_superblock *type,
                               float *out)
{
    or_unpacked unpacked;
    for (size_t from = 0; from < count; from += OR_SUPERBLOCK, block += type->bytes) {
        const unsigned char *scales = block + type->scales;
        const float d = or_half_load(block + type->d), dmin = or_half_load(block + type->dmin);
        for (int p = 0; p < 4; p++) {
            const unsigned char first = scales[p], second = scales[4 + p], third = scales[8 + p];
            unpacked.scale[p] = d * (float)(first & 63);
            unpacked.offset[p] = -(dmin * (float)(second & 63));
            unpacked.scale[4 + p] = d * (float)((third & 15) | first >> 6 << 4);
            unpacked.offset[4 + p] = -(dmin * (float)(third >> 4 | second >> 6 << 4));
        }
        unpack_numbers(block, type, &unpacked);
        or_unpacked_widen(&unpacked, 8, 32, 0, out + from);
    }
}

OR_CLONES void or_expand_q4_k(const unsigned char *block, size_t count, float *out)
{
    expand_q4_or_q5(block, count, &or_block_q4_k, out);
}

OR_CLONES void or_expand_q5_k(const unsigned char *block, size_t count, float *out)
{
    expand_q4_or_q5(block, count, &or_block_q5_k, out);
}

/* Scales are signed bytes; no minima. */
OR_CLONES void or_expand_q6_k(const unsigned char *block, size_t count, float *out)
{
    or_unpacked unpacked;
    for (size_t from = 0; from < count; from += OR_SUPERBLOCK, block += or_block_q6_k.bytes) {
        const unsigned char *scales = block + or_block_q6_k.scales;
        const float d = or_half_load(block + or_block_q6_k.d);
        for (int p = 0; p < 16; p++) {
            unpacked.scale[p] = d * (float)(signed char)scales[p];
            unpacked.offset[p] = -0.0f;
        }
        unpack_numbers(block, &or_block_q6_k, &unpacked);
        or_unpacked_widen(&unpacked, 16, 16, or_block_q6_k.zero, out + from);
    }
}
