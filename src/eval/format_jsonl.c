/* format_jsonl.c - JSON lines: an object a line, its members the row's fields.
 *
 *   {"text": "one long string of cliches", "label": "negative"}
 *
 * How to write the next format: a file format_<name>.c with a read() that walks the file's text and, for each
 * row, calls or_dataset_begin_row() with the row's place and or_dataset_add() per field; and a const
 * or_dataset_format that names it, declared in dataset.h and listed in dataset.c. The text is UTF-8 without
 * NULs when read() gets it, and an empty data set is refused behind it; all else is read()'s to refuse, by
 * or_dataset_refuse(). Lettered choices are fields named by their letters, also given to
 * or_dataset_add_choice().
 */
#include "dataset.h"

#include <string.h>

/* A carriage return is blank, so files with CR LF need nothing special: JSON skips it as well. */
static bool is_blank(const char *line, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!strchr(" \t\r", line[i])) return false;
    return true;
}

/* One line that is not blank. */
static or_status put_line(const char *line, size_t size, size_t place, or_dataset *dataset, or_jsonl_put *put)
{
    cJSON *object = NULL;
    char *where = NULL;
    OR_TRY(or_dataset_where(dataset, place, &where));
    or_status status = or_json_parse(line, size, where, &object);
    if (status == OR_OK) status = put(dataset, object, place);
    cJSON_Delete(object);
    free(where);
    return status;
}

or_status or_jsonl_each(const char *text, size_t size, or_dataset *dataset, or_jsonl_put *put)
{
    const char *end = text + size;
    for (size_t place = 1; text < end; place++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        if (!is_blank(text, length)) OR_TRY(put_line(text, length, place, dataset, put));
        if (!newline) break;
        text = newline + 1;
    }
    return OR_OK;
}

static or_status read_jsonl(const char *text, size_t size, or_dataset *dataset)
{
    return or_jsonl_each(text, size, dataset, or_dataset_add_object);
}

const or_dataset_format or_format_jsonl = {
    .name = "jsonl", .input = "input", .output = "output", .read = read_jsonl};
