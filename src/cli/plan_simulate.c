/* plan_simulate.c - offramp plan --simulate.
 *
 *   simulated: 1000 prompts of 128 tokens, exits drawn
 *    seconds  requests/s   tokens/s
 *      81.20       12.31     1576.1
 *   latency s          mean     median       90 %       99 %      worst
 *   admitted          3.104      3.100      3.151      3.202      3.204
 *   arrived          42.104     42.100     79.151     81.202     81.204
 *   stage  layers    requests in     exits       out  waves run  rows/wave  busy %  ramp %  wait %  idle %
 *       0  1..12            1000       312       688        125     1024.0   98.91    0.00    0.00    1.09
 */
#include "plan_simulate.h"

#include "curve.h"
#include "random.h"
#include "train_internal.h"

#include <offramp/trace.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- exits ------------------------------------------------------------------------------------------------ */

/* Of the requests of a trace, in its order. */
typedef struct recorded {
    size_t count; /* 0: there is no trace */
    int32_t *exits;
} recorded;

static or_status replay_items(const or_trace *trace, const or_policy *policy, const char *path, int n_layers,
                              recorded *replay)
{
    if (trace->meta.n_layers != n_layers || trace->count == 0)
        return or_fail(OR_ERR_INPUT, "trace refused", path,
                       "it has %zu requests of %d layers, expected some of %d as the model has", trace->count,
                       trace->meta.n_layers, n_layers);
    if (policy) OR_TRY(or_policy_check(policy, n_layers, trace->meta.fingerprint, false));
    OR_TRY(OR_NEW(replay->exits, trace->count));
    for (; replay->count < trace->count; replay->count++) {
        int32_t token;
        const or_trace_item *item = &trace->items[replay->count];
        replay->exits[replay->count] =
            policy ? or_policy_replay(policy, item, n_layers, &token) : or_oracle_exit(item, n_layers);
    }
    return OR_OK;
}

static or_status read_replay(const or_planned *planned, recorded *replay)
{
    const char *path = planned->survivors, *end = path ? strrchr(path, '.') : NULL;
    or_trace trace = {0};
    or_policy *policy = NULL;
    *replay = (recorded){0};
    if (!end || strcmp(end, ".csv") != 0) return OR_OK;
    or_status status = or_trace_read(path, &trace);
    if (status == OR_OK && planned->policies->count > 0)
        status = or_policy_load(planned->policies->items[0], &policy);
    if (status == OR_OK) status = replay_items(&trace, policy, path, planned->hparams->n_layers, replay);
    or_policy_free(policy);
    or_trace_free(&trace);
    return status;
}

/* ---- requests --------------------------------------------------------------------------------------------- */

typedef struct workload {
    or_sim_request *requests; /* [n] */
    int32_t *exits;           /* [n, answers of each]; NULL: full depth */
    size_t n, answers;
} workload;

/* Uniform in (0, 1]. */
static double draw(uint64_t *state)
{
    return ((double)(or_random(state) >> 11) + 1) * 0x1p-53;
}

/* The trace's requests one after the other, a token being a request of it; or drawn as bench does. */
static or_status make_exits(const or_plan_simulation *s, const or_planned *planned, workload *w)
{
    recorded replay;
    const or_curve curve = {planned->hparams->n_layers, (double *)planned->work->survivors};
    or_status status = read_replay(planned, &replay);
    if (status == OR_OK && (replay.count > 0 || curve.share)) status = OR_NEW(w->exits, w->n * w->answers);
    for (size_t i = 0; w->exits && i < w->n * w->answers; i++)
        w->exits[i] = replay.count > 0
                          ? replay.exits[i % replay.count]
                          : or_curve_exit(&curve, (uint64_t)s->seed, i / w->answers, i % w->answers);
    free(replay.exits);
    return status;
}

/* Arrivals are a Poisson process: exponential times between them. */
static or_status make_workload(const or_plan_simulation *s, const or_planned *planned, workload *w)
{
    const bool continues = planned->work->sequences > 0;
    uint64_t state = (uint64_t)s->seed;
    double arrival = 0;
    *w = (workload){.n = (size_t)s->requests, .answers = continues ? (size_t)s->tokens : 1};
    OR_TRY(OR_NEW(w->requests, w->n));
    OR_TRY(make_exits(s, planned, w));
    for (size_t i = 0; i < w->n; i++) {
        if (s->rate > 0) arrival -= log(draw(&state)) / s->rate;
        w->requests[i] = (or_sim_request){
            .arrival = arrival,
            .rows = (int32_t)planned->work->length,
            .tokens = continues ? (int32_t)s->tokens : 0,
            .exits = w->exits ? w->exits + i * w->answers : NULL,
        };
    }
    return OR_OK;
}

/* ---- printing --------------------------------------------------------------------------------------------- */

static void print_latencies(const char *name, const or_latencies *l)
{
    printf("%-10s  %9.3f  %9.3f  %9.3f  %9.3f  %9.3f\n", name, l->mean, l->median, l->p90, l->p99, l->most);
}

static void print_stages(const or_run_stats *run)
{
    printf(
        "stage  layers    requests in     exits       out  waves run  rows/wave  busy %%  ramp %%  wait %%  "
        "idle %%\n");
    for (int s = 0; s < run->n_stages; s++) {
        const or_stage_stats *stage = &run->stage[s];
        const double part = 100 / run->seconds;
        char layers[32];
        snprintf(layers, sizeof layers, "%d..%d", stage->first + 1, stage->last);
        printf("%5d  %-8s  %11llu  %8llu  %8llu  %9llu  %9.1f  %6.2f  %6.2f  %6.2f  %6.2f\n", s, layers,
               (unsigned long long)stage->requests_in, (unsigned long long)stage->exits,
               (unsigned long long)stage->requests_out, (unsigned long long)stage->waves_run,
               stage->waves_run ? (double)stage->rows_in / (double)stage->waves_run : 0, part * stage->busy,
               part * stage->ramp, part * stage->wait, part * stage->idle);
    }
}

static void print_result(const or_planned *planned, const workload *w, const or_simulated *result)
{
    const or_run_stats *run = &result->run;
    const bool continues = planned->work->sequences > 0;
    const double tokens = (double)(continues ? run->tokens : result->rows);
    printf("simulated: %zu %s of %zu tokens", w->n, continues ? "continuations" : "prompts",
           planned->work->length);
    if (continues) printf(" by %zu, %zu at a time", w->answers, planned->work->sequences);
    printf(", %s\n", !w->exits ? "full depth" : "with exits");
    printf("  seconds  requests/s    tokens/s\n%9.3f  %10.4g  %10.4g\n", run->seconds,
           (double)w->n / run->seconds, tokens / run->seconds);
    printf("latency s        mean     median       90 %%       99 %%      worst\n");
    print_latencies("admitted", &result->admitted);
    print_latencies("arrived", &result->arrived);
    print_stages(run);
}

or_status or_plan_simulate(const or_plan_simulation *s, const or_planned *planned)
{
    workload w = {0};
    or_simulated *result = NULL; /* has an entry for each possible stage */
    or_status status;
    OR_TRY(OR_NEW(result, 1));
    OR_TRY_GOTO(done, make_workload(s, planned, &w));
    const or_simulation simulation = {
        .plan = planned->plan,
        .ranks = planned->costs,
        .ramp = planned->work->ramp,
        .row_bytes = (double)planned->hparams->d_model * sizeof(float),
        .wave_tokens = planned->wave_tokens,
        .sequences = planned->work->sequences ? planned->work->sequences : 1,
        .cores = s->cores,
        .requests = w.requests,
        .n_requests = w.n,
    };
    status = or_simulate(&simulation, result);
    if (status == OR_OK) print_result(planned, &w, result);
done:
    or_simulated_free(result);
    free(result);
    free(w.requests);
    free(w.exits);
    return status;
}
