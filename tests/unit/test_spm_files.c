/* test_spm_files.c - tokenizer.json, tokenizer.model and tokenizer_config.json as they may come: the forms
 * that are read, and the broken and the foreign, which are refused. */
#include "token_checks.h"

#include "file.h"

#include <math.h>

#define SPACE "\xe2\x96\x81"

/* Opening a folder that holds this one file. (There are too many cases for a scratch folder each.) */
static or_status open_file(const char *name, const void *data, size_t size, or_tokenizer **tokenizer)
{
    static const char *folder;
    if (!folder) folder = scratch_folder();
    remove(path_in(folder, "tokenizer.json"));
    remove(path_in(folder, "tokenizer.model"));
    put_file(path_in(folder, name), data, size);
    return or_tokenizer_open(folder, tokenizer);
}

/* tokenizer.json with these parts; NULL: as Llama-2 has it. */
typedef struct json_parts {
    const char *normalizer, *more; /* members of the root */
    const char *options;           /* members of the model */
    const char *vocab, *merges;
} json_parts;

static or_status open_json(json_parts parts, or_tokenizer **tokenizer)
{
    or_buffer text = {0};
    static const char llama2[] =
        "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": "
        "\"" SPACE "\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" SPACE
        "\"}]}";
    assert_ok(or_buffer_printf(&text, "{%s, %s \"model\": {%s, \"vocab\": {%s}, \"merges\": [%s]}}",
                               parts.normalizer ? parts.normalizer : llama2, parts.more ? parts.more : "",
                               parts.options
                                   ? parts.options
                                   : "\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": \"<unk>\"",
                               parts.vocab ? parts.vocab
                                           : "\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2, \"" SPACE
                                             "\": 3, \"a\": 4, \"b\": 5, \"ab\": 6, "
                                             "\"" SPACE "ab\": 7",
                               parts.merges ? parts.merges : "\"a b\", \"" SPACE " ab\""));
    or_status status = open_file("tokenizer.json", text.data, text.size, tokenizer);
    or_buffer_free(&text);
    return status;
}

static or_tokenizer *made_json(json_parts parts)
{
    or_tokenizer *tokenizer = NULL;
    assert_ok(open_json(parts, &tokenizer));
    return tokenizer;
}

static void refuse_json(json_parts parts, const char *part)
{
    or_tokenizer *tokenizer = NULL;
    assert_fails(open_json(parts, &tokenizer), OR_ERR_INPUT, part);
    assert_null(tokenizer);
    assert_non_null(strstr(or_status_message(), "tokenizer.json"));
    assert_null(strchr(or_status_message(), '\n'));
}

static void check_json(json_parts parts, const char *text, const char *expected)
{
    or_tokenizer *t = made_json(parts);
    check_ids(t, text, expected);
    or_tokenizer_close(t);
}

#define METASPACE(members) "\"pre_tokenizer\": {\"type\": \"Metaspace\", " members "}"

static void json_forms_that_are_read(void **state)
{
    (void)state;
    check_json((json_parts){0}, "ab ab", "7 7");
    check_json((json_parts){0}, " ab", "3 7");
    check_json((json_parts){.merges = "[\"a\", \"b\"], [\"" SPACE "\", \"ab\"]"}, "ab ab", "7 7");
    check_json((json_parts){.options =
                                "\"type\": \"BPE\", \"byte_fallback\": true, \"unk_token\": \"<unk>\", "
                                "\"fuse_unk\": true, \"dropout\": null, \"ignore_merges\": false, "
                                "\"end_of_word_suffix\": null"},
               "xya", "3 0 4");
    check_json((json_parts){0}, "xya", "3 0 0 4"); /* fuse_unk is off when it is not given */
    check_json((json_parts){.normalizer = "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"String\": "
                                          "\" \"}, \"content\": \"" SPACE "\"}"},
               "ab ab", "6 7");
    check_json((json_parts){.vocab = "\"" SPACE "\": 0, \"<0x41>\": 1, \"<0xZZ>\": 2", .merges = ""}, "A",
               "0 1");
    check_json((json_parts){.vocab = "\"" SPACE "\": 0, \"<0x4a>\": 1", .merges = ""}, "J", "0");
}

static void json_with_metaspace(void **state)
{
    (void)state;
    json_parts first = {.normalizer = METASPACE("\"split\": false, \"replacement\": \"" SPACE
                                                "\", \"prepend_scheme\": \"first\"")};
    check_json(first, "ab ab", "7 7");
    check_json(first, " ab", "7"); /* no second one in front */
    check_json((json_parts){.normalizer = METASPACE("\"split\": false, \"prepend_scheme\": \"always\"")},
               "ab", "7");
    check_json((json_parts){.normalizer = METASPACE("\"split\": false, \"prepend_scheme\": \"never\"")}, "ab",
               "6");
    check_json((json_parts){.normalizer = METASPACE("\"split\": false, \"add_prefix_space\": false")}, "ab",
               "6");
    check_json((json_parts){.normalizer = METASPACE("\"split\": false")}, "ab", "7");
    refuse_json((json_parts){.normalizer = METASPACE("\"split\": true")}, "a Metaspace that splits");
    refuse_json((json_parts){.normalizer = METASPACE("\"replacement\": \"" SPACE "\"")},
                "a Metaspace that splits");
    refuse_json((json_parts){.normalizer = METASPACE("\"split\": false, \"replacement\": \"_\"")},
                "by something else");
    refuse_json((json_parts){.normalizer = METASPACE("\"split\": 1")}, "\"split\"");
}

static void other_json_kinds_are_refused_by_name(void **state)
{
    (void)state;
    const char *const models[] = {"Unigram", "WordPiece", "WordLevel"};
    for (int i = 0; i < 3; i++) {
        char options[64];
        snprintf(options, sizeof options, "\"type\": \"%s\"", models[i]);
        refuse_json((json_parts){.options = options}, models[i]);
        refuse_json((json_parts){.options = options}, "expected a SentencePiece BPE");
    }
    refuse_json((json_parts){.options = "\"unk_token\": null"}, "its model is nothing");
    refuse_json((json_parts){.options = "\"type\": \"BPE\""}, "without byte fallback");
    refuse_json((json_parts){.more = "\"pre_tokenizer\": {\"type\": \"ByteLevel\"},"}, "ByteLevel");
    refuse_json((json_parts){.more =
                                 "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
                                 "\"Split\"}, {\"type\": \"ByteLevel\"}]},"},
                "pre-tokenizer is Split");
    refuse_json((json_parts){.more = "\"pre_tokenizer\": {\"type\": \"Sequence\"},"}, "\"pretokenizers\"");
    refuse_json((json_parts){.normalizer = "\"normalizer\": {\"type\": \"NFKC\"}"}, "NFKC");
    refuse_json((json_parts){.normalizer = "\"normalizer\": null"}, "none that writes spaces");
    refuse_json((json_parts){.normalizer = "\"normalizer\": {\"type\": \"Prepend\", \"prepend\": \"x\"}"},
                "Prepend of something else");
    refuse_json((json_parts){.normalizer = "\"normalizer\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": "
                                           "\" +\"}, \"content\": \"" SPACE "\"}"},
                "Replace of something else");
    refuse_json((json_parts){.normalizer = "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": {}}"},
                "\"normalizers\" is an object");
}

static void json_options_that_change_ids_are_refused(void **state)
{
    (void)state;
#define BPE "\"type\": \"BPE\", \"byte_fallback\": true, "
    refuse_json((json_parts){.options = BPE "\"dropout\": 0.1"}, "dropout");
    refuse_json((json_parts){.options = BPE "\"ignore_merges\": true"}, "ignores merges");
    refuse_json((json_parts){.options = BPE "\"end_of_word_suffix\": \"</w>\""}, "ends of words");
    refuse_json((json_parts){.options = BPE "\"continuing_subword_prefix\": \"##\""}, "ends of words");
    refuse_json((json_parts){.options = BPE "\"fuse_unk\": \"yes\""}, "\"fuse_unk\" is a string");
}

static void broken_json_vocabularies_are_refused(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    assert_fails(open_file("tokenizer.json", "{", 1, &t), OR_ERR_INPUT, "not JSON");
    assert_fails(open_file("tokenizer.json", "{}", 2, &t), OR_ERR_INPUT, "\"model\" is nothing");
    assert_fails(open_file("tokenizer.json", "{\"model\": \"\xff\"}", 14, &t), OR_ERR_INPUT, "not UTF-8");
    refuse_json((json_parts){.vocab = "", .merges = ""}, "0 tokens");
    refuse_json((json_parts){.vocab = "\"a\": 0, \"b\": 0", .merges = ""}, "id 0 is given twice");
    refuse_json((json_parts){.vocab = "\"a\": 0, \"a\": 1", .merges = ""}, "found the key \"a\" twice");
    refuse_json((json_parts){.vocab = "\"a\": 0, \"b\": 2", .merges = ""}, "expected no gaps");
    refuse_json((json_parts){.vocab = "\"a\": 1, \"b\": 16777215", .merges = ""}, "expected no gaps");
    refuse_json((json_parts){.vocab = "\"a\": 16777216", .merges = ""}, "a whole number 0..16777215");
    refuse_json((json_parts){.vocab = "\"a\": 1e300", .merges = ""}, "a whole number");
    refuse_json((json_parts){.vocab = "\"a\": -1", .merges = ""}, "a whole number");
    refuse_json((json_parts){.vocab = "\"a\": 0.5", .merges = ""}, "a whole number");
    refuse_json((json_parts){.vocab = "\"a\": \"0\"", .merges = ""}, "token \"a\"");
    refuse_json((json_parts){.vocab = "\"\": 0", .merges = ""}, "has 0 bytes");
    char long_one[5000];
    snprintf(long_one, sizeof long_one, "\"%0*d\": 0", 4097, 0);
    refuse_json((json_parts){.vocab = long_one, .merges = ""}, "4097 bytes, expected 1..4096");
}

static void broken_merges_are_refused(void **state)
{
    (void)state;
    const char *const broken[] = {
        "\"ab\"",     "\"a \"", "\" b\"", "\"\"", "[\"a\"]",        "[\"a\", \"b\", \"ab\"]",
        "[\"a\", 1]", "[]",     "1",      "null", "{\"a\": \"b\"}", "[\"\", \"a\"]"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char merges[64];
        snprintf(merges, sizeof merges, "\"a b\", %s", broken[i]);
        refuse_json((json_parts){.merges = merges}, "merge 2 was not understood");
    }
    refuse_json((json_parts){.merges = "\"a x\""}, "merge 1 is \"a\" and \"x\"");
    refuse_json((json_parts){.merges = "\"x b\""}, "merge 1 is \"x\" and \"b\"");
    refuse_json((json_parts){.merges = "\"b a\""}, "two tokens that make a third");
}

#define ADDED(id, text, special) "{\"id\": " #id ", \"content\": \"" text "\", \"special\": " #special "}"

static void added_tokens(void **state)
{
    (void)state;
    or_tokenizer *t = made_json((json_parts){.more = "\"added_tokens\": [" ADDED(0, "<unk>", true) ", " ADDED(
                                                 8, "<pad>", false) ", " ADDED(5, "b", false) "],"});
    assert_int_equal(or_tokenizer_vocab(t), 9);
    assert_string_equal(or_tokenizer_piece(t, 8), "<pad>");
    check_ids(t, "ab", "7"); /* b is an ordinary piece still */
    char *text;
    size_t size;
    assert_ok(or_tokenizer_decode(t, (int32_t[]){7, 8, 0, 5}, 4, &text, &size));
    assert_string_equal(text, "abb");
    free(text);
    or_tokenizer_close(t);
    /* a special one is neither found nor made */
    check_json((json_parts){.more = "\"added_tokens\": [" ADDED(6, "ab", true) "],"}, "ab", "3 4 5");
    refuse_json((json_parts){.more = "\"added_tokens\": [" ADDED(4, "x", true) "],"}, "\"a\" and \"x\"");
    refuse_json((json_parts){.more = "\"added_tokens\": [" ADDED(8, "a", true) "],"}, "same text");
    refuse_json((json_parts){.more = "\"added_tokens\": [" ADDED(9, "x", true) "],"}, "expected no gaps");
    refuse_json((json_parts){.more = "\"added_tokens\": [" ADDED(-1, "x", true) "],"}, "token \"x\"");
    refuse_json((json_parts){.more = "\"added_tokens\": [{\"content\": \"x\"}],"}, "token \"x\"");
    refuse_json((json_parts){.more = "\"added_tokens\": [{\"id\": 8}],"}, "\"content\"");
    refuse_json((json_parts){.more = "\"added_tokens\": [7],"}, "id of token");
}

#define TEMPLATE(token)                                                                                      \
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": "       \
    "\"" token "\"}}, {\"Sequence\": {\"id\": \"A\"}}]},"

static void bos_comes_from_the_template(void **state)
{
    (void)state;
    or_tokenizer *t = made_json((json_parts){0});
    check_bos(t, 1, 2, false);
    or_tokenizer_close(t);
    t = made_json((json_parts){.more = TEMPLATE("<s>")});
    check_bos(t, 1, 2, true);
    or_tokenizer_close(t);
    t = made_json((json_parts){.more = TEMPLATE("</s>")});
    check_bos(t, 2, 2, true);
    or_tokenizer_close(t);
    t = made_json(
        (json_parts){.more = "\"post_processor\": {\"single\": [{\"Sequence\": {\"id\": \"A\"}}]},"});
    check_bos(t, 1, 2, false);
    or_tokenizer_close(t);
    t = made_json((json_parts){.vocab = "\"" SPACE "\": 0", .merges = ""});
    check_bos(t, -1, -1, false);
    or_tokenizer_close(t);
    refuse_json((json_parts){.more = TEMPLATE("<bos>")}, "prompts begin with \"<bos>\"");
}

/* A template may put one special token in front of the text, and nothing else anywhere. */
static void other_templates_are_refused(void **state)
{
    (void)state;
#define BOS  "{\"SpecialToken\": {\"id\": \"<s>\"}}"
#define TEXT "{\"Sequence\": {\"id\": \"A\"}}"
    static const char *const singles[] = {
        BOS ", " TEXT ", " BOS, TEXT ", " BOS, BOS ", " BOS ", " TEXT, BOS, "", TEXT ", " TEXT};
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
        char more[512];
        snprintf(more, sizeof more,
                 "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [%s]},", singles[i]);
        refuse_json((json_parts){.more = more}, "a template of other than");
    }
#undef BOS
#undef TEXT
}

/* What the files mean as unknown, BOS and EOS has no text, though they call it ordinary. */
static void tokens_with_a_meaning_have_no_text(void **state)
{
    (void)state;
    or_tokenizer *t = made_json((json_parts){0});
    char *text;
    size_t size;
    assert_ok(or_tokenizer_decode(t, (int32_t[]){1, 7, 0, 7, 2}, 5, &text, &size));
    assert_string_equal(text, "ab ab");
    free(text);
    or_tokenizer_close(t);
}

/* The demo model's tokenizer.json with this tokenizer_config.json. */
static or_status open_with_config(const char *config, or_tokenizer **tokenizer)
{
    const char *folder = scratch_folder();
    or_buffer bytes = {0};
    assert_ok(or_file_read(source_path("configs/demo/model/tokenizer.json"), &bytes));
    put_file(path_in(folder, "tokenizer.json"), bytes.data, bytes.size);
    put_text(path_in(folder, "tokenizer_config.json"), config);
    or_buffer_free(&bytes);
    return or_tokenizer_open(folder, tokenizer);
}

static void check_config(const char *config, int bos, int eos, bool adds)
{
    or_tokenizer *t = NULL;
    assert_ok(open_with_config(config, &t));
    check_bos(t, bos, eos, adds);
    or_tokenizer_close(t);
}

static void the_config_has_the_last_word(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    check_config("{}", 1, 2, true);
    check_config("{\"bos_token\": null, \"add_bos_token\": null}", 1, 2, true);
    check_config("{\"add_bos_token\": false}", 1, 2, false);
    check_config("{\"add_bos_token\": true, \"bos_token\": \"</s>\", \"eos_token\": \"<s>\"}", 2, 1, true);
    check_config("{\"bos_token\": {\"content\": \"<unk>\", \"lstrip\": false}}", 0, 2, true);
    assert_fails(open_with_config("{\"bos_token\": \"<bos>\"}", &t), OR_ERR_INPUT, "\"<bos>\", expected one");
    assert_fails(open_with_config("{\"eos_token\": {\"content\": \"x y\"}}", &t), OR_ERR_INPUT, "eos_token");
    assert_fails(open_with_config("{\"eos_token\": {\"text\": \"</s>\"}}", &t), OR_ERR_INPUT, "\"content\"");
    assert_fails(open_with_config("{\"bos_token\": 1}", &t), OR_ERR_INPUT, "\"bos_token\" is a number");
    assert_fails(open_with_config("{\"add_bos_token\": 1}", &t), OR_ERR_INPUT, "\"add_bos_token\"");
    assert_fails(open_with_config("[]", &t), OR_ERR_INPUT, "tokenizer_config.json");
    check_config("{\"add_eos_token\": false}", 1, 2, true);
    assert_fails(open_with_config("{\"add_eos_token\": true}", &t), OR_ERR_INPUT,
                 "\"add_eos_token\" is true");
    assert_null(t);
}

static void json_is_read_before_model(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    or_tokenizer *t = NULL;
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "no tokenizer.json and no tokenizer.model");
    put_text(path_in(folder, "tokenizer.model"), "x");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "tokenizer.model)");
    put_text(path_in(folder, "tokenizer.json"), "x");
    assert_fails(or_tokenizer_open(folder, &t), OR_ERR_INPUT, "tokenizer.json)");
}

/* Protobuf, as far as a model needs it: varints, and fields made of them, of bytes, and of floats. */
static void put_varint(or_buffer *out, uint64_t value)
{
    for (; value > 127; value >>= 7) assert_ok(or_buffer_append(out, &(char){(char)(value | 128)}, 1));
    assert_ok(or_buffer_append(out, &(char){(char)value}, 1));
}

static void put_number(or_buffer *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_bytes(or_buffer *out, unsigned field, const void *bytes, size_t size)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, size);
    assert_ok(or_buffer_append(out, bytes, size));
}

static void put_float(or_buffer *out, unsigned field, float value)
{
    put_varint(out, field << 3 | 5);
    assert_ok(or_buffer_append(out, &value, sizeof value));
}

static void put_message(or_buffer *out, unsigned field, or_buffer *message)
{
    put_bytes(out, field, message->data, message->size);
    or_buffer_free(message);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED, BYTE };

static void put_piece(or_buffer *out, const char *text, float score, int type)
{
    or_buffer piece = {0};
    put_bytes(&piece, 1, text, strlen(text));
    put_float(&piece, 2, score);
    if (type != NORMAL) put_number(&piece, 3, (uint64_t)type);
    put_message(out, 1, &piece);
}

/* A model's two specs, each with one more number (field 0: none). */
static void put_specs(or_buffer *out, unsigned trainer_field, uint64_t trainer_value,
                      unsigned normalizer_field, uint64_t normalizer_value)
{
    or_buffer trainer = {0}, normalizer = {0};
    put_number(&trainer, 3, 2); /* bpe */
    if (trainer_field) put_number(&trainer, trainer_field, trainer_value);
    put_message(out, 2, &trainer);
    put_number(&normalizer, 4, 0); /* keeps extra spaces */
    if (normalizer_field) put_number(&normalizer, normalizer_field, normalizer_value);
    put_message(out, 3, &normalizer);
}

static void put_pieces(or_buffer *out)
{
    put_piece(out, "<unk>", 0, UNKNOWN);
    put_piece(out, "<s>", 0, CONTROL);
    put_piece(out, "</s>", 0, CONTROL);
    put_piece(out, SPACE "ab", -1, NORMAL);
    put_piece(out, "ab", -0.5f, NORMAL);
    put_piece(out, SPACE, -3, NORMAL);
    put_piece(out, "a", -4, NORMAL);
    put_piece(out, "b", -5, NORMAL);
}

static or_status open_model(or_buffer *model, or_tokenizer **tokenizer)
{
    or_status status = open_file("tokenizer.model", model->data, model->size, tokenizer);
    or_buffer_free(model);
    return status;
}

static void refuse_model(or_buffer *model, const char *part)
{
    or_tokenizer *t = NULL;
    assert_fails(open_model(model, &t), OR_ERR_INPUT, part);
    assert_null(t);
    assert_non_null(strstr(or_status_message(), "tokenizer.model"));
}

static void models_that_are_read(void **state)
{
    (void)state;
    or_buffer model = {0};
    or_tokenizer *t = NULL;
    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    assert_ok(open_model(&model, &t));
    check_bos(t, 1, 2, true); /* the trainer's defaults */
    check_ids(t, "ab abxyb", "3 3 0 7");
    or_tokenizer_close(t);

    put_specs(&model, 41, (uint64_t)-1, 3, 0); /* no BOS, nothing in front; the specs first */
    put_pieces(&model);
    put_piece(&model, "bx", 0, USER);
    put_number(&model, 100, 5); /* fields that are not known are skipped, of every wire type */
    put_float(&model, 101, 5);
    put_bytes(&model, 102, "abc", 3);
    put_varint(&model, 103 << 3 | 1);
    assert_ok(or_buffer_append(&model, "12345678", 8));
    assert_ok(open_model(&model, &t));
    check_bos(t, -1, 2, false);
    check_ids(t, "ab abx", "4 5 6 8");
    or_tokenizer_close(t);

    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    put_piece(&model, "ba", -0.5f, NORMAL); /* as good as ab: the leftmost goes first */
    assert_ok(open_model(&model, &t));
    check_ids(t, "xbab", "5 0 8 7");
    or_tokenizer_close(t);

    put_pieces(&model);
    put_specs(&model, 42, 6, 0, 0); /* EOS is no control piece */
    assert_ok(open_model(&model, &t));
    check_bos(t, 1, -1, true);
    or_tokenizer_close(t);
}

static void without_bos_none_is_added(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    or_buffer model = {0};
    or_tokenizer *t = NULL;
    put_specs(&model, 0, 0, 0, 0);
    put_piece(&model, SPACE, 0, NORMAL);
    put_file(path_in(folder, "tokenizer.model"), model.data, model.size);
    put_text(path_in(folder, "tokenizer_config.json"), "{\"add_bos_token\": true}");
    assert_ok(or_tokenizer_open(folder, &t));
    check_bos(t, -1, -1, false);
    or_tokenizer_close(t);
    or_buffer_free(&model);
}

static void byte_pieces_are_all_or_none(void **state)
{
    (void)state;
    or_buffer model = {0};
    or_tokenizer *t = NULL;
    for (int missing = 256; missing >= 255; missing--) {
        put_pieces(&model);
        put_specs(&model, 35, 1, 0, 0);
        for (int byte = 0; byte < missing; byte++) {
            char text[8];
            snprintf(text, sizeof text, "<0x%02X>", byte);
            put_piece(&model, text, 0, BYTE);
        }
        if (missing == 256) {
            assert_ok(open_model(&model, &t));
            check_ids(t, "axa", "5 6 128 6");
            or_tokenizer_close(t);
        } else {
            refuse_model(&model, "piece <0xFF> is not there");
        }
    }
    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    put_piece(&model, "<0x0A>", 0, BYTE);
    refuse_model(&model, "byte fallback is off but piece <0x0A> is there");
}

static void other_models_are_refused_by_name(void **state)
{
    (void)state;
    const char *const types[] = {"no known type", "unigram", NULL, "word", "char", "no known type"};
    or_buffer model = {0};
    for (uint64_t type = 0; type < 6; type++) {
        if (!types[type]) continue;
        put_pieces(&model);
        put_specs(&model, 3, type, 0, 0);
        refuse_model(&model, types[type]);
    }
    put_pieces(&model); /* no specs: SentencePiece's default */
    refuse_model(&model, "unigram");
    put_pieces(&model);
    put_specs(&model, 24, 1, 0, 0);
    refuse_model(&model, "spaces behind words");
    put_pieces(&model);
    put_specs(&model, 0, 0, 4, 1);
    refuse_model(&model, "removes extra spaces");
    put_pieces(&model); /* which is SentencePiece's default, too */
    put_bytes(&model, 2, "\x18\x02", 2);
    refuse_model(&model, "removes extra spaces");
    put_pieces(&model);
    put_specs(&model, 0, 0, 5, 0);
    refuse_model(&model, "keeps spaces as they are");
    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    or_buffer normalizer = {0};
    put_bytes(&normalizer, 2, "map", 3);
    put_message(&model, 3, &normalizer);
    refuse_model(&model, "maps characters");
}

static void refuse_piece(const char *text, float score, int type, const char *part)
{
    or_buffer model = {0};
    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    put_piece(&model, text, score, type);
    refuse_model(&model, part);
}

static void broken_pieces_are_refused(void **state)
{
    (void)state;
    or_buffer model = {0};
    put_specs(&model, 0, 0, 0, 0);
    refuse_model(&model, "0 tokens");
    refuse_piece("", 0, NORMAL, "token 8 has 0 bytes");
    refuse_piece("ab", 0, NORMAL, "tokens 4 and 8 have the same text \"ab\"");
    refuse_piece("<s>", 0, NORMAL, "same text");
    refuse_piece("\xff", 0, NORMAL, "token 8 is broken");
    refuse_piece("x", 0, UNUSED, "UNUSED");
    refuse_piece("x", 0, 7, "unknown type");
    refuse_piece("x", 0, 0, "unknown type");
    refuse_piece("<0xa0>", 0, BYTE, "byte token 8 is \"<0xa0>\"");
    refuse_piece("<0x+1>", 0, BYTE, "expected <0x00>..<0xFF>");
    refuse_piece("x", NAN, NORMAL, "no number");
    put_pieces(&model);
    put_specs(&model, 0, 0, 0, 0);
    put_bytes(&model, 1,
              "\x0a\x03"
              "a\0b",
              5);
    refuse_model(&model, "without NUL");
    put_specs(&model, 0, 0, 0, 0);
    put_bytes(&model, 1, "\x18\x01", 2);
    refuse_model(&model, "0 bytes");
}

static void refuse_wire(const char *bytes, size_t size, const char *part)
{
    or_buffer model = {0};
    assert_ok(or_buffer_append(&model, bytes, size));
    refuse_model(&model, part);
}

static void broken_wire_formats_are_refused(void **state)
{
    (void)state;
    or_tokenizer *t = NULL;
    assert_fails(open_file("tokenizer.model", "", 0, &t), OR_ERR_INPUT, "empty");
    refuse_wire("\x0a", 1, "ends within a number");
    refuse_wire("\x08\x80", 2, "ends within a number");
    refuse_wire("\x0a\x01", 2, "longer than what is left");
    refuse_wire("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "longer than what is left");
    refuse_wire("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "more than 10 bytes");
    refuse_wire("\x0d\x01\x02\x03", 4, "longer than what is left"); /* fixed32 */
    refuse_wire("\x09\x01\x02\x03\x04\x05\x06\x07", 8, "longer than what is left");
    refuse_wire("\x0b", 1, "unknown kind"); /* groups were never used */
    refuse_wire("\x0f", 1, "unknown kind");
    refuse_wire("\x02\x01x", 3, "number 0");
    refuse_wire("\x12\x03\x18\x02\x18", 5, "ends within a number"); /* within TrainerSpec */
    refuse_wire("version https://git-lfs", 23, "expected a SentencePiece model");
}

/* Every file cut short and every byte changed: refused or read, with one line and nothing out of bounds. */
static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    or_buffer model = {0};
    const char *folder = scratch_folder();
    put_pieces(&model);
    put_specs(&model, 41, 1, 3, 1);
    for (size_t i = 0; i < 2 * model.size; i++) {
        const size_t at = i / 2, size = i % 2 ? model.size : at;
        const char saved = model.data[at];
        or_tokenizer *t = NULL;
        if (size == 0) continue;
        model.data[at] = (char)(saved ^ (1 << at % 8));
        put_file(path_in(folder, "tokenizer.model"), model.data, size);
        or_status status = or_tokenizer_open(folder, &t);
        model.data[at] = saved;
        if (status == OR_OK)
            or_tokenizer_close(t);
        else
            assert_int_equal(status, OR_ERR_INPUT);
    }
    or_buffer_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_forms_that_are_read),
        cmocka_unit_test(json_with_metaspace),
        cmocka_unit_test(other_json_kinds_are_refused_by_name),
        cmocka_unit_test(json_options_that_change_ids_are_refused),
        cmocka_unit_test(broken_json_vocabularies_are_refused),
        cmocka_unit_test(broken_merges_are_refused),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(bos_comes_from_the_template),
        cmocka_unit_test(other_templates_are_refused),
        cmocka_unit_test(tokens_with_a_meaning_have_no_text),
        cmocka_unit_test(the_config_has_the_last_word),
        cmocka_unit_test(json_is_read_before_model),
        cmocka_unit_test(models_that_are_read),
        cmocka_unit_test(without_bos_none_is_added),
        cmocka_unit_test(byte_pieces_are_all_or_none),
        cmocka_unit_test(other_models_are_refused_by_name),
        cmocka_unit_test(broken_pieces_are_refused),
        cmocka_unit_test(broken_wire_formats_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
