/* test_simulate.c - simulated runs against time lines worked out by hand, against forecasts, and against what holds for
 * any run. Ranks look for messages by naps of up to 2 ms, so what passes between ranks is a little late. */
#include "support.h"

#include "pipeline_internal.h"

#include <offramp/simulate.h>

#include <math.h>

#define LATE 0.05 /* seconds, for a few messages */

static or_simulated result;

static void simulate(const or_simulation *what)
{
    or_simulated_free(&result);
    assert_ok(or_simulate(what, &result));
}

/* A layer takes `seconds` for 10 rows or fewer, and in proportion for more. */
static or_rank_cost rank_of(double seconds)
{
    return (or_rank_cost){.layer = {1, {10}, {seconds}}};
}

enum { MANY = 4000 };
static or_sim_request requests[MANY];
static int32_t exits[MANY];

/* `n` prompts of `rows` rows that are scored; those with an odd number leave behind layer `exit`. */
static void make_prompts(or_simulation *what, size_t n, int rows, int exit)
{
    const int n_layers = what->plan->bound[what->plan->n_stages];
    for (size_t i = 0; i < n; i++) {
        exits[i] = i % 2 ? exit : n_layers;
        requests[i] = (or_sim_request){.rows = rows, .exits = &exits[i]};
    }
    what->requests = requests;
    what->n_requests = n;
}

static void assert_adds_up(const or_simulation *what)
{
    const or_run_stats *run = &result.run;
    uint64_t left = 0;
    assert_int_equal(run->n_stages, what->plan->n_stages);
    for (int s = 0; s < run->n_stages; s++) {
        const or_stage_stats *stage = &run->stage[s];
        assert_near(stage->busy + stage->idle + stage->wait, run->seconds, 1e-9 * run->seconds);
        assert_true(stage->idle >= -1e-9 * run->seconds && stage->wait >= 0 && stage->ramp <= stage->busy);
        assert_int_equal(stage->requests_in, stage->exits + stage->requests_out);
        assert_true(stage->waves_run <= stage->waves_in + stage->rows_in);
        if (s > 0) assert_int_equal(stage->requests_in, run->stage[s - 1].requests_out);
        if (s > 0) assert_int_equal(stage->waves_in, run->stage[s - 1].waves_out);
        left += stage->exits;
    }
    assert_int_equal(left, run->stage[0].requests_in);
}

/* ---- by hand ---------------------------------------------------------------------------------------------- */

static void one_stage_runs_one_wave_after_the_other(void **state)
{
    (void)state;
    const or_plan plan = {1, {0, 2}};
    or_rank_cost rank = rank_of(1);
    rank.ramp = (or_cost_curve){1, {10}, {0.5}};
    rank.embed = 0.01;
    or_simulation what = {.plan = &plan, .ranks = &rank, .wave_tokens = 25, .sequences = 1};
    make_prompts(&what, 5, 10, 2);
    simulate(&what);
    assert_adds_up(&what);
    /* waves of two, two, one: 20 rows embedded, two layers of 2 s, the head */
    assert_near(result.run.seconds, 2 * (0.2 + 4 + 0.5) + 0.1 + 2 + 0.5, 1e-9);
    assert_int_equal(result.run.stage[0].waves_run, 3);
    assert_int_equal(result.run.stage[0].rows_in, 50);
    assert_int_equal(result.run.stage[0].ramp_rows, 5);
    assert_int_equal(result.rows, 50);
    assert_near(result.admitted.median, 4.7, 1e-9);
    assert_near(result.admitted.most, 4.7, 1e-9);
    assert_near(result.admitted.mean, (4 * 4.7 + 2.6) / 5, 1e-9);
    assert_near(result.arrived.median, 9.4, 1e-9); /* the third of five */
    assert_near(result.arrived.p90, 12, 1e-9);
}

/* The second stage takes three times as long. Two waves wait for it, one is held. */
static void a_slow_stage_holds_the_one_before(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 1, 2}};
    const or_rank_cost ranks[2] = {rank_of(1), rank_of(3)};
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 1};
    make_prompts(&what, 6, 10, 2);
    simulate(&what);
    assert_adds_up(&what);
    assert_near(result.run.seconds, 1 + 6 * 3, LATE);
    assert_near(result.run.stage[0].busy, 6, 1e-9);
    assert_near(result.run.stage[1].busy, 18, 1e-9);
    assert_near(result.run.stage[1].idle, 1, LATE);
    /* the fifth is done at 5 and sent at 7, when the third is taken out of the inbox; the sixth at 8 and 10 */
    assert_near(result.run.stage[0].wait, 2 + 2, LATE);
    /* admitted at 0, 1, 2, 3, 4, 7 and answered every 3 s from 4 on */
    assert_near(result.admitted.most, 12, LATE);
    assert_near(result.admitted.mean, (4 + 6 + 8 + 10 + 12 + 12) / 6.0, LATE);
}

/* A wave is 5 s on its way, and 0.25 s more until it is there; a credit takes 0.25 s. */
static void a_slow_link_sets_the_pace(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 1, 2}};
    or_rank_cost ranks[2] = {rank_of(1), rank_of(1)};
    ranks[0].latency = ranks[1].latency = 0.25;
    ranks[0].bandwidth = (10 * 4096 + (double)sizeof(or_rider)) / 5;
    or_simulation what = {
        .plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 1, .row_bytes = 4096};
    make_prompts(&what, 4, 10, 2);
    simulate(&what);
    assert_adds_up(&what);
    assert_near(result.run.seconds, 1 + 4 * 5 + 0.25 + 1 + 0.25, LATE);
    /* the first arrives at 6.25: at 6.5 the third is sent, which was done at 3; the fourth likewise at 11.5 */
    assert_near(result.run.stage[0].wait, 3.5 + 4, LATE);
}

/* Two waves on their way at a time would take 0.06 s each: a wave and its credit are 0.12 s on their way. */
static void waves_are_sent_ahead_over_slow_links(void **state)
{
    (void)state;
    const or_plan plan = {3, {0, 1, 2, 3}};
    or_rank_cost ranks[3] = {rank_of(0.01), rank_of(0.01), rank_of(0.01)};
    for (int s = 0; s < 3; s++) ranks[s].latency = 0.05;
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 1};
    make_prompts(&what, 400, 10, 3);
    simulate(&what);
    assert_adds_up(&what);
    assert_true(result.run.seconds > 400 * 0.01 + 3 * 0.05);
    assert_near(result.run.seconds, 400 * 0.01 + 3 * 0.05,
                0.6); /* until as many as fill the link are allowed */
    assert_int_equal(or_credits_after(2, 16, 1), 4);
    assert_int_equal(or_credits_after(8, 10, 1), 10);
    assert_int_equal(or_credits_after(16, 16, 1), 16);
    assert_int_equal(or_credits_after(2, 16, 3 * OR_CLOCK_NAP_MOST), 2);
}

static void who_leaves_early_is_not_sent_on(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 2, 3}};
    or_rank_cost ranks[2] = {rank_of(1), rank_of(1)};
    const bool ramp[4] = {false, true, false, false};
    ranks[0].ramp = ranks[1].ramp = (or_cost_curve){1, {1}, {0.125}};
    or_simulation what = {.plan = &plan, .ranks = ranks, .ramp = ramp, .wave_tokens = 20, .sequences = 1};
    make_prompts(&what, 4, 10, 1);
    for (int i = 0; i < 4; i++) exits[i] = 1;
    simulate(&what);
    assert_adds_up(&what);
    assert_near(result.run.seconds, 2 * (2 + 0.25), 1e-9); /* two waves, layer 1 and the ramp for two */
    assert_int_equal(result.run.stage[0].waves_out, 0);
    assert_int_equal(result.run.stage[1].waves_run, 0);
    assert_near(result.run.stage[0].ramp, 0.5, 1e-9);
    assert_near(result.run.stage[1].idle, 4.5, 1e-9);
    assert_int_equal(result.run.survivors[0], 4);
    assert_int_equal(result.run.survivors[1], 0);

    /* one of two stays: 10 rows through layers 2 and 3 */
    make_prompts(&what, 2, 10, 1);
    simulate(&what);
    assert_near(result.run.seconds, 2 + 0.25 + 1 + 1 + 0.125, LATE);
    assert_int_equal(result.run.survivors[1], 1);

    /* without a ramp the token of the one that left is computed at the stage's end */
    what.ramp = NULL;
    simulate(&what);
    assert_near(result.run.seconds, 2 + 1 + 0.125 + 1 + 0.125, LATE);
    assert_near(result.admitted.median, 2 + 1 + 0.125, LATE);
    assert_int_equal(result.run.stage[0].ramp_rows, 1);
    assert_near(result.run.stage[0].ramp, 0, 0);
}

/* Half of each wave leaves in the first stage; the second takes as long for few rows as for many. */
static void thinned_waves_are_merged(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 1, 2}};
    const or_rank_cost ranks[2] = {{.layer = {1, {20}, {1}}}, {.layer = {1, {20}, {2}}}};
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 20, .sequences = 1};
    make_prompts(&what, 12, 10, 1);
    simulate(&what);
    assert_adds_up(&what);
    /* waves arrive at 1, 2 ... 6; run: the first from 1, then at 3 two, at 5 two, at 7 the last */
    assert_near(result.run.seconds, 9, LATE);
    assert_int_equal(result.run.stage[1].waves_in, 6);
    assert_int_equal(result.run.stage[1].waves_run, 4);
    assert_near(result.run.stage[0].wait, 0, LATE);
}

/* A single row in the middle of the stage waits for those behind it. */
static void thin_waves_are_parked(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 1, 3}};
    const or_rank_cost ranks[2] = {rank_of(1), rank_of(3)};
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 1};
    make_prompts(&what, 3, 1, 3);
    for (int i = 0; i < 3; i++) requests[i].arrival = i;
    simulate(&what);
    assert_adds_up(&what);
    /* layer 2: the first from 1, parked at 4; then the others until 7; layer 3 for all three */
    assert_near(result.run.seconds, 10, LATE);
    assert_int_equal(result.run.stage[1].waves_run, 2);
    assert_near(result.run.stage[1].busy, 9, 1e-9);
    assert_near(result.arrived.most, 10, LATE);
    assert_near(result.arrived.median, 9, LATE);
}

static void continuations_keep_all_stages_at_work(void **state)
{
    (void)state;
    const or_plan plan = {2, {0, 1, 2}};
    const or_rank_cost ranks[2] = {rank_of(1), rank_of(1)};
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 4};
    const or_sim_request sequence = {.rows = 1, .tokens = 3};
    for (int i = 0; i < 6; i++) requests[i] = sequence;
    what.requests = requests;
    what.n_requests = 4;
    simulate(&what);
    assert_adds_up(&what);
    /* two in each wave: answers at 2, 4, 6 and at 3, 5, 7 */
    assert_near(result.run.seconds, 7, LATE);
    assert_int_equal(result.run.tokens, 12);
    assert_int_equal(result.run.survivors[1], 12);
    assert_int_equal(result.run.stage[0].waves_run, 6);
    assert_near(result.admitted.most, 7, LATE);

    what.sequences = 1; /* one after the other, each token through both stages */
    what.n_requests = 2;
    simulate(&what);
    assert_near(result.run.seconds, 2 * 3 * 2, LATE);
    assert_near(result.arrived.most, 12, LATE);
    assert_near(result.admitted.most, 6, LATE);

    requests[0].rows = 14; /* its first 13 rows go before, 10 and 3, the last with the 3; wave after wave */
    what.n_requests = 1;
    simulate(&what);
    assert_adds_up(&what);
    assert_int_equal(result.run.stage[0].rows_in, 14 + 2);
    assert_int_equal(result.run.stage[0].requests_in, 2 + 3);
    assert_near(result.run.seconds, 3 + 2 + 2, LATE);
}

/* 160 continuations in 16 stages, of which the tenth is slower: waves pile up there. Were they merged fewer would be
 * left than there are stages. */
static void as_many_waves_as_stages_are_kept(void **state)
{
    (void)state;
    enum { STAGES = 16, SEQUENCES = 160, TOKENS = 20 };
    or_plan plan = {.n_stages = STAGES};
    or_rank_cost ranks[STAGES];
    for (int s = 0; s < STAGES; s++) {
        plan.bound[s + 1] = s + 1;
        ranks[s] = (or_rank_cost){.layer = {1, {10}, {s == 10 ? 1.2 : 1}}};
    }
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 1024, .sequences = SEQUENCES};
    for (size_t i = 0; i < SEQUENCES; i++) requests[i] = (or_sim_request){.rows = 1, .tokens = TOKENS};
    what.requests = requests;
    what.n_requests = SEQUENCES;
    simulate(&what);
    assert_adds_up(&what);
    for (int s = 0; s < STAGES; s++)
        assert_true(result.run.stage[s].rows_in <= 10 * result.run.stage[s].waves_run);
    /* the slowest stage runs 16 waves a token, after the first has come and before the last has left */
    assert_near(result.run.seconds, 15 + 1.2 * 16 * TOKENS, 0.02 * 1.2 * 16 * TOKENS);
}

static void requests_that_come_late_are_waited_for(void **state)
{
    (void)state;
    const or_plan plan = {1, {0, 1}};
    const or_rank_cost rank = rank_of(1);
    or_simulation what = {.plan = &plan, .ranks = &rank, .wave_tokens = 10, .sequences = 1};
    make_prompts(&what, 3, 10, 1);
    requests[1].arrival = 0.25;
    requests[2].arrival = 50;
    simulate(&what);
    assert_adds_up(&what);
    assert_near(result.run.seconds, 51, LATE);
    assert_near(result.run.stage[0].idle, 48, LATE);
    assert_near(result.arrived.most, 1.75, LATE);
    assert_near(result.admitted.most, 1, 1e-9);
    make_prompts(&what, 0, 10, 1);
    simulate(&what);
    assert_true(result.run.seconds == 0 && result.run.survivors[0] == 0);
}

/* Four stages on two cores: all take twice as long while all work. */
static void ranks_share_cores(void **state)
{
    (void)state;
    const or_plan plan = {4, {0, 1, 2, 3, 4}};
    const or_rank_cost ranks[4] = {rank_of(1), rank_of(1), rank_of(1), rank_of(1)};
    or_simulation what = {.plan = &plan, .ranks = ranks, .wave_tokens = 10, .sequences = 1, .cores = 2};
    make_prompts(&what, 1, 10, 4);
    simulate(&what);
    assert_near(result.run.seconds, 4, LATE); /* alone */
    make_prompts(&what, 8, 10, 4);
    for (int i = 0; i < 8; i++) exits[i] = 4;
    simulate(&what);
    assert_adds_up(&what);
    /* work for one wave is 4 s of a core; all but the begin and the end, with one rank at work, is done by two */
    assert_near(result.run.seconds, 1 + (8 * 4 - 2) / 2.0 + 1, 4 * LATE);
    what.cores = 1.6; /* also two hinder each other; begin and end are at full speed */
    simulate(&what);
    assert_near(result.run.seconds, 1 + (8 * 4 - 2) / 1.6 + 1, 4 * LATE);
    what.cores = 4;
    simulate(&what);
    const double alone = result.run.seconds;
    assert_near(alone, 8 + 3, LATE);
    what.cores = 0;
    simulate(&what);
    assert_near(result.run.seconds, alone, 1e-6);
}

/* ---- for any run ------------------------------------------------------------------------------------------ */

static double draw(uint64_t *seed)
{
    return random_bits(seed) * 0x1p-32;
}

typedef struct problem {
    or_plan plan;
    or_rank_cost ranks[8];
    bool ramp[31];
    int32_t exits[4096];
    or_sim_request requests[100];
    or_simulation what;
    uint64_t riders, answers, tokens;
    uint64_t survivors[31];
} problem;

static void make_plan(problem *p, uint64_t *seed)
{
    const int n_layers = 1 + (int)(random_bits(seed) % 30);
    p->plan.n_stages = 1 + (int)(random_bits(seed) % (uint32_t)(n_layers < 8 ? n_layers : 8));
    for (int s = 1; s <= p->plan.n_stages; s++) {
        const int left = n_layers - p->plan.bound[s - 1] - (p->plan.n_stages - s);
        p->plan.bound[s] = s == p->plan.n_stages
                               ? n_layers
                               : p->plan.bound[s - 1] + 1 + (int)(random_bits(seed) % (uint32_t)left);
    }
    for (int layer = 1; layer < n_layers; layer++) p->ramp[layer] = random_bits(seed) % 2;
    for (int s = 0; s < p->plan.n_stages; s++)
        p->ranks[s] = (or_rank_cost){.layer = {2, {4, 64}, {0.01 * draw(seed), 0.05}},
                                     .ramp = {1, {8}, {0.005 * draw(seed)}},
                                     .embed = 1e-5,
                                     .latency = random_bits(seed) % 2 ? 0.02 * draw(seed) : 0,
                                     .bandwidth = random_bits(seed) % 2 ? 1e5 : 0};
}

static void make_requests(problem *p, uint64_t *seed)
{
    const int n_layers = p->plan.bound[p->plan.n_stages];
    const bool all_at_once = random_bits(seed) % 2;
    size_t used = 0;
    double arrival = 0;
    for (size_t i = 0; i < p->what.n_requests; i++) {
        or_sim_request *r = &p->requests[i];
        *r = (or_sim_request){.arrival = arrival, .rows = 1 + (int)(random_bits(seed) % 40)};
        if (random_bits(seed) % 2) r->tokens = (int)(random_bits(seed) % 20);
        if (random_bits(seed) % 4) r->exits = p->exits + used;
        const int answers = r->tokens > 0 ? r->tokens : 1;
        for (int a = 0; a < answers; a++) {
            const int exit = 1 + (int)(random_bits(seed) % (uint32_t)n_layers);
            if (r->exits) p->exits[used++] = exit;
            for (int layer = 0; layer < (r->exits ? exit : n_layers); layer++) p->survivors[layer]++;
        }
        p->answers += (uint64_t)answers;
        p->tokens += (uint64_t)r->tokens;
        if (!all_at_once) arrival += 0.1 * draw(seed);
    }
}

static void make_problem(problem *p, uint64_t *seed)
{
    *p = (problem){0};
    make_plan(p, seed);
    p->what = (or_simulation){.plan = &p->plan,
                              .ranks = p->ranks,
                              .ramp = random_bits(seed) % 2 ? p->ramp : NULL,
                              .row_bytes = 512,
                              .wave_tokens = 1 + random_bits(seed) % 100,
                              .sequences = 1 + random_bits(seed) % 20,
                              .cores = random_bits(seed) % 2 ? 2 : 0,
                              .requests = p->requests,
                              .n_requests = random_bits(seed) % 100};
    make_requests(p, seed);
}

static void everything_is_answered_once(void **state)
{
    (void)state;
    static problem p;
    uint64_t seed = 5;
    for (int round = 0; round < 1000; round++) {
        make_problem(&p, &seed);
        simulate(&p.what);
        assert_adds_up(&p.what);
        assert_int_equal(result.run.tokens, p.tokens);
        for (int layer = 0; layer < p.plan.bound[p.plan.n_stages]; layer++)
            assert_int_equal(result.run.survivors[layer], p.survivors[layer]);
        assert_int_equal(result.run.survivors[0], p.answers);
        assert_true(result.run.stage[0].requests_in >= p.answers);
        if (p.what.n_requests == 0) continue;
        assert_true(result.admitted.most <= result.arrived.most && result.arrived.most <= result.run.seconds);
        assert_true(result.arrived.median <= result.arrived.p90 && result.arrived.p90 <= result.arrived.p99);
        const double seconds = result.run.seconds, mean = result.arrived.mean;
        simulate(&p.what);
        assert_true(result.run.seconds == seconds && result.arrived.mean == mean);
    }
}

/* Costs that double, double the time, but for naps; and who does more works longer. */
static void more_takes_longer(void **state)
{
    (void)state;
    static problem p;
    uint64_t seed = 9;
    for (int round = 0; round < 100; round++) {
        make_problem(&p, &seed);
        if (p.what.n_requests == 0) continue;
        for (size_t i = 0; i < p.what.n_requests; i++) p.requests[i].arrival = 0;
        for (int s = 0; s < p.plan.n_stages; s++) { /* so long that naps do not count */
            for (int i = 0; i < 2; i++) p.ranks[s].layer.seconds[i] *= 1e4;
            p.ranks[s].ramp.seconds[0] *= 1e4;
            p.ranks[s].latency *= 1e4;
            p.ranks[s].bandwidth /= 1e4;
        }
        simulate(&p.what);
        const double once = result.run.seconds;
        double busy = 0;
        for (int s = 0; s < p.plan.n_stages; s++) busy += result.run.stage[s].busy;
        assert_true(busy <= once * p.plan.n_stages);
        for (int s = 0; s < p.plan.n_stages; s++) {
            for (int i = 0; i < 2; i++) p.ranks[s].layer.seconds[i] *= 2;
            p.ranks[s].ramp.seconds[0] *= 2;
            p.ranks[s].latency *= 2;
            p.ranks[s].bandwidth /= 2;
        }
        simulate(&p.what);
        if (result.run.seconds < 1.9 * once || result.run.seconds > 2.1 * once)
            fail_msg("round %d: %g s, and %g s with costs that doubled", round, once, result.run.seconds);
        make_prompts(&p.what, 100, 20, 1);
        simulate(&p.what);
        const double half = result.run.seconds;
        for (size_t i = 0; i < 100; i++) requests[i].exits = NULL;
        simulate(&p.what);
        assert_true(half <= result.run.seconds * (1 + 1e-9));
    }
}

/* Many waves, each with the same exits, and layers whose time is in proportion to the rows: merged or not. */
static void a_saturated_pipeline_is_as_forecast(void **state)
{
    (void)state;
    enum { LAYERS = 12, RIDERS = 20, ROWS = 8 };
    const or_plan plans[3] = {{3, {0, 4, 8, 12}}, {3, {0, 3, 7, 12}}, {4, {0, 1, 2, 10, 12}}};
    or_rank_cost ranks[4];
    double left[LAYERS + 1];
    for (int s = 0; s < 4; s++)
        ranks[s] = (or_rank_cost){.layer = {1, {1}, {1e-3}}, .ramp = {1, {1}, {1e-3}}, .bandwidth = 1e6};
    for (int layer = 0; layer <= LAYERS; layer++) left[layer] = layer < 4 ? 1 : layer < 8 ? 0.75 : 0.25;
    for (int i = 0; i < MANY; i++) {
        exits[i] = i % RIDERS < 5 ? 4 : i % RIDERS < 15 ? 8 : LAYERS;
        requests[i] = (or_sim_request){.rows = ROWS, .exits = &exits[i]};
    }
    bool ramp[LAYERS + 1] = {false};
    ramp[4] = ramp[8] = true;
    for (int i = 0; i < 3; i++) {
        const or_load load = {.n_layers = LAYERS,
                              .rows = RIDERS * ROWS,
                              .riders = RIDERS,
                              .row_bytes = 512,
                              .survivors = left,
                              .ramp = ramp};
        const or_simulation what = {.plan = &plans[i],
                                    .ranks = ranks,
                                    .ramp = ramp,
                                    .row_bytes = 512,
                                    .wave_tokens = RIDERS * ROWS,
                                    .sequences = 1,
                                    .requests = requests,
                                    .n_requests = MANY};
        or_forecast forecast;
        or_forecast_make(&plans[i], 1, ranks, &load, &forecast);
        const double expected = or_forecast_seconds(&forecast, MANY / RIDERS);
        simulate(&what);
        assert_adds_up(&what);
        assert_near(result.run.seconds / expected, 1, 0.03);
    }
}

static void requests_that_cannot_be_are_refused(void **state)
{
    (void)state;
    const or_plan plan = {1, {0, 2}};
    const or_rank_cost rank = rank_of(1);
    or_simulation what = {.plan = &plan, .ranks = &rank, .wave_tokens = 10, .sequences = 1};
    or_simulated_free(&result); /* of the test before */
    make_prompts(&what, 2, 10, 2);
    exits[1] = 3;
    assert_fails(or_simulate(&what, &result), OR_ERR_INPUT, "request 1 is to exit at layer 3, expected 1..2");
    exits[1] = 0;
    assert_fails(or_simulate(&what, &result), OR_ERR_INPUT, "layer 0");
    exits[1] = 1;
    requests[0].arrival = 1; /* the second is earlier */
    assert_fails(or_simulate(&what, &result), OR_ERR_INPUT, "request 1 of the simulation arrives at 0");
    requests[1].arrival = NAN;
    assert_fails(or_simulate(&what, &result), OR_ERR_INPUT, "request 1 of");
    requests[1] = (or_sim_request){.arrival = 1};
    assert_fails(or_simulate(&what, &result), OR_ERR_INPUT, "with 0 rows");
}

static int free_result(void **state)
{
    (void)state;
    or_simulated_free(&result);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_stage_runs_one_wave_after_the_other),
        cmocka_unit_test(a_slow_stage_holds_the_one_before),
        cmocka_unit_test(a_slow_link_sets_the_pace),
        cmocka_unit_test(waves_are_sent_ahead_over_slow_links),
        cmocka_unit_test(who_leaves_early_is_not_sent_on),
        cmocka_unit_test(thinned_waves_are_merged),
        cmocka_unit_test(thin_waves_are_parked),
        cmocka_unit_test(continuations_keep_all_stages_at_work),
        cmocka_unit_test(as_many_waves_as_stages_are_kept),
        cmocka_unit_test(requests_that_come_late_are_waited_for),
        cmocka_unit_test(ranks_share_cores),
        cmocka_unit_test(everything_is_answered_once),
        cmocka_unit_test(more_takes_longer),
        cmocka_unit_test(a_saturated_pipeline_is_as_forecast),
        cmocka_unit_test(requests_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, free_result);
}
