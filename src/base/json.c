/* json.c - strict JSON over cJSON. */
#include "json.h"

#include "file.h"
#include "utf8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* cJSON turns \u0000 into the end of a C string, which would cut text silently: look for it beforehand. */
static bool has_nul_escape(const char *text, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] != '\\') continue;
        if (text[i + 1] == 'u' && size - i >= 6 && memcmp(text + i + 2, "0000", 4) == 0) return true;
        i++; /* skip the escaped character, so that "\\u0000" (an escaped backslash) is not taken for one */
    }
    return false;
}

/* White space as RFC 8259 has it (section 2); isspace() would take more. */
static bool only_space(const char *text, const char *end)
{
    while (text < end && (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r')) text++;
    return text == end;
}

/* Does first what cJSON does not: it takes any bytes for text. That it stops behind the first value is
 * wanted here (false: no NUL must follow it), since the text need not end in a NUL; what follows is looked
 * at afterwards. */
or_status or_json_parse(const char *text, size_t size, const char *where, cJSON **json)
{
    *json = NULL;
    size_t bad;
    if (!or_utf8_valid(text, size, &bad))
        return or_fail(OR_ERR_INPUT, "not JSON", where, "byte %zu is not UTF-8, expected UTF-8 text",
                       bad + 1);
    if (memchr(text, '\0', size) || has_nul_escape(text, size))
        return or_fail(OR_ERR_INPUT, "not JSON we can read", where, "found a NUL character, expected text");
    const char *end = NULL;
    cJSON *made = cJSON_ParseWithLengthOpts(text, size, &end, false);
    if (!made) {
        /* cJSON says where it stopped, and not why. */
        size_t at = end ? (size_t)(end - text) : 0;
        return or_fail(OR_ERR_INPUT, "not JSON", where, "the text breaks at byte %zu of %zu, expected JSON",
                       at + 1, size);
    }
    /* A second value, or rubbish: a line of JSONL that lost its end, two files in one. */
    if (!only_space(end, text + size)) {
        cJSON_Delete(made);
        return or_fail(OR_ERR_INPUT, "not JSON", where, "found more text after byte %zu, expected one value",
                       (size_t)(end - text));
    }
    *json = made;
    return OR_OK;
}

/* Names of the members of an object; the memory serves one object after the other. */
typedef struct name_list {
    const char **names;
    size_t capacity;
} name_list;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts, since comparing each with each would take too long for vocabularies, objects of 100 000 members. */
static or_status check_names(const cJSON *object, const char *where, name_list *list)
{
    const cJSON *item;
    size_t n = 0;
    cJSON_ArrayForEach(item, object)
    {
        OR_RESERVE(list->names, list->capacity, n + 1);
        list->names[n++] = item->string;
    }
    if (n > 1) qsort(list->names, n, sizeof *list->names, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(list->names[i - 1], list->names[i]) == 0)
            return or_fail(OR_ERR_INPUT, "wrong JSON", where, "found the key \"%s\" twice, expected it once",
                           list->names[i]);
    return OR_OK;
}

/* As deep as cJSON nests, which is 1000 at most. */
static or_status check_tree(const cJSON *tree, const char *where, name_list *list)
{
    const cJSON *item;
    if (cJSON_IsObject(tree)) OR_TRY(check_names(tree, where, list));
    cJSON_ArrayForEach(item, tree) if (item->child) OR_TRY(check_tree(item, where, list));
    return OR_OK;
}

/* One list of names serves all objects: each is done with it before its members are entered. */
or_status or_json_refuse_twins(const cJSON *tree, const char *where)
{
    name_list list = {0};
    or_status status = check_tree(tree, where, &list);
    free(list.names);
    return status;
}

/* A file of settings: an object. (cJSON_Delete() takes NULL, which *json is until it is parsed.) */
or_status or_json_load(const char *path, cJSON **json)
{
    or_buffer text = {0};
    *json = NULL;
    or_status status = or_file_read(path, &text);
    if (status == OR_OK) status = or_json_parse(text.data, text.size, path, json);
    if (status == OR_OK && !cJSON_IsObject(*json))
        status = or_fail(OR_ERR_INPUT, "wrong JSON", path, "found no object, expected {...}");
    if (status == OR_OK) status = or_json_refuse_twins(*json, path);
    if (status != OR_OK) {
        cJSON_Delete(*json);
        *json = NULL;
    }
    or_buffer_free(&text);
    return status;
}

/* null is as good as absent: transformers writes null for what a model does not set. */
const cJSON *or_json_find(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

/* What a member is, for messages. */
static const char *kind_of(const cJSON *item)
{
    if (!item || cJSON_IsNull(item)) return "nothing";
    if (cJSON_IsString(item)) return "a string";
    if (cJSON_IsNumber(item)) return "a number";
    if (cJSON_IsBool(item)) return "true or false";
    if (cJSON_IsArray(item)) return "an array";
    return "an object";
}

/* The file is the user's, so the message names the field that is to be mended. */
static or_status wrong_kind(const cJSON *item, const char *key, const char *where, const char *expected)
{
    return or_fail(OR_ERR_INPUT, "wrong field", where, "\"%s\" is %s, expected %s", key, kind_of(item),
                   expected);
}

or_status or_json_string(const cJSON *object, const char *key, const char *where, const char **value)
{
    const cJSON *item = or_json_find(object, key);
    if (!cJSON_IsString(item)) return wrong_kind(item, key, where, "a string");
    *value = item->valuestring;
    return OR_OK;
}

/* cJSON keeps numbers as doubles, so whole ones are exact below 2^53. The range is asked for in this form
 * so that NaN is outside of it, and infinity (as which 1e999 is read) is outside of any. */
or_status or_json_int(const cJSON *object, const char *key, const char *where, int64_t low, int64_t high,
                      int64_t *value)
{
    const cJSON *item = or_json_find(object, key);
    if (!cJSON_IsNumber(item)) return wrong_kind(item, key, where, "a whole number");
    double number = item->valuedouble;
    if (!(number >= (double)low && number <= (double)high) || number != floor(number))
        return or_fail(OR_ERR_INPUT, "wrong field", where, "\"%s\" is %g, expected a whole number %lld..%lld",
                       key, number, (long long)low, (long long)high);
    *value = (int64_t)number;
    return OR_OK;
}

/* 1e999 is JSON, but infinity as a double: refused. */
or_status or_json_number(const cJSON *object, const char *key, const char *where, double *value)
{
    const cJSON *item = or_json_find(object, key);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
        return wrong_kind(item, key, where, "a finite number");
    *value = item->valuedouble;
    return OR_OK;
}

or_status or_json_bool(const cJSON *object, const char *key, const char *where, bool *value)
{
    const cJSON *item = or_json_find(object, key);
    if (!cJSON_IsBool(item)) return wrong_kind(item, key, where, "true or false");
    *value = cJSON_IsTrue(item);
    return OR_OK;
}

or_status or_json_array(const cJSON *object, const char *key, const char *where, const cJSON **value)
{
    *value = or_json_find(object, key);
    return cJSON_IsArray(*value) ? OR_OK : wrong_kind(*value, key, where, "an array");
}

or_status or_json_object(const cJSON *object, const char *key, const char *where, const cJSON **value)
{
    *value = or_json_find(object, key);
    return cJSON_IsObject(*value) ? OR_OK : wrong_kind(*value, key, where, "an object");
}

or_status or_json_opt_string(const cJSON *object, const char *key, const char *where, const char **value)
{
    return or_json_find(object, key) ? or_json_string(object, key, where, value) : OR_OK;
}

or_status or_json_opt_int(const cJSON *object, const char *key, const char *where, int64_t low, int64_t high,
                          int64_t *value)
{
    return or_json_find(object, key) ? or_json_int(object, key, where, low, high, value) : OR_OK;
}

or_status or_json_opt_number(const cJSON *object, const char *key, const char *where, double *value)
{
    return or_json_find(object, key) ? or_json_number(object, key, where, value) : OR_OK;
}

or_status or_json_opt_bool(const cJSON *object, const char *key, const char *where, bool *value)
{
    return or_json_find(object, key) ? or_json_bool(object, key, where, value) : OR_OK;
}

/* Escaped is what RFC 8259 (section 7) demands: quotes, backslashes, characters below U+0020. */
or_status or_json_put_string(or_buffer *out, const char *text)
{
    OR_TRY(or_buffer_puts(out, "\""));
    const char *from = text; /* runs of plain bytes are copied in one go */
    for (const char *at = text;; at++) {
        unsigned char c = (unsigned char)*at;
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        OR_TRY(or_buffer_append(out, from, (size_t)(at - from)));
        from = at + 1;
        if (c == '\0') break;
        if (c == '"' || c == '\\')
            OR_TRY(or_buffer_printf(out, "\\%c", c));
        else if (c == '\n')
            OR_TRY(or_buffer_puts(out, "\\n"));
        else
            OR_TRY(or_buffer_printf(out, "\\u%04x", c));
    }
    return or_buffer_puts(out, "\"");
}

/* The first that reads back is taken. %g drops zeros at the end, so that numbers of less than 6 digits come
 * out short as well. */
or_status or_json_put_float(or_buffer *out, float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) { /* 9 digits always read back (C11 FLT_DECIMAL_DIG) */
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value) break;
    }
    return or_buffer_puts(out, text);
}

/* As above: 15 digits are always told apart (DBL_DIG), 17 always read back (DBL_DECIMAL_DIG). */
or_status or_json_put_double(or_buffer *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    return or_buffer_puts(out, text);
}
