/* export.c - a Llama model to a GGUF file: keys and vocabulary, then the list of tensors, then their data.
 *
 *   stored rows --or_expand--> float32 --or_quantize--> rows of the file  whole rows, up to CHUNK elements
 *
 * Query and key rows change places: GGUF has the rows of a head in rotary pairs (or_matrix.interleaved),
 * Hugging Face in halves. Keys after the GGUF specification of ggml's documentation.
 */
#include <offramp/export.h>

#include "family.h"
#include "gguf_model.h"
#include "gguf_vocab.h"
#include "llama_parts.h"
#include "threads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char refused[] = "model not exported";

/* A tensor of the model, and how it goes into the file. */
typedef struct tensor {
    char name[OR_TENSOR_NAME]; /* Hugging Face's */
    int rows, columns;         /* columns 0: a vector [rows] */
    bool rotated;              /* rows of its heads are in rotary order */
    or_dtype dtype;            /* in the file */
} tensor;

enum { CHUNK = 1 << 22 }; /* elements converted before they are written */

/* One export under way. Tensors keep Hugging Face's names; the writer's are made when the list is put. */
typedef struct exporter {
    const char *path, *output;
    or_dtype type;
    or_checkpoint *checkpoint;
    const or_hparams *h;
    or_gguf_writer *writer;
    tensor *tensors;
    size_t n_tensors, capacity;
    float *rope_divisors; /* [head_dim / 2]; NULL where nothing is stretched, or linearly */
    uint64_t done, total; /* elements */
    or_export_progress *progress;
    void *context;
    or_export_summary *summary;
} exporter;

or_dtype or_export_type(or_dtype type, size_t columns)
{
    static const or_dtype narrower[OR_DTYPE_OTHER] = {
        [OR_Q2_K] = OR_Q4_0, [OR_Q3_K] = OR_Q4_0, [OR_Q4_K] = OR_Q5_0,
        [OR_Q5_K] = OR_Q5_1, [OR_Q6_K] = OR_Q8_0,
    };
    if (columns % or_dtype_block(type) == 0) return type;
    if (or_dtype_block(type) > 32 && columns % 32 == 0) return narrower[type];
    return OR_F16;
}

/* ---- what is in the file ------------------------------------------------------------------------------- */

/* Appends a tensor to the list, in the type that it gets in the file: vectors stay float32. */
static or_status add(exporter *e, const char *name, int rows, int columns, bool rotated)
{
    OR_RESERVE(e->tensors, e->capacity, e->n_tensors + 1);
    tensor *t = &e->tensors[e->n_tensors++];
    *t = (tensor){.rows = rows, .columns = columns, .rotated = rotated, .dtype = OR_F32};
    snprintf(t->name, sizeof t->name, "%s", name);
    e->total += (uint64_t)rows * (uint64_t)(columns ? columns : 1);
    if (columns == 0) return OR_OK;
    t->dtype = or_export_type(e->type, (size_t)columns);
    e->summary->matrices++;
    e->summary->substituted += t->dtype != e->type;
    return OR_OK;
}

static or_status add_layer(exporter *e, int layer)
{
    or_llama_part parts[OR_LLAMA_PARTS];
    char name[OR_LLAMA_NAME];
    or_llama_list_parts(e->h, parts);
    for (int i = 0; i < OR_LLAMA_PARTS; i++)
        OR_TRY(add(e, or_llama_part_name(&parts[i], layer, name), parts[i].rows, parts[i].columns,
                   parts[i].rotated));
    return OR_OK;
}

/* Everything that the file holds but the rotary divisors, in the order in which its data is written. A
 * tied head is left out: a file without it means that the embedding is both. */
static or_status list_tensors(exporter *e)
{
    OR_TRY(add(e, "model.embed_tokens.weight", e->h->n_vocab, e->h->d_model, false));
    for (int layer = 0; layer < e->h->n_layers; layer++) OR_TRY(add_layer(e, layer));
    OR_TRY(add(e, "model.norm.weight", e->h->d_model, 0, false));
    return e->h->tied_head ? OR_OK : add(e, "lm_head.weight", e->h->n_vocab, e->h->d_model, false);
}

/* Where one tensor is embedding and output projection, writers keep it under either name. */
static or_status find_source(const exporter *e, const tensor *t, const or_tensor **source)
{
    const char *name = t->name;
    if (e->h->tied_head && !or_checkpoint_find(e->checkpoint, name) && strstr(name, "embed_tokens"))
        name = "lm_head.weight";
    return or_checkpoint_require(e->checkpoint, name, t->rows, t->columns, source);
}

/* The divisor that makes `to` of `from`: of the quotient and its neighbours the one that does so exactly,
 * if there is one, so that the file gives the bits of the folder. */
static float divisor(float from, float to)
{
    enum { NEIGHBOURS = 4 };
    const float quotient = from / to;
    float tried = quotient;
    for (int i = 0; i < NEIGHBOURS; i++) tried = nextafterf(tried, 0.0f);
    for (int i = 0; i <= 2 * NEIGHBOURS; i++, tried = nextafterf(tried, INFINITY))
        if (from / tried == to) return tried;
    return quotient;
}

/* What stretching does to each rotary frequency, which is how GGUF files say it (Llama 3.1 and later). */
static or_status make_rope_divisors(exporter *e)
{
    const or_hparams *h = e->h;
    const size_t half = (size_t)h->head_dim / 2;
    if (h->rope != OR_ROPE_LLAMA3 && h->rope != OR_ROPE_TENSOR) return OR_OK;
    OR_TRY(OR_NEW(e->rope_divisors, half));
    if (h->rope == OR_ROPE_TENSOR) {
        const or_tensor *source;
        const void *data;
        OR_TRY(or_checkpoint_require(e->checkpoint, OR_ROPE_FREQS, (int64_t)half, 0, &source));
        OR_TRY(or_checkpoint_fetch(e->checkpoint, source, &data));
        or_expand(data, source->dtype, 0, half, e->rope_divisors);
        return OR_OK;
    }
    /* llama3's rule is a formula in the config; its divisors are what it does to the plain frequencies */
    or_hparams plain = *h;
    plain.rope = OR_ROPE_PLAIN;
    for (size_t i = 0; i < half; i++)
        e->rope_divisors[i] =
            divisor(or_rope_frequency(&plain, NULL, (int)i), or_rope_frequency(h, NULL, (int)i));
    return OR_OK;
}

/* ---- keys ---------------------------------------------------------------------------------------------- */

/* ggml's number for a file most of whose matrices are of this type ("general.file_type"). */
static uint32_t file_type(or_dtype type)
{
    static const uint32_t numbers[OR_DTYPE_OTHER] = {
        [OR_F32] = 0,   [OR_F16] = 1,   [OR_BF16] = 32, [OR_Q4_0] = 2,  [OR_Q4_1] = 3,
        [OR_Q8_0] = 7,  [OR_Q5_0] = 8,  [OR_Q5_1] = 9,  [OR_Q2_K] = 10, [OR_Q3_K] = 11,
        [OR_Q4_K] = 14, [OR_Q5_K] = 16, [OR_Q6_K] = 18,
    };
    return numbers[type];
}

/* The model's name is the last part of its path, whatever slashes end it. ggml wants the version of its
 * block formats where there are block types. */
static or_status put_general(exporter *e)
{
    const size_t length = strlen(e->path);
    char *name = NULL;
    size_t end = length;
    while (end > 1 && e->path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && e->path[begin - 1] != '/') begin--;
    OR_TRY(or_format(&name, "%.*s", (int)(end - begin), e->path + begin));
    or_status status = or_gguf_put_text(e->writer, "general.architecture", "llama");
    if (status == OR_OK) status = or_gguf_put_text(e->writer, "general.name", name);
    if (status == OR_OK) status = or_gguf_put_u32(e->writer, "general.file_type", file_type(e->type));
    if (status == OR_OK && or_dtype_block(e->type) > 1)
        status = or_gguf_put_u32(e->writer, "general.quantization_version", 2);
    free(name);
    return status;
}

/* The hyperparameters from which a reader builds the model: or_hparams by the names of the GGUF
 * specification. llama3's stretching has no key; it is in the divisors. */
static or_status put_shape(exporter *e)
{
    const or_hparams *h = e->h;
    const struct {
        const char *key;
        int value;
    } counts[] = {
        {"llama.block_count", h->n_layers},          {"llama.context_length", h->n_context},
        {"llama.embedding_length", h->d_model},      {"llama.feed_forward_length", h->d_ff},
        {"llama.attention.head_count", h->n_heads},  {"llama.attention.head_count_kv", h->n_kv_heads},
        {"llama.attention.key_length", h->head_dim}, {"llama.attention.value_length", h->head_dim},
        {"llama.rope.dimension_count", h->head_dim}, {"llama.vocab_size", h->n_vocab},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        OR_TRY(or_gguf_put_u32(e->writer, counts[i].key, (uint32_t)counts[i].value));
    OR_TRY(or_gguf_put_f32(e->writer, "llama.attention.layer_norm_rms_epsilon", h->norm_eps));
    OR_TRY(or_gguf_put_f32(e->writer, "llama.rope.freq_base", h->rope_theta));
    if (h->rope != OR_ROPE_LINEAR) return OR_OK;
    OR_TRY(or_gguf_put_text(e->writer, "llama.rope.scaling.type", "linear"));
    return or_gguf_put_f32(e->writer, "llama.rope.scaling.factor", h->rope_factor);
}

static or_status put_vocabulary(exporter *e)
{
    or_tokenizer *tokenizer = NULL;
    OR_TRY(or_tokenizer_open(e->path, &tokenizer));
    or_status status = or_tokenizer_put_gguf(tokenizer, (size_t)e->h->n_vocab, e->writer);
    or_tokenizer_close(tokenizer);
    return status;
}

/* Names, types and shapes, in the order of write_data(). */
static or_status put_tensor_list(exporter *e)
{
    char own[OR_TENSOR_NAME];
    for (size_t i = 0; i < e->n_tensors; i++) {
        const tensor *t = &e->tensors[i];
        const int64_t dims[2] = {t->rows, t->columns};
        OR_TRY(or_gguf_put_tensor(e->writer, or_gguf_tensor_name(t->name, own), t->dtype, t->columns ? 2 : 1,
                                  dims));
    }
    if (!e->rope_divisors) return OR_OK;
    return or_gguf_put_tensor(e->writer, OR_ROPE_FREQS, OR_F32, 1, &(int64_t){e->h->head_dim / 2});
}

/* ---- data ---------------------------------------------------------------------------------------------- */

/* The row of our order that stands at place `row` of a matrix in rotary pairs; or_matrix_row() backwards. */
static size_t paired_row(size_t row, size_t head_dim)
{
    const size_t within = row % head_dim;
    return row - within + within / 2 + (within % 2 ? head_dim / 2 : 0);
}

/* True when the type can hold the numbers: finite ones, and in half precision none that would round to
 * infinity. */
static bool can_hold(or_dtype type, const float *row, size_t n)
{
    const float end = type == OR_F16 ? 65520.0f : INFINITY;
    bool good = true;
    for (size_t i = 0; i < n; i++) good = good & (fabsf(row[i]) < end); /* false for NaN, too */
    return good;
}

/* Rows [from, from + n) of the file's order: rows [n, columns] takes them widened, out as the file has
 * them. One row is one piece of work. False when the type cannot hold a weight; what is in `out` then is
 * not to be written.
 *
 * place in the file --paired_row--> row of our order --or_matrix_row--> place in the source; the same
 * place again where the source is a GGUF file itself. */
static bool convert_rows(const exporter *e, const tensor *t, const or_matrix *source, size_t from, size_t n,
                         float *rows, unsigned char *out)
{
    const size_t columns = (size_t)source->columns, bytes = or_dtype_bytes(t->dtype, columns);
    bool held = true;
#pragma omp parallel for num_threads(or_threads()) reduction(&& : held)
    for (size_t i = 0; i < n; i++) {
        float *row = rows + i * columns;
        const size_t ours = t->rotated ? paired_row(from + i, (size_t)e->h->head_dim) : from + i;
        or_expand(source->data, source->dtype, (size_t)or_matrix_row(source, (int)ours) * columns, columns,
                  row);
        held = held && can_hold(t->dtype, row, columns);
        or_quantize(row, t->dtype, columns, out + i * bytes);
    }
    return held;
}

/* Converts and writes one tensor. Memory: a chunk of whole rows, widened and converted; at least one row. */
static or_status write_tensor(exporter *e, const tensor *t)
{
    const or_tensor *found;
    const void *data;
    OR_TRY(find_source(e, t, &found));
    OR_TRY(or_checkpoint_fetch(e->checkpoint, found, &data));
    /* a vector is a matrix of one row */
    const size_t columns = (size_t)(t->columns ? t->columns : t->rows),
                 rows = t->columns ? (size_t)t->rows : 1;
    const or_matrix source = {.data = data,
                              .dtype = found->dtype,
                              .rows = (int)rows,
                              .columns = (int)columns,
                              .interleaved = t->rotated && e->h->rotary_pairs ? e->h->head_dim : 0};
    const size_t bytes = or_dtype_bytes(t->dtype, columns), most = CHUNK / columns;
    const size_t chunk = most < 1 ? 1 : most < rows ? most : rows;
    float *wide = NULL;
    unsigned char *out = NULL;
    or_status status = OR_NEW(wide, chunk * columns);
    if (status == OR_OK) status = OR_NEW(out, chunk * bytes);
    for (size_t row = 0; row < rows && status == OR_OK; row += chunk) {
        const size_t n = rows - row < chunk ? rows - row : chunk;
        status =
            convert_rows(e, t, &source, row, n, wide, out)
                ? or_gguf_put_data(e->writer, out, n * bytes)
                : or_fail(
                      OR_ERR_INPUT, refused, e->path,
                      "tensor \"%s\" has a weight that is not finite, or too large for %s; expected another "
                      "type",
                      found->name, or_dtype_name(t->dtype));
    }
    free(out);
    free(wide);
    e->summary->bytes_read += found->bytes;
    e->summary->bytes_written += rows * bytes;
    return status;
}

static or_status write_data(exporter *e)
{
    for (size_t i = 0; i < e->n_tensors; i++) {
        const tensor *t = &e->tensors[i];
        OR_TRY(write_tensor(e, t));
        e->done += (uint64_t)t->rows * (uint64_t)(t->columns ? t->columns : 1);
        if (e->progress) e->progress(e->context, e->done, e->total);
    }
    if (!e->rope_divisors) return OR_OK;
    return or_gguf_put_data(e->writer, e->rope_divisors, (size_t)e->h->head_dim / 2 * sizeof(float));
}

/* Family, shapes and an output that is the model itself are refused before the output is begun; what is
 * refused later leaves none either, as or_gguf_finish() puts it in place. */
static or_status export(exporter *e)
{
    const or_tensor *source;
    OR_TRY(or_checkpoint_open(e->path, &e->checkpoint));
    e->h = or_checkpoint_hparams(e->checkpoint);
    if (strcmp(e->h->family, or_family_llama.name) != 0)
        return or_fail(OR_ERR_INPUT, refused, e->path,
                       "GGUF files of family \"%s\" are not written, expected llama", e->h->family);
    OR_TRY(list_tensors(e));
    for (size_t i = 0; i < e->n_tensors; i++)
        OR_TRY(find_source(e, &e->tensors[i], &source)); /* before any work */
    for (size_t i = 0; i < or_checkpoint_files(e->checkpoint); i++)
        if (or_path_same(or_checkpoint_file_path(e->checkpoint, i), e->output))
            return or_fail(OR_ERR_INPUT, refused, e->output,
                           "it is a file of the model itself, expected another name");
    OR_TRY(make_rope_divisors(e));
    OR_TRY(or_gguf_create(e->output, &e->writer));
    OR_TRY(put_general(e));
    OR_TRY(put_shape(e));
    OR_TRY(put_vocabulary(e));
    OR_TRY(put_tensor_list(e));
    OR_TRY(write_data(e));
    return or_gguf_finish(e->writer);
}

or_status or_model_export(const char *path, const char *output, or_dtype type, or_export_progress *progress,
                          void *context, or_export_summary *summary)
{
    exporter e = {.path = path,
                  .output = output,
                  .type = type,
                  .progress = progress,
                  .context = context,
                  .summary = summary};
    *summary = (or_export_summary){0};
    or_status status = export(&e);
    or_gguf_writer_close(e.writer);
    or_checkpoint_close(e.checkpoint);
    free(e.rope_divisors);
    free(e.tensors);
    return status;
}
