/* task.c - reading a task file, and the data sets that it names.
 *
 * Whatever could go wrong in the middle of a run is refused here, before a model is touched.
 */
#include "task_struct.h"

#include "file.h"

#include <string.h>
#include <xxhash.h>

#define REFUSE(path, ...) or_fail(OR_ERR_INPUT, "task refused", path, __VA_ARGS__)

/* All keys of a task file; task.h and configs/tasks/README.md say what they mean. */
static const char *const known_keys[] = {"name",        "format",  "train",      "test",      "input",
                                         "output",      "prompt",  "answer",     "separator", "metric",
                                         "description", "choices", "max_tokens", "stop"};
enum { N_KEYS = sizeof known_keys / sizeof *known_keys };

/* A misspelt key would be taken for an absent one: "seperator" must not mean the default. */
static or_status check_keys(const cJSON *file, const char *path)
{
    const cJSON *member;
    cJSON_ArrayForEach(member, file)
    {
        size_t i = 0;
        while (i < N_KEYS && strcmp(known_keys[i], member->string) != 0) i++;
        if (i == N_KEYS)
            return REFUSE(path,
                          "found the key \"%s\", expected name, format, train, test, input, output, prompt, "
                          "answer, separator, metric, description, choices, max_tokens or stop",
                          member->string);
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
        return REFUSE(path, "\"name\" is \"%s\", expected 1..64 letters, digits or any of _-.+", name);
    return or_strdup(name, &task->name);
}

static const struct {
    const char *name;
    or_metric metric;
    size_t max_tokens; /* of an answer unless the task file says otherwise; 0: one token is all it looks at */
} metrics[] = {
    {"first_token", OR_METRIC_FIRST_TOKEN, 0},
    {"choice", OR_METRIC_CHOICE, 0},
    {"exact_match", OR_METRIC_EXACT_MATCH, 32},
    {"f1", OR_METRIC_F1, 32},
};
enum { N_METRICS = sizeof metrics / sizeof *metrics };

/* first_token is AdaInfer's measure: right is whose next token begins the answer. */
static or_status read_metric(or_task *task, const cJSON *file, const char *path)
{
    const char *name = "first_token";
    OR_TRY(or_json_opt_string(file, "metric", path, &name));
    for (size_t i = 0; i < N_METRICS; i++) {
        if (strcmp(metrics[i].name, name) != 0) continue;
        task->metric = metrics[i].metric;
        task->max_tokens = metrics[i].max_tokens;
        return OR_OK;
    }
    return REFUSE(path, "\"metric\" is \"%s\", expected first_token, choice, exact_match or f1", name);
}

/* *format points into the table of dataset.c; nothing to free. */
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

/* *copy = the member `key`, or `otherwise` when it is absent or null; malloc'ed, the task's. */
static or_status read_text(const cJSON *file, const char *key, const char *path, const char *otherwise,
                           char **copy)
{
    const char *text = otherwise;
    OR_TRY(or_json_opt_string(file, key, path, &text));
    return or_strdup(text, copy);
}

/* {input} and {output} become the fields they stand for here, so later only field names are looked up. A
 * prompt that shows the answer would measure copying; an answer without it would be the same for every
 * row. */
static or_status read_templates(or_task *task, const cJSON *file, const char *path)
{
    const or_field aliases[] = {{"input", task->input}, {"output", task->output}};
    const char *prompt, *answer = " {output}";
    if (!task->input[0] || !task->output[0])
        return REFUSE(path, "\"input\" or \"output\" is \"\", expected the name of a field");
    OR_TRY(or_json_string(file, "prompt", path, &prompt));
    OR_TRY(or_json_opt_string(file, "answer", path, &answer));
    OR_TRY(or_template_parse(prompt, "prompt", path, aliases, 2, &task->prompt));
    OR_TRY(or_template_parse(answer, "answer", path, aliases, 2, &task->answer));
    if (task->prompt.count == 0) return REFUSE(path, "\"prompt\" is empty, expected text like \"{input}\"");
    if (or_template_names(&task->prompt, task->output))
        return REFUSE(path, "\"prompt\" shows the answer {%s}, expected it in \"answer\" only", task->output);
    if (!or_template_names(&task->answer, task->output))
        return REFUSE(path, "\"answer\" is \"%s\", expected {output} in it", answer);
    return OR_OK;
}

/* "choices": two or more different texts, the same for every row. Rows that bring their own (mmlu,
 * commonsense_qa) need none. */
static or_status read_choices(or_task *task, const cJSON *file, const char *path)
{
    if (!or_json_find(file, "choices")) return OR_OK;
    if (task->metric != OR_METRIC_CHOICE)
        return REFUSE(path, "found \"choices\", expected \"metric\": \"choice\" with them");
    const cJSON *list;
    OR_TRY(or_json_array(file, "choices", path, &list));
    if (cJSON_GetArraySize(list) < 2)
        return REFUSE(path, "\"choices\" has fewer than 2 texts, expected 2 or more");
    OR_TRY(OR_NEW(task->choices, (size_t)cJSON_GetArraySize(list)));
    for (const cJSON *item = list->child; item; item = item->next) {
        if (!cJSON_IsString(item)) return REFUSE(path, "\"choices\" holds something else than texts");
        for (size_t i = 0; i < task->n_choices; i++)
            if (strcmp(task->choices[i], item->valuestring) == 0)
                return REFUSE(path, "found the choice \"%s\" twice, expected each once", item->valuestring);
        OR_TRY(or_strdup(item->valuestring, &task->choices[task->n_choices]));
        task->n_choices++;
    }
    return OR_OK;
}

static or_status add_stop(or_task *task, const char *text, const char *path)
{
    if (!text || !text[0]) return REFUSE(path, "\"stop\" has something else than a text with characters");
    OR_TRY(or_strdup(text, &task->stops[task->n_stops]));
    task->n_stops++;
    return OR_OK;
}

/* "stop": a text or a list of texts, which may be empty; without it an answer ends with its line. */
static or_status read_stops(or_task *task, const cJSON *file, const char *path)
{
    const cJSON *stop = or_json_find(file, "stop"), *item;
    OR_TRY(OR_NEW(task->stops, cJSON_IsArray(stop) ? (size_t)cJSON_GetArraySize(stop) : 1));
    if (!stop) return add_stop(task, "\n", path);
    if (!cJSON_IsArray(stop)) return add_stop(task, cJSON_GetStringValue(stop), path);
    cJSON_ArrayForEach(item, stop) OR_TRY(add_stop(task, cJSON_GetStringValue(item), path));
    return OR_OK;
}

/* Where a generated answer ends. With the other metrics these keys would mean nothing. */
static or_status read_ends(or_task *task, const cJSON *file, const char *path)
{
    enum { MOST = 1 << 20 }; /* far above any model's context, which eval compares it with */
    if (task->max_tokens == 0) {
        const char *key = or_json_find(file, "max_tokens") ? "max_tokens" : "stop";
        if (!or_json_find(file, key)) return OR_OK;
        return REFUSE(path, "found \"%s\", expected \"metric\": \"exact_match\" or \"f1\" with it", key);
    }
    int64_t max_tokens = (int64_t)task->max_tokens;
    OR_TRY(or_json_opt_int(file, "max_tokens", path, 1, MOST, &max_tokens));
    task->max_tokens = (size_t)max_tokens;
    return read_stops(task, file, path);
}

/* One split. The file name is the task file's, relative to `folder`; a missing file is most often a missing
 * --data. */
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

/* --data moves the whole task to another folder; otherwise its files lie beside the task file. Only the
 * names are compared: two links to one file pass. */
static or_status read_data(or_task *task, const cJSON *file, const char *path, const char *data_folder,
                           const or_dataset_format *format)
{
    const char *test, *train = NULL;
    OR_TRY(or_json_string(file, "test", path, &test));
    OR_TRY(or_json_opt_string(file, "train", path, &train));
    if (train && strcmp(train, test) == 0)
        return REFUSE(
            path,
            "\"train\" and \"test\" are both \"%s\", expected two files: a question would be its own "
            "demonstration",
            test);
    char *folder = NULL;
    OR_TRY(data_folder ? or_strdup(data_folder, &folder) : or_path_folder(path, &folder));
    or_status status = read_split(test, folder, "test", path, format, &task->test);
    if (status == OR_OK && train) status = read_split(train, folder, "train", path, format, &task->train);
    free(folder);
    return status;
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

/* is_field keeps {name} and the bare word name apart. */
static void hash_template(XXH3_state_t *state, const or_template *from)
{
    hash_number(state, from->count);
    for (size_t i = 0; i < from->count; i++) {
        hash_number(state, from->parts[i].is_field);
        hash_text(state, from->parts[i].text);
    }
}

/* Fields in the order of the file, which a template does not see: a file with its columns moved is another
 * one. `answers`: those beside the output field count too. */
static void hash_rows(XXH3_state_t *state, const or_dataset *dataset, bool answers)
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
        if (!answers) continue;
        hash_number(state, row->n_answers);
        for (size_t a = 0; a < row->n_answers; a++) hash_text(state, row->answers[a]);
    }
}

/* Over what the task means: where its files lie and in which format they are makes no difference. It goes
 * into a journal's run, which cannot be resumed with other prompts or other rows. */
static or_status make_fingerprint(or_task *task)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return or_fail_memory(576); /* its size is xxhash's own affair, about this */
    XXH3_64bits_reset(state);
    hash_text(state, task->name);
    hash_number(state, (uint64_t)task->metric);
    hash_text(state, task->description);
    hash_text(state, task->separator);
    /* the input's name is not needed: templates have it where it matters */
    hash_text(state, task->output);
    hash_template(state, &task->prompt);
    hash_template(state, &task->answer);
    hash_number(state, task->n_choices);
    for (size_t i = 0; i < task->n_choices; i++) hash_text(state, task->choices[i]);
    if (task->max_tokens > 0) {
        hash_number(state, task->max_tokens);
        hash_number(state, task->n_stops);
        for (size_t i = 0; i < task->n_stops; i++) hash_text(state, task->stops[i]);
    }
    hash_rows(state, &task->train, task->max_tokens > 0);
    hash_rows(state, &task->test, task->max_tokens > 0);
    task->fingerprint = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return OR_OK;
}

/* Fills task in the order of dependence: templates want the format's field names, choices the metric, rows
 * all of them. What a failure leaves is released by or_task_free(). */
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
    OR_TRY(read_ends(task, file, path));
    OR_TRY(read_data(task, file, path, data_folder, format));
    OR_TRY(or_task_check_rows(task, &task->test));
    OR_TRY(or_task_check_rows(task, &task->train));
    return make_fingerprint(task);
}

/* *task is NULL unless all of it was good. */
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
    for (size_t i = 0; i < task->n_stops; i++) free(task->stops[i]);
    free(task->stops);
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

size_t or_task_max_tokens(const or_task *task)
{
    return task->max_tokens;
}

const char *const *or_task_stops(const or_task *task, size_t *count)
{
    *count = task->n_stops;
    return (const char *const *)task->stops;
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
