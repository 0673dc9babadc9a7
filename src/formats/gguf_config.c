/* gguf_config.c - the hyperparameters in the keys of a GGUF file ("llama.block_count", ...).
 *
 * As with config.json, a key that would make another computation of it is refused, never ignored.
 */
#include "gguf_model.h"

#include <stdio.h>
#include <string.h>

static const char refused[] = "model refused";

/* "llama.<name>": keys of a model begin with its architecture's name (GGUF's specification, "LLM"). */
static const char *llama_key(const char *name, char text[96])
{
    snprintf(text, 96, "llama.%s", name);
    return text;
}

/* A whole number; absent: *value stays, unless it is 0, which means required. */
static or_status read_int(const or_gguf *g, const char *name, int64_t low, int64_t high, int *value)
{
    char text[96];
    int64_t wide = *value;
    const char *key = llama_key(name, text);
    OR_TRY(*value ? or_gguf_opt_int(g, key, low, high, &wide) : or_gguf_int(g, key, low, high, &wide));
    *value = (int)wide;
    return OR_OK;
}

/* Absent: *value stays. */
static or_status read_float(const or_gguf *g, const char *name, double low, double high, float *value)
{
    char text[96];
    double wide = (double)*value;
    OR_TRY(or_gguf_opt_number(g, llama_key(name, text), low, high, &wide));
    *value = (float)wide;
    return OR_OK;
}

/* The text is the file's, of any length and without a NUL: 60 bytes of it are enough for a message. */
static or_status refuse_text(const or_gguf *g, const char *what, or_gguf_text found, const char *expected)
{
    return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g), "%s \"%.*s\" is not supported, expected %s", what,
                   (int)(found.size < 60 ? found.size : 60), found.data, expected);
}

/* Heads, and how wide each is: "attention.key_length", or else an even part of the hidden state. */
static or_status read_heads(const or_gguf *g, or_hparams *h)
{
    const char *path = or_gguf_path(g);
    OR_TRY(read_int(g, "attention.head_count", 1, OR_WIDTH_MAX, &h->n_heads));
    h->n_kv_heads = h->n_heads;
    OR_TRY(read_int(g, "attention.head_count_kv", 1, h->n_heads, &h->n_kv_heads));
    /* The default of "attention.key_length", which may be absent only where the division leaves nothing. */
    h->head_dim = h->d_model / h->n_heads;
    if (!or_gguf_has(g, "llama.attention.key_length") && h->d_model % h->n_heads != 0)
        return or_fail(
            OR_ERR_INPUT, refused, path,
            "\"llama.embedding_length\" is %d, expected a multiple of \"llama.attention.head_count\" (%d)",
            h->d_model, h->n_heads);
    OR_TRY(read_int(g, "attention.key_length", 1, OR_WIDTH_MAX, &h->head_dim));
    /* Values as wide as keys, and a head rotated as a whole: nothing else is computed. */
    int others[2] = {h->head_dim, h->head_dim};
    static const char *const names[2] = {"attention.value_length", "rope.dimension_count"};
    for (int i = 0; i < 2; i++) {
        OR_TRY(read_int(g, names[i], 1, OR_WIDTH_MAX, &others[i]));
        if (others[i] != h->head_dim)
            return or_fail(OR_ERR_INPUT, refused, path,
                           "\"llama.%s\" is %d, which is not supported; expected the width of a head (%d)",
                           names[i], others[i], h->head_dim);
    }
    return or_hparams_check_heads(h, path, "llama.attention.head_count", "llama.attention.head_count_kv");
}

/* "rope.scaling.type" none or linear; old files have "rope.scale_linear", and where both factors are given
 * the newer key counts. Without a type a factor other than 1 means linear; with type none it means nothing.
 * Llama-3's rule comes as a tensor (finish_hparams() in gguf_model.c), and other scalings (yarn) are
 * refused. */
static or_status read_rope(const or_gguf *g, or_hparams *h)
{
    or_gguf_text type = {"none", 4};
    float attention_factor = 1;
    h->rope_theta = 10000;
    h->rope_factor = 1;
    OR_TRY(read_float(g, "rope.freq_base", 1e-3, 1e12, &h->rope_theta));
    OR_TRY(or_gguf_opt_text(g, "llama.rope.scaling.type", &type));
    OR_TRY(read_float(g, "rope.scale_linear", 1, 1e6, &h->rope_factor));
    OR_TRY(read_float(g, "rope.scaling.factor", 1, 1e6, &h->rope_factor));
    OR_TRY(read_float(g, "rope.scaling.attn_factor", 1e-6, 1e6, &attention_factor));
    const bool linear = or_gguf_text_is(type, "linear"), named = or_gguf_has(g, "llama.rope.scaling.type");
    if (!linear && !or_gguf_text_is(type, "none"))
        return refuse_text(g, "rope scaling", type, "none or linear");
    if (attention_factor != 1)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "\"llama.rope.scaling.attn_factor\" is %g, which is not supported, expected 1",
                       (double)attention_factor);
    if (named && !linear) h->rope_factor = 1;
    h->rope = h->rope_factor != 1 ? OR_ROPE_LINEAR : OR_ROPE_PLAIN;
    if (h->rope == OR_ROPE_PLAIN) h->rope_factor = 0; /* unused, as in other formats */
    return OR_OK;
}

/* A token id; absent, or as files write "none" (-1 in 32 bits), it is -1. */
static or_status read_token(const or_gguf *g, const char *key, int n_vocab, int *token)
{
    int64_t id = -1;
    OR_TRY(or_gguf_opt_int(g, key, -1, UINT32_MAX, &id));
    if (id >= n_vocab && id != UINT32_MAX)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g), "\"%s\" is %lld, expected 0..%d", key,
                       (long long)id, n_vocab - 1);
    *token = id == UINT32_MAX ? -1 : (int)id;
    return OR_OK;
}

/* The embedding says how many tokens there are; "vocab_size", where it is given, must say the same. */
or_status or_gguf_read_vocab(const or_gguf *g, int64_t rows, or_hparams *h)
{
    if (rows < 1 || rows > OR_VOCAB_ROWS_MAX)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "found no tensor \"token_embd.weight\" with 1..%d rows, expected one",
                       OR_VOCAB_ROWS_MAX);
    int said = h->n_vocab = (int)rows;
    OR_TRY(read_int(g, "vocab_size", 1, OR_VOCAB_ROWS_MAX, &said));
    if (said != h->n_vocab)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "\"llama.vocab_size\" is %d, expected the rows of \"token_embd.weight\" (%d)", said,
                       h->n_vocab);
    OR_TRY(read_token(g, "tokenizer.ggml.bos_token_id", h->n_vocab, &h->bos));
    return read_token(g, "tokenizer.ggml.eos_token_id", h->n_vocab, &h->eos);
}

/* Keys of relatives of Llama that compute something else: experts (Mixtral), a window on the context
 * (Mistral), factors on scores, logits, embedding and residuals (Granite), norms that subtract the mean. 0
 * says that there is none of it. */
static or_status refuse_variants(const or_gguf *g)
{
    static const char *const without[] = {
        "expert_count", "expert_used_count", "attention.sliding_window", "attention.scale",
        "logit_scale",  "embedding_scale",   "residual_scale",           "attention.layer_norm_epsilon",
    };
    char text[96];
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        double value = 0;
        OR_TRY(or_gguf_opt_number(g, llama_key(without[i], text), -1e30, 1e30, &value));
        if (value != 0)
            return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                           "\"%s\" is %g, which is not supported, expected none", text, value);
    }
    bool causal = true;
    OR_TRY(or_gguf_opt_bool(g, llama_key("attention.causal", text), &causal));
    if (!causal)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "\"%s\" is false, which is not supported, expected true", text);
    int64_t version = 2; /* of the block-quantised formats; the layouts before were others */
    return or_gguf_opt_int(g, "general.quantization_version", 2, 2, &version);
}

/* What has no key is what all of the architecture have: norms before each block and at the end, a gated
 * feed-forward block, no biases (their tensors are unknown names), and the rows of queries and keys in the
 * order of rotary pairs, into which the converters bring them. */
or_status or_gguf_read_hparams(const or_gguf *g, or_hparams *h)
{
    or_gguf_text architecture;
    *h = (or_hparams){
        .family = "llama", .rotary_pairs = true, .norm_first = true, .final_norm = true, .gated_ff = true};
    OR_TRY(or_gguf_text_of(g, "general.architecture", &architecture));
    if (!or_gguf_text_is(architecture, "llama")) return refuse_text(g, "architecture", architecture, "llama");
    OR_TRY(read_int(g, "block_count", 1, OR_LAYERS_MAX, &h->n_layers));
    OR_TRY(read_int(g, "embedding_length", 1, OR_WIDTH_MAX, &h->d_model));
    h->d_embed = h->d_model;
    OR_TRY(read_int(g, "feed_forward_length", 1, OR_WIDTH_MAX, &h->d_ff));
    OR_TRY(read_int(g, "context_length", 1, OR_CONTEXT_MAX, &h->n_context));
    if (!or_gguf_has(g, "llama.attention.layer_norm_rms_epsilon"))
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "\"llama.attention.layer_norm_rms_epsilon\" is missing, expected a number");
    OR_TRY(read_float(g, "attention.layer_norm_rms_epsilon", 1e-12, 1, &h->norm_eps));
    OR_TRY(read_heads(g, h));
    OR_TRY(read_rope(g, h));
    return refuse_variants(g);
}
