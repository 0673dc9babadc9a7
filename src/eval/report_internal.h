/* report_internal.h - the figures of a report: what the readers collect, and plots and writers take.
 *
 *   report_eval.c, report_study.c, report_bench.c, report_trace.c, report_lanes.c   read
 *   report_columns.c, report_tables.c, report_paper.c                               tables
 *   report_plot_*.c -> report_plots.c -> report_svg.c                               draw
 *   report_html.c, report_md.c, report_tex.c                                        write
 */
#ifndef OFFRAMP_EVAL_REPORT_INTERNAL_H
#define OFFRAMP_EVAL_REPORT_INTERNAL_H

#include "report.h"

#include <offramp/trace.h>

#include "json.h"

/* ---- tables -------------------------------------------------------------------------------------------- */

typedef enum or_column_kind {
    OR_COLUMN_TEXT,
    OR_COLUMN_LIST,  /* in JSON an array of texts or numbers; a text with commas here */
    OR_COLUMN_FLAG,  /* in JSON true or false; "yes" or nothing here */
    OR_COLUMN_COUNT, /* a whole number */
    OR_COLUMN_REAL,  /* with `digits` */
    OR_COLUMN_SHARE, /* 0.123 is printed as 12.3 % */
    OR_COLUMN_BYTES
} or_column_kind;

enum {
    OR_COLUMN_NULL = 1,   /* may be null or absent */
    OR_COLUMN_HIDDEN = 2, /* for plots, or printed in another column */
    OR_COLUMN_QUIET = 4   /* printed only where rows differ in it */
};

typedef struct or_column {
    const char *key;  /* of the JSON objects that are read; NULL: filled in by the program */
    const char *head; /* for people */
    or_column_kind kind;
    unsigned flags;
    double low, high; /* numbers: what is allowed */
    int digits;
    int error; /* column of the standard error, printed behind ±; 0: none */
} or_column;

/* A text, or a number; a text in a column of numbers is printed in its place. NULL and NAN: nothing. */
typedef struct or_cell {
    const char *text; /* of or_report_text() */
    double number;
} or_cell;

typedef struct or_table {
    const char *title, *note; /* the note may be NULL */
    const or_column *columns;
    int n_columns;
    or_cell *cells; /* [n_rows, n_columns] */
    size_t n_rows, capacity;
} or_table;

/* Columns of results and totals. */
enum {
    OR_RESULT_SOURCE,
    OR_RESULT_MODEL,
    OR_RESULT_GROUP,
    OR_RESULT_TASK,
    OR_RESULT_SHOTS,
    OR_RESULT_POLICY,
    OR_RESULT_TRAINED,
    OR_RESULT_LABEL, /* the policy, told apart from others of that name: what plots call it */
    OR_RESULT_N,
    OR_RESULT_ACCURACY,
    OR_RESULT_ERROR,
    OR_RESULT_EXACT,
    OR_RESULT_AGREEMENT,
    OR_RESULT_EXIT_MEAN,
    OR_RESULT_EXIT_VAR,
    OR_RESULT_SAVED,
    OR_RESULT_OF_ORACLE, /* of the layers that the oracle saves */
    OR_RESULT_FLOPS,
    OR_RESULT_REQUESTS,
    OR_RESULT_TOKENS,
    OR_RESULT_COLUMNS
};

/* Columns of generalisation that plots look at; report_tables.c has all. */
enum {
    OR_TRANSFER_MODEL,
    OR_TRANSFER_FROM, /* model_trained */
    OR_TRANSFER_POLICY,
    OR_TRANSFER_TRAINED,
    OR_TRANSFER_TESTED,
    OR_TRANSFER_N,
    OR_TRANSFER_ACCURACY,
    OR_TRANSFER_FULL,
    OR_TRANSFER_AGREEMENT,
    OR_TRANSFER_SAVED,
    OR_TRANSFER_FLOPS,
    OR_TRANSFER_COLUMNS
};

enum { OR_POLICY_MODEL, OR_POLICY_THRESHOLD = 5, OR_POLICY_COLUMNS = 12 };
enum { OR_FEATURES_MODEL, OR_FEATURES_COLUMNS = 8 };
enum { OR_BENCH_SOURCE, OR_BENCH_DEVIATION = 13, OR_BENCH_COLUMNS = 20 };

/* Columns of stages: their sums over the groups of an eval folder. */
enum {
    OR_STAGE_SOURCE,
    OR_STAGE_REPLICA,
    OR_STAGE_LAYERS,
    OR_STAGE_IN,
    OR_STAGE_EXITS,
    OR_STAGE_OUT,
    OR_STAGE_ROWS,
    OR_STAGE_BUSY,
    OR_STAGE_RAMP,
    OR_STAGE_IDLE,
    OR_STAGE_WAIT,
    OR_STAGE_BUSY_SHARE,
    OR_STAGE_PEAK,
    OR_STAGE_COLUMNS
};

enum {
    OR_SOURCE_NAME,
    OR_SOURCE_KIND,
    OR_SOURCE_MODEL,
    OR_SOURCE_LAYERS,
    OR_SOURCE_FINGERPRINT,
    OR_SOURCE_RANKS,
    OR_SOURCE_THREADS,
    OR_SOURCE_KERNELS,
    OR_SOURCE_COLUMNS
};

/* ---- everything else ----------------------------------------------------------------------------------- */

/* Observations of traces, counted in bins of gap and top_prob, so that any number of rows takes the same
 * memory; quantiles are exact to a bin. Settled: this layer's token is the full model's. */
enum { OR_DEPTH_GAP, OR_DEPTH_TOP_PROB, OR_DEPTH_MEASURES };
enum { OR_DEPTH_BINS = 2000 };
typedef uint32_t or_depth[OR_DEPTH_MEASURES][2][OR_DEPTH_BINS];

/* Known by its fingerprint: folders may call it by different names, the first of which counts. */
typedef struct or_report_model {
    const char *name;
    uint64_t fingerprint;
    int n_layers;
    or_depth *depth; /* [n_layers]; NULL without traces */
    size_t traced;   /* instances in it */
} or_report_model;

/* Where the oracle would have let a traced task's instances leave. */
typedef struct or_oracle {
    size_t model;
    const char *task;
    int shots;
    uint64_t *exits; /* [n_layers + 1] */
} or_oracle;

/* Exit layers of a row of results; NULL where the row's input has no lines per instance. */
typedef struct or_exits {
    int n_layers;
    uint64_t *counts; /* [n_layers + 1] */
} or_exits;

/* A timeline in bins of equal time: the share of each in which a rank computed, and waited for credit. */
enum { OR_LANE_BINS = 600 };
typedef struct or_lanes {
    const char *source;
    double seconds;
    int n_ranks;
    const char **names;  /* [n_ranks] "rank 0, layers 1..8, node01" */
    double *busy, *wait; /* [n_ranks, OR_LANE_BINS] */
    double *runs;        /* [n_runs] when they begin, in seconds */
    size_t n_runs, runs_capacity;
} or_lanes;

struct or_report {
    or_table sources, results, totals, policies, features, transfer, bench, stages;
    or_exits *exits; /* [n_exits], one for each row of results once an input is read */
    size_t n_exits, exits_capacity;
    or_report_model *models;
    size_t n_models, models_capacity;
    or_oracle *oracles;
    size_t n_oracles, oracles_capacity;
    or_lanes *lanes;
    size_t n_lanes, lanes_capacity;
    double checked, differ; /* of studies; checked 0: none */
    char **texts;
    size_t n_texts, texts_capacity;
};

/* A printf that lives as long as the report. */
or_status or_report_text(or_report *report, const char **text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The model of that fingerprint, added when it is new. `name` may be a path, of which the last part
 * counts, or NULL where only the fingerprint is known. OR_ERR_INPUT when its number of layers is another
 * one. */
or_status or_report_model_find(or_report *report, const char *name, uint64_t fingerprint, int n_layers,
                               const char *where, size_t *model);

/* A row among the inputs; and what it says of its model. */
or_status or_report_source(or_report *report, const char *name, const char *kind, or_cell **cells);
or_status or_report_source_model(or_report *report, size_t model, or_cell *cells);

/* Makes an empty place for the exit layers of every row of results that has none yet. */
or_status or_report_make_exits(or_report *report);

/* Sixteen hexadecimal digits in the member "fingerprint". */
or_status or_report_fingerprint(const cJSON *object, const char *where, uint64_t *fingerprint);

void or_report_tables(or_report *report); /* report_columns.c: sets titles and columns */

/* ---- report_tables.c ----------------------------------------------------------------------------------- */

/* Cells of row `row`, or a new empty one. */
or_cell *or_table_row(const or_table *table, size_t row);
or_status or_table_add(or_table *table, or_cell **cells);

/* Adds a row of what the object has under the columns' keys. OR_ERR_INPUT names `where` and the key. */
or_status or_report_read_row(or_report *report, or_table *table, const cJSON *object, const char *where);

/* What follows from the rows once all are there: labels, shares of the oracle's saving. */
or_status or_report_finish(or_report *report);

/* Rows of one model, group and number of shots; and of one task, too: rows that are compared. */
bool or_report_same_group(const or_cell *a, const or_cell *b);
bool or_report_alike(const or_cell *a, const or_cell *b);

bool or_report_is_full(const or_cell *row); /* of full depth */

/* Rows that belong together: of[row] is the number of their set, first[number] the first of them. */
typedef struct or_row_keys {
    size_t *of, *first, count;
} or_row_keys;
or_status or_row_keys_find(const or_table *table, bool (*alike)(const or_cell *, const or_cell *),
                           or_row_keys *keys);
void or_row_keys_free(or_row_keys *keys);

/* "rules: word_length, 2 shots", with what differs between rows only. */
or_status or_report_caption(or_report *report, const or_table *table, size_t row, const char **caption);

/* Which columns are printed, [n_columns]; false: none. */
bool or_table_visible(const or_table *table, bool *visible);

/* A cell as it is printed; "-" for nothing. The next call may use the buffer. */
or_status or_table_cell(const or_table *table, size_t row, int column, or_buffer *text);

/* Tables of "accuracy @ compute" (the paper's form): tasks are columns, policies are rows. They own their
 * columns and cells; their texts are the report's. */
typedef struct or_paper_tables {
    or_table *items;
    size_t count, capacity;
} or_paper_tables;
or_status or_paper_tables_make(or_report *report, or_paper_tables *tables);
void or_paper_tables_free(or_paper_tables *tables);

/* ---- readers ------------------------------------------------------------------------------------------- */

or_status or_report_add_eval(or_report *report, const char *folder, const char *source);
or_status or_report_add_study(or_report *report, const char *folder, const char *source);
or_status or_report_add_bench(or_report *report, const char *path, const char *source);
or_status or_report_add_trace(or_report *report, const char *path, const char *source);
or_status or_report_take_trace(or_report *report, const char *path,
                               size_t *model); /* without a row of inputs */
or_status or_report_add_lanes(or_report *report, const char *path, const char *source);

/* The smallest value of which at least a share q of the n observations is not above it; NAN when n is 0. */
double or_depth_quantile(const uint32_t counts[OR_DEPTH_BINS], double q);
uint64_t or_depth_count(const uint32_t counts[OR_DEPTH_BINS]);

/* ---- writers ------------------------------------------------------------------------------------------- */

typedef struct or_plots or_plots; /* report_plots.h */

/* All that is written, in order: tables with rows, and plots (NULL in formats without). */
typedef struct or_report_parts {
    const or_table **tables;
    size_t n_tables;
    const or_plots *plots;
    const char *checked; /* a sentence; NULL: nothing was checked */
} or_report_parts;

struct or_report_format {
    const char *name;
    bool plots;
    or_status (*write)(const or_report_parts *parts, or_buffer *out);
};
extern const or_report_format or_report_html, or_report_md, or_report_tex;

/* Text in the language of each. */
or_status or_html_escape(or_buffer *out, const char *text);
or_status or_md_escape(or_buffer *out, const char *text);
or_status or_tex_escape(or_buffer *out, const char *text);

#endif
