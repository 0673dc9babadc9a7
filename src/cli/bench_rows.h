/* bench_rows.h - what bench measured, as rows of Markdown, CSV or JSON. */
#ifndef OFFRAMP_CLI_BENCH_ROWS_H
#define OFFRAMP_CLI_BENCH_ROWS_H

#include "bench.h"

/* What a row says of the model. */
typedef struct or_bench_model {
    const char *name; /* its path without the folders */
    or_dtype type;    /* that of most of its bytes */
    bool one_layer;   /* or_shares.one_layer */
    uint64_t bytes, parameters;
} or_bench_model;

typedef struct or_bench_row {
    const or_bench_model *model;
    int ranks, threads;
    const char *plan; /* layers per rank, "11,11" */
    const char *test;
    const char *kv;       /* of a run with exits; NULL: full depth */
    or_bench_figure rate; /* tokens per second */
    /* Of a run with exits: multiply-adds that the run without had more, as a share of its own; and the rate
     * over that of the run without. */
    double work_saved, ratio;
} or_bench_row;

/* How rows are written; `exits`: some are of runs with exits. Rows come one at a time, and are flushed. */
typedef struct or_bench_format {
    const char *name;
    void (*begin)(bool exits);
    or_status (*row)(const or_bench_row *row, bool first, bool exits);
    void (*end)(void);
} or_bench_format;

/* "md", "csv", "json", "jsonl"; OR_ERR_USAGE for another name. */
or_status or_bench_format_find(const char *name, const or_bench_format **format);

#endif
