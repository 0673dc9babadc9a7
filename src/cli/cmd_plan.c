/* cmd_plan.c - offramp plan: how the layers are split over ranks, what each rank needs in memory and, where asked,
 * how long it takes. Reads headers only, but for a layer that is timed.
 *
 *   stage  layers         weights   workspace       waves       total   s/wave   load
 *       0  1..6             4 MiB    7.04 MiB       3 MiB      14 MiB   0.0123  100 %
 *       1  7..16            5 MiB    7.04 MiB       3 MiB      15 MiB   0.0121   98 %
 *   predicted: 83250 tokens/s (650.4 requests/s), the even plan 66900 (1.24x)
 */
#include "cli.h"
#include "expected.h"
#include "plan_simulate.h"

#include "cost_file.h"
#include "layout.h"
#include "measure.h"
#include "threads.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static or_common common = {.wave_tokens = 1024};
static int64_t ranks; /* of the job that is planned; this process is alone */
static int64_t replicas, length = OR_PLAN_PROMPT, batch;
static or_list policy_paths;
static char *survivors, *costs_path, *costs_output;
static double latency = -1, bandwidth = -1; /* of all links; -1: as the costs say */
static or_plan_simulation simulation = OR_PLAN_SIMULATION;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    OR_OPTION_DROP_LAYERS(common),
    {"ranks", OR_OPTION_INT, &ranks, "N", "ranks that the job will have", 1, OR_PLAN_STAGES, false},
    {"plan", OR_OPTION_TEXT, &common.plan, "P",
     "layers per rank: auto, even, 10,20,25,25 or plan.json (even)", 0, 0, false},
    {"replicas", OR_OPTION_INT, &replicas, "N",
     "pipelines, of ranks / N ranks each; says what other numbers of them would reach (1)", 1, OR_PLAN_STAGES,
     false},
    {"wave-tokens", OR_OPTION_INT, &common.wave_tokens, "N", "rows of a wave at most (1024)", 1, 1 << 24,
     false},
    {"threads", OR_OPTION_INT, &common.threads, "N", "threads per rank; 0: the cores of this machine (0)", 0,
     4096, false},
    {"policy", OR_OPTION_PATHS, &policy_paths, "P",
     "who leaves where: an exit policy, may be given several times", 0, 0, false},
    {"survivors", OR_OPTION_PATH, &survivors, "F",
     "the same: [S(0), ... S(L)], or a trace.csv that the policies are replayed on", 0, 0, false},
    {"length", OR_OPTION_INT, &length, "N", "tokens of a prompt (128)", 1, 1 << 24, false},
    {"batch", OR_OPTION_INT, &batch, "N",
     "plan for so many continuations at a time, of each replica; 0: for prompts (0)", 0, 65536, false},
    {"kernels", OR_OPTION_TEXT, &common.kernels, "NAME",
     "avx512_bf16, avx512, avx2, openblas or reference (the first that is usable)", 0, 0, false},
    {"memory-per-rank", OR_OPTION_BYTES, &common.memory_per_rank, "B",
     "what a rank may take, as in 60G; 0: no limit (0)", 0, 1e18, false},
    {"costs", OR_OPTION_PATH, &costs_path, "F",
     "what work takes on the ranks, as configs/clusters/*.json say (measured here, alike for all)", 0, 0,
     false},
    {"save-costs", OR_OPTION_TEXT, &costs_output, "F", "write down what was measured, for --costs", 0, 0,
     false},
    {"latency", OR_OPTION_REAL, &latency, "S", "seconds of a message between ranks (as the costs say)", 0,
     1e3, false},
    {"bandwidth", OR_OPTION_REAL, &bandwidth, "B",
     "bytes a second between ranks; 0: no limit (as the costs say)", 0, 1e15, false},
    OR_OPTIONS_SIMULATION(simulation),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "plan --model M --ranks N [--plan P] [--replicas N] [--policy P | --survivors F]\n"
             "                    [--memory-per-rank B]",
    .summary =
        "Prints which layers each rank would hold and the memory it would need: weights (mapped), the\n"
        "workspace of a layer and a ramp, and waves. Refuses (exit code 3) what does not fit into\n"
        "--memory-per-rank. A prompt longer than --wave-tokens is a wave by itself: plan with the longest.\n"
        "Reads headers only - but with --plan auto, --replicas, --policy or --survivors times a layer on "
        "this\n"
        "machine, and says how long each stage takes and what the plan reaches; auto is the plan whose "
        "slowest\n"
        "stage is fastest. --replicas weighs copies of the pipeline against longer ones. --simulate sends "
        "requests through a model of the pipeline, and prints rates, latencies, "
        "and\n"
        "what each stage did; costs, links and ranks may be those of a machine that is not there.",
    .example =
        "offramp plan --model llama-2-70b --ranks 8 --plan auto --policy svm.json --memory-per-rank 28G",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    OR_TRY(or_options_need(options, "ranks"));
    if (replicas > 0 && ranks % replicas != 0)
        return or_fail(OR_ERR_USAGE, "replicas do not fit", NULL,
                       "--replicas is %lld, expected a divisor of --ranks %lld", (long long)replicas,
                       (long long)ranks);
    if (replicas > 1 && simulation.wanted)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "found --replicas and --simulate, expected the ranks of one replica to simulate");
    return OR_OK;
}

/* Layers counted from 1, both ends included; weights are mapped files, the rest is allocated. A stage's load is its
 * time over the slowest one's. */
static void print_stage(const or_plan *plan, int stage, const or_stage_memory *m, const or_forecast *forecast)
{
    char layers[32], weights[OR_BYTES_TEXT], workspace[OR_BYTES_TEXT], waves[OR_BYTES_TEXT],
        total[OR_BYTES_TEXT];
    snprintf(layers, sizeof layers, "%d..%d", plan->bound[stage] + 1, plan->bound[stage + 1]);
    printf("%5d  %-10s  %10s  %10s  %10s  %10s", stage, layers, or_bytes_text(m->weights, weights),
           or_bytes_text(m->workspace, workspace), or_bytes_text(m->waves, waves),
           or_bytes_text(m->total, total));
    if (forecast)
        printf("  %7.4g  %3.0f %%", forecast->stage[stage], 100 * forecast->stage[stage] / forecast->slowest);
    printf("\n");
}

/* Says which stage takes too much, and what would help. `enough` is the number of ranks whose even split
 * fits, 0 when none does (or_plan_ranks_within). */
static or_status refuse(const or_plan *plan, int stage, const or_stage_memory *m, int enough)
{
    char where[64],
        help[96] = "not even one layer per rank fits, use smaller --wave-tokens or a smaller weight type";
    char needs[OR_BYTES_TEXT], may[OR_BYTES_TEXT];
    snprintf(where, sizeof where, "rank %d, layers %d..%d", stage, plan->bound[stage] + 1,
             plan->bound[stage + 1]);
    if (enough > plan->n_stages)
        snprintf(help, sizeof help, "an even plan fits on %d ranks", enough);
    else if (enough > 0)
        snprintf(help, sizeof help, "the even plan fits");
    return or_fail(OR_ERR_INPUT, "model does not fit", where, "it needs %s and --memory-per-rank is %s; %s",
                   or_bytes_text(m->total, needs), or_bytes_text((uint64_t)common.memory_per_rank, may),
                   help);
}

/* What is planned: headers, and with times what the ranks' work costs. */
typedef struct planning {
    const or_hparams *h;
    or_shares shares;
    or_plan_sizes sizes;
    or_workload work;
    or_expected expected; /* who is expected to leave */
    or_rank_cost *costs;  /* [ranks]; NULL: no times are asked for */
    int replicas;
    or_layout layout; /* the forecast only with costs */
} planning;

/* An or_layout_say. */
static void print_line(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
}

/* The most bytes that a rank takes. */
static size_t most_of(const planning *p, const or_plan *plan)
{
    size_t most = 0;
    for (int s = 0; s < plan->n_stages; s++) {
        const size_t total =
            or_plan_memory(plan, s, p->h, &p->shares, p->sizes.wave_tokens, p->sizes.threads).total;
        if (total > most) most = total;
    }
    return most;
}

/* Every number of replicas that these ranks can form, each with its best plan: copies need more memory, and longer
 * pipelines lose what does not divide into whole layers and time on the way. */
static or_status print_replicas(const planning *p)
{
    enum { WIDTH = 28 };
    const double tokens = p->work.sequences ? 1 : (double)p->work.length; /* of a request */
    printf("\nreplicas  layers of a replica              tokens/s   s/wave through      a rank at most\n");
    for (int n = 1; n <= ranks; n++) {
        or_layout layout;
        char *layers = NULL, bytes[OR_BYTES_TEXT];
        if (ranks % n != 0 || ranks / n > p->h->n_layers) continue;
        const or_status status = or_plan_auto((int)ranks, n, p->costs, &p->work, &p->sizes, &layout);
        if (status == OR_ERR_INPUT) printf("%8d  does not fit\n", n);
        if (status == OR_ERR_INPUT) continue;
        OR_TRY(status);
        OR_TRY(or_plan_format(&layout.plan, &layers));
        if (strlen(layers) > WIDTH) strcpy(layers + WIDTH - 2, "..");
        printf("%8d  %-28s  %12.4g  %15.4g  %18s\n", n, layers, layout.forecast.requests_per_second * tokens,
               layout.forecast.through, or_bytes_text(most_of(p, &layout.plan), bytes));
        free(layers);
    }
    return OR_OK;
}

/* Prints every stage, also when one does not fit: the table shows which to shorten. The stage that needs
 * most is the one that is refused. */
static or_status print_plan(const planning *p)
{
    const size_t limit = (size_t)common.memory_per_rank;
    const or_plan_sizes *z = &p->sizes;
    const or_plan *plan = &p->layout.plan;
    int worst = 0;
    size_t most = 0;
    printf("stage  layers         weights   workspace       waves       total%s\n",
           p->costs ? "   s/wave   load" : "");
    for (int s = 0; s < plan->n_stages; s++) {
        const or_stage_memory m = or_plan_memory(plan, s, p->h, &p->shares, z->wave_tokens, z->threads);
        print_stage(plan, s, &m, p->costs ? &p->layout.forecast : NULL);
        if (m.total > most) {
            most = m.total;
            worst = s;
        }
    }
    if (p->costs) OR_TRY(or_layout_advise(&p->layout, p->costs, &p->work, z, print_line));
    if (replicas > 0) OR_TRY(print_replicas(p));
    if (limit == 0 || most <= limit) return OR_OK;
    const or_stage_memory m = or_plan_memory(plan, worst, p->h, &p->shares, z->wave_tokens, z->threads);
    return refuse(plan, worst, &m,
                  or_plan_ranks_within(limit, plan->n_stages, p->h, &p->shares, z->wave_tokens, z->threads));
}

static or_status read_costs(planning *p)
{
    or_costs costs;
    or_status status = or_costs_read(costs_path, (int)ranks, &costs);
    p->costs = costs.ranks;
    costs.ranks = NULL;
    or_costs_free(&costs);
    return status;
}

/* The same for all ranks. */
static or_status measure_costs(planning *p)
{
    const or_load load =
        or_load_of(&p->work, (int)ranks / p->replicas, p->replicas, p->sizes.wave_tokens, p->h);
    const int stages = (int)ranks / p->replicas, longest = (p->h->n_layers + stages - 1) / stages;
    or_rank_cost own;
    OR_TRY(OR_NEW(p->costs, (size_t)ranks));
    OR_TRY(or_measure_rank(common.model, common.drop_layers, &p->shares, 0, longest,
                           p->work.sequences ? 1 : p->work.length, (size_t)load.rows, &own));
    for (int64_t r = 0; r < ranks; r++) p->costs[r] = own;
    return OR_OK;
}

static or_status save_costs(const planning *p)
{
    or_costs costs = {.n_ranks = (int)ranks, .ranks = p->costs};
    OR_TRY(or_format(&costs.measured_on, "%s, %d threads, %s", common.model, or_threads(),
                     p->work.sequences ? "single rows" : "prompts"));
    or_status status = or_costs_write(costs_output, &costs);
    free(costs.measured_on);
    return status;
}

/* What the ranks' work costs, where it is asked for: as the file says, or as measured here. */
static or_status find_costs(planning *p)
{
    const bool exits = survivors || policy_paths.count > 0;
    const bool times = or_plan_is_auto(common.plan) || exits || costs_path || costs_output ||
                       simulation.wanted || replicas > 0;
    if (!times) return OR_OK;
    OR_TRY(costs_path ? read_costs(p) : measure_costs(p));
    for (int64_t r = 0; r < ranks; r++) {
        or_rank_cost *rank = &p->costs[r];
        if (common.memory_per_rank > 0) rank->memory = (uint64_t)common.memory_per_rank;
        if (latency >= 0) rank->latency = latency;
        if (bandwidth >= 0) rank->bandwidth = bandwidth;
    }
    return costs_output ? save_costs(p) : OR_OK;
}

static or_status make_plan(planning *p)
{
    or_layout *layout = &p->layout;
    if (or_plan_is_auto(common.plan))
        return or_plan_auto((int)ranks, p->replicas, p->costs, &p->work, &p->sizes, layout);
    layout->replicas = p->replicas;
    OR_TRY(or_plan_parse(common.plan ? common.plan : "even", p->h->n_layers, (int)ranks / p->replicas,
                         &layout->plan));
    if (p->costs) or_layout_forecast(layout, p->costs, &p->work, &p->sizes);
    return OR_OK;
}

static or_status simulate(const planning *p)
{
    const or_planned planned = {
        .hparams = p->h,
        .plan = &p->layout.plan,
        .costs = p->costs,
        .work = &p->work,
        .wave_tokens = p->sizes.wave_tokens,
        .survivors = survivors,
        .policies = &policy_paths,
    };
    return or_plan_simulate(&simulation, &planned);
}

/* Reads headers, and with times a layer. */
static or_status plan_model(const or_checkpoint *checkpoint)
{
    planning p = {.h = or_checkpoint_hparams(checkpoint), .replicas = replicas ? (int)replicas : 1};
    const size_t wave = (size_t)common.wave_tokens;
    or_status status = OR_OK;
    if (wave > or_plan_wave_rows(p.h))
        return or_fail(OR_ERR_USAGE, "waves too large", NULL,
                       "--wave-tokens is %zu, expected up to %zu for this model", wave,
                       or_plan_wave_rows(p.h));
    OR_TRY_GOTO(done, or_checkpoint_shares(checkpoint, &p.shares));
    OR_TRY_GOTO(done, or_expected_read(&policy_paths, survivors, false, p.h->n_layers, &p.expected));
    p.sizes = (or_plan_sizes){p.h, &p.shares, wave, or_threads()};
    p.work = (or_workload){.length = (size_t)(length < p.h->n_context ? length : p.h->n_context),
                           .sequences = (size_t)batch,
                           .survivors = p.expected.survivors,
                           .ramp = p.expected.ramp,
                           .given = p.expected.survivors && !p.expected.ramp};
    OR_TRY_GOTO(done, find_costs(&p));
    OR_TRY_GOTO(done, make_plan(&p));
    OR_TRY_GOTO(done, print_plan(&p));
    if (simulation.wanted) status = simulate(&p);
done:
    free(p.costs);
    or_expected_free(&p.expected);
    or_shares_free(&p.shares);
    return status;
}

/* Local. Memory depends on the threads, whose scratch is part of the workspace: they are set first. */
static or_status run_plan(or_session *session)
{
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_common_apply(&common, session));
    OR_TRY(or_model_check(
        common.model,
        common.drop_layers)); /* a plan for a model that no job could open would promise too much */
    OR_TRY(or_checkpoint_open_without(common.model, common.drop_layers, &checkpoint));
    or_status status = plan_model(checkpoint);
    or_checkpoint_close(checkpoint);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_plan = {
    "plan", "which layers each rank would hold, and the memory it needs", false, parse, run_plan, release,
};
