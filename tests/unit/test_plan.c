/* test_plan.c - layer splits: even, by hand, from files, and what is refused. */
#include "support.h"

#include <offramp/plan.h>

static void even_splits_differ_by_one_layer_at_most(void **state)
{
    (void)state;
    for (int layers = 1; layers <= 80; layers += 7) {
        for (int ranks = 1; ranks <= layers; ranks++) {
            or_plan plan;
            assert_ok(or_plan_even(layers, ranks, &plan));
            assert_int_equal(plan.n_stages, ranks);
            assert_int_equal(plan.bound[0], 0);
            assert_int_equal(plan.bound[ranks], layers);
            const int first = plan.bound[1], last = layers - plan.bound[ranks - 1];
            assert_true(last >= 1 && first - last <= 1 && first >= last);
        }
    }
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
    const char *path = path_in(scratch_folder(), "plan.json");
    assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, "plan.json");
    put_text(path, "{\"layers\": [8, \"8\"]}");
    assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, "whole numbers");
    put_text(path, "{\"layers\": [8.5, 7.5]}");
    assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, "whole numbers");
    put_text(path, "{\"layers\": [8, 7]}");
    assert_fails(or_plan_parse(path, 16, 2, &plan), OR_ERR_INPUT, "add up to 15");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(even_splits_differ_by_one_layer_at_most),
        cmocka_unit_test(lists_and_files_are_read),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
