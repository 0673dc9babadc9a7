/* tasks.c - the options and inputs of the commands that run task instances. */
#include "tasks.h"

#include "memory.h"
#include "shared.h"
#include "transport.h"

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

/* Without --shots, as set in or_task_set_open(). */
static or_prompt_options prompt_options(const or_task_options *options)
{
    return (or_prompt_options){
        .seed = (uint64_t)options->seed,
        .demos_per_instance = options->demos && strcmp(options->demos, "per-instance") == 0,
        .split = options->split && strcmp(options->split, "train") == 0 ? OR_SPLIT_TRAIN : OR_SPLIT_TEST,
    };
}

static or_status open_tokenizer(const char *model, or_task_set *set)
{
    return set->tokenizer ? OR_OK : or_tokenizer_open(model, &set->tokenizer);
}

static size_t row_count(const or_task_options *options, const or_task *task)
{
    const bool train = prompt_options(options).split == OR_SPLIT_TRAIN;
    const size_t rows = train ? or_task_train_count(task) : or_task_test_count(task),
                 limit = (size_t)options->limit;
    return limit > 0 && limit < rows ? limit : rows;
}

/* Adds the tokens of the prompts[n] that are run: of whole pages that others begin with too, none. */
static or_status add_tokens(const or_tokens *const *prompts, size_t n, bool shares, double *tokens)
{
    size_t *shared = NULL;
    OR_TRY(OR_NEW(shared, n));
    or_status status = shares ? or_shared_prefixes(prompts, n, shared) : OR_OK;
    for (size_t i = 0; i < n; i++) *tokens += (double)(prompts[i]->count - shared[i] / OR_PAGE * OR_PAGE);
    free(shared);
    return status;
}

/* The first rows of a task with so many shots. */
static or_status look_at(const or_task_options *options, const or_task_set *set, const or_task *task,
                         int shots, bool shares, size_t *looked, double *tokens)
{
    enum { ROWS = 64 };
    const size_t rows = row_count(options, task), n = rows < ROWS ? rows : ROWS;
    or_prompt_options prompt = prompt_options(options);
    or_instance instances[ROWS];
    const or_tokens *prompts[ROWS];
    size_t made = 0;
    or_status status = OR_OK;
    prompt.shots = shots;
    for (; made < n && status == OR_OK; made += status == OR_OK) {
        status = or_task_instance(task, set->tokenizer, &prompt, made, &instances[made]);
        prompts[made] = &instances[made].prompt;
    }
    if (status == OR_OK && n > 0) status = add_tokens(prompts, n, shares, tokens);
    *looked += n;
    while (made > 0) or_instance_free(&instances[--made]);
    return status;
}

/* Means over the tasks. */
static or_status look_at_all(const or_task_options *options, const or_common *common, or_task_set *set,
                             uint64_t *length, uint64_t *requests)
{
    size_t looked = 0, rows = 0;
    double tokens = 0;
    OR_TRY(open_tokenizer(common->model, set));
    for (size_t t = 0; t < set->n_tasks; t++) {
        rows += row_count(options, set->tasks[t]);
        for (size_t s = 0; s < set->n_shots; s++)
            OR_TRY(look_at(options, set, set->tasks[t], set->shots[s], !common->no_prefix_cache, &looked,
                           &tokens));
    }
    *length = looked > 0 ? (uint64_t)(tokens / (double)looked + 0.5) : 0;
    *requests = set->n_tasks > 0 ? rows / set->n_tasks : 0;
    return OR_OK;
}

or_status or_task_set_expect(const or_task_options *options, or_common *common, or_session *session,
                             or_task_set *set)
{
    uint64_t length = UINT64_MAX, requests = UINT64_MAX;
    or_status status = OR_OK;
    if (!or_plan_is_auto(common->plan)) return OR_OK;
    if (session->rank == 0) status = look_at_all(options, common, set, &length, &requests);
    OR_TRY(or_transport_agree(session->transport, status));
    OR_TRY(or_transport_least(session->transport, &length));
    OR_TRY(or_transport_least(session->transport, &requests));
    common->workload.length = (size_t)length;
    common->workload.requests = (size_t)requests;
    return OR_OK;
}

/* --limit, --seed, --demos and --split mean the same for eval and trace, so that a trace of the train
 * split shows what eval would ask. */
or_status or_task_set_open(const or_task_options *options, const char *model, const or_hparams *hparams,
                           const or_eval_plan *plan, or_task_set *set, or_eval **eval)
{
    OR_TRY(open_tokenizer(model, set));
    or_eval_plan whole = *plan;
    whole.tasks = set->tasks;
    whole.n_tasks = set->n_tasks;
    whole.shots = set->shots;
    whole.n_shots = set->n_shots;
    whole.limit = (size_t)options->limit;
    whole.prompt = prompt_options(options);
    return or_eval_open(&whole, set->tokenizer, hparams, eval);
}

void or_task_set_close(or_task_set *set)
{
    for (size_t i = 0; i < set->n_tasks; i++) or_task_free(set->tasks[i]);
    free(set->tasks);
    free(set->shots);
    or_tokenizer_close(set->tokenizer);
}
