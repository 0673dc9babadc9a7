/* report_plots.c - figures and panels: the script that all kinds of plots write, and what gnuplot makes of it. */
#include "report_plots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static or_status (*const kinds[])(or_report *, or_plots *) = {
    or_plot_accuracy, or_plot_exits, or_plot_survivors, or_plot_depth, or_plot_transfer, or_plot_lanes,
};

/* ---- figures and panels ------------------------------------------------------------------------------------- */

or_status or_plots_figure(or_plots *plots, const char *title, const char *note, bool wide)
{
    OR_RESERVE(plots->figures, plots->figures_capacity, plots->n_figures + 1);
    plots->figures[plots->n_figures++] =
        (or_figure){.title = title, .note = note, .wide = wide, .first = plots->n_panels};
    return OR_OK;
}

/* Lines and texts are thin and small, since a panel is a third of a page; the grid's grey is seen on light and dark. */
or_status or_plots_panel(or_plots *plots, const char *caption, int width, int height)
{
    OR_RESERVE(plots->panels, plots->panels_capacity, plots->n_panels + 1);
    plots->panels[plots->n_panels++] = (or_panel){.caption = caption};
    plots->figures[plots->n_figures - 1].count++;
    return or_buffer_printf(&plots->script,
                            "set output\nreset\nset encoding utf8\n"
                            "set terminal svg size %d,%d font 'sans-serif,12' noenhanced\n"
                            "set termoption noenhanced\nunset key\nset border 3 lw 0.8\n"
                            "set tics nomirror out scale 0.5\nset grid lc rgb '#999999' lw 0.3\n"
                            "set lmargin 7\nset rmargin 2\nset tmargin 1\nset bmargin 3.4\n"
                            "set xlabel offset 0,0.4\nset ylabel offset 1,0\n",
                            width, height);
}

/* Quotes are doubled; a line's end would end the string, and a backquote runs a command in other strings of gnuplot's. */
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

/* ---- colours ------------------------------------------------------------------------------------------------ */

/* After Okabe and Ito (2008), whose colours are told apart by people who see few; the lighter and the darker ones are
 * drawn together, to be seen on white and on black. */
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

/* ---- heat maps ---------------------------------------------------------------------------------------------- */

/* Of the colour map "viridis" (van der Walt and Smith, 2015), at 0, 1/4, ... 1: lightness rises evenly. */
static int heat_colour(double share)
{
    static const int stops[5][3] = {
        {68, 1, 84}, {59, 82, 139}, {33, 145, 140}, {94, 201, 98}, {253, 231, 37}};
    const double at = 4 * fmin(fmax(share, 0), 1);
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

/* Where the names of the columns need more room than the cells give them, they stand upright, and below them there is
 * room. Many columns or rows make small cells, without their values. */
or_status or_plots_heat(or_plots *plots, const or_heat *heat)
{
    enum { CHARACTER = 7 }; /* pixels */
    or_buffer *script = &plots->script;
    const bool texts = heat->n_columns <= 16;
    const int left = longest(heat->rows, heat->n_rows), below = longest(heat->columns, heat->n_columns);
    const int cell = texts ? 52 : 11, line = heat->n_rows > 16 ? 15 : 22;
    const bool upright = texts && below * CHARACTER > cell;
    const int margin = upright ? below * CHARACTER * 2 / 3 + 30 : 40;
    const int own = left * CHARACTER + 70 + cell * (int)heat->n_columns;
    OR_TRY(
        or_plots_panel(plots, heat->caption, own > 360 ? own : 360, 24 + margin + line * (int)heat->n_rows));
    OR_TRY(or_buffer_printf(script,
                            "unset grid\nset border 0\nset xrange [-0.5:%zu.5]\nset yrange [-%zu.5:0.5]\n"
                            "set lmargin %d\nset bmargin %.3g\n",
                            heat->n_columns - 1, heat->n_rows - 1, left + 4, margin / 15.0));
    OR_TRY(put_names(script, upright ? "xtics rotate by -35" : "xtics", heat->columns, heat->n_columns, 1));
    OR_TRY(put_names(script, line < 22 ? "ytics font ',10'" : "ytics", heat->rows, heat->n_rows, -1));
    OR_TRY(or_buffer_puts(script, "set xlabel "));
    OR_TRY(or_plots_quote(script, heat->column_title));
    OR_TRY(or_buffer_puts(script, "\nset ylabel "));
    OR_TRY(or_plots_quote(script, heat->row_title));
    OR_TRY(or_buffer_puts(script,
                          "\nplot '-' using 1:2:($1-0.49):($1+0.49):($2-0.48):($2+0.48):3 with boxxyerror "
                          "fc rgb variable fs solid 1 noborder"));
    OR_TRY(or_buffer_puts(script,
                          texts ? ", '-' using 1:2:3:4 with labels tc rgb variable font ',11'\n" : "\n"));
    OR_TRY(put_cells(script, heat, false));
    return texts ? put_cells(script, heat, true) : OR_OK;
}

/* ---- drawing ------------------------------------------------------------------------------------------------ */

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
