/* quantize_k.c - makes super-blocks of 256 numbers, in three steps.
 *
 * 1. Every part is fitted by itself.
 * 2. The greatest scale of a part (and the greatest minimum) gives the unit d (dmin), and so each part's
 *    scale as a small integer; of those next to it, the one that leaves the least error is taken.
 * 3. The numbers are chosen for the scales as they are now stored.
 */
#include "quantize.h"
#include "blocks.h"
#include "fit.h"
#include "half.h"

#include <math.h>

/* A super-block in the making. */
typedef struct k_making {
    const or_superblock *type;
    const float *x;
    unsigned char *block;
    int low, high; /* of the integer scales; minima are 0 .. high */
    or_fit fits[OR_PARTS];
    or_levels levels[OR_PARTS];             /* step 1: the best of each part; step 2: as they are stored */
    int scales[OR_PARTS], minima[OR_PARTS]; /* step 2 */
} k_making;

static int parts_of(const or_superblock *type)
{
    return (int)(OR_SUPERBLOCK / type->part);
}

/* The integer in low .. high nearest to value / unit. */
static int in_units(float value, float unit, int low, int high)
{
    const or_levels levels = {unit, 0.0f, low, high};
    unsigned char above;
    or_fit_numbers(&value, 1, &levels, &above);
    return low + above;
}

/* Step 1. Types with minima take an offset <= 0, as a minimum is stored without sign and subtracted. */
static void fit_parts(k_making *making)
{
    const or_superblock *type = making->type;
    const int high = (1 << (type->low.bits + type->high.bits)) - 1;
    for (int p = 0; p < parts_of(type); p++) {
        or_fit *fit = &making->fits[p];
        or_fit_prepare(fit, making->x + (size_t)p * type->part, type->part);
        making->levels[p] =
            type->dmin ? or_fit_range(fit, high, true) : or_fit_scale(fit, -type->zero, high - type->zero);
    }
}

/* Of the integer scales and minima beside those of part p, the pair with the least error: d and dmin are
 * of all parts, so the integers nearest to a part's own levels need not be its best together. */
static void choose_integers(k_making *making, int p, float d, float dmin)
{
    or_levels *levels = &making->levels[p];
    const int scale = in_units(levels->scale, d, making->low, making->high);
    const int minimum = in_units(-levels->offset, dmin, 0, making->high), beside = making->type->dmin ? 1 : 0;
    float least = INFINITY;
    for (int s = scale - 1; s <= scale + 1; s++) {
        for (int m = minimum - beside; m <= minimum + beside; m++) {
            if (s < making->low || s > making->high || m < 0 || m > making->high) continue;
            const or_levels tried = {d * (float)s, -(dmin * (float)m), levels->low, levels->high};
            const float error = or_fit_error(&making->fits[p], &tried);
            if (!(error < least)) continue;
            least = error;
            making->scales[p] = s;
            making->minima[p] = m;
        }
    }
    levels->scale = d * (float)making->scales[p];
    levels->offset = -(dmin * (float)making->minima[p]);
}

/* Step 2. The scale of greatest magnitude becomes the integer of greatest magnitude: `high`, or `low`
 * where scales have a sign. From here on d and dmin are what half precision made of them. */
static void fit_scales(k_making *making)
{
    const or_superblock *type = making->type;
    float scale = 0.0f, minimum = 0.0f;
    for (int p = 0; p < parts_of(type); p++) {
        if (fabsf(making->levels[p].scale) > fabsf(scale)) scale = making->levels[p].scale;
        if (-making->levels[p].offset > minimum) minimum = -making->levels[p].offset;
    }
    const float d =
        or_half_store(scale / (float)(making->low < 0 ? making->low : making->high), making->block + type->d);
    float dmin = 0.0f;
    if (type->dmin) dmin = or_half_store(minimum / (float)making->high, making->block + type->dmin);
    for (int p = 0; p < parts_of(type); p++) choose_integers(making, p, d, dmin);
}

/* Step 3. The block is zeroed, so numbers are put in by OR: those that share bytes come from several runs. */
static void store_numbers(const k_making *making)
{
    const or_superblock *type = making->type;
    unsigned char numbers[OR_SUPERBLOCK];
    for (int p = 0; p < parts_of(type); p++) {
        const size_t at = (size_t)p * type->part;
        or_fit_numbers(making->x + at, type->part, &making->levels[p], numbers + at);
    }
    for (int i = 0; i < OR_SUPERBLOCK; i++) {
        const int run = i / OR_RUN, low = numbers[i] & ((1 << type->low.bits) - 1);
        unsigned char *byte = making->block + or_run_byte(&type->low, run) + i % OR_RUN;
        *byte = (unsigned char)(*byte | low << or_run_shift(&type->low, run));
        if (type->high.bits == 0) continue;
        byte = making->block + or_run_byte(&type->high, run) + i % OR_RUN;
        *byte = (unsigned char)(*byte | numbers[i] >> type->low.bits << or_run_shift(&type->high, run));
    }
}

/* All but the packing of the scales, which is every type's own. */
static void make(k_making *making)
{
    memset(making->block, 0, making->type->bytes);
    fit_parts(making);
    fit_scales(making);
    store_numbers(making);
}

/* The packing of the scales, as blocks.h has it; the functions differ in it and in the integers' range. */
void or_quantize_q2_k(const float *x, unsigned char *block)
{
    k_making making = {.type = &or_block_q2_k, .x = x, .block = block, .high = 15};
    make(&making);
    for (int p = 0; p < 16; p++)
        block[or_block_q2_k.scales + (size_t)p] = (unsigned char)(making.scales[p] | making.minima[p] << 4);
}

/* Stored 32 too high, so that six bits without sign hold -32 .. 31. */
void or_quantize_q3_k(const float *x, unsigned char *block)
{
    k_making making = {.type = &or_block_q3_k, .x = x, .block = block, .low = -32, .high = 31};
    make(&making);
    unsigned char *packed = block + or_block_q3_k.scales;
    for (int p = 0; p < 16; p++) {
        const int scale = making.scales[p] + 32;
        packed[p % 8] = (unsigned char)(packed[p % 8] | (scale & 15) << (p / 8 * 4));
        packed[8 + p % 4] = (unsigned char)(packed[8 + p % 4] | scale >> 4 << (p / 4 * 2));
    }
}

/* Parts p and 4 + p in one turn: they share bytes. */
static void quantize_q4_or_q5(const float *x, const or_superblock *type, unsigned char *block)
{
    k_making making = {.type = type, .x = x, .block = block, .high = 63};
    make(&making);
    unsigned char *packed = block + type->scales;
    for (int p = 0; p < 4; p++) {
        const int scale = making.scales[4 + p], minimum = making.minima[4 + p];
        packed[p] = (unsigned char)(making.scales[p] | scale >> 4 << 6);
        packed[4 + p] = (unsigned char)(making.minima[p] | minimum >> 4 << 6);
        packed[8 + p] = (unsigned char)((scale & 15) | (minimum & 15) << 4);
    }
}

void or_quantize_q4_k(const float *x, unsigned char *block)
{
    quantize_q4_or_q5(x, &or_block_q4_k, block);
}

void or_quantize_q5_k(const float *x, unsigned char *block)
{
    quantize_q4_or_q5(x, &or_block_q5_k, block);
}

void or_quantize_q6_k(const float *x, unsigned char *block)
{
    k_making making = {.type = &or_block_q6_k, .x = x, .block = block, .low = -128, .high = 127};
    make(&making);
    for (int p = 0; p < 16; p++) block[or_block_q6_k.scales + (size_t)p] = (unsigned char)making.scales[p];
}
