/* tiny_gguf.h - the model of tiny_model.h as a GGUF file, or as several parts of one.
 *
 * A tiny_gguf is a list of keys and of tensors that a test changes before it is written, so that every fault is one
 * edit away from a good file.
 */
#ifndef OFFRAMP_TESTS_TINY_GGUF_H
#define OFFRAMP_TESTS_TINY_GGUF_H

#include "compute.h"
#include "gguf.h"
#include "tiny_model.h"

typedef enum tiny_kind { TINY_U32, TINY_F32, TINY_BOOL, TINY_TEXT } tiny_kind;

typedef struct tiny_key {
    const char *name;
    tiny_kind kind;
    double number;
    const char *text;
} tiny_key;

typedef struct tiny_tensor {
    char name[64], hf[64]; /* in the file; in a folder, which its values follow from */
    int rows, columns;     /* columns 0: a vector [rows] */
    bool rotated;          /* rows lie in rotary pairs */
    int part;              /* of a split file */
    float values[4];       /* of "rope_freqs.weight", instead of values from a name */
} tiny_tensor;

typedef struct tiny_gguf {
    tiny_key keys[32];
    size_t n_keys;
    tiny_tensor tensors[48];
    size_t n_tensors;
    or_dtype dtype; /* of the matrices; vectors are f32 */
    int head_dim, parts;
    uint32_t said_tensors; /* "split.tensors.count"; 0: as many as there are */
} tiny_gguf;

/* ---- edits ------------------------------------------------------------------------------------------------ */

static inline void tiny_gguf_drop_key(tiny_gguf *m, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_keys; i++)
        if (strcmp(m->keys[i].name, name) != 0) m->keys[kept++] = m->keys[i];
    m->n_keys = kept;
}

/* Adds a key, or replaces it. */
static inline void tiny_gguf_set(tiny_gguf *m, tiny_key key)
{
    tiny_gguf_drop_key(m, key.name);
    assert_true(m->n_keys < sizeof m->keys / sizeof *m->keys);
    m->keys[m->n_keys++] = key;
}

static inline tiny_tensor *tiny_gguf_tensor(tiny_gguf *m, const char *name)
{
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return &m->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static inline void tiny_gguf_drop_tensor(tiny_gguf *m, const char *name)
{
    *tiny_gguf_tensor(m, name) = m->tensors[m->n_tensors - 1];
    m->n_tensors--;
}

static inline tiny_tensor *tiny_gguf_add_tensor(tiny_gguf *m, const char *name, const char *hf, int rows,
                                                int columns)
{
    assert_true(m->n_tensors < sizeof m->tensors / sizeof *m->tensors);
    tiny_tensor *t = &m->tensors[m->n_tensors++];
    *t = (tiny_tensor){.rows = rows, .columns = columns};
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(t->hf, sizeof t->hf, "%s", hf);
    return t;
}

/* ---- the model -------------------------------------------------------------------------------------------- */

static inline void tiny_gguf_add_layer(tiny_gguf *m, int layer)
{
    const int d = TINY_WIDTH, ff = TINY_FF, q = 4 * m->head_dim, kv = 2 * m->head_dim;
    const struct {
        const char *name, *hf;
        int rows, columns;
        bool rotated;
    } parts[] = {
        {"attn_norm", "input_layernorm", d, 0, false}, {"ffn_norm", "post_attention_layernorm", d, 0, false},
        {"attn_q", "self_attn.q_proj", q, d, true},    {"attn_k", "self_attn.k_proj", kv, d, true},
        {"attn_v", "self_attn.v_proj", kv, d, false},  {"attn_output", "self_attn.o_proj", d, q, false},
        {"ffn_gate", "mlp.gate_proj", ff, d, false},   {"ffn_up", "mlp.up_proj", ff, d, false},
        {"ffn_down", "mlp.down_proj", d, ff, false}};
    char name[64], hf[64];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", layer, parts[i].name);
        snprintf(hf, sizeof hf, "model.layers.%d.%s.weight", layer, parts[i].hf);
        tiny_gguf_add_tensor(m, name, hf, parts[i].rows, parts[i].columns)->rotated = parts[i].rotated;
    }
}

/* What tiny_folder(type, tiny_config) holds; heads may be of another width. */
static inline tiny_gguf *tiny_gguf_new(or_dtype dtype, int head_dim)
{
    static const tiny_key keys[] = {
        {"general.architecture", TINY_TEXT, 0, "llama"},
        {"llama.block_count", TINY_U32, TINY_LAYERS, NULL},
        {"llama.embedding_length", TINY_U32, TINY_WIDTH, NULL},
        {"llama.feed_forward_length", TINY_U32, TINY_FF, NULL},
        {"llama.context_length", TINY_U32, 64, NULL},
        {"llama.attention.head_count", TINY_U32, 4, NULL},
        {"llama.attention.head_count_kv", TINY_U32, 2, NULL},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, 1e-5, NULL},
        {"tokenizer.ggml.bos_token_id", TINY_U32, 1, NULL},
        {"tokenizer.ggml.eos_token_id", TINY_U32, 2, NULL},
    };
    tiny_gguf *m = calloc(1, sizeof *m);
    assert_non_null(m);
    *m = (tiny_gguf){.dtype = dtype, .head_dim = head_dim, .parts = 1};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) tiny_gguf_set(m, keys[i]);
    if (head_dim * 4 != TINY_WIDTH)
        tiny_gguf_set(m, (tiny_key){"llama.attention.key_length", TINY_U32, head_dim, NULL});
    tiny_gguf_add_tensor(m, "token_embd.weight", "model.embed_tokens.weight", TINY_VOCAB, TINY_WIDTH);
    for (int layer = 0; layer < TINY_LAYERS; layer++) tiny_gguf_add_layer(m, layer);
    tiny_gguf_add_tensor(m, "output_norm.weight", "model.norm.weight", TINY_WIDTH, 0);
    tiny_gguf_add_tensor(m, "output.weight", "lm_head.weight", TINY_VOCAB, TINY_WIDTH);
    return m;
}

/* ---- writing ---------------------------------------------------------------------------------------------- */

static inline void tiny_gguf_put_key(or_gguf_writer *w, const tiny_key *key)
{
    if (key->kind == TINY_U32) assert_ok(or_gguf_put_u32(w, key->name, (uint32_t)key->number));
    if (key->kind == TINY_F32) assert_ok(or_gguf_put_f32(w, key->name, (float)key->number));
    if (key->kind == TINY_BOOL) assert_ok(or_gguf_put_bool(w, key->name, key->number != 0));
    if (key->kind == TINY_TEXT) assert_ok(or_gguf_put_text(w, key->name, key->text));
}

/* The values of a tensor as they follow from its name, and stored in the order of the file. */
static inline void tiny_gguf_put_values(or_gguf_writer *w, const tiny_gguf *m, const tiny_tensor *t)
{
    enum { MOST = 1 << 11 };
    float values[MOST], stored[MOST];
    const int rows = t->columns ? t->rows : 1, columns = t->columns ? t->columns : t->rows;
    const size_t n = (size_t)rows * (size_t)columns;
    const or_dtype dtype = t->columns ? m->dtype : OR_F32;
    const or_matrix order = {.interleaved = t->rotated ? m->head_dim : 0};
    assert_true(n <= MOST);
    tiny_values(t->hf, t->columns == 0, n, values);
    if (t->values[0] != 0) memcpy(values, t->values, n * sizeof *values);
    for (int row = 0; row < rows; row++)
        memcpy(stored + or_matrix_row(&order, row) * columns, values + row * columns,
               (size_t)columns * sizeof *values);
    or_quantize(stored, dtype, n, values);
    assert_ok(or_gguf_put_data(w, values, or_dtype_bytes(dtype, n)));
}

static inline void tiny_gguf_put_split(or_gguf_writer *w, const tiny_gguf *m, int part)
{
    assert_ok(or_gguf_put_u32(w, "split.no", (uint32_t)part));
    assert_ok(or_gguf_put_u32(w, "split.count", (uint32_t)m->parts));
    assert_ok(or_gguf_put_u32(w, "split.tensors.count",
                              m->said_tensors ? m->said_tensors : (uint32_t)m->n_tensors));
}

/* "tiny.gguf", or "tiny-00002-of-00003.gguf" for part 1 (from 0) of 3. */
static inline const char *tiny_gguf_path(const tiny_gguf *m, const char *folder, int part)
{
    char name[64] = "tiny.gguf";
    if (m->parts > 1) snprintf(name, sizeof name, "tiny-%05d-of-%05d.gguf", part + 1, m->parts);
    return path_in(folder, name);
}

static inline void tiny_gguf_put_part(const tiny_gguf *m, const char *path, int part)
{
    or_gguf_writer *w;
    assert_ok(or_gguf_create(path, &w));
    for (size_t i = 0; part == 0 && i < m->n_keys; i++) tiny_gguf_put_key(w, &m->keys[i]);
    if (m->parts > 1) tiny_gguf_put_split(w, m, part);
    for (size_t i = 0; i < m->n_tensors; i++) {
        const tiny_tensor *t = &m->tensors[i];
        const int64_t dims[2] = {t->rows, t->columns};
        if (t->part == part)
            assert_ok(
                or_gguf_put_tensor(w, t->name, t->columns ? m->dtype : OR_F32, t->columns ? 2 : 1, dims));
    }
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].part == part) tiny_gguf_put_values(w, m, &m->tensors[i]);
    assert_ok(or_gguf_finish(w));
    or_gguf_writer_close(w);
}

/* Writes all parts into a scratch folder and returns the path of the first. */
static inline const char *tiny_gguf_put(const tiny_gguf *m)
{
    const char *folder = scratch_folder();
    for (int part = 0; part < m->parts; part++) tiny_gguf_put_part(m, tiny_gguf_path(m, folder, part), part);
    return tiny_gguf_path(m, folder, 0);
}

#endif
