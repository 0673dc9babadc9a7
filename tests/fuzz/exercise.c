/* exercise.c - see exercise.h. */
#include "exercise.h"

#include "compute.h"
#include "gguf.h"

#include <offramp/checkpoint.h>
#include <offramp/model.h>
#include <offramp/tokenizer.h>

#include <stdio.h>
#include <string.h>

/* ---- GGUF ------------------------------------------------------------------------------------------------- */

/* Keys are asked for by name, there is no list of them: those of kinds.gguf, one or two of models and
 * vocabularies. */
static const char *const keys[] = {
    "general.architecture",
    "general.alignment",
    "llama.block_count",
    "llama.rope.freq_base",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.scores",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.merges",
    "u8",
    "i8",
    "u16",
    "i16",
    "u32",
    "i32",
    "f32",
    "bool",
    "text",
    "u64",
    "i64",
    "f64",
    "u8s",
    "i8s",
    "u16s",
    "i16s",
    "u32s",
    "i32s",
    "f32s",
    "bools",
    "texts",
    "u64s",
    "i64s",
    "f64s",
};

static or_status refusal_is_fine(or_status status)
{
    return status == OR_ERR_INPUT ? OR_OK : status;
}

/* The value of a key as everything that a value can be; all bytes of it are looked at. */
static or_status ask_for(const or_gguf *g, const char *key, uint64_t *sum)
{
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    or_gguf_text text = {"", 0};
    or_gguf_items texts = {.left = 0}, numbers = {.left = 0};
    OR_TRY(refusal_is_fine(or_gguf_int(g, key, INT32_MIN, INT32_MAX, &integer)));
    OR_TRY(refusal_is_fine(or_gguf_opt_int(g, key, 0, UINT32_MAX, &integer)));
    OR_TRY(refusal_is_fine(or_gguf_opt_number(g, key, -1e30, 1e30, &number)));
    OR_TRY(refusal_is_fine(or_gguf_opt_bool(g, key, &flag)));
    OR_TRY(refusal_is_fine(or_gguf_text_of(g, key, &text)));
    OR_TRY(refusal_is_fine(or_gguf_opt_text(g, key, &text)));
    OR_TRY(refusal_is_fine(or_gguf_texts(g, key, &texts)));
    OR_TRY(refusal_is_fine(or_gguf_numbers(g, key, &numbers)));
    for (size_t i = 0; i < text.size; i++) *sum += (unsigned char)text.data[i];
    while (texts.left > 0) {
        const or_gguf_text item = or_gguf_next_text(&texts);
        for (size_t i = 0; i < item.size; i++) *sum += (unsigned char)item.data[i];
    }
    while (numbers.left > 0) *sum += or_gguf_next_number(&numbers) > 0;
    return OR_OK;
}

or_status exercise_gguf(const char *path)
{
    or_gguf *g = NULL;
    uint64_t sum = 0;
    OR_TRY(or_gguf_open(path, &g));
    or_status status = OR_OK;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == OR_OK; i++)
        status = ask_for(g, keys[i], &sum);
    for (size_t i = 0; i < or_gguf_tensors(g); i++) {
        const or_gguf_tensor *tensor = or_gguf_tensor_at(g, i);
        sum += strlen(tensor->name) + strlen(tensor->stored) + strlen(or_dtype_name(tensor->dtype)) +
               tensor->bytes;
    }
    or_gguf_close(g);
    return status;
}

/* ---- models ----------------------------------------------------------------------------------------------- */

static or_status look_at(const or_checkpoint *checkpoint, int *n_layers)
{
    or_shares shares;
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++)
        or_checkpoint_find(checkpoint, or_checkpoint_at(checkpoint, i)->name);
    *n_layers = or_checkpoint_hparams(checkpoint)->n_layers;
    OR_TRY(or_checkpoint_shares(checkpoint, &shares));
    or_shares_free(&shares);
    return OR_OK;
}

static or_status run_tokens(or_model *model)
{
    enum { TOKENS = 3 };
    const or_hparams *h = or_model_hparams(model);
    const int32_t tokens[TOKENS] = {0, h->n_vocab / 2, h->n_vocab - 1};
    const int count = h->n_context < TOKENS ? h->n_context : TOKENS;
    const or_span span = {.first = 0, .count = count};
    float *hidden = NULL, *logits = NULL;
    or_top top;
    or_status status;
    OR_TRY_GOTO(done, OR_NEW(hidden, (size_t)count * (size_t)h->d_model));
    OR_TRY_GOTO(done, OR_NEW(logits, (size_t)count * (size_t)h->n_vocab));
    OR_TRY_GOTO(done, or_model_embed(model, tokens, (size_t)count, 0, hidden));
    for (int layer = 0; layer < h->n_layers; layer++)
        OR_TRY_GOTO(done, or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
    OR_TRY_GOTO(done, or_model_logits(model, hidden, (size_t)count, logits));
    or_kernels_get()->top(logits, (size_t)h->n_vocab, &top);
done:
    free(logits);
    free(hidden);
    return status;
}

or_status exercise_model(const char *path)
{
    or_checkpoint *checkpoint = NULL;
    or_model *model = NULL;
    int n_layers = 0;
    OR_TRY(or_kernels_use("reference")); /* plain C: the sanitizers see every access */
    OR_TRY(or_checkpoint_open(path, &checkpoint));
    or_status status = look_at(checkpoint, &n_layers);
    or_checkpoint_close(checkpoint);
    OR_TRY(status);
    OR_TRY(or_model_open(path, 0, n_layers, &model));
    status = run_tokens(model);
    or_model_close(model);
    return status;
}

/* ---- tokenizers ------------------------------------------------------------------------------------------- */

static or_status decode(const or_tokenizer *t, const int32_t *ids, size_t count)
{
    char *text = NULL;
    size_t size;
    or_status status = or_tokenizer_decode(t, ids, count, &text, &size);
    free(text);
    return status;
}

or_status exercise_tokenizer(const char *path)
{
    static const char text[] = "a  b\xe2\x96\x81\xc3\xa9\n\0 hello Hello's 1234<s>\xf0\x9f\x8c\x8d";
    or_tokenizer *t = NULL;
    or_tokens tokens = {0};
    OR_TRY(or_tokenizer_open(path, &t));
    or_status status = or_tokenizer_encode(t, text, sizeof text - 1, &tokens);
    if (status == OR_OK) status = decode(t, tokens.ids, tokens.count);
    for (int32_t id = 0; id < or_tokenizer_vocab(t) && status == OR_OK; id++) status = decode(t, &id, 1);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
    return status;
}
