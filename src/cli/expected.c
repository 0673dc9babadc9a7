/* expected.c - survivors of a job that is yet to run. */
#include "expected.h"

#include "curve.h"
#include "log.h"
#include "json.h"
#include "memory.h"
#include "threads.h"
#include "transport.h"

#include <string.h>

static or_status copy(const double *from, int n_layers, double **to)
{
    OR_TRY(OR_NEW(*to, (size_t)n_layers + 1));
    memcpy(*to, from, ((size_t)n_layers + 1) * sizeof **to);
    return OR_OK;
}

/* A curve, or a trace as the policy would leave in it; without one, as an oracle would. */
static or_status read_curve(const char *path, const or_policy *policy, int n_layers, double **survivors)
{
    or_curve curve;
    or_status status = or_curve_read(path, n_layers, policy, &curve);
    if (status == OR_OK) status = copy(curve.share, n_layers, survivors);
    or_curve_free(&curve);
    return status;
}

static or_status ask_policy(const or_policy *policy, int n_layers, double **survivors)
{
    const double *says = or_policy_survivors(policy);
    if (says) return copy(says, n_layers, survivors);
    or_log_warn("policy %s does not say who leaves where, planned as if nobody did; give --survivors, or "
                "train it anew",
                or_policy_name(policy));
    return OR_OK;
}

static bool is_trace(const char *path)
{
    const char *end = path ? strrchr(path, '.') : NULL;
    return end && strcmp(end, ".csv") == 0;
}

/* The mean over the policies and, with `full`, a run at full depth. */
static void mix(or_expected *e, bool full, int n_layers)
{
    for (int layer = 0; layer < n_layers; layer++) {
        double sum = full;
        for (size_t i = 0; i < e->n_policies; i++) sum += e->of[i] ? e->of[i][layer] : 1;
        e->survivors[layer] = sum / (double)(e->n_policies + full);
    }
}

or_status or_expected_make(or_policy *const *policies, size_t n_policies, const char *path, bool full,
                           int n_layers, or_expected *e)
{
    *e = (or_expected){0};
    if (n_policies == 0) return path ? read_curve(path, NULL, n_layers, &e->survivors) : OR_OK;
    OR_TRY(OR_NEW(e->of, n_policies));
    OR_TRY(OR_NEW(e->ramp, (size_t)n_layers + 1));
    OR_TRY(OR_NEW(e->survivors, (size_t)n_layers + 1));
    for (; e->n_policies < n_policies; e->n_policies++) {
        const or_policy *policy = policies[e->n_policies];
        double **of = &e->of[e->n_policies];
        OR_TRY(or_policy_check(policy, n_layers, 0, true));
        for (int layer = 1; layer < n_layers; layer++) e->ramp[layer] |= or_policy_has_ramp(policy, layer);
        if (!path)
            OR_TRY(ask_policy(policy, n_layers, of));
        else
            OR_TRY(read_curve(path, is_trace(path) ? policy : NULL, n_layers, of));
    }
    mix(e, full, n_layers);
    return OR_OK;
}

or_status or_expected_read(const or_list *paths, const char *path, bool full, int n_layers, or_expected *e)
{
    or_policies policies = {0};
    *e = (or_expected){0};
    or_status status = or_policies_load(paths, &policies);
    if (status == OR_OK) status = or_expected_make(policies.items, policies.count, path, full, n_layers, e);
    or_policies_free(&policies);
    return status;
}

/* Rank 0. */
static or_status expect(const or_common *common, const or_policies *policies, const char *path, bool full,
                        or_expected *e)
{
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_checkpoint_open_without(common->model, common->drop_layers, &checkpoint));
    or_status status = or_expected_make(policies->items, policies->count, path, full,
                                        or_checkpoint_hparams(checkpoint)->n_layers, e);
    or_checkpoint_close(checkpoint);
    return status;
}

or_status or_common_expect(or_common *common, or_session *session, const or_policies *policies,
                           const char *path, bool full, or_expected *e)
{
    const bool is_auto = or_plan_is_auto(common->plan);
    or_status status = OR_OK;
    *e = (or_expected){0};
    if (path && !is_auto)
        status =
            or_fail(OR_ERR_USAGE, "wrong option", NULL, "found --survivors, expected --plan auto with it");
    else if (is_auto && session->rank == 0)
        status = expect(common, policies, path, full, e);
    OR_TRY(or_transport_agree(session->transport, status));
    common->workload.sequences = (size_t)common->sequences;
    common->workload.survivors = e->survivors;
    common->workload.ramp = e->ramp;
    return OR_OK;
}

or_status or_suggest_plan(const or_pipeline *pipeline, const or_workload *seen, const or_common *common,
                          double *gain, char **plan)
{
    const or_hparams *h = or_pipeline_hparams(pipeline);
    const or_plan *now = or_pipeline_plan(pipeline);
    const or_rank_cost *measured = or_pipeline_costs(pipeline);
    const int n = now->n_stages, replicas = or_pipeline_replicas(pipeline);
    const or_load load = or_load_of(seen, n, replicas, (size_t)common->wave_tokens, h);
    or_checkpoint *checkpoint = NULL;
    or_shares shares = {0};
    or_rank_cost *costs = NULL;
    or_plan best;
    or_forecast had, has;
    *plan = NULL;
    or_status status = or_checkpoint_open_without(common->model, common->drop_layers, &checkpoint);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_checkpoint_shares(checkpoint, &shares));
    OR_TRY_GOTO(done, OR_NEW(costs, (size_t)n * (size_t)replicas));
    for (int r = 0; r < n * replicas; r++) {
        costs[r] = measured ? measured[r] : or_cost_of_macs(h, seen->length);
        if (common->memory_per_rank > 0) costs[r].memory = (uint64_t)common->memory_per_rank;
    }
    /* whatever prompts the present plan has room for, another one has, too */
    const size_t longest = or_pipeline_longest(pipeline), wave = (size_t)common->wave_tokens;
    const or_plan_sizes sizes = {h, &shares, longest > wave ? longest : wave, or_threads()};
    OR_TRY_GOTO(done, or_plan_best(n, replicas, costs, &load, or_plan_stage_bytes, &sizes, &best));
    or_forecast_make(now, replicas, costs, &load, &had);
    or_forecast_make(&best, replicas, costs, &load, &has);
    *gain = had.slowest / has.slowest;
    status = or_plan_format(&best, plan);
done:
    free(costs);
    or_shares_free(&shares);
    or_checkpoint_close(checkpoint);
    return status;
}

void or_expected_free(or_expected *e)
{
    for (size_t i = 0; i < e->n_policies; i++) free(e->of[i]);
    free(e->of);
    free(e->survivors);
    free(e->ramp);
    *e = (or_expected){0};
}
