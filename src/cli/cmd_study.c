/* cmd_study.c - offramp study: models x tasks x shots x policies from one full-depth pass.
 *
 * Of each model, all ranks together: the traces that are not there yet, then those of the model without
 * some layers; rank 0 trains the policies; all ranks run a sample with them, which rank 0 compares with the
 * replay. At the end rank 0 writes the tables. Traces that are there are not made again: a study that was
 * stopped goes on by the same command.
 */
#include "cli.h"

#include "file.h"
#include "log.h"
#include "study.h"
#include "transport.h"

#include <offramp/checkpoint.h>
#include <offramp/model.h>

#include <stdio.h>
#include <string.h>

static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024};
static char *config, *output, *data, *part;

static or_option options[] = {
    {"output", OR_OPTION_TEXT, &output, "DIR", "folder for traces, policies and tables", 0, 0, false},
    {"data", OR_OPTION_PATH, &data, "DIR", "where the tasks' data lie (as the config says)", 0, 0, false},
    {"part", OR_OPTION_TEXT, &part, "I/N",
     "only trace, and of N parts the I-th: for the N jobs of an array; then once without", 0, 0, false},
    OR_OPTIONS_KEPT(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "study CONFIG.json --output DIR [options]",
    .summary =
        "Traces every task of the config at full depth, trains policies on the train rows, replays them on\n"
        "the test rows, checks a sample by real runs, and writes study.json, results.csv, tables.md and\n"
        "tables.tex. Traces that DIR has are kept: after a stop (SIGUSR1, exit code 75) run it again.",
    .example = "mpirun -n 2 offramp study configs/demo/study.json --output results/study\n"
               "offramp report results/study",
};

/* --part 2/8: the units whose number leaves 1 when divided by 8. */
static long part_number, part_count = 1;

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, &config, 1, helped));
    if (*helped) return OR_OK;
    if (!config)
        return or_fail(OR_ERR_USAGE, "argument missing", NULL,
                       "expected a config, as in offramp study demo.json");
    OR_TRY(or_options_need(options, "output"));
    if (!part) return OR_OK;
    char behind;
    if (sscanf(part, "%ld/%ld%c", &part_number, &part_count, &behind) == 2 && part_number >= 1 &&
        part_number <= part_count && part_count <= 1000000)
        return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--part is \"%s\", expected I/N with I from 1 to N",
                   part);
}

/* Rank 0 has all of it; the others the config and, while it is open, the pipeline. */
typedef struct run {
    or_session *session;
    or_study study;
    or_study_unit *units;
    size_t n_units;
    or_study_all_trained all;
    or_study_checked checked;
    char **variants; /* [n_models, n_policies] */
    or_tokenizer *tokenizer;
    size_t model;
    const char *variant; /* of the model that is traced */
    or_pipeline *pipeline;
    or_progress progress;
} run;

/* What rank 0 says is known to all; `size` bytes of it. Collective. */
static or_status tell(const run *r, void *words, size_t size)
{
    char *all = NULL;
    or_status status = OR_NEW(all, size * (size_t)or_transport_size(r->session->transport));
    OR_TRY(or_transport_agree(r->session->transport, status));
    status = or_transport_gather(r->session->transport, words, size, all);
    if (status == OR_OK) memcpy(words, all, size);
    free(all);
    return status;
}

/* Rank 0 drives the open pipeline, which is closed then. What ended it - all is done, or a stop was asked
 * for - is known to all; another error is not, and ends the job (or_session_drive()). Collective. */
static or_status drive_and_close(run *r, or_status (*drive)(void *))
{
    const or_status status = or_session_drive(r->session, r->pipeline, drive, r);
    if (status != OR_OK && status != OR_STOPPED) return status;
    or_pipeline_close(r->pipeline);
    r->pipeline = NULL;
    return or_transport_agree(r->session->transport, status);
}

/* ---- traces --------------------------------------------------------------------------------------------- */

/* Whether unit u of the model in hand is this job's to make. Rank 0. */
static or_status is_missing(const run *r, size_t u, bool *missing)
{
    char *path = NULL;
    *missing = false;
    if (part && (long)(u % (size_t)part_count) != part_number - 1) return OR_OK;
    /* a policy that drops layers is judged on test rows only */
    if (r->variant[0] && r->units[u].split != OR_SPLIT_TEST) return OR_OK;
    or_status status = or_study_trace_path(&r->study, r->model, r->variant, r->units[u], &path);
    if (status == OR_OK) *missing = !or_path_exists(path);
    free(path);
    return status;
}

static or_status trace_unit(run *r, size_t u)
{
    const or_study_unit unit = r->units[u];
    or_task *const task = r->study.tasks[unit.task].task;
    const bool train = unit.split == OR_SPLIT_TRAIN;
    const or_eval_plan plan = {
        .tasks = &task,
        .n_tasks = 1,
        .shots = &unit.shots,
        .n_shots = 1,
        .limit = (size_t)(train ? r->study.train_rows : r->study.test_rows),
        .longest = or_pipeline_longest(r->pipeline),
        .skip_long = true,
        .prompt = or_study_prompt(&r->study, unit),
    };
    or_eval *eval = NULL;
    char *path = NULL, *what = NULL;
    or_status status = or_study_trace_path(&r->study, r->model, r->variant, unit, &path);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_format(&what, "%s %d-shot %s (%zu/%zu)", or_task_name(task), unit.shots,
                                train ? "train" : "test", u + 1, r->n_units));
    OR_TRY_GOTO(done, or_eval_open(&plan, r->tokenizer, or_pipeline_hparams(r->pipeline), &eval));
    r->progress.what = what;
    status = or_eval_trace(eval, r->pipeline, path, or_progress_show, or_stop_asked, &r->progress);
    r->progress.what = NULL;
done:
    or_eval_close(eval);
    free(what);
    free(path);
    return status;
}

/* Rank 0, while the others serve. */
static or_status drive_traces(void *context)
{
    run *r = context;
    OR_TRY(or_progress_open(&common, r->session, "study", &r->progress));
    or_status status = OR_OK;
    for (size_t u = 0; u < r->n_units && status == OR_OK; u++) {
        bool missing;
        status = is_missing(r, u, &missing);
        if (status == OR_OK && missing) status = trace_unit(r, u);
    }
    or_progress_close(&r->progress);
    return status;
}

/* With all layers, or without drop_layers. Collective. */
static or_status trace_all(run *r, const char *drop_layers)
{
    uint64_t missing = 0;
    or_status status = OR_OK;
    for (size_t u = 0; u < r->n_units && status == OR_OK; u++) {
        bool is;
        status = is_missing(r, u, &is);
        missing += status == OR_OK && is;
    }
    OR_TRY(or_transport_agree(r->session->transport, status));
    OR_TRY(tell(r, &missing, sizeof missing));
    if (missing == 0) return OR_OK;
    common.model = r->study.models[r->model].path;
    common.drop_layers = (char *)drop_layers;
    OR_TRY(or_common_open(&common, r->session, true, NULL, 0, &r->pipeline));
    return drive_and_close(r, drive_traces);
}

/* ---- without some layers -------------------------------------------------------------------------------- */

typedef struct dropped {
    char layers[1024]; /* "10,11,15" */
} dropped;

/* The k least influential layers of the model, ascending; as text. Rank 0. */
static or_status choose_layers(const run *r, int k, dropped *drop)
{
    or_trace trace = {0};
    double *influence = NULL;
    int *layers = NULL;
    size_t used = 0;
    or_status status = or_study_gather(&r->study, r->model, "", 0, -1, OR_SPLIT_TRAIN, &trace);
    OR_TRY_GOTO(done, status);
    const int n_layers = trace.meta.n_layers;
    if (trace.count == 0) {
        status = or_fail(OR_ERR_INPUT, "study refused", r->study.models[r->model].path,
                         "%d layers are to be dropped, expected train rows that say which", k);
        goto done;
    }
    OR_TRY_GOTO(done, OR_NEW(influence, (size_t)n_layers));
    OR_TRY_GOTO(done, OR_NEW(layers, (size_t)n_layers));
    or_block_influence(&trace, influence);
    or_least_influential(influence, n_layers, k, layers);
    for (int layer = 1; layer <= n_layers; layer++)
        for (int i = 0; i < k; i++)
            if (layers[i] == layer && used < sizeof drop->layers - 8)
                used += (size_t)snprintf(drop->layers + used, sizeof drop->layers - used, "%s%d",
                                         used ? "," : "", layer);
done:
    free(layers);
    free(influence);
    or_trace_free(&trace);
    return status;
}

/* Collective. */
static or_status trace_without(run *r, size_t policy)
{
    dropped drop = {""};
    char **variant = &r->variants[r->model * r->study.n_policies + policy];
    or_status status = OR_OK;
    if (r->session->rank == 0) status = choose_layers(r, r->study.policies[policy].drop, &drop);
    OR_TRY(or_transport_agree(r->session->transport, status));
    OR_TRY(tell(r, &drop, sizeof drop));
    OR_TRY(or_format(variant, "-without-%s", drop.layers));
    r->variant = *variant;
    if (r->session->rank == 0)
        or_log_note("%s: %s drops layers %s", r->study.models[r->model].name, r->study.policies[policy].name,
                    drop.layers);
    status = trace_all(r, drop.layers);
    common.drop_layers = NULL;
    r->variant = "";
    return status;
}

/* ---- the check ------------------------------------------------------------------------------------------ */

/* Rank 0, while the others serve. */
static or_status drive_check(void *context)
{
    run *r = context;
    return or_study_check(&r->study, r->model, &r->all, r->tokenizer, r->pipeline, or_stop_asked,
                          &r->checked.instances, &r->checked.differ);
}

/* A name that rank 0 tells; "" ends the list. */
typedef struct policy_name {
    char path[4096];
} policy_name;

/* The files of the model's policies in their order, to every rank. Collective. */
static or_status tell_policies(const run *r, or_list *paths)
{
    size_t next = 0;
    for (;;) {
        policy_name name = {""};
        while (next < r->all.count && r->all.items[next].model != r->model) next++;
        if (next < r->all.count) snprintf(name.path, sizeof name.path, "%s", r->all.items[next++].path);
        OR_TRY(tell(r, &name, sizeof name));
        if (name.path[0] == '\0') return OR_OK;
        OR_RESERVE(paths->items, paths->capacity, paths->count + 1);
        OR_TRY(or_strdup(name.path, &paths->items[paths->count++]));
    }
}

/* Collective. */
static or_status check(run *r)
{
    or_list paths = {0};
    or_policies policies = {0};
    or_status status = tell_policies(r, &paths);
    if (status != OR_OK || paths.count == 0 || r->study.check == 0) goto done;
    status = or_policies_load(&paths, &policies);
    OR_TRY_GOTO(done, or_transport_agree(r->session->transport, status));
    common.model = r->study.models[r->model].path;
    OR_TRY_GOTO(done, or_common_open(&common, r->session, or_policies_want_cosines(&policies), policies.items,
                                     policies.count, &r->pipeline));
    status = drive_and_close(r, drive_check);
done:
    or_policies_free(&policies);
    for (size_t i = 0; i < paths.count; i++) free(paths.items[i]);
    free(paths.items);
    return status;
}

/* ---- the study ------------------------------------------------------------------------------------------ */

/* Rank 0. */
static or_status train_all(run *r)
{
    if (!common.quiet) or_log_note("training the policies of %s", r->study.models[r->model].name);
    return or_study_train(&r->study, r->model, or_stop_asked, &r->all);
}

static or_status open_tokenizer(run *r)
{
    or_tokenizer_close(r->tokenizer);
    r->tokenizer = NULL;
    return or_tokenizer_open(r->study.models[r->model].path, &r->tokenizer);
}

/* Collective. */
static or_status study_model(run *r)
{
    const bool leads = r->session->rank == 0;
    OR_TRY(or_transport_agree(r->session->transport, leads ? open_tokenizer(r) : OR_OK));
    OR_TRY(trace_all(r, NULL));
    if (part) return OR_OK;
    for (size_t p = 0; p < r->study.n_policies; p++)
        if (r->study.policies[p].drop > 0) OR_TRY(trace_without(r, p));
    OR_TRY(or_transport_agree(r->session->transport, leads ? train_all(r) : OR_OK));
    return check(r);
}

/* Whether a model can be run at all, by its headers: before others are traced for hours. */
static or_status check_model(const or_study *study, const or_study_model *model)
{
    or_checkpoint *checkpoint = NULL;
    or_tokenizer *tokenizer = NULL;
    or_status status = or_tokenizer_open(model->path, &tokenizer);
    or_tokenizer_close(tokenizer);
    OR_TRY(status);
    OR_TRY(or_model_check(model->path, NULL));
    OR_TRY(or_checkpoint_open(model->path, &checkpoint));
    const int n_layers = or_checkpoint_hparams(checkpoint)->n_layers;
    or_checkpoint_close(checkpoint);
    for (size_t p = 0; p < study->n_policies; p++)
        if (study->policies[p].drop >= n_layers)
            return or_fail(OR_ERR_INPUT, "study refused", model->path,
                           "policy %s drops %d layers of %d, expected fewer", study->policies[p].name,
                           study->policies[p].drop, n_layers);
    return OR_OK;
}

/* Rank 0. */
static or_status prepare(run *r)
{
    for (size_t m = 0; m < r->study.n_models; m++) OR_TRY(check_model(&r->study, &r->study.models[m]));
    OR_TRY(or_study_load(&r->study, data));
    OR_TRY(or_folder_make(output));
    OR_TRY(or_study_units(&r->study, &r->units, &r->n_units));
    if (r->n_units > 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "study refused", config,
                   "no task has enough train rows for any of the \"shots\", expected fewer shots");
}

/* Rank 0. */
static or_status finish(const run *r)
{
    if (part) {
        if (!common.quiet) printf("part %s is traced: run the study without --part when all are\n", part);
        return OR_OK;
    }
    OR_TRY(or_study_write(&r->study, &r->all, r->variants, &r->checked, or_stop_asked));
    if (r->checked.differ > 0)
        return or_fail(OR_ERR_FAILED, "replay differs from real runs", output, "in %zu of %zu instances",
                       r->checked.differ, r->checked.instances);
    if (common.quiet) return OR_OK;
    if (r->checked.instances > 0)
        printf("checked %zu instances by real runs: all left where the replay says\n", r->checked.instances);
    printf("study: %s/tables.md; offramp report %s makes a page of it\n", output, output);
    return OR_OK;
}

/* Collective. */
static or_status run_study(or_session *session)
{
    run r = {.session = session, .variant = ""};
    or_stop_install();
    or_status status = or_common_apply(&common, session);
    if (status == OR_OK) status = or_study_open(config, &r.study);
    if (status == OR_OK) status = OR_NEW(r.variants, r.study.n_models * r.study.n_policies);
    r.study.output = output;
    if (status == OR_OK && session->rank == 0) status = prepare(&r);
    OR_TRY_GOTO(release, or_transport_agree(session->transport, status));
    OR_TRY_GOTO(release, or_transport_same(session->transport, r.study.hash, "the study's config"));
    for (; r.model < r.study.n_models; r.model++) OR_TRY_GOTO(release, study_model(&r));
    OR_TRY_GOTO(release, or_transport_agree(session->transport, session->rank == 0 ? finish(&r) : OR_OK));
release:
    if (status == OR_STOPPED && session->rank == 0)
        or_log_note("stopped on request, what was finished is in %s; go on by the same command", output);
    or_pipeline_close(r.pipeline);
    common.model = NULL; /* the study's */
    for (size_t i = 0; r.variants && i < r.study.n_models * r.study.n_policies; i++) free(r.variants[i]);
    free(r.variants);
    or_study_all_free(&r.all);
    free(r.units);
    or_tokenizer_close(r.tokenizer);
    or_study_close(&r.study);
    return status;
}

static void release(void)
{
    or_options_free(options);
    free(config);
}

const or_command or_command_study = {
    "study",   "models x tasks x shots x policies from one full-depth pass: tables as in AdaInfer",
    true,      parse,
    run_study, release,
};
