/* eval_run.c - the groups of an evaluation through the pipeline, one after the other, and traces of them. */
#include "eval_internal.h"

#include "clock.h"
#include "log.h"

#include <math.h>

/* What the callbacks of a run share. */
typedef struct session {
    or_eval *eval;
    or_group *group;
    size_t *pending; /* instances of the group that are not done, [n_pending] */
    size_t n_pending;
    size_t unsynced; /* answers in the journal that are not known to be on disk */
    double last_sync, last_show, begin;
    size_t began_done;                /* eval->n_done when this process began */
    size_t answered, answered_tokens; /* by this process */
    size_t exits;                     /* tokens with an exit layer among these: one each, unless generated */
    double layers;                    /* sum of their exit layers */
    or_continuation **continuations;  /* [n_pending], NULL where none is in flight */
    const or_pipeline *pipeline;      /* NULL in traces */
    or_eval_show *show;
    bool (*stop)(void *);
    void *context;

    or_trace_writer *trace; /* traces: where items go, */
    or_trace_item *items;   /* those that wait for an earlier one, [n_pending], seen NULL if not there, */
    size_t next_item;       /* the next to be written, */
    size_t left_out;        /* and how many of the group have failed */
    double macs, row_macs;  /* of one layer for a prompt, and for the row behind it: sums over the items */
} session;

/* Adds what a generated answer asks for: greedy, since a metric compares one text. */
static or_status ask_for_text(session *s, size_t index, or_request *request)
{
    const or_instance_set *set = s->group->set;
    const or_tokenizer *tokenizer = s->eval->tokenizer;
    request->max_tokens = or_task_max_tokens(set->task);
    request->kv = s->eval->plan.kv;
    request->sampling = (or_sampling){.top_p = 1};
    request->n_ends = or_tokenizer_ends(tokenizer, &request->ends);
    return or_continuation_open(tokenizer, set->task, &set->instances[s->pending[index]],
                                &s->continuations[index]);
}

/* `index` counts the group's pending instances. Token arrays are the instance's and stay where they are. */
static or_status give_request(void *context, size_t index, or_request *request)
{
    session *s = context;
    const or_instance *instance = &s->group->set->instances[s->pending[index]];
    *request = (or_request){
        .tokens = instance->prompt.ids,
        .n_tokens = instance->prompt.count,
        .n_shared = s->group->set->n_shared[s->pending[index]],
        .policy = s->group->policy,
        .observe = s->trace != NULL,
        .choices = instance->choices.ids,
        .n_choices = instance->choices.count,
    };
    if (s->trace || or_task_max_tokens(s->group->set->task) == 0) return OR_OK;
    return ask_for_text(s, index, request);
}

/* Writes what take_line() in eval.c reads back:
 *
 *   {"group":0,"index":17, and the outcome's members (outcome.h)}
 *
 * so that results.jsonl does not show where a run was resumed. */
static or_status append_line(session *s, size_t index, const or_outcome *outcome)
{
    or_buffer line = {0};
    const size_t group = (size_t)(s->group - s->eval->groups);
    or_status status = or_buffer_printf(&line, "{\"group\":%zu,\"index\":%zu", group, index);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_outcome_put(outcome, &line));
    OR_TRY_GOTO(done, or_buffer_puts(&line, "}"));
    OR_TRY_GOTO(done, or_journal_append(s->eval->journal, line.data, line.size));
done:
    or_buffer_free(&line);
    return status;
}

/* `done` from now on for this process; for a later one only once the line is synced. */
static or_status keep_outcome(session *s, size_t at, size_t tokens)
{
    const or_instance_set *set = s->group->set;
    or_outcome *outcome = &s->group->outcomes[at];
    OR_TRY(or_outcome_judge(outcome, or_task_metric(set->task), &set->instances[at]));
    s->answered++;
    s->group->ran++;
    s->group->ran_tokens += tokens;
    s->unsynced++;
    return append_line(s, at, outcome);
}

/* A choice is answered by its first token, so that it compares with answer_token like any other. */
static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    session *s = context;
    const size_t at = s->pending[index];
    const or_instance *instance = &s->group->set->instances[at];
    s->group->outcomes[at] = (or_outcome){
        .done = true,
        .token = answer->choice >= 0 ? instance->choices.ids[answer->choice] : answer->exit.token,
        .exit_layer = answer->exit.layer,
        .gap = answer->exit.gap,
        .top_prob = answer->exit.top_prob,
    };
    s->exits++;
    s->layers += answer->exit.layer;
    s->answered_tokens += instance->prompt.count;
    return keep_outcome(s, at, instance->prompt.count);
}

static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    session *s = context;
    s->exits++;
    s->layers += token->exit_layer;
    s->answered_tokens++;
    return or_continuation_put(s->continuations[index], token, more);
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    session *s = context;
    const size_t at = s->pending[index];
    (void)why; /* the text is what it is */
    OR_TRY(or_continuation_end(s->continuations[index], &s->group->outcomes[at]));
    or_continuation_close(s->continuations[index]);
    s->continuations[index] = NULL;
    return keep_outcome(s, at, s->group->outcomes[at].n_tokens);
}

/* The tokens that were given of a text are dropped. */
static or_status take_fault(void *context, size_t index, int layer)
{
    session *s = context;
    const size_t at = s->pending[index];
    const bool generated = s->continuations[index] != NULL;
    or_continuation_close(s->continuations[index]);
    s->continuations[index] = NULL;
    OR_TRY(or_outcome_fail(&s->group->outcomes[at], layer, generated));
    return keep_outcome(s, at, generated ? 0 : s->group->set->instances[at].prompt.count);
}

/* done is what is on disk (of a trace: taken), the rates are of what this process has answered, and the
 * time left goes by how fast done has grown. */
static void report(session *s, double now)
{
    if (!s->show) return;
    const double seconds = now - s->begin;
    const size_t done = s->eval->n_done, ran = done - s->began_done;
    or_eval_progress progress = {
        .done = done,
        .total = or_eval_count(s->eval),
        .exit_layer_mean = s->exits ? s->layers / (double)s->exits : NAN,
        .requests_per_second = seconds > 0 ? (double)s->answered / seconds : NAN,
        .tokens_per_second = seconds > 0 ? (double)s->answered_tokens / seconds : NAN,
    };
    progress.seconds_left = ran ? seconds / (double)ran * (double)(progress.total - done) : NAN;
    s->show(s->context, &progress);
    s->last_show = now;
}

/* Results count once they are on disk; syncing for every one of them would make the disk the bottleneck. The
 * journal's lines include those of earlier processes. */
static or_status sync_results(session *s, double now)
{
    size_t lines;
    or_pipeline_tell_write(s->pipeline, true);
    or_status status = or_journal_sync(s->eval->journal, &lines);
    or_pipeline_tell_write(s->pipeline, false);
    OR_TRY(status);
    s->eval->n_done = lines;
    s->unsynced = 0;
    s->last_sync = now;
    return OR_OK;
}

/* Called by the pipeline between layers. Traces have no journal: unsynced stays 0 there. */
static or_status tick(void *context)
{
    session *s = context;
    const double now = or_clock_now();
    if (s->unsynced > 0 && (now - s->last_sync > 0.1 || s->unsynced >= 1024)) OR_TRY(sync_results(s, now));
    if (now - s->last_show > 0.1) report(s, now);
    return OR_OK;
}

/* The pipeline then admits nothing more and finishes what runs. eval syncs the lines, so that exit code 75
 * loses no work; a trace is abandoned. */
static bool asked_to_stop(void *context)
{
    const session *s = context;
    return s->stop && s->stop(s->context);
}

/* `pending` and `continuations` have room for the largest group and serve all, one after the other. */
static or_status begin_session(session *s, or_eval *eval, or_eval_show *show, bool (*stop)(void *),
                               void *context)
{
    size_t most = 0;
    for (size_t g = 0; g < eval->n_groups; g++)
        if (eval->groups[g].set->n > most) most = eval->groups[g].set->n;
    *s = (session){.eval = eval, .show = show, .stop = stop, .context = context, .began_done = eval->n_done};
    s->begin = s->last_sync = or_clock_now();
    OR_TRY(OR_NEW(s->pending, most));
    or_status status = OR_NEW(s->continuations, most);
    if (status != OR_OK) free(s->pending);
    return status;
}

static void end_session(session *s)
{
    free(s->continuations);
    free(s->pending);
}

/* In the order of the rows, which is the order of admission. */
static void find_pending(session *s, or_group *group)
{
    s->group = group;
    s->n_pending = 0;
    for (size_t i = 0; i < group->set->n; i++)
        if (!group->outcomes[i].done && group->set->instances[i].prompt.count > 0)
            s->pending[s->n_pending++] = i;
}

/* What the plan "auto" promised for the group, which this process has run whole or in part: prompts of their mean
 * length, without what they share, in full waves. Generated answers end when they like. */
static void predict(const session *s, or_group *group, const or_pipeline *pipeline)
{
    const or_eval_plan *plan = &s->eval->plan;
    or_forecast forecast;
    or_workload work = {0};
    if (group->ran == 0 || or_task_max_tokens(group->set->task) > 0) return;
    const uint64_t rows = group->ran_tokens - group->stats.prompt_tokens_shared;
    work.length = (rows + group->ran / 2) / group->ran;
    work.requests = group->ran;
    if (work.length == 0) return;
    if (group->policy >= 0 && plan->survivors)
        work.survivors = plan->survivors[group->policy];
    else if (group->policy >= 0)
        work.survivors = or_policy_survivors(plan->policies[group->policy]);
    bool *ramp = NULL;
    if (OR_NEW(ramp, (size_t)s->eval->hparams.n_layers + 1) != OR_OK) return;
    for (int layer = 1; group->policy >= 0 && layer < s->eval->hparams.n_layers; layer++)
        ramp[layer] = or_policy_has_ramp(plan->policies[group->policy], layer);
    work.ramp = ramp;
    if (or_pipeline_forecast(pipeline, &work, &forecast)) {
        const double riders = forecast.requests_per_second * forecast.every, ran = (double)group->ran;
        group->predicted = ran / or_forecast_seconds(&forecast, fmax(1, ran / riders));
    }
    free(ramp);
}

/* "sst2 5 svm", malloc'ed. */
static or_status name_group(const session *s, const or_group *group, char **name)
{
    return or_format(name, "%s %d %s", or_task_name(group->set->task), group->set->shots,
                     or_group_policy_name(s->eval, group));
}

/* Runs what is pending of the group. Continuations that a stop or an error has left unfinished are dropped:
 * --resume begins them anew. */
static or_status run_group(session *s, or_group *group, or_pipeline *pipeline)
{
    char *name = NULL;
    OR_TRY(name_group(s, group, &name));
    const or_job job = {
        .n_requests = s->n_pending,
        .context = s,
        .request = give_request,
        .answer = take_answer,
        .tick = tick,
        .stop = asked_to_stop,
        .token = take_token,
        .finish = take_finish,
        .fault = take_fault,
        .name = name,
    };
    or_status status = or_pipeline_run(pipeline, &job, &group->stats);
    free(name);
    for (size_t i = 0; i < s->n_pending; i++) {
        or_continuation_close(s->continuations[i]);
        s->continuations[i] = NULL;
    }
    if (status != OR_OK && status != OR_STOPPED) return status;
    if (status == OR_OK) predict(s, group, pipeline);
    or_status synced = sync_results(s, or_clock_now());
    return synced != OR_OK ? synced : status;
}

bool or_eval_finished(const or_eval *eval)
{
    return eval->next_group == eval->n_groups;
}

/* Whether the next group is another task's. */
static bool ends_task(const or_eval *eval)
{
    const or_group *group = &eval->groups[eval->next_group];
    return !or_eval_finished(eval) && group->set->task != group[-1].set->task;
}

/* A group whose instances are all in the journal is not run, so its stats stay empty and its rates are
 * null. After a failure lines that no tick has synced are lost; their instances run again on --resume. */
or_status or_eval_run(or_eval *eval, or_pipeline *pipeline, or_eval_show *show, bool (*stop)(void *),
                      void *context)
{
    session s;
    OR_TRY(begin_session(&s, eval, show, stop, context));
    s.pipeline = pipeline;
    or_status status = OR_OK;
    while (!or_eval_finished(eval) && status == OR_OK) {
        or_group *group = &eval->groups[eval->next_group++];
        find_pending(&s, group);
        if (s.n_pending > 0) status = run_group(&s, group, pipeline);
        if (eval->plan.by_task && ends_task(eval)) break;
    }
    report(&s, or_clock_now());
    if (status == OR_OK && or_eval_finished(eval)) status = or_eval_write_results(eval);
    if (status == OR_OK && or_eval_finished(eval)) status = or_eval_write_summary(eval);
    end_session(&s);
    return status;
}

/* ---- traces ------------------------------------------------------------------------------------------- */

/* Whether item i has no rows. */
static bool is_left_out(const session *s, size_t i)
{
    return s->group->outcomes[s->pending[i]].fault > 0;
}

/* Writes the items that are next in order: answers come in any, the rows of a trace in that of the instances,
 * so that the same run gives the same file. */
static or_status write_items(session *s)
{
    for (; s->next_item < s->n_pending; s->next_item++) {
        or_trace_item *item = &s->items[s->next_item];
        if (is_left_out(s, s->next_item)) continue;
        if (!item->seen) return OR_OK;
        OR_TRY(or_trace_put(s->trace, item));
        free(item->seen);
        item->seen = NULL;
    }
    return OR_OK;
}

/* The row behind a prompt, which generation runs next, costs what one token more adds to the prompt. */
static void add_macs(session *s, int64_t tokens)
{
    const double prompt = or_hparams_layer_macs(&s->eval->hparams, tokens);
    s->macs += prompt;
    s->row_macs += or_hparams_layer_macs(&s->eval->hparams, tokens + 1) - prompt;
}

/* An answer as a trace item. The task's name is lent: or_trace_put() only reads it, and the items here are
 * freed by hand. Counted as done at once, since a trace is all or nothing. */
static or_status take_traced(void *context, size_t index, const or_answer *answer)
{
    session *s = context;
    const size_t n_layers = (size_t)s->eval->hparams.n_layers;
    const or_instance *instance = &s->group->set->instances[s->pending[index]];
    or_trace_item *item = &s->items[index];
    *item = (or_trace_item){
        .task = (char *)or_task_name(s->group->set->task),
        .shots = s->group->set->shots,
        .index = (int64_t)s->pending[index],
        .final_token = answer->exit.token,
        .answer_token = instance->answer_token,
    };
    OR_TRY(OR_NEW(item->seen, n_layers));
    for (size_t layer = 0; layer < n_layers; layer++) item->seen[layer] = answer->seen[layer];
    add_macs(s, (int64_t)instance->prompt.count);
    s->answered++;
    s->answered_tokens += instance->prompt.count;
    s->exits++;
    s->layers += answer->exit.layer;
    s->eval->n_done++;
    return write_items(s);
}

static or_status leave_out(void *context, size_t index, int layer)
{
    session *s = context;
    OR_TRY(or_outcome_fail(&s->group->outcomes[s->pending[index]], layer, false));
    s->left_out++;
    s->eval->n_done++;
    return write_items(s);
}

/* Where, and the layer of the first. */
static void note_left_out(const session *s)
{
    size_t first = 0;
    if (s->left_out == 0) return;
    while (!is_left_out(s, first)) first++;
    or_log_note(
        "%s, %d shots: %zu of %zu rows are left out, numbers are not finite: of row %zu after layer %d",
        or_task_name(s->group->set->task), s->group->set->shots, s->left_out, s->n_pending,
        s->pending[first] + 1, s->group->outcomes[s->pending[first]].fault);
}

/* Traces one set; what waits for an item that never came is freed. */
static or_status trace_group(session *s, or_group *group, or_pipeline *pipeline)
{
    char *name = NULL;
    find_pending(s, group);
    s->next_item = s->left_out = 0;
    OR_TRY(name_group(s, group, &name));
    or_status status = OR_NEW(s->items, s->n_pending);
    const or_job job = {
        .n_requests = s->n_pending,
        .context = s,
        .request = give_request,
        .answer = take_traced,
        .tick = tick,
        .stop = asked_to_stop,
        .fault = leave_out,
        .name = name,
    };
    if (status == OR_OK) status = or_pipeline_run(pipeline, &job, &group->stats);
    if (status == OR_OK) note_left_out(s);
    free(name);
    for (size_t i = s->next_item; s->items && i < s->n_pending; i++) free(s->items[i].seen);
    free(s->items);
    return status;
}

/* The mean costs of a layer are over instances, whose prompts differ in length; that of a ramp is one row of
 * the output projection, whatever the prompt. */
or_status or_eval_trace(or_eval *eval, or_pipeline *pipeline, const char *path, or_eval_show *show,
                        bool (*stop)(void *), void *context)
{
    const or_hparams *h = &eval->hparams;
    session s;
    OR_TRY(begin_session(&s, eval, show, stop, context));
    or_status status = or_trace_begin(path, h->n_layers, &s.trace);
    for (size_t g = 0; g < eval->n_groups && status == OR_OK; g++)
        status = trace_group(&s, &eval->groups[g], pipeline);
    report(&s, or_clock_now());
    if (status == OR_OK) {
        const double n = s.answered > 0 ? (double)s.answered : 1;
        if (s.answered == 0) add_macs(&s, 1); /* all rows were left out: an empty trace has costs, too */
        const or_trace_meta meta = {
            .fingerprint = or_pipeline_fingerprint(pipeline),
            .n_layers = h->n_layers,
            .n_vocab = h->n_vocab,
            .layer_macs = s.macs / n,
            .row_macs = s.row_macs / n,
            .ramp_macs = or_hparams_head_macs(h),
        };
        status = or_trace_end(s.trace, &meta);
    } else {
        or_trace_abandon(s.trace);
    }
    end_session(&s);
    return status;
}
