/* report_plot_depth.c - what ramps see by depth: gap and top_prob of traced instances, their medians and
 * the bands that hold half and nine tenths of them. Where the token is the full model's already the two
 * should be high, and low elsewhere: what lies between is what a classifier has to tell apart (AdaInfer,
 * arXiv 2403.02181, section 4). */
#include "report_plots.h"

#include <math.h>

enum { FEWEST = 10 }; /* instances of a layer from which on a band is drawn */

static const or_plot_style styles[2] = {
    {"the token is another one", "#d55e00", 1},
    {"the token is the full model's", "#009e73", 1},
};

/* Layer, and two quantiles; a layer with too few instances breaks the band. */
static or_status put_band(const or_report_model *m, int measure, int settled, double low, double high,
                          or_buffer *data)
{
    for (int layer = 0; layer < m->n_layers; layer++) {
        const uint32_t *counts = m->depth[layer][measure][settled];
        if (or_depth_count(counts) < FEWEST)
            OR_TRY(or_buffer_puts(data, "\n"));
        else
            OR_TRY(or_buffer_printf(data, "%d %.5f %.5f\n", layer + 1, or_depth_quantile(counts, low),
                                    or_depth_quantile(counts, high)));
    }
    return or_buffer_puts(data, "e\n");
}

/* gnuplot ends on a series without a point. */
static bool has_band(const or_report_model *m, int measure, int settled)
{
    for (int layer = 0; layer < m->n_layers; layer++)
        if (or_depth_count(m->depth[layer][measure][settled]) >= FEWEST) return true;
    return false;
}

static or_status put_series(or_plots *plots, const or_report_model *m, int measure, int settled,
                            or_buffer *data)
{
    const char *colour = styles[settled].colour, *comma = data->size > 0 ? ", " : "plot ";
    OR_TRY(or_plots_legend(plots, styles[settled]));
    OR_TRY(or_buffer_printf(
        &plots->script,
        "%s'-' using 1:2:3 with filledcurves fc rgb '%s' fs transparent solid 0.15 noborder, "
        "'-' using 1:2:3 with filledcurves fc rgb '%s' fs transparent solid 0.25 noborder, "
        "'-' using 1:2 with linespoints pt 7 ps 0.3 lw 1.6 lc rgb '%s'",
        comma, colour, colour, colour));
    OR_TRY(put_band(m, measure, settled, 0.05, 0.95, data));
    OR_TRY(put_band(m, measure, settled, 0.25, 0.75, data));
    return put_band(m, measure, settled, 0.5, 0.5, data);
}

/* Both values lie in [0, 1], and so does the axis: models can be compared by eye. */
static or_status draw_measure(or_plots *plots, const or_report_model *m, int measure)
{
    static const char *const names[OR_DEPTH_MEASURES] = {"gap", "top prob"};
    const char *caption;
    or_buffer data = {0};
    if (!has_band(m, measure, 0) && !has_band(m, measure, 1)) return OR_OK;
    OR_TRY(or_report_text(plots->report, &caption, "%s: %s by depth, %zu instances", m->name, names[measure],
                          m->traced));
    OR_TRY(or_plots_panel(plots, caption, 480, 280));
    OR_TRY(or_plots_layers(plots, 0, m->n_layers + 1));
    OR_TRY(or_buffer_printf(&plots->script, "set xlabel 'layer'\nset ylabel '%s'\nset yrange [0:1.02]\n",
                            names[measure]));
    or_status status = OR_OK;
    for (int settled = 0; settled < 2 && status == OR_OK; settled++)
        if (has_band(m, measure, settled)) status = put_series(plots, m, measure, settled, &data);
    if (status == OR_OK) status = or_buffer_printf(&plots->script, "\n%s", data.data);
    or_buffer_free(&data);
    return status;
}

or_status or_plot_depth(or_report *report, or_plots *plots)
{
    bool begun = false;
    for (size_t i = 0; i < report->n_models; i++) {
        const or_report_model *m = &report->models[i];
        if (!m->depth) continue;
        if (!begun)
            OR_TRY(
                or_plots_figure(plots, "Features by depth",
                                "Of traced instances: lines are medians, bands hold the middle half and nine "
                                "tenths. The more the colours part, the easier it is to know when to leave.",
                                460));
        begun = true;
        for (int measure = 0; measure < OR_DEPTH_MEASURES; measure++) OR_TRY(draw_measure(plots, m, measure));
    }
    return OR_OK;
}
