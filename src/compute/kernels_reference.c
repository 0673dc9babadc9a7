/* kernels_reference.c - the kernel set that every other one is checked against: plain C, no library.
 *
 * How to write the next set: copy this file's table, replace the entries that you make faster, keep the rule
 * of compute.h (an element's order of summation depends on the layer's shape only), add the table to
 * kernels_portable.h and kernels.c; test_kernels.c then checks it against this one and for the rule.
 *
 * Matrix product: one row of W is widened at a time, and met by every row of x (or_dot).
 */
#include "kernels_portable.h"
#include "memory.h"
#include "threads.h"

enum { SLICE = 2048 }; /* columns widened at a time, whole blocks, so that the scratch is on the stack */

/* An output is the sum of its slices' dot products in order: y holds the sum so far. */
static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    const size_t columns = (size_t)w->columns, rows = (size_t)w->rows;
#pragma omp parallel for schedule(static) num_threads(or_threads())
    for (size_t out = 0; out < rows; out++) {
        float weights[SLICE];
        for (size_t from = 0; from < columns; from += SLICE) {
            const size_t width = columns - from < SLICE ? columns - from : SLICE;
            or_matrix_expand(w, (int)out, from, width, weights);
            for (size_t row = 0; row < n; row++) {
                float part = or_dot(x + row * columns + from, weights, width);
                float *sum = y + row * rows + out;
                *sum = from == 0 ? part : *sum + part;
            }
        }
    }
}

float or_matrix_dot(const or_matrix *w, int output, const float *x)
{
    const size_t columns = (size_t)w->columns;
    float weights[SLICE], rounded[SLICE], sum = 0;
    for (size_t from = 0; from < columns; from += SLICE) {
        const size_t width = columns - from < SLICE ? columns - from : SLICE;
        or_matrix_expand(w, output, from, width, weights);
        or_matrix_round(w, x + from, width, rounded);
        const float part = or_dot(rounded, weights, width);
        sum = from == 0 ? part : sum + part;
    }
    return sum;
}

static bool usable(void)
{
    return true;
}

const or_kernels or_kernels_reference = {
    .name = "reference",
    .needs = "nothing",
    .usable = usable,
    .matmul = matmul,
    .attention = or_portable_attention,
    .rms_norm = or_portable_rms_norm,
    .layer_norm = or_portable_layer_norm,
    .rope = or_portable_rope,
    .silu_mul = or_portable_silu_mul,
    .top = or_portable_top,
};
