/* shares.c - where a checkpoint's bytes are, by the names of its tensors. */
#include "checkpoint_internal.h"

#include <string.h>

/* By name alone, so that every format and family can be asked: what is called like an embedding counts as
 * one. Numbers of layers that the model does not have count as "other". */
static void add_tensor(const or_checkpoint *checkpoint, const or_tensor *tensor, or_shares *s)
{
    const int layer = or_checkpoint_layer(checkpoint, tensor->name);
    uint64_t elements = 1;
    if (layer == OR_LAYER_DROPPED) return;
    for (int d = 0; d < tensor->n_dims; d++) elements *= (uint64_t)tensor->dims[d];
    s->parameters += elements;
    s->total += tensor->bytes;
    if (layer >= 0)
        s->layers[layer] += tensor->bytes;
    else if (strstr(tensor->name, "embed_tokens") || strstr(tensor->name, "token_embd"))
        s->embedding += tensor->bytes;
    else if (strstr(tensor->name, "lm_head") || strcmp(tensor->name, "output.weight") == 0)
        s->head += tensor->bytes;
    else
        s->other += tensor->bytes;
}

/* Parameters are elements of whatever type. Bytes of types that are not ours are 0 in GGUF files, whose
 * headers do not say them. */
or_status or_checkpoint_shares(const or_checkpoint *checkpoint, or_shares *s)
{
    *s = (or_shares){.one_layer = checkpoint->one_layer};
    OR_TRY(OR_NEW(s->layers, (size_t)checkpoint->hparams.n_layers));
    for (size_t i = 0; i < checkpoint->n_tensors; i++) add_tensor(checkpoint, &checkpoint->tensors[i], s);
    return OR_OK;
}

void or_shares_free(or_shares *s)
{
    free(s->layers);
    *s = (or_shares){0};
}
