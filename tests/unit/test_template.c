/* test_template.c - {name} templates. */
#include "support.h"

#include "template.h"

static or_field fields[] = {{"text", "a {label} film"}, {"label", "good"}, {"two words", "x"}, {"none", ""}};
static const or_row row = {.fields = fields, .count = sizeof fields / sizeof *fields};
static const or_field aliases[] = {{"input", "text"}, {"output", "input"}};

static void assert_filled(const char *text, const or_field *instead, const char *expected)
{
    or_template made;
    or_buffer out = {0};
    assert_ok(or_template_parse(text, "prompt", "t.json", aliases, 1, &made));
    assert_ok(or_template_fill(&made, &row, instead, &out));
    assert_string_equal(out.data, expected);
    or_buffer_free(&out);
    or_template_free(&made);
    or_template_free(&made);
}

static void placeholders_are_filled(void **state)
{
    (void)state;
    assert_filled("Q: {text}\nA:", NULL, "Q: a {label} film\nA:"); /* a row's braces are no template */
    assert_filled("{input}|{label}{label}", NULL, "a {label} film|goodgood");
    assert_filled("{two words}{none}.", NULL, "x.");
    assert_filled("", NULL, "");
    assert_filled("\xc3\xa9 {label} \xe2\x96\x81", NULL, "\xc3\xa9 good \xe2\x96\x81");
}

static void doubled_braces_are_braces(void **state)
{
    (void)state;
    assert_filled("{{}}", NULL, "{}");
    assert_filled("{{label}}", NULL, "{label}");
    assert_filled("{{{label}}}", NULL, "{good}");
    assert_filled("{{{{", NULL, "{{");
}

static void one_field_can_be_replaced(void **state)
{
    (void)state;
    const or_field instead = {"label", "bad"}, by_alias = {"text", "T"};
    assert_filled("{label} {text}", &instead, "bad a {label} film");
    assert_filled("{input}", &by_alias, "T");
}

static void aliases_are_followed_once(void **state)
{
    (void)state;
    or_template made;
    assert_ok(or_template_parse("{input} {output} {label}", "prompt", "t.json", aliases, 2, &made));
    assert_true(or_template_names(&made, "text"));
    assert_true(
        or_template_names(&made, "input")); /* {output} is the field "input", which is no alias again */
    assert_true(or_template_names(&made, "label"));
    assert_false(or_template_names(&made, "output"));
    assert_false(or_template_names(&made, " ")); /* literal text is no field */
    or_template_free(&made);
}

static void loose_braces_are_refused(void **state)
{
    (void)state;
    static const char *const open[] = {"{", "a {label", "{}", "{la{bel}", "{{{", "{label}{"};
    static const char *const close[] = {"}", "a } b", "{label}}", "}}}"};
    or_template made;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        assert_fails(or_template_parse(open[i], "prompt", "t.json", aliases, 1, &made), OR_ERR_INPUT,
                     "task refused (t.json): \"prompt\" has \"{\" without");
        assert_int_equal(made.count, 0);
    }
    for (size_t i = 0; i < sizeof close / sizeof *close; i++) {
        assert_fails(or_template_parse(close[i], "answer", "t.json", aliases, 1, &made), OR_ERR_INPUT,
                     "\"answer\" has \"}\" without");
        assert_int_equal(made.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(placeholders_are_filled),   cmocka_unit_test(doubled_braces_are_braces),
        cmocka_unit_test(one_field_can_be_replaced), cmocka_unit_test(aliases_are_followed_once),
        cmocka_unit_test(loose_braces_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
