/* file.h - whole files: mapped, read, written so that they appear at once; and paths. */
#ifndef OFFRAMP_BASE_FILE_H
#define OFFRAMP_BASE_FILE_H

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes of a file mapped read-only. Pages are read when touched, so mapping much costs nothing. */
typedef struct or_map {
    const unsigned char *data;
    size_t size;
} or_map;

/* Maps `size` > 0 bytes from `offset` on. OR_ERR_INPUT when the file cannot be opened or ends before. */
or_status or_map_open(const char *path, uint64_t offset, size_t size, or_map *map);
void or_map_close(or_map *map);

/* The same of no file: `size` > 0 zeroed bytes, which take memory when they are written to, at *data.
 * OR_ERR_FAILED when there is none. */
or_status or_map_memory(size_t size, or_map *map, unsigned char **data);

/* Reads the mapped pages in now, so that touching them later does not wait for the disk. OR_ERR_INPUT when
 * they cannot be read (where touching them would end the process). */
or_status or_map_read(const or_map *map, const char *path);

/* Size of a regular file; OR_ERR_INPUT when it cannot be opened or is no regular file. */
or_status or_file_size(const char *path, uint64_t *size);

/* Appends `size` bytes from `offset` on; OR_ERR_INPUT when the file has fewer. */
or_status or_file_read_part(const char *path, uint64_t offset, size_t size, or_buffer *buffer);

/* The whole file, with a NUL behind it. `path` "-" is standard input. The caller frees buffer. */
or_status or_file_read(const char *path, or_buffer *buffer);

/* Writes the whole file under a temporary name in the same folder, syncs it and renames it, so that a reader
 * sees the old file or the new one and nothing in between. OR_ERR_INPUT when the folder cannot be written. */
or_status or_file_write(const char *path, const void *data, size_t size);

/* Whether or_file_write() could, by the folder and what is there now: OR_ERR_INPUT says why not. For what is
 * written at the end of long work. */
or_status or_file_may_write(const char *path);

/* Makes the folder and its parents; fine when it is there already. */
or_status or_folder_make(const char *path);

bool or_path_exists(const char *path);
bool or_path_is_folder(const char *path);
bool or_path_is_file(const char *path); /* a regular one */

/* Why the file or folder cannot be read ("Permission denied"); NULL when it can. */
const char *or_path_problem(const char *path);

/* True when both are there and are the same file, by whatever names. */
bool or_path_same(const char *a, const char *b);

/* "folder/name", or `name` itself when it is absolute or `folder` is empty. malloc'ed. */
or_status or_path_join(const char *folder, const char *name, char **path);

/* The folder part of `path`, "." when it has none. malloc'ed. */
or_status or_path_folder(const char *path, char **folder);

#endif
