/* dataset.h - data sets in memory: rows of named texts, and the table of file formats that make them.
 *
 *   file --format.read--> dataset { row { "text": "a fine film", "label": "positive" }, row {...} }
 *
 * Whatever the file holds, a value is text (a JSON number or true becomes its JSON text), so that a template
 * can put it into a prompt. A row remembers its place in the file, for messages like "dev.jsonl:12".
 * Every text is UTF-8 without NULs. Everything in a data file is distrusted and refused with OR_ERR_INPUT.
 */
#ifndef OFFRAMP_EVAL_DATASET_H
#define OFFRAMP_EVAL_DATASET_H

#include "json.h"

/* One named text. In a row `name` belongs to the data set (each name is kept once) and `text` to the row. */
typedef struct or_field {
    const char *name;
    char *text;
} or_field;

typedef struct or_row {
    or_field *fields;
    size_t count, capacity;
    const char **choices; /* formats with lettered choices: their labels in order, each a field; else none */
    size_t n_choices, choices_capacity;
    char **
        answers; /* formats with several right answers: all, each once, the output field's first; else none */
    size_t n_answers, answers_capacity;
    size_t place; /* 1-based, counts what the format's `unit` says */
} or_row;

typedef struct or_dataset_format or_dataset_format;

typedef struct or_dataset {
    const or_dataset_format *format;
    char *path;
    char **names; /* all field names of all rows, in the order in which they were first seen */
    size_t n_names, names_capacity;
    or_row *rows;
    size_t count, capacity;
} or_dataset;

/* A file format. `input` and `output` are the fields that hold question and answer unless the task file
 * says otherwise. read() gets the whole file, known to be UTF-8 without NUL bytes, and appends its rows. */
struct or_dataset_format {
    const char *name;
    const char *unit; /* what a row's place counts: NULL for lines ("f:12"), else a word ("f, row 12") */
    const char *input, *output;
    or_status (*read)(const char *text, size_t size, or_dataset *dataset);
};

extern const or_dataset_format or_format_jsonl, or_format_json, or_format_csv, or_format_mmlu,
    or_format_commonsense_qa, or_format_squad;

/* The format of that name; NULL when there is none. The names of all, "jsonl, json, ...", for messages. */
const or_dataset_format *or_dataset_format_find(const char *name);
or_status or_dataset_format_names(or_buffer *out);

/* Reads a file into *dataset. A data set without rows is refused. or_dataset_free() of {0} is fine. */
or_status or_dataset_read(const or_dataset_format *format, const char *path, or_dataset *dataset);
void or_dataset_free(or_dataset *dataset);

/* The row's text of that name; NULL when it has none. */
const char *or_row_text(const or_row *row, const char *name);

/* Fails with OR_ERR_INPUT, naming file and place (0: the file alone). `details` as for or_fail(). */
or_status or_dataset_refuse(const or_dataset *dataset, size_t place, const char *details, ...)
    __attribute__((format(printf, 3, 4)));

/* For messages: file and place as or_dataset_refuse() shows them (malloc'ed). */
or_status or_dataset_where(const or_dataset *dataset, size_t place, char **where);

/* For formats: a new row; then its fields (a name given twice is refused), its choices' labels, and its right
 * answers where there may be several (one given twice is kept once). */
or_status or_dataset_begin_row(or_dataset *dataset, size_t place);
or_status or_dataset_add(or_dataset *dataset, const char *name, const char *text);
or_status or_dataset_add_choice(or_dataset *dataset, const char *label);
or_status or_dataset_add_answer(or_dataset *dataset, const char *text);

/* For formats: a new row of the members of a JSON object. Left out, and thus missing to a task that names
 * them: null, arrays, objects, and numbers that a double does not hold exactly (whole ones above 2^53). */
or_status or_dataset_add_object(or_dataset *dataset, const cJSON *object, size_t place);

/* For formats: calls put() with the object of each line. Blank lines are skipped wherever they are, as
 * lm-evaluation-harness does; `place` counts all lines. */
typedef or_status or_jsonl_put(or_dataset *dataset, const cJSON *object, size_t place);
or_status or_jsonl_each(const char *text, size_t size, or_dataset *dataset, or_jsonl_put *put);

/* For formats: a reader of comma-separated values (RFC 4180). Begin with {.at = text, .end = text + size,
 * .line = 1}; release with or_csv_end(). */
typedef struct or_csv {
    const char *at, *end;
    size_t line;    /* of `at` */
    size_t place;   /* line on which the current record begins */
    or_buffer text; /* the current record's fields, each with a NUL behind it */
    size_t *starts; /* [count] where they start in `text` */
    size_t count, capacity;
} or_csv;

/* Reads the next record; *found is false behind the last. Lines with nothing on them are skipped. */
or_status or_csv_next(or_csv *csv, const or_dataset *dataset, bool *found);
const char *or_csv_field(const or_csv *csv, size_t i);
void or_csv_end(or_csv *csv);

#endif
