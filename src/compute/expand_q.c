/* expand_q.c - widens blocks of 32 numbers. Arithmetic is float32 in the order that blocks.h gives. */
#include "expand.h"
#include "half.h"

/* The numbers are signed bytes as they are: there is nothing to unpack. */
OR_CLONES void or_expand_q8_0(const unsigned char *block, size_t count, float *out)
{
    for (size_t from = 0; from < count; from += OR_BLOCK, block += 2 + OR_BLOCK) {
        const float d = or_half_load(block);
        for (size_t i = 0; i < OR_BLOCK; i++) out[from + i] = d * (float)(signed char)block[2 + i];
    }
}

/* Numbers 0-15 from the low halves of the 16 bytes, numbers 16-31 from the high ones. */
OR_INLINE void unpack_nibbles(const unsigned char *q, uint64_t *words)
{
    const uint64_t first = or_load_word(q), second = or_load_word(q + 8);
    words[0] = first & OR_EACH_BYTE(15);
    words[1] = second & OR_EACH_BYTE(15);
    words[2] = first >> 4 & OR_EACH_BYTE(15);
    words[3] = second >> 4 & OR_EACH_BYTE(15);
}

/* Eight bits to the fifth bits of eight bytes: byte i keeps bit i of its copy, and a bit that is set carries
 * into the byte's highest when 127 is added. */
OR_INLINE uint64_t spread_fifths(unsigned char bits)
{
    const uint64_t kept = OR_EACH_BYTE(bits) & 0x8040201008040201u;
    return ((kept + OR_EACH_BYTE(0x7f)) & OR_EACH_BYTE(0x80)) >> 3;
}

/* Eight blocks at a time, as many as or_unpacked holds: each is one of its parts. The last few may be
 * fewer. `type` is constant where this is built in. */
OR_INLINE void expand_blocks(const unsigned char *restrict block, size_t count, const or_block *type,
                             float *out)
{
    enum { AT_ONCE = OR_SUPERBLOCK / OR_BLOCK };
    or_unpacked unpacked;
    for (size_t blocks = count / OR_BLOCK; blocks > 0;) {
        const size_t n = blocks < AT_ONCE ? blocks : AT_ONCE;
        for (size_t b = 0; b < n; b++, block += type->bytes) {
            uint64_t *words = unpacked.words + b * (OR_BLOCK / 8);
            unpack_nibbles(block + type->q, words);
            if (type->high)
                for (size_t i = 0; i < OR_BLOCK / 8; i++) words[i] |= spread_fifths(block[type->high + i]);
            unpacked.scale[b] = or_half_load(block);
            unpacked.offset[b] = type->m ? or_half_load(block + type->m) : -0.0f;
        }
        or_unpacked_widen(&unpacked, n, OR_BLOCK, type->zero, out);
        out += n * OR_BLOCK;
        blocks -= n;
    }
}

OR_CLONES void or_expand_q4_0(const unsigned char *block, size_t count, float *out)
{
    expand_blocks(block, count, &or_block_q4_0, out);
}

OR_CLONES void or_expand_q4_1(const unsigned char *block, size_t count, float *out)
{
    expand_blocks(block, count, &or_block_q4_1, out);
}

OR_CLONES void or_expand_q5_0(const unsigned char *block, size_t count, float *out)
{
    expand_blocks(block, count, &or_block_q5_0, out);
}

OR_CLONES void or_expand_q5_1(const unsigned char *block, size_t count, float *out)
{
    expand_blocks(block, count, &or_block_q5_1, out);
}
