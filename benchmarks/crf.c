/* crf.c - how long training a crf takes: its classifier fitted to synthetic instances.
 *
 *   cmake --build build --target benchmark_crf && build/tests/benchmark_crf [INSTANCES [LAYERS]]  (20000 16)
 *
 *   20000 instances of 16 layers, 4 features: fitted in 1.22 s
 *
 * Instances are wrong up to some layer, drawn, and right from there on; gap and top prob overlap between the
 * two.
 */
#include "clock.h"
#include "classifier.h"
#include "memory.h"
#include "random.h"

#include <stdio.h>

enum { WIDE = 4 };

/* Uniform in 0 .. 1. */
static double draw(uint64_t *state)
{
    return (double)(or_random(state) >> 11) * 0x1p-53;
}

/* gap, top_prob, layer, stable of a row. */
static void draw_row(uint64_t *state, size_t layer, size_t layers, bool right, size_t *stable, double *x)
{
    *stable = draw(state) < (right ? 0.9 : 0.5) ? *stable + 1 : 1;
    x[0] = (right ? 0.3 : 0.05) + 0.6 * draw(state);
    x[1] = x[0] + (1 - x[0]) * draw(state);
    x[2] = (double)(layer + 1) / (double)layers;
    x[3] = (double)*stable / (double)layers;
}

static or_status measure(size_t instances, size_t layers)
{
    double *x = NULL;
    bool *right = NULL;
    void *model = NULL;
    uint64_t state = 1;
    or_train_options options;
    or_status status = OR_OK;
    or_train_defaults(&options);
    OR_TRY_GOTO(unwind, OR_NEW(x, instances * layers * WIDE));
    OR_TRY_GOTO(unwind, OR_NEW(right, instances * layers));
    for (size_t i = 0; i < instances; i++) {
        const size_t clear = (size_t)(draw(&state) * (double)layers);
        size_t stable = 0;
        for (size_t layer = 0; layer < layers; layer++) {
            const size_t row = i * layers + layer;
            right[row] = layer >= clear;
            draw_row(&state, layer, layers, right[row], &stable, x + row * WIDE);
        }
    }
    const or_fit_rows rows = {x, right, instances * layers, WIDE, layers};
    const double begin = or_clock_now();
    OR_TRY_GOTO(unwind, or_classifier_crf.fit(&rows, &options, &model));
    printf("%zu instances of %zu layers, %d features: fitted in %.2f s\n", instances, layers, WIDE,
           or_clock_now() - begin);
unwind:
    or_classifier_crf.free(model);
    free(right);
    free(x);
    return status;
}

int main(int argc, char **argv)
{
    const or_status status =
        measure(argc > 1 ? strtoul(argv[1], NULL, 10) : 20000, argc > 2 ? strtoul(argv[2], NULL, 10) : 16);
    if (status != OR_OK) fprintf(stderr, "%s\n", or_status_message());
    return status != OR_OK;
}
