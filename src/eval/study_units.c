/* study_units.c - which traces a study needs, where they lie, and reading those of a scope. */
#include "study.h"

#include "file.h"
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

static const or_study_group *group_of(const or_study *study, size_t task)
{
    return &study->groups[study->tasks[task].group];
}

/* Demonstrations come from the train rows; a train row is not its own. */
static bool can_ask(const or_study *study, or_study_unit unit)
{
    const or_task *task = study->tasks[unit.task].task;
    const size_t train = or_task_train_count(task), shots = (size_t)unit.shots;
    return unit.split == OR_SPLIT_TRAIN ? train > shots : train >= shots;
}

/* Tasks that have no rows to ask with so many demonstrations are missing in the tables: it is said why. */
static void note_missing(const or_study *study, int shots)
{
    size_t missing = 0, first = 0;
    for (size_t t = study->n_tasks; t-- > 0;) {
        if (can_ask(study, (or_study_unit){t, shots, OR_SPLIT_TEST})) continue;
        missing++;
        first = t;
    }
    if (missing > 0)
        or_log_note("%d shots: left out for %zu of %zu tasks, which have fewer train rows, as %s has %zu",
                    shots, missing, study->n_tasks, or_task_name(study->tasks[first].task),
                    or_task_train_count(study->tasks[first].task));
}

/* With halves the test rows are all there is to trace. */
or_status or_study_units(const or_study *study, or_study_unit **units, size_t *count)
{
    *count = 0;
    for (size_t s = 0; s < study->n_shots; s++) note_missing(study, study->shots[s]);
    OR_TRY(OR_NEW(*units, 2 * study->n_tasks * study->n_shots));
    for (size_t t = 0; t < study->n_tasks; t++)
        for (size_t s = 0; s < study->n_shots; s++)
            for (int split = 0; split < 2; split++) {
                const or_study_unit unit = {t, study->shots[s], split ? OR_SPLIT_TRAIN : OR_SPLIT_TEST};
                if (split && group_of(study, t)->halves) continue;
                if (can_ask(study, unit)) (*units)[(*count)++] = unit;
            }
    return OR_OK;
}

/* Train rows with the demonstrations of the test rows: what a policy is to keep of its promise is that of
 * requests like these. */
or_prompt_options or_study_prompt(const or_study *study, or_study_unit unit)
{
    return (or_prompt_options){.shots = unit.shots, .seed = (uint64_t)study->seed, .split = unit.split};
}

/* Of all that decides what is asked. */
static uint64_t key_of(const or_study *study, or_study_unit unit)
{
    const bool train = unit.split == OR_SPLIT_TRAIN;
    const uint64_t asked[] = {or_task_fingerprint(study->tasks[unit.task].task), (uint64_t)study->seed,
                              (uint64_t)(train ? study->train_rows : study->test_rows)};
    return XXH3_64bits(asked, sizeof asked);
}

or_status or_study_trace_path(const or_study *study, size_t model, const char *variant, or_study_unit unit,
                              char **path)
{
    char *folder = NULL;
    or_status status =
        or_format(&folder, "%s/traces/%s%s", study->output, study->models[model].name, variant);
    if (status == OR_OK) status = or_folder_make(folder);
    if (status == OR_OK)
        status = or_format(path, "%s/%s-%d-%s-%08" PRIx32 ".csv", folder,
                           or_task_name(study->tasks[unit.task].task), unit.shots,
                           unit.split == OR_SPLIT_TRAIN ? "train" : "test", (uint32_t)key_of(study, unit));
    free(folder);
    return status;
}

size_t or_study_scopes(const or_study *study)
{
    return 1 + study->n_groups + study->n_tasks;
}

size_t or_study_scope_of(const or_study *study, or_study_on on, size_t task)
{
    if (on == OR_STUDY_ON_ALL) return 0;
    return on == OR_STUDY_ON_GROUP ? 1 + study->tasks[task].group : 1 + study->n_groups + task;
}

const char *or_study_scope_name(const or_study *study, size_t scope)
{
    if (scope == 0) return "all";
    if (scope <= study->n_groups) return study->groups[scope - 1].name;
    return or_task_name(study->tasks[scope - 1 - study->n_groups].task);
}

/* Whether the task belongs to the scope. */
static bool within(const or_study *study, size_t scope, size_t task)
{
    for (int on = OR_STUDY_ON_ALL; on <= OR_STUDY_ON_TASK; on++)
        if (or_study_scope_of(study, (or_study_on)on, task) == scope) return true;
    return false;
}

/* Keeps the items from `from` on whose index is odd, or even. */
static void keep_half(or_trace *trace, size_t from, bool odd)
{
    size_t kept = from;
    for (size_t i = from; i < trace->count; i++) {
        or_trace_item item = trace->items[i];
        if ((item.index % 2 == 1) == odd) {
            trace->items[kept++] = item;
        } else {
            free(item.task);
            free(item.seen);
        }
    }
    trace->count = kept;
}

static or_status gather_unit(const or_study *study, size_t model, const char *variant, or_study_unit unit,
                             or_trace *trace)
{
    const bool halves = group_of(study, unit.task)->halves, odd = unit.split == OR_SPLIT_TRAIN;
    const size_t before = trace->count;
    char *path = NULL;
    if (halves) unit.split = OR_SPLIT_TEST;
    if (!can_ask(study, unit)) return OR_OK;
    or_status status = or_study_trace_path(study, model, variant, unit, &path);
    if (status == OR_OK) status = or_trace_read(path, trace);
    if (status == OR_OK && halves) keep_half(trace, before, odd);
    free(path);
    return status;
}

or_status or_study_gather(const or_study *study, size_t model, const char *variant, size_t scope, int shots,
                          or_split split, or_trace *trace)
{
    for (size_t t = 0; t < study->n_tasks; t++) {
        if (!within(study, scope, t)) continue;
        for (size_t s = 0; s < study->n_shots; s++) {
            const or_study_unit unit = {t, study->shots[s], split};
            if (shots < 0 || shots == study->shots[s])
                OR_TRY(gather_unit(study, model, variant, unit, trace));
        }
    }
    return OR_OK;
}
