/* tokenizer.h - text to token ids and back, as the model's own tokenizer does it.
 *
 * Local. A tokenizer is read-only once open and may be used by several threads at once.
 */
#ifndef OFFRAMP_TOKENIZER_H
#define OFFRAMP_TOKENIZER_H

#include <offramp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct or_tokenizer or_tokenizer;

/* Token ids, growable; {0} is empty. Released by or_tokens_free(). */
typedef struct or_tokens {
    int32_t *ids;
    size_t count, capacity;
} or_tokens;

or_status or_tokens_add(or_tokens *tokens, int32_t id);
void or_tokens_free(or_tokens *tokens);

/* Opens the tokenizer of a model: the vocabulary in a GGUF file, or the first of these in a Hugging Face
 * folder: tokenizer.json, tokenizer.model, vocab.json (with merges.txt). In a folder, config.json (OPT's
 * prompts begin with its </s>) and then tokenizer_config.json, where they are there, tell more about BOS
 * and EOS; generation_config.json and config.json name more tokens that end a text.
 *
 * Kinds: SentencePiece BPE (Llama-2) and byte-level BPE (GPT-2, OPT, Llama-3). Another kind, an option that
 * would change ids, and a broken file are refused by name with OR_ERR_INPUT. *tokenizer is NULL unless
 * OR_OK. */
or_status or_tokenizer_open(const char *model_path, or_tokenizer **tokenizer);
void or_tokenizer_close(or_tokenizer *tokenizer); /* NULL is fine */

/* Appends the ids of `size` bytes of UTF-8 text (NUL characters too); special and added tokens in the text
 * are plain text; no BOS; nothing for an empty text. Takes O(n log n). OR_ERR_INPUT when the text is not
 * UTF-8, has 512 MiB or more, needs a byte that a byte-level vocabulary lacks, or a pattern of the
 * tokenizer takes too long on it. */
or_status or_tokenizer_encode(const or_tokenizer *tokenizer, const char *text, size_t size,
                              or_tokens *tokens);

/* The text of `count` ids in *text (malloc'ed, *size bytes and a NUL). Special tokens have no text. Bytes
 * that form no UTF-8 (a character cut by the end or by another token) become U+FFFD: with SentencePiece one
 * for each byte, with byte-level BPE one for each beginning of a character (Unicode's maximal subparts, as
 * Python's errors="replace" and Rust's from_utf8_lossy have it).
 *
 * Where encoding puts a space in front, one space at the beginning is dropped. So ids that continue others
 * lose theirs: for the text of a continuation decode both together and cut.
 *
 * decode(encode(x)) is x, but for what SentencePiece itself forgets: U+2581, with which it writes spaces,
 * comes back as a space; a character without a piece where the file has no byte pieces has no text; and
 * where a space is put in front only if there is none (Metaspace, add_prefix_space) "x" and " x" have the
 * same ids. OR_ERR_INPUT for an id outside the vocabulary. */
or_status or_tokenizer_decode(const or_tokenizer *tokenizer, const int32_t *ids, size_t count, char **text,
                              size_t *size);

int or_tokenizer_vocab(const or_tokenizer *tokenizer);     /* ids are 0 .. vocab-1 */
int or_tokenizer_bos(const or_tokenizer *tokenizer);       /* -1 when there is none */
int or_tokenizer_eos(const or_tokenizer *tokenizer);       /* -1 when there is none */
bool or_tokenizer_adds_bos(const or_tokenizer *tokenizer); /* prompts begin with BOS */

/* The tokens that end a text, each once, in *ids (owned by the tokenizer): EOS; in a folder those that
 * generation_config.json and config.json give as "eos_token_id" (chat models end a turn by another token
 * than a document); in a GGUF file its "eot_token_id". Returns how many, which may be 0. */
size_t or_tokenizer_ends(const or_tokenizer *tokenizer, const int32_t **ids);

/* The piece as stored, for tables ("▁the", "Ġthe", "<0x0A>"); "" outside the vocabulary. */
const char *or_tokenizer_piece(const or_tokenizer *tokenizer, int32_t id);

#endif
