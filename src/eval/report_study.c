/* report_study.c - a folder of offramp study: study.json, and the traces that it names. */
#include "report_internal.h"

#include "file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The study that is read. */
typedef struct reader {
    or_report *report;
    const char *folder, *source, *path; /* path: of study.json, for messages */
    const cJSON *study;
} reader;

static or_status check_format(const reader *r)
{
    const char *format;
    OR_TRY(or_json_string(r->study, "format", r->path, &format));
    if (strcmp(format, "offramp-study-1") == 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", r->path, "\"format\" is \"%s\", expected \"offramp-study-1\"",
                   format);
}

/* A row among the inputs for each. */
static or_status take_models(const reader *r)
{
    const cJSON *models, *model;
    char where[1024];
    int number = 1;
    OR_TRY(or_json_array(r->study, "models", r->path, &models));
    cJSON_ArrayForEach(model, models)
    {
        const char *name;
        uint64_t fingerprint;
        int64_t n_layers;
        size_t index;
        or_cell *cells;
        snprintf(where, sizeof where, "%s: models %d", r->path, number++);
        OR_TRY(or_json_string(model, "model", where, &name));
        OR_TRY(or_report_fingerprint(model, where, &fingerprint));
        OR_TRY(or_json_int(model, "layers", where, 1, 99999, &n_layers));
        OR_TRY(or_report_model_find(r->report, name, fingerprint, (int)n_layers, where, &index));
        OR_TRY(or_report_source(r->report, r->source, "study", &cells));
        OR_TRY(or_report_source_model(r->report, index, cells));
    }
    if (number > 1) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", r->path, "\"models\" is empty, expected a model");
}

/* The name by which the report knows the study's model of that name. */
static or_status find_model(const reader *r, const char *name, const char *where, const char **known)
{
    const cJSON *model;
    cJSON_ArrayForEach(model, or_json_find(r->study, "models"))
    {
        const char *own;
        uint64_t fingerprint;
        OR_TRY(or_json_string(model, "model", where, &own));
        OR_TRY(or_report_fingerprint(model, where, &fingerprint));
        if (strcmp(own, name) != 0) continue;
        for (size_t i = 0; i < r->report->n_models; i++)
            if (r->report->models[i].fingerprint == fingerprint) *known = r->report->models[i].name;
        return OR_OK;
    }
    return or_fail(OR_ERR_INPUT, "wrong field", where, "model \"%s\" is not among \"models\"", name);
}

/* Rows name a model of the study; those of results have a group besides, which a reader of eval could not
 * ask for. */
static or_status take_row(const reader *r, const cJSON *row, or_table *table, const char *where)
{
    const char *name;
    OR_TRY(or_report_read_row(r->report, table, row, where));
    or_cell *cells = or_table_row(table, table->n_rows - 1);
    OR_TRY(or_json_string(row, "model", where, &name));
    if (table == &r->report->transfer && cells[OR_TRANSFER_FROM].text)
        OR_TRY(find_model(r, cells[OR_TRANSFER_FROM].text, where, &cells[OR_TRANSFER_FROM].text));
    if (table == &r->report->policies && isnan(cells[OR_POLICY_THRESHOLD].number))
        OR_TRY(or_report_text(r->report, &cells[OR_POLICY_THRESHOLD].text, "never fires"));
    if (table != &r->report->results) return find_model(r, name, where, &cells[0].text);
    cells[OR_RESULT_SOURCE].text = r->source;
    OR_TRY(or_json_string(row, "group", where, &name)); /* results of eval have none */
    OR_TRY(or_json_string(row, "model", where, &name));
    return find_model(r, name, where, &cells[OR_RESULT_MODEL].text);
}

/* Rows under `key`, which may be absent. */
static or_status take_rows(const reader *r, const char *key, or_table *table)
{
    const cJSON *rows, *row;
    char where[1024];
    int number = 1;
    if (!or_json_find(r->study, key)) return OR_OK;
    OR_TRY(or_json_array(r->study, key, r->path, &rows));
    cJSON_ArrayForEach(row, rows)
    {
        snprintf(where, sizeof where, "%s: %s %d", r->path, key, number++);
        OR_TRY(take_row(r, row, table, where));
    }
    return OR_OK;
}

/* ---- all tasks of a group ------------------------------------------------------------------------------ */

/* What a policy was trained on; "each task" where that is its row's own. */
static const char *trained_on(const or_cell *row)
{
    const char *trained = row[OR_RESULT_TRAINED].text;
    if (!trained) return "";
    return strcmp(trained, row[OR_RESULT_TASK].text) == 0 ? "each task" : trained;
}

/* Rows of one study, model, group and number of shots. */
static bool same_group(const or_cell *a, const or_cell *b)
{
    return or_report_same_group(a, b) && strcmp(a[OR_RESULT_SOURCE].text, b[OR_RESULT_SOURCE].text) == 0;
}

static bool same_policy(const or_cell *a, const or_cell *b)
{
    return same_group(a, b) && strcmp(a[OR_RESULT_POLICY].text, b[OR_RESULT_POLICY].text) == 0 &&
           strcmp(trained_on(a), trained_on(b)) == 0;
}

/* Columns of which the total's is the mean over instances. */
static const int means[] = {OR_RESULT_ACCURACY,  OR_RESULT_EXACT, OR_RESULT_AGREEMENT,
                            OR_RESULT_EXIT_MEAN, OR_RESULT_SAVED, OR_RESULT_FLOPS};
enum { MEANS = sizeof means / sizeof *means };

/* Adds a task's row to the total's, weighted by its instances. The sum of squared exit layers is made of
 * mean and variance; a column that a task lacks (NAN) the total lacks, too. */
static void add_task(or_cell *total, const or_cell *row)
{
    const double n = row[OR_RESULT_N].number, mean = row[OR_RESULT_EXIT_MEAN].number;
    for (size_t i = 0; i < MEANS; i++) total[means[i]].number += n * row[means[i]].number;
    total[OR_RESULT_ERROR].number += n * n * row[OR_RESULT_ERROR].number * row[OR_RESULT_ERROR].number;
    total[OR_RESULT_EXIT_VAR].number +=
        (n > 1 ? (n - 1) * row[OR_RESULT_EXIT_VAR].number : 0) + n * mean * mean;
    total[OR_RESULT_N].number += n;
}

/* From sums to figures. */
static void end_total(or_cell *total)
{
    const double n = total[OR_RESULT_N].number;
    for (size_t i = 0; i < MEANS; i++) total[means[i]].number /= n;
    const double mean = total[OR_RESULT_EXIT_MEAN].number;
    total[OR_RESULT_ERROR].number = sqrt(total[OR_RESULT_ERROR].number) / n;
    total[OR_RESULT_EXIT_VAR].number =
        n > 1 ? fmax(0, (total[OR_RESULT_EXIT_VAR].number - n * mean * mean) / (n - 1)) : NAN;
}

/* The total of the policy of row `i`, unless a row before had it, or the policy has one task only, or not all that
 * full depth has: figures of other tasks do not compare. */
static or_status add_total(or_report *report, size_t first, size_t i)
{
    const or_table *results = &report->results;
    const or_cell *own = or_table_row(results, i);
    or_cell *total;
    size_t tasks = 0, all = 0;
    for (size_t k = first; k < results->n_rows; k++) {
        all += same_group(or_table_row(results, k), own) && or_report_is_full(or_table_row(results, k));
        if (!same_policy(or_table_row(results, k), own)) continue;
        if (k < i) return OR_OK;
        tasks++;
    }
    if (tasks < 2 || tasks < all) return OR_OK;
    OR_TRY(or_table_add(&report->totals, &total));
    for (int c = OR_RESULT_N; c <= OR_RESULT_FLOPS; c++)
        if (c != OR_RESULT_OF_ORACLE) total[c].number = 0;
    for (int c = 0; c < OR_RESULT_N; c++) total[c] = own[c];
    OR_TRY(or_report_text(report, &total[OR_RESULT_TASK].text, "all tasks"));
    if (own[OR_RESULT_TRAINED].text)
        OR_TRY(or_report_text(report, &total[OR_RESULT_TRAINED].text, "%s", trained_on(own)));
    for (size_t k = i; k < results->n_rows; k++)
        if (same_policy(or_table_row(results, k), own)) add_task(total, or_table_row(results, k));
    end_total(total);
    return OR_OK;
}

/* ---- the folder ---------------------------------------------------------------------------------------- */

/* Paths are relative to the folder. */
static or_status take_traces(const reader *r)
{
    const cJSON *traces, *trace;
    if (!or_json_find(r->study, "traces")) return OR_OK;
    OR_TRY(or_json_array(r->study, "traces", r->path, &traces));
    cJSON_ArrayForEach(trace, traces)
    {
        char *path = NULL;
        size_t model;
        if (!cJSON_IsString(trace))
            return or_fail(OR_ERR_INPUT, "wrong field", r->path,
                           "\"traces\" holds what is no text, expected paths");
        OR_TRY(or_path_join(r->folder, trace->valuestring, &path));
        or_status status = or_report_take_trace(r->report, path, &model);
        free(path);
        OR_TRY(status);
    }
    return OR_OK;
}

/* Of several studies the sums. */
static or_status take_checked(const reader *r)
{
    const cJSON *checked;
    int64_t instances, differ;
    if (!or_json_find(r->study, "checked")) return OR_OK;
    OR_TRY(or_json_object(r->study, "checked", r->path, &checked));
    OR_TRY(or_json_int(checked, "instances", r->path, 0, INT64_C(1) << 52, &instances));
    OR_TRY(or_json_int(checked, "differ", r->path, 0, instances, &differ));
    r->report->checked += (double)instances;
    r->report->differ += (double)differ;
    return OR_OK;
}

/* Models come first, since all else refers to them. */
static or_status take_study(const reader *r)
{
    or_report *report = r->report;
    const size_t first = report->results.n_rows;
    OR_TRY(check_format(r));
    OR_TRY(take_models(r));
    if (!or_json_find(r->study, "results"))
        return or_fail(OR_ERR_INPUT, "wrong field", r->path, "\"results\" is nothing, expected an array");
    OR_TRY(take_rows(r, "results", &report->results));
    OR_TRY(or_report_make_exits(report));
    for (size_t i = first; i < report->results.n_rows; i++) OR_TRY(add_total(report, first, i));
    OR_TRY(take_rows(r, "policies", &report->policies));
    OR_TRY(take_rows(r, "features", &report->features));
    OR_TRY(take_rows(r, "generalisation", &report->transfer));
    OR_TRY(take_traces(r));
    return take_checked(r);
}

or_status or_report_add_study(or_report *report, const char *folder, const char *source)
{
    char *path = NULL;
    cJSON *study = NULL;
    OR_TRY(or_path_join(folder, "study.json", &path));
    or_status status = or_json_load(path, &study);
    const reader r = {report, folder, source, path, study};
    if (status == OR_OK) status = take_study(&r);
    cJSON_Delete(study);
    free(path);
    return status;
}
