/* test_kernels.c - every kernel set against plain double arithmetic, and the rule that a row's bits do not
 * depend on its company. */
#include "support.h"

#include "compute.h"
#include "kv.h"
#include "memory.h"
#include "threads.h"
#include "vector.h"

#include <math.h>

static const char *const sets[] = {"avx512_bf16", "avx512", "avx2", "openblas", "reference"};
enum { SETS = sizeof sets / sizeof *sets };

/* A set that this machine cannot run promises nothing: the reference takes its place. */
static const or_kernels *kernel_set(int set)
{
    const or_kernels *run = or_kernels_find(sets[set]);
    return run->usable() ? run : or_kernels_find("reference");
}

static float random_float(uint64_t *state)
{
    return (float)random_bits(state) / 2147483648.0f - 1.0f;
}

static float *random_floats(uint64_t *state, size_t n)
{
    float *values = or_alloc(n, sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = random_float(state);
    return values;
}

static void exp_is_exact_to_a_few_units(void **state)
{
    (void)state;
    for (double x = -87; x <= 88; x += 0.00137) {
        double exact = exp((double)(float)x), got = or_exp((float)x);
        if (fabs(got - exact) > 2.5e-7 * exact) fail_msg("or_exp(%g) = %.9g, expected %.9g", x, got, exact);
    }
    assert_true(or_exp(0.0f) == 1.0f);
    assert_true(or_exp(-1000.0f) == or_exp(-87.0f) && or_exp(-INFINITY) < 2e-38f);
    assert_true(or_exp(1000.0f) == or_exp(88.0f) && isfinite(or_exp(INFINITY)));
    for (uint32_t bits = 0xff800001; bits < 0xff800401; bits++) { /* no payload makes a number of a NaN */
        float nan;
        memcpy(&nan, &bits, sizeof nan);
        assert_true(isnan(or_exp(nan)));
    }
}

/* ---- matrix products ---------------------------------------------------------------------------------- */

/* Random weights in a stored format; their exact values go to `values`. */
static or_matrix make_matrix(uint64_t *state, or_dtype dtype, int rows, int columns, float **values)
{
    const size_t n = (size_t)rows * (size_t)columns;
    float *made = random_floats(state, n);
    unsigned char *stored = or_alloc(or_dtype_bytes(dtype, n), 1);
    *values = or_alloc(n, sizeof **values);
    or_quantize(made, dtype, n, stored);
    or_expand(stored, dtype, 0, n, *values);
    free(made);
    return (or_matrix){.data = stored, .dtype = dtype, .rows = rows, .columns = columns};
}

static bool fits(or_dtype dtype, int columns)
{
    return (size_t)columns % or_dtype_block(dtype) == 0;
}

static const int shapes[][2] = {{1, 1},     {3, 17},     {63, 100},   {64, 1024},  {65, 1025},
                                {8, 8},     {6, 1},      {130, 1500}, {200, 2100}, {5, 32},
                                {70, 1056}, {130, 1536}, {9, 2304},   {37, 4864}};

/* Within 1e-6 sqrt(columns): some ten times what rounding leaves of sums of numbers in -1 .. 1. */
static void products_are_right(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
            if (!fits(dtype, shapes[s][1])) continue;
            float *values;
            const or_matrix w = make_matrix(&seed, dtype, shapes[s][0], shapes[s][1], &values);
            const size_t rows = 11, columns = (size_t)w.columns, outs = (size_t)w.rows;
            float *x = random_floats(&seed, rows * columns), *y = or_alloc(rows * outs, sizeof *y);
            for (int set = 0; set < SETS; set++) {
                kernel_set(set)->matmul(&w, x, rows, y);
                for (size_t r = 0; r < rows; r++) {
                    for (size_t o = 0; o < outs; o++) {
                        double exact = 0;
                        for (size_t c = 0; c < columns; c++)
                            exact += (double)x[r * columns + c] * values[o * columns + c];
                        assert_near(y[r * outs + o], exact, 1e-6 * sqrt((double)columns));
                    }
                }
            }
            or_kernels_find("reference")->matmul(&w, x, rows, y);
            for (size_t o = 0; o < outs; o += 3)
                assert_true(or_matrix_dot(&w, (int)o, x + columns) == y[outs + o]);
            free(x), free(y), free(values), free((void *)w.data);
        }
    }
}

/* A row alone, then somewhere among up to 40 others and in a wave of several blocks, with 1 and 2 threads;
 * the other rows are numbers, or NaN and Inf, which must not spread. */
static void products_do_not_depend_on_company(void **state)
{
    (void)state;
    uint64_t seed = 2;
    enum { MOST = 300 };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const or_dtype types[] = {(or_dtype)(s % 3), OR_Q5_1, OR_Q4_K}; /* the largest blocks that fit */
        const or_dtype dtype = types[fits(OR_Q4_K, shapes[s][1]) ? 2 : fits(OR_Q5_1, shapes[s][1]) ? 1 : 0];
        float *values;
        const or_matrix w = make_matrix(&seed, dtype, shapes[s][0], shapes[s][1], &values);
        const size_t columns = (size_t)w.columns, outs = (size_t)w.rows;
        float *row = random_floats(&seed, columns), *alone = or_alloc(outs, sizeof *alone);
        float *x = random_floats(&seed, MOST * columns), *y = or_alloc(MOST * outs, sizeof *y);
        for (int set = 0; set < SETS; set++) {
            const or_kernels *run = kernel_set(set);
            or_threads_set(1);
            run->matmul(&w, row, 1, alone);
            for (size_t n = 1; n <= MOST; n += n > 40 ? 129 : 3) {
                const size_t place = random_bits(&seed) % n;
                or_threads_set(1 + (int)(n / 3 % 2));
                for (size_t i = 0; i < n * columns; i += 5)
                    x[i] = n % 2 ? random_float(&seed) : i % 2 ? NAN : INFINITY;
                memcpy(x + place * columns, row, columns * sizeof *x);
                run->matmul(&w, x, n, y);
                if (memcmp(alone, y + place * outs, outs * sizeof *y) != 0)
                    fail_msg("%s: %dx%d, row %zu of %zu has other bits than alone", sets[set], w.rows,
                             w.columns, place, n);
            }
        }
        free(row), free(alone), free(x), free(y), free(values), free((void *)w.data);
    }
}

/* Every type and every number of rows that a set may treat in its own way. */
static void rows_of_every_type_are_alike(void **state)
{
    (void)state;
    enum { OUTS = 39, COLUMNS = 2304, MOST = 70 };
    uint64_t seed = 11;
    float *x = random_floats(&seed, MOST * COLUMNS), *y = or_alloc(MOST * OUTS, sizeof *y);
    float *all = or_alloc(MOST * OUTS, sizeof *all);
    for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
        float *values;
        const or_matrix w = make_matrix(&seed, dtype, OUTS, COLUMNS, &values);
        for (int set = 0; set < SETS; set++) {
            kernel_set(set)->matmul(&w, x, MOST, all);
            for (size_t n = 1; n < MOST; n += n < 13 ? 1 : 19) {
                kernel_set(set)->matmul(&w, x + (MOST - n) * COLUMNS, n, y);
                assert_memory_equal(y, all + (MOST - n) * OUTS, n * OUTS * sizeof *y);
            }
        }
        free(values), free((void *)w.data);
    }
    free(x), free(y), free(all);
}

/* Files put weights at any address. The copy ends where its memory ends, so that the sanitizers see a read
 * behind the last one. */
static void weights_may_be_unaligned(void **state)
{
    (void)state;
    uint64_t seed = 12;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
            if (!fits(dtype, shapes[s][1])) continue;
            float *values;
            const or_matrix w = make_matrix(&seed, dtype, shapes[s][0], shapes[s][1], &values);
            const size_t n = 7, columns = (size_t)w.columns, outs = (size_t)w.rows;
            const size_t bytes = or_dtype_bytes(dtype, columns * outs);
            float *x = random_floats(&seed, n * columns);
            float *y = or_alloc(n * outs, sizeof *y), *y_moved = or_alloc(n * outs, sizeof *y);
            unsigned char *moved = or_alloc(bytes + 3, 1);
            memcpy(moved + 3, w.data, bytes);
            const or_matrix odd = {moved + 3, dtype, w.rows, w.columns, 0, NULL};
            for (int set = 0; set < SETS; set++) {
                kernel_set(set)->matmul(&w, x, n, y);
                kernel_set(set)->matmul(&odd, x, n, y_moved);
                assert_memory_equal(y, y_moved, n * outs * sizeof *y);
            }
            free(x), free(y), free(y_moved), free(moved), free(values), free((void *)w.data);
        }
    }
}

/* The same rows stored in pairs, for a head of 8: see or_matrix_row(). */
static void rows_of_a_head_are_found(void **state)
{
    (void)state;
    static const int stored[] = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
    const or_matrix plain = {.rows = 16}, pairs = {.rows = 16, .interleaved = 8};
    for (int output = 0; output < 16; output++) {
        assert_int_equal(or_matrix_row(&plain, output), output);
        assert_int_equal(or_matrix_row(&pairs, output), stored[output]);
    }
}

/* Heads' rows in order, and as rotary pairs, give equal bits; several tiles and an edge, all types. */
static void interleaved_products_are_the_same(void **state)
{
    (void)state;
    enum { HEAD_ROWS = 22, HALF = HEAD_ROWS / 2, ROWS = 6 * HEAD_ROWS, COLUMNS = 1536, N = 9 };
    uint64_t seed = 9;
    float *x = random_floats(&seed, N * COLUMNS), *y = or_alloc(N * ROWS, sizeof *y);
    float *y_pairs = or_alloc(N * ROWS, sizeof *y_pairs);
    for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
        float *values;
        const or_matrix w = make_matrix(&seed, dtype, ROWS, COLUMNS, &values);
        const size_t row_bytes = or_dtype_bytes(dtype, COLUMNS);
        unsigned char *stored = or_alloc(ROWS * row_bytes, 1);
        for (size_t head = 0; head < ROWS; head += HEAD_ROWS) {
            const unsigned char *from = (const unsigned char *)w.data + head * row_bytes;
            for (size_t i = 0; i < HALF; i++) {
                memcpy(stored + (head + 2 * i) * row_bytes, from + i * row_bytes, row_bytes);
                memcpy(stored + (head + 2 * i + 1) * row_bytes, from + (i + HALF) * row_bytes, row_bytes);
            }
        }
        const or_matrix pairs = {stored, dtype, ROWS, COLUMNS, HEAD_ROWS, NULL};
        for (int set = 0; set < SETS; set++) {
            or_threads_set(1 + set % 3);
            kernel_set(set)->matmul(&w, x, N, y);
            kernel_set(set)->matmul(&pairs, x, N, y_pairs);
            assert_memory_equal(y, y_pairs, N * ROWS * sizeof *y);
        }
        for (int o = 0; o < ROWS; o++) assert_true(or_matrix_dot(&w, o, x) == or_matrix_dot(&pairs, o, x));
        free(stored), free(values), free((void *)w.data);
    }
    free(x), free(y), free(y_pairs);
}

/* The bits of matmul_rows.h: every type, tails of columns and outputs, slices, rows that copy the weights and
 * rows that do not, a matrix in rotary pairs. A machine with one of the two sets has nothing to compare. */
static void avx2_and_avx512_are_alike(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 31, 32, 64, 70, 300};
    enum { MOST = 300 };
    const or_kernels *wide = or_kernels_find("avx512"), *narrow = or_kernels_find("avx2");
    if (!wide->usable() || !narrow->usable()) skip();
    uint64_t seed = 13;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
            if (!fits(dtype, shapes[s][1])) continue;
            float *values;
            or_matrix w = make_matrix(&seed, dtype, shapes[s][0], shapes[s][1], &values);
            const size_t columns = (size_t)w.columns, outs = (size_t)w.rows;
            float *x = random_floats(&seed, MOST * columns);
            float *y = or_alloc(MOST * outs, sizeof *y), *y_narrow = or_alloc(MOST * outs, sizeof *y_narrow);
            for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
                w.interleaved = w.rows % 2 == 0 && i % 2 ? w.rows : 0;
                or_threads_set(1 + (int)(i % 3));
                wide->matmul(&w, x, counts[i], y);
                narrow->matmul(&w, x, counts[i], y_narrow);
                if (memcmp(y, y_narrow, counts[i] * outs * sizeof *y) != 0)
                    fail_msg("%s %dx%d, %zu rows: other bits", or_dtype_name(dtype), w.rows, w.columns,
                             counts[i]);
            }
            free(x), free(y), free(y_narrow), free(values), free((void *)w.data);
        }
    }
}

/* ---- attention ---------------------------------------------------------------------------------------- */

/* a head that is met in vectors of 32 and of 16 elements, and of what is left */
enum { HEADS = 6, KV_HEADS = 2, HEAD_DIM = 52, Q_WIDTH = HEADS * HEAD_DIM, KV_WIDTH = KV_HEADS * HEAD_DIM };
static const or_attention_shape attention_shape = {HEADS, KV_HEADS, HEAD_DIM};

/* out[q width] at position `i` of a request whose keys and values are k, v [.., kv width]. */
static void attend_exactly(const or_attention_shape *shape, const float *q, const float *k, const float *v,
                           size_t i, double *out)
{
    const size_t dim = (size_t)shape->head_dim, heads = (size_t)shape->n_heads;
    const size_t kv_width = (size_t)shape->n_kv_heads * dim, group = heads / (size_t)shape->n_kv_heads;
    for (size_t head = 0; head < heads; head++) {
        const size_t shared = head / group * dim; /* the query heads of a group use one key head */
        double p[128], sum = 0;
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t d = 0; d < dim; d++)
                dot += (double)q[(i * heads + head) * dim + d] * k[j * kv_width + shared + d];
            sum += p[j] = exp(dot / sqrt((double)dim));
        }
        for (size_t d = 0; d < dim; d++) {
            double mixed = 0;
            for (size_t j = 0; j <= i; j++) mixed += p[j] / sum * v[j * kv_width + shared + d];
            out[head * dim + d] = mixed;
        }
    }
}

static void attention_is_right(void **state)
{
    (void)state;
    uint64_t seed = 3;
    enum { SPANS = 5, ROWS = 5 + 1 + 33 + 16 + 17 };
    const or_span spans[SPANS] = {{.first = 0, .count = 5},
                                  {.first = 5, .count = 1},
                                  {.first = 6, .count = 33},
                                  {.first = 39, .count = 16},
                                  {.first = 55, .count = 17}};
    float *q = random_floats(&seed, ROWS * Q_WIDTH), *k = random_floats(&seed, ROWS * KV_WIDTH);
    float *v = random_floats(&seed, ROWS * KV_WIDTH), *out = or_alloc(ROWS * Q_WIDTH, sizeof *out);
    for (size_t i = 0; i < ROWS * Q_WIDTH; i++) q[i] *= 8.0f; /* a softmax that is not flat */
    or_threads_set(2);
    float *scratch = or_alloc(
        or_attention_scratch(&attention_shape, or_span_longest(spans, SPANS), or_threads()), sizeof *scratch);
    for (int set = 0; set < SETS; set++) {
        kernel_set(set)->attention(&attention_shape, spans, SPANS, NULL, q, k, v, out, scratch);
        for (size_t s = 0; s < SPANS; s++) {
            const size_t first = (size_t)spans[s].first;
            for (size_t i = 0; i < (size_t)spans[s].count; i++) {
                double exact[Q_WIDTH];
                attend_exactly(&attention_shape, q + first * Q_WIDTH, k + first * KV_WIDTH,
                               v + first * KV_WIDTH, i, exact);
                for (size_t c = 0; c < Q_WIDTH; c++)
                    assert_near(out[(first + i) * Q_WIDTH + c], exact[c], 4e-6);
            }
        }
    }
    free(q), free(k), free(v), free(out), free(scratch);
}

/* A request of 1 .. 33 rows alone, then behind and before others, which may hold NaN; 1 and 2 threads. */
static void attention_does_not_depend_on_company(void **state)
{
    (void)state;
    uint64_t seed = 4;
    enum { MOST = 40 + 33 + 7 };
    float *q = random_floats(&seed, MOST * Q_WIDTH), *k = random_floats(&seed, MOST * KV_WIDTH);
    float *v = random_floats(&seed, MOST * KV_WIDTH), *out = or_alloc(MOST * Q_WIDTH, sizeof *out);
    float *alone = or_alloc(MOST * Q_WIDTH, sizeof *alone);
    k[0] = v[3] = NAN; /* of the request before */
    for (int set = 0; set < SETS; set++) {
        const or_kernels *run = kernel_set(set);
        for (int before = 1; before <= 40; before += 3) {
            const int n = 1 + (int)(random_bits(&seed) % 33);
            const or_span spans[] = {{.first = 0, .count = before},
                                     {.first = before, .count = n},
                                     {.first = before + n, .count = 7}},
                          only = {.first = 0, .count = n};
            const size_t q_at = (size_t)before * Q_WIDTH, kv_at = (size_t)before * KV_WIDTH;
            or_threads_set(2 - before % 2);
            float *scratch =
                or_alloc(or_attention_scratch(&attention_shape, or_span_longest(spans, 3), or_threads()),
                         sizeof *scratch);
            run->attention(&attention_shape, spans, 3, NULL, q, k, v, out, scratch);
            or_threads_set(1);
            run->attention(&attention_shape, &only, 1, NULL, q + q_at, k + kv_at, v + kv_at, alone, scratch);
            assert_memory_equal(alone, out + q_at, (size_t)n * Q_WIDTH * sizeof *out);
            free(scratch);
        }
    }
    free(q), free(k), free(v), free(out), free(alone);
}

/* ---- attention through pages -------------------------------------------------------------------------- */

enum { PAGES = 12, LONGEST = 3 * OR_PAGE + 5 };

/* Pages that hold NaN wherever nothing was put. */
static or_kv_layer empty_pages(const or_attention_shape *shape)
{
    or_kv_layer kv = {.stride = or_kv_page_floats(shape) + 7}; /* other things lie between */
    kv.data = or_alloc(PAGES * kv.stride, sizeof *kv.data);
    assert_non_null(kv.data);
    for (size_t i = 0; i < PAGES * kv.stride; i++) kv.data[i] = NAN;
    return kv;
}

static void attend(const or_kernels *run, const or_attention_shape *shape, const or_span *spans,
                   size_t n_spans, const or_kv_layer *kv, const float *q, const float *k, const float *v,
                   float *out)
{
    float *scratch =
        or_alloc(or_attention_scratch(shape, or_span_longest(spans, n_spans), or_threads()), sizeof *scratch);
    or_kv_put(shape, spans, n_spans, k, v, kv);
    run->attention(shape, spans, n_spans, kv, q, k, v, out, scratch);
    free(scratch);
}

static void page_is_laid_out_as_told(void **state)
{
    (void)state;
    uint64_t seed = 21;
    float *k = random_floats(&seed, 2 * KV_WIDTH), *v = random_floats(&seed, 2 * KV_WIDTH);
    const int32_t pages[] = {5, 2};
    /* row 1 of the wave is position 33: slot 1 of page 2 */
    const or_span span = {.first = 1, .count = 1, .position = OR_PAGE + 1, .pages = pages};
    const or_kv_layer kv = empty_pages(&attention_shape);
    or_kv_put(&attention_shape, &span, 1, k, v, &kv);
    size_t put = 0;
    for (size_t i = 0; i < PAGES * kv.stride; i++) put += !isnan(kv.data[i]);
    assert_int_equal(put, 2 * KV_WIDTH);
    for (size_t head = 0; head < KV_HEADS; head++) {
        const float *keys = kv.data + 2 * kv.stride + head * HEAD_DIM * OR_PAGE;
        const float *values = kv.data + 2 * kv.stride + (KV_HEADS + head) * OR_PAGE * HEAD_DIM;
        for (size_t i = 0; i < HEAD_DIM; i++) {
            assert_true(keys[i * OR_PAGE + 1] == k[KV_WIDTH + head * HEAD_DIM + i]);
            assert_true(values[HEAD_DIM + i] == v[KV_WIDTH + head * HEAD_DIM + i]);
        }
    }
    free(k), free(v), free(kv.data);
}

/* The same bits in pages, in chunks of any size, as in one piece. */
static void pages_change_no_bit(void **state)
{
    (void)state;
    static const int32_t pages[] = {7, 3, 11, 0}; /* the other ones hold NaN */
    static const int chunks[] = {1, 5, 31, 32, 33, LONGEST};
    uint64_t seed = 22;
    float *q = random_floats(&seed, LONGEST * Q_WIDTH), *k = random_floats(&seed, LONGEST * KV_WIDTH);
    float *v = random_floats(&seed, LONGEST * KV_WIDTH), *whole = or_alloc(LONGEST * Q_WIDTH, sizeof *whole);
    float *out = or_alloc(LONGEST * Q_WIDTH, sizeof *out);
    for (size_t i = 0; i < LONGEST * Q_WIDTH; i++) q[i] *= 8.0f;
    for (int set = 0; set < SETS; set++) {
        const or_kernels *run = kernel_set(set);
        or_threads_set(1);
        attend(run, &attention_shape, &(or_span){.count = LONGEST}, 1, NULL, q, k, v, whole);
        for (size_t c = 0; c < 2 * (sizeof chunks / sizeof *chunks); c++) {
            const or_kv_layer kv = empty_pages(&attention_shape);
            const int chunk = chunks[c / 2];
            or_threads_set(1 + (int)(c % 2));
            memset(out, 0, LONGEST * Q_WIDTH * sizeof *out);
            for (int at = 0; at < LONGEST; at += chunk) {
                const int n = LONGEST - at < chunk ? LONGEST - at : chunk;
                const or_span span = {.count = n, .position = at, .pages = pages};
                attend(run, &attention_shape, &span, 1, &kv, q + at * Q_WIDTH, k + at * KV_WIDTH,
                       v + at * KV_WIDTH, out + at * Q_WIDTH);
            }
            if (memcmp(whole, out, LONGEST * Q_WIDTH * sizeof *out) != 0)
                fail_msg("%s: other bits in chunks of %d", sets[set], chunk);
            free(kv.data);
        }
    }
    free(q), free(k), free(v), free(whole), free(out);
}

/* Rows of a wave: a prompt without pages, a sequence's next rows in two spans, one row of another sequence.
 * What was put before is there; each has the bits it has in one piece. */
static void spans_of_all_kinds_share_a_wave(void **state)
{
    (void)state;
    enum { LONG = 70, SHORT = 41, PROMPT = 9, AT = 30, CUT = 17, ROWS = PROMPT + (LONG - AT) + 1 };
    static const int32_t long_pages[] = {4, 9, 1}, short_pages[] = {10, 6};
    uint64_t seed = 23;
    float *q = random_floats(&seed, LONG * Q_WIDTH), *k = random_floats(&seed, LONG * KV_WIDTH);
    float *v = random_floats(&seed, LONG * KV_WIDTH), *out = or_alloc(ROWS * Q_WIDTH, sizeof *out);
    float *other_k = random_floats(&seed, LONG * KV_WIDTH), *whole = or_alloc(LONG * Q_WIDTH, sizeof *whole);
    float *wave_q = or_alloc(ROWS * Q_WIDTH, sizeof *q), *wave_k = or_alloc(ROWS * KV_WIDTH, sizeof *k);
    float *wave_v = or_alloc(ROWS * KV_WIDTH, sizeof *v);
    /* first row in the wave, count, position: of the prompt, of the long sequence, of the short one */
    const or_span spans[] = {{0, PROMPT, 0, NULL, false},
                             {PROMPT, CUT, AT, long_pages, false},
                             {PROMPT + CUT, LONG - AT - CUT, AT + CUT, long_pages, false},
                             {ROWS - 1, 1, SHORT - 1, short_pages, false}};
    for (int s = 0; s < 4; s++) {
        const size_t to = (size_t)spans[s].first, from = (size_t)spans[s].position,
                     n = (size_t)spans[s].count;
        memcpy(wave_q + to * Q_WIDTH, q + from * Q_WIDTH, n * Q_WIDTH * sizeof *q);
        memcpy(wave_k + to * KV_WIDTH, (s == 3 ? other_k : k) + from * KV_WIDTH, n * KV_WIDTH * sizeof *k);
        memcpy(wave_v + to * KV_WIDTH, v + from * KV_WIDTH, n * KV_WIDTH * sizeof *v);
    }
    for (int set = 0; set < SETS; set++) {
        const or_kernels *run = kernel_set(set);
        const or_kv_layer kv = empty_pages(&attention_shape);
        or_threads_set(1 + set % 2);
        or_kv_put(&attention_shape, &(or_span){.count = AT, .pages = long_pages}, 1, k, v, &kv);
        or_kv_put(&attention_shape, &(or_span){.count = SHORT - 1, .pages = short_pages}, 1, other_k, v, &kv);
        attend(run, &attention_shape, spans, 4, &kv, wave_q, wave_k, wave_v, out);
        attend(run, &attention_shape, &(or_span){.count = LONG}, 1, NULL, q, k, v, whole);
        assert_memory_equal(out, whole, PROMPT * Q_WIDTH * sizeof *out);
        assert_memory_equal(out + PROMPT * Q_WIDTH, whole + AT * Q_WIDTH,
                            (LONG - AT) * Q_WIDTH * sizeof *out);
        attend(run, &attention_shape, &(or_span){.count = SHORT}, 1, NULL, q, other_k, v, whole);
        assert_memory_equal(out + (ROWS - 1) * Q_WIDTH, whole + (SHORT - 1) * Q_WIDTH, Q_WIDTH * sizeof *out);
        free(kv.data);
    }
    free(q), free(k), free(v), free(out), free(other_k), free(whole), free(wave_q), free(wave_k),
        free(wave_v);
}

/* Two prompts that begin alike, in one wave with a third: the beginning in pages, what is behind it read from
 * the wave, and put nowhere. Each has the bits it has in one piece. */
static void prefixes_are_read_where_they_are(void **state)
{
    (void)state;
    static const or_attention_shape head_shapes[] = {{6, 2, 52}, {26, 2, 8}, {7, 1, 48}, {6, 3, 128}};
    enum { MOST_PAGES = 3, OWN = 45, OTHER = 9, LONG = MOST_PAGES * OR_PAGE + OWN };
    static const int owns[] = {1, 2, 13, OR_PAGE - 1, OR_PAGE, OR_PAGE + 1, OWN};
    static const int32_t pages[MOST_PAGES] = {7, 3, 11};
    uint64_t seed = 26;
    for (size_t s = 0; s < sizeof head_shapes / sizeof *head_shapes; s++) {
        const or_attention_shape *shape = &head_shapes[s];
        const size_t q_width = (size_t)(shape->n_heads * shape->head_dim);
        const size_t kv_width = (size_t)(shape->n_kv_heads * shape->head_dim);
        /* behind the rows of the first prompt come those that the second one has instead, then a third's */
        const size_t rows = LONG + OWN + OTHER;
        float *q = random_floats(&seed, rows * q_width), *k = random_floats(&seed, rows * kv_width);
        float *v = random_floats(&seed, rows * kv_width), *out = or_alloc(rows * q_width, sizeof *out);
        float *whole = or_alloc(rows * q_width, sizeof *whole), *kept = NULL;
        for (size_t i = 0; i < rows * q_width; i++) q[i] *= 8.0f;
        for (int trial = 0; trial < SETS * MOST_PAGES * 7; trial++) {
            const or_kernels *run = kernel_set(trial % SETS);
            const int own = owns[trial / SETS % 7], prefix = (1 + trial / SETS / 7) * OR_PAGE;
            const or_kv_layer kv = empty_pages(shape);
            const size_t bytes = PAGES * kv.stride * sizeof *kept;
            const or_span spans[] = {{LONG - own, own, prefix, pages, true},
                                     {LONG, own, prefix, pages, true},
                                     {LONG + OWN, OTHER, 0, NULL, false}};
            or_threads_set(1 + trial % 2);
            /* the prefix ends where the first prompt's own rows begin */
            const size_t begin = (size_t)(LONG - own - prefix), q_at = begin * q_width,
                         kv_at = begin * kv_width;
            or_kv_put(shape, &(or_span){.count = prefix, .pages = pages}, 1, k + kv_at, v + kv_at, &kv);
            kept = or_alloc(PAGES * kv.stride, sizeof *kept);
            memcpy(kept, kv.data, bytes);
            attend(run, shape, spans, 3, &kv, q, k, v, out);
            assert_memory_equal(kept, kv.data, bytes);
            attend(run, shape, &(or_span){.count = prefix + own}, 1, NULL, q + q_at, k + kv_at, v + kv_at,
                   whole);
            if (memcmp(out + (size_t)(LONG - own) * q_width, whole + (size_t)prefix * q_width,
                       (size_t)own * q_width * sizeof *out) != 0)
                fail_msg("%s: other bits of %d rows behind a prefix of %d", sets[trial % SETS], own, prefix);
            const or_span last = {.first = LONG + OWN, .count = OTHER};
            attend(run, shape, &last, 1, NULL, q, k, v, whole);
            assert_memory_equal(out + (LONG + OWN) * q_width, whole + (LONG + OWN) * q_width,
                                OTHER * q_width * sizeof *out);
            /* the second prompt in one piece: its rows where the first one's were */
            float *k2 = or_alloc((size_t)(prefix + own) * kv_width, sizeof *k2);
            float *v2 = or_alloc((size_t)(prefix + own) * kv_width, sizeof *v2);
            float *q2 = or_alloc((size_t)(prefix + own) * q_width, sizeof *q2);
            memcpy(k2, k + kv_at, (size_t)prefix * kv_width * sizeof *k2);
            memcpy(v2, v + kv_at, (size_t)prefix * kv_width * sizeof *v2);
            memcpy(k2 + (size_t)prefix * kv_width, k + LONG * kv_width, (size_t)own * kv_width * sizeof *k2);
            memcpy(v2 + (size_t)prefix * kv_width, v + LONG * kv_width, (size_t)own * kv_width * sizeof *v2);
            memcpy(q2 + (size_t)prefix * q_width, q + LONG * q_width, (size_t)own * q_width * sizeof *q2);
            attend(run, shape, &(or_span){.count = prefix + own}, 1, NULL, q2, k2, v2, whole);
            assert_memory_equal(out + LONG * q_width, whole + (size_t)prefix * q_width,
                                (size_t)own * q_width * sizeof *out);
            free(k2), free(v2), free(q2), free(kept), free(kv.data);
        }
        free(q), free(k), free(v), free(out), free(whole);
    }
}

/* Heads of all sizes in groups of all sizes, so that blocks of rows begin and end anywhere in a group: right,
 * and the same bits whole without pages, whole in pages, and in pages in chunks, on 1 to 3 threads. */
static void heads_of_all_shapes_are_right(void **state)
{
    (void)state;
    static const or_attention_shape head_shapes[] = {
        {6, 2, 8},  {26, 2, 8}, {24, 2, 16}, {7, 1, 48},  {8, 1, 64},
        {5, 5, 64}, {6, 2, 80}, {1, 1, 128}, {6, 2, 128},
    };
    enum { N = 2 * OR_PAGE + 9 };
    static const int32_t pages[] = {2, 7, 5};
    static const int chunks[] = {N, 1, 7, OR_PAGE, 40};
    uint64_t seed = 24;
    for (size_t s = 0; s < sizeof head_shapes / sizeof *head_shapes; s++) {
        const or_attention_shape *shape = &head_shapes[s];
        const size_t q_width = (size_t)(shape->n_heads * shape->head_dim);
        const size_t kv_width = (size_t)(shape->n_kv_heads * shape->head_dim);
        float *q = random_floats(&seed, N * q_width), *k = random_floats(&seed, N * kv_width);
        float *v = random_floats(&seed, N * kv_width), *whole = or_alloc(N * q_width, sizeof *whole);
        float *out = or_alloc(N * q_width, sizeof *out);
        double *exact = or_alloc(q_width, sizeof *exact);
        for (size_t i = 0; i < N * q_width; i++) q[i] *= 8.0f;
        for (int set = 0; set < SETS; set++) {
            const or_kernels *run = kernel_set(set);
            or_threads_set(1);
            attend(run, shape, &(or_span){.count = N}, 1, NULL, q, k, v, whole);
            for (size_t i = 0; i < N; i++) {
                attend_exactly(shape, q, k, v, i, exact);
                for (size_t c = 0; c < q_width; c++) assert_near(whole[i * q_width + c], exact[c], 4e-6);
            }
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
                const or_kv_layer kv = empty_pages(shape);
                or_threads_set(1 + (int)(c + s) % 3);
                for (int at = 0, n; at < N; at += n) {
                    n = N - at < chunks[c] ? N - at : chunks[c];
                    const or_span span = {.count = n, .position = at, .pages = pages};
                    const size_t from = (size_t)at;
                    attend(run, shape, &span, 1, &kv, q + from * q_width, k + from * kv_width,
                           v + from * kv_width, out + from * q_width);
                }
                if (memcmp(whole, out, N * q_width * sizeof *out) != 0)
                    fail_msg("%s: %d heads of %d have other bits in chunks of %d", sets[set], shape->n_heads,
                             shape->head_dim, chunks[c]);
                attend(run, shape, &(or_span){.count = N}, 1, NULL, q, k, v, out);
                assert_memory_equal(whole, out, N * q_width * sizeof *out);
                free(kv.data);
            }
        }
        free(q), free(k), free(v), free(whole), free(out), free(exact);
    }
}

/* What spreads from a NaN or an infinity in a key is the row's that attends to it, and no other's. */
static void damage_stays_where_it_is(void **state)
{
    (void)state;
    enum { N = 45, AT = 34 };
    uint64_t seed = 25;
    float *q = random_floats(&seed, N * Q_WIDTH), *k = random_floats(&seed, N * KV_WIDTH);
    float *v = random_floats(&seed, N * KV_WIDTH), *whole = or_alloc(N * Q_WIDTH, sizeof *whole);
    float *out = or_alloc(N * Q_WIDTH, sizeof *out);
    for (int set = 0; set < SETS; set++) {
        const or_kernels *run = kernel_set(set);
        float *const places[] = {k + AT * KV_WIDTH + HEAD_DIM + 3, v + AT * KV_WIDTH + HEAD_DIM + 3};
        for (size_t p = 0; p < 2; p++) {
            const float kept = *places[p];
            attend(run, &attention_shape, &(or_span){.count = N}, 1, NULL, q, k, v, whole);
            *places[p] = NAN;
            attend(run, &attention_shape, &(or_span){.count = N}, 1, NULL, q, k, v, out);
            *places[p] = kept;
            assert_memory_equal(whole, out, AT * Q_WIDTH * sizeof *out);
            for (size_t i = AT; i < N; i++) {
                const size_t damaged = i * Q_WIDTH + Q_WIDTH / 2; /* heads of the second KV head */
                assert_memory_equal(whole + i * Q_WIDTH, out + i * Q_WIDTH, Q_WIDTH / 2 * sizeof *out);
                for (size_t head = 0; head < HEADS / 2; head++)
                    assert_true(isnan(out[damaged + head * HEAD_DIM + 3]));
            }
        }
    }
    free(q), free(k), free(v), free(whole), free(out);
}

/* ---- rows --------------------------------------------------------------------------------------------- */

static void norm_rope_and_silu_are_right(void **state)
{
    (void)state;
    const or_kernels *run = or_kernels_find("reference");
    float x[] = {3, 4}, weight[] = {1, 2}, out[2];
    run->rms_norm(x, 1, 2, weight, 0, out);
    assert_near(out[0], 3 / sqrt(12.5), 1e-6);
    assert_near(out[1], 8 / sqrt(12.5), 1e-6);

    float pair[] = {1, 2, 1, 2}, cosines[] = {1, 0}, sines[] = {0, 1}; /* position 1 turns by 90 degrees */
    run->rope(&(or_span){.first = 0, .count = 2}, 1, 1, 2, cosines, sines, pair);
    assert_true(pair[0] == 1 && pair[1] == 2 && pair[2] == -2 && pair[3] == 1);
    run->rope(&(or_span){.first = 0, .count = 1, .position = 1}, 1, 1, 2, cosines, sines, pair);
    assert_true(pair[0] == -2 && pair[1] == 1 && pair[2] == -2 && pair[3] == 1);

    float gate[] = {0, 1, -30}, up[] = {5, 2, 1};
    run->silu_mul(gate, up, 3);
    assert_near(gate[0], 0, 0);
    assert_near(gate[1], 2 / (1 + exp(-1)), 1e-6);
    assert_near(gate[2], -30 / (1 + exp(30)), 1e-12);
}

static const size_t widths[] = {1, 15, 16, 17, 128, 1500};

static void norms_are_right_in_any_company(void **state)
{
    (void)state;
    uint64_t seed = 5;
    enum { MOST = 41, WIDEST = 1500 };
    float *x = random_floats(&seed, MOST * WIDEST), *weight = random_floats(&seed, WIDEST);
    float *out = or_alloc(MOST * WIDEST, sizeof *out), *alone = or_alloc(WIDEST, sizeof *alone);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const size_t d = widths[w];
        for (int set = 0; set < SETS; set++) {
            const or_kernels *run = kernel_set(set);
            for (size_t n = 1; n <= MOST; n += 8) {
                or_threads_set(1 + (int)(n / 8 % 2));
                run->rms_norm(x, n, d, weight, 1e-3f, out);
                for (size_t row = 0; row < n; row++) {
                    const float *from = x + row * d;
                    double squares = 0;
                    for (size_t i = 0; i < d; i++) squares += (double)from[i] * from[i];
                    const double scale = 1 / sqrt(squares / (double)d + 1e-3);
                    for (size_t i = 0; i < d; i++)
                        assert_near(out[row * d + i], from[i] * scale * weight[i],
                                    1e-6 * fabs(from[i] * scale));
                    or_threads_set(1);
                    run->rms_norm(from, 1, d, weight, 1e-3f, alone);
                    assert_memory_equal(alone, out + row * d, d * sizeof *out);
                }
            }
            memcpy(out, x, d * sizeof *x);
            run->rms_norm(out, 1, d, weight, 1e-3f, out); /* in place */
            run->rms_norm(x, 1, d, weight, 1e-3f, alone);
            assert_memory_equal(alone, out, d * sizeof *out);
        }
    }
    free(x), free(weight), free(out), free(alone);
}

/* Against a mean and variance in double; rows far from 0 too, where one pass over sums of squares would
 * fail. */
static void layer_norms_are_right_in_any_company(void **state)
{
    (void)state;
    uint64_t seed = 15;
    enum { MOST = 41, WIDEST = 1500 };
    float *x = random_floats(&seed, MOST * WIDEST), *weight = random_floats(&seed, WIDEST);
    float *bias = random_floats(&seed, WIDEST), *out = or_alloc(MOST * WIDEST, sizeof *out);
    float *alone = or_alloc(WIDEST, sizeof *alone);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        const size_t d = widths[w];
        for (size_t i = 0; i < d; i++) x[i] += 1000.0f;
        for (int set = 0; set < 2 * SETS; set++) {
            const or_kernels *run = kernel_set(set / 2);
            const size_t n = 9 + (size_t)set % 2 * (MOST - 9);
            or_threads_set(1 + set % 2);
            run->layer_norm(x, n, d, weight, bias, 1e-3f, out);
            for (size_t row = 0; row < n; row++) {
                const float *from = x + row * d;
                double mean = 0, variance = 0;
                for (size_t i = 0; i < d; i++) mean += from[i] / (double)d;
                for (size_t i = 0; i < d; i++) variance += (from[i] - mean) * (from[i] - mean) / (double)d;
                const double scale = 1 / sqrt(variance + 1e-3), error = row == 0 ? 1e-3 : 3e-6;
                for (size_t i = 0; i < d; i++)
                    assert_near(out[row * d + i], (from[i] - mean) * scale * weight[i] + bias[i], error);
                memcpy(alone, from, d * sizeof *alone);
                run->layer_norm(alone, 1, d, weight, bias, 1e-3f, alone); /* in place */
                assert_memory_equal(alone, out + row * d, d * sizeof *out);
            }
        }
        for (size_t i = 0; i < d; i++) x[i] = random_float(&seed);
    }
    free(x), free(weight), free(bias), free(out), free(alone);
}

static void biases_and_relu_are_right(void **state)
{
    (void)state;
    uint64_t seed = 16;
    enum { ROWS = 40, WIDE = 501, N = ROWS * WIDE }; /* several blocks */
    float *x = random_floats(&seed, N), *bias = random_floats(&seed, WIDE), *out = or_alloc(N, sizeof *out);
    for (int threads = 1; threads <= 2; threads++) {
        or_threads_set(threads);
        memcpy(out, x, N * sizeof *x);
        or_add_bias(out, ROWS, WIDE, bias);
        for (size_t i = 0; i < N; i++) assert_true(out[i] == x[i] + bias[i % WIDE]);
        memcpy(out, x, N * sizeof *x);
        out[7] = NAN;
        or_relu(out, N);
        for (size_t i = 0; i < N; i++) assert_true(i == 7 ? isnan(out[i]) : out[i] == (x[i] > 0 ? x[i] : 0));
        memcpy(out, x, N * sizeof *x);
        or_add(out, x, N);
        for (size_t i = 0; i < N; i++) assert_true(out[i] == 2 * x[i]);
    }
    free(x), free(bias), free(out);
}

static void rope_turns_each_request_from_its_own_start(void **state)
{
    (void)state;
    uint64_t seed = 6;
    enum { DIM = 10, HALF = DIM / 2, N_HEADS = 3, ROWS = 4 + 1 + 20, WIDTH = N_HEADS * DIM };
    const or_span spans[] = {{.first = 0, .count = 4}, {.first = 4, .count = 1}, {.first = 5, .count = 20}};
    float cosines[20 * HALF], sines[20 * HALF], turned[ROWS * WIDTH];
    float *x = random_floats(&seed, ROWS * WIDTH);
    for (size_t i = 0; i < 20 * HALF; i++) {
        cosines[i] = cosf(0.37f * (float)i);
        sines[i] = sinf(0.37f * (float)i);
    }
    for (int set = 0; set < 2 * SETS; set++) {
        memcpy(turned, x, sizeof turned);
        or_threads_set(1 + set % 2);
        kernel_set(set / 2)->rope(spans, 3, N_HEADS, DIM, cosines, sines, turned);
        for (size_t s = 0; s < 3; s++) {
            for (size_t p = 0; p < (size_t)spans[s].count; p++) {
                for (size_t i = 0; i < WIDTH; i++) {
                    const size_t row = ((size_t)spans[s].first + p) * WIDTH, pair = i % DIM % HALF;
                    const bool upper = i % DIM >= HALF;
                    const double other = x[row + (upper ? i - HALF : i + HALF)];
                    const double angle = (double)(0.37f * (float)(p * HALF + pair));
                    const double exact = x[row + i] * cos(angle) + (upper ? 1 : -1) * other * sin(angle);
                    assert_near(turned[row + i], exact, 3e-7);
                }
            }
        }
    }
    free(x);
}

static void silu_is_right_in_any_place(void **state)
{
    (void)state;
    uint64_t seed = 7;
    enum { N = 20000 }; /* several blocks */
    float *gate = random_floats(&seed, N), *up = random_floats(&seed, N), *out = or_alloc(N, sizeof *out);
    for (size_t i = 0; i < N; i++) gate[i] *= 60.0f;
    for (int set = 0; set < 2 * SETS; set++) {
        const or_kernels *run = kernel_set(set / 2);
        or_threads_set(1 + set % 2);
        memcpy(out, gate, N * sizeof *out);
        run->silu_mul(out, up, N);
        for (size_t i = 0; i < N; i++) {
            const double exact = gate[i] / (1 + exp(-(double)gate[i])) * up[i];
            assert_near(out[i], exact, 4e-7 * fabs(exact));
            float alone = gate[i];
            if (i % 37 == 0) {
                run->silu_mul(&alone, up + i, 1);
                assert_memory_equal(&alone, out + i, sizeof alone);
            }
        }
    }
    free(gate), free(up), free(out);
}

/* Long rows against double arithmetic; the greatest first, last and in between, and equals far apart. */
static void top_of_long_rows(void **state)
{
    (void)state;
    uint64_t seed = 8;
    enum { N = 5003 };
    float *logits = random_floats(&seed, N);
    for (size_t i = 0; i < N; i++) logits[i] *= 10.0f;
    static const struct {
        size_t best, second;
        float above; /* of the best over the second */
    } cases[] = {{0, N - 1, 1.5f}, {N - 1, 0, 0.25f}, {2500, 2501, 3.0f},
                 {17, 4000, 0.0f}, {4001, 16, 20.0f}, {4001, 17, 0.5f}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const float kept[] = {logits[cases[c].best], logits[cases[c].second]};
        logits[cases[c].second] = 12.0f;
        logits[cases[c].best] = 12.0f + cases[c].above;
        double sum = 0;
        for (size_t i = 0; i < N; i++) sum += exp((double)logits[i] - 12);
        for (int set = 0; set < SETS; set++) {
            or_top top;
            kernel_set(set)->top(logits, N, &top);
            assert_int_equal(top.token, cases[c].best);
            assert_true(top.logit == logits[cases[c].best]);
            assert_near(top.prob, exp(cases[c].above) / sum, 2e-6);
            assert_near(top.gap, (exp(cases[c].above) - 1) / sum, 2e-6);
            assert_near(top.logsumexp, 12 + log(sum), 4e-6);
        }
        logits[cases[c].best] = kept[0];
        logits[cases[c].second] = kept[1];
    }
    free(logits);
}

/* Rows of every length with many equals, and with numbers that are none, against a plain scan. */
static void top_is_the_first_of_equals(void **state)
{
    (void)state;
    uint64_t seed = 26;
    for (size_t n = 1; n < 80; n++) {
        for (int round = 0; round < 60; round++) {
            float logits[80];
            for (size_t i = 0; i < n; i++) {
                const uint32_t bits = random_bits(&seed);
                logits[i] = round % 2 ? (float)(bits % 7) - 3.0f : (float)(bits % 1000) * 0.01f;
                if (round % 3 == 1 && bits % 31 == 30) logits[i] = NAN;
                if (round % 3 == 2 && bits % 31 > 28) logits[i] = bits % 31 == 29 ? -INFINITY : INFINITY;
            }
            size_t best = 0;
            double second = -INFINITY;
            for (size_t i = 1; i < n; i++)
                if (logits[i] > logits[best]) best = i;
            for (size_t i = 0; i < n; i++)
                if (i != best && logits[i] > second) second = logits[i];
            or_top top;
            or_kernels_find("reference")->top(logits, n, &top);
            assert_int_equal(top.token, best);
            assert_memory_equal(&top.logit, &logits[best], sizeof top.logit);
            if (round % 3 == 0) assert_near(top.gap, (1 - exp(second - top.logit)) * top.prob, 1e-6);
        }
    }
}

static void top_finds_the_two_greatest(void **state)
{
    (void)state;
    const or_kernels *run = or_kernels_find("reference");
    or_top top;
    const float logits[] = {1, 3, 2, 3, -1};
    double sum = exp(-2) + 1 + exp(-1) + 1 + exp(-4);
    run->top(logits, 5, &top);
    assert_int_equal(top.token, 1); /* the lowest id among equals */
    assert_near(top.prob, 1 / sum, 1e-6);
    assert_near(top.gap, 0, 1e-7);
    assert_near(top.logsumexp, 3 + log(sum), 1e-6);
    run->top(logits + 2, 1, &top);
    assert_near(top.prob, 1, 0);
    assert_near(top.gap, 1, 0);
    run->top((float[]){0, 1}, 2, &top);
    assert_int_equal(top.token, 1);
    assert_near(top.gap, (1 - exp(-1)) / (1 + exp(-1)), 1e-6);
    run->top((float[]){3e38f, -3e38f}, 2, &top); /* far apart, but finite */
    assert_int_equal(top.token, 0);
    assert_near(top.gap, 1, 0);
    assert_true(top.logsumexp == 3e38f);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) { /* wherever it stands: in the vectors, or behind them */
        float row[35] = {0};
        for (size_t at = 0; at < 35; at++) {
            row[at] = bad[i];
            run->top(row, 35, &top);
            assert_false(isfinite(top.logsumexp));
            assert_in_range(top.token, 0, 34);
            row[at] = 0;
        }
        run->top(&bad[i], 1, &top);
        assert_false(isfinite(top.logsumexp));
    }
}

static void cosine_of_nothing_is_zero(void **state)
{
    (void)state;
    const float zero[] = {0, 0}, a[] = {1, 0}, b[] = {-2, 0}, c[] = {0, 3};
    assert_near(or_cosine(zero, a, 2), 0, 0);
    assert_near(or_cosine(a, b, 2), -1, 1e-7);
    assert_near(or_cosine(a, c, 2), 0, 0);
}

static void sets_are_found_by_name(void **state)
{
    (void)state;
    assert_null(or_kernels_find("fastest"));
    assert_fails(or_kernels_use("fastest"), OR_ERR_USAGE, "avx512, avx2, openblas, reference");
    assert_ok(or_kernels_use("reference"));
    assert_string_equal(or_kernels_get()->name, "reference");
    assert_ok(or_kernels_use(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_found_by_name),
        cmocka_unit_test(exp_is_exact_to_a_few_units),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(products_do_not_depend_on_company),
        cmocka_unit_test(rows_of_every_type_are_alike),
        cmocka_unit_test(weights_may_be_unaligned),
        cmocka_unit_test(rows_of_a_head_are_found),
        cmocka_unit_test(interleaved_products_are_the_same),
        cmocka_unit_test(avx2_and_avx512_are_alike),
        cmocka_unit_test(attention_is_right),
        cmocka_unit_test(attention_does_not_depend_on_company),
        cmocka_unit_test(page_is_laid_out_as_told),
        cmocka_unit_test(pages_change_no_bit),
        cmocka_unit_test(spans_of_all_kinds_share_a_wave),
        cmocka_unit_test(prefixes_are_read_where_they_are),
        cmocka_unit_test(heads_of_all_shapes_are_right),
        cmocka_unit_test(damage_stays_where_it_is),
        cmocka_unit_test(norm_rope_and_silu_are_right),
        cmocka_unit_test(norms_are_right_in_any_company),
        cmocka_unit_test(layer_norms_are_right_in_any_company),
        cmocka_unit_test(biases_and_relu_are_right),
        cmocka_unit_test(rope_turns_each_request_from_its_own_start),
        cmocka_unit_test(silu_is_right_in_any_place),
        cmocka_unit_test(top_of_long_rows),
        cmocka_unit_test(top_is_the_first_of_equals),
        cmocka_unit_test(top_finds_the_two_greatest),
        cmocka_unit_test(cosine_of_nothing_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
