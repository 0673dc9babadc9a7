/* auto_plan.c - the plan "auto": what the ranks take is measured on all of them at the same time; rank 0, which
 * alone knows who is expected to leave, finds the plan, and the others get it: every replica has the same.
 */
#include "pipeline_internal.h"

#include "log.h"
#include "measure.h"
#include "threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

uint64_t or_plan_stage_bytes(const void *context, int stage, int first, int last)
{
    const or_plan_sizes *sizes = context;
    or_plan plan;
    plan.n_stages = stage + 1;
    plan.bound[stage] = first;
    plan.bound[stage + 1] = last;
    return or_plan_memory(&plan, stage, sizes->hparams, sizes->shares, sizes->wave_tokens, sizes->threads)
        .total;
}

or_status or_plan_auto(int n_ranks, const or_rank_cost *ranks, const or_workload *work,
                       const or_plan_sizes *sizes, or_plan *plan, or_forecast *forecast)
{
    const or_load load = or_load_of(work, n_ranks, sizes->wave_tokens, sizes->hparams);
    OR_TRY(or_plan_best(n_ranks, ranks, &load, or_plan_stage_bytes, sizes, plan));
    or_forecast_make(plan, ranks, &load, forecast);
    return OR_OK;
}

/* What the job is taken to be where it does not say. */
static or_workload workload_of(const or_pipeline_options *options, const or_hparams *h)
{
    or_workload work = options->workload;
    if (work.length == 0) work.length = OR_PLAN_PROMPT;
    if (work.length > (size_t)h->n_context) work.length = (size_t)h->n_context;
    return work;
}

/* What work costs here, as the even plan would have it; all ranks of all replicas measure at the same time. */
static or_status measure(const or_pipeline *p, const or_pipeline_options *options, const or_workload *work,
                         const or_plan_sizes *sizes, or_rank_cost *own)
{
    const int n = or_transport_size(p->transport);
    const or_load load = or_load_of(work, n, options->wave_tokens, sizes->hparams);
    or_plan even;
    OR_TRY(or_plan_even(sizes->hparams->n_layers, n, &even));
    if (options->costs) return OR_OK;
    return or_measure_rank(options->model, even.bound[p->rank], work->sequences ? 1 : work->length,
                           (size_t)load.rows, own);
}

/* Ranks of one kind differ by what else their machines did for a moment. Where the slowest is within LIKE of the fastest
 * all get the mean; where it is not, they are taken to be unlike. */
static void level(or_rank_cost *costs, size_t n)
{
    static const double LIKE = 1.15;
    const int last = costs[0].layer.n_points - 1;
    double least = INFINITY, most = 0;
    for (size_t r = 0; r < n; r++) {
        if (costs[r].layer.n_points != last + 1 || costs[r].ramp.n_points != costs[0].ramp.n_points) return;
        least = fmin(least, costs[r].layer.seconds[last]);
        most = fmax(most, costs[r].layer.seconds[last]);
    }
    if (most > LIKE * least) return;
    or_rank_cost mean = costs[0];
    for (int i = 0; i < OR_COST_POINTS; i++) {
        mean.layer.seconds[i] = mean.ramp.seconds[i] = 0;
        for (size_t r = 0; r < n; r++) {
            mean.layer.seconds[i] += costs[r].layer.seconds[i] / (double)n;
            mean.ramp.seconds[i] += costs[r].ramp.seconds[i] / (double)n;
        }
    }
    for (size_t r = 0; r < n; r++) {
        costs[r].layer = mean.layer;
        costs[r].ramp = mean.ramp;
    }
}

/* Costs of the ranks of the first pipeline into p->costs, the same on all ranks: those given, or measured. A rank that
 * cannot measure fails on all. */
static or_status find_costs(or_pipeline *p, const or_pipeline_options *options, const or_workload *work,
                            const or_plan_sizes *sizes)
{
    const size_t n = (size_t)or_transport_size(p->transport), all = (size_t)or_transport_size(p->world);
    or_rank_cost own = {0}, *measured = NULL;
    or_status status = OR_NEW(p->costs, n);
    if (status == OR_OK) status = OR_NEW(measured, all);
    if (status == OR_OK) status = measure(p, options, work, sizes, &own);
    status = or_transport_agree(p->world, status);
    if (status == OR_OK) status = or_transport_gather(p->world, &own, sizeof own, measured);
    if (status == OR_OK) memcpy(p->costs, options->costs ? options->costs : measured, n * sizeof *p->costs);
    if (status == OR_OK && !options->costs) level(p->costs, n);
    free(measured);
    for (size_t r = 0; r < n && options->memory_per_rank > 0; r++)
        if (p->costs) p->costs[r].memory = options->memory_per_rank;
    return status;
}

/* "9,13" */
static const char *layers_text(const or_plan *plan, char *text, size_t size)
{
    size_t used = 0;
    for (int s = 0; s < plan->n_stages && used < size; s++)
        used += (size_t)snprintf(text + used, size - used, "%s%d", s ? "," : "",
                                 plan->bound[s + 1] - plan->bound[s]);
    return text;
}

/* One line: what it is thought to reach, beside the even plan, and beside fewer ranks where these do better. */
static void tell(const or_pipeline *p, const or_workload *work, const or_plan_sizes *sizes,
                 const or_forecast *best)
{
    const int n = p->plan.n_stages, layers = sizes->hparams->n_layers;
    const double tokens = (double)p->n_replicas * (work->sequences ? 1 : (double)work->length);
    char text[256];
    or_plan plan;
    or_forecast other;
    const or_load load = or_load_of(work, n, sizes->wave_tokens, sizes->hparams);
    if (or_plan_even(layers, n, &plan) != OR_OK) return;
    or_forecast_make(&plan, p->costs, &load, &other);
    or_log_note("plan %s: %.4g tokens/s predicted, even plan %.4g (%.2fx)",
                layers_text(&p->plan, text, sizeof text), best->requests_per_second * tokens,
                other.requests_per_second * tokens, best->requests_per_second / other.requests_per_second);
    for (int fewer = n - 1; fewer > 0; fewer--) {
        if (or_plan_auto(fewer, p->costs, work, sizes, &plan, &other) != OR_OK) return;
        if (other.requests_per_second < best->requests_per_second) continue;
        or_log_note("%d ranks would reach %.4g tokens/s: %d are more than this job can use", fewer,
                    other.requests_per_second * tokens, n);
        return;
    }
}

or_status or_pipeline_plan_auto(or_pipeline *p, const or_pipeline_options *options, const or_hparams *h,
                                const or_shares *shares)
{
    const or_workload work = workload_of(options, h);
    const or_plan_sizes sizes = {h, shares, options->wave_tokens, or_threads()};
    or_forecast forecast;
    OR_TRY(find_costs(p, options, &work, &sizes));
    or_plan *plans = NULL;
    const bool first = or_transport_rank(p->world) == 0;
    or_status status = OR_NEW(plans, (size_t)or_transport_size(p->world));
    if (status == OR_OK && first)
        status = or_plan_auto(or_transport_size(p->transport), p->costs, &work, &sizes, &p->plan, &forecast);
    status = or_transport_agree(p->world, status);
    if (status == OR_OK) status = or_transport_gather(p->world, &p->plan, sizeof p->plan, plans);
    if (status == OR_OK) p->plan = plans[0];
    if (status == OR_OK && first) tell(p, &work, &sizes, &forecast);
    free(plans);
    return status;
}

bool or_pipeline_forecast(const or_pipeline *p, const or_workload *work, or_forecast *forecast)
{
    or_workload own = *work; /* of one replica */
    const size_t replicas = (size_t)p->n_replicas;
    if (!p->costs) return false;
    own.requests = (work->requests + replicas - 1) / replicas;
    const or_load load = or_load_of(&own, p->plan.n_stages, p->wave_tokens, or_model_hparams(p->model));
    or_forecast_make(&p->plan, p->costs, &load, forecast);
    forecast->slowest /= p->n_replicas; /* so many waves go by at a time */
    forecast->requests_per_second *= p->n_replicas;
    return true;
}

const or_rank_cost *or_pipeline_costs(const or_pipeline *p)
{
    return p->costs;
}
