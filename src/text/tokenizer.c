/* tokenizer.c - opening a model's tokenizer, its BOS rule, and the public calls.
 *
 * BOS and EOS come from the tokenizer file first (SentencePiece: the ids its trainer noted; tokenizer.json:
 * <s>, </s>, or GPT-2's <|endoftext|>, and the token its template puts in front; GGUF: its keys) and
 * prompts begin with BOS if that file says so. In a folder, config.json's model type comes next (OPT), and
 * tokenizer_config.json, where there is one, has the last word on all three. What ends a text besides EOS is
 * named by the model's files, not by the tokenizer's.
 */
#include "json_internal.h"

#include "decoder.h"
#include "file.h"
#include "gguf_vocab.h"
#include "json.h"
#include "utf8.h"

#include <math.h>
#include <string.h>

/* The first file that is there is read. */
static const or_tokenizer_reader *const readers[] = {
    &or_tokenizer_reader_json,
    &or_tokenizer_reader_spm,
    &or_tokenizer_reader_bpe,
};
enum { READERS = sizeof readers / sizeof *readers };

or_status or_tokens_add(or_tokens *tokens, int32_t id)
{
    OR_RESERVE(tokens->ids, tokens->capacity, tokens->count + 1);
    tokens->ids[tokens->count++] = id;
    return OR_OK;
}

void or_tokens_free(or_tokens *tokens)
{
    free(tokens->ids);
    *tokens = (or_tokens){0};
}

/* A token as the text itself or as {"content": text}; absent or null leaves *id. */
static or_status read_special(const or_tokenizer *t, const cJSON *config, const char *key, const char *path,
                              int32_t *id)
{
    const cJSON *item = or_json_find(config, key);
    const char *text = NULL;
    if (!item) return OR_OK;
    OR_TRY(cJSON_IsObject(item) ? or_json_string(item, "content", path, &text)
                                : or_json_string(config, key, path, &text));
    *id = or_vocab_token(t, text, strlen(text));
    if (*id >= 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "tokenizer refused", path, "\"%s\" is \"%s\", expected one of its tokens",
                   key, text);
}

or_status or_json_load_beside(const char *folder, const char *name, char **path, cJSON **json)
{
    *json = NULL;
    OR_TRY(or_path_join(folder, name, path));
    return or_path_exists(*path) ? or_json_load(*path, json) : OR_OK;
}

/* OPT's prompts begin with </s> ("OPT adds the EOS token </s> to the beginning of every prompt", OPT's page
 * in the documentation of transformers; its GPT2Tokenizer does so by add_bos_token, with the BOS token
 * </s>). */
static or_status read_family(or_tokenizer *t, const char *folder)
{
    char *path = NULL;
    cJSON *config = NULL;
    const char *type = "";
    or_status status = or_json_load_beside(folder, "config.json", &path, &config);
    if (config) status = or_json_opt_string(config, "model_type", path, &type);
    if (status == OR_OK && strcmp(type, "opt") == 0) {
        t->bos = t->eos = or_vocab_token(t, "</s>", 4);
        t->adds_bos = t->bos >= 0;
    }
    cJSON_Delete(config);
    free(path);
    return status;
}

/* Read last, and so right where files contradict each other. Tokens are given by text and must be there.
 * Adding EOS would end the prompts that are to be continued. */
static or_status read_config(or_tokenizer *t, const char *folder)
{
    char *path = NULL;
    cJSON *config = NULL;
    bool adds_eos = false;
    or_status status = or_json_load_beside(folder, "tokenizer_config.json", &path, &config);
    if (config) {
        status = read_special(t, config, "bos_token", path, &t->bos);
        if (status == OR_OK) status = read_special(t, config, "eos_token", path, &t->eos);
        if (status == OR_OK) status = or_json_opt_bool(config, "add_bos_token", path, &t->adds_bos);
        if (t->bos < 0) t->adds_bos = false;
        if (status == OR_OK) status = or_json_opt_bool(config, "add_eos_token", path, &adds_eos);
        if (status == OR_OK && adds_eos)
            status = or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                             "\"add_eos_token\" is true, which is not supported, expected false");
    }
    cJSON_Delete(config);
    free(path);
    return status;
}

or_status or_tokenizer_add_end(or_tokenizer *t, double id, const char *key, const char *where)
{
    if (!(id >= 0 && id < (double)t->n_pieces) || id != floor(id))
        return or_fail(OR_ERR_INPUT, "tokenizer refused", where, "%s has %g, expected 0..%zu", key, id,
                       t->n_pieces - 1);
    for (size_t i = 0; i < t->ends.count; i++)
        if (t->ends.ids[i] == (int32_t)id) return OR_OK;
    return or_tokens_add(&t->ends, (int32_t)id);
}

static or_status read_end(or_tokenizer *t, const cJSON *item, const char *path)
{
    if (cJSON_IsNumber(item)) return or_tokenizer_add_end(t, item->valuedouble, "\"eos_token_id\"", path);
    return or_fail(OR_ERR_INPUT, "tokenizer refused", path,
                   "\"eos_token_id\" was not understood, expected the id of a token, or a list of them");
}

/* "eos_token_id" of a file of this name: a number, a list of them, or null. */
static or_status read_ends(or_tokenizer *t, const char *folder, const char *name)
{
    char *path = NULL;
    cJSON *config = NULL;
    or_status status = or_json_load_beside(folder, name, &path, &config);
    const cJSON *ends = config ? or_json_find(config, "eos_token_id") : NULL;
    if (cJSON_IsArray(ends))
        for (const cJSON *end = ends->child; end && status == OR_OK; end = end->next)
            status = read_end(t, end, path);
    else if (ends)
        status = read_end(t, ends, path);
    cJSON_Delete(config);
    free(path);
    return status;
}

/* Reads the first tokenizer file of the folder. */
static or_status read_first(or_tokenizer *t, const char *folder)
{
    for (size_t i = 0; i < READERS; i++) {
        char *path = NULL;
        OR_TRY(or_path_join(folder, readers[i]->file, &path));
        const bool found = or_path_exists(path);
        const or_status status = found ? readers[i]->read(t, path) : OR_OK;
        free(path);
        if (found) return status;
    }
    const char *problem = or_path_problem(folder);
    return or_fail(
        OR_ERR_INPUT, "tokenizer not found", folder, "%s",
        problem ? problem
                : "the folder has no vocab.json, no tokenizer.json and no tokenizer.model, expected one "
                  "of them");
}

/* Each step may change what the one before found (see above). */
static or_status read_folder(or_tokenizer *t, const char *folder)
{
    OR_TRY(read_first(t, folder));
    OR_TRY(read_family(t, folder));
    OR_TRY(read_config(t, folder));
    if (t->eos >= 0) OR_TRY(or_tokenizer_add_end(t, t->eos, "EOS", folder));
    OR_TRY(read_ends(t, folder, "generation_config.json"));
    return read_ends(t, folder, "config.json");
}

/* A model's shape is a file, FILE.json (src/formats/shape.c); a tokenizer for it, if there is one, lies
 * beside it. */
static or_status read_folder_of(or_tokenizer *t, const char *model_path)
{
    char *folder = NULL;
    if (or_path_is_folder(model_path) || !strstr(model_path, ".json")) return read_folder(t, model_path);
    OR_TRY(or_path_folder(model_path, &folder));
    or_status status = read_folder(t, folder);
    free(folder);
    return status;
}

/* Tokens with a meaning of their own have no text, whatever the files call them. */
static void make_control(or_tokenizer *t)
{
    const int32_t ids[] = {t->unknown, t->bos, t->eos};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ids[i] >= 0 && t->pieces[ids[i]].kind == OR_PIECE_NORMAL)
            t->pieces[ids[i]].kind = OR_PIECE_CONTROL;
}

/* Readers find a tokenizer without tokens, ids all -1. Merges are indexed after them, when no more are
 * added. */
or_status or_tokenizer_open(const char *model_path, or_tokenizer **out)
{
    or_tokenizer *t = NULL;
    *out = NULL;
    or_status status = OR_NEW(t, 1);
    if (status != OR_OK) return status;
    t->unknown = t->bos = t->eos = -1;
    for (int byte = 0; byte < 256; byte++) t->bytes[byte] = -1;
    const bool gguf = or_gguf_probe(model_path);
    OR_TRY_GOTO(close, (gguf ? or_gguf_vocab_read : read_folder_of)(t, model_path));
    OR_TRY_GOTO(close, or_vocab_index_merges(t));
    make_control(t);
    *out = t;
    return OR_OK;

close:
    or_tokenizer_close(t);
    return status;
}

void or_tokenizer_close(or_tokenizer *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->n_pieces; i++) free(t->pieces[i].text);
    free(t->pieces);
    free(t->merges);
    or_splits_free(t->splits);
    free(t->piece_slots);
    free(t->merge_slots);
    or_tokens_free(&t->ends);
    free(t);
}

or_status or_tokenizer_encode(const or_tokenizer *t, const char *text, size_t size, or_tokens *tokens)
{
    size_t bad;
    if (!or_utf8_valid(text, size, &bad))
        return or_fail(OR_ERR_INPUT, "text refused", NULL, "byte %zu is not UTF-8, expected UTF-8 text",
                       bad + 1);
    if (size > INT32_MAX / 4) /* symbols and their bytes are counted in 32 bits, and a space may take three */
        return or_fail(OR_ERR_INPUT, "text too long", NULL, "found %zu bytes, expected less than 512 MiB",
                       size);
    return size == 0 ? OR_OK : t->kind->encode(t, text, size, tokens);
}

or_status or_tokenizer_decode(const or_tokenizer *t, const int32_t *ids, size_t count, char **text,
                              size_t *size)
{
    or_decoder decoder = {.tokenizer = t};
    or_status status = or_buffer_append(&decoder.text, "", 0); /* not NULL for no text either */
    for (size_t i = 0; i < count && status == OR_OK; i++) status = or_decoder_put(&decoder, ids[i]);
    if (status == OR_OK) status = or_decoder_end(&decoder);
    if (status == OR_OK) {
        *text = decoder.text.data;
        *size = decoder.text.size;
        decoder.text = (or_buffer){0};
    }
    or_decoder_free(&decoder);
    return status;
}

int or_tokenizer_vocab(const or_tokenizer *t)
{
    return (int)t->n_pieces;
}

int or_tokenizer_bos(const or_tokenizer *t)
{
    return t->bos;
}

int or_tokenizer_eos(const or_tokenizer *t)
{
    return t->eos;
}

bool or_tokenizer_adds_bos(const or_tokenizer *t)
{
    return t->adds_bos;
}

size_t or_tokenizer_ends(const or_tokenizer *t, const int32_t **ids)
{
    *ids = t->ends.ids;
    return t->ends.count;
}

const char *or_tokenizer_piece(const or_tokenizer *t, int32_t id)
{
    bool known = id >= 0 && (size_t)id < t->n_pieces && t->pieces[id].text;
    return known ? t->pieces[id].text : "";
}
