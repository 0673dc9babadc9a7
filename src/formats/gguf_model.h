/* gguf_model.h - the llama architecture in GGUF files: its keys, and the names of its tensors. */
#ifndef OFFRAMP_FORMATS_GGUF_MODEL_H
#define OFFRAMP_FORMATS_GGUF_MODEL_H

#include "checkpoint_internal.h"
#include "gguf.h"

/* Divisors of the rotary frequencies (Llama 3.1 and later); the name in GGUF files, others have no such
 * tensor. */
#define OR_ROPE_FREQS "rope_freqs.weight"

/* What GGUF files call the tensor that Hugging Face calls `hf`; `hf` itself where there is no other name. */
const char *or_gguf_tensor_name(const char *hf, char text[OR_TENSOR_NAME]);

/* True for the names above, of layers below n_layers: a tensor of another name would belong to a
 * computation that we do not do. */
bool or_gguf_knows_tensor(const char *name, int n_layers);

/* Reads the hyperparameters of a file of the llama architecture but for the vocabulary's; another
 * architecture is refused by name (gguf_config.c). */
or_status or_gguf_read_hparams(const or_gguf *gguf, or_hparams *hparams);

/* The vocabulary's: `rows` are those of the embedding (0: there is none), which may lie in another part of
 * a split file, and which the keys must agree with. */
or_status or_gguf_read_vocab(const or_gguf *gguf, int64_t rows, or_hparams *hparams);

#endif
