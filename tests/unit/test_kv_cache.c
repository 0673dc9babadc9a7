/* test_kv_cache.c - a stage's cache: how far its layers are, and hidden states that wait in scrambled
 * pages. */
#include "support.h"

#include "kv_cache.h"

enum { LAYERS = 3, WIDTH = 6, PAGES = 7, SLOTS = 2, MOST = PAGES * OR_PAGE };

static const or_hparams hparams = {.n_layers = 9,
                                   .d_model = WIDTH,
                                   .n_heads = 2,
                                   .n_kv_heads = 1,
                                   .head_dim = 3,
                                   .n_vocab = 10,
                                   .n_context = MOST};

static void assert_done(const or_kv *kv, int slot, const int32_t expected[LAYERS + 1])
{
    for (int layer = 0; layer <= LAYERS; layer++)
        assert_int_equal(or_kv_done(kv, slot)[layer], expected[layer]);
}

static void set_done(const or_kv *kv, int slot, const int32_t done[LAYERS + 1])
{
    memcpy(or_kv_done(kv, slot), done, (LAYERS + 1) * sizeof *done);
}

static void arriving_rows_say_where_the_layers_stand(void **state)
{
    (void)state;
    or_kv kv;
    assert_ok(or_kv_open(&kv, &hparams, LAYERS, PAGES, SLOTS));
    or_kv_arrive(&kv, 1, 5, 0);
    assert_done(&kv, 1, (const int32_t[]){0, 0, 0, 0});
    set_done(&kv, 1, (const int32_t[]){9, 8, 8, 4});
    or_kv_arrive(&kv, 1, 5, 9); /* the next row: nothing changes */
    assert_done(&kv, 1, (const int32_t[]){9, 8, 8, 4});
    or_kv_arrive(&kv, 1, 5, 8); /* dropped drafts */
    assert_done(&kv, 1, (const int32_t[]){8, 8, 8, 4});
    or_kv_arrive(&kv, 1, 5, 6);
    assert_done(&kv, 1, (const int32_t[]){6, 6, 6, 4});
    or_kv_arrive(&kv, 0, 6, 32); /* behind a shared prefix: all layers have it */
    assert_done(&kv, 0, (const int32_t[]){32, 32, 32, 32});
    assert_done(&kv, 1, (const int32_t[]){6, 6, 6, 4}); /* slots are apart */
    or_kv_arrive(&kv, 1, 7, 0);                         /* another one in the slot, shorter or longer */
    assert_done(&kv, 1, (const int32_t[]){0, 0, 0, 0});
    or_kv_arrive(&kv, 1, 8, 64);
    assert_done(&kv, 1, (const int32_t[]){64, 64, 64, 64});
    or_kv_close(&kv);
    or_kv_close(&kv); /* nothing is left to release */
}

/* Layers of a page follow each other, pages are a stride apart, and what waits lies behind the layers. */
static void nothing_in_a_page_overlaps(void **state)
{
    (void)state;
    or_kv kv;
    assert_ok(or_kv_open(&kv, &hparams, LAYERS, PAGES, SLOTS));
    const size_t layer_floats = or_hparams_page_floats(&hparams),
                 page_floats = LAYERS * layer_floats + OR_PAGE * WIDTH;
    assert_int_equal(or_kv_page_bytes(&hparams, LAYERS), page_floats * sizeof(float));
    for (size_t page = 0; page < PAGES; page++)
        for (int layer = 0; layer < LAYERS; layer++) {
            const or_kv_layer at = or_kv_layer_pages(&kv, layer);
            for (size_t i = 0; i < layer_floats; i++) at.data[page * at.stride + i] = (float)(layer + 1);
        }
    for (int32_t page = 0; page < PAGES; page++) {
        float rows[OR_PAGE * WIDTH];
        for (size_t i = 0; i < OR_PAGE * WIDTH; i++) rows[i] = -1;
        or_kv_set_aside(&kv, &page, 0, OR_PAGE, rows);
    }
    size_t sums[LAYERS + 1] = {0};
    for (size_t i = 0; i < PAGES * page_floats; i++) sums[kv.data[i] > 0 ? (size_t)kv.data[i] - 1 : LAYERS]++;
    for (int layer = 0; layer < LAYERS; layer++) assert_int_equal(sums[layer], PAGES * layer_floats);
    assert_int_equal(sums[LAYERS], PAGES * OR_PAGE * WIDTH);
    or_kv_close(&kv);
}

/* Two sequences with their pages in no order: what was set aside last at a position comes back. */
static void rows_that_wait_come_back(void **state)
{
    (void)state;
    enum { OWN = 3, LONG = OWN * OR_PAGE };
    uint64_t seed = 5;
    const int32_t pages[2][OWN] = {{6, 0, 3}, {1, 5, 2}};
    float(*expected)[WIDTH] = calloc((size_t)2 * LONG, sizeof *expected), rows[LONG][WIDTH];
    or_kv kv;
    assert_ok(or_kv_open(&kv, &hparams, LAYERS, PAGES, SLOTS));
    for (int step = 0; step < 3000; step++) {
        const int which = (int)(random_bits(&seed) % 2), at = (int)(random_bits(&seed) % LONG),
                  count = (int)(random_bits(&seed) % (unsigned)(LONG - at + 1));
        float(*own)[WIDTH] = expected + which * LONG + at;
        if (step % 2) {
            for (int i = 0; i < count * WIDTH; i++) rows[i / WIDTH][i % WIDTH] = (float)random_bits(&seed);
            memcpy(own, rows, (size_t)count * sizeof *rows);
            or_kv_set_aside(&kv, pages[which], at, count, rows[0]);
        } else {
            or_kv_take_back(&kv, pages[which], at, count, rows[0]);
            assert_memory_equal(rows, own, (size_t)count * sizeof *rows);
        }
    }
    free(expected);
    or_kv_close(&kv);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    or_kv kv;
    assert_fails(or_kv_open(&kv, &hparams, LAYERS, SIZE_MAX / 8, SLOTS), OR_ERR_FAILED, "memory");
    or_kv_close(&kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arriving_rows_say_where_the_layers_stand),
        cmocka_unit_test(nothing_in_a_page_overlaps),
        cmocka_unit_test(rows_that_wait_come_back),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
