/* test_crf.c - the crf classifier: fit, online scores against the chain that its file describes, damaged
 * files. */
#include "support.h"

#include "classifier.h"

#include <math.h>

enum { CHAINS = 300, LENGTH = 8, WIDE = 2 };

typedef struct data_set {
    double x[CHAINS * LENGTH * WIDE];
    bool right[CHAINS * LENGTH];
    or_fit_rows rows;
} data_set;

static double uniform(uint64_t *seed)
{
    return random_bits(seed) / 4294967296.0;
}

/* An instance is wrong up to some ramp and right from there on; its first feature says so, but for some ramps
 * where it is silent (`silent` of 8 on average), the second nothing. */
static void make_rows(int silent, data_set *made)
{
    uint64_t seed = 7;
    for (size_t i = 0; i < CHAINS; i++) {
        const int clear = (int)(random_bits(&seed) % (LENGTH + 1));
        for (int r = 0; r < LENGTH; r++) {
            double *x = made->x + (i * LENGTH + (size_t)r) * WIDE;
            const bool right = r >= clear, heard = (int)(random_bits(&seed) % 8) >= silent;
            x[0] = !heard ? 0.5 : (right ? 0.6 : 0.1) + 0.3 * uniform(&seed);
            x[1] = 100 * uniform(&seed);
            made->right[i * LENGTH + (size_t)r] = right;
        }
    }
    made->rows = (or_fit_rows){made->x, made->right, CHAINS * LENGTH, WIDE, LENGTH};
}

static void *fit(const data_set *data)
{
    or_train_options options;
    void *model;
    or_train_defaults(&options);
    assert_ok(or_classifier_crf.fit(&data->rows, &options, &model));
    return model;
}

/* The scores along an instance, [LENGTH]. */
static void scores_of(const void *model, const double *x, double *scores)
{
    or_ramp_state ramps = OR_RAMP_STATE_START;
    for (int r = 0; r < LENGTH; r++) scores[r] = or_classifier_crf.score(model, x + r * WIDE, &ramps.message);
}

static cJSON *saved_json(const void *model)
{
    or_buffer json = {0};
    cJSON *object;
    assert_ok(or_buffer_puts(&json, "{\"classifier\": \"crf\""));
    assert_ok(or_classifier_crf.save(model, "p.json", &json));
    assert_ok(or_buffer_puts(&json, "}"));
    assert_ok(or_json_parse(json.data, json.size, "saved", &object));
    or_buffer_free(&json);
    return object;
}

static double number(const cJSON *entry, const char *key, int i)
{
    return cJSON_GetArrayItem(or_json_find(entry, key), i)->valuedouble;
}

/* What the file says of a step from one label to another where a ramp sees x. */
static double log_weight(const cJSON *entry, bool before, bool here, const double *x)
{
    double sum = number(entry, "steps", 2 * before + here);
    for (int j = 0; here && j < WIDE; j++)
        sum += number(entry, "weights", j) * (x[j] - number(entry, "offset", j)) * number(entry, "scale", j);
    return sum;
}

/* P(label of ramp n is stop) of the chain of the first n ramps, over all 2^n label sequences. */
static double filtered(const cJSON *entry, const double *x, int n)
{
    double all = 0, stops = 0;
    for (unsigned labels = 0; labels < 1u << n; labels++) {
        double sum = 0;
        for (int r = 0; r < n; r++)
            sum += log_weight(entry, r > 0 && labels >> (r - 1) & 1, labels >> r & 1, x + r * WIDE);
        all += exp(sum);
        if (labels >> (n - 1) & 1) stops += exp(sum);
    }
    return stops / all;
}

static void test_online_is_the_filtered_marginal_of_the_file(void **state)
{
    (void)state;
    static data_set data;
    make_rows(3, &data);
    void *model = fit(&data);
    cJSON *json = saved_json(model);
    for (size_t i = 0; i < 40; i++) {
        const double *x = data.x + i * LENGTH * WIDE;
        double scores[LENGTH];
        scores_of(model, x, scores);
        for (int n = 1; n <= LENGTH; n++)
            assert_near(scores[n - 1], filtered(or_json_find(json, "crf"), x, n), 1e-11);
    }
    cJSON_Delete(json);
    or_classifier_crf.free(model);
}

/* Where the feature is silent a ramp by itself knows nothing; a request that was told remembers what. */
static void test_it_remembers(void **state)
{
    (void)state;
    static data_set data;
    make_rows(3, &data);
    void *model = fit(&data);
    double told[2] = {0}, untold[2] = {0};
    int count[2] = {0};
    for (size_t i = 0; i < CHAINS; i++) {
        const double *x = data.x + i * LENGTH * WIDE;
        double scores[LENGTH];
        scores_of(model, x, scores);
        for (int r = 1; r < LENGTH; r++) {
            if (x[r * WIDE] != 0.5 || x[(r - 1) * WIDE] == 0.5) continue;
            const bool right = data.right[i * LENGTH + (size_t)r - 1];
            double message = -INFINITY;
            told[right] += scores[r];
            untold[right] += or_classifier_crf.score(model, x + r * WIDE, &message);
            count[right]++;
        }
    }
    assert_true(count[0] > 150 && count[1] > 150);
    for (int right = 0; right < 2; right++) told[right] /= count[right], untold[right] /= count[right];
    assert_true(told[1] > 0.9 && told[1] - told[0] > 0.3);
    assert_near(untold[1], untold[0], 0.05);
    or_classifier_crf.free(model);
}

/* A feature that is no number gives a score that fires nowhere, and is forgotten. */
static void test_no_number(void **state)
{
    (void)state;
    static data_set data;
    make_rows(0, &data);
    void *model = fit(&data);
    double message = 1.25;
    assert_true(isnan(or_classifier_crf.score(model, (double[]){NAN, 1}, &message)));
    assert_true(message == 1.25);
    or_classifier_crf.free(model);
}

static void test_it_comes_back_bit_for_bit(void **state)
{
    (void)state;
    static data_set data;
    make_rows(2, &data);
    void *model = fit(&data), *again;
    cJSON *json = saved_json(model);
    assert_ok(or_classifier_crf.load(json, "p.json", WIDE, &again));
    for (size_t i = 0; i < CHAINS; i++) {
        double before[LENGTH], after[LENGTH];
        scores_of(model, data.x + i * LENGTH * WIDE, before);
        scores_of(again, data.x + i * LENGTH * WIDE, after);
        assert_memory_equal(before, after, sizeof before);
    }
    assert_true(or_classifier_crf.cost(model) == or_classifier_crf.cost(again));
    assert_int_equal(or_classifier_crf.cost(model), 2 * WIDE + 4);
    cJSON_Delete(json);
    or_classifier_crf.free(model);
    or_classifier_crf.free(again);
}

static void test_fields_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *part;
    } edits[] = {
        {"offset", "[1]", "\"offset\" has 1 elements, expected one per feature: 2"},
        {"offset", NULL, "\"offset\" is nothing"},
        {"scale", "[1, -1]", "element 2 of \"scale\" is out of range, expected a finite number from 0"},
        {"weights", "[1]", "\"weights\" has 1 elements, expected one per feature: 2"},
        {"weights", "3", "\"weights\" is a number, expected an array"},
        {"steps", "[1, 2, 3, 4, 5]", "\"steps\" has 5 elements, expected one per pair of labels: 4"},
        {"steps", "[1, 2, 3, 1e999]", "element 4 of \"steps\" is out of range"},
        {"steps", "[1, \"2\", 3, 4]", "element 2 of \"steps\""},
        {"steps", NULL, "\"steps\" is nothing"},
    };
    static data_set data;
    make_rows(2, &data);
    void *model = fit(&data);
    cJSON *json = saved_json(model);
    or_classifier_crf.free(model);
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        cJSON *edited = cJSON_Duplicate(json, true), *entry = cJSON_GetObjectItem(edited, "crf");
        cJSON_DeleteItemFromObject(entry, edits[i].key);
        if (edits[i].value) cJSON_AddItemToObject(entry, edits[i].key, cJSON_Parse(edits[i].value));
        assert_fails(or_classifier_crf.load(edited, "p.json", WIDE, &model), OR_ERR_INPUT, edits[i].part);
        assert_non_null(strstr(or_status_message(), "p.json"));
        cJSON_Delete(edited);
    }
    cJSON_DeleteItemFromObject(json, "crf");
    assert_fails(or_classifier_crf.load(json, "p.json", WIDE, &model), OR_ERR_INPUT, "\"crf\" is nothing");
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_online_is_the_filtered_marginal_of_the_file),
        cmocka_unit_test(test_it_remembers),
        cmocka_unit_test(test_no_number),
        cmocka_unit_test(test_it_comes_back_bit_for_bit),
        cmocka_unit_test(test_fields_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
