/* bench_passes.c - the runs of bench.
 *
 * All ranks go through the same passes: a pass is a pipeline that is opened, tests that are run on it, and
 * closing. Runs with and without exits alternate, so that both see the same machine; where they have different
 * plans, each run is a pass, since the other ranks serve one pipeline at a time.
 */
#include "bench_passes.h"

#include "log.h"
#include "memory.h"
#include "threads.h"
#include "transport.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FULL, EXITS, SIDES };

/* What the repeats of a test gave, without or with exits. */
typedef struct samples {
    double *rates; /* [repeats] */
    double macs, seconds, busy, ramp;
    double predicted;    /* tokens per second; 0 without the plan "auto" */
    or_run_stats *stats; /* of these repeats together */
    char *plan;          /* these two: or_bench_row's */
    or_buffer peaks;
} samples;

/* The tests that are being run. Samples are those of one test, of rank 0. */
typedef struct bench {
    const or_bench_job *job;
    or_bench_output *output;
    int sides;           /* 2 with exits */
    or_rank_cost *costs; /* [ranks] measured for the test that is being run; NULL: not yet */
    samples of[SIDES];
    double *ratios; /* [repeats] */
} bench;

/* A part of the work for which a pipeline is opened: tests, of them some repeats and sides. */
typedef struct pass {
    bench *b;
    or_pipeline *pipeline;
    size_t first_test, last_test;
    int64_t first_repeat, last_repeat;
    int first_side, last_side;
} pass;

static void tell_stages(const char *test, const or_run_stats *stats)
{
    const int replicas = stats->stage[stats->n_stages - 1].replica + 1, stages = stats->n_stages / replicas;
    for (int s = 0; s < stats->n_stages; s++) {
        const or_stage_stats *stage = &stats->stage[s];
        char peak[OR_BYTES_TEXT], replica[32] = "";
        if (replicas > 1) snprintf(replica, sizeof replica, "replica %d, ", stage->replica);
        or_log_detail(
            "%s, %sstage %d, layers %d..%d: busy %.3f s (ramps %.3f s), idle %.3f s, wait %.3f s of "
            "%.3f s; %.4g multiply-adds, %llu waves; peak %s",
            test, replica, s % stages, stage->first + 1, stage->last, stage->busy, stage->ramp, stage->idle,
            stage->wait, stats->seconds, stage->macs, (unsigned long long)stage->waves_run,
            or_bytes_text(stage->peak, peak));
    }
}

/* Of each rank's process, "2147483648,2040109465". */
static or_status write_peaks(const or_run_stats *stats, or_buffer *out)
{
    out->size = 0;
    for (int s = 0; s < stats->n_stages; s++)
        OR_TRY(or_buffer_printf(out, "%s%llu", s ? "," : "", (unsigned long long)stats->stage[s].peak));
    return OR_OK;
}

static or_status keep_sample(samples *of, int64_t repeat, const or_bench_sample *sample)
{
    of->rates[repeat] = sample->tokens_per_second;
    of->macs += sample->macs;
    of->seconds += sample->stats.seconds;
    of->busy += sample->busy;
    of->ramp += sample->ramp;
    OR_TRY(or_run_stats_add(of->stats, &sample->stats));
    return write_peaks(&sample->stats, &of->peaks);
}

/* `repeat` below 0 is the run that is not counted. */
static or_status run_once(pass *p, const or_bench_test *test, int side, int64_t repeat)
{
    bench *b = p->b;
    const or_bench_job *job = b->job;
    const or_bench_exits exits = {.curve = side == EXITS ? &job->curve : NULL,
                                  .kv = job->kv,
                                  .policy = job->probe ? 0 : -1,
                                  .seed = job->seed};
    or_bench_sample sample;
    char name[OR_BENCH_NAME];
    or_status status = or_bench_run(p->pipeline, test, &exits, &sample);
    if (status == OR_OK && repeat >= 0) {
        status = keep_sample(&b->of[side], repeat, &sample);
        tell_stages(or_bench_name(test, name), &sample.stats);
    }
    or_run_stats_free(&sample.stats);
    return status;
}

/* "tg32 b8, 2 threads, exits propagate", and its table. */
static or_status keep_stages(bench *b, const or_bench_row *row, const or_run_stats *stats)
{
    or_buffer *out = &b->output->stages;
    OR_TRY(or_buffer_printf(out, "\n%s, %d thread%s%s%s\n", row->test, row->threads,
                            row->threads == 1 ? "" : "s", row->kv ? ", exits " : "", row->kv ? row->kv : ""));
    return or_put_stages(b->job->session, stats, out);
}

static or_status print_row(bench *b, const or_bench_test *test, int side)
{
    char name[OR_BENCH_NAME];
    const or_bench_job *job = b->job;
    const samples *of = &b->of[side];
    const size_t repeats = (size_t)job->repeats;
    or_bench_figure ratio;
    or_bench_row row = {
        .model = &job->model,
        .ranks = or_transport_size(job->session->transport),
        .replicas = job->common->replicas ? (int)job->common->replicas : 1,
        .threads = or_threads(),
        .plan = of->plan,
        .peaks = of->peaks.data,
        .test = or_bench_name(test, name),
        .kv = side == EXITS ? or_kv_policy_name(job->kv) : NULL,
    };
    OR_TRY(or_bench_figure_of(of->rates, repeats, &row.rate));
    if (test->tokens == 0) row.prompts = row.rate.mean / (double)test->prompt;
    row.gflops = 2e-9 * of->macs / of->seconds;
    row.ramps = of->ramp / of->busy;
    row.predicted = of->predicted;
    if (side == EXITS) {
        for (size_t i = 0; i < repeats; i++) b->ratios[i] = of->rates[i] / b->of[FULL].rates[i];
        OR_TRY(or_bench_figure_of(b->ratios, repeats, &ratio));
        row.work_saved = 1 - of->macs / b->of[FULL].macs;
        row.ratio = ratio.median;
    }
    OR_TRY(job->format->row(&row, !b->output->printed, &job->columns));
    b->output->printed = true;
    fflush(stdout);
    return job->common->quiet ? OR_OK : keep_stages(b, &row, of->stats);
}

/* Rank 0. A test's figures are complete with the last repeat of its last side. */
static or_status run_test(pass *p, const or_bench_test *test)
{
    bench *b = p->b;
    for (int side = p->first_side; side < p->last_side; side++) {
        samples *of = &b->of[side];
        if (p->first_repeat == 0) {
            of->macs = of->seconds = of->busy = of->ramp = 0;
            or_run_stats_free(of->stats);
            *of->stats = (or_run_stats){0};
        }
        free(of->plan);
        of->plan = NULL;
        OR_TRY(or_plan_format(or_pipeline_plan(p->pipeline), &of->plan));
        if (p->first_repeat == 0) OR_TRY(run_once(p, test, side, -1));
    }
    for (int64_t repeat = p->first_repeat; repeat < p->last_repeat; repeat++)
        for (int side = p->first_side; side < p->last_side; side++) OR_TRY(run_once(p, test, side, repeat));
    if (p->last_repeat < b->job->repeats || p->last_side < b->sides) return OR_OK;
    for (int side = 0; side < b->sides; side++) OR_TRY(print_row(b, test, side));
    return OR_OK;
}

/* Rank 0, before anything is printed. */
static or_status check_sizes(const pass *p)
{
    const size_t longest = or_pipeline_longest(p->pipeline), room = or_pipeline_room(p->pipeline),
                 context = (size_t)or_pipeline_hparams(p->pipeline)->n_context,
                 most = room < context ? room : context;
    char name[OR_BENCH_NAME];
    for (size_t i = p->first_test; i < p->last_test; i++) {
        const or_bench_test *test = &p->b->job->tests[i];
        const bool continues = test->tokens > 0; /* one token */
        const size_t asked = continues ? 1 + test->tokens : test->prompt, limit = continues ? most : longest;
        if (asked > limit)
            return or_fail(OR_ERR_INPUT, "test too long", or_bench_name(test, name),
                           "it has sequences of %zu tokens, the model's context and the memory allow %zu",
                           asked, limit);
    }
    return OR_OK;
}

/* Rank 0, while the others serve. */
static or_status drive(void *context)
{
    pass *p = context;
    const or_bench_job *job = p->b->job;
    if (!p->b->output->begun) job->format->begin(&job->columns);
    p->b->output->begun = true;
    for (size_t i = p->first_test; i < p->last_test; i++) OR_TRY(run_test(p, &job->tests[i]));
    return OR_OK;
}

/* What the pass asks of the pipeline: that of its first test. */
static or_workload workload_of(const pass *p)
{
    const or_bench_test *test = &p->b->job->tests[p->first_test];
    const bool exits = p->first_side == EXITS;
    return (or_workload){
        .length = test->tokens ? 1 : test->prompt,
        .requests = test->batch,
        .sequences = test->tokens ? test->batch : 0,
        .survivors = exits ? p->b->job->curve.share : NULL, /* rank 0's */
        .given = exits,
    };
}

/* Rank 0, for a pass of one test. Prompts go by as full waves; of continuations every wave is a token further. */
static void predict(pass *p)
{
    const or_bench_test *test = &p->b->job->tests[p->first_test];
    const or_workload work = workload_of(p);
    or_forecast forecast;
    samples *of = &p->b->of[p->first_side];
    of->predicted = 0;
    if (!or_pipeline_forecast(p->pipeline, &work, &forecast)) return;
    const double riders = forecast.requests_per_second * forecast.every,
                 groups = fmax(1, (double)test->batch / riders),
                 waves = test->tokens ? groups * (double)test->tokens : groups,
                 counted = (double)(test->batch * (test->tokens ? test->tokens : test->prompt));
    of->predicted = counted / or_forecast_seconds(&forecast, waves);
}

/* Costs are measured once for a test, so that its plans are made of the same numbers. */
static or_status keep_costs(bench *b, const or_pipeline *pipeline)
{
    const size_t n = (size_t)or_transport_size(b->job->session->transport);
    const or_rank_cost *costs = or_pipeline_costs(pipeline);
    if (!costs || b->costs) return OR_OK;
    OR_TRY(OR_NEW(b->costs, n));
    memcpy(b->costs, costs, n * sizeof *costs);
    return OR_OK;
}

/* Collective. */
static or_status run_pass(pass *p)
{
    bench *b = p->b;
    or_session *session = b->job->session;
    or_common own = *b->job->common;
    or_policy *probe = b->job->probe;
    if (b->job->exit_plan && p->first_side == EXITS) own.plan = b->job->exit_plan;
    own.allow_other_model = true; /* nobody leaves by it */
    own.workload = workload_of(p);
    own.costs = b->costs;
    own.quiet_plan = p->first_repeat > 0; /* it was said when the first was opened */
    OR_TRY(or_common_open(&own, session, probe && or_policy_wants_cosines(probe), &probe, probe ? 1 : 0,
                          &p->pipeline));
    or_status status = session->rank == 0 ? check_sizes(p) : OR_OK;
    if (status == OR_OK) status = keep_costs(b, p->pipeline);
    status = or_transport_agree(session->transport, status);
    if (status == OR_OK && session->rank == 0) predict(p);
    if (status == OR_OK) status = or_session_drive(session, p->pipeline, drive, p);
    or_pipeline_close(p->pipeline);
    return status;
}

/* One test. Where the sides have plans of their own every run is a pass. Collective. */
static or_status run_test_passes(bench *b, size_t test)
{
    const int64_t repeats = b->job->repeats;
    pass both = {b, NULL, test, test + 1, 0, repeats, 0, b->sides};
    free(b->costs);
    b->costs = NULL;
    if (!b->job->exit_plan) return run_pass(&both);
    for (int64_t repeat = 0; repeat < repeats; repeat++)
        for (int side = 0; side < b->sides; side++) {
            pass one = {b, NULL, test, test + 1, repeat, repeat + 1, side, side + 1};
            OR_TRY(run_pass(&one));
        }
    return OR_OK;
}

/* Rank 0. */
static or_status prepare(bench *b)
{
    const size_t repeats = (size_t)b->job->repeats;
    for (int side = 0; side < b->sides; side++) {
        OR_TRY(OR_NEW(b->of[side].rates, repeats));
        OR_TRY(OR_NEW(b->of[side].stats, 1));
    }
    return OR_NEW(b->ratios, repeats);
}

static void free_bench(bench *b)
{
    free(b->costs);
    free(b->ratios);
    for (int side = 0; side < SIDES; side++) {
        free(b->of[side].rates);
        if (b->of[side].stats) or_run_stats_free(b->of[side].stats);
        free(b->of[side].stats);
        free(b->of[side].plan);
        or_buffer_free(&b->of[side].peaks);
    }
}

/* On one pipeline if its plan suits all tests. */
static or_status run_passes(bench *b)
{
    const or_bench_job *job = b->job;
    pass all = {b, NULL, 0, job->n_tests, 0, job->repeats, 0, b->sides};
    if (!job->exit_plan && !or_plan_is_auto(job->common->plan)) return run_pass(&all);
    for (size_t i = 0; i < job->n_tests; i++) OR_TRY(run_test_passes(b, i));
    return OR_OK;
}

or_status or_bench_passes(const or_bench_job *job, or_bench_output *output)
{
    bench b = {.job = job, .output = output, .sides = job->exits ? SIDES : 1};
    or_status status = job->session->rank == 0 ? prepare(&b) : OR_OK;
    status = or_transport_agree(job->session->transport, status);
    if (status == OR_OK) status = run_passes(&b);
    free_bench(&b);
    return status;
}
