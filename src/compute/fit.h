/* fit.h - which few levels stand for 16 or 32 numbers with the least error: shared by all quantised types.
 *
 * The levels are scale * q + offset for the whole numbers q in low .. high. The error of a choice is the sum
 * of weight * (x - level)^2, the weight growing with |x|, as large weights move a layer's output most.
 */
#ifndef OFFRAMP_COMPUTE_FIT_H
#define OFFRAMP_COMPUTE_FIT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct or_levels {
    float scale, offset;
    int low, high;
} or_levels;

/* Numbers made ready: divided by the greatest magnitude, `unit`, so that no square overflows or vanishes. */
typedef struct or_fit {
    float x[32], weight[32];
    size_t n; /* 16 or 32 */
    float unit;
} or_fit;

void or_fit_prepare(or_fit *fit, const float *x, size_t n);

/* The best levels without offset, of either sign of scale. No number is off by more than one step of the
 * widest levels needed, unit / -low. */
or_levels or_fit_scale(const or_fit *fit, int low, int high);

/* The best levels 0 .. high times a positive scale, plus an offset, which may be asked not to be positive. No
 * number is off by more than a step of levels that just span the numbers. */
or_levels or_fit_range(const or_fit *fit, int high, bool offset_negative);

/* The error of these levels, in units. */
float or_fit_error(const or_fit *fit, const or_levels *levels);

/* The nearest level of each number: q - low. */
void or_fit_numbers(const float *x, size_t n, const or_levels *levels, unsigned char *numbers);

#endif
