/* test_policy.c - policy.json: what is read, what is refused, and the decision. */
#include "support.h"

#include "file.h"
#include "policy_internal.h"

#include <math.h>

static const char *const fields[][2] = {
    {"format", "\"offramp-policy-1\""},
    {"classifier", "\"gap\""},
    {"features", "[\"gap\"]"},
    {"layers", "8"},
    {"ramps", "[2, 3, 5]"},
    {"threshold", "0.625"},
    {"fingerprint", "\"00ff00ff00ff00ff\""},
};

/* Of a request at its first ramp. */
static bool fires(const or_policy *policy, const or_observation *seen)
{
    or_ramp_state ramps = OR_RAMP_STATE_START;
    return or_policy_fires(policy, seen, &ramps);
}

static double score(const or_policy *policy, const or_observation *seen)
{
    or_ramp_state ramps = OR_RAMP_STATE_START;
    return or_policy_score(policy, seen, &ramps);
}

/* A gap policy whose member `key` is `value`, or absent when that is NULL. */
static const char *policy_with(const char *key, const char *value)
{
    or_buffer json = {0};
    const char *comma = "{";
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        bool other = key && strcmp(key, fields[i][0]) == 0;
        if (other && !value) continue;
        assert_ok(or_buffer_printf(&json, "%s\"%s\": %s", comma, fields[i][0], other ? value : fields[i][1]));
        comma = ", ";
    }
    if (key && value && !strstr(json.data, key)) /* one that may be absent */
        assert_ok(or_buffer_printf(&json, ", \"%s\": %s", key, value));
    assert_ok(or_buffer_puts(&json, "}"));
    static const char *folder; /* one for all: there are more cases than scratch folders */
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "early.json");
    put_text(path, json.data);
    or_buffer_free(&json);
    return path;
}

static void test_gap_policy(void **state)
{
    (void)state;
    or_policy *policy;
    assert_ok(or_policy_load(policy_with(NULL, NULL), &policy));
    assert_string_equal(or_policy_name(policy), "early");
    assert_string_equal(or_policy_classifier(policy), "gap");
    for (int layer = -1; layer <= 9; layer++)
        assert_int_equal(or_policy_has_ramp(policy, layer), layer == 2 || layer == 3 || layer == 5);
    assert_int_equal(or_policy_last_ramp(policy), 5);
    assert_int_equal(or_policy_ramp_count(policy), 3);
    assert_false(or_policy_wants_cosines(policy));
    assert_int_equal(or_policy_cost(policy), 0);
    or_observation seen = {.layer = 2, .gap = 0.625f};
    assert_true(fires(policy, &seen)); /* reaching the threshold is enough */
    seen.gap = nextafterf(0.625f, 0);
    assert_false(fires(policy, &seen));
    seen.gap = NAN;
    assert_false(fires(policy, &seen));
    or_policy_free(policy);
    or_policy_free(NULL);
}

static void test_shortlist(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int tokens;
    } good[] = {{NULL, 0}, {"0", 0}, {"null", 0}, {"2", 2}, {"64", OR_SHORTLIST}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        or_policy *policy;
        assert_ok(or_policy_load(policy_with("shortlist", good[i].value), &policy));
        assert_int_equal(or_policy_shortlist(policy), good[i].tokens);
        or_policy_free(policy);
    }
}

static void test_survivors(void **state)
{
    (void)state;
    static const double shares[9] = {1, 1, 1, 0.75, 0.5, 0.5, 0.25, 0.25, 0};
    static const char text[] = "[1, 1, 1, 0.75, 0.5, 0.5, 0.25, 0.25, 0]";
    or_policy *policy;
    assert_ok(or_policy_load(policy_with("survivors", text), &policy));
    assert_memory_equal(or_policy_survivors(policy), shares, sizeof shares);
    or_policy_free(policy);
    for (int i = 0; i < 2; i++) {
        assert_ok(or_policy_load(policy_with("survivors", i ? "null" : NULL), &policy));
        assert_null(or_policy_survivors(policy));
        or_policy_free(policy);
    }
    assert_ok(or_policy_probe(policy_with("survivors", text), 8, NULL, 0, &policy)); /* nobody leaves */
    assert_null(or_policy_survivors(policy));
    or_policy_free(policy);
}

/* Ramps behind layers 2, 3 and 5 of 8, a head of 2000 and a classifier that costs nothing: a later ramp with
 * a shortlist of 10 of 100 tokens costs 200. */
static void test_ramp_macs(void **state)
{
    (void)state;
    static const int exits[4] = {2, 3, 5, 8};
    static const double whole[4] = {2000, 4000, 6000, 6000};
    static const double shortlist[4] = {2000, 2000 + 200 + 2000, 2000 + 200 + 200 + 2000, 2000 + 200 + 200};
    const or_hparams h = {.n_layers = 8, .d_model = 20, .d_embed = 20, .n_vocab = 100};
    const or_hparams small = {.n_layers = 8, .d_model = 20, .d_embed = 20, .n_vocab = 10};
    or_policy *policy;
    assert_near(or_hparams_head_macs(&h), 2000, 0);
    assert_ok(or_policy_load(policy_with(NULL, NULL), &policy));
    for (int i = 0; i < 4; i++) assert_near(or_policy_ramp_macs(policy, &h, exits[i]), whole[i], 0);
    or_policy_free(policy);
    assert_ok(or_policy_load(policy_with("shortlist", "10"), &policy));
    for (int i = 0; i < 4; i++) assert_near(or_policy_ramp_macs(policy, &h, exits[i]), shortlist[i], 0);
    assert_near(or_policy_ramp_macs(policy, &small, 5), 600, 0); /* nothing is spared: three heads of 200 */
    or_policy_free(policy);
    assert_ok(or_policy_load(policy_with("ramps", "[]"), &policy));
    assert_near(or_policy_ramp_macs(policy, &h, 8), 0, 0);
    or_policy_free(policy);
}

static void test_a_policy_that_never_fires(void **state)
{
    (void)state;
    or_policy *policy;
    or_observation seen = {.layer = 2, .gap = INFINITY};
    assert_ok(or_policy_load(policy_with("threshold", "\"never\""), &policy));
    assert_false(fires(policy, &seen));
    or_policy_free(policy);
    assert_ok(or_policy_load(policy_with("ramps", "[]"), &policy));
    assert_int_equal(or_policy_last_ramp(policy), 0);
    or_policy_free(policy);
}

static void test_check(void **state)
{
    (void)state;
    or_policy *policy;
    assert_ok(or_policy_load(policy_with(NULL, NULL), &policy));
    assert_ok(or_policy_check(policy, 8, 0x00ff00ff00ff00ff, false));
    assert_fails(or_policy_check(policy, 9, 0x00ff00ff00ff00ff, true), OR_ERR_INPUT,
                 "for a model of 8 layers, this one has 9");
    assert_fails(or_policy_check(policy, 8, 1, false), OR_ERR_INPUT,
                 "trained on model 00ff00ff00ff00ff, this one is 0000000000000001");
    assert_ok(or_policy_check(policy, 8, 1, true));
    or_policy_free(policy);
}

static uint64_t fingerprint_with(const char *key, const char *value)
{
    or_policy *policy;
    assert_ok(or_policy_load(policy_with(key, value), &policy));
    uint64_t found = or_policy_fingerprint(policy);
    or_policy_free(policy);
    return found;
}

static void test_fingerprint_is_of_what_decides(void **state)
{
    (void)state;
    uint64_t plain = fingerprint_with(NULL, NULL);
    assert_true(fingerprint_with("threshold", "0.625") == plain);
    assert_true(fingerprint_with("threshold", "0.62500") == plain); /* the same number */
    assert_true(fingerprint_with("threshold", "0.626") != plain);
    assert_true(fingerprint_with("ramps", "[2, 3, 6]") != plain);
    assert_true(fingerprint_with("layers", "9") != plain);
    assert_true(fingerprint_with("shortlist", "8") != plain);
    assert_true(fingerprint_with("shortlist", "8") != fingerprint_with("shortlist", "9"));
}

static void test_every_field_is_checked(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *part;
    } broken[] = {
        {"format", NULL, "\"format\" is nothing"},
        {"format", "\"offramp-policy-2\"",
         "its format is \"offramp-policy-2\", expected \"offramp-policy-1\""},
        {"classifier", NULL, "\"classifier\" is nothing"},
        {"classifier", "\"oracle\"", "found \"oracle\", expected one of: svm, crf, gap"},
        {"features", NULL, "\"features\" is nothing"},
        {"features", "[]", "\"features\" is empty"},
        {"features", "[\"gap\", \"gap\"]", "names gap twice"},
        {"features", "[\"gap\", \"entropy\"]", "element 2 of \"features\" is entropy"},
        {"features", "[3]", "element 1 of \"features\" is no string"},
        {"features", "[\"top_prob\"]", "classifier \"gap\" looks at gap alone"},
        {"layers", NULL, "\"layers\" is nothing"},
        {"layers", "1", "expected a whole number 2..4096"},
        {"layers", "5000", "expected a whole number 2..4096"},
        {"layers", "8.5", "expected a whole number"},
        {"ramps", NULL, "\"ramps\" is nothing"},
        {"ramps", "[0, 1]", "holds 0 after 0, expected layers ascending within 1..7"},
        {"ramps", "[3, 3]", "holds 3 after 3"},
        {"ramps", "[5, 4]", "holds 4 after 5"},
        {"ramps", "[2.5]", "holds 2.5"},
        {"ramps", "[7, 8]", "holds 8 after 7"},
        {"ramps", "[1e999]", "\"ramps\" holds inf"},
        {"ramps", "[\"2\"]", "holds -1"},
        {"shortlist", "1", "\"shortlist\" is 1, expected 0 (none) or a whole number 2..64"},
        {"shortlist", "65", "\"shortlist\" is 65, expected a whole number 0..64"},
        {"shortlist", "-1", "\"shortlist\" is -1"},
        {"shortlist", "2.5", "\"shortlist\""},
        {"shortlist", "\"8\"", "\"shortlist\" is a string"},
        {"survivors", "3", "\"survivors\" is a number, expected an array"},
        {"survivors", "[1, 1, 1, 1, 1, 1, 1, 0]", "has 8 elements, expected one for each of 0..8 layers"},
        {"survivors", "[1, 1, 1, 1, 1, 1, 1, 1, 1, 0]", "has 10 elements"},
        {"survivors", "[]", "has 0 elements"},
        {"survivors", "[0.9, 0, 0, 0, 0, 0, 0, 0, 0]", "element 1 of \"survivors\" is 0.9, expected shares"},
        {"survivors", "[2, 1, 1, 1, 1, 1, 1, 1, 0]", "element 1 of \"survivors\" is 2"},
        {"survivors", "[1, 1, 1, 1, 0.5, 0.6, 0.1, 0.1, 0]", "element 6 of \"survivors\" is 0.6"},
        {"survivors", "[1, 1, 1, 1, 1, 1, 1, -1, 0]", "element 8 of \"survivors\" is -1"},
        {"survivors", "[1, 1, 1, 1, 1, 1, 1, 1, 0.1]", "element 9 of \"survivors\" is 0.1"},
        {"survivors", "[1, 1, \"1\", 1, 1, 1, 1, 1, 0]", "element 3 of \"survivors\" is nan"},
        {"survivors", "[1, 1e999, 1, 1, 1, 1, 1, 1, 0]", "element 2 of \"survivors\" is inf"},
        {"threshold", NULL, "\"threshold\" is nothing"},
        {"threshold", "null", "\"threshold\" is nothing"},
        {"threshold", "1e999", "expected a finite number or \"never\""},
        {"threshold", "\"always\"", "expected a finite number or \"never\""},
        {"fingerprint", NULL, "\"fingerprint\" is nothing"},
        {"fingerprint", "\"00ff00ff00ff00f\"", "expected 16 lower-case hexadecimal digits"},
        {"fingerprint", "\"00FF00ff00ff00ff\"", "expected 16 lower-case hexadecimal digits"},
        {"fingerprint", "\"-0ff00ff00ff00ff\"", "expected 16 lower-case hexadecimal digits"},
        {"fingerprint", "7", "\"fingerprint\" is a number, expected a string"},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        or_policy *policy = (or_policy *)1;
        const char *path = policy_with(broken[i].key, broken[i].value);
        assert_fails(or_policy_load(path, &policy), OR_ERR_INPUT, broken[i].part);
        assert_non_null(strstr(or_status_message(), path));
        assert_null(policy);
    }
    or_policy *policy;
    assert_fails(or_policy_load("/nowhere/p.json", &policy), OR_ERR_INPUT, "/nowhere/p.json");
    const char *path = path_in(scratch_folder(), "p.json");
    put_text(path, "[1]");
    assert_fails(or_policy_load(path, &policy), OR_ERR_INPUT, "expected {...}");
}

/* A policy over gap and cos_mlp, fitted to a simple rule, as training would hand it to or_policy_save(). */
static or_policy *svm_policy(const char *path)
{
    enum { ROWS = 60 };
    double x[ROWS * 2];
    bool right[ROWS];
    uint64_t seed = 3;
    for (int i = 0; i < ROWS; i++) {
        x[2 * i] = random_bits(&seed) / 4294967296.0;
        x[2 * i + 1] = random_bits(&seed) / 4294967296.0;
        right[i] = x[2 * i] + 0.2 * x[2 * i + 1] > 0.6;
    }
    or_policy *policy;
    or_train_options options;
    or_train_defaults(&options);
    assert_ok(or_policy_new(path, 8, &policy));
    assert_ok(or_classifier_svm.fit(&(or_fit_rows){x, right, ROWS, 2, 1}, &options, &policy->model));
    policy->ops = &or_classifier_svm;
    policy->n_features = 2;
    policy->features[0] = OR_FEATURE_GAP;
    policy->features[1] = OR_FEATURE_COS_MLP;
    policy->ramp[3] = policy->ramp[7] = true;
    policy->shortlist = 24;
    policy->threshold = 1.0 / 3;
    policy->fingerprint = 0x123456789abcdef0;
    assert_ok(OR_NEW(policy->survivors, 9));
    for (int layer = 0; layer < 8; layer++)
        policy->survivors[layer] = layer < 3 ? 1 : layer < 7 ? 2.0 / 3 : 0.1;
    return policy;
}

static void test_what_is_saved_is_loaded(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "a.policy.json"));
    or_policy *made = svm_policy(path), *policy;
    assert_ok(or_policy_save(made, ",\n  \"calibration\": {\"agreement\": 0.5}"));
    assert_ok(or_policy_load(path, &policy));
    assert_string_equal(or_policy_name(policy), "a.policy");
    assert_string_equal(or_policy_classifier(policy), "svm");
    assert_true(or_policy_wants_cosines(policy));
    assert_int_equal(policy->n_layers, 8);
    assert_memory_equal(policy->ramp, made->ramp, 9);
    assert_int_equal(or_policy_shortlist(policy), 24);
    assert_int_equal(policy->n_features, 2);
    assert_true(policy->threshold == made->threshold);
    assert_true(policy->fingerprint == made->fingerprint);
    assert_memory_equal(policy->survivors, made->survivors, 9 * sizeof *policy->survivors);
    assert_true(or_policy_cost(policy) == or_policy_cost(made) && or_policy_cost(policy) > 0);
    uint64_t seed = 9;
    int fired = 0;
    for (int i = 0; i < 500; i++) {
        or_observation seen = {.gap = (float)(random_bits(&seed) / 4294967296.0),
                               .cos_mlp = (float)(random_bits(&seed) / 4294967296.0)};
        double before = score(made, &seen), after = score(policy, &seen);
        assert_memory_equal(&before, &after, sizeof before);
        assert_int_equal(fires(policy, &seen), after >= 1.0 / 3);
        fired += fires(policy, &seen);
    }
    assert_true(fired > 50 && fired < 450);
    or_policy_free(made);
    or_policy_free(policy);
}

/* Saves the policy, lets `to` replace the text `from` in its file, and loads it. */
static or_status load_edited(const char *from, const char *to)
{
    char path[1024];
    or_buffer text = {0}, edited = {0};
    or_policy *policy;
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "p.json"));
    policy = svm_policy(path);
    assert_ok(or_policy_save(policy, ""));
    or_policy_free(policy);
    assert_ok(or_file_read(path, &text));
    char *at = strstr(text.data, from);
    assert_non_null(at);
    assert_ok(or_buffer_append(&edited, text.data, (size_t)(at - text.data)));
    assert_ok(or_buffer_puts(&edited, to));
    assert_ok(or_buffer_puts(&edited, at + strlen(from)));
    put_file(path, edited.data, edited.size);
    or_buffer_free(&text);
    or_buffer_free(&edited);
    or_status status = or_policy_load(path, &policy);
    or_policy_free(policy);
    return status;
}

static void test_svm_fields_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
    } edits[] = {
        {"\"svm\": {", "\"svn\": {", "\"svm\" is nothing, expected an object"},
        {"\"file\": \"p.svm\"", "\"file\": 3", "\"file\" is a number"},
        {"p.svm", "../p.svm", "\"file\" is \"../p.svm\", expected the name of a file beside this one"},
        {"p.svm", "", "\"file\" is \"\""},
        {"p.svm", "q.svm", "q.svm"},
        {"\"hash\": \"", "\"hash\": \"0", "\"hash\" is"},
        {"\"offset\"", "\"shift\"", "\"offset\" is nothing"},
        {"\"offset\": [", "\"offset\": [1, ", "\"offset\" has 3 elements, expected one per feature: 2"},
        {"\"offset\": [", "\"offset\": [1e999], \"x\": [", "\"offset\" has 1 elements"},
        {"\"scale\": [", "\"scale\": [1, -1], \"x\": [", "element 2 of \"scale\" is out of range"},
        {"\"scale\": [", "\"scale\": [1, null], \"x\": [", "element 2 of \"scale\""},
        {"\"scale\": [", "\"scale\": [1e999, 1], \"x\": [", "element 1 of \"scale\""},
        {"\"features\": [\"gap\", \"cos_mlp\"]", "\"features\": [\"gap\"]", "\"offset\" has 2 elements"},
    };
    assert_ok(load_edited("\"layers\"", "\"layers\""));
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++)
        assert_fails(load_edited(edits[i].from, edits[i].to), OR_ERR_INPUT, edits[i].part);
}

static void test_svm_file_must_be_the_one_of_the_policy(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    char path[1024], file[1024];
    snprintf(path, sizeof path, "%s", path_in(folder, "p.json"));
    snprintf(file, sizeof file, "%s", path_in(folder, "p.svm"));
    or_policy *policy = svm_policy(path);
    assert_ok(or_policy_save(policy, ""));
    or_policy_free(policy);
    or_buffer text = {0};
    assert_ok(or_file_read(file, &text));
    put_file(file, text.data, text.size - 1);
    assert_fails(or_policy_load(path, &policy), OR_ERR_INPUT, "damaged or of another policy");
    assert_non_null(strstr(or_status_message(), file));
    put_file(file, "", 0);
    assert_fails(or_policy_load(path, &policy), OR_ERR_INPUT, "damaged or of another policy");
    assert_int_equal(remove(file), 0);
    assert_fails(or_policy_load(path, &policy), OR_ERR_INPUT, file);
    put_file(file, text.data, text.size);
    assert_ok(or_policy_load(path, &policy));
    or_policy_free(policy);
    or_buffer_free(&text);
}

static void test_save_into_a_folder_that_is_not_there(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/none/p.json", scratch_folder());
    or_policy *policy = svm_policy(path);
    assert_fails(or_policy_save(policy, ""), OR_ERR_INPUT, "cannot be written");
    or_policy_free(policy);
}

/* It keeps the classifier, or looks at the gap; at other ramps, of another depth; and never fires. */
static void test_a_probe_asks_and_lets_nobody_leave(void **state)
{
    (void)state;
    or_policy *policy;
    const or_observation sure = {.layer = 2, .gap = 1, .top_prob = 1, .stable = 4};
    assert_ok(or_policy_probe(policy_with(NULL, NULL), 8, NULL, 0, &policy));
    assert_int_equal(or_policy_ramp_count(policy), 3);
    assert_false(fires(policy, &sure));
    or_policy_free(policy);
    assert_ok(or_policy_probe(source_path("configs/demo/policy/svm.json"), 40, (int[]){2, 39}, 2, &policy));
    assert_string_equal(or_policy_classifier(policy), "svm");
    assert_ok(or_policy_check(policy, 40, 0, true));
    for (int layer = 0; layer <= 40; layer++)
        assert_int_equal(or_policy_has_ramp(policy, layer), layer == 2 || layer == 39);
    assert_true(isfinite(score(policy, &sure)));
    assert_false(fires(policy, &sure));
    or_policy_free(policy);
    assert_ok(or_policy_probe(NULL, 4, (int[]){3}, 1, &policy));
    assert_true(score(policy, &sure) == 1);
    assert_int_equal(or_policy_last_ramp(policy), 3);
    assert_false(fires(policy, &sure));
    or_policy_free(policy);
    assert_fails(or_policy_probe(NULL, 4, (int[]){4}, 1, &policy), OR_ERR_USAGE, "after layer 4");
    assert_null(policy);
    assert_fails(or_policy_probe("/nowhere.json", 4, (int[]){1}, 1, &policy), OR_ERR_INPUT, "nowhere");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gap_policy),
        cmocka_unit_test(test_shortlist),
        cmocka_unit_test(test_survivors),
        cmocka_unit_test(test_ramp_macs),
        cmocka_unit_test(test_a_policy_that_never_fires),
        cmocka_unit_test(test_a_probe_asks_and_lets_nobody_leave),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_fingerprint_is_of_what_decides),
        cmocka_unit_test(test_every_field_is_checked),
        cmocka_unit_test(test_what_is_saved_is_loaded),
        cmocka_unit_test(test_svm_fields_are_checked),
        cmocka_unit_test(test_svm_file_must_be_the_one_of_the_policy),
        cmocka_unit_test(test_save_into_a_folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
