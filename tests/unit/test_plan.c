/* test_plan.c - layer splits: even, by hand, from files, and what is refused. */
#include "support.h"

#include <offramp/plan.h>

static void even_splits_differ_by_one_layer_at_most(void **state)
{
    (void)state;
    for (int layers = 1; layers <= 80; layers++) {
        for (int ranks = 1; ranks <= layers; ranks++) {
            or_plan plan;
            assert_ok(or_plan_even(layers, ranks, &plan));
            assert_int_equal(plan.n_stages, ranks);
            assert_int_equal(plan.bound[0], 0);
            assert_int_equal(plan.bound[ranks], layers);
            for (int s = 0; s < ranks; s++) { /* the first ones get those left over */
                const int held = plan.bound[s + 1] - plan.bound[s];
                assert_int_equal(held, layers / ranks + (s < layers % ranks));
            }
        }
    }
    or_plan plan;
    assert_ok(or_plan_even(2 * OR_PLAN_STAGES, OR_PLAN_STAGES, &plan));
    assert_int_equal(plan.bound[OR_PLAN_STAGES], 2 * OR_PLAN_STAGES);
    assert_fails(or_plan_even(2 * OR_PLAN_STAGES, OR_PLAN_STAGES + 1, &plan), OR_ERR_USAGE, "1025 ranks");
}

static void lists_and_files_are_read(void **state)
{
    (void)state;
    or_plan plan;
    assert_ok(or_plan_parse("10,20,50", 80, 3, &plan));
    assert_int_equal(plan.bound[1], 10);
    assert_int_equal(plan.bound[2], 30);
    assert_int_equal(plan.bound[3], 80);
    const char *path = path_in(scratch_folder(), "plan.json");
    put_text(path, "{\"layers\": [3, 1, 12]}");
    assert_ok(or_plan_parse(path, 16, 3, &plan));
    assert_int_equal(plan.bound[2], 4);
    assert_ok(or_plan_parse("even", 16, 5, &plan));
    assert_int_equal(plan.bound[1], 4);
    assert_ok(or_plan_parse("16", 16, 1, &plan));
    assert_int_equal(plan.n_stages, 1);
    assert_int_equal(plan.bound[1], 16);
    assert_ok(or_plan_parse("1,1", 2, 2, &plan)); /* nothing is left of the plan before */
    assert_int_equal(plan.n_stages, 2);
    assert_int_equal(plan.bound[2], 2);
    put_text(path, "{\"comment\": \"ours\", \"layers\": [16.0]}");
    assert_ok(or_plan_parse(path, 16, 1, &plan));
    assert_int_equal(plan.bound[1], 16);
}

static void others_are_refused(void **state)
{
    (void)state;
    or_plan plan;
    assert_fails(or_plan_parse("even", 4, 5, &plan), OR_ERR_USAGE, "more ranks than layers");
    assert_fails(or_plan_parse("4", 4, 5, &plan), OR_ERR_USAGE, "more ranks than layers");
    assert_fails(or_plan_parse("8,9", 16, 2, &plan), OR_ERR_USAGE, "add up to 17");
    assert_fails(or_plan_parse("8,8", 16, 3, &plan), OR_ERR_USAGE, "for 2 ranks");
    assert_fails(or_plan_parse("0,16", 16, 2, &plan), OR_ERR_USAGE, "has 0 layers");
    assert_fails(or_plan_parse("99999999999999999999,1", 16, 2, &plan), OR_ERR_USAGE, "wrong plan");
    assert_fails(or_plan_parse("", 16, 1, &plan), OR_ERR_USAGE, "expected even");
    assert_fails(or_plan_parse("8;8", 16, 2, &plan), OR_ERR_USAGE, "expected even");
    assert_fails(or_plan_parse("8,", 16, 2, &plan), OR_ERR_USAGE, "expected even");
    assert_fails(or_plan_parse("even", 4, 0, &plan), OR_ERR_USAGE, "0 ranks");
    assert_fails(or_plan_parse("even", 4, -1, &plan), OR_ERR_USAGE, "-1 ranks");
    assert_fails(or_plan_parse("-1,17", 16, 2, &plan), OR_ERR_USAGE, "stage 1 has -1 layers");
    assert_fails(or_plan_parse("15,17", 16, 2, &plan), OR_ERR_USAGE, "stage 2 has 17 layers, expected 1..16");
    assert_fails(or_plan_parse("8,7", 16, 2, &plan), OR_ERR_USAGE, "add up to 15, the model has 16");
    assert_fails(or_plan_parse("16", 16, 2, &plan), OR_ERR_USAGE, "for 1 ranks, started with 2");
    static const char *const broken[] = {"EVEN", "even,", ",8", "8,,8", "8,8x", "8.0,8", "eight,8", "8 8"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        assert_fails(or_plan_parse(broken[i], 16, 2, &plan), OR_ERR_USAGE, "expected even");
}

/* A list of more stages than a plan has room for stops at the last one. */
static void endless_lists_are_refused(void **state)
{
    (void)state;
    enum { ITEMS = OR_PLAN_STAGES + 10 };
    static char list[2 * ITEMS], file[2 * ITEMS + 32];
    for (size_t i = 0; i + 1 < sizeof list; i++) list[i] = i % 2 ? ',' : '1';
    or_plan plan;
    assert_fails(or_plan_parse(list, OR_PLAN_STAGES, OR_PLAN_STAGES, &plan), OR_ERR_USAGE, "wrong plan");
    const char *path = path_in(scratch_folder(), "plan.json");
    snprintf(file, sizeof file, "{\"layers\": [%s]}", list);
    put_text(path, file);
    assert_fails(or_plan_parse(path, OR_PLAN_STAGES, OR_PLAN_STAGES, &plan), OR_ERR_INPUT, "wrong plan");
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {{"{\"layers\": [8, \"8\"]}", "whole numbers"},
                 {"{\"layers\": [8.5, 7.5]}", "whole numbers"},
                 {"{\"layers\": [8, 1e300]}", "whole numbers"},
                 {"{\"layers\": [8, null]}", "whole numbers"},
                 {"{\"layers\": [[8], 8]}", "whole numbers"},
                 {"{\"layers\": [8, 7]}", "add up to 15"},
                 {"{\"layers\": [8, -8]}", "stage 2 has -8 layers"},
                 {"{\"layers\": [0, 16]}", "stage 1 has 0 layers"},
                 {"{\"layers\": [16, 16]}", "add up to 32"},
                 {"{\"layers\": [4, 4, 8]}", "for 3 ranks, started with 2"},
                 {"{\"layers\": []}", "for 0 ranks"},
                 {"{\"layers\": \"8,8\"}", "expected an array"},
                 {"{\"stages\": [8, 8]}", "\"layers\" is nothing"},
                 {"[8, 8]", "expected {...}"},
                 {"{\"layers\": [8, 8]", "not JSON"},
                 {"", "not JSON"}};
    or_plan plan;
    const char *path = path_in(scratch_folder(), "plan.json");
    assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, "plan.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(path, cases[i].text);
        assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, cases[i].part);
        assert_non_null(strstr(or_status_message(), "plan.json"));
    }
}

/* As many stages as there can be, too. */
static void a_plan_is_written_as_it_is_read(void **state)
{
    (void)state;
    or_plan plan, again;
    char *text;
    assert_ok(or_plan_parse("10,20,25,25", 80, 4, &plan));
    assert_ok(or_plan_format(&plan, &text));
    assert_string_equal(text, "10,20,25,25");
    free(text);
    assert_ok(or_plan_even(5000, OR_PLAN_STAGES, &plan));
    assert_ok(or_plan_format(&plan, &text));
    assert_ok(or_plan_parse(text, 5000, OR_PLAN_STAGES, &again));
    for (int s = 0; s <= OR_PLAN_STAGES; s++) assert_int_equal(again.bound[s], plan.bound[s]);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_splits_differ_by_one_layer_at_most),
        cmocka_unit_test(lists_and_files_are_read),
        cmocka_unit_test(a_plan_is_written_as_it_is_read),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(endless_lists_are_refused),
        cmocka_unit_test(other_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
