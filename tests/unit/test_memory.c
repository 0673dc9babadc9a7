/* test_memory.c - what a stage needs in memory: sums by hand, and that a model really takes no more. */
#include "support.h"

#include "pipeline_internal.h"
#include "threads.h"

#include <malloc.h>

/* ---- sums by hand ----------------------------------------------------------------------------------------- */

/* A model of 6 layers and its bytes, which need not fit each other here. */
static const or_hparams shape = {.n_layers = 6,
                                 .d_model = 8,
                                 .d_embed = 8,
                                 .n_heads = 2,
                                 .n_kv_heads = 1,
                                 .head_dim = 4,
                                 .d_ff = 12,
                                 .n_vocab = 20,
                                 .gated_ff = true,
                                 .rope = OR_ROPE_PLAIN};
static size_t layer_bytes[6] = {1000, 2000, 4000, 8000, 16000, 32000};
static const or_shares untied = {.embedding = 100, .head = 300, .other = 7, .layers = layer_bytes};
static const or_shares tied = {.embedding = 100, .head = 0, .other = 7, .layers = layer_bytes};
static const or_plan plan = {.n_stages = 3, .bound = {0, 1, 3, 6}};
enum { ROWS = 16 };

static or_stage_memory stage_of(int stage, const or_shares *shares)
{
    return or_plan_memory(&plan, stage, &shape, shares, ROWS, 2);
}

static void weights_are_those_of_the_stage(void **state)
{
    (void)state;
    /* layers, head and others everywhere; the embedding on the first stage */
    assert_int_equal(stage_of(0, &untied).weights, 1000 + 300 + 7 + 100);
    assert_int_equal(stage_of(1, &untied).weights, 2000 + 4000 + 300 + 7);
    assert_int_equal(stage_of(2, &untied).weights, 8000 + 16000 + 32000 + 300 + 7);
    /* where the embedding is the head, it is everywhere, once */
    assert_int_equal(stage_of(0, &tied).weights, 1000 + 100 + 7);
    assert_int_equal(stage_of(1, &tied).weights, 2000 + 4000 + 100 + 7);
    assert_int_equal(stage_of(2, &tied).weights, 8000 + 16000 + 32000 + 100 + 7);
    /* ... also when the config says so and the file has it twice, or under the head's name only */
    or_hparams both = shape;
    both.tied_head = true;
    const or_shares head_only = {.head = 300, .other = 7, .layers = layer_bytes};
    assert_int_equal(or_plan_memory(&plan, 0, &both, &untied, ROWS, 2).weights, 1000 + 100 + 7);
    assert_int_equal(or_plan_memory(&plan, 0, &both, &head_only, ROWS, 2).weights, 1000 + 300 + 7);
}

static void waves_and_workspace_are_counted(void **state)
{
    (void)state;
    const or_stage_memory m = stage_of(1, &untied);
    /* four waves (running, parked, two that arrived) with room for half as much again, and four as bytes on
     * the wire (two leaving, two arriving), 16 rows of 8 floats each */
    assert_int_equal(m.waves, (3 * 4 + 2 * 4) * 16 * 8 * 4 / 2);
    /* normed, out, q and mixed 16x8; k and v 16x4; gate and up 16x12; for 2 threads a page's keys 32x4, 12
     * rows of its scores and of 16 more, and 12 of a head's 4 queries in 16; 16 to where a thread may begin */
    const size_t layer = 4 * 16 * 8 + 2 * 16 * 4 + 2 * 16 * 12 + 2 * (32 * 4 + 12 * (32 + 16) + 12 * 16) + 16;
    /* 64 rows: gathered, normed and narrowed 64x8, logits 64x20 */
    const size_t ramp = 64 * (3 * 8 + 20);
    const size_t rotary = 2 * 512 * 2; /* cosines and sines of 2 pairs, for 512 positions at least */
    assert_int_equal(m.workspace, (layer + ramp + rotary) * 4);
    assert_int_equal(m.total, m.weights + m.workspace + m.waves);
    assert_int_equal(m.total, stage_of(0, &untied).total - 1000 - 100 + 2000 + 4000);
}

/* A feed-forward block works on 1024 rows at a time; two matrices have no gate. */
static void workspace_grows_as_it_should(void **state)
{
    (void)state;
    or_hparams ungated = shape;
    ungated.gated_ff = false;
    const size_t at_2048 = or_hparams_workspace(&shape, 2048, 2048, 0, 1);
    assert_int_equal(at_2048 - or_hparams_workspace(&ungated, 2048, 2048, 0, 1), 1024 * 12 * 4);
    assert_true(or_hparams_workspace(&shape, 2048, 2048, 0, 2) > at_2048);
    /* a sequence of two pages more: scores 12x64, keys 64x4, half as many more rotary positions */
    assert_int_equal(or_hparams_workspace(&shape, 2048, 2048 + 64, 0, 1) - at_2048,
                     (12 * 64 + 64 * 4 + 2 * 96 * 2) * 4);
    assert_int_equal(or_hparams_workspace(&shape, 2048, 2048, 1, 1) - at_2048, (3 * 8 + 20) * 4);
    ungated.rope = OR_ROPE_NONE;
    const size_t without = or_hparams_workspace(&ungated, 2048, 2048, 0, 1);
    ungated.rope = OR_ROPE_LLAMA3;
    assert_int_equal(or_hparams_workspace(&ungated, 2048, 2048, 0, 1) - without,
                     2 * 3072 * 2 * 4); /* half as many more */
}

/* ---- how many ranks --------------------------------------------------------------------------------------- */

/* The greatest total of an even split, as or_plan_ranks_within() compares it with the limit. */
static size_t greatest(int ranks)
{
    or_plan even;
    size_t most = 0;
    assert_ok(or_plan_even(6, ranks, &even));
    for (int s = 0; s < ranks; s++) {
        const size_t total = or_plan_memory(&even, s, &shape, &untied, ROWS, 1).total;
        if (total > most) most = total;
    }
    return most;
}

static int within(size_t limit, int from)
{
    return or_plan_ranks_within(limit, from, &shape, &untied, ROWS, 1);
}

static void enough_ranks_are_found(void **state)
{
    (void)state;
    /* the last layer alone takes more than all others: 2 ranks share 7000 | 56000, 3 ranks 48000, 4 ranks
     * 32000 */
    assert_true(greatest(1) > greatest(2) && greatest(2) > greatest(3) && greatest(3) > greatest(5));
    for (int ranks = 1; ranks <= 3; ranks++) {
        assert_int_equal(within(greatest(ranks), 1), ranks);
        assert_int_equal(within(greatest(ranks), ranks), ranks);
        assert_int_equal(within(greatest(ranks) - 1, 1), ranks + 1);
    }
    assert_int_equal(within(SIZE_MAX, 1), 1);
    assert_int_equal(within(SIZE_MAX, 4), 4); /* not fewer than asked for */
    assert_int_equal(within(greatest(6) - 1, 1), 0);
    assert_int_equal(within(SIZE_MAX, 7), 0); /* more ranks than layers */
    assert_int_equal(within(0, 1), 0);
}

/* The most rows that fit, by asking one by one. */
static void enough_rows_are_found(void **state)
{
    (void)state;
    or_plan even;
    assert_ok(or_plan_even(6, 2, &even));
    const size_t none = or_plan_memory(&even, 0, &shape, &untied, 0, 1).total;
    for (size_t limit = none; limit < none + 200000; limit += 7777) {
        size_t rows = 0;
        while (rows < 500 && or_plan_memory(&even, 0, &shape, &untied, rows + 1, 1).total <= limit) rows++;
        assert_int_equal(or_plan_rows_within(limit, 500, &even, 0, &shape, &untied, 1), rows);
        if (rows > 10) assert_int_equal(or_plan_rows_within(limit, 10, &even, 0, &shape, &untied, 1), 10);
    }
    assert_int_equal(or_plan_rows_within(none - 1, 500, &even, 0, &shape, &untied, 1), 0);
}

#ifndef OFFRAMP_SANITIZE /* the sanitizers' allocator does not count */
/* ---- a real model ----------------------------------------------------------------------------------------- */

static size_t heap(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* The heap that one wave of this many rows through the demo model takes: of the model itself, and with the
 * logits and rows that a ramp has. */
static size_t taken_by_wave(int rows, int threads)
{
    enum { RAMP_ROWS = 8 };
    or_model *model;
    const or_span span = {.first = 0, .count = rows};
    or_threads_set(threads);
    assert_ok(or_model_open(source_path("configs/demo/model"), 0, 2, &model));
    const or_hparams *h = or_model_hparams(model);
    const size_t width = (size_t)h->d_model;
    float *hidden = calloc((size_t)rows * width, sizeof *hidden);
    assert_non_null(hidden);
    const size_t before = heap();
    float *ramp = malloc(RAMP_ROWS * (width + (size_t)h->n_vocab) * sizeof *ramp);
    assert_non_null(ramp);
    for (int layer = 0; layer < 2; layer++)
        assert_ok(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
    memset(ramp, 0, RAMP_ROWS * width * sizeof *ramp);
    assert_ok(or_model_logits(model, ramp, RAMP_ROWS, ramp + RAMP_ROWS * width));
    const size_t taken = heap() - before,
                 said = or_hparams_workspace(h, (size_t)rows, (size_t)rows, RAMP_ROWS, threads);
    if (taken > said + 4096 || taken < said / 2) /* allocator and threads have a little of their own */
        fail_msg("%d rows, %d threads: %zu bytes taken, %zu estimated", rows, threads, taken, said);
    free(hidden);
    free(ramp);
    or_model_close(model);
    return taken;
}

static void models_take_what_is_said(void **state)
{
    (void)state;
    taken_by_wave(1, 2); /* what happens once: threads, kernels */
    for (int threads = 1; threads <= 2; threads++) {
        taken_by_wave(1, threads);
        taken_by_wave(40, threads);
        taken_by_wave(700, threads);
        taken_by_wave(2048, threads);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_the_stage), cmocka_unit_test(waves_and_workspace_are_counted),
        cmocka_unit_test(workspace_grows_as_it_should),   cmocka_unit_test(enough_ranks_are_found),
        cmocka_unit_test(enough_rows_are_found),
#ifndef OFFRAMP_SANITIZE
        cmocka_unit_test(models_take_what_is_said),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
