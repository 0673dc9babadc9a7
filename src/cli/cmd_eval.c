/* cmd_eval.c - offramp eval: tasks through the pipeline, with and without policies; table, results,
 * journal. */
#include "cli.h"

#include "compute.h"
#include "file.h"
#include "json.h"
#include "log.h"
#include "tasks.h"
#include "threads.h"
#include "transport.h"

#include <stdio.h>

/* One command per process, so its options are variables of the file; what they begin with is the default. */
static or_common common = {.wave_tokens = 1024, .sequences = 32};
static or_task_options tasks = {.seed = 1};
static or_list policy_paths;
static char *output, *kv;
static bool dense, resume;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    OR_OPTIONS_TASKS(tasks),
    {"policy", OR_OPTION_PATHS, &policy_paths, "P", "exit policy, may be given several times (full depth)", 0,
     0, false},
    {"dense", OR_OPTION_FLAG, &dense, "", "run full depth too, to measure agreement with it", 0, 0, false},
    {"output", OR_OPTION_TEXT, &output, "DIR", "folder for results", 0, 0, false},
    {"resume", OR_OPTION_FLAG, &resume, "", "go on with the interrupted run in --output", 0, 0, false},
    {"allow-other-model", OR_OPTION_FLAG, &common.allow_other_model, "", "accept policies of another model",
     0, 0, false},
    {"kv", OR_OPTION_TEXT, &kv, "K",
     "generated answers, skipped layers: deferred, propagate or verify (deferred)", 0, 0, false},
    OR_OPTIONS_GENERATION(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "eval --model M --task T... --output DIR [options]",
    .summary =
        "Runs tasks, prints accuracy, agreement and exit layers, and writes results.jsonl, summary.json\n"
        "and run.json. Finished results are in journal.jsonl before they count: a job that was killed goes\n"
        "on with --resume, on any number of ranks. SIGUSR1 stops in good order (exit code 75).",
    .example =
        "mpirun -n 2 offramp eval --model llama-2-7b --task sst2.json --shots 0,5 --policy svm.json \\\n"
        "    --dense --output results/sst2",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    OR_TRY(or_options_need(options, "task"));
    OR_TRY(or_options_need(options, "output"));
    if (kv && or_kv_policy_find(kv) < 0)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "--kv is \"%s\", expected deferred, propagate or verify", kv);
    return or_task_options_check(&tasks);
}

static or_kv_policy kv_policy(void)
{
    return kv ? (or_kv_policy)or_kv_policy_find(kv) : OR_KV_DEFERRED;
}

/* What a run holds, in the order in which it is made. */
typedef struct run {
    or_session *session;
    or_policies policies;
    or_pipeline *pipeline;
    or_task_set set; /* rank 0, like the rest */
    or_eval *eval;
    or_progress progress;
} run;

/* run.json: how these results came about, for people: nothing is read back. Written again by a resumed job,
 * for what it used.
 *
 *   {"command": ["offramp", "eval", ...],
 *    "version": "...", "model": "...", "fingerprint": "16 hexadecimal digits", "kernels": "avx512",
 *    "threads": 2, "wave_tokens": 1024, "seed": 1, "kv": "deferred", "replicas": 1,
 *    "ranks": [
 *     {"replica": 0, "layers": [1, 16], "host": "node01"},     layers from 1, both ends included
 *     {"replica": 0, "layers": [17, 32], "host": "node02"}]} */
static or_status write_run(const run *r)
{
    const or_plan *plan = or_pipeline_plan(r->pipeline);
    const int replicas = or_pipeline_replicas(r->pipeline);
    or_buffer out = {0};
    char *path = NULL;
    or_status status = or_buffer_puts(&out, "{\"command\": [");
    for (int i = 0; i < r->session->argc && status == OR_OK; i++) {
        if (i) status = or_buffer_puts(&out, ", ");
        if (status == OR_OK) status = or_json_put_string(&out, r->session->argv[i]);
    }
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_buffer_printf(&out, "],\n \"version\": \"%s\",\n \"model\": ", OFFRAMP_VERSION));
    OR_TRY_GOTO(done, or_json_put_string(&out, common.model));
    OR_TRY_GOTO(done, or_buffer_printf(&out,
                                       ",\n \"fingerprint\": \"%016llx\",\n \"kernels\": \"%s\",\n"
                                       " \"threads\": %d,\n \"wave_tokens\": %lld,\n \"seed\": %lld,\n"
                                       " \"kv\": \"%s\",\n \"replicas\": %d,\n \"ranks\": [",
                                       (unsigned long long)or_pipeline_fingerprint(r->pipeline),
                                       or_kernels_get()->name, or_threads(), (long long)common.wave_tokens,
                                       (long long)tasks.seed, or_kv_policy_name(kv_policy()), replicas));
    for (int rank = 0; rank < replicas * plan->n_stages; rank++) {
        const int stage = rank % plan->n_stages;
        OR_TRY_GOTO(done, or_buffer_printf(&out, "%s\n  {\"replica\": %d, \"layers\": [%d, %d], \"host\": ",
                                           rank ? "," : "", rank / plan->n_stages, plan->bound[stage] + 1,
                                           plan->bound[stage + 1]));
        OR_TRY_GOTO(done, or_json_put_string(&out, or_transport_host(r->session->transport, rank)));
        OR_TRY_GOTO(done, or_buffer_puts(&out, "}"));
    }
    OR_TRY_GOTO(done, or_buffer_puts(&out, "]}\n"));
    OR_TRY_GOTO(done, or_path_join(output, "run.json", &path));
    status = or_file_write(path, out.data, out.size);
done:
    free(path);
    or_buffer_free(&out);
    return status;
}

/* Pages for keys and values are set aside only where answers are generated, which rank 0 knows: the others
 * name no number of their own. Collective. */
static or_status count_sequences(run *r)
{
    uint64_t sequences = UINT64_MAX;
    if (r->session->rank == 0) sequences = or_task_set_generates(&r->set) ? (uint64_t)common.sequences : 0;
    OR_TRY(or_transport_least(r->session->transport, &sequences));
    common.sequences = (int64_t)sequences;
    return OR_OK;
}

/* Rank 0: instances, output folder. run.json comes last, so that a job whose folder is refused
 * leaves the old one. */
static or_status prepare(run *r)
{
    const or_eval_plan plan = {
        .policies = r->policies.items,
        .n_policies = r->policies.count,
        .dense = dense,
        .longest = or_pipeline_longest(r->pipeline),
        .room = or_pipeline_room(r->pipeline),
        .kv = kv_policy(),
    };
    OR_TRY(or_progress_open(&common, "eval", &r->progress));
    OR_TRY(
        or_task_set_open(&tasks, common.model, or_pipeline_hparams(r->pipeline), &plan, &r->set, &r->eval));
    OR_TRY(or_eval_output(r->eval, output, or_pipeline_fingerprint(r->pipeline), resume));
    return write_run(r);
}

/* Rank 0, while the others serve. */
static or_status drive(void *context)
{
    run *r = context;
    return or_eval_run(r->eval, r->pipeline, or_progress_show, or_stop_asked, &r->progress);
}

/* Rank 0. Figures are printed from what is in memory; the files are written already. */
static or_status finish(run *r, or_status status)
{
    or_progress_close(&r->progress);
    if (status == OR_STOPPED) {
        or_log_note("stopped on request, what was finished is in %s/journal.jsonl; go on with --resume",
                    output);
        return status;
    }
    OR_TRY(status);
    if (!common.quiet) OR_TRY(or_print_summary(r->eval));
    if (!common.quiet) printf("results: %s\n", output);
    return OR_OK;
}

/* Collective. Each block of local work ends in an agreement, so that ranks never part ways: policies on
 * all ranks and tasks on rank 0, then the pipeline, then instances and output on rank 0. */
static or_status run_eval(or_session *session)
{
    run r = {.session = session};
    or_stop_install(); /* first: a job that is stopped while it loads ends with the code that has it queued again */
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK) status = or_policies_load(&policy_paths, &r.policies);
    if (status == OR_OK && session->rank == 0) status = or_task_set_load(&tasks, &r.set);
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    OR_TRY_GOTO(release, count_sequences(&r));
    OR_TRY_GOTO(release, or_common_open(&common, session, or_policies_want_cosines(&r.policies),
                                        r.policies.items, r.policies.count, &r.pipeline));
    status = session->rank == 0 ? prepare(&r) : OR_OK;
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    status = or_session_drive(session, r.pipeline, drive, &r);
    if (session->rank == 0) status = finish(&r, status);

release:
    or_pipeline_close(r.pipeline);
    or_eval_close(r.eval);
    or_task_set_close(&r.set);
    or_policies_free(&r.policies);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_eval = {
    "eval",   "runs tasks with and without early exits, prints the table, writes results",
    true,     parse,
    run_eval, release,
};
