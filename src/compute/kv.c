/* kv.c - keys and values into the pages of a layer. */
#include "kv.h"

#include "kernels_portable.h"
#include "threads.h"

#include <string.h>

size_t or_kv_page_floats(const or_attention_shape *shape)
{
    return 2 * (size_t)shape->n_kv_heads * (size_t)shape->head_dim * OR_PAGE;
}

/* One head of a span's rows; k and v begin at the head in the span's first row. */
static void put_head(const or_attention_shape *shape, const or_span *span, size_t head, const float *k,
                     const float *v, const or_kv_layer *kv)
{
    const size_t head_dim = (size_t)shape->head_dim, stride = (size_t)shape->n_kv_heads * head_dim;
    for (size_t i = 0; i < (size_t)span->count; i++) {
        const size_t position = (size_t)span->position + i, slot = position % OR_PAGE;
        float *page = kv->data + (size_t)span->pages[position / OR_PAGE] * kv->stride;
        or_kv_put_key(k + i * stride, head_dim, slot, page + or_kv_keys(shape, head));
        memcpy(page + or_kv_values(shape, head) + slot * head_dim, v + i * stride, head_dim * sizeof *v);
    }
}

/* A thread takes whole heads of a span: no slot is written by two. */
void or_kv_put(const or_attention_shape *shape, const or_span *spans, size_t n_spans, const float *k,
               const float *v, const or_kv_layer *kv)
{
    const size_t head_dim = (size_t)shape->head_dim, heads = (size_t)shape->n_kv_heads;
    if (!kv) return;
    const bool much = n_spans * or_span_most_rows(spans, n_spans) * heads * head_dim > OR_SHARED;
#pragma omp parallel for collapse(2) schedule(static) num_threads(or_threads()) if (much)
    for (size_t s = 0; s < n_spans; s++) {
        for (size_t head = 0; head < heads; head++) {
            const size_t at = ((size_t)spans[s].first * heads + head) * head_dim;
            if (spans[s].pages && !spans[s].reads_only) put_head(shape, &spans[s], head, k + at, v + at, kv);
        }
    }
}
