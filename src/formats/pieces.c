/* pieces.c - the bytes of a tensor in pieces, so that a large one is shared by all threads. */
#include "checkpoint_internal.h"

#include "threads.h"

#include <stdio.h>

or_status or_each_piece(size_t bytes, or_status (*act)(void *context, size_t from, size_t size),
                        void *context)
{
    const size_t n_pieces = (bytes + OR_PIECE - 1) / OR_PIECE;
    char message[512] = "";
    or_status status = OR_OK;
#pragma omp parallel for schedule(dynamic) num_threads(or_threads()) if (n_pieces > 1)
    for (size_t p = 0; p < n_pieces; p++) {
        const size_t from = p * OR_PIECE, left = bytes - from;
        const or_status own = act(context, from, left < OR_PIECE ? left : OR_PIECE);
        if (own == OR_OK) continue;
#pragma omp critical
        if (status == OR_OK) {
            status = own;
            snprintf(message, sizeof message, "%s", or_status_message());
        }
    }
    if (status != OR_OK) or_status_set_message(message);
    return status;
}
