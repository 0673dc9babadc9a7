/* test_utf8.c - strict UTF-8, and how much of what is none is one broken character. */
#include "support.h"

#include "utf8.h"

#define BROKEN(text, expected) assert_int_equal(or_utf8_broken(text, sizeof(text) - 1), expected)

/* Table 3-8 and its neighbours of the Unicode standard, section 3.9. */
static void broken_characters_are_maximal_subparts(void **state)
{
    (void)state;
    BROKEN("\xc0\xaf", 1);
    BROKEN("\x80\x80", 1);
    BROKEN("\xff", 1);
    BROKEN("\xc3", 1);
    BROKEN("\xc3(", 1);
    BROKEN("\xe0\x80\x80", 1); /* overlong */
    BROKEN("\xe0\xa0", 2);
    BROKEN("\xed\xa0\x80", 1); /* a surrogate */
    BROKEN("\xed\x9f", 2);
    BROKEN("\xe2\x82", 2);
    BROKEN("\xe2\x82\x28", 2);
    BROKEN("\xe2\xe2\x82\xac", 1);
    BROKEN("\xf0\x8f\xbf\xbf", 1); /* overlong */
    BROKEN("\xf0\x9f\xa6", 3);
    BROKEN("\xf0\x9f\xa6\xf0", 3);
    BROKEN("\xf1\x80", 2);
    BROKEN("\xf4\x8f\xbf", 3);
    BROKEN("\xf4\x90\x80\x80", 1); /* above U+10FFFF */
    BROKEN("\xf5\x80\x80\x80", 1);
}

/* Every character's beginnings are one broken character each, whatever follows. */
static void beginnings_are_one_each(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc2\x80",         "\xdf\xbf",         "\xe0\xa0\x80",
                                             "\xed\x9f\xbf",     "\xee\x80\x80",     "\xef\xbf\xbf",
                                             "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf3\xbf\xbf\xbf"};
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++)
        for (size_t length = 1; length < strlen(characters[i]); length++) {
            char text[8] = "";
            memcpy(text, characters[i], length);
            text[length] = 'x';
            assert_true(or_utf8_begins(text, length));
            assert_false(or_utf8_begins(text, length + 1));
            assert_int_equal(or_utf8_broken(text, length), length);
            assert_int_equal(or_utf8_broken(text, length + 1), length);
        }
}

/* What is complete, or can be completed by nothing, begins no character. */
static void other_bytes_begin_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"a",        "\x80",         "\xc0",     "\xc1",
                                        "\xf5",     "\xff",         "\xc2\x80", "\xe0\x80",
                                        "\xed\xa0", "\xe2\x82\xac", "\xf0\x80", "\xf4\x90"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_false(or_utf8_begins(texts[i], strlen(texts[i])));
}

static void strict_utf8(void **state)
{
    (void)state;
    size_t bad = 99;
    assert_true(or_utf8_valid("a\xc3\xa9\xf0\x9f\xa6\x99", 7, &bad));
    assert_int_equal(bad, 99);
    assert_false(or_utf8_valid("ab\xc0\xaf", 4, &bad));
    assert_int_equal(bad, 2);
    assert_false(or_utf8_valid("\xed\xa0\x80", 3, NULL));
    assert_int_equal(or_utf8_length("\xe2\x82\xac", 3), 3);
    assert_int_equal(or_utf8_length("\xe2\x82\xac", 2), 0);
    assert_int_equal(or_utf8_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_characters_are_maximal_subparts),
        cmocka_unit_test(beginnings_are_one_each),
        cmocka_unit_test(other_bytes_begin_none),
        cmocka_unit_test(strict_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
