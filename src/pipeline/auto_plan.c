/* auto_plan.c - the plan "auto": what the ranks take is measured on all of them at the same time; rank 0, which
 * alone knows who is expected to leave, finds the plan, and the others get it: every replica has the same.
 */
#include "pipeline_internal.h"

#include "layout.h"
#include "log.h"
#include "machine.h"
#include "measure.h"
#include "threads.h"

#include <string.h>

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
    const or_load load = or_load_of(work, n, p->n_replicas, options->wave_tokens, sizes->hparams);
    or_plan even;
    OR_TRY(or_plan_even(sizes->hparams->n_layers, n, &even));
    if (options->costs) return OR_OK;
    return or_measure_rank(options->model, options->drop_layers, sizes->shares, even.bound[p->rank],
                           even.bound[p->rank + 1], work->sequences ? 1 : work->length, (size_t)load.rows,
                           own);
}

/* Rank 0, which alone knows the hosts. */
static or_status level(const or_pipeline *p, int n)
{
    const char **hosts = NULL;
    if (or_transport_rank(p->world) != 0) return OR_OK;
    OR_TRY(OR_NEW(hosts, (size_t)n));
    for (int r = 0; r < n; r++) hosts[r] = or_transport_host(p->world, r);
    or_costs_level(p->costs, hosts, n);
    free(hosts);
    return OR_OK;
}

/* Costs of all ranks into p->costs: those given, or measured; rank 0's are what plans are made of. A rank that cannot
 * measure fails on all. */
static or_status find_costs(or_pipeline *p, const or_pipeline_options *options, const or_workload *work,
                            const or_plan_sizes *sizes)
{
    const size_t n = (size_t)or_transport_size(p->world);
    or_rank_cost own = {0};
    or_status status = OR_NEW(p->costs, n);
    if (status == OR_OK) status = measure(p, options, work, sizes, &own);
    status = or_transport_agree(p->world, status);
    if (status == OR_OK && !options->costs) {
        status = or_transport_gather(p->world, &own, sizeof own, p->costs);
        if (status == OR_OK) status = or_transport_agree(p->world, level(p, (int)n));
    } else if (status == OR_OK) {
        memcpy(p->costs, options->costs, n * sizeof *p->costs);
    }
    return status;
}

/* What each rank may take, into p->costs: as it is said, or else its share of what its host has. Collective. */
static or_status limit_memory(or_pipeline *p, const or_pipeline_options *options)
{
    const size_t n = (size_t)or_transport_size(p->world);
    uint64_t sum, own = options->memory_per_rank, *all = NULL;
    int ranks;
    OR_TRY(or_transport_agree(p->world, OR_NEW(all, n)));
    or_status status = or_transport_host_sum(p->world, 1, &sum, &ranks);
    if (own == 0 && status == OR_OK) own = or_machine_memory() / (uint64_t)ranks;
    if (status == OR_OK) status = or_transport_gather(p->world, &own, sizeof own, all);
    for (size_t r = 0; r < n && status == OR_OK; r++) p->costs[r].memory = all[r];
    free(all);
    return status;
}

/* Within what the ranks may take. Where that is a share of the host's memory only, and no plan keeps all within
 * theirs, any plan will do: the host's ranks are checked together when it is known (open.c). */
static or_status plan_within(or_pipeline *p, const or_pipeline_options *options, const or_workload *work,
                             const or_plan_sizes *sizes, or_layout *best)
{
    const int n = or_transport_size(p->world);
    const or_status status = or_plan_auto(n, p->n_replicas, p->costs, work, sizes, best);
    if (status != OR_ERR_INPUT || options->memory_per_rank > 0) return status;
    for (int r = 0; r < n; r++) p->costs[r].memory = 0;
    return or_plan_auto(n, p->n_replicas, p->costs, work, sizes, best);
}

static or_status tell(const or_pipeline *p, const or_workload *work, const or_plan_sizes *sizes,
                      const or_layout *best)
{
    char *layers = NULL;
    OR_TRY(or_plan_format(&best->plan, &layers));
    or_log_note("plan %s", layers);
    free(layers);
    return or_layout_advise(best, p->costs, work, sizes, or_log_note);
}

/* Rank 0's plan for all. Collective. */
static or_status find_plan(or_pipeline *p, const or_pipeline_options *options, const or_workload *work,
                           const or_plan_sizes *sizes, or_layout *best)
{
    or_plan *plans = NULL;
    or_status status = OR_NEW(plans, (size_t)or_transport_size(p->world));
    if (status == OR_OK && or_transport_rank(p->world) == 0)
        status = plan_within(p, options, work, sizes, best);
    status = or_transport_agree(p->world, status);
    if (status == OR_OK) status = or_transport_gather(p->world, &best->plan, sizeof best->plan, plans);
    if (status == OR_OK) p->plan = plans[0];
    free(plans);
    return status;
}

or_status or_pipeline_plan_auto(or_pipeline *p, const or_pipeline_options *options, const or_hparams *h,
                                const or_shares *shares)
{
    const or_workload work = workload_of(options, h);
    const or_plan_sizes sizes = {h, shares, options->wave_tokens, or_threads()};
    or_layout best = {0};
    or_status status = find_costs(p, options, &work, &sizes);
    if (status == OR_OK) status = limit_memory(p, options);
    if (status == OR_OK) status = find_plan(p, options, &work, &sizes, &best);
    if (status != OR_OK || options->quiet_plan) return status;
    if (or_transport_rank(p->world) == 0) status = tell(p, &work, &sizes, &best);
    return or_transport_agree(p->world, status);
}

bool or_pipeline_forecast(const or_pipeline *p, const or_workload *work, or_forecast *forecast)
{
    if (!p->costs) return false;
    const or_load load =
        or_load_of(work, p->plan.n_stages, p->n_replicas, p->wave_tokens, or_model_hparams(p->model));
    or_forecast_make(&p->plan, p->n_replicas, p->costs, &load, forecast);
    return true;
}

const or_rank_cost *or_pipeline_costs(const or_pipeline *p)
{
    return p->costs;
}
