/* head_blocks.h - the keys and values of one head as attention meets them: in blocks of OR_PAGE positions.
 *
 * With pages, a block is where the page is. Without, values are the rows of the wave, and the keys are
 * brought into blocks first, in the thread's scratch.
 */
#ifndef OFFRAMP_COMPUTE_HEAD_BLOCKS_H
#define OFFRAMP_COMPUTE_HEAD_BLOCKS_H

#include "kv.h"

/* Block b is number pages[b], or b itself where pages is NULL, of those that begin at keys and values and are
 * key_step and value_step floats apart. */
typedef struct or_head_blocks {
    const int32_t *pages;
    const float *keys;   /* [head_dim, OR_PAGE]: so that sums over head_dim go side by side in vectors */
    const float *values; /* [OR_PAGE, head_dim], rows value_stride apart */
    size_t key_step, value_step, value_stride;
} or_head_blocks;

static inline const float *or_block_keys(const or_head_blocks *head, size_t block)
{
    return head->keys + (head->pages ? (size_t)head->pages[block] : block) * head->key_step;
}

static inline const float *or_block_values(const or_head_blocks *head, size_t block)
{
    return head->values + (head->pages ? (size_t)head->pages[block] : block) * head->value_step;
}

static inline or_head_blocks or_blocks_in_pages(const or_attention_shape *shape, const or_span *span,
                                                const or_kv_layer *kv, size_t kv_head)
{
    return (or_head_blocks){
        .pages = span->pages,
        .keys = kv->data + or_kv_keys(shape, kv_head),
        .values = kv->data + or_kv_values(shape, kv_head),
        .key_step = kv->stride,
        .value_step = kv->stride,
        .value_stride = (size_t)shape->head_dim,
    };
}

/* Positions [0, n) of a whole prompt: k, v [rows, n_kv_heads * head_dim] of the wave. The keys go to `room`.
 * The last block's slots behind them keep what was in the room, and nothing uses their scores. */
static inline or_head_blocks or_blocks_of_rows(const or_attention_shape *shape, const or_span *span, size_t n,
                                               const float *k, const float *v, size_t kv_head, float *room)
{
    const size_t head_dim = (size_t)shape->head_dim, row = (size_t)shape->n_kv_heads * head_dim;
    const size_t at = (size_t)span->first * row + kv_head * head_dim;
    for (size_t j = 0; j < n; j++)
        or_kv_put_key(k + at + j * row, head_dim, j % OR_PAGE, room + j / OR_PAGE * (head_dim * OR_PAGE));
    return (or_head_blocks){
        .keys = room,
        .values = v + at,
        .key_step = head_dim * OR_PAGE,
        .value_step = row * OR_PAGE,
        .value_stride = row,
    };
}

/* Attention's scratch of one thread, in floats: the keys of one head in blocks, OR_ATTENTION_ROWS rows of
 * scores and as many of a head's queries or sums. A multiple of OR_LANES; a set uses what it needs. */
enum { OR_ATTENTION_ROWS = 12 };
size_t or_attention_scratch_of_thread(const or_attention_shape *shape, size_t longest);

#endif
