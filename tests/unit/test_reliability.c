/* test_reliability.c - the table of how far tokens can be trusted: its values, and what a file may hold. */
#include "reliability.h"

#include "support.h"

#include <math.h>

/* Token 7 is right in 9 of 10 rows, token 3 in 1 of 5, tokens 1 and 9 are seen too seldom: 3 and 2 rows. */
static or_status make(or_reliability *table)
{
    or_shown rows[20];
    size_t n = 0;
    for (int i = 0; i < 10; i++) rows[n++] = (or_shown){7, i != 4};
    for (int i = 0; i < 5; i++) rows[n++] = (or_shown){3, i == 2};
    for (int i = 0; i < 3; i++) rows[n++] = (or_shown){1, true};
    for (int i = 0; i < 2; i++) rows[n++] = (or_shown){9, false};
    return or_reliability_make(rows, n, table);
}

static void test_values(void **state)
{
    (void)state;
    or_reliability table;
    assert_int_equal(make(&table), OR_OK);
    const double share = (9 + 1 + 3 + 0.5) / 21, seven = (9 + 4 * share) / 14, three = (1 + 4 * share) / 9;
    assert_int_equal(table.count, 2);
    assert_true(fabs(or_reliability_of(&table, 7) - log(seven / (1 - seven))) < 1e-12);
    assert_true(fabs(or_reliability_of(&table, 3) - log(three / (1 - three))) < 1e-12);
    const int32_t others[] = {0, 1, 5, 8, 9, INT32_MAX};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_true(or_reliability_of(&table, others[i]) == table.others);
    assert_true(fabs(table.others - log(share / (1 - share))) < 1e-12);
    or_reliability_free(&table);
}

static void test_one_kind_of_row_is_finite(void **state)
{
    (void)state;
    for (int right = 0; right < 2; right++) {
        or_shown rows[6];
        or_reliability table;
        for (int i = 0; i < 6; i++) rows[i] = (or_shown){2, right};
        assert_int_equal(or_reliability_make(rows, 6, &table), OR_OK);
        assert_true(isfinite(table.others) && isfinite(or_reliability_of(&table, 2)));
        assert_true((table.others > 0) == right && (or_reliability_of(&table, 2) > 0) == right);
        or_reliability_free(&table);
    }
}

static or_status read_text(const char *text, or_reliability *table)
{
    cJSON *json;
    OR_TRY(or_json_parse(text, strlen(text), "p.json", &json));
    or_status status = or_reliability_read(json, "p.json", table);
    cJSON_Delete(json);
    return status;
}

static void test_file(void **state)
{
    (void)state;
    or_reliability table, back = {0};
    or_buffer json = {0};
    assert_int_equal(make(&table), OR_OK);
    assert_int_equal(or_buffer_puts(&json, "{\"a\": 1"), OR_OK);
    assert_int_equal(or_reliability_put(&table, &json), OR_OK);
    assert_int_equal(or_buffer_puts(&json, "}"), OR_OK);
    assert_int_equal(read_text(json.data, &back), OR_OK);
    assert_int_equal(back.count, table.count);
    for (int32_t token = 0; token < 12; token++)
        assert_true(or_reliability_of(&back, token) == or_reliability_of(&table, token));
    or_reliability_free(&back);
    or_reliability_free(&table);
    or_buffer_free(&json);
}

static void test_damaged_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"reliability\": []}",
        "{\"reliability\": {\"tokens\": [], \"values\": []}}",
        "{\"reliability\": {\"others\": \"x\", \"tokens\": [], \"values\": []}}",
        "{\"reliability\": {\"others\": 0, \"values\": []}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [3, 3], \"values\": [1, 1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [3, 2], \"values\": [1, 1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [-1], \"values\": [1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [1.5], \"values\": [1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [3000000000], \"values\": [1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [\"a\"], \"values\": [1]}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [3], \"values\": []}}",
        "{\"reliability\": {\"others\": 0, \"tokens\": [3], \"values\": [null]}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        or_reliability table = {0};
        if (read_text(bad[i], &table) != OR_ERR_INPUT) fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(or_status_message(), "p.json"));
        assert_null(table.tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_one_kind_of_row_is_finite),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_damaged_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
