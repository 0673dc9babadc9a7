/* test_dataset.c - every data set format on good files, on borders, and on files it must refuse. */
#include "support.h"

#include "dataset.h"

/* Reads `size` bytes as a file of that format. */
static or_status read_bytes(const char *format, const char *bytes, size_t size, or_dataset *dataset)
{
    const or_dataset_format *found = or_dataset_format_find(format);
    assert_non_null(found);
    static const char *folder; /* one for all, each file over the last */
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "rows");
    put_file(path, bytes, size);
    return or_dataset_read(found, path, dataset);
}

static or_status read_text(const char *format, const char *text, or_dataset *dataset)
{
    return read_bytes(format, text, strlen(text), dataset);
}

/* Row `row` has exactly this text of that name; NULL: none. */
static void assert_text(const or_dataset *dataset, size_t row, const char *name, const char *expected)
{
    assert_true(row < dataset->count);
    const char *text = or_row_text(&dataset->rows[row], name);
    if (!expected) {
        assert_null(text);
    } else {
        assert_non_null(text);
        assert_string_equal(text, expected);
    }
}

#define assert_refused(format, text, part)                                                                   \
    do {                                                                                                     \
        or_dataset refused_;                                                                                 \
        assert_fails(read_text((format), (text), &refused_), OR_ERR_INPUT, (part));                          \
        assert_int_equal(refused_.count, 0); /* nothing is left to free */                                   \
        assert_null(refused_.path);                                                                          \
    } while (0)

static void formats_are_found_by_name(void **state)
{
    (void)state;
    or_buffer names = {0};
    assert_ok(or_dataset_format_names(&names));
    assert_string_equal(names.data, "jsonl, json, csv, mmlu, commonsense_qa, squad");
    or_buffer_free(&names);
    assert_null(or_dataset_format_find("parquet"));
    assert_null(or_dataset_format_find(""));
}

static void jsonl_members_become_text(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text(
        "jsonl",
        "{\"text\": \"a \\\"b\\\" \\u00e9\\n\", \"n\": 3, \"half\": 0.5, \"yes\": true, \"no\": false}\r\n"
        "\n  \t\r\n"
        "{\"text\": \"\", \"n\": null, \"list\": [1], \"map\": {\"a\": 1}, \"big\": 1e300,"
        " \"most\": 9007199254740992, \"minus\": -12}",
        &d));
    assert_int_equal(d.count, 2);
    assert_text(&d, 0, "text", "a \"b\" \xc3\xa9\n");
    assert_text(&d, 0, "n", "3");
    assert_text(&d, 0, "half", "0.5");
    assert_text(&d, 0, "yes", "true");
    assert_text(&d, 0, "no", "false");
    assert_int_equal(d.rows[0].place, 1);
    assert_int_equal(d.rows[1].place, 4); /* blank lines are skipped, but counted */
    assert_text(&d, 1, "text", "");
    assert_text(&d, 1, "n", NULL);
    assert_text(&d, 1, "list", NULL);
    assert_text(&d, 1, "map", NULL);
    assert_text(&d, 1, "big", NULL); /* a double does not hold it exactly */
    assert_text(&d, 1, "most", "9007199254740992");
    assert_text(&d, 1, "minus", "-12");
    assert_int_equal(d.rows[0].n_choices, 0);
    or_dataset_free(&d);
    or_dataset_free(&d); /* {0} is fine */
}

static void jsonl_refuses_bad_lines(void **state)
{
    (void)state;
    assert_refused("jsonl", "", "found no rows");
    assert_refused("jsonl", "\n \n", "found no rows");
    assert_refused("jsonl", "{\"a\": 1}\n{\"a\": \n", "rows:2): ");
    assert_refused("jsonl", "{\"a\": 1}\n{\"a\": \n", "expected JSON");
    assert_refused("jsonl", "{\"a\": 1}\n\n[1]\n", "rows:3): found no object");
    assert_refused("jsonl", "{\"a\": 1} {\"a\": 2}\n", "rows:1): found more text");
    assert_refused("jsonl", "{\"a\": \"x\", \"a\": \"y\"}\n", "rows:1): found \"a\" twice");
    assert_refused("jsonl", "{\"a\": \"x\\u0000y\"}\n", "NUL");
}

static void texts_that_are_no_utf8_are_refused(void **state)
{
    (void)state;
    or_dataset d;
    static const char *const formats[] = {"jsonl", "json", "csv", "mmlu", "commonsense_qa", "squad"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        assert_fails(read_text(formats[i], "a\nb\xff\n", &d), OR_ERR_INPUT,
                     "rows:2): found a byte that is not UTF-8");
        assert_fails(read_bytes(formats[i], "a\n\nb\0\n", 6, &d), OR_ERR_INPUT, "rows:3): found a NUL byte");
        assert_fails(read_text(formats[i], "", &d), OR_ERR_INPUT, "rows");
    }
    assert_fails(or_dataset_read(&or_format_jsonl, "/nonexistent/rows", &d), OR_ERR_INPUT,
                 "/nonexistent/rows");
    assert_fails(or_dataset_read(&or_format_jsonl, "/tmp", &d), OR_ERR_INPUT, "/tmp");
}

static void field_names_are_bounded(void **state)
{
    (void)state;
    or_buffer text = {0};
    for (int i = 0; i < 256; i++) assert_ok(or_buffer_printf(&text, "{\"f%d\": \"x\", \"f0\": 1}\n", i + 1));
    or_dataset d;
    assert_fails(read_text("jsonl", text.data, &d), OR_ERR_INPUT, "rows:256): \"f256\" is field name 257");
    text.data[text.size - strlen("{\"f256\": \"x\", \"f0\": 1}\n")] = '\0';
    assert_ok(read_text("jsonl", text.data, &d));
    assert_int_equal(d.count, 255);
    assert_int_equal(d.n_names, 256);
    or_dataset_free(&d);
    or_buffer_free(&text);
}

static void json_is_an_array_of_objects(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text("json",
                        "\xef\xbb\xbf[{\"input\": \"near\", \"output\": 4},\n {\"input\": \"far\"}]\n", &d));
    assert_int_equal(d.count, 2);
    assert_text(&d, 0, "output", "4");
    assert_text(&d, 1, "output", NULL);
    assert_int_equal(d.rows[1].place, 2);
    or_dataset_free(&d);
    assert_refused("json", "[]", "found no rows");
    assert_refused("json", "{\"input\": 1}", "found no array");
    assert_refused("json", "[{\"a\": 1}, 2]", "rows, row 2): found no object");
    assert_refused("json", "[{\"a\": 1}", "not JSON");
    assert_refused("json", "[{\"a\": 1, \"a\": 2}]", "row 1): found \"a\" twice");
}

static void csv_follows_rfc_4180(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text("csv",
                        "\xef\xbb\xbftext,\"the label\",\r\n"
                        "plain, x ,1\r\n"
                        "\r\n"
                        "\"a, \"\"b\"\"\r\nc\",\"\",\n"
                        "\"q\",,\"\"\"\"",
                        &d));
    assert_int_equal(d.count, 3);
    assert_text(&d, 0, "text", "plain");
    assert_text(&d, 0, "the label", " x "); /* spaces belong to the field */
    assert_text(&d, 0, "", "1");
    assert_text(&d, 1, "text", "a, \"b\"\r\nc");
    assert_text(&d, 1, "the label", "");
    assert_text(&d, 1, "", "");
    assert_text(&d, 2, "text", "q");
    assert_text(&d, 2, "", "\"");
    assert_int_equal(d.rows[0].place, 2);
    assert_int_equal(d.rows[1].place, 4);
    assert_int_equal(d.rows[2].place, 6); /* behind a field of two lines */
    or_dataset_free(&d);
    assert_ok(read_text("csv", "a,b\n1,", &d)); /* an empty last field without a line end */
    assert_int_equal(d.count, 1);
    assert_text(&d, 0, "b", "");
    or_dataset_free(&d);
}

static void csv_refuses_what_would_shift_columns(void **state)
{
    (void)state;
    assert_refused("csv", "a,b\n", "found no rows");
    assert_refused("csv", "\n\n", "found no rows");
    assert_refused("csv", "a,b\n1,2\n1\n", "rows:3): found 1 fields, expected 2");
    assert_refused("csv", "a,b\n1,2,3\n", "rows:2): found 3 fields, expected 2");
    assert_refused("csv", "a,a\n1,2\n", "found \"a\" twice");
    assert_refused("csv", "a,b\n1,\"2\n3\n", "rows:2): a quote opens here");
    assert_refused("csv", "a,b\n1,2\"3\n", "rows:2): found a quote within a field");
    assert_refused("csv", "a,b\n\"1\n\" x,2\n", "rows:3): found text behind a closing quote");
    assert_refused("csv", "a,b\r1,2\r", "lone carriage return");
    assert_refused("csv", "a,b\n\"1\"\r,2", "behind a closing quote");
}

static void mmlu_has_no_header(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text("mmlu", "\" What, then?\n\",0,\"1, 2\", 3 ,4,B\nWhy?,w,x,y,z,D\n", &d));
    assert_int_equal(d.count, 2);
    assert_text(&d, 0, "question", "What, then?"); /* stripped */
    assert_text(&d, 0, "A", "0");
    assert_text(&d, 0, "B", "1, 2");
    assert_text(&d, 0, "C", " 3 "); /* not stripped */
    assert_text(&d, 0, "answer", "B");
    assert_text(&d, 1, "D", "z");
    assert_int_equal(d.rows[1].n_choices, 4);
    assert_string_equal(d.rows[1].choices[0], "A");
    assert_string_equal(d.rows[1].choices[3], "D");
    or_dataset_free(&d);
    assert_refused("mmlu", "Q,1,2,3,A\n", "rows:1): found 5 fields, expected 6");
    assert_refused("mmlu", "Q,1,2,3,4,A\nQ,1,2,3,4,E\n",
                   "rows:2): the answer is \"E\", expected A, B, C or D");
    assert_refused("mmlu", "Q,1,2,3,4,\n", "the answer is \"\"");
    assert_refused("mmlu", "Q,1,2,3,4,AB\n", "the answer is \"AB\"");
    assert_refused("mmlu", "Q,1,2,3,4,\"A\n", "a quote opens here");
}

static void commonsense_qa_lists_its_choices(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text(
        "commonsense_qa",
        "{\"answerKey\": \"B\", \"id\": \"i7\", \"question\": {\"question_concept\": \"door\", \"stem\":"
        " \"Where?\", \"choices\": [{\"label\": \"A\", \"text\": \"bank\"}, {\"label\": \"B\", "
        "\"text\": \"mall\"}]}}\n",
        &d));
    assert_int_equal(d.count, 1);
    assert_text(&d, 0, "question", "Where?");
    assert_text(&d, 0, "A", "bank");
    assert_text(&d, 0, "B", "mall");
    assert_text(&d, 0, "choices", "a: bank\nb: mall");
    assert_text(&d, 0, "answer", "B");
    assert_text(&d, 0, "letter", "b");
    assert_text(&d, 0, "id", "i7");
    assert_text(&d, 0, "concept", "door");
    assert_int_equal(d.rows[0].n_choices, 2);
    assert_string_equal(d.rows[0].choices[1], "B");
    or_dataset_free(&d);
}

static void commonsense_qa_refuses_bad_questions(void **state)
{
    (void)state;
    const char *format = "commonsense_qa";
    assert_refused(format, "{\"question\": {\"stem\": \"S\", \"choices\": []}}",
                   "rows:1): \"answerKey\" is nothing");
    assert_refused(format, "{\"answerKey\": \"A\"}", "\"question\" is nothing");
    assert_refused(format, "{\"answerKey\": \"A\", \"question\": {\"choices\": []}}", "\"stem\" is nothing");
    assert_refused(format, "{\"answerKey\": \"A\", \"question\": {\"stem\": \"S\"}}",
                   "\"choices\" is nothing");
    assert_refused(format, "{\"answerKey\": \"A\", \"question\": {\"stem\": \"S\", \"choices\": []}}",
                   "\"answerKey\" is \"A\"");
    assert_refused(format, "{\"answerKey\": \"A\", \"question\": {\"stem\": \"S\", \"choices\": [7]}}",
                   "\"label\" is nothing");
    assert_refused(format,
                   "{\"answerKey\": \"C\", \"question\": {\"stem\": \"S\", \"choices\": [{\"label\": \"A\", "
                   "\"text\": \"x\"}]}}",
                   "\"answerKey\" is \"C\"");
    assert_refused(format,
                   "{\"answerKey\": \"A\", \"question\": {\"stem\": \"S\", \"choices\": [{\"label\": \"id\", "
                   "\"text\": \"x\"}]}}",
                   "label is \"id\"");
    assert_refused(format,
                   "{\"answerKey\": \"A\", \"question\": {\"stem\": \"S\", \"choices\": [{\"label\": \"A\", "
                   "\"text\": \"x\"}, {\"label\": \"A\", \"text\": \"y\"}]}}",
                   "found \"A\" twice");
    assert_refused(format, "\n\"text\"\n", "rows:2): \"answerKey\" is nothing");
}

static const char squad_good[] =
    "{\"version\": \"1.1\", \"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"C\", \"qas\": "
    "[{\"id\": \"1\", "
    "\"question\": \"Q\", \"answers\": [{\"answer_start\": 0, \"text\": \"first\"}, {\"text\": "
    "\"second\"}, {\"text\": \"first\"}]}]}, "
    "{\"context\": \"D\", \"qas\": []}]}, {\"title\": \"U\", \"paragraphs\": []}]}";

static void squad_keeps_all_answers(void **state)
{
    (void)state;
    or_dataset d;
    assert_ok(read_text("squad", squad_good, &d));
    assert_int_equal(d.count, 1);
    assert_text(&d, 0, "title", "T");
    assert_text(&d, 0, "context", "C");
    assert_text(&d, 0, "question", "Q");
    assert_text(&d, 0, "answer", "first");
    assert_text(&d, 0, "id", "1");
    assert_int_equal(d.rows[0].n_answers, 2); /* each once */
    assert_string_equal(d.rows[0].answers[0], "first");
    assert_string_equal(d.rows[0].answers[1], "second");
    or_dataset_free(&d);
}

/* squad_good with `key` misspelt must be refused for the lack of it. */
static void squad_refuses_missing_members(void **state)
{
    (void)state;
    static const char *const keys[] = {"data", "title",    "paragraphs", "context", "qas",
                                       "id",   "question", "answers",    "text"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[sizeof squad_good], quoted[32], part[64];
        strcpy(text, squad_good);
        snprintf(quoted, sizeof quoted, "\"%s\":", keys[i]);
        snprintf(part, sizeof part, "\"%s\" is nothing", keys[i]);
        strstr(text, quoted)[1] = '#';
        assert_refused("squad", text, part);
    }
    assert_refused("squad", "[]", "\"data\" is nothing");
    assert_refused(
        "squad",
        "{\"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"C\", \"qas\": [{\"id\": \"7\", "
        "\"question\": \"Q\", \"answers\": [{\"text\": \"x\"}, {\"text\": 3}]}]}]}]}",
        "rows, question 1): \"text\" is a number");
    assert_refused("squad", "{\"data\": []}", "found no rows");
    assert_refused("squad", "{\"data\": [3]}", "rows, question 1): \"title\" is nothing");
    assert_refused(
        "squad",
        "{\"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"C\", \"qas\": [{\"id\": \"7\", "
        "\"question\": \"Q\", \"answers\": []}]}]}]}",
        "question \"7\" has no answers");
}

/* The published data sets, as their publishers have them. */
static void read_published(const char *format, const char *name, size_t rows, or_dataset *dataset)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", need_data(name));
    assert_ok(or_dataset_read(or_dataset_format_find(format), path, dataset));
    assert_int_equal(dataset->count, rows);
}

static void sst2_is_read(void **state)
{
    (void)state;
    or_dataset d;
    read_published("jsonl", "data/sst2/dev.jsonl", 872, &d);
    assert_text(&d, 0, "text", "one long string of cliches");
    assert_text(&d, 0, "label", "negative");
    or_dataset_free(&d);
    read_published("jsonl", "data/sst2/train.jsonl", 6920, &d);
    assert_text(&d, 1, "text",
                "apparently reassembled from the cutting room floor of any given daytime soap");
    or_dataset_free(&d);
}

static void ag_news_is_read(void **state)
{
    (void)state;
    or_dataset d;
    read_published("jsonl", "data/ag_news/test_first2000.jsonl", 2000, &d);
    assert_text(&d, 0, "label", "Business");
    assert_text(&d, 0, "text",
                "Fears for T N pension after talks Unions representing workers at Turner Newall say they are "
                "'disappointed' after talks with stricken parent firm Federal Mogul.");
    or_dataset_free(&d);
    read_published("jsonl", "data/ag_news/train.jsonl", 6904, &d);
    assert_text(&d, 0, "label", "Sci/Tech");
    or_dataset_free(&d);
}

static void commonsense_qa_is_read(void **state)
{
    (void)state;
    or_dataset d;
    read_published("commonsense_qa", "data/commonsense_qa/dev_rand_split.jsonl", 1221, &d);
    assert_text(
        &d, 0, "question",
        "A revolving door is convenient for two direction travel, but it also serves as a security measure "
        "at a what?");
    assert_text(&d, 0, "choices", "a: bank\nb: library\nc: department store\nd: mall\ne: new york");
    assert_text(&d, 0, "answer", "A");
    for (size_t i = 0; i < d.count; i++) assert_int_equal(d.rows[i].n_choices, 5);
    or_dataset_free(&d);
    read_published("commonsense_qa", "data/commonsense_qa/train_rand_split.jsonl", 9741, &d);
    or_dataset_free(&d);
}

static void squad_is_read(void **state)
{
    (void)state;
    or_dataset d;
    read_published("squad", "data/squad/dev-v1.1.json", 10570, &d);
    assert_text(&d, 0, "title", "Super_Bowl_50");
    assert_text(&d, 0, "question", "Which NFL team represented the AFC at Super Bowl 50?");
    assert_text(&d, 0, "answer", "Denver Broncos");
    assert_text(&d, 0, "id", "56be4db0acb8001400a502ec");
    or_dataset_free(&d);
}

static void mmlu_is_read(void **state)
{
    (void)state;
    or_dataset d;
    read_published("mmlu", "data/mmlu/test/anatomy_test.csv", 135, &d);
    assert_text(&d, 0, "question",
                "A lesion causing compression of the facial nerve at the stylomastoid foramen will cause "
                "ipsilateral");
    assert_text(&d, 0, "C", "paralysis of the facial muscles, loss of taste and lacrimation.");
    assert_text(&d, 1, "question", "A \"dished face\" profile is often associated with");
    assert_text(&d, 1, "answer", "B");
    or_dataset_free(&d);
    read_published("mmlu", "data/mmlu/dev/college_mathematics_dev.csv", 5, &d); /* ends its lines in CR LF */
    or_dataset_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_found_by_name),
        cmocka_unit_test(jsonl_members_become_text),
        cmocka_unit_test(jsonl_refuses_bad_lines),
        cmocka_unit_test(texts_that_are_no_utf8_are_refused),
        cmocka_unit_test(field_names_are_bounded),
        cmocka_unit_test(json_is_an_array_of_objects),
        cmocka_unit_test(csv_follows_rfc_4180),
        cmocka_unit_test(csv_refuses_what_would_shift_columns),
        cmocka_unit_test(mmlu_has_no_header),
        cmocka_unit_test(commonsense_qa_lists_its_choices),
        cmocka_unit_test(commonsense_qa_refuses_bad_questions),
        cmocka_unit_test(squad_keeps_all_answers),
        cmocka_unit_test(squad_refuses_missing_members),
        cmocka_unit_test(sst2_is_read),
        cmocka_unit_test(ag_news_is_read),
        cmocka_unit_test(commonsense_qa_is_read),
        cmocka_unit_test(squad_is_read),
        cmocka_unit_test(mmlu_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
