/* test_sample.c - drawn tokens: how often against exact probabilities, which ones never, and that a draw is a
 * function of its arguments. Seeds are fixed, so a test passes always or never. */
#include "support.h"

#include "compute.h"
#include "memory.h"
#include "sample.h"

#include <float.h>
#include <math.h>

enum { MOST = 32, DRAWS = 20000 };

/* ---- the definition, plainly --------------------------------------------------------------------------- */

static const float *compared; /* qsort() passes no context */

static int compare_ids(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;
    if (compared[x] != compared[y]) return compared[x] > compared[y] ? -1 : 1;
    return x - y;
}

/* Probabilities [n] of the tokens; temperature is not 0. */
static void exact_probabilities(const or_sampling *how, const float *logits, int n, double *p)
{
    int order[MOST], kept = how->top_k > 0 && how->top_k < n ? how->top_k : n, likely = 0;
    double total = 0, mass = 0;
    for (int i = 0; i < n; i++) order[i] = i;
    compared = logits;
    qsort(order, (size_t)n, sizeof *order, compare_ids);
    memset(p, 0, (size_t)n * sizeof *p);
    for (int i = 0; i < kept; i++)
        total += p[order[i]] = exp(((double)logits[order[i]] - logits[order[0]]) / how->temperature);
    while (likely < kept && (likely == 0 || mass < how->top_p * total)) mass += p[order[likely++]];
    for (int i = 0; i < n; i++) p[order[i]] = i < likely ? p[order[i]] / mass : 0;
}

/* ---- counting ------------------------------------------------------------------------------------------ */

/* How often each token is drawn by seeds 0, 1, 2, ... at one position, or by one seed at these positions. */
static void count_draws(or_sampling how, bool positions, const float *logits, int n, int *counts)
{
    or_token_logit scratch[MOST];
    memset(counts, 0, (size_t)n * sizeof *counts);
    for (int i = 0; i < DRAWS; i++) {
        how.seed = positions ? 7 : (uint64_t)i;
        const int32_t token = or_sample(&how, positions ? i : 7, logits, (size_t)n, scratch);
        assert_in_range(token, 0, n - 1);
        counts[token]++;
    }
}

/* Chi-square of the counts: n - 1 on average, with a standard deviation of sqrt(2 (n - 1)); 6 of these are
 * allowed. Tokens expected less than 5 times are counted together; of probability 0, never. */
static void check_counts(const int *counts, const double *p, int n)
{
    double chi = 0, seldom = 0;
    int seldom_count = 0, freedom = 0;
    for (int i = 0; i < n; i++) {
        const double expected = p[i] * DRAWS;
        if (p[i] == 0) assert_int_equal(counts[i], 0);
        if (expected < 5) {
            seldom += expected;
            seldom_count += counts[i];
        } else {
            chi += (counts[i] - expected) * (counts[i] - expected) / expected;
            freedom++;
        }
    }
    if (freedom > 1 && chi > freedom + 6 * sqrt(2.0 * freedom))
        fail_msg("chi-square is %g of %d tokens", chi, freedom);
    assert_near(seldom_count, seldom, 5 + 6 * sqrt(seldom));
}

static float random_logit(uint64_t *random)
{
    return (float)random_bits(random) / 4294967296.0f * 8 - 4;
}

static void frequencies_are_the_probabilities(void **state)
{
    (void)state;
    static const float temperatures[] = {0.3f, 0.7f, 1, 2.5f, 100}, shares[] = {1, 0.95f, 0.6f, 0.3f};
    static const int32_t top_ks[] = {0, 1, 2, 5, MOST, 1000};
    uint64_t random = 11;
    for (int round = 0; round < 120; round++) {
        float logits[MOST];
        double p[MOST];
        int counts[MOST];
        const int n = 1 + (int)(random_bits(&random) % MOST);
        for (int i = 0; i < n; i++) logits[i] = random_logit(&random);
        const or_sampling how = {temperatures[round % 5], top_ks[round % 6], shares[round % 4], 0};
        exact_probabilities(&how, logits, n, p);
        count_draws(how, round % 2, logits, n, counts);
        check_counts(counts, p, n);
    }
}

/* ---- what is left out ---------------------------------------------------------------------------------- */

/* Draws give these tokens, written "1 3", and no others; each of them at some time. */
static void check_drawn(or_sampling how, const float *logits, int n, const char *expected)
{
    int counts[MOST];
    char got[256] = "";
    count_draws(how, false, logits, n, counts);
    for (int i = 0; i < n; i++)
        if (counts[i] > 0) snprintf(got + strlen(got), sizeof got - strlen(got), "%s%d", *got ? " " : "", i);
    assert_string_equal(got, expected);
}

static void the_border_goes_to_lower_ids(void **state)
{
    (void)state;
    const float ties[] = {1, 2, 2, 0, 2}, equal[8] = {0}, falling[] = {0, -1, -2, -3};
    check_drawn((or_sampling){1, 1, 1, 0}, ties, 5, "1");
    check_drawn((or_sampling){1, 2, 1, 0}, ties, 5, "1 2");
    check_drawn((or_sampling){1, 3, 1, 0}, ties, 5, "1 2 4");
    check_drawn((or_sampling){1, 4, 1, 0}, ties, 5, "0 1 2 4");
    check_drawn((or_sampling){1, 5, 1, 0}, ties, 5, "0 1 2 3 4");
    check_drawn((or_sampling){1, 6, 1, 0}, ties, 5, "0 1 2 3 4");
    check_drawn((or_sampling){1, 0, 0.5f, 0}, equal, 8, "0 1 2 3"); /* reached exactly */
    check_drawn((or_sampling){1, 0, 0.51f, 0}, equal, 8, "0 1 2 3 4");
    check_drawn((or_sampling){1, 4, 0.5f, 0}, equal, 8, "0 1"); /* of what top_k left */
    check_drawn((or_sampling){1, 0, 1, 0}, equal, 8, "0 1 2 3 4 5 6 7");
    check_drawn((or_sampling){1, 0, 0.64f, 0}, falling, 4, "0"); /* 0.644, 0.237, 0.087, 0.032 */
    check_drawn((or_sampling){1, 0, 0.65f, 0}, falling, 4, "0 1");
    check_drawn((or_sampling){1, 0, 0.89f, 0}, falling, 4, "0 1 2");
    check_drawn((or_sampling){2, 0, 0.64f, 0}, falling, 4, "0 1"); /* after temperature: 0.455, 0.276 */
    check_drawn((or_sampling){1, 0, 1e-30f, 0}, falling, 4, "0");
    check_drawn((or_sampling){1, 0, FLT_TRUE_MIN, 0}, equal, 8, "0");
    check_drawn((or_sampling){1, 0, 1, 0}, equal, 1, "0");
    check_drawn((or_sampling){1, 3, 0.5f, 0}, equal, 1, "0");
}

/* A tiny temperature, logits as far apart as floats go: the likeliest token, and no NaN on the way to it. */
static void extremes_are_greedy(void **state)
{
    (void)state;
    const float near[] = {-1, 0.5f, 0.25f, 0.5001f}, far[] = {-FLT_MAX, 0, FLT_MAX, 3e38f};
    const float small[] = {1e-3f, 1e-30f, FLT_MIN, FLT_TRUE_MIN};
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        for (int top_k = 0; top_k <= 4; top_k++) {
            check_drawn((or_sampling){small[i] / 1000, top_k, 1, 0}, near, 4, "3");
            check_drawn((or_sampling){small[i], top_k, 0.99f, 0}, far, 4, "2");
        }
    check_drawn((or_sampling){1, 0, 1, 0}, far, 4, "2");
    check_drawn((or_sampling){1e30f, 0, 1, 0}, far, 4, "2"); /* still 4e7 apart */
    check_drawn((or_sampling){FLT_MAX, 0, 1, 0}, far, 4, "0 1 2 3");
}

static void temperature_0_is_the_kernels_top(void **state)
{
    (void)state;
    uint64_t random = 5;
    float logits[MOST];
    for (int round = 0; round < 2000; round++) {
        const size_t n = 1 + random_bits(&random) % MOST;
        or_top top;
        for (size_t i = 0; i < n; i++) logits[i] = (float)(random_bits(&random) % 8); /* many are equal */
        or_kernels_get()->top(logits, n, &top);
        const or_sampling how = {0, (int32_t)(round % 3), 0.5f, (uint64_t)round};
        assert_int_equal(or_sample(&how, round, logits, n, NULL), top.token); /* needs no scratch */
    }
}

/* ---- determinism --------------------------------------------------------------------------------------- */

/* Of 1000 equal tokens the one at u: these come from the hash, and from nothing on this machine. */
static void draws_are_the_same_everywhere(void **state)
{
    (void)state;
    static const int32_t expected[2][4] = {{815, 50, 351, 663}, {158, 148, 405, 614}};
    static float equal[1000];
    static or_token_logit scratch[1000];
    const or_sampling how[] = {{1, 0, 1, 0}, {1, 0, 1, UINT64_MAX}};
    for (int seed = 0; seed < 2; seed++)
        for (int position = 0; position < 4; position++)
            assert_int_equal(or_sample(&how[seed], position, equal, 1000, scratch), expected[seed][position]);
}

/* What was drawn before, and what lies in scratch, do not matter. A large vocabulary, most of it far below.
 * */
static void draws_depend_on_nothing_else(void **state)
{
    (void)state;
    enum { LARGE = 150000, TIMES = 40 };
    float *logits = or_alloc(LARGE, sizeof *logits);
    or_token_logit *scratch = or_alloc(LARGE, sizeof *scratch), best[OR_BEST];
    uint64_t random = 9;
    int32_t first[TIMES];
    for (size_t i = 0; i < LARGE; i++) logits[i] = random_logit(&random) * (i % 1000 ? 1.0f : 4.0f);
    assert_int_equal(or_best_tokens(logits, LARGE, best, OR_BEST), OR_BEST);
    for (int i = 0; i < 2 * TIMES; i++) {
        const int at = i < TIMES ? i : 2 * TIMES - 1 - i; /* there, and back */
        const or_sampling how = {0.8f, at % 3 ? 0 : OR_BEST, at % 3 == 1 ? 1 : 0.9f, (uint64_t)at / 4};
        const int32_t token = or_sample(&how, at, logits, LARGE, scratch);
        bool listed = how.top_k == 0;
        for (int b = 0; b < OR_BEST; b++) listed = listed || best[b].token == token;
        assert_true(listed);
        if (i < TIMES) first[at] = token;
        assert_int_equal(token, first[at]);
        memset(scratch, i, LARGE * sizeof *scratch);
    }
    free(scratch);
    free(logits);
}

/* Pairs of neighbours, by seed and by position, fill all of 8 x 8. */
static void neighbours_are_independent(void **state)
{
    (void)state;
    const float equal[8] = {0};
    double p[64];
    or_token_logit scratch[8];
    for (int i = 0; i < 64; i++) p[i] = 1.0 / 64;
    for (int by_seed = 0; by_seed < 2; by_seed++) {
        int counts[64] = {0};
        for (int i = 0; i < DRAWS; i++) {
            const or_sampling a = {1, 0, 1, (uint64_t)i}, b = {1, 0, 1, (uint64_t)(i + by_seed)};
            const int32_t x = or_sample(&a, 3, equal, 8, scratch);
            counts[8 * x + or_sample(&b, by_seed ? 3 : 4, equal, 8, scratch)]++;
        }
        check_counts(counts, p, 64);
    }
}

/* ---- the rest ------------------------------------------------------------------------------------------ */

static void the_best_are_sorted(void **state)
{
    (void)state;
    const float logits[] = {1, 3, 2, 3, -1, 2, 2, 0, 5, 1, 1, 1};
    static const int32_t expected[OR_BEST] = {8, 1, 3, 2, 5, 6, 0, 9, 10, 11};
    or_token_logit best[OR_BEST];
    assert_int_equal(or_best_tokens(logits, 12, best, OR_BEST), OR_BEST);
    for (int i = 0; i < OR_BEST; i++) {
        assert_int_equal(best[i].token, expected[i]);
        assert_true(best[i].logit == logits[expected[i]]);
    }
    assert_int_equal(or_best_tokens(logits, 3, best, OR_BEST), 3);
    assert_int_equal(best[0].token, 1);
    assert_int_equal(best[2].token, 0);
}

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    assert_ok(or_sampling_check(&(or_sampling){0, 0, 1, 0}, NULL));
    assert_ok(or_sampling_check(&(or_sampling){100, INT32_MAX, FLT_TRUE_MIN, UINT64_MAX}, NULL));
    static const struct {
        or_sampling how;
        const char *part;
    } cases[] = {
        {{-1, 0, 1, 0}, "temperature is -1"},   {{INFINITY, 0, 1, 0}, "temperature is inf"},
        {{NAN, 0, 1, 0}, "temperature is"},     {{1, -1, 1, 0}, "top_k is -1"},
        {{1, 0, 0, 0}, "top_p is 0, expected"}, {{1, 0, -0.5f, 0}, "top_p is -0.5"},
        {{1, 0, 1.5f, 0}, "top_p is 1.5"},      {{1, 0, NAN, 0}, "top_p is"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(or_sampling_check(&cases[i].how, "line 3"), OR_ERR_INPUT, cases[i].part);
        assert_non_null(strstr(or_status_message(), "line 3"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_the_probabilities),
        cmocka_unit_test(the_border_goes_to_lower_ids),
        cmocka_unit_test(extremes_are_greedy),
        cmocka_unit_test(temperature_0_is_the_kernels_top),
        cmocka_unit_test(draws_are_the_same_everywhere),
        cmocka_unit_test(draws_depend_on_nothing_else),
        cmocka_unit_test(neighbours_are_independent),
        cmocka_unit_test(the_best_are_sorted),
        cmocka_unit_test(what_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
