/* spm_model.c - reads SentencePiece's tokenizer.model (a protobuf, sentencepiece_model.proto).
 *
 * A dozen of its fields are needed, and nothing else of protobuf; Debian's C library for it would add a code
 * generator and a dependency for less than this file does. Every length is checked against the bytes there are.
 *
 *   ModelProto       1: pieces {1: text, 2: score, 3: type}   2: TrainerSpec   3: NormalizerSpec
 *   TrainerSpec      3: model_type   24: treat_whitespace_as_suffix   35: byte_fallback   41, 42: ids of
 *                    begin and end
 *   NormalizerSpec   2: precompiled_charsmap   3: add_dummy_prefix   4: remove_extra_whitespaces
 *                    5: escape_whitespaces
 *
 * Merges are not stored: two neighbours merge when their texts together are a piece, and the better that one's
 * score, the earlier.
 */
#include "tokenizer_internal.h"

#include "file.h"

#include <string.h>

/* The bytes of a message that are left, and the file's path for messages. Passed by value where a message
 * is read to its end. */
typedef struct reader {
    const unsigned char *at, *end;
    const char *path;
} reader;

/* One field of a message: its number, and by its wire type a number or a stretch of bytes. */
typedef struct field {
    uint64_t number;
    uint64_t value; /* varints */
    reader bytes;   /* everything else */
    int wire;
} field;

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static or_status broken(const reader *r, const char *found)
{
    return or_fail(OR_ERR_INPUT, "tokenizer refused", r->path, "%s, expected a SentencePiece model", found);
}

/* Seven bits a byte, the lowest first; the high bit says that more follow. Bits beyond the 64th are
 * dropped, as protobuf does: a negative int32 has ten bytes. */
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

/* key = number << 3 | wire      0: varint     1: 8 bytes     2: length (varint), bytes     5: 4 bytes
 *
 * Groups (3 and 4), which protobuf has given up, are refused with the rest. */
static or_status read_field(reader *r, field *f)
{
    uint64_t key, length;
    OR_TRY(read_varint(r, &key));
    *f = (field){.number = key >> 3, .wire = (int)(key & 7)};
    if (f->number == 0) return broken(r, "a field has the number 0");
    if (f->wire == WIRE_VARINT) return read_varint(r, &f->value);
    if (f->wire == WIRE_BYTES)
        OR_TRY(read_varint(r, &length));
    else if (f->wire == WIRE_FIXED64 || f->wire == WIRE_FIXED32)
        length = f->wire == WIRE_FIXED64 ? 8 : 4;
    else
        return broken(r, "a field is of an unknown kind");
    if (length > (uint64_t)(r->end - r->at)) return broken(r, "a field is longer than what is left");
    f->bytes = (reader){r->at, r->at + length, r->path};
    r->at += length;
    return OR_OK;
}

/* What the file says besides its pieces; begun with the defaults of sentencepiece_model.proto. */
typedef struct settings {
    uint64_t model_type;
    bool suffix, byte_fallback;
    bool maps, prefix, trims, escapes;
    uint64_t bos, eos; /* SentencePiece writes -1 for none, which is a huge number here */
    size_t n_pieces;
} settings;

static const settings defaults = {
    .model_type = 1, .prefix = true, .trims = true, .escapes = true, .bos = 1, .eos = 2};

/* Fields that are not known, or of another wire type than theirs, are passed over as protobuf does; one
 * that is given again counts as given last. */
static or_status read_trainer(reader message, settings *s)
{
    field f;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) s->model_type = f.value;
        if (f.number == 24) s->suffix = f.value != 0;
        if (f.number == 35) s->byte_fallback = f.value != 0;
        if (f.number == 41) s->bos = f.value;
        if (f.number == 42) s->eos = f.value;
    }
    return OR_OK;
}

static or_status read_normalizer(reader message, settings *s)
{
    field f;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.number == 2 && f.wire == WIRE_BYTES) s->maps = f.bytes.end > f.bytes.at;
        if (f.wire != WIRE_VARINT) continue;
        if (f.number == 3) s->prefix = f.value != 0;
        if (f.number == 4) s->trims = f.value != 0;
        if (f.number == 5) s->escapes = f.value != 0;
    }
    return OR_OK;
}

/* The first of two passes over the file: it also counts the pieces, so that their memory is asked for
 * once. */
static or_status read_settings(reader whole, settings *s)
{
    field f;
    *s = defaults;
    while (whole.at < whole.end) {
        OR_TRY(read_field(&whole, &f));
        if (f.wire != WIRE_BYTES) continue;
        if (f.number == 1) s->n_pieces++;
        if (f.number == 2) OR_TRY(read_trainer(f.bytes, s));
        if (f.number == 3) OR_TRY(read_normalizer(f.bytes, s));
    }
    return OR_OK;
}

/* Whatever would change the text before it is cut is refused, with what it is: Llama-2's model changes
 * nothing. */
static or_status check_settings(const settings *s, const char *path)
{
    static const char *const types[] = {"of no known type", "unigram", "bpe", "word", "char"};
    const char *found = s->model_type != 2 ? types[s->model_type < 5 ? s->model_type : 0]
                        : s->suffix        ? "bpe with spaces behind words"
                        : s->maps          ? "bpe that maps characters (normalization)"
                        : s->trims         ? "bpe that removes extra spaces"
                        : !s->escapes      ? "bpe that keeps spaces as they are"
                                           : NULL;
    if (!found) return OR_OK;
    return or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                   "it is SentencePiece %s, expected bpe that keeps all text (Llama-2)", found);
}

/* SentencePiece's types. UNUSED (5) pieces are merged and then taken apart again; only programs that cut a
 * vocabulary down write them. */
static or_status kind_of(uint64_t type, const reader *r, or_piece_kind *kind)
{
    static const or_piece_kind kinds[] = {[1] = OR_PIECE_NORMAL,
                                          [2] = OR_PIECE_CONTROL, /* UNKNOWN */
                                          [3] = OR_PIECE_CONTROL,
                                          [4] = OR_PIECE_USER,
                                          [6] = OR_PIECE_BYTE};
    if (type == 5) return broken(r, "a piece is of type UNUSED, which is not supported");
    if (type < 1 || type > 6) return broken(r, "a piece is of an unknown type");
    *kind = kinds[type];
    return OR_OK;
}

/* SentencePiece {1: text, 2: score, 3: type}; type NORMAL and score 0 where they are not given. */
static or_status read_piece(or_tokenizer *t, reader message, int32_t id, float *score)
{
    field f;
    reader text = {message.at, message.at, message.path};
    uint64_t type = 1;
    or_piece_kind kind = OR_PIECE_NORMAL;
    *score = 0;
    while (message.at < message.end) {
        OR_TRY(read_field(&message, &f));
        if (f.number == 1 && f.wire == WIRE_BYTES) text = f.bytes;
        if (f.number == 2 && f.wire == WIRE_FIXED32) memcpy(score, f.bytes.at, sizeof *score);
        if (f.number == 3 && f.wire == WIRE_VARINT) type = f.value;
    }
    if (*score != *score) return broken(&message, "the score of a piece is no number");
    OR_TRY(kind_of(type, &message, &kind));
    if (type == 2) t->unknown = id;
    return or_vocab_set(t, id, (const char *)text.at, (size_t)(text.end - text.at), kind, message.path);
}

/* The second pass, over the same fields as the first: their order is the ids. */
static or_status read_pieces(or_tokenizer *t, reader whole, float *scores)
{
    field f;
    for (int32_t id = 0; whole.at < whole.end;) {
        OR_TRY(read_field(&whole, &f));
        if (f.number != 1 || f.wire != WIRE_BYTES) continue;
        OR_TRY(read_piece(t, f.bytes, id, &scores[id]));
        id++;
    }
    return or_vocab_index(t, whole.path);
}

/* All byte pieces with byte fallback, none without. */
static or_status check_bytes(const or_tokenizer *t, bool fallback, const char *path)
{
    for (int byte = 0; byte < 256; byte++)
        if ((t->bytes[byte] >= 0) != fallback)
            return or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                           "byte fallback is %s but piece <0x%02X> is %s, expected all of them or none",
                           fallback ? "on" : "off", byte, fallback ? "not there" : "there");
    return OR_OK;
}

/* A control piece's id as the trainer gave it, -1 when there is no such piece. */
static int32_t control_id(const or_tokenizer *t, uint64_t id)
{
    return id < t->n_pieces && t->pieces[id].kind == OR_PIECE_CONTROL ? (int32_t)id : -1;
}

/* SentencePiece itself puts no BOS in front; that prompts begin with it is Llama's way, and so what is
 * taken where there is a BOS. tokenizer_config.json may say otherwise. A run of unknown characters is one
 * token, as there. */
static or_status read_model(or_tokenizer *t, reader whole)
{
    settings s;
    float *scores = NULL;
    OR_TRY(read_settings(whole, &s));
    OR_TRY(check_settings(&s, whole.path));
    OR_TRY(or_vocab_reserve(t, s.n_pieces, whole.path));
    OR_TRY(OR_NEW(scores, s.n_pieces));
    or_status status = read_pieces(t, whole, scores);
    if (status == OR_OK) status = check_bytes(t, s.byte_fallback, whole.path);
    if (status == OR_OK) status = or_vocab_rank(t, scores);
    free(scores);
    t->by_text = true;
    t->prefix_space = s.prefix;
    t->fuse_unknown = true;
    t->bos = control_id(t, s.bos);
    t->eos = control_id(t, s.eos);
    t->adds_bos = t->bos >= 0;
    return status;
}

/* The file is read as a whole: pieces are copied out of it, so it does not stay in memory. */
static or_status read_spm(or_tokenizer *t, const char *path)
{
    or_buffer file = {0};
    t->kind = &or_tokenizer_kind_spm;
    or_status status = or_file_read(path, &file);
    if (status == OR_OK && file.size == 0)
        status =
            or_fail(OR_ERR_INPUT, "tokenizer refused", path, "it is empty, expected a SentencePiece model");
    const unsigned char *data = (const unsigned char *)file.data;
    if (status == OR_OK) status = read_model(t, (reader){data, data + file.size, path});
    or_buffer_free(&file);
    return status;
}

const or_tokenizer_reader or_tokenizer_reader_spm = {"tokenizer.model", read_spm};
