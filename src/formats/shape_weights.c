/* shape_weights.c - random weights that are of a trained model's size, as fast as memory takes them.
 *
 * Elements have mean 0 and variance 1 / columns, so that a product with a normed state is of about that
 * state's size, and states stay finite through any number of layers. The plain types are uniform. Blocks of
 * the quantised types are random bytes but for their scales: a scale d gives d * spread as the deviation of
 * what random bytes mean.
 *
 * A tensor begins with up to 1 MiB of such weights (and a row at least), which are repeated. The piece that
 * is repeated is a block longer than whole rows, so that no two rows are equal before all blocks have been
 * the first of one.
 */
#include "checkpoint_internal.h"

#include "random.h"
#include "threads.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

enum { PIECE = 1 << 20 };

/* Where the scales of a block lie, in bytes from its start (src/compute/blocks.h says what all of it
 * means), and the deviation of a random block with d = 1, of independent uniform fields: q8_0 sqrt((256^2 -
 * 1) / 12), and so on; for a value d * sc * q - dmin * m the variance is E[sc^2] E[q^2] + low^2 E[m^2] - 2
 * low E[sc] E[q] E[m]. `low` is the second scale in units of the first, such that the mean is 0; where
 * there is none, signs of d make it so. */
static const struct layout {
    size_t d, second; /* second 0: none */
    float low, spread;
} layouts[OR_DTYPE_OTHER] = {
    [OR_Q8_0] = {.d = 0, .spread = 73.9f},
    [OR_Q4_0] = {.d = 0, .spread = 4.64f},
    [OR_Q4_1] = {.d = 0, .second = 2, .low = -7.5f, .spread = 4.61f},
    [OR_Q5_0] = {.d = 0, .spread = 9.25f},
    [OR_Q5_1] = {.d = 0, .second = 2, .low = -15.5f, .spread = 9.23f},
    [OR_Q2_K] = {.d = 80, .second = 82, .low = 1.5f, .spread = 13.9f},
    [OR_Q3_K] = {.d = 108, .spread = 43.3f},
    [OR_Q4_K] = {.d = 0, .second = 2, .low = 7.5f, .spread = 258},
    [OR_Q5_K] = {.d = 0, .second = 2, .low = 15.5f, .spread = 527},
    [OR_Q6_K] = {.d = 208, .spread = 1366},
};

/* Half precision, rounded towards zero, of a number below 65504: below 2^-14 the bits count 2^-24ths, above
 * them the exponent's bias changes from 127 to 15. */
static uint16_t half_of(float value)
{
    const float magnitude = fabsf(value);
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    const uint32_t half = magnitude < 0x1p-14f ? (uint32_t)(magnitude * 0x1p24f) : (bits - 0x38000000u) >> 13;
    return (uint16_t)(half | (value < 0 ? 0x8000u : 0));
}

static void put_half(unsigned char *at, float value)
{
    const uint16_t half = half_of(value);
    memcpy(at, &half, sizeof half);
}

/* A number of f32, f16 or bf16, which is the upper half of a float. */
static void put_number(or_dtype dtype, float value, unsigned char *at)
{
    unsigned char bytes[sizeof value];
    memcpy(bytes, &value, sizeof value);
    if (dtype == OR_F32)
        memcpy(at, bytes, 4);
    else if (dtype == OR_BF16)
        memcpy(at, bytes + 2, 2);
    else
        put_half(at, value);
}

/* Uniform in +-sqrt(3 / columns). 2^32 draws are even about 0, so no number is. */
static void put_numbers(or_dtype dtype, float deviation, size_t count, uint64_t *state, unsigned char *at)
{
    const float step = sqrtf(3) * deviation * 0x1p-31f;
    const size_t size = or_dtype_block_bytes(dtype);
    for (size_t i = 0; i < count; i++) {
        const int32_t drawn = (int32_t)(or_random(state) >> 32);
        put_number(dtype, ((float)drawn + 0.5f) * step, at + i * size);
    }
}

static void put_blocks(or_dtype dtype, float deviation, size_t count, uint64_t *state, unsigned char *at)
{
    const struct layout *layout = &layouts[dtype];
    const size_t size = or_dtype_block_bytes(dtype);
    for (size_t i = 0; i < count * size; i += sizeof(uint64_t)) {
        const uint64_t bytes = or_random(state);
        memcpy(at + i, &bytes, count * size - i < sizeof bytes ? count * size - i : sizeof bytes);
    }
    for (size_t i = 0; i < count; i++, at += size) {
        const float d = (or_random(state) & 1 ? deviation : -deviation) / layout->spread;
        put_half(at + layout->d, d);
        if (layout->second) put_half(at + layout->second, layout->low * d);
    }
}

/* Vectors are the norms': ones. */
static void put_ones(size_t count, unsigned char *at)
{
    for (size_t i = 0; i < count; i++) put_number(OR_F32, 1, at + i * sizeof(float));
}

/* Blocks of the piece that is repeated: whole rows and one block. */
static size_t piece_blocks(size_t row_blocks, size_t block_bytes)
{
    const size_t rows = PIECE / (row_blocks * block_bytes);
    return (rows ? rows : 1) * row_blocks + 1;
}

/* The copies are shared by the threads, each of which touches its pages first. */
void or_shape_fill(const or_tensor *tensor, unsigned char *data)
{
    const size_t block = or_dtype_block(tensor->dtype), size = or_dtype_block_bytes(tensor->dtype);
    if (tensor->n_dims == 1) {
        put_ones((size_t)tensor->dims[0], data);
        return;
    }
    const size_t blocks = tensor->bytes / size, columns = (size_t)tensor->dims[1];
    size_t first = piece_blocks(columns / block, size);
    if (first > blocks) first = blocks;
    uint64_t state = XXH3_64bits(tensor->name, strlen(tensor->name));
    (block == 1 ? put_numbers : put_blocks)(tensor->dtype, 1 / sqrtf((float)columns), first, &state, data);

    const size_t piece = first * size, pieces = (tensor->bytes + piece - 1) / piece;
#pragma omp parallel for schedule(static) num_threads(or_threads()) if (pieces > 8)
    for (size_t p = 1; p < pieces; p++) {
        const size_t left = tensor->bytes - p * piece;
        memcpy(data + p * piece, data, left < piece ? left : piece);
    }
}
