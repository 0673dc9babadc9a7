/* test_bpe.c - byte-level BPE: text to ids and back, on a small vocabulary and against GPT-2's own ids
 * (OPT). */
#include "byte_bpe.h"

#include "file.h"
#include "split.h"

#define BAD "\xef\xbf\xbd"

static void check_with(bpe_parts parts, const char *text, const char *expected)
{
    or_tokenizer *t = made_bpe(parts);
    check_ids(t, text, expected);
    or_tokenizer_close(t);
}

static void bytes_are_merged_within_pieces(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    check_ids(t, "", "");
    check_ids(t, "x", "120");
    check_ids(t, "hello", "259");
    check_ids(t, "hellhe", "258 256");
    check_ids(t, " hello he", "32 259 260");
    check_ids(t, "he\nllo", "256 10 257 111");
    check_ids(t, "\xc3\xa9\xf0\x9f\xa6\x99", "195 169 240 159 166 153");
    check_ids(t, "h e", "104 32 101"); /* never over a cut */
    or_tokenizer_close(t);
    check_with((bpe_parts){.pre = BYTE_LEVEL_RAW, .vocab = ", \"e" G "\": 256", .merges = "\"e " G "\""},
               "he he", "104 256 104 101");
}

/* Llama-3: a whole piece that is a token is that token, though no merge makes it. */
static void merges_may_be_ignored(void **state)
{
    (void)state;
    check_with((bpe_parts){.options = "\"ignore_merges\": true,"}, "hello hello hellos",
               "259 261 32 259 115");
    check_with((bpe_parts){.options = "\"ignore_merges\": false,"}, "hello hello", "259 32 259");
}

static void special_tokens_are_plain_text(void **state)
{
    (void)state;
    bpe_parts parts = {.pre = BYTE_LEVEL_RAW, .options = "\"ignore_merges\": true,"};
    check_with(parts, "<|endoftext|>",
               "60 124 101 110 100 111 102 116 101 120 116 124 62"); /* it is the BOS */
    parts.vocab = ", \"<tool>\": 256";
    parts.merges = "";
    check_with(parts, "<tool>", "256"); /* nothing in the file says that it is special */
    parts.more = "\"added_tokens\": [{\"id\": 256, \"content\": \"<tool>\", \"special\": true}],";
    check_with(parts, "<tool>", "60 116 111 111 108 62");
}

static void a_space_may_be_put_in_front(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){.pre = "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}"});
    check_ids(t, "he he", "260 260");
    check_ids(t, " he", "260"); /* not a second one */
    check_ids(t, "  he", "32 260");
    check_ids(t, "\nhe", "32 10 256");
    check_ids(t, "", "");
    check_text(t, (int32_t[]){260, 260}, 2, "he he");
    check_text(t, (int32_t[]){256}, 1, "he");
    or_tokenizer_close(t);
    t = made_bpe((bpe_parts){.pre = "{\"type\": \"ByteLevel\"}"}); /* the library's default */
    check_ids(t, "he", "260");
    or_tokenizer_close(t);
}

static void broken_bytes_become_replacement_characters(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    check_text(t, (int32_t[]){0xf0, 0x9f, 0xa6, 0x99}, 4, "\xf0\x9f\xa6\x99");
    check_text(t, (int32_t[]){0xf0, 0x9f, 0xa6}, 3, BAD);
    check_text(t, (int32_t[]){0xf0, 0x9f, 'a', 0x99}, 4, BAD "a" BAD);
    check_text(t, (int32_t[]){0xc3, 0xc3, 0xa9}, 3, BAD "\xc3\xa9");
    check_text(t, (int32_t[]){0xed, 0xa0, 0x80}, 3, BAD BAD BAD);
    check_text(t, (int32_t[]){260}, 1, " he"); /* no space was put there */
    check_text(t, NULL, 0, "");
    or_tokenizer_close(t);
}

/* Control tokens have no text, not even within a character; a token that is not spelled in the alphabet is
 * its text. */
static void decoding_of_other_tokens(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe(
        (bpe_parts){.vocab = ", \"two words\": 256, \"<0x41>\": 257, \"<|endoftext|>\": 258", .merges = ""});
    check_text(t, (int32_t[]){258, 'a', 258, 0xc3, 258, 0xa9, 258}, 7, "a\xc3\xa9");
    check_text(t, (int32_t[]){256, 257}, 2, "two words<0x41>");
    check_ids(t, "A", "65");
    or_tokenizer_close(t);
}

static void nul_characters_are_text(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    or_tokens tokens = {0};
    char *text;
    size_t size;
    assert_ok(or_tokenizer_encode(t, "a\0he", 4, &tokens));
    assert_int_equal(tokens.count, 3);
    assert_int_equal(tokens.ids[1], 0);
    assert_ok(or_tokenizer_decode(t, tokens.ids, tokens.count, &text, &size));
    assert_int_equal(size, 4);
    assert_memory_equal(text, "a\0he", 5);
    free(text);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

static void endless_patterns_are_an_error(void **state)
{
    (void)state;
    or_tokens tokens = {0};
    char text[101];
    memset(text, 'a', 100);
    text[100] = '\0';
    or_tokenizer *t =
        made_bpe((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"(?:a+)+[bc]\"") ", " BYTE_LEVEL_RAW)});
    assert_fails(or_tokenizer_encode(t, text, 100, &tokens), OR_ERR_INPUT, "cannot be matched");
    assert_int_equal(tokens.count, 0);
    check_ids(t, "he", "256"); /* other texts are fine */
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

/* One piece of a million bytes, and a million pieces. */
static void long_texts(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    or_tokenizer *t = made_bpe((bpe_parts){0});
    char *text = or_alloc(SIZE + 1, 1);
    for (int spaces = 0; spaces < 2; spaces++) {
        or_tokens tokens = {0};
        for (size_t i = 0; i < SIZE; i++) text[i] = spaces ? "h "[i % 2] : "he"[i % 2];
        assert_ok(or_tokenizer_encode(t, text, SIZE, &tokens));
        assert_int_equal(tokens.count, spaces ? SIZE : SIZE / 2);
        check_text(t, tokens.ids, tokens.count, text);
        or_tokens_free(&tokens);
    }
    free(text);
    or_tokenizer_close(t);
}

/* Several threads over one tokenizer, each with texts of its own. */
static void threads_share_a_tokenizer(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){.options = "\"ignore_merges\": true,"});
    int wrong = 0;
#pragma omp parallel for num_threads(4) reduction(+ : wrong)
    for (int i = 0; i < 2000; i++) {
        char text[64];
        or_tokens tokens = {0};
        const int size = snprintf(text, sizeof text, "hello hello %d", 1000 + i);
        wrong += or_tokenizer_encode(t, text, (size_t)size, &tokens) != OR_OK || tokens.count != 7 ||
                 tokens.ids[1] != 261 || tokens.ids[6] != '0' + i % 10;
        or_tokens_free(&tokens);
    }
    assert_int_equal(wrong, 0);
    or_tokenizer_close(t);
}

/* OPT's two files as one tokenizer.json in `folder`. */
static void put_opt_json(const char *opt, const char *folder)
{
    or_buffer vocab = {0}, merges = {0}, text = {0};
    assert_ok(or_file_read(path_in(opt, "vocab.json"), &vocab));
    assert_ok(or_file_read(path_in(opt, "merges.txt"), &merges));
    assert_ok(or_buffer_printf(
        &text, "{\"pre_tokenizer\": %s, \"model\": {\"type\": \"BPE\", \"vocab\": %s, \"merges\": [",
        BYTE_LEVEL, vocab.data));
    char *line = strtok(merges.data, "\n"); /* the version */
    for (bool first = true; (line = strtok(NULL, "\n")); first = false) {
        assert_ok(or_buffer_puts(&text, first ? "" : ", "));
        assert_ok(or_json_put_string(&text, line));
    }
    assert_ok(or_buffer_puts(&text, "]}}"));
    put_file(path_in(folder, "tokenizer.json"), text.data, text.size);
    or_buffer_free(&text);
    or_buffer_free(&merges);
    or_buffer_free(&vocab);
}

static void opt_equals_gpt2(void **state)
{
    (void)state;
    char *oracle, *opt;
    assert_ok(or_strdup(need_data("oracles/tokenize-opt.jsonl"), &oracle));
    assert_ok(or_strdup(need_data("models/tiny-opt-random"), &opt));
    const char *folder = scratch_folder();
    put_opt_json(opt, folder);
    const char *const both[] = {opt, folder};
    for (int i = 0; i < 2; i++) {
        or_tokenizer *t = NULL;
        assert_ok(or_tokenizer_open(both[i], &t));
        assert_int_equal(or_tokenizer_vocab(t), 50265);
        assert_int_equal(check_lines(oracle, t), 247);
        or_tokenizer_close(t);
    }
    free(opt);
    free(oracle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_merged_within_pieces),
        cmocka_unit_test(merges_may_be_ignored),
        cmocka_unit_test(special_tokens_are_plain_text),
        cmocka_unit_test(a_space_may_be_put_in_front),
        cmocka_unit_test(broken_bytes_become_replacement_characters),
        cmocka_unit_test(decoding_of_other_tokens),
        cmocka_unit_test(nul_characters_are_text),
        cmocka_unit_test(endless_patterns_are_an_error),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(opt_equals_gpt2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
