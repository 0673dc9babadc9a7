/* bench_passes.h - the runs of bench: tests by repeats, without and with exits, and a row of figures for each. */
#ifndef OFFRAMP_CLI_BENCH_PASSES_H
#define OFFRAMP_CLI_BENCH_PASSES_H

#include "bench_rows.h"
#include "cli.h"

/* What is run, and how it is printed: curve and what follows are rank 0's. Not owned. */
typedef struct or_bench_job {
    or_session *session;
    const or_common *common;    /* of the pipelines that are opened */
    char *exit_plan;            /* of those for runs with exits; NULL: the same */
    const or_bench_test *tests; /* [n_tests] */
    size_t n_tests;
    int64_t repeats; /* of each test, after one that is not counted */
    uint64_t seed;
    or_kv_policy kv;
    or_policy *probe; /* all requests are asked by it, and none leaves; NULL: they are not asked */
    bool exits;       /* each test without and with exits, */
    or_curve curve;   /* by this */
    or_bench_model model;
    const or_bench_format *format;
    or_bench_columns columns;
} or_bench_job;

/* What was printed so far; begins as {0}. */
typedef struct or_bench_output {
    bool begun, printed; /* the head; a row */
    or_buffer stages;    /* the stages of each row, to be printed behind all rows; the caller's to free */
} or_bench_output;

/* Runs all tests with the threads that are set, and prints their rows as they are done. Collective; blocking. */
or_status or_bench_passes(const or_bench_job *job, or_bench_output *output);

#endif
