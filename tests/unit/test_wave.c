/* test_wave.c - waves against a naive model of them, and their form on the wire against damage. */
#include "support.h"

#include "wave.h"

enum { WIDTH = 3, MOST = 64 };

/* What a rider's numbers must be, whatever was merged and compacted: made from its index. */
static float number(uint64_t index, size_t row, size_t column)
{
    return (float)(index * 1000 + row * 10 + column);
}

static void add(or_wave *wave, uint64_t index, int rows, int n_choices, int policy)
{
    int32_t choices[8];
    for (int c = 0; c < n_choices; c++) choices[c] = (int32_t)index * 10 + c;
    const size_t r = wave->n_riders, row = wave->n_rows;
    const or_rider rider = {.index = index, .rows = rows, .policy = policy, .n_choices = n_choices};
    assert_ok(or_wave_add(wave, &rider, choices));
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t c = 0; c < WIDTH; c++) wave->hidden[(row + i) * WIDTH + c] = number(index, i, c);
    for (size_t c = 0; wave->taps && c < WIDTH; c++) {
        wave->attn[r * WIDTH + c] = number(index, 500, c);
        wave->mlp[r * WIDTH + c] = number(index, 600, c);
    }
}

/* The wave holds exactly these riders, in this order, with their own numbers. */
static void assert_holds(const or_wave *wave, const uint64_t *indices, size_t n)
{
    size_t row = 0, choice = 0;
    assert_int_equal(wave->n_riders, n);
    for (size_t r = 0; r < n; r++) {
        const or_rider *rider = &wave->riders[r];
        assert_int_equal(rider->index, indices[r]);
        assert_int_equal(wave->spans[r].first, row);
        assert_int_equal(wave->spans[r].count, rider->rows);
        for (size_t i = 0; i < (size_t)rider->rows; i++, row++)
            for (size_t c = 0; c < WIDTH; c++)
                assert_true(wave->hidden[row * WIDTH + c] == number(rider->index, i, c));
        for (int c = 0; c < rider->n_choices; c++, choice++)
            assert_int_equal(wave->choices[choice], (int32_t)rider->index * 10 + c);
        for (size_t c = 0; wave->taps && c < WIDTH; c++) {
            assert_true(wave->attn[r * WIDTH + c] == number(rider->index, 500, c));
            assert_true(wave->mlp[r * WIDTH + c] == number(rider->index, 600, c));
        }
    }
    assert_int_equal(wave->n_rows, row);
    assert_int_equal(wave->n_choices, choice);
}

/* Through the wire and back. */
static void send_over(or_wave *to, const or_wave *from)
{
    const size_t size = or_wave_wire_size(from);
    char *bytes = malloc(size);
    or_wave_encode(from, bytes);
    assert_ok(or_wave_decode(to, bytes, size, 3));
    assert_int_equal(to->layer, from->layer);
    free(bytes);
}

static void random_operations_keep_riders_whole(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 200; round++) {
        const bool taps = round % 2;
        or_wave wave, other, arrived;
        uint64_t indices[MOST];
        size_t n = 0, next = 1;
        or_wave_init(&wave, WIDTH, taps);
        or_wave_init(&other, WIDTH, taps);
        or_wave_init(&arrived, WIDTH, taps);
        for (int step = 0; step < 12; step++) {
            const size_t added = random_bits(&seed) % 5;
            or_wave_clear(&other);
            for (size_t i = 0; i < added && n < MOST; i++, next++) {
                const int rows = 1 + (int)(random_bits(&seed) % 4), choices = (int)(random_bits(&seed) % 3);
                add(step % 2 ? &other : &wave, next, rows, choices, (int)(random_bits(&seed) % 4) - 1);
                indices[n++] = next;
            }
            assert_ok(or_wave_append(&wave, &other));
            bool leaves[MOST] = {false};
            size_t kept = 0;
            for (size_t r = 0; r < n; r++) {
                leaves[r] = random_bits(&seed) % 4 == 0;
                if (!leaves[r]) indices[kept++] = indices[r];
            }
            or_wave_compact(&wave, leaves);
            n = kept;
            assert_holds(&wave, indices, n);
            send_over(&arrived, &wave);
            assert_holds(&arrived, indices, n);
        }
        or_wave_free(&wave);
        or_wave_free(&other);
        or_wave_free(&arrived);
    }
}

static void damaged_waves_are_refused(void **state)
{
    (void)state;
    uint64_t seed = 9;
    or_wave wave, arrived, narrow;
    or_wave_init(&wave, WIDTH, true);
    or_wave_init(&arrived, WIDTH, true);
    or_wave_init(&narrow, WIDTH - 1, true);
    add(&wave, 1, 2, 2, 0);
    add(&wave, 2, 3, 0, -1);
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size), *damaged = malloc(size);
    or_wave_encode(&wave, bytes);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = malloc(cut ? cut : 1);
        memcpy(part, bytes, cut);
        assert_fails(or_wave_decode(&arrived, part, cut, 3), OR_ERR_PEER, "refused");
        free(part);
    }
    assert_fails(or_wave_decode(&narrow, bytes, size, 3), OR_ERR_PEER, "another job");
    assert_fails(or_wave_decode(&arrived, bytes, size, 0), OR_ERR_PEER,
                 "do not add up");    /* policy 0 of none */
    for (int i = 0; i < 20000; i++) { /* refused or read, never a crash; the sizes always fit each other */
        memcpy(damaged, bytes, size);
        damaged[random_bits(&seed) % size] ^= (char)(1u << random_bits(&seed) % 8);
        if (or_wave_decode(&arrived, damaged, size, 3) == OR_OK) {
            assert_int_equal(arrived.n_riders, 2);
            assert_int_equal(arrived.n_rows, 5);
        }
    }
    free(bytes), free(damaged);
    or_wave_free(&wave);
    or_wave_free(&arrived);
    or_wave_free(&narrow);
}

static void taking_fills_the_budget(void **state)
{
    (void)state;
    const size_t sizes[] = {5, 3, 2, 9};
    assert_int_equal(or_take_within(sizes, 0, 10), 0);
    assert_int_equal(or_take_within(sizes, 4, 1), 1); /* at least one, however long */
    assert_int_equal(or_take_within(sizes, 4, 8), 2);
    assert_int_equal(or_take_within(sizes, 4, 10), 3);
    assert_int_equal(or_take_within(sizes, 4, 18), 3);
    assert_int_equal(or_take_within(sizes, 4, 19), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_keep_riders_whole),
        cmocka_unit_test(damaged_waves_are_refused),
        cmocka_unit_test(taking_fills_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
