/* kv_cache.h - a stage's cache of keys and values, in pages, and how far each layer has come with each
 * continuation.
 *
 *   page     layer first | layer first+1 | ... | layer last-1 | hidden states [OR_PAGE, d_model]
 *
 * A page holds OR_PAGE positions of one continuation (or of the prompt that several share). Which pages are
 * whose is rank 0's business; riders bring the numbers.
 *
 * `done[l]` counts the positions of a continuation whose keys and values the stage's layer l has, from
 * position 0 on; done[n_layers], those that were handed on to the next stage. A token that exits leaves the
 * later ones behind: never done[l] < done[l + 1]. Between done[l + 1] and done[l] are the positions whose
 * hidden states wait before layer l + 1, in their pages. Pure bookkeeping over memory: local, no MPI.
 */
#ifndef OFFRAMP_PIPELINE_KV_CACHE_H
#define OFFRAMP_PIPELINE_KV_CACHE_H

#include <offramp/model.h>

#include <stdbool.h>

typedef struct or_kv {
    int n_layers; /* of the stage */
    size_t width; /* d_model */
    size_t n_pages, n_slots;
    size_t layer_floats, page_floats;
    float *data;         /* [n_pages, page_floats]; pages that were never written take no memory */
    size_t bytes;        /* of data */
    uint64_t *sequences; /* [n_slots] the continuation in each slot, 0: none yet */
    int32_t *done;       /* [n_slots, n_layers + 1] */
} or_kv;

/* Bytes of a page of a stage with `layers` layers. */
size_t or_kv_page_bytes(const or_hparams *hparams, int layers);

/* For a stage with `layers` layers. OR_ERR_FAILED when the memory cannot be had. or_kv_close() of {0} is
 * fine. */
or_status or_kv_open(or_kv *kv, const or_hparams *hparams, int layers, size_t n_pages, size_t n_slots);
void or_kv_close(or_kv *kv);

/* The pages of the stage's layer `layer` (0 .. n_layers-1), for or_model_layer(). */
or_kv_layer or_kv_layer_pages(const or_kv *kv, int layer);

/* done [n_layers + 1] of the slot. */
int32_t *or_kv_done(const or_kv *kv, int slot);

/* Rows of `sequence` arrive that begin at `position`: what layers had from there on does not count any more
 * (dropped drafts). For a sequence that is new in the slot, all before `position` is there already (a
 * shared prefix). */
void or_kv_arrive(or_kv *kv, int slot, uint64_t sequence, int32_t position);

/* The hidden states of the positions [position, position + count) of a sequence with these pages: to them,
 * and back from them. rows [count, d_model] */
void or_kv_set_aside(or_kv *kv, const int32_t *pages, int32_t position, int32_t count, const float *rows);
void or_kv_take_back(const or_kv *kv, const int32_t *pages, int32_t position, int32_t count, float *rows);

#endif
