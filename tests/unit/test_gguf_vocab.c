/* test_gguf_vocab.c - vocabularies in GGUF files: llama.cpp's own against the ids that come with them,
 * folders written and read back, and what is refused. */
#include "byte_bpe.h"

#include "file.h"
#include "gguf_vocab.h"

#define SPACE     "\xe2\x96\x81"
#define SEPARATOR "\n__ggml_vocab_test__\n"
#define KEY(name) "tokenizer.ggml." name

static or_tokenizer *open_path(const char *path)
{
    or_tokenizer *t = NULL;
    assert_ok(or_tokenizer_open(path, &t));
    return t;
}

/* ---- llama.cpp's files -------------------------------------------------------------------------------- */

/* The ids of a line, "12 34", are those of the text. */
static void check_ids_line(const or_tokenizer *t, const char *text, size_t size, const char *line)
{
    or_tokens tokens = {0};
    char *back;
    size_t back_size;
    assert_ok(or_tokenizer_encode(t, text, size, &tokens));
    for (size_t i = 0; i < tokens.count; i++) {
        int expected = -1, used = 0;
        sscanf(line, "%d%n", &expected, &used);
        if (tokens.ids[i] != expected)
            fail_msg("\"%.*s\": id %zu is %d, expected %d", (int)size, text, i, tokens.ids[i], expected);
        line += used;
    }
    assert_int_equal(strspn(line, " "), strlen(line));
    assert_ok(or_tokenizer_decode(t, tokens.ids, tokens.count, &back, &back_size));
    assert_int_equal(back_size, size);
    assert_memory_equal(back, text, size);
    free(back);
    or_tokens_free(&tokens);
}

static void read_beside(const char *path, const char *ending, or_buffer *text)
{
    char name[4096];
    snprintf(name, sizeof name, "%s%s", path, ending);
    assert_ok(or_file_read(name, text));
}

/* Texts in <path>.inp, each with the separator behind it, ids in <path>.out. Returns how many. */
static int check_inp_out(const or_tokenizer *t, const char *path)
{
    or_buffer texts = {0}, lines = {0};
    int count = 0;
    read_beside(path, ".inp", &texts);
    read_beside(path, ".out", &lines);
    char *line = lines.data, *end;
    for (char *text = texts.data; (end = strstr(text, SEPARATOR)); text = end + strlen(SEPARATOR), count++) {
        char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        *line_end = '\0';
        check_ids_line(t, text, (size_t)(end - text), line);
        line = line_end + 1;
    }
    assert_int_equal(*line, '\0');
    or_buffer_free(&lines);
    or_buffer_free(&texts);
    return count;
}

static void check_vocab(const char *name, int vocab, int bos, int eos, bool adds)
{
    char *path;
    assert_ok(or_strdup(need_data(name), &path));
    or_tokenizer *t = open_path(path);
    assert_int_equal(or_tokenizer_vocab(t), vocab);
    check_bos(t, bos, eos, adds);
    assert_int_equal(check_inp_out(t, path), 46);
    or_tokenizer_close(t);
    free(path);
}

static void gpt2s_vocabulary(void **state)
{
    (void)state;
    check_vocab("tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf", 50257, 50256, 50256, false);
}

static void llama2s_vocabulary(void **state)
{
    (void)state;
    check_vocab("tokenizers/gguf-vocabs/ggml-vocab-llama-spm.gguf", 32000, 1, 2, true);
}

/* An old file: no `pre`, no add_bos_token, ids of 2^32-1 for none. */
static void stories_vocabulary(void **state)
{
    (void)state;
    or_tokenizer *t = open_path(need_data("models/stories260K/stories260K.gguf"));
    assert_int_equal(or_tokenizer_vocab(t), 512);
    check_bos(t, 1, 2, true);
    check_ids(t, "Once upon a time", "403 407 261 378");
    check_text(t, (int32_t[]){1, 403, 407, 261, 378, 2}, 6, "Once upon a time");
    or_tokenizer_close(t);
}

/* ---- there and back ----------------------------------------------------------------------------------- */

/* A GGUF file of this tokenizer in a folder of its own. */
static const char *put_gguf(const or_tokenizer *t)
{
    static char path[4096];
    or_gguf_writer *writer = NULL;
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "vocab.gguf"));
    assert_ok(or_gguf_create(path, &writer));
    assert_ok(or_tokenizer_put_gguf(t, (size_t)or_tokenizer_vocab(t), writer));
    assert_ok(or_gguf_finish(writer));
    or_gguf_writer_close(writer);
    return path;
}

/* {"text"}: both give the same ids, and the same text for these. */
static void check_same_line(const cJSON *line, const or_tokenizer *a, const or_tokenizer *b)
{
    const char *text = or_json_find(line, "text")->valuestring;
    or_tokens x = {0}, y = {0};
    char *back;
    size_t size;
    assert_ok(or_tokenizer_encode(a, text, strlen(text), &x));
    assert_ok(or_tokenizer_encode(b, text, strlen(text), &y));
    assert_int_equal(x.count, y.count);
    if (x.count) assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
    assert_ok(or_tokenizer_decode(a, x.ids, x.count, &back, &size));
    check_text(b, y.ids, y.count, back);
    free(back);
    or_tokens_free(&y);
    or_tokens_free(&x);
}

static void check_same(const or_tokenizer *a, const or_tokenizer *b)
{
    assert_int_equal(or_tokenizer_vocab(a), or_tokenizer_vocab(b));
    check_bos(b, or_tokenizer_bos(a), or_tokenizer_eos(a), or_tokenizer_adds_bos(a));
    for (int id = 0; id < or_tokenizer_vocab(a); id++) {
        assert_string_equal(or_tokenizer_piece(a, id), or_tokenizer_piece(b, id));
        assert_int_equal(a->pieces[id].kind, b->pieces[id].kind);
    }
}

static void check_folder(const char *folder)
{
    or_tokenizer *before = open_path(folder), *after = open_path(put_gguf(before));
    check_same(before, after);
    assert_int_equal(each_line(need_data("oracles/tokenize-llama2.jsonl"), check_same_line, before, after),
                     361);
    assert_int_equal(each_line(need_data("oracles/tokenize-opt.jsonl"), check_same_line, before, after), 247);
    or_tokenizer_close(after);
    or_tokenizer_close(before);
}

static void folders_come_back(void **state)
{
    (void)state;
    check_folder(need_data("tokenizers/llama2-hf"));    /* merges */
    check_folder(need_data("tokenizers/llama2-spm"));   /* scores */
    check_folder(need_data("models/TinyStories-656K")); /* no byte pieces */
    check_folder(need_data("models/tiny-opt-random"));
    check_folder(source_path("configs/demo/model"));
}

static void ggufs_come_back(void **state)
{
    (void)state;
    check_folder(need_data("tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf"));
    check_folder(need_data("tokenizers/gguf-vocabs/ggml-vocab-llama-spm.gguf"));
    check_folder(need_data("models/stories260K/stories260K.gguf"));
}

/* The scores beside the merges order pieces as the merges do, for those who read scores only. */
static void scores_stand_in_for_merges(void **state)
{
    (void)state;
    or_tokenizer *before = open_path(source_path("configs/demo/model"));
    or_gguf *gguf = NULL;
    or_gguf_items scores;
    float last = 1;
    assert_false(before->by_text);
    assert_ok(or_gguf_open(put_gguf(before), &gguf));
    assert_ok(or_gguf_numbers(gguf, KEY("scores"), &scores));
    assert_int_equal(scores.left, before->n_pieces);
    float *score = or_alloc(before->n_pieces, sizeof *score);
    for (size_t id = 0; scores.left > 0; id++) score[id] = (float)or_gguf_next_number(&scores);
    for (size_t i = 0; i < before->n_merges; i++) {
        const float made = score[before->merges[i].merged];
        assert_true(made == -(float)i || made > -(float)i); /* by this merge, or one before */
        if (made == -(float)i) {
            assert_true(made < last);
            last = made;
        }
    }
    free(score);
    or_gguf_close(gguf);
    or_tokenizer_close(before);
}

static void options_come_back(void **state)
{
    (void)state;
    or_tokenizer *before = made_bpe((bpe_parts){.pre = "{\"type\": \"ByteLevel\"}"});
    or_tokenizer *after = open_path(put_gguf(before));
    check_same(before, after);
    check_ids(after, "he he", "260 260");
    check_ids(after, " he", "260");
    or_tokenizer_close(after);
    or_tokenizer_close(before);
}

static or_tokenizer *made_llama3(const char *options)
{
    or_buffer pattern = {0}, pre = {0};
    assert_ok(or_json_put_string(&pattern, or_split_llama3));
    assert_ok(or_buffer_printf(&pre,
                               STEPS("{\"type\": \"Split\", \"pattern\": {\"Regex\": %s}, \"behavior\": "
                                     "\"Isolated\"}, " BYTE_LEVEL_RAW),
                               pattern.data));
    or_tokenizer *t = made_bpe((bpe_parts){.pre = pre.data, .options = options});
    or_buffer_free(&pre);
    or_buffer_free(&pattern);
    return t;
}

/* SmolLM's way: every digit by itself, then GPT-2's pattern. */
static void digits_come_back(void **state)
{
    (void)state;
    or_tokenizer *before = made_bpe((bpe_parts){
        .pre = STEPS("{\"type\": \"Digits\", \"individual_digits\": true}, {\"type\": \"ByteLevel\", "
                     "\"add_prefix_space\": false}")});
    const char *path = put_gguf(before);
    or_gguf *g;
    or_gguf_text pre;
    assert_ok(or_gguf_open(path, &g));
    assert_ok(or_gguf_text_of(g, KEY("pre"), &pre));
    assert_true(or_gguf_text_is(pre, "smollm"));
    or_gguf_close(g);
    or_tokenizer *after = open_path(path);
    check_same(before, after);
    check_ids(after, "he 1234", "256 32 49 50 51 52");
    or_tokenizer_close(after);
    or_tokenizer_close(before);
}

static void llama3s_pattern_comes_back(void **state)
{
    (void)state;
    or_tokenizer *before = made_llama3("\"ignore_merges\": true,"), *after = open_path(put_gguf(before));
    assert_true(after->ignore_merges);
    check_same(before, after);
    check_ids(after, "hello hello, 1234", "259 261 44 32 49 50 51 52");
    or_tokenizer_close(after);
    or_tokenizer_close(before);
}

static void refuse_to_write(or_tokenizer *t, const char *part)
{
    or_gguf_writer *writer = NULL;
    const char *path = path_in(scratch_folder(), "vocab.gguf");
    assert_ok(or_gguf_create(path, &writer));
    assert_fails(or_tokenizer_put_gguf(t, (size_t)or_tokenizer_vocab(t), writer), OR_ERR_INPUT, part);
    or_gguf_writer_close(writer);
    assert_false(or_path_exists(path));
    or_tokenizer_close(t);
}

static void patterns_without_a_name_are_not_written(void **state)
{
    (void)state;
    const char *part = "no name for the patterns";
    refuse_to_write(made_bpe((bpe_parts){.pre = BYTE_LEVEL_RAW}), part);
    refuse_to_write(made_bpe((bpe_parts){.options = "\"ignore_merges\": true,"}), part);
    refuse_to_write(made_bpe((bpe_parts){.pre = STEPS("{\"type\": \"Digits\"}, " BYTE_LEVEL)}), part);
    refuse_to_write(made_llama3(""), part);
}

/* ---- made files --------------------------------------------------------------------------------------- */

/* What a file holds; NULL and {0}: as in a small SentencePiece model. A negative id is not written. */
typedef struct gguf_parts {
    const char *model, *pre;
    const char *const *tokens, *const *merges; /* end with NULL */
    const int32_t *types;
    const float *scores;
    bool no_types, no_scores, few_types;
    int64_t bos, eos, unknown;
    int64_t eot;                      /* 0: not written */
    const int32_t *ends;              /* ours: two tokens */
    int add_bos, add_eos, add_prefix; /* 1 and 2: false and true */
} gguf_parts;

static const char *const spm_tokens[] = {"<unk>", "<s>", "</s>",     SPACE, "a",
                                         "b",     "ab",  SPACE "ab", "#",   NULL};
static const int32_t spm_types[] = {2, 3, 3, 1, 1, 1, 1, 1, 4};
static const float spm_scores[] = {0, 0, 0, -9, -9, -9, -1, -2, 0};

static void put_texts(or_gguf_writer *writer, const char *key, const char *const *texts)
{
    or_gguf_text all[300];
    size_t count = 0;
    for (; texts[count]; count++) all[count] = (or_gguf_text){texts[count], strlen(texts[count])};
    assert_ok(or_gguf_put_texts(writer, key, all, count));
}

static or_status open_gguf(gguf_parts p, or_tokenizer **t)
{
    static const char *folder;
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "made.gguf");
    or_gguf_writer *writer = NULL;
    const char *const *tokens = p.tokens ? p.tokens : spm_tokens;
    size_t count = 0;
    while (tokens[count]) count++;
    assert_ok(or_gguf_create(path, &writer));
    assert_ok(or_gguf_put_text(writer, KEY("model"), p.model ? p.model : "llama"));
    if (p.pre) assert_ok(or_gguf_put_text(writer, KEY("pre"), p.pre));
    put_texts(writer, KEY("tokens"), tokens);
    if (!p.no_types)
        assert_ok(
            or_gguf_put_i32s(writer, KEY("token_type"), p.types ? p.types : spm_types, count - p.few_types));
    if (!p.no_scores)
        assert_ok(or_gguf_put_f32s(writer, KEY("scores"), p.scores ? p.scores : spm_scores, count));
    if (p.merges) put_texts(writer, KEY("merges"), p.merges);
    if (p.bos >= 0) assert_ok(or_gguf_put_u32(writer, KEY("bos_token_id"), (uint32_t)p.bos));
    if (p.eos >= 0) assert_ok(or_gguf_put_u32(writer, KEY("eos_token_id"), (uint32_t)p.eos));
    if (p.eot) assert_ok(or_gguf_put_u32(writer, KEY("eot_token_id"), (uint32_t)p.eot));
    if (p.ends) assert_ok(or_gguf_put_i32s(writer, OR_GGUF_ENDS, p.ends, 2));
    if (p.unknown >= 0) assert_ok(or_gguf_put_u32(writer, KEY("unknown_token_id"), (uint32_t)p.unknown));
    if (p.add_bos) assert_ok(or_gguf_put_bool(writer, KEY("add_bos_token"), p.add_bos == 2));
    if (p.add_eos) assert_ok(or_gguf_put_bool(writer, KEY("add_eos_token"), p.add_eos == 2));
    if (p.add_prefix) assert_ok(or_gguf_put_bool(writer, KEY("add_space_prefix"), p.add_prefix == 2));
    assert_ok(or_gguf_finish(writer));
    or_gguf_writer_close(writer);
    return or_tokenizer_open(path, t);
}

static or_tokenizer *made_gguf(gguf_parts parts)
{
    or_tokenizer *t = NULL;
    assert_ok(open_gguf(parts, &t));
    return t;
}

static void sentencepiece_forms_that_are_read(void **state)
{
    (void)state;
    or_tokenizer *t = made_gguf((gguf_parts){.bos = 1, .eos = 2, .unknown = 0});
    check_ids(t, "ab ab", "7 7");
    check_ids(t, "a#b", "3 4 8 5"); /* found whole */
    check_ids(t, "xyz", "3 0");     /* unknown text is one token, as with SentencePiece */
    check_bos(t, 1, 2, true);
    or_tokenizer_close(t);

    t = made_gguf((gguf_parts){.bos = -1, .eos = -1, .unknown = -1, .add_prefix = 1});
    check_ids(t, "ab ab", "6 7");
    check_bos(t, -1, -1, false);
    assert_int_equal(t->unknown, 0); /* by its type */
    or_tokenizer_close(t);

    t = made_gguf((gguf_parts){.bos = UINT32_MAX, .eos = 2, .add_bos = 2});
    check_bos(t, -1, 2, false);
    or_tokenizer_close(t);

    t = made_gguf((gguf_parts){.bos = 1, .eos = 2, .add_bos = 1});
    check_bos(t, 1, 2, false);
    or_tokenizer_close(t);

    const int32_t unused[] = {2, 3, 3, 1, 1, 1, 5, 1, 1};
    t = made_gguf((gguf_parts){.types = unused, .bos = 1});
    check_ids(t, "ab", "3 4 5");
    or_tokenizer_close(t);
}

static void ends_are_eos_and_the_end_of_a_turn(void **state)
{
    (void)state;
    const int32_t two[] = {5, 6}, others[] = {0, 8};
    const struct {
        gguf_parts parts;
        size_t count;
        int32_t ends[4];
    } cases[] = {
        {{.bos = 1, .eos = 2}, 1, {2}},
        {{.bos = 1, .eos = 2, .eot = 2}, 1, {2}},
        {{.bos = 1, .eos = 2, .eot = 5}, 2, {2, 5}},
        {{.bos = 1, .eos = -1, .eot = 5}, 1, {5}},
        {{.bos = 1, .eos = -1}, 0, {0}},
        {{.bos = 1, .eos = 2, .eot = UINT32_MAX}, 1, {2}},
        {{.bos = 1, .eos = 2, .eot = 5, .ends = two}, 3, {2, 5, 6}},
        {{.bos = 1, .eos = -1, .ends = others}, 2, {0, 8}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_tokenizer *t = made_gguf(cases[i].parts), *after = open_path(put_gguf(t));
        check_ends(t, cases[i].count, cases[i].ends);
        check_ends(after, cases[i].count, cases[i].ends); /* there and back */
        or_tokenizer_close(after);
        or_tokenizer_close(t);
    }
}

/* Merges go before scores: here a b comes first by score, and ▁ a is the only merge. */
static void merges_go_before_scores(void **state)
{
    (void)state;
    const char *const tokens[] = {"<unk>", SPACE, "a", "b", "ab", SPACE "a", NULL};
    const char *const merges[] = {SPACE " a", NULL};
    const int32_t types[] = {2, 1, 1, 1, 1, 1};
    const float scores[] = {0, 0, 0, 0, -1, -2};
    gguf_parts parts = {.tokens = tokens, .types = types, .scores = scores, .bos = -1, .eos = -1};
    or_tokenizer *t = made_gguf(parts);
    check_ids(t, "ab", "1 4");
    or_tokenizer_close(t);
    parts.merges = merges;
    t = made_gguf(parts);
    check_ids(t, "ab", "5 3");
    or_tokenizer_close(t);
}

static void refuse(gguf_parts parts, const char *part)
{
    or_tokenizer *t = NULL;
    assert_fails(open_gguf(parts, &t), OR_ERR_INPUT, part);
    assert_null(t);
    assert_non_null(strstr(or_status_message(), "made.gguf"));
}

static void other_vocabularies_are_refused_by_name(void **state)
{
    (void)state;
    static const char *const models[] = {"bert", "t5", "rwkv", "plamo2", "no_vocab", ""};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char found[64];
        snprintf(found, sizeof found, "tokenizer.ggml.model is \"%s\"", models[i]);
        refuse((gguf_parts){.model = models[i]}, found);
    }
    refuse((gguf_parts){.model = "gpt2"}, "tokenizer.ggml.pre is \"\"");
    refuse((gguf_parts){.model = "gpt2", .pre = "default"}, "tokenizer.ggml.pre is \"default\"");
    refuse((gguf_parts){.model = "gpt2", .pre = "qwen2"}, "expected gpt-2, llama-bpe, smollm");
    or_tokenizer_close(made_gguf((gguf_parts){.add_eos = 1}));
    refuse((gguf_parts){.add_eos = 2}, "tokenizer.ggml.add_eos_token is true");
}

static void broken_vocabularies_are_refused(void **state)
{
    (void)state;
    const char *const twice[] = {"a", "b", "a", NULL}, *const none[] = {NULL},
                      *const empty[] = {"a", "", NULL};
    const char *const not_utf8[] = {"a", "\xff", NULL}, *const bytes[] = {"<0x0A>", "<0x0b>", NULL};
    const char *const bad_merge[] = {"a b", "a x", NULL}, *const no_merge[] = {"ab", NULL};
    const int32_t type_7[] = {1, 7, 1, 1, 1, 1, 1, 1, 1}, type_0[] = {0, 1, 1, 1, 1, 1, 1, 1, 1};
    const int32_t ones[] = {1, 1, 1}, sixes[] = {6, 6};
    refuse((gguf_parts){.tokens = twice, .types = ones}, "same text \"a\"");
    refuse((gguf_parts){.tokens = none}, "0 tokens");
    refuse((gguf_parts){.tokens = empty, .types = ones}, "token 1 has 0 bytes");
    refuse((gguf_parts){.tokens = not_utf8, .types = ones}, "token 1 is broken");
    refuse((gguf_parts){.tokens = bytes, .types = sixes}, "byte token 1 is \"<0x0b>\"");
    refuse((gguf_parts){.types = type_7}, "token 1 is of type 7");
    refuse((gguf_parts){.types = type_0}, "token 0 is of type 0");
    refuse((gguf_parts){.few_types = true}, "token_type has 8 numbers, expected 9");
    refuse((gguf_parts){.no_types = true}, "tokenizer.ggml.token_type");
    refuse((gguf_parts){.no_scores = true}, "tokenizer.ggml.scores");
    refuse((gguf_parts){.merges = bad_merge}, "merge 2 is \"a\" and \"x\"");
    refuse((gguf_parts){.merges = no_merge}, "merge 1 was not understood");
    refuse((gguf_parts){.bos = 9}, "bos_token_id is 9, expected 0..8");
    refuse((gguf_parts){.eos = 100}, "eos_token_id is 100");
    refuse((gguf_parts){.unknown = UINT32_MAX - 1}, "unknown_token_id");
    refuse((gguf_parts){.eot = 9}, "eot_token_id is 9, expected 0..8");
    refuse((gguf_parts){.ends = (int32_t[]){8, 9}}, "offramp.tokenizer.ends has 9, expected 0..8");
    refuse((gguf_parts){.ends = (int32_t[]){-1, 8}}, "offramp.tokenizer.ends has -1");
    refuse((gguf_parts){.model = "gpt2", .pre = "gpt-2"}, "byte 0x00 has no token");
}

/* GPT-2's characters for the bytes, he, a control token and one of a user. */
static void byte_level_forms_that_are_read(void **state)
{
    (void)state;
    char names[256][3];
    const char *tokens[260] = {0};
    int32_t types[259];
    const char *const merges[] = {"h e", NULL};
    for (int byte = 0; byte < 256; byte++) {
        or_buffer character = {0};
        assert_ok(or_alphabet_put((uint8_t)byte, &character));
        memcpy(names[byte], character.data, character.size + 1);
        tokens[byte] = names[byte];
        or_buffer_free(&character);
    }
    for (int id = 0; id < 259; id++) types[id] = 1;
    types[257] = 3;
    types[258] = 4;
    tokens[256] = "he";
    tokens[257] = "<|end|>";
    tokens[258] = "<tool>";
    gguf_parts parts = {.model = "gpt2",
                        .tokens = tokens,
                        .types = types,
                        .merges = merges,
                        .no_scores = true,
                        .bos = 257,
                        .eos = 257,
                        .unknown = -1};
    static const struct {
        const char *pre;
        bool adds;
    } pres[] = {{"gpt-2", false},  {"llama-bpe", true},  {"llama3", true}, {"llama-v3", true},
                {"smollm", false}, {"starcoder", false}, {"refact", false}};
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        parts.pre = pres[i].pre;
        or_tokenizer *t = made_gguf(parts);
        check_bos(t, 257, 257, pres[i].adds);
        check_ids(t, "he he", "256 32 256");
        check_ids(t, "<tool>", "60 116 111 111 108 62");
        check_text(t, (int32_t[]){257, 256, 258}, 3, "he");
        or_tokenizer_close(t);
    }
    parts.merges = NULL;
    refuse(parts, "tokenizer.ggml.merges");
}

/* Not GGUF, cut short: refused, with the file's name. */
static void other_files_are_refused(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "cut.gguf");
    or_tokenizer *t = NULL;
    put_text(path, "GGUF");
    assert_fails(or_tokenizer_open(path, &t), OR_ERR_INPUT, "cut.gguf");
    put_text(path, "not GGUF");
    assert_fails(or_tokenizer_open(path, &t), OR_ERR_INPUT, "cut.gguf");
    assert_null(t);
}

/* A small file cut short anywhere, and with every byte changed: refused or read, and nothing out of bounds.
 * */
static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "damaged.gguf");
    or_buffer file = {0};
    or_tokenizer *t = made_gguf((gguf_parts){.bos = 1, .eos = 2, .add_bos = 2});
    assert_ok(or_file_read(put_gguf(t), &file));
    or_tokenizer_close(t);
    for (size_t i = 0; i < 2 * file.size; i++) {
        const size_t at = i / 2, size = i % 2 ? file.size : at;
        const char saved = file.data[at];
        t = NULL;
        if (size == 0) continue;
        file.data[at] = (char)(saved ^ (1 << at % 8));
        put_file(path, file.data, size);
        const or_status status = or_tokenizer_open(path, &t);
        file.data[at] = saved;
        if (status == OR_OK)
            or_tokenizer_close(t);
        else
            assert_int_equal(status, OR_ERR_INPUT);
    }
    or_buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2s_vocabulary),
        cmocka_unit_test(llama2s_vocabulary),
        cmocka_unit_test(stories_vocabulary),
        cmocka_unit_test(folders_come_back),
        cmocka_unit_test(ggufs_come_back),
        cmocka_unit_test(scores_stand_in_for_merges),
        cmocka_unit_test(options_come_back),
        cmocka_unit_test(digits_come_back),
        cmocka_unit_test(llama3s_pattern_comes_back),
        cmocka_unit_test(patterns_without_a_name_are_not_written),
        cmocka_unit_test(sentencepiece_forms_that_are_read),
        cmocka_unit_test(ends_are_eos_and_the_end_of_a_turn),
        cmocka_unit_test(merges_go_before_scores),
        cmocka_unit_test(other_vocabularies_are_refused_by_name),
        cmocka_unit_test(broken_vocabularies_are_refused),
        cmocka_unit_test(byte_level_forms_that_are_read),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
