/* measure.c - timing a layer by rows. All ranks of a job do it at the same time, as they will compute: cores and
 * memory that they share are shared here too. */
#include "measure.h"

#include "clock.h"
#include "memory.h"
#include "stage.h"

#include <string.h>

enum { RUNS = 5 };                              /* at least, after one that is not counted */
static const double ENOUGH = 0.25, LONGEST = 2; /* seconds: of all runs of a point; of one run */

/* What is timed, and its buffers. */
typedef struct bench {
    or_model *model;
    int first, n_layers, turn; /* layers that are run in turn */
    size_t length, width, n_vocab;
    or_span *spans;
    float *hidden, *logits; /* [most, width], [OR_RAMP_ROWS, n_vocab] */
    int32_t *tokens;        /* [most] zeros */
} bench;

typedef or_status work(bench *b, size_t rows);

/* Rows of prompts of b->length tokens; the last may be shorter. */
static or_status run_layer(bench *b, size_t rows)
{
    size_t n = 0;
    for (size_t from = 0; from < rows; from += b->length) {
        const size_t count = rows - from < b->length ? rows - from : b->length;
        b->spans[n++] = (or_span){.first = (int32_t)from, .count = (int32_t)count};
    }
    const int layer = b->first + b->turn++ % b->n_layers;
    return or_model_layer(b->model, layer, b->spans, n, NULL, b->hidden, NULL);
}

static or_status run_ramp(bench *b, size_t riders)
{
    return or_model_logits(b->model, b->hidden, riders, b->logits);
}

static or_status run_embedding(bench *b, size_t rows)
{
    return or_model_embed(b->model, b->tokens, rows, 0, b->hidden);
}

/* What the hidden states are does not matter, as long as none is zero or grows out of bounds. */
static void fill(bench *b, size_t rows)
{
    for (size_t i = 0; i < rows * b->width; i++) b->hidden[i] = (float)(i % 97) / 97.0f - 0.4f;
}

/* The mean: a job meets what else the machine does for a moment, too. */
static or_status time_point(bench *b, work *run, size_t rows, double *seconds)
{
    double total = 0;
    int n = 0;
    fill(b, rows);
    OR_TRY(run(b, rows));
    for (; n < RUNS || total < ENOUGH; n++) {
        if (n > 1 && total / n > ENOUGH) break;
        fill(b, rows);
        const double begin = or_clock_now();
        OR_TRY(run(b, rows));
        total += or_clock_now() - begin;
    }
    *seconds = total / n;
    return OR_OK;
}

/* 1, 4, 16, ... and `most`, as far as they do not take too long. */
static or_status time_curve(bench *b, work *run, size_t most, or_cost_curve *curve)
{
    curve->n_points = 0;
    for (size_t rows = 1;; rows = rows * 4 < most ? rows * 4 : most) {
        const int n = curve->n_points;
        if (n > 0 && curve->seconds[n - 1] * (double)rows / curve->rows[n - 1] > LONGEST) return OR_OK;
        curve->rows[n] = (double)rows;
        OR_TRY(time_point(b, run, rows, &curve->seconds[n]));
        curve->n_points++;
        if (rows == most || curve->n_points == OR_COST_POINTS) return OR_OK;
    }
}

static or_status open_bench(bench *b, const char *model, const char *without, size_t most)
{
    const or_model_options options = {.without = without};
    OR_TRY(or_model_open_with(model, &options, b->first, b->first + b->n_layers, &b->model));
    const or_hparams *h = or_model_hparams(b->model);
    b->width = (size_t)h->d_model;
    b->n_vocab = (size_t)h->n_vocab;
    const size_t rows = most > OR_RAMP_ROWS ? most : OR_RAMP_ROWS;
    OR_TRY(OR_NEW(b->spans, rows));
    OR_TRY(OR_NEW(b->hidden, rows * b->width));
    OR_TRY(OR_NEW(b->tokens, rows));
    return OR_NEW(b->logits, OR_RAMP_ROWS * b->n_vocab);
}

/* A stage comes back to a layer when it has been through all the others. Enough layers for the first of them to have left
 * a core's caches by then, if the stage has as many. */
static int layers_to_run(const or_shares *shares, int first, int last)
{
    static const size_t CACHED = 64 << 20;
    size_t bytes = 0;
    int n = 0;
    while (first + n < last && bytes < CACHED) bytes += shares->layers[first + n++];
    return n;
}

or_status or_measure_rank(const char *model, const char *without, const or_shares *shares, int first,
                          int last, size_t length, size_t most, or_rank_cost *cost)
{
    bench b = {.first = first, .n_layers = layers_to_run(shares, first, last), .length = length};
    double embedding = 0;
    *cost = (or_rank_cost){0};
    or_status status = open_bench(&b, model, without, most);
    if (status == OR_OK) status = time_curve(&b, run_layer, most, &cost->layer);
    if (status == OR_OK) status = time_curve(&b, run_ramp, OR_RAMP_ROWS, &cost->ramp);
    if (status == OR_OK && first == 0) status = time_point(&b, run_embedding, length, &embedding);
    cost->embed = embedding / (double)length;
    free(b.spans);
    free(b.hidden);
    free(b.tokens);
    free(b.logits);
    or_model_close(b.model);
    return status;
}

/* What a rank takes for the most rows. */
static double longest(const or_rank_cost *cost)
{
    return cost->layer.seconds[cost->layer.n_points - 1];
}

/* -1: there is none. */
static int fastest(const or_rank_cost *costs, const bool *done, int n)
{
    int found = -1;
    for (int r = 0; r < n; r++)
        if (!done[r] && (found < 0 || longest(&costs[r]) < longest(&costs[found]))) found = r;
    return found;
}

/* Whether a rank is of the kind of a faster one: measured at the same rows, and not much slower. */
static bool is_like(const or_rank_cost *cost, const or_rank_cost *faster, double much)
{
    return cost->layer.n_points == faster->layer.n_points && cost->ramp.n_points == faster->ramp.n_points &&
           longest(cost) <= much * longest(faster);
}

/* Seconds become the means over costs[kind[0..n_kind)]. */
static void level_kind(or_rank_cost *costs, const int *kind, int n_kind)
{
    for (int i = 0; i < OR_COST_POINTS; i++) {
        double layer = 0, ramp = 0;
        for (int k = 0; k < n_kind; k++) {
            layer += costs[kind[k]].layer.seconds[i] / n_kind;
            ramp += costs[kind[k]].ramp.seconds[i] / n_kind;
        }
        for (int k = 0; k < n_kind; k++) {
            costs[kind[k]].layer.seconds[i] = layer;
            costs[kind[k]].ramp.seconds[i] = ramp;
        }
    }
}

/* Kinds of ranks that are not much slower than the fastest of them; with `hosts` of one host each. */
static void level_kinds(or_rank_cost *costs, const char *const *hosts, int n, double much)
{
    bool done[OR_PLAN_STAGES] = {false};
    int kind[OR_PLAN_STAGES];
    for (int first; (first = fastest(costs, done, n)) >= 0;) {
        int n_kind = 0;
        for (int r = 0; r < n; r++) {
            if (done[r] || (hosts && strcmp(hosts[r], hosts[first]) != 0)) continue;
            if (is_like(&costs[r], &costs[first], much)) kind[n_kind++] = r;
        }
        for (int k = 0; k < n_kind; k++) done[kind[k]] = true;
        level_kind(costs, kind, n_kind);
    }
}

void or_costs_level(or_rank_cost *costs, const char *const *hosts, int n)
{
    level_kinds(costs, hosts, n, 1.5);
    level_kinds(costs, NULL, n, 1.15);
}
