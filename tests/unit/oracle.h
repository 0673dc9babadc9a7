/* oracle.h - what a continuation must leave behind: one sequence, alone, through a whole model, with
 * or_model_layer() and or_model_project() only. For tests of the pipeline's stages.
 */
#ifndef OFFRAMP_TESTS_ORACLE_H
#define OFFRAMP_TESTS_ORACLE_H

#include "support.h"

#include "compute.h"
#include "kv.h"
#include "memory.h"
#include "sample.h"
#include "stage.h"

#include <offramp/pipeline.h>

typedef struct oracle {
    or_model *model;
    int n_layers, n;
    size_t width;
    or_kv kv;
    int32_t *pages;
    float *hidden; /* [L + 1, n, d_model] behind so many layers; of a skipped one nothing */
} oracle;

static inline float *oracle_hidden(const oracle *o, int layers, int position)
{
    return o->hidden + ((size_t)layers * (size_t)o->n + (size_t)position) * o->width;
}

/* Positions [from, from + count) through `layers` layers; the others get keys and values of what comes out.
 * */
static inline void oracle_advance(oracle *o, int from, int count, int layers)
{
    const or_span span = {.count = count, .position = from, .pages = o->pages};
    const size_t bytes = (size_t)count * o->width * sizeof(float);
    float *out = oracle_hidden(o, layers, from);
    for (int layer = 0; layer < layers; layer++) {
        const or_kv_layer kv = or_kv_layer_pages(&o->kv, layer);
        float *rows = oracle_hidden(o, layer + 1, from);
        memcpy(rows, oracle_hidden(o, layer, from), bytes);
        assert_ok(or_model_layer(o->model, layer, &span, 1, &kv, rows, NULL));
    }
    for (int layer = layers; layer < o->n_layers; layer++) {
        const or_kv_layer kv = or_kv_layer_pages(&o->kv, layer);
        assert_ok(or_model_project(o->model, layer, &span, 1, &kv, out));
    }
}

/* Runs tokens [n]. exits NULL: at full depth, in one piece. Else exits [n - asked] are the layers of the
 * positions from `asked` on, which skip the rest (propagate). */
static inline void oracle_open(oracle *o, or_model *model, const int32_t *tokens, int n, int asked,
                               const or_token *exits)
{
    const or_hparams *h = or_model_hparams(model);
    const size_t n_pages = ((size_t)n + OR_PAGE - 1) / OR_PAGE;
    *o = (oracle){.model = model, .n_layers = h->n_layers, .n = n, .width = (size_t)h->d_model};
    assert_ok(or_kv_open(&o->kv, h, h->n_layers, n_pages, 1));
    assert_ok(OR_NEW(o->pages, n_pages));
    assert_ok(OR_NEW(o->hidden, ((size_t)h->n_layers + 1) * (size_t)n * o->width));
    for (size_t i = 0; i < n_pages; i++) o->pages[i] = (int32_t)i;
    assert_ok(or_model_embed(model, tokens, (size_t)n, 0, o->hidden));
    if (!exits) asked = n;
    if (asked > 0) oracle_advance(o, 0, asked, h->n_layers);
    for (int at = asked; at < n; at++) oracle_advance(o, at, 1, exits[at - asked].exit_layer);
}

static inline void oracle_close(oracle *o)
{
    or_kv_close(&o->kv);
    free(o->pages);
    free(o->hidden);
}

/* What the distribution behind `layers` layers at `position` gives, as a token of a continuation. */
static inline or_token oracle_token(const oracle *o, int layers, int position, const or_sampling *sampling,
                                    int32_t target)
{
    const size_t n_vocab = (size_t)or_model_hparams(o->model)->n_vocab;
    float *logits = malloc(n_vocab * sizeof *logits);
    or_token_logit *scratch = malloc(n_vocab * sizeof *scratch);
    or_top top;
    assert_ok(or_model_logits(o->model, oracle_hidden(o, layers, position), 1, logits));
    or_kernels_get()->top(logits, n_vocab, &top);
    or_token token = {
        .token = or_sample(sampling, position, logits, n_vocab, scratch),
        .exit_layer = layers,
        .top_prob = top.prob,
        .gap = top.gap,
        .logsumexp = top.logsumexp,
    };
    token.logprob = logits[target >= 0 ? target : token.token] - top.logsumexp;
    free(logits);
    free(scratch);
    return token;
}

/* Whether one position's key and value of a layer are the same bits in two caches. */
static inline bool same_slot(const or_hparams *h, or_kv_layer a, int32_t page_a, or_kv_layer b,
                             int32_t page_b, size_t slot)
{
    const or_attention_shape shape = {h->n_heads, h->n_kv_heads, h->head_dim};
    const float *x = a.data + (size_t)page_a * a.stride, *y = b.data + (size_t)page_b * b.stride;
    const size_t head_dim = (size_t)h->head_dim;
    for (size_t head = 0; head < (size_t)h->n_kv_heads; head++) {
        const size_t keys = or_kv_keys(&shape, head) + slot,
                     values = or_kv_values(&shape, head) + slot * head_dim;
        for (size_t i = 0; i < head_dim; i++)
            if (memcmp(&x[keys + i * OR_PAGE], &y[keys + i * OR_PAGE], sizeof(float)) != 0) return false;
        if (memcmp(x + values, y + values, head_dim * sizeof(float)) != 0) return false;
    }
    return true;
}

#endif
