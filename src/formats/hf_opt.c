/* hf_opt.c - the OPT family's config.json (OPT 125M ... 66B, arXiv 2205.01068). */
#include "hf_config.h"

#include <string.h>

/* Heads are an even part of the hidden state, and all have keys and values of their own. */
static or_status read_heads(const cJSON *config, const char *path, or_hparams *h)
{
    OR_TRY(or_hf_read_int(config, "num_attention_heads", path, 1, OR_WIDTH_MAX, &h->n_heads));
    h->n_kv_heads = h->n_heads;
    h->head_dim = h->d_model / h->n_heads;
    if (h->d_model % h->n_heads == 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", path,
                   "\"hidden_size\" is %d, expected a multiple of \"num_attention_heads\" (%d)", h->d_model,
                   h->n_heads);
}

/* Where the norms are. Post-norm models (350M) end with a layer's last norm, and have no final one; nor
 * have models with "_remove_final_layer_norm", which transformers keeps for checkpoints fine-tuned without
 * it. */
static or_status read_norms(const cJSON *config, const char *path, or_hparams *h)
{
    bool removed = false, affine = true;
    h->norm_eps = 1e-5f; /* torch's default: the config has no field for it */
    h->norm_first = true;
    OR_TRY(or_json_opt_bool(config, "do_layer_norm_before", path, &h->norm_first));
    OR_TRY(or_json_opt_bool(config, "_remove_final_layer_norm", path, &removed));
    OR_TRY(or_json_opt_bool(config, "layer_norm_elementwise_affine", path, &affine));
    h->final_norm = h->norm_first && !removed;
    if (affine) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", path,
                   "\"layer_norm_elementwise_affine\" is false, which is not supported, expected true");
}

/* OPT is relu; the field is there for others, whose feed-forward block would be another. */
static or_status refuse_activations(const cJSON *config, const char *path)
{
    const char *function = "relu";
    OR_TRY(or_json_opt_string(config, "activation_function", path, &function));
    if (strcmp(function, "relu") == 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", path,
                   "\"activation_function\" is \"%s\", which is not supported, expected relu", function);
}

/* What may be absent has the default of transformers' OPTConfig. Embedding and output projection may be
 * narrower than the hidden state (350M: "word_embed_proj_dim" 512 of 1024); absent or null, they are as
 * wide. Positions are learned, nothing is rotated. */
or_status or_hf_read_opt(const cJSON *config, const char *path, or_hparams *h)
{
    OR_TRY(or_hf_read_common(config, path, h));
    OR_TRY(or_hf_read_int(config, "ffn_dim", path, 1, OR_WIDTH_MAX, &h->d_ff));
    OR_TRY(or_hf_read_int(config, "word_embed_proj_dim", path, 1, OR_WIDTH_MAX, &h->d_embed));
    h->rope = OR_ROPE_NONE;
    h->biases = h->tied_head = true;
    OR_TRY(or_json_opt_bool(config, "enable_bias", path, &h->biases));
    OR_TRY(or_json_opt_bool(config, "tie_word_embeddings", path, &h->tied_head));
    OR_TRY(read_heads(config, path, h));
    OR_TRY(read_norms(config, path, h));
    return refuse_activations(config, path);
}
