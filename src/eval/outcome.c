/* outcome.c - outcomes: judged, written to the journal and read back. */
#include "outcome.h"

#include "answer_text.h"

#include <string.h>

void or_outcome_free(or_outcome *outcome)
{
    free(outcome->exit_layers);
    free(outcome->text);
    *outcome = (or_outcome){0};
}

or_status or_outcome_fail(or_outcome *outcome, int layer, bool generated)
{
    *outcome = (or_outcome){.done = true, .token = -1, .exit_layer = layer, .fault = layer};
    return generated ? or_strdup("", &outcome->text) : OR_OK;
}

or_status or_outcome_put_fault(int layer, or_buffer *out)
{
    return or_buffer_printf(out, "numbers are not finite after layer %d", layer);
}

/* For a choice both tokens are first tokens of choices, which check_endings() in prompt.c keeps apart. */
or_status or_outcome_judge(or_outcome *outcome, or_metric metric, const or_instance *instance)
{
    if (outcome->fault > 0) return OR_OK; /* an empty text might even be right */
    if (!outcome->text) {
        outcome->correct = outcome->token == instance->answer_token;
        outcome->score = outcome->correct;
        return OR_OK;
    }
    or_answer_score score;
    OR_TRY(or_answer_score_text(outcome->text, instance->references, instance->n_references, &score));
    outcome->correct = score.exact;
    outcome->score = metric == OR_METRIC_F1 ? score.f1 : score.exact;
    return OR_OK;
}

/* ---- the journal --------------------------------------------------------------------------------------- */

or_status or_outcome_put_text(const or_outcome *outcome, or_buffer *line)
{
    OR_TRY(or_buffer_puts(line, ",\"text\":"));
    OR_TRY(or_json_put_string(line, outcome->text));
    OR_TRY(or_buffer_puts(line, ",\"exit_layers\":["));
    for (size_t i = 0; i < outcome->n_tokens; i++)
        OR_TRY(or_buffer_printf(line, "%s%d", i ? "," : "", outcome->exit_layers[i]));
    return or_buffer_puts(line, "]");
}

or_status or_outcome_put_error(const or_outcome *outcome, or_buffer *line)
{
    if (outcome->fault == 0) return OR_OK;
    OR_TRY(or_buffer_puts(line, ",\"error\":\""));
    OR_TRY(or_outcome_put_fault(outcome->fault, line));
    return or_buffer_puts(line, "\"");
}

or_status or_outcome_put(const or_outcome *outcome, or_buffer *line)
{
    OR_TRY(or_buffer_printf(line, ",\"token\":%d,\"exit_layer\":%d,\"gap\":", outcome->token,
                            outcome->exit_layer));
    OR_TRY(or_json_put_float(line, outcome->gap));
    OR_TRY(or_buffer_puts(line, ",\"top_prob\":"));
    OR_TRY(or_json_put_float(line, outcome->top_prob));
    if (outcome->fault > 0) return or_outcome_put_error(outcome, line);
    return outcome->text ? or_outcome_put_text(outcome, line) : OR_OK;
}

/* The text and the exit layers of a generated answer. */
static or_status take_text(const cJSON *line, const char *where, int n_layers, size_t max_tokens,
                           or_outcome *outcome)
{
    const char *text;
    const cJSON *layers;
    OR_TRY(or_json_string(line, "text", where, &text));
    OR_TRY(or_json_array(line, "exit_layers", where, &layers));
    const size_t n = (size_t)cJSON_GetArraySize(layers);
    if (n < 1 || n > max_tokens)
        return or_fail(OR_ERR_INPUT, "journal refused", where, "found %zu \"exit_layers\", expected 1..%zu",
                       n, max_tokens);
    OR_TRY(or_strdup(text, &outcome->text));
    OR_TRY(OR_NEW(outcome->exit_layers, n));
    for (const cJSON *item = layers->child; item; item = item->next) {
        const double layer = cJSON_IsNumber(item) ? item->valuedouble : 0;
        if (layer < 1 || layer > n_layers || layer != (int32_t)layer)
            return or_fail(OR_ERR_INPUT, "journal refused", where,
                           "\"exit_layers\" has something else than layers 1..%d", n_layers);
        outcome->exit_layers[outcome->n_tokens++] = (int32_t)layer;
    }
    return OR_OK;
}

or_status or_outcome_take(const cJSON *line, const char *where, const or_hparams *hparams, size_t max_tokens,
                          or_outcome *outcome)
{
    int64_t token, exit_layer;
    double gap, top_prob;
    OR_TRY(or_json_int(line, "exit_layer", where, 1, hparams->n_layers, &exit_layer));
    if (or_json_find(line, "error")) return or_outcome_fail(outcome, (int)exit_layer, max_tokens > 0);
    OR_TRY(or_json_int(line, "token", where, 0, hparams->n_vocab - 1, &token));
    OR_TRY(or_json_number(line, "gap", where, &gap));
    OR_TRY(or_json_number(line, "top_prob", where, &top_prob));
    *outcome = (or_outcome){.token = (int32_t)token,
                            .exit_layer = (int32_t)exit_layer,
                            .gap = (float)gap,
                            .top_prob = (float)top_prob};
    if (max_tokens > 0) {
        or_status status = take_text(line, where, hparams->n_layers, max_tokens, outcome);
        if (status != OR_OK) or_outcome_free(outcome);
        OR_TRY(status);
    }
    outcome->done = true;
    return OR_OK;
}
