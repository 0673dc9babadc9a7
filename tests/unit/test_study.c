/* test_study.c - a study's config, its scopes, and its figures against hand-made traces. */
#include "study.h"

#include "support.h"

#include <math.h>

/* ---- figures ------------------------------------------------------------------------------------------ */

/* Three instances of 4 layers; layers cost 100, a ramp or head 10.
 *
 *            token after layer     final  answer   oracle
 *              1   2   3   4
 *      0       5   7   7   7         7      7         2
 *      1       5   5   6   6         6      5         3
 *      2       9   9   9   9         9     -1         1   (an answer that is generated: not counted) */
static or_trace make_trace(void)
{
    static const int32_t tokens[3][4] = {{5, 7, 7, 7}, {5, 5, 6, 6}, {9, 9, 9, 9}};
    static const int32_t answers[3] = {7, 5, -1};
    or_trace trace = {.meta = {.n_layers = 4, .n_vocab = 50, .layer_macs = 100, .ramp_macs = 10}};
    assert_ok(OR_NEW(trace.items, 3));
    for (int i = 0; i < 3; i++, trace.count++) {
        or_trace_item *item = &trace.items[i];
        *item = (or_trace_item){.index = i, .final_token = tokens[i][3], .answer_token = answers[i]};
        assert_ok(or_strdup("t", &item->task));
        assert_ok(OR_NEW(item->seen, 4));
        for (int l = 0; l < 4; l++)
            item->seen[l] =
                (or_observation){.layer = l + 1, .token = tokens[i][l], .gap = l < 1 ? 0.2f : 0.6f};
    }
    return trace;
}

static void test_full_depth_and_oracle(void **state)
{
    (void)state;
    or_trace trace = make_trace();
    or_figures f;
    or_figures_full(&trace, &f);
    assert_int_equal(f.n, 3);
    assert_near(f.accuracy, 0.5, 1e-12);
    assert_near(f.standard_error, sqrt(0.5 * 0.5 / 1), 1e-12);
    assert_true(f.agreement == 1 && f.exit_layer_mean == 4 && f.exit_layer_var == 0 && f.layers_saved == 0);
    assert_near(f.flops_ratio, 1, 1e-12);
    assert_near(f.oracle_saved, 0.5, 1e-12);
    or_figures_oracle(&trace, &f);
    assert_near(f.accuracy, 0.5, 1e-12);
    assert_true(f.agreement == 1);
    assert_near(f.exit_layer_mean, 2, 1e-12);
    assert_near(f.exit_layer_var, 1, 1e-12);
    assert_near(f.layers_saved, 0.5, 1e-12);
    assert_near(f.flops_ratio, (600 + 30) / (3 * 410.0), 1e-12);
    or_trace_free(&trace);
}

/* Ramps after layers 1 and 2, of the gap at 0.5: all leave behind layer 2, the second one wrongly. */
static void test_policy(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "gap.json");
    put_text(
        path,
        "{\"format\": \"offramp-policy-1\", \"classifier\": \"gap\", \"features\": [\"gap\"], \"layers\": 4,"
        " \"ramps\": [1, 2], \"threshold\": 0.5, \"fingerprint\": \"0000000000000000\"}");
    or_trace trace = make_trace();
    or_policy *policy;
    or_figures f;
    assert_ok(or_policy_load(path, &policy));
    or_figures_policy(policy, &trace, &f);
    assert_near(f.accuracy, 1, 1e-12); /* 7 and 5: what layer 2 says of the second one is the answer */
    assert_near(f.agreement, 2.0 / 3, 1e-12);
    assert_true(f.exit_layer_mean == 2 && f.exit_layer_var == 0);
    assert_near(f.flops_ratio, (600 + 6 * (10 + (double)or_policy_cost(policy))) / (3 * 410.0), 1e-12);
    or_policy_free(policy);
    or_trace_free(&trace);
}

static void test_without_some_layers(void **state)
{
    (void)state;
    or_trace trace = make_trace(), pruned = make_trace();
    or_figures f;
    pruned.meta.n_layers = 3;
    pruned.items[0].final_token = 8;
    or_figures_pruned(&trace, &pruned, &f);
    assert_near(f.accuracy, 0, 1e-12); /* 8 and 6 */
    assert_near(f.agreement, 2.0 / 3, 1e-12);
    assert_near(f.layers_saved, 0.25, 1e-12);
    assert_near(f.flops_ratio, 310 / 410.0, 1e-12);
    pruned.items[0].index = 7; /* as if the first were too long for one of the models */
    or_figures_pruned(&trace, &pruned, &f);
    assert_int_equal(f.n, 2);
    assert_true(f.agreement == 1);
    or_trace_free(&pruned);
    or_trace_free(&trace);
}

static void test_nothing_traced(void **state)
{
    (void)state;
    or_trace trace = {.meta = {.n_layers = 4, .layer_macs = 1}};
    or_figures f;
    or_figures_full(&trace, &f);
    assert_int_equal(f.n, 0);
    assert_true(isnan(f.accuracy));
}

/* ---- config ------------------------------------------------------------------------------------------- */

/* Two groups of three tasks in a folder of their own: rows 1..5 test, three rows train. */
static const char *make_config(char path[1024], const char *more)
{
    const char *folder = scratch_folder();
    char text[2048];
    for (int t = 0; t < 3; t++) {
        char name[32], rows[512] = "";
        snprintf(name, sizeof name, "t%d.json", t);
        snprintf(text, sizeof text,
                 "{\"name\": \"t%d\", \"format\": \"jsonl\", \"train\": \"train.jsonl\", \"test\": "
                 "\"test%d.jsonl\","
                 " \"prompt\": \"Q: {input}\\nA:\"}",
                 t, t);
        put_text(path_in(folder, name), text);
        for (int i = 0; i < 5; i++)
            snprintf(rows + strlen(rows), sizeof rows - strlen(rows),
                     "{\"input\": \"%d\", \"output\": \"%d\"}\n", i, t);
        snprintf(name, sizeof name, "test%d.jsonl", t);
        put_text(path_in(folder, name), rows);
    }
    put_text(path_in(folder, "train.jsonl"), "{\"input\": \"a\", \"output\": \"b\"}\n"
                                             "{\"input\": \"c\", \"output\": \"d\"}\n"
                                             "{\"input\": \"e\", \"output\": \"f\"}\n");
    snprintf(text, sizeof text,
             "{\"models\": {\"m\": \"model\"}, \"groups\": {\"one\": [\"t0.json\"], \"two\": {\"tasks\": "
             "[\"t[12].json\"],"
             " \"halves\": true}}, \"policies\": {\"svm\": {\"guarantee\": 0.9}, \"cut\": {\"drop\": 2},"
             " \"own\": {\"paper\": true, \"on\": \"task\"}}%s}",
             more);
    snprintf(path, 1024, "%s", path_in(folder, "study.json"));
    put_text(path, text);
    return path;
}

static void test_config(void **state)
{
    (void)state;
    char path[1024];
    or_study study;
    assert_ok(or_study_open(make_config(path, ", \"shots\": [0, 3], \"generalisation\": [\"svm\"]"), &study));
    assert_ok(or_study_load(&study, NULL));
    assert_int_equal(study.n_tasks, 3);
    assert_int_equal(study.n_groups, 2);
    assert_int_equal(study.groups[1].first, 1);
    assert_int_equal(study.groups[1].end, 3);
    assert_true(study.groups[1].halves && !study.groups[0].halves);
    assert_int_equal(study.policies[1].drop, 2);
    assert_true(study.policies[0].train.guarantee == 0.9 && study.policies[0].train.test_share == 0);
    assert_true(study.policies[2].train.everywhere && study.policies[2].train.target_agreement == 0);
    assert_true(study.transfers[0] && !study.transfers[1] && !study.transfers[2]);
    or_study_close(&study);
}

/* 0 is all tasks, 1 and 2 are the groups, 3 .. 5 the tasks. */
static void test_scopes(void **state)
{
    (void)state;
    char path[1024];
    or_study study;
    assert_ok(or_study_open(make_config(path, ""), &study));
    assert_ok(or_study_load(&study, NULL));
    assert_int_equal(or_study_scopes(&study), 6);
    assert_int_equal(or_study_scope_of(&study, OR_STUDY_ON_ALL, 2), 0);
    assert_int_equal(or_study_scope_of(&study, OR_STUDY_ON_GROUP, 2), 2);
    assert_int_equal(or_study_scope_of(&study, OR_STUDY_ON_TASK, 2), 5);
    assert_string_equal(or_study_scope_name(&study, 0), "all");
    assert_string_equal(or_study_scope_name(&study, 2), "two");
    assert_string_equal(or_study_scope_name(&study, 5), "t2");
    or_study_close(&study);
}

/* Three train rows: a train row has two others for demonstrations. With halves only test rows are traced. */
static void test_units(void **state)
{
    (void)state;
    char path[1024];
    static const struct {
        size_t task;
        int shots;
        or_split split;
    } expected[] = {{0, 0, OR_SPLIT_TEST}, {0, 0, OR_SPLIT_TRAIN}, {0, 3, OR_SPLIT_TEST},
                    {1, 0, OR_SPLIT_TEST}, {1, 3, OR_SPLIT_TEST},  {2, 0, OR_SPLIT_TEST},
                    {2, 3, OR_SPLIT_TEST}};
    or_study study;
    or_study_unit *units;
    size_t count;
    assert_ok(or_study_open(make_config(path, ", \"shots\": [0, 3, 4]"), &study));
    assert_ok(or_study_load(&study, NULL));
    assert_ok(or_study_units(&study, &units, &count));
    assert_int_equal(count, sizeof expected / sizeof expected[0]);
    for (size_t u = 0; u < count; u++) {
        assert_int_equal(units[u].task, expected[u].task);
        assert_int_equal(units[u].shots, expected[u].shots);
        assert_int_equal(units[u].split, expected[u].split);
    }
    free(units);
    or_study_close(&study);
}

/* Odd rows of what was traced train, even ones test; a trace of other rows is not taken for it. */
static void test_halves(void **state)
{
    (void)state;
    char path[1024], *file, *other;
    or_study study;
    assert_ok(or_study_open(make_config(path, ""), &study));
    assert_ok(or_study_load(&study, NULL));
    study.output = scratch_folder();
    const or_study_unit unit = {1, 0, OR_SPLIT_TEST};
    for (size_t t = 1; t < 3; t++) {
        or_trace_writer *writer;
        assert_ok(or_study_trace_path(&study, 0, "", (or_study_unit){t, 0, OR_SPLIT_TEST}, &file));
        assert_ok(or_trace_begin(file, 2, &writer));
        for (int i = 0; i < 5; i++) {
            or_observation seen[2] = {{.layer = 1}, {.layer = 2}};
            or_trace_item item = {.task = t == 1 ? "t1" : "t2", .index = i, .seen = seen};
            assert_ok(or_trace_put(writer, &item));
        }
        assert_ok(or_trace_end(writer, &(or_trace_meta){.n_layers = 2, .layer_macs = 1, .ramp_macs = 1}));
        free(file);
    }
    for (int split = 0; split < 2; split++) {
        or_trace trace = {0};
        assert_ok(or_study_gather(&study, 0, "", 2, -1, split ? OR_SPLIT_TRAIN : OR_SPLIT_TEST, &trace));
        assert_int_equal(trace.count, split ? 4 : 6);
        for (size_t i = 0; i < trace.count; i++) assert_int_equal(trace.items[i].index % 2, split);
        or_trace_free(&trace);
    }
    assert_ok(or_study_trace_path(&study, 0, "", unit, &file));
    study.seed = 2;
    assert_ok(or_study_trace_path(&study, 0, "", unit, &other));
    assert_string_not_equal(file, other);
    free(other);
    free(file);
    or_study_close(&study);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_depth_and_oracle),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_without_some_layers),
        cmocka_unit_test(test_nothing_traced),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
