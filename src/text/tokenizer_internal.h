/* tokenizer_internal.h - what a tokenizer is made of: a vocabulary, a kind, and the readers that fill it.
 *
 *   tokenizer.json           --json_tokenizer.c, json_spm.c, json_bpe.c-->  or_tokenizer {pieces, merges}
 *   tokenizer.model          --spm_model.c-------------------------------->  or_tokenizer {pieces, ranks}
 *   vocab.json + merges.txt  --bpe_files.c-------------------------------->  or_tokenizer {pieces, merges}
 *   a GGUF file              --gguf_vocab.c------------------------------->  either
 *
 *   text  --spm.c or bpe.c, over merge.c-->  ids  --spm.c or bpe.c, under decoder.c-->  text
 *
 * A kind is an algorithm (or_tokenizer_kind), a reader a file format (or_tokenizer_reader); each is a const
 * struct in a file of its own. json_tokenizer.c says how to write the next reader.
 */
#ifndef OFFRAMP_TEXT_TOKENIZER_INTERNAL_H
#define OFFRAMP_TEXT_TOKENIZER_INTERNAL_H

#include "memory.h"
#include "split.h"

#include <offramp/tokenizer.h>

/* What a token is, and whether it is found in text:
 *   NORMAL   may be merged from its parts
 *   USER     is one wherever its text stands, and never merged with anything (SentencePiece)
 *   BYTE     <0xXX>: stands for a byte of a character that has no piece (SentencePiece)
 *   CONTROL  never, and has no text: BOS, EOS, unknown, padding */
typedef enum or_piece_kind { OR_PIECE_NORMAL, OR_PIECE_USER, OR_PIECE_BYTE, OR_PIECE_CONTROL } or_piece_kind;

typedef struct or_piece {
    char *text; /* malloc'ed, NUL-terminated UTF-8, not empty; NULL until it is set */
    uint32_t length;
    uint32_t rank; /* by text: when it is merged, see or_tokenizer.by_text */
    or_piece_kind kind;
    uint8_t byte; /* BYTE: which */
} or_piece;

/* Two neighbours that may become one piece; a lower rank goes first, the leftmost among equals. */
typedef struct or_merge {
    int32_t left, right, merged;
    uint32_t rank;
} or_merge;

struct or_decoder; /* decoder.h */

typedef struct or_tokenizer_kind {
    const char *name;
    /* Appends the ids of valid UTF-8 to tokens / what a token stands for to the decoder's text, or to its
     * bytes where characters are put together from several tokens. */
    or_status (*encode)(const or_tokenizer *tokenizer, const char *text, size_t size, or_tokens *tokens);
    or_status (*decode)(const or_piece *piece, struct or_decoder *decoder);
    bool
        subparts; /* U+FFFD stands for each maximal ill-formed subpart of the bytes; or else for each of them */
} or_tokenizer_kind;

struct or_tokenizer {
    const or_tokenizer_kind *kind;
    or_piece *pieces; /* [n_pieces], the index is the id */
    size_t n_pieces;
    size_t longest_user;       /* bytes of the longest USER piece; 0: there is none */
    int32_t bytes[256];        /* id of <0xXX>, in byte-level BPE of the byte's character; -1: none */
    int32_t unknown, bos, eos; /* -1: none */
    bool adds_bos;
    or_tokens ends; /* tokens that end a text, each once */

    /* Which neighbours merge. by_text: any two whose texts together are a piece, at that piece's rank (as
     * SentencePiece's own file has it); otherwise the pairs that are listed (as tokenizer.json has it). */
    bool by_text;
    or_merge *merges;
    size_t n_merges, merges_capacity;

    bool prefix_space;   /* a space (▁) is put in front of the text */
    bool prefix_if_none; /* ... but not where it begins with one already */
    bool fuse_unknown;   /* a run of unknown characters is one unknown token */

    or_splits *splits;  /* byte-level BPE: how the text is cut before anything is merged */
    bool ignore_merges; /* ... and a piece of it that is a token as a whole is that token (Llama-3) */

    /* Hash tables, open addressing; sizes are powers of two, slots hold an index + 1, 0 is empty. */
    uint32_t *piece_slots, *merge_slots;
    size_t n_piece_slots, n_merge_slots;
};

enum {
    OR_VOCAB_MAX = 1 << 24, /* tokens */
    OR_PIECE_MAX = 1 << 12  /* bytes of a piece */
};

/* After all pieces are set: adds a token to `ends`, unless it is there. Refused when it is not in the
 * vocabulary. */
or_status or_tokenizer_add_end(or_tokenizer *tokenizer, double id, const char *key, const char *where);

/* Makes room for ids 0 .. n-1, none of them set. */
or_status or_vocab_reserve(or_tokenizer *tokenizer, size_t n, const char *where);

/* Gives id `id` its text; refused when the id is taken or outside, or the text is empty, too long, not UTF-8,
 * or for BYTE not <0xXX>. */
or_status or_vocab_set(or_tokenizer *tokenizer, int64_t id, const char *text, size_t length,
                       or_piece_kind kind, const char *where);

/* After all pieces are set: indexes them. Refused: an id without a text, a text twice. */
or_status or_vocab_index(or_tokenizer *tokenizer, const char *where);

/* Id of the token with this text, -1 if there is none (after or_vocab_index()): of any kind / found in
 * text. */
int32_t or_vocab_token(const or_tokenizer *tokenizer, const char *text, size_t length);
int32_t or_vocab_find(const or_tokenizer *tokenizer, const char *text, size_t length);

/* True when the text is "<0xXX>" with two upper-case hexadecimal digits. */
bool or_piece_is_byte(const char *text, size_t length, uint8_t *byte);

/* Appends a merge; all of them are indexed by or_vocab_index_merges(). A pair given twice counts as given
 * last, as in the tokenizers library. By ids; by the texts of its halves, which must be tokens that make a
 * third; by both in one text, "a b". A merge that makes a CONTROL token is left out, since no text makes
 * those. */
or_status or_vocab_add_merge(or_tokenizer *tokenizer, const or_merge *merge);
or_status or_vocab_add_pair(or_tokenizer *tokenizer, const char *left, size_t left_length, const char *right,
                            size_t right_length, uint32_t rank, const char *where);
or_status or_vocab_add_pair_text(or_tokenizer *tokenizer, const char *text, size_t length, uint32_t rank,
                                 const char *where);
or_status or_vocab_index_merges(or_tokenizer *tokenizer);

/* Merging by text: ranks all pieces by falling score, [n_pieces]. Equal scores share a rank, since the
 * leftmost pair then goes first. */
or_status or_vocab_rank(or_tokenizer *tokenizer, const float *scores);

/* Whether two neighbours may become one piece, and which and when. left, right: their ids, -1 for a character
 * that is no piece; text: the bytes of both. */
bool or_vocab_can_merge(const or_tokenizer *tokenizer, int32_t left, int32_t right, const char *text,
                        size_t length, or_merge *merge);

extern const or_tokenizer_kind or_tokenizer_kind_spm; /* SentencePiece BPE, spm.c */
extern const or_tokenizer_kind or_tokenizer_kind_bpe; /* byte-level BPE, bpe.c */

/* Byte-level BPE, after or_vocab_index(): finds the tokens of the 256 bytes. Refused when one has none; but
 * for bytes that are seldom met it is the texts that need them which are refused. */
or_status or_bpe_index_bytes(or_tokenizer *tokenizer, const char *where);

/* A file that a tokenizer is read from. read() fills everything above but merge_slots. */
typedef struct or_tokenizer_reader {
    const char *file; /* name in the model folder */
    or_status (*read)(or_tokenizer *tokenizer, const char *path);
} or_tokenizer_reader;

extern const or_tokenizer_reader or_tokenizer_reader_json, or_tokenizer_reader_spm, or_tokenizer_reader_bpe;

#endif
