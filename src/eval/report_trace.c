/* report_trace.c - traces, counted: gap and top_prob of every layer, and where an oracle would have left.
 *
 * A trace is read, counted and forgotten, one after the other: what is kept does not grow with its rows.
 */
#include "report_internal.h"

#include "train_internal.h" /* or_oracle_exit() */

#include <math.h>
#include <string.h>

/* Values lie in [0, 1] (or_trace_read() sees to it); 1 is in the last bin. */
static int bin_of(float value)
{
    const int bin = (int)(value * OR_DEPTH_BINS);
    return bin < OR_DEPTH_BINS ? bin : OR_DEPTH_BINS - 1;
}

uint64_t or_depth_count(const uint32_t counts[OR_DEPTH_BINS])
{
    uint64_t n = 0;
    for (int b = 0; b < OR_DEPTH_BINS; b++) n += counts[b];
    return n;
}

/* The middle of the bin that holds it. */
double or_depth_quantile(const uint32_t counts[OR_DEPTH_BINS], double q)
{
    const uint64_t n = or_depth_count(counts);
    uint64_t below = 0;
    for (int b = 0; b < OR_DEPTH_BINS; b++) {
        below += counts[b];
        if (below > 0 && (double)below >= q * (double)n) return (b + 0.5) / OR_DEPTH_BINS;
    }
    return NAN;
}

/* Traces list one task after the other, so the last oracle's is looked at first. */
static or_status find_oracle(or_report *report, size_t model, const or_trace_item *item, or_oracle **oracle)
{
    for (size_t i = report->n_oracles; i-- > 0;) {
        *oracle = &report->oracles[i];
        if ((*oracle)->model == model && (*oracle)->shots == item->shots &&
            strcmp((*oracle)->task, item->task) == 0)
            return OR_OK;
    }
    OR_RESERVE(report->oracles, report->oracles_capacity, report->n_oracles + 1);
    *oracle = &report->oracles[report->n_oracles];
    **oracle = (or_oracle){.model = model, .shots = item->shots};
    OR_TRY(OR_NEW((*oracle)->exits, (size_t)report->models[model].n_layers + 1));
    report->n_oracles++;
    return or_report_text(report, &(*oracle)->task, "%s", item->task);
}

/* stable, and the cosines, are left to training: they make no plot. */
static or_status count_item(or_report *report, size_t model, const or_trace_item *item)
{
    or_report_model *m = &report->models[model];
    or_oracle *oracle = NULL;
    OR_TRY(find_oracle(report, model, item, &oracle));
    oracle->exits[or_oracle_exit(item, m->n_layers)]++;
    for (int layer = 0; layer < m->n_layers; layer++) {
        const or_observation *seen = &item->seen[layer];
        const int settled = seen->token == item->final_token;
        m->depth[layer][OR_DEPTH_GAP][settled][bin_of(seen->gap)]++;
        m->depth[layer][OR_DEPTH_TOP_PROB][settled][bin_of(seen->top_prob)]++;
    }
    m->traced++;
    return OR_OK;
}

/* Whole or not at all: a trace is refused before it is counted. */
or_status or_report_take_trace(or_report *report, const char *path, size_t *model)
{
    or_trace trace = {0};
    or_status status = or_trace_read(path, &trace);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done,
                or_report_model_find(report, NULL, trace.meta.fingerprint, trace.meta.n_layers, path, model));
    or_report_model *m = &report->models[*model];
    if (!m->depth) OR_TRY_GOTO(done, OR_NEW(m->depth, (size_t)m->n_layers));
    for (size_t i = 0; i < trace.count; i++) OR_TRY_GOTO(done, count_item(report, *model, &trace.items[i]));
done:
    or_trace_free(&trace);
    return status;
}

or_status or_report_add_trace(or_report *report, const char *path, const char *source)
{
    size_t model;
    or_cell *cells;
    OR_TRY(or_report_take_trace(report, path, &model));
    OR_TRY(or_report_source(report, source, "trace", &cells));
    return or_report_source_model(report, model, cells);
}
