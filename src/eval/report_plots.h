/* report_plots.h - plots of a report: figures, each with panels, drawn by gnuplot in one go.
 *
 * A kind of plot is a function that adds a figure and its panels, and a line in the table of report_plots.c.
 * A panel is a part of a gnuplot script; each becomes an SVG of its own, so that the page can set them side
 * by side or one below the other. Lines are black there where the page shall use the colour of its text.
 */
#ifndef OFFRAMP_EVAL_REPORT_PLOTS_H
#define OFFRAMP_EVAL_REPORT_PLOTS_H

#include "report_internal.h"

typedef struct or_plot_style {
    const char *label;
    const char *colour; /* "#d55e00", or "black": the page's text */
    int dash;           /* gnuplot's dashtype, 1: solid */
} or_plot_style;

typedef struct or_panel {
    const char *caption;
    char *svg;
} or_panel;

typedef struct or_figure {
    const char *title, *note;
    int width;           /* pixels that a panel wants; narrower screens shrink it, and scroll */
    size_t first, count; /* of its panels */
    or_plot_style *legend;
    size_t n_legend, legend_capacity;
} or_figure;

struct or_plots {
    or_report *report;
    or_buffer script;
    or_panel *panels;
    size_t n_panels, panels_capacity;
    or_figure *figures;
    size_t n_figures, figures_capacity;
    const char **labels; /* of policies: the same colour in all figures */
    size_t n_labels, labels_capacity;
};

/* Draws all kinds of plots for which there are figures. OR_ERR_FAILED when gnuplot cannot be run. */
or_status or_plots_draw(or_report *report, or_plots **plots);
void or_plots_close(or_plots *plots); /* NULL is fine */

/* ---- for the kinds ------------------------------------------------------------------------------------- */

or_status or_plots_figure(or_plots *plots, const char *title, const char *note, int width);

/* Begins a panel of the last figure: from now on the script is of this panel. Size in pixels. */
or_status or_plots_panel(or_plots *plots, const char *caption, int width, int height);

/* The style of a policy by its label, which the last figure's legend will name. */
or_status or_plots_policy(or_plots *plots, const char *label, or_plot_style *style);

/* Names a style of the kind's own in the last figure's legend. */
or_status or_plots_legend(or_plots *plots, or_plot_style style);

/* "set xrange ..." over layers, with whole numbers at the axis. */
or_status or_plots_layers(or_plots *plots, int low, int high);

/* Appends text as a gnuplot string: 'in quotes'. */
or_status or_plots_quote(or_buffer *script, const char *text);

/* The place of a name in a list that has room for it; added when it is new. */
size_t or_plots_name(const char **names, size_t *n, const char *name);

/* A panel of coloured cells with their values in them. NAN: no cell. */
typedef struct or_heat {
    const char *caption;
    size_t n_rows, n_columns;
    const char **rows, **columns; /* names */
    const double *values;         /* [n_rows, n_columns] */
    double low, high;             /* what the ends of the colours stand for */
    const char *row_title, *column_title;
} or_heat;
or_status or_plots_heat(or_plots *plots, const or_heat *heat);

/* ---- kinds --------------------------------------------------------------------------------------------- */

or_status or_plot_accuracy(or_report *report, or_plots *plots);  /* against compute */
or_status or_plot_exits(or_report *report, or_plots *plots);     /* exit layers per task */
or_status or_plot_survivors(or_report *report, or_plots *plots); /* S(l) */
or_status or_plot_depth(or_report *report, or_plots *plots);     /* gap and top_prob by layer */
or_status or_plot_transfer(or_report *report, or_plots *plots);  /* generalisation */
or_status or_plot_lanes(or_report *report, or_plots *plots);     /* what stages did when */

/* ---- report_svg.c -------------------------------------------------------------------------------------- */

/* Runs gnuplot on a script; what it prints. */
or_status or_gnuplot_run(const or_buffer *script, or_buffer *out);

/* Appends one SVG document of gnuplot's as an element of an HTML page: ids begin with `prefix`, black is
 * the page's text colour, `label` says what it shows, and the size is the page's to give. */
or_status or_svg_embed(const char *svg, size_t size, const char *prefix, const char *label, or_buffer *out);

#endif
