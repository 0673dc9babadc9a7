/* spm_json.c - reads tokenizer.json (Hugging Face's tokenizers library) where it describes SentencePiece BPE:
 * model BPE with byte fallback, spaces written as ▁. Everything else in there is refused by name.
 *
 * The next reader is a file like this one: a read() that fills the vocabulary (or_vocab_reserve, _set, _index,
 * _add_merge), says how text is prepared, and sets kind, bos and adds_bos; then a line in `readers` of
 * tokenizer.c. A file that holds several kinds is one reader, which looks at the file and chooses the kind.
 */
#include "tokenizer_internal.h"

#include "json.h"

#include <string.h>

static const char refused[] = "tokenizer refused";
static const char space_piece[] = "\xe2\x96\x81"; /* ▁ */

static or_status refuse(const char *path, const char *what, const char *found)
{
    return or_fail(OR_ERR_INPUT, refused, path,
                   "its %s is %s, expected a SentencePiece BPE with byte fallback (Llama-2)", what, found);
}

/* The string `key` of an object, "nothing" where there is none. */
static const char *text_of(const cJSON *object, const char *key)
{
    const cJSON *item = or_json_find(object, key);
    return cJSON_IsString(item) ? item->valuestring : "nothing";
}

/* How text is prepared, gathered from normalizer and pre-tokenizer. */
typedef struct preparation {
    const char *path;
    bool escapes, prefix, prefix_if_none;
} preparation;

/* Normalizers as Llama-2 has them: Prepend ▁, Replace " " by ▁; alone or in a Sequence. */
static or_status read_normalizer(preparation *p, const cJSON *normalizer)
{
    const char *type = text_of(normalizer, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list;
        OR_TRY(or_json_array(normalizer, "normalizers", p->path, &list));
        for (const cJSON *item = list->child; item; item = item->next) OR_TRY(read_normalizer(p, item));
        return OR_OK;
    }
    if (strcmp(type, "Prepend") == 0) {
        if (strcmp(text_of(normalizer, "prepend"), space_piece) != 0)
            return refuse(p->path, "normalizer", "a Prepend of something else than \"\xe2\x96\x81\"");
        p->prefix = true;
        return OR_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        const char *from = text_of(or_json_find(normalizer, "pattern"), "String");
        if (strcmp(from, " ") != 0 || strcmp(text_of(normalizer, "content"), space_piece) != 0)
            return refuse(p->path, "normalizer",
                          "a Replace of something else than \" \" by \"\xe2\x96\x81\"");
        p->escapes = true;
        return OR_OK;
    }
    return refuse(p->path, "normalizer", type);
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
    if (split) return refuse(p->path, "pre-tokenizer", "a Metaspace that splits");
    if (strcmp(replacement, space_piece) != 0)
        return refuse(p->path, "pre-tokenizer", "a Metaspace by something else than \"\xe2\x96\x81\"");
    p->escapes = true;
    if (add && strcmp(scheme, "never") != 0) p->prefix = p->prefix_if_none = true;
    return OR_OK;
}

static or_status read_pre_tokenizer(preparation *p, const cJSON *pre)
{
    const char *type = text_of(pre, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list;
        OR_TRY(or_json_array(pre, "pretokenizers", p->path, &list));
        for (const cJSON *item = list->child; item; item = item->next) OR_TRY(read_pre_tokenizer(p, item));
        return OR_OK;
    }
    return strcmp(type, "Metaspace") == 0 ? read_metaspace(p, pre) : refuse(p->path, "pre-tokenizer", type);
}

static or_status read_preparation(or_tokenizer *t, const cJSON *root, const char *path)
{
    preparation p = {.path = path};
    const cJSON *normalizer = or_json_find(root, "normalizer"), *pre = or_json_find(root, "pre_tokenizer");
    if (pre) OR_TRY(read_pre_tokenizer(&p, pre));
    if (normalizer) OR_TRY(read_normalizer(&p, normalizer));
    if (!p.escapes) return refuse(path, "normalizer", "none that writes spaces as \"\xe2\x96\x81\"");
    t->prefix_space = p.prefix;
    t->prefix_if_none = p.prefix_if_none;
    return OR_OK;
}

/* What a BPE model may say that this kind does not do. */
static or_status read_options(or_tokenizer *t, const cJSON *model, const char *path)
{
    bool fallback = false, ignore_merges = false;
    double dropout = 0;
    const char *prefix = "", *suffix = "";
    OR_TRY(or_json_opt_bool(model, "byte_fallback", path, &fallback));
    OR_TRY(or_json_opt_bool(model, "ignore_merges", path, &ignore_merges));
    OR_TRY(or_json_opt_bool(model, "fuse_unk", path, &t->fuse_unknown));
    if (or_json_find(model, "dropout")) OR_TRY(or_json_number(model, "dropout", path, &dropout));
    OR_TRY(or_json_opt_string(model, "continuing_subword_prefix", path, &prefix));
    OR_TRY(or_json_opt_string(model, "end_of_word_suffix", path, &suffix));
    if (!fallback) return refuse(path, "model", "a BPE without byte fallback");
    if (ignore_merges) return refuse(path, "model", "a BPE that ignores merges");
    if (dropout != 0) return refuse(path, "model", "a BPE with dropout");
    if (*prefix || *suffix) return refuse(path, "model", "a BPE that marks the ends of words");
    return OR_OK;
}

static or_status check_id(const char *text, const cJSON *id, const char *path)
{
    const double number = cJSON_IsNumber(id) ? id->valuedouble : -1;
    if (number >= 0 && number < OR_VOCAB_MAX && number == (double)(int64_t)number) return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, path,
                   "the id of token \"%s\" was not understood, expected a whole number 0..%d", text,
                   OR_VOCAB_MAX - 1);
}

/* Checks all ids and makes room for them. Gaps are refused, before a huge id could take memory. */
static or_status reserve(or_tokenizer *t, const cJSON *vocab, const cJSON *added, const char *path)
{
    size_t named = 0, ids = 0;
    for (const cJSON *item = vocab->child; item; item = item->next, named++) {
        OR_TRY(check_id(item->string, item, path));
        if (item->valuedouble >= (double)ids) ids = (size_t)item->valuedouble + 1;
    }
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next, named++) {
        const cJSON *id = or_json_find(item, "id");
        OR_TRY(check_id(text_of(item, "content"), id, path));
        if (id->valuedouble >= (double)ids) ids = (size_t)id->valuedouble + 1;
    }
    if (ids > named)
        return or_fail(OR_ERR_INPUT, refused, path,
                       "it names %zu tokens with ids up to %zu, expected no gaps", named, ids - 1);
    return or_vocab_reserve(t, ids, path);
}

/* An added token may stand in the vocabulary as well. It is never found in text: the special ones by
 * contract, the others (a padding token, say) because only text that spells them out would hold them. */
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

static or_status read_vocab(or_tokenizer *t, const cJSON *vocab, const cJSON *added, const char *path)
{
    OR_TRY(reserve(t, vocab, added, path));
    for (const cJSON *item = vocab->child; item; item = item->next) {
        uint8_t byte;
        const size_t length = strlen(item->string);
        const or_piece_kind kind =
            or_piece_is_byte(item->string, length, &byte) ? OR_PIECE_BYTE : OR_PIECE_NORMAL;
        OR_TRY(or_vocab_set(t, (int64_t)item->valuedouble, item->string, length, kind, path));
    }
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next)
        OR_TRY(read_added(t, item, path));
    return or_vocab_index(t, path);
}

/* The halves of a merge, which is "a b" (pieces have no spaces in them) or ["a", "b"]. */
static bool halve(const cJSON *item, const char **left, size_t *left_length, const char **right)
{
    if (cJSON_IsString(item)) {
        const char *space = strchr(item->valuestring, ' ');
        if (!space) return false;
        *left = item->valuestring;
        *left_length = (size_t)(space - *left);
        *right = space + 1;
    } else {
        const cJSON *first = cJSON_IsArray(item) ? item->child : NULL, *second = first ? first->next : NULL;
        if (!cJSON_IsString(first) || !cJSON_IsString(second) || second->next) return false;
        *left = first->valuestring;
        *left_length = strlen(*left);
        *right = second->valuestring;
    }
    return *left_length > 0 && **right != '\0';
}

static or_status read_merge(or_tokenizer *t, const cJSON *item, uint32_t rank, or_buffer *both,
                            const char *path)
{
    const char *left, *right;
    size_t left_length;
    if (!halve(item, &left, &left_length, &right))
        return or_fail(OR_ERR_INPUT, refused, path,
                       "merge %u was not understood, expected \"a b\" or [\"a\", \"b\"]", rank + 1);
    both->size = 0;
    OR_TRY(or_buffer_append(both, left, left_length));
    OR_TRY(or_buffer_puts(both, right));
    const or_merge merge = {or_vocab_token(t, left, left_length), or_vocab_token(t, right, strlen(right)),
                            or_vocab_token(t, both->data, both->size), rank};
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
        return or_fail(OR_ERR_INPUT, refused, path,
                       "merge %u is \"%.*s\" and \"%s\", expected two tokens that make a third", rank + 1,
                       (int)left_length, left, right);
    if (t->pieces[merge.merged].kind == OR_PIECE_CONTROL) return OR_OK; /* never made from text */
    return or_vocab_add_merge(t, &merge);
}

static or_status read_merges(or_tokenizer *t, const cJSON *merges, const char *path)
{
    or_buffer both = {0};
    or_status status = OR_OK;
    uint32_t rank = 0;
    for (const cJSON *item = merges->child; item && status == OR_OK; item = item->next)
        status = read_merge(t, item, rank++, &both, path);
    or_buffer_free(&both);
    return status;
}

/* A template that puts a special token in front says that prompts begin with BOS. */
static or_status read_post_processor(or_tokenizer *t, const cJSON *post, const char *path)
{
    const cJSON *single = or_json_find(post, "single");
    const cJSON *special = or_json_find(cJSON_IsArray(single) ? single->child : NULL, "SpecialToken");
    const char *text = NULL;
    if (!special) return OR_OK;
    OR_TRY(or_json_string(special, "id", path, &text));
    t->bos = or_vocab_token(t, text, strlen(text));
    if (t->bos < 0)
        return or_fail(OR_ERR_INPUT, refused, path, "prompts begin with \"%s\", expected one of its tokens",
                       text);
    t->adds_bos = true;
    return OR_OK;
}

static or_status read_tree(or_tokenizer *t, const cJSON *root, const char *path)
{
    const cJSON *model, *vocab, *merges, *added = or_json_find(root, "added_tokens");
    const char *unknown = NULL;
    OR_TRY(or_json_object(root, "model", path, &model));
    if (strcmp(text_of(model, "type"), "BPE") != 0) return refuse(path, "model", text_of(model, "type"));
    OR_TRY(read_preparation(t, root, path));
    OR_TRY(read_options(t, model, path));
    OR_TRY(or_json_object(model, "vocab", path, &vocab));
    OR_TRY(or_json_array(model, "merges", path, &merges));
    OR_TRY(or_json_opt_string(model, "unk_token", path, &unknown));
    OR_TRY(read_vocab(t, vocab, added, path));
    OR_TRY(read_merges(t, merges, path));
    if (unknown) t->unknown = or_vocab_token(t, unknown, strlen(unknown));
    t->bos = or_vocab_token(t, "<s>", 3);
    t->eos = or_vocab_token(t, "</s>", 4);
    return read_post_processor(t, or_json_find(root, "post_processor"), path);
}

static or_status read_json(or_tokenizer *t, const char *path)
{
    cJSON *root = NULL;
    t->kind = &or_tokenizer_kind_spm;
    OR_TRY(or_json_load(path, &root));
    or_status status = read_tree(t, root, path);
    cJSON_Delete(root);
    return status;
}

const or_tokenizer_reader or_tokenizer_reader_json = {"tokenizer.json", read_json};
