/* report_tex.c - tables as a LaTeX document: booktabs, each a longtable, which goes over pages where it
 * must, to be compiled as it is or copied from. */
#include "report_internal.h"

#include "utf8.h"

#include <string.h>

static const struct {
    const char *found, *put;
} specials[] = {
    {"\\", "\\textbackslash{}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"|", "\\textbar{}"},
    {"\"", "\\textquotedbl{}"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"±", "$\\pm$"},
    {"-", "{-}"}, /* two would become a dash */
    {"[", "{[}"},
    {"*", "{*}"}, /* at the beginning of a row they would belong to the \\ before */
};

/* The code point of a character of `length` bytes. */
static unsigned code_point(const char *text, size_t length)
{
    const unsigned first = (unsigned char)text[0];
    unsigned code = length == 1 ? first : first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) code = code << 6 | ((unsigned char)text[i] & 0x3f);
    return code;
}

/* Characters that are not ASCII are named by their number: pdflatex ends on those that its fonts lack. */
static or_status put_character(or_buffer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++)
        if (strlen(specials[i].found) == length && memcmp(text, specials[i].found, length) == 0)
            return or_buffer_puts(out, specials[i].put);
    if (length > 1) return or_buffer_printf(out, "{[}U+%04X]", code_point(text, length));
    return or_buffer_append(out, (unsigned char)*text < 0x20 ? " " : text, 1);
}

or_status or_tex_escape(or_buffer *out, const char *text)
{
    for (size_t size = strlen(text), length; size > 0; size -= length, text += length) {
        length = or_utf8_length(text, size);
        if (length == 0) length = 1;
        OR_TRY(put_character(out, text, length));
    }
    return OR_OK;
}

/* Cells of one row; `row` is SIZE_MAX for the head. */
static or_status put_row(const or_table *table, const bool *visible, size_t row, or_buffer *cell,
                         or_buffer *out)
{
    const char *between = "";
    for (int c = 0; c < table->n_columns; c++) {
        if (!visible[c]) continue;
        OR_TRY(or_buffer_puts(out, between));
        if (row != SIZE_MAX) OR_TRY(or_table_cell(table, row, c, cell));
        OR_TRY(or_tex_escape(out, row == SIZE_MAX ? table->columns[c].head : cell->data));
        between = " & ";
    }
    return or_buffer_puts(out, " \\\\\n");
}

/* Columns without lines between, nor room at the edges, as booktabs wants them. */
static or_status put_begin(const or_table *table, const bool *visible, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "\n\\begin{longtable}{@{}"));
    for (int c = 0; c < table->n_columns; c++)
        if (visible[c]) OR_TRY(or_buffer_puts(out, table->columns[c].kind < OR_COLUMN_COUNT ? "l" : "r"));
    OR_TRY(or_buffer_puts(out, "@{}}\n\\caption{"));
    OR_TRY(or_tex_escape(out, table->title));
    if (table->note) OR_TRY(or_buffer_puts(out, ". "));
    if (table->note) OR_TRY(or_tex_escape(out, table->note));
    return or_buffer_puts(out, "} \\\\\n\\toprule\n");
}

/* The head is repeated on every page (endhead). */
static or_status put_table(const or_table *table, or_buffer *out)
{
    bool *visible = NULL;
    or_buffer cell = {0};
    or_status status = OR_NEW(visible, (size_t)table->n_columns);
    if (status != OR_OK || !or_table_visible(table, visible)) goto done;
    OR_TRY_GOTO(done, put_begin(table, visible, out));
    OR_TRY_GOTO(done, put_row(table, visible, SIZE_MAX, &cell, out));
    OR_TRY_GOTO(done, or_buffer_puts(out, "\\midrule\n\\endhead\n\\bottomrule\n\\endfoot\n"));
    for (size_t row = 0; row < table->n_rows; row++)
        OR_TRY_GOTO(done, put_row(table, visible, row, &cell, out));
    status = or_buffer_puts(out, "\\end{longtable}\n");
done:
    or_buffer_free(&cell);
    free(visible);
    return status;
}

/* A3 on its side has room for all columns of results. */
static or_status write_tex(const or_report_parts *parts, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "\\documentclass{article}\n"
                               "\\usepackage[T1]{fontenc}\n"
                               "\\usepackage[a3paper,landscape,margin=15mm]{geometry}\n"
                               "\\usepackage{booktabs,longtable}\n"
                               "\\begin{document}\n\\small\n"));
    if (parts->checked) OR_TRY(or_tex_escape(out, parts->checked));
    for (size_t i = 0; i < parts->n_tables; i++) OR_TRY(put_table(parts->tables[i], out));
    return or_buffer_puts(out, "\\end{document}\n");
}

const or_report_format or_report_tex = {"tex", false, write_tex};
