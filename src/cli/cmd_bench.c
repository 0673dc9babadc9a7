/* cmd_bench.c - offramp bench: tokens per second of a model, or of a shape, by test, batch and threads.
 *
 *   | model | size | params | ranks | threads | test | t/s |
 *   |---|---:|---:|---:|---:|---|---:|
 *   | tinyllama-1.1b.json bf16 | 2.05 GiB | 1.10 B | 2 | 1 | pp512 | 61.30 ± 0.12 |
 *
 * All ranks go through the same passes: a pass is a pipeline that is opened, tests that are run on it, and
 * closing. There is one for each number of threads. Runs with and without exits alternate, so that both see
 * the same machine; where they have different plans, each run is a pass, since the other ranks serve one
 * pipeline at a time.
 */
#include "bench_rows.h"
#include "cli.h"

#include "log.h"
#include "threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static or_common common = {.wave_tokens = 1024, .no_prefix_cache = true}; /* random prompts share nothing */
static or_list prompts, tokens, batches, threads, ramps;
static int64_t repeats = 5, layers, seed = 1;
static char *output, *shape, *dtype, *survivors, *policy_path, *kv_name, *exit_plan;
static bool share_layers;

/* What the texts above mean, after parse(). */
static const or_bench_format *format;
static int kv = OR_KV_PROPAGATE;
static or_bench_test *tests;
static size_t n_tests, *thread_counts, n_threads;
static int *ramp_layers; /* [n_ramps] */
static size_t n_ramps;
static or_bench_columns columns;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    {"shape", OR_OPTION_PATH, &shape, "FILE",
     "instead: a model made up in memory, as configs/models/*.json say", 0, 0, false},
    {"dtype", OR_OPTION_TEXT, &dtype, "T",
     "its weight type: f32, f16, bf16, q8_0, q4_0, q4_k ... (the file's)", 0, 0, false},
    {"layers", OR_OPTION_INT, &layers, "N", "its layers (the file's)", 1, 1000, false},
    {"share-layers", OR_OPTION_FLAG, &share_layers, "", "a rank keeps one layer's weights for all its layers",
     0, 0, false},
    {"p", OR_OPTION_LIST, &prompts, "N,N...",
     "prompts of so many tokens are scored, one answer each (512; with -n or --survivors none)", 0, 0, false},
    {"n", OR_OPTION_LIST, &tokens, "N,N...", "sequences of so many tokens are generated (128; with -p none)",
     0, 0, false},
    {"b", OR_OPTION_LIST, &batches, "N,N...", "so many prompts a run, or sequences at a time (1)", 0, 0,
     false},
    {"t", OR_OPTION_LIST, &threads, "N,N...", "threads per rank; 0: the cores it may run on (0)", 0, 0,
     false},
    {"r", OR_OPTION_INT, &repeats, "N", "runs of each test, after one that is not counted (5)", 1, 1000,
     false},
    {"o", OR_OPTION_TEXT, &output, "FORMAT", "md, csv, json or jsonl (md)", 0, 0, false},
    {"survivors", OR_OPTION_PATH, &survivors, "F",
     "each test without and with exits by this curve: [S(0), ... S(L)], or a trace.csv", 0, 0, false},
    {"ramps", OR_OPTION_LIST, &ramps, "N,N...",
     "all are checked after these layers, and none leaves: what ramps cost (none; those of --policy)", 0, 0,
     false},
    {"policy", OR_OPTION_PATH, &policy_path, "P",
     "its classifier checks at ramps (the gap); with --survivors: the trace's exits are its (an oracle's)", 0,
     0, false},
    {"kv", OR_OPTION_TEXT, &kv_name, "HOW",
     "layers skipped: deferred, propagate or verify (propagate: saves what the curve says; the others make "
     "up for it)",
     0, 0, false},
    {"plan", OR_OPTION_TEXT, &common.plan, "P",
     "layers per rank: auto, even, 10,20,25,25 or plan.json (even)", 0, 0, false},
    {"exit-plan", OR_OPTION_TEXT, &exit_plan, "P",
     "the same for runs with exits; opens the model anew for each (--plan)", 0, 0, false},
    OR_OPTION_REPLICAS(common),
    {"seed", OR_OPTION_INT, &seed, "N", "which prompts and exits are drawn (1)", 0, 9e15, false},
    {"wave-tokens", OR_OPTION_INT, &common.wave_tokens, "N", "rows of a wave at most (1024)", 1, 1 << 24,
     false},
    {"kv-memory", OR_OPTION_BYTES, &common.kv_memory, "B",
     "keys and values of a rank at most; 0: what fits (0)", 0, 1e18, false},
    OR_OPTION_MEMORY(common),
    OR_OPTION_TIMELINE(common),
    {"kernels", OR_OPTION_TEXT, &common.kernels, "NAME",
     "avx512_bf16, avx512, avx2, openblas or reference (the first that is usable)", 0, 0, false},
    {"quiet", OR_OPTION_FLAG, &common.quiet, "", "errors and rows only", 0, 0, false},
    {"verbose", OR_OPTION_FLAG, &common.verbose, "", "say how each stage spent its time and memory", 0, 0,
     false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "bench --model M | --shape FILE [-p N,N...] [-n N,N...] [-b N,N...] [-t N,N...] [options]",
    .summary =
        "Measures tokens per second: pp512 scores prompts of 512 random tokens at full depth, tg128 "
        "generates 128\n"
        "tokens behind one, b8 is a batch of eight. With --survivors, tokens leave after layers that are "
        "drawn\n"
        "by a curve, in runs that alternate with runs without; beside their rate stand the work saved, the\n"
        "ratio of the rates (median), and what the work saved would allow. With --ramps or --policy alone, "
        "all\n"
        "are checked at ramps and go on; beside the rate stands the ramps' share of the time.",
    .example = "mpirun -n 2 offramp bench --shape configs/models/tinyllama-1.1b.json -n 32 -b 8,32 -t 1 \\\n"
               "    --survivors configs/survivors/22-saves-30.json",
};

/* ---- the command line --------------------------------------------------------------------------------- */

/* The numbers of a list, or `standard` where it is empty. malloc'ed. */
static or_status read_counts(const or_list *list, const char *name, long standard, long low, long high,
                             size_t **counts, size_t *n)
{
    OR_TRY(OR_NEW(*counts, list->count + 1));
    for (*n = 0; *n < list->count; (*n)++) {
        char *end;
        const char *item = list->items[*n];
        const long count = strtol(item, &end, 10);
        if (end == item || *end != '\0' || count < low || count > high)
            return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                           "-%s is \"%s\", expected whole numbers from %ld to %ld", name, item, low, high);
        (*counts)[*n] = (size_t)count;
    }
    if (*n == 0 && standard >= 0) (*counts)[(*n)++] = (size_t)standard;
    return OR_OK;
}

enum { TOKENS_MAX = 1000000, BATCH_MAX = 65536, THREADS_MAX = 4096, LAYERS_MAX = 4096 };

/* Layers; whether the model has them, or_policy_probe() sees. */
static or_status read_ramps(void)
{
    size_t *layer = NULL;
    or_status status = read_counts(&ramps, "-ramps", -1, 1, LAYERS_MAX, &layer, &n_ramps);
    if (status == OR_OK) status = OR_NEW(ramp_layers, n_ramps + 1);
    for (size_t i = 0; i < n_ramps && status == OR_OK; i++) ramp_layers[i] = (int)layer[i];
    free(layer);
    return status;
}

/* The cross product: each batch's prompts, then its continuations. */
static or_status list_tests(void)
{
    size_t *p = NULL, *n = NULL, *b = NULL, n_p = 0, n_n = 0, n_b = 0;
    const bool all = prompts.count == 0 && tokens.count == 0;
    or_status status;
    OR_TRY_GOTO(done, read_counts(&prompts, "p", all && !survivors ? 512 : -1, 1, TOKENS_MAX, &p, &n_p));
    OR_TRY_GOTO(done, read_counts(&tokens, "n", all ? 128 : -1, 1, TOKENS_MAX, &n, &n_n));
    OR_TRY_GOTO(done, read_counts(&batches, "b", 1, 1, BATCH_MAX, &b, &n_b));
    OR_TRY_GOTO(done, read_counts(&threads, "t", 0, 0, THREADS_MAX, &thread_counts, &n_threads));
    OR_TRY_GOTO(done, OR_NEW(tests, n_b * (n_p + n_n)));
    for (size_t i = 0; i < n_b; i++) {
        for (size_t j = 0; j < n_p; j++) tests[n_tests++] = (or_bench_test){.prompt = p[j], .batch = b[i]};
        for (size_t j = 0; j < n_n; j++) tests[n_tests++] = (or_bench_test){.tokens = n[j], .batch = b[i]};
        if (n_n > 0 && (int64_t)b[i] > common.sequences) common.sequences = (int64_t)b[i];
        columns.prompts |= n_p > 0 && b[i] > 1;
    }
done:
    free(p);
    free(n);
    free(b);
    return status;
}

/* --shape and what belongs to it become the path of a model (src/formats/shape.c). */
static or_status make_model_path(void)
{
    char words[64] = "";
    if (common.model ? shape || dtype || layers || share_layers : !shape)
        return or_fail(
            OR_ERR_USAGE, "wrong option", NULL,
            "expected either --model, or --shape with or without --dtype, --layers and --share-layers");
    if (common.model) return OR_OK;
    if (dtype && or_dtype_find(dtype) == OR_DTYPE_OTHER)
        return or_fail(
            OR_ERR_USAGE, "wrong option", NULL,
            "--dtype is \"%s\", expected f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1 or q2_k .. q6_k",
            dtype);
    if (layers) snprintf(words, sizeof words, ",layers=%lld", (long long)layers);
    return or_format(&common.model, "%s%s%s%s%s", shape, dtype ? ",dtype=" : "", dtype ? dtype : "", words,
                     share_layers ? ",share_layers" : "");
}

static or_status check_exits(void)
{
    if (!survivors && (kv_name || exit_plan))
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "found --kv or --exit-plan, expected --survivors with them");
    if (survivors && ramps.count > 0)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "found --ramps and --survivors, expected one of them");
    if (kv_name) kv = or_kv_policy_find(kv_name);
    if (kv >= 0) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                   "--kv is \"%s\", expected deferred, propagate or verify", kv_name);
}

static bool is_auto(const char *plan)
{
    return plan && strcmp(plan, "auto") == 0;
}

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_bench_format_find(output ? output : "md", &format));
    OR_TRY(make_model_path());
    OR_TRY(check_exits());
    if (survivors && !exit_plan && is_auto(common.plan)) OR_TRY(or_strdup("auto", &exit_plan));
    columns.predicted = is_auto(common.plan) || is_auto(exit_plan);
    columns.exits = survivors;
    columns.ramps = !survivors && (ramps.count > 0 || policy_path);
    OR_TRY(read_ramps());
    return list_tests();
}

/* ---- running ------------------------------------------------------------------------------------------------ */

enum { FULL, EXITS, SIDES };

/* What the repeats of a test gave, without or with exits. */
typedef struct samples {
    double *rates; /* [repeats] */
    double macs, seconds, busy, ramp;
    double predicted;      /* tokens per second; 0 without the plan "auto" */
    or_run_stats *stats;   /* of these repeats together */
    or_buffer plan, peaks; /* or_bench_row's */
} samples;

/* What a run of the command holds. Samples are those of the test that is being run, of rank 0. */
typedef struct bench {
    or_session *session;
    or_bench_model model;
    or_curve curve;
    or_rank_cost *costs; /* [ranks] measured for the test that is being run; NULL: not yet */
    or_policy *probe;    /* of every rank; NULL without --ramps and --policy, or with --survivors */
    int sides;           /* 2 with --survivors */
    samples of[SIDES];
    double *ratios;      /* [repeats] */
    bool begun, printed; /* the head; a row */
    or_buffer stages;    /* the stages of each row, printed behind all rows */
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

/* The layers of each rank of a replica, "11,11". */
static or_status write_plan(const or_plan *plan, or_buffer *out)
{
    out->size = 0;
    for (int s = 0; s < plan->n_stages; s++)
        OR_TRY(or_buffer_printf(out, "%s%d", s ? "," : "", plan->bound[s + 1] - plan->bound[s]));
    return OR_OK;
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
    const or_bench_exits exits = {.curve = side == EXITS ? &b->curve : NULL,
                                  .kv = (or_kv_policy)kv,
                                  .policy = b->probe ? 0 : -1,
                                  .seed = (uint64_t)seed};
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
    OR_TRY(or_buffer_printf(&b->stages, "\n%s, %d thread%s%s%s\n", row->test, row->threads,
                            row->threads == 1 ? "" : "s", row->kv ? ", exits " : "", row->kv ? row->kv : ""));
    return or_put_stages(b->session, stats, &b->stages);
}

static or_status print_row(bench *b, const or_bench_test *test, int side)
{
    char name[OR_BENCH_NAME];
    const samples *of = &b->of[side];
    or_bench_figure ratio;
    or_bench_row row = {
        .model = &b->model,
        .ranks = or_transport_size(b->session->transport),
        .replicas = common.replicas ? (int)common.replicas : 1,
        .threads = or_threads(),
        .plan = of->plan.data,
        .peaks = of->peaks.data,
        .test = or_bench_name(test, name),
        .kv = side == EXITS ? or_kv_policy_name((or_kv_policy)kv) : NULL,
    };
    OR_TRY(or_bench_figure_of(of->rates, (size_t)repeats, &row.rate));
    if (test->tokens == 0) row.prompts = row.rate.mean / (double)test->prompt;
    row.gflops = 2e-9 * of->macs / of->seconds;
    row.ramps = of->ramp / of->busy;
    row.predicted = of->predicted;
    if (side == EXITS) {
        for (int64_t i = 0; i < repeats; i++) b->ratios[i] = of->rates[i] / b->of[FULL].rates[i];
        OR_TRY(or_bench_figure_of(b->ratios, (size_t)repeats, &ratio));
        row.work_saved = 1 - of->macs / b->of[FULL].macs;
        row.ratio = ratio.median;
    }
    OR_TRY(format->row(&row, !b->printed, &columns));
    b->printed = true;
    fflush(stdout);
    return common.quiet ? OR_OK : keep_stages(b, &row, of->stats);
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
        OR_TRY(write_plan(or_pipeline_plan(p->pipeline), &of->plan));
        if (p->first_repeat == 0) OR_TRY(run_once(p, test, side, -1));
    }
    for (int64_t repeat = p->first_repeat; repeat < p->last_repeat; repeat++)
        for (int side = p->first_side; side < p->last_side; side++) OR_TRY(run_once(p, test, side, repeat));
    if (p->last_repeat < repeats || p->last_side < b->sides) return OR_OK;
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
        const or_bench_test *test = &tests[i];
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
    if (!p->b->begun) format->begin(&columns);
    p->b->begun = true;
    for (size_t i = p->first_test; i < p->last_test; i++) OR_TRY(run_test(p, &tests[i]));
    return OR_OK;
}

/* What the pass asks of the pipeline: that of its first test. */
static or_workload workload_of(const pass *p)
{
    const or_bench_test *test = &tests[p->first_test];
    const bool exits = p->first_side == EXITS;
    return (or_workload){
        .length = test->tokens ? 1 : test->prompt,
        .requests = test->batch,
        .sequences = test->tokens ? test->batch : 0,
        .survivors = exits ? p->b->curve.share : NULL, /* rank 0's */
        .given = exits,
    };
}

/* Rank 0, for a pass of one test. Prompts go by as full waves; of continuations every wave is a token further. */
static void predict(pass *p)
{
    const or_bench_test *test = &tests[p->first_test];
    const or_workload work = workload_of(p);
    or_forecast forecast;
    samples *of = &p->b->of[p->first_side];
    of->predicted = 0;
    if (!or_pipeline_forecast(p->pipeline, &work, &forecast)) return;
    const double riders = forecast.requests_per_second * forecast.slowest,
                 groups = fmax(1, (double)test->batch / riders),
                 waves = test->tokens ? groups * (double)test->tokens : groups,
                 counted = (double)(test->batch * (test->tokens ? test->tokens : test->prompt));
    of->predicted = counted / or_forecast_seconds(&forecast, waves);
}

/* Costs are measured once for a test, so that its plans are made of the same numbers. */
static or_status keep_costs(bench *b, const or_pipeline *pipeline)
{
    const size_t n = (size_t)or_pipeline_plan(pipeline)->n_stages;
    const or_rank_cost *costs = or_pipeline_costs(pipeline);
    if (!costs || b->costs) return OR_OK;
    OR_TRY(OR_NEW(b->costs, n));
    memcpy(b->costs, costs, n * sizeof *costs);
    return OR_OK;
}

/* Collective. */
static or_status run_pass(pass *p)
{
    or_common own = common;
    bench *b = p->b;
    if (exit_plan && p->first_side == EXITS) own.plan = exit_plan;
    or_policy *probe = b->probe;
    own.allow_other_model = true; /* nobody leaves by it */
    own.workload = workload_of(p);
    own.costs = b->costs;
    OR_TRY(or_common_open(&own, b->session, probe && or_policy_wants_cosines(probe), &probe, probe ? 1 : 0,
                          &p->pipeline));
    or_session *session = b->session;
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
    pass both = {b, NULL, test, test + 1, 0, repeats, 0, b->sides};
    free(b->costs);
    b->costs = NULL;
    if (!exit_plan) return run_pass(&both);
    for (int64_t repeat = 0; repeat < repeats; repeat++)
        for (int side = 0; side < b->sides; side++) {
            pass one = {b, NULL, test, test + 1, repeat, repeat + 1, side, side + 1};
            OR_TRY(run_pass(&one));
        }
    return OR_OK;
}

/* All tests with the threads that are set: on one pipeline if its plan suits all. Collective. */
static or_status run_passes(bench *b)
{
    pass all = {b, NULL, 0, n_tests, 0, repeats, 0, b->sides};
    if (!exit_plan && !is_auto(common.plan)) return run_pass(&all);
    for (size_t i = 0; i < n_tests; i++) OR_TRY(run_test_passes(b, i));
    return OR_OK;
}

/* ---- what rows say besides ---------------------------------------------------------------------------- */

static or_status describe(const or_checkpoint *checkpoint, or_bench_model *model)
{
    const char *slash = strrchr(common.model, '/');
    uint64_t bytes[OR_DTYPE_OTHER + 1] = {0};
    or_shares shares;
    or_status status = or_checkpoint_shares(checkpoint, &shares);
    *model = (or_bench_model){.name = slash && slash[1] ? slash + 1 : common.model,
                              .one_layer = shares.one_layer,
                              .bytes = shares.total,
                              .parameters = shares.parameters};
    or_shares_free(&shares);
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++) {
        const or_tensor *tensor = or_checkpoint_at(checkpoint, i);
        bytes[tensor->dtype] += tensor->bytes;
        if (bytes[tensor->dtype] > bytes[model->type]) model->type = tensor->dtype;
    }
    return status;
}

static or_status read_curve(int n_layers, or_curve *curve)
{
    or_policy *policy = NULL;
    or_status status = policy_path ? or_policy_load(policy_path, &policy) : OR_OK;
    if (status == OR_OK) status = or_curve_read(survivors, n_layers, policy, curve);
    or_policy_free(policy);
    return status;
}

/* Every rank. */
static or_status make_probe(bench *b)
{
    or_checkpoint *checkpoint = NULL;
    if (!columns.ramps) return OR_OK;
    OR_TRY(or_checkpoint_open(common.model, &checkpoint));
    or_status status = or_policy_probe(policy_path, or_checkpoint_hparams(checkpoint)->n_layers, ramp_layers,
                                       n_ramps, &b->probe);
    or_checkpoint_close(checkpoint);
    return status;
}

/* Rank 0. */
static or_status prepare(bench *b)
{
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_checkpoint_open(common.model, &checkpoint));
    or_status status = describe(checkpoint, &b->model);
    if (status == OR_OK && survivors)
        status = read_curve(or_checkpoint_hparams(checkpoint)->n_layers, &b->curve);
    or_checkpoint_close(checkpoint);
    OR_TRY(status);
    for (int side = 0; side < b->sides; side++) {
        OR_TRY(OR_NEW(b->of[side].rates, (size_t)repeats));
        OR_TRY(OR_NEW(b->of[side].stats, 1));
    }
    return OR_NEW(b->ratios, (size_t)repeats);
}

static void free_bench(bench *b)
{
    or_curve_free(&b->curve);
    free(b->costs);
    free(b->ratios);
    for (int side = 0; side < SIDES; side++) {
        free(b->of[side].rates);
        if (b->of[side].stats) or_run_stats_free(b->of[side].stats);
        free(b->of[side].stats);
        or_buffer_free(&b->of[side].plan);
        or_buffer_free(&b->of[side].peaks);
    }
    or_buffer_free(&b->stages);
    or_policy_free(b->probe);
}

/* Collective: every rank goes through the same passes, and rank 0 prints. */
static or_status run_bench(or_session *session)
{
    bench b = {.session = session, .sides = survivors ? SIDES : 1};
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK) status = make_probe(&b);
    if (status == OR_OK && session->rank == 0) status = prepare(&b);
    status = or_transport_agree(session->transport, status);
    for (size_t i = 0; i < n_threads && status == OR_OK; i++) {
        or_threads_set((int)thread_counts[i]);
        status = run_passes(&b);
    }
    if (status == OR_OK && session->rank == 0) {
        format->end();
        fflush(stdout);
        if (b.stages.size > 0) fputs(b.stages.data, stderr);
    }
    free_bench(&b);
    return status;
}

static void release(void)
{
    free(tests);
    free(thread_counts);
    free(ramp_layers);
    or_options_free(options);
}

const or_command or_command_bench = {
    "bench",   "tokens per second, of prompts and continuations, with and without exits",
    true,      parse,
    run_bench, release,
};
