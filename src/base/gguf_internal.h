/* gguf_internal.h - a GGUF header in memory, filled by gguf_parse.c and asked through gguf.c. */
#ifndef OFFRAMP_BASE_GGUF_INTERNAL_H
#define OFFRAMP_BASE_GGUF_INTERNAL_H

#include "gguf.h"

/* Types of values, by the numbers of the file. */
enum {
    OR_GGUF_U8,
    OR_GGUF_I8,
    OR_GGUF_U16,
    OR_GGUF_I16,
    OR_GGUF_U32,
    OR_GGUF_I32,
    OR_GGUF_F32,
    OR_GGUF_BOOL,
    OR_GGUF_TEXT,
    OR_GGUF_ARRAY,
    OR_GGUF_U64,
    OR_GGUF_I64,
    OR_GGUF_F64,
    OR_GGUF_TYPES
};

enum { OR_GGUF_ALIGNMENT = 32 }; /* where the file does not say */

/* A name and its value. For an array `type` is that of its elements. */
typedef struct or_gguf_key {
    size_t name_at, name_size; /* places in the header */
    size_t value_at;
    uint32_t type;
    bool array;
    uint64_t count; /* 1 unless it is an array */
} or_gguf_key;

struct or_gguf {
    char *path;
    or_buffer header;
    or_gguf_key *keys; /* by name: first by length, then by bytes */
    size_t n_keys, keys_capacity;
    or_gguf_tensor *tensors; /* in the file's order; names malloc'ed */
    size_t n_tensors, tensors_capacity;
};

/* Bytes of a value of this type in the file; 0 for texts, arrays and unknown types. */
size_t or_gguf_value_size(uint32_t type);

/* The value at `at` as a number; the type is no text. */
double or_gguf_number_at(const unsigned char *at, uint32_t type);

/* Name, ours if it is one of ours, and number in the file of the tensor types. */
typedef struct or_gguf_tensor_type {
    uint32_t number;
    const char *name;
    or_dtype dtype;
} or_gguf_tensor_type;

/* NULL when no type has that number / when the file format has no number for that type. */
const or_gguf_tensor_type *or_gguf_type_numbered(uint32_t number);
const or_gguf_tensor_type *or_gguf_type_of(or_dtype dtype);

/* Reads and checks the whole header of gguf->path (gguf_parse.c). */
or_status or_gguf_parse(or_gguf *gguf);

/* The key of that name, NULL if there is none. */
const or_gguf_key *or_gguf_key_find(const or_gguf *gguf, const char *name, size_t size);

#endif
