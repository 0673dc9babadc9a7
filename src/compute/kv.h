/* kv.h - where a layer's keys and values are within a page, and how they get there.
 *
 *   page   keys   [n_kv_heads, head_dim, OR_PAGE]     a position is a column of each head
 *          values [n_kv_heads, OR_PAGE, head_dim]     a position is a row of each head
 *
 * Local. A slot that no position was put into may hold anything, also NaN.
 */
#ifndef OFFRAMP_COMPUTE_KV_H
#define OFFRAMP_COMPUTE_KV_H

#include "compute.h"

/* Floats of a page: keys and values. */
size_t or_kv_page_floats(const or_attention_shape *shape);

/* Puts the rows of every span that keeps them in pages there, each at its position. k (rotated), v:
 * [rows, n_kv_heads * head_dim]. No two spans may have a slot in common. kv may be NULL when no span has
 * pages. */
void or_kv_put(const or_attention_shape *shape, const or_span *spans, size_t n_spans, const float *k,
               const float *v, const or_kv_layer *kv);

/* Pages that hold positions 0 .. positions - 1. */
static inline size_t or_kv_pages(size_t positions)
{
    return (positions + OR_PAGE - 1) / OR_PAGE;
}

/* Floats from a page's beginning to the keys and to the values of a head. */
static inline size_t or_kv_keys(const or_attention_shape *shape, size_t kv_head)
{
    return kv_head * (size_t)shape->head_dim * OR_PAGE;
}

static inline size_t or_kv_values(const or_attention_shape *shape, size_t kv_head)
{
    return or_kv_keys(shape, (size_t)shape->n_kv_heads + kv_head);
}

/* Column `slot` of keys [head_dim, OR_PAGE] = key [head_dim]. */
static inline void or_kv_put_key(const float *key, size_t head_dim, size_t slot, float *keys)
{
    for (size_t i = 0; i < head_dim; i++) keys[i * OR_PAGE + slot] = key[i];
}

#endif
