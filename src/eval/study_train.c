/* study_train.c - trains a study's policies from its traces, and loads them. */
#include "study.h"

#include "file.h"
#include "log.h"

#include <unistd.h>

or_status or_study_policy_path(const or_study *study, size_t model, size_t policy, size_t scope, char **path)
{
    char *folder = NULL;
    or_status status = or_format(&folder, "%s/policies/%s", study->output, study->models[model].name);
    if (status == OR_OK) status = or_folder_make(folder);
    if (status == OR_OK)
        status = or_format(path, "%s/%s@%s.json", folder, study->policies[policy].name,
                           or_study_scope_name(study, scope));
    free(folder);
    return status;
}

/* Whatever an older run of the study has left there would be of other rows. */
static or_status leave_out(const or_study *study, const or_study_trained *made, const char *why)
{
    or_log_note("no policy %s for %s: %s", study->policies[made->policy].name,
                or_study_scope_name(study, made->scope), why);
    unlink(made->path);
    return OR_OK;
}

/* A scope whose rows do not do - too few, all of one kind - has no policy, and the study goes on. */
static or_status train_one(const or_study *study, or_study_trained *made)
{
    or_trace trace = {0};
    or_status status = or_study_gather(study, made->model, "", made->scope, -1, OR_SPLIT_TRAIN, &trace);
    if (status == OR_OK)
        status = or_study_policy_path(study, made->model, made->policy, made->scope, &made->path);
    /* what cannot be written ends the study; what is refused after that is the trace */
    if (status == OR_OK) status = or_file_may_write(made->path);
    if (status == OR_OK && trace.count == 0) {
        status = leave_out(study, made, "there are no train rows");
    } else if (status == OR_OK) {
        status = or_train(&trace, &study->policies[made->policy].train, made->path, &made->report);
        if (status == OR_OK)
            status = or_policy_load(made->path, &made->loaded);
        else if (status == OR_ERR_INPUT)
            status = leave_out(study, made, or_status_message());
    }
    or_trace_free(&trace);
    return status;
}

static or_status add_one(const or_study *study, or_study_trained made, or_study_all_trained *all)
{
    OR_RESERVE(all->items, all->capacity, all->count + 1);
    or_status status = train_one(study, &made);
    if (status == OR_OK && made.loaded)
        all->items[all->count++] = made;
    else
        free(made.path);
    return status;
}

or_status or_study_train(const or_study *study, size_t model, bool (*stop)(void *), or_study_all_trained *all)
{
    for (size_t p = 0; p < study->n_policies; p++) {
        if (study->policies[p].drop > 0) continue;
        size_t last = (size_t)-1;
        for (size_t t = 0; t < study->n_tasks; t++) {
            const size_t scope = or_study_scope_of(study, study->policies[p].on, t);
            if (scope == last) continue; /* tasks of a group follow each other */
            last = scope;
            if (stop && stop(NULL)) return OR_STOPPED;
            OR_TRY(add_one(study, (or_study_trained){.model = model, .policy = p, .scope = scope}, all));
        }
    }
    return OR_OK;
}

void or_study_all_free(or_study_all_trained *all)
{
    for (size_t i = 0; i < all->count; i++) {
        or_policy_free(all->items[i].loaded);
        free(all->items[i].path);
    }
    free(all->items);
    *all = (or_study_all_trained){0};
}

const or_study_trained *or_study_find(const or_study_all_trained *all, size_t model, size_t policy,
                                      size_t scope)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->items[i].model == model && all->items[i].policy == policy && all->items[i].scope == scope)
            return &all->items[i];
    return NULL;
}
