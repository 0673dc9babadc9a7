/* study_check.c - runs a sample of a study's test rows with early exits, and compares with the replay. */
#include "study.h"

#include "log.h"
#include "memory.h"
#include "shared.h"

#include <string.h>

/* One request, and what the replay says will come of it. */
typedef struct sample {
    or_instance instance;
    int policy, exit;
    int32_t token;
} sample;

typedef struct check {
    sample *samples;
    size_t *n_shared; /* [count] leading tokens with which other prompts begin, too */
    size_t count, capacity, differ;
    bool (*stop)(void *);
} check;

static or_status give(void *context, size_t index, or_request *request)
{
    const sample *s = &((const check *)context)->samples[index];
    *request = (or_request){.tokens = s->instance.prompt.ids,
                            .n_tokens = s->instance.prompt.count,
                            .n_shared = ((const check *)context)->n_shared[index],
                            .policy = s->policy};
    return OR_OK;
}

static or_status take(void *context, size_t index, const or_answer *answer)
{
    check *c = context;
    const sample *s = &c->samples[index];
    c->differ += answer->exit.layer != s->exit || answer->exit.token != s->token;
    return OR_OK;
}

/* The rows are those of the trace, which has none that fails. */
static or_status take_fault(void *context, size_t index, int layer)
{
    (void)index;
    (void)layer;
    ((check *)context)->differ++;
    return OR_OK;
}

static bool stop(void *context)
{
    return ((check *)context)->stop(NULL);
}

static size_t task_of(const or_study *study, const char *name)
{
    size_t t = 0;
    while (strcmp(or_task_name(study->tasks[t].task), name) != 0) t++; /* the trace is of one of them */
    return t;
}

static or_status reserve(check *c, size_t room)
{
    OR_RESERVE(c->samples, c->capacity, room);
    return OR_OK;
}

/* Every so-manieth test row of the policy's scope. */
static or_status add_samples(const or_study *study, const or_study_trained *trained, int policy,
                             const or_tokenizer *tokenizer, check *c)
{
    or_trace trace = {0};
    or_status status = or_study_gather(study, trained->model, "", trained->scope, -1, OR_SPLIT_TEST, &trace);
    const size_t most = (size_t)study->check, step = trace.count > most ? trace.count / most : 1;
    const size_t room = c->count + (trace.count < most ? trace.count : most);
    if (status == OR_OK) status = reserve(c, room);
    for (size_t i = 0; i < trace.count && i / step < most && status == OR_OK; i += step) {
        const or_trace_item *item = &trace.items[i];
        const or_study_unit unit = {task_of(study, item->task), item->shots, OR_SPLIT_TEST};
        const or_prompt_options prompt = or_study_prompt(study, unit);
        sample s = {.policy = policy};
        s.exit = or_policy_replay(trained->loaded, item, trace.meta.n_layers, &s.token);
        status = or_task_instance(study->tasks[unit.task].task, tokenizer, &prompt, (size_t)item->index,
                                  &s.instance);
        if (status == OR_OK) c->samples[c->count++] = s;
    }
    or_trace_free(&trace);
    return status;
}

/* Demonstrations are computed once. */
static or_status find_shared(check *c)
{
    const or_tokens **prompts = NULL;
    OR_TRY(OR_NEW(c->n_shared, c->count));
    OR_TRY(OR_NEW(prompts, c->count));
    for (size_t i = 0; i < c->count; i++) prompts[i] = &c->samples[i].instance.prompt;
    or_status status = or_shared_prefixes(prompts, c->count, c->n_shared);
    free(prompts);
    return status;
}

or_status or_study_check(const or_study *study, size_t model, const or_study_all_trained *all,
                         const or_tokenizer *tokenizer, or_pipeline *pipeline, bool (*stop_asked)(void *),
                         size_t *instances, size_t *differ)
{
    check c = {.stop = stop_asked};
    or_run_stats stats = {0};
    int policy = 0;
    or_status status = OR_OK;
    for (size_t i = 0; i < all->count && status == OR_OK; i++)
        if (all->items[i].model == model)
            status = add_samples(study, &all->items[i], policy++, tokenizer, &c);
    if (status == OR_OK) status = find_shared(&c);
    or_log_note("checking %zu replays by real runs", c.count);
    const or_job job = {.n_requests = c.count,
                        .context = &c,
                        .request = give,
                        .answer = take,
                        .stop = stop,
                        .fault = take_fault,
                        .name = "check"};
    if (status == OR_OK) status = or_pipeline_run(pipeline, &job, &stats);
    *instances += c.count;
    *differ += c.differ;
    or_run_stats_free(&stats);
    while (c.count > 0) or_instance_free(&c.samples[--c.count].instance);
    free(c.samples);
    free(c.n_shared);
    return status;
}
