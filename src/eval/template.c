/* template.c - {name} templates; see template.h. */
#include "template.h"

#include <string.h>

/* Empty literals are left out; a field's name is never empty (parse_field). */
static or_status add_part(or_template *made, const char *text, size_t size, bool is_field)
{
    if (size == 0) return OR_OK;
    OR_RESERVE(made->parts, made->capacity, made->count + 1);
    /* a copy of its own, since the task file's text goes when the file is closed */
    or_template_part part = {.is_field = is_field};
    part.text = strndup(text, size);
    if (!part.text) return or_fail_memory(size + 1);
    made->parts[made->count++] = part;
    return OR_OK;
}

/* The field behind a placeholder: itself, or what an alias says. */
static or_status add_field(or_template *made, const char *name, size_t size, const or_field *aliases,
                           size_t n_aliases)
{
    for (size_t i = 0; i < n_aliases; i++) {
        bool same = strlen(aliases[i].name) == size && memcmp(aliases[i].name, name, size) == 0;
        if (same) return add_part(made, aliases[i].text, strlen(aliases[i].text), true);
    }
    return add_part(made, name, size, true);
}

/* Reads one placeholder at *at ("{...}") and moves behind it. */
static or_status parse_field(const char **at, const char *key, const char *where, const or_field *aliases,
                             size_t n_aliases, or_template *made)
{
    const char *name = *at + 1;
    /* a second { within the name ends it as well and is refused */
    size_t size = strcspn(name, "{}");
    if (name[size] != '}' || size == 0)
        return or_fail(OR_ERR_INPUT, "task refused", where,
                       "\"%s\" has \"{\" without a name and \"}\", expected {name}, or {{ for a brace", key);
    *at = name + size + 1;
    return add_field(made, name, size, aliases, n_aliases);
}

/* Neighbouring literals, as around {{, stay parts of their own: filling joins them. */
static or_status parse(const char *at, const char *key, const char *where, const or_field *aliases,
                       size_t n_aliases, or_template *made)
{
    while (*at) {
        size_t plain = strcspn(at, "{}");
        OR_TRY(add_part(made, at, plain, false));
        at += plain;
        if (*at == '\0') break;
        if (at[0] == at[1]) { /* a doubled brace stands for one */
            OR_TRY(add_part(made, at, 1, false));
            at += 2;
        } else if (*at == '{') {
            OR_TRY(parse_field(&at, key, where, aliases, n_aliases, made));
        } else {
            return or_fail(OR_ERR_INPUT, "task refused", where,
                           "\"%s\" has \"}\" without \"{\", expected {name}, or }} for a brace", key);
        }
    }
    return OR_OK;
}

or_status or_template_parse(const char *text, const char *key, const char *where, const or_field *aliases,
                            size_t n_aliases, or_template *made)
{
    *made = (or_template){0};
    or_status status = parse(text, key, where, aliases, n_aliases, made);
    if (status != OR_OK) or_template_free(made);
    return status;
}

/* Frees what a parse made, also one that broke off. */
void or_template_free(or_template *made)
{
    for (size_t i = 0; i < made->count; i++) free(made->parts[i].text);
    free(made->parts);
    *made = (or_template){0};
}

bool or_template_names(const or_template *from, const char *field)
{
    for (size_t i = 0; i < from->count; i++)
        if (from->parts[i].is_field && strcmp(from->parts[i].text, field) == 0) return true;
    return false;
}

/* No look-up can fail: task_check.c has seen that every row has the fields. */
or_status or_template_fill(const or_template *from, const or_row *row, const or_field *instead,
                           or_buffer *out)
{
    OR_TRY(or_buffer_append(out, "", 0)); /* an empty template fills to "" as well */
    for (size_t i = 0; i < from->count; i++) {
        const or_template_part *part = &from->parts[i];
        const char *text = part->text;
        /* `instead` is how a choice takes the place of the row's answer */
        if (part->is_field)
            text = instead && strcmp(instead->name, text) == 0 ? instead->text : or_row_text(row, text);
        OR_TRY(or_buffer_puts(out, text));
    }
    return OR_OK;
}
