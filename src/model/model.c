/* model.c - opening a stage's part of a model, its embedding and its logits; what all families share. */
#include "family.h"

#include "clock.h"
#include "gguf_model.h"
#include "log.h"
#include "threads.h"

#include <string.h>
#include <xxhash.h>

/* A new family is a file and a line here (family.h). */
static const or_family *const families[] = {
    &or_family_llama,
    &or_family_opt,
};
enum { FAMILIES = sizeof families / sizeof *families };

static or_status find_family(const or_checkpoint *checkpoint, const or_family **family)
{
    const char *name = or_checkpoint_hparams(checkpoint)->family;
    for (size_t i = 0; i < FAMILIES; i++) {
        if (strcmp(families[i]->name, name) != 0) continue;
        *family = families[i];
        return OR_OK;
    }
    return or_fail(OR_ERR_INPUT, "model refused", or_checkpoint_path(checkpoint),
                   "model type \"%s\" is not supported, expected llama or opt", name);
}

/* Nothing is read here: read_weights() does it for all at once. */
static or_status bind_matrix(or_model *model, const char *name, int rows, int columns, bool is_table,
                             or_matrix *matrix)
{
    const or_tensor *tensor;
    const void *data;
    OR_TRY(or_checkpoint_require(model->checkpoint, name, rows, columns, &tensor));
    if (model->checks_only) return OR_OK;
    OR_TRY(or_checkpoint_map(model->checkpoint, tensor, &data));
    *matrix = (or_matrix){.data = data, .dtype = tensor->dtype, .rows = rows, .columns = columns};
    OR_RESERVE(model->bound, model->bound_capacity, model->n_bound + 1);
    model->bound[model->n_bound++] = (or_bound){matrix, tensor, data, is_table, {NULL, 0}};
    model->bytes += tensor->bytes;
    return OR_OK;
}

or_status or_model_matrix(or_model *model, const char *name, int rows, int columns, or_matrix *matrix)
{
    return bind_matrix(model, name, rows, columns, false, matrix);
}

or_status or_model_table(or_model *model, const char *name, int rows, int columns, or_matrix *table)
{
    return bind_matrix(model, name, rows, columns, true, table);
}

/* Read now, as it is widened now: the norms and biases are few and small, and kernels take them as
 * float32. */
or_status or_model_vector(or_model *model, const char *name, int count, float **vector)
{
    const or_tensor *tensor;
    const void *data;
    OR_TRY(or_checkpoint_require(model->checkpoint, name, count, 0, &tensor));
    if (model->checks_only) return OR_OK;
    OR_TRY(or_checkpoint_fetch(model->checkpoint, tensor, &data));
    OR_TRY(OR_NEW(*vector, (size_t)count));
    or_expand(data, tensor->dtype, 0, (size_t)count, *vector);
    model->bytes += tensor->bytes;
    return OR_OK;
}

/* Writers that know the two are tied store one tensor only, under either name (transformers keeps the
 * embedding; safetensors' own deduplication may keep lm_head.weight). The head is bound on every rank, as
 * its ramps need it. */
or_status or_model_bind_tokens(or_model *model, const char *embedding, const char *head)
{
    const or_hparams *h = model->hparams;
    bool has_head = or_checkpoint_find(model->checkpoint, head) != NULL;
    bool has_embedding = or_checkpoint_find(model->checkpoint, embedding) != NULL;
    if (h->tied_head && has_embedding) head = embedding;
    if (h->tied_head && !has_embedding && has_head) embedding = head;

    OR_TRY(or_model_matrix(model, head, h->n_vocab, h->d_embed, &model->head));
    if (model->first > 0) return OR_OK;
    size_t before = model->bytes;
    OR_TRY(or_model_table(model, embedding, h->n_vocab, h->d_embed, &model->embedding));
    if (head == embedding) model->bytes = before; /* one tensor, counted once */
    return OR_OK;
}

/* The checkpoint's hash, then bytes that training changes: the final norm, if there is one, and 64 KiB of the
 * head. */
static uint64_t hash_weights(const or_model *model)
{
    enum { PART = 1 << 16 };
    const or_matrix *head = &model->head;
    const size_t head_bytes = or_dtype_bytes(head->dtype, (size_t)head->rows * (size_t)head->columns);
    uint64_t hash = or_checkpoint_fingerprint(model->checkpoint);
    if (model->final_norm)
        hash = XXH3_64bits_withSeed(model->final_norm, (size_t)model->hparams->d_model * sizeof(float), hash);
    return XXH3_64bits_withSeed(head->data, head_bytes < PART ? head_bytes : PART, hash);
}

/* Reads in what was bound, so that no wave waits for the disk, and says how fast that was. */
static or_status read_weights(const or_model *model)
{
    uint64_t bytes;
    const double begin = or_clock_now();
    OR_TRY(or_checkpoint_read(model->checkpoint, &bytes));
    const double seconds = or_clock_now() - begin;
    or_log_detail("layers %d..%d of %s: read %.1f MB in %.3f s (%.0f MB/s), %s kernels", model->first + 1,
                  model->last, or_checkpoint_path(model->checkpoint), (double)bytes / 1e6, seconds,
                  (double)bytes / 1e6 / (seconds > 1e-6 ? seconds : 1e-6), model->kernels->name);
    return OR_OK;
}

/* ---- packing ------------------------------------------------------------------------------------------- */

/* The panels of an earlier matrix of the same weights, NULL if there is none. */
static const or_matrix *find_packed(const or_model *model, const or_bound *bound)
{
    for (const or_bound *b = model->bound; b < bound; b++)
        if (b->packed.data && b->data == bound->data) return b->matrix;
    return NULL;
}

static or_status pack_matrix(or_model *model, or_bound *bound, size_t size)
{
    const or_matrix *same = find_packed(model, bound);
    unsigned char *packed;
    if (same) {
        *bound->matrix = *same;
        return OR_OK;
    }
    OR_TRY(or_map_memory(size, &bound->packed, &packed));
    or_matrix_pack(bound->matrix, packed);
    or_checkpoint_release(model->checkpoint, bound->data);
    return OR_OK;
}

/* Weights as the kernels want them. Each tensor is given back as soon as its panels are there, so that memory
 * holds all weights once and one tensor twice. A table that was one with a matrix is mapped anew then: only
 * the rows that are looked up come back to memory. */
static or_status pack_weights(or_model *model)
{
    for (size_t i = 0; i < model->n_bound; i++) {
        or_bound *bound = &model->bound[i];
        const size_t size = bound->is_table ? 0 : or_matrix_packed_bytes(bound->matrix);
        if (size > 0) OR_TRY(pack_matrix(model, bound, size));
    }
    for (size_t i = 0; i < model->n_bound; i++) {
        const or_bound *bound = &model->bound[i];
        if (bound->is_table)
            OR_TRY(or_checkpoint_map(model->checkpoint, bound->tensor, &bound->matrix->data));
    }
    return OR_OK;
}

/* Finds the layers [first, last). model->last counts those that are bound, so that a failure half-way unbinds
 * those and no others. */
static or_status bind_layers(or_model *model, int first, int last)
{
    const size_t size = model->family->layer_size;
    model->layers = or_alloc((size_t)(last - first), size);
    if (!model->layers) return or_fail_memory((size_t)(last - first) * size);
    for (model->last = first; model->last < last; model->last++) {
        void *bound = (char *)model->layers + (size_t)(model->last - first) * size;
        or_status status = model->family->bind_layer(model, model->last, bound);
        if (status == OR_OK) continue;
        model->family->unbind_layer(bound);
        return status;
    }
    return OR_OK;
}

/* What is known before a stage is chosen: the checkpoint, its shape and family. */
static or_status open_checkpoint(or_model *model, const char *path, const char *without)
{
    OR_TRY(or_checkpoint_open_without(path, without, &model->checkpoint));
    const or_hparams *h = model->hparams = or_checkpoint_hparams(model->checkpoint);
    model->attention = (or_attention_shape){h->n_heads, h->n_kv_heads, h->head_dim};
    return find_family(model->checkpoint, &model->family);
}

/* Finds everything of a stage that holds the layers [first, last). */
static or_status bind_stage(or_model *model, int first, int last)
{
    const or_hparams *h = model->hparams;
    model->first = first;
    OR_TRY(model->family->bind_ends(model));
    OR_TRY(bind_layers(model, first, last));
    if (h->rope != OR_ROPE_TENSOR) return OR_OK;
    return or_model_vector(model, OR_ROPE_FREQS, h->head_dim / 2, &model->rope_divisors);
}

static or_status check_range(const or_model *model, int first, int last)
{
    if (0 <= first && first < last && last <= model->hparams->n_layers) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong layer range", or_checkpoint_path(model->checkpoint),
                   "asked for layers %d..%d, the model has %d", first + 1, last, model->hparams->n_layers);
}

/* The matrices are read when all tensors were found: a file that lacks one is refused at once. */
or_status or_model_open_with(const char *path, const or_model_options *options, int first, int last,
                             or_model **out)
{
    or_model *model = NULL;
    or_status status = OR_NEW(model, 1);
    if (status != OR_OK) return status;
    model->kernels = or_kernels_get();
    OR_TRY_GOTO(close, open_checkpoint(model, path, options->without));
    OR_TRY_GOTO(close, check_range(model, first, last));
    if (options->local) { /* nothing is copied of a model that lacks something */
        OR_TRY_GOTO(close, or_model_check(path, options->without));
        OR_TRY_GOTO(close, or_checkpoint_copy_to(model->checkpoint, options->local));
    }
    OR_TRY_GOTO(close, bind_stage(model, first, last));
    OR_TRY_GOTO(close, read_weights(model));
    model->fingerprint = hash_weights(model);
    OR_TRY_GOTO(close, pack_weights(model));
    *out = model;
    return OR_OK;

close:
    or_model_close(model);
    return status;
}

or_status or_model_open(const char *path, int first, int last, or_model **model)
{
    return or_model_open_with(path, &(or_model_options){0}, first, last, model);
}

void or_model_copied(const or_model *model, uint64_t *copied, uint64_t *reused)
{
    or_checkpoint_copied(model->checkpoint, copied, reused);
}

or_status or_model_check(const char *path, const char *without)
{
    or_model *model = NULL;
    OR_TRY(OR_NEW(model, 1));
    model->checks_only = true;
    or_status status = open_checkpoint(model, path, without);
    if (status == OR_OK) status = bind_stage(model, 0, model->hparams->n_layers);
    or_model_close(model);
    return status;
}

/* Also of a model that was opened half-way; what was not reached is NULL. */
void or_model_close(or_model *model)
{
    if (!model) return;
    for (int i = 0; model->layers && i < model->last - model->first; i++)
        model->family->unbind_layer((char *)model->layers + (size_t)i * model->family->layer_size);
    free(model->layers);
    for (size_t i = 0; i < model->n_bound; i++) or_map_close(&model->bound[i].packed);
    free(model->bound);
    free(model->rope_cos);
    free(model->rope_sin);
    free(model->rope_divisors);
    free(model->workspace.data);
    free(model->final_norm);
    free(model->final_norm_bias);
    or_checkpoint_close(model->checkpoint);
    free(model);
}

const or_hparams *or_model_hparams(const or_model *model)
{
    return model->hparams;
}

int or_model_first(const or_model *model)
{
    return model->first;
}

int or_model_last(const or_model *model)
{
    return model->last;
}

uint64_t or_model_fingerprint(const or_model *model)
{
    return model->fingerprint;
}

size_t or_model_bytes(const or_model *model)
{
    return model->bytes;
}

/* out [rows, d_embed] */
void or_model_token_rows(const or_model *model, const int32_t *tokens, size_t rows, float *out)
{
    const or_matrix *table = &model->embedding;
    const size_t width = (size_t)table->columns;
    for (size_t row = 0; row < rows; row++)
        or_expand(table->data, table->dtype, (size_t)tokens[row] * width, width, out + row * width);
}

or_status or_model_embed(or_model *model, const int32_t *tokens, size_t rows, size_t position, float *hidden)
{
    return model->family->embed(model, tokens, rows, position, hidden);
}

/* An element of the family's own array, of which only the size is known here. */
static const void *bound_layer(const or_model *model, int layer)
{
    return (const char *)model->layers + (size_t)(layer - model->first) * model->family->layer_size;
}

static size_t sum_rows(const or_span *spans, size_t n_spans)
{
    size_t rows = 0;
    for (size_t s = 0; s < n_spans; s++) rows += (size_t)spans[s].count;
    return rows;
}

or_status or_model_layer(or_model *model, int layer, const or_span *spans, size_t n_spans,
                         const or_kv_layer *kv, float *hidden, const or_model_taps *taps)
{
    return model->family->layer(model, bound_layer(model, layer), spans, n_spans, sum_rows(spans, n_spans),
                                kv, hidden, taps);
}

or_status or_model_project(or_model *model, int layer, const or_span *spans, size_t n_spans,
                           const or_kv_layer *kv, const float *hidden)
{
    return model->family->project(model, bound_layer(model, layer), spans, n_spans, sum_rows(spans, n_spans),
                                  kv, hidden);
}

or_status or_model_logits(or_model *model, const float *rows, size_t n, float *logits)
{
    const float *states; /* [n, d_embed] */
    OR_TRY(model->family->finish(model, rows, n, &states));
    model->kernels->matmul(&model->head, states, n, logits);
    return OR_OK;
}

or_status or_model_candidates(or_model *model, const float *rows, size_t n, const int32_t *tokens, size_t k,
                              float *logits)
{
    const size_t d_embed = (size_t)model->hparams->d_embed;
    const float *states; /* [n, d_embed] */
    OR_TRY(model->family->finish(model, rows, n, &states));
#pragma omp parallel for schedule(static) num_threads(or_threads())
    for (size_t i = 0; i < n * k; i++)
        logits[i] = or_matrix_dot(&model->head, tokens[i], states + i / k * d_embed);
    return OR_OK;
}

size_t or_hparams_page_floats(const or_hparams *h)
{
    return or_kv_page_floats(&(or_attention_shape){h->n_heads, h->n_kv_heads, h->head_dim});
}

/* Of one row: q and o, k and v, and the feed-forward block. Norms, biases, rotation and activations are not
 * counted. */
static double matrix_macs(const or_hparams *h)
{
    const double d = h->d_model, q = (double)h->n_heads * h->head_dim;
    return d * q * 2 + or_hparams_project_macs(h) + d * h->d_ff * (h->gated_ff ? 3 : 2);
}

/* The row at position p attends to p + 1 keys. A (query, key) pair costs head_dim in each head for its score
 * and as much for its share of the value. */
double or_hparams_rows_macs(const or_hparams *h, int64_t position, int64_t rows)
{
    const double n = (double)rows, pairs = n * (double)position + 0.5 * n * (n + 1);
    return matrix_macs(h) * n + pairs * h->n_heads * h->head_dim * 2;
}

double or_hparams_layer_macs(const or_hparams *h, int64_t tokens)
{
    return or_hparams_rows_macs(h, 0, tokens);
}

double or_hparams_project_macs(const or_hparams *h)
{
    return (double)h->d_model * h->n_kv_heads * h->head_dim * 2;
}

/* Output projection, with project_out before it where the embedding is narrower. */
double or_hparams_head_macs(const or_hparams *h)
{
    const double narrow = h->d_embed == h->d_model ? 0 : (double)h->d_model * h->d_embed;
    return narrow + (double)h->d_embed * h->n_vocab;
}
