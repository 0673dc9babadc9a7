/* test_prompt.c - prompts: their exact text for fixed seeds, the demonstrations, and the answer tokens.
 *
 * The expected draws were computed by a separate program: a plain Fisher-Yates shuffle over the whole deck.
 */
#include "support.h"

#include "task_struct.h"

#include <unistd.h>

static or_tokenizer *open_tokenizer(void)
{
    or_tokenizer *tokenizer;
    assert_ok(or_tokenizer_open(source_path("configs/demo/model"), &tokenizer));
    return tokenizer;
}

/* A task with `train` rows d0, d1, ... (answers a0, a1, ...) and the test rows t0 ("positive") and t1
 * ("negative"); `more` as JSON members. */
static or_task *make_task(size_t train, const char *prompt, const char *more)
{
    const char *folder = scratch_folder();
    or_buffer text = {0};
    for (size_t i = 0; i < train; i++)
        assert_ok(or_buffer_printf(&text, "{\"input\": \"d%zu\", \"output\": \"a%zu\"}\n", i, i));
    if (train) put_file(path_in(folder, "train.jsonl"), text.data, text.size);
    text.size = 0;
    put_text(path_in(folder, "test.jsonl"), "{\"input\": \"t0\", \"output\": \"positive\"}\n\n"
                                            "{\"input\": \"t1\", \"output\": \"negative\"}\n");
    assert_ok(or_buffer_printf(&text,
                               "{\"name\": \"small\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", %s"
                               "\"prompt\": \"%s\"%s}",
                               train ? "\"train\": \"train.jsonl\", " : "", prompt, more));
    put_file(path_in(folder, "task.json"), text.data, text.size);
    or_buffer_free(&text);
    or_task *task;
    assert_ok(or_task_load(path_in(folder, "task.json"), NULL, &task));
    return task;
}

static void assert_prompt(const or_task *task, or_prompt_options options, size_t index, const char *expected)
{
    char *text;
    assert_ok(or_task_prompt_text(task, &options, index, &text));
    assert_string_equal(text, expected);
    free(text);
}

static void texts_are_exact(void **state)
{
    (void)state;
    or_task *task = make_task(10, "Q: {input}\\nA:", ", \"description\": \"Hi.\\n\"");
    assert_prompt(task, (or_prompt_options){.shots = 0, .seed = 1}, 0, "Hi.\nQ: t0\nA:");
    assert_prompt(task, (or_prompt_options){.shots = 3, .seed = 1}, 0,
                  "Hi.\nQ: d5\nA: a5\n\nQ: d8\nA: a8\n\nQ: d1\nA: a1\n\nQ: t0\nA:");
    assert_prompt(task, (or_prompt_options){.shots = 3, .seed = 1}, 1, /* the same demonstrations */
                  "Hi.\nQ: d5\nA: a5\n\nQ: d8\nA: a8\n\nQ: d1\nA: a1\n\nQ: t1\nA:");
    assert_prompt(task, (or_prompt_options){.shots = 2, .seed = 0}, 0,
                  "Hi.\nQ: d5\nA: a5\n\nQ: d1\nA: a1\n\nQ: t0\nA:");
    assert_prompt(task, (or_prompt_options){.shots = 2, .seed = 7}, 0,
                  "Hi.\nQ: d7\nA: a7\n\nQ: d0\nA: a0\n\nQ: t0\nA:");
    or_task_free(task);
}

static void demos_can_differ_per_instance(void **state)
{
    (void)state;
    or_task *task = make_task(10, "{input}", ", \"separator\": \"|\", \"answer\": \"={output}\"");
    or_prompt_options options = {.shots = 3, .seed = 1, .demos_per_instance = true};
    assert_prompt(task, options, 0, "d8=a8|d5=a5|d3=a3|t0");
    assert_prompt(task, options, 1, "d7=a7|d6=a6|d2=a2|t1");
    or_task_free(task);
}

static void all_rows_can_be_drawn(void **state)
{
    (void)state;
    or_task *task = make_task(6, "{input}", ", \"separator\": \" \", \"answer\": \"{output}\"");
    assert_prompt(task, (or_prompt_options){.shots = 6, .seed = 1}, 0, "d5a5 d0a0 d4a4 d1a1 d3a3 d2a2 t0");
    assert_prompt(task, (or_prompt_options){.shots = 6, .seed = 7}, 0, "d3a3 d5a5 d4a4 d0a0 d2a2 d1a1 t0");
    or_task_free(task);
}

/* Every row is drawn about equally often as the first and as the last of three: 600 seeds, 10 rows, so 60
 * times each, with a standard deviation of 7.3; the seeds are fixed, so the test is too. */
static void draws_are_fair(void **state)
{
    (void)state;
    or_task *task = make_task(10, "{input}", ", \"separator\": \" \", \"answer\": \"{output}\"");
    int first[10] = {0}, last[10] = {0};
    for (uint64_t seed = 0; seed < 600; seed++) {
        const or_prompt_options options = {.shots = 3, .seed = seed};
        char *text;
        assert_ok(or_task_prompt_text(task, &options, 0, &text));
        first[text[1] - '0']++;
        last[text[11] - '0']++;
        free(text);
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(first[i], 35, 85);
        assert_in_range(last[i], 35, 85);
    }
    or_task_free(task);
}

static void a_train_row_never_demonstrates_itself(void **state)
{
    (void)state;
    or_task *task = make_task(4, "{input}", ", \"separator\": \" \", \"answer\": \"{output}\"");
    or_prompt_options options = {.shots = 3, .seed = 1, .split = OR_SPLIT_TRAIN};
    assert_prompt(task, options, 0, "d1a1 d2a2 d3a3 d0");
    assert_prompt(task, options, 1, "d2a2 d0a0 d3a3 d1");
    assert_prompt(task, options, 2, "d1a1 d0a0 d3a3 d2");
    assert_prompt(task, options, 3, "d1a1 d2a2 d0a0 d3");
    for (int per_instance = 0; per_instance < 2; per_instance++) {
        options.demos_per_instance = per_instance;
        for (options.seed = 0; options.seed < 200; options.seed++) {
            size_t index = options.seed % 4;
            char *text, own[4] = {'a', (char)('0' + index), '\0'};
            assert_ok(or_task_prompt_text(task, &options, index, &text));
            assert_null(strstr(text, own));
            assert_int_equal(strlen(text), 3 * 5 + 2);
            free(text);
        }
    }
    or_task_free(task);
}

static void too_few_rows_are_refused(void **state)
{
    (void)state;
    or_task *task = make_task(4, "{input}", "");
    char *text;
    or_prompt_options options = {.shots = 5, .seed = 1};
    assert_fails(or_task_prompt_text(task, &options, 1, &text), OR_ERR_INPUT,
                 "(small): row 2 asks for 5 shots, but the task has 4 train rows");
    assert_null(text);
    options = (or_prompt_options){.shots = 4, .split = OR_SPLIT_TRAIN};
    assert_fails(or_task_prompt_text(task, &options, 0, &text), OR_ERR_INPUT, "this one among them");
    options.split = OR_SPLIT_TEST;
    assert_ok(or_task_prompt_text(task, &options, 0, &text));
    free(text);
    options.shots = -1;
    assert_fails(or_task_prompt_text(task, &options, 0, &text), OR_ERR_USAGE, "found -1");
    options.shots = 0;
    assert_fails(or_task_prompt_text(task, &options, 2, &text), OR_ERR_INPUT, "asked for row 3 of 2");
    or_task_free(task);

    task = make_task(0, "{input}", ""); /* no train split at all */
    assert_ok(or_task_prompt_text(task, &options, 0, &text));
    free(text);
    options.shots = 1;
    assert_fails(or_task_prompt_text(task, &options, 0, &text), OR_ERR_INPUT, "the task has 0 train rows");
    options = (or_prompt_options){.split = OR_SPLIT_TRAIN};
    assert_fails(or_task_prompt_text(task, &options, 0, &text), OR_ERR_INPUT, "asked for row 1 of 0");
    or_task_free(task);
}

/* The instance's prompt is BOS and the first tokens of encode(text), all but `cut` of them. */
static void assert_tokens(const or_tokenizer *tokenizer, const or_instance *instance, const char *text,
                          size_t cut)
{
    or_tokens expected = {0};
    if (or_tokenizer_adds_bos(tokenizer)) assert_ok(or_tokens_add(&expected, or_tokenizer_bos(tokenizer)));
    assert_ok(or_tokenizer_encode(tokenizer, text, strlen(text), &expected));
    assert_int_equal(instance->prompt.count, expected.count - cut);
    assert_memory_equal(instance->prompt.ids, expected.ids, instance->prompt.count * sizeof(int32_t));
    or_tokens_free(&expected);
}

static void the_answer_token_follows_the_prompt(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_task *task = make_task(4, "Q: {input}\\nA:", "");
    or_instance instance;
    const or_prompt_options options = {.shots = 1, .seed = 1};
    assert_ok(or_task_instance(task, tokenizer, &options, 0, &instance));
    assert_tokens(tokenizer, &instance, "Q: d1\nA: a1\n\nQ: t0\nA:", 0);
    assert_int_equal(instance.prompt.ids[0], or_tokenizer_bos(tokenizer));
    assert_string_equal(or_tokenizer_piece(tokenizer, instance.answer_token), "\xe2\x96\x81positive");
    assert_int_equal(instance.choices.count, 0);
    or_instance_free(&instance);
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

/* "A: " ends in the token of a space, which becomes part of the answer's first token. */
static void a_prompt_is_cut_where_the_answer_joins_its_end(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_task *task = make_task(0, "Q: {input}\\nA: ", ", \"answer\": \"{output}\"");
    or_instance instance;
    const or_prompt_options options = {0};
    assert_ok(or_task_instance(task, tokenizer, &options, 1, &instance));
    assert_tokens(tokenizer, &instance, "Q: t1\nA: ", 1);
    assert_string_equal(or_tokenizer_piece(tokenizer, instance.answer_token), "\xe2\x96\x81negative");
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

static void choices_share_one_prompt(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    const or_prompt_options options = {0};
    or_task *task = make_task(
        0, "Q: {input}\\nA:", ", \"metric\": \"choice\", \"choices\": [\"negative\", \"positive\", \"it\"]");
    assert_ok(or_task_instance(task, tokenizer, &options, 0, &instance));
    assert_tokens(tokenizer, &instance, "Q: t0\nA:", 0);
    assert_int_equal(instance.choices.count, 3);
    assert_string_equal(or_tokenizer_piece(tokenizer, instance.choices.ids[0]), "\xe2\x96\x81negative");
    assert_string_equal(or_tokenizer_piece(tokenizer, instance.choices.ids[2]), "\xe2\x96\x81it");
    assert_int_equal(instance.answer_token, instance.choices.ids[1]);
    or_instance_free(&instance);
    or_task_free(task);

    /* A choice that is a line end does not join the space, while the words do: still one prompt for all. */
    task = make_task(0, "Q: {input}\\nA: ",
                     ", \"answer\": \"{output}\", \"metric\": \"choice\", \"choices\": [\"negative\", "
                     "\"positive\", \"\\n\"]");
    assert_ok(or_task_instance(task, tokenizer, &options, 1, &instance));
    assert_tokens(tokenizer, &instance, "Q: t1\nA: ", 1);
    assert_int_equal(instance.answer_token, instance.choices.ids[0]);
    assert_string_equal(or_tokenizer_piece(tokenizer, instance.choices.ids[2]), "\xe2\x96\x81");
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

/* The prompt of a generated answer is not cut; its references are the row's output, or what squad has. */
static void generated_answers_have_references(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    const or_prompt_options options = {0};
    or_task *task = make_task(0, "Q: {input}\\nA: ", ", \"answer\": \"={output}\", \"metric\": \"f1\"");
    assert_ok(or_task_instance(task, tokenizer, &options, 1, &instance));
    assert_tokens(tokenizer, &instance, "Q: t1\nA: ", 0);
    assert_int_equal(instance.prompt.ids[0], or_tokenizer_bos(tokenizer));
    assert_int_equal(instance.answer_token, -1);
    assert_int_equal(instance.choices.count, 0);
    assert_int_equal(instance.n_references, 1);
    assert_string_equal(instance.references[0], "negative");
    or_instance_free(&instance);
    or_task_free(task);

    const char *folder = scratch_folder();
    put_text(path_in(folder, "test.json"),
             "{\"data\": [{\"title\": \"T\", \"paragraphs\": [{\"context\": \"C\", \"qas\": [{\"id\": \"1\", "
             "\"question\": \"Q\", \"answers\": [{\"text\": \"one\"}, {\"text\": \"two\"}]}]}]}]}");
    static const char *const outputs[] = {"answer", "title"};
    for (size_t i = 0; i < 2; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "{\"name\": \"n\", \"format\": \"squad\", \"test\": \"test.json\", \"output\": \"%s\", "
                 "\"prompt\": \"{input}\", \"metric\": \"exact_match\"}",
                 outputs[i]);
        put_text(path_in(folder, "task.json"), text);
        assert_ok(or_task_load(path_in(folder, "task.json"), NULL, &task));
        assert_ok(or_task_instance(task, tokenizer, &options, 0, &instance));
        assert_int_equal(instance.n_references, i == 0 ? 2 : 1);
        assert_string_equal(instance.references[instance.n_references - 1], i == 0 ? "two" : "T");
        or_instance_free(&instance);
        or_task_free(task);
    }
    or_tokenizer_close(tokenizer);
}

static void answers_that_cannot_be_told_are_refused(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    const or_prompt_options options = {0};
    or_task *task =
        make_task(0, "Q: {input}\\nA:",
                  ", \"metric\": \"choice\", \"choices\": [\"positive\", \"negative\", \"negative!\"]");
    assert_fails(or_task_instance(task, tokenizer, &options, 1, &instance), OR_ERR_INPUT,
                 "test.jsonl:3): task \"small\": the choices \"negative\" and \"negative!\" begin with the "
                 "same token");
    assert_null(instance.prompt.ids);
    or_task_free(task);
    task = make_task(0, "Q: {input}\\nA:",
                     ", \"answer\": \"{output}\", \"metric\": \"choice\", \"choices\": [\"positive\", "
                     "\"negative\", \"\"]");
    assert_fails(or_task_instance(task, tokenizer, &options, 0, &instance), OR_ERR_INPUT,
                 "test.jsonl:1): task \"small\": the answer \"\" adds no token");
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

/* Joined with "itive", "pos" is cut down to nothing: BOS alone is a prompt, but without BOS there is none. */
static void a_prompt_needs_a_token(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    assert_int_equal(
        symlink(source_path("configs/demo/model/tokenizer.json"), path_in(folder, "tokenizer.json")), 0);
    put_text(path_in(folder, "tokenizer_config.json"), "{\"add_bos_token\": false}");
    or_tokenizer *with = open_tokenizer(), *without;
    assert_ok(or_tokenizer_open(folder, &without));
    assert_false(or_tokenizer_adds_bos(without));
    or_task *task = make_task(0, "pos", ", \"answer\": \"itive{output}\"");
    or_instance instance;
    const or_prompt_options options = {0};
    assert_ok(or_task_instance(task, with, &options, 0, &instance));
    assert_int_equal(instance.prompt.count, 1);
    assert_int_equal(instance.prompt.ids[0], or_tokenizer_bos(with));
    assert_string_equal(or_tokenizer_piece(with, instance.answer_token), "\xe2\x96\x81positive");
    or_instance_free(&instance);
    assert_fails(or_task_instance(task, without, &options, 0, &instance), OR_ERR_INPUT,
                 "test.jsonl:1): task \"small\": the prompt has no token");
    assert_null(instance.prompt.ids);
    or_task_free(task);
    task = make_task(0, "Q: {input}\\nA:", "");
    assert_ok(or_task_instance(task, without, &options, 0, &instance));
    assert_tokens(without, &instance, "Q: t0\nA:", 0);
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(without);
    or_tokenizer_close(with);
}

/* A demo task through the demo model's tokenizer, with the text that the seed gives. */
static void shipped_tasks_have_instances(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_task *task;
    or_instance instance;
    or_prompt_options options = {.shots = 3, .seed = 1};
    assert_ok(or_task_load(source_path("configs/demo/tasks/next_item.json"), NULL, &task));
    assert_ok(or_task_instance(task, tokenizer, &options, 0, &instance));
    assert_tokens(tokenizer, &instance, "Q: vi\nA: vii\n\nQ: eight\nA: nine\n\nQ: VV\nA: WW\n\nQ: X\nA:", 0);
    or_instance_free(&instance);
    options.split = OR_SPLIT_TRAIN;
    for (size_t i = 0; i < or_task_train_count(task); i++) {
        assert_ok(or_task_instance(task, tokenizer, &options, i, &instance));
        or_instance_free(&instance);
    }
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

static void mmlu_instances_have_four_letters(void **state)
{
    (void)state;
    char data[1024];
    snprintf(data, sizeof data, "%s", need_data("data"));
    need_data("data/mmlu/dev/abstract_algebra_dev.csv");
    or_tokenizer *tokenizer = open_tokenizer();
    or_task *task;
    or_instance instance;
    const or_prompt_options options = {.shots = 5, .seed = 1};
    assert_ok(or_task_load(source_path("configs/tasks/mmlu.json"), data, &task));
    for (size_t i = 0; i < or_task_test_count(task); i++) {
        assert_ok(or_task_instance(task, tokenizer, &options, i, &instance));
        assert_int_equal(instance.choices.count, 4);
        if (i == 0) assert_int_equal(instance.answer_token, instance.choices.ids[1]); /* B */
        or_instance_free(&instance);
    }
    char *text; /* with seed 1 the five demonstrations come as rows 0, 4, 2, 1, 3 */
    assert_ok(or_task_prompt_text(task, &options, 0, &text));
    const char *start =
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        "Find all c in Z_3 such that Z_3[x]/(x^2 + c) is a field.\nA. 0\nB. 1\nC. 2\nD. 3\n"
        "Answer: B\n\nFind the characteristic of the ring 2Z.\nA. 0\nB. 3\nC. 12\nD. 30\n"
        "Answer: A\n\nStatement 1 | Every element of a group";
    assert_memory_equal(text, start, strlen(start));
    free(text);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_exact),
        cmocka_unit_test(demos_can_differ_per_instance),
        cmocka_unit_test(all_rows_can_be_drawn),
        cmocka_unit_test(draws_are_fair),
        cmocka_unit_test(a_train_row_never_demonstrates_itself),
        cmocka_unit_test(too_few_rows_are_refused),
        cmocka_unit_test(the_answer_token_follows_the_prompt),
        cmocka_unit_test(a_prompt_is_cut_where_the_answer_joins_its_end),
        cmocka_unit_test(choices_share_one_prompt),
        cmocka_unit_test(generated_answers_have_references),
        cmocka_unit_test(answers_that_cannot_be_told_are_refused),
        cmocka_unit_test(a_prompt_needs_a_token),
        cmocka_unit_test(shipped_tasks_have_instances),
        cmocka_unit_test(mmlu_instances_have_four_letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
