/* head_blocks.h - the keys and values of one head as attention meets them: in blocks of OR_PAGE positions.
 *
 *   positions   0 .. 31   32 .. 63 | 64 ..
 *   blocks      in pages           | of rows: those of the wave, where a span does not keep its own in pages
 *
 * A block in pages is where the page is. Of rows, values are where they are in the wave, and the keys are
 * brought into blocks first, in the thread's scratch. Either way a position has the same slot of the same
 * block, so the sums over them are the same.
 */
#ifndef OFFRAMP_COMPUTE_HEAD_BLOCKS_H
#define OFFRAMP_COMPUTE_HEAD_BLOCKS_H

#include "kv.h"

/* Where blocks of one kind are: number i begins at keys + i * key_step and values + i * value_step. */
typedef struct or_block_place {
    const float *keys;   /* [head_dim, OR_PAGE]: so that sums over head_dim go side by side in vectors */
    const float *values; /* [OR_PAGE, head_dim], rows value_stride apart */
    size_t key_step, value_step, value_stride;
} or_block_place;

/* Block b < n_pages is page pages[b], block n_pages + i is number i of rows. */
typedef struct or_head_blocks {
    const int32_t *pages;
    size_t n_pages;
    or_block_place in_pages, of_rows;
} or_head_blocks;

static inline const float *or_block_keys(const or_head_blocks *head, size_t block)
{
    if (block < head->n_pages)
        return head->in_pages.keys + (size_t)head->pages[block] * head->in_pages.key_step;
    return head->of_rows.keys + (block - head->n_pages) * head->of_rows.key_step;
}

static inline const float *or_block_values(const or_head_blocks *head, size_t block, size_t *stride)
{
    *stride = (block < head->n_pages ? &head->in_pages : &head->of_rows)->value_stride;
    if (block < head->n_pages)
        return head->in_pages.values + (size_t)head->pages[block] * head->in_pages.value_step;
    return head->of_rows.values + (block - head->n_pages) * head->of_rows.value_step;
}

static inline or_block_place or_place_in_pages(const or_attention_shape *shape, const or_kv_layer *kv,
                                               size_t kv_head)
{
    return (or_block_place){
        .keys = kv->data + or_kv_keys(shape, kv_head),
        .values = kv->data + or_kv_values(shape, kv_head),
        .key_step = kv->stride,
        .value_step = kv->stride,
        .value_stride = (size_t)shape->head_dim,
    };
}

/* The span's first n rows: k, v [rows, n_kv_heads * head_dim] of the wave. The keys go to `room`. The last
 * block's slots behind them keep what was in the room, and nothing uses their scores. */
static inline or_block_place or_place_of_rows(const or_attention_shape *shape, const or_span *span, size_t n,
                                              const float *k, const float *v, size_t kv_head, float *room)
{
    const size_t head_dim = (size_t)shape->head_dim, row = (size_t)shape->n_kv_heads * head_dim;
    const size_t at = (size_t)span->first * row + kv_head * head_dim;
    for (size_t j = 0; j < n; j++)
        or_kv_put_key(k + at + j * row, head_dim, j % OR_PAGE, room + j / OR_PAGE * (head_dim * OR_PAGE));
    return (or_block_place){
        .keys = room,
        .values = v + at,
        .key_step = head_dim * OR_PAGE,
        .value_step = row * OR_PAGE,
        .value_stride = row,
    };
}

/* All that the span's first n rows attend to. `room` is for the keys of these rows. */
static inline or_head_blocks or_head_blocks_of(const or_attention_shape *shape, const or_span *span, size_t n,
                                               const or_kv_layer *kv, const float *k, const float *v,
                                               size_t kv_head, float *room)
{
    or_head_blocks head = {.pages = span->pages};
    if (span->pages) {
        head.n_pages =
            span->reads_only ? (size_t)span->position / OR_PAGE : or_kv_pages((size_t)span->position + n);
        head.in_pages = or_place_in_pages(shape, kv, kv_head);
    }
    if (!span->pages || span->reads_only)
        head.of_rows = or_place_of_rows(shape, span, n, k, v, kv_head, room);
    return head;
}

/* Attention's scratch of one thread, in floats: the keys of one head in blocks, OR_ATTENTION_ROWS rows of
 * scores and as many of a head's queries or sums. A multiple of OR_LANES; a set uses what it needs. */
enum { OR_ATTENTION_ROWS = 12 };
size_t or_attention_scratch_of_thread(const or_attention_shape *shape, size_t longest);

#endif
