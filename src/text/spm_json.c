/* spm_json.c - reads tokenizer.json (Hugging Face) where it describes SentencePiece BPE: model BPE with byte
 * fallback, spaces as ▁. Other kinds are refused by name. */
#include "tokenizer_internal.h"

#include "json.h"

#include <string.h>

static or_status refuse(const char *path, const char *what, const char *found)
{
    return or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                   "its %s is %s, expected a SentencePiece BPE with byte fallback (Llama-2)", what, found);
}

static const char *type_of(const cJSON *object)
{
    const cJSON *type = or_json_find(object, "type");
    return cJSON_IsString(type) ? type->valuestring : "nothing";
}

/* Normalizers as Llama-2 has them: Prepend ▁, Replace " " by ▁; alone or in a Sequence. */
static or_status read_normalizer(or_tokenizer *t, const cJSON *normalizer, const char *path)
{
    const cJSON *list = or_json_find(normalizer, "normalizers");
    const char *type = type_of(normalizer);
    if (strcmp(type, "Sequence") == 0 && cJSON_IsArray(list)) {
        for (const cJSON *item = list->child; item; item = item->next) OR_TRY(read_normalizer(t, item, path));
        return OR_OK;
    }
    if (strcmp(type, "Prepend") == 0) {
        t->prefix_space = true;
        return OR_OK;
    }
    return strcmp(type, "Replace") == 0 ? OR_OK : refuse(path, "normalizer", type);
}

/* The newer form of the same: a Metaspace pre-tokenizer that does not split. */
static or_status read_pre_tokenizer(or_tokenizer *t, const cJSON *pre, const char *path)
{
    const char *scheme = NULL;
    bool split = true, prefix = false;
    if (strcmp(type_of(pre), "Metaspace") != 0) return refuse(path, "pre-tokenizer", type_of(pre));
    OR_TRY(or_json_opt_bool(pre, "split", path, &split));
    OR_TRY(or_json_opt_bool(pre, "add_prefix_space", path, &prefix));
    OR_TRY(or_json_opt_string(pre, "prepend_scheme", path, &scheme));
    if (split) return refuse(path, "pre-tokenizer", "a Metaspace that splits");
    t->prefix_space = scheme ? strcmp(scheme, "never") != 0 : prefix;
    return OR_OK;
}

/* The greatest id of vocabulary and added tokens, which set the size. */
static size_t count_ids(const cJSON *vocab, const cJSON *added)
{
    double most = -1;
    for (const cJSON *item = vocab->child; item; item = item->next)
        if (item->valuedouble > most) most = item->valuedouble;
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next) {
        const cJSON *id = or_json_find(item, "id");
        if (cJSON_IsNumber(id) && id->valuedouble > most) most = id->valuedouble;
    }
    return most >= 0 && most < OR_VOCAB_MAX ? (size_t)most + 1 : 0;
}

static bool is_byte(const char *text)
{
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
}

/* Added tokens are the special ones: never found in text. They may stand in the vocabulary as well. */
static or_status read_added(or_tokenizer *t, const cJSON *added, const char *path)
{
    for (const cJSON *item = added ? added->child : NULL; item; item = item->next) {
        int64_t id;
        const char *text;
        OR_TRY(or_json_int(item, "id", path, 0, OR_VOCAB_MAX - 1, &id));
        OR_TRY(or_json_string(item, "content", path, &text));
        OR_TRY(or_vocab_set(t, id, text, strlen(text), OR_PIECE_CONTROL, path));
    }
    return OR_OK;
}

static or_status read_vocab(or_tokenizer *t, const cJSON *vocab, const cJSON *added, const char *path)
{
    OR_TRY(or_vocab_reserve(t, count_ids(vocab, added), path));
    OR_TRY(read_added(t, added, path));
    for (const cJSON *item = vocab->child; item; item = item->next) {
        const double id = item->valuedouble;
        if (!cJSON_IsNumber(item) || id < 0 || id != (double)(int64_t)id)
            return or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                           "token \"%s\" has no id, expected a whole number", item->string);
        const or_piece *piece = &t->pieces[(size_t)id];
        if (piece->kind == OR_PIECE_CONTROL && strcmp(piece->text, item->string) == 0) continue;
        const or_piece_kind kind = is_byte(item->string) ? OR_PIECE_BYTE : OR_PIECE_NORMAL;
        OR_TRY(or_vocab_set(t, (int64_t)id, item->string, strlen(item->string), kind, path));
    }
    return or_vocab_index(t, path);
}

/* A merge as "a b" or ["a", "b"]; pieces have no spaces in them. */
static or_status read_merge(or_tokenizer *t, const cJSON *item, uint32_t rank, const char *path)
{
    const char *left = NULL, *right = NULL;
    size_t left_length = 0;
    if (cJSON_IsString(item)) {
        const char *space = strchr(item->valuestring, ' ');
        left = item->valuestring;
        left_length = space ? (size_t)(space - left) : 0;
        right = space ? space + 1 : NULL;
    } else if (cJSON_IsArray(item) && cJSON_IsString(item->child) && cJSON_IsString(item->child->next)) {
        left = item->child->valuestring;
        left_length = strlen(left);
        right = item->child->next->valuestring;
    }
    if (!right || left_length == 0 || *right == '\0')
        return or_fail(OR_ERR_INPUT, "tokenizer refused", path, "merge %u is not of two pieces", rank + 1);
    or_buffer both = {0};
    or_merge merge = {or_vocab_find(t, left, left_length), or_vocab_find(t, right, strlen(right)), -1, rank};
    or_status status = or_buffer_append(&both, left, left_length);
    if (status == OR_OK) status = or_buffer_puts(&both, right);
    if (status == OR_OK) merge.merged = or_vocab_find(t, both.data, both.size);
    if (status == OR_OK && (merge.left < 0 || merge.right < 0 || merge.merged < 0))
        status = or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                         "merge %u (\"%s\") is of pieces it does not have", rank + 1, both.data);
    if (status == OR_OK) status = or_vocab_merge(t, &merge);
    or_buffer_free(&both);
    return status;
}

static or_status read_merges(or_tokenizer *t, const cJSON *merges, const char *path)
{
    uint32_t rank = 0;
    for (const cJSON *item = merges->child; item; item = item->next)
        OR_TRY(read_merge(t, item, rank++, path));
    return OR_OK;
}

/* Id of the token with this text, special ones included; -1. */
static int32_t find_any(const or_tokenizer *t, const char *text)
{
    for (size_t id = 0; text && id < t->n_pieces; id++)
        if (t->pieces[id].text && strcmp(t->pieces[id].text, text) == 0) return (int32_t)id;
    return -1;
}

/* A template that puts a special token first says that prompts begin with BOS. */
static void read_post_processor(or_tokenizer *t, const cJSON *post)
{
    const cJSON *single = or_json_find(post, "single");
    const cJSON *first = cJSON_IsArray(single) ? single->child : NULL;
    const cJSON *special = or_json_find(first, "SpecialToken");
    const cJSON *id = or_json_find(special, "id");
    if (cJSON_IsString(id)) t->bos = find_any(t, id->valuestring);
    t->adds_bos = t->bos >= 0;
}

static or_status read_tree(or_tokenizer *t, const cJSON *root, const char *path)
{
    const cJSON *model, *vocab, *merges, *pre = or_json_find(root, "pre_tokenizer");
    const cJSON *normalizer = or_json_find(root, "normalizer");
    const char *unknown = NULL;
    bool fallback = false;
    OR_TRY(or_json_object(root, "model", path, &model));
    if (strcmp(type_of(model), "BPE") != 0) return refuse(path, "model", type_of(model));
    if (pre) OR_TRY(read_pre_tokenizer(t, pre, path));
    if (normalizer) OR_TRY(read_normalizer(t, normalizer, path));
    OR_TRY(or_json_opt_bool(model, "byte_fallback", path, &fallback));
    if (!fallback) return refuse(path, "model", "a BPE without byte fallback");
    OR_TRY(or_json_object(model, "vocab", path, &vocab));
    OR_TRY(or_json_array(model, "merges", path, &merges));
    OR_TRY(or_json_opt_string(model, "unk_token", path, &unknown));
    OR_TRY(read_vocab(t, vocab, or_json_find(root, "added_tokens"), path));
    OR_TRY(read_merges(t, merges, path));
    t->unknown = find_any(t, unknown);
    t->bos = find_any(t, "<s>");
    t->eos = find_any(t, "</s>");
    read_post_processor(t, or_json_find(root, "post_processor"));
    return OR_OK;
}

static or_status read_json(or_tokenizer *t, const char *path)
{
    cJSON *root = NULL;
    OR_TRY(or_json_load(path, &root));
    or_status status = read_tree(t, root, path);
    cJSON_Delete(root);
    return status;
}

const or_tokenizer_reader or_tokenizer_reader_json = {"tokenizer.json", read_json};
