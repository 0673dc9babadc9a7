/* eval.c - what is to be run: instance sets and groups, and the output folder with its journal. */
#include "eval_internal.h"

#include "compute.h"
#include "file.h"
#include "log.h"
#include "shared.h"

#include <string.h>
#include <xxhash.h>

const char *or_group_policy_name(const or_eval *eval, const or_group *group)
{
    return group->policy < 0 ? "full" : or_policy_name(eval->plan.policies[group->policy]);
}

/* ---- instances and groups ----------------------------------------------------------------------------- */

/* Two tasks a and b, --shots 0,5, policies p and q, --dense:
 *
 *   sets     a 0           a 5           b 0           b 5
 *   groups   full  p  q    full  p  q    full  p  q    full  p  q
 *            0     1  2    3     4  5    6     7  8    9    10 11
 *
 * A journal line names its group by this number; totals add up groups a task apart (0 and 6, ...). */

/* Generated answers need room behind the prompt. A trace, which has none, looks at their first token only. */
static or_status check_room(const or_eval *eval, const or_task *task, size_t index, size_t prompt)
{
    const size_t context = (size_t)eval->hparams.n_context, room = eval->plan.room;
    const size_t most = room < context ? room : context, max_tokens = or_task_max_tokens(task);
    if (max_tokens == 0 || room == 0 || prompt + max_tokens <= most) return OR_OK;
    return or_fail(
        OR_ERR_INPUT, "answer does not fit", or_task_name(task),
        "row %zu has %zu tokens and asks for up to %zu more, %s %zu; use fewer --shots or a smaller "
        "\"max_tokens\"%s",
        index + 1, prompt, max_tokens, room < context ? "the KV cache holds" : "the model's context is", most,
        room < context ? ", or more --kv-memory" : "");
}

/* Refuses what the model cannot run. Rows are counted from 1 in messages, in results from 0. */
static or_status check_instance(const or_eval *eval, const or_task *task, size_t index,
                                const or_instance *instance)
{
    const or_hparams *h = &eval->hparams;
    const size_t longest = eval->plan.longest;
    const char *name = or_task_name(task);
    if (instance->prompt.count > longest)
        return or_fail(
            OR_ERR_INPUT, "prompt too long", name, "row %zu has %zu tokens, %s %zu; use fewer --shots",
            index + 1, instance->prompt.count,
            longest < (size_t)h->n_context ? "memory or a message holds" : "the model's context is", longest);
    OR_TRY(check_room(eval, task, index, instance->prompt.count));
    int32_t most = instance->answer_token;
    for (size_t i = 0; i < instance->prompt.count; i++)
        if (instance->prompt.ids[i] > most) most = instance->prompt.ids[i];
    for (size_t i = 0; i < instance->choices.count; i++)
        if (instance->choices.ids[i] > most) most = instance->choices.ids[i];
    if (most < h->n_vocab) return OR_OK;
    return or_fail(OR_ERR_INPUT, "token outside the vocabulary", name,
                   "row %zu has token %d, the model knows %d; do model and tokenizer belong together?",
                   index + 1, most, h->n_vocab);
}

/* Demonstrations, as a rule; of questions about one passage that too. */
static or_status find_shared(or_instance_set *set)
{
    const or_tokens **prompts = NULL;
    OR_TRY(OR_NEW(set->n_shared, set->n));
    OR_TRY(OR_NEW(prompts, set->n));
    for (size_t i = 0; i < set->n; i++) prompts[i] = &set->instances[i].prompt;
    or_status status = or_shared_prefixes(prompts, set->n, set->n_shared);
    free(prompts);
    return status;
}

/* Instances are the first `limit` rows of the split, all with 0: instance i is row i. set->n counts those
 * built, so that or_eval_close() releases just these. */
static or_status build_set(or_eval *eval, const or_tokenizer *tokenizer, const or_task *task, int shots,
                           or_instance_set *set)
{
    or_prompt_options options = eval->plan.prompt;
    options.shots = shots;
    const size_t rows = options.split == OR_SPLIT_TEST ? or_task_test_count(task) : or_task_train_count(task);
    const size_t limit = eval->plan.limit;
    const size_t n = limit > 0 && limit < rows ? limit : rows;
    *set = (or_instance_set){.task = task, .shots = shots};
    if (n == 0)
        return or_fail(OR_ERR_INPUT, "nothing to run", or_task_name(task),
                       "it has no rows to ask, expected a \"%s\" file with some",
                       options.split == OR_SPLIT_TEST ? "test" : "train");
    size_t left_out = 0;
    OR_TRY(OR_NEW(set->instances, n));
    for (; set->n < n; set->n++) {
        or_instance *instance = &set->instances[set->n];
        OR_TRY(or_task_instance(task, tokenizer, &options, set->n, instance));
        if (eval->plan.skip_long && instance->prompt.count > eval->plan.longest) {
            or_instance_free(instance);
            *instance = (or_instance){0}; /* an empty prompt is not run */
            left_out++;
            continue;
        }
        or_status status = check_instance(eval, task, set->n, instance);
        if (status == OR_OK) continue;
        or_instance_free(instance);
        return status;
    }
    if (left_out > 0)
        or_log_note("%s, %d shots: %zu of %zu rows are too long for the model and left out",
                    or_task_name(task), shots, left_out, n);
    return find_shared(set);
}

/* eval->groups never grows: or_eval_open() has made room for all, so pointers to groups stay valid. */
static or_status add_group(or_eval *eval, const or_instance_set *set, int policy, const or_group *dense)
{
    or_group *group = &eval->groups[eval->n_groups++];
    *group = (or_group){.set = set, .policy = policy, .dense = dense};
    return OR_NEW(group->outcomes, set->n);
}

/* Groups of a set: full depth first, where it is asked for, then the policies. */
static or_status add_groups(or_eval *eval, const or_instance_set *set)
{
    const or_eval_plan *plan = &eval->plan;
    const or_group *dense = NULL;
    if (plan->dense || plan->n_policies == 0) {
        OR_TRY(add_group(eval, set, -1, NULL));
        if (plan->n_policies > 0) dense = &eval->groups[eval->n_groups - 1];
    }
    for (size_t p = 0; p < plan->n_policies; p++) OR_TRY(add_group(eval, set, (int)p, dense));
    return OR_OK;
}

or_status or_check_policy_names(or_policy *const *policies, size_t n)
{
    for (size_t a = 0; a < n; a++) {
        if (strcmp(or_policy_name(policies[a]), "full") == 0)
            return or_fail(OR_ERR_USAGE, "reserved policy name", NULL,
                           "\"full\" is what full depth is called, rename the file");
        for (size_t b = 0; b < a; b++)
            if (strcmp(or_policy_name(policies[a]), or_policy_name(policies[b])) == 0)
                return or_fail(OR_ERR_USAGE, "two policies of one name", NULL,
                               "both are \"%s\", rename one of the files", or_policy_name(policies[a]));
    }
    return OR_OK;
}

/* Results name task and policy, so each name may stand for one of them only. */
static or_status check_names(const or_eval_plan *plan)
{
    for (size_t a = 0; a < plan->n_tasks; a++)
        for (size_t b = 0; b < a; b++)
            if (strcmp(or_task_name(plan->tasks[a]), or_task_name(plan->tasks[b])) == 0)
                return or_fail(OR_ERR_USAGE, "two tasks of one name", NULL,
                               "both are \"%s\", give them different names", or_task_name(plan->tasks[a]));
    return or_check_policy_names(plan->policies, plan->n_policies);
}

/* Sets and groups are counted as they are begun, before what can fail: or_eval_close() finds them. */
or_status or_eval_open(const or_eval_plan *plan, const or_tokenizer *tokenizer, const or_hparams *hparams,
                       or_eval **out)
{
    or_eval *eval = NULL;
    or_status status = OR_NEW(eval, 1);
    if (status != OR_OK) return status;
    eval->plan = *plan;
    eval->hparams = *hparams;
    eval->tokenizer = tokenizer;
    OR_TRY_GOTO(close, check_names(plan));
    OR_TRY_GOTO(close, OR_NEW(eval->sets, plan->n_tasks * plan->n_shots));
    OR_TRY_GOTO(close, OR_NEW(eval->groups, plan->n_tasks * plan->n_shots * (plan->n_policies + 1)));
    for (size_t t = 0; t < plan->n_tasks; t++) {
        for (size_t s = 0; s < plan->n_shots; s++) {
            or_instance_set *set = &eval->sets[eval->n_sets++];
            OR_TRY_GOTO(close, build_set(eval, tokenizer, plan->tasks[t], plan->shots[s], set));
            OR_TRY_GOTO(close, add_groups(eval, set));
        }
    }
    *out = eval;
    return OR_OK;

close:
    or_eval_close(eval);
    return status;
}

void or_eval_close(or_eval *eval)
{
    if (!eval) return;
    for (size_t g = 0; g < eval->n_groups; g++) {
        or_group *group = &eval->groups[g];
        for (size_t i = 0; group->outcomes && i < group->set->n; i++) or_outcome_free(&group->outcomes[i]);
        free(group->outcomes);
        or_run_stats_free(&eval->groups[g].stats);
    }
    for (size_t s = 0; s < eval->n_sets; s++) {
        for (size_t i = 0; i < eval->sets[s].n; i++) or_instance_free(&eval->sets[s].instances[i]);
        free(eval->sets[s].instances);
        free(eval->sets[s].n_shared);
    }
    or_journal_close(eval->journal);
    free(eval->folder);
    free(eval->groups);
    free(eval->sets);
    free(eval);
}

size_t or_eval_group_count(const or_eval *eval)
{
    return eval->n_groups;
}

/* Of all groups: a row counts once for each number of shots and policy. */
size_t or_eval_count(const or_eval *eval)
{
    size_t count = 0;
    for (size_t g = 0; g < eval->n_groups; g++) count += eval->groups[g].set->n;
    return count;
}

/* ---- the output folder -------------------------------------------------------------------------------- */

/* Takes a result from the journal of an interrupted run, as append_line() in eval_run.c wrote it. Numbers are
 * checked, some become indices. Whether it is right is not in the journal: that follows from the task. */
static or_status take_line(void *context, const cJSON *line, const char *where)
{
    or_eval *eval = context;
    int64_t group, index;
    OR_TRY(or_json_int(line, "group", where, 0, (int64_t)eval->n_groups - 1, &group));
    const or_instance_set *set = eval->groups[group].set;
    OR_TRY(or_json_int(line, "index", where, 0, (int64_t)set->n - 1, &index));
    or_outcome *outcome = &eval->groups[group].outcomes[index];
    if (outcome->done)
        return or_fail(OR_ERR_INPUT, "journal refused", where, "it holds this result a second time");
    OR_TRY(or_outcome_take(line, where, &eval->hparams, or_task_max_tokens(set->task), outcome));
    OR_TRY(or_outcome_judge(outcome, or_task_metric(set->task), &set->instances[index]));
    eval->n_done++;
    return OR_OK;
}

/* All that decides the results, as 16 hexadecimal digits: a resumed run must have the same. Each hash is
 * the seed of the next; the counts go first, so that no list can pass for the beginning of another. Plan,
 * wave size, threads, and how many continuations run at a time are left out, since they change no answer
 * (docs/determinism.md); the KV policy changes those of generated answers only. */
static void describe(const or_eval *eval, uint64_t fingerprint, char text[32])
{
    const or_eval_plan *plan = &eval->plan;
    uint64_t hash = fingerprint;
    const uint64_t numbers[] = {
        plan->n_tasks, plan->n_shots,     plan->n_policies,   plan->dense,
        plan->limit,   plan->prompt.seed, plan->prompt.split, plan->prompt.demos_per_instance};
    hash = XXH3_64bits_withSeed(numbers, sizeof numbers, hash);
    hash = XXH3_64bits_withSeed(plan->shots, plan->n_shots * sizeof *plan->shots, hash);
    bool generates = false;
    for (size_t t = 0; t < plan->n_tasks; t++) {
        generates = generates || or_task_max_tokens(plan->tasks[t]) > 0;
        const uint64_t task = or_task_fingerprint(plan->tasks[t]);
        hash = XXH3_64bits_withSeed(&task, sizeof task, hash);
    }
    for (size_t p = 0; p < plan->n_policies; p++) {
        const uint64_t policy = or_policy_fingerprint(plan->policies[p]);
        hash = XXH3_64bits_withSeed(&policy, sizeof policy, hash);
    }
    const uint64_t kv = plan->kv;
    if (generates) hash = XXH3_64bits_withSeed(&kv, sizeof kv, hash);
    const char *kernels = or_kernels_get()->name; /* sets sum in different orders */
    hash = XXH3_64bits_withSeed(kernels, strlen(kernels), hash);
    snprintf(text, 32, "%016llx", (unsigned long long)hash);
}

/* The folder may be new or hold an interrupted run; or_journal_open() knows which of the two is wanted. */
or_status or_eval_output(or_eval *eval, const char *folder, uint64_t fingerprint, bool resume)
{
    char run[32];
    char *path = NULL;
    describe(eval, fingerprint, run);
    OR_TRY(or_folder_make(folder));
    OR_TRY(or_strdup(folder, &eval->folder));
    OR_TRY(or_path_join(folder, "journal.jsonl", &path));
    or_status status = or_journal_open(path, run, resume, take_line, eval, &eval->journal);
    free(path);
    return status;
}
