/* test_batch.c - tokens given by hand to a batch's job, as the pipeline would: results of both forms, ends
 * and stops, the journal and going on with it, figures. */
#include "support.h"

#include "batch_internal.h"
#include "file.h"

static or_tokenizer *tokenizer;
static or_hparams hparams;

static int open_all(void **state)
{
    (void)state;
    hparams = (or_hparams){.n_layers = 16, .n_context = 256};
    if (or_tokenizer_open(source_path("configs/demo/model"), &tokenizer) != OR_OK) return 1;
    hparams.n_vocab = or_tokenizer_vocab(tokenizer) + 8; /* filled up, as real ones are */
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    or_tokenizer_close(tokenizer);
    return 0;
}

/* Heard by a plan with a prompt. */
static char heard[256];

static or_status hear(void *context, const char *text, size_t size)
{
    assert_ptr_equal(context, heard);
    strncat(heard, text, size);
    return OR_OK;
}

/* A batch, the job that a run would give to the pipeline, and the file's place. */
typedef struct bench {
    or_batch *batch;
    or_job job;
    char input[256], output[256];
} bench;

static void put_requests(bench *b, const char *text)
{
    const char *folder = scratch_folder();
    snprintf(b->input, sizeof b->input, "%s", path_in(folder, "in.jsonl"));
    snprintf(b->output, sizeof b->output, "%s", path_in(folder, "out.jsonl"));
    put_text(b->input, text);
}

static or_status open_bench(bench *b, const or_batch_settings *settings, bool resume)
{
    const or_batch_plan plan = {
        .input = b->input,
        .model = "demo",
        .tokenizer = tokenizer,
        .hparams = &hparams,
        .longest = 256,
        .room = 256,
        .settings = settings ? *settings
                             : (or_batch_settings){.max_tokens = 16,
                                                   .sampling = {.top_p = 1},
                                                   .policy = -1,
                                                   .logprobs = -1},
    };
    b->batch = NULL;
    OR_TRY(or_batch_open(&plan, &b->batch));
    or_status status = or_batch_output(b->batch, b->output, 77, resume);
    if (status == OR_OK) status = or_batch_begin(b->batch, &b->job);
    if (status == OR_OK) return OR_OK;
    or_batch_close(b->batch);
    return status;
}

static void close_bench(bench *b)
{
    or_batch_close(b->batch);
    b->batch = NULL;
}

/* A token as the ramp of that layer might draw it; numbers that tell tokens apart. */
static or_token make_token(int32_t id, int layer)
{
    or_token token = {
        .token = id, .exit_layer = layer, .top_prob = 0.5f, .gap = 0.25f, .logprob = -0.75f, .logsumexp = 4};
    for (int i = 0; i < 6; i++) token.best[i] = (or_token_logit){id + i, 3.25f - 0.5f * (float)i};
    token.n_best = 6;
    return token;
}

/* Gives the tokens to request `index` of the job until it wants no more; whether it does in the end. */
static bool give(bench *b, size_t index, const int32_t *ids, size_t n)
{
    bool more = true;
    for (size_t i = 0; i < n && more; i++) {
        const or_token token = make_token(ids[i], 4 + (int)(i % 3));
        assert_ok(b->job.token(b->job.context, index, &token, &more));
    }
    return more;
}

/* The tokens of a text behind a prompt, without the space in front. */
static or_tokens tokens_of(const char *text)
{
    or_tokens tokens = {0};
    assert_ok(or_tokenizer_encode(tokenizer, text, strlen(text), &tokens));
    return tokens;
}

static void run_text(bench *b, size_t index, const char *text, or_finish why)
{
    or_request request;
    or_tokens tokens = tokens_of(text);
    assert_ok(b->job.request(b->job.context, index, &request));
    if (!give(b, index, tokens.ids, tokens.count)) why = OR_FINISH_STOP;
    assert_ok(b->job.finish(b->job.context, index, why));
    or_tokens_free(&tokens);
}

/* The member of a line of results, NULL when it is not there; *line must be deleted. */
static const cJSON *member_of(const or_batch_request *request, const char *key, cJSON **line)
{
    assert_ok(or_json_parse(request->result.data, request->result.size, "result", line));
    return cJSON_GetObjectItemCaseSensitive(*line, key);
}

static void assert_text(const or_batch_request *request, const char *key, const char *expected)
{
    cJSON *line;
    assert_string_equal(cJSON_GetStringValue(member_of(request, key, &line)), expected);
    cJSON_Delete(line);
}

static const char two_requests[] = "{\"id\": {\"a\": [1]}, \"prompt\": \"one two\"}\n"
                                   "{\"id\": \"\\\"q\\\"\", \"tokens\": [1, 261, 269]}\n";

static void a_result_is_one_line_in_this_order(void **state)
{
    (void)state;
    bench b;
    or_request request;
    put_requests(&b, two_requests);
    assert_ok(open_bench(&b, NULL, false));
    assert_int_equal(b.job.n_requests, 2);
    assert_ok(b.job.request(b.job.context, 1, &request));
    assert_int_equal(request.n_tokens, 3);
    assert_int_equal(request.tokens[2], 269);
    assert_int_equal(request.max_tokens, 16);
    assert_int_equal(request.policy, -1);
    assert_false(request.likeliest);
    assert_int_equal(request.n_ends, 1);
    assert_int_equal(request.ends[0], or_tokenizer_eos(tokenizer));
    const int32_t ids[] = {261, 2541, 2}; /* " a", " cat", </s> */
    assert_true(give(&b, 1, ids, 3));
    assert_ok(b.job.finish(b.job.context, 1, OR_FINISH_END));
    assert_string_equal(b.batch->requests[1].result.data,
                        "{\"id\": \"\\\"q\\\"\", \"tokens\": [261, 2541, 2], \"text\": \" a cat\", "
                        "\"exit_layers\": [4, 5, 6], \"top_probs\": [0.5, 0.5, 0.5], "
                        "\"gaps\": [0.25, 0.25, 0.25], \"finish\": \"eos\"}\n");
    close_bench(&b);
}

static void logprobs_are_listed_when_they_are_asked_for(void **state)
{
    (void)state;
    bench b;
    or_request request;
    put_requests(&b, "{\"id\": 1, \"tokens\": [1, 261], \"logprobs\": true}\n");
    assert_ok(open_bench(&b, NULL, false));
    assert_ok(b.job.request(b.job.context, 0, &request));
    assert_true(request.likeliest);
    const int32_t ids[] = {300};
    give(&b, 0, ids, 1);
    assert_ok(b.job.finish(b.job.context, 0, OR_FINISH_LENGTH));
    cJSON *line;
    char *text = cJSON_PrintUnformatted(member_of(&b.batch->requests[0], "logprobs", &line));
    assert_string_equal(text, "[{\"token\":300,\"logprob\":-0.75,\"top\":"
                              "[[300,-0.75],[301,-1.25],[302,-1.75],[303,-2.25],[304,-2.75]]}]");
    cJSON_free(text);
    cJSON_Delete(line);
    close_bench(&b);
}

static void a_stop_text_ends_a_request(void **state)
{
    (void)state;
    bench b;
    put_requests(&b, "{\"id\": 1, \"prompt\": \"one two\", \"stop\": [\"zzz\", \"END\"]}\n"
                     "{\"id\": 2, \"prompt\": \"one two\", \"stop\": \"END\"}\n");
    assert_ok(open_bench(&b, NULL, false));
    run_text(&b, 0, "three END four", OR_FINISH_LENGTH);
    assert_text(&b.batch->requests[0], "text", " three ");
    assert_text(&b.batch->requests[0], "finish", "stop");
    cJSON *line; /* what was drawn, and nothing behind the stop text */
    or_tokens whole = tokens_of("three END four"), part = tokens_of("three END");
    const int n = cJSON_GetArraySize(member_of(&b.batch->requests[0], "tokens", &line));
    assert_true(n < (int)whole.count && n >= (int)part.count - 1);
    cJSON_Delete(line);
    or_tokens_free(&whole);
    or_tokens_free(&part);
    run_text(&b, 1, "three EN", OR_FINISH_LENGTH); /* its beginning is held back until the end */
    assert_text(&b.batch->requests[1], "text", " three EN");
    assert_text(&b.batch->requests[1], "finish", "length");
    close_bench(&b);
}

/* A byte of a character, a NUL, a token that only the model has; text is whole characters all the same. */
static void text_is_never_broken(void **state)
{
    (void)state;
    bench b;
    or_request request;
    put_requests(&b, "{\"id\": 1, \"tokens\": [1, 261]}\n");
    assert_ok(open_bench(&b, NULL, false));
    assert_ok(b.job.request(b.job.context, 0, &request));
    const int32_t byte = 3; /* <0x00> */
    const int32_t ids[] = {byte, byte + 0xc3, byte + 0xa9, hparams.n_vocab - 1, byte + 0xe2, byte + 0x82};
    assert_true(give(&b, 0, ids, 6));
    assert_ok(b.job.finish(b.job.context, 0, OR_FINISH_LENGTH));
    assert_text(&b.batch->requests[0], "text", "\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd");
    close_bench(&b);
}

static void openai_lines_get_openai_results(void **state)
{
    (void)state;
    bench b;
    or_request request;
    put_requests(&b, "{\"custom_id\": \"c\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                     "\"body\": {\"model\": \"m\", \"prompt\": [1, 261], \"logprobs\": 2}}\n"
                     "{\"custom_id\": \"d\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                     "\"body\": {\"prompt\": [1, 261]}}\n"
                     "{\"custom_id\": \"e\", \"method\": \"POST\", \"url\": \"/v1/completions\", "
                     "\"body\": {\"prompt\": [1, 261], \"n\": 2}}\n");
    assert_ok(open_bench(&b, NULL, false));
    assert_int_equal(b.job.n_requests, 2);
    assert_ok(b.job.request(b.job.context, 0, &request));
    const int32_t ids[] = {2541, 3 + 0xc3, 3 + 0xa9, 2}; /* " cat", the bytes of e with an accent, </s> */
    give(&b, 0, ids, 4);
    assert_ok(b.job.finish(b.job.context, 0, OR_FINISH_END));
    char expected[2048], tops[4][64];
    for (int i = 0; i < 4; i++) { /* the second of make_token()'s is the next id */
        const int32_t twice[2] = {ids[i] + 1, ids[i] + 1};
        char *text;
        size_t size;
        assert_ok(or_tokenizer_decode(tokenizer, twice, 2, &text, &size));
        const bool whole = size > 0 && !strstr(text, "\xef\xbf\xbd") && strlen(text) == size;
        snprintf(tops[i], sizeof tops[i], "%s",
                 whole ? text + size / 2 : or_tokenizer_piece(tokenizer, ids[i] + 1));
        free(text);
    }
    snprintf(expected, sizeof expected,
             "{\"id\": \"batch_req_1\", \"custom_id\": \"c\", \"response\": {\"status_code\": 200, "
             "\"request_id\": "
             "\"req_1\", \"body\": {\"id\": \"cmpl-1\", \"object\": \"text_completion\", \"created\": 0, "
             "\"model\": "
             "\"m\", \"choices\": [{\"index\": 0, \"text\": \" cat\xc3\xa9\", \"logprobs\": {\"tokens\": [\" "
             "cat\", "
             "\"<0xC3>\", \"<0xA9>\", \"</s>\"], \"token_logprobs\": [-0.75, -0.75, -0.75, -0.75], "
             "\"top_logprobs\": [{\" cat\": -0.75, \"%s\": -1.25}, {\"<0xC3>\": -0.75, \"%s\": -1.25}, "
             "{\"<0xA9>\": "
             "-0.75, \"%s\": -1.25}, {\"</s>\": -0.75, \"%s\": -1.25}], \"text_offset\": [0, 4, 4, 5]}, "
             "\"finish_reason\": \"stop\"}], \"usage\": {\"prompt_tokens\": 2, \"completion_tokens\": 4, "
             "\"total_tokens\": 6}}}, \"error\": null}\n",
             tops[0], tops[1], tops[2], tops[3]);
    assert_string_equal(b.batch->requests[0].result.data, expected);

    run_text(&b, 1, "x", OR_FINISH_LENGTH);
    assert_non_null(strstr(b.batch->requests[1].result.data, "\"model\": \"demo\""));
    assert_non_null(
        strstr(b.batch->requests[1].result.data, "\"logprobs\": null, \"finish_reason\": \"length\""));

    or_buffer refused = {0};
    assert_ok(or_batch_put_refusal(&b.batch->requests[2], &refused));
    assert_string_equal(refused.data,
                        "{\"id\": \"batch_req_3\", \"custom_id\": \"e\", \"response\": null, \"error\": "
                        "{\"code\": \"invalid_request\", \"message\": \"request refused: \\\"n\\\" asks "
                        "for what offramp does not do\"}}\n");
    or_buffer_free(&refused);
    close_bench(&b);
}

/* Without ends and stop texts; no text, and log-probabilities of what is followed. */
static void a_continuation_is_followed(void **state)
{
    (void)state;
    bench b;
    or_request request;
    put_requests(&b, "{\"id\": 1, \"tokens\": [1, 261], \"follow\": [2, 2541, 2], \"max_tokens\": 3}\n");
    const char *const stops[] = {"cat"};
    const or_batch_settings settings = {.max_tokens = 16,
                                        .sampling = {.top_p = 1},
                                        .policy = -1,
                                        .logprobs = -1,
                                        .stops = stops,
                                        .n_stops = 1};
    assert_ok(open_bench(&b, &settings, false));
    assert_ok(b.job.request(b.job.context, 0, &request));
    assert_int_equal(request.n_tokens, 2);
    assert_int_equal(request.max_tokens, 3);
    const int32_t followed[] = {2, 2541, 2}, drawn[] = {2541, 2, 300};
    assert_memory_equal(request.forced, followed, sizeof followed);
    assert_int_equal(request.n_ends, 0);
    assert_false(request.likeliest);
    assert_true(give(&b, 0, drawn, 3));
    assert_ok(b.job.finish(b.job.context, 0, OR_FINISH_LENGTH));
    assert_string_equal(b.batch->requests[0].result.data,
                        "{\"id\": 1, \"tokens\": [2541, 2, 300], \"exit_layers\": [4, 5, 6], "
                        "\"top_probs\": [0.5, 0.5, 0.5], \"gaps\": [0.25, 0.25, 0.25], "
                        "\"logprobs\": [{\"token\": 2, \"logprob\": -0.75, \"top\": []}, "
                        "{\"token\": 2541, \"logprob\": -0.75, \"top\": []}, "
                        "{\"token\": 2, \"logprob\": -0.75, \"top\": []}], \"finish\": \"length\"}\n");
    close_bench(&b);
}

/* Prompt and continuation are the tokens of the whole text, wherever the border lies. */
static void a_text_is_followed_as_the_whole_is_encoded(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "{\"id\": 1, \"prompt\": \"one two\", \"follow\": \" three four\"}\n",
        "{\"id\": 1, \"prompt\": \"one two t\", \"follow\": \"hree four\"}\n"};
    or_tokens whole = tokens_of("one two three four"), shorter = tokens_of("one two");
    for (int i = 0; i < 2; i++) {
        bench b;
        or_request request;
        put_requests(&b, lines[i]);
        assert_ok(open_bench(&b, NULL, false));
        assert_int_equal(b.job.n_requests, 1);
        assert_ok(b.job.request(b.job.context, 0, &request));
        assert_int_equal(request.n_tokens, 1 + shorter.count); /* BOS; " t" is part of " three" */
        assert_int_equal(request.tokens[0], or_tokenizer_bos(tokenizer));
        assert_memory_equal(request.tokens + 1, whole.ids, shorter.count * sizeof *whole.ids);
        assert_int_equal(request.max_tokens, whole.count - shorter.count);
        assert_memory_equal(request.forced, whole.ids + shorter.count,
                            request.max_tokens * sizeof *whole.ids);
        close_bench(&b);
    }
    or_tokens_free(&whole);
    or_tokens_free(&shorter);
}

static void what_cannot_be_followed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *error;
    } cases[] = {
        {"\"prompt\": \"one\", \"follow\": \"\"", "\"follow\" is no token"},
        {"\"prompt\": \"one\", \"follow\": []", "\"follow\" is no token"},
        {"\"prompt\": \"one\", \"follow\": 7", "neither a text nor an array"},
        {"\"prompt\": \"one\", \"follow\": [99999]", "a token is not one of"},
        {"\"tokens\": [1, 261], \"follow\": \"two\"", "is a text behind \"tokens\""},
        {"\"prompt\": \"one\", \"follow\": [261], \"max_tokens\": 2", "expected the 1 tokens of \"follow\""},
        {"\"prompt\": \"one\", \"follow\": [261], \"stop\": \"x\"", "which nothing ends early"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b;
        char line[256];
        snprintf(line, sizeof line, "{\"id\": 1, %s}\n", cases[i].members);
        put_requests(&b, line);
        assert_ok(open_bench(&b, NULL, false));
        assert_int_equal(b.job.n_requests, 0);
        assert_non_null(strstr(b.batch->requests[0].error, cases[i].error));
        close_bench(&b);
    }
    bench b; /* 256 tokens are the context: it is not cut */
    or_buffer line = {0};
    assert_ok(or_buffer_puts(&line, "{\"id\": 1, \"tokens\": [1, 261], \"follow\": [261"));
    for (int i = 1; i < 255; i++) assert_ok(or_buffer_puts(&line, ", 261"));
    assert_ok(or_buffer_puts(&line, "]}\n"));
    put_requests(&b, line.data);
    assert_ok(open_bench(&b, NULL, false));
    assert_non_null(strstr(b.batch->requests[0].error,
                           "\"follow\" has 255 tokens, behind the prompt there is room for 254"));
    or_buffer_free(&line);
    close_bench(&b);
}

static const char four_requests[] = "{\"id\": 1, \"prompt\": \"one\"}\n"
                                    "{\"id\": 2, \"prompt\": \"two\", \"bad\": 1}\n"
                                    "{\"id\": 3, \"prompt\": \"three\"}\n"
                                    "{\"id\": 4, \"prompt\": \"four\"}\n";

/* All at once in one order; and in another, left and gone on with twice. The files are the same bytes. */
static void a_run_that_was_interrupted_ends_with_the_same_file(void **state)
{
    (void)state;
    static const char *const texts[] = {"red", "green \"quoted\"\n\ttab", "blue"};
    bench whole, parts;
    or_buffer a = {0}, c = {0};
    put_requests(&whole, four_requests);
    assert_ok(open_bench(&whole, NULL, false));
    assert_int_equal(whole.job.n_requests, 3);
    for (size_t i = 0; i < 3; i++) run_text(&whole, i, texts[i], OR_FINISH_LENGTH);
    assert_ok(or_batch_sync(whole.batch));
    assert_int_equal(whole.batch->n_journal, 3);
    assert_ok(or_batch_write(whole.batch));
    or_batch_summary before, after;
    assert_ok(or_batch_summarise(whole.batch, &before));
    assert_int_equal(before.requests, 4);
    assert_int_equal(before.refused, 1);
    close_bench(&whole);

    put_requests(&parts, four_requests);
    assert_ok(open_bench(&parts, NULL, false));
    run_text(&parts, 2, texts[2], OR_FINISH_LENGTH);
    or_request request;
    assert_ok(parts.job.request(parts.job.context, 0, &request)); /* under way, and lost */
    assert_ok(or_batch_sync(parts.batch));
    close_bench(&parts);
    assert_false(or_path_exists(parts.output));
    assert_fails(open_bench(&parts, NULL, false), OR_ERR_INPUT, "--resume");

    assert_ok(open_bench(&parts, NULL, true));
    assert_int_equal(parts.job.n_requests, 2);
    run_text(&parts, 1, texts[1], OR_FINISH_LENGTH);
    run_text(&parts, 0, texts[0], OR_FINISH_LENGTH);
    assert_ok(or_batch_sync(parts.batch));
    assert_ok(or_batch_write(parts.batch));
    assert_ok(or_batch_summarise(parts.batch, &after));
    assert_int_equal(after.tokens, before.tokens);
    assert_true(after.exit_layer_mean == before.exit_layer_mean);
    close_bench(&parts);

    assert_ok(or_file_read(whole.output, &a));
    assert_ok(or_file_read(parts.output, &c));
    assert_int_equal(a.size, c.size);
    assert_memory_equal(a.data, c.data, a.size);
    assert_non_null(strstr(
        a.data, "{\"id\": 2, \"error\": \"request refused: found \\\"bad\\\", which no request has\"}\n"));
    or_buffer_free(&c);

    assert_ok(open_bench(&parts, NULL, true)); /* a finished run: nothing is left */
    assert_int_equal(parts.job.n_requests, 0);
    assert_ok(or_batch_write(parts.batch));
    close_bench(&parts);
    assert_ok(or_file_read(parts.output, &c));
    assert_memory_equal(a.data, c.data, a.size);
    or_buffer_free(&a);
    or_buffer_free(&c);
}

/* Tokens that were drawn before are dropped; to go on with the run does not ask again, and ends the same. */
static void what_failed_has_an_error(void **state)
{
    (void)state;
    static const char requests[] = "{\"id\": 1, \"prompt\": \"one\"}\n"
                                   "{\"custom_id\": \"c\", \"method\": \"POST\", \"url\": "
                                   "\"/v1/completions\", \"body\": {\"prompt\": \"two\"}}\n"
                                   "{\"id\": 3, \"prompt\": \"three\", \"bad\": 1}\n";
    bench b;
    or_request request;
    or_batch_summary s;
    or_buffer file = {0};
    put_requests(&b, requests);
    for (int resumed = 0; resumed < 2; resumed++) {
        assert_ok(open_bench(&b, NULL, resumed));
        assert_int_equal(b.job.n_requests, resumed ? 0 : 2);
        for (size_t i = 2; i-- > 0 && !resumed;) {
            assert_ok(b.job.request(b.job.context, i, &request));
            give(&b, i, (const int32_t[]){2541, 2542}, i);
            assert_ok(b.job.fault(b.job.context, i, 5 + (int)i));
            if (i > 0)
                assert_fails(or_batch_check(b.batch), OR_ERR_FAILED, "1 of 3, the first is that of line 2");
        }
        assert_fails(
            or_batch_check(b.batch), OR_ERR_FAILED,
            "2 of 3, the first is that of line 1 with the id 1: numbers are not finite after layer 5; "
            "are the weights damaged?");
        assert_ok(or_batch_sync(b.batch));
        assert_ok(or_batch_write(b.batch));
        assert_ok(or_batch_summarise(b.batch, &s));
        assert_true(s.failed == 2 && s.refused == 1 && s.tokens == 0);
        close_bench(&b);
        assert_ok(or_file_read(b.output, &file));
        assert_non_null(strstr(file.data,
                               "{\"id\": 1, \"error\": \"numbers are not finite after layer 5\"}\n"
                               "{\"id\": \"batch_req_2\", \"custom_id\": \"c\", \"response\": null, "
                               "\"error\": {\"code\": \"server_error\", \"message\": \"numbers "
                               "are not finite after layer 6\"}}\n{\"id\": 3, \"error\": "));
        or_buffer_free(&file);
    }
    put_requests(&b, two_requests); /* where one comes through the weights are not in doubt */
    assert_ok(open_bench(&b, NULL, false));
    assert_ok(b.job.request(b.job.context, 0, &request));
    assert_ok(b.job.fault(b.job.context, 0, 16));
    run_text(&b, 1, "x", OR_FINISH_LENGTH);
    assert_fails(or_batch_check(b.batch), OR_ERR_FAILED, "after layer 16");
    assert_null(strstr(or_status_message(), "damaged"));
    close_bench(&b);
}

static void another_run_is_refused(void **state)
{
    (void)state;
    const char *const stops[] = {"x"};
    const or_batch_settings base = {.max_tokens = 16, .sampling = {.top_p = 1}, .policy = -1, .logprobs = -1};
    or_batch_settings other[7];
    for (int i = 0; i < 7; i++) other[i] = base;
    other[0].max_tokens = 17;
    other[1].sampling.temperature = 0.5f;
    other[2].sampling.seed = 1;
    other[3].sampling.top_p = 0.5f;
    other[4].stops = stops, other[4].n_stops = 1;
    other[5].logprobs = 5;
    other[6].kv = OR_KV_VERIFY;
    bench b;
    put_requests(&b, two_requests);
    assert_ok(open_bench(&b, &base, false));
    run_text(&b, 0, "x", OR_FINISH_LENGTH);
    assert_ok(or_batch_sync(b.batch));
    close_bench(&b);
    for (int i = 0; i < 7; i++)
        assert_fails(open_bench(&b, &other[i], true), OR_ERR_INPUT, "another run's journal");
    assert_ok(open_bench(&b, &base, true));
    close_bench(&b);
    put_text(b.input, "{\"id\": 1, \"prompt\": \"x\"}\n");
    assert_fails(open_bench(&b, &base, true), OR_ERR_INPUT, "another run's journal");
}

static void results_are_not_overwritten(void **state)
{
    (void)state;
    bench b;
    put_requests(&b, two_requests);
    put_text(b.output, "precious\n");
    assert_fails(open_bench(&b, NULL, false), OR_ERR_INPUT, "output is there");
    assert_fails(open_bench(&b, NULL, true), OR_ERR_INPUT, "no journal from which to go on");
}

static void a_prompt_is_heard_as_it_comes(void **state)
{
    (void)state;
    const char *const stops[] = {"stop"};
    const or_batch_plan plan = {
        .prompt = "one two",
        .text = hear,
        .context = heard,
        .model = "demo",
        .tokenizer = tokenizer,
        .hparams = &hparams,
        .longest = 256,
        .room = 256,
        .settings = {.max_tokens = 16,
                     .sampling = {.top_p = 1},
                     .policy = -1,
                     .logprobs = -1,
                     .stops = stops,
                     .n_stops = 1},
    };
    bench b;
    or_request request;
    assert_ok(or_batch_open(&plan, &b.batch));
    assert_ok(or_batch_begin(b.batch, &b.job));
    assert_ok(b.job.request(b.job.context, 0, &request));
    or_tokens tokens = tokens_of("three four stop five");
    give(&b, 0, tokens.ids, 1);
    assert_true(strlen(heard) > 0);
    assert_false(give(&b, 0, tokens.ids + 1, tokens.count - 1));
    assert_ok(b.job.finish(b.job.context, 0, OR_FINISH_STOP));
    assert_string_equal(heard, " three four ");
    or_batch_summary s;
    assert_ok(or_batch_summarise(b.batch, &s));
    assert_true(s.last_worst >= s.first_median && s.first_median >= 0);
    or_tokens_free(&tokens);
    or_batch_close(b.batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_result_is_one_line_in_this_order),
        cmocka_unit_test(logprobs_are_listed_when_they_are_asked_for),
        cmocka_unit_test(a_stop_text_ends_a_request),
        cmocka_unit_test(text_is_never_broken),
        cmocka_unit_test(openai_lines_get_openai_results),
        cmocka_unit_test(a_continuation_is_followed),
        cmocka_unit_test(a_text_is_followed_as_the_whole_is_encoded),
        cmocka_unit_test(what_cannot_be_followed_is_refused),
        cmocka_unit_test(a_run_that_was_interrupted_ends_with_the_same_file),
        cmocka_unit_test(what_failed_has_an_error),
        cmocka_unit_test(another_run_is_refused),
        cmocka_unit_test(results_are_not_overwritten),
        cmocka_unit_test(a_prompt_is_heard_as_it_comes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
