/* test_task.c - task files: what they mean, what is refused in them, and the ones that are shipped. */
#include "support.h"

#include "file.h"
#include "task_struct.h"

#include <unistd.h>

static const char rows[] =
    "{\"text\": \"fine\", \"label\": \"good\"}\n{\"text\": \"dull\", \"label\": \"bad\"}\n";

/* A folder with the rows as test.jsonl and train.jsonl, and task.json. */
static const char *make_task(const char *task)
{
    const char *folder = scratch_folder();
    put_text(path_in(folder, "test.jsonl"), rows);
    put_text(path_in(folder, "train.jsonl"), rows);
    put_text(path_in(folder, "task.json"), task);
    return path_in(folder, "task.json");
}

/* A good task with `more` behind its members (", \"key\": value"). */
static const char *good_task(const char *more)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "{\"name\": \"films\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", \"input\": \"text\", "
             "\"output\": \"label\", \"prompt\": \"Q: {input}\\nA:\"%s}",
             more);
    return text;
}

#define assert_refused(task, part)                                                                           \
    do {                                                                                                     \
        or_task *refused_ = (or_task *)1;                                                                    \
        assert_fails(or_task_load(make_task(task), NULL, &refused_), OR_ERR_INPUT, (part));                  \
        assert_null(refused_);                                                                               \
    } while (0)

static void assert_prompt(const or_task *task, int shots, size_t index, const char *expected)
{
    const or_prompt_options options = {.shots = shots, .seed = 1};
    char *text;
    assert_ok(or_task_prompt_text(task, &options, index, &text));
    assert_string_equal(text, expected);
    free(text);
}

static void defaults_are_the_contracts(void **state)
{
    (void)state;
    or_task *task;
    assert_ok(or_task_load(make_task(good_task("")), NULL, &task));
    assert_string_equal(or_task_name(task), "films");
    assert_int_equal(or_task_metric(task), OR_METRIC_FIRST_TOKEN);
    assert_int_equal(or_task_test_count(task), 2);
    assert_int_equal(or_task_train_count(task), 0);
    assert_string_equal(task->separator, "\n\n");
    assert_string_equal(task->description, "");
    assert_int_equal(task->answer.count, 2);
    assert_string_equal(task->answer.parts[0].text, " ");
    assert_string_equal(task->answer.parts[1].text, "label");
    assert_prompt(task, 0, 1, "Q: dull\nA:");
    or_task_free(task);
    or_task_free(NULL);
}

static void every_key_is_used(void **state)
{
    (void)state;
    or_task *task;
    assert_ok(or_task_load(
        make_task(good_task(", \"train\": \"train.jsonl\", \"answer\": \"={output}\", \"separator\": "
                            "\";\", \"metric\": \"choice\", \"choices\": [\"bad\", \"good\"], "
                            "\"description\": \"Say {it}. \"")),
        NULL, &task));
    assert_int_equal(or_task_train_count(task), 2);
    assert_int_equal(or_task_metric(task), OR_METRIC_CHOICE);
    assert_int_equal(task->n_choices, 2);
    assert_string_equal(task->choices[0], "bad");
    assert_prompt(task, 0, 0, "Say {it}. Q: fine\nA:"); /* a description is literal */
    or_task_free(task);
}

static void paths_are_relative_to_the_data_folder_or_the_task(void **state)
{
    (void)state;
    const char *elsewhere = scratch_folder();
    put_text(path_in(elsewhere, "task.json"), good_task(""));
    put_text(path_in(elsewhere, "test.jsonl"), "{\"text\": \"other\", \"label\": \"bad\"}");
    char data[1024];
    snprintf(data, sizeof data, "%s", make_task(good_task("")));
    *strrchr(data, '/') = '\0';
    or_task *task;
    assert_ok(or_task_load(path_in(elsewhere, "task.json"), NULL, &task));
    assert_int_equal(or_task_test_count(task), 1);
    or_task_free(task);
    assert_ok(or_task_load(path_in(elsewhere, "task.json"), data, &task));
    assert_int_equal(or_task_test_count(task), 2);
    or_task_free(task);
    assert_fails(or_task_load(path_in(elsewhere, "task.json"), "/nonexistent", &task), OR_ERR_INPUT,
                 "data set not found (/nonexistent/test.jsonl): named by \"test\"");
    assert_fails(or_task_load("/nonexistent/task.json", NULL, &task), OR_ERR_INPUT, "/nonexistent/task.json");
}

static void unknown_and_missing_keys_are_refused(void **state)
{
    (void)state;
    assert_refused("[]", "expected {...}");
    assert_refused("{", "not JSON");
    assert_refused(good_task(", \"seperator\": \"\""), "found the key \"seperator\", expected name, format");
    assert_refused(good_task(", \"name\": \"x\""), "found the key \"name\" twice");
    assert_refused("{\"format\": \"jsonl\", \"test\": \"t\", \"prompt\": \"p\"}", "\"name\" is nothing");
    assert_refused("{\"name\": \"n\", \"test\": \"t\", \"prompt\": \"p\"}", "\"format\" is nothing");
    assert_refused("{\"name\": \"n\", \"format\": \"jsonl\", \"prompt\": \"{input}\"}",
                   "\"test\" is nothing");
    assert_refused("{\"name\": \"n\", \"format\": \"jsonl\", \"test\": \"t\"}", "\"prompt\" is nothing");
    assert_refused(
        "{\"name\": \"n\", \"format\": \"parquet\", \"test\": \"t\", \"prompt\": \"p\"}",
        "\"format\" is \"parquet\", expected one of jsonl, json, csv, mmlu, commonsense_qa, squad");
    assert_refused(good_task(", \"answer\": 3"), "\"answer\" is a number, expected a string");
    assert_refused(good_task(", \"train\": \"missing.jsonl\""), "named by \"train\"");
    assert_refused(good_task(", \"train\": \"test.jsonl\""),
                   "\"train\" and \"test\" are both \"test.jsonl\"");
}

static void names_must_fit_into_files_and_tables(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",    "a b",         "a,b",
        "a/b", "caf\xc3\xa9", "01234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char task[256];
        snprintf(task, sizeof task, "{\"name\": \"%s\", \"format\": \"jsonl\"}", bad[i]);
        assert_refused(task, "expected 1..64 letters");
    }
}

static void generated_answers_have_ends(void **state)
{
    (void)state;
    or_task *task;
    size_t n_stops;
    assert_ok(or_task_load(make_task(good_task(", \"metric\": \"f1\"")), NULL, &task));
    assert_int_equal(or_task_metric(task), OR_METRIC_F1);
    assert_int_equal(or_task_max_tokens(task), 32);
    assert_string_equal(or_task_stops(task, &n_stops)[0], "\n");
    assert_int_equal(n_stops, 1);
    or_task_free(task);
    assert_ok(or_task_load(make_task(good_task(", \"metric\": \"exact_match\", \"max_tokens\": 5, "
                                               "\"stop\": [\"Q:\", \"\\n\\n\"]")),
                           NULL, &task));
    assert_int_equal(or_task_metric(task), OR_METRIC_EXACT_MATCH);
    assert_int_equal(or_task_max_tokens(task), 5);
    assert_string_equal(or_task_stops(task, &n_stops)[1], "\n\n");
    assert_int_equal(n_stops, 2);
    or_task_free(task);
    assert_ok(or_task_load(make_task(good_task(", \"metric\": \"f1\", \"stop\": []")), NULL, &task));
    (void)or_task_stops(task, &n_stops);
    assert_int_equal(n_stops, 0);
    or_task_free(task);
    assert_ok(or_task_load(make_task(good_task("")), NULL, &task));
    assert_int_equal(or_task_max_tokens(task), 0);
    or_task_free(task);
}

static void ends_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_refused(good_task(", \"metric\": \"bleu\""),
                   "\"metric\" is \"bleu\", expected first_token, choice, exact_match or f1");
    assert_refused(good_task(", \"max_tokens\": 5"), "found \"max_tokens\", expected \"metric\"");
    assert_refused(good_task(", \"stop\": []"), "found \"stop\", expected \"metric\"");
    assert_refused(good_task(", \"metric\": \"f1\", \"max_tokens\": 0"), "\"max_tokens\" is 0");
    assert_refused(good_task(", \"metric\": \"f1\", \"stop\": \"\""), "\"stop\" has something else");
    assert_refused(good_task(", \"metric\": \"f1\", \"stop\": [\"x\", 3]"), "\"stop\" has something else");
    assert_refused(good_task(", \"metric\": \"f1\", \"stop\": 3"), "\"stop\" has something else");
}

static void bad_templates_are_refused(void **state)
{
    (void)state;
    const char *start =
        "{\"name\": \"n\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", \"input\": \"text\", "
        "\"output\": \"label\"";
    static const struct {
        const char *more, *part;
    } cases[] = {
        {"\"prompt\": \"\"", "\"prompt\" is empty"},
        {"\"prompt\": \"{\"", "\"prompt\" has \"{\" without"},
        {"\"prompt\": \"{input}\", \"answer\": \"}\"", "\"answer\" has \"}\" without"},
        {"\"prompt\": \"{input} {output}\"", "shows the answer {label}"},
        {"\"prompt\": \"{input} {label}\"", "shows the answer {label}"},
        {"\"prompt\": \"{input}\", \"answer\": \" yes\"", "\"answer\" is \" yes\", expected {output} in it"},
        {"\"prompt\": \"{question}\"", "no row has a text named \"question\", expected one of: text, label"},
        {"\"prompt\": \"{input}\", \"answer\": \" {output} {why}\"", "no row has a text named \"why\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char task[512];
        snprintf(task, sizeof task, "%s, %s}", start, cases[i].more);
        assert_refused(task, cases[i].part);
    }
    assert_refused(
        "{\"name\": \"n\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", \"input\": \"\", \"prompt\": "
        "\"{input}\"}",
        "expected the name of a field");
}

/* A task over these rows, which must be refused. */
static void assert_rows_refused(const char *test, const char *more, const char *part)
{
    const char *folder = scratch_folder();
    or_task *task;
    put_text(path_in(folder, "test.jsonl"), test);
    put_text(path_in(folder, "task.json"), good_task(more));
    assert_fails(or_task_load(path_in(folder, "task.json"), NULL, &task), OR_ERR_INPUT, part);
}

static void rows_without_a_needed_text_are_refused(void **state)
{
    (void)state;
    assert_rows_refused("{\"text\": \"x\", \"label\": \"y\"}\n\n{\"text\": \"x\"}\n", "",
                        "test.jsonl:3): found no text named \"label\"");
    assert_rows_refused("{\"text\": \"x\", \"label\": \"y\"}\n{\"text\": [1], \"label\": \"y\"}\n", "",
                        "test.jsonl:2): found no text named \"text\"");
    assert_rows_refused("{\"text\": {\"a\": 1}, \"label\": \"y\"}\n", "", "no row has a text named \"text\"");
    assert_rows_refused("{\"text\": \"x\", \"label\": \"y\"}\n\xff", "",
                        "test.jsonl:2): found a byte that is not");
    assert_rows_refused("", "", "found no rows");
}

static void train_rows_are_checked_too(void **state)
{
    (void)state;
    const char *path = make_task(good_task(", \"train\": \"train.jsonl\""));
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = '\0';
    put_text(path_in(folder, "train.jsonl"), "{\"text\": \"x\", \"label\": \"y\"}\n{\"label\": \"y\"}\n");
    or_task *task;
    assert_fails(or_task_load(path, NULL, &task), OR_ERR_INPUT,
                 "train.jsonl:2): found no text named \"text\"");
}

static void choices_are_checked(void **state)
{
    (void)state;
    assert_refused(good_task(", \"choices\": [\"good\", \"bad\"]"),
                   "expected \"metric\": \"choice\" with them");
    assert_refused(good_task(", \"metric\": \"choice\""),
                   "test.jsonl:1): found 0 choices, expected 2 or more");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": [\"good\", \"poor\"]"),
                   "test.jsonl:2): \"label\" is \"bad\", expected one of the 2 choices");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": [\"good\"]"), "fewer than 2 texts");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": []"), "fewer than 2 texts");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": [\"good\", 1]"),
                   "something else than texts");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": [\"good\", \"good\"]"),
                   "\"good\" twice");
    assert_refused(good_task(", \"metric\": \"choice\", \"choices\": \"good\""), "expected an array");
}

static uint64_t fingerprint_of(const char *task_text, const char *test)
{
    const char *folder = scratch_folder();
    put_text(path_in(folder, "test.jsonl"), test);
    put_text(path_in(folder, "train.jsonl"), rows);
    put_text(path_in(folder, "task.json"), task_text);
    or_task *task;
    assert_ok(or_task_load(path_in(folder, "task.json"), NULL, &task));
    uint64_t fingerprint = or_task_fingerprint(task);
    or_task_free(task);
    return fingerprint;
}

static void fingerprints_follow_the_meaning(void **state)
{
    (void)state;
    uint64_t plain = fingerprint_of(good_task(""), rows);
    assert_true(plain == fingerprint_of(good_task(""), rows)); /* in another folder */
    assert_true(plain ==
                fingerprint_of(good_task(", \"separator\": \"\\n\\n\", \"answer\": \" {label}\""), rows));
    static const char *const changes[] = {", \"separator\": \"\\n\"", ", \"answer\": \"{output}\"",
                                          ", \"description\": \"Judge.\"", ", \"train\": \"train.jsonl\"",
                                          ", \"metric\": \"choice\", \"choices\": [\"good\", \"bad\"]"};
    uint64_t seen[5];
    for (size_t i = 0; i < 5; i++) {
        seen[i] = fingerprint_of(good_task(changes[i]), rows);
        assert_true(seen[i] != plain);
        for (size_t k = 0; k < i; k++) assert_true(seen[i] != seen[k]);
    }
    assert_true(plain != fingerprint_of(good_task(""), "{\"text\": \"fine\", \"label\": \"good\"}\n"));
    const uint64_t generated = fingerprint_of(good_task(", \"metric\": \"f1\""), rows);
    assert_true(generated != plain);
    assert_true(generated != fingerprint_of(good_task(", \"metric\": \"exact_match\""), rows));
    assert_true(generated != fingerprint_of(good_task(", \"metric\": \"f1\", \"max_tokens\": 31"), rows));
    assert_true(generated != fingerprint_of(good_task(", \"metric\": \"f1\", \"stop\": \".\""), rows));
    assert_true(generated == fingerprint_of(good_task(", \"metric\": \"f1\", \"stop\": [\"\\n\"], "
                                                      "\"max_tokens\": 32"),
                                            rows));
    /* names and texts of the same bytes on end, but differently cut */
    assert_true(fingerprint_of(good_task(""), "{\"text\": \"a\", \"label\": \"b\", \"c\": \"d\"}") !=
                fingerprint_of(good_task(""), "{\"text\": \"a\", \"label\": \"bc\", \"d\": \"\"}"));
}

/* The shipped demo tasks, complete with their data. */
static void demo_tasks_load(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t test, train;
    } demos[] = {{"alphabetically_first_3", 200, 800},
                 {"animal_v_object_3", 200, 800},
                 {"capitalize_first_letter", 162, 651},
                 {"choose_first_of_3", 200, 800},
                 {"choose_last_of_3", 200, 800},
                 {"color_v_animal_3", 200, 800},
                 {"fruit_v_animal_3", 200, 800},
                 {"next_item", 45, 180},
                 {"person-sport", 63, 255},
                 {"word_length", 162, 652}};
    for (size_t i = 0; i < sizeof demos / sizeof *demos; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.json", source_path("configs/demo/tasks"), demos[i].name);
        or_task *task;
        assert_ok(or_task_load(path, NULL, &task));
        assert_string_equal(or_task_name(task), demos[i].name);
        assert_int_equal(or_task_test_count(task), demos[i].test);
        assert_int_equal(or_task_train_count(task), demos[i].train);
        or_task_free(task);
    }
}

/* A shipped task over the published data; its zero-shot prompt for the first row. */
static void check_shipped(const char *name, const char *data, size_t test, size_t train, const char *prompt)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.json", source_path("configs/tasks"), name);
    or_task *task;
    assert_ok(or_task_load(path, data, &task));
    assert_int_equal(or_task_test_count(task), test);
    assert_int_equal(or_task_train_count(task), train);
    assert_prompt(task, 0, 0, prompt);
    or_task_free(task);
}

static void shipped_tasks_load(void **state)
{
    (void)state;
    char data[1024];
    snprintf(data, sizeof data, "%s", need_data("data"));
    check_shipped("sst2", data, 872, 6920, "Q: one long string of cliches\nA:");
    check_shipped(
        "ag_news", data, 2000, 6904,
        "Q: Fears for T N pension after talks Unions representing workers at Turner Newall say they are "
        "'disappointed' after talks with stricken parent firm Federal Mogul.\nA:");
    check_shipped(
        "commonsense_qa", data, 1221, 9741,
        "Q: A revolving door is convenient for two direction travel, but it also serves as a security "
        "measure at a what?\na: bank\nb: library\nc: department store\nd: mall\ne: new york\nA:");
    check_shipped(
        "mmlu", data, 100, 5,
        "The following are multiple choice questions (with answers) about abstract algebra.\n\nFind the "
        "degree for the given field extension Q(sqrt(2), sqrt(3), sqrt(18)) over Q.\nA. 0\nB. 4\nC. 2\n"
        "D. 6\nAnswer:");
}

/* Shipped without a train file: 0 shots. */
static void check_squad(const char *path, or_metric metric)
{
    or_task *task;
    need_data("data/squad/dev-v1.1.json");
    assert_ok(or_task_load(source_path(path), need_data("data"), &task));
    assert_int_equal(or_task_metric(task), metric);
    assert_int_equal(or_task_test_count(task), 10570);
    assert_int_equal(or_task_train_count(task), 0);
    const or_prompt_options options = {.shots = 0, .seed = 3};
    char *text;
    assert_ok(or_task_prompt_text(task, &options, 0, &text));
    const char *start = "Q: Super Bowl 50 was";
    assert_memory_equal(text, start, strlen(start));
    const char *end = " Which NFL team represented the AFC at Super Bowl 50?\nA:";
    assert_string_equal(text + strlen(text) - strlen(end), end);
    free(text);
    or_task_free(task);
}

static void shipped_squad_loads(void **state)
{
    (void)state;
    check_squad("configs/tasks/squad.json", OR_METRIC_FIRST_TOKEN);
    check_squad("configs/tasks/squad-f1.json", OR_METRIC_F1);
}

/* make-mmlu.sh makes one loadable task of every subject. */
static void make_mmlu_makes_all_subjects(void **state)
{
    (void)state;
    char data[1024], made[1024], command[4096];
    snprintf(data, sizeof data, "%s", need_data("data"));
    need_data("data/mmlu/test/anatomy_test.csv");
    snprintf(made, sizeof made, "%s", scratch_folder());
    snprintf(command, sizeof command, "'%s' '%s' '%s' >/dev/null", source_path("configs/tasks/make-mmlu.sh"),
             data, made);
    assert_int_equal(system(command), 0);
    static const char *const subjects[] = {"anatomy", "high_school_us_history", "world_religions"};
    for (size_t i = 0; i < 3; i++) {
        char path[1200], name[64];
        snprintf(name, sizeof name, "mmlu_%s", subjects[i]);
        snprintf(path, sizeof path, "%s/%s.json", made, name);
        or_task *task;
        assert_ok(or_task_load(path, data, &task));
        assert_string_equal(or_task_name(task), name);
        assert_int_equal(or_task_train_count(task), 5);
        assert_int_equal(or_task_metric(task), OR_METRIC_CHOICE);
        or_task_free(task);
    }
    snprintf(command, sizeof command, "'%s' '%s' '%s' 2>/dev/null", source_path("configs/tasks/make-mmlu.sh"),
             made, made);
    assert_int_equal(WEXITSTATUS(system(command)), 3); /* no data there */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_contracts),
        cmocka_unit_test(every_key_is_used),
        cmocka_unit_test(paths_are_relative_to_the_data_folder_or_the_task),
        cmocka_unit_test(unknown_and_missing_keys_are_refused),
        cmocka_unit_test(names_must_fit_into_files_and_tables),
        cmocka_unit_test(generated_answers_have_ends),
        cmocka_unit_test(ends_that_make_no_sense_are_refused),
        cmocka_unit_test(bad_templates_are_refused),
        cmocka_unit_test(rows_without_a_needed_text_are_refused),
        cmocka_unit_test(train_rows_are_checked_too),
        cmocka_unit_test(choices_are_checked),
        cmocka_unit_test(fingerprints_follow_the_meaning),
        cmocka_unit_test(demo_tasks_load),
        cmocka_unit_test(shipped_tasks_load),
        cmocka_unit_test(shipped_squad_loads),
        cmocka_unit_test(make_mmlu_makes_all_subjects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
