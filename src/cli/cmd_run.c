/* cmd_run.c - offramp run: continuations of the prompts of a file, or of one prompt on the screen. What
 * requests and results look like is in batch.h. */
#include "cli.h"
#include "expected.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

/* One command per process, so its options are variables of the file; what they begin with is the default. */
static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024, .sequences = 32};
static char *input, *output, *prompt, *kv, *survivors;
static or_list policy_paths, stops;
static int64_t max_tokens = 128, top_k, seed;
static double temperature, top_p = 1;
static bool logprobs, ignore_eos, resume;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    {"input", OR_OPTION_PATH, &input, "FILE", "requests, a JSON object a line; OpenAI's batch lines too", 0,
     0, false},
    {"output", OR_OPTION_TEXT, &output, "FILE", "results, a line each; the journal is FILE.journal", 0, 0,
     false},
    {"resume", OR_OPTION_FLAG, &resume, "", "go on with the interrupted run in --output", 0, 0, false},
    {"prompt", OR_OPTION_TEXT, &prompt, "TEXT", "instead: one prompt, its continuation on stdout as it comes",
     0, 0, false},
    {"policy", OR_OPTION_PATHS, &policy_paths, "P",
     "exit policy, may be given several times; the first is taken unless a request says (full depth)", 0, 0,
     false},
    {"kv", OR_OPTION_TEXT, &kv, "HOW",
     "skipped layers' keys and values: deferred, propagate, verify (deferred)", 0, 0, false},
    {"max-tokens", OR_OPTION_INT, &max_tokens, "N", "tokens of a continuation at most (128)", 1, INT32_MAX,
     false},
    {"temperature", OR_OPTION_REAL, &temperature, "T", "0: the likeliest token (0)", 0, 100, false},
    {"top-k", OR_OPTION_INT, &top_k, "N", "draw among the N likeliest; 0: all (0)", 0, INT32_MAX, false},
    {"top-p", OR_OPTION_REAL, &top_p, "P", "draw among the likeliest that reach this share (1)", 1e-6, 1,
     false},
    {"seed", OR_OPTION_INT, &seed, "N", "of the draws (0)", 0, 9e15, false},
    {"stop", OR_OPTION_TEXTS, &stops, "TEXT", "ends a text, may be given several times", 0, 0, false},
    {"logprobs", OR_OPTION_FLAG, &logprobs, "", "results list the 5 likeliest tokens of each", 0, 0, false},
    {"ignore-eos", OR_OPTION_FLAG, &ignore_eos, "", "tokens that end a text do not", 0, 0, false},
    {"allow-other-model", OR_OPTION_FLAG, &common.allow_other_model, "", "accept policies of another model",
     0, 0, false},
    OR_OPTIONS_GENERATION(common),
    OR_OPTION_DROP_LAYERS(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTION_SURVIVORS(survivors),
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "run --model M --input requests.jsonl --output results.jsonl [options]\n"
             "       offramp run --model M --prompt TEXT [options]",
    .summary = "Continues the prompts of a file. A line is {\"id\": .., \"prompt\": \"..\"} or {\"id\": .., "
               "\"tokens\": [..]}\n"
               "and may have max_tokens, temperature, top_k, top_p, seed, stop, policy, kv, logprobs, "
               "follow; what it\n"
               "does not say is as the options have it. \"follow\" is a continuation, as text or ids, that "
               "is gone along\n"
               "with whatever is drawn, for its log-probabilities. OpenAI's batch lines (custom_id, body) "
               "get OpenAI's\n"
               "results. A request that cannot run gets an error in its result, and the others go on. "
               "max_tokens is cut\n"
               "to what the context leaves. Finished results are in the journal before they count: a job "
               "that was killed\n"
               "goes on with --resume, on any number of ranks. SIGUSR1 stops in good order (exit code 75).",
    .example = "mpirun -n 2 offramp run --model llama-2-7b --input requests.jsonl --output results.jsonl \\\n"
               "    --policy svm.json --kv verify --max-tokens 256",
};

/* A file or a prompt. A prompt's continuation has no file to go on with. */
static or_status check_sources(void)
{
    if (!prompt) {
        OR_TRY(or_options_need(options, "input"));
        return or_options_need(options, "output");
    }
    if (!input && !output && !resume) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                   "found --prompt with --input, --output or --resume, expected a prompt or files");
}

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    OR_TRY(check_sources());
    if (kv && or_kv_policy_find(kv) < 0)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "--kv is \"%s\", expected deferred, propagate or verify", kv);
    for (size_t i = 0; i < stops.count; i++)
        if (stops.items[i][0] == '\0')
            return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--stop is empty, expected a text");
    return OR_OK;
}

/* What a run holds, in the order in which it is made. */
typedef struct run {
    or_session *session;
    or_policies policies;
    or_expected expected;
    or_pipeline *pipeline;
    or_tokenizer *tokenizer; /* rank 0, like the rest */
    or_batch *batch;
    or_progress progress;
} run;

/* To stdout at once: --prompt is watched. */
static or_status print_text(void *context, const char *piece, size_t size)
{
    (void)context;
    if (fwrite(piece, 1, size, stdout) == size && fflush(stdout) == 0) return OR_OK;
    return or_fail(OR_ERR_FAILED, "text cannot be written", "stdout", "it is closed or full");
}

/* Rank 0: requests, output. The first policy is that of requests that name none: who gives one wants it
 * used. */
static or_status prepare(run *r)
{
    const or_batch_plan plan = {
        .input = input,
        .prompt = prompt,
        .text = prompt ? print_text : NULL,
        .model = common.model,
        .tokenizer = r->tokenizer,
        .hparams = or_pipeline_hparams(r->pipeline),
        .longest = or_pipeline_longest(r->pipeline),
        .room = or_pipeline_room(r->pipeline),
        .policies = r->policies.items,
        .n_policies = r->policies.count,
        .ignore_ends = ignore_eos,
        .settings =
            {
                .max_tokens = (size_t)max_tokens,
                .sampling = {(float)temperature, (int32_t)top_k, (float)top_p, (uint64_t)seed},
                .kv = kv ? (or_kv_policy)or_kv_policy_find(kv) : OR_KV_DEFERRED,
                .policy = r->policies.count ? 0 : -1,
                .stops = (const char *const *)stops.items,
                .n_stops = stops.count,
                .logprobs = logprobs ? OR_BATCH_LOGPROBS : -1,
            },
    };
    OR_TRY(or_progress_open(&common, r->session, "run", &r->progress));
    OR_TRY(or_batch_open(&plan, &r->batch));
    if (prompt) return OR_OK;
    return or_batch_output(r->batch, output, or_pipeline_fingerprint(r->pipeline), resume);
}

/* Rank 0, while the others serve. A bar would be written into the text. */
static or_status drive(void *context)
{
    run *r = context;
    return or_batch_run(r->batch, r->pipeline, prompt ? NULL : or_progress_show, or_stop_asked, &r->progress);
}

/* The line behind a prompt's continuation. */
static or_status say_prompt(const or_batch *batch)
{
    or_batch_summary s;
    OR_TRY(or_batch_summarise(batch, &s));
    if (s.failed > 0) return OR_OK; /* what came is void */
    or_log_note("%llu tokens, %.1f tokens/s, mean exit layer %.1f", (unsigned long long)s.tokens,
                s.tokens_per_second, s.exit_layer_mean);
    return OR_OK;
}

/* Rank 0. Results are written already. */
static or_status finish(run *r, or_status status)
{
    or_progress_close(&r->progress);
    if (prompt && (status == OR_OK || status == OR_STOPPED)) OR_TRY(print_text(NULL, "\n", 1));
    if (status == OR_STOPPED && prompt) or_log_note("stopped on request");
    if (status == OR_STOPPED && !prompt)
        or_log_note("stopped on request, what was finished is in %s.journal; go on with --resume", output);
    OR_TRY(status);
    if (prompt) OR_TRY(say_prompt(r->batch));
    if (!prompt && !common.quiet) {
        OR_TRY(or_print_batch(r->session, r->batch));
        printf("results: %s\n", output);
    }
    r->session->whole = true;
    return or_batch_check(r->batch);
}

/* Collective; the steps are those of cmd_eval.c. */
static or_status run_requests(or_session *session)
{
    run r = {.session = session};
    or_stop_install(); /* before the model is loaded, as in cmd_eval.c */
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK) status = or_policies_load(&policy_paths, &r.policies);
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    OR_TRY_GOTO(release, or_common_expect(&common, session, &r.policies, survivors, false, &r.expected));
    OR_TRY_GOTO(release, or_common_open(&common, session, or_policies_want_cosines(&r.policies),
                                        r.policies.items, r.policies.count, &r.pipeline));
    if (session->rank == 0) status = or_tokenizer_open(common.model, &r.tokenizer);
    if (session->rank == 0 && status == OR_OK) status = prepare(&r);
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    status = or_session_drive(session, r.pipeline, drive, &r);
    if (session->rank == 0) status = finish(&r, status);

release:
    or_pipeline_close(r.pipeline);
    or_batch_close(r.batch);
    or_tokenizer_close(r.tokenizer);
    or_expected_free(&r.expected);
    or_policies_free(&r.policies);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_run = {
    "run",   "continues the prompts of a file, or of one prompt on the screen", true, parse, run_requests,
    release,
};
