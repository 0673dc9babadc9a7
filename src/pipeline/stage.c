/* stage.c - a wave's way through a stage: join, layer, ramp, compact; join, layer, ramp, compact; ... */
#include "stage.h"

#include "clock.h"

#include <string.h>

void or_stage_free(or_stage *stage)
{
    free(stage->rows);
    free(stage->logits);
    free(stage->due);
    free(stage->records);
    free(stage->leaves);
    free(stage->owed);
    free(stage->owed_rows);
    free(stage->draws);
    free(stage->waiting);
    free(stage->ghosts);
    free(stage->ghost_rows);
    or_kv_close(&stage->kv);
    free(stage->last_hidden);
    free(stage->cosines);
    free(stage->new_attn);
    free(stage->new_mlp);
    *stage = (or_stage){0};
}

/* Room for what a layer with taps leaves behind: three vectors [n_riders, width] and the cosines
 * [n_riders, 3]. */
static or_status reserve_taps(or_stage *stage, const or_wave *wave)
{
    const size_t floats = wave->n_riders * wave->width;
    OR_RESERVE(stage->last_hidden, stage->last_capacity, floats);
    OR_RESERVE(stage->new_attn, stage->attn_capacity, floats);
    OR_RESERVE(stage->new_mlp, stage->mlp_capacity, floats);
    OR_RESERVE(stage->cosines, stage->cosines_capacity, 3 * wave->n_riders);
    return OR_OK;
}

/* Cosines of this layer's vectors with the previous layer's, which are then replaced: the features
 * cos_attn, cos_mlp, cos_hidden. A request begins with taps of zeros, so the first two are 0 after its
 * first layer; the third compares with the embedding there. */
static void compare_taps(or_stage *stage, or_wave *wave)
{
    const size_t width = wave->width, bytes = wave->n_riders * width * sizeof(float);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_span span = wave->spans[r];
        const float *hidden = wave->hidden + (size_t)(span.first + span.count - 1) * width;
        stage->cosines[3 * r] = or_cosine(wave->attn + r * width, stage->new_attn + r * width, width);
        stage->cosines[3 * r + 1] = or_cosine(wave->mlp + r * width, stage->new_mlp + r * width, width);
        stage->cosines[3 * r + 2] = or_cosine(stage->last_hidden + r * width, hidden, width);
    }
    memcpy(wave->attn, stage->new_attn, bytes);
    memcpy(wave->mlp, stage->new_mlp, bytes);
}

/* One layer for all riders; with taps, what the cosines need is set aside before and compared after. */
static or_status run_layer(or_stage *stage, or_wave *wave)
{
    or_kv_layer kv = {0};
    or_model_taps taps;
    if (wave->taps) {
        OR_TRY(reserve_taps(stage, wave));
        or_gather_last(wave->spans, wave->n_riders, wave->hidden, wave->width, stage->last_hidden);
        taps = (or_model_taps){stage->new_attn, stage->new_mlp};
    }
    if (stage->kv.n_pages > 0) kv = or_kv_layer_pages(&stage->kv, wave->layer - or_model_first(stage->model));
    or_wave_bind_pages(wave);
    OR_TRY(or_model_layer(stage->model, wave->layer, wave->spans, wave->n_riders, &kv, wave->hidden,
                          wave->taps ? &taps : NULL));
    if (wave->taps) compare_taps(stage, wave);
    for (size_t r = 0; r < wave->n_riders; r++)
        stage->stats.macs += or_hparams_rows_macs(or_model_hparams(stage->model), wave->spans[r].position,
                                                  wave->spans[r].count);
    wave->layer++;
    return OR_OK;
}

/* ---- continuations: rows that wait -------------------------------------------------------------------- */

/* Ghosts have no rows in a wave: they only wait for the layers to project them. */
void or_stage_arrive(or_stage *stage, or_wave *wave)
{
    const float *ghosts = wave->ghosts;
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        or_step *step = &wave->riders[r].step;
        if (step->sequence == 0) continue;
        const int32_t first = step->position - step->ghosts;
        or_kv_arrive(&stage->kv, step->slot, step->sequence, first);
        or_kv_set_aside(&stage->kv, wave->spans[r].pages, first, step->ghosts, ghosts);
        ghosts += (size_t)step->ghosts * wave->width;
        step->ghosts = 0;
    }
    wave->n_ghosts = 0;
}

/* Behind the stage's last layer done[] counts what was handed on: all that it lacks may join on the way.
 * Nothing is handed on by the last stage, in whose last layer a continuation ends. */
size_t or_stage_burden(const or_stage *stage, const or_rider *rider)
{
    const or_step *step = &rider->step;
    const int last = stage->kv.n_layers - (or_model_last(stage->model) == stage->n_layers);
    int32_t first = step->position - step->ghosts;
    if (step->sequence && stage->kv.sequences[step->slot] == step->sequence) {
        const int32_t through = or_kv_done(&stage->kv, step->slot)[last];
        if (through < first) first = through;
    }
    return (size_t)rider->rows + (size_t)(step->position - first);
}

/* Counts, for each rider, the positions that wait before layer `layer` of the stage (n_layers: before the
 * next stage), and books them and the rider's own as done there. A rider may lie behind another one of its
 * sequence in the same wave: hence one after the other. */
static size_t find_waiting(or_stage *stage, const or_wave *wave, int layer, bool projected)
{
    size_t found = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_step *step = &wave->riders[r].step;
        stage->waiting[r] = 0;
        if (step->sequence == 0 || (step->kv == OR_KV_PROPAGATE) != projected) continue;
        int32_t *done = or_kv_done(&stage->kv, step->slot) + layer;
        if (*done < step->position) stage->waiting[r] = step->position - *done;
        *done = step->position + wave->riders[r].rows;
        found += (size_t)stage->waiting[r];
    }
    return found;
}

/* Rows that waited run with those of their sequence from here on, in front of them. */
static or_status join_rows(or_stage *stage, or_wave *wave, int layer)
{
    if (find_waiting(stage, wave, layer, false) == 0) return OR_OK;
    OR_TRY(or_wave_grow(wave, stage->waiting));
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_span *span = &wave->spans[r];
        if (stage->waiting[r] > 0)
            or_kv_take_back(&stage->kv, span->pages, span->position, stage->waiting[r],
                            wave->hidden + (size_t)span->first * wave->width);
    }
    return OR_OK;
}

/* Copies the hidden states of the waiting positions of all riders to `rows`, with a span for each in
 * stage->ghosts; returns how many spans. */
static size_t gather_ghosts(or_stage *stage, or_wave *wave, float *rows)
{
    size_t n_spans = 0;
    int32_t row = 0;
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const int32_t count = stage->waiting[r], position = wave->spans[r].position - count;
        if (count == 0) continue;
        stage->ghosts[n_spans++] =
            (or_span){.first = row, .count = count, .position = position, .pages = wave->spans[r].pages};
        or_kv_take_back(&stage->kv, wave->spans[r].pages, position, count, rows + (size_t)row * wave->width);
        row += count;
    }
    return n_spans;
}

/* Keys and values of a layer for tokens that skip it. */
static or_status project_waiting(or_stage *stage, or_wave *wave, int layer)
{
    const size_t count = find_waiting(stage, wave, layer, true);
    if (count == 0) return OR_OK;
    OR_RESERVE(stage->ghosts, stage->ghosts_capacity, wave->n_riders);
    OR_RESERVE(stage->ghost_rows, stage->ghost_rows_capacity, count * wave->width);
    const size_t n_spans = gather_ghosts(stage, wave, stage->ghost_rows);
    const or_kv_layer kv = or_kv_layer_pages(&stage->kv, layer);
    stage->stats.macs += (double)count * or_hparams_project_macs(or_model_hparams(stage->model));
    return or_model_project(stage->model, wave->layer, stage->ghosts, n_spans, &kv, stage->ghost_rows);
}

/* The same at the end of the stage: they go along on the wire. */
static or_status send_waiting(or_stage *stage, or_wave *wave)
{
    float *rows;
    const size_t count = find_waiting(stage, wave, stage->kv.n_layers, true);
    if (count == 0) return OR_OK;
    OR_RESERVE(stage->ghosts, stage->ghosts_capacity, wave->n_riders);
    OR_TRY(or_wave_add_ghosts(wave, count, &rows));
    gather_ghosts(stage, wave, rows);
    for (size_t r = 0; r < wave->n_riders; r++) wave->riders[r].step.ghosts = stage->waiting[r];
    return OR_OK;
}

/* What waits before the layer that comes next, or before the next stage. */
static or_status join(or_stage *stage, or_wave *wave)
{
    const int layer = wave->layer - or_model_first(stage->model);
    if (stage->kv.n_slots == 0 || wave->n_riders == 0) return OR_OK;
    OR_RESERVE(stage->waiting, stage->waiting_capacity, wave->n_riders);
    OR_TRY(join_rows(stage, wave, layer));
    return layer < stage->kv.n_layers ? project_waiting(stage, wave, layer) : send_waiting(stage, wave);
}

/* Before the full depth, the rows of a continuation that leaves wait where they are. */
static void set_aside(or_stage *stage, or_wave *wave)
{
    if (wave->layer == stage->n_layers) return;
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_span *span = &wave->spans[r];
        if (stage->leaves[r] && wave->riders[r].step.sequence)
            or_kv_set_aside(&stage->kv, span->pages, span->position, span->count,
                            wave->hidden + (size_t)span->first * wave->width);
    }
}

/* ---- the stage ---------------------------------------------------------------------------------------- */

/* The check after a layer, and how long it took; at full depth it is no ramp's. */
static or_status check(or_stage *stage, or_wave *wave)
{
    const double begin = or_clock_now();
    OR_TRY(or_ramp_check(stage, wave));
    if (wave->layer < stage->n_layers) stage->stats.ramp += or_clock_now() - begin;
    return OR_OK;
}

/* The wave is whole and at its layer whenever records are handed over. What waits before the next stage joins it
 * last. */
or_status or_stage_run(or_stage *stage, or_wave *wave, int until, or_stage_hook *hook, void *context)
{
    stage->stats.waves_run += wave->layer == or_model_first(stage->model);
    stage->pause = false;
    while (wave->layer < until && wave->n_riders > 0 && !stage->pause) {
        OR_TRY(join(stage, wave));
        OR_TRY(run_layer(stage, wave));
        OR_TRY(check(stage, wave));
        const size_t before = or_wave_requests(wave);
        set_aside(stage, wave);
        or_wave_compact(wave, stage->leaves);
        stage->stats.exits += before - or_wave_requests(wave);
        OR_TRY(hook(context, stage->records, stage->n_records));
    }
    OR_TRY(or_ramp_settle(stage));
    if (stage->n_records > 0) OR_TRY(hook(context, stage->records, stage->n_records));
    return wave->layer == or_model_last(stage->model) ? join(stage, wave) : OR_OK;
}
