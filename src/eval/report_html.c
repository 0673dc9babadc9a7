/* report_html.c - the page: plots and tables in one file that loads nothing else.
 *
 * It is read in light and in dark (prefers-color-scheme), on wide screens and narrow ones, and without
 * JavaScript, which only sorts tables by the column whose head is clicked.
 */
#include "report_internal.h"

#include "report_plots.h"

#include <math.h>
#include <string.h>

/* Colours by name, so that the dark ones replace them all at once; plots take --text by currentColor.
 * Panels stand side by side as far as the screen has room for their width, --w. */
static const char style[] =
    ":root{color-scheme:light "
    "dark;--page:#fff;--text:#1b1b1b;--faint:#6a6a6a;--line:#d8d8d8;--stripe:#f5f6f7}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#14161a;--text:#e6e6e6;--faint:#a0a0a0;--line:#3a3d42;"
    "--stripe:#1c1f24}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:1240px;padding:16px;background:var(--page);color:var(--text);"
    "font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.5em;margin:.2em 0}h2{font-size:1.2em;margin:2em 0 .3em}\n"
    "p{max-width:75ch;margin:.3em 0;color:var(--faint)}\n"
    "nav{display:flex;flex-wrap:wrap;gap:.2em 1.1em;margin:.6em 0}a{color:inherit}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:.2em 1.2em;list-style:none;padding:0;margin:.5em 0}\n"
    ".legend svg{width:26px;height:10px;vertical-align:middle}\n"
    ".panels{display:grid;gap:14px 18px;"
    "grid-template-columns:repeat(auto-fill,minmax(min(100%,var(--w)),1fr))}\n"
    "figure{margin:0;min-width:0}figcaption{font-weight:600;font-size:.92em;overflow-wrap:anywhere}\n"
    "figure>div{overflow-x:auto}figure svg{display:block;width:100%;height:auto}\n"
    ".scroll{overflow-x:auto;margin-bottom:1em}table{border-collapse:collapse;font-size:.9em;font-variant-"
    "numeric:tabular-nums}"
    "\n"
    "th,td{padding:.22em .7em;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}\n"
    "tbody tr:nth-child(even){background:var(--stripe)}.n{text-align:right}\n"
    "th button{all:unset;cursor:pointer;font-weight:600}th button:focus-visible{outline:2px solid}\n"
    "th[aria-sort=ascending] button::after{content:' \\25b2'}"
    "th[aria-sort=descending] button::after{content:' \\25bc'}\n";

/* Equal rows keep their order, and rows without a value come last in both directions. */
static const char script[] =
    "for(const head of document.querySelectorAll('th')){head.querySelector('button').onclick=()=>{\n"
    "const table=head.closest('table'),body=table.tBodies[0],at=head.cellIndex;\n"
    "const up=head.getAttribute('aria-sort')!=='ascending';\n"
    "for(const other of table.querySelectorAll('th'))other.removeAttribute('aria-sort');\n"
    "head.setAttribute('aria-sort',up?'ascending':'descending');\n"
    "const key=row=>{const c=row.cells[at];return "
    "head.className==='n'?(c.dataset.v===undefined?NaN:+c.dataset.v)"
    ":c.textContent};\n"
    "const order=(a,b)=>{const x=key(a),y=key(b);\n"
    "if(typeof x==='string')return up?x.localeCompare(y):y.localeCompare(x);\n"
    "if(isNaN(x)||isNaN(y))return isNaN(x)-isNaN(y);return up?x-y:y-x};\n"
    "body.append(...[...body.rows].sort(order))}}\n";

or_status or_html_escape(or_buffer *out, const char *text)
{
    for (; *text; text++) {
        const char *put = *text == '&'    ? "&amp;"
                          : *text == '<'  ? "&lt;"
                          : *text == '>'  ? "&gt;"
                          : *text == '"'  ? "&quot;"
                          : *text == '\'' ? "&#39;"
                                          : NULL;
        OR_TRY(put ? or_buffer_puts(out, put) : or_buffer_append(out, text, 1));
    }
    return OR_OK;
}

/* <element>text</element> */
static or_status put_element(or_buffer *out, const char *element, const char *text)
{
    OR_TRY(or_buffer_printf(out, "<%s>", element));
    OR_TRY(or_html_escape(out, text));
    return or_buffer_printf(out, "</%s>\n", element);
}

/* ---- plots --------------------------------------------------------------------------------------------- */

/* gnuplot's dash types 2 to 5, roughly. */
static const char *dashes(int dash)
{
    static const char *const arrays[] = {"", "4 3", "1.5 2", "6 2 1.5 2", "6 2 1.5 2 1.5 2"};
    return arrays[(dash - 1) % 5];
}

/* One legend for all panels of a figure: in a panel there is no room. */
static or_status put_legend(const or_figure *figure, or_buffer *out)
{
    if (figure->n_legend == 0) return OR_OK;
    OR_TRY(or_buffer_puts(out, "<ul class=\"legend\">\n"));
    for (size_t i = 0; i < figure->n_legend; i++) {
        const or_plot_style *s = &figure->legend[i];
        OR_TRY(or_buffer_printf(
            out,
            "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><path d=\"M0 5H26\" stroke=\"%s\" "
            "stroke-width=\"3\" stroke-dasharray=\"%s\"/></svg> ",
            strcmp(s->colour, "black") == 0 ? "currentColor" : s->colour, dashes(s->dash)));
        OR_TRY(or_html_escape(out, s->label));
        OR_TRY(or_buffer_puts(out, "</li>\n"));
    }
    return or_buffer_puts(out, "</ul>\n");
}

static or_status put_figure(const or_plots *plots, size_t f, or_buffer *out)
{
    const or_figure *figure = &plots->figures[f];
    OR_TRY(or_buffer_printf(out, "<section id=\"plot-%zu\">\n", f + 1));
    OR_TRY(put_element(out, "h2", figure->title));
    OR_TRY(put_element(out, "p", figure->note));
    OR_TRY(put_legend(figure, out));
    OR_TRY(or_buffer_printf(out, "<div class=\"panels\" style=\"--w:%dpx\">\n", figure->width));
    for (size_t i = figure->first; i < figure->first + figure->count; i++) {
        OR_TRY(or_buffer_puts(out, "<figure>"));
        OR_TRY(put_element(out, "figcaption", plots->panels[i].caption));
        OR_TRY(or_buffer_printf(out, "<div>%s</div></figure>\n", plots->panels[i].svg));
    }
    return or_buffer_puts(out, "</div>\n</section>\n");
}

/* ---- tables -------------------------------------------------------------------------------------------- */

/* Numbers stand to the right, and are sorted as such. */
static bool is_number(const or_column *column)
{
    return column->kind >= OR_COLUMN_COUNT;
}

static or_status put_head(const or_table *table, const bool *visible, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "<thead><tr>"));
    for (int c = 0; c < table->n_columns; c++) {
        if (!visible[c]) continue;
        OR_TRY(or_buffer_printf(out, "<th scope=\"col\"%s><button>",
                                is_number(&table->columns[c]) ? " class=\"n\"" : ""));
        OR_TRY(or_html_escape(out, table->columns[c].head));
        OR_TRY(or_buffer_puts(out, "</button></th>"));
    }
    return or_buffer_puts(out, "</tr></thead>\n");
}

/* data-v is the number by which it is sorted. */
static or_status put_row(const or_table *table, const bool *visible, size_t row, or_buffer *cell,
                         or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "<tr>"));
    for (int c = 0; c < table->n_columns; c++) {
        const double number = or_table_row(table, row)[c].number;
        if (!visible[c]) continue;
        OR_TRY(or_table_cell(table, row, c, cell));
        OR_TRY(or_buffer_puts(out, is_number(&table->columns[c]) ? "<td class=\"n\"" : "<td"));
        if (isfinite(number)) OR_TRY(or_buffer_printf(out, " data-v=\"%.9g\"", number));
        OR_TRY(or_buffer_puts(out, ">"));
        OR_TRY(or_html_escape(out, cell->data));
        OR_TRY(or_buffer_puts(out, "</td>"));
    }
    return or_buffer_puts(out, "</tr>\n");
}

static or_status put_table(const or_table *table, size_t number, bool titled, or_buffer *out)
{
    bool *visible = NULL;
    or_buffer cell = {0};
    or_status status = OR_NEW(visible, (size_t)table->n_columns);
    if (status != OR_OK || !or_table_visible(table, visible)) goto done;
    OR_TRY_GOTO(done, or_buffer_printf(out, "<section id=\"table-%zu\">\n", number));
    if (titled) OR_TRY_GOTO(done, put_element(out, "h2", table->title));
    if (table->note) OR_TRY_GOTO(done, put_element(out, "p", table->note));
    OR_TRY_GOTO(done, or_buffer_puts(out, "<div class=\"scroll\"><table>\n"));
    OR_TRY_GOTO(done, put_head(table, visible, out));
    OR_TRY_GOTO(done, or_buffer_puts(out, "<tbody>\n"));
    for (size_t row = 0; row < table->n_rows; row++)
        OR_TRY_GOTO(done, put_row(table, visible, row, &cell, out));
    status = or_buffer_puts(out, "</tbody>\n</table></div>\n</section>\n");
done:
    or_buffer_free(&cell);
    free(visible);
    return status;
}

/* ---- the page ------------------------------------------------------------------------------------------ */

static or_status put_link(or_buffer *out, const char *kind, size_t number, const char *title)
{
    OR_TRY(or_buffer_printf(out, "<a href=\"#%s-%zu\">", kind, number));
    OR_TRY(or_html_escape(out, title));
    return or_buffer_puts(out, "</a>\n");
}

/* Tables of one title follow each other under one heading. */
static bool goes_on(const or_report_parts *parts, size_t table)
{
    return table > 0 && strcmp(parts->tables[table]->title, parts->tables[table - 1]->title) == 0;
}

static or_status put_links(const or_report_parts *parts, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, "<nav>\n"));
    for (size_t i = 0; i < parts->plots->n_figures; i++)
        OR_TRY(put_link(out, "plot", i + 1, parts->plots->figures[i].title));
    for (size_t i = 0; i < parts->n_tables; i++)
        if (!goes_on(parts, i)) OR_TRY(put_link(out, "table", i + 1, parts->tables[i]->title));
    return or_buffer_puts(out, "</nav>\n");
}

static or_status write_html(const or_report_parts *parts, or_buffer *out)
{
    OR_TRY(or_buffer_printf(out,
                            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                            "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                            "<title>offramp report</title>\n<style>\n%s</style>\n</head>\n<body>\n"
                            "<h1>offramp report</h1>\n",
                            style));
    if (parts->checked) OR_TRY(put_element(out, "p", parts->checked));
    OR_TRY(put_links(parts, out));
    for (size_t f = 0; f < parts->plots->n_figures; f++) OR_TRY(put_figure(parts->plots, f, out));
    for (size_t i = 0; i < parts->n_tables; i++)
        OR_TRY(put_table(parts->tables[i], i + 1, !goes_on(parts, i), out));
    return or_buffer_printf(out, "<script>\n%s</script>\n</body>\n</html>\n", script);
}

const or_report_format or_report_html = {"html", true, write_html};
