/* json_bpe.c - tokenizer.json where it describes byte-level BPE (GPT-2, OPT, Llama-3): a ByteLevel
 * pre-tokenizer, alone or behind steps that split.
 */
#include "json_internal.h"

#include <string.h>

bool or_json_is_byte_level(const cJSON *pre)
{
    const cJSON *list = or_json_find(pre, "pretokenizers");
    for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
        if (or_json_is_byte_level(item)) return true;
    return strcmp(or_json_name(pre, "type"), "ByteLevel") == 0;
}

/* Any step that is not understood would cut the text elsewhere, and so change ids. */
static or_status refuse_pre(const or_tokenizer *t, const char *path, const char *found)
{
    return or_json_refuse(t, path, "pre-tokenizer", found);
}

/* Cuts at a pattern, which is {"Regex": pattern} or {"String": text}. Other behaviors than Isolated drop
 * the matches or glue them to their neighbours. */
static or_status read_split(or_tokenizer *t, const cJSON *split, const char *path)
{
    bool invert = false;
    const cJSON *pattern = or_json_find(split, "pattern");
    const cJSON *regex = or_json_find(pattern, "Regex"), *literal = or_json_find(pattern, "String");
    if (!cJSON_IsString(regex) && !cJSON_IsString(literal))
        return refuse_pre(t, path, "Split without a pattern");
    OR_TRY(or_json_opt_bool(split, "invert", path, &invert));
    if (invert) return refuse_pre(t, path, "Split that inverts its pattern");
    if (strcmp(or_json_name(split, "behavior"), "Isolated") != 0)
        return refuse_pre(t, path, "Split of another behavior than Isolated");
    return or_splits_add(&t->splits, regex ? regex->valuestring : literal->valuestring, !regex, path);
}

/* Numbers on their own, each or in runs. */
static or_status read_digits(or_tokenizer *t, const cJSON *digits, const char *path)
{
    bool individual = false;
    OR_TRY(or_json_opt_bool(digits, "individual_digits", path, &individual));
    return or_splits_add(&t->splits, individual ? or_split_digit : "\\p{N}+", false, path);
}

/* The step that turns bytes into their characters, which must be the last. A space that it adds goes in
 * front of each piece, which is the same as in front of the text only where nothing has been cut yet. Its
 * defaults are true. */
static or_status read_byte_level(or_tokenizer *t, const cJSON *item, const char *path)
{
    bool use_regex = true;
    t->prefix_space = t->prefix_if_none = true;
    OR_TRY(or_json_opt_bool(item, "add_prefix_space", path, &t->prefix_space));
    OR_TRY(or_json_opt_bool(item, "use_regex", path, &use_regex));
    if (t->prefix_space && t->splits) return refuse_pre(t, path, "ByteLevel that adds spaces to pieces");
    return use_regex ? or_splits_add(&t->splits, or_split_gpt2, false, path) : OR_OK;
}

/* Each step cuts what the steps before it left (split.h). */
static or_status read_step(or_tokenizer *t, const cJSON *item, const char *path)
{
    const char *type = or_json_name(item, "type");
    if (strcmp(type, "Split") == 0) return read_split(t, item, path);
    if (strcmp(type, "Digits") == 0) return read_digits(t, item, path);
    if (strcmp(type, "ByteLevel") == 0) return read_byte_level(t, item, path);
    return refuse_pre(t, path, type);
}

/* Behind a ByteLevel pieces are in the alphabet, on which patterns mean something else. */
static or_status read_steps(or_tokenizer *t, const cJSON *list, const char *path)
{
    for (const cJSON *item = list->child; item; item = item->next) {
        if (item->next && or_json_is_byte_level(item))
            return refuse_pre(t, path, "ByteLevel with a step behind it");
        OR_TRY(read_step(t, item, path));
    }
    return OR_OK;
}

/* Normalizers would change the text before it is cut; of decoders only the alphabet's inverse is done here;
 * byte fallback belongs to the other kind, as here bytes have tokens of their own. */
or_status or_json_read_bpe(or_tokenizer *t, const cJSON *root, const char *path)
{
    const cJSON *pre = or_json_find(root, "pre_tokenizer"), *list;
    const cJSON *normalizer = or_json_find(root, "normalizer"), *decoder = or_json_find(root, "decoder");
    bool fallback = false;
    if (strcmp(or_json_name(pre, "type"), "Sequence") == 0) {
        OR_TRY(or_json_array(pre, "pretokenizers", path, &list));
        OR_TRY(read_steps(t, list, path));
    } else {
        OR_TRY(read_step(t, pre, path));
    }
    if (normalizer) return or_json_refuse(t, path, "normalizer", or_json_name(normalizer, "type"));
    if (decoder && strcmp(or_json_name(decoder, "type"), "ByteLevel") != 0)
        return or_json_refuse(t, path, "decoder", or_json_name(decoder, "type"));
    OR_TRY(or_json_opt_bool(or_json_find(root, "model"), "byte_fallback", path, &fallback));
    return fallback ? or_json_refuse(t, path, "model", "a BPE with byte fallback") : OR_OK;
}
