/* shape.c - a model that is made up: the shape that a file says, with random weights in memory, for
 * measuring where the model itself does not fit or is not there.
 *
 *   {"model_type": "llama", "hidden_size": 8192, ...,           as in config.json
 *    "offramp_shape": {"dtype": "bf16",                         the weight type of all matrices; vectors are f32 ones
 *                      "layers": 8,                             instead of num_hidden_layers
 *                      "share_layers": true}}                   a rank keeps one layer's weights for all its layers
 *
 * What the file says there can be said behind its name as well, and then counts:
 * FILE.json,dtype=q4_0,layers=8,share_layers.
 *
 * Only what is mapped takes memory, so a rank has its own layers and no others, as of a file.
 */
#include "checkpoint_internal.h"

#include "json.h"
#include "llama_parts.h"

#include <stdio.h>
#include <string.h>

static const char refused[] = "model refused", suffix[] = ".json";

/* What is asked of the weights. */
typedef struct shape {
    or_dtype dtype;
    int64_t layers; /* 0: as many as the config says */
    bool share_layers;
} shape;

/* Bytes of the file's name within `path`: up to a ".json" that ends it or stands before a comma; 0: there
 * is none. */
static size_t name_size(const char *path)
{
    for (const char *at = path; (at = strstr(at, suffix)); at++) {
        const char *end = at + sizeof suffix - 1;
        if (*end == '\0' || (*end == ',' && !strchr(end, '/'))) return (size_t)(end - path);
    }
    return 0;
}

/* "FILE.json,..." -> "FILE.json"; malloc'ed. */
static or_status file_of(const char *path, char **file)
{
    return or_format(file, "%.*s", (int)name_size(path), path);
}

static bool is_shape(const char *path)
{
    char *file = NULL;
    const bool is = name_size(path) > 0 && file_of(path, &file) == OR_OK && or_path_is_file(file);
    free(file);
    return is;
}

/* ---- what is asked ----------------------------------------------------------------------------------------- */

static or_status find_dtype(const char *name, const char *where, or_dtype *dtype)
{
    *dtype = or_dtype_find(name);
    if (*dtype != OR_DTYPE_OTHER) return OR_OK;
    return or_fail(
        OR_ERR_INPUT, refused, where,
        "\"dtype\" is \"%s\", expected f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1 or q2_k .. q6_k", name);
}

static or_status read_asked(const char *file, shape *s)
{
    cJSON *config = NULL;
    const cJSON *object;
    const char *dtype;
    char *where = NULL;
    or_status status;
    OR_TRY(or_json_load(file, &config));
    OR_TRY_GOTO(done, or_json_object(config, "offramp_shape", file, &object));
    OR_TRY_GOTO(done, or_format(&where, "%s, \"offramp_shape\"", file));
    OR_TRY_GOTO(done, or_json_string(object, "dtype", where, &dtype));
    OR_TRY_GOTO(done, find_dtype(dtype, where, &s->dtype));
    OR_TRY_GOTO(done, or_json_opt_int(object, "layers", where, 1, OR_LAYERS_MAX, &s->layers));
    status = or_json_opt_bool(object, "share_layers", where, &s->share_layers);
done:
    free(where);
    cJSON_Delete(config);
    return status;
}

/* One of the words behind the file's name. */
static or_status take_word(const char *word, const char *path, shape *s)
{
    static const char dtype[] = "dtype=", layers[] = "layers=";
    if (strncmp(word, dtype, sizeof dtype - 1) == 0)
        return find_dtype(word + sizeof dtype - 1, path, &s->dtype);
    if (strcmp(word, "share_layers") == 0) {
        s->share_layers = true;
        return OR_OK;
    }
    char *end = NULL;
    if (strncmp(word, layers, sizeof layers - 1) == 0) s->layers = strtol(word + sizeof layers - 1, &end, 10);
    if (end && end > word + sizeof layers - 1 && *end == '\0' && s->layers >= 1 && s->layers <= OR_LAYERS_MAX)
        return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, path,
                   "found \"%s\" behind the file's name, expected dtype=TYPE, layers=1..%d or share_layers",
                   word, OR_LAYERS_MAX);
}

static or_status take_words(const char *path, shape *s)
{
    for (const char *at = path + name_size(path); *at == ',';) {
        const size_t size = strcspn(++at, ",");
        char *word = NULL;
        OR_TRY(or_format(&word, "%.*s", (int)size, at));
        or_status status = take_word(word, path, s);
        free(word);
        OR_TRY(status);
        at += size;
    }
    return OR_OK;
}

/* ---- the tensors ------------------------------------------------------------------------------------------- */

/* Places as in a file, one tensor behind the other: they are in the fingerprint. `stored` says which are
 * shared, so that is as well. */
static or_status add(or_checkpoint *c, const char *name, const shape *s, int64_t rows, int64_t columns,
                     bool shared)
{
    const or_dtype dtype = columns ? s->dtype : OR_F32;
    char stored[32];
    if (columns % (int64_t)or_dtype_block(dtype) != 0)
        return or_fail(
            OR_ERR_INPUT, refused, c->path,
            "tensor \"%s\" would have %d columns, %s needs a multiple of %zu: expected another dtype", name,
            (int)columns, or_dtype_name(dtype), or_dtype_block(dtype));
    snprintf(stored, sizeof stored, "%s%s", or_dtype_name(dtype), shared ? " shared" : "");
    const or_tensor *before = c->n_tensors ? &c->tensors[c->n_tensors - 1] : NULL;
    const or_tensor tensor = {
        .name = name,
        .dtype = dtype,
        .stored = stored,
        .n_dims = columns ? 2 : 1,
        .dims = {rows, columns},
        .offset = before ? before->offset + before->bytes : 0,
        .bytes = or_dtype_bytes(dtype, (size_t)rows * (size_t)(columns ? columns : 1)),
    };
    return or_checkpoint_add_tensor(c, &tensor);
}

static or_status add_all(or_checkpoint *c, const shape *s)
{
    const or_hparams *h = &c->hparams;
    or_llama_part parts[OR_LLAMA_PARTS];
    char name[OR_LLAMA_NAME];
    or_llama_list_parts(h, parts);
    OR_TRY(add(c, "model.embed_tokens.weight", s, h->n_vocab, h->d_model, false));
    for (int layer = 0; layer < h->n_layers; layer++)
        for (int i = 0; i < OR_LLAMA_PARTS; i++)
            OR_TRY(add(c, or_llama_part_name(&parts[i], layer, name), s, parts[i].rows, parts[i].columns,
                       s->share_layers));
    OR_TRY(add(c, "model.norm.weight", s, h->d_model, 0, false));
    return h->tied_head ? OR_OK : add(c, "lm_head.weight", s, h->n_vocab, h->d_model, false);
}

static or_status read_shape(or_checkpoint *c, const char *file)
{
    shape s = {0};
    size_t index;
    OR_TRY(or_checkpoint_add_file(c, file, &index));
    OR_TRY(read_asked(file, &s));
    OR_TRY(take_words(c->path, &s));
    OR_TRY(or_hf_config_read(file, &c->hparams));
    if (strcmp(c->hparams.family, "llama") != 0)
        return or_fail(OR_ERR_INPUT, refused, file,
                       "model type \"%s\" cannot be made up from its shape yet, expected llama",
                       c->hparams.family);
    if (s.layers) c->hparams.n_layers = (int)s.layers;
    c->one_layer = s.share_layers;
    OR_TRY(add_all(c, &s));
    return or_checkpoint_seal(c);
}

static or_status open_shape(or_checkpoint *checkpoint)
{
    char *file = NULL;
    OR_TRY(file_of(checkpoint->path, &file));
    or_status status = read_shape(checkpoint, file);
    free(file);
    return status;
}

/* The tensor whose memory is this one's: with share_layers that of the first layer. */
static const or_tensor *owner(const or_checkpoint *c, const or_tensor *tensor)
{
    char name[OR_LLAMA_NAME];
    int layer, part = 0;
    if (!c->one_layer || sscanf(tensor->name, "model.layers.%d.%n", &layer, &part) != 1 || part == 0)
        return tensor;
    snprintf(name, sizeof name, "model.layers.0.%s", tensor->name + part);
    return or_checkpoint_named(c, name);
}

/* Nothing is left to be read of what is filled here. */
static or_status map_weights(or_checkpoint *c, const or_tensor *tensor, const void **data)
{
    tensor = owner(c, tensor);
    const size_t i = (size_t)(tensor - c->tensors);
    if (!c->maps[i].data) {
        unsigned char *bytes;
        OR_TRY(or_map_memory(tensor->bytes, &c->maps[i], &bytes));
        or_shape_fill(tensor, bytes);
        c->is_read[i] = true;
    }
    *data = c->maps[i].data;
    return OR_OK;
}

const or_format_ops or_format_shape = {
    .name = "shape",
    .accepts = "a model's shape (.json)",
    .probe = is_shape,
    .open = open_shape,
    .map = map_weights,
};
