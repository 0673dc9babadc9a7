/* dataset.c - the table of data set formats, and what all of them share. */
#include "dataset.h"

#include "file.h"
#include "utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A new format is one file (see format_jsonl.c) and one line here. */
static const or_dataset_format *const formats[] = {
    &or_format_jsonl, &or_format_json,           &or_format_csv,
    &or_format_mmlu,  &or_format_commonsense_qa, &or_format_squad,
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

/* Names are looked up one by one; rows of one kind have a handful. A file whose keys are data (an object of
 * answers by id, say) is stopped here before that takes its time. */
enum { MAX_NAMES = 256 };

const or_dataset_format *or_dataset_format_find(const char *name)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i]->name, name) == 0) return formats[i];
    return NULL;
}

or_status or_dataset_format_names(or_buffer *out)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        OR_TRY(or_buffer_printf(out, "%s%s", i ? ", " : "", formats[i]->name));
    return OR_OK;
}

/* "dev.jsonl" alone, "dev.jsonl:12", "dev.json, row 12", "dev-v1.1.json, question 12". */
or_status or_dataset_where(const or_dataset *dataset, size_t place, char **where)
{
    if (place == 0) return or_strdup(dataset->path, where);
    if (!dataset->format->unit) return or_format(where, "%s:%zu", dataset->path, place);
    return or_format(where, "%s, %s %zu", dataset->path, dataset->format->unit, place);
}

/* OR_ERR_INPUT, or OR_ERR_FAILED where there is no memory for saying so. */
or_status or_dataset_refuse(const or_dataset *dataset, size_t place, const char *details, ...)
{
    char made[512]; /* or_fail() cuts as well; a cut message is still a message */
    va_list args;
    va_start(args, details);
    vsnprintf(made, sizeof made, details, args);
    va_end(args);
    char *where = NULL;
    OR_TRY(or_dataset_where(dataset, place, &where));
    or_status status = or_fail(OR_ERR_INPUT, "data set refused", where, "%s", made);
    free(where);
    return status;
}

/* Rows carry C strings in UTF-8: nothing else passes. The place is a line here, whatever the format. */
static or_status check_text(const or_dataset *dataset, const char *text, size_t size)
{
    size_t bad;
    const char *nul = memchr(text, '\0', size), *found = "a NUL byte";
    if (nul)
        bad = (size_t)(nul - text);
    else if (!or_utf8_valid(text, size, &bad))
        found = "a byte that is not UTF-8";
    else
        return OR_OK;
    size_t line = 1;
    for (size_t i = 0; i < bad; i++) line += text[i] == '\n';
    char *where = NULL;
    OR_TRY(or_format(&where, "%s:%zu", dataset->path, line));
    or_status status =
        or_fail(OR_ERR_INPUT, "data set refused", where, "found %s, expected UTF-8 text", found);
    free(where);
    return status;
}

/* Names of fields are not known here: whether the rows have what a task names is for task_check.c. */
or_status or_dataset_read(const or_dataset_format *format, const char *path, or_dataset *dataset)
{
    *dataset = (or_dataset){.format = format};
    or_buffer buffer = {0};
    or_status status;
    OR_TRY_GOTO(done, or_strdup(path, &dataset->path));
    OR_TRY_GOTO(done, or_file_read(path, &buffer));
    OR_TRY_GOTO(done, check_text(dataset, buffer.data, buffer.size));
    /* behind the check, whose line numbers count from the file's beginning; the mark is no line */
    size_t mark = buffer.size >= 3 && memcmp(buffer.data, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* Excel's BOM */
    OR_TRY_GOTO(done, format->read(buffer.data + mark, buffer.size - mark, dataset));
    if (dataset->count == 0)
        status = or_dataset_refuse(dataset, 0, "found no rows, expected at least one (format \"%s\")",
                                   format->name);
done:
    or_buffer_free(&buffer);
    if (status != OR_OK) or_dataset_free(dataset);
    return status;
}

/* Names of fields and labels of choices are the data set's, texts the rows'. */
void or_dataset_free(or_dataset *dataset)
{
    for (size_t i = 0; i < dataset->count; i++) {
        or_row *row = &dataset->rows[i];
        for (size_t f = 0; f < row->count; f++) free(row->fields[f].text);
        free(row->fields);
        free(row->choices);
        for (size_t a = 0; a < row->n_answers; a++) free(row->answers[a]);
        free(row->answers);
    }
    for (size_t i = 0; i < dataset->n_names; i++) free(dataset->names[i]);
    free(dataset->rows);
    free(dataset->names);
    free(dataset->path);
    *dataset = (or_dataset){0};
}

/* The first of the name; or_dataset_add() lets no second one in. */
const char *or_row_text(const or_row *row, const char *name)
{
    for (size_t i = 0; i < row->count; i++)
        if (strcmp(row->fields[i].name, name) == 0) return row->fields[i].text;
    return NULL;
}

/* Rows move when the array grows: a pointer to one holds until the next one is begun. */
or_status or_dataset_begin_row(or_dataset *dataset, size_t place)
{
    OR_RESERVE(dataset->rows, dataset->capacity, dataset->count + 1);
    dataset->rows[dataset->count++] = (or_row){.place = place};
    return OR_OK;
}

/* The data set's own copy of a name, so that a million rows share theirs. */
static or_status intern(or_dataset *dataset, const char *name, size_t place, const char **kept)
{
    for (size_t i = 0; i < dataset->n_names; i++) {
        *kept = dataset->names[i];
        if (strcmp(*kept, name) == 0) return OR_OK;
    }
    if (dataset->n_names == MAX_NAMES)
        return or_dataset_refuse(dataset, place, "\"%s\" is field name %d, expected rows of one kind", name,
                                 MAX_NAMES + 1);
    OR_RESERVE(dataset->names, dataset->names_capacity, dataset->n_names + 1);
    OR_TRY(or_strdup(name, &dataset->names[dataset->n_names]));
    *kept = dataset->names[dataset->n_names++];
    return OR_OK;
}

/* To the row begun last. `text` is copied; what a failure leaves is released with the data set. */
or_status or_dataset_add(or_dataset *dataset, const char *name, const char *text)
{
    or_row *row = &dataset->rows[dataset->count - 1];
    if (or_row_text(row, name))
        return or_dataset_refuse(dataset, row->place, "found \"%s\" twice, expected each field once", name);
    or_field field = {0};
    OR_TRY(intern(dataset, name, row->place, &field.name));
    OR_RESERVE(row->fields, row->capacity, row->count + 1);
    OR_TRY(or_strdup(text, &field.text));
    row->fields[row->count++] = field;
    return OR_OK;
}

/* The label is the name of a field of the row, so the same interned text. */
or_status or_dataset_add_choice(or_dataset *dataset, const char *label)
{
    or_row *row = &dataset->rows[dataset->count - 1];
    const char *kept = NULL;
    OR_TRY(intern(dataset, label, row->place, &kept));
    OR_RESERVE(row->choices, row->choices_capacity, row->n_choices + 1);
    row->choices[row->n_choices++] = kept;
    return OR_OK;
}

/* SQuAD's answers are those of several people, mostly the same. */
or_status or_dataset_add_answer(or_dataset *dataset, const char *text)
{
    or_row *row = &dataset->rows[dataset->count - 1];
    for (size_t i = 0; i < row->n_answers; i++)
        if (strcmp(row->answers[i], text) == 0) return OR_OK;
    OR_RESERVE(row->answers, row->answers_capacity, row->n_answers + 1);
    OR_TRY(or_strdup(text, &row->answers[row->n_answers]));
    row->n_answers++;
    return OR_OK;
}

/* A number as JSON text. cJSON keeps doubles only: whole numbers are exact up to 2^53, and a larger one is
 * not passed on as something near it (*exact is false). */
static or_status number_text(double number, or_buffer *out, bool *exact)
{
    bool whole = number == floor(number);
    *exact = isfinite(number) && (!whole || fabs(number) <= 9007199254740992.0);
    if (!*exact) return OR_OK;
    return whole ? or_buffer_printf(out, "%.0f", number) : or_json_put_double(out, number);
}

/* One member of a JSON row as a field; what has no text (list, object, null, inexact number) is left out,
 * and task_check.c refuses the row if a task wants it. */
static or_status add_member(or_dataset *dataset, const cJSON *member)
{
    if (cJSON_IsString(member)) return or_dataset_add(dataset, member->string, member->valuestring);
    if (cJSON_IsBool(member))
        return or_dataset_add(dataset, member->string, cJSON_IsTrue(member) ? "true" : "false");
    if (!cJSON_IsNumber(member)) return OR_OK;
    or_buffer text = {0};
    bool exact;
    or_status status = number_text(member->valuedouble, &text, &exact);
    if (status == OR_OK && exact) status = or_dataset_add(dataset, member->string, text.data);
    or_buffer_free(&text);
    return status;
}

or_status or_dataset_add_object(or_dataset *dataset, const cJSON *object, size_t place)
{
    if (!cJSON_IsObject(object))
        return or_dataset_refuse(dataset, place, "found no object, expected {\"field\": \"text\", ...}");
    OR_TRY(or_dataset_begin_row(dataset, place));
    const cJSON *member;
    cJSON_ArrayForEach(member, object) OR_TRY(add_member(dataset, member));
    return OR_OK;
}
