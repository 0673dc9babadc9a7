/* json_vocab.c - the vocabulary of tokenizer.json and vocab.json. */
#include "json_internal.h"

#include <string.h>

static const char refused[] = "tokenizer refused";

/* A whole number of 0 .. OR_VOCAB_MAX - 1; what is no number is out of range as -1. */
static or_status check_id(const char *text, const cJSON *id, const char *path)
{
    const double number = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (number >= 0 && number < OR_VOCAB_MAX && number == (double)(int64_t)number) return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, path,
                   "the id of token \"%s\" was not understood, expected a whole number 0..%d", text,
                   OR_VOCAB_MAX - 1);
}

/* Checks all ids and makes room for them. Gaps are refused, before a huge id could take memory: with fewer
 * names than ids one id has none. (A token in both lists can make up for a gap here; or_vocab_index() finds
 * that one.) */
static or_status reserve(or_tokenizer *t, const cJSON *vocab, const cJSON *added, const char *path)
{
    size_t named = 0, ids = 0;
    for (const cJSON *item = vocab->child; item; item = item->next, named++) {
        OR_TRY(check_id(item->string, item, path));
        if (item->valuedouble >= (double)ids) ids = (size_t)item->valuedouble + 1;
    }
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next, named++) {
        const cJSON *id = or_json_find(item, "id");
        OR_TRY(check_id(or_json_name(item, "content"), id, path));
        if (id->valuedouble >= (double)ids) ids = (size_t)id->valuedouble + 1;
    }
    if (ids > named)
        return or_fail(OR_ERR_INPUT, refused, path,
                       "it names %zu tokens with ids up to %zu, expected no gaps", named, ids - 1);
    return or_vocab_reserve(t, ids, path);
}

/* An added token may stand in the vocabulary as well. It is never found in text: the special ones by
 * contract, the others (a padding token, say) because only text that spells them out would hold them. One
 * of the vocabulary that is not special stays the piece that it is. */
static or_status read_added(or_tokenizer *t, const cJSON *item, const char *path)
{
    const char *text;
    bool special = false;
    OR_TRY(or_json_string(item, "content", path, &text));
    OR_TRY(or_json_opt_bool(item, "special", path, &special));
    const int64_t id = (int64_t)or_json_find(item, "id")->valuedouble;
    or_piece *piece = &t->pieces[id];
    if (!piece->text) return or_vocab_set(t, id, text, strlen(text), OR_PIECE_CONTROL, path);
    if (strcmp(piece->text, text) != 0)
        return or_fail(OR_ERR_INPUT, refused, path,
                       "token id %lld is \"%s\" and \"%s\", expected one of them", (long long)id, piece->text,
                       text);
    if (special && piece->kind == OR_PIECE_NORMAL) piece->kind = OR_PIECE_CONTROL;
    return OR_OK;
}

/* Added tokens come last, so that the vocabulary's own entry tells whether they are new. */
or_status or_json_read_vocab(or_tokenizer *t, const cJSON *vocab, const cJSON *added, const char *path)
{
    const bool has_bytes = t->kind == &or_tokenizer_kind_spm; /* elsewhere <0x0A> is a token like others */
    OR_TRY(reserve(t, vocab, added, path));
    for (const cJSON *item = vocab->child; item; item = item->next) {
        uint8_t byte;
        const size_t length = strlen(item->string);
        const bool is_byte = has_bytes && or_piece_is_byte(item->string, length, &byte);
        const or_piece_kind kind = is_byte ? OR_PIECE_BYTE : OR_PIECE_NORMAL;
        OR_TRY(or_vocab_set(t, (int64_t)item->valuedouble, item->string, length, kind, path));
    }
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next)
        OR_TRY(read_added(t, item, path));
    return or_vocab_index(t, path);
}
