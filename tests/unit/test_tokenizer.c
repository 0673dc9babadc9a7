/* test_tokenizer.c - tokenizers against SentencePiece's own ids, and there and back. */
#include "support.h"

#include "json.h"

#include <offramp/tokenizer.h>

static or_tokenizer *open_tokenizer(const char *path)
{
    or_tokenizer *tokenizer = NULL;
    assert_ok(or_tokenizer_open(path, &tokenizer));
    return tokenizer;
}

/* SentencePiece writes spaces as U+2581, so a text that holds that character comes back with spaces. */
static void assert_round_trip(const or_tokenizer *tokenizer, const char *text, const or_tokens *tokens)
{
    char *back;
    size_t size;
    assert_ok(or_tokenizer_decode(tokenizer, tokens->ids, tokens->count, &back, &size));
    if (!strstr(text, "\xe2\x96\x81")) assert_string_equal(back, text);
    assert_int_equal(strlen(back), size);
    free(back);
}

/* Every line {"text", "ids"} of a file. */
static void check_lines(const or_tokenizer *tokenizer, const char *path, size_t expected_lines)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, lines = 0;
    assert_non_null(file);
    while (getline(&line, &capacity, file) != -1) {
        cJSON *json = cJSON_Parse(line);
        const char *text = cJSON_GetObjectItem(json, "text")->valuestring;
        const cJSON *id = cJSON_GetObjectItem(json, "ids")->child;
        or_tokens tokens = {0};
        assert_ok(or_tokenizer_encode(tokenizer, text, strlen(text), &tokens));
        for (size_t i = 0; i < tokens.count; i++, id = id->next) {
            if (!id || tokens.ids[i] != id->valueint)
                fail_msg("\"%s\": id %zu is %d, expected %d", text, i, tokens.ids[i], id ? id->valueint : -1);
        }
        assert_null(id);
        assert_round_trip(tokenizer, text, &tokens);
        or_tokens_free(&tokens);
        cJSON_Delete(json);
        lines++;
    }
    assert_true(lines >= expected_lines);
    free(line);
    fclose(file);
}

static void llama2_json_equals_sentencepiece(void **state)
{
    (void)state;
    char oracle[1024];
    snprintf(oracle, sizeof oracle, "%s", need_data("oracles/tokenize-llama2.jsonl"));
    or_tokenizer *tokenizer = open_tokenizer(need_data("tokenizers/llama2-hf"));
    assert_int_equal(or_tokenizer_vocab(tokenizer), 32000);
    assert_int_equal(or_tokenizer_bos(tokenizer), 1);
    assert_int_equal(or_tokenizer_eos(tokenizer), 2);
    assert_true(or_tokenizer_adds_bos(tokenizer));
    check_lines(tokenizer, oracle, 100);
    or_tokenizer_close(tokenizer);
}

static void llama2_model_equals_sentencepiece(void **state)
{
    (void)state;
    char oracle[1024];
    snprintf(oracle, sizeof oracle, "%s", need_data("oracles/tokenize-llama2.jsonl"));
    or_tokenizer *tokenizer = open_tokenizer(need_data("tokenizers/llama2-spm"));
    assert_int_equal(or_tokenizer_vocab(tokenizer), 32000);
    check_lines(tokenizer, oracle, 100);
    or_tokenizer_close(tokenizer);
}

/* The demo model's folder with one of its two tokenizer files only. */
static or_tokenizer *open_demo(const char *file)
{
    char from[1024];
    or_buffer bytes = {0};
    const char *folder = scratch_folder();
    snprintf(from, sizeof from, "%s/%s", source_path("configs/demo/model"), file);
    FILE *in = fopen(from, "rb");
    assert_non_null(in);
    char chunk[4096];
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, in)) > 0;)
        assert_ok(or_buffer_append(&bytes, chunk, got));
    fclose(in);
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
                                        "caf\xc3\xa9 \xf0\x9f\x99\x82 \xe4\xb8\x96",
                                        "<s> </s> <0x0A>",
                                        "one long string of cliches",
                                        "tab\tend",
                                        "\xe2\x96\x81lower",
                                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    or_tokenizer *json = open_demo("tokenizer.json"), *model = open_demo("tokenizer.model");
    assert_int_equal(or_tokenizer_vocab(json), 4096);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        or_tokens a = {0}, b = {0};
        assert_ok(or_tokenizer_encode(json, texts[i], strlen(texts[i]), &a));
        assert_ok(or_tokenizer_encode(model, texts[i], strlen(texts[i]), &b));
        assert_int_equal(a.count, b.count);
        for (size_t j = 0; j < a.count; j++) assert_int_equal(a.ids[j], b.ids[j]);
        assert_round_trip(json, texts[i], &a);
        or_tokens_free(&a);
        or_tokens_free(&b);
    }
    or_tokenizer_close(json);
    or_tokenizer_close(model);
}

static void special_tokens_have_no_text_and_ids_are_checked(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer(source_path("configs/demo/model"));
    or_tokens tokens = {0};
    char *text;
    size_t size;
    assert_ok(or_tokens_add(&tokens, or_tokenizer_bos(tokenizer)));
    assert_ok(or_tokenizer_encode(tokenizer, "hungry", 6, &tokens));
    assert_ok(or_tokens_add(&tokens, or_tokenizer_eos(tokenizer)));
    assert_ok(or_tokenizer_decode(tokenizer, tokens.ids, tokens.count, &text, &size));
    assert_string_equal(text, "hungry");
    free(text);
    assert_fails(or_tokenizer_decode(tokenizer, (int32_t[]){4096}, 1, &text, &size), OR_ERR_INPUT, "id 4096");
    assert_fails(or_tokenizer_decode(tokenizer, (int32_t[]){-1}, 1, &text, &size), OR_ERR_INPUT, "id -1");
    assert_fails(or_tokenizer_encode(tokenizer, "a\xff", 2, &tokens), OR_ERR_INPUT, "byte 2");
    or_tokens_free(&tokens);
    or_tokenizer_close(tokenizer);
}

/* A character cut in two gives U+FFFD for each byte that is no character. */
static void cut_bytes_become_replacement(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = open_tokenizer(source_path("configs/demo/model"));
    or_tokens tokens = {0};
    char *text;
    size_t size;
    assert_ok(or_tokenizer_encode(tokenizer, "\xf0\x9f\x99\x82", 4, &tokens));
    assert_true(tokens.count >= 5); /* ▁ and four bytes */
    assert_ok(or_tokenizer_decode(tokenizer, tokens.ids, tokens.count - 1, &text, &size));
    assert_string_equal(text, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    free(text);
    or_tokens_free(&tokens);
    or_tokenizer_close(tokenizer);
}

static void try_json(const char *text, const char *part)
{
    const char *folder = scratch_folder();
    or_tokenizer *tokenizer = NULL;
    put_text(path_in(folder, "tokenizer.json"), text);
    assert_fails(or_tokenizer_open(folder, &tokenizer), OR_ERR_INPUT, part);
}

static void bad_json_is_refused(void **state)
{
    (void)state;
    or_tokenizer *tokenizer = NULL;
    assert_fails(or_tokenizer_open(scratch_folder(), &tokenizer), OR_ERR_INPUT, "no tokenizer.json");
    try_json("{", "not JSON");
    try_json("{\"model\": {\"type\": \"Unigram\"}}", "Unigram");
    try_json("{\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}", "normalizer");
    try_json("{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\"}}", "ByteLevel");
#define BPE                                                                                                  \
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": "      \
    "\"\u2581\"}, "                                                                                          \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"\u2581\"}]}, \"model\": "      \
    "{\"type\": \"BPE\", \"byte_fallback\": true, "
    try_json(BPE "\"vocab\": {}, \"merges\": []}}", "0 tokens");
    try_json(BPE "\"vocab\": {\"a\": 0, \"b\": 0}, \"merges\": []}}", "given twice");
    try_json(BPE "\"vocab\": {\"a\": 0.5}, \"merges\": []}}", "whole number");
    try_json(BPE "\"vocab\": {\"a\": -1, \"b\": 2}, \"merges\": []}}", "whole number");
    try_json(BPE "\"vocab\": {\"a\": 0, \"b\": 99999999999}, \"merges\": []}}", "whole number");
    try_json(BPE "\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"a b\"]}}", "merge 1");
    try_json(BPE "\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": [\"ab\"]}}", "merge 1");
}

static void try_model(const void *bytes, size_t size, const char *part)
{
    const char *folder = scratch_folder();
    or_tokenizer *tokenizer = NULL;
    put_file(path_in(folder, "tokenizer.model"), bytes, size);
    assert_fails(or_tokenizer_open(folder, &tokenizer), OR_ERR_INPUT, part);
}

static void bad_model_is_refused(void **state)
{
    (void)state;
    try_model("\x0a\xff\x01", 3, "longer than");
    try_model("\x0a", 1, "ends within a number");
    try_model("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11, "more than 10 bytes");
    try_model("\x0f", 1, "unknown kind");
    try_model("\x12\x02\x18\x02", 4, "tokenizer.model");
#define SPM_BPE "\x12\x02\x18\x02" /* TrainerSpec: model_type bpe */
    try_model("\x0a\x03\x0a\x01"
              "a"
              "\x12\x02\x18\x01",
              9, "unigram");
    try_model("\x0a\x03\x0a\x01\xff" SPM_BPE, 9, "tokenizer.model");
    try_model("\x0a\x02\x18\x01" SPM_BPE, 8, "tokenizer.model");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama2_json_equals_sentencepiece),
        cmocka_unit_test(llama2_model_equals_sentencepiece),
        cmocka_unit_test(demo_files_agree),
        cmocka_unit_test(special_tokens_have_no_text_and_ids_are_checked),
        cmocka_unit_test(cut_bytes_become_replacement),
        cmocka_unit_test(bad_json_is_refused),
        cmocka_unit_test(bad_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
