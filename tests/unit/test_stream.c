/* test_stream.c - the text of a continuation as its tokens come: against decoding everything at once, for
 * every split into prompt and continuation, and stop texts against a plain search. */
#include "byte_bpe.h"

#include "tokenizer_internal.h"
#include "utf8.h"

#include <offramp/stream.h>

#define BAD     "\xef\xbf\xbd"
#define SPACE   "\xe2\x96\x81"
#define E_ACUTE "\xc3\xa9"

/* ---- vocabularies ------------------------------------------------------------------------------------------ */

enum { WORDS = 12 }; /* ids of make_spm() from here on are bytes */

/* SentencePiece: a few words, then the 256 bytes. */
static or_tokenizer *make_spm(bool prefix_space)
{
    static const char *const words[WORDS] = {"<s>",           SPACE,     "a",  "b",
                                             SPACE "a",       "b" SPACE, "ab", E_ACUTE,
                                             "a" E_ACUTE "b", "stop",    BAD,  SPACE SPACE};
    or_tokenizer *t = or_alloc(1, sizeof *t);
    t->kind = &or_tokenizer_kind_spm;
    t->prefix_space = prefix_space;
    t->unknown = t->bos = t->eos = -1;
    for (int byte = 0; byte < 256; byte++) t->bytes[byte] = -1;
    assert_ok(or_vocab_reserve(t, WORDS + 256, "test"));
    for (int32_t id = 0; id < WORDS; id++)
        assert_ok(or_vocab_set(t, id, words[id], strlen(words[id]),
                               id == 0 ? OR_PIECE_CONTROL : OR_PIECE_NORMAL, "test"));
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        assert_ok(or_vocab_set(t, WORDS + byte, name, strlen(name), OR_PIECE_BYTE, "test"));
    }
    assert_ok(or_vocab_index(t, "test"));
    assert_ok(or_vocab_index_merges(t));
    return t;
}

static or_tokenizer *opened(const char *path)
{
    or_tokenizer *t = NULL;
    assert_ok(or_tokenizer_open(path, &t));
    return t;
}

/* ---- streams ----------------------------------------------------------------------------------------------- */

/* All that a stream gives for ids[split .. n) behind ids[0 .. split). Each part is UTF-8 in itself. */
static void stream_all(const or_tokenizer *t, const int32_t *ids, size_t n, size_t split,
                       const char *const *stops, size_t n_stops, or_buffer *all, bool *stopped)
{
    or_stream *stream = NULL;
    const char *text;
    size_t size;
    *stopped = false;
    all->size = 0;
    assert_ok(or_stream_open(t, ids, split, stops, n_stops, &stream));
    for (size_t i = split; i < n; i++) {
        assert_ok(or_stream_put(stream, ids[i], &text, &size, stopped));
        assert_true(or_utf8_valid(text, size, NULL));
        assert_ok(or_buffer_append(all, text, size));
    }
    assert_ok(or_stream_end(stream, &text, &size));
    assert_true(or_utf8_valid(text, size, NULL));
    assert_ok(or_buffer_append(all, text, size));
    or_stream_close(stream);
}

/* Bytes that both texts begin with, in whole characters. */
static size_t in_common(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t at = 0;
    for (;;) {
        const size_t x = or_utf8_length(a + at, a_size - at), y = or_utf8_length(b + at, b_size - at);
        if (x == 0 || x != y || memcmp(a + at, b + at, x) != 0) return at;
        at += x;
    }
}

/* For every split: what the stream gives is the text of all ids behind what it has in common with the
 * prompt's, and so, where the prompt's text is a beginning of it, the rest. */
static void check_splits(const or_tokenizer *t, const int32_t *ids, size_t n)
{
    or_buffer got = {0};
    char *whole, *before;
    size_t size, before_size;
    bool stopped;
    assert_ok(or_tokenizer_decode(t, ids, n, &whole, &size));
    for (size_t split = 0; split <= n; split++) {
        assert_ok(or_tokenizer_decode(t, ids, split, &before, &before_size));
        const size_t common = in_common(before, before_size, whole, size);
        stream_all(t, ids, n, split, NULL, 0, &got, &stopped);
        assert_int_equal(got.size, size - common);
        assert_memory_equal(got.data, whole + common, got.size);
        assert_false(stopped);
        free(before);
    }
    free(whole);
    or_buffer_free(&got);
}

/* One id in two is one of the bytes, where there are any, and of these most are of 2 to 4 byte characters. */
static int32_t random_id(const or_tokenizer *t, uint64_t *random)
{
    static const uint8_t bytes[] = {0xc3, 0xe2, 0xef, 0xf0, 0xf4, 0x82, 0x8f, 0x90, 0x9f, 0xa0,
                                    0xa9, 0xbd, 0xbf, 0x20, 0x41, 0xff, 0xc0, 0xed, 0xe0, 0x80};
    const uint32_t bits = random_bits(random), pick = random_bits(random);
    const int32_t byte = t->bytes[bytes[pick % sizeof bytes]];
    return bits % 2 && byte >= 0 ? byte : (int32_t)(pick % (uint32_t)or_tokenizer_vocab(t));
}

static void check_random(or_tokenizer *t, int rounds)
{
    enum { LENGTH = 12 };
    uint64_t random = 7;
    int32_t ids[LENGTH];
    for (int round = 0; round < rounds; round++) {
        const size_t n = random_bits(&random) % (LENGTH + 1);
        for (size_t i = 0; i < n; i++) ids[i] = random_id(t, &random);
        check_splits(t, ids, n);
    }
    or_tokenizer_close(t);
}

static void small_vocabularies_equal_decoding(void **state)
{
    (void)state;
    check_random(make_spm(true), 4000);
    check_random(make_spm(false), 4000);
    check_random(made_bpe((bpe_parts){0}), 4000);
    check_random(made_bpe((bpe_parts){.pre = "{\"type\": \"ByteLevel\"}"}), 4000);
}

static void demo_equals_decoding(void **state)
{
    (void)state;
    check_random(opened(source_path("configs/demo/model")), 2000);
}

static void stories_equal_decoding(void **state)
{
    (void)state;
    check_random(opened(need_data("models/stories260K/stories260K.gguf")), 2000);
}

static void llama2_equals_decoding(void **state)
{
    (void)state;
    check_random(opened(need_data("tokenizers/llama2-hf")), 2000);
}

static void opt_equals_decoding(void **state)
{
    (void)state;
    check_random(opened(need_data("models/tiny-opt-random")), 2000);
}

static void gpt2_equals_decoding(void **state)
{
    (void)state;
    check_random(opened(need_data("tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf")), 2000);
}

/* ---- characters -------------------------------------------------------------------------------------------- */

/* Puts a token that gives this text, and says nothing of stopping. */
static void check_put(or_stream *stream, int32_t id, const char *expected)
{
    const char *text;
    size_t size;
    bool stopped;
    assert_ok(or_stream_put(stream, id, &text, &size, &stopped));
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
    assert_false(stopped);
}

static void check_end(or_stream *stream, const char *expected)
{
    const char *text;
    size_t size;
    assert_ok(or_stream_end(stream, &text, &size));
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(text, expected, size);
    or_stream_close(stream);
}

static or_stream *begun(const or_tokenizer *t, const int32_t *prompt, size_t n_prompt)
{
    or_stream *stream = NULL;
    assert_ok(or_stream_open(t, prompt, n_prompt, NULL, 0, &stream));
    return stream;
}

static void characters_are_given_when_complete(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    or_stream *stream = begun(t, NULL, 0);
    check_put(stream, 0xf0, "");
    check_put(stream, 0x9f, "");
    check_put(stream, 262, ""); /* <|endoftext|> has no text and breaks nothing */
    check_put(stream, 0x99, "");
    check_put(stream, 0x82, "\xf0\x9f\x99\x82");
    check_put(stream, 0xe2, "");
    check_put(stream, 'a', BAD "a"); /* no character any more */
    check_put(stream, 0xff, BAD);    /* never one */
    check_put(stream, 0xe2, "");
    check_put(stream, 0x96, "");
    check_end(stream, BAD);
    or_tokenizer_close(t);
    t = make_spm(true);
    stream = begun(t, NULL, 0);
    check_put(stream, 0, "");
    check_put(stream, 4, "a"); /* the space in front of everything */
    check_put(stream, 4, " a");
    check_put(stream, WORDS + 0xf0, "");
    check_put(stream, WORDS + 0x9f, "");
    check_put(stream, 0, BAD BAD); /* unlike byte-level BPE */
    check_put(stream, WORDS + 0xc3, "");
    check_put(stream, WORDS + 0xa9, E_ACUTE);
    check_put(stream, WORDS + 0xe2, "");
    check_put(stream, WORDS + 0x96, "");
    check_end(stream, BAD BAD);
    or_tokenizer_close(t);
}

/* The rule of stream.h: what the whole has in common with the prompt's text is not given again. */
static void prompts_may_end_within_a_character(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    or_stream *stream = begun(t, (int32_t[]){'a', 0xc3}, 2); /* "a" BAD */
    check_put(stream, 0xa9, E_ACUTE);
    check_end(stream, "");
    stream = begun(t, (int32_t[]){'a', 0xc3}, 2);
    check_put(stream, 'b', "b");
    check_put(stream, 0xff, BAD);
    check_end(stream, "");
    check_end(begun(t, (int32_t[]){'a', 0xc3}, 2), "");
    stream = begun(t, (int32_t[]){0xef, 0xbf}, 2);
    check_put(stream, 0xbd, ""); /* U+FFFD itself, which the prompt shows already */
    check_put(stream, 'b', "b");
    check_end(stream, "");
    or_tokenizer_close(t);
    t = make_spm(true);
    stream = begun(t, (int32_t[]){2, WORDS + 0xf0, WORDS + 0x9f}, 3); /* "a" BAD BAD */
    check_put(stream, WORDS + 0x99, "");
    check_put(stream, 2, BAD "a");
    check_end(stream, "");
    stream = begun(t, (int32_t[]){WORDS + 0xef, WORDS + 0xbf}, 2); /* BAD BAD */
    check_put(stream, WORDS + 0xbd, "");
    check_put(stream, WORDS + 0xff, "");
    check_put(stream, WORDS + 0xff, BAD);
    check_end(stream, "");
    stream = begun(t, (int32_t[]){0, 1}, 2); /* its space is the one that is dropped */
    check_put(stream, 4, " a");
    check_end(stream, "");
    or_tokenizer_close(t);
}

/* ---- stop texts -------------------------------------------------------------------------------------------- */

typedef struct stop_case {
    const char *text; /* whose bytes are the tokens; NULL: see there */
    const char *stops[4];
    const char *expected;
    bool stopped;
} stop_case;

static void check_stops(const or_tokenizer *t, const int32_t *ids, size_t n, const stop_case *c)
{
    or_buffer got = {0};
    size_t n_stops = 0;
    bool stopped;
    while (n_stops < 4 && c->stops[n_stops]) n_stops++;
    stream_all(t, ids, n, 0, c->stops, n_stops, &got, &stopped);
    assert_int_equal(got.size, strlen(c->expected));
    assert_memory_equal(got.data, c->expected, got.size);
    assert_int_equal(stopped, c->stopped);
    or_buffer_free(&got);
}

/* Every character is a token or several. */
static void stops_across_tokens(void **state)
{
    (void)state;
    static const stop_case cases[] = {
        {"one two three", {"two"}, "one ", true},
        {"one two three", {"one"}, "", true},
        {"one two three", {"three"}, "one two ", true},
        {"one two three", {"threes"}, "one two three", false}, /* held back to the end */
        {"aaab", {"aab"}, "a", true},
        {"aabaabaaa", {"aabaaa"}, "aab", true},
        {"abcabd", {"abcabe", "abd"}, "abc", true},
        {"abcde", {"bcd", "cd", "abcdex"}, "a", true}, /* end together: the one that begins first */
        {"abcde", {"cd", "bcd"}, "a", true},
        {"abcde", {"abcde", "c"}, "ab", true},  /* complete first, though it begins later */
        {"abcde", {"abcdf", "d"}, "abc", true}, /* held back for one, stopped by the other */
        {"x" E_ACUTE E_ACUTE "y", {E_ACUTE "y"}, "x" E_ACUTE, true},
        {"x\xc3\xa8y", {E_ACUTE}, "x\xc3\xa8y", false}, /* the first byte is the same */
        {"\xe2\x82\xac\n\n", {"\n\n"}, "\xe2\x82\xac", true},
        {"a\xe2", {"a" BAD}, "", false}, /* complete at the very end */
        {"a\xe2", {"b"}, "a" BAD, false},
        {"", {"a"}, "", false},
    };
    or_tokenizer *t = made_bpe((bpe_parts){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t ids[32];
        size_t n = 0;
        for (const char *c = cases[i].text; *c; c++) ids[n++] = (uint8_t)*c;
        check_stops(t, ids, n, &cases[i]);
    }
    or_tokenizer_close(t);
}

static void stops_within_tokens(void **state)
{
    (void)state;
    or_tokenizer *t = make_spm(true);
    check_stops(t, (int32_t[]){2, 9, 2}, 3, &(stop_case){NULL, {"to"}, "as", true}); /* a st-o-p a */
    check_stops(t, (int32_t[]){2, 9, 2}, 3, &(stop_case){NULL, {"opa"}, "ast", true});
    check_stops(t, (int32_t[]){3, 8, 2}, 3, &(stop_case){NULL, {"ba" E_ACUTE "ba"}, "", true}); /* b aéb a */
    check_stops(t, (int32_t[]){3, 8, 2}, 3, &(stop_case){NULL, {E_ACUTE}, "ba", true});
    check_stops(t, (int32_t[]){6, 1, 4}, 3, &(stop_case){NULL, {"b  a"}, "a", true}); /* ab ▁ ▁a */
    check_stops(t, (int32_t[]){4, 3}, 2,
                &(stop_case){NULL, {" a"}, "ab", false}); /* that space is not text */
    or_tokenizer_close(t);
}

static void nothing_comes_behind_a_stop(void **state)
{
    (void)state;
    or_tokenizer *t = made_bpe((bpe_parts){0});
    const char *text;
    size_t size;
    bool stopped;
    or_stream *stream = NULL;
    assert_ok(or_stream_open(t, (int32_t[]){'a'}, 1, (const char *[]){"ab", "ba"}, 2, &stream));
    check_put(stream, 'b', ""); /* the prompt's text is not looked at */
    assert_ok(or_stream_put(stream, 'a', &text, &size, &stopped));
    assert_true(stopped);
    assert_int_equal(size, 0);
    assert_ok(or_stream_put(stream, 'x', &text, &size, &stopped));
    assert_true(stopped);
    assert_int_equal(size, 0);
    check_end(stream, "");
    or_tokenizer_close(t);
}

/* The plain search: the first place where a stop text ends, and where the longest of those begins. */
static size_t find_stop(const or_buffer *text, const char *const *stops, size_t n_stops)
{
    for (size_t end = 0; end <= text->size; end++) {
        size_t begin = end;
        for (size_t s = 0; s < n_stops; s++) {
            const size_t length = strlen(stops[s]);
            if (length <= end && memcmp(text->data + end - length, stops[s], length) == 0 &&
                end - length < begin)
                begin = end - length;
        }
        if (begin < end) return begin;
    }
    return text->size;
}

/* How much of the text's end is the beginning of a stop text, at most. */
static size_t may_begin(const or_buffer *text, const char *const *stops, size_t n_stops)
{
    size_t longest = 0;
    for (size_t s = 0; s < n_stops; s++)
        for (size_t length = 1; length < strlen(stops[s]) && length <= text->size; length++)
            if (length > longest && memcmp(text->data + text->size - length, stops[s], length) == 0)
                longest = length;
    return longest;
}

/* After each token is given what the plain search allows, neither more nor less. */
static void check_random_stops(const or_tokenizer *t, const char *const *stops, size_t n_stops,
                               uint64_t *random)
{
    static const char *const texts[] = {"a", "b", "ab", E_ACUTE, "a" E_ACUTE "b"};
    static const int32_t ids[] = {2, 3, 6, 7, 8};
    or_buffer text = {0}, got = {0};
    or_stream *stream = NULL;
    bool stopped = false;
    assert_ok(or_stream_open(t, NULL, 0, stops, n_stops, &stream));
    for (int i = 0; i < 12 && !stopped; i++) {
        const uint32_t pick = random_bits(random) % 5;
        const char *new;
        size_t size;
        assert_ok(or_stream_put(stream, ids[pick], &new, &size, &stopped));
        assert_ok(or_buffer_append(&got, new, size));
        assert_ok(or_buffer_puts(&text, texts[pick]));
        const size_t stop = find_stop(&text, stops, n_stops);
        assert_int_equal(stopped, stop < text.size);
        assert_int_equal(got.size, stopped ? stop : stop - may_begin(&text, stops, n_stops));
        assert_memory_equal(got.data, text.data, got.size);
    }
    or_stream_close(stream);
    or_buffer_free(&got);
    or_buffer_free(&text);
}

static void random_stops_equal_the_plain_search(void **state)
{
    (void)state;
    or_tokenizer *t = make_spm(true);
    uint64_t random = 3;
    for (int round = 0; round < 20000; round++) {
        char texts[3][32] = {"", "", ""};
        const size_t n_stops = random_bits(&random) % 4;
        for (size_t s = 0; s < n_stops; s++)
            for (uint32_t i = 0, n = 1 + random_bits(&random) % 6; i < n; i++)
                strcat(texts[s], (const char *[]){"a", "b", E_ACUTE}[random_bits(&random) % 3]);
        check_random_stops(t, (const char *[]){texts[0], texts[1], texts[2]}, n_stops, &random);
    }
    or_tokenizer_close(t);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    or_tokenizer *t = make_spm(true);
    or_stream *stream = NULL;
    const char *text;
    size_t size;
    bool stopped;
    assert_fails(or_stream_open(t, NULL, 0, (const char *[]){"a", ""}, 2, &stream), OR_ERR_INPUT, "empty");
    assert_fails(or_stream_open(t, NULL, 0, (const char *[]){"\xff"}, 1, &stream), OR_ERR_INPUT, "not UTF-8");
    assert_fails(or_stream_open(t, (int32_t[]){2, 268}, 2, NULL, 0, &stream), OR_ERR_INPUT, "id 268");
    assert_null(stream);
    or_stream_close(NULL);
    stream = begun(t, NULL, 0);
    assert_fails(or_stream_put(stream, -1, &text, &size, &stopped), OR_ERR_INPUT, "expected 0..267");
    or_stream_close(stream);
    or_tokenizer_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_vocabularies_equal_decoding),
        cmocka_unit_test(demo_equals_decoding),
        cmocka_unit_test(stories_equal_decoding),
        cmocka_unit_test(llama2_equals_decoding),
        cmocka_unit_test(opt_equals_decoding),
        cmocka_unit_test(gpt2_equals_decoding),
        cmocka_unit_test(characters_are_given_when_complete),
        cmocka_unit_test(prompts_may_end_within_a_character),
        cmocka_unit_test(stops_across_tokens),
        cmocka_unit_test(stops_within_tokens),
        cmocka_unit_test(nothing_comes_behind_a_stop),
        cmocka_unit_test(random_stops_equal_the_plain_search),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
