/* task_struct.h - what a task is in memory: made by task.c, turned into prompts by prompt.c. */
#ifndef OFFRAMP_EVAL_TASK_STRUCT_H
#define OFFRAMP_EVAL_TASK_STRUCT_H

#include <offramp/task.h>

#include "template.h"

/* Every row of both splits has all fields that the templates name, and its `output`; with OR_METRIC_CHOICE that
 * output is one of the row's choices. task.c refuses whatever is not so. */
struct or_task {
    char *name;
    or_metric metric;
    char *description;    /* before the demonstrations, "" when there is none */
    char *separator;      /* behind each demonstration */
    char *input, *output; /* fields */
    or_template prompt, answer;
    char **choices; /* the task file's own, which go before a row's; n_choices 0: none */
    size_t n_choices;
    or_dataset train, test; /* train.count 0: none */
    uint64_t fingerprint;
};

#endif
