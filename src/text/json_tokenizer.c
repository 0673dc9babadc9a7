/* json_tokenizer.c - reads tokenizer.json (Hugging Face's tokenizers library). Its model must be BPE; the
 * pre-tokenizer tells which kind: with a ByteLevel in it byte-level BPE (json_bpe.c), else SentencePiece
 * BPE (json_spm.c). Whatever would change ids and is not done here is refused by name.
 *
 * The next reader is a file like this one: a read() that fills the vocabulary (or_vocab_reserve, _set,
 * _index, _add_merge), says how text is prepared, and sets kind, bos and adds_bos; then a line in `readers`
 * of tokenizer.c. A file that holds several kinds is one reader, which looks at the file and chooses the
 * kind.
 */
#include "json_internal.h"

#include <string.h>

static const char refused[] = "tokenizer refused";

const char *or_json_name(const cJSON *object, const char *key)
{
    const cJSON *item = or_json_find(object, key);
    return cJSON_IsString(item) ? item->valuestring : "nothing";
}

or_status or_json_refuse(const or_tokenizer *t, const char *path, const char *what, const char *found)
{
    return or_fail(OR_ERR_INPUT, refused, path, "its %s is %s, expected %s", what, found,
                   t->kind == &or_tokenizer_kind_bpe ? "a ByteLevel BPE (GPT-2, Llama-3)"
                                                     : "a SentencePiece BPE with byte fallback (Llama-2)");
}

/* What a BPE model may say, whatever the kind. */
static or_status read_options(or_tokenizer *t, const cJSON *model, const char *path)
{
    double dropout = 0;
    const char *prefix = "", *suffix = "";
    OR_TRY(or_json_opt_bool(model, "ignore_merges", path, &t->ignore_merges));
    OR_TRY(or_json_opt_bool(model, "fuse_unk", path, &t->fuse_unknown));
    OR_TRY(or_json_opt_number(model, "dropout", path, &dropout));
    OR_TRY(or_json_opt_string(model, "continuing_subword_prefix", path, &prefix));
    OR_TRY(or_json_opt_string(model, "end_of_word_suffix", path, &suffix));
    if (dropout != 0) return or_json_refuse(t, path, "model", "a BPE with dropout");
    if (*prefix || *suffix) return or_json_refuse(t, path, "model", "a BPE that marks the ends of words");
    return OR_OK;
}

/* A merge is "a b" (pieces have no spaces in them) or ["a", "b"]. */
static or_status read_merge(or_tokenizer *t, const cJSON *item, uint32_t rank, const char *path)
{
    if (cJSON_IsString(item))
        return or_vocab_add_pair_text(t, item->valuestring, strlen(item->valuestring), rank, path);
    const cJSON *left = cJSON_IsArray(item) ? item->child : NULL, *right = left ? left->next : NULL;
    if (cJSON_IsString(left) && cJSON_IsString(right) && !right->next && *left->valuestring &&
        *right->valuestring)
        return or_vocab_add_pair(t, left->valuestring, strlen(left->valuestring), right->valuestring,
                                 strlen(right->valuestring), rank, path);
    return or_fail(OR_ERR_INPUT, refused, path,
                   "merge %u was not understood, expected \"a b\" or [\"a\", \"b\"]", rank + 1);
}

/* The place in the list is the rank. */
static or_status read_merges(or_tokenizer *t, const cJSON *merges, const char *path)
{
    uint32_t rank = 0;
    for (const cJSON *item = merges->child; item; item = item->next)
        OR_TRY(read_merge(t, item, rank++, path));
    return OR_OK;
}

/* What the template makes of one text: the text alone, or a special token and the text, which says that
 * prompts begin with BOS. (That of two texts does not matter here, nor do truncation and padding, which
 * callers of the library set.) A token behind the text would end what is to be continued. */
static or_status read_template(or_tokenizer *t, const cJSON *single, const char *path)
{
    const cJSON *first = cJSON_IsArray(single) ? single->child : NULL;
    const cJSON *special = or_json_find(first, "SpecialToken"), *sequence = special ? first->next : first;
    const char *text = NULL;
    if (!or_json_find(sequence, "Sequence") || sequence->next)
        return or_json_refuse(t, path, "post-processor", "a template of other than [BOS, text] or [text]");
    if (!special) return OR_OK;
    OR_TRY(or_json_string(special, "id", path, &text));
    t->bos = or_vocab_token(t, text, strlen(text));
    if (t->bos < 0)
        return or_fail(OR_ERR_INPUT, refused, path, "prompts begin with \"%s\", expected one of its tokens",
                       text);
    t->adds_bos = true;
    return OR_OK;
}

/* Templates, ByteLevel (which only moves offsets), or a Sequence of these. */
static or_status read_post_processor(or_tokenizer *t, const cJSON *post, const char *path)
{
    const char *type = or_json_name(post, "type");
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *list;
        OR_TRY(or_json_array(post, "processors", path, &list));
        for (const cJSON *item = list->child; item; item = item->next)
            OR_TRY(read_post_processor(t, item, path));
        return OR_OK;
    }
    if (strcmp(type, "ByteLevel") == 0) return OR_OK;
    const cJSON *single = or_json_find(post, "single");
    return single ? read_template(t, single, path) : or_json_refuse(t, path, "post-processor", type);
}

/* What BOS and EOS are called where no file says it: by SentencePiece, by GPT-2. */
static void find_bos(or_tokenizer *t)
{
    const bool bytes = t->kind == &or_tokenizer_kind_bpe;
    const char *bos = bytes ? "<|endoftext|>" : "<s>", *eos = bytes ? bos : "</s>";
    t->bos = or_vocab_token(t, bos, strlen(bos));
    t->eos = or_vocab_token(t, eos, strlen(eos));
}

/* The order matters: the kind first, on which refusals and byte pieces depend; the vocabulary before merges
 * and names of tokens, which are looked up in it; the post-processor last, whose BOS outdoes the usual
 * name. */
static or_status read_tree(or_tokenizer *t, const cJSON *root, const char *path)
{
    const cJSON *model, *vocab, *merges, *added = or_json_find(root, "added_tokens");
    const cJSON *post = or_json_find(root, "post_processor");
    const bool bytes = or_json_is_byte_level(or_json_find(root, "pre_tokenizer"));
    const char *unknown = NULL;
    t->kind = bytes ? &or_tokenizer_kind_bpe : &or_tokenizer_kind_spm;
    OR_TRY(or_json_object(root, "model", path, &model));
    if (strcmp(or_json_name(model, "type"), "BPE") != 0)
        return or_json_refuse(t, path, "model", or_json_name(model, "type"));
    OR_TRY(read_options(t, model, path));
    OR_TRY((bytes ? or_json_read_bpe : or_json_read_spm)(t, root, path));
    OR_TRY(or_json_object(model, "vocab", path, &vocab));
    OR_TRY(or_json_array(model, "merges", path, &merges));
    OR_TRY(or_json_opt_string(model, "unk_token", path, &unknown));
    OR_TRY(or_json_read_vocab(t, vocab, added, path));
    OR_TRY(read_merges(t, merges, path));
    if (bytes) OR_TRY(or_bpe_index_bytes(t, path));
    if (unknown) t->unknown = or_vocab_token(t, unknown, strlen(unknown));
    find_bos(t);
    return post ? read_post_processor(t, post, path) : OR_OK;
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
