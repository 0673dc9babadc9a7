/* test_wave.c - waves against a naive model of them, and their form on the wire against damage. */
#include "support.h"

#include "wave.h"

#include <math.h>

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
                            .state = {.token = 4095, .stable = 7, .message = -1.0 / 3}};
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

/* ---- continuations ---------------------------------------------------------------------------------------- */

/* A step of a continuation that begins at `position`, as it is right: with the pages that it needs. */
static or_rider step_rider(uint64_t index, int rows, int position)
{
    return (or_rider){.index = index,
                      .rows = rows,
                      .policy = -1,
                      .state = OR_RAMP_STATE_START,
                      .step = {.sequence = index,
                               .slot = (int32_t)(index % limits.n_slots),
                               .position = position,
                               .n_pages = (position + rows + OR_PAGE - 1) / OR_PAGE,
                               .asks = position + rows - 1,
                               .target = -1,
                               .sampling = {.top_p = 1}}};
}

static int32_t page_of(uint64_t index, int32_t i)
{
    return (int32_t)((index + (uint64_t)i) % limits.n_pages);
}

/* The row of continuation `index` at this position; so it is known wherever it is found. */
static void fill_row(float *row, uint64_t index, int position)
{
    for (size_t c = 0; c < WIDTH; c++) row[c] = number(index, (size_t)position, c);
}

static void add_rider(or_wave *wave, const or_rider *rider)
{
    int32_t pages[9];
    const size_t row = wave->n_rows;
    for (int32_t i = 0; i < rider->step.n_pages; i++) pages[i] = page_of(rider->index, i);
    assert_ok(or_wave_add(wave, rider, NULL, pages));
    for (int i = 0; i < rider->rows; i++)
        fill_row(wave->hidden + (row + (size_t)i) * WIDTH, rider->index, rider->step.position + i);
}

static void add_step(or_wave *wave, uint64_t index, int rows, int position)
{
    const or_rider rider = step_rider(index, rows, position);
    add_rider(wave, &rider);
}

/* A scored prompt behind a prefix of so many pages. */
static void add_behind(or_wave *wave, uint64_t index, int rows, int32_t n_pages)
{
    const or_rider rider = {.index = index,
                            .rows = rows,
                            .policy = 1,
                            .observe = 1,
                            .step = {.position = n_pages * OR_PAGE, .n_pages = n_pages}};
    add_rider(wave, &rider);
}

/* A rider that computes part of a prefix. */
static void add_prefix(or_wave *wave, uint64_t index, int rows, int position)
{
    or_rider rider = step_rider(index, rows, position);
    rider.step = (or_step){.position = position, .n_pages = rider.step.n_pages, .asks = INT32_MAX};
    add_rider(wave, &rider);
}

/* Every row is the one of its rider and position; those of scored prompts begin at 0. */
static void assert_positions(or_wave *wave)
{
    size_t row = 0;
    float expected[WIDTH];
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        const or_span span = wave->spans[r];
        assert_int_equal(span.first, row);
        assert_int_equal(span.count, rider->rows);
        assert_int_equal(span.position, rider->step.position);
        for (int i = 0; i < span.count; i++, row++) {
            fill_row(expected, rider->index, span.position + i);
            assert_memory_equal(wave->hidden + row * WIDTH, expected, sizeof expected);
        }
        assert_true((span.pages == NULL) == (rider->step.n_pages == 0));
        assert_true(span.reads_only == (rider->step.sequence == 0 && rider->step.asks == 0));
        for (int32_t i = 0; i < rider->step.n_pages; i++)
            assert_int_equal(span.pages[i], page_of(rider->index, i));
    }
    assert_int_equal(wave->n_rows, row);
}

/* Rows that join go before those of their rider, whoever else is in the wave; then riders leave, and waves
 * merge. */
static void waves_grow_in_front_of_their_riders(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < 500; round++) {
        or_wave wave, arrived;
        int32_t more[MOST];
        bool leaves[MOST];
        size_t rows = 0;
        or_wave_init(&wave, WIDTH, false);
        or_wave_init(&arrived, WIDTH, false);
        for (uint64_t index = 1; index <= 1 + random_bits(&seed) % 8; index++) {
            if (random_bits(&seed) % 3 == 0)
                add(&wave, index, 1 + (int)(random_bits(&seed) % 4), (int)(random_bits(&seed) % 3), 0);
            else
                add_step(&wave, index, 1 + (int)(random_bits(&seed) % 4), (int)(random_bits(&seed) % 70));
        }
        for (int times = 0; times < 3; times++) {
            rows = wave.n_rows;
            for (size_t r = 0; r < wave.n_riders; r++) {
                const uint32_t most = (uint32_t)wave.spans[r].position;
                more[r] = random_bits(&seed) % 2 ? (int32_t)(random_bits(&seed) % (most + 1)) : 0;
                rows += (size_t)more[r];
                leaves[r] = random_bits(&seed) % 5 == 0;
            }
            assert_ok(or_wave_grow(&wave, more));
            assert_int_equal(wave.n_rows, rows);
            for (size_t r = 0; r < wave.n_riders; r++)
                for (int i = 0; i < more[r]; i++)
                    fill_row(wave.hidden + ((size_t)wave.spans[r].first + (size_t)i) * WIDTH,
                             wave.riders[r].index, wave.spans[r].position + i);
            assert_positions(&wave);
            send_over(&arrived, &wave);
            assert_positions(&arrived);
            or_wave_compact(&wave, leaves);
            assert_positions(&wave);
        }
        or_wave_free(&wave);
        or_wave_free(&arrived);
    }
}

/* Ghosts come over the wire with the riders to which they belong, and leave nothing behind. */
static void ghosts_cross_the_wire(void **state)
{
    (void)state;
    or_wave wave, arrived;
    float *rows;
    or_wave_init(&wave, WIDTH, false);
    or_wave_init(&arrived, WIDTH, false);
    add_step(&wave, 1, 2, 40);
    add_step(&wave, 2, 1, 3);
    add_step(&wave, 3, 1, 64);
    wave.riders[0].step.ghosts = 2;
    wave.riders[2].step.ghosts = 1;
    assert_ok(or_wave_add_ghosts(&wave, 2, &rows));
    fill_row(rows, 1, 38), fill_row(rows + WIDTH, 1, 39);
    assert_ok(or_wave_add_ghosts(&wave, 1, &rows));
    fill_row(rows, 3, 63);
    send_over(&arrived, &wave);
    assert_positions(&arrived);
    assert_int_equal(arrived.n_ghosts, 3);
    assert_memory_equal(arrived.ghosts, wave.ghosts, 3 * WIDTH * sizeof(float));
    assert_memory_equal(arrived.ghosts + 2 * WIDTH, rows, WIDTH * sizeof(float));
    assert_memory_equal(arrived.riders, wave.riders, 3 * sizeof *wave.riders);
    or_wave_clear(&wave);
    assert_int_equal(wave.n_ghosts, 0);
    send_over(&arrived, &wave);
    assert_int_equal(arrived.n_ghosts, 0);
    or_wave_free(&wave);
    or_wave_free(&arrived);
}

/* A wave with one rider of `rows` rows from `position` on; index 0: a scored prompt. */
static void make_single(or_wave *wave, uint64_t index, int rows, int position)
{
    or_wave_clear(wave);
    if (index == 0)
        add(wave, 7, rows, 0, -1);
    else
        add_step(wave, index, rows, position);
}

static void dropped_rows_conflict(void **state)
{
    (void)state;
    const struct {
        uint64_t index;
        int rows, position;
        bool conflicts; /* behind rows 10, 11, 12 of continuation 3 */
    } cases[] = {{3, 1, 13, false}, {3, 4, 13, false}, {3, 1, 12, true},  {3, 1, 10, true},
                 {3, 1, 9, true},   {3, 9, 4, true},   {3, 1, 40, false}, {5, 1, 10, false},
                 {4, 1, 10, false}, {0, 30, 0, false}};
    or_wave wave, next, empty;
    or_wave_init(&wave, WIDTH, false);
    or_wave_init(&next, WIDTH, false);
    or_wave_init(&empty, WIDTH, false);
    add(&wave, 7, 20, 0, -1);
    add_step(&wave, 3, 3, 10);
    add_step(&wave, 6, 1, 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_single(&next, cases[i].index, cases[i].rows, cases[i].position);
        assert_int_equal(or_wave_conflicts(&wave, &next), cases[i].conflicts);
        add_step(&next, 6, 1, 3);
        assert_int_equal(or_wave_conflicts(&wave, &next), cases[i].conflicts);
        assert_false(or_wave_conflicts(&empty, &next));
        assert_false(or_wave_conflicts(&next, &empty));
    }
    or_wave_free(&wave);
    or_wave_free(&next);
    or_wave_free(&empty);
}

/* Prefixes and who reads them find their pages, whoever else comes and goes, and are not counted as requests.
 * */
static void prefixes_travel_with_their_prompts(void **state)
{
    (void)state;
    uint64_t seed = 15;
    for (int round = 0; round < 300; round++) {
        or_wave wave, other, arrived;
        bool leaves[MOST];
        or_wave_init(&wave, WIDTH, round % 2);
        or_wave_init(&other, WIDTH, round % 2);
        or_wave_init(&arrived, WIDTH, round % 2);
        for (uint64_t index = 1; index <= 12; index++) {
            or_wave *to = index < 7 ? &wave : &other;
            const int rows = 1 + (int)(random_bits(&seed) % 4), position = (int)(random_bits(&seed) % 70);
            switch (random_bits(&seed) % 3) {
            case 0:
                add_behind(to, index, rows, (int32_t)(random_bits(&seed) % 4));
                break;
            case 1:
                add_prefix(to, index, rows, position);
                break;
            default:
                add_step(to, index, rows, position);
            }
        }
        assert_ok(or_wave_append(&wave, &other));
        assert_positions(&wave);
        for (size_t r = 0; r < wave.n_riders; r++) leaves[r] = random_bits(&seed) % 4 == 0;
        or_wave_compact(&wave, leaves);
        send_over(&arrived, &wave);
        assert_positions(&arrived);
        size_t asking = 0;
        for (size_t r = 0; r < arrived.n_riders; r++) asking += arrived.riders[r].step.asks != INT32_MAX;
        assert_int_equal(or_wave_requests(&arrived), asking);
        or_wave_free(&wave);
        or_wave_free(&other);
        or_wave_free(&arrived);
    }
}

/* Places on the wire: the head is magic, layer (4 bytes each), width, taps, riders, rows, list, ghosts,
 * waited (8 each). */
enum {
    AT_MAGIC = 0,
    AT_LAYER = 4,
    AT_WIDTH = 8,
    AT_TAPS = 16,
    AT_RIDERS = 24,
    AT_ROWS = 32,
    AT_LIST = 40,
    AT_GHOSTS = 48,
    AT_WAITED = 56,
    HEAD = 64
};
#define AT_RIDER(r, field) (HEAD + (r) * sizeof(or_rider) + offsetof(or_rider, field))
#define AT_STEP(r, field)  AT_RIDER(r, step.field)

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
                 {AT_WAITED, 8, 2, job},
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

/* Rider 0 is a step with rows 40, 41 and a ghost, rider 1 a scored prompt, rider 2 a step with rows 1, 2
 * and a ghost, rider 3 one with rows 0, 1. */
static void every_wrong_step_is_refused(void **state)
{
    (void)state;
    const char *sums = "do not add up", *sizes = "another size", *unknown = "does not know";
    union {
        float real;
        int32_t bits;
    } infinite = {INFINITY}, nan = {NAN}, more = {1.5f}, less = {-0.5f}, none = {0};
    const size_t list = HEAD + 4 * sizeof(or_rider);
    const struct {
        size_t at, size; /* bytes of the field */
        int64_t value;
        const char *part;
    } cases[] = {{AT_GHOSTS, 8, 0, sizes},
                 {AT_GHOSTS, 8, (INT64_C(1) << 62) + 1, sizes},
                 {AT_STEP(0, sequence), 8, 0, sums}, /* a scored prompt has no pages */
                 {AT_STEP(0, slot), 4, -1, sums},
                 {AT_STEP(0, slot), 4, 2, sums},
                 {AT_STEP(0, position), 4, -1, sums},
                 {AT_STEP(0, position), 4, 0, sums},  /* its ghost would lie before the first token */
                 {AT_STEP(0, position), 4, 30, sums}, /* one page is enough for that */
                 {AT_STEP(0, position), 4, 63, sums},
                 {AT_STEP(0, position), 4, INT32_MAX, sums},
                 {AT_STEP(0, n_pages), 4, 1, sums},
                 {AT_STEP(0, n_pages), 4, 3, sums},
                 {AT_STEP(0, n_pages), 4, 0, sums},
                 {AT_STEP(0, n_pages), 4, -2, sums},
                 {AT_STEP(2, position), 4, 0, sums}, /* likewise */
                 {AT_STEP(3, position), 4, -1, sums},
                 {AT_STEP(0, ghosts), 4, 0, sums},
                 {AT_STEP(0, ghosts), 4, 2, sums},
                 {AT_STEP(0, ghosts), 4, -1, sums},
                 {AT_STEP(0, ghosts), 4, 41, sums},
                 {AT_STEP(0, asks), 4, -1, sums},
                 {AT_STEP(0, kv), 4, -1, sums},
                 {AT_STEP(0, kv), 4, OR_KV_POLICIES, sums},
                 {AT_STEP(0, exits_at), 4, -1, sums},
                 {AT_STEP(0, exits_at), 4, 10, sums},
                 {AT_STEP(0, target), 4, -2, sums},
                 {AT_STEP(0, target), 4, 1000000, sums},
                 {AT_STEP(0, pushed), 4, 2, sums},
                 {AT_STEP(0, drafted), 4, -1, sums},
                 {AT_STEP(0, fault), 4, -1, sums},
                 {AT_STEP(0, fault), 4, 10, sums},
                 {AT_STEP(0, fault_position), 4, -1, sums},
                 {AT_STEP(0, likeliest), 4, 2, sums},
                 {AT_STEP(0, sampling.temperature), 4, infinite.bits, sums},
                 {AT_STEP(0, sampling.temperature), 4, nan.bits, sums},
                 {AT_STEP(0, sampling.temperature), 4, less.bits, sums},
                 {AT_STEP(0, sampling.top_k), 4, -1, sums},
                 {AT_STEP(0, sampling.top_p), 4, none.bits, sums},
                 {AT_STEP(0, sampling.top_p), 4, nan.bits, sums},
                 {AT_STEP(0, sampling.top_p), 4, more.bits, sums},
                 {AT_RIDER(0, observe), 4, 2, sums},
                 {AT_RIDER(0, state.stable), 4, -1, sums},
                 {AT_RIDER(0, state.stable), 4, 10, sums},
                 {AT_RIDER(0, state.message), 8, INT64_C(0x7ff8) << 48, sums}, /* no number */
                 {AT_RIDER(0, n_short), 4, -1, sums},
                 {AT_RIDER(0, n_short), 4, OR_SHORTLIST + 1, sums},
                 {AT_RIDER(0, shortlist[1]), 4, -1, sums},
                 {AT_RIDER(0, shortlist[1]), 4, 1000000, sums},
                 {AT_STEP(1, sequence), 8, 4, sums}, /* a step has pages */
                 {AT_STEP(1, position), 4, 1, sums},
                 {AT_STEP(1, n_pages), 4, 1, sums},
                 {AT_STEP(1, fault), 4, 1, sums}, /* it would have left */
                 {AT_STEP(1, ghosts), 4, 1, sums},
                 {AT_STEP(1, exits_at), 4, 10, sums},
                 {AT_STEP(1, exits_at), 4, -1, sums},
                 {list, 4, -1, unknown}, /* pages of rider 0, then a choice of rider 1 */
                 {list, 4, 9, unknown},
                 {list + 4, 4, INT32_MAX, unknown},
                 {list + 8, 4, -1, unknown},
                 {list + 8, 4, 1000000, unknown}};
    or_wave wave, arrived;
    float *ghost;
    or_wave_init(&wave, WIDTH, false);
    or_wave_init(&arrived, WIDTH, false);
    add_step(&wave, 1, 2, 40);
    wave.riders[0].n_short = 2;
    wave.riders[0].step.ghosts = 1;
    add(&wave, 2, 3, 1, -1);
    add_step(&wave, 3, 2, 1);
    wave.riders[2].step.ghosts = 1;
    add_step(&wave, 4, 2, 0);
    assert_ok(or_wave_add_ghosts(&wave, 2, &ghost));
    fill_row(ghost, 1, 39), fill_row(ghost + WIDTH, 3, 0);
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_wave_encode(&wave, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].size);
        assert_fails(or_wave_decode(&arrived, bytes, size, &limits), OR_ERR_PEER, cases[i].part);
        or_wave_encode(&wave, bytes); /* a wave that was refused leaves the next one alone */
        assert_ok(or_wave_decode(&arrived, bytes, size, &limits));
        assert_positions(&arrived);
    }
    free(bytes);
    or_wave_free(&wave);
    or_wave_free(&arrived);
}

/* Rider 0 is a scored prompt behind two pages, rider 1 a prefix with rows 40, 41. */
static void every_wrong_prefix_is_refused(void **state)
{
    (void)state;
    const char *sums = "do not add up", *unknown = "does not know";
    const size_t list = HEAD + 2 * sizeof(or_rider);
    const struct {
        size_t at, size;
        int64_t value;
        const char *part;
    } cases[] = {{AT_STEP(0, position), 4, 32, sums},
                 {AT_STEP(0, position), 4, 65, sums},
                 {AT_STEP(0, position), 4, 96, sums},
                 {AT_STEP(0, position), 4, -64, sums},
                 {AT_STEP(0, n_pages), 4, 1, sums},
                 {AT_STEP(0, n_pages), 4, 3, sums},
                 {AT_STEP(0, n_pages), 4, -2, sums},
                 {AT_STEP(0, n_pages), 4, INT32_MAX, sums},
                 {AT_STEP(0, asks), 4, 1, sums},
                 {AT_STEP(0, asks), 4, -1, sums},
                 {AT_STEP(0, asks), 4, INT32_MAX, sums}, /* prefixes ask for nothing */
                 {AT_STEP(0, ghosts), 4, 1, sums},
                 {AT_STEP(0, exits_at), 4, 10, sums},
                 {AT_STEP(0, exits_at), 4, -1, sums},
                 {AT_STEP(1, position), 4, -1, sums},
                 {AT_STEP(1, position), 4, 30, sums}, /* one page is enough for that */
                 {AT_STEP(1, position), 4, 63, sums},
                 {AT_STEP(1, position), 4, INT32_MAX, sums},
                 {AT_STEP(1, n_pages), 4, 1, sums},
                 {AT_STEP(1, n_pages), 4, 0, sums},
                 {AT_STEP(1, asks), 4, 0, sums},
                 {AT_STEP(1, ghosts), 4, 2, sums},
                 {AT_STEP(1, exits_at), 4, 2, sums},
                 {AT_RIDER(1, policy), 4, 0, sums},
                 {AT_RIDER(1, observe), 4, 1, sums},
                 {list, 4, 9, unknown},
                 {list + 12, 4, -1, unknown}};
    or_wave wave, arrived;
    or_wave_init(&wave, WIDTH, true);
    or_wave_init(&arrived, WIDTH, true);
    add_behind(&wave, 1, 3, 2);
    add_prefix(&wave, 2, 2, 40);
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_wave_encode(&wave, bytes);
        memcpy(bytes + cases[i].at, &cases[i].value, cases[i].size);
        assert_fails(or_wave_decode(&arrived, bytes, size, &limits), OR_ERR_PEER, cases[i].part);
        or_wave_encode(&wave, bytes);
        assert_ok(or_wave_decode(&arrived, bytes, size, &limits));
        assert_positions(&arrived);
    }
    or_wave_limits one_page = limits;
    one_page.n_pages = 1; /* more pages than there are cannot be a prefix */
    wave.lists[0] = wave.lists[1] = wave.lists[2] = wave.lists[3] = 0;
    or_wave_encode(&wave, bytes);
    assert_fails(or_wave_decode(&arrived, bytes, size, &one_page), OR_ERR_PEER, sums);
    free(bytes);
    or_wave_free(&wave);
    or_wave_free(&arrived);
}

/* More pages than there are cannot be a continuation's, even if each of them is one. */
static void too_many_pages_are_refused(void **state)
{
    (void)state;
    or_wave_limits one_page = limits;
    one_page.n_pages = 1;
    or_wave wave, arrived;
    or_wave_init(&wave, WIDTH, false);
    or_wave_init(&arrived, WIDTH, false);
    add_step(&wave, 1, 2, 40);
    wave.lists[0] = wave.lists[1] = 0;
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size);
    or_wave_encode(&wave, bytes);
    assert_fails(or_wave_decode(&arrived, bytes, size, &one_page), OR_ERR_PEER, "do not add up");
    one_page.n_pages = 2;
    assert_ok(or_wave_decode(&arrived, bytes, size, &one_page));
    free(bytes);
    or_wave_free(&wave);
    or_wave_free(&arrived);
}

/* What was read can be used: nothing in it is an index beyond what there is. */
static void assert_within_limits(const or_wave *wave)
{
    const int32_t *list = wave->lists;
    size_t rows = 0, ghosts = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        const or_step *step = &rider->step;
        assert_true(rider->policy >= -1 && rider->policy < (int)limits.n_policies && rider->rows > 0);
        for (int32_t i = 0; i < rider->n_short; i++)
            assert_true(rider->shortlist[i] >= 0 && rider->shortlist[i] < limits.n_vocab);
        for (int32_t i = 0; i < rider->n_choices; i++, list++)
            assert_true(*list >= 0 && *list < limits.n_vocab);
        for (int32_t i = 0; i < step->n_pages; i++, list++)
            assert_true(*list >= 0 && (size_t)*list < limits.n_pages);
        rows += (size_t)rider->rows;
        ghosts += (size_t)step->ghosts;
        assert_true(step->position >= 0 && step->ghosts <= step->position);
        if (step->sequence == 0) {
            assert_true(step->asks == 0 || step->asks == INT32_MAX);
            assert_true(step->asks == 0 ? step->position == step->n_pages * OR_PAGE
                                        : step->position + rider->rows <= step->n_pages * OR_PAGE);
            continue;
        }
        assert_true(step->slot >= 0 && (size_t)step->slot < limits.n_slots);
        assert_true(step->position + rider->rows <= step->n_pages * OR_PAGE);
        assert_true(step->target < limits.n_vocab && step->kv >= 0 && step->kv < OR_KV_POLICIES);
    }
    assert_int_equal(rows, wave->n_rows);
    assert_int_equal(ghosts, wave->n_ghosts);
    assert_ptr_equal(list, wave->lists + wave->n_list);
}

static void damaged_steps_are_refused_or_within_limits(void **state)
{
    (void)state;
    uint64_t seed = 13;
    size_t read = 0, refused = 0;
    or_wave wave, arrived;
    float *ghosts;
    or_wave_init(&wave, WIDTH, true);
    or_wave_init(&arrived, WIDTH, true);
    add_step(&wave, 1, 2, 40);
    add(&wave, 2, 3, 2, 1);
    add_step(&wave, 3, 1, 7);
    add_behind(&wave, 4, 1, 1);
    add_prefix(&wave, 5, 1, 33);
    wave.riders[0].n_short = 3;
    wave.riders[2].step.ghosts = 2;
    assert_ok(or_wave_add_ghosts(&wave, 2, &ghosts));
    fill_row(ghosts, 3, 5), fill_row(ghosts + WIDTH, 3, 6);
    const size_t size = or_wave_wire_size(&wave);
    char *bytes = malloc(size);
    for (int i = 0; i < 50000; i++) {
        or_wave_encode(&wave, bytes);
        for (uint32_t flips = 1 + random_bits(&seed) % 3; flips > 0; flips--)
            bytes[random_bits(&seed) % size] ^= (char)(1u << random_bits(&seed) % 8);
        if (or_wave_decode(&arrived, bytes, size, &limits) != OR_OK) {
            refused++;
            continue;
        }
        read++;
        assert_within_limits(&arrived);
    }
    assert_true(read > 1000 && refused > 1000);
    free(bytes);
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

static void waves_are_small_at_both_ends(void **state)
{
    (void)state;
    assert_int_equal(or_wave_budget(1024, 1, 0, 0, 100), 1024); /* nobody waits */
    assert_int_equal(or_wave_budget(1024, 2, 0, 0, SIZE_MAX), 128);
    assert_int_equal(or_wave_budget(1024, 2, 300, 3, SIZE_MAX), 300);
    assert_int_equal(or_wave_budget(1024, 2, 5000, 50, SIZE_MAX), 1024);
    assert_int_equal(or_wave_budget(1024, 4, 5000, 50, 20), 500); /* 2000 rows are left */
    assert_int_equal(or_wave_budget(1024, 4, 5000, 50, 1), 128);
    assert_int_equal(or_wave_budget(64, 4, 0, 0, 10), 64);
    /* all of a job of single rows: no wave but the last is smaller than it has to be, and there are few */
    size_t begun = 0, waves = 0;
    for (const size_t all = 100000; begun < all; waves++)
        begun += or_wave_budget(1024, 4, begun, begun, all - begun);
    assert_in_range(waves, 100000 / 1024, 100000 / 1024 + 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waves_are_small_at_both_ends),
        cmocka_unit_test(random_operations_keep_riders_whole),
        cmocka_unit_test(damaged_waves_are_refused),
        cmocka_unit_test(riders_keep_their_state),
        cmocka_unit_test(empty_waves_are_waves),
        cmocka_unit_test(waves_grow_in_front_of_their_riders),
        cmocka_unit_test(ghosts_cross_the_wire),
        cmocka_unit_test(dropped_rows_conflict),
        cmocka_unit_test(every_wrong_field_is_refused),
        cmocka_unit_test(every_wrong_step_is_refused),
        cmocka_unit_test(prefixes_travel_with_their_prompts),
        cmocka_unit_test(every_wrong_prefix_is_refused),
        cmocka_unit_test(too_many_pages_are_refused),
        cmocka_unit_test(damaged_steps_are_refused_or_within_limits),
        cmocka_unit_test(waves_that_mpi_cannot_send_have_no_size),
        cmocka_unit_test(taking_fills_the_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
