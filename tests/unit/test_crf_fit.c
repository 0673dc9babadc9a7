/* test_crf_fit.c - the loss of a CRF's weights, its gradient, and the weights that are found. */
#include "support.h"

#include "crf_fit.h"

#include <math.h>

enum { CHAINS = 400, LENGTH = 6, WIDTH = 3, WEIGHTS = WIDTH + OR_CRF_STEPS };

typedef struct sample {
    double z[CHAINS * LENGTH * WIDTH];
    bool labels[CHAINS * LENGTH];
    or_crf_data data;
} sample;

static double uniform(uint64_t *seed, double low, double high)
{
    return low + (high - low) * (random_bits(seed) / 4294967296.0);
}

/* Chains drawn from the CRF with these weights: each label given the one before and what is behind, by the
 * backward sums that or_crf_chain() makes pairs of. */
static void draw_chain(const double *weights, uint64_t *seed, const double *z, bool *labels)
{
    or_crf_factor factors[LENGTH], pairs[LENGTH];
    double forward[LENGTH + 1][2];
    const bool none[LENGTH] = {false};
    bool before = false;
    for (size_t r = 0; r < LENGTH; r++) factors[r] = or_crf_factor_of(weights, z + r * WIDTH, WIDTH);
    or_crf_chain(factors, none, LENGTH, forward, pairs);
    for (size_t r = 0; r < LENGTH; r++) {
        const double *pair = pairs[r].at[before];
        before = labels[r] = uniform(seed, 0, 1) < pair[1] / (pair[0] + pair[1]);
    }
}

static void make_sample(const double *weights, sample *made)
{
    uint64_t seed = 17;
    for (size_t i = 0; i < CHAINS; i++) {
        double *z = made->z + i * LENGTH * WIDTH;
        for (size_t k = 0; k < LENGTH * WIDTH; k++) z[k] = uniform(&seed, -2, 2);
        draw_chain(weights, &seed, z, made->labels + i * LENGTH);
    }
    made->data = (or_crf_data){made->z, made->labels, CHAINS, LENGTH, WIDTH};
}

/* Three features, then the steps: staying is likelier than changing. */
static const double truth[WEIGHTS] = {1.2, -0.7, 0, 0.8, -0.8, -0.8, 0.8};

static void test_gradient_is_that_of_the_loss(void **state)
{
    (void)state;
    static sample made;
    or_crf_room room;
    uint64_t seed = 3;
    make_sample(truth, &made);
    assert_ok(or_crf_room_make(LENGTH, &room));
    for (int round = 0; round < 6; round++) {
        const double l2 = round % 2 ? 0 : 40, step = 1e-5;
        double weights[WEIGHTS], gradient[WEIGHTS], other[WEIGHTS];
        for (int j = 0; j < WEIGHTS; j++) weights[j] = uniform(&seed, -1.5, 1.5);
        or_crf_loss(&made.data, l2, weights, &room, gradient);
        for (int j = 0; j < WEIGHTS; j++) {
            const double kept = weights[j];
            weights[j] = kept + step;
            const double above = or_crf_loss(&made.data, l2, weights, &room, other);
            weights[j] = kept - step;
            const double below = or_crf_loss(&made.data, l2, weights, &room, other);
            weights[j] = kept;
            assert_near(gradient[j], (above - below) / (2 * step), 1e-8);
        }
    }
    or_crf_room_free(&room);
}

/* At weights 0 all sequences are equally likely; with weights w the second part is l2 / 2 |w|^2 / N. */
static void test_loss(void **state)
{
    (void)state;
    static sample made;
    or_crf_room room;
    double weights[WEIGHTS] = {0}, gradient[WEIGHTS];
    make_sample(truth, &made);
    assert_ok(or_crf_room_make(LENGTH, &room));
    assert_near(or_crf_loss(&made.data, 7, weights, &room, gradient), LENGTH * log(2), 1e-12);
    for (int pair = 0; pair < OR_CRF_STEPS; pair++) weights[WIDTH + pair] = 3; /* all steps alike */
    assert_near(or_crf_loss(&made.data, 7, weights, &room, gradient), LENGTH * log(2) + 7.0 / 2 * 36 / CHAINS,
                1e-12);
    or_crf_room_free(&room);
}

static void test_fit(void **state)
{
    (void)state;
    static sample made;
    or_crf_room room;
    double weights[WEIGHTS], again[WEIGHTS], strict[WEIGHTS], gradient[WEIGHTS], squares = 0, norms[2] = {0};
    int steps = 0;
    make_sample(truth, &made);
    assert_ok(or_crf_fit(&made.data, 0.5, weights, &steps));
    assert_true(steps > 1);
    assert_ok(or_crf_room_make(LENGTH, &room));
    const double least = or_crf_loss(&made.data, 0.5, weights, &room, gradient);
    for (int j = 0; j < WEIGHTS; j++) squares += gradient[j] * gradient[j];
    assert_true(sqrt(squares) < 1e-4);
    assert_true(least <
                or_crf_loss(&made.data, 0.5, truth, &room, gradient)); /* it fits better than the truth */
    or_crf_room_free(&room);

    /* it is near the truth, which the chains were drawn from: what features weigh, and that labels stay */
    for (int j = 0; j < WIDTH; j++) assert_near(weights[j], truth[j], 0.2);
    const double *t = weights + WIDTH;
    assert_near(t[0] + t[3] - t[1] - t[2], 3.2, 0.5);
    assert_ok(or_crf_fit(&made.data, 0.5, again, NULL));
    assert_memory_equal(weights, again, sizeof weights);
    assert_ok(or_crf_fit(&made.data, 500, strict, NULL));
    for (int j = 0; j < WEIGHTS; j++) {
        norms[0] += weights[j] * weights[j];
        norms[1] += strict[j] * strict[j];
    }
    assert_true(norms[1] < norms[0] / 4 && norms[1] > 0);
}

/* Features that tell the labels without a mistake: only the regularisation keeps the weights finite. */
static void test_fit_of_what_is_certain(void **state)
{
    (void)state;
    static sample made;
    double weights[WEIGHTS];
    make_sample(truth, &made);
    for (size_t i = 0; i < CHAINS * LENGTH; i++) made.labels[i] = made.z[i * WIDTH + 1] > 0;
    assert_ok(or_crf_fit(&made.data, 1e-3, weights, NULL));
    for (size_t i = 0; i < CHAINS; i++) {
        double log_odds = -INFINITY;
        for (size_t r = 0; r < LENGTH; r++) {
            const size_t row = i * LENGTH + r;
            if (fabs(made.z[row * WIDTH + 1]) < 0.2) break; /* near the border it may be unsure */
            const or_crf_factor factor = or_crf_factor_of(weights, made.z + row * WIDTH, WIDTH);
            log_odds = or_crf_filter(log_odds, &factor);
            assert_int_equal(log_odds > 0, made.labels[row]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient_is_that_of_the_loss),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_of_what_is_certain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
