/* report_plot_exits.c - where requests leave: exit layers by task, and survivors.
 *
 * From results with a line per instance come those of policies, from traces those of an oracle. A task has a
 * panel, with an outline for each policy; of more than MAX_PANELS tasks a policy has a heat map, with a row
 * for each task.
 */
#include "report_plots.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PANELS = 24, WIDTH = 360, HEIGHT = 216 };

/* Exit layers of one policy on one task. */
typedef struct histogram {
    const char *model, *task, *label;
    int shots, n_layers;
    const uint64_t *counts; /* [n_layers + 1] */
    size_t task_of, policy_of;
} histogram;

/* All there are; those of one task have the same task_of, of one model's policy the same policy_of. */
typedef struct histograms {
    histogram *items;
    size_t count, capacity, tasks, policies;
    int most_layers;
    bool several_shots, several_models;
} histograms;

/* ---- collecting ---------------------------------------------------------------------------------------- */

static or_status add(histograms *all, histogram h)
{
    h.task_of = all->tasks;
    h.policy_of = all->policies;
    for (size_t i = 0; i < all->count; i++) {
        const histogram *other = &all->items[i];
        const bool model = strcmp(other->model, h.model) == 0;
        if (model && other->shots == h.shots && strcmp(other->task, h.task) == 0) h.task_of = other->task_of;
        if (model && strcmp(other->label, h.label) == 0) h.policy_of = other->policy_of;
        all->several_models |= !model;
        all->several_shots |= other->shots != h.shots;
    }
    all->tasks += h.task_of == all->tasks;
    if (h.n_layers > all->most_layers) all->most_layers = h.n_layers;
    all->policies += h.policy_of == all->policies;
    OR_RESERVE(all->items, all->capacity, all->count + 1);
    all->items[all->count++] = h;
    return OR_OK;
}

/* Exits in all: instances, or tokens where answers are generated. */
static double total(const uint64_t *counts, int n_layers)
{
    double n = 0;
    for (int layer = 1; layer <= n_layers; layer++) n += (double)counts[layer];
    return n;
}

/* Full depth's are of no interest: all leave at the last layer. Nor is a policy of which every instance
 * failed. */
static or_status collect(const or_report *report, histograms *all)
{
    for (size_t i = 0; i < report->results.n_rows; i++) {
        const or_cell *row = or_table_row(&report->results, i);
        const or_exits *exits = &report->exits[i];
        if (!exits->counts || strcmp(row[OR_RESULT_POLICY].text, "full") == 0) continue;
        if (total(exits->counts, exits->n_layers) == 0) continue;
        OR_TRY(add(all,
                   (histogram){row[OR_RESULT_MODEL].text, row[OR_RESULT_TASK].text, row[OR_RESULT_LABEL].text,
                               (int)row[OR_RESULT_SHOTS].number, exits->n_layers, exits->counts, 0, 0}));
    }
    for (size_t i = 0; i < report->n_oracles; i++) {
        const or_oracle *o = &report->oracles[i];
        const or_report_model *m = &report->models[o->model];
        OR_TRY(add(all, (histogram){m->name, o->task, "oracle", o->shots, m->n_layers, o->exits, 0, 0}));
    }
    return OR_OK;
}

/* "word_length, 2 shots" */
static or_status name_task(or_report *report, const histograms *all, const histogram *h, const char **name)
{
    char shots[32] = "";
    if (all->several_shots) snprintf(shots, sizeof shots, ", %d shots", h->shots);
    return or_report_text(report, name, "%s%s", h->task, shots);
}

/* ---- few tasks: outlines ------------------------------------------------------------------------------- */

/* Steps around the layers: boxes of several policies would hide each other. */
static or_status put_outline(or_buffer *data, const histogram *h)
{
    const double n = total(h->counts, h->n_layers);
    OR_TRY(or_buffer_puts(data, "0.5 0\n"));
    for (int layer = 1; layer <= h->n_layers; layer++) {
        const double share = 100 * (double)h->counts[layer] / n;
        OR_TRY(or_buffer_printf(data, "%.1f %.6g\n%.1f %.6g\n", layer - 0.5, share, layer + 0.5, share));
    }
    return or_buffer_printf(data, "%.1f 0\ne\n", h->n_layers + 0.5);
}

/* To the plot command, and to the data that follow it. */
static or_status add_outline(or_plots *plots, const histogram *h, or_buffer *data)
{
    or_plot_style s;
    const char *comma = data->size > 0 ? ", " : "plot ";
    OR_TRY(or_plots_policy(plots, h->label, &s));
    OR_TRY(or_buffer_printf(
        &plots->script,
        "%s'-' using 1:2 with filledcurves y=0 fc rgb '%s' fs transparent solid 0.18 noborder, "
        "'-' using 1:2 with lines lw 1.4 dt %d lc rgb '%s'",
        comma, s.colour, s.dash, s.colour));
    OR_TRY(put_outline(data, h));
    return put_outline(data, h);
}

/* From 0 to one behind the last layer, so that the outline of that is seen whole. */
static or_status begin_panel(or_plots *plots, const histograms *all, const histogram *h)
{
    const char *caption;
    OR_TRY(name_task(plots->report, all, h, &caption));
    if (all->several_models) OR_TRY(or_report_text(plots->report, &caption, "%s, %s", h->model, caption));
    OR_TRY(or_plots_panel(plots, caption, WIDTH, HEIGHT));
    OR_TRY(or_plots_layers(plots, 0, h->n_layers + 1));
    return or_buffer_puts(&plots->script,
                          "set xlabel 'exit layer'\nset ylabel 'share, %'\nset yrange [0:*]\n");
}

static or_status draw_task(or_plots *plots, const histograms *all, size_t task)
{
    or_buffer data = {0};
    or_status status = OR_OK;
    for (size_t i = 0; i < all->count && status == OR_OK; i++) {
        if (all->items[i].task_of != task) continue;
        if (data.size == 0) status = begin_panel(plots, all, &all->items[i]);
        if (status == OR_OK) status = add_outline(plots, &all->items[i], &data);
    }
    if (status == OR_OK) status = or_buffer_printf(&plots->script, "\n%s", data.data);
    or_buffer_free(&data);
    return status;
}

/* ---- many tasks: heat maps ----------------------------------------------------------------------------- */

/* What a heat map is made of. */
typedef struct grid {
    const char **rows, **columns;
    double *values; /* [rows, n_layers] per cent */
} grid;

/* Every so many layers have a number, that there is room for it. */
static or_status name_layers(or_report *report, int n_layers, const char **names)
{
    const int step = n_layers <= 10 ? 1 : n_layers <= 40 ? 2 : 5;
    for (int layer = 1; layer <= n_layers; layer++) {
        names[layer - 1] = "";
        if (layer % step == 0) OR_TRY(or_report_text(report, &names[layer - 1], "%d", layer));
    }
    return OR_OK;
}

/* A row for each task of the policy. Cells of layers where nobody leaves are left out, not drawn as 0. */
static or_status fill_grid(or_plots *plots, const histograms *all, size_t policy, grid *g, or_heat *heat)
{
    for (size_t i = 0; i < all->count; i++) {
        const histogram *h = &all->items[i];
        if (h->policy_of != policy) continue;
        if (heat->n_rows == 0) {
            heat->n_columns = (size_t)h->n_layers;
            OR_TRY(OR_NEW(g->columns, heat->n_columns));
            OR_TRY(OR_NEW(g->values, all->count * heat->n_columns));
            OR_TRY(name_layers(plots->report, h->n_layers, g->columns));
            OR_TRY(or_report_text(plots->report, &heat->caption, "%s, %s", h->model, h->label));
        }
        OR_TRY(name_task(plots->report, all, h, &g->rows[heat->n_rows]));
        for (size_t l = 0; l < heat->n_columns; l++) {
            const double share = 100 * (double)h->counts[l + 1] / total(h->counts, h->n_layers);
            g->values[heat->n_rows * heat->n_columns + l] = share > 0 ? share : NAN;
            heat->high = fmax(heat->high, share);
        }
        heat->n_rows++;
    }
    return OR_OK;
}

static or_status draw_policy(or_plots *plots, const histograms *all, size_t policy)
{
    grid g = {0};
    or_heat heat = {.row_title = "", .column_title = "exit layer"};
    or_status status = OR_NEW(g.rows, all->count);
    if (status == OR_OK) status = fill_grid(plots, all, policy, &g, &heat);
    heat.rows = g.rows;
    heat.columns = g.columns;
    heat.values = g.values;
    if (status == OR_OK) status = or_plots_heat(plots, &heat);
    free(g.rows);
    free(g.columns);
    free(g.values);
    return status;
}

or_status or_plot_exits(or_report *report, or_plots *plots)
{
    histograms all = {0};
    or_status status = collect(report, &all);
    const bool many = all.tasks > MAX_PANELS;
    if (status == OR_OK && all.count > 0)
        status = or_plots_figure(
            plots, "Exit layers by task",
            many ? "Share of the requests that leave behind each layer: from dark for few to yellow for the "
                   "most. Empty: none."
                 : "Share of the requests that leave behind each layer. The oracle leaves at the "
                   "first layer from which the token stays, on the traced instances.",
            !many                  ? 340
            : all.most_layers > 40 ? 1100
                                   : 460);
    for (size_t i = 0; i < (many ? all.policies : all.tasks) && status == OR_OK; i++)
        status = many ? draw_policy(plots, &all, i) : draw_task(plots, &all, i);
    free(all.items);
    return status;
}

/* ---- survivors ----------------------------------------------------------------------------------------- */

/* S(l) of all tasks of a policy together, a step at each layer. */
static or_status put_survivors(const histograms *all, size_t policy, int n_layers, or_buffer *data)
{
    double left = 0, n = 0;
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].policy_of == policy) n += total(all->items[i].counts, n_layers);
    left = n;
    OR_TRY(or_buffer_puts(data, "0 100\n"));
    for (int layer = 1; layer <= n_layers; layer++) {
        for (size_t i = 0; i < all->count; i++)
            if (all->items[i].policy_of == policy) left -= (double)all->items[i].counts[layer];
        OR_TRY(or_buffer_printf(data, "%d %.6g\n", layer, 100 * left / n));
    }
    return or_buffer_puts(data, "e\n");
}

/* Policies of one model; those of model `first` come first in the list. */
static or_status draw_survivors(or_plots *plots, const histograms *all, size_t first)
{
    const histogram *own = &all->items[first];
    or_buffer data = {0};
    const char *comma = "\nplot ";
    or_plot_style s;
    or_status status = or_plots_panel(plots, own->model, WIDTH, HEIGHT + 60);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_plots_layers(plots, 0, own->n_layers));
    OR_TRY_GOTO(done,
                or_buffer_puts(&plots->script, "set xlabel 'layers executed'\nset ylabel 'still there, %'\n"
                                               "set yrange [0:105]"));
    for (size_t policy = 0; policy < all->policies; policy++) {
        size_t i = 0;
        while (all->items[i].policy_of != policy) i++;
        if (strcmp(all->items[i].model, own->model) != 0) continue;
        OR_TRY_GOTO(done, or_plots_policy(plots, all->items[i].label, &s));
        OR_TRY_GOTO(done,
                    or_buffer_printf(&plots->script, "%s'-' using 1:2 with steps lw 2 dt %d lc rgb '%s'",
                                     comma, s.dash, s.colour));
        OR_TRY_GOTO(done, put_survivors(all, policy, own->n_layers, &data));
        comma = ", ";
    }
    status = or_buffer_printf(&plots->script, "\n%s", data.data);
done:
    or_buffer_free(&data);
    return status;
}

or_status or_plot_survivors(or_report *report, or_plots *plots)
{
    histograms all = {0};
    or_status status = collect(report, &all);
    if (status == OR_OK && all.count > 0)
        status =
            or_plots_figure(plots, "Survivors",
                            "Share of the requests of all tasks that go beyond each layer: what is left for "
                            "later stages to do.",
                            340);
    for (size_t i = 0; i < all.count && status == OR_OK; i++) {
        size_t k = 0;
        while (strcmp(all.items[k].model, all.items[i].model) != 0) k++;
        if (k == i) status = draw_survivors(plots, &all, i);
    }
    free(all.items);
    return status;
}
