/* rope.c - the tables of rotary position embedding, with the ways of stretching them for longer contexts.
 *
 * Frequency of pair i: theta^(-2i / head_dim) (RoFormer, arXiv 2104.09864, section 3.2.2), in float32 as
 * the models were trained with. `linear` divides positions by a factor. `llama3` (Llama 3.1) leaves
 * frequencies whose wavelength is short against the original context, divides long ones, and blends in
 * between. GGUF files have the outcome of that as a tensor of divisors.
 */
#include "family.h"

#include <math.h>

/* Llama 3.1's rule for a frequency. */
static float stretch_llama3(const or_hparams *h, float frequency)
{
    const float context = (float)h->rope_original_context;
    const float wavelength = 2.0f * (float)M_PI / frequency;
    if (wavelength < context / h->rope_high_freq_factor) return frequency;
    if (wavelength > context / h->rope_low_freq_factor) return frequency / h->rope_factor;
    float blend = (context / wavelength - h->rope_low_freq_factor) /
                  (h->rope_high_freq_factor - h->rope_low_freq_factor);
    return (1.0f - blend) * frequency / h->rope_factor + blend * frequency;
}

/* float32 throughout, also the power: an angle at a far position shows the frequency's last digit. */
float or_rope_frequency(const or_hparams *h, const float *divisors, int i)
{
    const float exponent = (float)(2 * i) / (float)h->head_dim;
    const float frequency = 1.0f / powf(h->rope_theta, exponent);
    switch (h->rope) {
    case OR_ROPE_LINEAR:
        return frequency / h->rope_factor;
    case OR_ROPE_LLAMA3:
        return stretch_llama3(h, frequency);
    case OR_ROPE_TENSOR:
        return frequency / divisors[i];
    default:
        return frequency;
    }
}

/* cosines, sines [positions, head_dim / 2] of position * frequency; the same for every head and layer. */
static void fill(const or_model *model, size_t positions, float *cosines, float *sines)
{
    const size_t half = (size_t)model->hparams->head_dim / 2;
    for (size_t i = 0; i < half; i++) {
        const float frequency = or_rope_frequency(model->hparams, model->rope_divisors, (int)i);
        for (size_t position = 0; position < positions; position++) {
            float angle = (float)position * frequency;
            cosines[position * half + i] = cosf(angle);
            sines[position * half + i] = sinf(angle);
        }
    }
}

/* Enough for short prompts from the start, and half as much again beyond: tables are made anew each time
 * they grow. */
size_t or_rope_positions(size_t positions)
{
    return positions < 512 ? 512 : positions + positions / 2;
}

/* The old tables go first: they are not needed for the new ones, and memory was planned for one pair. */
or_status or_model_reserve_rope(or_model *model, size_t positions)
{
    if (positions <= model->rope_positions) return OR_OK;
    size_t wanted = or_rope_positions(positions);
    size_t half = (size_t)model->hparams->head_dim / 2;
    free(model->rope_cos);
    free(model->rope_sin);
    model->rope_cos = model->rope_sin = NULL;
    model->rope_positions = 0;
    OR_TRY(OR_NEW(model->rope_cos, wanted * half));
    OR_TRY(OR_NEW(model->rope_sin, wanted * half));
    fill(model, wanted, model->rope_cos, model->rope_sin);
    model->rope_positions = wanted;
    return OR_OK;
}
