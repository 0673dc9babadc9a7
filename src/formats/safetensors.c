/* safetensors.c - one .safetensors file.
 *
 *   byte 0              8                  8 + n                                   end of file
 *        | n (u64, le)  | header, n bytes  | data ...  [begin_a, end_a) [begin_b, end_b) |
 *
 * The header is JSON, {"name": {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [begin, end]}, ...},
 * with an optional "__metadata__" of free text; offsets count from the end of the header. Data are row-major
 * and little-endian. Nothing promises that the header or a tensor is aligned.
 *
 * The format's own reader also refuses holes between tensors; they harm nobody here and are let pass.
 */
#include "checkpoint_internal.h"

#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { PREFIX = 8, HEADER_MAX = 100000000, DIMS_MAX = 8 };

/* JSON numbers arrive as doubles: from 2^53 on they no longer are the number that was written. */
static const int64_t WHOLE_END = INT64_C(1) << 53;

/* Element types whose size is known; tensors of any other are kept, but nobody can check or use them. */
static const struct {
    const char *name;
    size_t size; /* bytes */
    or_dtype dtype;
} types[] = {
    {"BF16", 2, OR_BF16},
    {"F16", 2, OR_F16},
    {"F32", 4, OR_F32},
    {"F64", 8, OR_DTYPE_OTHER},
    {"F8_E4M3", 1, OR_DTYPE_OTHER},
    {"F8_E5M2", 1, OR_DTYPE_OTHER},
    {"I64", 8, OR_DTYPE_OTHER},
    {"I32", 4, OR_DTYPE_OTHER},
    {"I16", 2, OR_DTYPE_OTHER},
    {"I8", 1, OR_DTYPE_OTHER},
    {"U64", 8, OR_DTYPE_OTHER},
    {"U32", 4, OR_DTYPE_OTHER},
    {"U16", 2, OR_DTYPE_OTHER},
    {"U8", 1, OR_DTYPE_OTHER},
    {"BOOL", 1, OR_DTYPE_OTHER},
};
enum { TYPES = sizeof types / sizeof *types };

/* What is known of the file while its header is read. data_at is 8 + n. */
typedef struct reader {
    or_checkpoint *checkpoint;
    size_t file;
    const char *path;
    uint64_t file_size, data_at; /* what offsets count from */
    or_buffer where;             /* path and tensor, for messages */
} reader;

/* A whole number of 0 .. 2^53 - 1: a size, or an offset. False for anything else. */
static bool read_whole(const cJSON *item, int64_t *value)
{
    if (!cJSON_IsNumber(item)) return false;
    const double number = item->valuedouble;
    if (!(number >= 0 && number < (double)WHOLE_END) || number != floor(number)) return false;
    *value = (int64_t)number;
    return true;
}

/* Reads the shape, and the number of elements it has: 1 for [], 0 where a dimension is 0. Both are allowed
 * by the format; who asks for a tensor says what shape it is to have. */
static or_status read_shape(const cJSON *item, const char *where, or_tensor *tensor, int64_t *elements)
{
    const cJSON *shape, *dim;
    OR_TRY(or_json_array(item, "shape", where, &shape));
    *elements = 1;
    cJSON_ArrayForEach(dim, shape)
    {
        if (tensor->n_dims == DIMS_MAX)
            return or_fail(OR_ERR_INPUT, "model refused", where,
                           "\"shape\" has %d dimensions, expected 0..%d", cJSON_GetArraySize(shape),
                           DIMS_MAX);
        int64_t *value = &tensor->dims[tensor->n_dims++];
        if (!read_whole(dim, value))
            return or_fail(OR_ERR_INPUT, "model refused", where,
                           "dimension %d of \"shape\" is no whole number below 2^53, expected one",
                           tensor->n_dims);
        if (__builtin_mul_overflow(*elements, *value, elements))
            return or_fail(OR_ERR_INPUT, "model refused", where,
                           "\"shape\" has more than 2^63 elements, expected a tensor that fits in a file");
    }
    return OR_OK;
}

/* Reads where the tensor's bytes lie, which must be within the file. */
static or_status read_place(const reader *r, const cJSON *item, or_tensor *tensor)
{
    const char *where = r->where.data;
    const cJSON *offsets;
    int64_t begin, end;
    OR_TRY(or_json_array(item, "data_offsets", where, &offsets));
    if (cJSON_GetArraySize(offsets) != 2 || !read_whole(offsets->child, &begin) ||
        !read_whole(offsets->child->next, &end))
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "\"data_offsets\" are not two whole numbers below 2^53, expected [begin, end]");
    if (begin > end)
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "\"data_offsets\" are [%" PRId64 ", %" PRId64 "], expected begin <= end", begin, end);
    /* The header was found to end within the file, so the difference does not wrap. */
    if ((uint64_t)end > r->file_size - r->data_at)
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "its data end at byte %" PRId64 " and the file has %" PRIu64
                       " bytes of data, expected a complete file (cut off?)",
                       end, r->file_size - r->data_at);
    tensor->offset = r->data_at + (uint64_t)begin;
    tensor->bytes = (size_t)(end - begin);
    return OR_OK;
}

/* Finds the element type and checks that the shape has as many bytes as the offsets say. */
static or_status resolve_type(const char *where, or_tensor *tensor, int64_t elements)
{
    size_t size = 0;
    tensor->dtype = OR_DTYPE_OTHER;
    for (size_t i = 0; i < TYPES; i++) {
        if (strcmp(types[i].name, tensor->stored) != 0) continue;
        size = types[i].size;
        tensor->dtype = types[i].dtype;
    }
    /* Not in the table: its bytes are believed, as nobody uses them. */
    if (size == 0) return OR_OK;
    uint64_t bytes;
    if (__builtin_mul_overflow((uint64_t)elements, size, &bytes) || bytes != tensor->bytes)
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "\"data_offsets\" span %zu bytes, expected %" PRId64 " elements of %zu bytes (%s)",
                       tensor->bytes, elements, size, tensor->stored);
    return OR_OK;
}

/* A member of the header. Members beyond the three that the format knows are not looked at. */
static or_status read_tensor(reader *r, const cJSON *item)
{
    or_tensor tensor = {.name = item->string, .file = r->file};
    int64_t elements;
    r->where.size = 0;
    OR_TRY(or_buffer_printf(&r->where, "%s, tensor \"%s\"", r->path, item->string));
    const char *where = r->where.data;
    if (!cJSON_IsObject(item))
        return or_fail(OR_ERR_INPUT, "model refused", where,
                       "found no object, expected {\"dtype\": ..., \"shape\": ..., \"data_offsets\": ...}");
    OR_TRY(or_json_string(item, "dtype", where, &tensor.stored));
    OR_TRY(read_shape(item, where, &tensor, &elements));
    OR_TRY(read_place(r, item, &tensor));
    OR_TRY(resolve_type(where, &tensor, elements));
    return or_checkpoint_add_tensor(r->checkpoint, &tensor);
}

/* Reads and checks the length of the header. A stand-in of Git LFS, which is what a clone without LFS has
 * for large files, is told by its first line: taken for a length, that would only be an absurd number. */
static or_status measure_header(const reader *r, size_t *size)
{
    static const char pointer[] = "version https://git-lfs"; /* how Git LFS' stand-ins begin */
    or_buffer begin = {0};
    const size_t seen = r->file_size < sizeof pointer - 1 ? (size_t)r->file_size : sizeof pointer - 1;
    uint64_t length = 0;
    or_status status = or_file_read_part(r->path, 0, seen, &begin);
    if (status != OR_OK)
        ;
    else if (seen < PREFIX)
        status = or_fail(OR_ERR_INPUT, "model refused", r->path,
                         "found %zu bytes, expected a safetensors file of at least %d", seen, PREFIX);
    else if (seen == sizeof pointer - 1 && memcmp(begin.data, pointer, seen) == 0)
        status = or_fail(OR_ERR_INPUT, "model refused", r->path,
                         "found a Git LFS pointer instead of the file, fetch it by: git lfs pull");
    else
        memcpy(&length, begin.data, PREFIX); /* little-endian, like us */
    or_buffer_free(&begin);
    OR_TRY(status);
    if (length == 0 || length > HEADER_MAX)
        return or_fail(OR_ERR_INPUT, "model refused", r->path,
                       "found a header of %" PRIu64 " bytes, expected a safetensors file (1..%d)", length,
                       HEADER_MAX);
    if (length > r->file_size - PREFIX)
        return or_fail(OR_ERR_INPUT, "model refused", r->path,
                       "found a header of %" PRIu64 " bytes in a file of %" PRIu64
                       ", expected a complete file (cut off?)",
                       length, r->file_size);
    *size = (size_t)length;
    return OR_OK;
}

/* Free text for people, {"name": "text", ...}: nothing of it is used. */
static or_status check_metadata(const reader *r, const cJSON *metadata)
{
    bool good = cJSON_IsObject(metadata);
    for (const cJSON *item = metadata->child; item && good; item = item->next) good = cJSON_IsString(item);
    if (good) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", r->path,
                   "\"__metadata__\" is no object of texts, expected one");
}

/* Adds the tensors that the header's text describes. It may end in spaces, by which writers align the data.
 * Twins are refused as the format demands: which one counts would be a matter of the reader. */
static or_status read_header(reader *r, const or_buffer *text)
{
    cJSON *header = NULL;
    const cJSON *item;
    or_status status;
    OR_TRY(or_json_parse(text->data, text->size, r->path, &header));
    if (!cJSON_IsObject(header)) {
        status = or_fail(OR_ERR_INPUT, "model refused", r->path, "the header is no object, expected {...}");
        goto done;
    }
    OR_TRY_GOTO(done, or_json_refuse_twins(header, r->path));
    cJSON_ArrayForEach(item, header)
    {
        const bool is_metadata = strcmp(item->string, "__metadata__") == 0;
        OR_TRY_GOTO(done, is_metadata ? check_metadata(r, item) : read_tensor(r, item));
    }
done:
    cJSON_Delete(header);
    return status;
}

/* Two reads, of the length and of the header; where the data lie is enough to know. */
or_status or_safetensors_read(or_checkpoint *checkpoint, const char *path)
{
    reader r = {.checkpoint = checkpoint, .path = path};
    or_buffer text = {0};
    size_t size = 0;
    OR_TRY(or_checkpoint_add_file(checkpoint, path, &r.file));
    r.file_size = checkpoint->files[r.file].size;
    OR_TRY(measure_header(&r, &size));
    r.data_at = PREFIX + size;
    or_status status = or_file_read_part(path, PREFIX, size, &text);
    if (status == OR_OK) status = read_header(&r, &text);
    or_buffer_free(&text);
    or_buffer_free(&r.where);
    return status;
}
