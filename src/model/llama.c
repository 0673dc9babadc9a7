/* llama.c - the Llama family: pre-norm, rotary positions, grouped-query attention, SwiGLU; no biases.
 *
 *   h = x + O attention(rope(Q n), rope(K n), V n)      n = rms_norm(x)
 *   x' = h + D (silu(G m) * (U m))                      m = rms_norm(h)
 *
 * rms_norm: arXiv 1910.07467; rope: 2104.09864; grouped queries: 2305.13245; SwiGLU: 2002.05202.
 *
 * Shapes are written with q = n_heads * head_dim and kv = n_kv_heads * head_dim.
 */
#include "family.h"

#include "llama_parts.h"

typedef struct llama_layer {
    float *attn_norm, *mlp_norm; /* [d_model] */
    or_matrix q, k, v, o;        /* [heads * head_dim, d_model], ..., [d_model, heads * head_dim] */
    or_matrix gate, up, down;    /* [d_ff, d_model] twice, [d_model, d_ff] */
} llama_layer;

/* On every rank: a ramp needs the final norm and the output projection. */
static or_status bind_ends(or_model *model)
{
    OR_TRY(or_model_vector(model, "model.norm.weight", model->hparams->d_model, &model->final_norm));
    return or_model_bind_tokens(model, "model.embed_tokens.weight", "lm_head.weight");
}

/* Where each part goes stands at its place in the list: vectors are read at once, matrices only found. */
static or_status bind_layer(or_model *model, int layer, void *bound)
{
    llama_layer *l = bound;
    const or_hparams *h = model->hparams;
    float **const vectors[OR_LLAMA_PARTS] = {&l->attn_norm, NULL, NULL, NULL, NULL, &l->mlp_norm};
    or_matrix *const matrices[OR_LLAMA_PARTS] = {NULL, &l->q,    &l->k,  &l->v,   &l->o,
                                                 NULL, &l->gate, &l->up, &l->down};
    or_llama_part parts[OR_LLAMA_PARTS];
    char name[OR_LLAMA_NAME];
    or_llama_list_parts(h, parts);
    for (int i = 0; i < OR_LLAMA_PARTS; i++) {
        or_llama_part_name(&parts[i], layer, name);
        if (parts[i].columns == 0) {
            OR_TRY(or_model_vector(model, name, parts[i].rows, vectors[i]));
            continue;
        }
        OR_TRY(or_model_matrix(model, name, parts[i].rows, parts[i].columns, matrices[i]));
        if (parts[i].rotated && h->rotary_pairs) matrices[i]->interleaved = h->head_dim;
    }
    return OR_OK;
}

static void unbind_layer(void *bound)
{
    llama_layer *l = bound;
    free(l->attn_norm);
    free(l->mlp_norm);
}

/* Nothing: rotation places the tokens. */
static or_status embed(or_model *model, const int32_t *tokens, size_t rows, size_t position, float *hidden)
{
    (void)position;
    or_model_token_rows(model, tokens, rows, hidden);
    return OR_OK;
}

/* s->normed [rows, d_model] = n; s->k, s->v [rows, kv] = rope(K n) and V n of hidden, in the pages too */
static void make_keys(const or_model *model, const llama_layer *l, const or_span *spans, size_t n_spans,
                      size_t rows, const or_kv_layer *kv, const float *hidden, const or_scratch *s)
{
    const or_hparams *h = model->hparams;
    const or_kernels *run = model->kernels;
    run->rms_norm(hidden, rows, (size_t)h->d_model, l->attn_norm, h->norm_eps, s->normed);
    run->matmul(&l->k, s->normed, rows, s->k);
    run->matmul(&l->v, s->normed, rows, s->v);
    run->rope(spans, n_spans, h->n_kv_heads, h->head_dim, model->rope_cos, model->rope_sin, s->k);
    or_kv_put(&model->attention, spans, n_spans, s->k, s->v, kv);
}

/* s->out = O attention(...), for all rows, from what make_keys() left */
static void attend(const or_model *model, const llama_layer *l, const or_span *spans, size_t n_spans,
                   size_t rows, const or_kv_layer *kv, const or_scratch *s)
{
    const or_hparams *h = model->hparams;
    const or_kernels *run = model->kernels;
    run->matmul(&l->q, s->normed, rows, s->q); /* [rows, q] */
    run->rope(spans, n_spans, h->n_heads, h->head_dim, model->rope_cos, model->rope_sin, s->q);
    run->attention(&model->attention, spans, n_spans, kv, s->q, s->k, s->v, s->mixed, s->scores);
    run->matmul(&l->o, s->mixed, rows, s->out); /* [rows, d_model] */
}

/* s->out = D (silu(G m) * (U m)), OR_FF_ROWS rows at a time, which bounds gate and up. Rows are
 * independent here, so where they are cut changes no number. */
static void feed_forward(const or_model *model, const llama_layer *l, size_t rows, const float *hidden,
                         const or_scratch *s)
{
    const or_hparams *h = model->hparams;
    const or_kernels *run = model->kernels;
    const size_t d = (size_t)h->d_model;
    run->rms_norm(hidden, rows, d, l->mlp_norm, h->norm_eps, s->normed);
    for (size_t from = 0; from < rows; from += OR_FF_ROWS) {
        const size_t n = rows - from < OR_FF_ROWS ? rows - from : OR_FF_ROWS;
        run->matmul(&l->gate, s->normed + from * d, n, s->gate); /* [n, d_ff] */
        run->matmul(&l->up, s->normed + from * d, n, s->up);     /* [n, d_ff] */
        run->silu_mul(s->gate, s->up, n * (size_t)h->d_ff);
        run->matmul(&l->down, s->gate, n, s->out + from * d); /* [n, d_model] */
    }
}

/* The taps are a block's output before the residual is added: s.out is taken at each of the two adds. The
 * pieces of `s` are the model's workspace and valid until it is reserved again. */
static or_status run_layer(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                           size_t rows, const or_kv_layer *kv, float *hidden, const or_model_taps *taps)
{
    const llama_layer *l = bound;
    const size_t d = (size_t)model->hparams->d_model;
    or_scratch s;
    OR_TRY(or_model_reserve_rope(model, or_span_longest(spans, n_spans)));
    OR_TRY(or_scratch_lay_out(model, spans, n_spans, rows, &s));

    make_keys(model, l, spans, n_spans, rows, kv, hidden, &s);
    attend(model, l, spans, n_spans, rows, kv, &s);
    if (taps) or_gather_last(spans, n_spans, s.out, d, taps->attn);
    or_add(hidden, s.out, rows * d);

    feed_forward(model, l, rows, hidden, &s);
    if (taps) or_gather_last(spans, n_spans, s.out, d, taps->mlp);
    or_add(hidden, s.out, rows * d);
    return OR_OK;
}

static or_status project(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                         size_t rows, const or_kv_layer *kv, const float *hidden)
{
    or_scratch s;
    OR_TRY(or_model_reserve_rope(model, or_span_longest(spans, n_spans)));
    OR_TRY(or_scratch_lay_out(model, spans, n_spans, rows, &s));
    make_keys(model, bound, spans, n_spans, rows, kv, hidden, &s);
    return OR_OK;
}

/* *states = rms_norm(rows) [n, d_model] */
static or_status finish(or_model *model, const float *rows, size_t n, const float **states)
{
    const or_hparams *h = model->hparams;
    const size_t d = (size_t)h->d_model;
    OR_TRY(or_workspace_reserve(&model->workspace, n * d));
    model->kernels->rms_norm(rows, n, d, model->final_norm, h->norm_eps, model->workspace.data);
    *states = model->workspace.data;
    return OR_OK;
}

const or_family or_family_llama = {
    .name = "llama",
    .layer_size = sizeof(llama_layer),
    .bind_ends = bind_ends,
    .bind_layer = bind_layer,
    .unbind_layer = unbind_layer,
    .embed = embed,
    .layer = run_layer,
    .project = project,
    .finish = finish,
};
