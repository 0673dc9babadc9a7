/* test_packing.c - packed weights: they are kept to the bit, their products are those of plain double
 * arithmetic with x rounded as the packing says, and a row's bits do not depend on its company. */
#include "support.h"

#include "compute.h"
#include "memory.h"
#include "threads.h"

#include <math.h>

static const or_dtype types[] = {OR_BF16, OR_Q8_0, OR_Q4_0, OR_Q4_K, OR_Q6_K};
enum { TYPES = sizeof types / sizeof *types };

static const char set_name[] = "avx512_bf16";
static const or_kernels *set;

static int take_set(void **state)
{
    (void)state;
    set = or_kernels_find(set_name);
    return set->usable() ? or_kernels_use(set_name) : 0;
}

/* First in each test. */
static void need_set(void)
{
    if (set->usable()) return;
    print_message("no %s here: %s needs %s\n", set_name, set_name, set->needs);
    skip();
}

static float *random_floats(uint64_t *state, size_t n)
{
    float *values = or_alloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = (float)random_bits(state) / 2147483648.0f - 1.0f;
    return values;
}

/* ---- weights ------------------------------------------------------------------------------------------- */

/* A half of 2^-8 to 2^-6, of either sign. */
static void put_scale(uint64_t *state, unsigned char *to)
{
    const uint32_t bits = random_bits(state);
    to[0] = (unsigned char)bits;
    to[1] = (unsigned char)((bits >> 8 & 0x83) | (7 + (bits >> 16 & 1)) << 2);
}

/* Blocks of all the bits there may be but for the scales, which are numbers that can be added. */
static or_matrix make_matrix(uint64_t *state, or_dtype dtype, int rows, int columns)
{
    const size_t n = (size_t)rows * (size_t)columns, bytes = or_dtype_bytes(dtype, n);
    unsigned char *stored = or_alloc(bytes, 1);
    assert_non_null(stored);
    if (dtype == OR_BF16) {
        float *made = random_floats(state, n);
        or_quantize(made, dtype, n, stored);
        free(made);
    } else {
        for (size_t i = 0; i < bytes; i++) stored[i] = (unsigned char)(random_bits(state) >> 24);
        for (size_t at = 0; at < bytes; at += or_dtype_block_bytes(dtype)) {
            put_scale(state, stored + at + (dtype == OR_Q6_K ? 208 : 0));
            if (dtype == OR_Q4_K) put_scale(state, stored + at + 2);
        }
    }
    return (or_matrix){.data = stored, .dtype = dtype, .rows = rows, .columns = columns};
}

static or_matrix packed_matrix(const or_matrix *w)
{
    or_matrix packed = *w;
    void *memory = or_alloc(or_matrix_packed_bytes(w), 1);
    assert_non_null(memory);
    or_matrix_pack(&packed, memory);
    assert_null(packed.data);
    return packed;
}

static void assert_kept(const or_matrix *w, size_t part)
{
    const or_matrix packed = packed_matrix(w);
    const size_t columns = (size_t)w->columns;
    float *expected = or_alloc(columns, sizeof *expected), *got = or_alloc(columns, sizeof *got);
    for (int output = 0; output < w->rows; output++) {
        const size_t stored = (size_t)or_matrix_row(w, output);
        or_expand(w->data, w->dtype, stored * columns, columns, expected);
        for (size_t from = 0; from < columns; from += part)
            or_matrix_expand(&packed, output, from, columns - from < part ? columns - from : part,
                             got + from);
        if (memcmp(expected, got, columns * sizeof *got) != 0)
            fail_msg("%s %dx%d: output %d is not as stored", or_dtype_name(w->dtype), w->rows, w->columns,
                     output);
    }
    free(expected), free(got), free((void *)packed.packed);
}

static void weights_are_kept(void **state)
{
    (void)state;
    need_set();
    static const int rows[] = {1, 31, 63, 64, 65, 200}, blocks[] = {1, 2, 5};
    uint64_t seed = 1;
    for (size_t t = 0; t < TYPES; t++) {
        const size_t block = or_dtype_block(types[t]);
        for (size_t i = 0; i < 3 * sizeof rows / sizeof *rows; i++) {
            or_matrix w = make_matrix(&seed, types[t], rows[i / 3], blocks[i % 3] * (int)block);
            or_threads_set(1 + (int)(i % 3));
            assert_kept(&w, block);
            assert_kept(&w, 2 * block);
            if (w.rows % 4 == 0) { /* whole heads of rotary pairs */
                w.interleaved = w.rows / 2;
                assert_kept(&w, block);
            }
            free((void *)w.data);
        }
    }
}

/* As many bytes as stored, for whole panels. */
static void weights_take_no_more_room(void **state)
{
    (void)state;
    need_set();
    for (size_t t = 0; t < TYPES; t++) {
        const or_matrix w = {.dtype = types[t], .rows = 128, .columns = 512};
        assert_int_equal(or_matrix_packed_bytes(&w), or_dtype_bytes(types[t], 128 * 512));
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* x as the packings' files say that it is rounded. */
static void round_row(or_dtype dtype, const float *x, size_t columns, double *rounded)
{
    if (dtype == OR_BF16) {
        for (size_t c = 0; c < columns; c++) {
            uint16_t half;
            float value;
            or_quantize(x + c, OR_BF16, 1, &half);
            or_expand(&half, OR_BF16, 0, 1, &value);
            rounded[c] = value;
        }
        return;
    }
    for (size_t from = 0; from < columns; from += 32) {
        float most = 0;
        for (size_t c = from; c < from + 32; c++) most = fmaxf(most, fabsf(x[c]));
        const float d = most / 127;
        for (size_t c = from; c < from + 32; c++)
            rounded[c] = d > 0 ? (double)d * fmax(-128, fmin(127, nearbyintf(x[c] / d))) : 0;
    }
}

/* All rows within 4e-7 of the sum of the magnitudes, and what is below the least normal number. */
static void assert_right(const or_matrix *w, const float *x, size_t rows, const float *y)
{
    const size_t columns = (size_t)w->columns, outs = (size_t)w->rows;
    float *values = or_alloc(columns * outs, sizeof *values);
    double *rounded = or_alloc(columns * rows, sizeof *rounded);
    for (size_t r = 0; r < rows; r++) round_row(w->dtype, x + r * columns, columns, rounded + r * columns);
    for (int o = 0; o < w->rows; o++)
        or_expand(w->data, w->dtype, (size_t)or_matrix_row(w, o) * columns, columns,
                  values + (size_t)o * columns);
    for (size_t i = 0; i < rows * outs; i++) {
        double exact = 0, size = 0;
        for (size_t c = 0; c < columns; c++) {
            const double product = rounded[i / outs * columns + c] * values[i % outs * columns + c];
            exact += product, size += fabs(product);
        }
        assert_near(y[i], exact, 4e-7 * size + 1e-37);
    }
    free(values), free(rounded);
}

/* One slice of the columns and several, groups of all sizes, and outputs that end within a panel. */
static void products_are_right(void **state)
{
    (void)state;
    need_set();
    static const int shapes[][2] = {{1, 256}, {31, 768}, {65, 2304}, {48, 6400}};
    static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 13};
    uint64_t seed = 2;
    for (size_t i = 0; i < TYPES * 4; i++) {
        or_matrix w = make_matrix(&seed, types[i / 4], shapes[i % 4][0], shapes[i % 4][1]);
        if (w.rows == 48) w.interleaved = 12;
        const or_matrix packed = packed_matrix(&w);
        float *x = random_floats(&seed, 13 * (size_t)w.columns);
        float *y = or_alloc(13 * (size_t)w.rows, sizeof *y);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            or_threads_set(1 + (int)(c % 3));
            set->matmul(&packed, x, counts[c], y);
            assert_right(&w, x, counts[c], y);
        }
        free(x), free(y), free((void *)packed.packed), free((void *)w.data);
    }
}

/* Column counts that are no multiple of the slices, down to one block. */
static void any_number_of_blocks_is_met(void **state)
{
    (void)state;
    need_set();
    static const size_t rows[] = {2, 8};
    uint64_t seed = 3;
    for (size_t t = 0; t < TYPES; t++) {
        const int block = types[t] == OR_BF16 ? 17 : (int)or_dtype_block(types[t]);
        for (int blocks = 1; blocks <= 9; blocks += 2) {
            const or_matrix w = make_matrix(&seed, types[t], 40, blocks * block), packed = packed_matrix(&w);
            float *x = random_floats(&seed, 8 * (size_t)w.columns), *y = or_alloc(8 * 40, sizeof *y);
            for (size_t i = 0; i < 2; i++) {
                set->matmul(&packed, x, rows[i], y);
                assert_right(&w, x, rows[i], y);
            }
            free(x), free(y), free((void *)packed.packed), free((void *)w.data);
        }
    }
}

static void products_do_not_depend_on_company(void **state)
{
    (void)state;
    need_set();
    enum { OUTS = 75, COLUMNS = 2304, MOST = 513 };
    static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 64, MOST};
    uint64_t seed = 4;
    float *x = random_floats(&seed, MOST * COLUMNS), *y = or_alloc(MOST * OUTS, sizeof *y);
    float *all = or_alloc(MOST * OUTS, sizeof *all);
    for (size_t t = 0; t < TYPES; t++) {
        const or_matrix w = make_matrix(&seed, types[t], OUTS, COLUMNS), packed = packed_matrix(&w);
        or_threads_set(1);
        set->matmul(&packed, x, MOST, all);
        for (size_t i = 0; i < 3 * sizeof counts / sizeof *counts; i++) {
            const size_t n = counts[i / 3], first = MOST - n;
            or_threads_set(1 + (int)(i % 3));
            set->matmul(&packed, x + first * COLUMNS, n, y);
            if (memcmp(y, all + first * OUTS, n * OUTS * sizeof *y) != 0)
                fail_msg("%s: %zu rows on %d threads have other bits", or_dtype_name(types[t]), n,
                         or_threads());
        }
        free((void *)packed.packed), free((void *)w.data);
    }
    free(x), free(y), free(all);
}

/* Rows of zeros, of huge and of tiny numbers, of one great number among small ones. */
static void numbers_of_all_sizes_are_met(void **state)
{
    (void)state;
    need_set();
    enum { OUTS = 33, COLUMNS = 512, ROWS = 8 };
    static const float sizes[ROWS] = {0, 1e34f, 1e-30f, 1e-36f, 1e-42f, 1, 1e4f, -0.0f};
    uint64_t seed = 5;
    float *x = random_floats(&seed, ROWS * COLUMNS), *y = or_alloc(ROWS * OUTS, sizeof *y);
    for (size_t i = 0; i < ROWS * COLUMNS; i++) x[i] *= sizes[i / COLUMNS];
    x[5 * COLUMNS + 500] = 1e5f; /* near the end, where few roundings follow */
    for (size_t t = 0; t < TYPES; t++) {
        const or_matrix w = make_matrix(&seed, types[t], OUTS, COLUMNS), packed = packed_matrix(&w);
        set->matmul(&packed, x, ROWS, y);
        assert_right(&w, x, ROWS, y);
        for (size_t o = 0; o < OUTS; o++) assert_true(y[o] == 0 && y[7 * OUTS + o] == 0);
        free((void *)packed.packed), free((void *)w.data);
    }
    free(x), free(y);
}

/* A NaN or Inf makes all outputs of its row so, whatever the weights that it meets, and none of another. */
static void damage_stays_in_its_row(void **state)
{
    (void)state;
    need_set();
    enum { OUTS = 40, COLUMNS = 768, ROWS = 8, BAD = 5 };
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    uint64_t seed = 6;
    float *x = random_floats(&seed, ROWS * COLUMNS), *y = or_alloc(ROWS * OUTS, sizeof *y);
    float *clean = or_alloc(ROWS * OUTS, sizeof *clean);
    for (size_t t = 0; t < TYPES; t++) {
        const or_matrix w = make_matrix(&seed, types[t], OUTS, COLUMNS), packed = packed_matrix(&w);
        set->matmul(&packed, x, ROWS, clean);
        for (size_t i = 0; i < 4 * COLUMNS; i += 37) {
            float *at = x + BAD * COLUMNS + i % COLUMNS, kept = *at;
            *at = bad[i / COLUMNS];
            set->matmul(&packed, x, ROWS, y);
            *at = kept;
            for (size_t o = 0; o < OUTS; o++) assert_false(isfinite(y[BAD * OUTS + o]));
            memcpy(y + BAD * OUTS, clean + BAD * OUTS, OUTS * sizeof *y);
            assert_memory_equal(y, clean, ROWS * OUTS * sizeof *y);
        }
        free((void *)packed.packed), free((void *)w.data);
    }
    free(x), free(y), free(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_kept),
        cmocka_unit_test(weights_take_no_more_room),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(any_number_of_blocks_is_met),
        cmocka_unit_test(products_do_not_depend_on_company),
        cmocka_unit_test(numbers_of_all_sizes_are_met),
        cmocka_unit_test(damage_stays_in_its_row),
    };
    return cmocka_run_group_tests(tests, take_set, NULL);
}
