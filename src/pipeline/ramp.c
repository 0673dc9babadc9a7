/* ramp.c - the check after a layer (AdaInfer, arXiv 2403.02181, section 4), and the end at full depth.
 *
 *   rows that are due -> final norm, output projection -> softmax, top two -> observation
 *     -> policy: leaves or stays; and of a continuation's row the token that is drawn there
 *
 * A rider's last row is due where its policy has a ramp - unless a shortlist shows that it would stay anyway
 * (shortlist.c) -, at every layer when it is observed, and at full depth, where drafts of its continuation
 * that came along are due as well. Rows are checked OR_RAMP_ROWS at a time, which bounds the memory for
 * logits; each row is computed by itself.
 *
 * A row whose exit was given (or_request.exits) leaves without being asked. Its token is owed until the
 * wave has passed the stage, and then computed together with those of other layers: an output projection is
 * read once for all of them.
 *
 * After every layer, ramp or not, a rider whose asked rows are not finite any more leaves with that for an
 * answer (fault.h). So does one whose logits are not. The others of its wave do not notice.
 */
#include "fault.h"
#include "sample.h"
#include "stage.h"

#include "threads.h"

#include <math.h>
#include <string.h>

/* ---- which rows --------------------------------------------------------------------------------------- */

static const or_policy *policy_of(const or_stage *stage, const or_rider *rider)
{
    return rider->policy >= 0 ? stage->policies[rider->policy] : NULL;
}

static bool asks(const or_rider *rider)
{
    return or_step_asks(&rider->step, rider->rows);
}

/* Whether the ramp after `layer` layers (1..L-1) lets the last row of this rider, which asks, leave if it is
 * sure enough. */
static bool has_ramp(const or_stage *stage, const or_rider *rider, int layer)
{
    if (rider->step.exits_at > 0) return rider->step.exits_at == layer;
    return rider->policy >= 0 && or_policy_has_ramp(stage->policies[rider->policy], layer);
}

/* Whether it leaves here whatever the distribution says, and none of its rows goes on. */
static bool leaves_unasked(const or_stage *stage, const or_rider *rider, int layer)
{
    return rider->step.exits_at == layer && layer < stage->n_layers && asks(rider) &&
           rider->step.kv != OR_KV_VERIFY;
}

/* Keeps rider r and its last row for or_ramp_settle(). */
static or_status owe(or_stage *stage, const or_wave *wave, size_t r)
{
    const size_t width = wave->width, last = (size_t)(wave->spans[r].first + wave->spans[r].count - 1);
    OR_RESERVE(stage->owed, stage->owed_capacity, stage->n_owed + 1);
    OR_RESERVE(stage->owed_rows, stage->owed_rows_capacity, (stage->n_owed + 1) * width);
    stage->owed[stage->n_owed] = wave->riders[r];
    memcpy(stage->owed_rows + stage->n_owed * width, wave->hidden + last * width, width * sizeof(float));
    stage->n_owed++;
    return OR_OK;
}

/* At full depth: all rows that are asked. */
static size_t add_final_rows(const or_wave *wave, size_t r, or_due *due)
{
    const or_span span = wave->spans[r];
    size_t n = 0;
    for (int32_t i = or_first_asked(&wave->riders[r], span); i < span.count; i++)
        due[n++] = (or_due){r, span.first + i};
    return n;
}

/* Looks for faults of a rider that asks. Under verify it leaves no draft behind then, and no row that waits:
 * they would lose the layer. */
static bool leaves_by_fault(or_wave *wave, size_t r)
{
    or_rider *rider = &wave->riders[r];
    or_fault_note(wave, r);
    if (rider->step.fault == 0) return false;
    rider->policy = -1;
    rider->step.exits_at = 0;
    return or_fault_leaves(&rider->step);
}

/* Lists what is due in stage->due, in ascending order; lets those leave that are not asked, or are lost. */
static or_status find_due(or_stage *stage, or_wave *wave, size_t *n_due)
{
    size_t n = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        bool whole = rider->observe;
        stage->leaves[r] = false;
        if (!asks(rider)) continue;
        stage->leaves[r] = leaves_by_fault(wave, r);
        if (stage->leaves[r]) continue;
        stage->leaves[r] = leaves_unasked(stage, rider, wave->layer);
        if (stage->leaves[r]) {
            OR_TRY(owe(stage, wave, r));
            continue;
        }
        if (wave->layer == stage->n_layers) {
            OR_RESERVE(stage->due, stage->due_capacity, n + (size_t)wave->spans[r].count);
            n += add_final_rows(wave, r, stage->due + n);
            continue;
        }
        if (!whole && has_ramp(stage, rider, wave->layer)) OR_TRY(or_shortlist_check(stage, wave, r, &whole));
        OR_RESERVE(stage->due, stage->due_capacity, n + 1);
        if (whole) stage->due[n++] = (or_due){r, wave->spans[r].first + wave->spans[r].count - 1};
    }
    *n_due = n;
    return OR_OK;
}

/* ---- what they say ------------------------------------------------------------------------------------ */

/* Index of the choice with the greatest logit, the first among equals; -1 without choices. */
static int32_t best_choice(const float *logits, const int32_t *choices, int32_t n_choices)
{
    int32_t best = n_choices > 0 ? 0 : -1;
    for (int32_t c = 1; c < n_choices; c++)
        if (logits[choices[c]] > logits[choices[best]]) best = c;
    return best;
}

/* The token of a continuation. Drawn also where it will not leave: which is seldom, as then a shortlist has
 * mostly spared the distribution. */
static void draw(const or_stage *stage, const or_rider *rider, const float *logits, size_t n_vocab,
                 or_record *record)
{
    const or_step *step = &rider->step;
    record->drawn = record->seen.token;
    if (step->sampling.temperature > 0)
        record->drawn = or_sample(&step->sampling, record->position, logits, n_vocab,
                                  stage->draws + (size_t)or_thread_number() * n_vocab);
    record->logprob = logits[step->target >= 0 ? step->target : record->drawn] - record->logsumexp;
    if (step->likeliest) record->n_best = or_best_tokens(logits, n_vocab, record->best, OR_BEST);
}

/* Whose record it is, of which row, after how many layers. */
static or_record begin_record(const or_rider *rider, int layer, int32_t position)
{
    return (or_record){
        .index = rider->index,
        .sequence = rider->step.sequence,
        .slot = rider->step.slot,
        .position = position,
        .round = rider->step.round,
        .choice = -1,
        .seen = {.layer = layer},
    };
}

/* The record of a rider's row at `position` from its logits [n_vocab] after `layer` layers. Runs beside the
 * others': it writes the record and the rider's own shortlist only. What follows from it is in decide(). */
static void fill_record(const or_stage *stage, or_rider *rider, int layer, int32_t position,
                        const int32_t *choices, const float *logits, or_record *record)
{
    const size_t n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    const bool last = layer == stage->n_layers;
    const or_policy *policy = policy_of(stage, rider);
    or_top top;
    or_kernels_get()->top(logits, n_vocab, &top);
    *record = begin_record(rider, layer, position);
    if (!isfinite(top.logsumexp)) {
        record->fault = layer;
        return;
    }
    record->choice = best_choice(logits, choices, rider->n_choices);
    record->seen = (or_observation){.layer = layer, .token = top.token, .top_prob = top.prob, .gap = top.gap};
    record->logsumexp = top.logsumexp;
    if (rider->step.sequence) draw(stage, rider, logits, n_vocab, record);
    if (rider->observe && last) record->n_best = or_best_tokens(logits, n_vocab, record->best, OR_BEST);
    if (policy && !last && or_policy_shortlist(policy) > 0) {
        or_token_logit best[OR_SHORTLIST];
        rider->n_short = or_best_tokens(logits, n_vocab, best, or_policy_shortlist(policy));
        for (int32_t i = 0; i < rider->n_short; i++) rider->shortlist[i] = best[i].token;
    }
}

/* That of a row of the wave, with the cosines of its rider. */
static void fill_due(const or_stage *stage, or_wave *wave, const or_due *due, const int32_t *choices,
                     const float *logits, or_record *record)
{
    const int32_t position = wave->spans[due->rider].position + due->row - wave->spans[due->rider].first;
    fill_record(stage, &wave->riders[due->rider], wave->layer, position, choices, logits, record);
    if (!wave->taps || record->fault > 0) return;
    const float *cosines = stage->cosines + 3 * due->rider;
    record->seen.cos_attn = cosines[0];
    record->seen.cos_mlp = cosines[1];
    record->seen.cos_hidden = cosines[2];
}

/* Logits and records of the due rows [from, from + n), n <= OR_RAMP_ROWS. Riders are met in order, so one
 * walk finds where the choices of each begin. */
static or_status check_rows(or_stage *stage, or_wave *wave, size_t from, size_t n)
{
    const size_t width = wave->width, n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    const int32_t *choices[OR_RAMP_ROWS], *list = wave->lists;
    const or_due *due = stage->due + from;
    for (size_t i = 0, r = 0; i < n; i++) {
        for (; r < due[i].rider; r++) list += or_rider_list(&wave->riders[r]);
        choices[i] = list;
        memcpy(stage->rows + i * width, wave->hidden + (size_t)due[i].row * width, width * sizeof(float));
    }
    OR_TRY(or_model_logits(stage->model, stage->rows, n, stage->logits)); /* [n, d_model] -> [n, n_vocab] */
#pragma omp parallel for num_threads(or_threads())
    for (size_t i = 0; i < n; i++)
        fill_due(stage, wave, &due[i], choices[i], stage->logits + i * n_vocab, &stage->records[from + i]);
    return OR_OK;
}

/* ---- what follows from it ----------------------------------------------------------------------------- */

/* At a ramp. `stable` counts over the policy's own ramps, or over all layers without a policy; an
 * observation at another layer of an observed rider has 0. */
static bool leaves_here(or_stage *stage, or_rider *rider, or_record *record)
{
    const or_policy *policy = policy_of(stage, rider);
    const int layer = record->seen.layer;
    if (rider->step.exits_at > 0) return rider->step.exits_at == layer;
    const bool ramp = policy && or_policy_has_ramp(policy, layer);
    if (ramp || !policy) record->seen.stable = or_ramp_state_update(&rider->state, record->seen.token);
    return ramp && or_policy_fires(policy, &record->seen, &rider->state);
}

/* At full depth: it leaves with its last row. Under verify the rows before that waited as drafts; the first
 * that is lost may have been so for long. */
static void decide_final(const or_rider *rider, or_record *record)
{
    const or_step *step = &rider->step;
    if (record->fault > 0 && step->fault > 0 && record->position == step->fault_position)
        record->fault = step->fault;
    const bool last = step->sequence == 0 || record->position == step->position + rider->rows - 1;
    record->leaves = last;
    record->kind = step->sequence && step->kv == OR_KV_VERIFY ? OR_RECORD_VERDICT : OR_RECORD_ANSWER;
    record->drafted = record->kind == OR_RECORD_VERDICT && (!last || step->drafted);
}

/* Before it: it stays, leaves, or leaves a draft and goes on without ramps. */
static void decide_early(or_rider *rider, bool fires, or_record *record)
{
    or_step *step = &rider->step;
    record->kind = fires ? OR_RECORD_ANSWER : OR_RECORD_SEEN;
    record->leaves = fires;
    if (!fires || step->sequence == 0 || step->kv != OR_KV_VERIFY) return;
    record->kind = OR_RECORD_DRAFT;
    if (!step->pushed) return;
    record->leaves = 0;
    step->drafted = 1;
    step->exits_at = 0;
    rider->policy = -1;
}

/* Before it, and its logits are not finite: that is its answer. A draft's are nobody's: the full depth will
 * say its token. */
static void decide_lost(const or_rider *rider, or_record *record)
{
    const bool drafts = rider->step.sequence && rider->step.kv == OR_KV_VERIFY;
    record->kind = drafts ? OR_RECORD_SEEN : OR_RECORD_ANSWER;
    record->leaves = !drafts;
}

static void decide(or_stage *stage, or_rider *rider, or_record *record)
{
    const int layer = record->seen.layer;
    if (layer < stage->n_layers && record->fault > 0) {
        decide_lost(rider, record);
    } else if (layer < stage->n_layers) {
        decide_early(rider, leaves_here(stage, rider, record), record);
    } else {
        if (rider->policy < 0) record->seen.stable = or_ramp_state_update(&rider->state, record->seen.token);
        decide_final(rider, record);
    }
}

/* Adds the record of a rider that leaves without a token, behind those of the rows that were due. */
static void end_rider(or_stage *stage, const or_wave *wave, size_t r, or_record_kind kind)
{
    const or_rider *rider = &wave->riders[r];
    or_record *record = &stage->records[stage->n_records++];
    *record = begin_record(rider, wave->layer, rider->step.position + rider->rows - 1);
    record->kind = kind;
    record->leaves = 1;
    record->fault = rider->step.fault;
    stage->leaves[r] = true;
}

/* Riders that are lost, and those that ask nothing and are through. */
static void end_riders(or_stage *stage, const or_wave *wave)
{
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        if (asks(rider) && or_fault_leaves(&rider->step))
            end_rider(stage, wave, r, OR_RECORD_ANSWER);
        else if (!asks(rider) && wave->layer == stage->n_layers)
            end_rider(stage, wave, r, OR_RECORD_SILENT);
    }
}

/* Room for the logits of up to OR_RAMP_ROWS rows, and for drawing from them if one of the riders does. */
static or_status reserve_logits(or_stage *stage, const or_rider *riders, size_t n_riders)
{
    const size_t n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    bool draws = false;
    for (size_t r = 0; r < n_riders; r++) draws |= riders[r].step.sampling.temperature > 0;
    OR_RESERVE(stage->logits, stage->logits_capacity, OR_RAMP_ROWS * n_vocab);
    if (draws) OR_RESERVE(stage->draws, stage->draws_capacity, (size_t)or_threads() * n_vocab);
    return OR_OK;
}

static void count_heads(or_stage *stage, size_t rows)
{
    stage->stats.ramp_rows += rows;
    stage->stats.macs += (double)rows * or_hparams_head_macs(or_model_hparams(stage->model));
}

/* Records of all that is due. */
static or_status check_due(or_stage *stage, or_wave *wave, size_t n_due)
{
    OR_TRY(reserve_logits(stage, wave->riders, wave->n_riders));
    OR_RESERVE(stage->rows, stage->rows_capacity, OR_RAMP_ROWS * wave->width);
    for (size_t from = 0; from < n_due; from += OR_RAMP_ROWS)
        OR_TRY(check_rows(stage, wave, from, n_due - from < OR_RAMP_ROWS ? n_due - from : OR_RAMP_ROWS));
    count_heads(stage, n_due);
    return OR_OK;
}

/* Local. Answers do not depend on OR_RAMP_ROWS: rows of logits are independent of each other (compute.h). */
or_status or_ramp_check(or_stage *stage, or_wave *wave)
{
    size_t n_due = 0, kept = 0;
    OR_RESERVE(stage->leaves, stage->leaves_capacity, wave->n_riders);
    stage->n_records = 0;
    OR_TRY(find_due(stage, wave, &n_due));
    OR_RESERVE(stage->records, stage->records_capacity, n_due + wave->n_riders);
    if (n_due > 0) OR_TRY(check_due(stage, wave, n_due));
    for (size_t i = 0; i < n_due; i++) {
        or_rider *rider = &wave->riders[stage->due[i].rider];
        or_record *record = &stage->records[i];
        decide(stage, rider, record);
        stage->leaves[stage->due[i].rider] = record->leaves;
        /* nobody waits for the record of a rider that stays and is not observed */
        if (record->kind != OR_RECORD_SEEN || rider->observe) stage->records[kept++] = *record;
    }
    stage->n_records = kept;
    end_riders(stage, wave);
    return OR_OK;
}

/* The exit's layer is the one that was given. */
or_status or_ramp_settle(or_stage *stage)
{
    const size_t n_owed = stage->n_owed, width = (size_t)or_model_hparams(stage->model)->d_model,
                 n_vocab = (size_t)or_model_hparams(stage->model)->n_vocab;
    stage->n_records = stage->n_owed = 0;
    if (n_owed == 0) return OR_OK;
    OR_RESERVE(stage->records, stage->records_capacity, n_owed);
    OR_TRY(reserve_logits(stage, stage->owed, n_owed));
    for (size_t from = 0; from < n_owed; from += OR_RAMP_ROWS) {
        const size_t n = n_owed - from < OR_RAMP_ROWS ? n_owed - from : OR_RAMP_ROWS;
        OR_TRY(or_model_logits(stage->model, stage->owed_rows + from * width, n, stage->logits));
#pragma omp parallel for num_threads(or_threads())
        for (size_t i = from; i < from + n; i++) {
            or_rider *rider = &stage->owed[i];
            fill_record(stage, rider, rider->step.exits_at, rider->step.position + rider->rows - 1, NULL,
                        stage->logits + (i - from) * n_vocab, &stage->records[i]);
            decide_early(rider, true, &stage->records[i]);
        }
    }
    stage->n_records = n_owed;
    count_heads(stage, n_owed);
    return OR_OK;
}
