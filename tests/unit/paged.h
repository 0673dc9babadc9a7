/* paged.h - whether a model gives the same bits through pages as in one piece; for tests of the families. */
#ifndef OFFRAMP_TESTS_PAGED_H
#define OFFRAMP_TESTS_PAGED_H

#include "support.h"

#include "memory.h"
#include "threads.h"

#include <offramp/model.h>

#include <math.h>

enum { PAGED_PAGES = 64 };

/* The pages of all layers of a model: NaN wherever nothing was put. */
typedef struct paged {
    or_model *model;
    size_t width, floats; /* d_model; of a page */
    float *data;          /* [layers, PAGED_PAGES, floats] */
} paged;

static inline size_t paged_size(const paged *p)
{
    return (size_t)(or_model_last(p->model) - or_model_first(p->model)) * PAGED_PAGES * p->floats;
}

static inline void paged_open(paged *p, or_model *model)
{
    const or_hparams *h = or_model_hparams(model);
    *p = (paged){.model = model, .width = (size_t)h->d_model, .floats = or_hparams_page_floats(h)};
    assert_int_equal(p->floats, 2 * h->n_kv_heads * h->head_dim * OR_PAGE);
    p->data = or_alloc(paged_size(p), sizeof *p->data);
    assert_non_null(p->data);
    for (size_t i = 0; i < paged_size(p); i++) p->data[i] = NAN;
}

static inline or_kv_layer paged_layer(const paged *p, int layer)
{
    const size_t before = (size_t)(layer - or_model_first(p->model)) * PAGED_PAGES;
    return (or_kv_layer){p->data + before * p->floats, p->floats};
}

/* Page numbers in no order, all different. */
static inline void paged_shuffle(uint64_t *seed, int32_t pages[PAGED_PAGES])
{
    for (int i = 0; i < PAGED_PAGES; i++) {
        const int other = (int)(random_bits(seed) % (unsigned)(i + 1));
        pages[i] = pages[other];
        pages[other] = i;
    }
}

static inline void paged_tokens(uint64_t *seed, const or_model *model, int n, int32_t *tokens)
{
    for (int i = 0; i < n; i++)
        tokens[i] = (int32_t)(random_bits(seed) % (unsigned)or_model_hparams(model)->n_vocab);
}

static inline float *paged_rows(const paged *p, int rows)
{
    float *hidden = or_alloc((size_t)rows * p->width, sizeof *hidden);
    assert_non_null(hidden);
    return hidden;
}

static inline void paged_run(const paged *p, const or_span *spans, size_t n_spans, float *hidden)
{
    for (int layer = or_model_first(p->model); layer < or_model_last(p->model); layer++) {
        const or_kv_layer kv = paged_layer(p, layer);
        assert_ok(or_model_layer(p->model, layer, spans, n_spans, &kv, hidden, NULL));
    }
}

/* hidden[n, d_model] behind the last layer, without pages */
static inline float *paged_whole(const paged *p, const int32_t *tokens, int n)
{
    float *hidden = paged_rows(p, n);
    const or_span span = {.count = n};
    assert_ok(or_model_embed(p->model, tokens, (size_t)n, 0, hidden));
    for (int layer = or_model_first(p->model); layer < or_model_last(p->model); layer++)
        assert_ok(or_model_layer(p->model, layer, &span, 1, NULL, hidden, NULL));
    return hidden;
}

/* One sequence of n tokens, `chunk` at a time. */
static inline void check_chunks(or_model *model, int n, int chunk)
{
    uint64_t seed = (uint64_t)chunk;
    int32_t pages[PAGED_PAGES], *tokens = or_alloc((size_t)n, sizeof *tokens);
    paged p;
    paged_open(&p, model);
    paged_shuffle(&seed, pages);
    paged_tokens(&seed, model, n, tokens);
    float *hidden = paged_rows(&p, n);
    for (int at = 0; at < n; at += chunk) {
        const int count = n - at < chunk ? n - at : chunk;
        const or_span span = {.count = count, .position = at, .pages = pages};
        float *rows = hidden + (size_t)at * p.width;
        assert_ok(or_model_embed(model, tokens + at, (size_t)count, (size_t)at, rows));
        paged_run(&p, &span, 1, rows);
    }
    float *whole = paged_whole(&p, tokens, n);
    if (memcmp(whole, hidden, (size_t)n * p.width * sizeof *whole) != 0)
        fail_msg("%d tokens in chunks of %d have other bits than in one piece", n, chunk);
    free(tokens), free(whole), free(hidden), free(p.data);
}

/* Three sequences of up to n tokens advance by random pieces in waves with each other and with a prompt
 * without pages; a piece is at times two spans. */
static inline void check_interleaved(or_model *model, int n)
{
    enum { SEQUENCES = 3, PROMPT = 7, PIECE = 9, ROWS = PROMPT + SEQUENCES * PIECE };
    uint64_t seed = (uint64_t)n;
    const int lengths[SEQUENCES] = {n, n / 2, n - 5};
    int32_t pages[PAGED_PAGES], *tokens[SEQUENCES];
    float *whole[SEQUENCES];
    int done[SEQUENCES] = {0};
    paged p;
    paged_open(&p, model);
    paged_shuffle(&seed, pages);
    for (int s = 0; s < SEQUENCES; s++) {
        tokens[s] = or_alloc((size_t)n, sizeof *tokens[s]);
        paged_tokens(&seed, model, lengths[s], tokens[s]);
        whole[s] = paged_whole(&p, tokens[s], lengths[s]);
    }
    float *hidden = paged_rows(&p, ROWS);
    for (int waves = 0, left = 1; left; waves++) {
        or_span spans[2 * SEQUENCES + 1] = {{.count = PROMPT}};
        int of[2 * SEQUENCES + 1] = {0}, rows = PROMPT;
        size_t n_spans = 1;
        assert_ok(or_model_embed(model, tokens[0], PROMPT, 0, hidden));
        left = 0;
        for (int s = 0; s < SEQUENCES; s++) {
            for (int part = 0; part < 1 + waves % 2 && done[s] < lengths[s]; part++) {
                const int most = lengths[s] - done[s], count = 1 + (int)(random_bits(&seed) % (PIECE / 2));
                of[n_spans] = s;
                spans[n_spans] = (or_span){.first = rows,
                                           .count = count < most ? count : most,
                                           .position = done[s],
                                           .pages = pages + s * (PAGED_PAGES / SEQUENCES)};
                const or_span *span = &spans[n_spans++];
                assert_ok(or_model_embed(model, tokens[s] + done[s], (size_t)span->count, (size_t)done[s],
                                         hidden + (size_t)rows * p.width));
                rows += span->count;
                done[s] += span->count;
            }
            left += lengths[s] - done[s];
        }
        or_threads_set(1 + waves % 3 / 2);
        paged_run(&p, spans, n_spans, hidden);
        for (size_t i = 0; i < n_spans; i++)
            assert_memory_equal(hidden + (size_t)spans[i].first * p.width,
                                whole[of[i]] + (size_t)spans[i].position * p.width,
                                (size_t)spans[i].count * p.width * sizeof *hidden);
    }
    for (int s = 0; s < SEQUENCES; s++) free(tokens[s]), free(whole[s]);
    free(hidden), free(p.data);
}

/* Prompts that begin with the same `n_pages` pages, which are put there by the first wave, and read in the second
 * by what each has behind them: 1, 2, ... rows. */
static inline void check_prefix(or_model *model, int n_pages)
{
    enum { PROMPTS = 4, ROWS = PROMPTS * (PROMPTS + 1) / 2 };
    uint64_t seed = 33;
    const int prefix = n_pages * OR_PAGE;
    int32_t pages[PAGED_PAGES], *tokens = or_alloc((size_t)(prefix + PROMPTS), sizeof *tokens), own[ROWS];
    or_span spans[PROMPTS];
    paged p;
    paged_open(&p, model);
    paged_shuffle(&seed, pages);
    paged_tokens(&seed, model, prefix, tokens);
    paged_tokens(&seed, model, ROWS, own);
    float *before = paged_rows(&p, prefix), *hidden = paged_rows(&p, ROWS);
    assert_ok(or_model_embed(model, tokens, (size_t)prefix, 0, before));
    paged_run(&p, &(or_span){.count = prefix, .pages = pages}, 1, before);
    for (int i = 0, row = 0; i < PROMPTS; row += ++i) {
        spans[i] =
            (or_span){.first = row, .count = i + 1, .position = prefix, .pages = pages, .reads_only = true};
        assert_ok(
            or_model_embed(model, own + row, (size_t)i + 1, (size_t)prefix, hidden + (size_t)row * p.width));
    }
    paged_run(&p, spans, PROMPTS, hidden);
    for (int i = 0; i < PROMPTS; i++) {
        memcpy(tokens + prefix, own + spans[i].first, (size_t)spans[i].count * sizeof *tokens);
        float *whole = paged_whole(&p, tokens, prefix + spans[i].count);
        assert_memory_equal(hidden + (size_t)spans[i].first * p.width, whole + (size_t)prefix * p.width,
                            (size_t)spans[i].count * p.width * sizeof *hidden);
        free(whole);
    }
    free(tokens), free(before), free(hidden), free(p.data);
}

/* or_model_project() of a layer's input, in two spans, leaves in the pages what the layer leaves there. */
static inline void check_projection(or_model *model, int n)
{
    uint64_t seed = 31;
    int32_t pages[PAGED_PAGES], *tokens = or_alloc((size_t)n, sizeof *tokens);
    const int cut = n / 3;
    paged run, projected;
    paged_open(&run, model);
    paged_open(&projected, model);
    paged_shuffle(&seed, pages);
    paged_tokens(&seed, model, n, tokens);
    float *hidden = paged_rows(&run, n), *before = paged_rows(&run, n);
    const or_span whole = {.count = n, .pages = pages};
    const or_span parts[] = {{.count = cut, .pages = pages},
                             {.first = cut, .count = n - cut, .position = cut, .pages = pages}};
    assert_ok(or_model_embed(model, tokens, (size_t)n, 0, hidden));
    for (int layer = or_model_first(model); layer < or_model_last(model); layer++) {
        const or_kv_layer kv = paged_layer(&run, layer), kv_projected = paged_layer(&projected, layer);
        memcpy(before, hidden, (size_t)n * run.width * sizeof *hidden);
        assert_ok(or_model_project(model, layer, parts, 2, &kv_projected, hidden));
        assert_memory_equal(before, hidden, (size_t)n * run.width * sizeof *hidden);
        assert_ok(or_model_layer(model, layer, &whole, 1, &kv, hidden, NULL));
    }
    assert_memory_equal(run.data, projected.data, paged_size(&run) * sizeof *run.data);
    size_t put = 0;
    for (size_t i = 0; i < paged_size(&run); i++) put += !isnan(run.data[i]);
    assert_int_equal(put, paged_size(&run) / PAGED_PAGES / OR_PAGE * (size_t)n);
    free(tokens), free(hidden), free(before), free(run.data), free(projected.data);
}

/* Some tokens' logits are those of the whole row, to 1e-5 of its greatest. */
static inline void check_candidates(or_model *model)
{
    enum { ROWS = 5, CANDIDATES = 7 };
    uint64_t seed = 32;
    int32_t tokens[ROWS * CANDIDATES];
    float some[ROWS * CANDIDATES];
    const size_t n_vocab = (size_t)or_model_hparams(model)->n_vocab;
    float *all = or_alloc(ROWS * n_vocab, sizeof *all);
    paged p;
    paged_open(&p, model);
    paged_tokens(&seed, model, ROWS * CANDIDATES, tokens);
    float *hidden = paged_whole(&p, tokens, ROWS);
    assert_ok(or_model_logits(model, hidden, ROWS, all));
    assert_ok(or_model_candidates(model, hidden, ROWS, tokens, CANDIDATES, some));
    for (size_t i = 0; i < ROWS * CANDIDATES; i++) {
        const float *row = all + i / CANDIDATES * n_vocab;
        double greatest = 0;
        for (size_t j = 0; j < n_vocab; j++) greatest = fmax(greatest, fabs((double)row[j]));
        assert_near(some[i], row[tokens[i]], 1e-5 * greatest);
    }
    free(all), free(hidden), free(p.data);
}

static inline void check_pages(or_model *model, int n)
{
    static const int chunks[] = {1, 5, 31, 32, 33};
    for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
        or_threads_set(1 + (int)(i % 2));
        check_chunks(model, n, chunks[i]);
    }
    check_chunks(model, n, n);
    check_interleaved(model, n);
    check_prefix(model, n / OR_PAGE - (n % OR_PAGE < 4));
    check_projection(model, n);
    check_candidates(model);
}

#endif
