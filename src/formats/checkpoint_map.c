/* checkpoint_map.c - the tensors that somebody asked for, in memory.
 *
 * Each is mapped by itself, so that nothing else of the file is: two tensors share a page at most.
 */
#include "checkpoint_internal.h"

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

typedef struct reading {
    or_map whole;
    const char *path;
} reading;

static or_status read_piece(void *context, size_t from, size_t size)
{
    const reading *r = context;
    const or_map piece = {r->whole.data + from, size};
    return or_map_read(&piece, r->path);
}

static or_status read_tensor(or_checkpoint *checkpoint, size_t i)
{
    reading r = {checkpoint->maps[i], checkpoint->files[checkpoint->tensors[i].file].path};
    const or_status status = or_each_piece(r.whole.size, read_piece, &r);
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
