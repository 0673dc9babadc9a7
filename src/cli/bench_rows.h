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
    int ranks, replicas, threads;
    const char *plan;  /* layers per rank of a replica, "11,11" */
    const char *peaks; /* bytes of memory per rank, at most until then, "2147483648,2040109465" */
    const char *test;
    const char *kv;       /* of a run with exits; NULL: full depth */
    or_bench_figure rate; /* tokens per second */
    double prompts;       /* prompts per second; 0 where none are scored */
    double gflops;        /* two for each multiply-add */
    double predicted;     /* tokens per second by the plan "auto"; 0: another plan */
    double ramps;         /* share of the seconds of work that went to ramps */
    /* Of a run with exits: multiply-adds that the run without had more, as a share of its own; and the rate
     * over that of the run without. */
    double work_saved, ratio;
} or_bench_row;

/* What Markdown has columns for besides, since some row has something to say there. */
typedef struct or_bench_columns {
    bool prompts, predicted, ramps, exits;
} or_bench_columns;

/* How rows are written. They come one at a time, and are flushed. */
typedef struct or_bench_format {
    const char *name;
    void (*begin)(const or_bench_columns *columns);
    or_status (*row)(const or_bench_row *row, bool first, const or_bench_columns *columns);
    void (*end)(void);
} or_bench_format;

/* "md", "csv", "json", "jsonl"; OR_ERR_USAGE for another name. */
or_status or_bench_format_find(const char *name, const or_bench_format **format);

#endif
