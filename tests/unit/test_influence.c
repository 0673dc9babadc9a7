/* test_influence.c - block influence against a mean that is taken by hand, and the order of the layers. */
#include "support.h"

#include <offramp/trace.h>

enum { LAYERS = 7, ITEMS = 50 };

static void influence_is_what_cosines_leave(void **state)
{
    (void)state;
    static or_observation seen[ITEMS][LAYERS];
    static or_trace_item items[ITEMS];
    long double sums[LAYERS] = {0};
    double influence[LAYERS];
    uint64_t seed = 3;
    for (int i = 0; i < ITEMS; i++) {
        items[i].seen = seen[i];
        for (int l = 0; l < LAYERS; l++) {
            seen[i][l].cos_hidden = (float)(random_bits(&seed) / 2147483648.0 - 1);
            seen[i][l].cos_attn = 5; /* not asked */
            sums[l] += 1 - (long double)seen[i][l].cos_hidden;
        }
    }
    const or_trace trace = {.meta.n_layers = LAYERS, .items = items, .count = ITEMS};
    or_block_influence(&trace, influence);
    for (int l = 0; l < LAYERS; l++) assert_near(influence[l], (double)(sums[l] / ITEMS), 1e-12);
}

/* A layer that changes nothing has none, one that turns the state around 2. */
static void influence_goes_from_0_to_2(void **state)
{
    (void)state;
    or_observation seen[3] = {{.cos_hidden = 1}, {.cos_hidden = 0}, {.cos_hidden = -1}};
    or_trace_item item = {.seen = seen};
    const or_trace trace = {.meta.n_layers = 3, .items = &item, .count = 1};
    double influence[3];
    or_block_influence(&trace, influence);
    for (int l = 0; l < 3; l++) assert_true(influence[l] == l);
}

/* Few values, so that there are many equal ones: a layer's place is the number of those that go before it. */
static void the_least_influential_go_first(void **state)
{
    (void)state;
    uint64_t seed = 8;
    for (int round = 0; round < 200; round++) {
        double influence[LAYERS];
        int wanted[LAYERS];
        for (int l = 0; l < LAYERS; l++) influence[l] = random_bits(&seed) % 4;
        for (int l = 0; l < LAYERS; l++) {
            int place = 0;
            for (int o = 0; o < LAYERS; o++)
                place += influence[o] < influence[l] || (influence[o] == influence[l] && o > l);
            wanted[place] = l + 1;
        }
        for (int k = 0; k <= LAYERS; k++) {
            int layers[LAYERS + 1];
            for (int i = 0; i <= LAYERS; i++) layers[i] = -1;
            or_least_influential(influence, LAYERS, k, layers);
            for (int i = 0; i <= LAYERS; i++) assert_int_equal(layers[i], i < k ? wanted[i] : -1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(influence_is_what_cosines_leave),
        cmocka_unit_test(influence_goes_from_0_to_2),
        cmocka_unit_test(the_least_influential_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
