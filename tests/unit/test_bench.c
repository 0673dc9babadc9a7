/* test_bench.c - what bench makes of what it measured. */
#include "support.h"

#include "bench.h"

#include <math.h>

static void figures_are_those_of_a_sample(void **state)
{
    (void)state;
    or_bench_figure figure;
    assert_ok(or_bench_figure_of((double[]){4, 1, 10}, 3, &figure));
    assert_true(figure.mean == 5 && figure.median == 4);
    assert_near(figure.deviation, sqrt(21), 1e-12);
    assert_ok(or_bench_figure_of((double[]){4, 1, 10, 5}, 4, &figure));
    assert_true(figure.median == 4.5);
    assert_ok(or_bench_figure_of((double[]){4}, 1, &figure));
    assert_true(figure.mean == 4 && figure.deviation == 0 && figure.median == 4);
}

static void tests_are_called_as_llama_bench_calls_them(void **state)
{
    (void)state;
    char name[OR_BENCH_NAME];
    assert_string_equal(or_bench_name(&(or_bench_test){.prompt = 512, .batch = 1}, name), "pp512");
    assert_string_equal(or_bench_name(&(or_bench_test){.tokens = 32, .batch = 8}, name), "tg32 b8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_a_sample),
        cmocka_unit_test(tests_are_called_as_llama_bench_calls_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
