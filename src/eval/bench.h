/* bench.h - how fast a pipeline scores prompts and continues them. */
#ifndef OFFRAMP_EVAL_BENCH_H
#define OFFRAMP_EVAL_BENCH_H

#include "curve.h"

#include <offramp/pipeline.h>

/* Prompts of `prompt` random tokens are scored (tokens 0: nothing is generated); or sequences of one token
 * are continued by `tokens` tokens each, whatever they are. `batch` of them at a time. */
typedef struct or_bench_test {
    size_t prompt, tokens, batch;
} or_bench_test;

/* "pp512 b8", "tg32". */
enum { OR_BENCH_NAME = 48 };
const char *or_bench_name(const or_bench_test *test, char name[OR_BENCH_NAME]);

/* How requests leave: at the curve's layers, or all at full depth (curve NULL); and which of the
 * pipeline's policies all requests are asked by, -1 for none. */
typedef struct or_bench_exits {
    const or_curve *curve;
    or_kv_policy kv;
    int policy;
    uint64_t seed;
} or_bench_exits;

/* What one run of a test took. */
typedef struct or_bench_sample {
    double tokens_per_second; /* of prompts, or of continuations */
    double macs, busy, ramp;  /* of all stages: multiply-adds; seconds of work, and those of it at ramps */
    or_run_stats stats;       /* or_run_stats_free() */
} or_bench_sample;

/* Rank 0: runs a test once, while the others serve; blocking. The pipeline has room for test->batch
 * sequences. sample->stats is to be freed in any case. OR_ERR_FAILED when not all tokens came. */
or_status or_bench_run(or_pipeline *pipeline, const or_bench_test *test, const or_bench_exits *exits,
                       or_bench_sample *sample);

/* Over `count` > 0 numbers: the mean, the deviation (of a sample; 0 for one) and the median. */
typedef struct or_bench_figure {
    double mean, deviation, median;
} or_bench_figure;
or_status or_bench_figure_of(const double *values, size_t count, or_bench_figure *figure);

#endif
