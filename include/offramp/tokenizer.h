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

/* Opens the tokenizer of a model folder: tokenizer.json, or else tokenizer.model. Kinds: SentencePiece BPE
 * with byte fallback (Llama-2). A kind that is not supported is refused by name with OR_ERR_INPUT. */
or_status or_tokenizer_open(const char *model_path, or_tokenizer **tokenizer);
void or_tokenizer_close(or_tokenizer *tokenizer); /* NULL is fine */

/* Appends the ids of `size` bytes of UTF-8 text; special tokens in the text are plain text; no BOS.
 * OR_ERR_INPUT when the text is not UTF-8. */
or_status or_tokenizer_encode(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens);

/* The text of `count` ids in *text (malloc'ed, *size bytes and a NUL). Special tokens have no text. Bytes that
 * form no UTF-8 (a sequence cut within a character) become U+FFFD. For text of encode(): the same text again.
 * OR_ERR_INPUT for an id outside the vocabulary. */
or_status or_tokenizer_decode(const or_tokenizer *tokenizer, const int32_t *ids, size_t count, char **text,
                              size_t *size);

int or_tokenizer_vocab(const or_tokenizer *tokenizer); /* ids are 0 .. vocab-1 */
int or_tokenizer_bos(const or_tokenizer *tokenizer);   /* -1 when there is none */
int or_tokenizer_eos(const or_tokenizer *tokenizer);   /* -1 when there is none */
bool or_tokenizer_adds_bos(const or_tokenizer *tokenizer); /* prompts begin with BOS (tokenizer_config.json) */

/* The piece as stored, for tables ("▁the", "<0x0A>"); "" outside the vocabulary. */
const char *or_tokenizer_piece(const or_tokenizer *tokenizer, int32_t id);

#endif
