/* test_curve.c - survivor curves: files, traces, and that exits are drawn as the curve says. */
#include "support.h"

#include "curve.h"

#include <offramp/model.h>
#include <offramp/trace.h>

#include <math.h>

static void refuse(const char *text, int n_layers, const char *part)
{
    const char *path = path_in(scratch_folder(), "curve.json");
    or_curve curve;
    put_text(path, text);
    assert_fails(or_curve_read(path, n_layers, NULL, &curve), OR_ERR_INPUT, part);
    or_curve_free(&curve);
}

static void bad_curves_are_refused_by_name(void **state)
{
    (void)state;
    or_curve curve;
    refuse("[1, 0.5, 0]", 3, "found 3 shares, expected an array of 4");
    refuse("{\"S\": [1, 0]}", 1, "found 0 shares");
    refuse("[0.9, 0.5, 0]", 2, "behind layer 0 is 0.9, expected 1");
    refuse("[1, 0.5, 0.6, 0]", 3, "behind layer 2 is 0.6, expected a number from 0 up to the one before");
    refuse("[1, 0.5, -0.1]", 2, "behind layer 2 is -0.1");
    refuse("[1, \"0.5\", 0]", 2, "behind layer 1 is no number");
    refuse("[1, 0.5, 0", 2, "curve.json");
    assert_fails(or_curve_read("/nowhere/curve.json", 2, NULL, &curve), OR_ERR_INPUT, "/nowhere/curve.json");
    or_curve_free(&curve);
}

/* 20000 tokens: each layer's share is within four deviations of what the curve says, nobody leaves where it
 * is flat, and what is left at the end leaves at the last layer. */
static void exits_are_drawn_by_the_curve(void **state)
{
    (void)state;
    enum { LAYERS = 5, SEQUENCES = 40, TOKENS = 500, DRAWN = SEQUENCES * TOKENS };
    static const double shares[LAYERS] = {0, 0.25, 0, 0.5,
                                          0.25}; /* S(l - 1) - S(l), 0.1 of it left behind 5 */
    const char *path = path_in(scratch_folder(), "curve.json");
    or_curve curve;
    int exits[LAYERS + 1] = {0}, moved = 0;
    put_text(path, "[1, 1, 0.75, 0.75, 0.25, 0.1]");
    assert_ok(or_curve_read(path, LAYERS, NULL, &curve));
    for (int s = 0; s < SEQUENCES; s++)
        for (int t = 0; t < TOKENS; t++) {
            const int exit = or_curve_exit(&curve, 7, (uint64_t)s, (uint64_t)t);
            assert_in_range(exit, 1, LAYERS);
            assert_int_equal(exit, or_curve_exit(&curve, 7, (uint64_t)s, (uint64_t)t));
            moved += exit != or_curve_exit(&curve, 8, (uint64_t)s, (uint64_t)t);
            exits[exit]++;
        }
    for (int layer = 1; layer <= LAYERS; layer++) {
        const double share = shares[layer - 1];
        assert_near((double)exits[layer] / DRAWN, share, 4 * sqrt(share * (1 - share) / DRAWN));
    }
    assert_true(moved > DRAWN / 3); /* another seed draws others: of independent draws 62 % differ */
    or_curve_free(&curve);
}

/* Token 3 from layer `right` on, another before. */
static void put_item(or_trace_writer *writer, int64_t index, int right)
{
    or_observation seen[3] = {{0}};
    const or_trace_item item = {
        .task = "t", .index = index, .final_token = 3, .answer_token = -1, .seen = seen};
    for (int layer = 1; layer <= 3; layer++)
        seen[layer - 1] = (or_observation){.layer = layer, .token = layer >= right ? 3 : 4, .top_prob = 0.5f};
    assert_ok(or_trace_put(writer, &item));
}

static void a_trace_gives_the_curve_of_an_oracle(void **state)
{
    (void)state;
    const or_trace_meta meta = {.fingerprint = 1, .n_layers = 3, .layer_macs = 1, .ramp_macs = 1};
    const char *path = path_in(scratch_folder(), "trace.csv");
    or_trace_writer *writer;
    or_curve curve;
    assert_ok(or_trace_begin(path, 3, &writer));
    for (int i = 0; i < 4; i++) put_item(writer, i, i == 0 ? 1 : i == 1 ? 3 : 2);
    assert_ok(or_trace_end(writer, &meta));
    assert_ok(or_curve_read(path, 3, NULL, &curve));
    const double expected[] = {1, 0.75, 0.25, 0};
    for (int layer = 0; layer <= 3; layer++) assert_true(curve.share[layer] == expected[layer]);
    or_curve_free(&curve);
    assert_fails(or_curve_read(path, 4, NULL, &curve), OR_ERR_INPUT, "the trace is of 3 layers, expected 4");
    or_curve_free(&curve);
}

/* The curves that ship save what their names say of TinyLlama 1.1B's layers and output projection, within a
 * per cent (keys and values of skipped layers not counted), and let nobody leave before layer 6. */
static void the_curves_that_ship_save_what_they_say(void **state)
{
    (void)state;
    static const int saved[] = {18, 30, 43};
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(source_path("configs/models/tinyllama-1.1b.json"), &checkpoint));
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    const double layer = or_hparams_layer_macs(h, 1), head = or_hparams_head_macs(h);
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        or_curve curve;
        double skipped = 0;
        snprintf(name, sizeof name, "configs/survivors/22-saves-%d.json", saved[i]);
        assert_ok(or_curve_read(source_path(name), 22, NULL, &curve));
        assert_true(curve.share[5] == 1);
        for (int l = 0; l < 22; l++) skipped += 1 - curve.share[l];
        assert_near(100 * skipped * layer / (22 * layer + head), saved[i], 1.2);
        or_curve_free(&curve);
    }
    or_checkpoint_close(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_curves_are_refused_by_name),
        cmocka_unit_test(exits_are_drawn_by_the_curve),
        cmocka_unit_test(a_trace_gives_the_curve_of_an_oracle),
        cmocka_unit_test(the_curves_that_ship_save_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
