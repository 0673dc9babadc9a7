/* study_tables.c - replays a study's policies over its test rows, and writes what comes of it: study.json
 * (which offramp report reads), results.csv, and the report's tables. */
#include "study.h"

#include "file.h"
#include "log.h"
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The files in the making. */
typedef struct writer {
    const or_study *study;
    const or_study_all_trained *all;
    char *const *variants; /* [n_models, n_policies] */
    or_buffer json, csv;
    bool (*stop)(void *);
    const char *comma; /* before the next row of the list in hand */
} writer;

/* ---- members ------------------------------------------------------------------------------------------- */

static or_status put_text(or_buffer *out, const char *key, const char *text)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": ", key));
    return text ? or_json_put_string(out, text) : or_buffer_puts(out, "null");
}

/* What is no number is null. */
static or_status put_number(or_buffer *out, const char *key, double value)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": ", key));
    return isfinite(value) ? or_json_put_double(out, value) : or_buffer_puts(out, "null");
}

static or_status begin_row(writer *w, size_t model)
{
    OR_TRY(or_buffer_printf(&w->json, "%s\n  {\"model\": ", w->comma));
    w->comma = ",";
    return or_json_put_string(&w->json, w->study->models[model].name);
}

static or_status begin_list(writer *w, const char *key)
{
    w->comma = "";
    return or_buffer_printf(&w->json, ",\n \"%s\": [", key);
}

/* ---- results ------------------------------------------------------------------------------------------- */

static or_status put_csv_text(or_buffer *out, const char *text)
{
    OR_TRY(or_buffer_put_csv(out, text));
    return or_buffer_puts(out, ",");
}

static or_status put_csv_number(or_buffer *out, double value, const char *end)
{
    if (isfinite(value)) OR_TRY(or_json_put_double(out, value));
    return or_buffer_puts(out, end);
}

/* Of whom the figures are. */
typedef struct subject {
    size_t model, task;
    int shots;
    const char *policy, *trained_on; /* trained_on NULL: on nothing */
} subject;

static or_status put_result_csv(writer *w, const subject *of, const or_figures *f)
{
    const double values[] = {f->accuracy,       f->standard_error, f->agreement,  f->exit_layer_mean,
                             f->exit_layer_var, f->layers_saved,   f->flops_ratio};
    const or_study_task *task = &w->study->tasks[of->task];
    const size_t n = sizeof values / sizeof values[0];
    OR_TRY(put_csv_text(&w->csv, w->study->models[of->model].name));
    OR_TRY(put_csv_text(&w->csv, w->study->groups[task->group].name));
    OR_TRY(put_csv_text(&w->csv, or_task_name(task->task)));
    OR_TRY(or_buffer_printf(&w->csv, "%d,", of->shots));
    OR_TRY(put_csv_text(&w->csv, of->policy));
    OR_TRY(put_csv_text(&w->csv, of->trained_on ? of->trained_on : ""));
    OR_TRY(or_buffer_printf(&w->csv, "%zu,", f->n));
    for (size_t i = 0; i < n; i++) OR_TRY(put_csv_number(&w->csv, values[i], i + 1 < n ? "," : "\n"));
    return OR_OK;
}

static or_status put_result(writer *w, const subject *of, const or_figures *f)
{
    const or_study_task *task = &w->study->tasks[of->task];
    OR_TRY(begin_row(w, of->model));
    OR_TRY(put_text(&w->json, "group", w->study->groups[task->group].name));
    OR_TRY(put_text(&w->json, "task", or_task_name(task->task)));
    OR_TRY(or_buffer_printf(&w->json, ", \"shots\": %d", of->shots));
    OR_TRY(put_text(&w->json, "policy", of->policy));
    OR_TRY(put_text(&w->json, "trained_on", of->trained_on));
    OR_TRY(or_buffer_printf(&w->json, ", \"n\": %zu", f->n));
    OR_TRY(put_number(&w->json, "accuracy", f->accuracy));
    OR_TRY(put_number(&w->json, "stderr", f->standard_error));
    OR_TRY(put_number(&w->json, "agreement", f->agreement));
    OR_TRY(put_number(&w->json, "exit_layer_mean", f->exit_layer_mean));
    OR_TRY(put_number(&w->json, "exit_layer_var", f->exit_layer_var));
    OR_TRY(put_number(&w->json, "layers_saved", f->layers_saved));
    OR_TRY(put_number(&w->json, "flops_ratio", f->flops_ratio));
    OR_TRY(or_buffer_puts(&w->json, "}"));
    return put_result_csv(w, of, f);
}

/* The row of one policy, if it could be trained. */
static or_status put_policy_result(writer *w, subject of, size_t policy, const or_trace *trace)
{
    const or_study *study = w->study;
    const or_study_policy *p = &study->policies[policy];
    const char *variant = w->variants[of.model * study->n_policies + policy];
    const size_t scope = or_study_scope_of(study, p->on, of.task);
    or_figures figures;
    of.policy = p->name;
    if (p->drop > 0 && variant) {
        or_trace pruned = {0};
        or_status status = or_study_gather(study, of.model, variant, 1 + study->n_groups + of.task, of.shots,
                                           OR_SPLIT_TEST, &pruned);
        or_figures_pruned(trace, &pruned, &figures);
        if (status == OR_OK) status = put_result(w, &of, &figures);
        or_trace_free(&pruned);
        return status;
    }
    const or_study_trained *trained = p->drop > 0 ? NULL : or_study_find(w->all, of.model, policy, scope);
    if (!trained) return OR_OK;
    of.trained_on = or_study_scope_name(study, scope);
    or_figures_policy(trained->loaded, trace, &figures);
    return put_result(w, &of, &figures);
}

/* Rows of a task at a number of shots; none where it has no such rows. */
static or_status put_task(writer *w, subject of)
{
    const or_study *study = w->study;
    or_trace trace = {0};
    or_figures figures;
    or_status status =
        or_study_gather(study, of.model, "", 1 + study->n_groups + of.task, of.shots, OR_SPLIT_TEST, &trace);
    if (status != OR_OK || trace.count == 0) goto done;
    or_figures_full(&trace, &figures);
    of.policy = "full";
    OR_TRY_GOTO(done, put_result(w, &of, &figures));
    for (size_t p = 0; p < study->n_policies; p++) OR_TRY_GOTO(done, put_policy_result(w, of, p, &trace));
    or_figures_oracle(&trace, &figures);
    of.policy = "oracle";
    status = put_result(w, &of, &figures);
done:
    or_trace_free(&trace);
    return status;
}

static or_status put_results(writer *w)
{
    const or_study *study = w->study;
    OR_TRY(begin_list(w, "results"));
    OR_TRY(or_buffer_puts(&w->csv, "model,group,task,shots,policy,trained_on,n,accuracy,stderr,agreement,"
                                   "exit_layer_mean,exit_layer_var,layers_saved,flops_ratio\n"));
    for (size_t m = 0; m < study->n_models; m++)
        for (size_t t = 0; t < study->n_tasks; t++)
            for (size_t s = 0; s < study->n_shots; s++)
                OR_TRY(put_task(w, (subject){.model = m, .task = t, .shots = study->shots[s]}));
    return or_buffer_puts(&w->json, "]");
}

/* ---- policies ------------------------------------------------------------------------------------------ */

/* A promise is of a threshold that some request reaches. */
static or_status put_trained(writer *w, const or_study_trained *trained)
{
    const or_study_policy *policy = &w->study->policies[trained->policy];
    const or_train_promise *promise = &trained->report.promise;
    const bool promised = promise->guarantee > 0;
    OR_TRY(begin_row(w, trained->model));
    OR_TRY(put_text(&w->json, "policy", policy->name));
    OR_TRY(put_text(&w->json, "trained_on", or_study_scope_name(w->study, trained->scope)));
    OR_TRY(put_text(&w->json, "file", trained->path + strlen(w->study->output) + 1));
    OR_TRY(put_text(&w->json, "classifier", or_policy_classifier(trained->loaded)));
    OR_TRY(or_buffer_printf(&w->json, ", \"ramps\": %d", trained->report.n_ramps));
    OR_TRY(put_number(&w->json, "threshold", trained->report.threshold));
    OR_TRY(put_number(&w->json, "target_agreement",
                      policy->train.target_agreement > 0 ? policy->train.target_agreement : NAN));
    OR_TRY(put_number(&w->json, "guarantee", promised ? promise->guarantee : NAN));
    OR_TRY(put_number(&w->json, "bound", promised ? promise->bound : NAN));
    OR_TRY(put_number(&w->json, "questions", promised ? (double)promise->questions : NAN));
    OR_TRY(put_number(&w->json, "errors", promised ? (double)promise->errors : NAN));
    return or_buffer_puts(&w->json, "}");
}

static or_status put_policies(writer *w)
{
    OR_TRY(begin_list(w, "policies"));
    for (size_t i = 0; i < w->all->count; i++) OR_TRY(put_trained(w, &w->all->items[i]));
    return or_buffer_puts(&w->json, "]");
}

/* ---- ablation ------------------------------------------------------------------------------------------ */

static or_status put_feature_names(writer *w, unsigned features)
{
    const char *comma = "";
    OR_TRY(or_buffer_puts(&w->json, ", \"features\": ["));
    for (int f = 0; f < OR_FEATURE_COUNT; f++) {
        if (!(features >> f & 1)) continue;
        OR_TRY(or_buffer_printf(&w->json, "%s\"%s\"", comma, or_feature_name((or_feature)f)));
        comma = ", ";
    }
    return or_buffer_puts(&w->json, "]");
}

/* One subset, trained on all train rows and replayed on all test rows; left out with a note where it
 * cannot be. */
static or_status put_subset(writer *w, size_t model, unsigned features, const or_trace *train,
                            const or_trace *test, const char *path)
{
    or_train_options options = w->study->ablation;
    or_train_report report;
    or_policy *policy = NULL;
    or_figures f;
    options.features = features;
    const or_status status = or_train(train, &options, path, &report);
    if (status == OR_ERR_INPUT) {
        or_log_note("no ablation of %d features: %s", __builtin_popcount(features), or_status_message());
        return OR_OK;
    }
    OR_TRY(status);
    OR_TRY(or_policy_load(path, &policy));
    or_figures_policy(policy, test, &f);
    or_policy_free(policy);
    OR_TRY(begin_row(w, model));
    OR_TRY(put_text(&w->json, "classifier", options.classifier));
    OR_TRY(put_feature_names(w, features));
    OR_TRY(or_buffer_printf(&w->json, ", \"n\": %zu", f.n));
    OR_TRY(put_number(&w->json, "agreement", f.agreement));
    OR_TRY(put_number(&w->json, "layers_saved", f.layers_saved));
    OR_TRY(put_number(&w->json, "flops_ratio", f.flops_ratio));
    OR_TRY(put_number(&w->json, "oracle_saved", f.oracle_saved));
    return or_buffer_puts(&w->json, "}");
}

static or_status put_ablation_of(writer *w, size_t model)
{
    const or_study *study = w->study;
    or_trace train = {0}, test = {0};
    char *folder = NULL, *path = NULL;
    or_status status = or_study_gather(study, model, "", 0, -1, OR_SPLIT_TRAIN, &train);
    if (status == OR_OK) status = or_study_gather(study, model, "", 0, -1, OR_SPLIT_TEST, &test);
    if (status == OR_OK)
        status = or_format(&folder, "%s/policies/%s/ablation", study->output, study->models[model].name);
    if (status == OR_OK) status = or_path_join(folder, "subset.json", &path);
    if (status == OR_OK) status = or_folder_make(folder);
    if (status == OR_OK) status = or_file_may_write(path);
    for (unsigned subset = 1; subset < 1u << study->n_ablated && status == OR_OK; subset++) {
        unsigned features = 0;
        for (int i = 0; i < study->n_ablated; i++)
            if (subset >> i & 1) features |= study->ablated[i];
        if (w->stop && w->stop(NULL)) status = OR_STOPPED;
        if (status != OR_OK) break;
        status = put_subset(w, model, features, &train, &test, path);
    }
    free(path);
    free(folder);
    or_trace_free(&test);
    or_trace_free(&train);
    return status;
}

static or_status put_ablation(writer *w)
{
    if (w->study->n_ablated == 0) return OR_OK;
    OR_TRY(begin_list(w, "features"));
    for (size_t m = 0; m < w->study->n_models; m++) OR_TRY(put_ablation_of(w, m));
    return or_buffer_puts(&w->json, "]");
}

/* ---- generalisation ------------------------------------------------------------------------------------ */

/* A policy, of this model or another of the same depth, on a scope of this one. */
static or_status put_transfer(writer *w, size_t model, const or_study_trained *trained, size_t scope,
                              const or_trace *test, const or_figures *full)
{
    or_figures f;
    or_figures_policy(trained->loaded, test, &f);
    OR_TRY(begin_row(w, model));
    OR_TRY(put_text(&w->json, "model_trained", w->study->models[trained->model].name));
    OR_TRY(put_text(&w->json, "policy", w->study->policies[trained->policy].name));
    OR_TRY(put_text(&w->json, "trained_on", or_study_scope_name(w->study, trained->scope)));
    OR_TRY(put_text(&w->json, "tested_on", or_study_scope_name(w->study, scope)));
    OR_TRY(or_buffer_printf(&w->json, ", \"n\": %zu", f.n));
    OR_TRY(put_number(&w->json, "accuracy", f.accuracy));
    OR_TRY(put_number(&w->json, "accuracy_full", full->accuracy));
    OR_TRY(put_number(&w->json, "agreement", f.agreement));
    OR_TRY(put_number(&w->json, "layers_saved", f.layers_saved));
    OR_TRY(put_number(&w->json, "flops_ratio", f.flops_ratio));
    return or_buffer_puts(&w->json, "}");
}

/* Policies of groups are tested on all groups, those of tasks on the tasks of their group. */
static bool is_transfer(const or_study *study, const or_study_trained *trained, size_t scope)
{
    const size_t tasks = 1 + study->n_groups;
    if (!study->transfers[trained->policy] || (trained->scope < tasks) != (scope < tasks)) return false;
    return scope < tasks || study->tasks[trained->scope - tasks].group == study->tasks[scope - tasks].group;
}

/* All policies that are tested on one scope. Another model's must be of as many layers. */
static or_status put_transfers_to(writer *w, size_t model, size_t scope)
{
    or_trace test = {0};
    or_figures full;
    or_status status = or_study_gather(w->study, model, "", scope, -1, OR_SPLIT_TEST, &test);
    or_figures_full(&test, &full);
    for (size_t i = 0; i < w->all->count && test.count > 0 && status == OR_OK; i++) {
        const or_study_trained *trained = &w->all->items[i];
        if (is_transfer(w->study, trained, scope) &&
            or_policy_check(trained->loaded, test.meta.n_layers, 0, true) == OR_OK)
            status = put_transfer(w, model, trained, scope, &test, &full);
    }
    or_trace_free(&test);
    return status;
}

/* Which kinds of scopes are asked about. */
static bool any_transfer(const or_study *study, or_study_on on)
{
    for (size_t p = 0; p < study->n_policies; p++)
        if (study->transfers[p] && study->policies[p].on == on) return true;
    return false;
}

static or_status put_transfers(writer *w)
{
    const or_study *study = w->study;
    const size_t groups = any_transfer(study, OR_STUDY_ON_GROUP) ? study->n_groups : 0,
                 tasks = any_transfer(study, OR_STUDY_ON_TASK) ? study->n_tasks : 0;
    if (groups + tasks == 0) return OR_OK;
    OR_TRY(begin_list(w, "generalisation"));
    for (size_t m = 0; m < study->n_models; m++) {
        for (size_t g = 0; g < groups; g++) OR_TRY(put_transfers_to(w, m, 1 + g));
        for (size_t t = 0; t < tasks; t++) OR_TRY(put_transfers_to(w, m, 1 + study->n_groups + t));
    }
    return or_buffer_puts(&w->json, "]");
}

/* ---- the files ------------------------------------------------------------------------------------------ */

/* What a trace of the model says of it; that of the first task which has one. */
static or_status find_meta(const or_study *study, size_t model, or_trace_meta *meta)
{
    for (size_t t = 0; t < study->n_tasks && meta->n_layers == 0; t++) {
        or_trace trace = {0};
        const size_t scope = or_study_scope_of(study, OR_STUDY_ON_TASK, t);
        or_status status = or_study_gather(study, model, "", scope, -1, OR_SPLIT_TEST, &trace);
        *meta = trace.meta;
        or_trace_free(&trace);
        OR_TRY(status);
    }
    return OR_OK;
}

/* Models with what their traces say of them, and the names of the test traces. */
static or_status put_models(writer *w)
{
    const or_study *study = w->study;
    OR_TRY(or_buffer_puts(&w->json, "{\n \"format\": \"offramp-study-1\",\n \"models\": ["));
    for (size_t m = 0; m < study->n_models; m++) {
        or_trace_meta meta = {0};
        OR_TRY(find_meta(study, m, &meta));
        OR_TRY(begin_row(w, m));
        OR_TRY(put_text(&w->json, "path", study->models[m].path));
        OR_TRY(or_buffer_printf(&w->json, ", \"layers\": %d, \"fingerprint\": \"%016" PRIx64 "\"}",
                                meta.n_layers, meta.fingerprint));
    }
    return or_buffer_puts(&w->json, "]");
}

static or_status put_traces(writer *w)
{
    const or_study *study = w->study;
    or_study_unit *units = NULL;
    size_t count;
    OR_TRY(or_study_units(study, &units, &count));
    or_status status = begin_list(w, "traces");
    for (size_t m = 0; m < study->n_models; m++)
        for (size_t u = 0; u < count && status == OR_OK; u++) {
            char *path = NULL;
            if (units[u].split != OR_SPLIT_TEST) continue;
            status = or_study_trace_path(study, m, "", units[u], &path);
            if (status == OR_OK) status = or_buffer_printf(&w->json, "%s\n  ", w->comma);
            if (status == OR_OK) status = or_json_put_string(&w->json, path + strlen(study->output) + 1);
            w->comma = ",";
            free(path);
        }
    free(units);
    return status == OR_OK ? or_buffer_puts(&w->json, "]") : status;
}

static or_status put_study(writer *w, const or_study_checked *checked)
{
    OR_TRY(put_models(w));
    OR_TRY(put_results(w));
    OR_TRY(put_policies(w));
    OR_TRY(put_ablation(w));
    OR_TRY(put_transfers(w));
    OR_TRY(put_traces(w));
    return or_buffer_printf(&w->json, ",\n \"checked\": {\"instances\": %zu, \"differ\": %zu}\n}\n",
                            checked->instances, checked->differ);
}

static or_status write_file(const char *folder, const char *name, const or_buffer *text)
{
    char *path = NULL;
    or_status status = or_path_join(folder, name, &path);
    if (status == OR_OK) status = or_file_write(path, text->data, text->size);
    free(path);
    return status;
}

/* The report's tables of what is in study.json, without its plots. */
static or_status write_tables(const char *folder, const char *format_name)
{
    const or_report_format *format;
    or_report *report = NULL;
    char *path = NULL;
    or_status status = or_report_format_find(format_name, &format);
    if (status == OR_OK) status = or_report_open(&report);
    if (status == OR_OK) status = or_report_add(report, folder);
    if (status == OR_OK) status = or_format(&path, "%s/tables.%s", folder, format_name);
    if (status == OR_OK) status = or_report_write(report, format, path);
    or_report_close(report);
    free(path);
    return status;
}

or_status or_study_write(const or_study *study, const or_study_all_trained *all, char *const *variants,
                         const or_study_checked *checked, bool (*stop)(void *))
{
    writer w = {.study = study, .all = all, .variants = variants, .stop = stop, .comma = ""};
    or_status status = put_study(&w, checked);
    if (status == OR_OK) status = write_file(study->output, "results.csv", &w.csv);
    if (status == OR_OK) status = write_file(study->output, "study.json", &w.json);
    if (status == OR_OK) status = write_tables(study->output, "md");
    if (status == OR_OK) status = write_tables(study->output, "tex");
    or_buffer_free(&w.csv);
    or_buffer_free(&w.json);
    return status;
}
