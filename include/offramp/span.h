/* span.h - where a request's tokens are within a wave, and where their keys and values are kept.
 *
 *   sequence   positions 0 .. 31    32 .. 63    64 ..          of one request, prompt and continuation
 *   pages      pages[0]             pages[1]    pages[2]       numbers of pages, anywhere in the cache
 *   wave       rows [first, first + count) are the positions [position, position + count)
 */
#ifndef OFFRAMP_SPAN_H
#define OFFRAMP_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OR_PAGE = 32 }; /* positions in a page of the KV cache */

/* Rows [first, first + count), count >= 1, at positions `position` .. position + count - 1 of one request.
 * Keys and values of its own rows are kept in its pages, or live while a layer runs: those of a span that has
 * no pages, or that reads the pages of what comes before it only. */
typedef struct or_span {
    int32_t first, count;
    int32_t position; /* 0 without pages; whole pages where they are only read */
    const int32_t
        *pages; /* [ceil((position + count) / OR_PAGE)], read only [position / OR_PAGE]; or NULL. Not
                             owned */
    bool reads_only;
} or_span;

/* The pages of one layer: page p begins at data + p * stride (floats), with
 *   keys   [n_kv_heads, head_dim, OR_PAGE]   rotated; transposed, so that scores of neighbours are vectors
 *   values [n_kv_heads, OR_PAGE, head_dim]
 * Not owned. */
typedef struct or_kv_layer {
    float *data;
    size_t stride;
} or_kv_layer;

#endif
