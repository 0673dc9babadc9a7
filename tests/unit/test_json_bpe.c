/* test_json_bpe.c - tokenizer.json of byte-level BPE as it may come: the forms that are read, and the
 * broken and the foreign, which are refused by name. */
#include "byte_bpe.h"

#include "split.h"

static void check_with(bpe_parts parts, const char *text, const char *expected)
{
    or_tokenizer *t = made_bpe(parts);
    check_ids(t, text, expected);
    or_tokenizer_close(t);
}

static void refuse(bpe_parts parts, const char *part)
{
    or_tokenizer *t = NULL;
    assert_fails(open_bpe(parts, &t), OR_ERR_INPUT, part);
    assert_null(t);
    assert_non_null(strstr(or_status_message(), "tokenizer.json"));
    assert_null(strchr(or_status_message(), '\n'));
}

static void pre_tokenizers_that_are_read(void **state)
{
    (void)state;
    check_with((bpe_parts){.pre = BYTE_LEVEL}, "he he", "256 260");
    check_with((bpe_parts){.pre = BYTE_LEVEL_RAW, .merges = "\"e " G "\"", .vocab = ", \"e" G "\": 256"},
               "e e", "256 101");
    check_with((bpe_parts){.pre = STEPS(BYTE_LEVEL)}, "he he", "256 260");
    check_with((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"h\"") ", " BYTE_LEVEL_RAW)}, "hello",
               "104 101 257 111");
    check_with((bpe_parts){.pre = STEPS(SPLIT("\"String\": \"l\"") ", " BYTE_LEVEL_RAW)}, "hello",
               "256 108 108 111");
    check_with((bpe_parts){.pre = STEPS(SPLIT("\"String\": \".\"") ", " BYTE_LEVEL_RAW)}, "hello", "259");
    const char *vocab = ", \"12\": 256", *merges = "\"1 2\"";
    check_with((bpe_parts){.vocab = vocab, .merges = merges}, "a12", "97 256");
    check_with((bpe_parts){.pre = STEPS("{\"type\": \"Digits\", \"individual_digits\": true}, " BYTE_LEVEL),
                           .vocab = vocab,
                           .merges = merges},
               "a12", "97 49 50");
    check_with((bpe_parts){.pre = STEPS("{\"type\": \"Digits\"}, " BYTE_LEVEL_RAW),
                           .vocab = vocab,
                           .merges = merges},
               "a12", "97 256");
    check_with((bpe_parts){.more = "\"normalizer\": null, \"decoder\": {\"type\": \"ByteLevel\"},"}, "he",
               "256");
    check_with((bpe_parts){.options = "\"dropout\": null, \"unk_token\": null, \"byte_fallback\": false, "
                                      "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", "},
               "he", "256");
}

static void other_pre_tokenizers_are_refused_by_name(void **state)
{
    (void)state;
    refuse((bpe_parts){.pre = STEPS("{\"type\": \"Whitespace\"}, " BYTE_LEVEL)},
           "pre-tokenizer is Whitespace");
    refuse((bpe_parts){.pre = STEPS("{\"type\": \"Punctuation\"}, " BYTE_LEVEL)}, "Punctuation");
    refuse((bpe_parts){.pre = STEPS(STEPS(BYTE_LEVEL))}, "pre-tokenizer is Sequence");
    refuse((bpe_parts){.pre = STEPS(BYTE_LEVEL ", {\"type\": \"Digits\"}")}, "with a step behind it");
    refuse((bpe_parts){.pre = STEPS(BYTE_LEVEL ", " BYTE_LEVEL)}, "with a step behind it");
    refuse((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"a\"") ", {\"type\": \"ByteLevel\"}")},
           "adds spaces to pieces");
    refuse((bpe_parts){.pre = STEPS("{\"type\": \"Split\"}, " BYTE_LEVEL)}, "Split without a pattern");
    refuse((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": 1") ", " BYTE_LEVEL)}, "Split without a pattern");
    refuse((bpe_parts){.pre = STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": "
                                    "\"Removed\"}, " BYTE_LEVEL)},
           "another behavior than Isolated");
    refuse((bpe_parts){.pre = STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": "
                                    "\"Isolated\", \"invert\": true}, " BYTE_LEVEL)},
           "inverts");
    refuse((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"(a\"") ", " BYTE_LEVEL)},
           "breaks at byte 2 of \"(a\"");
    refuse((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"\\\\w+\"") ", " BYTE_LEVEL)}, "\"\\w\"");
    refuse((bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"a*\"") ", " BYTE_LEVEL)}, "nothing at all");
    refuse((bpe_parts){.pre = "{\"type\": \"Foo\", \"pretokenizers\": [" BYTE_LEVEL "]}"},
           "pre-tokenizer is Foo");
}

static void other_parts_are_refused_by_name(void **state)
{
    (void)state;
    refuse((bpe_parts){.more = "\"normalizer\": {\"type\": \"NFC\"},"}, "normalizer is NFC");
    refuse((bpe_parts){.more = "\"decoder\": {\"type\": \"WordPiece\"},"}, "decoder is WordPiece");
    refuse((bpe_parts){.more = "\"post_processor\": {\"type\": \"RobertaProcessing\"},"},
           "post-processor is RobertaProcessing");
    refuse((bpe_parts){.more = "\"post_processor\": {\"type\": \"Sequence\"},"}, "\"processors\"");
    refuse((bpe_parts){.options = "\"byte_fallback\": true,"}, "with byte fallback");
    refuse((bpe_parts){.options = "\"dropout\": 0.1,"}, "dropout");
    refuse((bpe_parts){.options = "\"end_of_word_suffix\": \"</w>\","}, "ends of words");
    refuse((bpe_parts){.options = "\"ignore_merges\": 1,"}, "\"ignore_merges\"");
}

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    refuse((bpe_parts){.merges = "\"h x\""}, "merge 1 is \"h\" and \"x\"");
    refuse((bpe_parts){.merges = "\"he\""}, "merge 1 was not understood");
    refuse((bpe_parts){.merges = "\"h e l\""}, "merge 1 is \"h\" and \"e l\"");
    refuse((bpe_parts){.vocab = ", \"he\": 257"}, "expected no gaps");
    refuse((bpe_parts){.vocab = ", \"he\": 255"}, "given twice");
}

/* Opens a vocabulary in which byte `missing` is replaced by another token. */
static or_status open_without(int missing, or_tokenizer **t)
{
    const char *folder = scratch_folder();
    or_buffer text = {0};
    assert_ok(or_buffer_puts(&text, "{\"pre_tokenizer\": " BYTE_LEVEL
                                    ", \"model\": {\"type\": \"BPE\", \"vocab\": {"));
    put_byte_vocab(&text, missing);
    assert_ok(or_buffer_printf(&text, "%s \"xx\": %d}, \"merges\": []}}", missing > 0 ? "," : "", missing));
    put_file(path_in(folder, "tokenizer.json"), text.data, text.size);
    or_buffer_free(&text);
    return or_tokenizer_open(folder, t);
}

/* Every byte of assigned characters must have a token; of the others, texts that need them are refused. */
static void a_byte_without_a_token_is_refused(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    or_tokens tokens = {0};
    assert_fails(open_without(' ', &t), OR_ERR_INPUT, "byte 0x20 has no token \"" G "\"");
    assert_fails(open_without(0xf0, &t), OR_ERR_INPUT, "byte 0xF0 has no token");
    assert_ok(open_without(0xc0, &t));
    or_tokenizer_close(t);
    assert_ok(open_without(0xf4, &t));
    assert_fails(or_tokenizer_encode(t, "\xf4\x80\x80\x80", 4, &tokens), OR_ERR_INPUT, "byte 0xF4");
    tokens.count = 0;
    assert_ok(or_tokenizer_encode(t, "\xf0\x9f\x98\x80", 4, &tokens));
    assert_int_equal(tokens.count, 4);
    or_tokens_free(&tokens);
    or_tokenizer_close(t);
}

#define TEMPLATE(token)                                                                                      \
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"" token                   \
    "\"}}, {\"Sequence\": {\"id\": \"A\"}}]}"

static void bos_comes_from_the_template(void **state)
{
    (void)state;
    static const struct {
        const char *post;
        int bos;
        bool adds;
    } cases[] = {
        {"\"post_processor\": null,", 262, false},
        {"\"post_processor\": {\"type\": \"ByteLevel\"},", 262, false},
        {"\"post_processor\": " TEMPLATE("he") ",", 256, true},
        {"\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, " TEMPLATE(
             "he") "]},",
         256, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_tokenizer *t = made_bpe((bpe_parts){.more = cases[i].post});
        check_bos(t, cases[i].bos, 262, cases[i].adds);
        or_tokenizer_close(t);
    }
    refuse((bpe_parts){.more = "\"post_processor\": " TEMPLATE("<bos>") ","}, "prompts begin with \"<bos>\"");
}

/* As Llama-3's file is: added tokens behind the vocabulary, its pattern, merges ignored, BOS by template. */
static void llama3s_form(void **state)
{
    (void)state;
    or_buffer pattern = {0}, pre = {0};
    assert_ok(or_json_put_string(&pattern, or_split_llama3));
    assert_ok(or_buffer_printf(&pre,
                               STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": %s}, \"behavior\": "
                                     "\"Isolated\", \"invert\": false}, " BYTE_LEVEL_RAW),
                               pattern.data));
    or_tokenizer *t = made_bpe((bpe_parts){
        .pre = pre.data,
        .options = "\"ignore_merges\": true,",
        .more = "\"added_tokens\": [{\"id\": 263, \"content\": \"<|begin_of_text|>\", \"special\": true}], "
                "\"post_processor\": {\"type\": \"Sequence\", \"processors\": [{\"type\": "
                "\"ByteLevel\"}, " TEMPLATE("<|begin_of_text|>") "]},"});
    check_bos(t, 263, 262, true);
    check_ids(t, "hello hello, 1234", "259 261 44 32 49 50 51 52");
    check_ids(t, "<|begin_of_text|>", "60 124 98 101 103 105 110 95 111 102 95 116 101 120 116 124 62");
    check_text(t, (int32_t[]){263, 259, 261}, 3, "hello hello");
    or_tokenizer_close(t);
    or_buffer_free(&pre);
    or_buffer_free(&pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pre_tokenizers_that_are_read),
        cmocka_unit_test(other_pre_tokenizers_are_refused_by_name),
        cmocka_unit_test(other_parts_are_refused_by_name),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(a_byte_without_a_token_is_refused),
        cmocka_unit_test(bos_comes_from_the_template),
        cmocka_unit_test(llama3s_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
