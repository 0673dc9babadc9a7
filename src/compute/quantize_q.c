/* quantize_q.c - makes blocks of 32 numbers. The scale is fitted, stored as a half, and the numbers are then
 * chosen for the scale as stored. */
#include "quantize.h"
#include "blocks.h"
#include "fit.h"
#include "half.h"

#include <math.h>

/* So fine that a search gains nothing: the greatest number becomes 127. or_fit_numbers()
 * counts from the lowest level, -127. */
void or_quantize_q8_0(const float *x, unsigned char *block)
{
    float greatest = 0.0f;
    for (size_t i = 0; i < OR_BLOCK; i++) greatest = fabsf(x[i]) > greatest ? fabsf(x[i]) : greatest;
    const or_levels levels = {or_half_store(greatest / 127.0f, block), 0.0f, -127, 127};
    unsigned char numbers[OR_BLOCK];
    or_fit_numbers(x, OR_BLOCK, &levels, numbers);
    for (size_t i = 0; i < OR_BLOCK; i++) block[2 + i] = (unsigned char)(numbers[i] - 127);
}

/* Types with m fit a range; those without fit a scale for numbers centred at `zero`, which has one level
 * more below than above. */
static void quantize_block(const float *x, const or_block *type, unsigned char *block)
{
    const int high = type->high ? 31 : 15;
    or_fit fit;
    or_fit_prepare(&fit, x, OR_BLOCK);
    or_levels levels =
        type->m ? or_fit_range(&fit, high, false) : or_fit_scale(&fit, -type->zero, high - type->zero);
    levels.scale = or_half_store(levels.scale, block);
    if (type->m) levels.offset = or_half_store(levels.offset, block + type->m);

    unsigned char numbers[OR_BLOCK];
    or_fit_numbers(x, OR_BLOCK, &levels, numbers);
    uint32_t fifths = 0;
    for (int i = 0; i < OR_BLOCK; i++) fifths |= (uint32_t)(numbers[i] >> 4) << i;
    if (type->high) memcpy(block + type->high, &fifths, sizeof fifths);
    for (size_t i = 0; i < OR_BLOCK / 2; i++)
        block[type->q + i] = (unsigned char)((numbers[i] & 15) | (numbers[i + OR_BLOCK / 2] & 15) << 4);
}

void or_quantize_q4_0(const float *x, unsigned char *block)
{
    quantize_block(x, &or_block_q4_0, block);
}

void or_quantize_q4_1(const float *x, unsigned char *block)
{
    quantize_block(x, &or_block_q4_1, block);
}

void or_quantize_q5_0(const float *x, unsigned char *block)
{
    quantize_block(x, &or_block_q5_0, block);
}

void or_quantize_q5_1(const float *x, unsigned char *block)
{
    quantize_block(x, &or_block_q5_1, block);
}
