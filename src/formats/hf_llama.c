/* hf_llama.c - the Llama family's config.json: grouped queries, rotary positions and their scalings. */
#include "hf_config.h"

#include <string.h>

/* How rotary frequencies are stretched, by transformers' names. */
static const struct {
    const char *name;
    or_rope_kind kind;
} rope_kinds[] = {
    {"default", OR_ROPE_PLAIN},
    {"linear", OR_ROPE_LINEAR},
    {"llama3", OR_ROPE_LLAMA3},
};
enum { ROPE_KINDS = sizeof rope_kinds / sizeof *rope_kinds };

/* "type" is what "rope_type" was called first; files carry one of them or, for older programs, both. A
 * factor without a type is refused: it would have to be guessed what it stretches. */
static or_status read_rope_kind(const cJSON *rope, const char *where, or_rope_kind *kind)
{
    const char *old_name = NULL, *name = NULL;
    OR_TRY(or_json_opt_string(rope, "type", where, &old_name));
    OR_TRY(or_json_opt_string(rope, "rope_type", where, &name));
    if (name && old_name && strcmp(name, old_name) != 0)
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "\"rope_type\" is \"%s\" and \"type\" is \"%s\", expected the same", name, old_name);
    if (!name) name = old_name;
    if (!name && or_json_find(rope, "factor"))
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "found a \"factor\" without \"rope_type\", expected both or none");
    if (!name) name = "default";
    for (size_t i = 0; i < ROPE_KINDS; i++) {
        if (strcmp(rope_kinds[i].name, name) != 0) continue;
        *kind = rope_kinds[i].kind;
        return OR_OK;
    }
    return or_fail(OR_ERR_INPUT, "model refused", where,
                   "rope type \"%s\" is not supported, expected default, linear or llama3", name);
}

/* The members of "rope_scaling" or "rope_parameters": none for the plain kind, a factor for linear, and for
 * llama3 the four of Llama 3.1. That low < high keeps the transition between them from dividing by zero. */
static or_status read_rope_members(const cJSON *rope, const char *where, or_hparams *h)
{
    OR_TRY(read_rope_kind(rope, where, &h->rope));
    if (h->rope == OR_ROPE_PLAIN) return OR_OK;
    OR_TRY(or_hf_read_float(rope, "factor", where, 1, 1e6, &h->rope_factor));
    if (h->rope == OR_ROPE_LINEAR) return OR_OK;
    OR_TRY(or_hf_read_float(rope, "low_freq_factor", where, 1e-6, 1e6, &h->rope_low_freq_factor));
    OR_TRY(or_hf_read_float(rope, "high_freq_factor", where, 1e-6, 1e6, &h->rope_high_freq_factor));
    if (!(h->rope_low_freq_factor < h->rope_high_freq_factor))
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "\"low_freq_factor\" is %g and \"high_freq_factor\" %g, expected low < high",
                       (double)h->rope_low_freq_factor, (double)h->rope_high_freq_factor);
    return or_hf_read_int(rope, "original_max_position_embeddings", where, 1, OR_CONTEXT_MAX,
                          &h->rope_original_context);
}

/* Only part of each head rotated: some relatives of Llama do it. Older files say so beside the rope's
 * object, newer ones in it, so both are asked. */
static or_status refuse_partial_rope(const cJSON *object, const char *where)
{
    double share = 1;
    OR_TRY(or_json_opt_number(object, "partial_rotary_factor", where, &share));
    if (share == 1) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", where,
                   "\"partial_rotary_factor\" is %g, which is not supported yet, expected 1", share);
}

/* Transformers 5 puts all of it in "rope_parameters"; before, there were "rope_theta" and "rope_scaling". */
static or_status read_rope(const cJSON *config, const char *path, or_hparams *h)
{
    const cJSON *rope = or_json_find(config, "rope_parameters"), *old = or_json_find(config, "rope_scaling");
    const char *key = rope ? "rope_parameters" : "rope_scaling";
    h->rope_theta = 10000;
    OR_TRY(or_hf_read_float(config, "rope_theta", path, 1e-3, 1e12, &h->rope_theta));
    OR_TRY(refuse_partial_rope(config, path));
    if (rope && old)
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "found both \"rope_parameters\" and \"rope_scaling\", expected one of them");
    if (!rope && !old) return OR_OK;
    OR_TRY(or_json_object(config, key, path, &rope));

    char *where = NULL;
    OR_TRY(or_format(&where, "%s, \"%s\"", path, key));
    /* Inside of the object and outside: one of them, or both with one value. */
    float theta = h->rope_theta;
    or_status status;
    OR_TRY_GOTO(done, or_hf_read_float(rope, "rope_theta", where, 1e-3, 1e12, &theta));
    if (theta != h->rope_theta && or_json_find(config, "rope_theta")) {
        status = or_fail(OR_ERR_INPUT, "model refused", where,
                         "\"rope_theta\" is %g here and %g outside, expected the same", (double)theta,
                         (double)h->rope_theta);
        goto done;
    }
    h->rope_theta = theta;
    OR_TRY_GOTO(done, refuse_partial_rope(rope, where));
    status = read_rope_members(rope, where, h);
done:
    free(where);
    return status;
}

/* Heads, and how wide each is: "head_dim", or else an even part of the hidden state. */
static or_status read_heads(const cJSON *config, const char *path, or_hparams *h)
{
    OR_TRY(or_hf_read_int(config, "num_attention_heads", path, 1, OR_WIDTH_MAX, &h->n_heads));
    h->n_kv_heads = h->n_heads;
    OR_TRY(or_hf_read_int(config, "num_key_value_heads", path, 1, h->n_heads, &h->n_kv_heads));
    if (or_json_find(config, "head_dim"))
        OR_TRY(or_hf_read_int(config, "head_dim", path, 1, OR_WIDTH_MAX, &h->head_dim));
    else if (h->d_model % h->n_heads == 0)
        h->head_dim = h->d_model / h->n_heads;
    else
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "\"hidden_size\" is %d, expected a multiple of \"num_attention_heads\" (%d), or "
                       "\"head_dim\"",
                       h->d_model, h->n_heads);
    return or_hparams_check_heads(h, path, "num_attention_heads", "num_key_value_heads");
}

/* What would make another computation of it. "swish" is another name of silu. */
static or_status refuse_variants(const cJSON *config, const char *path)
{
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    const char *act = "silu";
    OR_TRY(or_json_opt_string(config, "hidden_act", path, &act));
    if (strcmp(act, "silu") != 0 && strcmp(act, "swish") != 0)
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "\"hidden_act\" is \"%s\", which is not supported, expected silu", act);
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++) {
        bool bias = false;
        OR_TRY(or_json_opt_bool(config, biases[i], path, &bias));
        if (bias)
            return or_fail(OR_ERR_INPUT, "model refused", path,
                           "\"%s\" is true, which is not supported yet, expected false", biases[i]);
    }
    return OR_OK;
}

/* Llama 1, 2, 3. Defaults are those of transformers' LlamaConfig, where models rely on them; the sizes of a
 * model, which have defaults there as well (those of Llama 7B), must be given. */
or_status or_hf_read_llama(const cJSON *config, const char *path, or_hparams *h)
{
    OR_TRY(or_hf_read_common(config, path, h));
    OR_TRY(or_hf_read_int(config, "intermediate_size", path, 1, OR_WIDTH_MAX, &h->d_ff));
    h->norm_eps = 1e-6f;
    OR_TRY(or_hf_read_float(config, "rms_norm_eps", path, 1e-12, 1, &h->norm_eps));
    OR_TRY(read_heads(config, path, h));
    OR_TRY(read_rope(config, path, h));
    OR_TRY(or_json_opt_bool(config, "tie_word_embeddings", path, &h->tied_head));
    h->norm_first = h->final_norm = h->gated_ff = true;
    return refuse_variants(config, path);
}
