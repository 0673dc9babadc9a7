/* study.h - a study: models x tasks x shots x policies, from one full-depth pass over the instances.
 *
 *   config --> units (task, shots, split) --trace--> traces/<model>/<task>-<shots>-<split>-<key>.csv
 *                                                       |
 *                           train rows, of a scope --train--> policies/<model>/<policy>@<scope>.json
 *                           test rows --replay--> study.json, results.csv, tables.md, tables.tex
 *
 * A scope is what a policy is trained on: all tasks, a group of them, or one task. Traces and policies are
 * files in the output folder, each whole or not there. Traces, by far the most of the work, are kept: a study
 * that was stopped goes on where it was. Policies are trained anew each time. The key of a trace is a hash of
 * the task, its rows, and how they are asked: a trace of another question is not taken for it; another model
 * wants another name.
 *
 * The config, a JSON object; paths are relative to its folder:
 *   {"models": {"llama-2-7b": "/models/llama-2-7b"},
 *    "groups": {"sentiment": ["tasks/sst2.json"],
 *               "mmlu": {"tasks": ["tasks/mmlu_*.json"], "halves": true, "data": "DIR"}},
 *                                       halves: odd rows of the test file train, even ones test;
 *                                       data: where the group's data lie, or --data, or beside the task files
 *    "shots": [0, 5], "train_rows": 1000, "test_rows": 500, "seed": 1,     rows of a task at most, 0: all
 *    "policies": {"svm": {"guarantee": 0.95}, "paper": {"paper": true}, "gap": {"classifier": "gap",
 *                 "target_agreement": 0}, "shortgpt": {"drop": 4}},
 *    "ablation": {"features": ["gap", "top_prob", "cosines"]},    every subset of them, trained on all tasks
 *    "generalisation": ["svm"],         of these, each group's policy on each group, or each task's on its group's
 *    "check": 100}                      test rows of each policy that are run for real, and compared
 * A policy's members are the options of train (classifier, features, target_agreement, guarantee, threshold,
 * error_weight, everywhere, paper), "on": "group" (also "task", "all"), or "drop" alone: a model without so
 * many layers, the least influential ones (or_least_influential()) of the train rows.
 *
 * Local unless said; or_study_* of files are for rank 0. Errors are OR_ERR_INPUT with file and field.
 */
#ifndef OFFRAMP_EVAL_STUDY_H
#define OFFRAMP_EVAL_STUDY_H

#include "json.h"

#include <offramp/pipeline.h>
#include <offramp/task.h>
#include <offramp/train.h>

typedef struct or_study_group {
    const char *name;
    char *data; /* NULL: --data, or beside the task files */
    bool halves;
    size_t first, end; /* its tasks: first .. end - 1 */
} or_study_group;

typedef struct or_study_task {
    char *path;
    size_t group;
    or_task *task; /* NULL before or_study_load() */
} or_study_task;

typedef enum or_study_on { OR_STUDY_ON_ALL, OR_STUDY_ON_GROUP, OR_STUDY_ON_TASK } or_study_on;

typedef struct or_study_policy {
    const char *name;
    or_study_on on;
    or_train_options train; /* not looked at with drop */
    int drop;               /* layers; 0: a policy */
} or_study_policy;

typedef struct or_study_model {
    const char *name;
    char *path;
} or_study_model;

enum { OR_STUDY_FEATURES = 6 }; /* of an ablation at most */

typedef struct or_study {
    cJSON *json; /* owns the texts */
    char *folder;
    uint64_t hash;      /* of the config */
    const char *output; /* folder of results; set by the caller before files are asked for */
    or_study_model *models;
    or_study_group *groups;
    or_study_task *tasks;
    or_study_policy *policies;
    int *shots;
    bool *transfers; /* [n_policies] is among "generalisation" */
    size_t n_models, n_groups, n_tasks, n_policies, n_shots, tasks_capacity;
    int64_t train_rows, test_rows, check, seed;
    or_train_options ablation;
    unsigned ablated[OR_STUDY_FEATURES]; /* features of each name */
    int n_ablated;                       /* 0: no ablation */
} or_study;

/* ---- study_config.c ---- */

/* Reads the config; tasks are named, not loaded. or_study_close() also after a failure. */
or_status or_study_open(const char *path, or_study *study);
void or_study_close(or_study *study);

/* Loads the tasks with their data; `data` is --data, or NULL. Two tasks of one name are
 * refused. Rank 0. */
or_status or_study_load(or_study *study, const char *data);

/* ---- study_units.c: what is traced ---- */

/* One trace. */
typedef struct or_study_unit {
    size_t task;
    int shots;
    or_split split;
} or_study_unit;

/* All units, *units malloc'ed. A task without enough train rows for so many demonstrations has none there. */
or_status or_study_units(const or_study *study, or_study_unit **units, size_t *count);

/* The trace's file, malloc'ed. `variant` is what follows the model's name: "" or that of a model without some
 * layers. Makes the folders. */
or_status or_study_trace_path(const or_study *study, size_t model, const char *variant, or_study_unit unit,
                              char **path);

/* How the unit's rows are asked. */
or_prompt_options or_study_prompt(const or_study *study, or_study_unit unit);

/* What a policy is trained or judged on: number 0 is all tasks, then come the groups, then the tasks. */
size_t or_study_scopes(const or_study *study);
size_t or_study_scope_of(const or_study *study, or_study_on on, size_t task);
const char *or_study_scope_name(const or_study *study, size_t scope);

/* Reads the traces of a scope's train or test rows into an empty trace; shots -1: of all numbers. */
or_status or_study_gather(const or_study *study, size_t model, const char *variant, size_t scope, int shots,
                          or_split split, or_trace *trace);

/* ---- study_train.c ---- */

/* The policy's file, malloc'ed; makes the folder. */
or_status or_study_policy_path(const or_study *study, size_t model, size_t policy, size_t scope, char **path);

/* One trained policy. */
typedef struct or_study_trained {
    size_t model, policy, scope;
    or_train_report report;
    or_policy *loaded;
    char *path;
} or_study_trained;

/* All policies of a model, appended to a vector. What cannot be trained (too few rows, all of one kind) is
 * left out with a note. OR_STOPPED between two of them when stop() asks. */
typedef struct or_study_all_trained {
    or_study_trained *items;
    size_t count, capacity;
} or_study_all_trained;
or_status or_study_train(const or_study *study, size_t model, bool (*stop)(void *),
                         or_study_all_trained *all);
void or_study_all_free(or_study_all_trained *all);

/* That of a scope, NULL when there is none. */
const or_study_trained *or_study_find(const or_study_all_trained *all, size_t model, size_t policy,
                                      size_t scope);

/* ---- study_figures.c: pure ---- */

typedef struct or_figures {
    size_t n;
    double accuracy, standard_error; /* the token is the data set's; NAN where it has none */
    double agreement;
    double exit_layer_mean, exit_layer_var; /* layers executed; sample variance */
    double layers_saved, flops_ratio, oracle_saved;
} or_figures;

/* Of all items of a trace: at full depth, by the oracle (or_train_result.oracle_saved), under a policy of
 * as many layers. */
void or_figures_full(const or_trace *trace, or_figures *figures);
void or_figures_oracle(const or_trace *trace, or_figures *figures);
void or_figures_policy(const or_policy *policy, const or_trace *trace, or_figures *figures);

/* Run without some layers, of the instances that are in both traces, in whose order both are: a prompt
 * that is too long for one of the two models is in one. */
void or_figures_pruned(const or_trace *trace, const or_trace *pruned, or_figures *figures);

/* ---- study_check.c ---- */

/* Runs up to study->check test rows of each of the model's trained policies, which are those of the
 * pipeline in their order in `all`, and counts the answers whose token or exit layer is not the replay's.
 * Rank 0, while the others serve. */
or_status or_study_check(const or_study *study, size_t model, const or_study_all_trained *all,
                         const or_tokenizer *tokenizer, or_pipeline *pipeline, bool (*stop)(void *),
                         size_t *instances, size_t *differ);

/* ---- study_tables.c ---- */

/* What or_study_check() came to, of all models. */
typedef struct or_study_checked {
    size_t instances, differ;
} or_study_checked;

/* Replays everything and writes study.json, results.csv, tables.md and tables.tex. variants [n_models,
 * n_policies]: the variant of each policy with drop, else NULL. OR_STOPPED within the ablation when stop()
 * asks. */
or_status or_study_write(const or_study *study, const or_study_all_trained *all, char *const *variants,
                         const or_study_checked *checked, bool (*stop)(void *));

#endif
