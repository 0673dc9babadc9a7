/* format_squad.c - SQuAD v1.1 (Rajpurkar et al., arXiv 1606.05250) as its authors publish it:
 *
 *   {"version": "1.1", "data": [{"title": "Super_Bowl_50", "paragraphs": [{"context": "...", "qas": [
 *     {"id": "56be", "question": "Which ...?", "answers": [{"answer_start": 177, "text": "Denver Broncos"},
 *      ...]}]}]}]}
 *
 * A question is a row. Fields: title, context, question, answer (the text of the first answer) and id. All
 * answers count as right where a text is compared with them.
 */
#include "dataset.h"

/* What the questions of one paragraph share. */
typedef struct passage {
    const char *title, *context;
} passage;

/* Where the next question to be read is; also the place of what is wrong with its paragraph or article. */
static or_status next_where(const or_dataset *dataset, char **where)
{
    return or_dataset_where(dataset, dataset->count + 1, where);
}

/* v1.1 has one answer or more a question, each a span of the context; where one must stand for all it is the
 * first. answer_start is not looked at. Questions that cannot be answered are v2.0's and are refused here. */
static or_status add_question(or_dataset *dataset, const passage *at, const cJSON *question,
                              const char *where)
{
    const cJSON *answers;
    const char *id, *text, *answer;
    OR_TRY(or_json_string(question, "id", where, &id));
    OR_TRY(or_json_string(question, "question", where, &text));
    OR_TRY(or_json_array(question, "answers", where, &answers));
    if (!answers->child)
        return or_fail(OR_ERR_INPUT, "data set refused", where,
                       "question \"%s\" has no answers, expected SQuAD v1.1, where all have", id);
    OR_TRY(or_json_string(answers->child, "text", where, &answer));
    OR_TRY(or_dataset_begin_row(dataset, dataset->count + 1));
    OR_TRY(or_dataset_add(dataset, "title", at->title));
    OR_TRY(or_dataset_add(dataset, "context", at->context));
    OR_TRY(or_dataset_add(dataset, "question", text));
    OR_TRY(or_dataset_add(dataset, "answer", answer));
    OR_TRY(or_dataset_add(dataset, "id", id));
    for (const cJSON *item = answers->child; item; item = item->next) {
        OR_TRY(or_json_string(item, "text", where, &answer));
        OR_TRY(or_dataset_add_answer(dataset, answer));
    }
    return OR_OK;
}

static or_status read_paragraph(or_dataset *dataset, const char *title, const cJSON *paragraph)
{
    const cJSON *questions;
    passage at = {.title = title};
    char *where = NULL;
    or_status status;
    OR_TRY_GOTO(done, next_where(dataset, &where));
    OR_TRY_GOTO(done, or_json_string(paragraph, "context", where, &at.context));
    OR_TRY_GOTO(done, or_json_array(paragraph, "qas", where, &questions));
    for (const cJSON *question = questions->child; question; question = question->next) {
        OR_TRY_GOTO(done, add_question(dataset, &at, question, where));
        free(where);
        where = NULL;
        OR_TRY_GOTO(done, next_where(dataset, &where));
    }
done:
    free(where);
    return status;
}

static or_status read_article(or_dataset *dataset, const cJSON *article)
{
    const char *title;
    const cJSON *paragraphs;
    char *where = NULL;
    or_status status;
    OR_TRY_GOTO(done, next_where(dataset, &where));
    OR_TRY_GOTO(done, or_json_string(article, "title", where, &title));
    OR_TRY_GOTO(done, or_json_array(article, "paragraphs", where, &paragraphs));
    for (const cJSON *paragraph = paragraphs->child; paragraph; paragraph = paragraph->next)
        OR_TRY_GOTO(done, read_paragraph(dataset, title, paragraph));
done:
    free(where);
    return status;
}

/* A question's place is its number in the whole file, across articles and paragraphs. */
static or_status read_squad(const char *text, size_t size, or_dataset *dataset)
{
    cJSON *file = NULL;
    const cJSON *articles;
    OR_TRY(or_json_parse(text, size, dataset->path, &file));
    or_status status = or_json_array(file, "data", dataset->path, &articles);
    if (status == OR_OK) {
        for (const cJSON *article = articles->child; article && status == OR_OK; article = article->next)
            status = read_article(dataset, article);
    }
    cJSON_Delete(file);
    return status;
}

const or_dataset_format or_format_squad = {
    .name = "squad", .unit = "question", .input = "question", .output = "answer", .read = read_squad};
