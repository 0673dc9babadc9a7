/* packing.h - weights of one type, laid out anew in the order in which a kernel set reads them.
 *
 * A packing keeps the outputs of a matrix in panels of OR_PANEL neighbours (half as many in
 * packing_blocks.h), the last one filled up with zeros:
 *
 *   outputs  0 .. 63 | 64 .. 127 | ...        a panel is one stream of bytes, from the first column to the last
 *
 * so that a vector holds one column (or a few) of several outputs, and an output's sum stays in its lane from
 * the first column to the last. A few rows meet the panels as fast as memory gives them, many rows meet a part
 * of a panel while it is in a cache; either way an element is the same sum in the same order.
 *
 * A new packing is a file that fills an or_packing, and a line in the set that uses it.
 */
#ifndef OFFRAMP_COMPUTE_PACKING_H
#define OFFRAMP_COMPUTE_PACKING_H

#include "compute.h"

enum { OR_PANEL = 64 };

typedef struct or_packing {
    or_dtype dtype; /* as stored */

    /* Bytes of all panels of a matrix [rows, columns]. */
    size_t (*bytes)(int rows, int columns);

    /* Lays out w->data in `packed` (64-byte aligned), in the order of the outputs (or_matrix_row()). Threads
     * share the panels as matmul() does, so each page is first touched by the thread that will read it. */
    void (*pack)(const or_matrix *w, void *packed);

    /* Columns [from, from + count) of an output of w->packed, widened: the values that or_expand() gives.
     * from and count are whole blocks of the type. */
    void (*expand)(const or_matrix *w, int output, size_t from, size_t count, float *out);

    /* out[count] = x as the product takes it: count columns of a row from a block's beginning on. */
    void (*round)(const float *x, size_t count, float *out);

    /* As or_kernels.matmul, of w->packed. */
    void (*matmul)(const or_matrix *w, const float *x, size_t n, float *y);
} or_packing;

static inline size_t or_panels(int rows)
{
    return ((size_t)rows + OR_PANEL - 1) / OR_PANEL;
}

extern const or_packing or_packing_bf16, or_packing_q8_0, or_packing_q4_0, or_packing_q4_k, or_packing_q6_k;

#endif
