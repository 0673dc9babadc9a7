/* llama_parts.c - the tensors of a Llama layer, by the names of transformers' LlamaModel. */
#include "llama_parts.h"

#include <stdio.h>
#include <string.h>

void or_llama_list_parts(const or_hparams *h, or_llama_part parts[OR_LLAMA_PARTS])
{
    const int d = h->d_model, q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    const or_llama_part all[OR_LLAMA_PARTS] = {
        {"input_layernorm", d, 0, false},     {"self_attn.q_proj", q, d, true},
        {"self_attn.k_proj", kv, d, true},    {"self_attn.v_proj", kv, d, false},
        {"self_attn.o_proj", d, q, false},    {"post_attention_layernorm", d, 0, false},
        {"mlp.gate_proj", h->d_ff, d, false}, {"mlp.up_proj", h->d_ff, d, false},
        {"mlp.down_proj", d, h->d_ff, false},
    };
    memcpy(parts, all, sizeof all);
}

const char *or_llama_part_name(const or_llama_part *part, int layer, char text[OR_LLAMA_NAME])
{
    snprintf(text, OR_LLAMA_NAME, "model.layers.%d.%s.weight", layer, part->name);
    return text;
}
