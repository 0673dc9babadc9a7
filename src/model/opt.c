/* opt.c - the OPT family (arXiv 2205.01068): learned positions, layer norms, ReLU, biases everywhere.
 *
 *   pre-norm (all but 350M)              post-norm (350M)
 *   h  = x + O attention(Q n, K n, V n)   h  = N1(x + O attention(Q x, K x, V x))    n = N1(x)
 *   x' = h + D relu(U m)                  x' = N2(h + D relu(U h))                   m = N2(h)
 *
 * Pre-norm models have a final norm. 350M has none, as x' is normed already; but its embedding is narrower
 * than its layers, so a matrix (project_in) widens what goes in and another (project_out) narrows what
 * comes out.
 */
#include "family.h"

#include <stdio.h>

enum { FIRST_POSITION = 2 }; /* row of position 0; the rows before it stood for padding in training */

typedef struct linear {
    or_matrix weight;
    float *bias; /* [weight.rows], NULL in a model without biases */
} linear;

typedef struct opt_layer {
    float *attn_norm, *attn_norm_bias, *mlp_norm, *mlp_norm_bias; /* [d_model] */
    linear q, k, v, o;                                            /* [d_model, d_model] */
    linear up, down;                                              /* [d_ff, d_model], [d_model, d_ff] */
} opt_layer;

/* Tensors are named "model.decoder...", or "decoder..." where the decoder was saved without its head. */
static const char *prefix(const or_model *model)
{
    return or_checkpoint_find(model->checkpoint, "decoder.embed_positions.weight") ? "" : "model.";
}

/* A matrix outside of the layers: "model.decoder.project_in.weight" */
static or_status bind_matrix(or_model *model, const char *part, int rows, int columns, or_matrix *matrix)
{
    char name[128];
    snprintf(name, sizeof name, "%sdecoder.%s.weight", prefix(model), part);
    return or_model_matrix(model, name, rows, columns, matrix);
}

/* The two vectors of a norm: "...final_layer_norm.weight" and ".bias" */
static or_status bind_norm(or_model *model, const char *stem, float **weight, float **bias)
{
    char name[128];
    snprintf(name, sizeof name, "%.96s.weight", stem);
    OR_TRY(or_model_vector(model, name, model->hparams->d_model, weight));
    snprintf(name, sizeof name, "%.96s.bias", stem);
    return or_model_vector(model, name, model->hparams->d_model, bias);
}

/* A matrix [rows, columns] and, if the model has them, its bias [rows]. */
static or_status bind_linear(or_model *model, const char *stem, int rows, int columns, linear *l)
{
    char name[128];
    snprintf(name, sizeof name, "%.96s.weight", stem);
    OR_TRY(or_model_matrix(model, name, rows, columns, &l->weight));
    if (!model->hparams->biases) return OR_OK;
    snprintf(name, sizeof name, "%.96s.bias", stem);
    return or_model_vector(model, name, rows, &l->bias);
}

/* Norm, head and project_out on every rank, for its ramps; what widens and places tokens where layer 0 is. */
static or_status bind_ends(or_model *model)
{
    const or_hparams *h = model->hparams;
    char name[128];
    snprintf(name, sizeof name, "%sdecoder.embed_tokens.weight", prefix(model));
    OR_TRY(or_model_bind_tokens(model, name, "lm_head.weight"));
    if (h->final_norm) {
        snprintf(name, sizeof name, "%sdecoder.final_layer_norm", prefix(model));
        OR_TRY(bind_norm(model, name, &model->final_norm, &model->final_norm_bias));
    }
    if (h->d_embed != h->d_model)
        OR_TRY(bind_matrix(model, "project_out", h->d_embed, h->d_model, &model->project_out));
    if (model->first > 0) return OR_OK;
    if (h->d_embed != h->d_model)
        OR_TRY(bind_matrix(model, "project_in", h->d_model, h->d_embed, &model->project_in));
    snprintf(name, sizeof name, "%sdecoder.embed_positions.weight", prefix(model));
    return or_model_table(model, name, h->n_context + FIRST_POSITION, h->d_model, &model->positions);
}

/* Hugging Face's final_layer_norm of a layer is the one of its feed-forward block. */
static or_status bind_layer(or_model *model, int layer, void *bound)
{
    opt_layer *l = bound;
    const int d = model->hparams->d_model, d_ff = model->hparams->d_ff;
    const struct {
        const char *part;
        linear *linear;
        int rows, columns;
    } linears[] = {
        {"self_attn.q_proj", &l->q, d, d}, {"self_attn.k_proj", &l->k, d, d},
        {"self_attn.v_proj", &l->v, d, d}, {"self_attn.out_proj", &l->o, d, d},
        {"fc1", &l->up, d_ff, d},          {"fc2", &l->down, d, d_ff},
    };
    char stem[96];
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) {
        snprintf(stem, sizeof stem, "%sdecoder.layers.%d.%s", prefix(model), layer, linears[i].part);
        OR_TRY(bind_linear(model, stem, linears[i].rows, linears[i].columns, linears[i].linear));
    }
    snprintf(stem, sizeof stem, "%sdecoder.layers.%d.self_attn_layer_norm", prefix(model), layer);
    OR_TRY(bind_norm(model, stem, &l->attn_norm, &l->attn_norm_bias));
    snprintf(stem, sizeof stem, "%sdecoder.layers.%d.final_layer_norm", prefix(model), layer);
    return bind_norm(model, stem, &l->mlp_norm, &l->mlp_norm_bias);
}

static void unbind_layer(void *bound)
{
    opt_layer *l = bound;
    float *const vectors[] = {l->attn_norm, l->attn_norm_bias, l->mlp_norm, l->mlp_norm_bias, l->q.bias,
                              l->k.bias,    l->v.bias,         l->o.bias,   l->up.bias,       l->down.bias};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) free(vectors[i]);
}

/* y[n, rows] = W x + b */
static void apply(const or_model *model, const linear *l, const float *x, size_t n, float *y)
{
    model->kernels->matmul(&l->weight, x, n, y);
    if (l->bias) or_add_bias(y, n, (size_t)l->weight.rows, l->bias);
}

/* out[n, d_model] = layer norm of x (arXiv 1607.06450); out may be x. */
static void normalise(const or_model *model, const float *weight, const float *bias, const float *x, size_t n,
                      float *out)
{
    const or_hparams *h = model->hparams;
    model->kernels->layer_norm(x, n, (size_t)h->d_model, weight, bias, h->norm_eps, out);
}

/* hidden[rows, d_model] = embedding, widened if it is narrower, plus the learned vector of the position. The
 * rows follow one another in one request: one run of the table. */
static or_status embed(or_model *model, const int32_t *tokens, size_t rows, size_t position, float *hidden)
{
    const size_t d = (size_t)model->hparams->d_model, d_embed = (size_t)model->hparams->d_embed;
    OR_TRY(or_workspace_reserve(&model->workspace, rows * (d + d_embed)));
    float *positions = model->workspace.data, *words = positions + rows * d; /* [rows, d], [rows, d_embed] */
    if (d_embed == d) {
        or_model_token_rows(model, tokens, rows, hidden);
    } else {
        or_model_token_rows(model, tokens, rows, words);
        model->kernels->matmul(&model->project_in, words, rows, hidden);
    }
    or_expand(model->positions.data, model->positions.dtype, (FIRST_POSITION + position) * d, rows * d,
              positions);
    or_add(hidden, positions, rows * d);
    return OR_OK;
}

/* What the attention block reads of hidden [rows, d_model]: n in s->normed, or x as it is. s->k, s->v [rows,
 * d_model] = its keys and values, in the pages too. */
static const float *make_keys(const or_model *model, const opt_layer *l, const or_span *spans, size_t n_spans,
                              size_t rows, const or_kv_layer *kv, const float *hidden, const or_scratch *s)
{
    const float *x = hidden;
    if (model->hparams->norm_first) {
        normalise(model, l->attn_norm, l->attn_norm_bias, hidden, rows, s->normed);
        x = s->normed;
    }
    apply(model, &l->k, x, rows, s->k);
    apply(model, &l->v, x, rows, s->v);
    or_kv_put(&model->attention, spans, n_spans, s->k, s->v, kv);
    return x;
}

/* s->out [rows, d_model] = O attention(...), for all rows of hidden; heads are d_model wide in all */
static void attend(const or_model *model, const opt_layer *l, const or_span *spans, size_t n_spans,
                   size_t rows, const or_kv_layer *kv, const float *hidden, const or_scratch *s)
{
    const float *x = make_keys(model, l, spans, n_spans, rows, kv, hidden, s);
    apply(model, &l->q, x, rows, s->q);
    model->kernels->attention(&model->attention, spans, n_spans, kv, s->q, s->k, s->v, s->mixed, s->scores);
    apply(model, &l->o, s->mixed, rows, s->out);
}

/* s->out = D relu(U x), OR_FF_ROWS rows at a time, which bounds s->up [OR_FF_ROWS, d_ff]; rows are
 * independent here */
static void feed_forward(const or_model *model, const opt_layer *l, size_t rows, const float *x,
                         const or_scratch *s)
{
    const size_t d = (size_t)model->hparams->d_model;
    for (size_t from = 0; from < rows; from += OR_FF_ROWS) {
        const size_t n = rows - from < OR_FF_ROWS ? rows - from : OR_FF_ROWS;
        apply(model, &l->up, x + from * d, n, s->up);
        or_relu(s->up, n * (size_t)model->hparams->d_ff);
        apply(model, &l->down, s->up, n, s->out + from * d);
    }
}

/* Both orders in one body: the norm of a block is either before it, into s.normed, or after the residual,
 * in place. Taps are the block's output before the residual, as in llama.c. */
static or_status run_layer(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                           size_t rows, const or_kv_layer *kv, float *hidden, const or_model_taps *taps)
{
    const opt_layer *l = bound;
    const bool norm_first = model->hparams->norm_first;
    const size_t d = (size_t)model->hparams->d_model;
    or_scratch s;
    OR_TRY(or_scratch_lay_out(model, spans, n_spans, rows, &s));

    attend(model, l, spans, n_spans, rows, kv, hidden, &s);
    if (taps) or_gather_last(spans, n_spans, s.out, d, taps->attn);
    or_add(hidden, s.out, rows * d);
    if (!norm_first) normalise(model, l->attn_norm, l->attn_norm_bias, hidden, rows, hidden);

    if (norm_first) normalise(model, l->mlp_norm, l->mlp_norm_bias, hidden, rows, s.normed);
    feed_forward(model, l, rows, norm_first ? s.normed : hidden, &s);
    if (taps) or_gather_last(spans, n_spans, s.out, d, taps->mlp);
    or_add(hidden, s.out, rows * d);
    if (!norm_first) normalise(model, l->mlp_norm, l->mlp_norm_bias, hidden, rows, hidden);
    return OR_OK;
}

static or_status project(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                         size_t rows, const or_kv_layer *kv, const float *hidden)
{
    or_scratch s;
    OR_TRY(or_scratch_lay_out(model, spans, n_spans, rows, &s));
    make_keys(model, bound, spans, n_spans, rows, kv, hidden, &s);
    return OR_OK;
}

/* Final norm if there is one, narrowing if the embedding is narrower; neither: `rows` themselves. */
static or_status finish(or_model *model, const float *rows, size_t n, const float **states)
{
    const or_hparams *h = model->hparams;
    const size_t d = (size_t)h->d_model, d_embed = (size_t)h->d_embed;
    OR_TRY(or_workspace_reserve(&model->workspace, n * (d + d_embed)));
    float *normed = model->workspace.data, *narrowed = normed + n * d; /* [n, d], [n, d_embed] */
    *states = rows;
    if (h->final_norm) {
        normalise(model, model->final_norm, model->final_norm_bias, rows, n, normed);
        *states = normed;
    }
    if (d_embed != d) {
        model->kernels->matmul(&model->project_out, *states, n, narrowed);
        *states = narrowed;
    }
    return OR_OK;
}

const or_family or_family_opt = {
    .name = "opt",
    .layer_size = sizeof(opt_layer),
    .bind_ends = bind_ends,
    .bind_layer = bind_layer,
    .unbind_layer = unbind_layer,
    .embed = embed,
    .layer = run_layer,
    .project = project,
    .finish = finish,
};
