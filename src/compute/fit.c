/* fit.c - the least-squares choice of levels.
 *
 * For given levels the nearest one of each number is plain; for given nearest ones the best scale and offset
 * are a linear regression. So a fit begins with several scales round the one at which the numbers' range is
 * just covered (a little clipping at the ends buys finer steps), improves each by a regression, and keeps the
 * best.
 */
#include "fit.h"
#include "vector.h"

#include <math.h>

/* Weighted sums over the numbers, q being each number's nearest level. */
typedef struct fit_sums {
    float one, q, qq, x, xq;
    float error; /* (x - level)^2 */
    float worst; /* greatest |x - level|, not weighted */
} fit_sums;

/* Rounds |value| < 2^22: what the addition pushes out is rounded off, to even. */
OR_INLINE float nearest(float value)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23 */
    return value + shift - shift;
}

/* The comparisons are such that NaN becomes `low`. */
OR_INLINE float nearest_level(float value, float low, float high)
{
    value = value > low ? value : low;
    value = value < high ? value : high;
    return nearest(value);
}

/* The sums of all numbers for these levels, each number at its nearest level; in lanes (vector.h). A scale
 * of 0, which blocks of zeros have, puts all numbers at level 0 or the nearest there is. */
OR_CLONES static void measure(const or_fit *fit, const or_levels *levels, fit_sums *sums)
{
    float one[OR_LANES] = {0}, q[OR_LANES] = {0}, qq[OR_LANES] = {0}, x[OR_LANES] = {0}, xq[OR_LANES] = {0};
    float error[OR_LANES] = {0}, worst[OR_LANES] = {0};
    const float scale = levels->scale, offset = levels->offset;
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    const float low = (float)levels->low, high = (float)levels->high;
    for (size_t i = 0; i < fit->n; i += OR_LANES) {
        for (size_t l = 0; l < OR_LANES; l++) {
            const float value = fit->x[i + l], weight = fit->weight[i + l];
            const float level = nearest_level((value - offset) * inverse, low, high);
            const float off = fabsf(value - (scale * level + offset));
            one[l] += weight;
            q[l] += weight * level;
            qq[l] += weight * level * level;
            x[l] += weight * value;
            xq[l] += weight * value * level;
            error[l] += weight * off * off;
            worst[l] = off > worst[l] ? off : worst[l];
        }
    }
    for (size_t half = OR_LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++) worst[l] = worst[l + half] > worst[l] ? worst[l + half] : worst[l];
    sums->worst = worst[0];
    sums->one = or_lanes_sum(one);
    sums->q = or_lanes_sum(q);
    sums->qq = or_lanes_sum(qq);
    sums->x = or_lanes_sum(x);
    sums->xq = or_lanes_sum(xq);
    sums->error = or_lanes_sum(error);
}

/* A weight is the mean magnitude plus the number's own, so that small numbers count, too. */
void or_fit_prepare(or_fit *fit, const float *x, size_t n)
{
    float greatest = 0.0f, mean = 0.0f;
    for (size_t i = 0; i < n; i++) greatest = fabsf(x[i]) > greatest ? fabsf(x[i]) : greatest;
    for (size_t i = 0; i < n; i++) {
        fit->x[i] = greatest > 0.0f ? x[i] / greatest : 0.0f;
        mean += fabsf(fit->x[i]) / (float)n;
    }
    for (size_t i = 0; i < n; i++) fit->weight[i] = mean + fabsf(fit->x[i]);
    fit->n = n;
    fit->unit = greatest;
}

/* A search: the best levels so far, and the greatest error of a single number that it allows. */
typedef struct fit_search {
    const or_fit *fit;
    or_levels best;
    float error, allowed;
} fit_search;

/* Takes the levels if they are better. `sums` are those of the levels. */
static void consider(fit_search *search, const or_levels *levels, fit_sums *sums)
{
    measure(search->fit, levels, sums);
    if (sums->worst > search->allowed || !(sums->error < search->error)) return;
    search->error = sums->error;
    search->best = *levels;
}

enum { STARTS = 5 }; /* ranges from one step more than is there, by half steps downwards to one less */

/* Both signs are tried, as low .. high has one step more below zero than above: the sign says which end of
 * the numbers gets it. Numbers are in units, the greatest 1, so 1 / -low is a step; the start with -low
 * steps is off by one step at most, so something is always allowed (1.00001: but for rounding). */
or_levels or_fit_scale(const or_fit *fit, int low, int high)
{
    fit_search search = {fit, {0.0f, 0.0f, low, high}, INFINITY, 1.00001f / (float)-low};
    for (int start = 0; start < 2 * STARTS; start++) {
        const float steps = (float)(1 - low) - 0.5f * (float)(start / 2);
        or_levels levels = {(start % 2 ? 1.0f : -1.0f) / steps, 0.0f, low, high};
        fit_sums sums;
        consider(&search, &levels, &sums);
        if (!(sums.qq > 0.0f)) continue;
        /* d/dscale of sum weight (x - scale q)^2 = 0 */
        levels.scale = sums.xq / sums.qq;
        consider(&search, &levels, &sums);
    }
    search.best.scale *= fit->unit;
    return search.best;
}

/* The levels for which the sums' q fit best: the normal equations of x = scale q + offset. `spread` is 0
 * where all q are equal, and then there is no line; false for that, and for a scale that is not positive.
 * An offset that must not be positive and would be is put at 0, and the scale is fitted alone. */
static bool regress(const fit_sums *sums, bool offset_negative, or_levels *levels)
{
    const float spread = sums->one * sums->qq - sums->q * sums->q;
    if (!(spread > 1e-6f * sums->one * sums->qq)) return false;
    levels->scale = (sums->one * sums->xq - sums->q * sums->x) / spread;
    levels->offset = (sums->x - levels->scale * sums->q) / sums->one;
    if (offset_negative && levels->offset > 0.0f) {
        levels->scale = sums->xq / sums->qq;
        levels->offset = 0.0f;
    }
    return levels->scale > 0.0f;
}

/* As or_fit_scale(), over the numbers' range instead of their magnitude. Three starts for each scale: what
 * is clipped may be at the upper end, at both, or at the lower one. The start that just spans the range is
 * always allowed. */
or_levels or_fit_range(const or_fit *fit, int high, bool offset_negative)
{
    float least = fit->x[0], greatest = fit->x[0];
    for (size_t i = 1; i < fit->n; i++) {
        least = fit->x[i] < least ? fit->x[i] : least;
        greatest = fit->x[i] > greatest ? fit->x[i] : greatest;
    }
    if (offset_negative && least > 0.0f) least = 0.0f;
    const float range = greatest - least;
    fit_search search = {fit, {0.0f, least, 0, high}, INFINITY, 1.00001f * range / (float)high};
    for (int start = 0; start < 3 * STARTS && range > 0.0f; start++) {
        const float scale = range / ((float)(high + 1) - 0.5f * (float)(start / 3));
        const float clipped = range - scale * (float)high; /* of it, none, half or all at the lower end */
        or_levels levels = {scale, least + 0.5f * (float)(start % 3) * clipped, 0, high};
        if (offset_negative && levels.offset > 0.0f) continue;
        fit_sums sums;
        consider(&search, &levels, &sums);
        if (regress(&sums, offset_negative, &levels)) consider(&search, &levels, &sums);
    }
    search.best.scale *= fit->unit;
    search.best.offset *= fit->unit;
    return search.best;
}

/* The levels are those of the caller's numbers, fit->x is in units: they are brought to units first. */
float or_fit_error(const or_fit *fit, const or_levels *levels)
{
    if (fit->unit == 0.0f) return 0.0f;
    or_levels in_units = *levels;
    in_units.scale /= fit->unit;
    in_units.offset /= fit->unit;
    fit_sums sums;
    measure(fit, &in_units, &sums);
    return sums.error;
}

void or_fit_numbers(const float *x, size_t n, const or_levels *levels, unsigned char *numbers)
{
    const float low = (float)levels->low, high = (float)levels->high;
    for (size_t i = 0; i < n; i++) {
        const float steps = levels->scale != 0.0f ? (x[i] - levels->offset) / levels->scale : 0.0f;
        numbers[i] = (unsigned char)((int)nearest_level(steps, low, high) - levels->low);
    }
}
