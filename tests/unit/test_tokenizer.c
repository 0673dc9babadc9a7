/* test_tokenizer.c - whole tokenizers against SentencePiece's own ids, there and back, and what the calls
 * promise. Broken files are in test_spm_files.c. */
#include "token_checks.h"

#include "file.h"

#define SPACE "\xe2\x96\x81"

static or_tokenizer *open_tokenizer(const char *path)
{
    or_tokenizer *tokenizer = NULL;
    assert_ok(or_tokenizer_open(path, &tokenizer));
    return tokenizer;
}

/* decode(encode(text)) is the text, in which U+2581 comes back as a space. */
static void check_round_trip(const or_tokenizer *tokenizer, const char *text, const or_tokens *tokens)
{
    or_buffer expected = {0};
    char *back;
    size_t size;
    for (const char *at = text, *mark; *at; at = mark ? mark + strlen(SPACE) : at + strlen(at)) {
        mark = strstr(at, SPACE);
        assert_ok(or_buffer_append(&expected, at, mark ? (size_t)(mark - at) : strlen(at)));
        if (mark) assert_ok(or_buffer_puts(&expected, " "));
    }
    assert_ok(or_tokenizer_decode(tokenizer, tokens->ids, tokens->count, &back, &size));
    assert_string_equal(back, expected.size ? expected.data : "");
    assert_int_equal(size, expected.size);
    free(back);
    or_buffer_free(&expected);
}

/* {"text", "ids"}: both tokenizers give these ids. */
static void check_line_ids(const cJSON *line, const or_tokenizer *a, const or_tokenizer *b)
{
    const char *text = or_json_find(line, "text")->valuestring;
    const or_tokenizer *const both[] = {a, b};
    for (int side = 0; side < 2; side++) {
        or_tokens tokens = {0};
        assert_ok(or_tokenizer_encode(both[side], text, strlen(text), &tokens));
        check_token_list(text, &tokens, or_json_find(line, "ids"));
        check_round_trip(both[side], text, &tokens);
        or_tokens_free(&tokens);
    }
}

/* {"text"}: both give the same ids. */
static void check_same(const cJSON *line, const or_tokenizer *a, const or_tokenizer *b)
{
    const char *text = or_json_find(line, "text")->valuestring;
    or_tokens x = {0}, y = {0};
    assert_ok(or_tokenizer_encode(a, text, strlen(text), &x));
    assert_ok(or_tokenizer_encode(b, text, strlen(text), &y));
    assert_int_equal(x.count, y.count);
    if (x.count) assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
    check_round_trip(a, text, &x);
    or_tokens_free(&x);
    or_tokens_free(&y);
}

static void check_both(const or_tokenizer *a, const or_tokenizer *b, const char *text)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "text", text);
    check_same(line, a, b);
    cJSON_Delete(line);
}

/* Both of Llama-2's files give SentencePiece's ids. */
static void llama2_equals_sentencepiece(void **state)
{
    (void)state;
    const char *oracle = need_data("oracles/tokenize-llama2.jsonl");
    or_tokenizer *json = open_tokenizer(need_data("tokenizers/llama2-hf"));
    or_tokenizer *model = open_tokenizer(need_data("tokenizers/llama2-spm"));
    const or_tokenizer *const both[] = {json, model};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(or_tokenizer_vocab(both[i]), 32000);
        assert_int_equal(or_tokenizer_bos(both[i]), 1);
        assert_int_equal(or_tokenizer_eos(both[i]), 2);
        assert_true(or_tokenizer_adds_bos(both[i]));
        assert_string_equal(or_tokenizer_piece(both[i], 278), SPACE "the");
    }
    assert_int_equal(each_line(oracle, check_line_ids, json, model), 361);
    or_tokenizer_close(model);
    or_tokenizer_close(json);
}

/* The demo model's folder with one of its two tokenizer files only. */
static or_tokenizer *open_demo(const char *file)
{
    const char *folder = scratch_folder();
    or_buffer bytes = {0};
    assert_ok(or_file_read(path_in(source_path("configs/demo/model"), file), &bytes));
    put_file(path_in(folder, file), bytes.data, bytes.size);
    or_buffer_free(&bytes);
    return open_tokenizer(folder);
}

static void demo_files_agree(void **state)
{
    (void)state;
    static const char *const texts[] = {"Q: hungry\nA:",
                                        "",
                                        " ",
                                        "  two  spaces ",
                                        "\n\n",
                                        "tab\tend",
                                        "caf\xc3\xa9 \xf0\x9f\x99\x82 \xe4\xb8\x96",
                                        "<s> </s> <0x0A> <unk>",
                                        SPACE "lower",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    or_tokenizer *json = open_demo("tokenizer.json"), *model = open_demo("tokenizer.model");
    assert_int_equal(or_tokenizer_vocab(json), 4096);
    assert_int_equal(or_tokenizer_vocab(model), 4096);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_both(json, model, texts[i]);
    or_tokenizer_close(model);
    or_tokenizer_close(json);
}

static void demo_files_agree_on_data(void **state)
{
    (void)state;
    const char *oracle = need_data("oracles/tokenize-llama2.jsonl"), *sst2 = need_data("data/sst2/dev.jsonl");
    or_tokenizer *json = open_demo("tokenizer.json"), *model = open_demo("tokenizer.model");
    assert_int_equal(each_line(oracle, check_same, json, model), 361);
    assert_true(each_line(sst2, check_same, json, model) > 800);
    or_tokenizer_close(model);
    or_tokenizer_close(json);
}

/* Its merges make pieces that end in a space, BOS is not called <s>, and there are no byte pieces. */
static void tinystories_comes_back(void **state)
{
    (void)state;
    or_tokenizer *t = open_tokenizer(need_data("models/TinyStories-656K"));
    or_tokens tokens = {0};
    assert_string_equal(or_tokenizer_piece(t, or_tokenizer_bos(t)), "<|start_story|>");
    assert_string_equal(or_tokenizer_piece(t, or_tokenizer_eos(t)), "<|end_story|>");
    assert_true(or_tokenizer_adds_bos(t));
    assert_ok(or_tokenizer_encode(t, "Once upon a time, the cat", 25, &tokens));
    bool trailing = false;
    for (size_t i = 0; i < tokens.count; i++) {
        const char *piece = or_tokenizer_piece(t, tokens.ids[i]), *mark = strstr(piece, SPACE);
        trailing = trailing || (mark && mark > piece);
    }
    assert_true(trailing);
    check_both(t, t,
               "Once upon a time, there was a little girl named Lily.\n\"Look!\" she said.  Two spaces ");
    check_both(t, t, " The dog ran to the park and played with the ball. ");
    check_both(t, t, "");
    tokens.count = 0;
    assert_ok(or_tokenizer_encode(t, "\xe6\xa3\x9f\xe6\xa3\x9f", 6, &tokens)); /* not in its alphabet */
    assert_int_equal(tokens.ids[tokens.count - 1], 0);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

static void special_tokens_have_no_text(void **state)
{
    (void)state;
    or_tokenizer *t = open_tokenizer(source_path("configs/demo/model"));
    or_tokens tokens = {0};
    char *text;
    size_t size;
    assert_ok(or_tokens_add(&tokens, or_tokenizer_bos(t)));
    assert_ok(or_tokenizer_encode(t, "hungry", 6, &tokens)); /* appends */
    assert_int_equal(tokens.ids[0], 1);
    assert_ok(or_tokens_add(&tokens, or_tokenizer_eos(t)));
    assert_ok(or_tokenizer_decode(t, tokens.ids, tokens.count, &text, &size));
    assert_string_equal(text, "hungry");
    free(text);
    tokens.count = 0;
    assert_ok(or_tokenizer_encode(t, "<s></s><unk>", 12, &tokens));
    assert_true(tokens.count > 3);
    for (size_t i = 0; i < tokens.count; i++) assert_true(tokens.ids[i] > 2);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

static void nul_characters_are_text(void **state)
{
    (void)state;
    or_tokenizer *t = open_tokenizer(source_path("configs/demo/model"));
    or_tokens tokens = {0};
    char *text;
    size_t size;
    assert_ok(or_tokenizer_encode(t, "a\0b", 3, &tokens));
    assert_ok(or_tokenizer_decode(t, tokens.ids, tokens.count, &text, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(text, "a\0b", 4);
    free(text);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

static void bad_ids_and_text_are_refused(void **state)
{
    (void)state;
    or_tokenizer *t = open_tokenizer(source_path("configs/demo/model"));
    or_tokens tokens = {0};
    char *text = NULL;
    size_t size = 0;
    assert_fails(or_tokenizer_decode(t, (int32_t[]){5, 4096}, 2, &text, &size), OR_ERR_INPUT, "id 4096");
    assert_fails(or_tokenizer_decode(t, (int32_t[]){-1}, 1, &text, &size), OR_ERR_INPUT, "expected 0..4095");
    assert_ok(or_tokenizer_decode(t, NULL, 0, &text, &size));
    assert_string_equal(text, "");
    free(text);
    assert_fails(or_tokenizer_encode(t, "a\xff", 2, &tokens), OR_ERR_INPUT, "byte 2");
    assert_fails(or_tokenizer_encode(t, "\xc3\xa9", 1, &tokens), OR_ERR_INPUT, "byte 1"); /* cut by size */
    assert_int_equal(tokens.count, 0);
    assert_string_equal(or_tokenizer_piece(t, 4096), "");
    assert_string_equal(or_tokenizer_piece(t, -1), "");
    assert_string_equal(or_tokenizer_piece(t, 3), "<0x00>");
    or_tokenizer_close(t);
    or_tokenizer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama2_equals_sentencepiece),  cmocka_unit_test(demo_files_agree),
        cmocka_unit_test(demo_files_agree_on_data),     cmocka_unit_test(tinystories_comes_back),
        cmocka_unit_test(special_tokens_have_no_text),  cmocka_unit_test(nul_characters_are_text),
        cmocka_unit_test(bad_ids_and_text_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
