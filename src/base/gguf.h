/* gguf.h - the GGUF container (versions 2 and 3): keys with values, and where tensors lie. What they mean is the
 * affair of those who ask: the checkpoint, the tokenizer.
 *
 *   "GGUF" | version u32 | n_tensors u64 | n_keys u64
 *          | n_keys    x { name, type u32, value }          text: length u64, bytes; array: type u32, count u64, ...
 *          | n_tensors x { name, n_dims u32, dims u64[], type u32, offset u64 }
 *          | padding to `alignment` | data, offsets count from here
 *
 * All little-endian. Reading a file reads its header and nothing of the data. Everything is distrusted: lengths,
 * counts, types, sizes that overflow, keys and names given twice, tensors that are empty, out of line or past the
 * end are refused with OR_ERR_INPUT naming the file, the key or tensor, what was found and what was expected.
 */
#ifndef OFFRAMP_BASE_GGUF_H
#define OFFRAMP_BASE_GGUF_H

#include "memory.h"

#include <offramp/dtype.h>

#include <stdbool.h>
#include <stdint.h>

typedef struct or_gguf or_gguf;

/* Reads and checks the header. The caller closes. */
or_status or_gguf_open(const char *path, or_gguf **gguf);
void or_gguf_close(or_gguf *gguf); /* NULL is fine */

/* True when the file begins with GGUF's four bytes. */
bool or_gguf_probe(const char *path);

const char *or_gguf_path(const or_gguf *gguf);

/* ---- keys ------------------------------------------------------------------------------------------------- */

/* Text of the file: UTF-8 was not checked, NUL may be in it, no NUL follows. Valid until the file is
 * closed. */
typedef struct or_gguf_text {
    const char *data;
    size_t size;
} or_gguf_text;

bool or_gguf_has(const or_gguf *gguf, const char *key);

/* The value of a key, which must be there / may be absent, when *value stays as it is. Integers of any
 * width are integers; numbers are integers and floats, and finite. */
or_status or_gguf_int(const or_gguf *gguf, const char *key, int64_t low, int64_t high, int64_t *value);
or_status or_gguf_opt_int(const or_gguf *gguf, const char *key, int64_t low, int64_t high, int64_t *value);
or_status or_gguf_opt_number(const or_gguf *gguf, const char *key, double low, double high, double *value);
or_status or_gguf_opt_bool(const or_gguf *gguf, const char *key, bool *value);
or_status or_gguf_text_of(const or_gguf *gguf, const char *key, or_gguf_text *value);
or_status or_gguf_opt_text(const or_gguf *gguf, const char *key, or_gguf_text *value);

/* True when the text is `expected`. */
bool or_gguf_text_is(or_gguf_text text, const char *expected);

/* Walks over the elements of an array. `left` counts those to come. */
typedef struct or_gguf_items {
    const unsigned char *at;
    uint64_t left;
    uint32_t type;
} or_gguf_items;

/* The array of a key, which must be there and hold texts / numbers (integers, floats or booleans). */
or_status or_gguf_texts(const or_gguf *gguf, const char *key, or_gguf_items *items);
or_status or_gguf_numbers(const or_gguf *gguf, const char *key, or_gguf_items *items);

/* The next element; only while left > 0. */
or_gguf_text or_gguf_next_text(or_gguf_items *items);
double or_gguf_next_number(or_gguf_items *items);

/* ---- tensors ---------------------------------------------------------------------------------------------- */

typedef struct or_gguf_tensor {
    const char *name;   /* UTF-8; owned by the or_gguf */
    const char *stored; /* the type's name, "Q4_K" */
    or_dtype dtype;     /* OR_DTYPE_OTHER when it is not a weight type of ours */
    int n_dims;         /* 1..4 */
    int64_t dims[4]; /* row-major: dims[n_dims - 1] runs fastest, is a row (the file has them in reverse) */
    uint64_t offset; /* from the beginning of the file */
    uint64_t bytes;  /* 0 for OR_DTYPE_OTHER */
} or_gguf_tensor;

size_t or_gguf_tensors(const or_gguf *gguf);
const or_gguf_tensor *or_gguf_tensor_at(const or_gguf *gguf, size_t i); /* in the file's order */

/* ---- writing ---------------------------------------------------------------------------------------------- */

typedef struct or_gguf_writer or_gguf_writer;

/* Begins a version 3 file under a temporary name beside `path`. Keys first, then all tensors, then their
 * data in the same order; finish() makes the file appear under its name, complete and on disk. Whatever is
 * not finished is removed by close(). */
or_status or_gguf_create(const char *path, or_gguf_writer **writer);
void or_gguf_writer_close(or_gguf_writer *writer); /* NULL is fine */

or_status or_gguf_put_u32(or_gguf_writer *writer, const char *key, uint32_t value);
or_status or_gguf_put_f32(or_gguf_writer *writer, const char *key, float value);
or_status or_gguf_put_bool(or_gguf_writer *writer, const char *key, bool value);
or_status or_gguf_put_text(or_gguf_writer *writer, const char *key, const char *value);
or_status or_gguf_put_texts(or_gguf_writer *writer, const char *key, const or_gguf_text *values,
                            size_t count);
or_status or_gguf_put_f32s(or_gguf_writer *writer, const char *key, const float *values, size_t count);
or_status or_gguf_put_i32s(or_gguf_writer *writer, const char *key, const int32_t *values, size_t count);

/* Announces a tensor; dims as in or_gguf_tensor. */
or_status or_gguf_put_tensor(or_gguf_writer *writer, const char *name, or_dtype dtype, int n_dims,
                             const int64_t *dims);

/* Appends data of the tensors, one after the other; a piece belongs to one tensor. */
or_status or_gguf_put_data(or_gguf_writer *writer, const void *data, size_t size);

or_status or_gguf_finish(or_gguf_writer *writer);

#endif
