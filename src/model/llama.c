/* llama.c - the Llama family: pre-norm, rotary positions, grouped-query attention, SwiGLU; no biases.
 *
 *   h = x + O attention(rope(Q n), rope(K n), V n)      n = rms_norm(x)
 *   x' = h + D (silu(G m) * (U m))                      m = rms_norm(h)
 *
 * A layer needs two more states of the wave than it keeps: the workspace below holds q, k, v and the attention
 * output for all rows, and the feed-forward block for FF_ROWS rows at a time (rows are independent there).
 */
#include "family.h"

#include <stdio.h>

enum { FF_ROWS = 1024 };

typedef struct llama_layer {
    float *attn_norm, *mlp_norm; /* [d_model] */
    or_matrix q, k, v, o;        /* [heads * head_dim, d_model], ..., [d_model, heads * head_dim] */
    or_matrix gate, up, down;    /* [d_ff, d_model] twice, [d_model, d_ff] */
} llama_layer;

static or_status bind_layer(or_model *model, int layer, void *bound)
{
    llama_layer *l = bound;
    const or_hparams *h = model->hparams;
    const int d = h->d_model, q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    const struct {
        const char *suffix;
        or_matrix *matrix;
        int rows, columns;
    } matrices[] = {
        {"self_attn.q_proj", &l->q, q, d},       {"self_attn.k_proj", &l->k, kv, d},
        {"self_attn.v_proj", &l->v, kv, d},      {"self_attn.o_proj", &l->o, d, q},
        {"mlp.gate_proj", &l->gate, h->d_ff, d}, {"mlp.up_proj", &l->up, h->d_ff, d},
        {"mlp.down_proj", &l->down, d, h->d_ff},
    };
    char name[128];
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, matrices[i].suffix);
        OR_TRY(or_model_matrix(model, name, matrices[i].rows, matrices[i].columns, matrices[i].matrix));
    }
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", layer);
    OR_TRY(or_model_vector(model, name, d, &l->attn_norm));
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", layer);
    return or_model_vector(model, name, d, &l->mlp_norm);
}

static void unbind_layer(void *bound)
{
    llama_layer *l = bound;
    free(l->attn_norm);
    free(l->mlp_norm);
}

static void add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] += y[i];
}

/* Where the pieces of the workspace lie. */
typedef struct places {
    float *normed, *q, *k, *v, *mixed, *scores; /* attention: [rows, ...] */
    float *out;                                 /* [rows, d_model]: what the block adds */
    float *gate, *up;                           /* [FF_ROWS, d_ff] */
} places;

static or_status lay_out(or_model *model, const or_attention_shape *shape, const or_span *spans,
                         size_t n_spans, size_t rows, places *p)
{
    const or_hparams *h = model->hparams;
    const size_t d = (size_t)h->d_model, q = (size_t)h->n_heads * (size_t)h->head_dim;
    const size_t kv = (size_t)h->n_kv_heads * (size_t)h->head_dim;
    const size_t ff = (rows < FF_ROWS ? rows : FF_ROWS) * (size_t)h->d_ff;
    const size_t sizes[] = {rows * d,  rows * q, rows * kv,
                            rows * kv, rows * q, or_attention_scratch(shape, spans, n_spans),
                            rows * d,  ff,       ff};
    float **const pieces[] = {&p->normed, &p->q,   &p->k,    &p->v, &p->mixed,
                              &p->scores, &p->out, &p->gate, &p->up};
    enum { PIECES = sizeof sizes / sizeof *sizes, ALIGN = 16 };

    size_t total = 0;
    for (size_t i = 0; i < PIECES; i++) total += (sizes[i] + ALIGN - 1) / ALIGN * ALIGN;
    OR_TRY(or_workspace_reserve(&model->workspace, total));
    float *at = model->workspace.data;
    for (size_t i = 0; i < PIECES; i++) {
        *pieces[i] = at;
        at += (sizes[i] + ALIGN - 1) / ALIGN * ALIGN;
    }
    return OR_OK;
}

/* p->out = O attention(...), for all rows of hidden */
static void attend(const or_model *model, const llama_layer *l, const or_attention_shape *shape,
                   const or_span *spans, size_t n_spans, size_t rows, const float *hidden, const places *p)
{
    const or_hparams *h = model->hparams;
    const or_kernels *run = model->kernels;
    run->rms_norm(hidden, rows, (size_t)h->d_model, l->attn_norm, h->norm_eps, p->normed);
    run->matmul(&l->q, p->normed, rows, p->q);
    run->matmul(&l->k, p->normed, rows, p->k);
    run->matmul(&l->v, p->normed, rows, p->v);
    run->rope(spans, n_spans, h->n_heads, h->head_dim, model->rope_cos, model->rope_sin, p->q);
    run->rope(spans, n_spans, h->n_kv_heads, h->head_dim, model->rope_cos, model->rope_sin, p->k);
    run->attention(shape, spans, n_spans, p->q, p->k, p->v, p->mixed, p->scores);
    run->matmul(&l->o, p->mixed, rows, p->out);
}

/* p->out = D (silu(G m) * (U m)), FF_ROWS rows at a time */
static void feed_forward(const or_model *model, const llama_layer *l, size_t rows, const float *hidden,
                         const places *p)
{
    const or_hparams *h = model->hparams;
    const or_kernels *run = model->kernels;
    const size_t d = (size_t)h->d_model;
    run->rms_norm(hidden, rows, d, l->mlp_norm, h->norm_eps, p->normed);
    for (size_t from = 0; from < rows; from += FF_ROWS) {
        const size_t n = rows - from < FF_ROWS ? rows - from : FF_ROWS;
        run->matmul(&l->gate, p->normed + from * d, n, p->gate);
        run->matmul(&l->up, p->normed + from * d, n, p->up);
        run->silu_mul(p->gate, p->up, n * (size_t)h->d_ff);
        run->matmul(&l->down, p->gate, n, p->out + from * d);
    }
}

static or_status run_layer(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                           size_t rows, float *hidden, const or_model_taps *taps)
{
    const llama_layer *l = bound;
    const or_hparams *h = model->hparams;
    const size_t d = (size_t)h->d_model;
    const or_attention_shape shape = {h->n_heads, h->n_kv_heads, h->head_dim};
    size_t longest = 0;
    for (size_t s = 0; s < n_spans; s++)
        if ((size_t)spans[s].count > longest) longest = (size_t)spans[s].count;
    places p;
    OR_TRY(or_model_reserve_rope(model, longest));
    OR_TRY(lay_out(model, &shape, spans, n_spans, rows, &p));

    attend(model, l, &shape, spans, n_spans, rows, hidden, &p);
    if (taps) or_gather_last(spans, n_spans, p.out, d, taps->attn);
    add(hidden, p.out, rows * d);

    feed_forward(model, l, rows, hidden, &p);
    if (taps) or_gather_last(spans, n_spans, p.out, d, taps->mlp);
    add(hidden, p.out, rows * d);
    return OR_OK;
}

const or_family or_family_llama = {
    .name = "llama",
    .embedding_name = "model.embed_tokens.weight",
    .final_norm_name = "model.norm.weight",
    .head_name = "lm_head.weight",
    .layer_size = sizeof(llama_layer),
    .bind_layer = bind_layer,
    .unbind_layer = unbind_layer,
    .layer = run_layer,
};
