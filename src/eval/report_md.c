/* report_md.c - tables as GitHub's Markdown. The simplest of the formats: write(parts) appends a document
 * to a buffer, and a line in report.c's table makes it a value of --format. */
#include "report_internal.h"

#include <string.h>

/* What would end a cell, or begin emphasis, code, a link, or HTML. */
or_status or_md_escape(or_buffer *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\|*_`<>[]&~#", *text)) OR_TRY(or_buffer_puts(out, "\\"));
        OR_TRY(or_buffer_append(out, (unsigned char)*text < 0x20 ? " " : text, 1));
    }
    return OR_OK;
}

/* Numbers are set to the right. */
static or_status put_head(const or_table *table, const bool *visible, or_buffer *out)
{
    for (int c = 0; c < table->n_columns; c++) {
        if (!visible[c]) continue;
        OR_TRY(or_buffer_puts(out, "| "));
        OR_TRY(or_md_escape(out, table->columns[c].head));
        OR_TRY(or_buffer_puts(out, " "));
    }
    OR_TRY(or_buffer_puts(out, "|\n"));
    for (int c = 0; c < table->n_columns; c++)
        if (visible[c])
            OR_TRY(or_buffer_puts(out, table->columns[c].kind < OR_COLUMN_COUNT ? "|---" : "|---:"));
    return or_buffer_puts(out, "|\n");
}

static or_status put_row(const or_table *table, const bool *visible, size_t row, or_buffer *cell,
                         or_buffer *out)
{
    for (int c = 0; c < table->n_columns; c++) {
        if (!visible[c]) continue;
        OR_TRY(or_table_cell(table, row, c, cell));
        OR_TRY(or_buffer_puts(out, "| "));
        OR_TRY(or_md_escape(out, cell->data));
        OR_TRY(or_buffer_puts(out, " "));
    }
    return or_buffer_puts(out, "|\n");
}

static or_status put_table(const or_table *table, or_buffer *out)
{
    bool *visible = NULL;
    or_buffer cell = {0};
    or_status status = OR_NEW(visible, (size_t)table->n_columns);
    if (status != OR_OK || !or_table_visible(table, visible)) goto done;
    OR_TRY_GOTO(done, or_buffer_puts(out, "\n## "));
    OR_TRY_GOTO(done, or_md_escape(out, table->title));
    OR_TRY_GOTO(done, or_buffer_puts(out, "\n\n"));
    if (table->note) OR_TRY_GOTO(done, or_buffer_printf(out, "%s\n\n", table->note));
    OR_TRY_GOTO(done, put_head(table, visible, out));
    for (size_t row = 0; row < table->n_rows; row++)
        OR_TRY_GOTO(done, put_row(table, visible, row, &cell, out));
done:
    or_buffer_free(&cell);
    free(visible);
    return status;
}

static or_status write_md(const or_report_parts *parts, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "# offramp report\n"));
    if (parts->checked) OR_TRY(or_buffer_printf(out, "\n%s\n", parts->checked));
    for (size_t i = 0; i < parts->n_tables; i++) OR_TRY(put_table(parts->tables[i], out));
    return OR_OK;
}

const or_report_format or_report_md = {"md", false, write_md};
