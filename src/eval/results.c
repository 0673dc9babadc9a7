/* results.c - figures of a group, and the files results.jsonl and summary.json. */
#include "eval_internal.h"

#include "file.h"

#include <math.h>
#include <string.h>

/* ---- figures ------------------------------------------------------------------------------------------ */

/* Multiply-adds of full depth, and of what was executed, as if each prompt were run by itself: layers up to the exit, the ramps passed, and the
 * final head where the request went to the end: an exit at a ramp has its head already, the ramp's. */
static void count_macs(const or_eval *eval, const or_group *group, size_t i, double *full, double *executed)
{
    const or_hparams *h = &eval->hparams;
    const int64_t tokens = (int64_t)group->set->instances[i].prompt.count;
    const double layer = or_hparams_layer_macs(h, tokens), head = or_hparams_head_macs(h);
    const int exit_layer = group->outcomes[i].exit_layer;
    const or_policy *policy = group->policy < 0 ? NULL : eval->plan.policies[group->policy];
    *full += layer * h->n_layers + head;
    *executed += layer * exit_layer;
    if (exit_layer == h->n_layers) *executed += head;
    if (policy) *executed += or_policy_ramp_macs(policy, h, exit_layer);
}

/* What all stages executed for the group; NAN unless this process ran all of it. */
static double measured_macs(const or_group *group)
{
    double macs = 0;
    if (group->ran < group->set->n) return NAN;
    for (int s = 0; s < group->stats.n_stages; s++) macs += group->stats.stage[s].macs;
    return macs;
}

/* The same answer: the whole text where one is generated. */
static bool agrees(const or_group *group, size_t i)
{
    const or_outcome *own = &group->outcomes[i], *dense = &group->dense->outcomes[i];
    if (own->fault > 0) return false;
    return own->text ? strcmp(own->text, dense->text) == 0 : own->token == dense->token;
}

/* Sums over the instances of one or more groups, from which the figures are made. */
typedef struct tally {
    size_t n, failed;
    double score, score_squares, agree, compared, exact;
    double exits, layers, layer_squares; /* over tokens: one each, or all of a generated answer */
    double full, executed;               /* multiply-adds */
    bool dense;
} tally;

/* Layers are small whole numbers, so their sums and squares are exact in a double and do not depend on the
 * order. */
static void add_exit(tally *t, double layer)
{
    t->exits++;
    t->layers += layer;
    t->layer_squares += layer * layer;
}

/* OR_ERR_FAILED while an instance is missing: figures are of whole groups only. What a generated answer costs
 * cannot be told from its exit layers, since under most KV policies later tokens take skipped layers along:
 * there it is what the stages have counted. */
static or_status add_group(const or_eval *eval, const or_group *group, tally *t)
{
    const bool generated = or_task_max_tokens(group->set->task) > 0;
    for (size_t i = 0; i < group->set->n; i++) {
        const or_outcome *outcome = &group->outcomes[i];
        if (!outcome->done)
            return or_fail(OR_ERR_FAILED, "evaluation not complete", or_task_name(group->set->task),
                           "row %zu has no result, go on with --resume", i + 1);
        t->score += outcome->score;
        t->score_squares += outcome->score * outcome->score;
        const bool compared = group->dense && group->dense->outcomes[i].fault == 0;
        t->compared += compared;
        t->agree += compared && agrees(group, i);
        t->exact += generated ? outcome->correct : NAN;
        t->failed += outcome->fault > 0;
        if (outcome->fault > 0) continue; /* executed layers, but for nothing */
        for (size_t k = 0; k < outcome->n_tokens; k++) add_exit(t, outcome->exit_layers[k]);
        if (!generated) {
            add_exit(t, outcome->exit_layer);
            count_macs(eval, group, i, &t->full, &t->executed);
        }
    }
    if (generated) {
        const or_group *full = group->policy < 0 ? group : group->dense;
        t->executed += measured_macs(group);
        t->full += full ? measured_macs(full) : NAN;
    }
    t->n += group->set->n;
    t->dense = group->dense != NULL;
    return OR_OK;
}

/* Unbiased, of n values with these sums. fmax: with equal values the difference may round below 0. */
static double variance(double n, double sum, double squares)
{
    return n > 1 ? fmax(0, (squares - sum * (sum / n)) / (n - 1)) : NAN;
}

/* The standard error of the mean score is that of its sample variance, for scores of 0 and 1
 * sqrt(a (1 - a) / (n - 1)): what lm-evaluation-harness prints. */
static or_group_summary summarise(const or_eval *eval, const or_group *group, const tally *t)
{
    const double n = (double)t->n, mean = t->layers / t->exits;
    return (or_group_summary){
        .policy = or_group_policy_name(eval, group),
        .shots = group->set->shots,
        .n = t->n,
        .failed = t->failed,
        .accuracy = t->score / n,
        .standard_error = sqrt(variance(n, t->score, t->score_squares) / n),
        .exact_match = t->exact / n,
        .agreement = t->dense ? t->agree / t->compared : NAN,
        .exit_layer_mean = mean,
        .exit_layer_var = variance(t->exits, t->layers, t->layer_squares),
        .layers_saved = 1 - mean / eval->hparams.n_layers,
        .flops_ratio = t->executed / t->full,
        .requests_per_second = NAN,
        .tokens_per_second = NAN,
        .predicted = NAN,
    };
}

/* Rates by the seconds of the pipeline's run alone: opening it and reading tasks are not in them. The
 * figures are over all instances, those of earlier processes included. */
or_status or_eval_summary(const or_eval *eval, size_t g, or_group_summary *summary)
{
    const or_group *group = &eval->groups[g];
    tally t = {0};
    OR_TRY(add_group(eval, group, &t));
    *summary = summarise(eval, group, &t);
    summary->task = or_task_name(group->set->task);
    if (group->stats.n_stages > 0) {
        summary->requests_per_second = (double)group->ran / group->stats.seconds;
        summary->tokens_per_second = (double)group->ran_tokens / group->stats.seconds;
        if (group->predicted > 0) summary->predicted = group->predicted;
    }
    summary->stats = group->stats;
    return OR_OK;
}

/* Every task has the same groups in the same order (eval.c), so a total's groups lie a task apart. */
size_t or_eval_total_count(const or_eval *eval)
{
    return eval->n_groups / eval->plan.n_tasks;
}

/* Weighted by instances: a task of 2000 rows counts ten times as much as one of 200. */
or_status or_eval_total(const or_eval *eval, size_t total, or_group_summary *summary)
{
    const size_t stride = or_eval_total_count(eval);
    tally t = {0};
    for (size_t g = total; g < eval->n_groups; g += stride) OR_TRY(add_group(eval, &eval->groups[g], &t));
    *summary = summarise(eval, &eval->groups[total], &t);
    summary->task = "all tasks";
    return OR_OK;
}

size_t or_eval_failed(const or_eval *eval)
{
    size_t failed = 0;
    for (size_t g = 0; g < eval->n_groups; g++)
        for (size_t i = 0; i < eval->groups[g].set->n; i++) failed += eval->groups[g].outcomes[i].fault > 0;
    return failed;
}

/* The first in the order of the results. */
static const or_group *find_first_failed(const or_eval *eval, size_t *index)
{
    for (const or_group *group = eval->groups;; group++)
        for (*index = 0; *index < group->set->n; ++*index)
            if (group->outcomes[*index].fault > 0) return group;
}

or_status or_eval_check(const or_eval *eval)
{
    const size_t failed = or_eval_failed(eval), all = or_eval_count(eval);
    or_buffer why = {0};
    size_t index;
    if (failed == 0) return OR_OK;
    const or_group *group = find_first_failed(eval, &index);
    or_status status = or_outcome_put_fault(group->outcomes[index].fault, &why);
    if (status == OR_OK)
        status =
            or_fail(OR_ERR_FAILED, "requests failed", NULL,
                    "%zu of %zu, the first is task %s, %d shots, policy %s, index %zu: %s%s", failed, all,
                    or_task_name(group->set->task), group->set->shots, or_group_policy_name(eval, group),
                    index, why.data, failed == all ? "; are the weights damaged?" : "");
    or_buffer_free(&why);
    return status;
}

bool or_eval_survivors(const or_eval *eval, double *share, double *length)
{
    const int n_layers = eval->hparams.n_layers;
    double count = 0, tokens = 0, prompts = 0;
    for (int layer = 0; layer <= n_layers; layer++) share[layer] = 0;
    for (size_t g = 0; g < eval->n_groups; g++) {
        const or_group *group = &eval->groups[g];
        if (group->stats.n_stages == 0) continue;
        for (int layer = 0; layer <= n_layers; layer++) share[layer] += (double)group->stats.survivors[layer];
        count += (double)group->stats.survivors[0];
        tokens += (double)(group->ran_tokens - group->stats.prompt_tokens_shared);
        prompts += (double)group->ran;
    }
    if (count == 0 || prompts == 0) return false;
    for (int layer = 0; layer <= n_layers; layer++) share[layer] /= count;
    *length = tokens > prompts ? tokens / prompts : 1;
    return true;
}

/* By rank; the layers are those of the last group: a process may have moved to another plan between tasks. */
or_status or_eval_stages(const or_eval *eval, or_run_stats *sum)
{
    *sum = (or_run_stats){0};
    for (size_t g = 0; g < eval->n_groups; g++) OR_TRY(or_run_stats_add(sum, &eval->groups[g].stats));
    return OR_OK;
}

/* ---- results.jsonl ------------------------------------------------------------------------------------ */

/* What full depth answered. */
static or_status put_dense(const or_outcome *dense, or_buffer *out)
{
    if (!dense->text) return or_buffer_printf(out, ",\"dense_token\":%d", dense->token);
    OR_TRY(or_buffer_puts(out, ",\"dense_text\":"));
    return or_json_put_string(out, dense->text);
}

/* One line, in pieces for what JSON must escape:
 *
 *   {"task":"sst2","shots":5,"policy":"svm","index":17,"token":6374,"answer_token":6374,
 *    "correct":true,"exit_layer":9,"gap":0.41,"top_prob":0.62,"dense_token":6374}
 *
 * A generated answer has no answer token; token, exit_layer, gap and top_prob are of its first token:
 *
 *   {"task":"squad_f1",...,"index":17,"token":6374,"correct":false,"score":0.8,"text":" Santa Clara",
 *    "exit_layers":[9,16,11],"exit_layer":9,"gap":0.41,"top_prob":0.62,"dense_text":" Santa Clara"}
 *
 * dense_token or dense_text, full depth's answer, is there in groups with a full-depth twin. What has failed
 * is wrong, has the token -1, and ends with ,"error":"numbers are not finite after layer 7". Its exit layer
 * is that layer, and its text, if it was to have one, is empty. */
static or_status put_result(const or_eval *eval, const or_group *group, size_t i, or_buffer *out)
{
    const or_outcome *outcome = &group->outcomes[i];
    OR_TRY(or_buffer_puts(out, "{\"task\":"));
    OR_TRY(or_json_put_string(out, or_task_name(group->set->task)));
    OR_TRY(or_buffer_printf(out, ",\"shots\":%d,\"policy\":", group->set->shots));
    OR_TRY(or_json_put_string(out, or_group_policy_name(eval, group)));
    OR_TRY(or_buffer_printf(out, ",\"index\":%zu,\"token\":%d", i, outcome->token));
    if (!outcome->text)
        OR_TRY(or_buffer_printf(out, ",\"answer_token\":%d", group->set->instances[i].answer_token));
    OR_TRY(or_buffer_printf(out, ",\"correct\":%s", outcome->correct ? "true" : "false"));
    if (outcome->text) {
        OR_TRY(or_buffer_puts(out, ",\"score\":"));
        OR_TRY(or_json_put_double(out, outcome->score));
        OR_TRY(or_outcome_put_text(outcome, out));
    }
    OR_TRY(or_buffer_printf(out, ",\"exit_layer\":%d,\"gap\":", outcome->exit_layer));
    OR_TRY(or_json_put_float(out, outcome->gap));
    OR_TRY(or_buffer_puts(out, ",\"top_prob\":"));
    OR_TRY(or_json_put_float(out, outcome->top_prob));
    if (group->dense) OR_TRY(put_dense(&group->dense->outcomes[i], out));
    OR_TRY(or_outcome_put_error(outcome, out));
    return or_buffer_puts(out, "}\n");
}

/* Into the output folder, whole or not at all (or_file_write). */
static or_status write_file(const or_eval *eval, const char *name, const or_buffer *text)
{
    char *path = NULL;
    OR_TRY(or_path_join(eval->folder, name, &path));
    or_status status =
        or_journal_check(eval->journal); /* a job that was succeeded has nothing to say any more */
    if (status == OR_OK) status = or_file_write(path, text->data, text->size);
    free(path);
    return status;
}

/* Made anew from the outcomes, not from the journal's lines, whose order is that of the answers. */
or_status or_eval_write_results(const or_eval *eval)
{
    or_buffer out = {0};
    or_status status = OR_OK;
    for (size_t g = 0; g < eval->n_groups; g++)
        for (size_t i = 0; i < eval->groups[g].set->n && status == OR_OK; i++)
            status = put_result(eval, &eval->groups[g], i, &out);
    if (status == OR_OK) status = write_file(eval, "results.jsonl", &out);
    or_buffer_free(&out);
    return status;
}

/* ---- summary.json ------------------------------------------------------------------------------------- */

/* "key": number, or null where there is none. */
static or_status put_number(or_buffer *out, const char *key, double value)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": ", key));
    return isfinite(value) ? or_json_put_double(out, value) : or_buffer_puts(out, "null");
}

/* Survivors: share of the run's requests that enter the stage. Layers counted from 1, both ends included. */
static or_status put_stage(or_buffer *out, const or_stage_stats *stage, uint64_t n_requests)
{
    const double n = (double)n_requests;
    OR_TRY(or_buffer_printf(
        out,
        "      {\"replica\": %d, \"layers\": [%d, %d], \"requests_in\": %llu, \"exits\": %llu, "
        "\"requests_out\": %llu, \"waves_in\": %llu, \"waves_run\": %llu, \"waves_out\": %llu, "
        "\"rows_in\": %llu, \"ramp_rows\": %llu",
        stage->replica, stage->first + 1, stage->last, (unsigned long long)stage->requests_in,
        (unsigned long long)stage->exits, (unsigned long long)stage->requests_out,
        (unsigned long long)stage->waves_in, (unsigned long long)stage->waves_run,
        (unsigned long long)stage->waves_out, (unsigned long long)stage->rows_in,
        (unsigned long long)stage->ramp_rows));
    OR_TRY(put_number(out, "survivors", (double)stage->requests_in / n));
    OR_TRY(put_number(out, "busy", stage->busy));
    OR_TRY(put_number(out, "ramp", stage->ramp));
    OR_TRY(put_number(out, "idle", stage->idle));
    OR_TRY(put_number(out, "wait", stage->wait));
    OR_TRY(put_number(out, "peak", (double)stage->peak));
    return or_buffer_puts(out, "}");
}

/* {"task": ..., and the figures, without the closing brace. */
static or_status put_figures(const or_group_summary *s, bool first, or_buffer *out)
{
    OR_TRY(or_buffer_puts(out, first ? "  {\"task\": " : ",\n  {\"task\": "));
    OR_TRY(or_json_put_string(out, s->task));
    OR_TRY(or_buffer_printf(out, ", \"shots\": %d, \"policy\": ", s->shots));
    OR_TRY(or_json_put_string(out, s->policy));
    const struct {
        const char *key;
        double value;
    } numbers[] = {
        {"accuracy", s->accuracy},
        {"stderr", s->standard_error},
        {"exact_match", s->exact_match},
        {"n", (double)s->n},
        {"failed", (double)s->failed},
        {"agreement", s->agreement},
        {"exit_layer_mean", s->exit_layer_mean},
        {"exit_layer_var", s->exit_layer_var},
        {"layers_saved", s->layers_saved},
        {"flops_ratio", s->flops_ratio},
        {"requests_per_second", s->requests_per_second},
        {"tokens_per_second", s->tokens_per_second},
        {"predicted_requests_per_second", s->predicted},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        OR_TRY(put_number(out, numbers[i].key, numbers[i].value));
    return OR_OK;
}

/* "survivors" [l] of the group: requests that executed more than l layers, so [0] is all and [L] is 0.
 * Prompt tokens, and those of them that others had computed. Lists are empty, and counts 0, where this process
 * ran nothing. */
static or_status put_group(const or_eval *eval, size_t g, or_buffer *out)
{
    or_group_summary s;
    OR_TRY(or_eval_summary(eval, g, &s));
    OR_TRY(put_figures(&s, g == 0, out));
    OR_TRY(or_buffer_printf(out, ",\n    \"prompt_tokens\": %llu, \"prompt_tokens_shared\": %llu",
                            (unsigned long long)s.stats.prompt_tokens,
                            (unsigned long long)s.stats.prompt_tokens_shared));
    OR_TRY(or_buffer_puts(out, ",\n    \"survivors\": ["));
    for (int l = 0; s.stats.n_stages > 0 && l <= eval->hparams.n_layers; l++)
        OR_TRY(or_buffer_printf(out, "%s%llu", l ? ", " : "", (unsigned long long)s.stats.survivors[l]));
    OR_TRY(or_buffer_puts(out, "],\n    \"stages\": ["));
    for (int stage = 0; stage < s.stats.n_stages; stage++) {
        OR_TRY(or_buffer_puts(out, stage ? ",\n" : "\n"));
        OR_TRY(put_stage(out, &s.stats.stage[stage], s.stats.survivors[0]));
    }
    return or_buffer_puts(out, "]}");
}

/* {"groups": [{"task": ..., figures, "survivors": [...], "stages": [{...}]}, ...],
 * "totals": [{"task": "all tasks", figures}, ...]} */
or_status or_eval_write_summary(const or_eval *eval)
{
    or_buffer out = {0};
    or_status status = or_buffer_puts(&out, "{\"groups\": [\n");
    for (size_t g = 0; g < eval->n_groups && status == OR_OK; g++) status = put_group(eval, g, &out);
    if (status == OR_OK) status = or_buffer_puts(&out, "\n], \"totals\": [\n");
    for (size_t t = 0; t < or_eval_total_count(eval) && status == OR_OK; t++) {
        or_group_summary total;
        status = or_eval_total(eval, t, &total);
        if (status == OR_OK) status = put_figures(&total, t == 0, &out);
        if (status == OR_OK) status = or_buffer_puts(&out, "}");
    }
    if (status == OR_OK) status = or_buffer_puts(&out, "\n]}\n");
    if (status == OR_OK) status = write_file(eval, "summary.json", &out);
    or_buffer_free(&out);
    return status;
}
