/* study_figures.c - the figures of a study's tables, from traces. */
#include "study.h"

#include "train_internal.h"

#include <math.h>
#include <string.h>

/* Sums over instances. */
typedef struct sums {
    double n, answered, right, agree, layers, squares, oracle;
} sums;

static void add(sums *s, const or_trace_item *item, int n_layers, int exit, int32_t token)
{
    s->n++;
    s->answered += item->answer_token >= 0;
    s->right += item->answer_token >= 0 && token == item->answer_token;
    s->agree += token == item->final_token;
    s->layers += exit;
    s->squares += (double)exit * exit;
    s->oracle += or_oracle_exit(item, n_layers);
}

/* Multiply-adds of `layers` layers and `heads` heads over those of full depth. */
static double ratio(const or_trace_meta *meta, double n, double layers, double others)
{
    return (layers * meta->layer_macs + others) / (n * (meta->n_layers * meta->layer_macs + meta->ramp_macs));
}

/* `others`: multiply-adds of heads, ramps and decisions. */
static void close_sums(const sums *s, const or_trace_meta *meta, double others, or_figures *figures)
{
    *figures = (or_figures){.n = (size_t)s->n, .accuracy = NAN, .standard_error = NAN};
    if (s->n == 0) return;
    const double mean = s->layers / s->n;
    figures->agreement = s->agree / s->n;
    figures->exit_layer_mean = mean;
    if (s->n > 1) figures->exit_layer_var = fmax(0, (s->squares - s->n * mean * mean) / (s->n - 1));
    figures->layers_saved = 1 - mean / meta->n_layers;
    figures->oracle_saved = 1 - s->oracle / s->n / meta->n_layers;
    figures->flops_ratio = ratio(meta, s->n, s->layers, others);
    if (s->answered == 0) return;
    const double p = s->right / s->answered;
    figures->accuracy = p;
    /* the sample deviation of zeros and ones over the root of their number, as in summary.json */
    if (s->answered > 1) figures->standard_error = sqrt(p * (1 - p) / (s->answered - 1));
}

void or_figures_full(const or_trace *trace, or_figures *figures)
{
    sums s = {0};
    for (size_t i = 0; i < trace->count; i++)
        add(&s, &trace->items[i], trace->meta.n_layers, trace->meta.n_layers, trace->items[i].final_token);
    close_sums(&s, &trace->meta, s.n * trace->meta.ramp_macs, figures);
}

/* One head for the token at its exit, none for finding it. */
void or_figures_oracle(const or_trace *trace, or_figures *figures)
{
    sums s = {0};
    for (size_t i = 0; i < trace->count; i++) {
        const int exit = or_oracle_exit(&trace->items[i], trace->meta.n_layers);
        add(&s, &trace->items[i], trace->meta.n_layers, exit, trace->items[i].final_token);
    }
    close_sums(&s, &trace->meta, s.n * trace->meta.ramp_macs, figures);
}

void or_figures_policy(const or_policy *policy, const or_trace *trace, or_figures *figures)
{
    const int n_layers = trace->meta.n_layers;
    or_prices prices = or_prices_of_trace(policy, &trace->meta);
    or_steps steps = {0};
    sums s = {0};
    for (size_t i = 0; i < trace->count; i++) {
        int32_t token;
        const int exit = or_policy_replay(policy, &trace->items[i], n_layers, &token);
        add(&s, &trace->items[i], n_layers, exit, token);
        or_steps_add(&steps, policy->ramp, n_layers, exit);
    }
    steps.layers = 0; /* ratio() counts them */
    close_sums(&s, &trace->meta, or_steps_macs(&steps, &prices), figures);
}

static bool same_instance(const or_trace_item *a, const or_trace_item *b)
{
    return strcmp(a->task, b->task) == 0 && a->shots == b->shots && a->index == b->index;
}

/* Every instance executes the layers that are left. */
void or_figures_pruned(const or_trace *trace, const or_trace *pruned, or_figures *figures)
{
    sums s = {0};
    for (size_t i = 0, j = 0; i < trace->count && j < pruned->count; i++) {
        const or_trace_item *item = &trace->items[i];
        size_t k = j;
        while (k < pruned->count && !same_instance(item, &pruned->items[k])) k++;
        if (k == pruned->count) continue;
        add(&s, item, trace->meta.n_layers, pruned->meta.n_layers, pruned->items[k].final_token);
        j = k + 1;
    }
    close_sums(&s, &trace->meta, s.n * trace->meta.ramp_macs, figures);
}
