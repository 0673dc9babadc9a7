/* format_commonsense_qa.c - CommonsenseQA (Talmor et al., arXiv 1811.00937) as its authors publish it, a line
 * a question:
 *
 *   {"answerKey": "A", "id": "1afa", "question": {"question_concept": "revolving door", "stem": "A revol...",
 *    "choices": [{"label": "A", "text": "bank"}, {"label": "B", "text": "library"}, ...]}}
 *
 * Fields: question (the stem), each choice's text under its label (A .. E), answer (the right label), choices
 * (all of them, "a: bank\nb: library\n..."), letter (the answer as that list names it, "a"), id and concept
 * where given. The list has small letters, as in function-vectors, so that "A:" can stand for the answer.
 */
#include "dataset.h"

#include <string.h>

/* "A" -> "a"; labels are single capital letters (checked). */
static char small(const char *label)
{
    return (char)(label[0] - 'A' + 'a');
}

/* The text as a field named by its label, the label as a choice, and a line of the list. */
static or_status add_choice(or_dataset *dataset, const cJSON *choice, const char *where, or_buffer *list)
{
    const char *label, *text;
    OR_TRY(or_json_string(choice, "label", where, &label));
    OR_TRY(or_json_string(choice, "text", where, &text));
    if (strlen(label) != 1 || label[0] < 'A' || label[0] > 'Z')
        return or_fail(OR_ERR_INPUT, "data set refused", where,
                       "a choice's label is \"%s\", expected one letter A..Z", label);
    OR_TRY(or_dataset_add(dataset, label, text));
    OR_TRY(or_dataset_add_choice(dataset, label));
    return or_buffer_printf(list, "%s%c: %s", list->size ? "\n" : "", small(label), text);
}

/* The choices of the row in making, then the fields that depend on them. */
static or_status add_choices(or_dataset *dataset, const cJSON *choices, const char *answer, const char *where,
                             or_buffer *list)
{
    for (const cJSON *choice = choices->child; choice; choice = choice->next)
        OR_TRY(add_choice(dataset, choice, where, list));
    const or_row *row = &dataset->rows[dataset->count - 1];
    bool known = false;
    for (size_t i = 0; i < row->n_choices; i++) known = known || strcmp(row->choices[i], answer) == 0;
    if (!known)
        return or_fail(OR_ERR_INPUT, "data set refused", where,
                       "\"answerKey\" is \"%s\", expected one of the choices' labels", answer);
    OR_TRY(or_dataset_add(dataset, "choices", list->data));
    OR_TRY(or_dataset_add(dataset, "answer", answer));
    return or_dataset_add(dataset, "letter", (char[]){small(answer), '\0'});
}

/* One row: the question's own fields, then by add_choices() those of its choices. */
static or_status add_question(or_dataset *dataset, const cJSON *object, size_t place, const char *where)
{
    const cJSON *question, *choices;
    const char *answer, *stem, *id = NULL, *concept = NULL;
    OR_TRY(or_json_string(object, "answerKey", where, &answer)); /* the published test split has none */
    OR_TRY(or_json_object(object, "question", where, &question));
    OR_TRY(or_json_string(question, "stem", where, &stem));
    OR_TRY(or_json_array(question, "choices", where, &choices));
    OR_TRY(or_json_opt_string(object, "id", where, &id));
    OR_TRY(or_json_opt_string(question, "question_concept", where, &concept));
    OR_TRY(or_dataset_begin_row(dataset, place));
    if (id) OR_TRY(or_dataset_add(dataset, "id", id));
    if (concept) OR_TRY(or_dataset_add(dataset, "concept", concept));
    OR_TRY(or_dataset_add(dataset, "question", stem));
    or_buffer list = {0};
    or_status status = add_choices(dataset, choices, answer, where, &list);
    or_buffer_free(&list);
    return status;
}

/* For or_jsonl_each(): `where` is "dev.jsonl:12", for the JSON getters' messages. */
static or_status put_line(or_dataset *dataset, const cJSON *object, size_t place)
{
    char *where = NULL;
    OR_TRY(or_dataset_where(dataset, place, &where));
    or_status status = add_question(dataset, object, place, where);
    free(where);
    return status;
}

static or_status read_commonsense_qa(const char *text, size_t size, or_dataset *dataset)
{
    return or_jsonl_each(text, size, dataset, put_line);
}

const or_dataset_format or_format_commonsense_qa = {
    .name = "commonsense_qa", .input = "question", .output = "answer", .read = read_commonsense_qa};
