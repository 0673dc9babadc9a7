/* test_feature.c - features: names, values, and the count of ramps with the same token. */
#include "support.h"

#include "policy_internal.h"

static void test_names_lead_back(void **state)
{
    (void)state;
    const char *names[] = {"gap",        "top_prob", "cos_attn", "cos_mlp",
                           "cos_hidden", "layer",    "stable",   "reliability"};
    assert_int_equal(OR_FEATURE_COUNT, 8);
    for (int i = 0; i < OR_FEATURE_COUNT; i++) {
        assert_string_equal(or_feature_name((or_feature)i), names[i]);
        assert_int_equal(or_feature_find(names[i]), i);
    }
    assert_int_equal(or_feature_find(""), -1);
    assert_int_equal(or_feature_find("Gap"), -1);
    assert_int_equal(or_feature_find("gap "), -1);
}

static void test_values(void **state)
{
    (void)state;
    or_observation seen = {.layer = 3,
                           .token = 7,
                           .top_prob = 0.5f,
                           .gap = 0.25f,
                           .cos_attn = -0.5f,
                           .cos_mlp = 0.125f,
                           .cos_hidden = 0.75f,
                           .stable = 2};
    int32_t token = 7;
    double value = 1.5;
    const or_reliability table = {.others = -2, .count = 1, .tokens = &token, .values = &value};
    assert_true(or_feature_value(OR_FEATURE_GAP, &seen, 4, &table) == 0.25);
    assert_true(or_feature_value(OR_FEATURE_TOP_PROB, &seen, 4, &table) == 0.5);
    assert_true(or_feature_value(OR_FEATURE_COS_ATTN, &seen, 4, &table) == -0.5);
    assert_true(or_feature_value(OR_FEATURE_COS_MLP, &seen, 4, &table) == 0.125);
    assert_true(or_feature_value(OR_FEATURE_COS_HIDDEN, &seen, 4, &table) == 0.75);
    assert_true(or_feature_value(OR_FEATURE_LAYER, &seen, 4, &table) == 0.75);
    assert_true(or_feature_value(OR_FEATURE_STABLE, &seen, 4, &table) == 0.5);
    assert_true(or_feature_value(OR_FEATURE_LAYER, &seen, 12, &table) == 0.25);
    assert_true(or_feature_value(OR_FEATURE_RELIABILITY, &seen, 4, &table) == 1.5);
    seen.token = 8;
    assert_true(or_feature_value(OR_FEATURE_RELIABILITY, &seen, 4, &table) == -2);
    seen.stable = 9; /* more than the depth: held at it */
    assert_true(or_feature_value(OR_FEATURE_STABLE, &seen, 4, &table) == 1);
}

static void test_stable_counts_equal_tokens_in_a_row(void **state)
{
    (void)state;
    or_ramp_state ramps = OR_RAMP_STATE_START;
    const int32_t tokens[] = {0, 0, 5, 5, 5, 0, 5};
    const int32_t stable[] = {1, 2, 1, 2, 3, 1, 1};
    for (int i = 0; i < 7; i++) assert_int_equal(or_ramp_state_update(&ramps, tokens[i]), stable[i]);
    assert_int_equal(ramps.token, 5);
    assert_int_equal(ramps.stable, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_lead_back),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_stable_counts_equal_tokens_in_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
