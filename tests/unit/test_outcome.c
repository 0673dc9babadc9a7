/* test_outcome.c - generated answers: from tokens to a text with its scores, to the journal and back. */
#include "support.h"

#include "outcome.h"

static const or_hparams hparams = {.n_layers = 4, .n_vocab = 100000};

static or_tokenizer *open_tokenizer(void)
{
    or_tokenizer *tokenizer;
    assert_ok(or_tokenizer_open(source_path("configs/demo/model"), &tokenizer));
    return tokenizer;
}

/* The prompt "Q: hi\nA:", whose right answer is "The Positive"; `more` as JSON members of the task. */
static or_task *make_task(const or_tokenizer *tokenizer, const char *more, or_instance *instance)
{
    const char *folder = scratch_folder();
    char text[512];
    snprintf(text, sizeof text,
             "{\"name\": \"small\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", \"prompt\": "
             "\"Q: {input}\\nA:\"%s}",
             more);
    put_text(path_in(folder, "test.jsonl"), "{\"input\": \"hi\", \"output\": \"The Positive\"}\n");
    put_text(path_in(folder, "task.json"), text);
    or_task *task;
    assert_ok(or_task_load(path_in(folder, "task.json"), NULL, &task));
    assert_ok(or_task_instance(task, tokenizer, &(or_prompt_options){0}, 0, instance));
    return task;
}

/* The tokens of prompt and `text`, of which those from *first on are the text's. */
static or_tokens encode_behind(const or_tokenizer *tokenizer, const or_instance *instance, const char *text,
                               size_t *first)
{
    char whole[256];
    or_tokens tokens = {0};
    snprintf(whole, sizeof whole, "Q: hi\nA:%s", text);
    assert_ok(or_tokens_add(&tokens, instance->prompt.ids[0]));
    assert_ok(or_tokenizer_encode(tokenizer, whole, strlen(whole), &tokens));
    *first = instance->prompt.count;
    assert_memory_equal(tokens.ids, instance->prompt.ids, *first * sizeof(int32_t));
    return tokens;
}

/* Gives tokens until enough; token k exits at layer 1 + k % 4. Returns how many were taken. */
static size_t put_all(or_continuation *c, const int32_t *ids, size_t n)
{
    bool more = true;
    size_t k = 0;
    for (; k < n && more; k++) {
        const or_token token = {.token = ids[k],
                                .exit_layer = 1 + (int32_t)(k % 4),
                                .gap = k ? 0.5f : 0.1f,
                                .top_prob = k ? 0.75f : 0.3f};
        assert_ok(or_continuation_put(c, &token, &more));
    }
    return k;
}

static void assert_round_trip(const or_outcome *outcome, size_t max_tokens)
{
    or_buffer line = {0};
    cJSON *json;
    or_outcome back;
    assert_ok(or_buffer_puts(&line, "{\"group\":0"));
    assert_ok(or_outcome_put(outcome, &line));
    assert_ok(or_buffer_puts(&line, "}"));
    assert_ok(or_json_parse(line.data, line.size, "line", &json));
    assert_ok(or_outcome_take(json, "line", &hparams, max_tokens, &back));
    assert_true(back.done);
    assert_int_equal(back.token, outcome->token);
    assert_int_equal(back.exit_layer, outcome->exit_layer);
    assert_true(back.gap == outcome->gap && back.top_prob == outcome->top_prob);
    assert_int_equal(back.fault, outcome->fault);
    assert_int_equal(back.n_tokens, outcome->n_tokens);
    if (outcome->text) {
        assert_string_equal(back.text, outcome->text);
        assert_memory_equal(back.exit_layers, outcome->exit_layers, outcome->n_tokens * sizeof(int32_t));
    }
    or_outcome_free(&back);
    cJSON_Delete(json);
    or_buffer_free(&line);
}

static void a_line_is_an_answer(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    or_continuation *c;
    or_outcome outcome = {0};
    size_t first;
    or_task *task = make_task(tokenizer, ", \"metric\": \"f1\"", &instance);
    or_tokens tokens = encode_behind(tokenizer, &instance, " positive film.\nQ: more", &first);
    assert_ok(or_continuation_open(tokenizer, task, &instance, &c));
    const size_t taken = put_all(c, tokens.ids + first, tokens.count - first);
    assert_true(taken < tokens.count - first); /* the line break was enough */
    assert_ok(or_continuation_end(c, &outcome));
    or_continuation_close(c);
    assert_true(outcome.done);
    assert_string_equal(outcome.text, " positive film.");
    assert_int_equal(outcome.token, tokens.ids[first]);
    assert_int_equal(outcome.exit_layer, 1);
    assert_near(outcome.gap, 0.1f, 0); /* of the first token */
    assert_near(outcome.top_prob, 0.3f, 0);
    assert_int_equal(outcome.n_tokens, taken); /* with the one that stopped it */
    for (size_t k = 0; k < taken; k++) assert_int_equal(outcome.exit_layers[k], 1 + k % 4);
    assert_round_trip(&outcome, 32);

    assert_ok(or_outcome_judge(&outcome, OR_METRIC_F1, &instance));
    assert_false(outcome.correct);
    assert_near(outcome.score, 2.0 / 3, 1e-15); /* "positive film" and "positive": 1/2 and 1/1 */
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_EXACT_MATCH, &instance));
    assert_near(outcome.score, 0, 0);
    outcome.text[strlen(" positive")] = '\0';
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_EXACT_MATCH, &instance));
    assert_true(outcome.correct);
    assert_near(outcome.score, 1, 0);
    or_outcome_free(&outcome);
    or_tokens_free(&tokens);
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

/* What is held back for a stop text that does not come belongs to the answer; an answer may be empty. */
static void answers_end_without_a_stop_text(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    or_continuation *c;
    or_outcome outcome = {0};
    size_t first;
    or_task *task =
        make_task(tokenizer, ", \"metric\": \"exact_match\", \"stop\": \" film. The end\"", &instance);
    or_tokens tokens = encode_behind(tokenizer, &instance, " positive film.", &first);
    assert_ok(or_continuation_open(tokenizer, task, &instance, &c));
    assert_int_equal(put_all(c, tokens.ids + first, tokens.count - first), tokens.count - first);
    assert_ok(or_continuation_end(c, &outcome));
    or_continuation_close(c);
    assert_string_equal(outcome.text, " positive film.");
    or_outcome_free(&outcome);

    const int32_t eos = or_tokenizer_eos(tokenizer);
    assert_ok(or_continuation_open(tokenizer, task, &instance, &c));
    put_all(c, &eos, 1);
    assert_ok(or_continuation_end(c, &outcome));
    or_continuation_close(c);
    assert_string_equal(outcome.text, "");
    assert_int_equal(outcome.n_tokens, 1);
    assert_round_trip(&outcome, 1);
    or_outcome_free(&outcome);

    assert_ok(or_continuation_open(tokenizer, task, &instance, &c));
    put_all(c, tokens.ids + first, 2);
    or_continuation_close(c); /* a stop of the job: dropped with what it has */
    or_continuation_close(NULL);
    or_tokens_free(&tokens);
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

/* A model with byte tokens can write a NUL. */
static void nul_characters_are_replaced(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer();
    or_instance instance;
    or_continuation *c;
    or_outcome outcome = {0};
    or_task *task = make_task(tokenizer, ", \"metric\": \"f1\"", &instance);
    int32_t nul = 0;
    while (strcmp(or_tokenizer_piece(tokenizer, nul), "<0x00>") != 0) {
        nul++;
        assert_true(nul < or_tokenizer_vocab(tokenizer));
    }
    const int32_t ids[] = {nul, nul + 'x', nul, nul};
    assert_ok(or_continuation_open(tokenizer, task, &instance, &c));
    put_all(c, ids, 4);
    assert_ok(or_continuation_end(c, &outcome));
    or_continuation_close(c);
    assert_string_equal(outcome.text, "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd");
    assert_round_trip(&outcome, 4);
    or_outcome_free(&outcome);
    or_instance_free(&instance);
    or_task_free(task);
    or_tokenizer_close(tokenizer);
}

static void one_token_has_no_text(void **state)
{
    (void)state;
    or_outcome outcome = {.token = 7, .exit_layer = 3, .gap = 0.1f, .top_prob = 1.0f / 3};
    assert_round_trip(&outcome, 0);
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_FIRST_TOKEN, &(or_instance){.answer_token = 7}));
    assert_true(outcome.correct);
    assert_near(outcome.score, 1, 0);
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_CHOICE, &(or_instance){.answer_token = 8}));
    assert_false(outcome.correct);
    assert_near(outcome.score, 0, 0);
}

/* Not even an empty text is right that was never given. */
static void what_failed_is_wrong(void **state)
{
    (void)state;
    or_outcome outcome;
    or_buffer line = {0};
    const char *references[] = {"the"};
    assert_ok(or_outcome_fail(&outcome, 3, false));
    assert_round_trip(&outcome, 0);
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_FIRST_TOKEN, &(or_instance){.answer_token = -1}));
    assert_true(outcome.done && !outcome.correct && outcome.score == 0);
    assert_ok(or_outcome_put(&outcome, &line));
    assert_string_equal(line.data, ",\"token\":-1,\"exit_layer\":3,\"gap\":0,\"top_prob\":0,\"error\":"
                                   "\"numbers are not finite after layer 3\"");
    or_buffer_free(&line);
    assert_ok(or_outcome_fail(&outcome, 4, true));
    assert_round_trip(&outcome, 8);
    assert_ok(or_outcome_judge(&outcome, OR_METRIC_F1,
                               &(or_instance){.references = references, .n_references = 1}));
    assert_true(!outcome.correct && outcome.score == 0);
    or_outcome_free(&outcome);
}

static void lines_that_no_run_has_written_are_refused(void **state)
{
    (void)state;
    static const char start[] = "{\"token\":1,\"exit_layer\":2,\"gap\":0.1,\"top_prob\":0.2";
    static const struct {
        const char *more, *part;
    } cases[] = {
        {"}", "\"text\" is nothing"},
        {",\"text\":3}", "\"text\" is a number"},
        {",\"text\":\"x\"}", "\"exit_layers\" is nothing"},
        {",\"text\":\"x\",\"exit_layers\":[]}", "found 0 \"exit_layers\", expected 1..2"},
        {",\"text\":\"x\",\"exit_layers\":[1,2,3]}", "found 3 \"exit_layers\""},
        {",\"text\":\"x\",\"exit_layers\":[0]}", "something else than layers 1..4"},
        {",\"text\":\"x\",\"exit_layers\":[1,5]}", "something else than layers 1..4"},
        {",\"text\":\"x\",\"exit_layers\":[1.5]}", "something else than layers 1..4"},
        {",\"text\":\"x\",\"exit_layers\":[\"1\"]}", "something else than layers 1..4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        cJSON *json;
        or_outcome outcome = {0};
        snprintf(text, sizeof text, "%s%s", start, cases[i].more);
        assert_ok(or_json_parse(text, strlen(text), "line", &json));
        assert_fails(or_outcome_take(json, "line", &hparams, 2, &outcome), OR_ERR_INPUT, cases[i].part);
        assert_false(outcome.done);
        assert_null(outcome.text);
        cJSON_Delete(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_an_answer),
        cmocka_unit_test(answers_end_without_a_stop_text),
        cmocka_unit_test(nul_characters_are_replaced),
        cmocka_unit_test(one_token_has_no_text),
        cmocka_unit_test(what_failed_is_wrong),
        cmocka_unit_test(lines_that_no_run_has_written_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
