/* hf_config.c - Hugging Face's config.json: the table of model families, and how their fields are read. */
#include "hf_config.h"

#include <stdio.h>
#include <string.h>

/* 0 can stand for "no default" as no count of a model is 0; *value is the default otherwise. */
or_status or_hf_read_int(const cJSON *config, const char *key, const char *where, int low, int high,
                         int *value)
{
    int64_t wide = *value;
    OR_TRY(*value ? or_json_opt_int(config, key, where, low, high, &wide)
                  : or_json_int(config, key, where, low, high, &wide));
    *value = (int)wide;
    return OR_OK;
}

/* The range is asked for in this form so that NaN is outside of it. */
or_status or_hf_read_float(const cJSON *config, const char *key, const char *where, double low, double high,
                           float *value)
{
    double wide = (double)*value;
    OR_TRY(*value != 0 ? or_json_opt_number(config, key, where, &wide)
                       : or_json_number(config, key, where, &wide));
    if (!(wide >= low && wide <= high))
        return or_fail(OR_ERR_INPUT, "model refused", where, "\"%s\" is %g, expected %g..%g", key, wide, low,
                       high);
    *value = (float)wide;
    return OR_OK;
}

/* A token id, or an array of which the first counts; -1 where there is none. Instruction-tuned models (Llama 3.1)
 * have several ids that end a text. What is no number becomes -2,
 * which is out of range; -1 is how some files write "none". */
static or_status read_token(const cJSON *config, const char *key, const char *where, int n_vocab, int *token)
{
    const cJSON *item = or_json_find(config, key);
    *token = -1;
    if (cJSON_IsArray(item)) item = item->child;
    if (!item || cJSON_IsNull(item)) return OR_OK;
    const double id = cJSON_IsNumber(item) ? item->valuedouble : -2;
    if (!(id >= -1 && id < n_vocab) || id != (double)(int)id)
        return or_fail(
            OR_ERR_INPUT, "model refused", where,
            "\"%s\" is no token id, expected a whole number below \"vocab_size\" (%d), or an array "
            "of them",
            key, n_vocab);
    *token = (int)id;
    return OR_OK;
}

/* Weights in a packing of their own (GPTQ, AWQ, ...). */
static or_status refuse_quantized(const cJSON *config, const char *where)
{
    if (!or_json_find(config, "quantization_config")) return OR_OK;
    return or_fail(
        OR_ERR_INPUT, "model refused", where,
        "found \"quantization_config\", which is not supported, expected f32, f16 or bf16 weights");
}

/* 2048 is the default of both LlamaConfig and OPTConfig of transformers. */
or_status or_hf_read_common(const cJSON *config, const char *path, or_hparams *h)
{
    OR_TRY(or_hf_read_int(config, "hidden_size", path, 1, OR_WIDTH_MAX, &h->d_model));
    OR_TRY(or_hf_read_int(config, "num_hidden_layers", path, 1, OR_LAYERS_MAX, &h->n_layers));
    OR_TRY(or_hf_read_int(config, "vocab_size", path, 1, OR_VOCAB_ROWS_MAX, &h->n_vocab));
    h->n_context = 2048;
    OR_TRY(or_hf_read_int(config, "max_position_embeddings", path, 1, OR_CONTEXT_MAX, &h->n_context));
    OR_TRY(read_token(config, "bos_token_id", path, h->n_vocab, &h->bos));
    OR_TRY(read_token(config, "eos_token_id", path, h->n_vocab, &h->eos));
    h->d_embed = h->d_model;
    return refuse_quantized(config, path);
}

/* The families, by "model_type" of config.json, which is how transformers chooses a model's class. */
static const struct {
    const char *model_type; /* below 32 characters: or_hparams.family */
    or_status (*read)(const cJSON *config, const char *path, or_hparams *h);
} families[] = {
    {"llama", or_hf_read_llama},
    {"opt", or_hf_read_opt},
};
enum { FAMILIES = sizeof families / sizeof *families };

static or_status refuse_family(const char *path, const char *found)
{
    or_buffer known = {0};
    or_status status = OR_OK;
    for (size_t i = 0; i < FAMILIES && status == OR_OK; i++)
        status = or_buffer_printf(&known, "%s%s", i ? ", " : "", families[i].model_type);
    if (status == OR_OK)
        status = or_fail(OR_ERR_INPUT, "model refused", path,
                         "model type \"%s\" is not supported, expected %s", found, known.data);
    or_buffer_free(&known);
    return status;
}

/* The family's reader finds an object without twins (or_json_load()) and zeroed hyperparameters. */
or_status or_hf_config_read(const char *path, or_hparams *hparams)
{
    cJSON *config = NULL;
    const char *type;
    size_t i = 0;
    or_status status;
    *hparams = (or_hparams){0};
    OR_TRY(or_json_load(path, &config));
    OR_TRY_GOTO(done, or_json_string(config, "model_type", path, &type));
    while (i < FAMILIES && strcmp(families[i].model_type, type) != 0) i++;
    if (i == FAMILIES) {
        status = refuse_family(path, type);
        goto done;
    }
    snprintf(hparams->family, sizeof hparams->family, "%s", type);
    status = families[i].read(config, path, hparams);
done:
    cJSON_Delete(config);
    return status;
}
