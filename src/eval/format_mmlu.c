/* format_mmlu.c - the MMLU test (Hendrycks et al., arXiv 2009.03300) as its authors publish it:
 * comma-separated values without a header, a question a record:
 *
 *   question, text of A, text of B, text of C, text of D, letter of the answer
 *
 * Fields: question, A, B, C, D, answer. The white space around a question is dropped, as in
 * lm-evaluation-harness's prompts; the choices are kept as they are.
 */
#include "dataset.h"

#include <string.h>

static const char *const columns[] = {"question", "A", "B", "C", "D", "answer"};
enum { N_COLUMNS = sizeof columns / sizeof *columns, QUESTION = 0, FIRST_CHOICE = 1, ANSWER = 5 };

static const char spaces[] = " \t\r\n";

/* Adds `text` without the white space around it. */
static or_status add_stripped(or_dataset *dataset, const char *name, const char *text)
{
    char *copy = NULL;
    OR_TRY(or_strdup(text + strspn(text, spaces), &copy));
    size_t size = strlen(copy);
    while (size > 0 && strchr(spaces, copy[size - 1])) size--;
    copy[size] = '\0';
    or_status status = or_dataset_add(dataset, name, copy);
    free(copy);
    return status;
}

/* Letters are fields as well as choices: {A} puts the text into a prompt, "A" is what is answered. */
static or_status add_record(or_dataset *dataset, const or_csv *record)
{
    if (record->count != N_COLUMNS)
        return or_dataset_refuse(dataset, record->place,
                                 "found %zu fields, expected 6: question, A, B, C, D, answer", record->count);
    const char *answer = or_csv_field(record, ANSWER);
    if (strlen(answer) != 1 || !strchr("ABCD", answer[0]))
        return or_dataset_refuse(dataset, record->place, "the answer is \"%s\", expected A, B, C or D",
                                 answer);
    OR_TRY(or_dataset_begin_row(dataset, record->place));
    OR_TRY(add_stripped(dataset, columns[QUESTION], or_csv_field(record, QUESTION)));
    for (size_t i = FIRST_CHOICE; i < N_COLUMNS; i++)
        OR_TRY(or_dataset_add(dataset, columns[i], or_csv_field(record, i)));
    for (size_t i = FIRST_CHOICE; i < ANSWER; i++) OR_TRY(or_dataset_add_choice(dataset, columns[i]));
    return OR_OK;
}

/* The first record is a question already. or_csv_next() sets `found` to false behind the last. */
static or_status read_mmlu(const char *text, size_t size, or_dataset *dataset)
{
    or_csv record = {.at = text, .end = text + size, .line = 1};
    or_status status = OR_OK;
    for (bool found = true; status == OR_OK && found;) {
        status = or_csv_next(&record, dataset, &found);
        if (status == OR_OK && found) status = add_record(dataset, &record);
    }
    or_csv_end(&record);
    return status;
}

const or_dataset_format or_format_mmlu = {
    .name = "mmlu", .input = "question", .output = "answer", .read = read_mmlu};
