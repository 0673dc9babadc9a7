/* report_plot_accuracy.c - accuracy against compute.
 *
 * A task (of one model, group and number of shots) has a panel. Of more than MAX_PANELS tasks that nobody
 * would look at one by one there is a heat map per group instead, with a row per task.
 */
#include "report_plots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PANELS = 24, WIDTH = 360, HEIGHT = 240 };

/* ---- accuracy against compute -------------------------------------------------------------------------- */

/* What the axes must reach, in per cent. */
typedef struct range {
    double low, high, right;
} range;

static void widen(range *r, const or_cell *row)
{
    const double accuracy = 100 * row[OR_RESULT_ACCURACY].number;
    const double error = isfinite(row[OR_RESULT_ERROR].number) ? 100 * row[OR_RESULT_ERROR].number : 0;
    r->low = fmin(r->low, accuracy - error);
    r->high = fmax(r->high, accuracy + error);
    r->right = fmax(r->right, 100 * row[OR_RESULT_FLOPS].number + 4);
}

/* Some room around, but never beyond what an accuracy can be. */
static or_status put_range(or_buffer *script, const range *r)
{
    const double room = fmax(0.15 * (r->high - r->low), 2);
    return or_buffer_printf(script,
                            "set xlabel 'compute, %% of full depth'\nset ylabel 'accuracy, %%'\n"
                            "set xrange [0:%.6g]\nset yrange [%.6g:%.6g]\n",
                            r->right, fmax(r->low - room, -1), fmin(r->high + room, 101));
}

/* Whether a row is of the panel and has a place in it. */
static bool is_point(const or_table *table, const or_row_keys *k, size_t key, size_t row)
{
    const or_cell *cells = or_table_row(table, row);
    return k->of[row] == key && isfinite(cells[OR_RESULT_FLOPS].number) &&
           isfinite(cells[OR_RESULT_ACCURACY].number);
}

/* A policy's point with its standard error, to the plot command and to the data that follow it; full
 * depth's accuracy is a line across as well. */
static or_status add_point(or_plots *plots, const or_cell *row, or_buffer *points)
{
    const double accuracy = 100 * row[OR_RESULT_ACCURACY].number, flops = 100 * row[OR_RESULT_FLOPS].number;
    const double error = isfinite(row[OR_RESULT_ERROR].number) ? 100 * row[OR_RESULT_ERROR].number : 0;
    const char *comma = points->size > 0 ? ", " : "plot ";
    or_plot_style style;
    OR_TRY(or_plots_policy(plots, row[OR_RESULT_LABEL].text, &style));
    if (or_report_is_full(row))
        OR_TRY(or_buffer_printf(&plots->script, "%s%.6g with lines lc rgb 'black' dt 3 lw 0.7", comma,
                                accuracy));
    OR_TRY(or_buffer_printf(&plots->script,
                            "%s'-' using 1:2:3 with yerrorbars pt %d ps 0.9 lw 1.5 lc rgb '%s'",
                            or_report_is_full(row) ? ", " : comma, style.dash > 1 ? 13 : 7, style.colour));
    return or_buffer_printf(points, "%.6g %.6g %.6g\ne\n", flops, accuracy, error);
}

static or_status accuracy_panel(or_plots *plots, const or_table *table, const or_row_keys *k, size_t key)
{
    or_buffer points = {0};
    range r = {INFINITY, -INFINITY, 104};
    const char *caption;
    OR_TRY(or_report_caption(plots->report, table, k->first[key], &caption));
    OR_TRY(or_plots_panel(plots, caption, WIDTH, HEIGHT));
    for (size_t i = 0; i < table->n_rows; i++)
        if (is_point(table, k, key, i)) widen(&r, or_table_row(table, i));
    or_status status = put_range(&plots->script, &r);
    for (size_t i = 0; i < table->n_rows && status == OR_OK; i++)
        if (is_point(table, k, key, i)) status = add_point(plots, or_table_row(table, i), &points);
    if (status == OR_OK) status = or_buffer_printf(&plots->script, "\n%s", points.data);
    or_buffer_free(&points);
    return status;
}

/* One point compares nothing. */
static size_t count_points(const or_table *table, const or_row_keys *k, size_t key)
{
    size_t count = 0;
    for (size_t i = 0; i < table->n_rows; i++) count += is_point(table, k, key, i);
    return count;
}

/* The figure begins with its first panel: without one there is no heading. */
static or_status accuracy_panels(or_plots *plots, const or_table *table, const or_row_keys *k,
                                 const char *title)
{
    bool begun = false;
    for (size_t key = 0; key < k->count; key++) {
        if (count_points(table, k, key) < 2) continue;
        if (!begun)
            OR_TRY(or_plots_figure(
                plots, title,
                "Points are policies, with their standard error. The dotted line is full "
                "depth's accuracy; left of a point there is less work. The oracle leaves at the "
                "first layer from which the token stays: what is to be had at most.",
                340));
        begun = true;
        OR_TRY(accuracy_panel(plots, table, k, key));
    }
    return OR_OK;
}

/* ---- the same for many tasks --------------------------------------------------------------------------- */

/* Rows and columns of a group's heat maps: tasks, and policies but full depth. */
typedef struct grid {
    const char **tasks, **policies;
    size_t n_tasks, n_policies;
    double *flops,
        *lost; /* [n_tasks, n_policies] per cent, and percentage points of accuracy below full depth's */
} grid;

static void free_grid(grid *g)
{
    free(g->tasks);
    free(g->policies);
    free(g->flops);
    free(g->lost);
}

static double full_accuracy(const or_table *table, const or_cell *row)
{
    for (size_t i = 0; i < table->n_rows; i++)
        if (or_report_is_full(or_table_row(table, i)) && or_report_alike(or_table_row(table, i), row))
            return or_table_row(table, i)[OR_RESULT_ACCURACY].number;
    return NAN;
}

/* Names first, since the cells' places follow from how many there are. */
static or_status make_grid(const or_table *table, const or_row_keys *groups, size_t group, grid *g)
{
    OR_TRY(OR_NEW(g->tasks, table->n_rows));
    OR_TRY(OR_NEW(g->policies, table->n_rows));
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *row = or_table_row(table, i);
        if (groups->of[i] != group || or_report_is_full(row)) continue;
        or_plots_name(g->tasks, &g->n_tasks, row[OR_RESULT_TASK].text);
        or_plots_name(g->policies, &g->n_policies, row[OR_RESULT_LABEL].text);
    }
    OR_TRY(OR_NEW(g->flops, g->n_tasks * g->n_policies));
    OR_TRY(OR_NEW(g->lost, g->n_tasks * g->n_policies));
    for (size_t i = 0; i < g->n_tasks * g->n_policies; i++) g->flops[i] = g->lost[i] = NAN;
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *row = or_table_row(table, i);
        if (groups->of[i] != group || or_report_is_full(row)) continue;
        const size_t at = or_plots_name(g->tasks, &g->n_tasks, row[OR_RESULT_TASK].text) * g->n_policies +
                          or_plots_name(g->policies, &g->n_policies, row[OR_RESULT_LABEL].text);
        g->flops[at] = 100 * row[OR_RESULT_FLOPS].number;
        g->lost[at] = 100 * (full_accuracy(table, row) - row[OR_RESULT_ACCURACY].number);
    }
    return OR_OK;
}

/* "rules, 2 shots: compute" */
static or_status group_caption(or_plots *plots, const or_cell *row, const char *what, const char **caption)
{
    const char *group = row[OR_RESULT_GROUP].text;
    return or_report_text(plots->report, caption, "%s%s%s, %.0f shots: %s", row[OR_RESULT_MODEL].text,
                          group ? ", " : "", group ? group : "", row[OR_RESULT_SHOTS].number, what);
}

/* Two maps of the same rows and columns. What is lost may be below 0: an early exit can be right where
 * full depth is not. */
static or_status grid_panels(or_plots *plots, const or_cell *row, const grid *g)
{
    or_heat heat = {.n_rows = g->n_tasks,
                    .n_columns = g->n_policies,
                    .rows = g->tasks,
                    .columns = g->policies,
                    .row_title = "",
                    .column_title = ""};
    if (g->n_tasks == 0) return OR_OK;
    OR_TRY(group_caption(plots, row, "compute, % of full depth", &heat.caption));
    heat.values = g->flops;
    heat.high = 100;
    OR_TRY(or_plots_heat(plots, &heat));
    OR_TRY(group_caption(plots, row, "accuracy lost, percentage points", &heat.caption));
    heat.values = g->lost;
    heat.low = -2;
    heat.high = 10;
    return or_plots_heat(plots, &heat);
}

static or_status accuracy_grids(or_plots *plots, const or_table *table)
{
    or_row_keys groups = {0};
    or_status status = or_row_keys_find(table, or_report_same_group, &groups);
    if (status == OR_OK)
        status = or_plots_figure(plots, "Compute and accuracy by task",
                                 "A row per task, a column per policy. Accuracy lost is to full depth.", 440);
    for (size_t group = 0; group < groups.count && status == OR_OK; group++) {
        grid g = {0};
        status = make_grid(table, &groups, group, &g);
        if (status == OR_OK) status = grid_panels(plots, or_table_row(table, groups.first[group]), &g);
        free_grid(&g);
    }
    or_row_keys_free(&groups);
    return status;
}

/* Groups as a whole, then their tasks. */
or_status or_plot_accuracy(or_report *report, or_plots *plots)
{
    or_row_keys totals = {0}, tasks = {0};
    or_status status = or_row_keys_find(&report->totals, or_report_alike, &totals);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, accuracy_panels(plots, &report->totals, &totals, "Accuracy against compute"));
    OR_TRY_GOTO(done, or_row_keys_find(&report->results, or_report_alike, &tasks));
    if (tasks.count > MAX_PANELS)
        status = accuracy_grids(plots, &report->results);
    else
        status = accuracy_panels(plots, &report->results, &tasks, "Accuracy against compute, by task");
done:
    or_row_keys_free(&totals);
    or_row_keys_free(&tasks);
    return status;
}
