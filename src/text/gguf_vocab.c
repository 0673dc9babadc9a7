/* gguf_vocab.c - reads the vocabulary of a GGUF file. */
#include "gguf_vocab.h"

#include <math.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static const char refused[] = "tokenizer refused";

/* The name is the file's and may be of any length: 64 bytes of it are enough for a message. */
static or_status refuse_name(const or_gguf *g, const char *key, or_gguf_text found, const char *expected)
{
    const int length = found.size < 64 ? (int)found.size : 64;
    return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g), "%s is \"%.*s\", expected %s", key, length,
                   found.size ? found.data : "", expected);
}

/* An array with one number for each token. */
static or_status open_numbers(const or_tokenizer *t, const or_gguf *g, const char *key, or_gguf_items *items)
{
    OR_TRY(or_gguf_numbers(g, key, items));
    if (items->left == t->n_pieces) return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                   "%s has %llu numbers, expected %zu, one for each token", key,
                   (unsigned long long)items->left, t->n_pieces);
}

/* What a token of this type is; in byte-level BPE a token that somebody added has no part in the text. */
static or_status kind_of(const or_tokenizer *t, double type, size_t id, const char *path, or_piece_kind *kind)
{
    const bool spm = t->kind == &or_tokenizer_kind_spm;
    const or_piece_kind kinds[] = {
        [OR_GGUF_NORMAL] = OR_PIECE_NORMAL,   [OR_GGUF_UNKNOWN] = OR_PIECE_CONTROL,
        [OR_GGUF_CONTROL] = OR_PIECE_CONTROL, [OR_GGUF_USER] = spm ? OR_PIECE_USER : OR_PIECE_CONTROL,
        [OR_GGUF_UNUSED] = OR_PIECE_CONTROL,  [OR_GGUF_BYTE] = spm ? OR_PIECE_BYTE : OR_PIECE_NORMAL};
    if (!(type >= OR_GGUF_NORMAL && type <= OR_GGUF_BYTE) || type != floor(type))
        return or_fail(OR_ERR_INPUT, refused, path, "token %zu is of type %g, expected %d..%d", id, type,
                       OR_GGUF_NORMAL, OR_GGUF_BYTE);
    *kind = kinds[(int)type];
    return OR_OK;
}

/* Without types a file does not tell characters from control tokens, so that array must be there. The last
 * token of type UNKNOWN is the unknown one, unless a key says another. */
static or_status read_pieces(or_tokenizer *t, const or_gguf *g)
{
    const char *path = or_gguf_path(g);
    or_gguf_items texts, types;
    OR_TRY(or_gguf_texts(g, KEY("tokens"), &texts));
    OR_TRY(or_vocab_reserve(t, texts.left, path));
    OR_TRY(open_numbers(t, g, KEY("token_type"), &types));
    for (size_t id = 0; id < t->n_pieces; id++) {
        const or_gguf_text text = or_gguf_next_text(&texts);
        const double type = or_gguf_next_number(&types);
        or_piece_kind kind = OR_PIECE_NORMAL;
        OR_TRY(kind_of(t, type, id, path, &kind));
        OR_TRY(or_vocab_set(t, (int64_t)id, text.data, text.size, kind, path));
        if (type == OR_GGUF_UNKNOWN) t->unknown = (int32_t)id;
    }
    return or_vocab_index(t, path);
}

/* In the file's order, which is the order in which they go. */
static or_status read_merges(or_tokenizer *t, const or_gguf *g)
{
    or_gguf_items merges;
    OR_TRY(or_gguf_texts(g, KEY("merges"), &merges));
    for (uint32_t rank = 0; merges.left > 0; rank++) {
        const or_gguf_text text = or_gguf_next_text(&merges);
        OR_TRY(or_vocab_add_pair_text(t, text.data, text.size, rank, or_gguf_path(g)));
    }
    return OR_OK;
}

/* NaN has no place in an order. That merging goes by text is set for the kind of files that have scores. */
static or_status read_scores(or_tokenizer *t, const or_gguf *g)
{
    or_gguf_items items;
    float *scores = NULL;
    OR_TRY(open_numbers(t, g, KEY("scores"), &items));
    OR_TRY(OR_NEW(scores, t->n_pieces));
    or_status status = OR_OK;
    for (size_t i = 0; i < t->n_pieces && status == OR_OK; i++) {
        scores[i] = (float)or_gguf_next_number(&items);
        if (isnan(scores[i]))
            status =
                or_fail(OR_ERR_INPUT, refused, or_gguf_path(g), "the score of token %zu is no number", i);
    }
    if (status == OR_OK) status = or_vocab_rank(t, scores);
    free(scores);
    t->by_text = true;
    return status;
}

/* A token's id. Absent and -1 (in 32 bits, too) leave *id. */
static or_status read_id(const or_tokenizer *t, const or_gguf *g, const char *key, int32_t *id)
{
    int64_t value = -1;
    OR_TRY(or_gguf_opt_int(g, key, -1, UINT32_MAX, &value));
    if (value < 0 || value == UINT32_MAX) return OR_OK;
    if (value >= (int64_t)t->n_pieces)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g), "%s is %lld, expected 0..%zu", key,
                       (long long)value, t->n_pieces - 1);
    *id = (int32_t)value;
    return OR_OK;
}

/* EOS, the end of a turn, and in files of ours all that the model's folder named. */
static or_status read_ends(or_tokenizer *t, const or_gguf *g)
{
    const char *path = or_gguf_path(g);
    int32_t turn = -1;
    or_gguf_items ends = {.left = 0};
    OR_TRY(read_id(t, g, KEY("eot_token_id"), &turn));
    if (t->eos >= 0) OR_TRY(or_tokenizer_add_end(t, t->eos, KEY("eos_token_id"), path));
    if (turn >= 0) OR_TRY(or_tokenizer_add_end(t, turn, KEY("eot_token_id"), path));
    if (or_gguf_has(g, OR_GGUF_ENDS)) OR_TRY(or_gguf_numbers(g, OR_GGUF_ENDS, &ends));
    while (ends.left > 0) OR_TRY(or_tokenizer_add_end(t, or_gguf_next_number(&ends), OR_GGUF_ENDS, path));
    return OR_OK;
}

/* llama.cpp puts EOS behind the text where the file says so; prompts here are to be continued. */
static or_status read_specials(or_tokenizer *t, const or_gguf *g)
{
    OR_TRY(read_id(t, g, KEY("bos_token_id"), &t->bos));
    OR_TRY(read_id(t, g, KEY("eos_token_id"), &t->eos));
    OR_TRY(read_id(t, g, KEY("unknown_token_id"), &t->unknown));
    OR_TRY(read_ends(t, g));
    OR_TRY(or_gguf_opt_bool(g, KEY("add_bos_token"), &t->adds_bos));
    if (t->bos < 0) t->adds_bos = false;
    bool adds_eos = false;
    OR_TRY(or_gguf_opt_bool(g, KEY("add_eos_token"), &adds_eos));
    if (adds_eos)
        return or_fail(OR_ERR_INPUT, refused, or_gguf_path(g),
                       "%s is true, which is not supported, expected false", KEY("add_eos_token"));
    return or_gguf_opt_bool(g, KEY("add_space_prefix"), &t->prefix_space);
}

/* Defaults are those of llama.cpp for its model "llama": a space and BOS in front. Merges are in files of
 * ours only, made from a tokenizer.json that lists them, and then count more than the scores beside them. */
static or_status read_spm(or_tokenizer *t, const or_gguf *g)
{
    t->kind = &or_tokenizer_kind_spm;
    t->prefix_space = t->adds_bos = t->fuse_unknown = true;
    OR_TRY(or_gguf_opt_bool(g, "offramp.tokenizer.prefix_if_none", &t->prefix_if_none));
    OR_TRY(or_gguf_opt_bool(g, "offramp.tokenizer.fuse_unknown", &t->fuse_unknown));
    OR_TRY(read_pieces(t, g));
    OR_TRY(or_gguf_has(g, KEY("merges")) ? read_merges(t, g) : read_scores(t, g));
    return read_specials(t, g);
}

/* Takes the patterns of the way of cutting that the file names. Llama-3's brings along what its
 * tokenizer.json says: whole tokens before merges, and BOS. */
static or_status read_pre(or_tokenizer *t, const or_gguf *g)
{
    or_gguf_text found = {"", 0};
    const or_gguf_pre *pre = or_gguf_pres;
    OR_TRY(or_gguf_opt_text(g, KEY("pre"), &found));
    while (pre->name && !or_gguf_text_is(found, pre->name)) pre++;
    if (!pre->name)
        return refuse_name(g, KEY("pre"), found, "gpt-2, llama-bpe, smollm, or another name for these");
    t->ignore_merges = t->adds_bos = pre->whole_first;
    for (size_t i = 0; pre->patterns[i]; i++)
        OR_TRY(or_splits_add(&t->splits, pre->patterns[i], false, or_gguf_path(g)));
    return OR_OK;
}

/* Bytes before merges: merges join pieces, and those of single bytes are what they begin from. */
static or_status read_bpe(or_tokenizer *t, const or_gguf *g)
{
    t->kind = &or_tokenizer_kind_bpe;
    t->prefix_if_none = true;
    OR_TRY(read_pre(t, g));
    OR_TRY(read_pieces(t, g));
    OR_TRY(or_bpe_index_bytes(t, or_gguf_path(g)));
    OR_TRY(read_merges(t, g));
    return read_specials(t, g);
}

static or_status read_vocab(or_tokenizer *t, const or_gguf *g)
{
    or_gguf_text model;
    OR_TRY(or_gguf_text_of(g, KEY("model"), &model));
    if (or_gguf_text_is(model, "llama")) return read_spm(t, g);
    if (or_gguf_text_is(model, "gpt2")) return read_bpe(t, g);
    return refuse_name(g, KEY("model"), model, "llama (SentencePiece BPE) or gpt2 (byte-level BPE)");
}

or_status or_gguf_vocab_read(or_tokenizer *t, const char *path)
{
    or_gguf *g = NULL;
    OR_TRY(or_gguf_open(path, &g));
    or_status status = read_vocab(t, g);
    or_gguf_close(g);
    return status;
}
