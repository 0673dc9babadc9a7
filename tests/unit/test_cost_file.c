/* test_cost_file.c - costs of ranks as files: what was written reads back, and what is wrong is refused by name. */
#include "support.h"

#include "cost_file.h"

static const char *write_costs(const char *text)
{
    const char *path = path_in(scratch_folder(), "costs.json");
    put_text(path, text);
    return path;
}

static void refuse(const char *text, int n_ranks, const char *part)
{
    or_costs costs;
    assert_fails(or_costs_read(write_costs(text), n_ranks, &costs), OR_ERR_INPUT, part);
    or_costs_free(&costs);
}

static void ranks_are_read_in_order(void **state)
{
    (void)state;
    or_costs costs;
    const char *path =
        write_costs("{\"measured_on\": \"a cluster\", \"ranks\": ["
                    "{\"count\": 2, \"layer\": [[1, 0.5], [8, 0.75]], \"ramp\": [[2, 0.25]], \"embed\": 1e-3,"
                    " \"latency\": 2e-6, \"bandwidth\": 12.5e9, \"memory\": 64000000000},"
                    "{\"layer\": [[4, 1]]}, {\"layer\": [[4, 2]]}]}");
    assert_ok(or_costs_read(path, 6, &costs));
    assert_int_equal(costs.n_ranks, 6);
    assert_string_equal(costs.measured_on, "a cluster");
    for (int r = 0; r < 2; r++) {
        const or_rank_cost *rank = &costs.ranks[r];
        assert_int_equal(rank->layer.n_points, 2);
        assert_true(rank->layer.rows[1] == 8 && rank->layer.seconds[1] == 0.75);
        assert_true(rank->ramp.n_points == 1 && rank->ramp.rows[0] == 2 && rank->ramp.seconds[0] == 0.25);
        assert_true(rank->embed == 1e-3 && rank->latency == 2e-6 && rank->bandwidth == 12.5e9);
        assert_true(rank->memory == 64000000000);
    }
    assert_true(costs.ranks[2].layer.seconds[0] == 1); /* one of its kind, as another follows */
    for (int r = 3; r < 6; r++) {                      /* the last kind is that of all the others */
        assert_true(costs.ranks[r].layer.seconds[0] == 2 && costs.ranks[r].bandwidth == 0);
        assert_int_equal(costs.ranks[r].ramp.n_points, 0);
    }
    or_costs_free(&costs);
    assert_ok(or_costs_read(path, 1, &costs)); /* the first of them */
    assert_true(costs.n_ranks == 1 && costs.ranks[0].layer.n_points == 2);
    or_costs_free(&costs);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    const or_rank_cost a = {{2, {1, 512}, {0.1, 1.0 / 3}}, {1, {1}, {1e-7}}, 3e-9, 2e-6, 1.25e9, 123456789},
                       b = {{1, {7}, {1e-300}}, {0}, 0, 0, 0, 0};
    or_rank_cost ranks[4] = {a, b, b, a};
    const char *path = path_in(scratch_folder(), "written.json");
    or_costs read;
    assert_ok(or_costs_write(path, &(or_costs){4, ranks, "\"quoted\"\n"}));
    refuse("{\"ranks\": [{\"count\": 4, \"layer\": [[1, 1]]}]}", 5, "it is of 4 ranks, expected 5 or more");
    assert_ok(or_costs_read(path, 4, &read));
    assert_string_equal(read.measured_on, "\"quoted\"\n");
    for (int r = 0; r < 4; r++) {
        assert_int_equal(read.ranks[r].layer.n_points, ranks[r].layer.n_points);
        assert_memory_equal(&read.ranks[r].layer.rows, &ranks[r].layer.rows, sizeof ranks[r].layer.rows);
        assert_memory_equal(&read.ranks[r].layer.seconds, &ranks[r].layer.seconds,
                            sizeof ranks[r].layer.seconds);
        assert_int_equal(read.ranks[r].ramp.n_points, ranks[r].ramp.n_points);
        assert_true(read.ranks[r].ramp.seconds[0] == ranks[r].ramp.seconds[0]);
        assert_true(read.ranks[r].embed == ranks[r].embed && read.ranks[r].latency == ranks[r].latency);
        assert_true(read.ranks[r].bandwidth == ranks[r].bandwidth && read.ranks[r].memory == ranks[r].memory);
    }
    or_costs_free(&read);
    assert_fails(or_costs_read(path, 5, &read), OR_ERR_INPUT, "it is of 4 ranks");
    or_costs_free(&read);
    ranks[1] = ranks[2] = a; /* all alike: of any number */
    assert_ok(or_costs_write(path, &(or_costs){4, ranks, NULL}));
    assert_ok(or_costs_read(path, 64, &read));
    assert_true(read.n_ranks == 64 && read.ranks[63].layer.seconds[1] == 1.0 / 3 && !read.measured_on);
    or_costs_free(&read);
}

static void what_is_wrong_is_refused_by_name(void **state)
{
    (void)state;
    or_costs costs;
    refuse("[]", 1, "found no object");
    refuse("{}", 1, "\"ranks\" is nothing, expected an array");
    refuse("{\"ranks\": []}", 1, "it is of 0 ranks, expected 1 or more");
    refuse("{\"ranks\": [7]}", 1, "entry 1 of \"ranks\"): found no object");
    refuse("{\"ranks\": [{}]}", 1, "\"layer\" is nothing");
    refuse("{\"ranks\": [{\"layer\": []}]}", 1, "\"layer\" has 0 points, expected 1 to 8");
    refuse("{\"ranks\": [{\"layer\": [[1,1],[2,1],[3,1],[4,1],[5,1],[6,1],[7,1],[8,1],[9,1]]}]}", 1,
           "\"layer\" has 9 points");
    refuse("{\"ranks\": [{\"layer\": [[1, 1], 5]}]}", 1, "point 2 of \"layer\" is no [rows, seconds]");
    refuse("{\"ranks\": [{\"layer\": [[1, 1, 1]]}]}", 1, "point 1 of \"layer\" is no");
    refuse("{\"ranks\": [{\"layer\": [[1, \"1\"]]}]}", 1, "point 1 of \"layer\" is no");
    refuse("{\"ranks\": [{\"layer\": [[0, 1]]}]}", 1, "is of 0 rows, expected more than 0");
    refuse("{\"ranks\": [{\"layer\": [[1, 1], [1, 2]]}]}", 1,
           "point 2 of \"layer\" is of 1 rows, expected more than 1");
    refuse("{\"ranks\": [{\"layer\": [[1e300, 1]]}]}", 1, "is of 1e+300 rows");
    refuse("{\"ranks\": [{\"layer\": [[1, -1]]}]}", 1, "takes -1 seconds");
    refuse("{\"ranks\": [{\"layer\": [[1, 1e999]]}]}", 1, "takes inf seconds");
    refuse("{\"ranks\": [{\"layer\": [[1, 1]], \"ramp\": 3}]}", 1, "\"ramp\" is a number, expected an array");
    refuse("{\"ranks\": [{\"layer\": [[1, 1]], \"latency\": -1}]}", 1,
           "\"latency\" is -1, expected a number from 0");
    refuse("{\"ranks\": [{\"layer\": [[1, 1]], \"memory\": 0.5}]}", 1,
           "\"memory\" is 0.5, expected a whole number");
    refuse("{\"ranks\": [{\"layer\": [[1, 1]], \"count\": 0}]}", 1, "\"count\" is 0");
    refuse("{\"ranks\": [{\"layer\": [[1, 1]], \"bandwith\": 1}]}", 1, "found \"bandwith\"");
    refuse("{\"measured\": 1, \"ranks\": []}", 1, "found \"measured\"");
    /* also behind the ranks that are wanted */
    refuse("{\"ranks\": [{\"layer\": [[1, 1]]}, {\"layer\": [[1, -1]]}]}", 1, "entry 2 of \"ranks\"");
    assert_fails(or_costs_read("/nowhere/costs.json", 1, &costs), OR_ERR_INPUT, "/nowhere/costs.json");
    or_costs_free(&costs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_read_in_order),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_is_wrong_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
