/* task.c - reading a task file and its data, and refusing what would only go wrong in the middle of a run.
 *
 * Order of work: the keys, then the texts (metric, templates, choices), then the data sets, then every row
 * against the templates, and last the fingerprint over all of it.
 */
#include "task_struct.h"

#include "file.h"

#include <string.h>
#include <xxhash.h>

static or_status refuse(const char *path, const char *details, const char *found)
{
    return or_fail(OR_ERR_INPUT, "task refused", path, details, found);
}

static const char *const known_keys[] = {"name",   "format", "train",     "test",   "input",       "output",
                                         "prompt", "answer", "separator", "metric", "description", "choices"};
enum { N_KEYS = sizeof known_keys / sizeof *known_keys };

/* A misspelt key would be taken for an absent one: "seperator" must not mean the default. */
static or_status check_keys(const cJSON *file, const char *path)
{
    bool seen[N_KEYS] = {false};
    const cJSON *member;
    cJSON_ArrayForEach(member, file)
    {
        size_t i = 0;
        while (i < N_KEYS && strcmp(known_keys[i], member->string) != 0) i++;
        if (i == N_KEYS)
            return refuse(path,
                          "found the key \"%s\", expected name, format, train, test, input, output, prompt, "
                          "answer, separator, metric, description or choices",
                          member->string);
        if (seen[i]) return refuse(path, "found the key \"%s\" twice, expected it once", member->string);
        seen[i] = true;
    }
    return OR_OK;
}

/* Names go into file names, CSV columns and tables. */
static or_status read_name(or_task *task, const cJSON *file, const char *path)
{
    const char *name;
    OR_TRY(or_json_string(file, "name", path, &name));
    size_t size = strlen(name), good = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                    "0123456789_-.+");
    if (size == 0 || size > 64 || good != size)
        return refuse(path, "\"name\" is \"%s\", expected 1..64 letters, digits or any of _-.+", name);
    return or_strdup(name, &task->name);
}

static const struct {
    const char *name;
    bool generates; /* needs more than one token */
    or_metric metric;
} metrics[] = {
    {"first_token", false, OR_METRIC_FIRST_TOKEN},
    {"choice", false, OR_METRIC_CHOICE},
    {"exact_match", true, 0},
    {"f1", true, 0},
};
enum { N_METRICS = sizeof metrics / sizeof *metrics };

static or_status read_metric(or_task *task, const cJSON *file, const char *path)
{
    const char *name = "first_token";
    OR_TRY(or_json_opt_string(file, "metric", path, &name));
    for (size_t i = 0; i < N_METRICS; i++) {
        if (strcmp(metrics[i].name, name) != 0) continue;
        if (metrics[i].generates)
            return refuse(path,
                          "\"metric\" is \"%s\", which needs generated text: this version scores one token, "
                          "expected first_token or choice",
                          name);
        task->metric = metrics[i].metric;
        return OR_OK;
    }
    return refuse(path, "\"metric\" is \"%s\", expected first_token or choice", name);
}

static or_status read_format(const cJSON *file, const char *path, const or_dataset_format **format)
{
    const char *name;
    OR_TRY(or_json_string(file, "format", path, &name));
    *format = or_dataset_format_find(name);
    if (*format) return OR_OK;
    or_buffer names = {0};
    or_status status = or_dataset_format_names(&names);
    if (status == OR_OK)
        status = or_fail(OR_ERR_INPUT, "task refused", path, "\"format\" is \"%s\", expected one of %s", name,
                         names.data);
    or_buffer_free(&names);
    return status;
}

/* *copy = the member `key`, or `otherwise` when it is absent. */
static or_status read_text(const cJSON *file, const char *key, const char *path, const char *otherwise,
                           char **copy)
{
    const char *text = otherwise;
    OR_TRY(or_json_opt_string(file, key, path, &text));
    return or_strdup(text, copy);
}

static or_status read_templates(or_task *task, const cJSON *file, const char *path)
{
    const or_field aliases[] = {{"input", task->input}, {"output", task->output}};
    const char *prompt, *answer = " {output}";
    OR_TRY(or_json_string(file, "prompt", path, &prompt));
    OR_TRY(or_json_opt_string(file, "answer", path, &answer));
    OR_TRY(or_template_parse(prompt, "prompt", path, aliases, 2, &task->prompt));
    OR_TRY(or_template_parse(answer, "answer", path, aliases, 2, &task->answer));
    if (task->prompt.count == 0)
        return refuse(path, "\"prompt\" is empty, expected text like \"%s\"", "{input}");
    if (or_template_names(&task->prompt, task->output))
        return refuse(path, "\"prompt\" shows the answer {%s}, expected it in \"answer\" only", task->output);
    if (!or_template_names(&task->answer, task->output))
        return refuse(path, "\"answer\" is \"%s\", expected {output} in it", answer);
    return OR_OK;
}

/* "choices": two or more different texts. */
static or_status read_choices(or_task *task, const cJSON *file, const char *path)
{
    if (!or_json_find(file, "choices")) return OR_OK;
    if (task->metric != OR_METRIC_CHOICE)
        return refuse(path, "found \"choices\", expected \"metric\": \"%s\" with them", "choice");
    const cJSON *list;
    OR_TRY(or_json_array(file, "choices", path, &list));
    if (cJSON_GetArraySize(list) < 2) return refuse(path, "found fewer than 2 %s, expected more", "choices");
    OR_TRY(OR_NEW(task->choices, (size_t)cJSON_GetArraySize(list)));
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsString(item)) return refuse(path, "found a %s that is no string", "choice");
        for (size_t i = 0; i < task->n_choices; i++)
            if (strcmp(task->choices[i], item->valuestring) == 0)
                return refuse(path, "found the choice \"%s\" twice, expected each once", item->valuestring);
        OR_TRY(or_strdup(item->valuestring, &task->choices[task->n_choices]));
        task->n_choices++;
    }
    return OR_OK;
}

/* One split. The file name is the task file's; a missing file is most often a missing --data. */
static or_status read_split(const char *name, const char *folder, const char *key, const char *path,
                            const or_dataset_format *format, or_dataset *dataset)
{
    char *file = NULL;
    OR_TRY(or_path_join(folder, name, &file));
    or_status status;
    if (or_path_exists(file))
        status = or_dataset_read(format, file, dataset);
    else
        status = or_fail(OR_ERR_INPUT, "data set not found", file,
                         "named by \"%s\" in %s, say by --data in which folder the data are", key, path);
    free(file);
    return status;
}

static or_status read_data(or_task *task, const cJSON *file, const char *path, const char *data_folder,
                           const or_dataset_format *format)
{
    const char *test, *train = NULL;
    OR_TRY(or_json_string(file, "test", path, &test));
    OR_TRY(or_json_opt_string(file, "train", path, &train));
    char *folder = NULL;
    OR_TRY(data_folder ? or_strdup(data_folder, &folder) : or_path_folder(path, &folder));
    or_status status = read_split(test, folder, "test", path, format, &task->test);
    if (status == OR_OK && train) status = read_split(train, folder, "train", path, format, &task->train);
    free(folder);
    return status;
}

static or_status list_names(char *const *names, size_t count, or_buffer *out)
{
    for (size_t i = 0; i < count; i++) OR_TRY(or_buffer_printf(out, "%s%s", i ? ", " : "", names[i]));
    return or_buffer_append(out, "", 0);
}

/* Refuses a field that no row has (place 0), or that this row has not. */
static or_status refuse_field(const or_dataset *dataset, const char *field, size_t place)
{
    or_buffer names = {0};
    or_status status = list_names(dataset->names, dataset->n_names, &names);
    if (status == OR_OK && place == 0)
        status =
            or_dataset_refuse(dataset, 0, "no row has a text named \"%s\", there are: %s", field, names.data);
    else if (status == OR_OK)
        status = or_dataset_refuse(dataset, place,
                                   "no text named \"%s\", expected one in every row (lists, objects and null "
                                   "are no text)",
                                   field);
    or_buffer_free(&names);
    return status;
}

static or_status check_field(const or_dataset *dataset, const char *field)
{
    bool known = false;
    for (size_t i = 0; i < dataset->n_names; i++) known = known || strcmp(dataset->names[i], field) == 0;
    if (!known) return refuse_field(dataset, field, 0);
    for (size_t i = 0; i < dataset->count; i++)
        if (!or_row_text(&dataset->rows[i], field))
            return refuse_field(dataset, field, dataset->rows[i].place);
    return OR_OK;
}

static or_status check_template(const or_dataset *dataset, const or_template *from)
{
    for (size_t i = 0; i < from->count; i++)
        if (from->pieces[i].is_field) OR_TRY(check_field(dataset, from->pieces[i].text));
    return OR_OK;
}

static or_status check_choice(const or_task *task, const or_dataset *dataset, const or_row *row)
{
    size_t count = task->n_choices ? task->n_choices : row->n_choices;
    const char *answer = or_row_text(row, task->output);
    for (size_t i = 0; i < count; i++)
        if (strcmp(task->n_choices ? task->choices[i] : row->choices[i], answer) == 0) return OR_OK;
    if (count < 2)
        return or_dataset_refuse(
            dataset, row->place,
            "found %zu choices, expected 2 or more for metric \"choice\" (format \"%s\": "
            "give \"choices\" in the task file)",
            count, dataset->format->name);
    return or_dataset_refuse(dataset, row->place, "\"%s\" is \"%s\", expected one of the %zu choices",
                             task->output, answer, count);
}

/* All that prompt.c takes for granted of the rows. */
static or_status check_rows(const or_task *task, const or_dataset *dataset)
{
    if (dataset->count == 0) return OR_OK; /* no train split */
    OR_TRY(check_field(dataset, task->input));
    OR_TRY(check_field(dataset, task->output));
    OR_TRY(check_template(dataset, &task->prompt));
    OR_TRY(check_template(dataset, &task->answer));
    if (task->metric != OR_METRIC_CHOICE) return OR_OK;
    for (size_t i = 0; i < dataset->count; i++) OR_TRY(check_choice(task, dataset, &dataset->rows[i]));
    return OR_OK;
}

/* Numbers as 8 bytes, lowest first, and texts behind their length: equal hashes on every machine, and no two
 * different tasks run together into the same bytes. */
static void hash_number(XXH3_state_t *state, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(number >> 8 * i);
    XXH3_64bits_update(state, bytes, sizeof bytes);
}

static void hash_text(XXH3_state_t *state, const char *text)
{
    size_t size = strlen(text);
    hash_number(state, size);
    XXH3_64bits_update(state, text, size);
}

static void hash_template(XXH3_state_t *state, const or_template *from)
{
    hash_number(state, from->count);
    for (size_t i = 0; i < from->count; i++) {
        hash_number(state, from->pieces[i].is_field);
        hash_text(state, from->pieces[i].text);
    }
}

static void hash_rows(XXH3_state_t *state, const or_dataset *dataset)
{
    hash_number(state, dataset->count);
    for (size_t i = 0; i < dataset->count; i++) {
        const or_row *row = &dataset->rows[i];
        hash_number(state, row->count);
        for (size_t f = 0; f < row->count; f++) {
            hash_text(state, row->fields[f].name);
            hash_text(state, row->fields[f].text);
        }
        hash_number(state, row->n_choices);
        for (size_t c = 0; c < row->n_choices; c++) hash_text(state, row->choices[c]);
    }
}

/* Over what the task means: where its files lie and in which format they are makes no difference. */
static or_status make_fingerprint(or_task *task)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return or_fail_memory(576); /* its size is xxhash's own affair, about this */
    XXH3_64bits_reset(state);
    hash_text(state, task->name);
    hash_number(state, (uint64_t)task->metric);
    hash_text(state, task->description);
    hash_text(state, task->separator);
    hash_text(state, task->output);
    hash_template(state, &task->prompt);
    hash_template(state, &task->answer);
    hash_number(state, task->n_choices);
    for (size_t i = 0; i < task->n_choices; i++) hash_text(state, task->choices[i]);
    hash_rows(state, &task->train);
    hash_rows(state, &task->test);
    task->fingerprint = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return OR_OK;
}

static or_status read_task(or_task *task, const cJSON *file, const char *path, const char *data_folder)
{
    const or_dataset_format *format;
    OR_TRY(check_keys(file, path));
    OR_TRY(read_name(task, file, path));
    OR_TRY(read_metric(task, file, path));
    OR_TRY(read_format(file, path, &format));
    OR_TRY(read_text(file, "description", path, "", &task->description));
    OR_TRY(read_text(file, "separator", path, "\n\n", &task->separator));
    OR_TRY(read_text(file, "input", path, format->input, &task->input));
    OR_TRY(read_text(file, "output", path, format->output, &task->output));
    OR_TRY(read_templates(task, file, path));
    OR_TRY(read_choices(task, file, path));
    OR_TRY(read_data(task, file, path, data_folder, format));
    OR_TRY(check_rows(task, &task->test));
    OR_TRY(check_rows(task, &task->train));
    return make_fingerprint(task);
}

or_status or_task_load(const char *path, const char *data_folder, or_task **task)
{
    *task = NULL;
    cJSON *file = NULL;
    or_task *made = NULL;
    OR_TRY(or_json_load(path, &file));
    or_status status = OR_NEW(made, 1);
    if (status == OR_OK) status = read_task(made, file, path, data_folder);
    cJSON_Delete(file);
    if (status == OR_OK)
        *task = made;
    else
        or_task_free(made);
    return status;
}

void or_task_free(or_task *task)
{
    if (!task) return;
    or_dataset_free(&task->train);
    or_dataset_free(&task->test);
    or_template_free(&task->prompt);
    or_template_free(&task->answer);
    for (size_t i = 0; i < task->n_choices; i++) free(task->choices[i]);
    free(task->choices);
    free(task->output);
    free(task->input);
    free(task->separator);
    free(task->description);
    free(task->name);
    free(task);
}

const char *or_task_name(const or_task *task)
{
    return task->name;
}

or_metric or_task_metric(const or_task *task)
{
    return task->metric;
}

size_t or_task_test_count(const or_task *task)
{
    return task->test.count;
}

size_t or_task_train_count(const or_task *task)
{
    return task->train.count;
}

uint64_t or_task_fingerprint(const or_task *task)
{
    return task->fingerprint;
}
