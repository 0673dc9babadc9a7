/* gguf_write.c - writes a GGUF file, version 3: header, then data, each tensor's padded to the alignment. */
#include "gguf_internal.h"

#include "file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct or_gguf_writer {
    char *path, *temporary;
    FILE *file;
    or_buffer keys, tensors; /* as they will stand in the file */
    uint64_t n_keys;
    uint64_t *sizes; /* bytes of each tensor, [n_tensors] */
    size_t n_tensors, sizes_capacity;
    uint64_t data_size; /* of the tensors announced, padded */
    size_t current;     /* the tensor that data come for */
    uint64_t written;   /* bytes of it */
    bool begun;         /* the header is in the file */
};

/* The temporary file is opened now, and not when the data come, so that a path that cannot be written to is
 * told before any work is done. */
/* What stands at `path` is replaced at the end. That may be an older GGUF file or an empty one: renaming
 * over a device would remove it, and over some other file of a model would break that. */
static or_status check_place(const char *path)
{
    uint64_t size = 0;
    if (!or_path_exists(path)) return OR_OK;
    if (!or_path_is_file(path))
        return or_fail(OR_ERR_INPUT, "file cannot be written", path,
                       "it is no regular file, expected a file name");
    OR_TRY(or_file_size(path, &size));
    if (size == 0 || or_gguf_probe(path)) return OR_OK;
    return or_fail(OR_ERR_INPUT, "file cannot be written", path,
                   "it is there and is no GGUF file, expected a new name or one that may be replaced");
}

or_status or_gguf_create(const char *path, or_gguf_writer **out)
{
    or_gguf_writer *w = NULL;
    *out = NULL;
    OR_TRY(check_place(path));
    OR_TRY(OR_NEW(w, 1));
    or_status status;
    OR_TRY_GOTO(close, or_strdup(path, &w->path));
    OR_TRY_GOTO(close, or_format(&w->temporary, "%s.tmp.%ld", path, (long)getpid()));
    w->file = fopen(w->temporary, "wbe");
    if (!w->file) {
        status = or_fail(OR_ERR_INPUT, "file cannot be written", path, "%s", strerror(errno));
        goto close;
    }
    *out = w;
    return OR_OK;

close:
    or_gguf_writer_close(w);
    return status;
}

/* `file` is NULL once or_gguf_finish() has given the file its name, or given it up. */
void or_gguf_writer_close(or_gguf_writer *w)
{
    if (!w) return;
    if (w->file) { /* not finished */
        fclose(w->file);
        unlink(w->temporary);
    }
    or_buffer_free(&w->keys);
    or_buffer_free(&w->tensors);
    free(w->sizes);
    free(w->temporary);
    free(w->path);
    free(w);
}

/* ---- header ----------------------------------------------------------------------------------------------- */

/* length u64 | bytes, no NUL */
static or_status put_text(or_buffer *out, const char *text, uint64_t size)
{
    OR_TRY(or_buffer_append(out, &size, sizeof size));
    return or_buffer_append(out, text, size);
}

/* Begins a key, name | type; its value is to follow at once. */
static or_status put_name(or_gguf_writer *w, const char *key, uint32_t type)
{
    w->n_keys++;
    OR_TRY(put_text(&w->keys, key, strlen(key)));
    return or_buffer_append(&w->keys, &type, sizeof type);
}

/* Begins a key that is an array, name | ARRAY | type of the elements | count; these are to follow. */
static or_status put_array(or_gguf_writer *w, const char *key, uint32_t type, uint64_t count)
{
    OR_TRY(put_name(w, key, OR_GGUF_ARRAY));
    OR_TRY(or_buffer_append(&w->keys, &type, sizeof type));
    return or_buffer_append(&w->keys, &count, sizeof count);
}

/* Values go into the file as they are in memory: little-endian, which gguf_parse.c makes sure of. */
or_status or_gguf_put_u32(or_gguf_writer *w, const char *key, uint32_t value)
{
    OR_TRY(put_name(w, key, OR_GGUF_U32));
    return or_buffer_append(&w->keys, &value, sizeof value);
}

or_status or_gguf_put_f32(or_gguf_writer *w, const char *key, float value)
{
    OR_TRY(put_name(w, key, OR_GGUF_F32));
    return or_buffer_append(&w->keys, &value, sizeof value);
}

or_status or_gguf_put_bool(or_gguf_writer *w, const char *key, bool value)
{
    const uint8_t byte = value;
    OR_TRY(put_name(w, key, OR_GGUF_BOOL));
    return or_buffer_append(&w->keys, &byte, sizeof byte);
}

or_status or_gguf_put_text(or_gguf_writer *w, const char *key, const char *value)
{
    OR_TRY(put_name(w, key, OR_GGUF_TEXT));
    return put_text(&w->keys, value, strlen(value));
}

or_status or_gguf_put_texts(or_gguf_writer *w, const char *key, const or_gguf_text *values, size_t count)
{
    OR_TRY(put_array(w, key, OR_GGUF_TEXT, count));
    for (size_t i = 0; i < count; i++) OR_TRY(put_text(&w->keys, values[i].data, values[i].size));
    return OR_OK;
}

or_status or_gguf_put_f32s(or_gguf_writer *w, const char *key, const float *values, size_t count)
{
    OR_TRY(put_array(w, key, OR_GGUF_F32, count));
    return or_buffer_append(&w->keys, values, count * sizeof *values);
}

or_status or_gguf_put_i32s(or_gguf_writer *w, const char *key, const int32_t *values, size_t count)
{
    OR_TRY(put_array(w, key, OR_GGUF_I32, count));
    return or_buffer_append(&w->keys, values, count * sizeof *values);
}

/* Up to the next multiple of the alignment, which is the default: the files do not carry
 * "general.alignment". */
static uint64_t padded(uint64_t size)
{
    return (size + OR_GGUF_ALIGNMENT - 1) / OR_GGUF_ALIGNMENT * OR_GGUF_ALIGNMENT;
}

/* The type must be one that GGUF has a number for, as all weight types do. A tensor's offset is the sum of
 * the padded sizes of those before it, so it is known before any data are. */
or_status or_gguf_put_tensor(or_gguf_writer *w, const char *name, or_dtype dtype, int n_dims,
                             const int64_t *dims)
{
    const uint32_t n = (uint32_t)n_dims, type = or_gguf_type_of(dtype)->number;
    size_t elements = 1;
    OR_TRY(put_text(&w->tensors, name, strlen(name)));
    OR_TRY(or_buffer_append(&w->tensors, &n, sizeof n));
    for (int i = n_dims - 1; i >= 0; i--) {
        elements *= (size_t)dims[i];
        OR_TRY(or_buffer_append(&w->tensors, &dims[i], sizeof *dims));
    }
    OR_TRY(or_buffer_append(&w->tensors, &type, sizeof type));
    OR_TRY(or_buffer_append(&w->tensors, &w->data_size, sizeof w->data_size));
    OR_RESERVE(w->sizes, w->sizes_capacity, w->n_tensors + 1);
    w->sizes[w->n_tensors] = or_dtype_bytes(dtype, elements);
    w->data_size += padded(w->sizes[w->n_tensors++]);
    return OR_OK;
}

/* ---- data ------------------------------------------------------------------------------------------------- */

static or_status write_bytes(or_gguf_writer *w, const void *data, size_t size)
{
    if (size == 0 || fwrite(data, 1, size, w->file) == size) return OR_OK; /* no tensors: data is NULL */
    return or_fail(OR_ERR_FAILED, "file cannot be written", w->path, "%s", strerror(errno));
}

/* Zeros from a place `size` bytes behind a multiple of the alignment up to the next. */
static or_status pad(or_gguf_writer *w, uint64_t size)
{
    static const char zeros[OR_GGUF_ALIGNMENT];
    return write_bytes(w, zeros, (size_t)(padded(size) - size));
}

/* Writes the header, whose first words are the counts: that is why keys and tensors were kept in memory so
 * far. Behind it come zeros up to the place that offsets count from. */
static or_status begin_data(or_gguf_writer *w)
{
    const uint32_t version = 3;
    const uint64_t n_tensors = w->n_tensors;
    const uint64_t size = 4 + sizeof version + 2 * sizeof n_tensors + w->keys.size + w->tensors.size;
    OR_TRY(write_bytes(w, "GGUF", 4));
    OR_TRY(write_bytes(w, &version, sizeof version));
    OR_TRY(write_bytes(w, &n_tensors, sizeof n_tensors));
    OR_TRY(write_bytes(w, &w->n_keys, sizeof w->n_keys));
    OR_TRY(write_bytes(w, w->keys.data, w->keys.size));
    OR_TRY(write_bytes(w, w->tensors.data, w->tensors.size));
    w->begun = true;
    return pad(w, size);
}

/* A tensor may come in any number of pieces (its rows, say); its last byte brings the padding. Too many
 * data are a mistake of the caller and not of the input: OR_ERR_FAILED. */
or_status or_gguf_put_data(or_gguf_writer *w, const void *data, size_t size)
{
    if (!w->begun) OR_TRY(begin_data(w));
    if (w->current == w->n_tensors || size > w->sizes[w->current] - w->written)
        return or_fail(OR_ERR_FAILED, "file cannot be written", w->path,
                       "more data came than tensors were announced");
    OR_TRY(write_bytes(w, data, size));
    w->written += size;
    if (w->written < w->sizes[w->current]) return OR_OK;
    w->written = 0;
    return pad(w, w->sizes[w->current++]);
}

/* In this order: to the kernel, to the disk, to its name. fclose() may be the first to tell of a write that
 * failed; after it there is nothing left that or_gguf_writer_close() would have to remove. */
or_status or_gguf_finish(or_gguf_writer *w)
{
    if (!w->begun) OR_TRY(begin_data(w));
    if (w->current != w->n_tensors)
        return or_fail(OR_ERR_FAILED, "file cannot be written", w->path, "data came for %zu tensors of %zu",
                       w->current, w->n_tensors);
    int failure = 0; /* the first step's that fails: a full disk, as a rule */
    if (fflush(w->file) != 0 || fsync(fileno(w->file)) != 0) failure = errno;
    if (fclose(w->file) != 0 && failure == 0) failure = errno;
    w->file = NULL;
    if (failure == 0 && rename(w->temporary, w->path) != 0) failure = errno;
    if (failure == 0) return OR_OK;
    unlink(w->temporary);
    return or_fail(OR_ERR_FAILED, "file cannot be written", w->path, "%s", strerror(failure));
}
