/* report_bench.c - rows of offramp bench: an array (-o json), or an object a line (-o jsonl). */
#include "report_internal.h"

#include "file.h"

#include <stdio.h>
#include <string.h>

static or_status take_row(or_report *report, const cJSON *row, const char *source, const char *where)
{
    OR_TRY(or_report_read_row(report, &report->bench, row, where));
    or_table_row(&report->bench, report->bench.n_rows - 1)[OR_BENCH_SOURCE].text = source;
    return OR_OK;
}

/* -o json. */
static or_status take_array(or_report *report, const or_buffer *text, const char *source, const char *path)
{
    cJSON *rows = NULL;
    const cJSON *row;
    char where[1024];
    int number = 1;
    OR_TRY(or_json_parse(text->data, text->size, path, &rows));
    or_status status = OR_OK;
    cJSON_ArrayForEach(row, rows)
    {
        snprintf(where, sizeof where, "%s: row %d", path, number++);
        OR_TRY_GOTO(done, take_row(report, row, source, where));
    }
done:
    cJSON_Delete(rows);
    return status;
}

/* -o jsonl. */
static or_status take_lines(or_report *report, const or_buffer *text, const char *source, const char *path)
{
    char where[1024];
    size_t number = 1;
    for (const char *line = text->data; *line; number++) {
        const size_t length = strcspn(line, "\n");
        cJSON *row = NULL;
        snprintf(where, sizeof where, "%s:%zu", path, number);
        OR_TRY(or_json_parse(line, length, where, &row));
        or_status status = take_row(report, row, source, where);
        cJSON_Delete(row);
        OR_TRY(status);
        line += length + (line[length] == '\n');
    }
    return OR_OK;
}

or_status or_report_add_bench(or_report *report, const char *path, const char *source)
{
    const size_t before = report->bench.n_rows;
    or_buffer text = {0};
    or_cell *cells;
    OR_TRY(or_report_source(report, source, "bench", &cells));
    or_status status = or_file_read(path, &text);
    if (status == OR_OK)
        status = text.data[0] == '[' ? take_array(report, &text, source, path)
                                     : take_lines(report, &text, source, path);
    if (status == OR_OK && report->bench.n_rows == before)
        status =
            or_fail(OR_ERR_INPUT, "input not recognised", path, "found no rows, expected what bench prints");
    or_buffer_free(&text);
    return status;
}
