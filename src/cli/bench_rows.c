/* bench_rows.c - the formats of bench's rows, to stdout.
 *
 *   md     | model | size | params | ranks | threads | test | t/s |, for people; also prompts/s of batches of prompts,
 *          what ramps cost, and what exits are worth
 *   csv    all fields, with a head
 *   jsonl  an object per row, all fields, null where a field has no meaning; json: an array of these
 */
#include "bench_rows.h"

#include "json.h"

#include <stdio.h>
#include <string.h>

static void nothing(void)
{
}

/* ---- Markdown ----------------------------------------------------------------------------------------------- */

static void begin_md(const or_bench_columns *columns)
{
    printf("| model | size | params | ranks | threads | test | t/s |%s%s%s%s\n",
           columns->prompts ? " prompts/s |" : "", columns->predicted ? " predicted |" : "",
           columns->ramps ? " ramps |" : "", columns->exits ? " work saved | ratio | 1 / (1 - saved) |" : "");
    printf("|---|---:|---:|---:|---:|---|---:|%s%s%s%s\n", columns->prompts ? "---:|" : "",
           columns->predicted ? "---:|" : "", columns->ramps ? "---:|" : "",
           columns->exits ? "---:|---:|---:|" : "");
}

/* 1.10 B, 4.20 M */
static const char *count_text(uint64_t count, char text[32])
{
    const bool billions = count >= 1000000000;
    snprintf(text, 32, "%.2f %s", (double)count / (billions ? 1e9 : 1e6), billions ? "B" : "M");
    return text;
}

static void put_columns(const or_bench_row *row, const or_bench_columns *columns)
{
    if (columns->prompts && row->prompts > 0)
        printf(" %.2f |", row->prompts);
    else if (columns->prompts)
        printf(" |");
    if (columns->predicted && row->predicted > 0)
        printf(" %.2f |", row->predicted);
    else if (columns->predicted)
        printf(" |");
    if (columns->ramps) printf(" %.2f %% |", 100 * row->ramps);
    if (row->kv)
        printf(" %.1f %% | %.3f | %.3f |", 100 * row->work_saved, row->ratio, 1 / (1 - row->work_saved));
    else if (columns->exits)
        printf(" | | |");
}

static or_status row_md(const or_bench_row *row, bool first, const or_bench_columns *columns)
{
    (void)first;
    const or_bench_model *m = row->model;
    char size[OR_BYTES_TEXT], params[32], replicas[32] = "";
    if (row->replicas > 1) snprintf(replicas, sizeof replicas, " (%d replicas)", row->replicas);
    printf("| %s %s%s | %s | %s | %d%s | %d | %s%s%s | %.2f ± %.2f |", m->name, or_dtype_name(m->type),
           m->one_layer ? ", layers shared" : "", or_bytes_text(m->bytes, size),
           count_text(m->parameters, params), row->ranks, replicas, row->threads, row->test,
           row->kv ? " exits " : "", row->kv ? row->kv : "", row->rate.mean, row->rate.deviation);
    put_columns(row, columns);
    printf("\n");
    return OR_OK;
}

/* ---- CSV ---------------------------------------------------------------------------------------------------- */

static void begin_csv(const or_bench_columns *columns)
{
    (void)columns;
    printf("model,type,share_layers,size,params,ranks,replicas,threads,plan,test,exits,tokens_per_second,"
           "deviation,median,prompts_per_second,predicted,gflops,ramps,peaks,work_saved,ratio\n");
}

/* In quotes, which are doubled where the text has them. */
static void put_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    printf("\",");
}

static or_status row_csv(const or_bench_row *row, bool first, const or_bench_columns *columns)
{
    (void)first;
    (void)columns;
    const or_bench_model *m = row->model;
    put_text(m->name);
    printf("%s,%s,%llu,%llu,%d,%d,%d,", or_dtype_name(m->type), m->one_layer ? "true" : "false",
           (unsigned long long)m->bytes, (unsigned long long)m->parameters, row->ranks, row->replicas,
           row->threads);
    put_text(row->plan);
    put_text(row->test);
    printf("%s,%.9g,%.9g,%.9g,", row->kv ? row->kv : "", row->rate.mean, row->rate.deviation,
           row->rate.median);
    if (row->prompts > 0) printf("%.9g", row->prompts);
    putchar(',');
    if (row->predicted > 0) printf("%.9g", row->predicted);
    printf(",%.9g,%.9g,", row->gflops, row->ramps);
    put_text(row->peaks);
    if (row->kv) printf("%.9g,%.9g", row->work_saved, row->ratio);
    printf("%s\n", row->kv ? "" : ",");
    return OR_OK;
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

/* null where it has no meaning. */
static or_status put_number(or_buffer *out, const char *key, double value)
{
    if (value == 0) return or_buffer_printf(out, "\"%s\": null, ", key);
    return or_buffer_printf(out, "\"%s\": %.9g, ", key, value);
}

static or_status put_object(const or_bench_row *row, or_buffer *out)
{
    const or_bench_model *m = row->model;
    OR_TRY(or_buffer_puts(out, "{\"model\": "));
    OR_TRY(or_json_put_string(out, m->name));
    OR_TRY(or_buffer_printf(
        out,
        ", \"type\": \"%s\", \"share_layers\": %s, \"size\": %llu, \"params\": %llu, "
        "\"ranks\": %d, \"replicas\": %d, \"threads\": %d, \"plan\": [%s], \"test\": \"%s\", ",
        or_dtype_name(m->type), m->one_layer ? "true" : "false", (unsigned long long)m->bytes,
        (unsigned long long)m->parameters, row->ranks, row->replicas, row->threads, row->plan, row->test));
    OR_TRY(or_buffer_printf(
        out, "\"exits\": %s%s%s, \"tokens_per_second\": %.9g, \"deviation\": %.9g, \"median\": %.9g, ",
        row->kv ? "\"" : "", row->kv ? row->kv : "null", row->kv ? "\"" : "", row->rate.mean,
        row->rate.deviation, row->rate.median));
    OR_TRY(put_number(out, "prompts_per_second", row->prompts));
    OR_TRY(put_number(out, "predicted", row->predicted));
    OR_TRY(or_buffer_printf(out, "\"gflops\": %.9g, \"ramps\": %.9g, \"peaks\": [%s], ", row->gflops,
                            row->ramps, row->peaks));
    if (!row->kv) return or_buffer_puts(out, "\"work_saved\": null, \"ratio\": null}");
    return or_buffer_printf(out, "\"work_saved\": %.9g, \"ratio\": %.9g}", row->work_saved, row->ratio);
}

static or_status print_object(const or_bench_row *row, const char *before, const char *after)
{
    or_buffer out = {0};
    or_status status = put_object(row, &out);
    if (status == OR_OK) printf("%s%s%s", before, out.data, after);
    or_buffer_free(&out);
    return status;
}

static void begin_jsonl(const or_bench_columns *columns)
{
    (void)columns;
}

static or_status row_jsonl(const or_bench_row *row, bool first, const or_bench_columns *columns)
{
    (void)first;
    (void)columns;
    return print_object(row, "", "\n");
}

static void begin_json(const or_bench_columns *columns)
{
    (void)columns;
    printf("[");
}

static or_status row_json(const or_bench_row *row, bool first, const or_bench_columns *columns)
{
    (void)columns;
    return print_object(row, first ? "\n  " : ",\n  ", "");
}

static void end_json(void)
{
    printf("\n]\n");
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static const or_bench_format formats[] = {
    {"md", begin_md, row_md, nothing},
    {"csv", begin_csv, row_csv, nothing},
    {"json", begin_json, row_json, end_json},
    {"jsonl", begin_jsonl, row_jsonl, nothing},
};
enum { FORMATS = sizeof formats / sizeof *formats };

or_status or_bench_format_find(const char *name, const or_bench_format **format)
{
    for (size_t i = 0; i < FORMATS; i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        *format = &formats[i];
        return OR_OK;
    }
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "-o is \"%s\", expected md, csv, json or jsonl", name);
}
