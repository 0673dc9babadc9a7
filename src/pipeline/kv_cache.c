/* kv_cache.c - the cache's memory, its counts, and the hidden states that wait in it. */
#include "kv_cache.h"

#include "memory.h"

#include <string.h>
#include <sys/mman.h>

static size_t page_floats(const or_hparams *h, int layers)
{
    return (size_t)layers * or_hparams_page_floats(h) + (size_t)OR_PAGE * (size_t)h->d_model;
}

size_t or_kv_page_bytes(const or_hparams *h, int layers)
{
    return page_floats(h, layers) * sizeof(float);
}

/* Mapped, not allocated: the system gives memory to pages when they are first written, so a cache that a
 * job does not fill costs nothing. */
static or_status map_pages(or_kv *kv)
{
    void *data =
        mmap(NULL, kv->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) return or_fail_memory(kv->bytes);
    kv->data = data;
    return OR_OK;
}

or_status or_kv_open(or_kv *kv, const or_hparams *h, int layers, size_t n_pages, size_t n_slots)
{
    *kv = (or_kv){
        .n_layers = layers,
        .width = (size_t)h->d_model,
        .n_pages = n_pages,
        .n_slots = n_slots,
        .layer_floats = or_hparams_page_floats(h),
        .page_floats = page_floats(h, layers),
    };
    if (__builtin_mul_overflow(n_pages, or_kv_page_bytes(h, layers), &kv->bytes))
        return or_fail_memory(SIZE_MAX);
    OR_TRY(OR_NEW(kv->sequences, n_slots));
    OR_TRY(OR_NEW(kv->done, n_slots * ((size_t)layers + 1)));
    return map_pages(kv);
}

void or_kv_close(or_kv *kv)
{
    if (kv->data) munmap(kv->data, kv->bytes);
    free(kv->sequences);
    free(kv->done);
    *kv = (or_kv){0};
}

or_kv_layer or_kv_layer_pages(const or_kv *kv, int layer)
{
    return (or_kv_layer){kv->data + (size_t)layer * kv->layer_floats, kv->page_floats};
}

int32_t *or_kv_done(const or_kv *kv, int slot)
{
    return kv->done + (size_t)slot * ((size_t)kv->n_layers + 1);
}

void or_kv_arrive(or_kv *kv, int slot, uint64_t sequence, int32_t position)
{
    int32_t *done = or_kv_done(kv, slot);
    const bool begins = kv->sequences[slot] != sequence;
    for (int layer = 0; layer <= kv->n_layers; layer++)
        if (begins || done[layer] > position) done[layer] = position;
    kv->sequences[slot] = sequence;
}

/* Behind the layers of its page. */
static float *waiting_row(const or_kv *kv, const int32_t *pages, int32_t position)
{
    return kv->data + (size_t)pages[position / OR_PAGE] * kv->page_floats +
           (size_t)kv->n_layers * kv->layer_floats + (size_t)(position % OR_PAGE) * kv->width;
}

void or_kv_set_aside(or_kv *kv, const int32_t *pages, int32_t position, int32_t count, const float *rows)
{
    for (int32_t i = 0; i < count; i++)
        memcpy(waiting_row(kv, pages, position + i), rows + (size_t)i * kv->width, kv->width * sizeof(float));
}

void or_kv_take_back(const or_kv *kv, const int32_t *pages, int32_t position, int32_t count, float *rows)
{
    for (int32_t i = 0; i < count; i++)
        memcpy(rows + (size_t)i * kv->width, waiting_row(kv, pages, position + i), kv->width * sizeof(float));
}
