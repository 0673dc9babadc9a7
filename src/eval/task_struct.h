/* task_struct.h - what a task is in memory: made by task.c, checked by task_check.c, used by prompt.c. */
#ifndef OFFRAMP_EVAL_TASK_STRUCT_H
#define OFFRAMP_EVAL_TASK_STRUCT_H

#include <offramp/task.h>

#include "template.h"

/* Every row of both splits has all fields that the templates name, `input` and `output`; with
 * OR_METRIC_CHOICE the output is one of the row's choices. */
struct or_task {
    char *name;
    or_metric metric;
    char *description;    /* before the demonstrations, "" when there is none */
    char *separator;      /* behind each demonstration */
    char *input, *output; /* fields */
    or_template prompt, answer;
    char **choices; /* the task file's own, which go before a row's; n_choices 0: none */
    size_t n_choices;
    size_t max_tokens; /* of a generated answer; 0: the metric wants one token only */
    char **stops;      /* [n_stops] texts behind which a generated answer ends */
    size_t n_stops;
    or_dataset train, test; /* train.count 0: none */
    uint64_t fingerprint;
};

/* Refuses, naming file and place, a row that breaks what is said above. */
or_status or_task_check_rows(const or_task *task, const or_dataset *dataset);

#endif
