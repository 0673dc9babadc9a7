/* report_plot_lanes.c - what the stages of a job did when: a lane per rank, as high as the rank was busy
 * in each of 600 equal parts of the time; waits for credit lie on top, and white is idle. */
#include "report_plots.h"

#include <stdio.h>
#include <string.h>

static const or_plot_style busy_style = {"busy", "#1f83c4", 1},
                           wait_style = {"waits for credit", "#d55e00", 1};

/* A closed outline over the lane's ground, of the share in each bin; `under` (NULL: nothing) is what lies
 * below. */
static or_status put_lane(const double *bins, const double *under, double ground, double seconds,
                          or_buffer *data)
{
    for (int b = 0; b < OR_LANE_BINS; b++) {
        const double low = ground + 0.8 * (under ? under[b] : 0), high = low + 0.8 * bins[b];
        OR_TRY(or_buffer_printf(data, "%.6g %.4f %.4f\n%.6g %.4f %.4f\n", seconds * b / OR_LANE_BINS, low,
                                high, seconds * (b + 1) / OR_LANE_BINS, low, high));
    }
    return or_buffer_puts(data, "e\n");
}

/* Where groups of eval, or repeats of bench, begin. */
static or_status mark_runs(or_plots *plots, const or_lanes *lanes)
{
    enum { MOST = 60 }; /* more would be a grey area */
    for (size_t i = 0; i < lanes->n_runs && lanes->n_runs <= MOST; i++)
        OR_TRY(or_buffer_printf(
            &plots->script,
            "set arrow from %.6g, graph 0 to %.6g, graph 1 nohead lc rgb '#999999' lw 0.6 dt 3\n",
            lanes->runs[i], lanes->runs[i]));
    return OR_OK;
}

/* Rank 0 is on top, at y = 0; the others lie below, at -1, -2, ... */
static or_status put_axes(or_plots *plots, const or_lanes *lanes)
{
    or_buffer *script = &plots->script;
    size_t longest = 0;
    for (int rank = 0; rank < lanes->n_ranks; rank++)
        if (strlen(lanes->names[rank]) > longest) longest = strlen(lanes->names[rank]);
    OR_TRY(or_buffer_printf(
        script,
        "unset grid\nset border 1\nset lmargin %zu\nset xlabel 'seconds'\nset xrange [0:%.6g]\n"
        "set yrange [%.1f:0.6]\nset ytics scale 0 (",
        longest + 1, lanes->seconds, 0.4 - lanes->n_ranks));
    for (int rank = 0; rank < lanes->n_ranks; rank++) {
        OR_TRY(or_buffer_puts(script, rank ? ", " : ""));
        OR_TRY(or_plots_quote(script, lanes->names[rank]));
        OR_TRY(or_buffer_printf(script, " %d", -rank));
    }
    return or_buffer_puts(script, ")\n");
}

/* Jobs of many ranks get thin lanes: a page, not a wall. */
static or_status draw_lanes(or_plots *plots, const or_lanes *lanes)
{
    const int line = lanes->n_ranks <= 16 ? 36 : 14;
    const char *caption, *comma = "plot ";
    or_buffer data = {0};
    or_status status = or_report_text(plots->report, &caption, "%s: %d ranks", lanes->source, lanes->n_ranks);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_plots_panel(plots, caption, 1100, 80 + line * lanes->n_ranks));
    OR_TRY_GOTO(done, put_axes(plots, lanes));
    OR_TRY_GOTO(done, mark_runs(plots, lanes));
    for (int rank = 0; rank < lanes->n_ranks; rank++) {
        const double *busy = lanes->busy + (size_t)rank * OR_LANE_BINS;
        const double *wait = lanes->wait + (size_t)rank * OR_LANE_BINS;
        OR_TRY_GOTO(done,
                    or_buffer_printf(&plots->script,
                                     "%s'-' using 1:2:3 with filledcurves fc rgb '%s' fs solid 1 noborder, "
                                     "'-' using 1:2:3 with filledcurves fc rgb '%s' fs solid 1 noborder",
                                     comma, busy_style.colour, wait_style.colour));
        OR_TRY_GOTO(done, put_lane(busy, NULL, -rank - 0.4, lanes->seconds, &data));
        OR_TRY_GOTO(done, put_lane(wait, busy, -rank - 0.4, lanes->seconds, &data));
        comma = ", ";
    }
    status = or_buffer_printf(&plots->script, "\n%s", data.data);
done:
    or_buffer_free(&data);
    return status;
}

or_status or_plot_lanes(or_report *report, or_plots *plots)
{
    if (report->n_lanes == 0) return OR_OK;
    OR_TRY(or_plots_figure(
        plots, "Stages over time",
        "A lane per rank; its height is the share of the time in which the rank computed. Empty: "
        "idle, or busy with messages. Dotted lines: runs begin.",
        1100));
    OR_TRY(or_plots_legend(plots, busy_style));
    OR_TRY(or_plots_legend(plots, wait_style));
    for (size_t i = 0; i < report->n_lanes; i++)
        if (report->lanes[i].seconds > 0) OR_TRY(draw_lanes(plots, &report->lanes[i]));
    return OR_OK;
}
