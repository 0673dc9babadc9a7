/* tokenizer_internal.h - a vocabulary with merges, and the readers that fill one.
 *
 * A reader is a const table of functions in a file of its own and a line in tokenizer.c: it looks whether its
 * file is in the model folder, and fills the vocabulary. SentencePiece-BPE (spm.c) is the one kind so far.
 */
#ifndef OFFRAMP_TEXT_TOKENIZER_INTERNAL_H
#define OFFRAMP_TEXT_TOKENIZER_INTERNAL_H

#include "memory.h"

#include <offramp/tokenizer.h>

/* What a token is. Only NORMAL pieces are found in text. */
typedef enum or_piece_kind { OR_PIECE_HOLE, OR_PIECE_NORMAL, OR_PIECE_CONTROL, OR_PIECE_BYTE } or_piece_kind;

typedef struct or_piece {
    char *text; /* malloc'ed, NUL-terminated UTF-8; NULL for a hole in the ids */
    uint32_t length;
    or_piece_kind kind;
    uint8_t byte; /* BYTE: which */
} or_piece;

/* Two neighbours that may become one piece; a lower rank goes first. */
typedef struct or_merge {
    int32_t left, right, merged;
    uint32_t rank;
} or_merge;

struct or_tokenizer {
    or_piece *pieces; /* [n_pieces], the index is the id */
    size_t n_pieces;
    or_merge *merges;
    size_t n_merges, merges_capacity;
    bool prefix_space;         /* text begins with an added ▁ */
    int32_t bytes[256];        /* id of <0xXX>, -1 */
    int32_t unknown, bos, eos; /* -1: none */
    bool adds_bos;

    /* Open addressing, sizes are powers of two; slots hold an index + 1, 0 is empty. */
    uint32_t *piece_slots, *merge_slots;
    size_t n_piece_slots, n_merge_slots;
};

enum { OR_VOCAB_MAX = 1 << 24 };

/* Makes room for ids 0 .. n-1, all holes. */
or_status or_vocab_reserve(or_tokenizer *tokenizer, size_t n, const char *where);

/* Gives id `id` its text; refused when the id is taken, outside, or the text is not UTF-8. Bytes are known by
 * their text <0xXX> when `kind` says BYTE. */
or_status or_vocab_set(or_tokenizer *tokenizer, int64_t id, const char *text, size_t length,
                       or_piece_kind kind, const char *where);

/* After all pieces are set: indexes them. Refused: no pieces, a NORMAL text twice. */
or_status or_vocab_index(or_tokenizer *tokenizer, const char *where);

/* Id of the NORMAL piece with this text, -1 if there is none (after or_vocab_index()). */
int32_t or_vocab_find(const or_tokenizer *tokenizer, const char *text, size_t length);

/* Appends a merge; all of them are indexed by or_vocab_index_merges(). */
or_status or_vocab_merge(or_tokenizer *tokenizer, const or_merge *merge);
or_status or_vocab_index_merges(or_tokenizer *tokenizer);
const or_merge *or_vocab_find_merge(const or_tokenizer *tokenizer, int32_t left, int32_t right);

/* spm.c: the algorithm. */
or_status or_spm_encode(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens);
or_status or_spm_decode(const or_tokenizer *tokenizer, const int32_t *ids, size_t count, or_buffer *out);

/* A file that a tokenizer can be read from. */
typedef struct or_tokenizer_reader {
    const char *file; /* name in the model folder */
    or_status (*read)(or_tokenizer *tokenizer, const char *path);
} or_tokenizer_reader;

extern const or_tokenizer_reader or_tokenizer_reader_json, or_tokenizer_reader_spm;

#endif
