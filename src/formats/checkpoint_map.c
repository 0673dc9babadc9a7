/* checkpoint_map.c - the tensors that somebody asked for, in memory.
 *
 * Each is mapped by itself, so that nothing else of the file is: two tensors share a page at most.
 */
#include "checkpoint_internal.h"

#include "threads.h"

#include <stdio.h>

/* The tensor is one of the checkpoint's own, so its place in the array is that of its map. A tensor without
 * bytes (a dimension is 0) cannot be mapped; its data are NULL. */
or_status or_checkpoint_map(or_checkpoint *checkpoint, const or_tensor *tensor, const void **data)
{
    if (checkpoint->format->map) return checkpoint->format->map(checkpoint, tensor, data);
    or_map *map = &checkpoint->maps[tensor - checkpoint->tensors];
    const char *path = checkpoint->files[tensor->file].path;
    if (!map->data && tensor->bytes > 0)
        OR_TRY(checkpoint->local ? or_local_map(checkpoint, tensor, map)
                                 : or_map_open(path, tensor->offset, tensor->bytes, map));
    *data = map->data;
    return OR_OK;
}

/* Reading in pieces, so that a large tensor is shared by all threads. */
enum { PIECE = 8 << 20 };

static or_status read_piece(const or_checkpoint *checkpoint, size_t i, size_t from)
{
    const or_map whole = checkpoint->maps[i];
    const or_map piece = {whole.data + from, whole.size - from < PIECE ? whole.size - from : PIECE};
    return or_map_read(&piece, checkpoint->files[checkpoint->tensors[i].file].path);
}

/* The first error is told; its message is this thread's then. */
static or_status read_tensor(or_checkpoint *checkpoint, size_t i)
{
    const size_t pieces = (checkpoint->maps[i].size + PIECE - 1) / PIECE;
    char message[512] = "";
    or_status status = OR_OK;
#pragma omp parallel for schedule(dynamic) num_threads(or_threads()) if (pieces > 1)
    for (size_t p = 0; p < pieces; p++) {
        or_status own = read_piece(checkpoint, i, p * PIECE);
        if (own == OR_OK) continue;
#pragma omp critical
        if (status == OR_OK) {
            status = own;
            snprintf(message, sizeof message, "%s", or_status_message());
        }
    }
    if (status != OR_OK) or_status_set_message(message);
    checkpoint->is_read[i] = status == OR_OK;
    return status;
}

or_status or_checkpoint_read(or_checkpoint *checkpoint, uint64_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        if (!checkpoint->maps[i].data || checkpoint->is_read[i]) continue;
        OR_TRY(read_tensor(checkpoint, i));
        *bytes += checkpoint->maps[i].size;
    }
    return OR_OK;
}

or_status or_checkpoint_fetch(or_checkpoint *checkpoint, const or_tensor *tensor, const void **data)
{
    const size_t i = (size_t)(tensor - checkpoint->tensors);
    OR_TRY(or_checkpoint_map(checkpoint, tensor, data));
    return checkpoint->maps[i].data && !checkpoint->is_read[i] ? read_tensor(checkpoint, i) : OR_OK;
}

/* No two tensors begin at one address, but for those that share their weights and so one map. */
void or_checkpoint_release(or_checkpoint *checkpoint, const void *data)
{
    for (size_t i = 0; data && i < checkpoint->n_tensors; i++) {
        if (checkpoint->maps[i].data != data) continue;
        or_map_close(&checkpoint->maps[i]);
        checkpoint->is_read[i] = false;
    }
}
