/* report_tables.c - rows of the tables of figures: read, related to each other, printed. */
#include "report_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* Valid until the next row is added. */
or_cell *or_table_row(const or_table *table, size_t row)
{
    return &table->cells[row * (size_t)table->n_columns];
}

or_status or_table_add(or_table *table, or_cell **cells)
{
    OR_RESERVE(table->cells, table->capacity, (table->n_rows + 1) * (size_t)table->n_columns);
    *cells = or_table_row(table, table->n_rows++);
    for (int c = 0; c < table->n_columns; c++) (*cells)[c] = (or_cell){NULL, NAN};
    return OR_OK;
}

/* ["gap", "top_prob"] or [8, 8]: the parts with commas between. */
static or_status read_list(or_report *report, const cJSON *object, const char *key, const char *where,
                           or_cell *cell)
{
    const cJSON *list, *item;
    or_buffer text = {0};
    or_status status = OR_OK;
    OR_TRY(or_json_array(object, key, where, &list));
    cJSON_ArrayForEach(item, list)
    {
        if (text.size > 0) OR_TRY_GOTO(done, or_buffer_puts(&text, ", "));
        if (cJSON_IsString(item))
            status = or_buffer_puts(&text, item->valuestring);
        else if (cJSON_IsNumber(item))
            status = or_buffer_printf(&text, "%.9g", item->valuedouble);
        else
            status = or_fail(OR_ERR_INPUT, "wrong field", where,
                             "\"%s\" holds what is neither, expected texts or numbers", key);
        OR_TRY_GOTO(done, status);
    }
    status = or_report_text(report, &cell->text, "%s", text.data ? text.data : "");
done:
    or_buffer_free(&text);
    return status;
}

/* Whole numbers by the reader of those, which refuses fractions; all within the column's bounds. */
static or_status read_number(const or_column *column, const cJSON *object, const char *where, or_cell *cell)
{
    int64_t whole;
    if (column->kind == OR_COLUMN_COUNT || column->kind == OR_COLUMN_BYTES) {
        OR_TRY(or_json_int(object, column->key, where, (int64_t)column->low, (int64_t)column->high, &whole));
        cell->number = (double)whole;
        return OR_OK;
    }
    OR_TRY(or_json_number(object, column->key, where, &cell->number));
    if (cell->number >= column->low && cell->number <= column->high) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"%s\" is %g, expected %g..%g", column->key,
                   cell->number, column->low, column->high);
}

static or_status read_cell(or_report *report, const or_column *column, const cJSON *object, const char *where,
                           or_cell *cell)
{
    const char *text;
    bool flag;
    if (!column->key || (column->flags & OR_COLUMN_NULL && !or_json_find(object, column->key))) return OR_OK;
    switch (column->kind) {
    case OR_COLUMN_TEXT:
        OR_TRY(or_json_string(object, column->key, where, &text));
        return or_report_text(report, &cell->text, "%s", text);
    case OR_COLUMN_LIST:
        return read_list(report, object, column->key, where, cell);
    case OR_COLUMN_FLAG:
        OR_TRY(or_json_bool(object, column->key, where, &flag));
        cell->text = flag ? "yes" : NULL;
        return OR_OK;
    default:
        return read_number(column, object, where, cell);
    }
}

or_status or_report_read_row(or_report *report, or_table *table, const cJSON *object, const char *where)
{
    or_cell *cells;
    if (!cJSON_IsObject(object))
        return or_fail(OR_ERR_INPUT, "wrong JSON", where, "found no object, expected {...}");
    OR_TRY(or_table_add(table, &cells));
    for (int c = 0; c < table->n_columns; c++)
        OR_TRY(read_cell(report, &table->columns[c], object, where, &cells[c]));
    return OR_OK;
}

/* ---- what follows -------------------------------------------------------------------------------------- */

/* Two names, or none. */
static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool or_report_same_group(const or_cell *a, const or_cell *b)
{
    return same_text(a[OR_RESULT_MODEL].text, b[OR_RESULT_MODEL].text) &&
           same_text(a[OR_RESULT_GROUP].text, b[OR_RESULT_GROUP].text) &&
           a[OR_RESULT_SHOTS].number == b[OR_RESULT_SHOTS].number;
}

bool or_report_alike(const or_cell *a, const or_cell *b)
{
    return or_report_same_group(a, b) && same_text(a[OR_RESULT_TASK].text, b[OR_RESULT_TASK].text);
}

bool or_report_is_full(const or_cell *row)
{
    return strcmp(row[OR_RESULT_POLICY].text, "full") == 0;
}

/* Each with the first of every set: sets are few, rows some hundreds. */
or_status or_row_keys_find(const or_table *table, bool (*alike)(const or_cell *, const or_cell *),
                           or_row_keys *keys)
{
    OR_TRY(OR_NEW(keys->of, table->n_rows));
    OR_TRY(OR_NEW(keys->first, table->n_rows));
    for (size_t i = 0; i < table->n_rows; i++) {
        size_t key = 0;
        while (key < keys->count && !alike(or_table_row(table, keys->first[key]), or_table_row(table, i)))
            key++;
        if (key == keys->count) keys->first[keys->count++] = i;
        keys->of[i] = key;
    }
    return OR_OK;
}

void or_row_keys_free(or_row_keys *keys)
{
    free(keys->of);
    free(keys->first);
    *keys = (or_row_keys){0};
}

/* Whether the policy of a row was trained on other tasks than its own, its group's, or all. */
static bool is_foreign(const or_cell *row)
{
    const char *trained = row[OR_RESULT_TRAINED].text;
    return trained && strcmp(trained, "all") != 0 && !same_text(trained, row[OR_RESULT_GROUP].text) &&
           !same_text(trained, row[OR_RESULT_TASK].text);
}

/* A policy that was trained on other tasks than it is tested on says on which; one that several inputs have
 * says from which. Full depth is the same from everywhere. */
static or_status label(or_report *report, const or_table *table, or_cell *row)
{
    const char *policy = row[OR_RESULT_POLICY].text, *trained = row[OR_RESULT_TRAINED].text;
    row[OR_RESULT_LABEL].text = policy;
    if (or_report_is_full(row)) return OR_OK;
    if (is_foreign(row))
        OR_TRY(or_report_text(report, &row[OR_RESULT_LABEL].text, "%s of %s", policy, trained));
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *other = or_table_row(table, i);
        if (!same_text(other[OR_RESULT_POLICY].text, policy) || !or_report_alike(other, row) ||
            !same_text(other[OR_RESULT_TRAINED].text, trained) ||
            same_text(other[OR_RESULT_SOURCE].text, row[OR_RESULT_SOURCE].text))
            continue;
        return or_report_text(report, &row[OR_RESULT_LABEL].text, "%s (%s)", row[OR_RESULT_LABEL].text,
                              row[OR_RESULT_SOURCE].text);
    }
    return OR_OK;
}

/* What is saved of what could be, on the same task. An oracle that saves nothing has no share. */
static void share_of_oracle(const or_table *table, or_cell *row)
{
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *oracle = or_table_row(table, i);
        if (strcmp(oracle[OR_RESULT_POLICY].text, "oracle") != 0 || !or_report_alike(oracle, row)) continue;
        const double saved = oracle[OR_RESULT_SAVED].number;
        if (saved > 0) row[OR_RESULT_OF_ORACLE].number = row[OR_RESULT_SAVED].number / saved;
        return;
    }
}

or_status or_report_finish(or_report *report)
{
    or_table *tables[] = {&report->results, &report->totals};
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->n_rows; i++) {
            OR_TRY(label(report, tables[t], or_table_row(tables[t], i)));
            share_of_oracle(tables[t], or_table_row(tables[t], i));
        }
    return OR_OK;
}

/* Whether rows differ in a column. */
static bool differs(const or_table *table, int column)
{
    for (size_t i = 1; i < table->n_rows; i++) {
        const or_cell *a = &or_table_row(table, 0)[column], *b = &or_table_row(table, i)[column];
        if (!same_text(a->text, b->text)) return true;
        if (isnan(a->number) != isnan(b->number)) return true;
        if (!isnan(a->number) && a->number != b->number) return true;
    }
    return false;
}

/* A page of one model and one number of shots names neither over each plot. */
or_status or_report_caption(or_report *report, const or_table *table, size_t row, const char **caption)
{
    const or_cell *cells = or_table_row(table, row);
    const char *model = cells[OR_RESULT_MODEL].text, *group = cells[OR_RESULT_GROUP].text;
    const bool models = differs(table, OR_RESULT_MODEL), groups = group && differs(table, OR_RESULT_GROUP);
    char shots[48] = "";
    if (differs(table, OR_RESULT_SHOTS))
        snprintf(shots, sizeof shots, ", %.0f shots", cells[OR_RESULT_SHOTS].number);
    return or_report_text(report, caption, "%s%s%s%s%s%s", models ? model : "", models ? ", " : "",
                          groups ? group : "", groups ? ": " : "", cells[OR_RESULT_TASK].text, shots);
}

/* ---- printing ------------------------------------------------------------------------------------------ */

/* Shown are columns with something in them. */
bool or_table_visible(const or_table *table, bool *visible)
{
    bool any = false;
    for (int c = 0; c < table->n_columns; c++) {
        const unsigned flags = table->columns[c].flags;
        bool filled = false;
        for (size_t i = 0; i < table->n_rows && !filled; i++) {
            const or_cell *cell = &or_table_row(table, i)[c];
            filled = cell->text || isfinite(cell->number);
        }
        visible[c] =
            filled && !(flags & OR_COLUMN_HIDDEN) && (!(flags & OR_COLUMN_QUIET) || differs(table, c));
        any |= visible[c];
    }
    return any;
}

or_status or_table_cell(const or_table *table, size_t row, int column, or_buffer *text)
{
    const or_column *kind = &table->columns[column];
    const or_cell *cell = &or_table_row(table, row)[column];
    const double error = kind->error ? or_table_row(table, row)[kind->error].number : NAN;
    char bytes[OR_BYTES_TEXT];
    text->size = 0;
    if (cell->text) return or_buffer_puts(text, cell->text[0] ? cell->text : "-");
    if (!isfinite(cell->number)) return or_buffer_puts(text, "-");
    switch (kind->kind) {
    case OR_COLUMN_SHARE:
        return or_buffer_printf(text, "%.1f %%", 100 * cell->number);
    case OR_COLUMN_BYTES:
        return or_buffer_puts(text, or_bytes_text((unsigned long long)cell->number, bytes));
    default:
        OR_TRY(or_buffer_printf(text, "%.*f", kind->digits, cell->number));
        return isfinite(error) ? or_buffer_printf(text, " ± %.*f", kind->digits, error) : OR_OK;
    }
}
