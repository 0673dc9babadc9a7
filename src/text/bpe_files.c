/* bpe_files.c - reads vocab.json and merges.txt, the two files of GPT2Tokenizer (GPT-2, OPT), where they
 * come without a tokenizer.json.
 *
 *   vocab.json   {"text": id, ...}
 *   merges.txt   #version: 0.2      (first line, may be absent)
 *                Ġ t                a merge a line, the first goes first
 */
#include "json_internal.h"

#include "file.h"

#include <string.h>

/* The rank is the number of the line, the version's not counted. An empty line, or one of other than two
 * halves, is refused: what stands behind it would have wrong ranks. */
static or_status read_lines(or_tokenizer *t, const or_buffer *text, const char *path)
{
    static const char version[] = "#version";
    const char *at = text->data, *end = text->data + text->size;
    for (uint32_t rank = 0; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t length = (size_t)((newline ? newline : end) - at);
        const bool is_version = at == text->data && strncmp(at, version, strlen(version)) == 0;
        if (!is_version) OR_TRY(or_vocab_add_pair_text(t, at, length, rank++, path));
        at = newline ? newline + 1 : end;
    }
    return OR_OK;
}

/* merges.txt lies beside vocab.json and must be there. */
static or_status read_merges(or_tokenizer *t, const char *folder)
{
    char *path = NULL;
    or_buffer text = {0};
    OR_TRY(or_path_join(folder, "merges.txt", &path));
    or_status status = or_file_read(path, &text);
    if (status == OR_OK) status = read_lines(t, &text, path);
    or_buffer_free(&text);
    free(path);
    return status;
}

/* GPT2Tokenizer takes this one from tokenizer_config.json; BOS and EOS are read from there by tokenizer.c. */
static or_status read_prefix(or_tokenizer *t, const char *folder)
{
    char *path = NULL;
    cJSON *config = NULL;
    or_status status = or_json_load_beside(folder, "tokenizer_config.json", &path, &config);
    if (config) status = or_json_opt_bool(config, "add_prefix_space", path, &t->prefix_space);
    cJSON_Delete(config);
    free(path);
    return status;
}

static or_status read_vocab(or_tokenizer *t, const char *path)
{
    static const char end[] = "<|endoftext|>"; /* GPT2Tokenizer's defaults for all three */
    cJSON *vocab = NULL;
    OR_TRY(or_json_load(path, &vocab));
    or_status status = or_json_read_vocab(t, vocab, NULL, path);
    cJSON_Delete(vocab);
    OR_TRY(status);
    t->unknown = t->bos = t->eos = or_vocab_token(t, end, strlen(end));
    return or_bpe_index_bytes(t, path);
}

/* As GPT2Tokenizer of transformers: GPT-2's pattern, then merges. A space goes in front of prompts only
 * where tokenizer_config.json says so. */
static or_status read_files(or_tokenizer *t, const char *path)
{
    char *folder = NULL;
    t->kind = &or_tokenizer_kind_bpe;
    t->prefix_if_none = true;
    OR_TRY(or_splits_add(&t->splits, or_split_gpt2, false, path));
    OR_TRY(read_vocab(t, path));
    OR_TRY(or_path_folder(path, &folder));
    or_status status = read_merges(t, folder);
    if (status == OR_OK) status = read_prefix(t, folder);
    free(folder);
    return status;
}

const or_tokenizer_reader or_tokenizer_reader_bpe = {"vocab.json", read_files};
