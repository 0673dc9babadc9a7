/* template.h - text with {name} placeholders, parsed once and filled per row.
 *
 *   "Q: {input}\nA:"  ->  "Q: " | input | "\nA:"
 *
 * {name} stands for the row's text of that name, {{ and }} for braces. Nothing within a row's text is read as
 * a template, so data cannot inject placeholders.
 */
#ifndef OFFRAMP_EVAL_TEMPLATE_H
#define OFFRAMP_EVAL_TEMPLATE_H

#include "dataset.h"

typedef struct or_template_part {
    char *text; /* literal text, or a field's name */
    bool is_field;
} or_template_part;

typedef struct or_template {
    or_template_part *parts;
    size_t count, capacity;
} or_template;

/* Parses `text`, the member `key` of the file `where`. A placeholder that is the name of an alias becomes the
 * field that the alias' text names ({input} -> {sentence}), at most once. OR_ERR_INPUT: a brace alone, an
 * empty name. */
or_status or_template_parse(const char *text, const char *key, const char *where, const or_field *aliases,
                            size_t n_aliases, or_template *made);
void or_template_free(or_template *made); /* {0} is fine */

/* True when the template has a placeholder of that field. */
bool or_template_names(const or_template *from, const char *field);

/* Appends the template filled from the row, which must have all fields that it names. `instead` (may be NULL)
 * takes the place of the row's field of its name. */
or_status or_template_fill(const or_template *from, const or_row *row, const or_field *instead,
                           or_buffer *out);

#endif
