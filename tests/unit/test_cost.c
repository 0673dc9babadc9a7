/* test_cost.c - forecasts against sums by hand, and the best plan against all plans. */
#include "support.h"

#include "measure.h"

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
    const or_load load = {
        .n_layers = 4, .rows = 20, .riders = 10, .row_bytes = 4, .survivors = left, .ramp = ramp};
    const or_plan plan = {2, {0, 3, 4}};
    or_forecast f;
    or_forecast_make(&plan, 1, ranks, &load, &f);
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

/* Two stages take a second for a wave of 10. With 20 under way both are busy, unless links make the round longer: it is
 * then 2 s and three messages, the last of which takes the tokens home. */
static void who_goes_round_is_awaited(void **state)
{
    (void)state;
    or_rank_cost ranks[2] = {{.layer = {1, {1}, {0.1}}}, {.layer = {1, {1}, {0.1}}}};
    or_load load = {.n_layers = 2, .rows = 10, .riders = 10, .in_flight = 20};
    const or_plan plan = {2, {0, 1, 2}};
    or_forecast f;
    or_forecast_make(&plan, 1, ranks, &load, &f);
    assert_near(f.requests_per_second, 10, 1e-12);
    ranks[0].latency = ranks[1].latency = 0.5;
    or_forecast_make(&plan, 1, ranks, &load, &f);
    assert_near(f.slowest, 1, 1e-12);
    assert_near(f.requests_per_second, 20 / (2 + 2 * 0.5), 1e-12);
    assert_near(f.every, 1.5, 1e-12);
    load.in_flight = 30; /* a third wave covers it */
    or_forecast_make(&plan, 1, ranks, &load, &f);
    assert_near(f.requests_per_second, 10, 1e-12);
}

/* Two pipelines, of which the second is half as fast, and one that it sets no pace for. */
static void replicas_add_up(void **state)
{
    (void)state;
    const or_rank_cost fast = {.layer = {1, {1}, {0.1}}}, slow = {.layer = {1, {1}, {0.2}}};
    const or_rank_cost ranks[4] = {fast, fast, slow, fast};
    const or_load load = {.n_layers = 2, .rows = 10, .riders = 10};
    const or_plan plan = {2, {0, 1, 2}};
    or_forecast f;
    or_forecast_make(&plan, 2, ranks, &load, &f);
    assert_near(f.requests_per_second, 10 + 5, 1e-12);
    assert_near(f.slowest, 2, 1e-12);
    assert_near(f.stage[0], 2, 1e-12);
    assert_near(or_forecast_seconds(&f, 4), 3 + 2 * 10 / 15.0,
                1e-12); /* two are under way from the beginning */
    assert_near(or_forecast_seconds(&f, 2), 3, 1e-12);
    or_load few = load; /* one request: one pipeline */
    few.rows = few.riders = few.requests = 1;
    or_forecast_make(&plan, 2, ranks, &few, &f);
    assert_int_equal(f.pipelines, 1);
    assert_near(f.requests_per_second, 10, 1e-12); /* 0.1 s a stage */
    assert_near(or_forecast_seconds(&f, 1), 0.2, 1e-12);
}

/* Prompts are not cut: one that is a wave by itself goes through all stages before anything is done. Of many short
 * ones the first wave is small. */
static void pipelines_fill_by_small_waves(void **state)
{
    (void)state;
    const or_rank_cost ranks[2] = {{.layer = {1, {1}, {0.001}}}, {.layer = {1, {1}, {0.001}}}};
    const or_plan plan = {2, {0, 1, 2}};
    or_load load = {.n_layers = 2, .rows = 1024, .riders = 1};
    or_forecast f;
    or_forecast_make(&plan, 1, ranks, &load, &f);
    assert_near(or_forecast_seconds(&f, 1), 2.048, 1e-12);
    load.riders = 64;
    or_forecast_make(&plan, 1, ranks, &load, &f);
    assert_near(or_forecast_seconds(&f, 10), 10.24 + 0.128, 1e-12);
}

/* What a job says of itself is shared by its pipelines, but for continuations at a time, which each has. */
static void a_load_is_that_of_a_pipeline(void **state)
{
    (void)state;
    const or_hparams h = {.n_layers = 4, .d_model = 8};
    const or_workload prompts = {.length = 100, .requests = 10},
                      continued = {.sequences = 32, .requests = 40};
    assert_near(or_load_of(&prompts, 2, 1, 1024, &h).riders, 10, 0);
    assert_near(or_load_of(&prompts, 2, 2, 1024, &h).riders, 5, 0);
    assert_near(or_load_of(&prompts, 2, 2, 250, &h).rows, 200, 0);
    assert_near(or_load_of(&prompts, 2, 2, 50, &h).rows, 100, 0); /* a wave by itself */
    assert_near(or_load_of(&prompts, 2, 2, 50, &h).in_flight, 0, 0);
    assert_near(or_load_of(&continued, 4, 1, 1024, &h).riders, 8, 0);
    assert_near(or_load_of(&continued, 4, 2, 1024, &h).riders, 5, 0);
    assert_near(or_load_of(&continued, 4, 2, 1024, &h).in_flight, 20, 0);
    assert_near(or_load_of(&continued, 4, 1, 3, &h).riders, 3, 0); /* no more than a wave holds */
}

/* ---- all plans ------------------------------------------------------------------------------------------ */

typedef struct problem {
    int n_ranks, replicas, n_layers; /* ranks of a replica */
    or_rank_cost ranks[2 * 5];
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

/* The slowest stage of all replicas, and the sum of squares over the stages, each on its slowest rank. False: a rank
 * has too little memory. */
static bool weigh(const problem *p, const or_plan *plan, double *slowest, double *squares)
{
    *slowest = *squares = 0;
    for (int s = 0; s < plan->n_stages; s++) {
        double pace = 0;
        for (int r = 0; r < p->replicas; r++) {
            const or_rank_cost *rank = &p->ranks[r * plan->n_stages + s];
            if (rank->memory && bytes_of(p, s, plan->bound[s], plan->bound[s + 1]) > rank->memory)
                return false;
            pace = fmax(pace, or_stage_seconds(rank, &p->load, plan->bound[s], plan->bound[s + 1]));
            pace = fmax(pace, or_link_seconds(rank, &p->load, plan->bound[s + 1]));
        }
        *slowest = fmax(*slowest, pace);
        *squares += pace * pace;
    }
    return true;
}

static void judge(problem *p, const or_plan *plan)
{
    double slowest, squares;
    if (!weigh(p, plan, &slowest, &squares)) return;
    if (slowest > p->slowest || (slowest == p->slowest && squares >= p->squares)) return;
    p->slowest = slowest;
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
    p->replicas = 1 + (int)(random_bits(seed) % 2);
    p->left[0] = 1;
    for (int layer = 1; layer <= p->n_layers; layer++) {
        p->left[layer] = p->left[layer - 1] * (random_bits(seed) % 3 ? 1 : draw(seed));
        p->ramp[layer] = layer < p->n_layers && random_bits(seed) % 2;
    }
    for (int layer = 0; layer < p->n_layers; layer++) p->layer_bytes[layer] = 1 + random_bits(seed) % 9;
    for (int s = 0; s < p->n_ranks * p->replicas; s++) {
        p->ranks[s] = simple_rank();
        p->ranks[s].layer.seconds[1] = 1 + 5 * draw(seed); /* ranks differ */
        p->ranks[s].bandwidth = random_bits(seed) % 4 ? 1000 : 10;
        if (limited) p->ranks[s].memory = 4 + random_bits(seed) % 40;
    }
    p->load = (or_load){.n_layers = p->n_layers,
                        .rows = 64 * draw(seed) + 1,
                        .riders = 10,
                        .row_bytes = 4,
                        .survivors = p->left,
                        .ramp = p->ramp};
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
            assert_fails(or_plan_best(p.n_ranks, p.replicas, p.ranks, &p.load, bytes_of, &p, &plan),
                         OR_ERR_INPUT, "does not fit");
            refused++;
            continue;
        }
        assert_ok(or_plan_best(p.n_ranks, p.replicas, p.ranks, &p.load, bytes_of, &p, &plan));
        double slowest, squares;
        assert_int_equal(plan.n_stages, p.n_ranks);
        assert_true(weigh(&p, &plan, &slowest, &squares));
        assert_near(slowest, p.slowest, 1e-12 * p.slowest);
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
        const or_load load = {.n_layers = 30, .rows = 100, .riders = 10, .row_bytes = 4};
        or_plan plan, even;
        assert_ok(or_plan_even(30, n, &even));
        assert_ok(or_plan_best(n, 1, ranks, &load, NULL, NULL, &plan));
        for (int s = 0; s <= n; s++) assert_int_equal(plan.bound[s], even.bound[s]);
    }
    or_plan plan;
    const or_load thin = {.n_layers = 3, .rows = 1, .riders = 1, .row_bytes = 4};
    assert_fails(or_plan_best(4, 1, ranks, &thin, NULL, NULL, &plan), OR_ERR_USAGE, "more ranks than layers");
}

/* ---- other ways to use the ranks -------------------------------------------------------------------------- */

/* Five layers on two ranks leave one idle for a third of the time, as two copies do not; but a copy has to fit. A third
 * rank is of no use to three layers of which the first takes as long as the others together. */
static void copies_and_fewer_ranks_are_weighed(void **state)
{
    (void)state;
    or_rank_cost ranks[4];
    for (int s = 0; s < 4; s++) ranks[s] = (or_rank_cost){.layer = {2, {1, 100}, {0.01, 1}}};
    const or_hparams h = {.n_layers = 5,
                          .d_model = 8,
                          .d_embed = 8,
                          .n_heads = 2,
                          .n_kv_heads = 1,
                          .head_dim = 4,
                          .d_ff = 12,
                          .n_vocab = 20,
                          .gated_ff = true,
                          .rope = OR_ROPE_PLAIN};
    size_t bytes[5] = {10, 10, 10, 10, 10};
    const or_shares shares = {.layers = bytes};
    const or_plan_sizes sizes = {&h, &shares, 100, 1};
    or_workload work = {.length = 10};
    or_layout layout, other;
    assert_ok(or_plan_auto(2, 1, ranks, &work, &sizes, &layout));
    assert_near(layout.forecast.requests_per_second, 10 / 3.0, 1e-9);
    assert_true(or_layout_replicas(&layout, ranks, &work, &sizes, &other));
    assert_int_equal(other.replicas, 2);
    assert_int_equal(other.plan.n_stages, 1);
    assert_near(other.forecast.requests_per_second, 4, 1e-9);
    assert_false(or_layout_replicas(&other, ranks, &work, &sizes, &layout));
    assert_false(or_layout_fewer(&other, ranks, &work, &sizes, &layout));
    for (int s = 0; s < 4; s++) ranks[s].memory = or_plan_stage_bytes(&sizes, 0, 0, 4);
    assert_ok(or_plan_auto(2, 1, ranks, &work, &sizes, &layout));
    assert_false(or_layout_replicas(&layout, ranks, &work, &sizes, &other));
    assert_fails(or_plan_auto(3, 2, ranks, &work, &sizes, &layout), OR_ERR_USAGE, "replicas do not fit");

    for (int s = 0; s < 4; s++) ranks[s].memory = 0;
    const double left[] = {1, 0.125, 0.125, 0.125, 0.125, 0};
    work.survivors = left;
    assert_ok(or_plan_auto(4, 1, ranks, &work, &sizes, &layout));
    assert_true(or_layout_fewer(&layout, ranks, &work, &sizes, &other));
    assert_int_equal(other.plan.n_stages, 2);
    assert_near(other.forecast.requests_per_second, layout.forecast.requests_per_second, 1e-9);
}

/* Of two kinds of rank, in any order, each gets its own mean; ranks of one host are of one kind unless far apart. */
static void ranks_of_a_kind_are_alike(void **state)
{
    (void)state;
    const double seconds[] = {1.1, 2, 1, 2.2, 1.05}, means[] = {1.05, 2.1, 1.05, 2.1, 1.05};
    or_rank_cost ranks[5];
    for (int r = 0; r < 5; r++)
        ranks[r] = (or_rank_cost){.layer = {1, {1}, {seconds[r]}}, .ramp = {1, {1}, {10 * seconds[r]}}};
    const char *const apart[] = {"a", "b", "c", "d", "e"}, *const together[] = {"a", "a", "a", "b", "b"};
    or_costs_level(ranks, apart, 5);
    for (int r = 0; r < 5; r++) {
        assert_near(ranks[r].layer.seconds[0], means[r], 1e-12);
        assert_near(ranks[r].ramp.seconds[0], 10 * means[r], 1e-12);
    }
    const double disturbed[] = {1, 1.3, 1, 1.3, 1.6}, levelled[] = {1.1, 1.1, 1.1, 1.45, 1.45};
    const double near[] = {1, 1, 1, 1.1, 1.18};
    for (int r = 0; r < 5; r++) ranks[r].layer.seconds[0] = disturbed[r];
    or_costs_level(ranks, together, 5);
    for (int r = 0; r < 5; r++) assert_near(ranks[r].layer.seconds[0], levelled[r], 1e-12);
    for (int r = 0; r < 5; r++) ranks[r].layer.seconds[0] = near[r];
    or_costs_level(ranks, together, 5); /* the second host is 1.14 as a whole */
    for (int r = 0; r < 5; r++) assert_near(ranks[r].layer.seconds[0], 1.056, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_curve_goes_through_its_points),
        cmocka_unit_test(a_forecast_adds_up_what_is_left),
        cmocka_unit_test(who_goes_round_is_awaited),
        cmocka_unit_test(replicas_add_up),
        cmocka_unit_test(pipelines_fill_by_small_waves),
        cmocka_unit_test(a_load_is_that_of_a_pipeline),
        cmocka_unit_test(copies_and_fewer_ranks_are_weighed),
        cmocka_unit_test(ranks_of_a_kind_are_alike),
        cmocka_unit_test(the_best_plan_is_the_best_of_all),
        cmocka_unit_test(equal_layers_are_split_evenly_where_nobody_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
