/* cmd_plan.c - offramp plan: how the layers are split over ranks, and what each rank needs in memory. Reads headers
 * only.
 *
 *   stage  layers         weights   workspace       waves       total
 *       0  1..8             5 MiB    7.04 MiB       3 MiB      15 MiB
 *       1  9..16            4 MiB    7.04 MiB       3 MiB      14 MiB
 */
#include "cli.h"

#include "threads.h"

#include <stdio.h>

static or_common common = {.wave_tokens = 1024};
static int64_t ranks; /* of the job that is planned; this process is alone */

static or_option options[] = {
    OR_OPTION_MODEL(common),
    {"ranks", OR_OPTION_INT, &ranks, "N", "ranks that the job will have", 1, OR_PLAN_STAGES, false},
    {"plan", OR_OPTION_TEXT, &common.plan, "P", "layers per rank: even, 10,20,25,25 or plan.json (even)", 0,
     0, false},
    {"wave-tokens", OR_OPTION_INT, &common.wave_tokens, "N", "rows of a wave at most (1024)", 1, 1 << 24,
     false},
    {"threads", OR_OPTION_INT, &common.threads, "N", "threads per rank; 0: the cores of this machine (0)", 0,
     4096, false},
    {"memory-per-rank", OR_OPTION_BYTES, &common.memory_per_rank, "B",
     "what a rank may take, as in 60G; 0: no limit (0)", 0, 1e18, false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "plan --model M --ranks N [--plan P] [--memory-per-rank B]",
    .summary =
        "Prints which layers each rank would hold and the memory it would need: weights (mapped), the\n"
        "workspace of a layer and a ramp, and waves. Refuses (exit code 3) what does not fit into\n"
        "--memory-per-rank. A prompt longer than --wave-tokens is a wave by itself: plan with the longest.\n"
        "Reads headers only.",
    .example = "offramp plan --model llama-2-70b --ranks 8 --memory-per-rank 28G",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    return or_options_need(options, "ranks");
}

/* Layers counted from 1, both ends included; weights are mapped files, the rest is allocated. */
static void print_stage(const or_plan *plan, int stage, const or_stage_memory *m)
{
    char layers[32], weights[OR_BYTES_TEXT], workspace[OR_BYTES_TEXT], waves[OR_BYTES_TEXT],
        total[OR_BYTES_TEXT];
    snprintf(layers, sizeof layers, "%d..%d", plan->bound[stage] + 1, plan->bound[stage + 1]);
    printf("%5d  %-10s  %10s  %10s  %10s  %10s\n", stage, layers, or_bytes_text(m->weights, weights),
           or_bytes_text(m->workspace, workspace), or_bytes_text(m->waves, waves),
           or_bytes_text(m->total, total));
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

/* Prints every stage, also when one does not fit: the table shows which to shorten. The stage that needs
 * most is the one that is refused. */
static or_status print_plan(const or_plan *plan, const or_hparams *h, const or_shares *shares)
{
    const size_t limit = (size_t)common.memory_per_rank, wave = (size_t)common.wave_tokens;
    int worst = 0;
    size_t most = 0;
    printf("stage  layers         weights   workspace       waves       total\n");
    for (int s = 0; s < plan->n_stages; s++) {
        const or_stage_memory m = or_plan_memory(plan, s, h, shares, wave, or_threads());
        print_stage(plan, s, &m);
        if (m.total > most) {
            most = m.total;
            worst = s;
        }
    }
    if (limit == 0 || most <= limit) return OR_OK;
    const or_stage_memory m = or_plan_memory(plan, worst, h, shares, wave, or_threads());
    return refuse(plan, worst, &m,
                  or_plan_ranks_within(limit, plan->n_stages, h, shares, wave, or_threads()));
}

/* Local. Memory depends on the threads, whose scratch is part of the workspace: they are set first. */
static or_status run_plan(or_session *session)
{
    (void)session;
    or_checkpoint *checkpoint = NULL;
    or_shares shares = {0};
    or_plan plan;
    or_threads_set((int)common.threads);
    OR_TRY(
        or_model_check(common.model)); /* a plan for a model that no job could open would promise too much */
    OR_TRY(or_checkpoint_open(common.model, &checkpoint));
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    or_status status = or_plan_parse(common.plan ? common.plan : "even", h->n_layers, (int)ranks, &plan);
    if (status == OR_OK && (size_t)common.wave_tokens > or_plan_wave_rows(h))
        status = or_fail(OR_ERR_USAGE, "waves too large", NULL,
                         "--wave-tokens is %lld, expected up to %zu for this model",
                         (long long)common.wave_tokens, or_plan_wave_rows(h));
    if (status == OR_OK) status = or_checkpoint_shares(checkpoint, &shares);
    if (status == OR_OK) status = print_plan(&plan, h, &shares);
    or_shares_free(&shares);
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
