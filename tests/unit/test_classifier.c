/* test_classifier.c - the exit classifiers: svm (fit, score, save and load, damaged files) and gap. */
#include "support.h"

#include "classifier.h"
#include "file.h"
#include "svm_file.h"

#include <math.h>
#include <xxhash.h>

enum { ROWS = 300, WIDE = 3 };

typedef struct data_set {
    double x[ROWS * WIDE];
    bool right[ROWS];
} data_set;

static double uniform(uint64_t *seed)
{
    return random_bits(seed) / 4294967296.0;
}

/* Label 1 where the first column is above 0.6 (or, `ring`, where the point is near the middle); the columns
 * differ in width, and the last one never varies. */
static or_fit_rows make_rows(data_set *out, bool ring, bool first_right)
{
    uint64_t seed = 11;
    for (int i = 0; i < ROWS; i++) {
        double *x = out->x + i * WIDE, u = uniform(&seed), v = uniform(&seed);
        bool right = ring ? (u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) < 0.09 : u > 0.6;
        x[0] = u;
        x[1] = 1000 * v;
        x[2] = 7;
        out->right[i] = right;
    }
    /* which label libsvm sees first decides the sign of its decision values */
    for (int i = 1; out->right[0] != first_right; i++) {
        if (out->right[i] != first_right) continue;
        for (int j = 0; j < WIDE; j++) {
            double kept = out->x[j];
            out->x[j] = out->x[i * WIDE + j];
            out->x[i * WIDE + j] = kept;
        }
        out->right[0] = first_right;
        out->right[i] = !first_right;
    }
    return (or_fit_rows){out->x, out->right, ROWS, WIDE, 1};
}

static double accuracy(const or_classifier_ops *ops, const void *model, const or_fit_rows *rows)
{
    int good = 0;
    for (size_t i = 0; i < rows->rows; i++)
        good += (ops->score(model, rows->x + i * WIDE, NULL) > 0) == rows->right[i];
    return (double)good / (double)rows->rows;
}

static or_train_options with_kernel(const char *kernel)
{
    or_train_options options;
    or_train_defaults(&options);
    options.kernel = kernel;
    options.c = 10;
    return options;
}

static void test_table(void **state)
{
    (void)state;
    const or_classifier_ops *ops;
    assert_ok(or_classifier_find("svm", NULL, &ops));
    assert_ptr_equal(ops, &or_classifier_svm);
    assert_ok(or_classifier_find("gap", NULL, &ops));
    assert_ptr_equal(ops, &or_classifier_gap);
    assert_ok(or_classifier_find("crf", NULL, &ops));
    assert_ptr_equal(ops, &or_classifier_crf);
    assert_ok(or_classifier_find("top_prob", NULL, &ops));
    assert_true(ops->features == 1u << OR_FEATURE_TOP_PROB && ops->only_features);
    assert_ok(or_classifier_find("fixed", NULL, &ops));
    assert_true(ops->features == 1u << OR_FEATURE_LAYER && ops->only_features);
    assert_fails(or_classifier_find("forest", "p.json", &ops), OR_ERR_INPUT,
                 "(p.json): found \"forest\", expected one of: svm, crf, gap, top_prob, fixed");
}

static void test_gap(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_gap;
    void *model = (void *)1;
    data_set data;
    or_fit_rows rows = make_rows(&data, false, true);
    or_train_options options = with_kernel("rbf");
    assert_ok(ops->fit(&rows, &options, &model));
    assert_true(ops->score(model, &(double){0.625}, NULL) == 0.625);
    assert_int_equal(ops->cost(model), 0);
    assert_true(ops->threshold == 0.8);
    ops->free(model);
    assert_ok(or_classifier_check_features(ops, 1u << OR_FEATURE_GAP, NULL));
    assert_fails(or_classifier_check_features(ops, 1u << OR_FEATURE_GAP | 1u << OR_FEATURE_LAYER, NULL),
                 OR_ERR_INPUT, "found gap layer, classifier \"gap\" looks at gap alone");
    assert_ok(or_classifier_check_features(&or_classifier_svm, 1u << OR_FEATURE_COS_MLP, NULL));
}

static void test_svm_separates(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_svm;
    data_set data;
    for (int first_right = 0; first_right < 2; first_right++) {
        or_fit_rows rows = make_rows(&data, false, first_right);
        or_train_options linear = with_kernel("linear"), rbf = with_kernel("rbf");
        void *model;
        assert_ok(ops->fit(&rows, &linear, &model));
        assert_true(accuracy(ops, model, &rows) > 0.97);
        assert_true(ops->score(model, (double[]){0.95, 500, 7}, NULL) >
                    ops->score(model, (double[]){0.7, 500, 7}, NULL));
        ops->free(model);
        assert_ok(ops->fit(&rows, &rbf, &model));
        assert_true(accuracy(ops, model, &rows) > 0.97);
        ops->free(model);
        /* a ring is what only the RBF kernel can tell apart */
        rows = make_rows(&data, true, first_right);
        assert_ok(ops->fit(&rows, &rbf, &model));
        assert_true(accuracy(ops, model, &rows) > 0.95);
        ops->free(model);
        assert_ok(ops->fit(&rows, &linear, &model));
        assert_true(accuracy(ops, model, &rows) < 0.85);
        ops->free(model);
    }
}

/* Labels that the features tell only by chance: the weight says on which side of the border the errors
 * fall. */
static void test_svm_weighs_errors(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_svm;
    const double weights[] = {0.1, 1, 10};
    data_set data;
    int leave_wrongly[3] = {0}, stay_needlessly[3] = {0};
    uint64_t seed = 6;
    or_fit_rows rows = make_rows(&data, false, true);
    for (int i = 0; i < ROWS; i++) data.right[i] = uniform(&seed) < data.x[i * WIDE];
    for (int w = 0; w < 3; w++) {
        or_train_options options = with_kernel("linear");
        options.error_weight = weights[w];
        void *model;
        assert_ok(ops->fit(&rows, &options, &model));
        for (int i = 0; i < ROWS; i++) {
            bool leaves = ops->score(model, data.x + i * WIDE, NULL) > 0;
            leave_wrongly[w] += leaves && !data.right[i];
            stay_needlessly[w] += !leaves && data.right[i];
        }
        ops->free(model);
    }
    for (int w = 0; w < 2; w++) {
        assert_true(leave_wrongly[w] > leave_wrongly[w + 1]);
        assert_true(stay_needlessly[w] < stay_needlessly[w + 1]);
    }
}

static void test_svm_ignores_a_feature_that_never_varied(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_svm;
    data_set data;
    or_fit_rows rows = make_rows(&data, false, true);
    or_train_options options = with_kernel("rbf");
    void *model;
    assert_ok(ops->fit(&rows, &options, &model));
    assert_true(ops->score(model, (double[]){0.8, 100, 7}, NULL) ==
                ops->score(model, (double[]){0.8, 100, 70}, NULL));
    ops->free(model);
}

/* The JSON that save() appends, as an object. */
static cJSON *saved_json(const void *model, const char *path)
{
    or_buffer json = {0};
    cJSON *object;
    assert_ok(or_buffer_puts(&json, "{\"classifier\": \"svm\""));
    assert_ok(or_classifier_svm.save(model, path, &json));
    assert_ok(or_buffer_puts(&json, "}"));
    assert_ok(or_json_parse(json.data, json.size, "saved", &object));
    or_buffer_free(&json);
    return object;
}

/* Makes the policy vouch for these bytes as its model file. */
static void put_hash(cJSON *json, const or_buffer *text)
{
    char hash[17];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits(text->data, text->size));
    cJSON_ReplaceItemInObject(cJSON_GetObjectItem(json, "svm"), "hash", cJSON_CreateString(hash));
}

static void test_svm_comes_back_bit_for_bit(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_svm;
    const char *kernels[] = {"linear", "rbf"};
    data_set data;
    for (int k = 0; k < 2; k++) {
        or_fit_rows rows = make_rows(&data, true, k == 0);
        or_train_options options = with_kernel(kernels[k]);
        void *model, *again;
        char path[1024];
        snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "exits.json"));
        assert_ok(ops->fit(&rows, &options, &model));
        cJSON *json = saved_json(model, path);
        const cJSON *entry = or_json_find(json, "svm");
        assert_string_equal(or_json_find(entry, "file")->valuestring, "exits.svm");
        assert_ok(ops->load(json, path, WIDE, &again));
        for (int i = 0; i < ROWS; i++) {
            double before = ops->score(model, data.x + i * WIDE, NULL),
                   after = ops->score(again, data.x + i * WIDE, NULL);
            assert_memory_equal(&before, &after, sizeof before);
        }
        assert_true(ops->cost(model) == ops->cost(again));
        assert_int_equal(ops->cost(model) % (WIDE + 2), 0);
        assert_true(ops->cost(model) >= 2 * (WIDE + 2));
        ops->free(model);
        ops->free(again);
        cJSON_Delete(json);
    }
}

/* The sum as it is defined, over the lines "coef 1:x 2:y ..." of a model file; `norm` is that of |coef|. */
static double sum_of_file(const char *text, bool rbf, double gamma, const double *z, double *norm)
{
    double sum = 0, rho = 0;
    *norm = 0;
    assert_int_equal(sscanf(strstr(text, "\nrho "), " rho %lf", &rho), 1);
    char *at = strstr(text, "\nSV\n") + 4, *end;
    for (double coef; coef = strtod(at, &end), end > at; at = end) {
        double product = 0, distance = 0, value;
        for (int index, used; sscanf(end, " %d:%lf%n", &index, &value, &used) == 2; end += used) {
            product += value * z[index - 1];
            distance += (value - z[index - 1]) * (value - z[index - 1]);
        }
        sum += coef * (rbf ? exp(-gamma * distance) : product);
        *norm += fabs(coef);
    }
    return sum - rho;
}

static void test_svm_adds_up_what_the_file_says(void **state)
{
    (void)state;
    const or_classifier_ops *ops = &or_classifier_svm;
    data_set data;
    or_fit_rows rows = make_rows(&data, true, true);
    for (int rbf = 0; rbf < 2; rbf++) {
        or_train_options options = with_kernel(rbf ? "rbf" : "linear");
        options.gamma = 3; /* some are far: their terms vanish */
        const char *path = path_in(scratch_folder(), "exits.json");
        char file[300];
        void *model;
        or_buffer text = {0};
        assert_ok(ops->fit(&rows, &options, &model));
        cJSON *json = saved_json(model, path), *entry = cJSON_GetObjectItem(json, "svm");
        snprintf(file, sizeof file, "%.*s.svm", (int)strlen(path) - 5, path);
        assert_ok(or_file_read(file, &text));
        for (size_t i = 0; i < rows.rows; i++) {
            double z[WIDE], norm;
            for (int j = 0; j < WIDE; j++)
                z[j] = (rows.x[i * WIDE + (size_t)j] -
                        cJSON_GetArrayItem(or_json_find(entry, "offset"), j)->valuedouble) *
                       cJSON_GetArrayItem(or_json_find(entry, "scale"), j)->valuedouble;
            const double sum = sum_of_file(text.data, rbf, 3, z, &norm);
            assert_near(fabs(ops->score(model, rows.x + i * WIDE, NULL)), fabs(sum), 1e-11 * norm);
        }
        assert_true(isnan(ops->score(model, (double[WIDE]){0, NAN}, NULL)));
        or_buffer_free(&text);
        cJSON_Delete(json);
        ops->free(model);
    }
}

/* libsvm's decision value is positive for whichever label comes first in the file. */
static void test_svm_of_another_label_order(void **state)
{
    (void)state;
    data_set data;
    or_fit_rows rows = make_rows(&data, false, true);
    or_train_options options = with_kernel("rbf");
    void *model, *turned;
    char path[1024], file[1024];
    or_buffer text = {0};
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "p.json"));
    snprintf(file, sizeof file, "%.*s.svm", (int)strlen(path) - 5, path);
    assert_ok(or_classifier_svm.fit(&rows, &options, &model));
    cJSON *json = saved_json(model, path);
    assert_ok(or_file_read(file, &text));
    char *label = strstr(text.data, "label 1 -1");
    assert_non_null(label);
    memcpy(label, "label -1 1", 10);
    put_hash(json, &text);
    put_file(file, text.data, text.size);
    assert_ok(or_classifier_svm.load(json, path, WIDE, &turned));
    for (int i = 0; i < ROWS; i++)
        assert_true(or_classifier_svm.score(turned, data.x + i * WIDE, NULL) ==
                    -or_classifier_svm.score(model, data.x + i * WIDE, NULL));
    or_classifier_svm.free(model);
    or_classifier_svm.free(turned);
    or_buffer_free(&text);
    cJSON_Delete(json);
}

static void test_svm_describes_what_it_was_told(void **state)
{
    (void)state;
    or_buffer json = {0};
    or_train_options options = with_kernel("rbf");
    assert_ok(or_classifier_svm.describe(&options, 4, &json));
    assert_string_equal(json.data, "\"kernel\": \"rbf\", \"c\": 10, \"gamma\": 0.25, \"error_weight\": 20, ");
    json.size = 0;
    options = with_kernel("linear");
    assert_ok(or_classifier_svm.describe(&options, 4, &json));
    assert_string_equal(json.data, "\"kernel\": \"linear\", \"c\": 10, \"error_weight\": 20, ");
    or_buffer_free(&json);
}

/* A small model file with `broken` (a line number from 1, 0 for none) replaced. */
static or_status check_with(int broken, const char *line)
{
    const char *lines[] = {"svm_type c_svc", "kernel_type rbf", "gamma 0.5", "nr_class 2", "total_sv 2",
                           "rho 0.25",       "label 1 -1",      "nr_sv 1 1", "SV",         "1 1:0.5 3:-1e-3 ",
                           "-1 2:2 "};
    or_buffer text = {0};
    for (int i = 0; i < 11; i++) {
        const char *put = i + 1 == broken ? line : lines[i];
        assert_ok(or_buffer_printf(&text, put[0] == '!' ? "%s" : "%s\n", put[0] == '!' ? put + 1 : put));
    }
    or_status status = or_svm_file_check(text.data, text.size, "m.svm", 3);
    or_buffer_free(&text);
    return status;
}

static void test_svm_file_is_checked_line_by_line(void **state)
{
    (void)state;
    static const struct {
        int number;
        const char *line, *part;
    } broken[] = {
        {1, "svm_type nu_svc", "line 1 is \"svm_type nu_svc\", expected svm_type c_svc"},
        {1, "svm_type c_svc x", "line 1"},
        {2, "kernel_type sigmoid", "expected \"kernel_type rbf\" or \"kernel_type linear\""},
        {2, "kernel_type linear", "line 3"}, /* gamma belongs to rbf alone */
        {3, "gamma -1", "line 3 is \"gamma -1\""},
        {3, "gamma nan", "line 3"},
        {3, "gamma 0x1", "line 3"},
        {3, "gamma", "line 3"},
        {4, "nr_class 3", "expected nr_class 2"},
        {5, "total_sv -2", "line 5"},
        {5, "total_sv 1", "line 5"},
        {5, "total_sv 2.5", "line 8"},
        {5, "total_sv 99999999999", "line 5"},
        {5, "total_sv 3", "line 8"},
        {6, "rho inf", "line 6"},
        {6, "rho 1 2", "line 6"},
        {7, "label 0 1", "line 7"},
        {7, "label 1 -1 2", "line 7"},
        {8, "nr_sv 2 0", "line 8"},
        {8, "nr_sv 2", "line 8"},
        {8, "nr_sv 1 2", "line 8"},
        {9, "SVs", "line 9 is \"SVs\", expected SV"},
        {10, "", "line 10"},
        {10, "x 1:1", "line 10"},
        {10, "1 0:1", "line 10"},
        {10, "1 4:1", "line 10"},
        {10, "1 2:1 2:1", "line 10"},
        {10, "1 2:1 1:1", "line 10"},
        {10, "1 1:", "line 10"},
        {10, "1 1 2", "line 10"},
        {10, "1  1:1", "line 10"},
        {10, "1 1:1e999", "line 10"},
        {10, "1 99999999999:1", "line 10"},
        {10, "!1 1:1", "line 10"}, /* no newline: the next line runs on */
        {11, "!-1 2:2", "the file ends in line 11"},
        {11, "!", "the file ends in line 11"},
        {11, "-1 2:2\n1 1:1", "line 12 is \"1 1:1\", expected the end"},
        {11, "-1 2:2\n", "line 12"},
        {11, "!-1 2:2\nx", "the file ends in line 12"},
    };
    assert_ok(check_with(0, ""));
    assert_ok(check_with(7, "label -1 1"));
    assert_ok(check_with(10, "1")); /* all features 0 */
    assert_ok(check_with(2, "kernel_type rbf"));
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_fails(check_with(broken[i].number, broken[i].line), OR_ERR_INPUT, broken[i].part);
    assert_fails(or_svm_file_check("", 0, "m.svm", 3), OR_ERR_INPUT, "(m.svm): the file ends in line 1");
    assert_fails(or_svm_file_check("a\0b", 3, "m.svm", 3), OR_ERR_INPUT, "NUL");
}

/* A changed file is refused by its hash; and where somebody has put the hash right again, what the check lets
 * pass must be a file that libsvm reads without harm (which the sanitizers see). */
static void test_svm_files_with_random_damage(void **state)
{
    (void)state;
    data_set data;
    or_fit_rows rows = make_rows(&data, false, true);
    or_train_options options = with_kernel("rbf");
    void *model;
    char path[1024], file[1024];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "p.json"));
    snprintf(file, sizeof file, "%.*s.svm", (int)strlen(path) - 5, path);
    assert_ok(or_classifier_svm.fit(&rows, &options, &model));
    cJSON *json = saved_json(model, path);
    or_classifier_svm.free(model);
    or_buffer text = {0};
    assert_ok(or_file_read(file, &text));
    uint64_t seed = 5;
    int passed = 0, refused = 0;
    for (int i = 0; i < 1000; i++) {
        size_t at = random_bits(&seed) % (i % 2 ? text.size : 150); /* half of them in the first lines */
        char kept = text.data[at], put = "0123456789+-.e: \nSx"[random_bits(&seed) % 19];
        if (put == kept) continue;
        text.data[at] = put;
        put_file(file, text.data, text.size);
        assert_fails(or_classifier_svm.load(json, path, WIDE, &model), OR_ERR_INPUT, "its hash is");
        cJSON *vouching = cJSON_Duplicate(json, true);
        put_hash(vouching, &text);
        if (or_classifier_svm.load(vouching, path, WIDE, &model) == OR_OK) {
            (void)or_classifier_svm.score(model, data.x, NULL);
            or_classifier_svm.free(model);
            passed++;
        } else {
            refused++;
        }
        cJSON_Delete(vouching);
        text.data[at] = kept;
    }
    assert_true(passed > 100 && refused > 100);
    or_buffer_free(&text);
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_svm_separates),
        cmocka_unit_test(test_svm_weighs_errors),
        cmocka_unit_test(test_svm_ignores_a_feature_that_never_varied),
        cmocka_unit_test(test_svm_comes_back_bit_for_bit),
        cmocka_unit_test(test_svm_adds_up_what_the_file_says),
        cmocka_unit_test(test_svm_of_another_label_order),
        cmocka_unit_test(test_svm_describes_what_it_was_told),
        cmocka_unit_test(test_svm_file_is_checked_line_by_line),
        cmocka_unit_test(test_svm_files_with_random_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
