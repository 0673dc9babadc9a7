/* test_split.c - how patterns cut a text: GPT-2's, Llama-3's, steps upon steps, and what is refused. */
#include "support.h"

#include "split.h"

/* The text is cut into these pieces, written "a|b". */
static void check(const or_splits *splits, const char *text, const char *expected)
{
    or_cuts cuts = {0};
    or_buffer got = {0};
    assert_ok(or_splits_cut(splits, text, strlen(text), &cuts));
    for (size_t i = 0, at = 0; i < cuts.count; at = cuts.ends[i++]) {
        assert_true(cuts.ends[i] > at);
        assert_ok(or_buffer_puts(&got, i ? "|" : ""));
        assert_ok(or_buffer_append(&got, text + at, cuts.ends[i] - at));
    }
    assert_string_equal(got.data, expected);
    or_buffer_free(&got);
    free(cuts.ends);
}

static or_splits *make(const char *pattern)
{
    or_splits *splits = NULL;
    assert_ok(or_splits_add(&splits, pattern, false, "test"));
    return splits;
}

static void check_with(const char *pattern, const char *text, const char *expected)
{
    or_splits *splits = make(pattern);
    check(splits, text, expected);
    or_splits_free(splits);
}

static void gpt2s_pattern(void **state)
{
    (void)state;
    or_splits *s = make(or_split_gpt2);
    check(s, "Hello, world!", "Hello|,| world|!");
    check(s, "I'll say it's 12345 o'clock", "I|'ll| say| it|'s| 12345| o|'|clock");
    check(s, "I'LL", "I|'|LL");
    check(s, "a  b   ", "a| | b|   ");
    check(s, "a\n\n b\t", "a|\n\n| b|\t");
    check(s, "\xc3\xa9t\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\xa6\x99",
          "\xc3\xa9t\xc3\xa9| \xe4\xb8\xad\xe6\x96\x87| \xf0\x9f\xa6\x99");
    check(s, "\xc2\xb2\xe2\x85\xa7x",
          "\xc2\xb2\xe2\x85\xa7|x"); /* superscript and Roman numerals are \p{N} */
    check(s, " ", " ");
    assert_true(or_splits_are(s, (const char *const[]){or_split_gpt2, NULL}));
    assert_false(or_splits_are(s, (const char *const[]){or_split_llama3, NULL}));
    assert_false(or_splits_are(NULL, (const char *const[]){or_split_gpt2, NULL}));
    assert_true(or_splits_are(NULL, (const char *const[]){NULL}));
    or_splits_free(s);
}

static void llama3s_pattern(void **state)
{
    (void)state;
    or_splits *s = make(or_split_llama3);
    check(s, "Hello, world!\n\nx", "Hello|,| world|!\n\n|x");
    check(s, "I'LL 1234567", "I|'LL| |123|456|7");
    check(s, "(see) a\r\n  b  \n c", "(see|)| a|\r\n| | b|  \n| c");
    check(s, "x'\xc5\xbf", "x|'\xc5\xbf"); /* the long s is an s to (?i) */
    or_splits_free(s);
}

/* White_Space as Unicode has it: the no-break space and the line separator are, U+180E and U+200B are not. */
static void white_space_is_unicodes(void **state)
{
    (void)state;
    check_with("\\s+", "a\xc2\xa0\xe2\x80\xa8\xc2\x85 b", "a|\xc2\xa0\xe2\x80\xa8\xc2\x85 |b");
    check_with("\\s+",
               "a\xe1\xa0\x8e"
               "b",
               "a\xe1\xa0\x8e"
               "b");
    check_with("\\S+", " \xe1\xa0\x8e\xe2\x80\x8b ", " |\xe1\xa0\x8e\xe2\x80\x8b| ");
    check_with("[^\\sa]+",
               "a\xe1\xa0\x8e"
               " x",
               "a|\xe1\xa0\x8e| |x");
}

static void steps_cut_the_pieces_before(void **state)
{
    (void)state;
    or_splits *s = NULL;
    check(NULL, "not cut", "not cut");
    assert_ok(or_splits_add(&s, "\\p{N}", false, "test"));
    check(s, "a12 b", "a|1|2| b");
    assert_ok(or_splits_add(&s, " ?\\p{L}+(?!\\S)", false, "test")); /* sees the end of its piece only */
    check(s, "a12 b", "a|1|2| b");
    check(s, "x. a1", "x.| a|1");
    assert_false(or_splits_are(s, (const char *const[]){or_split_digit, NULL}));
    assert_true(or_splits_are(s, (const char *const[]){or_split_digit, " ?\\p{L}+(?!\\S)", NULL}));
    assert_ok(or_splits_add(&s, ".", true, "test")); /* literally */
    check(s, "x.y", "x|.|y");
    or_splits_free(s);
    s = NULL;
    assert_ok(or_splits_add(&s, or_split_gpt2, true, "test"));
    assert_false(or_splits_are(s, (const char *const[]){or_split_gpt2, NULL}));
    check(s, "a b", "a b");
    or_splits_free(s);
}

static void check_translation(const char *pattern, const char *expected)
{
    or_buffer out = {0};
    assert_ok(or_split_translate(pattern, "test", &out));
    assert_string_equal(out.data, expected);
    or_buffer_free(&out);
}

static void patterns_that_mean_the_same(void **state)
{
    (void)state;
    static const char *const same[] = {"",
                                       "a|b",
                                       "[^]a]+",
                                       "[]a]",
                                       "\\p{L}+\\P{Lu}\\p{^N}",
                                       "\\d{1,3}",
                                       "\\[\\]\\^\\$\\.",
                                       "[$^.(*{,]",
                                       "(?:a)(?i:b)(?=c)(?!d)(?<=e)(?<!f)(?>g)",
                                       "a++b?+",
                                       "\\r\\n\\t\\f",
                                       "\xc3\xa9\\\xc3\xa9"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) check_translation(same[i], same[i]);
    check_translation("\\s\\\\s[\\S]", "\\p{White_Space}\\\\s[\\P{White_Space}]");
}

static void patterns_read_differently_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[] = {
        "\\w",    "[\\w]",  "\\h",      "\\b",    "\\v",         "\\K",   "\\R",       "\\x41",
        "\\1",    "\\Q",    "\\p{Han}", "\\pL",   "\\p{}",       "\\p{L", "\\p{^Han}", "^a",
        "a$",     "a.",     "(*UTF)a",  "a{,3}",  "a{2}+",       "a{2}?", "(?i)a",     "(?<n>a)",
        "(?#x)a", "(?s:a)", "(?",       "[a[b]]", "[[:alpha:]]", "[a&&b]"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        or_splits *splits = NULL;
        if (or_splits_add(&splits, patterns[i], false, "here") == OR_OK)
            fail_msg("%s was accepted", patterns[i]);
        assert_non_null(strstr(or_status_message(), "read differently"));
        assert_non_null(strstr(or_status_message(), "here"));
        or_splits_free(splits);
    }
}

static void broken_patterns_are_refused(void **state)
{
    (void)state;
    static const char *const patterns[][2] = {{"(a", "breaks at byte 2"},  {"[a", "breaks at byte 2"},
                                              {"a\\", "breaks at byte 2"}, {"a**", "breaks"},
                                              {"\\p{Xx}", "breaks"},       {"a*", "nothing at all"},
                                              {"", "nothing at all"},      {"a|(?=b)", "nothing at all"}};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        or_splits *splits = NULL;
        assert_fails(or_splits_add(&splits, patterns[i][0], false, "here"), OR_ERR_INPUT, patterns[i][1]);
        assert_non_null(strstr(or_status_message(), "here"));
        or_splits_free(splits);
    }
    or_splits *splits = NULL;
    assert_fails(or_splits_add(&splits, "", true, "here"), OR_ERR_INPUT, "nothing at all");
    or_splits_free(splits);
}

/* A pattern that tries all ways to cut a run of a's: an error, and soon. */
static void endless_patterns_are_an_error(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(?:a+)+[bc]", "(?:a|a)+[bc]", "(?:(?:a?){20}a)+[bc]"};
    char text[201];
    memset(text, 'a', 200);
    text[200] = '\0';
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        or_splits *splits = make(patterns[i]);
        or_cuts cuts = {0};
        assert_fails(or_splits_cut(splits, text, 200, &cuts), OR_ERR_INPUT, "cannot be matched");
        assert_non_null(strstr(or_status_message(), patterns[i]));
        free(cuts.ends);
        or_splits_free(splits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2s_pattern),
        cmocka_unit_test(llama3s_pattern),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(steps_cut_the_pieces_before),
        cmocka_unit_test(patterns_that_mean_the_same),
        cmocka_unit_test(patterns_read_differently_are_refused),
        cmocka_unit_test(broken_patterns_are_refused),
        cmocka_unit_test(endless_patterns_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
