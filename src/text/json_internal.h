/* json_internal.h - what the files that read tokenizer.json and vocab.json share. */
#ifndef OFFRAMP_TEXT_JSON_INTERNAL_H
#define OFFRAMP_TEXT_JSON_INTERNAL_H

#include "tokenizer_internal.h"

#include "json.h"

/* ---- tokenizer.c ---------------------------------------------------------------------------------------- */

/* Reads the file of this name in the folder, an object; *json is NULL where there is none. The caller frees *path
 * and *json, also after an error. */
or_status or_json_load_beside(const char *folder, const char *name, char **path, cJSON **json);

/* ---- json_tokenizer.c: tokenizer.json as a whole ------------------------------------------------------ */

/* The string `key` of an object, "nothing" where there is none. */
const char *or_json_name(const cJSON *object, const char *key);

/* "its <what> is <found>, expected <the kind of tokenizer that the file describes>". */
or_status or_json_refuse(const or_tokenizer *tokenizer, const char *path, const char *what,
                         const char *found);

/* How text is prepared for the model: normalizer, pre-tokenizer, and what depends on the kind among the
 * model's options. */
or_status or_json_read_spm(or_tokenizer *tokenizer, const cJSON *root, const char *path); /* json_spm.c */
or_status or_json_read_bpe(or_tokenizer *tokenizer, const cJSON *root, const char *path); /* json_bpe.c */

/* True when the pre-tokenizer has a ByteLevel in it. */
bool or_json_is_byte_level(const cJSON *pre_tokenizer);

/* ---- json_vocab.c: {"text": id, ...}, added tokens ---------------------------------------------------- */

/* Fills and indexes the vocabulary. added: an array as in tokenizer.json, or NULL. */
or_status or_json_read_vocab(or_tokenizer *tokenizer, const cJSON *vocab, const cJSON *added,
                             const char *path);

#endif
