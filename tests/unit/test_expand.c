/* test_expand.c - widening of every stored format: plain ones exhaustively, blocks against values worked out
 * by hand and against a slow decoder that shares nothing with the code under test. */
#include "support.h"
#include "slow_blocks.h"

#include "compute.h"
#include "memory.h"

#include <math.h>

/* ---- plain formats -------------------------------------------------------------------------------------- */

static void halves_expand_to_their_values(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } f16[] = {{0x0000, 0.0f},        {0x8000, -0.0f},    {0x3c00, 1.0f},         {0xc000, -2.0f},
               {0x7bff, 65504.0f},    {0x0001, 0x1p-24f}, {0x03ff, 0x1.ff8p-15f}, {0x0400, 0x1p-14f},
               {0x3555, 0x1.554p-2f}, {0x7c00, INFINITY}, {0xfc00, -INFINITY}},
      bf16[] = {
          {0x3f80, 1.0f}, {0xbf80, -1.0f}, {0x4049, 3.140625f}, {0x0001, 0x1p-133f}, {0x7f80, INFINITY}};
    unsigned char bytes[3];
    float out;
    for (size_t i = 0; i < sizeof f16 / sizeof *f16; i++) {
        memcpy(bytes + 1, &f16[i].bits, 2); /* unaligned */
        or_expand(bytes + 1, OR_F16, 0, 1, &out);
        assert_memory_equal(&out, &f16[i].value, sizeof out);
    }
    for (size_t i = 0; i < sizeof bf16 / sizeof *bf16; i++) {
        memcpy(bytes + 1, &bf16[i].bits, 2);
        or_expand(bytes + 1, OR_BF16, 0, 1, &out);
        assert_memory_equal(&out, &bf16[i].value, sizeof out);
    }
    or_expand(&(uint16_t){0x7e00}, OR_F16, 0, 1, &out);
    assert_true(isnan(out));
    or_expand(&(uint16_t){0x7fc0}, OR_BF16, 0, 1, &out);
    assert_true(isnan(out));
    const float two[] = {1.5f, -2.5f};
    or_expand(two, OR_F32, 1, 1, &out);
    assert_true(out == -2.5f);
}

/* All 65536 bit patterns in one unaligned run, against values made by ldexp(). */
static void every_half_expands(void **state)
{
    (void)state;
    enum { HALVES = 1 << 16, BEFORE = 5 };
    unsigned char *stored = or_alloc(1 + 2 * (HALVES + BEFORE), 1);
    float *f16 = or_alloc(HALVES, sizeof *f16), *bf16 = or_alloc(HALVES, sizeof *bf16);
    for (uint32_t i = 0; i < HALVES; i++) memcpy(stored + 1 + 2 * (i + BEFORE), &(uint16_t){(uint16_t)i}, 2);
    or_expand(stored + 1, OR_F16, BEFORE, HALVES, f16);
    or_expand(stored + 1, OR_BF16, BEFORE, HALVES, bf16);
    for (uint32_t i = 0; i < HALVES; i++) {
        const int exponent = (int)(i >> 10 & 31), mantissa = (int)(i & 1023);
        const double magnitude = exponent == 31  ? mantissa ? NAN : INFINITY
                                 : exponent == 0 ? ldexp(mantissa, -24)
                                                 : ldexp(1024 + mantissa, exponent - 25);
        const bool same = isnan(magnitude) ? isnan(f16[i]) : fabs((double)f16[i]) == magnitude;
        if (!same || !signbit(f16[i]) != !(i & 0x8000)) fail_msg("f16 %04x became %a", i, (double)f16[i]);
        const uint32_t bits = i << 16;
        assert_memory_equal(&bf16[i], &bits, sizeof bits);
    }
    free(stored), free(f16), free(bf16);
}

/* ---- blocks, by hand ------------------------------------------------------------------------------------ */

typedef struct hand_block {
    or_dtype dtype;
    unsigned char bytes[34];
    float values[32];
} hand_block;

/* Halves: 3800 is 0.5, 3c00 is 1, 4000 is 2, b400 is -0.25, 0001 is 2^-24. Bytes left out are 0. */
static const hand_block hand_blocks[] = {
    /* 0.5 * -128, 127, -1, 1, 0 ... */
    {OR_Q8_0, {0x00, 0x38, 0x80, 0x7f, 0xff, 0x01}, {-64, 63.5f, -0.5f, 0.5f}},
    /* -0.25 * 4, -3; the last number is -100 */
    {OR_Q8_0, {0x00, 0xb4, 0x04, 0xfd, [33] = 0x9c}, {-1, 0.75f, [31] = 25}},
    /* numbers 0, 16 of the first byte: (0 - 8), (15 - 8); of the second: (8 - 8), (1 - 8); the last: 7 - 8 */
    {OR_Q4_0,
     {0x00, 0x3c, 0xf0, 0x18, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88,
      0x70},
     {-8, 0, [15] = -8, [16] = 7, -7, [31] = -1}},
    /* d = 2^-24, the smallest half */
    {OR_Q4_0,
     {0x01, 0x00, 0xc9, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88, 0x88,
      0x88},
     {0x1p-24f, [16] = 0x1p-22f}},
    /* 0.5 * q + 1 */
    {OR_Q4_1,
     {0x00, 0x38, 0x00, 0x3c, 0xf3, [19] = 0x0e},
     {2.5f, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8, 8.5f, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    /* -0.25 * q + 2 */
    {OR_Q4_1,
     {0x00, 0xb4, 0x00, 0x40, 0x11, 0x22, 0x44, 0x88, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x4f},
     {1.75f, 1.5f, 1, 0, -1.75f, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, -1.75f,
      1.75f, 1.5f, 1, 0, -1.75f, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1}},
    /* fifth bits of numbers 0, 9, 16 and 31 are set: 16 + nibble - 16; all others are nibble - 16 */
    {OR_Q5_0,
     {0x00, 0x3c, 0x01, 0x02, 0x01, 0x80, 0x53, [21] = 0xf2},
     {3, -16, -16, -16, -16, -16, -16, -16, -16, 0,   -16, -16, -16, -16, -16, -14,
      5, -16, -16, -16, -16, -16, -16, -16, -16, -16, -16, -16, -16, -16, -16, 15}},
    /* all fifth bits set: 2 * nibble */
    {OR_Q5_0, {0x00, 0x40, 0xff, 0xff, 0xff, 0xff, 0x21, [10] = 0xf8}, {2, [4] = 16, [16] = 4, [20] = 30}},
    /* 1 * q + 0.5; fifth bits of numbers 1 and 30 */
    {OR_Q5_1,
     {0x00, 0x3c, 0x00, 0x38, 0x02, 0x00, 0x00, 0x40, 0x90, 0x0f, [22] = 0xf0},
     {0.5f, 31.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f,   .5f,
      9.5f, 0.5f,  .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f, 31.5f, .5f}},
    /* 2 * q - 0.25 */
    {OR_Q5_1,
     {0x00, 0x40, 0x00, 0xb4, 0x00, 0x00, 0x01, 0x00, 0x51},
     {1.75f, -.25f, -.25f, -.25f, -.25f, -.25f,  -.25f, -.25f, -.25f, -.25f, -.25f,
      -.25f, -.25f, -.25f, -.25f, -.25f, 41.75f, -.25f, -.25f, -.25f, -.25f, -.25f,
      -.25f, -.25f, -.25f, -.25f, -.25f, -.25f,  -.25f, -.25f, -.25f, -.25f}},
};

static void blocks_of_32_by_hand(void **state)
{
    (void)state;
    for (size_t b = 0; b < sizeof hand_blocks / sizeof *hand_blocks; b++) {
        float out[32];
        or_expand(hand_blocks[b].bytes, hand_blocks[b].dtype, 0, 32, out);
        for (size_t i = 0; i < 32; i++)
            if (out[i] != hand_blocks[b].values[i])
                fail_msg("block %zu (%s), number %zu is %a", b, or_dtype_name(hand_blocks[b].dtype), i,
                         (double)out[i]);
    }
}

/* A super-block of zeros but for these bytes, and what that makes of these numbers; number 0 is the first of
 * them, if it is there. */
typedef struct hand_superblock {
    or_dtype dtype;
    struct {
        int at;
        unsigned char byte;
    } bytes[10];
    struct {
        int at;
        float value;
    } values[6];
} hand_superblock;

static const hand_superblock hand_superblocks[] = {
    /* d 0.5, dmin 0.25. Part 0: scale 3, minimum 2. Byte 16 holds numbers 0, 32, 64, 96 (parts 0, 2, 4, 6).
     * q 3, 0, 1, 2: 0.5*3*3 - 0.25*2 = 4; part 2: scale 1, minimum 0; part 4: 0.5*15*1 - 0.25*15 = 3.75 */
    {OR_Q2_K,
     {{80, 0x00}, {81, 0x38}, {83, 0x34}, {0, 0x23}, {4, 0xff}, {16, 0x93}, {6, 0x02}},
     {{0, 4}, {1, -0.5f}, {32, 0}, {64, 3.75f}, {65, -3.75f}, {96, 2}}},
    /* d -1, dmin 0. The last part, 15: scale 2. Byte 79 holds numbers 159, 191, 223, 255: q of 255 is 2 */
    {OR_Q2_K, {{81, 0xbc}, {15, 0x02}, {79, 0x80}}, {{0, 0}, {255, -4}, {254, 0}, {223, 0}}},
    /* d 0.5. Part 0: low bits 5 (byte 96), upper bits 3 (byte 104): 53 - 32 = 21; the high bit of number 0
     * (bit 0 of byte 0) is set: 0.5*21*(3 + 4 - 4) = 31.5; of number 1 not: 0.5*21*(0 - 4) = -42. Part 1:
     * 0.5*(0 - 32)*(0 - 4) = 64. Part 8: low bits in the high half of byte 96: 9, upper bits 4-5 of byte 104:
     * 2, 41 - 32 = 9; number 128: high bit 4 of byte 0, low bits 1: 0.5*9*(1 + 4 - 4) = 4.5 */
    {OR_Q3_K,
     {{109, 0x38}, {96, 0x95}, {104, 0x23}, {0, 0x11}, {32, 0x03}, {64, 0x01}},
     {{0, 31.5f}, {1, -42}, {16, 64}, {128, 4.5f}, {129, -18}}},
    /* d 1. Part 15: low bits in the high half of byte 103: 1, upper bits 6-7 of byte 107: 3: 49 - 32 = 17;
     * number 255: low bits 6-7 of byte 95: 2, high bit 7 of byte 31 is set: 17 * 2 = 34 */
    {OR_Q3_K,
     {{109, 0x3c}, {103, 0x10}, {107, 0xc0}, {95, 0x80}, {31, 0x80}},
     {{0, 128}, {255, 34}, {254, -68}}},
    /* d 0.5, dmin 0.25. Byte 4: scale of part 0 is 5, upper bits of part 4's are 3; byte 8: minimum of part 0
     * is 7, upper bits of part 4's are 2; byte 12: low bits 10 and 9: part 4 has scale 58, minimum 41. Number
     * 0: 0.5*5*3 - 0.25*7 = 5.75; number 32 (part 1): 0; number 128: 0.5*58*2 - 0.25*41 = 47.75 */
    {OR_Q4_K,
     {{1, 0x38}, {3, 0x34}, {4, 0xc5}, {8, 0x87}, {12, 0x9a}, {16, 0xe3}, {80, 0x02}},
     {{0, 5.75f}, {1, -1.75f}, {32, 0}, {128, 47.75f}, {129, -10.25f}}},
    /* d 2, dmin -1. Part 7: scale 1 (byte 15), minimum 16 + 16 + 15 (bytes 11 and 15): 2*1*15 + 47 = 77 */
    {OR_Q4_K, {{1, 0x40}, {3, 0xbc}, {11, 0x80}, {15, 0xf1}, {143, 0xf0}}, {{0, 0}, {255, 77}, {254, 47}}},
    /* As q4_k, q 16 more where the fifth bit is set: bit 0 of byte 16 for number 0, bit 4 for number 128.
     * 0.5*5*19 - 1.75 = 45.75; 0.5*58*18 - 10.25 = 511.75 */
    {OR_Q5_K,
     {{1, 0x38}, {3, 0x34}, {4, 0xc5}, {8, 0x87}, {12, 0x9a}, {16, 0x11}, {48, 0xe3}, {112, 0x02}},
     {{0, 45.75f}, {1, -1.75f}, {32, 0}, {128, 511.75f}, {129, -10.25f}}},
    /* Number 255: bit 7 of byte 47, high half of byte 175. Part 7: scale 1: 2*1*(16 + 15) = 62 */
    {OR_Q5_K, {{1, 0x40}, {15, 0x01}, {47, 0x80}, {175, 0xf0}}, {{0, 0}, {255, 62}, {254, 0}}},
    /* d 0.5. Part 0: scale -3: number 0: low 7, high bits 0-1 of byte 128 are 2: 0.5*-3*(39 - 32) = -10.5;
     * number 1: 0.5*-3*-32 = 48. Part 4 (number 64): scale 127, high half of byte 0: 12, bits 4-5 of byte 128
     * are 3: 0.5*127*(60 - 32) = 1778 */
    {OR_Q6_K,
     {{209, 0x38}, {192, 0xfd}, {196, 0x7f}, {0, 0xc7}, {128, 0x32}},
     {{0, -10.5f}, {1, 48}, {64, 1778}, {16, 0}}},
    /* d 1. Part 15: scale -128; number 255: high half of byte 127: 0, bits 6-7 of byte 191: 0: -128*-32 =
     * 4096. Number 223 (part 13, scale 1): high half of byte 95: 5, bits 4-5 of byte 191: 1: 5 + 16 - 32 =
     * -11 */
    {OR_Q6_K,
     {{209, 0x3c}, {207, 0x80}, {205, 0x01}, {95, 0x50}, {191, 0x10}},
     {{0, 0}, {255, 4096}, {223, -11}}},
};

static void superblocks_by_hand(void **state)
{
    (void)state;
    for (size_t b = 0; b < sizeof hand_superblocks / sizeof *hand_superblocks; b++) {
        const hand_superblock *hand = &hand_superblocks[b];
        unsigned char block[210] = {0};
        float out[256];
        for (size_t i = 0; i < 10; i++)
            if (hand->bytes[i].byte) block[hand->bytes[i].at] = hand->bytes[i].byte;
        or_expand(block, hand->dtype, 0, 256, out);
        for (size_t i = 0; i < 6; i++)
            if ((i == 0 || hand->values[i].at) && out[hand->values[i].at] != hand->values[i].value)
                fail_msg("block %zu (%s), number %d is %g", b, or_dtype_name(hand->dtype), hand->values[i].at,
                         (double)out[hand->values[i].at]);
    }
}

/* ---- blocks, against the slow decoder ------------------------------------------------------------------- */

static void assert_expands(or_dtype dtype, const unsigned char *block, int i, float got)
{
    const float expected = slow_value(slow_block(dtype, block, i));
    if (isnan(expected) ? !isnan(got) : memcmp(&got, &expected, sizeof got) != 0)
        fail_msg("%s, number %d is %a, expected %a", or_dtype_name(dtype), i, (double)got, (double)expected);
}

/* Random bytes, at odd addresses, beginning behind some blocks, in runs that are and are not multiples of
 * what is widened at once. */
static void blocks_expand_as_described(void **state)
{
    (void)state;
    enum { BLOCKS = 64 };
    static const size_t runs[][2] = {{0, 1}, {1, 1}, {3, 7}, {0, 8}, {5, 9}, {2, 31}, {0, BLOCKS}};
    uint64_t seed = 1;
    unsigned char *stored = or_alloc(1 + BLOCKS * 210, 1);
    float *out = or_alloc(BLOCKS * 256 + 1, sizeof *out);
    for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) {
        const size_t block = or_dtype_block(dtype), bytes = or_dtype_block_bytes(dtype);
        for (size_t i = 0; i < 1 + BLOCKS * bytes; i++) stored[i] = (unsigned char)random_bits(&seed);
        for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
            const size_t from = runs[r][0], count = runs[r][1];
            out[count * block] = 12345.0f;
            or_expand(stored + 1, dtype, from * block, count * block, out);
            for (size_t i = 0; i < count * block; i++)
                assert_expands(dtype, stored + 1 + (from + i / block) * bytes, (int)(i % block), out[i]);
            assert_true(out[count * block] == 12345.0f);
        }
    }
    free(stored), free(out);
}

/* Where the halves of a block are; 0 twice if there is one only. */
static void find_halves(or_dtype dtype, size_t at[2])
{
    const bool k = or_dtype_block(dtype) == 256, last = dtype == OR_Q3_K || dtype == OR_Q6_K;
    const bool two = dtype == OR_Q4_1 || dtype == OR_Q5_1 || (k && !last);
    const size_t bytes = or_dtype_block_bytes(dtype);
    at[0] = last ? bytes - 2 : dtype == OR_Q2_K ? 80 : 0;
    at[1] = two ? at[0] + 2 : at[0];
}

/* Every bit pattern of the scale and of the minimum, with random numbers; some numbers of each block are
 * looked at. */
static void every_scale_expands(void **state)
{
    (void)state;
    uint64_t seed = 2;
    for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) {
        const size_t block = or_dtype_block(dtype);
        unsigned char bytes[210];
        float out[256];
        size_t at[2];
        find_halves(dtype, at);
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)random_bits(&seed);
        for (uint32_t pattern = 0; pattern < 2 << 16; pattern++) {
            const size_t half = at[pattern >> 16];
            bytes[half] = (unsigned char)pattern;
            bytes[half + 1] = (unsigned char)(pattern >> 8);
            or_expand(bytes, dtype, 0, block, out);
            for (size_t i = pattern % 29; i < block; i += 29) assert_expands(dtype, bytes, (int)i, out[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_expand_to_their_values), cmocka_unit_test(every_half_expands),
        cmocka_unit_test(blocks_of_32_by_hand),          cmocka_unit_test(superblocks_by_hand),
        cmocka_unit_test(blocks_expand_as_described),    cmocka_unit_test(every_scale_expands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
