/* test_guarantee.c - calibration with a promise: the exact tests, the threshold, and how often the promise is
 * broken.
 */
#include "support.h"

#include "train_internal.h"

#include <math.h>

static double uniform(uint64_t *seed)
{
    return random_bits(seed) / 4294967296.0;
}

/* P(Bin(n, risk) <= k), term by term. */
static double binomial_tail(int n, int k, double risk)
{
    double sum = 0;
    for (int i = 0; i <= k; i++)
        sum +=
            exp(lgamma(n + 1) - lgamma(i + 1) - lgamma(n - i + 1) + i * log(risk) + (n - i) * log1p(-risk));
    return sum;
}

static void test_errors_of_a_promise(void **state)
{
    (void)state;
    static const double targets[] = {0.5, 0.8, 0.9, 0.95, 0.99}, guarantees[] = {0.5, 0.8, 0.95, 0.999};
    for (int t = 0; t < 5; t++)
        for (int g = 0; g < 4; g++)
            for (int n = 1; n < 1200; n += 1 + n / 7) {
                const double risk = 1 - targets[t], delta = 1 - guarantees[g];
                const long errors = or_guarantee_errors(targets[t], guarantees[g], (size_t)n);
                assert_true(errors >= -1 && errors < n);
                if (errors >= 0) assert_true(binomial_tail(n, (int)errors, risk) <= delta * (1 + 1e-9));
                assert_true(binomial_tail(n, (int)errors + 1, risk) > delta * (1 - 1e-9));
            }
    assert_int_equal(or_guarantee_errors(0.99, 0.95, 298), -1);
    assert_int_equal(or_guarantee_errors(0.99, 0.95, 299), 0);
    assert_int_equal(or_guarantee_errors(0.5, 0.75, 2), 0); /* 0.5^2 is just small enough */
    assert_int_equal(or_guarantee_errors(0.5, 0.75, 0), -1);
    const double many =
        (double)or_guarantee_errors(0.99, 0.95, 1000000); /* 1e4 less 1.645 deviations of 99.5 */
    assert_near(many, 9836, 3);
}

static void test_fewest_instances(void **state)
{
    (void)state;
    assert_int_equal(or_guarantee_needed(0.99, 0.95), 299);
    assert_int_equal(or_guarantee_needed(0.9, 0.9), 22);
    assert_int_equal(or_guarantee_needed(0.5, 0.75), 2);
    assert_int_equal(or_guarantee_needed(0.1, 0.1), 1);
    assert_int_equal(or_guarantee_needed(0.999, 0.999), 6905);
}

static void test_bound(void **state)
{
    (void)state;
    assert_near(or_guarantee_bound(0.95, 0, 299), pow(0.05, 1.0 / 299), 1e-12);
    assert_near(or_guarantee_bound(0.95, 10, 10), 0, 0);
    for (int n = 20; n < 2000; n *= 3)
        for (int k = 0; k < n / 2; k += 1 + k) {
            const double bound = or_guarantee_bound(0.9, (size_t)k, (size_t)n);
            assert_true(bound < 1 - (double)k / n);
            assert_near(binomial_tail(n, k, 1 - bound), 0.1, 1e-8);
        }
    /* what the errors allowed show is the target or more, what one more shows is less */
    const size_t allowed = (size_t)or_guarantee_errors(0.95, 0.95, 800);
    assert_true(or_guarantee_bound(0.95, allowed, 800) >= 0.95);
    assert_true(or_guarantee_bound(0.95, allowed + 1, 800) < 0.95);
}

static or_levels levels_of(int count, const double *at)
{
    or_levels levels = {.count = count + 1, .at = {INFINITY}};
    for (int i = 0; i < count; i++) levels.at[i + 1] = at[i];
    return levels;
}

/* Two ramps of four instances. Under 0.85 instance 2 leaves wrongly, under 0.5 it is right again but 3 is
 * not. */
static void test_the_first_that_fails_ends_it(void **state)
{
    (void)state;
    double score[8] = {0.9, 0, 0.8, 0, 0.5, 0.85, 0.1, 0.5};
    bool right[8] = {true, true, true, true, true, false, true, false};
    const or_scores scores = {4, 2, score, right};
    const or_levels levels = levels_of(5, (double[]){0.95, 0.9, 0.7, 0.5, 0.05});
    const struct {
        long allowed;
        double threshold;
        size_t errors;
    } cases[] = {{-1, INFINITY, 0}, {0, 0.9, 0}, {1, 0.05, 0}, {2, 0.05, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double threshold;
        size_t errors;
        assert_ok(or_guarantee_keep(&scores, &levels, cases[i].allowed, &threshold, &errors));
        assert_true(threshold == cases[i].threshold);
        assert_int_equal(errors, cases[i].errors);
    }
    const or_levels higher = levels_of(2, (double[]){0.85, 0.6}); /* with one error allowed it is counted */
    double threshold;
    size_t errors;
    assert_ok(or_guarantee_keep(&scores, &higher, 1, &threshold, &errors));
    assert_true(threshold == 0.6);
    assert_int_equal(errors, 1);
}

/* ---- the promise ---- */

enum { DRAWS = 500, COUNT = 400, RAMPS = 2 };

/* Scores are uniform in 0..1 and independent. The token at the first ramp is wrong with probability 0.4 (1 -
 * score), at the second with 0.2 (1 - score). */
static const double wrong_at[RAMPS] = {0.4, 0.2};

static or_scores draw_scores(uint64_t *seed, size_t count)
{
    or_scores scores = {.count = count, .n_ramps = RAMPS};
    assert_ok(OR_NEW(scores.score, count * RAMPS));
    assert_ok(OR_NEW(scores.right, count * RAMPS));
    for (size_t k = 0; k < count * RAMPS; k++) {
        scores.score[k] = uniform(seed);
        scores.right[k] = uniform(seed) >= wrong_at[k % RAMPS] * (1 - scores.score[k]);
    }
    return scores;
}

/* The probability that a request leaves with a wrong token: at the first ramp, integral of wrong_at (1 - s)
 * from t to 1; at the second when the first has not fired, which has probability t. */
static double true_risk(double t)
{
    if (isinf(t)) return 0;
    return (wrong_at[0] + t * wrong_at[1]) * (1 - t) * (1 - t) / 2;
}

/* In how many draws the threshold leaves more wrong than the target allows; *never: in how many nobody
 * leaves. */
static int broken_promises(double target, double guarantee, bool test, int *never)
{
    uint64_t seed = 2024;
    or_scores fit = draw_scores(&seed, COUNT);
    or_levels levels;
    int broken = 0;
    *never = 0;
    assert_ok(or_levels_make(&fit, &levels));
    or_scores_free(&fit);
    for (int draw = 0; draw < DRAWS; draw++) {
        or_scores scores = draw_scores(&seed, COUNT);
        double threshold;
        size_t errors;
        if (test)
            assert_ok(or_guarantee_keep(&scores, &levels, or_guarantee_errors(target, guarantee, COUNT),
                                        &threshold, &errors));
        else
            assert_ok(or_calibrate(&scores, or_errors_allowed(target, COUNT), &threshold));
        broken += true_risk(threshold) > 1 - target;
        *never += isinf(threshold);
        or_scores_free(&scores);
    }
    return broken;
}

/* Must hold: the promise is broken in at most 1 - guarantee of the draws. Without it, the threshold is right
 * on average and so wrong about every second time: these draws would show a promise that is none. */
static void test_the_promise_is_kept(void **state)
{
    (void)state;
    static const double targets[] = {0.9, 0.95, 0.97};
    for (int i = 0; i < 3; i++) {
        int never;
        const int strict = broken_promises(targets[i], 0.95, true, &never);
        assert_true(strict <= DRAWS / 20);
        assert_true(never < DRAWS / 100); /* and it does let requests leave */
        const int lax = broken_promises(targets[i], 0.6, true, &never);
        assert_true(lax <= DRAWS * 4 / 10 && lax > strict);
        assert_true(broken_promises(targets[i], 0, false, &never) > DRAWS / 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_of_a_promise),
        cmocka_unit_test(test_fewest_instances),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_the_first_that_fails_ends_it),
        cmocka_unit_test(test_the_promise_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
