/* gguf.c - asking a GGUF header for its values. */
#include "gguf_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char refused[] = "GGUF file refused";

/* Texts and arrays stay 0: they tell their length themselves. */
static const size_t value_sizes[OR_GGUF_TYPES] = {
    [OR_GGUF_U8] = 1,  [OR_GGUF_I8] = 1,  [OR_GGUF_U16] = 2, [OR_GGUF_I16] = 2,
    [OR_GGUF_U32] = 4, [OR_GGUF_I32] = 4, [OR_GGUF_F32] = 4, [OR_GGUF_BOOL] = 1,
    [OR_GGUF_U64] = 8, [OR_GGUF_I64] = 8, [OR_GGUF_F64] = 8,
};

/* Types of tensors, by ggml's numbers (enum ggml_type). Those that are not ours are named when they are
 * refused, also those that ggml has given up since (Q4_2, Q4_3, the ones of the form Q4_0_4_4). */
static const or_gguf_tensor_type tensor_types[] = {
    {0, "F32", OR_F32},
    {1, "F16", OR_F16},
    {2, "Q4_0", OR_Q4_0},
    {3, "Q4_1", OR_Q4_1},
    {4, "Q4_2", OR_DTYPE_OTHER},
    {5, "Q4_3", OR_DTYPE_OTHER},
    {6, "Q5_0", OR_Q5_0},
    {7, "Q5_1", OR_Q5_1},
    {8, "Q8_0", OR_Q8_0},
    {9, "Q8_1", OR_DTYPE_OTHER},
    {10, "Q2_K", OR_Q2_K},
    {11, "Q3_K", OR_Q3_K},
    {12, "Q4_K", OR_Q4_K},
    {13, "Q5_K", OR_Q5_K},
    {14, "Q6_K", OR_Q6_K},
    {15, "Q8_K", OR_DTYPE_OTHER},
    {16, "IQ2_XXS", OR_DTYPE_OTHER},
    {17, "IQ2_XS", OR_DTYPE_OTHER},
    {18, "IQ3_XXS", OR_DTYPE_OTHER},
    {19, "IQ1_S", OR_DTYPE_OTHER},
    {20, "IQ4_NL", OR_DTYPE_OTHER},
    {21, "IQ3_S", OR_DTYPE_OTHER},
    {22, "IQ2_S", OR_DTYPE_OTHER},
    {23, "IQ4_XS", OR_DTYPE_OTHER},
    {24, "I8", OR_DTYPE_OTHER},
    {25, "I16", OR_DTYPE_OTHER},
    {26, "I32", OR_DTYPE_OTHER},
    {27, "I64", OR_DTYPE_OTHER},
    {28, "F64", OR_DTYPE_OTHER},
    {29, "IQ1_M", OR_DTYPE_OTHER},
    {30, "BF16", OR_BF16},
    {31, "Q4_0_4_4", OR_DTYPE_OTHER},
    {32, "Q4_0_4_8", OR_DTYPE_OTHER},
    {33, "Q4_0_8_8", OR_DTYPE_OTHER},
    {34, "TQ1_0", OR_DTYPE_OTHER},
    {35, "TQ2_0", OR_DTYPE_OTHER},
    {36, "IQ4_NL_4_4", OR_DTYPE_OTHER},
    {37, "IQ4_NL_4_8", OR_DTYPE_OTHER},
    {38, "IQ4_NL_8_8", OR_DTYPE_OTHER},
    {39, "MXFP4", OR_DTYPE_OTHER},
};
enum { TENSOR_TYPES = sizeof tensor_types / sizeof *tensor_types };

/* Linear: the table is short, and asked once for each tensor. */
const or_gguf_tensor_type *or_gguf_type_numbered(uint32_t number)
{
    for (size_t i = 0; i < TENSOR_TYPES; i++)
        if (tensor_types[i].number == number) return &tensor_types[i];
    return NULL;
}

/* No type of ours has two numbers, so the first entry is the only one. */
const or_gguf_tensor_type *or_gguf_type_of(or_dtype dtype)
{
    for (size_t i = 0; dtype != OR_DTYPE_OTHER && i < TENSOR_TYPES; i++)
        if (tensor_types[i].dtype == dtype) return &tensor_types[i];
    return NULL;
}

size_t or_gguf_value_size(uint32_t type)
{
    return type < OR_GGUF_TYPES ? value_sizes[type] : 0;
}

/* ---- the file --------------------------------------------------------------------------------------------- */

/* or_gguf_close() takes a header that was read half-way as well: OR_NEW() zeroed what is not there yet. */
or_status or_gguf_open(const char *path, or_gguf **out)
{
    or_gguf *g = NULL;
    *out = NULL;
    OR_TRY(OR_NEW(g, 1));
    or_status status = or_strdup(path, &g->path);
    if (status == OR_OK) status = or_gguf_parse(g);
    if (status == OR_OK)
        *out = g;
    else
        or_gguf_close(g);
    return status;
}

/* Names are malloc'ed, const only for those who ask; all else lies in the arrays or in the header. */
void or_gguf_close(or_gguf *g)
{
    if (!g) return;
    for (size_t i = 0; i < g->n_tensors; i++) free((char *)g->tensors[i].name);
    free(g->tensors);
    free(g->keys);
    or_buffer_free(&g->header);
    free(g->path);
    free(g);
}

/* O_NONBLOCK, since opening a pipe would wait for somebody to write into it. */
bool or_gguf_probe(const char *path)
{
    char magic[4];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const bool is = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, "GGUF", sizeof magic) == 0;
    close(fd);
    return is;
}

const char *or_gguf_path(const or_gguf *g)
{
    return g->path;
}

size_t or_gguf_tensors(const or_gguf *g)
{
    return g->n_tensors;
}

const or_gguf_tensor *or_gguf_tensor_at(const or_gguf *g, size_t i)
{
    return &g->tensors[i];
}

/* ---- values ----------------------------------------------------------------------------------------------- */

/* Bisection. The order is that of compare_keys() in gguf_parse.c: lengths first, which are cheap to
 * compare. */
const or_gguf_key *or_gguf_key_find(const or_gguf *g, const char *name, size_t size)
{
    for (size_t low = 0, high = g->n_keys; low < high;) {
        const size_t middle = low + (high - low) / 2;
        const or_gguf_key *key = &g->keys[middle];
        const int order = key->name_size != size ? (key->name_size < size ? -1 : 1)
                                                 : memcmp(g->header.data + key->name_at, name, size);
        if (order == 0) return key;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* By a C string; the file's names have no NUL behind them, so lengths are compared. */
static const or_gguf_key *find(const or_gguf *g, const char *name)
{
    return or_gguf_key_find(g, name, strlen(name));
}

bool or_gguf_has(const or_gguf *g, const char *key)
{
    return find(g, key) != NULL;
}

/* Says what the key is (NULL: missing) and what it was to be. No entry of `kinds` is needed for arrays: a
 * key's type is then that of its elements. */
static or_status refuse_kind(const or_gguf *g, const or_gguf_key *key, const char *name, const char *expected)
{
    /* Integers and other numbers are told apart, as the keys are: a float is refused where a count is
     * expected. */
    static const char *const kinds[OR_GGUF_TYPES] = {
        [OR_GGUF_U8] = "an integer",  [OR_GGUF_I8] = "an integer",  [OR_GGUF_U16] = "an integer",
        [OR_GGUF_I16] = "an integer", [OR_GGUF_U32] = "an integer", [OR_GGUF_I32] = "an integer",
        [OR_GGUF_F32] = "a number",   [OR_GGUF_BOOL] = "a boolean", [OR_GGUF_TEXT] = "a text",
        [OR_GGUF_U64] = "an integer", [OR_GGUF_I64] = "an integer", [OR_GGUF_F64] = "a number",
    };
    return or_fail(OR_ERR_INPUT, refused, g->path, "\"%s\" is %s, expected %s", name,
                   !key         ? "missing"
                   : key->array ? "an array"
                                : kinds[key->type],
                   expected);
}

/* By the numbers of the file: 0 to 5 are the integers of up to 32 bits, 10 and 11 those of 64. */
static bool is_integer(uint32_t type)
{
    return type <= OR_GGUF_I32 || type == OR_GGUF_U64 || type == OR_GGUF_I64;
}

/* Values follow names without padding, so they may be unaligned: read them by memcpy() only. */
static const unsigned char *value_of(const or_gguf *g, const or_gguf_key *key)
{
    return (const unsigned char *)g->header.data + key->value_at;
}

/* Exact but for 64-bit integers beyond 2^53, which are beyond every range that is asked for. */
double or_gguf_number_at(const unsigned char *at, uint32_t type)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
        float f32;
        double f64;
    } value;
    /* All members begin at the union's first byte, and the file's bytes are in our order. */
    memcpy(&value, at, or_gguf_value_size(type));
    switch (type) {
    case OR_GGUF_U8:
    case OR_GGUF_BOOL:
        return value.u8;
    case OR_GGUF_I8:
        return value.i8;
    case OR_GGUF_U16:
        return value.u16;
    case OR_GGUF_I16:
        return value.i16;
    case OR_GGUF_U32:
        return value.u32;
    case OR_GGUF_I32:
        return value.i32;
    case OR_GGUF_F32:
        return (double)value.f32;
    case OR_GGUF_U64:
        return (double)value.u64;
    case OR_GGUF_I64:
        return (double)value.i64;
    default:
        return value.f64;
    }
}

/* The range is asked for in this form so that NaN is outside of it. */
static or_status read_number(const or_gguf *g, const or_gguf_key *key, const char *name, double low,
                             double high, double *value)
{
    const double number = or_gguf_number_at(value_of(g, key), key->type);
    if (!(number >= low && number <= high))
        return or_fail(OR_ERR_INPUT, refused, g->path, "\"%s\" is %g, expected %g..%g", name, number, low,
                       high);
    *value = number;
    return OR_OK;
}

/* Any width and sign will do, since writers choose them differently. The bounds that callers give are exact
 * as doubles. */
or_status or_gguf_int(const or_gguf *g, const char *name, int64_t low, int64_t high, int64_t *value)
{
    const or_gguf_key *key = find(g, name);
    double number = 0;
    if (!key || key->array || !is_integer(key->type)) return refuse_kind(g, key, name, "an integer");
    OR_TRY(read_number(g, key, name, (double)low, (double)high, &number));
    *value = (int64_t)number;
    return OR_OK;
}

or_status or_gguf_opt_int(const or_gguf *g, const char *key, int64_t low, int64_t high, int64_t *value)
{
    return or_gguf_has(g, key) ? or_gguf_int(g, key, low, high, value) : OR_OK;
}

/* A boolean is refused here; in arrays (or_gguf_numbers()) it passes as 0 or 1. */
or_status or_gguf_opt_number(const or_gguf *g, const char *name, double low, double high, double *value)
{
    const or_gguf_key *key = find(g, name);
    if (!key) return OR_OK;
    if (key->array || key->type == OR_GGUF_TEXT || key->type == OR_GGUF_BOOL)
        return refuse_kind(g, key, name, "a number");
    return read_number(g, key, name, low, high, value);
}

/* That the byte is 0 or 1 was checked when the header was read. */
or_status or_gguf_opt_bool(const or_gguf *g, const char *name, bool *value)
{
    const or_gguf_key *key = find(g, name);
    if (!key) return OR_OK;
    if (key->array || key->type != OR_GGUF_BOOL) return refuse_kind(g, key, name, "a boolean");
    *value = *value_of(g, key) != 0;
    return OR_OK;
}

/* The text at *at, which then points behind it. Its length was checked when the header was read. */
static or_gguf_text read_text(const unsigned char **at)
{
    uint64_t size;
    memcpy(&size, *at, sizeof size);
    const or_gguf_text text = {(const char *)*at + sizeof size, (size_t)size};
    *at += sizeof size + size;
    return text;
}

/* The text stays in the header: nothing is copied, and nobody frees it. */
or_status or_gguf_text_of(const or_gguf *g, const char *name, or_gguf_text *value)
{
    const or_gguf_key *key = find(g, name);
    if (!key || key->array || key->type != OR_GGUF_TEXT) return refuse_kind(g, key, name, "a text");
    const unsigned char *at = value_of(g, key);
    *value = read_text(&at);
    return OR_OK;
}

or_status or_gguf_opt_text(const or_gguf *g, const char *key, or_gguf_text *value)
{
    return or_gguf_has(g, key) ? or_gguf_text_of(g, key, value) : OR_OK;
}

bool or_gguf_text_is(or_gguf_text text, const char *expected)
{
    return text.size == strlen(expected) && memcmp(text.data, expected, text.size) == 0;
}

or_status or_gguf_texts(const or_gguf *g, const char *name, or_gguf_items *items)
{
    const or_gguf_key *key = find(g, name);
    if (!key || !key->array || key->type != OR_GGUF_TEXT)
        return refuse_kind(g, key, name, "an array of texts");
    *items = (or_gguf_items){value_of(g, key), key->count, key->type};
    return OR_OK;
}

or_status or_gguf_numbers(const or_gguf *g, const char *name, or_gguf_items *items)
{
    const or_gguf_key *key = find(g, name);
    if (!key || !key->array || key->type == OR_GGUF_TEXT)
        return refuse_kind(g, key, name, "an array of numbers");
    *items = (or_gguf_items){value_of(g, key), key->count, key->type};
    return OR_OK;
}

/* The two walk over bytes that skip_values() of gguf_parse.c walked over before: all of them are there. */
or_gguf_text or_gguf_next_text(or_gguf_items *items)
{
    items->left--;
    return read_text(&items->at);
}

double or_gguf_next_number(or_gguf_items *items)
{
    const double number = or_gguf_number_at(items->at, items->type);
    items->left--;
    items->at += or_gguf_value_size(items->type);
    return number;
}
