/* test_wave.c - waves against a naive model of them, and their form on the wire against damage. */
#include "support.h"

#include "wave.h"

enum { WIDTH = 3, MOST = 64 };

static const or_wave_limits limits = {.n_policies = 3,
                                      .n_pages = 9,
                                      .n_slots = 2,
                                      .n_vocab = 1000000,
                                      .n_layers = 9},
                            no_policies = {.n_pages = 9, .n_slots = 2, .n_vocab = 1000000, .n_layers = 9};

/* What a rider's numbers must be, whatever was merged and compacted: made from its index. */
static float number(uint64_t index, size_t row, size_t column)
{
    return (float)(index * 1000 + row * 10 + column);
}

static void add(or_wave *wave, uint64_t index, int rows, int n_choices, int policy)
{
    int32_t choices[8] = {0};
    for (int c = 0; c < n_choices; c++) choices[c] = (int32_t)index * 10 + c;
    const size_t r = wave->n_riders, row = wave->n_rows;
    const or_rider rider = {.index = index, .rows = rows, .policy = policy, .n_choices = n_choices};
    assert_ok(or_wave_add(wave, &rider, choices, NULL));
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
            assert_int_equal(wave->lists[choice], (int32_t)rider->index * 10 + c);
        for (size_t c = 0; wave->taps && c < WIDTH; c++) {
            assert_true(wave->attn[r * WIDTH + c] == number(rider->index, 500, c));
            assert_true(wave->mlp[r * WIDTH + c] == number(rider->index, 600, c));
        }
    }
    assert_int_equal(wave->n_rows, row);
    assert_int_equal(wave->n_list, choice);
}

/* Through the wire and back. */
static void send_over(or_wave *to, const or_wave *from)
{
    const size_t size = or_wave_wire_size(from);
    char *bytes = malloc(size);
    or_wave_encode(from, bytes);
    assert_ok(or_wave_decode(to, bytes, size, &limits));
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
        assert_fails(or_wave_decode(&arrived, part, cut, &limits), OR_ERR_PEER, "refused");
        free(part);
    }
    assert_fails(or_wave_decode(&narrow, bytes, size, &limits), OR_ERR_PEER, "another job");
    assert_fails(or_wave_decode(&arrived, bytes, size, &no_policies), OR_ERR_PEER,
                 "do not add up");    /* policy 0 of none */
    for (int i = 0; i < 20000; i++) { /* refused or read, never a crash; the sizes always fit each other */
        memcpy(damaged, bytes, size);
        damaged[random_bits(&seed) % size] ^= (char)(1u << random_bits(&seed) % 8);
        if (or_wave_decode(&arrived, damaged, size, &limits) == OR_OK) {
            assert_int_equal(arrived.n_riders, 2);
            assert_int_equal(arrived.n_rows, 5);
        }
    }
    free(bytes), free(damaged);
    or_wave_free(&wave);
    or_wave_free(&arrived);
    or_wave_free(&narrow);
}

/* A rider's own numbers, all of them, cross the wire and survive merging. */
static void riders_keep_their_state(void **state)
{
    (void)state;
    or_wave wave, other, arrived;
    or_wave_init(&wave, WIDTH, false);
    or_wave_init(&other, WIDTH, false);
    or_wave_init(&arrived, WIDTH, false);
    const or_rider rider = {.index = UINT64_C(1) << 40,
                            .rows = 2,
                            .policy = 2,
                            .observe = 1,
                            .n_choices = 1,
                            .state = {.token = 4095, .stable = 7}};
    add(&wave, 1, 3, 2, 0);
    wave.layer = 5;
    assert_ok(or_wave_add(&other, &rider, &(int32_t){3}, NULL));
    for (size_t i = 0; i < 2 * WIDTH; i++) other.hidden[i] = i % 2 ? -0.0f : 1e-42f;
    other.layer = 5;
    assert_ok(or_wave_append(&wave, &other));
    or_wave_compact(&wave, (const bool[]){true, false});
    send_over(&arrived, &wave);
    assert_int_equal(arrived.layer, 5);
    assert_int_equal(arrived.n_riders, 1);
    assert_memory_equal(&arrived.riders[0], &rider, sizeof rider);
    assert_int_equal(arrived.lists[0], 3);
    assert_memory_equal(arrived.hidden, other.hidden, 2 * WIDTH * sizeof(float));
    or_wave_free(&wave);
    or_wave_free(&other);
    or_wave_free(&arrived);
}

static void empty_waves_are_waves(void **state)
{
    (void)state;
    or_wave wave, other;
    or_wave_init(&wave, WIDTH, true);
    or_wave_init(&other, WIDTH, true);
    send_over(&other, &wave);
    assert_holds(&other, NULL, 0);
    add(&wave, 3, 2, 1, -1);
    wave.layer = 4;
    assert_ok(or_wave_append(&other, &wave)); /* an empty wave takes the layer */
    assert_int_equal(other.layer, 4);
    assert_holds(&other, (const uint64_t[]){3}, 1);
    or_wave_clear(&wave);
    assert_int_equal(wave.layer, 0);
    assert_holds(&wave, NULL, 0);
    assert_ok(or_wave_append(&other, &wave)); /* nothing comes along */
    assert_holds(&other, (const uint64_t[]){3}, 1);
    or_wave_compact(&other, (const bool[]){true});
    assert_holds(&other, NULL, 0);
    assert_ok(or_wave_add(&other, &(or_rider){.rows = 1}, NULL, NULL)); /* where taps of another rider were */
    for (size_t c = 0; c < WIDTH; c++) assert_true(other.attn[c] == 0 && other.mlp[c] == 0);
    or_wave_free(&wave);
    or_wave_free(&other);
    assert_null(wave.riders);
    assert_int_equal(wave.width, WIDTH); /* free leaves an initialised wave */
    add(&wave, 5, 1, 0, 0);
    assert_holds(&wave, (const uint64_t[]){5}, 1);
    or_wave_free(&wave);
}

/* Places on the wire: the head is magic, layer (4 bytes each), width, taps, riders, rows, list, ghosts (8 each). */
enum {
    AT_MAGIC = 0,
    AT_LAYER = 4,
    AT_WIDTH = 8,
    AT_TAPS = 16,
    AT_RIDERS = 24,
    AT_ROWS = 32,
    AT_LIST = 40,
    HEAD = 56
};
#define AT_RIDER(r, field) (HEAD + (r) * sizeof(or_rider) + offsetof(or_rider, field))

static void every_wrong_field_is_refused(void **state)
{
    (void)state;
    const char *sums = "do not add up", *sizes = "another size", *job = "another job";
    const struct {
        size_t at, size; /* bytes of the field */
        int64_t value;
        const char *part;
    } cases[] = {{AT_MAGIC, 4, 0, job},
                 {AT_LAYER, 4, -1, job},
                 {AT_WIDTH, 8, WIDTH + 1, job},
                 {AT_WIDTH, 8, 0, job},
                 {AT_TAPS, 8, 0, job},
                 {AT_TAPS, 8, 2, job},
                 {AT_RIDERS, 8, 0, sizes},
                 {AT_RIDERS, 8, 3, sizes},
                 {AT_RIDERS, 8, -1, sizes}, /* 2^64 - 1 */
                 {AT_RIDERS, 8, INT64_MAX, sizes},
                 {AT_ROWS, 8, 4, sizes},
                 {AT_ROWS, 8, INT64_C(1) << 31, sizes},
                 {AT_ROWS, 8, (INT64_C(1) << 62) + 5, sizes}, /* x 3 x 4 bytes is 5 rows' again, mod 2^64 */
                 {AT_LIST, 8, 1, sizes},
                 {AT_LIST, 8, (INT64_C(1) << 62) + 2, sizes},
                 {AT_RIDER(0, rows), 4, 0, sums},
                 {AT_RIDER(0, rows), 4, -2, sums},
                 {AT_RIDER(0, rows), 4, 1, sums},
                 {AT_RIDER(1, rows), 4, 4, sums},
                 {AT_RIDER(1, rows), 4, INT32_MAX, sums},
                 {AT_RIDER(0, policy), 4, -2, sums},
                 {AT_RIDER(0, policy), 4, 3, sums},
                 {AT_RIDER(1, policy), 4, INT32_MAX, sums},
                 {AT_RIDER(0, n_choices), 4, -1, sums},
                 {AT_RIDER(0, n_choices), 4, 1, sums},
                 {AT_RIDER(1, n_choices), 4, 1, sums},
                 {AT_RIDER(1, n_choices), 4, INT32_MAX, sums}};
    or_wave wave, arrived;
    or_wave_init(&wave, WIDTH, true);
    or_wave_init(&arrived, WIDTH, true);
    add(&wave, 1, 2, 2, 2);
    add(&wave, 2, 3, 0, -1);
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_wave_encode(&wave, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].size);
        assert_fails(or_wave_decode(&arrived, bytes, size, &limits), OR_ERR_PEER, cases[i].part);
        or_wave_encode(&wave, bytes); /* a wave that was refused leaves the next one alone */
        assert_ok(or_wave_decode(&arrived, bytes, size, &limits));
        assert_holds(&arrived, (const uint64_t[]){1, 2}, 2);
    }
    char *longer = malloc(size + 1);
    or_wave_encode(&wave, longer);
    longer[size] = 0;
    assert_fails(or_wave_decode(&arrived, longer, size + 1, &limits), OR_ERR_PEER, sizes);
    free(bytes), free(longer);
    or_wave_free(&wave);
    or_wave_free(&arrived);
}

static void waves_that_mpi_cannot_send_have_no_size(void **state)
{
    (void)state;
    or_wave wave = {.width = 8192, .n_riders = 1, .n_rows = 65535}; /* 64 KiB short of 2 GiB of numbers */
    assert_int_equal(or_wave_wire_size(&wave), HEAD + sizeof(or_rider) + (size_t)65535 * 8192 * 4);
    wave.n_rows = 65536;
    assert_int_equal(or_wave_wire_size(&wave), 0);
    wave.n_rows = SIZE_MAX / 4;
    assert_int_equal(or_wave_wire_size(&wave), 0);
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
    assert_int_equal(or_take_within(sizes, 4, 100), 4);
    assert_int_equal(or_take_within(sizes, 2, 100), 2);
    assert_int_equal(or_take_within(sizes + 1, 3, 6), 2);
    assert_int_equal(or_take_within((const size_t[]){9, 1}, 2, 5), 1);    /* the long one runs by itself */
    assert_int_equal(or_take_within((const size_t[]){1, 9, 1}, 3, 5), 1); /* in order */
}

/* Whether a rider of sequence 1 in slot 0, positions 40 and 41 in page 8 of its pages 3 and 8, must be through before
 * another one comes. */
static void waves_that_conflict_are_told(void **state)
{
    (void)state;
    static const struct {
        int sequence, slot, position, ghosts;
        or_kv_policy kv; /* of the first */
        int32_t pages[2];
        bool conflicts;
    } cases[] = {
        {1, 0, 42, 0, OR_KV_VERIFY, {3, 8}, false},  /* goes on */
        {1, 0, 41, 0, OR_KV_VERIFY, {3, 8}, true},   /* begins again */
        {2, 0, 40, 0, OR_KV_DEFERRED, {5, 6}, true}, /* has its slot */
        {2, 1, 40, 0, OR_KV_VERIFY, {5, 6}, false},
        {2, 1, 40, 0, OR_KV_VERIFY, {5, 3}, true},    /* writes to a page that was its own */
        {2, 1, 40, 0, OR_KV_VERIFY, {8, 6}, false},   /* only reads there */
        {2, 1, 40, 9, OR_KV_VERIFY, {8, 6}, true},    /* its ghosts go there */
        {2, 1, 40, 0, OR_KV_DEFERRED, {5, 3}, false}, /* no drafts outlive it */
        {0, 0, 0, 0, OR_KV_VERIFY, {3, 8}, false},    /* a scored prompt */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_wave wave, next;
        or_wave_init(&wave, WIDTH, false);
        or_wave_init(&next, WIDTH, false);
        or_rider first = {.rows = 2, .step = {.sequence = 1, .position = 40, .n_pages = 2}}, later = first;
        first.step.kv = (int32_t)cases[i].kv;
        later.step.sequence = (uint64_t)cases[i].sequence;
        later.step.slot = cases[i].slot;
        later.step.position = cases[i].position;
        later.step.ghosts = cases[i].ghosts;
        later.step.n_pages = cases[i].sequence ? 2 : 0;
        add(&wave, 7, 1, 3, 0); /* lists before theirs */
        add(&next, 8, 1, 2, 0);
        assert_ok(or_wave_add(&wave, &first, NULL, (const int32_t[]){3, 8}));
        assert_false(or_wave_conflicts(&wave, &next));
        assert_ok(or_wave_add(&next, &later, NULL, cases[i].pages));
        if (or_wave_conflicts(&wave, &next) != cases[i].conflicts) fail_msg("case %zu", i);
        or_wave_free(&wave);
        or_wave_free(&next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_keep_riders_whole),
        cmocka_unit_test(damaged_waves_are_refused),
        cmocka_unit_test(riders_keep_their_state),
        cmocka_unit_test(empty_waves_are_waves),
        cmocka_unit_test(every_wrong_field_is_refused),
        cmocka_unit_test(waves_that_mpi_cannot_send_have_no_size),
        cmocka_unit_test(waves_that_conflict_are_told),
        cmocka_unit_test(taking_fills_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
