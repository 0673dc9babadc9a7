/* tasks.h - the options and inputs of the commands that run task instances (eval, trace). */
#ifndef OFFRAMP_CLI_TASKS_H
#define OFFRAMP_CLI_TASKS_H

#include "cli.h"

typedef struct or_task_options {
    or_list paths, shots;
    char *data, *split, *demos;
    int64_t seed, limit;
} or_task_options;

#define OR_OPTIONS_TASKS(t)                                                                                   \
    {"task", OR_OPTION_PATHS, &(t).paths, "T", "task file, may be given several times", 0, 0, false},         \
        {"data", OR_OPTION_PATH, &(t).data, "DIR", "where the tasks' data lie (beside the task file)", 0,     \
         0,      false},                                                                                      \
        {"shots", OR_OPTION_LIST, &(t).shots, "N,N...", "demonstrations before the question (0)", 0,          \
         0,       false},                                                                                     \
        {"seed", OR_OPTION_INT, &(t).seed, "N", "which demonstrations are drawn (1)", 0, 9e15, false},        \
        {"demos", OR_OPTION_TEXT, &(t).demos, "HOW", "per-run or per-instance (per-run)", 0, 0, false},       \
        {"split", OR_OPTION_TEXT, &(t).split, "S", "rows that are asked: test or train (test)", 0, 0, false}, \
    {                                                                                                         \
        "limit", OR_OPTION_INT, &(t).limit, "N", "rows per task at most; 0: all (0)", 0, 1e9, false           \
    }

/* OR_ERR_USAGE for values that are none of those listed. */
or_status or_task_options_check(const or_task_options *options);

/* What was loaded; keep it as long as the eval made of it. {0} is empty. */
typedef struct or_task_set {
    or_tokenizer *tokenizer;
    or_task **tasks;
    int *shots;
    size_t n_tasks, n_shots;
} or_task_set;

/* Loads the tasks with their data into an empty set. Rank 0; local. Close the set also after a failure. */
or_status or_task_set_load(const or_task_options *options, or_task_set *set);

/* For the plan "auto", and with another one nothing: sets the tokens of a prompt and the requests of a group in
 * common->workload, by the first rows of each task; beginnings that are computed once are not counted. Loads the
 * tokenizer. Collective: rank 0 looks, all fail alike. */
or_status or_task_set_expect(const or_task_options *options, or_common *common, or_session *session,
                             or_task_set *set);

/* True when an answer to one of the tasks is a generated text. */
bool or_task_set_generates(const or_task_set *set);

/* Loads the tokenizer and builds the instances of the loaded tasks, by the options; the other members of
 * `plan` are taken. Rank 0; local. */
or_status or_task_set_open(const or_task_options *options, const char *model, const or_hparams *hparams,
                           const or_eval_plan *plan, or_task_set *set, or_eval **eval);
void or_task_set_close(or_task_set *set);

#endif
