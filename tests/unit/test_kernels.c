/* test_kernels.c - every kernel set against plain double arithmetic, and the rule that a row's bits do not depend
 * on its company. */
#include "support.h"

#include "compute.h"
#include "memory.h"
#include "threads.h"
#include "vector.h"

#include <math.h>

static const char *const sets[] = {"openblas", "reference"};
enum { SETS = 2 };

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

/* ---- stored formats ------------------------------------------------------------------------------------- */

static void halves_expand_to_their_values(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } f16[] = {{0x0000, 0.0f},        {0x8000, -0.0f},    {0x3c00, 1.0f},         {0xc000, -2.0f},
               {0x7bff, 65504.0f},    {0x0001, 0x1p-24f}, {0x03ff, 0x1.ff8p-15f}, {0x0400, 0x1p-14f},
               {0x3555, 0x1.554p-2f}, {0x7c00, INFINITY}, {0xfc00, -INFINITY}},
      bf16[] = {
          {0x3f80, 1.0f}, {0xbf80, -1.0f}, {0x4049, 3.140625f}, {0x0001, 0x1p-133f}, {0x7f80, INFINITY}};
    unsigned char bytes[3];
    float out;
    for (size_t i = 0; i < sizeof f16 / sizeof *f16; i++) {
        memcpy(bytes + 1, &f16[i].bits, 2); /* unaligned */
        or_expand(bytes + 1, OR_F16, 0, 1, &out);
        assert_memory_equal(&out, &f16[i].value, sizeof out);
    }
    for (size_t i = 0; i < sizeof bf16 / sizeof *bf16; i++) {
        memcpy(bytes + 1, &bf16[i].bits, 2);
        or_expand(bytes + 1, OR_BF16, 0, 1, &out);
        assert_memory_equal(&out, &bf16[i].value, sizeof out);
    }
    or_expand(&(uint16_t){0x7e00}, OR_F16, 0, 1, &out);
    assert_true(isnan(out));
    or_expand(&(uint16_t){0x7fc0}, OR_BF16, 0, 1, &out);
    assert_true(isnan(out));
    const float two[] = {1.5f, -2.5f};
    or_expand(two, OR_F32, 1, 1, &out);
    assert_true(out == -2.5f);
}

static void exp_is_exact_to_a_few_units(void **state)
{
    (void)state;
    for (double x = -86.9; x < 87.9; x += 0.0037) {
        double exact = exp((double)(float)x), got = or_exp((float)x);
        if (fabs(got - exact) > 4e-7 * exact) fail_msg("or_exp(%g) = %.9g, expected %.9g", x, got, exact);
    }
    assert_true(or_exp(-1000.0f) < 2e-38f);
}

/* ---- matrix products ------------------------------------------------------------------------------------ */

/* Random weights in a stored format; their exact values go to `values`. */
static or_matrix make_matrix(uint64_t *state, or_dtype dtype, int rows, int columns, float **values)
{
    const size_t n = (size_t)rows * (size_t)columns;
    float *made = random_floats(state, n);
    unsigned char *stored = or_alloc(n, 4);
    *values = or_alloc(n, sizeof **values);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &made[i], 4);
        uint16_t half = (uint16_t)(bits >> 16);
        if (dtype == OR_F16) half = (uint16_t)(0x3000 | (random_bits(state) & 0x87ff));
        if (dtype == OR_F32)
            memcpy(stored + 4 * i, &bits, 4);
        else
            memcpy(stored + 2 * i, &half, 2);
    }
    or_expand(stored, dtype, 0, n, *values);
    free(made);
    return (or_matrix){stored, dtype, rows, columns};
}

static const int shapes[][2] = {{1, 1}, {3, 17}, {63, 100}, {64, 1024}, {65, 1025}, {130, 1500}, {200, 2100}};

static void products_are_right(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int dtype = OR_F32; dtype <= OR_BF16; dtype++) {
            float *values;
            const or_matrix w = make_matrix(&seed, (or_dtype)dtype, shapes[s][0], shapes[s][1], &values);
            const size_t rows = 11, columns = (size_t)w.columns, outs = (size_t)w.rows;
            float *x = random_floats(&seed, rows * columns), *y = or_alloc(rows * outs, sizeof *y);
            for (int set = 0; set < SETS; set++) {
                or_kernels_find(sets[set])->matmul(&w, x, rows, y);
                for (size_t r = 0; r < rows; r++) {
                    for (size_t o = 0; o < outs; o++) {
                        double exact = 0;
                        for (size_t c = 0; c < columns; c++)
                            exact += (double)x[r * columns + c] * values[o * columns + c];
                        assert_near(y[r * outs + o], exact, 2e-5 * sqrt((double)columns) + 1e-6);
                    }
                }
            }
            free(x), free(y), free(values), free((void *)w.data);
        }
    }
}

/* Row 0 alone, then at each place among up to 40 others, with 1 and 2 threads. */
static void products_do_not_depend_on_company(void **state)
{
    (void)state;
    uint64_t seed = 2;
    enum { MOST = 41 };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        float *values;
        const or_matrix w = make_matrix(&seed, OR_BF16, shapes[s][0], shapes[s][1], &values);
        const size_t columns = (size_t)w.columns, outs = (size_t)w.rows;
        float *row = random_floats(&seed, columns), *alone = or_alloc(outs, sizeof *alone);
        float *x = random_floats(&seed, MOST * columns), *y = or_alloc(MOST * outs, sizeof *y);
        for (int set = 0; set < SETS; set++) {
            const or_kernels *run = or_kernels_find(sets[set]);
            or_threads_set(1);
            run->matmul(&w, row, 1, alone);
            for (size_t n = 1; n <= MOST; n += 4) {
                const size_t place = random_bits(&seed) % n;
                or_threads_set(1 + (int)(n / 4 % 2));
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

/* ---- attention ------------------------------------------------------------------------------------------ */

static void attention_is_right_and_does_not_depend_on_company(void **state)
{
    (void)state;
    uint64_t seed = 3;
    const or_attention_shape shape = {6, 2, 20};
    const or_span spans[] = {{0, 5}, {5, 1}, {6, 33}};
    const size_t rows = 39, q_width = 120, kv_width = 40;
    float *q = random_floats(&seed, rows * q_width), *k = random_floats(&seed, rows * kv_width);
    float *v = random_floats(&seed, rows * kv_width), *out = or_alloc(rows * q_width, sizeof *out);
    float *alone = or_alloc(rows * q_width, sizeof *alone);
    or_threads_set(2);
    float *scratch = or_alloc(or_attention_scratch(&shape, spans, 3), sizeof *scratch);
    const or_kernels *run = or_kernels_find("reference");
    run->attention(&shape, spans, 3, q, k, v, out, scratch);
    for (size_t s = 0; s < 3; s++) {
        for (int i = 0; i < spans[s].count; i++) {
            const size_t at = (size_t)(spans[s].first + i);
            for (size_t head = 0; head < 6; head++) {
                double p[64], sum = 0, expected = 0;
                for (int j = 0; j <= i; j++) {
                    double dot = 0;
                    for (size_t d = 0; d < 20; d++)
                        dot += (double)q[at * q_width + head * 20 + d] *
                               k[(size_t)(spans[s].first + j) * kv_width + head / 3 * 20 + d];
                    sum += p[j] = exp(dot / sqrt(20.0));
                }
                for (int j = 0; j <= i; j++)
                    expected += p[j] / sum * v[(size_t)(spans[s].first + j) * kv_width + head / 3 * 20 + 7];
                assert_near(out[at * q_width + head * 20 + 7], expected, 2e-6);
            }
        }
    }
    or_threads_set(1);
    const or_span only = {0, 33};
    run->attention(&shape, &only, 1, q + 6 * q_width, k + 6 * kv_width, v + 6 * kv_width, alone, scratch);
    assert_memory_equal(alone, out + 6 * q_width, 33 * q_width * sizeof *out);
    free(q), free(k), free(v), free(out), free(alone), free(scratch);
}

/* ---- rows ----------------------------------------------------------------------------------------------- */

static void norm_rope_and_silu_are_right(void **state)
{
    (void)state;
    const or_kernels *run = or_kernels_find("reference");
    float x[] = {3, 4}, weight[] = {1, 2}, out[2];
    run->rms_norm(x, 1, 2, weight, 0, out);
    assert_near(out[0], 3 / sqrt(12.5), 1e-6);
    assert_near(out[1], 8 / sqrt(12.5), 1e-6);

    float pair[] = {1, 2, 1, 2}, cosines[] = {1, 0}, sines[] = {0, 1}; /* position 1 turns by 90 degrees */
    run->rope(&(or_span){0, 2}, 1, 1, 2, cosines, sines, pair);
    assert_true(pair[0] == 1 && pair[1] == 2 && pair[2] == -2 && pair[3] == 1);

    float gate[] = {0, 1, -30}, up[] = {5, 2, 1};
    run->silu_mul(gate, up, 3);
    assert_near(gate[0], 0, 0);
    assert_near(gate[1], 2 / (1 + exp(-1)), 1e-6);
    assert_near(gate[2], -30 / (1 + exp(30)), 1e-12);
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
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        run->top((float[]){1, bad[i], 2}, 3, &top);
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
    assert_fails(or_kernels_use("fastest"), OR_ERR_USAGE, "openblas, reference");
    assert_ok(or_kernels_use("reference"));
    assert_string_equal(or_kernels_get()->name, "reference");
    assert_ok(or_kernels_use(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_found_by_name),
        cmocka_unit_test(halves_expand_to_their_values),
        cmocka_unit_test(exp_is_exact_to_a_few_units),
        cmocka_unit_test(products_are_right),
        cmocka_unit_test(products_do_not_depend_on_company),
        cmocka_unit_test(attention_is_right_and_does_not_depend_on_company),
        cmocka_unit_test(norm_rope_and_silu_are_right),
        cmocka_unit_test(top_finds_the_two_greatest),
        cmocka_unit_test(cosine_of_nothing_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
