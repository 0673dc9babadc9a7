/* json_spm.c - tokenizer.json where it describes SentencePiece BPE: spaces written as ▁, byte fallback
 * (Llama-2). */
#include "json_internal.h"

#include <string.h>

static const char space_piece[] = "\xe2\x96\x81"; /* ▁ */

/* How text is prepared, gathered from normalizer and pre-tokenizer. */
typedef struct preparation {
    const or_tokenizer *tokenizer;
    const char *path;
    bool escapes, prefix, prefix_if_none;
} preparation;

/* Says "its <what> is <found>, expected ..."; all of it is OR_ERR_INPUT. */
static or_status refuse(const preparation *p, const char *what, const char *found)
{
    return or_json_refuse(p->tokenizer, p->path, what, found);
}

/* Normalizers as Llama-2 has them: Prepend ▁, Replace " " by ▁; alone or in a Sequence. */
static or_status read_normalizer(preparation *p, const cJSON *normalizer)
{
    const char *type = or_json_name(normalizer, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list;
        OR_TRY(or_json_array(normalizer, "normalizers", p->path, &list));
        for (const cJSON *item = list->child; item; item = item->next) OR_TRY(read_normalizer(p, item));
        return OR_OK;
    }
    if (strcmp(type, "Prepend") == 0) {
        if (strcmp(or_json_name(normalizer, "prepend"), space_piece) != 0)
            return refuse(p, "normalizer", "a Prepend of something else than \"\xe2\x96\x81\"");
        p->prefix = true;
        return OR_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        const char *from = or_json_name(or_json_find(normalizer, "pattern"), "String");
        if (strcmp(from, " ") != 0 || strcmp(or_json_name(normalizer, "content"), space_piece) != 0)
            return refuse(p, "normalizer", "a Replace of something else than \" \" by \"\xe2\x96\x81\"");
        p->escapes = true;
        return OR_OK;
    }
    return refuse(p, "normalizer", type);
}

/* The newer form of the same: a Metaspace that does not split. It adds no ▁ to a text that begins with one. */
static or_status read_metaspace(preparation *p, const cJSON *pre)
{
    const char *scheme = "always", *replacement = space_piece;
    bool split = true, add = true;
    OR_TRY(or_json_opt_bool(pre, "split", p->path, &split));
    OR_TRY(or_json_opt_bool(pre, "add_prefix_space", p->path, &add));
    OR_TRY(or_json_opt_string(pre, "prepend_scheme", p->path, &scheme));
    OR_TRY(or_json_opt_string(pre, "replacement", p->path, &replacement));
    if (split) return refuse(p, "pre-tokenizer", "a Metaspace that splits");
    if (strcmp(replacement, space_piece) != 0)
        return refuse(p, "pre-tokenizer", "a Metaspace by something else than \"\xe2\x96\x81\"");
    p->escapes = true;
    if (add && strcmp(scheme, "never") != 0) p->prefix = p->prefix_if_none = true;
    return OR_OK;
}

/* A Metaspace, alone or in a Sequence; anything else would cut the text. */
static or_status read_pre_tokenizer(preparation *p, const cJSON *pre)
{
    const char *type = or_json_name(pre, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list;
        OR_TRY(or_json_array(pre, "pretokenizers", p->path, &list));
        for (const cJSON *item = list->child; item; item = item->next) OR_TRY(read_pre_tokenizer(p, item));
        return OR_OK;
    }
    return strcmp(type, "Metaspace") == 0 ? read_metaspace(p, pre) : refuse(p, "pre-tokenizer", type);
}

/* Spaces must be written as ▁ by one of the two; with neither they would have to be pieces of their own.
 * Without byte fallback the characters that have no piece would be unknown tokens, whose text is gone. */
or_status or_json_read_spm(or_tokenizer *t, const cJSON *root, const char *path)
{
    preparation p = {.tokenizer = t, .path = path};
    bool fallback = false;
    const cJSON *normalizer = or_json_find(root, "normalizer"), *pre = or_json_find(root, "pre_tokenizer");
    if (pre) OR_TRY(read_pre_tokenizer(&p, pre));
    if (normalizer) OR_TRY(read_normalizer(&p, normalizer));
    if (!p.escapes) return refuse(&p, "normalizer", "none that writes spaces as \"\xe2\x96\x81\"");
    OR_TRY(or_json_opt_bool(or_json_find(root, "model"), "byte_fallback", path, &fallback));
    if (!fallback) return refuse(&p, "model", "a BPE without byte fallback");
    if (t->ignore_merges) return refuse(&p, "model", "a BPE that ignores merges");
    t->prefix_space = p.prefix;
    t->prefix_if_none = p.prefix_if_none;
    return OR_OK;
}
