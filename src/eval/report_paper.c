/* report_paper.c - tables of "accuracy @ compute", the form of the AdaInfer paper's results: a column per
 * task, a row per policy. */
#include "report_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TASKS = 6 }; /* columns of a table; more tasks make more tables */

/* Tasks of one model and group. */
typedef struct tasks {
    size_t rows[MAX_TASKS]; /* of results, the first of each task and number of shots */
    size_t count;
} tasks;

/* Tasks of these stand in one table. */
static bool same_group(const or_cell *a, const or_cell *b)
{
    const char *x = a[OR_RESULT_GROUP].text, *y = b[OR_RESULT_GROUP].text;
    return strcmp(a[OR_RESULT_MODEL].text, b[OR_RESULT_MODEL].text) == 0 &&
           strcmp(x ? x : "", y ? y : "") == 0;
}

/* Whether a row before is of the same task. */
static bool seen_before(const or_table *results, size_t row)
{
    for (size_t i = 0; i < row; i++)
        if (or_report_alike(or_table_row(results, i), or_table_row(results, row))) return true;
    return false;
}

/* The row of the table that is the policy's, added when it is new. */
static or_status find_policy(or_table *table, const char *label, or_cell **cells)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        *cells = or_table_row(table, i);
        if (strcmp((*cells)[0].text, label) == 0) return OR_OK;
    }
    OR_TRY(or_table_add(table, cells));
    (*cells)[0].text = label;
    return OR_OK;
}

/* The number is for sorting. */
static or_status fill_cell(or_report *report, const or_cell *row, or_cell *cell)
{
    const double accuracy = 100 * row[OR_RESULT_ACCURACY].number, flops = 100 * row[OR_RESULT_FLOPS].number;
    cell->number = accuracy;
    if (!isfinite(accuracy)) return or_report_text(report, &cell->text, "- @ %.1f", flops);
    if (isfinite(flops)) return or_report_text(report, &cell->text, "%.1f @ %.1f", accuracy, flops);
    return or_report_text(report, &cell->text, "%.1f", accuracy);
}

/* The table's own, freed with it. */
static or_status make_columns(or_report *report, const tasks *t, or_table *table)
{
    or_column *columns = NULL;
    OR_TRY(OR_NEW(columns, t->count + 1));
    table->columns = columns;
    table->n_columns = (int)t->count + 1;
    columns[0] = (or_column){.head = "policy", .kind = OR_COLUMN_TEXT};
    for (size_t i = 0; i < t->count; i++) {
        columns[i + 1] = (or_column){.kind = OR_COLUMN_REAL, .digits = 1};
        const or_cell *row = or_table_row(&report->results, t->rows[i]);
        OR_TRY(or_report_text(report, &columns[i + 1].head, "%s, %.0f shots", row[OR_RESULT_TASK].text,
                              row[OR_RESULT_SHOTS].number));
    }
    return OR_OK;
}

static or_status make_title(or_report *report, const or_cell *row, or_table *table)
{
    const char *group = row[OR_RESULT_GROUP].text;
    table->title = "Accuracy @ compute";
    return or_report_text(report, &table->note, "%s%s%s. Both in per cent; compute is of full depth's.",
                          row[OR_RESULT_MODEL].text, group ? ", " : "", group ? group : "");
}

/* Takes the tasks in *t, which is empty afterwards. */
static or_status add_table(or_report *report, tasks *t, or_paper_tables *tables)
{
    const or_table *results = &report->results;
    OR_RESERVE(tables->items, tables->capacity, tables->count + 1);
    or_table *table = &tables->items[tables->count++];
    *table = (or_table){0};
    OR_TRY(make_columns(report, t, table));
    OR_TRY(make_title(report, or_table_row(results, t->rows[0]), table));
    for (size_t i = 0; i < results->n_rows; i++) {
        const or_cell *row = or_table_row(results, i);
        for (size_t k = 0; k < t->count; k++) {
            or_cell *cells;
            if (!or_report_alike(row, or_table_row(results, t->rows[k]))) continue;
            OR_TRY(find_policy(table, row[OR_RESULT_LABEL].text, &cells));
            OR_TRY(fill_cell(report, row, &cells[k + 1]));
        }
    }
    t->count = 0;
    return OR_OK;
}

/* In the order of the results, of which those of one group follow each other. */
or_status or_paper_tables_make(or_report *report, or_paper_tables *tables)
{
    const or_table *results = &report->results;
    tasks t = {0};
    for (size_t i = 0; i < results->n_rows; i++) {
        if (seen_before(results, i)) continue;
        const bool fits = t.count == 0 || (t.count < MAX_TASKS && same_group(or_table_row(results, t.rows[0]),
                                                                             or_table_row(results, i)));
        if (!fits) OR_TRY(add_table(report, &t, tables));
        t.rows[t.count++] = i;
    }
    return t.count > 0 ? add_table(report, &t, tables) : OR_OK;
}

void or_paper_tables_free(or_paper_tables *tables)
{
    for (size_t i = 0; i < tables->count; i++) {
        free((void *)tables->items[i].columns);
        free(tables->items[i].cells);
    }
    free(tables->items);
    *tables = (or_paper_tables){0};
}
