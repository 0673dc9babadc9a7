/* json.h - JSON read strictly (over cJSON) and written by appending to a buffer.
 *
 * Getters take the object, the key and `where`, the name of the file (and line) for messages; they fail with
 * OR_ERR_INPUT naming file, key, what was found and what was expected. Strings stay owned by the tree.
 */
#ifndef OFFRAMP_BASE_JSON_H
#define OFFRAMP_BASE_JSON_H

#include "memory.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Parses one JSON value that fills all `size` bytes. Refused: broken UTF-8, text behind the value, and NUL
 * characters (bytes or \u0000), which C strings cannot carry. The caller releases *json by cJSON_Delete(). */
or_status or_json_parse(const char *text, size_t size, const char *where, cJSON **json);

/* Refuses a tree in which an object has two members of one name: cJSON finds the first of them, others the
 * last, so that the file would mean two things. */
or_status or_json_refuse_twins(const cJSON *tree, const char *where);

/* Reads and parses a whole file; the value must be an object, and no key be given twice. */
or_status or_json_load(const char *path, cJSON **json);

/* The member `key`, NULL when absent or null. */
const cJSON *or_json_find(const cJSON *object, const char *key);

/* Required members. */
or_status or_json_string(const cJSON *object, const char *key, const char *where, const char **value);
or_status or_json_int(const cJSON *object, const char *key, const char *where, int64_t low, int64_t high,
                      int64_t *value);
or_status or_json_number(const cJSON *object, const char *key, const char *where, double *value);
or_status or_json_bool(const cJSON *object, const char *key, const char *where, bool *value);
or_status or_json_array(const cJSON *object, const char *key, const char *where, const cJSON **value);
or_status or_json_object(const cJSON *object, const char *key, const char *where, const cJSON **value);

/* The same, but absent (or null) leaves *value as it is; of a wrong type is still refused. */
or_status or_json_opt_string(const cJSON *object, const char *key, const char *where, const char **value);
or_status or_json_opt_int(const cJSON *object, const char *key, const char *where, int64_t low, int64_t high,
                          int64_t *value);
or_status or_json_opt_number(const cJSON *object, const char *key, const char *where, double *value);
or_status or_json_opt_bool(const cJSON *object, const char *key, const char *where, bool *value);

/* Appends `text` (valid UTF-8) as a JSON string with its quotes; not-ASCII characters stay UTF-8. */
or_status or_json_put_string(or_buffer *out, const char *text);

/* Appends the shortest decimal that reads back as the same float / double. */
or_status or_json_put_float(or_buffer *out, float value);
or_status or_json_put_double(or_buffer *out, double value);

#endif
