/* test_clock.c - the rule of naps: few looks, and a wait that ends late by little. */
#include "support.h"

#include "clock.h"

/* Seconds of the first nap behind two waits of so many seconds. */
static double first_nap(double last, double before)
{
    or_wait wait = {.last = {last, before}};
    return or_wait_seconds(&wait, 7);
}

static void the_first_nap_is_a_quarter_of_the_shorter_wait(void **state)
{
    (void)state;
    assert_near(first_nap(0, 0), OR_CLOCK_NAP, 0);
    assert_near(first_nap(3e-3, 0), OR_CLOCK_NAP, 0); /* one wait says nothing yet */
    assert_near(first_nap(3e-3, 1e-3), 0.25e-3, 1e-12);
    assert_near(first_nap(1, 2), OR_CLOCK_NAP_MOST, 0);
}

/* Looks until a wait of so many seconds is over, and when it is seen, behind two that took `last`. */
static int looks(double seconds, double last, double *seen)
{
    or_wait wait = {.last = {last, last}};
    int n = 0;
    for (*seen = 0; *seen < seconds; n++) *seen += or_wait_seconds(&wait, *seen);
    or_wait_over(&wait, *seen);
    assert_near(wait.last[0], *seen, 0);
    return n;
}

static void waits_that_are_alike_take_few_looks(void **state)
{
    (void)state;
    for (double seconds = 1e-4; seconds < 1; seconds *= 1.7) {
        double seen;
        const int used = looks(seconds, seconds, &seen);
        if (seconds < 8e-3 && used > 14) fail_msg("%d looks for a wait of %g s", used, seconds);
        if (seen - seconds > seconds / 8 + OR_CLOCK_NAP || seen - seconds > OR_CLOCK_NAP_MOST)
            fail_msg("a wait of %g s ends after %g s", seconds, seen);
        looks(seconds, 0, &seen);
        if (seen - seconds > seconds / 8 + OR_CLOCK_NAP || seen - seconds > OR_CLOCK_NAP_MOST)
            fail_msg("a first wait of %g s ends after %g s", seconds, seen);
    }
}

static void a_wait_is_remembered(void **state)
{
    (void)state;
    or_wait wait = {0};
    or_wait_end(&wait); /* there is none */
    assert_near(wait.last[0], 0, 0);
    const double begin = or_clock_now();
    for (int i = 0; i < 5; i++) or_wait_nap(&wait);
    or_wait_end(&wait);
    const double all = or_clock_now() - begin;
    if (!(wait.last[0] > 0 && wait.last[0] <= all)) fail_msg("%g s of %g s", wait.last[0], all);
    const double before = wait.last[0];
    or_wait_nap(&wait);
    or_wait_end(&wait);
    assert_near(wait.last[1], before, 0);
    assert_false(wait.waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_nap_is_a_quarter_of_the_shorter_wait),
        cmocka_unit_test(waits_that_are_alike_take_few_looks),
        cmocka_unit_test(a_wait_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
