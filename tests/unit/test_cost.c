/* test_cost.c - forecasts against sums by hand, and the best plan against all plans. */
#include "support.h"

#include <offramp/cost.h>

#include <math.h>

/* A layer of 1 s for 10 rows and 3 s for 30; a ramp takes 0.5 s for 10 riders. */
static or_rank_cost simple_rank(void)
{
    return (or_rank_cost){
        .layer = {2, {10, 30}, {1, 3}},
        .ramp = {1, {10}, {0.5}},
        .embed = 0.01,
        .latency = 0.125,
        .bandwidth = 100,
    };
}

static void a_curve_goes_through_its_points(void **state)
{
    (void)state;
    const or_cost_curve curve = {3, {1, 8, 16}, {2, 3, 7}}, none = {0};
    const double rows[] = {0, 0.25, 1, 4.5, 8, 12, 16, 48}, seconds[] = {0, 2, 2, 2.5, 3, 5, 7, 21};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_near(or_cost_at(&curve, rows[i]), seconds[i], 1e-12);
    assert_true(or_cost_at(&none, 5) == 0);
}

static void a_forecast_adds_up_what_is_left(void **state)
{
    (void)state;
    const or_rank_cost ranks[2] = {simple_rank(), simple_rank()};
    const double left[] = {1, 0.5, 0.5, 0.25, 0};
    const bool ramp[] = {false, true, false, true, false};
    const or_load load = {4, 20, 10, 4, left, ramp, false};
    const or_plan plan = {2, {0, 3, 4}};
    or_forecast f;
    or_forecast_make(&plan, ranks, &load, &f);
    /* 20 rows through layer 1, 10 through 2 and 3; ramps of 10 and 5 riders; then 5 rows and the head of 2.5 */
    assert_near(f.stage[0], 0.2 + 2 + 1 + 1 + 0.5 + 0.5, 1e-12);
    assert_near(f.stage[1], 1 + 0.5, 1e-12);
    assert_near(f.link[0], 0.125 + 5 * 4 / 100.0, 1e-12);
    assert_true(f.link[1] == 0);
    assert_near(f.slowest, f.stage[0], 0);
    assert_near(f.through, f.stage[0] + f.link[0] + f.stage[1], 1e-12);
    assert_near(f.requests_per_second, 10 / f.stage[0], 1e-12);
    assert_near(or_forecast_seconds(&f, 3), f.through + 2 * f.slowest, 1e-12);
}

/* ---- all plans ------------------------------------------------------------------------------------------ */

typedef struct problem {
    int n_ranks, n_layers;
    or_rank_cost ranks[5];
    or_load load;
    double left[12];
    bool ramp[12];
    uint64_t layer_bytes[12];
    or_plan best;
    double slowest, squares;
} problem;

static uint64_t bytes_of(const void *context, int stage, int first, int last)
{
    const problem *p = context;
    uint64_t bytes = stage == 0 ? 5 : 0;
    for (int layer = first; layer < last; layer++) bytes += p->layer_bytes[layer];
    return bytes;
}

static void judge(problem *p, const or_plan *plan)
{
    or_forecast f;
    double squares = 0;
    or_forecast_make(plan, p->ranks, &p->load, &f);
    for (int s = 0; s < plan->n_stages; s++) {
        const double pace = fmax(f.stage[s], f.link[s]);
        squares += pace * pace;
        if (p->ranks[s].memory && bytes_of(p, s, plan->bound[s], plan->bound[s + 1]) > p->ranks[s].memory)
            return;
    }
    if (f.slowest > p->slowest || (f.slowest == p->slowest && squares >= p->squares)) return;
    p->slowest = f.slowest;
    p->squares = squares;
    p->best = *plan;
}

static void try_all(problem *p, or_plan *plan, int stage)
{
    const int first = plan->bound[stage];
    if (stage + 1 == p->n_ranks) {
        plan->bound[stage + 1] = p->n_layers;
        judge(p, plan);
        return;
    }
    for (int end = first + 1; end <= p->n_layers - (p->n_ranks - stage - 1); end++) {
        plan->bound[stage + 1] = end;
        try_all(p, plan, stage + 1);
    }
}

static double draw(uint64_t *seed)
{
    return random_bits(seed) * 0x1p-32;
}

static void make_problem(problem *p, uint64_t *seed, bool limited)
{
    *p = (problem){.n_layers = 1 + (int)(random_bits(seed) % 10), .slowest = INFINITY, .squares = INFINITY};
    p->n_ranks = 1 + (int)(random_bits(seed) % (uint32_t)(p->n_layers < 5 ? p->n_layers : 5));
    p->left[0] = 1;
    for (int layer = 1; layer <= p->n_layers; layer++) {
        p->left[layer] = p->left[layer - 1] * (random_bits(seed) % 3 ? 1 : draw(seed));
        p->ramp[layer] = layer < p->n_layers && random_bits(seed) % 2;
    }
    for (int layer = 0; layer < p->n_layers; layer++) p->layer_bytes[layer] = 1 + random_bits(seed) % 9;
    for (int s = 0; s < p->n_ranks; s++) {
        p->ranks[s] = simple_rank();
        p->ranks[s].layer.seconds[1] = 1 + 5 * draw(seed); /* ranks differ */
        p->ranks[s].bandwidth = random_bits(seed) % 4 ? 1000 : 10;
        if (limited) p->ranks[s].memory = 4 + random_bits(seed) % 40;
    }
    p->load = (or_load){p->n_layers, 64 * draw(seed) + 1, 10, 4, p->left, p->ramp, false};
}

static void the_best_plan_is_the_best_of_all(void **state)
{
    (void)state;
    uint64_t seed = 7;
    int refused = 0;
    for (int round = 0; round < 2000; round++) {
        problem p;
        or_plan all = {0}, plan;
        make_problem(&p, &seed, round % 2);
        all.n_stages = p.n_ranks;
        try_all(&p, &all, 0);
        if (p.slowest == INFINITY) {
            assert_fails(or_plan_best(p.n_ranks, p.ranks, &p.load, bytes_of, &p, &plan), OR_ERR_INPUT,
                         "does not fit");
            refused++;
            continue;
        }
        assert_ok(or_plan_best(p.n_ranks, p.ranks, &p.load, bytes_of, &p, &plan));
        or_forecast f;
        double squares = 0;
        or_forecast_make(&plan, p.ranks, &p.load, &f);
        for (int s = 0; s < plan.n_stages; s++) {
            const double pace = fmax(f.stage[s], f.link[s]);
            squares += pace * pace;
        }
        assert_int_equal(plan.n_stages, p.n_ranks);
        assert_near(f.slowest, p.slowest, 1e-12 * p.slowest);
        assert_near(squares, p.squares, 1e-9 * p.squares);
    }
    if (refused < 20 || refused > 900) fail_msg("%d of 1000 limited problems were refused", refused);
}

static void equal_layers_are_split_evenly_where_nobody_leaves(void **state)
{
    (void)state;
    or_rank_cost ranks[7];
    for (int s = 0; s < 7; s++) ranks[s] = (or_rank_cost){.layer = {1, {1}, {1}}};
    for (int n = 1; n <= 7; n++) {
        const or_load load = {30, 100, 10, 4, NULL, NULL, false};
        or_plan plan, even;
        assert_ok(or_plan_even(30, n, &even));
        assert_ok(or_plan_best(n, ranks, &load, NULL, NULL, &plan));
        for (int s = 0; s <= n; s++) assert_int_equal(plan.bound[s], even.bound[s]);
    }
    or_plan plan;
    const or_load thin = {3, 1, 1, 4, NULL, NULL, false};
    assert_fails(or_plan_best(4, ranks, &thin, NULL, NULL, &plan), OR_ERR_USAGE, "more ranks than layers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_curve_goes_through_its_points),
        cmocka_unit_test(a_forecast_adds_up_what_is_left),
        cmocka_unit_test(the_best_plan_is_the_best_of_all),
        cmocka_unit_test(equal_layers_are_split_evenly_where_nobody_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
