/* test_crf_chain.c - the sums of a linear-chain CRF against all label sequences, one by one. */
#include "support.h"

#include "crf_chain.h"

#include <math.h>

enum { MOST = 10 };

static double uniform(uint64_t *seed, double low, double high)
{
    return low + (high - low) * (random_bits(seed) / 4294967296.0);
}

static bool label_of(unsigned labels, size_t r)
{
    return labels >> r & 1;
}

/* Log weight of the labels (bit r: of ramp r) of the first n ramps, as the header says it. */
static double log_weight(const or_crf_factor *factors, unsigned labels, size_t n)
{
    double sum = 0;
    for (size_t r = 0; r < n; r++)
        sum += factors[r].at[r > 0 ? label_of(labels, r - 1) : 0][label_of(labels, r)];
    return sum;
}

/* All 2^n sequences: Z, how likely each pair of neighbours is, and that the last ramp's label is 1. */
static double brute_force(const or_crf_factor *factors, size_t n, or_crf_factor *pairs, double *last)
{
    double z = 0;
    *last = 0;
    for (size_t r = 0; r < n; r++) pairs[r] = (or_crf_factor){{{0}}};
    for (unsigned labels = 0; labels < 1u << n; labels++) {
        const double weight = exp(log_weight(factors, labels, n));
        z += weight;
        *last += label_of(labels, n - 1) * weight;
        for (size_t r = 0; r < n; r++)
            pairs[r].at[r > 0 ? label_of(labels, r - 1) : 0][label_of(labels, r)] += weight;
    }
    for (size_t r = 0; r < n; r++)
        for (int pair = 0; pair < 4; pair++) pairs[r].at[pair / 2][pair % 2] /= z;
    *last /= z;
    return z;
}

static void make_factors(uint64_t *seed, double width, or_crf_factor *factors)
{
    for (size_t r = 0; r < MOST; r++)
        for (int pair = 0; pair < 4; pair++) factors[r].at[pair / 2][pair % 2] = uniform(seed, -width, width);
}

static void test_likelihood_and_marginals(void **state)
{
    (void)state;
    static const double widths[] = {0, 0.5, 3, 12}; /* from all alike to nearly certain */
    uint64_t seed = 4;
    for (int round = 0; round < 80; round++)
        for (size_t n = 1; n <= MOST; n++) {
            or_crf_factor factors[MOST], expected[MOST], pairs[MOST];
            double forward[MOST + 1][2], last;
            bool labels[MOST];
            make_factors(&seed, widths[round % 4], factors);
            const double z = brute_force(factors, n, expected, &last);
            const unsigned drawn = random_bits(&seed) & ((1u << n) - 1);
            for (size_t r = 0; r < n; r++) labels[r] = label_of(drawn, r);
            assert_near(or_crf_chain(factors, labels, n, forward, pairs),
                        log_weight(factors, drawn, n) - log(z), 1e-11);
            for (size_t r = 0; r < n; r++)
                for (int pair = 0; pair < 4; pair++)
                    assert_near(pairs[r].at[pair / 2][pair % 2], expected[r].at[pair / 2][pair % 2], 1e-12);
            assert_near(exp(forward[n][1]) / (exp(forward[n][0]) + exp(forward[n][1])), last, 1e-12);
        }
}

/* Step by step as a request does it: at each ramp the marginal of the chain that ends there. */
static void test_filtered_marginals(void **state)
{
    (void)state;
    uint64_t seed = 5;
    for (int round = 0; round < 200; round++) {
        or_crf_factor factors[MOST], pairs[MOST];
        double log_odds = -INFINITY, last;
        make_factors(&seed, round % 2 ? 1 : 6, factors);
        for (size_t n = 1; n <= MOST; n++) {
            log_odds = or_crf_filter(log_odds, &factors[n - 1]);
            brute_force(factors, n, pairs, &last);
            assert_near(1 / (1 + exp(-log_odds)), last, 1e-12);
        }
    }
}

/* Weights whose powers a double does not hold: the label that is all but certain, and the chain behind it. */
static void test_nothing_overflows(void **state)
{
    (void)state;
    or_crf_factor factors[MOST], pairs[MOST];
    double forward[MOST + 1][2], log_odds = -INFINITY;
    bool labels[MOST];
    for (size_t r = 0; r < MOST; r++) {
        factors[r] = (or_crf_factor){{{-2000, 1000}, {-3000, 4000}}};
        labels[r] = true;
    }
    assert_near(or_crf_chain(factors, labels, MOST, forward, pairs), 0, 1e-9);
    assert_near(pairs[0].at[0][1], 1, 1e-12);
    assert_near(pairs[MOST - 1].at[1][1], 1, 1e-12);
    labels[MOST - 1] = false;
    assert_near(or_crf_chain(factors, labels, MOST, forward, pairs), -7000, 1e-9);
    for (size_t r = 0; r < MOST; r++) log_odds = or_crf_filter(log_odds, &factors[r]);
    assert_near(log_odds, 7000, 1e-9);
}

static void test_factor_is_linear(void **state)
{
    (void)state;
    const double weights[6] = {1, 2, 3, 4, 5, 6},
                 z[2] = {1, 10}; /* 1 + 20 for the label stop, then the steps */
    const or_crf_factor factor = or_crf_factor_of(weights, z, 2);
    assert_true(factor.at[0][0] == 3 && factor.at[0][1] == 25);
    assert_true(factor.at[1][0] == 5 && factor.at[1][1] == 27);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_likelihood_and_marginals),
        cmocka_unit_test(test_filtered_marginals),
        cmocka_unit_test(test_nothing_overflows),
        cmocka_unit_test(test_factor_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
