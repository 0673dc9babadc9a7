/* stage.c - a wave's way through a stage: layer, ramp, compact; layer, ramp, compact; ... */
#include "stage.h"

#include <string.h>

void or_stage_free(or_stage *stage)
{
    free(stage->rows);
    free(stage->logits);
    free(stage->due);
    free(stage->records);
    free(stage->leaves);
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
    or_model_taps taps;
    if (wave->taps) {
        OR_TRY(reserve_taps(stage, wave));
        or_gather_last(wave->spans, wave->n_riders, wave->hidden, wave->width, stage->last_hidden);
        taps = (or_model_taps){stage->new_attn, stage->new_mlp};
    }
    OR_TRY(or_model_layer(stage->model, wave->layer, wave->spans, wave->n_riders, NULL, wave->hidden,
                          wave->taps ? &taps : NULL));
    if (wave->taps) compare_taps(stage, wave);
    wave->layer++;
    return OR_OK;
}

/* Every rider that leaves has a record, so without records there is nothing to compact. The wave is then
 * ready for the next layer, or to be sent on, before the records are handed over. */
or_status or_stage_run(or_stage *stage, or_wave *wave, or_stage_hook *hook, void *context)
{
    stage->stats.waves_run++;
    while (wave->layer < or_model_last(stage->model) && wave->n_riders > 0) {
        OR_TRY(run_layer(stage, wave));
        OR_TRY(or_ramp_check(stage, wave));
        const size_t before = wave->n_riders;
        if (stage->n_records > 0) or_wave_compact(wave, stage->leaves);
        stage->stats.exits += before - wave->n_riders;
        OR_TRY(hook(context, stage->records, stage->n_records));
    }
    return OR_OK;
}
