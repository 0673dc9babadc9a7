/* test_answer_text.c - normalisation and scores of generated answers, by the rules of SQuAD's
 * evaluate-v1.1.py.
 *
 * Expected texts were worked out by hand from the script's four steps; where characters beyond ASCII matter,
 * from what Python's lower(), split() and \b do with them.
 */
#include "support.h"

#include "answer_text.h"

static void assert_normal(const char *text, const char *expected)
{
    or_buffer normal = {0};
    assert_ok(or_answer_normalise(text, &normal));
    assert_string_equal(normal.data, expected);
    assert_int_equal(normal.size, strlen(expected));
    or_buffer_free(&normal);
}

static void ascii_is_normalised(void **state)
{
    (void)state;
    assert_normal("", "");
    assert_normal(" \t\n", "");
    assert_normal("The Denver Broncos!", "denver broncos");
    assert_normal("the U.S.A., a\tland", "usa land"); /* punctuation goes before words are looked at */
    assert_normal("A-an The", "aan");                 /* "A-an" is one word without its dash */
    assert_normal("an another a1 1a thea _the_ A.", "another a1 1a thea"); /* _ is punctuation too */
    assert_normal("a", "");
    assert_normal("...", "");
    assert_normal("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~x", "x");
    assert_normal("  $1,500   (USD)\r\n", "1500 usd");
    assert_normal("x \x1c\x1d\x1e\x1f\v\f y", "x y");
}

static void other_scripts_are_normalised(void **state)
{
    (void)state;
    assert_normal("\xc3\x89"
                  "COLE \xc5\xbd\xc4\x84",
                  "\xc3\xa9"
                  "cole \xc5\xbe\xc4\x85");                                                  /* ÉCOLE ŽĄ */
    assert_normal("\xce\x91\xce\x94 \xd0\x94\xd0\x96", "\xce\xb1\xce\xb4 \xd0\xb4\xd0\xb6"); /* ΑΔ ДЖ */
    assert_normal("\xc7\x85 \xf0\x90\x90\x80", "\xc7\x86 \xf0\x90\x90\xa8"); /* title case; beyond 16 bits */
    assert_normal("\xc8\xba\xc8\xba\xc8\xba", "\xe2\xb1\xa5\xe2\xb1\xa5\xe2\xb1\xa5"); /* Ⱥ grows */
    assert_normal("\xc3\x9f", "\xc3\x9f");                                             /* ß is lower case */
    assert_normal("\xe2\x80\x9cHi\xe2\x80\x9d", "\xe2\x80\x9chi\xe2\x80\x9d");   /* “ ” are no ASCII */
    assert_normal("x\xc2\xa0\xe3\x80\x80y\xc2\x85\xe2\x80\xa8z", "x y z");       /* white space */
    assert_normal("x\xe1\xa0\x8ey\xe2\x80\x8bz", "x\xe1\xa0\x8ey\xe2\x80\x8bz"); /* U+180E, U+200B are none */
    assert_normal("\xc3\xa9"
                  "a a\xc3\xa9 a",
                  "\xc3\xa9"
                  "a a\xc3\xa9");               /* é is a letter */
    assert_normal("a\xcc\x81 x", "\xcc\x81 x"); /* a mark is none */
    assert_normal("\xd9\xa3"
                  "a a\xc2\xb2 a\xe2\x80\x94the",
                  "\xd9\xa3"
                  "a a\xc2\xb2 \xe2\x80\x94"); /* digits; a dash */
}

static void f1_counts_words(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reference;
        double f1;
    } cases[] = {
        {"", "", 0}, /* no common word: the script says 0 */
        {"x", "", 0},
        {"", "x", 0},
        {"x", "y", 0},
        {"x y", "y x", 1},            /* order is nothing to it */
        {"x y z", "x y", 0.8},        /* 2/3 and 2/2 */
        {"x x x", "x", 0.5},          /* 1/3 and 1/1 */
        {"x x y", "x x x y z", 0.75}, /* 3/3 and 3/5 */
        {"denver broncos", "broncos", 2.0 / 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double f1 = -1;
        assert_ok(or_answer_f1(cases[i].text, cases[i].reference, &f1));
        assert_near(f1, cases[i].f1, 1e-15);
    }
}

static void assert_score(const char *text, const char *const *references, size_t n, bool exact, double f1)
{
    or_answer_score score;
    assert_ok(or_answer_score_text(text, references, n, &score));
    assert_int_equal(score.exact, exact);
    assert_near(score.f1, f1, 1e-15);
}

static void the_best_reference_counts(void **state)
{
    (void)state;
    static const char *const places[] = {"Santa Clara, California", "Levi's Stadium",
                                         "Levi's Stadium in the San Francisco Bay Area at Santa Clara"};
    assert_score(" levis stadium.", places, 3, true, 1);
    assert_score("Santa Clara", places, 3, false, 0.8);          /* 2/2 and 2/3 of the first */
    assert_score("the Stadium at Clara", places, 2, false, 0.4); /* of the second 1/3 and 1/2 */
    assert_score("Denver", places, 3, false, 0);
    assert_score("The.", (const char *const[]){"a"}, 1, true,
                 0); /* both empty: equal, without a common word */
    assert_score("x", NULL, 0, false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascii_is_normalised),
        cmocka_unit_test(other_scripts_are_normalised),
        cmocka_unit_test(f1_counts_words),
        cmocka_unit_test(the_best_reference_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
