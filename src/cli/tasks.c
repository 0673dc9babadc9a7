/* tasks.c - the options and inputs of the commands that run task instances. */
#include "tasks.h"

#include <string.h>

/* NULL is an option that was not given. */
static or_status check_word(const char *name, const char *found, const char *first, const char *second)
{
    if (!found || strcmp(found, first) == 0 || strcmp(found, second) == 0) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--%s is \"%s\", expected %s or %s", name, found,
                   first, second);
}

/* One number of --shots. */
static or_status read_shots(const char *text, int *shots)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > 10000)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "--shots has \"%s\", expected numbers from 0 to 10000", text);
    *shots = (int)number;
    return OR_OK;
}

/* Part of parsing, so before MPI starts; the numbers are read again when they are used. */
or_status or_task_options_check(const or_task_options *options)
{
    int shots;
    OR_TRY(check_word("split", options->split, "test", "train"));
    OR_TRY(check_word("demos", options->demos, "per-run", "per-instance"));
    for (size_t i = 0; i < options->shots.count; i++) OR_TRY(read_shots(options->shots.items[i], &shots));
    return OR_OK;
}

/* What is there so far is counted in *set, for or_task_set_close(). Without --shots there is one number,
 * 0, from OR_NEW(). */
or_status or_task_set_load(const or_task_options *options, or_task_set *set)
{
    set->n_shots = options->shots.count ? options->shots.count : 1;
    OR_TRY(OR_NEW(set->shots, set->n_shots));
    for (size_t i = 0; i < options->shots.count; i++)
        OR_TRY(read_shots(options->shots.items[i], &set->shots[i]));
    OR_TRY(OR_NEW(set->tasks, options->paths.count));
    for (; set->n_tasks < options->paths.count; set->n_tasks++)
        OR_TRY(or_task_load(options->paths.items[set->n_tasks], options->data, &set->tasks[set->n_tasks]));
    return OR_OK;
}

bool or_task_set_generates(const or_task_set *set)
{
    for (size_t i = 0; i < set->n_tasks; i++)
        if (or_task_max_tokens(set->tasks[i]) > 0) return true;
    return false;
}

/* --limit, --seed, --demos and --split mean the same for eval and trace, so that a trace of the train
 * split shows what eval would ask. */
or_status or_task_set_open(const or_task_options *options, const char *model, const or_hparams *hparams,
                           const or_eval_plan *plan, or_task_set *set, or_eval **eval)
{
    OR_TRY(or_tokenizer_open(model, &set->tokenizer));
    or_eval_plan whole = *plan;
    whole.tasks = set->tasks;
    whole.n_tasks = set->n_tasks;
    whole.shots = set->shots;
    whole.n_shots = set->n_shots;
    whole.limit = (size_t)options->limit;
    whole.prompt = (or_prompt_options){
        .seed = (uint64_t)options->seed,
        .demos_per_instance = options->demos && strcmp(options->demos, "per-instance") == 0,
        .split = options->split && strcmp(options->split, "train") == 0 ? OR_SPLIT_TRAIN : OR_SPLIT_TEST,
    };
    return or_eval_open(&whole, set->tokenizer, hparams, eval);
}

void or_task_set_close(or_task_set *set)
{
    for (size_t i = 0; i < set->n_tasks; i++) or_task_free(set->tasks[i]);
    free(set->tasks);
    free(set->shots);
    or_tokenizer_close(set->tokenizer);
}
