/* ramp.c - the check after a layer (AdaInfer, arXiv 2403.02181, section 4).
 *
 *   riders that are due -> their last rows -> final norm, output projection -> softmax, top two
 *     -> observation -> policy: leaves or stays
 *
 * A rider is due where its policy has a ramp, at every layer when it is observed, and at full depth. Rows are
 * checked OR_RAMP_ROWS at a time, which bounds the memory for logits; each row is computed by itself.
 */
#include "sample.h"
#include "stage.h"

#include "threads.h"

#include <math.h>
#include <string.h>

/* `layer` counts layers executed, 1..L. */
static bool is_due(const or_stage *stage, const or_rider *rider, int layer)
{
    if (rider->observe || layer == stage->n_layers) return true;
    return rider->policy >= 0 && or_policy_has_ramp(stage->policies[rider->policy], layer);
}

/* Index of the choice with the greatest logit, the first among equals; -1 without choices. */
static int32_t best_choice(const float *logits, const int32_t *choices, int32_t n_choices)
{
    int32_t best = n_choices > 0 ? 0 : -1;
    for (int32_t c = 1; c < n_choices; c++)
        if (logits[choices[c]] > logits[choices[best]]) best = c;
    return best;
}

/* The record of rider `r` from its row of logits [n_vocab]. Reads the wave and writes the record only, as
 * it runs beside the others'. `stable` and `leaves` follow in decide(). */
static void fill_record(const or_stage *stage, const or_wave *wave, size_t r, const int32_t *choices,
                        const float *logits, or_record *record)
{
    const size_t n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    const or_rider *rider = &wave->riders[r];
    or_top top;
    or_kernels_get()->top(logits, n_vocab, &top);
    *record = (or_record){
        .index = rider->index,
        .choice = best_choice(logits, choices, rider->n_choices),
        .seen = {.layer = wave->layer, .token = top.token, .top_prob = top.prob, .gap = top.gap},
        .logsumexp = top.logsumexp,
    };
    if (wave->taps) {
        record->seen.cos_attn = stage->cosines[3 * r];
        record->seen.cos_mlp = stage->cosines[3 * r + 1];
        record->seen.cos_hidden = stage->cosines[3 * r + 2];
    }
    if (rider->observe && wave->layer == stage->n_layers)
        record->n_best = or_best_tokens(logits, n_vocab, record->best);
}

/* Lists the riders that are due in stage->due, in ascending order, and lets nobody leave yet. */
static size_t find_due(or_stage *stage, const or_wave *wave)
{
    size_t n_due = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        stage->leaves[r] = false;
        if (is_due(stage, &wave->riders[r], wave->layer)) stage->due[n_due++] = r;
    }
    return n_due;
}

/* Logits and records of the due riders [from, from + n), n <= OR_RAMP_ROWS. Only the last row of a prompt
 * says what comes next. Riders are met in order, so one walk finds where the choices of each begin. */
static or_status check_rows(or_stage *stage, const or_wave *wave, size_t from, size_t n)
{
    const size_t width = wave->width, n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    const int32_t *choices[OR_RAMP_ROWS];
    const int32_t *choice = wave->choices;
    for (size_t i = 0, r = 0; i < n; i++) {
        for (; r < stage->due[from + i]; r++) choice += wave->riders[r].n_choices;
        choices[i] = choice;
        const or_span span = wave->spans[r];
        memcpy(stage->rows + i * width, wave->hidden + (size_t)(span.first + span.count - 1) * width,
               width * sizeof(float));
    }
    OR_TRY(or_model_logits(stage->model, stage->rows, n, stage->logits)); /* [n, d_model] -> [n, n_vocab] */
#pragma omp parallel for num_threads(or_threads())
    for (size_t i = 0; i < n; i++)
        fill_record(stage, wave, stage->due[from + i], choices[i], stage->logits + i * n_vocab,
                    &stage->records[from + i]);
    return OR_OK;
}

/* Counts `stable` and asks the policy. `stable` counts over the policy's own ramps, or over all layers
 * without a policy; an observation at another layer of an observed rider has 0. At full depth everybody
 * leaves. */
static or_status decide(or_stage *stage, or_rider *rider, or_record *record)
{
    const or_policy *policy = rider->policy >= 0 ? stage->policies[rider->policy] : NULL;
    const int layer = record->seen.layer;
    if (!isfinite(record->logsumexp))
        return or_fail(OR_ERR_FAILED, "numbers are not finite", NULL,
                       "request %llu after layer %d, expected finite logits; are the weights damaged?",
                       (unsigned long long)record->index, layer);
    bool ramp = policy && layer < stage->n_layers && or_policy_has_ramp(policy, layer);
    if (ramp || !policy) record->seen.stable = or_ramp_state_update(&rider->state, record->seen.token);
    record->leaves = layer == stage->n_layers || (ramp && or_policy_fires(policy, &record->seen));
    return OR_OK;
}

/* Local. Answers do not depend on OR_RAMP_ROWS: rows of logits are independent of each other (compute.h). */
or_status or_ramp_check(or_stage *stage, const or_wave *wave)
{
    OR_RESERVE(stage->due, stage->due_capacity, wave->n_riders);
    OR_RESERVE(stage->leaves, stage->leaves_capacity, wave->n_riders);
    const size_t n_due = find_due(stage, wave);
    stage->n_records = 0;
    if (n_due == 0) return OR_OK;
    OR_RESERVE(stage->records, stage->records_capacity, n_due);
    OR_RESERVE(stage->rows, stage->rows_capacity, OR_RAMP_ROWS * wave->width);
    OR_RESERVE(stage->logits, stage->logits_capacity,
               OR_RAMP_ROWS * (size_t)or_model_hparams(stage->model)->n_vocab);

    for (size_t from = 0; from < n_due; from += OR_RAMP_ROWS)
        OR_TRY(check_rows(stage, wave, from, n_due - from < OR_RAMP_ROWS ? n_due - from : OR_RAMP_ROWS));
    size_t kept = 0; /* nobody waits for the record of a rider that stays and is not observed */
    for (size_t i = 0; i < n_due; i++) {
        or_rider *rider = &wave->riders[stage->due[i]];
        or_record *record = &stage->records[i];
        OR_TRY(decide(stage, rider, record));
        stage->leaves[stage->due[i]] = record->leaves;
        if (record->leaves || rider->observe) stage->records[kept++] = *record;
    }
    stage->n_records = kept;
    stage->stats.ramp_rows += n_due;
    return OR_OK;
}
