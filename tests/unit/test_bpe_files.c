/* test_bpe_files.c - vocab.json and merges.txt, and OPT's BOS rule. */
#include "byte_bpe.h"

#include "file.h"

static const char *folder;

static void put_vocab(const char *more)
{
    or_buffer text = {0};
    assert_ok(or_buffer_puts(&text, "{"));
    put_byte_vocab(&text, -1);
    assert_ok(or_buffer_printf(&text, "%s}", more));
    put_file(path_in(folder, "vocab.json"), text.data, text.size);
    or_buffer_free(&text);
}

/* A folder with the small vocabulary, these merges, and these files (NULL: not there). */
static or_status open_folder(const char *merges, const char *config, const char *tokenizer_config,
                             or_tokenizer **t)
{
    folder = scratch_folder();
    put_vocab(", \"he\": 256, \"" G "he\": 257, \"</s>\": 258, \"<|endoftext|>\": 259");
    put_text(path_in(folder, "merges.txt"), merges);
    if (config) put_text(path_in(folder, "config.json"), config);
    if (tokenizer_config) put_text(path_in(folder, "tokenizer_config.json"), tokenizer_config);
    return or_tokenizer_open(folder, t);
}

static or_tokenizer *made(const char *merges, const char *config, const char *tokenizer_config)
{
    or_tokenizer *t = NULL;
    assert_ok(open_folder(merges, config, tokenizer_config, &t));
    return t;
}

static void merges_that_are_read(void **state)
{
    (void)state;
    static const char *const forms[] = {"#version: 0.2\nh e\n" G " he\n", "h e\n" G " he\n", "h e\n" G " he"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        or_tokenizer *t = made(forms[i], NULL, NULL);
        check_ids(t, "he he", "256 257");
        check_bos(t, 259, 259, false); /* GPT2Tokenizer's defaults */
        check_text(t, (int32_t[]){256, 259, 257}, 3, "he he");
        or_tokenizer_close(t);
    }
    or_tokenizer *t = made("", NULL, NULL);
    check_ids(t, "he", "104 101");
    or_tokenizer_close(t);
}

static void refuse(const char *merges, const char *part)
{
    or_tokenizer *t = NULL;
    assert_fails(open_folder(merges, NULL, NULL, &t), OR_ERR_INPUT, part);
    assert_null(t);
    assert_non_null(strstr(or_status_message(), "merges.txt"));
}

static void broken_merges_are_refused(void **state)
{
    (void)state;
    refuse("#version: 0.2\nhe\n", "merge 1 was not understood");
    refuse("h e\n\n" G " he\n", "merge 2 was not understood");
    refuse("h e\r\n", "merge 1 is \"h\"");
    refuse("h e\n#version: 0.2\n", "merge 2 is \"#version:\"");
    refuse("h e\nh h\n", "merge 2 is \"h\" and \"h\"");
    refuse("h x\n", "merge 1 is \"h\" and \"x\"");
    refuse(" e\n", "merge 1 was not understood");
    refuse("h \n", "merge 1 was not understood");
}

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    folder = scratch_folder();
    put_vocab("");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "merges.txt");
    put_text(path_in(folder, "merges.txt"), "");
    put_vocab(", \"he\": 257");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "expected no gaps");
    put_vocab(", \"he\": 1");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "given twice");
    put_vocab(", \"he\": \"x\"");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "id of token \"he\"");
    put_text(path_in(folder, "vocab.json"), "{\"a\": 0}");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "byte 0x00 has no token");
    put_text(path_in(folder, "vocab.json"), "[]");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "vocab.json");
    assert_null(t);
}

static void a_space_may_be_put_in_front(void **state)
{
    (void)state;
    const char *merges = "h e\n" G " he\n";
    or_tokenizer *t = made(merges, NULL, "{\"add_prefix_space\": true}");
    check_ids(t, "he he", "257 257");
    check_ids(t, " he", "257");
    or_tokenizer_close(t);
    t = made(merges, NULL, "{\"add_prefix_space\": false}");
    check_ids(t, "he he", "256 257");
    or_tokenizer_close(t);
    assert_fails(open_folder(merges, NULL, "{\"add_prefix_space\": 1}", &t), OR_ERR_INPUT,
                 "add_prefix_space");
}

static void opts_prompts_begin_with_its_eos(void **state)
{
    (void)state;
    static const struct {
        const char *config, *tokenizer_config;
        int bos, eos;
        bool adds;
    } cases[] = {
        {"{\"model_type\": \"opt\"}", NULL, 258, 258, true},
        {"{\"model_type\": \"opt\"}", "{}", 258, 258, true},
        {"{\"model_type\": \"opt\"}", "{\"add_bos_token\": false}", 258, 258, false},
        {"{\"model_type\": \"opt\"}", "{\"bos_token\": \"he\"}", 256, 258, true},
        {"{\"model_type\": \"opt\"}", "{\"bos_token\": \"</s>\", \"add_bos_token\": true}", 258, 258, true},
        {"{\"model_type\": \"gpt2\"}", NULL, 259, 259, false},
        {"{\"model_type\": \"gpt2\"}", "{\"add_bos_token\": true}", 259, 259, true},
        {"{}", NULL, 259, 259, false},
    };
    or_tokenizer *t = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        t = made("h e\n", cases[i].config, cases[i].tokenizer_config);
        check_bos(t, cases[i].bos, cases[i].eos, cases[i].adds);
        or_tokenizer_close(t);
    }
    t = NULL;
    assert_fails(open_folder("h e\n", "{\"model_type\": 1}", NULL, &t), OR_ERR_INPUT, "model_type");
    assert_fails(open_folder("h e\n", "{", NULL, &t), OR_ERR_INPUT, "config.json");
    assert_null(t);
}

/* Opens the small vocabulary with these files beside it (NULL: not there). */
static or_status open_with_ends(const char *config, const char *generation, or_tokenizer **t)
{
    or_tokenizer_close(made("h e\n", NULL, NULL));
    if (config) put_text(path_in(folder, "config.json"), config);
    if (generation) put_text(path_in(folder, "generation_config.json"), generation);
    return or_tokenizer_open(folder, t);
}

static void ends_are_those_of_all_files(void **state)
{
    (void)state;
    static const struct {
        const char *config, *generation;
        size_t count;
        int32_t ends[4];
    } cases[] = {
        {NULL, NULL, 1, {259}},
        {"{}", "{\"eos_token_id\": null}", 1, {259}},
        {"{\"eos_token_id\": 259}", "{\"eos_token_id\": [259, 259]}", 1, {259}},
        {"{\"eos_token_id\": 0}", NULL, 2, {259, 0}},
        {NULL, "{\"eos_token_id\": 258}", 2, {258, 259}},
        {"{\"eos_token_id\": [258, 7]}", "{\"eos_token_id\": [7, 9]}", 4, {259, 7, 9, 258}},
        {"{\"model_type\": \"opt\", \"eos_token_id\": 258}", "{\"eos_token_id\": []}", 1, {258}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_tokenizer *t = NULL;
        assert_ok(open_with_ends(cases[i].config, cases[i].generation, &t));
        check_ends(t, cases[i].count, cases[i].ends);
        or_tokenizer_close(t);
    }
}

static void ends_that_are_no_tokens_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"260",      "-1",      "1.5",   "[1, 260]", "1e300",
                                      "\"</s>\"", "[\"a\"]", "[[1]]", "true"};
    char text[64];
    or_tokenizer *t = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "{\"eos_token_id\": %s}", bad[i]);
        assert_fails(open_with_ends(text, NULL, &t), OR_ERR_INPUT, "/config.json)");
        assert_fails(open_with_ends("{}", text, &t), OR_ERR_INPUT, "/generation_config.json)");
        assert_non_null(strstr(or_status_message(), "\"eos_token_id\""));
    }
    assert_fails(open_with_ends("{}", "{\"eos_token_id\": 260}", &t), OR_ERR_INPUT,
                 "has 260, expected 0..259");
    assert_fails(open_with_ends("{}", "[", &t), OR_ERR_INPUT, "generation_config.json");
    assert_null(t);
}

/* The OPT folder as it is, and without the file that says how prompts begin. */
static void opts_folder(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    or_buffer bytes = {0};
    const char *opt = need_data("models/tiny-opt-random");
    static const char *const files[] = {"config.json", "vocab.json", "merges.txt"};
    assert_ok(or_tokenizer_open(opt, &t));
    check_bos(t, 2, 2, true);
    assert_string_equal(or_tokenizer_piece(t, 2), "</s>");
    check_ids(t, "Hello world", "31414 232");
    check_text(t, (int32_t[]){2, 31414, 232, 2}, 4, "Hello world");
    or_tokenizer_close(t);
    folder = scratch_folder();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        bytes.size = 0;
        assert_ok(or_file_read(path_in(opt, files[i]), &bytes));
        put_file(path_in(folder, files[i]), bytes.data, bytes.size);
    }
    or_buffer_free(&bytes);
    assert_ok(or_tokenizer_open(folder, &t));
    check_bos(t, 2, 2, true);
    or_tokenizer_close(t);
}

/* tokenizer.json comes first. */
static void other_files_are_read_before(void **state)
{
    (void)state;
    or_tokenizer *t = made("h e\n", NULL, NULL);
    or_tokenizer_close(t);
    put_bpe(path_in(folder, "tokenizer.json"), (bpe_parts){.merges = "\"l l\""});
    assert_ok(or_tokenizer_open(folder, &t));
    check_ids(t, "hell", "104 101 257");
    or_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_that_are_read),
        cmocka_unit_test(broken_merges_are_refused),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(a_space_may_be_put_in_front),
        cmocka_unit_test(opts_prompts_begin_with_its_eos),
        cmocka_unit_test(ends_are_those_of_all_files),
        cmocka_unit_test(ends_that_are_no_tokens_are_refused),
        cmocka_unit_test(opts_folder),
        cmocka_unit_test(other_files_are_read_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
