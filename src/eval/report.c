/* report.c - a report's inputs and what is done with them: recognise, read, draw, write. */
#include "report_internal.h"

#include "file.h"
#include "report_plots.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- what all readers use ------------------------------------------------------------------------------ */

or_status or_report_open(or_report **report)
{
    OR_TRY(OR_NEW(*report, 1));
    or_report_tables(*report);
    return OR_OK;
}

static void free_lanes(or_lanes *lanes)
{
    free(lanes->names);
    free(lanes->busy);
    free(lanes->wait);
    free(lanes->runs);
}

void or_report_close(or_report *report)
{
    if (!report) return;
    or_table *tables[] = {&report->sources,  &report->results,  &report->totals, &report->policies,
                          &report->features, &report->transfer, &report->bench,  &report->stages};
    for (size_t i = 0; i < report->n_exits; i++) free(report->exits[i].counts);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) free(tables[i]->cells);
    for (size_t i = 0; i < report->n_models; i++) free(report->models[i].depth);
    for (size_t i = 0; i < report->n_oracles; i++) free(report->oracles[i].exits);
    for (size_t i = 0; i < report->n_lanes; i++) free_lanes(&report->lanes[i]);
    for (size_t i = 0; i < report->n_texts; i++) free(report->texts[i]);
    free(report->exits);
    free(report->models);
    free(report->oracles);
    free(report->lanes);
    free(report->texts);
    free(report);
}

/* Tables and plots only point to texts: what they are of is gone when they are written. */
or_status or_report_text(or_report *report, const char **text, const char *format, ...)
{
    char *made = NULL;
    va_list args;
    OR_RESERVE(report->texts, report->texts_capacity, report->n_texts + 1);
    va_start(args, format);
    const int length = vasprintf(&made, format, args);
    va_end(args);
    if (length < 0) return or_fail_memory(1);
    report->texts[report->n_texts++] = made;
    *text = made;
    return OR_OK;
}

/* "model" of "/data/models/model/": pages show no paths of the machine they were made on. */
static or_status last_part(or_report *report, const char *path, const char **part)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    return or_report_text(report, part, "%.*s", (int)(end - begin), path + begin);
}

/* Two models of one name that are not the same. */
static bool name_taken(const or_report *report, const char *name)
{
    for (size_t i = 0; i < report->n_models; i++)
        if (strcmp(report->models[i].name, name) == 0) return true;
    return false;
}

or_status or_report_model_find(or_report *report, const char *name, uint64_t fingerprint, int n_layers,
                               const char *where, size_t *model)
{
    for (size_t i = 0; i < report->n_models; i++) {
        const or_report_model *known = &report->models[i];
        if (known->fingerprint != fingerprint) continue;
        *model = i;
        if (known->n_layers == n_layers) return OR_OK;
        return or_fail(OR_ERR_INPUT, "inputs do not fit together", where,
                       "model %016llx has %d layers, expected %d as in an input before",
                       (unsigned long long)fingerprint, n_layers, known->n_layers);
    }
    const char *own;
    if (name)
        OR_TRY(last_part(report, name, &own));
    else
        OR_TRY(or_report_text(report, &own, "model %016llx", (unsigned long long)fingerprint));
    if (name_taken(report, own))
        OR_TRY(or_report_text(report, &own, "%s (%08llx)", own, (unsigned long long)fingerprint >> 32));
    OR_RESERVE(report->models, report->models_capacity, report->n_models + 1);
    *model = report->n_models++;
    report->models[*model] = (or_report_model){own, fingerprint, n_layers, NULL, 0};
    return OR_OK;
}

or_status or_report_fingerprint(const cJSON *object, const char *where, uint64_t *fingerprint)
{
    const char *text;
    OR_TRY(or_json_string(object, "fingerprint", where, &text));
    if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return or_fail(OR_ERR_INPUT, "wrong field", where,
                       "\"fingerprint\" is \"%s\", expected 16 hexadecimal digits", text);
    *fingerprint = strtoull(text, NULL, 16);
    return OR_OK;
}

or_status or_report_source(or_report *report, const char *name, const char *kind, or_cell **cells)
{
    OR_TRY(or_table_add(&report->sources, cells));
    (*cells)[OR_SOURCE_NAME].text = name;
    (*cells)[OR_SOURCE_KIND].text = kind;
    return OR_OK;
}

/* Rows of inputs say which model. */
or_status or_report_source_model(or_report *report, size_t model, or_cell *cells)
{
    const or_report_model *m = &report->models[model];
    cells[OR_SOURCE_MODEL].text = m->name;
    cells[OR_SOURCE_LAYERS].number = m->n_layers;
    return or_report_text(report, &cells[OR_SOURCE_FINGERPRINT].text, "%016llx",
                          (unsigned long long)m->fingerprint);
}

or_status or_report_make_exits(or_report *report)
{
    OR_RESERVE(report->exits, report->exits_capacity, report->results.n_rows);
    while (report->n_exits < report->results.n_rows) report->exits[report->n_exits++] = (or_exits){0};
    return OR_OK;
}

/* ---- recognising inputs -------------------------------------------------------------------------------- */

/* Without memory there is none, which the reader will say again. */
static bool has_file(const char *folder, const char *name)
{
    char *path = NULL;
    const bool found = or_path_join(folder, name, &path) == OR_OK && or_path_is_file(path);
    free(path);
    return found;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

/* By its first bytes: a timeline is an object of Chrome's, bench writes an array or an object a line. */
static or_status add_file(or_report *report, const char *path, const char *source)
{
    char head[32] = "";
    FILE *file = fopen(path, "rb");
    if (file) {
        head[fread(head, 1, sizeof head - 1, file)] = '\0';
        fclose(file);
    }
    if (strncmp(head, "task,shots,index,", 17) == 0) return or_report_add_trace(report, path, source);
    if (strncmp(head, "{\"displayTimeUnit\"", 18) == 0) return or_report_add_lanes(report, path, source);
    if (head[0] == '[' || strncmp(head, "{\"model\"", 8) == 0)
        return or_report_add_bench(report, path, source);
    return or_fail(
        OR_ERR_INPUT, "input not recognised", path,
        "found no file that a report is made of, expected rows of bench -o json, a trace or a timeline");
}

/* What may be a file for us; the side file of a trace is read with it. */
static int may_be_ours(const struct dirent *entry)
{
    const char *name = entry->d_name;
    if (name[0] == '.' || ends_with(name, ".csv.json")) return 0;
    return ends_with(name, ".json") || ends_with(name, ".jsonl") || ends_with(name, ".csv");
}

/* Not by the user's locale, as alphasort() does: the same folder gives the same page. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A folder of none of our commands: of files that were written into it, in the order of their names. */
static or_status add_files(or_report *report, const char *folder, const char *source)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, may_be_ours, by_name);
    or_status status = OR_OK;
    if (n <= 0)
        status = or_fail(OR_ERR_INPUT, "input not recognised", folder,
                         "found no run.json of eval, no study.json, and no file of bench or trace in it");
    for (int i = 0; i < n; i++) {
        char *path = NULL;
        const char *name = NULL;
        if (status == OR_OK) status = or_path_join(folder, entries[i]->d_name, &path);
        if (status == OR_OK) status = or_report_text(report, &name, "%s/%s", source, entries[i]->d_name);
        if (status == OR_OK) status = add_file(report, path, name);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static bool source_taken(const or_report *report, const char *name)
{
    for (size_t i = 0; i < report->sources.n_rows; i++)
        if (strcmp(or_table_row(&report->sources, i)[OR_SOURCE_NAME].text, name) == 0) return true;
    return false;
}

/* Two folders of one name become "run" and "run (2)". */
static or_status name_source(or_report *report, const char *path, const char **name)
{
    char *whole = realpath(path, NULL); /* "." has no name of its own */
    const char *own = NULL;
    or_status status = last_part(report, whole ? whole : path, &own);
    free(whole);
    *name = own;
    for (int n = 2; status == OR_OK && source_taken(report, *name); n++)
        status = or_report_text(report, name, "%s (%d)", own, n);
    return status;
}

/* study.json comes first, since a study may keep the folders of its runs beside it. A run that was not
 * finished is one of eval, too: its reader says what is missing. */
or_status or_report_add(or_report *report, const char *path)
{
    const char *source;
    const char *problem = or_path_problem(path);
    if (problem) return or_fail(OR_ERR_INPUT, "input cannot be read", path, "%s", problem);
    OR_TRY(name_source(report, path, &source));
    if (!or_path_is_folder(path)) return add_file(report, path, source);
    if (has_file(path, "study.json")) return or_report_add_study(report, path, source);
    if (has_file(path, "run.json") || has_file(path, "summary.json"))
        return or_report_add_eval(report, path, source);
    return add_files(report, path, source);
}

/* ---- writing ------------------------------------------------------------------------------------------- */

static const or_report_format *const formats[] = {&or_report_html, &or_report_md, &or_report_tex};

or_status or_report_format_find(const char *name, const or_report_format **format)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        *format = formats[i];
        if (strcmp(formats[i]->name, name) == 0) return OR_OK;
    }
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--format is \"%s\", expected html, md or tex", name);
}

const char *or_report_format_name(const or_report_format *format)
{
    return format->name;
}

/* The short ones that say most come first. */
static or_status list_tables(const or_report *report, const or_paper_tables *paper, or_report_parts *parts)
{
    const or_table *behind[] = {&report->results, &report->policies, &report->features, &report->transfer,
                                &report->bench,   &report->stages,   &report->sources};
    const size_t n_behind = sizeof behind / sizeof *behind;
    OR_TRY(OR_NEW(parts->tables, 1 + paper->count + n_behind));
    parts->tables[parts->n_tables++] = &report->totals;
    for (size_t i = 0; i < paper->count; i++) parts->tables[parts->n_tables++] = &paper->items[i];
    for (size_t i = 0; i < n_behind; i++) parts->tables[parts->n_tables++] = behind[i];
    size_t kept = 0;
    for (size_t i = 0; i < parts->n_tables; i++)
        if (parts->tables[i]->n_rows > 0) parts->tables[kept++] = parts->tables[i];
    parts->n_tables = kept;
    return OR_OK;
}

/* The page is made in memory and written in one piece, so that what was there stays when anything fails. */
or_status or_report_write(or_report *report, const or_report_format *format, const char *path)
{
    or_report_parts parts = {0};
    or_paper_tables paper = {0};
    or_plots *plots = NULL;
    or_buffer out = {0};
    or_status status = or_report_finish(report);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_paper_tables_make(report, &paper));
    OR_TRY_GOTO(done, list_tables(report, &paper, &parts));
    if (report->checked > 0)
        OR_TRY_GOTO(done, or_report_text(report, &parts.checked,
                                         "Checked: of %.0f instances of the study, %.0f differ.",
                                         report->checked, report->differ));
    if (format->plots) OR_TRY_GOTO(done, or_plots_draw(report, &plots));
    parts.plots = plots;
    OR_TRY_GOTO(done, format->write(&parts, &out));
    status = or_file_write(path, out.data, out.size);
done:
    or_buffer_free(&out);
    or_plots_close(plots);
    or_paper_tables_free(&paper);
    free(parts.tables);
    return status;
}
