/* gguf_vocab.h - the vocabulary in a GGUF file, as llama.cpp keeps it.
 *
 *   tokenizer.ggml.model      "llama": SentencePiece BPE; "gpt2": byte-level BPE
 *   tokenizer.ggml.pre        gpt2: which patterns cut the text, by name
 *   tokenizer.ggml.tokens     texts
 *   tokenizer.ggml.token_type numbers (or_gguf_token_type)
 *   tokenizer.ggml.scores     llama: merges by text, the best score first
 *   tokenizer.ggml.merges     "a b"; with llama only in files of ours: they count then, and not the scores
 *   tokenizer.ggml.bos_token_id, .eos_token_id, .unknown_token_id, .add_bos_token, .add_space_prefix,
 *                  .add_eos_token (refused when true)
 *   tokenizer.ggml.eot_token_id  ends a text as well: the end of a turn
 *   offramp.tokenizer.prefix_if_none, .fuse_unknown, .ends   files of ours: what llama.cpp has no word for
 */
#ifndef OFFRAMP_TEXT_GGUF_VOCAB_H
#define OFFRAMP_TEXT_GGUF_VOCAB_H

#include "tokenizer_internal.h"

#include "gguf.h"

/* llama.cpp's types of tokens (enum llama_token_type), which are SentencePiece's. */
enum or_gguf_token_type {
    OR_GGUF_NORMAL = 1,
    OR_GGUF_UNKNOWN,
    OR_GGUF_CONTROL,
    OR_GGUF_USER,
    OR_GGUF_UNUSED,
    OR_GGUF_BYTE
};

#define OR_GGUF_ENDS "offramp.tokenizer.ends" /* token ids */

/* A way of cutting text, by llama.cpp's name of it. */
typedef struct or_gguf_pre {
    const char *name;
    const char *patterns[3]; /* a NULL ends them */
    bool whole_first;        /* Llama-3: whole tokens before merges, and BOS */
} or_gguf_pre;

/* Of several names for one way the first is written. A name of NULL ends the table (gguf_pre.c). */
extern const or_gguf_pre or_gguf_pres[];

/* Fills a tokenizer from a GGUF file. Vocabularies that are no BPE, and patterns that are not known, are
 * refused by name. */
or_status or_gguf_vocab_read(or_tokenizer *tokenizer, const char *path);

/* Writes the vocabulary's keys, so that the file gives the same ids when it is opened. llama.cpp wants a
 * token for each of the embedding's n_rows rows: those that the vocabulary lacks (padding) are written as
 * unused tokens. OR_ERR_INPUT when it has more, or GGUF has no name for the tokenizer's patterns. */
or_status or_tokenizer_put_gguf(const or_tokenizer *tokenizer, size_t n_rows, or_gguf_writer *writer);

#endif
