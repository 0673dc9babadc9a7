/* test_requests.c - request files: lines of both forms, what refuses a file, what refuses one request. */
#include "support.h"

#include "batch_internal.h"
#include "requests.h"
#include "shared.h"

static or_tokenizer *tokenizer;
static or_hparams hparams;
static or_policy *policy;

static int open_all(void **state)
{
    (void)state;
    hparams = (or_hparams){.n_layers = 16, .n_context = 64};
    if (or_tokenizer_open(source_path("configs/demo/model"), &tokenizer) != OR_OK) return 1;
    hparams.n_vocab = or_tokenizer_vocab(tokenizer);
    return or_policy_load(source_path("configs/demo/policy/svm.json"), &policy) != OR_OK;
}

static int close_all(void **state)
{
    (void)state;
    or_policy_free(policy);
    or_tokenizer_close(tokenizer);
    return 0;
}

static const char *stops[] = {"\n"};

static or_batch_plan plan_of(const char *path)
{
    return (or_batch_plan){
        .input = path,
        .model = "demo",
        .tokenizer = tokenizer,
        .hparams = &hparams,
        .longest = 64,
        .room = 64,
        .policies = &policy,
        .n_policies = 1,
        .settings = {.max_tokens = 20,
                     .sampling = {.top_p = 1, .seed = 5},
                     .stops = stops,
                     .n_stops = 1,
                     .logprobs = -1},
    };
}

/* The batch of a file with this text; the caller closes it. */
static or_status open_text(const char *text, or_batch **batch)
{
    static const char *folder; /* one for all, each file over the last */
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "in.jsonl");
    put_text(path, text);
    const or_batch_plan plan = plan_of(path);
    *batch = NULL;
    return or_batch_open(&plan, batch);
}

static void plain_lines_say_what_they_want(void **state)
{
    (void)state;
    or_batch *batch;
    assert_ok(
        open_text("{\"id\": [1, \"x\"], \"prompt\": \"a cat\"}\r\n"
                  "\n"
                  "{\"id\": 2, \"tokens\": [1, 261, 5], \"max_tokens\": 3, \"temperature\": 0.5, \"top_k\": "
                  "7, \"top_p\": 0.25,"
                  " \"seed\": 9, \"stop\": [\"a\", \"bc\"], \"policy\": \"full\", \"kv\": \"verify\", "
                  "\"logprobs\": true}\n"
                  "{\"id\": \"2\", \"prompt\": \"x\", \"stop\": \"S\", \"policy\": \"svm\", \"seed\": null}\n"
                  "{\"id\": 3, \"prompt\": \"x\", \"stop\": []}",
                  &batch));
    assert_int_equal(batch->n_requests, 4);
    const or_batch_request *r = batch->requests;
    for (int i = 0; i < 4; i++) assert_null(r[i].error);

    assert_string_equal(r[0].id, "[1,\"x\"]");
    assert_int_equal(r[0].prompt.count, 3); /* with BOS */
    assert_int_equal(r[0].prompt.ids[0], or_tokenizer_bos(tokenizer));
    assert_int_equal(r[0].prompt.ids[1], 261);
    assert_int_equal(r[0].settings.max_tokens, 20);
    assert_int_equal(r[0].settings.sampling.seed, 5);
    assert_int_equal(r[0].settings.policy, 0);
    assert_int_equal(r[0].settings.n_stops, 1);
    assert_string_equal(r[0].settings.stops[0], "\n");
    assert_int_equal(r[0].settings.logprobs, -1);

    assert_int_equal(r[1].line, 3);
    assert_int_equal(r[1].prompt.count, 3); /* as they are */
    assert_int_equal(r[1].settings.max_tokens, 3);
    assert_true(r[1].settings.sampling.temperature == 0.5f && r[1].settings.sampling.top_p == 0.25f);
    assert_int_equal(r[1].settings.sampling.top_k, 7);
    assert_int_equal(r[1].settings.sampling.seed, 9);
    assert_int_equal(r[1].settings.policy, -1);
    assert_int_equal(r[1].settings.kv, OR_KV_VERIFY);
    assert_int_equal(r[1].settings.n_stops, 2);
    assert_string_equal(r[1].settings.stops[1], "bc");
    assert_int_equal(r[1].settings.logprobs, OR_BATCH_LOGPROBS);

    assert_string_equal(r[2].id, "\"2\"");
    assert_int_equal(r[2].settings.policy, 0);
    assert_int_equal(r[2].settings.sampling.seed, 5);
    assert_string_equal(r[2].settings.stops[0], "S");
    assert_int_equal(r[3].settings.n_stops, 0);
    or_batch_close(batch);
}

static void openai_lines_say_what_they_want(void **state)
{
    (void)state;
    or_batch *batch;
    assert_ok(open_text("{\"custom_id\": \"c\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                        "\"body\": {\"model\": \"gpt\","
                        " \"prompt\": \"a cat\", \"max_tokens\": 4, \"n\": 1, \"best_of\": 1, \"echo\": "
                        "false, \"stream\": false,"
                        " \"suffix\": null, \"logit_bias\": {}, \"presence_penalty\": 0, "
                        "\"frequency_penalty\": 0.0, \"user\": \"u\","
                        " \"seed\": -1, \"logprobs\": 0, \"kv\": \"propagate\"}}\n"
                        "{\"custom_id\": \"d\", \"method\": \"POST\", \"url\": \"/v1/completions\","
                        " \"body\": {\"prompt\": [1, 261], \"logprobs\": 3}}\n",
                        &batch));
    const or_batch_request *r = batch->requests;
    assert_null(r[0].error);
    assert_true(r[0].openai);
    assert_string_equal(r[0].id, "\"c\"");
    assert_string_equal(r[0].model, "gpt");
    assert_int_equal(r[0].prompt.count, 3);
    assert_int_equal(r[0].settings.max_tokens, 4);
    assert_true(r[0].settings.sampling.seed == UINT64_MAX);
    assert_int_equal(r[0].settings.logprobs, 0);
    assert_int_equal(r[0].settings.kv, OR_KV_PROPAGATE);
    assert_null(r[1].error);
    assert_null(r[1].model);
    assert_int_equal(r[1].prompt.count, 2);
    assert_int_equal(r[1].settings.logprobs, 3);
    or_batch_close(batch);
}

/* Each of these is refused by itself, with this in its error, while the line behind it can run. */
static void a_bad_request_refuses_only_itself(void **state)
{
    (void)state;
    static const struct {
        const char *members, *part;
    } cases[] = {
        {"\"prompt\": \"x\", \"max_token\": 3", "found \"max_token\", which no request has"},
        {"\"prompt\": \"x\", \"custom_id\": null", "found \"custom_id\""},
        {"\"prompt\": \"x\", \"n\": 1", "found \"n\""},
        {"\"prompt\": \"x\", \"max_tokens\": 0", "\"max_tokens\" is 0"},
        {"\"prompt\": \"x\", \"max_tokens\": 1.5", "\"max_tokens\" is 1.5"},
        {"\"prompt\": \"x\", \"max_tokens\": \"3\"", "\"max_tokens\" is a string"},
        {"\"prompt\": \"x\", \"temperature\": -0.1", "\"temperature\" is -0.1"},
        {"\"prompt\": \"x\", \"temperature\": 1e999", "\"temperature\" is a number, expected a finite"},
        {"\"prompt\": \"x\", \"top_p\": 0", "\"top_p\" is 0"},
        {"\"prompt\": \"x\", \"top_p\": 1.1", "\"top_p\" is 1.1"},
        {"\"prompt\": \"x\", \"top_k\": -1", "\"top_k\" is -1"},
        {"\"prompt\": \"x\", \"seed\": 1e17", "\"seed\" is 1e+17"},
        {"\"prompt\": \"x\", \"stop\": \"\"", "\"stop\""},
        {"\"prompt\": \"x\", \"stop\": [\"a\", 1]", "\"stop\""},
        {"\"prompt\": \"x\", \"policy\": \"svn\"", "\"policy\" is \"svn\""},
        {"\"prompt\": \"x\", \"kv\": \"exact\"", "\"kv\" is \"exact\""},
        {"\"prompt\": \"x\", \"logprobs\": 5", "\"logprobs\" is a number, expected true or false"},
        {"\"max_tokens\": 3", "neither \"prompt\""},
        {"\"prompt\": 3", "neither \"prompt\""},
        {"\"prompt\": \"x\", \"tokens\": \"3\"", "neither \"prompt\""},
        {"\"tokens\": []", "its prompt has 0 tokens"},
        {"\"tokens\": [4096]", "a token is not one of 0..4095"},
        {"\"tokens\": [-1]", "a token is not one of"},
        {"\"tokens\": [1.5]", "a token is not one of"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        or_batch *batch;
        snprintf(text, sizeof text, "{\"id\": 1, %s}\n{\"id\": 2, \"prompt\": \"x\"}\n", cases[i].members);
        assert_ok(open_text(text, &batch));
        if (!batch->requests[0].error || !strstr(batch->requests[0].error, cases[i].part))
            fail_msg("%s: error %s", cases[i].members, batch->requests[0].error);
        assert_null(strstr(batch->requests[0].error, "in.jsonl")); /* results do not tell files apart */
        assert_null(batch->requests[1].error);
        or_batch_close(batch);
    }
}

static void a_bad_openai_request_refuses_only_itself(void **state)
{
    (void)state;
    static const struct {
        const char *url, *body, *part;
    } cases[] = {
        {"/v1/chat/completions", "{\"messages\": []}", "found POST /v1/chat/completions"},
        {"/v1/completions", "{\"messages\": []}", "a chat"},
        {"/v1/completions", "{\"prompt\": \"x\", \"n\": 2}", "\"n\" asks for what offramp does not do"},
        {"/v1/completions", "{\"prompt\": \"x\", \"best_of\": 3}", "\"best_of\" asks"},
        {"/v1/completions", "{\"prompt\": \"x\", \"echo\": true}", "\"echo\" asks"},
        {"/v1/completions", "{\"prompt\": \"x\", \"presence_penalty\": 0.5}", "\"presence_penalty\" asks"},
        {"/v1/completions", "{\"prompt\": \"x\", \"logit_bias\": {\"5\": 1}}", "\"logit_bias\" asks"},
        {"/v1/completions", "{\"prompt\": \"x\", \"logprobs\": 6}", "\"logprobs\" is 6"},
        {"/v1/completions", "{\"prompt\": \"x\", \"id\": 6}", "found \"id\""},
        {"/v1/completions", "{\"prompt\": [\"x\"]}", "a token is not one of"},
        {"/v1/completions", "[]", "\"body\" is an array"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        or_batch *batch;
        snprintf(text, sizeof text,
                 "{\"custom_id\": \"1\", \"method\": \"POST\", \"url\": \"%s\", \"body\": %s}\n",
                 cases[i].url, cases[i].body);
        assert_ok(open_text(text, &batch));
        if (!batch->requests[0].error || !strstr(batch->requests[0].error, cases[i].part))
            fail_msg("%s: error %s", cases[i].body, batch->requests[0].error);
        or_batch_close(batch);
    }
}

static void a_file_that_is_no_list_of_requests_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "in.jsonl): the file has none"},
        {" \r\n\n", "the file has none"},
        {"{\"id\": 1, \"prompt\": \"x\"}\n[]\n", "in.jsonl:2): found no object"},
        {"{\"id\": 1, \"prompt\": \"x\"}\n{\"id\": 2\n", "in.jsonl:2)"},
        {"{\"id\": 1, \"id\": 1, \"prompt\": \"x\"}\n", "in.jsonl:1): found the key \"id\" twice"},
        {"\n{\"prompt\": \"x\"}\n", "in.jsonl:2): it has no \"id\""},
        {"{\"id\": null, \"prompt\": \"x\"}\n", "it has no \"id\""},
        {"{\"id\": 9007199254740993, \"prompt\": \"x\"}\n", "not exact, expected a string"},
        {"{\"id\": 1, \"prompt\": \"x\"}\n\n{\"id\": 2, \"prompt\": \"x\"}\n{\"id\": 1, \"prompt\": \"y\"}\n",
         "in.jsonl:4): line 1 has 1 too"},
        {"{\"id\": \"a\", \"prompt\": \"x\"}\n{\"custom_id\": \"a\"}\n", "in.jsonl:2): line 1 has \"a\" too"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_batch *batch;
        assert_fails(open_text(cases[i].text, &batch), OR_ERR_INPUT, cases[i].part);
        assert_null(batch);
    }
}

/* 64 positions: a prompt of 63 leaves one token, one of 64 none. What the KV cache has no room for is refused, not
 * cut: its room may be another in the next job. */
static void max_tokens_is_cut_to_the_context(void **state)
{
    (void)state;
    static const struct {
        size_t prompt, most, room, expected; /* expected 0: refused */
        const char *error;
    } cases[] = {
        {10, 20, 64, 20, ""},
        {50, 20, 64, 14, ""},
        {63, 20, 64, 1, ""},
        {64, 20, 64, 0, "prompt too long"},
        {12, 20, 32, 20, ""},
        {13, 20, 32, 0, "KV cache too small: 13 tokens of prompt and 20 behind it need room for 33"},
        {32, 20, 32, 0, "KV cache too small"},
        {10, 99, 999, 54, ""},
        {10, 99, 63, 0, "10 tokens of prompt and 54 behind it need room for 64, it has room for 63"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        char *at = text + sprintf(text, "{\"id\": 1, \"max_tokens\": %zu, \"tokens\": [", cases[i].most);
        for (size_t t = 0; t < cases[i].prompt; t++) at += sprintf(at, "%s5", t ? "," : "");
        sprintf(at, "]}\n");
        const char *path = path_in(scratch_folder(), "in.jsonl");
        put_text(path, text);
        or_batch_plan plan = plan_of(path);
        plan.room = cases[i].room;
        or_batch *batch;
        assert_ok(or_batch_open(&plan, &batch));
        if (cases[i].expected == 0) {
            assert_non_null(batch->requests[0].error);
            assert_non_null(strstr(batch->requests[0].error, cases[i].error));
        } else {
            assert_null(batch->requests[0].error);
            assert_int_equal(batch->requests[0].settings.max_tokens, cases[i].expected);
        }
        or_batch_close(batch);
    }
}

static void a_prompt_alone_is_refused_at_once(void **state)
{
    (void)state;
    or_batch_plan plan = plan_of(NULL);
    or_batch *batch = NULL;
    plan.prompt = "a cat";
    assert_ok(or_batch_open(&plan, &batch));
    assert_int_equal(batch->n_requests, 1);
    assert_int_equal(batch->requests[0].prompt.count, 3);
    or_batch_close(batch);
    plan.room = 3;
    assert_fails(or_batch_open(&plan, &batch), OR_ERR_INPUT, "KV cache too small: 3 tokens");
}

static void beginnings_in_common_are_found(void **state)
{
    (void)state;
    enum { N = 7 };
    /* 0 and 3: 40 tokens in common; 3 and 5: 35; 1: 31 with all, which is no page; 2 and 6: the same 33; 4:
     * none */
    static int32_t ids[N][64];
    or_tokens tokens[N] = {{ids[0], 60, 64}, {ids[1], 50, 64}, {ids[2], 33, 64}, {ids[3], 45, 64},
                           {ids[4], 64, 64}, {ids[5], 64, 64}, {ids[6], 33, 64}};
    const or_tokens *prompts[N];
    for (int i = 0; i < N; i++) {
        prompts[i] = &tokens[i];
        for (int t = 0; t < 64; t++) ids[i][t] = i == 4 ? 2000 + t : i == 2 || i == 6 ? 1000 + t : t;
    }
    for (int t = 31; t < 64; t++) ids[1][t] = 501;
    for (int t = 40; t < 64; t++) ids[0][t] = 500;
    for (int t = 35; t < 64; t++) ids[5][t] = 505;
    size_t shared[N];
    assert_ok(or_shared_prefixes(prompts, N, shared));
    const size_t expected[N] = {40, 0, 33, 40, 0, 35, 33};
    for (int i = 0; i < N; i++) assert_int_equal(shared[i], expected[i]);
    assert_ok(or_shared_prefixes(prompts, 1, shared));
    assert_int_equal(shared[0], 0);
    assert_ok(or_shared_prefixes(prompts, 0, shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_lines_say_what_they_want),
        cmocka_unit_test(openai_lines_say_what_they_want),
        cmocka_unit_test(a_bad_request_refuses_only_itself),
        cmocka_unit_test(a_bad_openai_request_refuses_only_itself),
        cmocka_unit_test(a_file_that_is_no_list_of_requests_is_refused),
        cmocka_unit_test(max_tokens_is_cut_to_the_context),
        cmocka_unit_test(a_prompt_alone_is_refused_at_once),
        cmocka_unit_test(beginnings_in_common_are_found),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
