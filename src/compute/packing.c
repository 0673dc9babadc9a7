/* packing.c - packed matrices, by the packings of the set in use. */
#include "packing.h"

#include <string.h>

static const or_packing *packing_of(const or_matrix *w)
{
    const or_kernels *run = or_kernels_get();
    return run->packing ? run->packing(w->dtype) : NULL;
}

size_t or_matrix_packed_bytes(const or_matrix *w)
{
    const or_packing *packing = packing_of(w);
    return packing ? packing->bytes(w->rows, w->columns) : 0;
}

void or_matrix_pack(or_matrix *w, void *packed)
{
    packing_of(w)->pack(w, packed);
    *w = (or_matrix){.packed = packed, .dtype = w->dtype, .rows = w->rows, .columns = w->columns};
}

void or_matrix_expand(const or_matrix *w, int output, size_t from, size_t count, float *out)
{
    const size_t stored = (size_t)or_matrix_row(w, output);
    if (w->packed)
        packing_of(w)->expand(w, output, from, count, out);
    else
        or_expand(w->data, w->dtype, stored * (size_t)w->columns + from, count, out);
}

void or_matrix_round(const or_matrix *w, const float *x, size_t count, float *out)
{
    if (w->packed)
        packing_of(w)->round(x, count, out);
    else
        memcpy(out, x, count * sizeof *out);
}
