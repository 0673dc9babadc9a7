/* report_eval.c - a folder of offramp eval: run.json, summary.json, results.jsonl, and the timeline if it
 * is there. */
#include "report_internal.h"

#include "file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The folder that is read. */
typedef struct reader {
    or_report *report;
    const char *folder, *source;
    const char *model;
    int n_layers;
    size_t first; /* its first row of results */
} reader;

/* ---- run.json ------------------------------------------------------------------------------------------ */

/* The last layer of any rank: the pipeline ends at full depth. */
static or_status count_layers(const cJSON *ranks, const char *where, int *n_layers)
{
    const cJSON *rank;
    *n_layers = 0;
    cJSON_ArrayForEach(rank, ranks)
    {
        const cJSON *layers;
        OR_TRY(or_json_array(rank, "layers", where, &layers));
        const cJSON *last = cJSON_GetArrayItem(layers, 1);
        if (cJSON_IsNumber(last) && last->valueint > *n_layers && last->valueint < 100000)
            *n_layers = last->valueint;
    }
    if (*n_layers > 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", where,
                   "\"ranks\" names no layers, expected \"layers\": [first, last] of each");
}

/* Settings first: layers bound what the other files may say. */
static or_status take_run(reader *r, const cJSON *run, const char *where)
{
    const char *name;
    const cJSON *ranks;
    uint64_t fingerprint;
    size_t model;
    OR_TRY(or_json_string(run, "model", where, &name));
    OR_TRY(or_report_fingerprint(run, where, &fingerprint));
    OR_TRY(or_json_array(run, "ranks", where, &ranks));
    OR_TRY(count_layers(ranks, where, &r->n_layers));
    OR_TRY(or_report_model_find(r->report, name, fingerprint, r->n_layers, where, &model));
    r->model = r->report->models[model].name;
    or_table *sources = &r->report->sources;
    OR_TRY(or_report_read_row(r->report, sources, run, where));
    or_cell *cells = or_table_row(sources, sources->n_rows - 1);
    cells[OR_SOURCE_NAME].text = r->source;
    cells[OR_SOURCE_KIND].text = "eval";
    cells[OR_SOURCE_RANKS].number = cJSON_GetArraySize(ranks);
    return or_report_source_model(r->report, model, cells);
}

/* ---- summary.json -------------------------------------------------------------------------------------- */

/* A row of results or totals, and the message's place "summary.json: groups 3". */
static or_status take_figures(reader *r, or_table *table, const cJSON *figures, const char *where)
{
    OR_TRY(or_report_read_row(r->report, table, figures, where));
    or_cell *cells = or_table_row(table, table->n_rows - 1);
    cells[OR_RESULT_SOURCE].text = r->source;
    cells[OR_RESULT_MODEL].text = r->model;
    if (!(cells[OR_RESULT_EXIT_MEAN].number > r->n_layers)) return OR_OK; /* NAN: every instance has failed */
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"exit_layer_mean\" is %g, expected 1..%d layers",
                   cells[OR_RESULT_EXIT_MEAN].number, r->n_layers);
}

/* [first, last] as a text. */
static or_status take_layers(reader *r, const cJSON *stage, const char *where, or_cell *cell)
{
    const cJSON *layers;
    OR_TRY(or_json_array(stage, "layers", where, &layers));
    const cJSON *from = cJSON_GetArrayItem(layers, 0), *to = cJSON_GetArrayItem(layers, 1);
    if (!cJSON_IsNumber(from) || !cJSON_IsNumber(to))
        return or_fail(OR_ERR_INPUT, "wrong field", where, "\"layers\" is no pair, expected [first, last]");
    return or_report_text(r->report, &cell->text, "%d..%d", from->valueint, to->valueint);
}

/* What adds up over groups; the peak is the highest, and the layers are the last group's, as in eval's own
 * table. */
static void add_stage(or_cell *sum, const or_cell *stage)
{
    for (int c = OR_STAGE_IN; c <= OR_STAGE_WAIT; c++) sum[c].number += stage[c].number;
    sum[OR_STAGE_LAYERS] = stage[OR_STAGE_LAYERS];
    sum[OR_STAGE_PEAK].number = fmax(sum[OR_STAGE_PEAK].number, stage[OR_STAGE_PEAK].number);
}

/* Stage `s` of a group becomes row first + s, or is added to it. The list is empty where the last process ran
 * nothing of the group. */
static or_status take_stage(reader *r, const cJSON *stage, size_t first, size_t s, const char *where)
{
    or_table *stages = &r->report->stages;
    OR_TRY(or_report_read_row(r->report, stages, stage, where));
    or_cell *cells = or_table_row(stages, stages->n_rows - 1), *sum = or_table_row(stages, first + s);
    OR_TRY(take_layers(r, stage, where, &cells[OR_STAGE_LAYERS]));
    if (cells != sum) {
        add_stage(sum, cells);
        stages->n_rows--;
    }
    sum[OR_STAGE_SOURCE].text = r->source;
    const double spent = sum[OR_STAGE_BUSY].number + sum[OR_STAGE_IDLE].number + sum[OR_STAGE_WAIT].number;
    sum[OR_STAGE_BUSY_SHARE].number = spent > 0 ? sum[OR_STAGE_BUSY].number / spent : NAN;
    return OR_OK;
}

static or_status take_groups(reader *r, const cJSON *summary, const char *path)
{
    const cJSON *groups, *group, *stages, *stage;
    const size_t first_stage = r->report->stages.n_rows;
    char where[1024];
    size_t number = 1;
    OR_TRY(or_json_array(summary, "groups", path, &groups));
    cJSON_ArrayForEach(group, groups)
    {
        snprintf(where, sizeof where, "%s: groups %zu", path, number++);
        OR_TRY(take_figures(r, &r->report->results, group, where));
        OR_TRY(or_json_array(group, "stages", where, &stages));
        size_t s = 0;
        cJSON_ArrayForEach(stage, stages) OR_TRY(take_stage(r, stage, first_stage, s++, where));
    }
    if (number > 1) return OR_OK;
    return or_fail(OR_ERR_INPUT, "wrong field", path, "\"groups\" is empty, expected figures of a run");
}

/* Of one task they would repeat its rows. */
static or_status take_totals(reader *r, const cJSON *summary, const char *path)
{
    const cJSON *totals, *total;
    char where[1024];
    int number = 1;
    OR_TRY(or_json_array(summary, "totals", path, &totals));
    if ((size_t)cJSON_GetArraySize(totals) == r->report->results.n_rows - r->first) return OR_OK;
    cJSON_ArrayForEach(total, totals)
    {
        snprintf(where, sizeof where, "%s: totals %d", path, number++);
        OR_TRY(take_figures(r, &r->report->totals, total, where));
    }
    return OR_OK;
}

/* ---- results.jsonl ------------------------------------------------------------------------------------- */

/* Of one line; lines are sorted by group, so the last one's is looked at first. */
typedef struct instance {
    const char *task, *policy;
    int64_t shots;
} instance;

static bool is_row(const or_cell *row, const instance *i)
{
    return strcmp(row[OR_RESULT_TASK].text, i->task) == 0 &&
           strcmp(row[OR_RESULT_POLICY].text, i->policy) == 0 &&
           row[OR_RESULT_SHOTS].number == (double)i->shots;
}

/* *row comes in as the last line's. */
static or_status find_row(const reader *r, const instance *i, const char *where, size_t *row)
{
    const or_table *results = &r->report->results;
    if (is_row(or_table_row(results, *row), i)) return OR_OK;
    for (*row = r->first; *row < results->n_rows; ++*row)
        if (is_row(or_table_row(results, *row), i)) return OR_OK;
    return or_fail(OR_ERR_INPUT, "results do not fit their summary", where,
                   "task \"%s\", %lld shots, policy \"%s\" is not in summary.json", i->task,
                   (long long)i->shots, i->policy);
}

/* A generated answer has an exit layer per token, in a list; else there is one. What has failed left
 * nowhere. */
static or_status count_exits(const reader *r, or_exits *exits, const cJSON *line, const char *where)
{
    const cJSON *layers, *layer;
    int64_t single;
    if (or_json_find(line, "error")) return OR_OK;
    if (!or_json_find(line, "exit_layers")) {
        OR_TRY(or_json_int(line, "exit_layer", where, 1, r->n_layers, &single));
        exits->counts[single]++;
        return OR_OK;
    }
    OR_TRY(or_json_array(line, "exit_layers", where, &layers));
    cJSON_ArrayForEach(layer, layers)
    {
        const double value = cJSON_IsNumber(layer) ? layer->valuedouble : 0;
        if (!(value >= 1 && value <= r->n_layers) || value != floor(value))
            return or_fail(OR_ERR_INPUT, "wrong field", where,
                           "\"exit_layers\" holds another value, expected whole numbers 1..%d", r->n_layers);
        exits->counts[(int)value]++;
    }
    return OR_OK;
}

/* counts[0], which is no exit layer, counts lines until all are read. */
static or_status take_line(reader *r, const char *line, size_t size, const char *where, size_t *row)
{
    cJSON *json = NULL;
    instance i;
    OR_TRY(or_json_parse(line, size, where, &json));
    or_status status = or_json_string(json, "task", where, &i.task);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_json_string(json, "policy", where, &i.policy));
    OR_TRY_GOTO(done, or_json_int(json, "shots", where, 0, 1000000, &i.shots));
    OR_TRY_GOTO(done, find_row(r, &i, where, row));
    or_exits *exits = &r->report->exits[*row];
    exits->counts[0]++;
    status = count_exits(r, exits, json, where);
done:
    cJSON_Delete(json);
    return status;
}

/* A line without its newline was cut off while it was written. */
static or_status take_lines(reader *r, const or_buffer *text, const char *path)
{
    char where[1024];
    size_t row = r->first, number = 1;
    for (const char *line = text->data; line && *line; number++) {
        const char *end = strchr(line, '\n');
        snprintf(where, sizeof where, "%s:%zu", path, number);
        if (!end)
            return or_fail(OR_ERR_INPUT, "results refused", where,
                           "the file ends within this line, expected a newline after the last one");
        OR_TRY(take_line(r, line, (size_t)(end - line), where, &row));
        line = end + 1;
    }
    return OR_OK;
}

/* One place per row, with a count for each layer. */
static or_status make_counts(reader *r)
{
    or_report *report = r->report;
    OR_TRY(or_report_make_exits(report));
    for (size_t i = r->first; i < report->n_exits; i++) {
        report->exits[i].n_layers = r->n_layers;
        OR_TRY(OR_NEW(report->exits[i].counts, (size_t)r->n_layers + 1));
    }
    return OR_OK;
}

/* As many lines as the summary says, of every group. */
static or_status check_counts(const reader *r, const char *path)
{
    for (size_t i = r->first; i < r->report->results.n_rows; i++) {
        const or_cell *row = or_table_row(&r->report->results, i);
        uint64_t *counts = r->report->exits[i].counts;
        if ((double)counts[0] != row[OR_RESULT_N].number)
            return or_fail(OR_ERR_INPUT, "results do not fit their summary", path,
                           "found %llu lines of task \"%s\", policy \"%s\", expected %.0f as in summary.json",
                           (unsigned long long)counts[0], row[OR_RESULT_TASK].text,
                           row[OR_RESULT_POLICY].text, row[OR_RESULT_N].number);
        counts[0] = 0;
    }
    return OR_OK;
}

static or_status take_results(reader *r, const char *path)
{
    or_buffer text = {0};
    OR_TRY(make_counts(r));
    or_status status = or_file_read(path, &text);
    if (status == OR_OK) status = take_lines(r, &text, path);
    if (status == OR_OK) status = check_counts(r, path);
    or_buffer_free(&text);
    return status;
}

/* ---- the folder ---------------------------------------------------------------------------------------- */

static or_status take_summary(reader *r, const cJSON *summary, const char *path)
{
    OR_TRY(take_groups(r, summary, path));
    return take_totals(r, summary, path);
}

/* Reads one of the folder's objects. */
static or_status take_object(reader *r, const char *name,
                             or_status (*take)(reader *r, const cJSON *object, const char *path))
{
    char *path = NULL;
    cJSON *object = NULL;
    OR_TRY(or_path_join(r->folder, name, &path));
    or_status status = or_json_load(path, &object);
    if (status == OR_OK) status = take(r, object, path);
    cJSON_Delete(object);
    free(path);
    return status;
}

/* summary.json comes with the last result. */
static or_status take_all(reader *r, const char *summary, const char *results, const char *timeline)
{
    if (!or_path_exists(summary))
        return or_fail(OR_ERR_INPUT, "evaluation not complete", r->folder,
                       "found no summary.json, go on with offramp eval --resume");
    OR_TRY(take_object(r, "run.json", take_run));
    OR_TRY(take_object(r, "summary.json", take_summary));
    OR_TRY(take_results(r, results));
    return or_path_exists(timeline) ? or_report_add_lanes(r->report, timeline, r->source) : OR_OK;
}

or_status or_report_add_eval(or_report *report, const char *folder, const char *source)
{
    reader r = {.report = report, .folder = folder, .source = source, .first = report->results.n_rows};
    char *summary = NULL, *results = NULL, *timeline = NULL;
    or_status status = or_path_join(folder, "summary.json", &summary);
    if (status == OR_OK) status = or_path_join(folder, "results.jsonl", &results);
    if (status == OR_OK) status = or_path_join(folder, "timeline.json", &timeline);
    if (status == OR_OK) status = take_all(&r, summary, results, timeline);
    free(summary);
    free(results);
    free(timeline);
    return status;
}
