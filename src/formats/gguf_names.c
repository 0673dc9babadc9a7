/* gguf_names.c - what tensors of the llama architecture are called in GGUF files, and in Hugging Face's. */
#include "gguf_model.h"

#include <stdio.h>
#include <string.h>

/* Pairs of names, from transformers' modules and from GGUF's specification ("Standardized tensor names");
 * "#" stands for the number of a layer. */
static const struct {
    const char *hf, *gguf;
} names[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.#.input_layernorm.weight", "blk.#.attn_norm.weight"},
    {"model.layers.#.self_attn.q_proj.weight", "blk.#.attn_q.weight"},
    {"model.layers.#.self_attn.k_proj.weight", "blk.#.attn_k.weight"},
    {"model.layers.#.self_attn.v_proj.weight", "blk.#.attn_v.weight"},
    {"model.layers.#.self_attn.o_proj.weight", "blk.#.attn_output.weight"},
    {"model.layers.#.post_attention_layernorm.weight", "blk.#.ffn_norm.weight"},
    {"model.layers.#.mlp.gate_proj.weight", "blk.#.ffn_gate.weight"},
    {"model.layers.#.mlp.up_proj.weight", "blk.#.ffn_up.weight"},
    {"model.layers.#.mlp.down_proj.weight", "blk.#.ffn_down.weight"},
    {OR_ROPE_FREQS, OR_ROPE_FREQS},
};
enum { NAMES = sizeof names / sizeof *names };

/* True when `name` is `pattern` with a number at its "#", which *layer becomes; -1 for a pattern without.
 * Only numbers as one writes them: with "blk.07" and "blk.7" a tensor would have two names. */
static bool matches(const char *pattern, const char *name, int *layer)
{
    const char *mark = strchr(pattern, '#');
    *layer = -1;
    if (!mark) return strcmp(pattern, name) == 0;
    const size_t before = (size_t)(mark - pattern);
    if (strncmp(pattern, name, before) != 0) return false;
    const size_t digits = strspn(name + before, "0123456789");
    if (digits < 1 || digits > 6 || (digits > 1 && name[before] == '0')) return false;
    *layer = atoi(name + before);
    return strcmp(mark + 1, name + before + digits) == 0;
}

/* The other way: the number in place of the "#". A pattern without is the name itself. */
static const char *fill_in(const char *pattern, int layer, char text[OR_TENSOR_NAME])
{
    const char *mark = strchr(pattern, '#');
    if (!mark) return pattern;
    snprintf(text, OR_TENSOR_NAME, "%.*s%d%s", (int)(mark - pattern), pattern, layer, mark + 1);
    return text;
}

const char *or_gguf_tensor_name(const char *hf, char text[OR_TENSOR_NAME])
{
    int layer;
    for (size_t i = 0; i < NAMES; i++)
        if (matches(names[i].hf, hf, &layer)) return fill_in(names[i].gguf, layer, text);
    return hf;
}

/* `layer` is -1, and so below n_layers, for tensors of no layer. */
bool or_gguf_knows_tensor(const char *name, int n_layers)
{
    int layer;
    for (size_t i = 0; i < NAMES; i++)
        if (matches(names[i].gguf, name, &layer)) return layer < n_layers;
    return false;
}
