/* task_check.c - every row against the task's templates and choices, so that any can become a prompt. */
#include "task_struct.h"

#include <string.h>

/* No row at all has the field: most often a misspelt name, so the message lists those there are. */
static or_status refuse_unknown(const or_dataset *dataset, const char *field)
{
    or_buffer names = {0};
    or_status status = or_buffer_puts(&names, "");
    for (size_t i = 0; i < dataset->n_names && status == OR_OK; i++)
        status = or_buffer_printf(&names, "%s%s", i ? ", " : "", dataset->names[i]);
    if (status == OR_OK)
        status = or_dataset_refuse(dataset, 0, "no row has a text named \"%s\", expected one of: %s", field,
                                   names.data);
    or_buffer_free(&names);
    return status;
}

/* The field is in every row, with an empty text at least. The list of all names first: a misspelt one is
 * reported as such, not as missing in row 1. */
static or_status check_field(const or_dataset *dataset, const char *field)
{
    bool known = false;
    for (size_t i = 0; i < dataset->n_names; i++) known = known || strcmp(dataset->names[i], field) == 0;
    if (!known) return refuse_unknown(dataset, field);
    for (size_t i = 0; i < dataset->count; i++)
        if (!or_row_text(&dataset->rows[i], field))
            return or_dataset_refuse(dataset, dataset->rows[i].place,
                                     "found no text named \"%s\", expected one in every row (lists, objects "
                                     "and null are no text)",
                                     field);
    return OR_OK;
}

static or_status check_template(const or_dataset *dataset, const or_template *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (from->parts[i].is_field) OR_TRY(check_field(dataset, from->parts[i].text));
    return OR_OK;
}

/* The answer is one of the texts to choose from, compared byte by byte. */
static or_status check_choice(const or_task *task, const or_dataset *dataset, const or_row *row)
{
    size_t count = task->n_choices ? task->n_choices : row->n_choices;
    if (count < 2)
        return or_dataset_refuse(dataset, row->place,
                                 "found %zu choices, expected 2 or more for the metric \"choice\" (for the "
                                 "format \"%s\" they are \"choices\" in the task file)",
                                 count, dataset->format->name);
    const char *answer = or_row_text(row, task->output);
    for (size_t i = 0; i < count; i++)
        if (strcmp(task->n_choices ? task->choices[i] : row->choices[i], answer) == 0) return OR_OK;
    return or_dataset_refuse(dataset, row->place, "\"%s\" is \"%s\", expected one of the %zu choices",
                             task->output, answer, count);
}

/* `input` is looked for even where no template names it, so that a wrong one is noticed. */
or_status or_task_check_rows(const or_task *task, const or_dataset *dataset)
{
    if (dataset->count == 0) return OR_OK; /* no train split; an empty file was refused already */
    OR_TRY(check_field(dataset, task->input));
    OR_TRY(check_template(dataset, &task->prompt));
    OR_TRY(check_template(dataset, &task->answer)); /* names the output as well */
    if (task->metric != OR_METRIC_CHOICE) return OR_OK;
    /* behind the fields: the answer is there by now */
    for (size_t i = 0; i < dataset->count; i++) OR_TRY(check_choice(task, dataset, &dataset->rows[i]));
    return OR_OK;
}
