/* report_plot_transfer.c - generalisation: what policies do on groups of tasks that they were not trained
 * on. */
#include "report_plots.h"

#include <math.h>
#include <string.h>

/* Rows of one model, one model's policy, one policy: a heat map, of training groups by test groups. */
static bool same_map(const or_cell *a, const or_cell *b)
{
    const char *x = a[OR_TRANSFER_FROM].text, *y = b[OR_TRANSFER_FROM].text;
    return strcmp(a[OR_TRANSFER_MODEL].text, b[OR_TRANSFER_MODEL].text) == 0 &&
           strcmp(x ? x : "", y ? y : "") == 0 &&
           strcmp(a[OR_TRANSFER_POLICY].text, b[OR_TRANSFER_POLICY].text) == 0;
}

/* A heat map in the making: its names, in the order in which they come, and one column of the table. */
typedef struct grid {
    const char **trained, **tested;
    size_t n_trained, n_tested;
    double *values; /* [n_trained, n_tested] */
} grid;

/* No map has more names than the table has rows. */
static or_status name_grid(const or_table *table, const or_row_keys *maps, size_t map, grid *g)
{
    OR_TRY(OR_NEW(g->trained, table->n_rows));
    OR_TRY(OR_NEW(g->tested, table->n_rows));
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *row = or_table_row(table, i);
        if (maps->of[i] != map) continue;
        or_plots_name(g->trained, &g->n_trained, row[OR_TRANSFER_TRAINED].text);
        or_plots_name(g->tested, &g->n_tested, row[OR_TRANSFER_TESTED].text);
    }
    return OR_NEW(g->values, g->n_trained * g->n_tested);
}

/* Pairs that were not tried stay empty. */
static void fill_grid(const or_table *table, const or_row_keys *maps, size_t map, int column, grid *g)
{
    for (size_t i = 0; i < g->n_trained * g->n_tested; i++) g->values[i] = NAN;
    for (size_t i = 0; i < table->n_rows; i++) {
        const or_cell *row = or_table_row(table, i);
        if (maps->of[i] != map) continue;
        const size_t trained = or_plots_name(g->trained, &g->n_trained, row[OR_TRANSFER_TRAINED].text);
        const size_t tested = or_plots_name(g->tested, &g->n_tested, row[OR_TRANSFER_TESTED].text);
        g->values[trained * g->n_tested + tested] = 100 * row[column].number;
    }
}

/* The colours of agreement begin at 90 %: what is below is lost anyway. */
static or_status draw_map(or_plots *plots, const or_table *table, const or_row_keys *maps, size_t map)
{
    static const struct {
        int column;
        const char *what;
        double low, high;
    } panels[] = {{OR_TRANSFER_AGREEMENT, "agreement, %", 90, 100},
                  {OR_TRANSFER_FLOPS, "compute, % of full depth", 0, 100}};
    const or_cell *row = or_table_row(table, maps->first[map]);
    const char *from = row[OR_TRANSFER_FROM].text;
    const bool other = from && strcmp(from, row[OR_TRANSFER_MODEL].text) != 0;
    grid g = {0};
    or_status status = name_grid(table, maps, map, &g);
    for (size_t p = 0; p < 2 && status == OR_OK; p++) {
        or_heat heat = {.n_rows = g.n_trained,
                        .n_columns = g.n_tested,
                        .rows = g.trained,
                        .columns = g.tested,
                        .values = g.values,
                        .low = panels[p].low,
                        .high = panels[p].high,
                        .row_title = "trained on",
                        .column_title = "tested on"};
        fill_grid(table, maps, map, panels[p].column, &g);
        status = or_report_text(plots->report, &heat.caption, "%s, %s%s%s: %s", row[OR_TRANSFER_MODEL].text,
                                row[OR_TRANSFER_POLICY].text, other ? " of " : "", other ? from : "",
                                panels[p].what);
        if (status == OR_OK) status = or_plots_heat(plots, &heat);
    }
    free(g.trained);
    free(g.tested);
    free(g.values);
    return status;
}

or_status or_plot_transfer(or_report *report, or_plots *plots)
{
    or_row_keys maps = {0};
    if (report->transfer.n_rows == 0) return OR_OK;
    or_status status = or_row_keys_find(&report->transfer, same_map, &maps);
    if (status == OR_OK)
        status = or_plots_figure(
            plots, "Generalisation",
            "Policies (rows: what they were trained on) on groups of tasks (columns): how often "
            "they agree with full depth, and the work that is left.",
            440);
    for (size_t map = 0; map < maps.count && status == OR_OK; map++)
        status = draw_map(plots, &report->transfer, &maps, map);
    or_row_keys_free(&maps);
    return status;
}
