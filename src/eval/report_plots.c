/* report_plots.c - figures and panels: the script that all kinds of plots write, and what gnuplot makes of
 * it. */
#include "report_plots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static or_status (*const kinds[])(or_report *, or_plots *) = {
    or_plot_accuracy, or_plot_exits, or_plot_survivors, or_plot_depth, or_plot_transfer, or_plot_lanes,
};

/* ---- figures and panels -------------------------------------------------------------------------------- */

or_status or_plots_figure(or_plots *plots, const char *title, const char *note, int width)
{
    OR_RESERVE(plots->figures, plots->figures_capacity, plots->n_figures + 1);
    plots->figures[plots->n_figures++] =
        (or_figure){.title = title, .note = note, .width = width, .first = plots->n_panels};
    return OR_OK;
}

/* Lines and texts are thin and small, since a panel is a third of a page; the grid's grey is seen on light
 * and dark. */
or_status or_plots_panel(or_plots *plots, const char *caption, int width, int height)
{
    OR_RESERVE(plots->panels, plots->panels_capacity, plots->n_panels + 1);
    plots->panels[plots->n_panels++] = (or_panel){.caption = caption};
    plots->figures[plots->n_figures - 1].count++;
    return or_buffer_printf(&plots->script,
                            "set output\nreset\nset encoding utf8\n"
                            "set terminal svg size %d,%d font 'sans-serif,12' noenhanced\n"
                            "unset key\nset border 3 lw 0.8\nset pointintervalbox 0\nset errorbars 0\n"
                            "set tics nomirror out scale 0.5\nset grid lc rgb '#999999' lw 0.3\n"
                            "set lmargin 8\nset rmargin 2\nset tmargin 1\nset bmargin 3.4\n"
                            "set xlabel offset 0,0.4\nset ylabel offset 1,0\n",
                            width, height);
}

/* Quotes are doubled; a line's end would end the string, and a backquote runs a command in other strings
 * of gnuplot's. */
or_status or_plots_quote(or_buffer *script, const char *text)
{
    OR_TRY(or_buffer_puts(script, "'"));
    for (; *text; text++) {
        const bool quote = *text == '\'' || *text == '`' || *text == '"';
        if (quote)
            OR_TRY(or_buffer_puts(script, "’"));
        else
            OR_TRY(or_buffer_append(script, (unsigned char)*text < 0x20 ? " " : text, 1));
    }
    return or_buffer_puts(script, "'");
}

/* Left to itself, gnuplot puts marks at halves where layers are few. */
or_status or_plots_layers(or_plots *plots, int low, int high)
{
    return or_buffer_printf(&plots->script, "set xrange [%d:%d]\n%s", low, high,
                            high < 12 ? "set xtics 1\n" : "");
}

size_t or_plots_name(const char **names, size_t *n, const char *name)
{
    size_t i = 0;
    while (i < *n && strcmp(names[i], name) != 0) i++;
    if (i == *n) names[(*n)++] = name;
    return i;
}

/* ---- colours ------------------------------------------------------------------------------------------- */

/* After Okabe and Ito (2008), whose colours are told apart by people who see few; the lighter and the
 * darker ones are drawn together, to be seen on white and on black. */
static const char *const colours[] = {"#1f83c4", "#d55e00", "#009e73", "#cc79a7", "#8e6bce", "#8c7a2b"};
enum { COLOURS = sizeof colours / sizeof *colours };

or_status or_plots_legend(or_plots *plots, or_plot_style style)
{
    or_figure *figure = &plots->figures[plots->n_figures - 1];
    for (size_t i = 0; i < figure->n_legend; i++)
        if (strcmp(figure->legend[i].label, style.label) == 0) return OR_OK;
    OR_RESERVE(figure->legend, figure->legend_capacity, figure->n_legend + 1);
    figure->legend[figure->n_legend++] = style;
    return OR_OK;
}

/* More policies than colours are told apart by dashes. */
or_status or_plots_policy(or_plots *plots, const char *label, or_plot_style *style)
{
    size_t i = 0;
    *style = (or_plot_style){label, "black", 1};
    if (strcmp(label, "oracle") == 0) *style = (or_plot_style){label, "#e69f00", 2};
    if (strcmp(label, "oracle") == 0 || strcmp(label, "full") == 0) return or_plots_legend(plots, *style);
    while (i < plots->n_labels && strcmp(plots->labels[i], label) != 0) i++;
    if (i == plots->n_labels) {
        OR_RESERVE(plots->labels, plots->labels_capacity, i + 1);
        plots->labels[plots->n_labels++] = label;
    }
    *style = (or_plot_style){label, colours[i % COLOURS], 1 + (int)(i / COLOURS) % 5};
    return or_plots_legend(plots, *style);
}

/* ---- heat maps ----------------------------------------------------------------------------------------- */

/* Of the colour map "viridis" (van der Walt and Smith, 2015), at 0, 1/4, ... 1: lightness rises evenly.
 * Its darkest part is left out, which a dark page would swallow. */
static int heat_colour(double share)
{
    static const int stops[5][3] = {
        {68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
    const double at = 4 * (0.15 + 0.85 * fmin(fmax(share, 0), 1));
    const int low = at < 4 ? (int)at : 3;
    int colour = 0;
    for (int c = 0; c < 3; c++)
        colour = colour << 8 | (int)lround(stops[low][c] + (at - low) * (stops[low + 1][c] - stops[low][c]));
    return colour;
}

/* Names at the places 0, 1, ... (rows go down). */
static or_status put_names(or_buffer *script, const char *axis, const char **names, size_t n, int sign)
{
    OR_TRY(or_buffer_printf(script, "set %s scale 0 (", axis));
    for (size_t i = 0; i < n; i++) {
        OR_TRY(or_buffer_puts(script, i ? ", " : ""));
        OR_TRY(or_plots_quote(script, names[i]));
        OR_TRY(or_buffer_printf(script, " %d", sign * (int)i));
    }
    return or_buffer_puts(script, ")\n");
}

/* Characters of the longest, of which bytes that go on with one do not count. */
static int longest(const char **names, size_t n)
{
    int most = 0;
    for (size_t i = 0; i < n; i++) {
        int length = 0;
        for (const char *c = names[i]; *c; c++) length += (*c & 0xc0) != 0x80;
        if (length > most) most = length;
    }
    return most;
}

static or_status put_cells(or_buffer *script, const or_heat *heat, bool texts)
{
    for (size_t i = 0; i < heat->n_rows * heat->n_columns; i++) {
        const double value = heat->values[i], share = (value - heat->low) / (heat->high - heat->low);
        if (isnan(value)) continue;
        OR_TRY(or_buffer_printf(script, "%zu -%zu", i % heat->n_columns, i / heat->n_columns));
        if (texts)
            OR_TRY(or_buffer_printf(script, " %.1f %d\n", value, share > 0.6 ? 0x010101 : 0xfefefe));
        else
            OR_TRY(or_buffer_printf(script, " %d\n", heat_colour(share)));
    }
    return or_buffer_puts(script, "e\n");
}

/* Sizes of a heat map's parts, in pixels. */
typedef struct layout {
    bool texts, slanted;
    int left, below, cell, line, width, height;
} layout;

/* Names of columns that need more room than the cells give them are slanted, and stand on more room below.
 * Many columns or rows make small cells, without their values. */
static layout lay_out(const or_heat *heat)
{
    enum { CHARACTER = 7, TICS = 26, TITLE = 20, EDGE = 10 };
    const int names = longest(heat->columns, heat->n_columns) * CHARACTER;
    layout l = {.texts = heat->n_columns <= 10};
    l.cell = l.texts ? 52 : heat->n_columns <= 40 ? 18 : 11;
    l.line = heat->n_rows > 16 ? 15 : 22;
    l.slanted = l.texts && names > l.cell;
    l.left = longest(heat->rows, heat->n_rows) * CHARACTER + 16 + (heat->row_title[0] ? TITLE : 0);
    if (l.slanted && l.left < names * 3 / 4) l.left = names * 3 / 4;
    l.below = (l.slanted ? names * 3 / 5 : 0) + TICS + (heat->column_title[0] ? TITLE : 0);
    l.width = l.left + l.cell * (int)heat->n_columns + EDGE;
    l.height = l.below + l.line * (int)heat->n_rows + EDGE;
    return l;
}

static or_status put_margins(or_buffer *script, const or_heat *heat, const layout *l)
{
    const double width = l->width, height = l->height;
    return or_buffer_printf(
        script,
        "unset grid\nset border 0\nset xrange [-0.5:%zu.5]\nset yrange [-%zu.5:0.5]\n"
        "set lmargin at screen %.5f\nset rmargin at screen %.5f\nset bmargin at screen %.5f\n"
        "set tmargin at screen %.5f\n",
        heat->n_columns - 1, heat->n_rows - 1, l->left / width,
        (l->left + l->cell * (double)heat->n_columns) / width, l->below / height,
        (l->below + l->line * (double)heat->n_rows) / height);
}

static or_status put_title(or_buffer *script, const char *axis, const char *title)
{
    if (!title[0]) return OR_OK;
    OR_TRY(or_buffer_printf(script, "set %s ", axis));
    OR_TRY(or_plots_quote(script, title));
    return or_buffer_puts(script, "\n");
}

or_status or_plots_heat(or_plots *plots, const or_heat *heat)
{
    or_buffer *script = &plots->script;
    const layout l = lay_out(heat);
    OR_TRY(or_plots_panel(plots, heat->caption, l.width, l.height));
    OR_TRY(put_margins(script, heat, &l));
    OR_TRY(put_names(script, l.slanted ? "xtics rotate by 35 right" : "xtics", heat->columns, heat->n_columns,
                     1));
    OR_TRY(put_names(script, l.line < 22 ? "ytics font ',11'" : "ytics", heat->rows, heat->n_rows, -1));
    OR_TRY(put_title(script, "xlabel", heat->column_title));
    OR_TRY(put_title(script, "ylabel", heat->row_title));
    OR_TRY(or_buffer_puts(script,
                          "plot '-' using 1:2:($1-0.49):($1+0.49):($2-0.48):($2+0.48):3 with boxxyerror "
                          "fc rgb variable fs solid 1 noborder"));
    OR_TRY(or_buffer_puts(script,
                          l.texts ? ", '-' using 1:2:3:4 with labels tc rgb variable font ',11'\n" : "\n"));
    OR_TRY(put_cells(script, heat, false));
    return l.texts ? put_cells(script, heat, true) : OR_OK;
}

/* ---- drawing ------------------------------------------------------------------------------------------- */

static const char prolog[] = "<?xml";

/* One document behind the other; panel i gets the i-th. */
static or_status split(or_plots *plots, const or_buffer *out)
{
    const char *at = out->size > 0 ? strstr(out->data, prolog) : NULL;
    for (size_t i = 0; i < plots->n_panels; i++) {
        or_panel *panel = &plots->panels[i];
        or_buffer svg = {0};
        char prefix[24];
        if (!at)
            return or_fail(OR_ERR_FAILED, "plots cannot be drawn", "gnuplot", "it drew %zu of %zu plots", i,
                           plots->n_panels);
        const char *next = strstr(at + 1, prolog);
        const size_t size = next ? (size_t)(next - at) : strlen(at);
        snprintf(prefix, sizeof prefix, "p%zu-", i + 1);
        or_status status = or_svg_embed(at, size, prefix, panel->caption, &svg);
        panel->svg = svg.data; /* the plots' from now on */
        OR_TRY(status);
        at = next;
    }
    return OR_OK;
}

or_status or_plots_draw(or_report *report, or_plots **out)
{
    or_buffer svgs = {0};
    or_status status = OR_NEW(*out, 1);
    OR_TRY(status);
    (*out)->report = report;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) OR_TRY(kinds[k](report, *out));
    if ((*out)->n_panels == 0) return OR_OK;
    status = or_gnuplot_run(&(*out)->script, &svgs);
    if (status == OR_OK) status = split(*out, &svgs);
    or_buffer_free(&svgs);
    return status;
}

void or_plots_close(or_plots *plots)
{
    if (!plots) return;
    for (size_t i = 0; i < plots->n_panels; i++) free(plots->panels[i].svg);
    for (size_t i = 0; i < plots->n_figures; i++) free(plots->figures[i].legend);
    or_buffer_free(&plots->script);
    free(plots->panels);
    free(plots->figures);
    free(plots->labels);
    free(plots);
}
