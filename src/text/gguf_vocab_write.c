/* gguf_vocab_write.c - writes the vocabulary's keys of a GGUF file, so that llama.cpp understands them and
 * gguf_vocab.c reads back the same tokenizer.
 *
 * llama.cpp's SentencePiece knows scores only. A vocabulary that lists its merges gets scores that come
 * close (a piece's is the negative rank of the merge that first makes it), and the merges beside them,
 * which we read instead.
 */
#include "gguf_vocab.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* In byte-level BPE "unknown" is a name only, since no text becomes it: such a token stays what it is. */
static int32_t type_of(const or_tokenizer *t, size_t id)
{
    static const int32_t types[] = {[OR_PIECE_NORMAL] = OR_GGUF_NORMAL,
                                    [OR_PIECE_USER] = OR_GGUF_USER,
                                    [OR_PIECE_BYTE] = OR_GGUF_BYTE,
                                    [OR_PIECE_CONTROL] = OR_GGUF_CONTROL};
    const bool unknown = t->kind == &or_tokenizer_kind_spm && (int32_t)id == t->unknown;
    return unknown ? OR_GGUF_UNKNOWN : types[t->pieces[id].kind];
}

/* "[PAD32000]", as llama.cpp's converters call rows that no token has. */
typedef char pad_text[20];

/* Tokens [n_rows] and their types: the vocabulary, then padding. The writer copies, so the arrays live here
 * only. */
static or_status put_pieces(const or_tokenizer *t, size_t n_rows, or_gguf_writer *writer)
{
    or_gguf_text *texts = NULL;
    int32_t *types = NULL;
    pad_text *pads = NULL;
    or_status status = OR_NEW(texts, n_rows);
    if (status == OR_OK) status = OR_NEW(types, n_rows);
    if (status == OR_OK) status = OR_NEW(pads, n_rows - t->n_pieces);
    for (size_t id = 0; id < t->n_pieces && status == OR_OK; id++) {
        texts[id] = (or_gguf_text){t->pieces[id].text, t->pieces[id].length};
        types[id] = type_of(t, id);
    }
    for (size_t id = t->n_pieces; id < n_rows && status == OR_OK; id++) {
        char *pad = pads[id - t->n_pieces];
        texts[id] = (or_gguf_text){pad, (size_t)snprintf(pad, sizeof(pad_text), "[PAD%zu]", id)};
        types[id] = OR_GGUF_UNUSED;
    }
    if (status == OR_OK) status = or_gguf_put_texts(writer, KEY("tokens"), texts, n_rows);
    if (status == OR_OK) status = or_gguf_put_i32s(writer, KEY("token_type"), types, n_rows);
    free(pads);
    free(types);
    free(texts);
    return status;
}

/* Scores that order merges by text as far as they can, [n_rows]: the negative rank, so that the first merge
 * is best. Where merges are listed, pieces that none of them makes come last, and what is never merged has
 * 0. So has padding. */
static or_status put_scores(const or_tokenizer *t, size_t n_rows, or_gguf_writer *writer)
{
    float *scores = NULL;
    OR_TRY(OR_NEW(scores, n_rows));
    for (size_t id = 0; id < t->n_pieces; id++) {
        const bool normal = t->pieces[id].kind == OR_PIECE_NORMAL;
        scores[id] = t->by_text ? -(float)t->pieces[id].rank : normal ? -(float)t->n_merges : 0;
    }
    for (size_t i = t->by_text ? 0 : t->n_merges; i-- > 0;) /* backwards, so that the first one stays */
        scores[t->merges[i].merged] = -(float)i;
    or_status status = or_gguf_put_f32s(writer, KEY("scores"), scores, n_rows);
    free(scores);
    return status;
}

/* "a b" for each merge, one behind the other in `all`; ends[i]: where merge i ends. Places and not
 * pointers, as the buffer moves while it grows. A piece with a space in it would be cut at the wrong one
 * when it is read. */
static or_status spell_merges(const or_tokenizer *t, or_buffer *all, size_t *ends)
{
    for (size_t i = 0; i < t->n_merges; i++) {
        const or_piece *left = &t->pieces[t->merges[i].left], *right = &t->pieces[t->merges[i].right];
        if (strchr(left->text, ' ') || strchr(right->text, ' '))
            return or_fail(OR_ERR_INPUT, "tokenizer cannot be written", NULL,
                           "merge %zu is \"%s\" and \"%s\", expected pieces without spaces", i + 1,
                           left->text, right->text);
        OR_TRY(or_buffer_append(all, left->text, left->length));
        OR_TRY(or_buffer_puts(all, " "));
        OR_TRY(or_buffer_append(all, right->text, right->length));
        ends[i] = all->size;
    }
    return OR_OK;
}

static or_status put_merges(const or_tokenizer *t, or_gguf_writer *writer)
{
    or_buffer all = {0};
    size_t *ends = NULL;
    or_gguf_text *texts = NULL;
    or_status status = OR_NEW(ends, t->n_merges);
    if (status == OR_OK) status = OR_NEW(texts, t->n_merges);
    if (status == OR_OK) status = spell_merges(t, &all, ends);
    for (size_t i = 0, at = 0; i < t->n_merges && status == OR_OK; at = ends[i++])
        texts[i] = (or_gguf_text){all.data + at, ends[i] - at};
    if (status == OR_OK) status = or_gguf_put_texts(writer, KEY("merges"), texts, t->n_merges);
    free(texts);
    free(ends);
    or_buffer_free(&all);
    return status;
}

/* llama.cpp writes characters that have no piece as bytes, and gives up where those are missing. */
static void warn_of_bytes(const or_tokenizer *t)
{
    for (int byte = 0; byte < 256; byte++) {
        if (t->bytes[byte] >= 0) continue;
        or_log_warn("the vocabulary has no token for byte 0x%02X: llama.cpp cannot encode text that needs it",
                    byte);
        return;
    }
}

/* "pre" means nothing to this model; the value is that of llama.cpp's converters. */
static or_status put_spm(const or_tokenizer *t, size_t n_rows, or_gguf_writer *writer)
{
    warn_of_bytes(t);
    OR_TRY(or_gguf_put_text(writer, KEY("model"), "llama"));
    OR_TRY(or_gguf_put_text(writer, KEY("pre"), "default"));
    OR_TRY(put_pieces(t, n_rows, writer));
    OR_TRY(put_scores(t, n_rows, writer));
    if (!t->by_text) OR_TRY(put_merges(t, writer));
    OR_TRY(or_gguf_put_bool(writer, "offramp.tokenizer.prefix_if_none", t->prefix_if_none));
    return or_gguf_put_bool(writer, "offramp.tokenizer.fuse_unknown", t->fuse_unknown);
}

/* GGUF names patterns and does not hold them. The name must say the truth about whole tokens before merges,
 * too. */
static or_status put_bpe(const or_tokenizer *t, size_t n_rows, or_gguf_writer *writer)
{
    const or_gguf_pre *pre = or_gguf_pres;
    while (pre->name && !(pre->whole_first == t->ignore_merges && or_splits_are(t->splits, pre->patterns)))
        pre++;
    if (!pre->name)
        return or_fail(
            OR_ERR_INPUT, "tokenizer cannot be written", NULL,
            "GGUF has no name for the patterns by which it cuts text, expected those of GPT-2, Llama-3 or "
            "SmolLM");
    OR_TRY(or_gguf_put_text(writer, KEY("model"), "gpt2"));
    OR_TRY(or_gguf_put_text(writer, KEY("pre"), pre->name));
    OR_TRY(put_pieces(t, n_rows, writer));
    return put_merges(t, writer);
}

/* A token that there is not has no key. */
static or_status put_id(or_gguf_writer *writer, const char *key, int32_t id)
{
    return id < 0 ? OR_OK : or_gguf_put_u32(writer, key, (uint32_t)id);
}

/* llama.cpp has keys for EOS and for one more; ours has all of them where there are more still. */
static or_status put_ends(const or_tokenizer *t, or_gguf_writer *writer)
{
    int32_t other = -1;
    size_t others = 0;
    for (size_t i = t->ends.count; i-- > 0;) {
        if (t->ends.ids[i] == t->eos) continue;
        other = t->ends.ids[i];
        others++;
    }
    OR_TRY(put_id(writer, KEY("eos_token_id"), t->eos));
    OR_TRY(put_id(writer, KEY("eot_token_id"), other));
    return others > 1 ? or_gguf_put_i32s(writer, OR_GGUF_ENDS, t->ends.ids, t->ends.count) : OR_OK;
}

or_status or_tokenizer_put_gguf(const or_tokenizer *t, size_t n_rows, or_gguf_writer *writer)
{
    if (n_rows < t->n_pieces)
        return or_fail(
            OR_ERR_INPUT, "tokenizer cannot be written", NULL,
            "it has %zu tokens and the model's embedding %zu rows, expected no more tokens than rows",
            t->n_pieces, n_rows);
    OR_TRY((t->kind == &or_tokenizer_kind_spm ? put_spm : put_bpe)(t, n_rows, writer));
    OR_TRY(put_id(writer, KEY("bos_token_id"), t->bos));
    OR_TRY(put_ends(t, writer));
    OR_TRY(put_id(writer, KEY("unknown_token_id"), t->unknown));
    OR_TRY(or_gguf_put_bool(writer, KEY("add_bos_token"), t->adds_bos));
    return or_gguf_put_bool(writer, KEY("add_space_prefix"), t->prefix_space);
}
