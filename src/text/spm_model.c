/* spm_model.c - reads SentencePiece's tokenizer.model (a protobuf, sentencepiece_model.proto).
 *
 * Five of its fields are needed, and nothing else of protobuf; Debian's C library for it would add generated
 * code and a dependency for less than this file does. Every length is checked against the bytes there are.
 *
 *   ModelProto       1: pieces {1: text, 2: score, 3: type}   2: TrainerSpec   3: NormalizerSpec
 *   TrainerSpec      3: model_type   40, 41, 42: ids of unknown, begin, end
 *   NormalizerSpec   2: precompiled_charsmap   3: add_dummy_prefix   4: remove_extra_whitespaces
 *
 * Merges are not stored: two pieces merge when their texts together are a piece, and the better that one's
 * score, the earlier. They are listed here once, for every way to cut a piece in two.
 */
#include "tokenizer_internal.h"

#include "file.h"

#include <string.h>

typedef struct reader {
    const unsigned char *at, *end;
    const char *path;
} reader;

typedef struct field {
    uint32_t number;
    uint64_t value; /* varints, and the bits of fixed32 */
    reader bytes;   /* length-delimited */
    int wire;       /* 0 varint, 1 fixed64, 2 bytes, 5 fixed32 */
} field;

static or_status broken(const reader *r, const char *found)
{
    return or_fail(OR_ERR_INPUT, "tokenizer refused", r->path, "%s, expected a SentencePiece model", found);
}

static or_status read_varint(reader *r, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (r->at == r->end) return broken(r, "the file ends within a number");
        const unsigned char byte = *r->at++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return OR_OK;
    }
    return broken(r, "a number has more than 10 bytes");
}

static or_status read_field(reader *r, field *f)
{
    uint64_t key, length;
    OR_TRY(read_varint(r, &key));
    *f = (field){.number = (uint32_t)(key >> 3), .wire = (int)(key & 7)};
    if (f->wire == 0) return read_varint(r, &f->value);
    if (f->wire == 2) {
        OR_TRY(read_varint(r, &length));
    } else if (f->wire == 1 || f->wire == 5) {
        length = f->wire == 1 ? 8 : 4;
    } else {
        return broken(r, "a field is of an unknown kind");
    }
    if (length > (uint64_t)(r->end - r->at)) return broken(r, "a field is longer than the file");
    f->bytes = (reader){r->at, r->at + length, r->path};
    if (f->wire == 5) {
        uint32_t bits;
        memcpy(&bits, r->at, sizeof bits);
        f->value = bits;
    }
    r->at += length;
    return OR_OK;
}

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

static or_status read_piece(or_tokenizer *t, reader message, int64_t id, float *score)
{
    field f;
    reader text = {NULL, NULL, message.path};
    uint64_t type = TYPE_NORMAL;
    *score = 0;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.number == 1 && f.wire == 2) text = f.bytes;
        if (f.number == 2 && f.wire == 5) memcpy(score, &(uint32_t){(uint32_t)f.value}, sizeof *score);
        if (f.number == 3 && f.wire == 0) type = f.value;
    }
    if (!text.at) return broken(&message, "a piece has no text");
    if (!(*score == *score)) return broken(&message, "the score of a piece is no number");
    or_piece_kind kind = type == TYPE_BYTE                                  ? OR_PIECE_BYTE
                         : type == TYPE_NORMAL || type == TYPE_USER_DEFINED ? OR_PIECE_NORMAL
                                                                            : OR_PIECE_CONTROL;
    return or_vocab_set(t, id, (const char *)text.at, (size_t)(text.end - text.at), kind, message.path);
}

static or_status read_trainer(or_tokenizer *t, reader message)
{
    field f;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.wire != 0) continue;
        if (f.number == 3 && f.value != 2)
            return or_fail(OR_ERR_INPUT, "tokenizer refused", message.path,
                           "it is a SentencePiece %s model, expected bpe",
                           f.value == 1   ? "unigram"
                           : f.value == 3 ? "word"
                                          : "char");
        if (f.number == 40) t->unknown = (int32_t)f.value;
        if (f.number == 41) t->bos = (int32_t)f.value;
        if (f.number == 42) t->eos = (int32_t)f.value;
    }
    return OR_OK;
}

static or_status read_normalizer(or_tokenizer *t, reader message)
{
    field f;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.number == 2 && f.wire == 2 && f.bytes.end > f.bytes.at)
            return broken(&message, "it normalises text by a character map, which is not supported");
        if (f.number == 3 && f.wire == 0) t->prefix_space = f.value != 0;
        if (f.number == 4 && f.wire == 0 && f.value != 0)
            return broken(&message, "it removes extra spaces, which is not supported");
    }
    return OR_OK;
}

/* Ids outside the vocabulary mean that there is no such token (SentencePiece writes -1). */
static void drop_missing(const or_tokenizer *t, int32_t *id)
{
    if (*id < 0 || (size_t)*id >= t->n_pieces) *id = -1;
}

/* Rank of every piece by falling score; equal scores share a rank, since the leftmost pair then goes first. */
typedef struct scored {
    float score;
    uint32_t id;
} scored;

static int by_score(const void *a, const void *b)
{
    const float x = ((const scored *)a)->score, y = ((const scored *)b)->score;
    return (x < y) - (x > y);
}

static or_status list_merges(or_tokenizer *t, const float *scores)
{
    scored *order = NULL;
    OR_TRY(OR_NEW(order, t->n_pieces));
    for (size_t i = 0; i < t->n_pieces; i++) order[i] = (scored){scores[i], (uint32_t)i};
    qsort(order, t->n_pieces, sizeof *order, by_score);
    or_status status = OR_OK;
    uint32_t rank = 0;
    for (size_t i = 0; i < t->n_pieces && status == OR_OK; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        const or_piece *piece = &t->pieces[order[i].id];
        if (piece->kind != OR_PIECE_NORMAL) continue;
        for (size_t cut = 1; cut < piece->length && status == OR_OK; cut++) {
            if (((unsigned char)piece->text[cut] & 0xc0) == 0x80) continue; /* within a character */
            const int32_t left = or_vocab_find(t, piece->text, cut);
            const int32_t right = or_vocab_find(t, piece->text + cut, piece->length - cut);
            if (left >= 0 && right >= 0)
                status = or_vocab_merge(t, &(or_merge){left, right, (int32_t)order[i].id, rank});
        }
    }
    free(order);
    return status;
}

/* Calls for each piece once `count` of them is known: first pass counts, second pass sets. */
static or_status read_pieces(or_tokenizer *t, reader whole, float *scores, size_t *count)
{
    field f;
    *count = 0;
    while (whole.at < whole.end) {
        OR_TRY(read_field(&whole, &f));
        if (f.number != 1 || f.wire != 2) continue;
        if (scores) OR_TRY(read_piece(t, f.bytes, (int64_t)*count, &scores[*count]));
        ++*count;
    }
    return OR_OK;
}

static or_status read_model(or_tokenizer *t, reader whole, float **scores)
{
    field f;
    size_t count;
    OR_TRY(read_pieces(t, whole, NULL, &count));
    OR_TRY(or_vocab_reserve(t, count, whole.path));
    OR_TRY(OR_NEW(*scores, count));
    OR_TRY(read_pieces(t, whole, *scores, &count));
    t->prefix_space = true; /* SentencePiece's defaults */
    t->unknown = 0;
    t->bos = 1;
    t->eos = 2;
    while (whole.at < whole.end) {
        OR_TRY(read_field(&whole, &f));
        if (f.number == 2 && f.wire == 2) OR_TRY(read_trainer(t, f.bytes));
        if (f.number == 3 && f.wire == 2) OR_TRY(read_normalizer(t, f.bytes));
    }
    drop_missing(t, &t->unknown);
    drop_missing(t, &t->bos);
    drop_missing(t, &t->eos);
    t->adds_bos = t->bos >= 0;
    return or_vocab_index(t, whole.path);
}

static or_status read_spm(or_tokenizer *t, const char *path)
{
    or_buffer file = {0};
    float *scores = NULL;
    or_status status = or_file_read(path, &file);
    if (status == OR_OK) {
        const unsigned char *bytes = (const unsigned char *)file.data;
        status = read_model(t, (reader){bytes, bytes + file.size, path}, &scores);
    }
    if (status == OR_OK) status = list_merges(t, scores);
    free(scores);
    or_buffer_free(&file);
    return status;
}

const or_tokenizer_reader or_tokenizer_reader_spm = {"tokenizer.model", read_spm};
