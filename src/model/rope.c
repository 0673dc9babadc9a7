/* rope.c - the tables of rotary position embedding, with the ways of stretching them for longer contexts.
 *
 * Frequency of pair i: theta^(-2i / head_dim) (RoFormer, arXiv 2104.09864, section 3.2.2), in float32 as the
 * models were trained with. `linear` divides positions by a factor. `llama3` (Llama 3.1) leaves frequencies
 * whose wavelength is short against the original context, divides long ones, and blends in between.
 */
#include "family.h"

#include <math.h>

static float stretched(const or_hparams *h, float frequency)
{
    if (h->rope == OR_ROPE_PLAIN) return frequency;
    if (h->rope == OR_ROPE_LINEAR) return frequency / h->rope_factor;
    const float context = (float)h->rope_original_context;
    const float wavelength = 2.0f * (float)M_PI / frequency;
    if (wavelength < context / h->rope_high_freq_factor) return frequency;
    if (wavelength > context / h->rope_low_freq_factor) return frequency / h->rope_factor;
    float blend = (context / wavelength - h->rope_low_freq_factor) /
                  (h->rope_high_freq_factor - h->rope_low_freq_factor);
    return (1.0f - blend) * frequency / h->rope_factor + blend * frequency;
}

static void fill(const or_hparams *h, size_t positions, float *cosines, float *sines)
{
    const size_t half = (size_t)h->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        float exponent = (float)(2 * i) / (float)h->head_dim;
        float frequency = stretched(h, 1.0f / powf(h->rope_theta, exponent));
        for (size_t position = 0; position < positions; position++) {
            float angle = (float)position * frequency;
            cosines[position * half + i] = cosf(angle);
            sines[position * half + i] = sinf(angle);
        }
    }
}

or_status or_model_reserve_rope(or_model *model, size_t positions)
{
    if (positions <= model->rope_positions) return OR_OK;
    size_t wanted = positions < 512 ? 512 : positions + positions / 2;
    size_t half = (size_t)model->hparams->head_dim / 2;
    free(model->rope_cos);
    free(model->rope_sin);
    model->rope_cos = model->rope_sin = NULL;
    model->rope_positions = 0;
    OR_TRY(OR_NEW(model->rope_cos, wanted * half));
    OR_TRY(OR_NEW(model->rope_sin, wanted * half));
    fill(model->hparams, wanted, model->rope_cos, model->rope_sin);
    model->rope_positions = wanted;
    return OR_OK;
}
