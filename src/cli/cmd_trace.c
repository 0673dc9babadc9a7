/* cmd_trace.c - offramp trace: full-depth runs over task instances, features of every layer.
 *
 * Writes trace.csv, a row per instance and layer, and trace.csv.json with the model's fingerprint and costs
 * (trace.h). There is no journal and no --resume: a trace that was cut is none, and is run again.
 */
#include "cli.h"

#include "log.h"
#include "tasks.h"

#include <offramp/trace.h>

#include <stdio.h>
#include <stdlib.h>

static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024};
static or_task_options tasks = {.seed = 1};
static char *output;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    OR_OPTIONS_TASKS(tasks),
    {"output", OR_OPTION_TEXT, &output, "FILE", "trace.csv to write (FILE.json is written beside it)", 0, 0,
     false},
    OR_OPTIONS_KEPT(common),
    OR_OPTION_DROP_LAYERS(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "trace --model M --task T... --output trace.csv [options]",
    .summary =
        "Runs task instances at full depth and records, for every layer, what a ramp there would see and\n"
        "whether its token is the full model's: the data that offramp train learns from. Where an answer is "
        "a\n"
        "generated text (exact_match, f1) that is its first token.",
    .example = "mpirun -n 2 offramp trace --model llama-2-7b --task sst2.json --split train --limit 1000 \\\n"
               "    --output sst2-trace.csv",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    OR_TRY(or_options_need(options, "task"));
    OR_TRY(or_options_need(options, "output"));
    return or_task_options_check(&tasks);
}

/* All but the pipeline is rank 0's; on the others it stays empty, which closing does not mind. */
typedef struct run {
    or_session *session;
    or_pipeline *pipeline;
    or_task_set set;
    or_eval *eval;
    or_progress progress;
} run;

/* No policies, so each task and number of shots is one group at full depth. */
static or_status prepare(run *r)
{
    const or_eval_plan plan = {.longest = or_pipeline_longest(r->pipeline)};
    OR_TRY(or_progress_open(&common, r->session, "trace", &r->progress));
    return or_task_set_open(&tasks, common.model, or_pipeline_hparams(r->pipeline), &plan, &r->set, &r->eval);
}

/* Rank 0, while the others serve. */
static or_status drive(void *context)
{
    run *r = context;
    return or_eval_trace(r->eval, r->pipeline, output, or_progress_show, or_stop_asked, &r->progress);
}

/* Which layers ShortGPT would drop first, a quarter of them, as --drop-layers takes them. */
static or_status print_influence(const or_trace *trace)
{
    const int n_layers = trace->meta.n_layers, most = n_layers / 4;
    double *influence = NULL;
    int *layers = NULL;
    if (trace->count == 0 || most == 0) return OR_OK;
    or_status status = OR_NEW(influence, (size_t)n_layers);
    if (status == OR_OK) status = OR_NEW(layers, (size_t)most);
    if (status == OR_OK) {
        or_block_influence(trace, influence);
        or_least_influential(influence, n_layers, most, layers);
        printf("least influential layers (ShortGPT): ");
        for (int i = 0; i < most; i++) printf("%s%d", i ? "," : "", layers[i]);
        printf("\n");
    }
    free(influence);
    free(layers);
    return status;
}

/* Rank 0. The trace is on disk only, and is read back. */
static or_status finish(const run *r)
{
    or_trace trace = {0};
    printf("traced %zu instances: %s\n", or_eval_count(r->eval) - or_eval_failed(r->eval), output);
    or_status status = or_trace_read(output, &trace);
    if (status == OR_OK) status = print_influence(&trace);
    or_trace_free(&trace);
    return status;
}

/* Collective; the steps are those of cmd_eval.c. Taps for the cosine columns: policies that are not
 * trained yet may want them. */
static or_status run_trace(or_session *session)
{
    run r = {.session = session};
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK && session->rank == 0) status = or_task_set_load(&tasks, &r.set);
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    OR_TRY_GOTO(release, or_task_set_expect(&tasks, &common, session, &r.set));
    OR_TRY_GOTO(release, or_common_open(&common, session, true, NULL, 0, &r.pipeline));
    OR_TRY_GOTO(release, or_transport_agree(session->transport, session->rank == 0 ? prepare(&r) : OR_OK));
    or_stop_install();
    status = or_session_drive(session, r.pipeline, drive, &r);
    or_progress_close(&r.progress);
    if (session->rank == 0 && status == OR_OK && !common.quiet) status = finish(&r);
    /* an empty trace is no use */
    if (session->rank == 0 && status == OR_OK && or_eval_failed(r.eval) == or_eval_count(r.eval)) {
        session->whole = true;
        status = or_eval_check(r.eval);
    }
    if (status == OR_STOPPED) or_log_note("stopped on request, no trace was written");

release:
    or_pipeline_close(r.pipeline);
    or_eval_close(r.eval);
    or_task_set_close(&r.set);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_trace = {
    "trace", "full-depth runs over task instances: features per layer with labels", true, parse, run_trace,
    release,
};
