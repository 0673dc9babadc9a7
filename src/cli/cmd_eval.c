/* cmd_eval.c - offramp eval: tasks through the pipeline, with and without policies; table, results,
 * journal. */
#include "cli.h"
#include "expected.h"

#include "compute.h"
#include "file.h"
#include "json.h"
#include "log.h"
#include "tasks.h"
#include "threads.h"
#include "transport.h"

#include <stdio.h>
#include <string.h>

/* One command per process, so its options are variables of the file; what they begin with is the default. */
static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024, .sequences = 32};
static or_task_options tasks = {.seed = 1};
static or_list policy_paths;
static char *output, *kv, *survivors;
static bool dense, resume, adapt;

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
    OR_OPTION_DROP_LAYERS(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTION_SURVIVORS(survivors),
    {"adapt", OR_OPTION_FLAG, &adapt, "",
     "with --plan auto: between tasks move to the plan that those who left until then suggest", 0, 0, false},
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
    if (adapt && !or_plan_is_auto(common.plan))
        return or_fail(OR_ERR_USAGE, "wrong option", NULL, "found --adapt, expected --plan auto with it");
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
    or_expected expected;
    or_pipeline *pipeline;
    or_task_set set; /* rank 0, like the rest */
    or_eval *eval;
    or_progress progress;
} run;

/* run.json: how these results came about, for people: nothing is read back. Written again by a resumed job,
 * for what it used.
 *
 *   {"command": ["offramp", "eval", ...],
 *    "version": "...", "model": "...", "drop_layers": "10,11,12", "fingerprint": "16 hexadecimal digits",
 *    "kernels": "avx512", "threads": 2, "wave_tokens": 1024, "seed": 1, "kv": "deferred", "replicas": 1,
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
    OR_TRY_GOTO(done, or_buffer_puts(&out, ",\n \"drop_layers\": "));
    OR_TRY_GOTO(done, or_json_put_string(&out, common.drop_layers ? common.drop_layers : ""));
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
        .survivors = survivors ? (const double *const *)r->expected.of : NULL,
        .by_task = adapt,
    };
    OR_TRY(or_progress_open(&common, r->session, "eval", &r->progress));
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

/* A plan is worth a word, or to move to, when its slowest stage is so many times as fast. */
static const double WORTH_SAYING = 1.03;

/* Rank 0: the plan that those who left until now suggest, where it is a better one; else NULL. */
static or_status find_plan(const run *r, double *gain, char **plan)
{
    const int n_layers = or_pipeline_hparams(r->pipeline)->n_layers;
    double *share = NULL, length;
    bool *ramp = NULL;
    *plan = NULL;
    or_status status = OR_NEW(share, (size_t)n_layers + 1);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, OR_NEW(ramp, (size_t)n_layers + 1));
    if (!or_eval_survivors(r->eval, share, &length)) goto done;
    for (size_t i = 0; i < r->policies.count; i++)
        for (int layer = 1; layer < n_layers; layer++)
            ramp[layer] |= or_policy_has_ramp(r->policies.items[i], layer);
    const or_workload seen = {.length = (size_t)(length + 0.5),
                              .sequences = (size_t)common.sequences,
                              .survivors = share,
                              .ramp = ramp};
    OR_TRY_GOTO(done, or_suggest_plan(r->pipeline, &seen, &common, gain, plan));
    if (*gain >= WORTH_SAYING) goto done;
    free(*plan);
    *plan = NULL;
done:
    free(share);
    free(ramp);
    return status;
}

/* Rank 0. What is not even the plan's is no error of the job. */
static or_status print_plans(const run *r)
{
    double gain;
    char *plan;
    or_print_forecast(r->eval);
    OR_TRY(find_plan(r, &gain, &plan));
    if (plan)
        printf("who left suggests --plan %s: its slowest stage would be %.2f times as fast%s\n", plan, gain,
               or_pipeline_costs(r->pipeline) ? "" : " (by multiply-adds)");
    free(plan);
    return OR_OK;
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
    if (!common.quiet) OR_TRY(or_print_summary(r->session, r->eval));
    if (!common.quiet) OR_TRY(print_plans(r));
    if (!common.quiet) printf("results: %s\n", output);
    r->session->whole = true;
    return or_eval_check(r->eval);
}

static or_status open_pipeline(run *r)
{
    return or_common_open(&common, r->session, or_policies_want_cosines(&r->policies), r->policies.items,
                          r->policies.count, &r->pipeline);
}

/* Between two tasks: what rank 0 says is done by all. */
typedef struct change {
    bool more;       /* tasks are left */
    char plan[1024]; /* the next ones have this one; "": the same */
} change;

/* Rank 0. */
static or_status find_change(const run *r, change *next)
{
    double gain;
    char *plan = NULL;
    next->more = !or_eval_finished(r->eval);
    if (!next->more) return OR_OK;
    OR_TRY(find_plan(r, &gain, &plan));
    if (plan && strlen(plan) < sizeof next->plan) {
        or_log_note("plan %s from now on: its slowest stage is thought to be %.2f times as fast", plan, gain);
        strcpy(next->plan, plan);
    }
    free(plan);
    return OR_OK;
}

/* Tasks one after the other, each on the plan that those before suggest. Answers do not depend on the plan, and what was
 * measured when the job began still holds. Collective. */
static or_status run_tasks(run *r)
{
    or_session *session = r->session;
    const or_rank_cost *costs = or_pipeline_costs(r->pipeline);
    const size_t n = (size_t)or_transport_size(session->transport);
    or_rank_cost *kept = NULL;
    change next = {0}, *all = NULL;
    or_status driven = OR_OK, status = OR_NEW(kept, n);
    if (status == OR_OK) status = OR_NEW(all, n);
    if (status == OR_OK) memcpy(kept, costs, n * sizeof *kept);
    OR_TRY_GOTO(done, or_transport_agree(session->transport, status));
    for (bool more = true; more;) {
        driven = or_session_drive(session, r->pipeline, drive, r);
        if (driven != OR_STOPPED) OR_TRY_GOTO(done, driven);
        next = (change){0};
        OR_TRY_GOTO(done, or_pipeline_pause(r->pipeline));
        status = session->rank == 0 && driven == OR_OK ? find_change(r, &next) : OR_OK;
        OR_TRY_GOTO(done, or_transport_agree(session->transport, status));
        OR_TRY_GOTO(done, or_transport_gather(session->transport, &next, sizeof next, all));
        more = all[0].more;
        if (!more || !all[0].plan[0]) continue;
        or_pipeline_close(r->pipeline);
        r->pipeline = NULL;
        free(common.plan);
        OR_TRY_GOTO(done, or_strdup(all[0].plan, &common.plan));
        common.costs = kept;
        OR_TRY_GOTO(done, open_pipeline(r));
    }
    status = driven;
done:
    common.costs = NULL;
    free(kept);
    free(all);
    return status;
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
    OR_TRY_GOTO(release, or_task_set_expect(&tasks, &common, session, &r.set));
    OR_TRY_GOTO(release, or_common_expect(&common, session, &r.policies, survivors, dense, &r.expected));
    OR_TRY_GOTO(release, open_pipeline(&r));
    status = session->rank == 0 ? prepare(&r) : OR_OK;
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    status = adapt ? run_tasks(&r) : or_session_drive(session, r.pipeline, drive, &r);
    if (session->rank == 0) status = finish(&r, status);

release:
    or_pipeline_close(r.pipeline);
    or_eval_close(r.eval);
    or_task_set_close(&r.set);
    or_expected_free(&r.expected);
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
