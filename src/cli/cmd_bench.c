/* cmd_bench.c - offramp bench: tokens per second of a model, or of a shape, by test, batch and threads.
 *
 *   | model | size | params | ranks | threads | test | t/s |
 *   |---|---:|---:|---:|---:|---|---:|
 *   | tinyllama-1.1b.json bf16 | 2.05 GiB | 1.10 B | 2 | 1 | pp512 | 61.30 ± 0.12 |
 */
#include "bench_passes.h"

#include "memory.h"
#include "threads.h"
#include "transport.h"

#include <stdio.h>
#include <string.h>

/* random prompts share nothing */
static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024, .no_prefix_cache = true};
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
    OR_OPTION_STAGE_TO(common),
    {"seed", OR_OPTION_INT, &seed, "N", "which prompts and exits are drawn (1)", 0, 9e15, false},
    {"wave-tokens", OR_OPTION_INT, &common.wave_tokens, "N", "rows of a wave at most (1024)", 1, 1 << 24,
     false},
    {"kv-memory", OR_OPTION_BYTES, &common.kv_memory, "B",
     "keys and values of a rank at most; 0: what fits (0)", 0, 1e18, false},
    OR_OPTION_MEMORY(common),
    OR_OPTION_TIMELINE(common),
    OR_OPTIONS_WATCH(common),
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

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_bench_format_find(output ? output : "md", &format));
    OR_TRY(make_model_path());
    OR_TRY(check_exits());
    if (survivors && !exit_plan && or_plan_is_auto(common.plan)) OR_TRY(or_strdup("auto", &exit_plan));
    columns.predicted = or_plan_is_auto(common.plan) || or_plan_is_auto(exit_plan);
    columns.exits = survivors;
    columns.ramps = !survivors && (ramps.count > 0 || policy_path);
    OR_TRY(read_ramps());
    return list_tests();
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
static or_status make_probe(or_policy **probe)
{
    or_checkpoint *checkpoint = NULL;
    if (!columns.ramps) return OR_OK;
    OR_TRY(or_checkpoint_open(common.model, &checkpoint));
    or_status status = or_policy_probe(policy_path, or_checkpoint_hparams(checkpoint)->n_layers, ramp_layers,
                                       n_ramps, probe);
    or_checkpoint_close(checkpoint);
    return status;
}

/* A plan that is wrong is refused before anything is printed. */
static or_status check_exit_plan(const or_session *session, int n_layers)
{
    const int replicas = common.replicas ? (int)common.replicas : 1;
    or_plan plan;
    if (!exit_plan || or_plan_is_auto(exit_plan)) return OR_OK;
    return or_plan_parse(exit_plan, n_layers, or_transport_size(session->transport) / replicas, &plan);
}

/* Rank 0. */
static or_status prepare(or_bench_job *job)
{
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_checkpoint_open(common.model, &checkpoint));
    const int n_layers = or_checkpoint_hparams(checkpoint)->n_layers;
    or_status status = describe(checkpoint, &job->model);
    or_checkpoint_close(checkpoint);
    OR_TRY(status);
    OR_TRY(check_exit_plan(job->session, n_layers));
    return survivors ? read_curve(n_layers, &job->curve) : OR_OK;
}

/* Collective: every rank goes through the same passes, and rank 0 prints. */
static or_status run_bench(or_session *session)
{
    or_bench_output printed = {0};
    or_policy *probe = NULL;
    or_bench_job job = {
        .session = session,
        .common = &common,
        .exit_plan = exit_plan,
        .tests = tests,
        .n_tests = n_tests,
        .repeats = repeats,
        .seed = (uint64_t)seed,
        .kv = (or_kv_policy)kv,
        .exits = survivors,
        .format = format,
        .columns = columns,
    };
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK) status = make_probe(&probe);
    if (status == OR_OK && session->rank == 0) status = prepare(&job);
    status = or_transport_agree(session->transport, status);
    job.probe = probe;
    for (size_t i = 0; i < n_threads && status == OR_OK; i++) {
        or_threads_set((int)thread_counts[i]);
        status = or_bench_passes(&job, &printed);
    }
    if (status == OR_OK && session->rank == 0) {
        format->end();
        fflush(stdout);
        if (printed.stages.size > 0) fputs(printed.stages.data, stderr);
    }
    or_buffer_free(&printed.stages);
    or_curve_free(&job.curve);
    or_policy_free(probe);
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
