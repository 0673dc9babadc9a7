/* rows.c - kernels that work on one row by itself: dot products, norms, activations, softmax. Shared by all
 * kernel sets so far (see kernels_portable.h).
 *
 * Sums over a row are in lanes (vector.h): the loop over whole groups of OR_LANES elements becomes a
 * vector loop, and what is left goes to the first lanes. So the order depends on the row's length only.
 * Threads share rows, or blocks of elements that are computed one by one: never a sum. */
#include "kernels_portable.h"
#include "threads.h"
#include "vector.h"

#include <math.h>

OR_CLONES float or_dot(const float *a, const float *b, size_t n)
{
    float lanes[OR_LANES] = {0};
    size_t i = 0;
    for (; i + OR_LANES <= n; i += OR_LANES)
        for (size_t j = 0; j < OR_LANES; j++) lanes[j] += a[i + j] * b[i + j];
    for (size_t j = 0; i + j < n; j++) lanes[j] += a[i + j] * b[i + j];
    return or_lanes_sum(lanes);
}

/* Sums in float as any other; the quotient in double, as aa * bb may leave the range of a float. */
float or_cosine(const float *a, const float *b, size_t n)
{
    double aa = or_dot(a, a, n), bb = or_dot(b, b, n), ab = or_dot(a, b, n);
    return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa * bb)) : 0.0f;
}

void or_gather_last(const or_span *spans, size_t n_spans, const float *rows, size_t width, float *out)
{
    for (size_t s = 0; s < n_spans; s++) {
        size_t last = (size_t)(spans[s].first + spans[s].count - 1);
        memcpy(out + s * width, rows + last * width, width * sizeof *out);
    }
}

/* out may be x */
OR_CLONES static void scale_row(const float *x, size_t d, float scale, const float *weight, float *out)
{
    for (size_t i = 0; i < d; i++) out[i] = x[i] * scale * weight[i];
}

enum { BLOCK = 8192 }; /* elements of a long row of activations that a thread takes at a time */

/* x / sqrt(mean(x^2) + eps) * weight (arXiv 1910.07467; eps is the models' addition, inside the root). */
void or_portable_rms_norm(const float *x, size_t n, size_t d, const float *weight, float eps, float *out)
{
#pragma omp parallel for num_threads(or_threads()) if (n * d > OR_SHARED)
    for (size_t row = 0; row < n; row++) {
        const float *from = x + row * d;
        float mean = or_dot(from, from, d) / (float)d;
        scale_row(from, d, 1.0f / sqrtf(mean + eps), weight, out + row * d);
    }
}

/* In the order of or_dot(). */
OR_CLONES static float sum_row(const float *x, size_t n)
{
    float lanes[OR_LANES] = {0};
    size_t i = 0;
    for (; i + OR_LANES <= n; i += OR_LANES)
        for (size_t j = 0; j < OR_LANES; j++) lanes[j] += x[i + j];
    for (size_t j = 0; i + j < n; j++) lanes[j] += x[i + j];
    return or_lanes_sum(lanes);
}

OR_CLONES static void shift_row(const float *x, size_t d, float shift, float *out)
{
    for (size_t i = 0; i < d; i++) out[i] = x[i] - shift;
}

OR_CLONES static void add_block(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

/* arXiv 1607.06450. Mean first, then the variance from what is left: one pass over sums of squares would
 * cancel. The differences are kept in `out`, which may be x. */
void or_portable_layer_norm(const float *x, size_t n, size_t d, const float *weight, const float *bias,
                            float eps, float *out)
{
#pragma omp parallel for num_threads(or_threads()) if (n * d > OR_SHARED)
    for (size_t row = 0; row < n; row++) {
        float *to = out + row * d;
        shift_row(x + row * d, d, sum_row(x + row * d, d) / (float)d, to);
        float variance = or_dot(to, to, d) / (float)d;
        scale_row(to, d, 1.0f / sqrtf(variance + eps), weight, to);
        add_block(to, bias, d);
    }
}

void or_add(float *x, const float *y, size_t n)
{
#pragma omp parallel for num_threads(or_threads()) if (n > OR_SHARED)
    for (size_t from = 0; from < n; from += BLOCK)
        add_block(x + from, y + from, n - from < BLOCK ? n - from : BLOCK);
}

void or_add_bias(float *x, size_t n, size_t d, const float *bias)
{
#pragma omp parallel for num_threads(or_threads()) if (n * d > OR_SHARED)
    for (size_t row = 0; row < n; row++) add_block(x + row * d, bias, d);
}

/* The comparison is false for NaN, which so stays (see compute.h). */
OR_CLONES static void relu_block(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = x[i] < 0.0f ? 0.0f : x[i];
}

void or_relu(float *x, size_t n)
{
#pragma omp parallel for num_threads(or_threads()) if (n > BLOCK)
    for (size_t from = 0; from < n; from += BLOCK) relu_block(x + from, n - from < BLOCK ? n - from : BLOCK);
}

/* silu(g) = g / (1 + e^-g) */
OR_CLONES static void silu_mul_block(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) gate[i] = gate[i] / (1.0f + or_exp(-gate[i])) * up[i];
}

void or_portable_silu_mul(float *gate, const float *up, size_t n)
{
#pragma omp parallel for num_threads(or_threads()) if (n > BLOCK)
    for (size_t from = 0; from < n; from += BLOCK)
        silu_mul_block(gate + from, up + from, n - from < BLOCK ? n - from : BLOCK);
}

/* Sum of e^(logit - shift) over the row, in lanes. */
OR_CLONES static float exp_sum(const float *logits, size_t n, float shift)
{
    float lanes[OR_LANES] = {0};
    size_t i = 0;
    for (; i + OR_LANES <= n; i += OR_LANES)
        for (size_t j = 0; j < OR_LANES; j++) lanes[j] += or_exp(logits[i + j] - shift);
    for (size_t j = 0; i + j < n; j++) lanes[j] += or_exp(logits[i + j] - shift);
    return or_lanes_sum(lanes);
}

/* or_exp() clamps, so Inf and NaN must be found in the logits themselves: x - x is 0 for finite x only. */
OR_CLONES static bool all_finite(const float *logits, size_t n)
{
    float lanes[OR_LANES] = {0};
    size_t i = 0;
    for (; i + OR_LANES <= n; i += OR_LANES)
        for (size_t j = 0; j < OR_LANES; j++) lanes[j] += logits[i + j] - logits[i + j];
    for (size_t j = 0; i + j < n; j++) lanes[j] += logits[i + j] - logits[i + j];
    return or_lanes_sum(lanes) == 0.0f;
}

/* The two greatest logits, and the place of the first. */
typedef struct two {
    float best, second;
    int32_t at;
} two;

/* Takes a logit in: only a greater one takes the place of the best, so among equals the lowest place wins,
 * and the second is then equal to it. The comparisons are false for NaN. */
OR_INLINE void take(float logit, int32_t at, float *best, float *second, int32_t *best_at)
{
    const bool greater = logit > *best, between = logit > *second;
    *second = greater ? *best : between ? logit : *second;
    *best_at = greater ? at : *best_at;
    *best = greater ? logit : *best;
}

/* Lane i goes over elements i, i + OR_LANES, ...; then the lanes are compared. */
OR_CLONES static two find_two(const float *logits, size_t n)
{
    float best[OR_LANES], second[OR_LANES];
    int32_t at[OR_LANES];
    for (size_t l = 0; l < OR_LANES; l++) best[l] = second[l] = -INFINITY, at[l] = 0;
    size_t i = 0;
    for (; i + OR_LANES <= n; i += OR_LANES)
        for (size_t l = 0; l < OR_LANES; l++)
            take(logits[i + l], (int32_t)(i + l), &best[l], &second[l], &at[l]);
    for (size_t l = 0; i + l < n; l++) take(logits[i + l], (int32_t)(i + l), &best[l], &second[l], &at[l]);
    two all = {best[0], second[0], at[0]};
    for (size_t l = 1; l < OR_LANES; l++) {
        const bool first = best[l] > all.best || (best[l] == all.best && at[l] < all.at);
        const float less = first ? all.best : best[l];
        const float second_of_best = first ? second[l] : all.second;
        if (first) all = (two){.best = best[l], .at = at[l]};
        all.second = less > second_of_best ? less : second_of_best;
    }
    return all;
}

/* The whole vocabulary, but no probabilities are stored: with the greatest logit as shift
 *   P(top) = e^0 / sum      gap = (e^0 - e^(second - top)) / sum      logsumexp = top + log(sum)
 * A NaN in the first place stays the best: nothing is greater. */
void or_portable_top(const float *logits, size_t n, or_top *top)
{
    const two found = isnan(logits[0]) ? (two){logits[0], logits[0], 0} : find_two(logits, n);
    const float sum = exp_sum(logits, n, found.best);
    const float second_share = n > 1 ? or_exp(found.second - found.best) : 0.0f;
    *top = (or_top){
        .token = found.at,
        .prob = 1.0f / sum,
        .gap = (1.0f - second_share) / sum,
        .logit = found.best,
        .logsumexp = all_finite(logits, n) ? found.best + logf(sum) : NAN,
    };
}
