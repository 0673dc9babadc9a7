/* layout.c - ways to use the ranks of a job, compared by their forecasts: cost.h's or_layout. Pure. */
#include "layout.h"

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

void or_layout_forecast(or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                        const or_plan_sizes *sizes)
{
    const or_load load =
        or_load_of(work, layout->plan.n_stages, layout->replicas, sizes->wave_tokens, sizes->hparams);
    or_forecast_make(&layout->plan, layout->replicas, ranks, &load, &layout->forecast);
}

or_status or_plan_auto(int n_ranks, int replicas, const or_rank_cost *ranks, const or_workload *work,
                       const or_plan_sizes *sizes, or_layout *layout)
{
    const int n = n_ranks / replicas;
    if (n * replicas != n_ranks)
        return or_fail(OR_ERR_USAGE, "replicas do not fit", NULL, "%d ranks are no multiple of %d replicas",
                       n_ranks, replicas);
    const or_load load = or_load_of(work, n, replicas, sizes->wave_tokens, sizes->hparams);
    layout->replicas = replicas;
    OR_TRY(or_plan_best(n, replicas, ranks, &load, or_plan_stage_bytes, sizes, &layout->plan));
    or_layout_forecast(layout, ranks, work, sizes);
    return OR_OK;
}

/* With replicas, fewer ranks are fewer replicas, which is what they are there to be many of. */
bool or_layout_fewer(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                     const or_plan_sizes *sizes, or_layout *fewer)
{
    if (layout->replicas > 1) return false;
    for (int n = 1; n < layout->plan.n_stages; n++) {
        if (or_plan_auto(n, 1, ranks, work, sizes, fewer) != OR_OK) continue; /* does not fit */
        if (fewer->forecast.requests_per_second >= 0.995 * layout->forecast.requests_per_second) return true;
    }
    return false;
}

bool or_layout_replicas(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                        const or_plan_sizes *sizes, or_layout *other)
{
    static const double GAIN = 1.03;
    const int n_ranks = layout->replicas * layout->plan.n_stages;
    double best = GAIN * layout->forecast.requests_per_second;
    bool found = false;
    or_layout tried;
    for (int replicas = 1; replicas <= n_ranks; replicas++) {
        if (n_ranks % replicas != 0 || replicas == layout->replicas) continue;
        if (or_plan_auto(n_ranks, replicas, ranks, work, sizes, &tried) != OR_OK) continue;
        if (tried.forecast.requests_per_second <= best) continue;
        best = tried.forecast.requests_per_second;
        *other = tried;
        found = true;
    }
    return found;
}

static double tokens(const or_layout *layout, const or_workload *work)
{
    return layout->forecast.requests_per_second * (work->sequences ? 1 : (double)work->length);
}

or_status or_layout_advise(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                           const or_plan_sizes *sizes, or_layout_say *say)
{
    const int n = layout->plan.n_stages;
    const double rate = layout->forecast.requests_per_second;
    or_layout other = {.replicas = layout->replicas};
    OR_TRY(or_plan_even(sizes->hparams->n_layers, n, &other.plan));
    or_layout_forecast(&other, ranks, work, sizes);
    say("predicted: %.4g tokens/s (%.4g requests/s), the even plan %.4g (%.2fx)", tokens(layout, work), rate,
        tokens(&other, work), rate / other.forecast.requests_per_second);
    if (or_layout_fewer(layout, ranks, work, sizes, &other))
        say("%d rank%s would reach %.4g tokens/s: %d are more than one pipeline can use", other.plan.n_stages,
            other.plan.n_stages == 1 ? "" : "s", tokens(&other, work), n);
    if (or_layout_replicas(layout, ranks, work, sizes, &other))
        say("--replicas %d would reach %.4g tokens/s (%.2fx)", other.replicas, tokens(&other, work),
            other.forecast.requests_per_second / rate);
    return OR_OK;
}
