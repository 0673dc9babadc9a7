/* gguf_parse.c - reads the header of a GGUF file from front to back, and checks every word of it.
 *
 * The header's length is known only at its end, so it is read a chunk at a time while the parser goes: what is
 * kept of it are places in the buffer, which may move. No count is believed before as many bytes were seen as it
 * needs at least, so that a wrong one costs neither memory nor time; and a length that would take weights for text
 * is stopped at HEADER_MAX.
 */
#include "gguf_internal.h"

#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char refused[] = "GGUF file refused";

enum {
    CHUNK = 1 << 18,
    HEADER_MAX = 1 << 27,                 /* the largest vocabularies make headers of some 20 MB */
    NAME_MAX_BYTES = 65535,               /* the format's own limit for keys */
    KEY_LEAST = 8 + 1 + 4 + 1,            /* bytes of the shortest key with its value */
    TENSOR_LEAST = 8 + 1 + 4 + 8 + 4 + 8, /* ... and of the shortest tensor */
    DIMS_MAX = 4,
    ALIGNMENT_MAX = 1 << 16
};

/* The header as far as it has been read, and the place of the next word in it. `at` is at most header.size,
 * file_size and HEADER_MAX, so that what is left of each is a difference that does not wrap. */
typedef struct parser {
    or_gguf *gguf;
    int fd;
    uint64_t file_size;
    size_t at;       /* in the header */
    char where[256]; /* path and key or tensor, for messages */
} parser;

/* ---- bytes ------------------------------------------------------------------------------------------------ */

/* Makes the next `size` bytes of the file available in the header. */
static or_status need(parser *p, uint64_t size)
{
    or_buffer *header = &p->gguf->header;
    if (size > p->file_size - p->at)
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "the file ends at byte %" PRIu64 ", %" PRIu64
                       " bytes were to follow byte %zu; expected a complete file (cut off?)",
                       p->file_size, size, p->at);
    if (size > HEADER_MAX - p->at)
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "%" PRIu64 " bytes were to follow byte %zu, expected a header of at most %d bytes",
                       size, p->at, HEADER_MAX);
    /* Chunks may reach into the data behind the header: few large reads are better than many small ones. */
    while (header->size < p->at + size) {
        OR_RESERVE(header->data, header->capacity, header->size + CHUNK);
        const ssize_t got = pread(p->fd, header->data + header->size, CHUNK, (off_t)header->size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0)
            return or_fail(OR_ERR_INPUT, refused, p->where, "it cannot be read at byte %zu: %s", header->size,
                           got < 0 ? strerror(errno) : "it became shorter");
        header->size += (size_t)got;
    }
    return OR_OK;
}

/* Little-endian, like every machine that we run on (checked by the build). */
static or_status take(parser *p, void *value, size_t size)
{
    OR_TRY(need(p, size));
    memcpy(value, p->gguf->header.data + p->at, size);
    p->at += size;
    return OR_OK;
}

/* *at and *size become the place of the bytes behind the length (u64); nothing is said of what they are. */
static or_status take_text(parser *p, size_t *at, size_t *size)
{
    uint64_t length = 0;
    OR_TRY(take(p, &length, sizeof length));
    OR_TRY(need(p, length));
    *at = p->at;
    *size = (size_t)length;
    p->at += *size;
    return OR_OK;
}

/* A name: text that people can read. `what` is "key" or "tensor"; p->where names it from then on. */
static or_status take_name(parser *p, const char *what, size_t *at, size_t *size)
{
    OR_TRY(take_text(p, at, size));
    const char *name = p->gguf->header.data + *at;
    if (*size == 0 || *size > NAME_MAX_BYTES || memchr(name, '\0', *size) ||
        !or_utf8_valid(name, *size, NULL))
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "the name of the next %s has %zu bytes and is no text, expected 1..%d bytes of UTF-8",
                       what, *size, NAME_MAX_BYTES);
    snprintf(p->where, sizeof p->where, "%s, %s \"%.*s\"", p->gguf->path, what,
             (int)(*size < 100 ? *size : 100), name);
    return OR_OK;
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

/* Passes over `count` values, and checks what is relied on when they are asked for later: that all are
 * there, and that booleans are 0 or 1. A count of texts that is too high stops at the end of the file; one
 * of numbers, whose product may overflow, stops in need(). */
static or_status skip_values(parser *p, uint32_t type, uint64_t count)
{
    if (type == OR_GGUF_TEXT) {
        for (uint64_t i = 0; i < count; i++) {
            size_t at, size;
            OR_TRY(take_text(p, &at, &size));
        }
        return OR_OK;
    }
    const uint64_t size = or_gguf_value_size(type);
    uint64_t bytes;
    if (__builtin_mul_overflow(size, count, &bytes)) bytes = UINT64_MAX;
    OR_TRY(need(p, bytes));
    for (uint64_t i = 0; type == OR_GGUF_BOOL && i < count; i++)
        if ((unsigned char)p->gguf->header.data[p->at + i] > 1)
            return or_fail(OR_ERR_INPUT, refused, p->where, "it is %d, expected 0 or 1 (a boolean)",
                           p->gguf->header.data[p->at + i]);
    p->at += (size_t)bytes;
    return OR_OK;
}

/* name | type u32 | value                                      one value
 * name | 9 u32    | type u32 | count u64 | count x value       an array
 *
 * An array in an array, which the specification allows, is refused: no key that is asked for is one. */
static or_status read_key(parser *p)
{
    or_gguf *g = p->gguf;
    or_gguf_key key = {.count = 1};
    OR_TRY(take_name(p, "key", &key.name_at, &key.name_size));
    OR_TRY(take(p, &key.type, sizeof key.type));
    if (key.type == OR_GGUF_ARRAY) {
        key.array = true;
        OR_TRY(take(p, &key.type, sizeof key.type));
        OR_TRY(take(p, &key.count, sizeof key.count));
    }
    if (key.type >= OR_GGUF_TYPES || key.type == OR_GGUF_ARRAY)
        return or_fail(OR_ERR_INPUT, refused, p->where, "its value is of type %u%s, expected 0..%d but %d",
                       key.type, key.array ? " in an array" : "", OR_GGUF_TYPES - 1, OR_GGUF_ARRAY);
    key.value_at = p->at;
    OR_TRY(skip_values(p, key.type, key.count));
    OR_RESERVE(g->keys, g->keys_capacity, g->n_keys + 1);
    g->keys[g->n_keys++] = key;
    return OR_OK;
}

/* `header` is the third argument of qsort_r(): keys are places in it, which is complete by now and stays. */
static int compare_keys(const void *a, const void *b, void *header)
{
    const or_gguf_key *x = a, *y = b;
    if (x->name_size != y->name_size) return x->name_size < y->name_size ? -1 : 1;
    return memcmp((char *)header + x->name_at, (char *)header + y->name_at, x->name_size);
}

/* Sorted, two of one name are neighbours. Which of them counts would be a matter of the reader: refused. */
static or_status sort_keys(or_gguf *g)
{
    if (g->n_keys > 0) qsort_r(g->keys, g->n_keys, sizeof *g->keys, compare_keys, g->header.data);
    for (size_t i = 1; i < g->n_keys; i++)
        if (compare_keys(&g->keys[i - 1], &g->keys[i], g->header.data) == 0)
            return or_fail(OR_ERR_INPUT, refused, g->path, "key \"%.*s\" is given twice, expected once",
                           (int)g->keys[i].name_size, g->header.data + g->keys[i].name_at);
    return OR_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------------------- */

/* The dimensions and their product. The file lists them from the fastest on: a matrix [rows, columns] has
 * its columns first. They are turned round here; messages number them as the file does. */
static or_status read_dims(parser *p, or_gguf_tensor *tensor, uint64_t *elements)
{
    uint32_t n_dims;
    OR_TRY(take(p, &n_dims, sizeof n_dims));
    if (n_dims < 1 || n_dims > DIMS_MAX)
        return or_fail(OR_ERR_INPUT, refused, p->where, "it has %u dimensions, expected 1..%d", n_dims,
                       DIMS_MAX);
    tensor->n_dims = (int)n_dims;
    *elements = 1;
    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        uint64_t dim;
        OR_TRY(take(p, &dim, sizeof dim));
        if (dim == 0 || dim > INT64_MAX || __builtin_mul_overflow(*elements, dim, elements) ||
            *elements > INT64_MAX)
            return or_fail(OR_ERR_INPUT, refused, p->where,
                           "dimension %d is %" PRIu64
                           ", expected dimensions from 1 on whose product is below 2^63",
                           tensor->n_dims - i, dim);
        tensor->dims[i] = (int64_t)dim;
    }
    return OR_OK;
}

/* The type, and with it the bytes that the elements take. Blocks never span two rows, so a row has whole
 * ones. `bytes` of a type that is not ours stays 0: who would need such a tensor refuses it by name. */
static or_status read_type(parser *p, or_gguf_tensor *tensor, uint64_t elements)
{
    uint32_t number;
    OR_TRY(take(p, &number, sizeof number));
    const or_gguf_tensor_type *type = or_gguf_type_numbered(number);
    if (!type)
        return or_fail(OR_ERR_INPUT, refused, p->where, "its type is number %u, expected one of ggml's types",
                       number);
    tensor->stored = type->name;
    tensor->dtype = type->dtype;
    if (tensor->dtype == OR_DTYPE_OTHER) return OR_OK;
    const uint64_t block = or_dtype_block(tensor->dtype), row = (uint64_t)tensor->dims[tensor->n_dims - 1];
    if (row % block != 0)
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "its rows have %" PRIu64 " numbers, expected a multiple of %" PRIu64 " (type %s)", row,
                       block, tensor->stored);
    if (__builtin_mul_overflow(elements / block, or_dtype_block_bytes(tensor->dtype), &tensor->bytes))
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "its %" PRIu64 " numbers are too many, expected a tensor that fits in a file",
                       elements);
    return OR_OK;
}

/* name | n_dims u32 | n_dims x u64 | type u32 | offset u64 (from the beginning of the data)
 *
 * The name is copied, since others want it as a C string and in the header no NUL is behind it. */
static or_status read_tensor(parser *p)
{
    or_gguf *g = p->gguf;
    or_gguf_tensor tensor = {0};
    size_t name_at, name_size;
    uint64_t elements = 0;
    OR_TRY(take_name(p, "tensor", &name_at, &name_size));
    OR_TRY(read_dims(p, &tensor, &elements));
    OR_TRY(read_type(p, &tensor, elements));
    OR_TRY(take(p, &tensor.offset, sizeof tensor.offset));
    OR_RESERVE(g->tensors, g->tensors_capacity, g->n_tensors + 1);
    tensor.name = strndup(g->header.data + name_at, name_size);
    if (!tensor.name) return or_fail_memory(name_size + 1);
    g->tensors[g->n_tensors++] = tensor;
    return OR_OK;
}

/* Makes offsets count from the beginning of the file; data begin at the next multiple of `alignment`. */
static or_status place_tensors(parser *p, uint64_t alignment)
{
    const uint64_t begin = (p->at + alignment - 1) / alignment * alignment;
    for (size_t i = 0; i < p->gguf->n_tensors; i++) {
        or_gguf_tensor *tensor = &p->gguf->tensors[i];
        snprintf(p->where, sizeof p->where, "%s, tensor \"%.100s\"", p->gguf->path, tensor->name);
        if (tensor->offset % alignment != 0)
            return or_fail(OR_ERR_INPUT, refused, p->where,
                           "its data begin at offset %" PRIu64 ", expected a multiple of %" PRIu64,
                           tensor->offset, alignment);
        /* Offset and size are the file's, so their sums may wrap. */
        uint64_t end;
        if (__builtin_add_overflow(tensor->offset, begin, &tensor->offset) ||
            __builtin_add_overflow(tensor->offset, tensor->bytes, &end) || end > p->file_size)
            return or_fail(OR_ERR_INPUT, refused, p->where,
                           "its %" PRIu64 " bytes at offset %" PRIu64 " end behind the file's %" PRIu64
                           ", expected a complete file (cut off?)",
                           tensor->bytes, tensor->offset - begin, p->file_size);
    }
    return OR_OK;
}

/* Names have no NUL in them (take_name()), so they are C strings. */
static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts pointers to the names: the tensors themselves stay in the file's order. */
static or_status check_tensor_names(const or_gguf *g)
{
    const char **names = NULL;
    or_status status = OR_NEW(names, g->n_tensors);
    for (size_t i = 0; status == OR_OK && i < g->n_tensors; i++) names[i] = g->tensors[i].name;
    if (status == OR_OK) qsort(names, g->n_tensors, sizeof *names, compare_names);
    for (size_t i = 1; status == OR_OK && i < g->n_tensors; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = or_fail(OR_ERR_INPUT, refused, g->path, "tensor \"%s\" is given twice, expected once",
                             names[i]);
    free(names);
    return status;
}

/* ---- the file --------------------------------------------------------------------------------------------- */

/* "GGUF" | version u32 | n_tensors u64 | n_keys u64
 *
 * Version 1 had lengths of 32 bits; version 3 is 2, but that a file may be of a big-endian machine, whose
 * numbers are upside down here (3 is 0x03000000). A count is compared with what the file has room for. */
static or_status read_counts(parser *p, uint64_t *n_tensors, uint64_t *n_keys)
{
    char magic[4];
    uint32_t version;
    OR_TRY(take(p, magic, sizeof magic));
    if (memcmp(magic, "GGUF", sizeof magic) != 0)
        return or_fail(OR_ERR_INPUT, refused, p->where, "it does not begin with GGUF, expected a GGUF file");
    OR_TRY(take(p, &version, sizeof version));
    /* The two differ in nothing that is read here. */
    if (version != 2 && version != 3)
        return or_fail(OR_ERR_INPUT, refused, p->where, "it is of version %u%s, expected 2 or 3", version,
                       (version & 0xffff) == 0 ? " (of a big-endian machine?)" : "");
    OR_TRY(take(p, n_tensors, sizeof *n_tensors));
    OR_TRY(take(p, n_keys, sizeof *n_keys));
    if (*n_tensors > p->file_size / TENSOR_LEAST || *n_keys > p->file_size / KEY_LEAST)
        return or_fail(OR_ERR_INPUT, refused, p->where,
                       "it announces %" PRIu64 " tensors and %" PRIu64 " keys in %" PRIu64
                       " bytes, expected a complete file",
                       *n_tensors, *n_keys, p->file_size);
    return OR_OK;
}

/* Tensors can be placed last only: where their data begin depends on the header's length and on one of its
 * keys. */
static or_status parse(parser *p)
{
    or_gguf *g = p->gguf;
    uint64_t n_tensors = 0, n_keys = 0;
    int64_t alignment = OR_GGUF_ALIGNMENT;
    OR_TRY(read_counts(p, &n_tensors, &n_keys));
    while (g->n_keys < n_keys) OR_TRY(read_key(p));
    while (g->n_tensors < n_tensors) OR_TRY(read_tensor(p));
    OR_TRY(sort_keys(g));
    OR_TRY(check_tensor_names(g));
    OR_TRY(or_gguf_opt_int(g, "general.alignment", 8, ALIGNMENT_MAX, &alignment));
    if ((alignment & (alignment - 1)) != 0)
        return or_fail(OR_ERR_INPUT, refused, g->path,
                       "\"general.alignment\" is %" PRId64 ", expected a power of 2", alignment);
    return place_tensors(p, (uint64_t)alignment);
}

/* The size is asked of the open file, not of the path, which another file may take meanwhile. */
or_status or_gguf_parse(or_gguf *gguf)
{
    _Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are little-endian, so must we be");
    parser p = {.gguf = gguf, .fd = open(gguf->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat info;
    if (p.fd < 0 || fstat(p.fd, &info) != 0) {
        or_status status = or_fail(OR_ERR_INPUT, "file cannot be opened", gguf->path, "%s", strerror(errno));
        if (p.fd >= 0) close(p.fd);
        return status;
    }
    p.file_size = (uint64_t)info.st_size;
    snprintf(p.where, sizeof p.where, "%s", gguf->path);
    or_status status = S_ISREG(info.st_mode) ? parse(&p)
                                             : or_fail(OR_ERR_INPUT, refused, gguf->path,
                                                       "it is no regular file, expected one");
    close(p.fd);
    return status;
}
