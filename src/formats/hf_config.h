/* hf_config.h - how a model family reads its config.json.
 *
 * What a field is called, and what its absence means, is the family's own affair: a family is a function below in
 * a file of its own (hf_opt.c is the shortest) and a line in the table of hf_config.c. A field that would change
 * the computation in a way that we do not do is refused, never ignored.
 */
#ifndef OFFRAMP_FORMATS_HF_CONFIG_H
#define OFFRAMP_FORMATS_HF_CONFIG_H

#include "checkpoint_internal.h"
#include "json.h"

/* A whole number of low..high; absent (or null): *value stays, unless it is 0, which means required. */
or_status or_hf_read_int(const cJSON *config, const char *key, const char *where, int low, int high,
                         int *value);

/* The same for a number of low..high. */
or_status or_hf_read_float(const cJSON *config, const char *key, const char *where, double low, double high,
                           float *value);

/* What all families call alike: hidden_size, num_hidden_layers, vocab_size, max_position_embeddings, BOS and EOS; the
 * embedding as wide as the hidden state. Refuses weights in a packing of their own. */
or_status or_hf_read_common(const cJSON *config, const char *path, or_hparams *h);

/* The families. h is zeroed but for its family, and all of it is to be filled. */
or_status or_hf_read_llama(const cJSON *config, const char *path, or_hparams *h);
or_status or_hf_read_opt(const cJSON *config, const char *path, or_hparams *h);

#endif
