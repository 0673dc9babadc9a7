/* test_quantize.c - float32 to every stored format: rounding of the plain ones, and of the blocks the error,
 * the nearest levels, and what becomes of extreme numbers. */
#include "support.h"
#include "slow_blocks.h"

#include "compute.h"
#include "memory.h"

#include <float.h>
#include <math.h>

/* ---- plain formats -------------------------------------------------------------------------------------- */

static uint16_t as_half(or_dtype dtype, float x)
{
    unsigned char stored[3];
    or_quantize(&x, dtype, 1, stored + 1);
    return (uint16_t)(stored[1] | stored[2] << 8);
}

/* The value of a stored half whose exponent may be one beyond the finite ones: there lies what rounds to
 * infinity. */
static double value_of(or_dtype dtype, uint32_t half)
{
    const int mantissa_bits = dtype == OR_F16 ? 10 : 7, least = dtype == OR_F16 ? -24 : -133;
    const int exponent = (int)(half >> mantissa_bits), mantissa = (int)half & ((1 << mantissa_bits) - 1);
    return exponent == 0 ? ldexp(mantissa, least)
                         : ldexp(mantissa + (1 << mantissa_bits), exponent - 1 + least);
}

/* Every half; and between it and the next one the middle, which goes to the even one, and the floats beside
 * the middle, which go to the nearer. */
static void halves_are_rounded_to_nearest_even(void **state)
{
    (void)state;
    for (or_dtype dtype = OR_F16; dtype <= OR_BF16; dtype++) {
        const uint32_t infinite = dtype == OR_F16 ? 0x7c00 : 0x7f80;
        for (uint32_t half = 0; half < infinite; half++) {
            const float exact = (float)value_of(dtype, half);
            const float middle = (float)((value_of(dtype, half) + value_of(dtype, half + 1)) / 2);
            const uint32_t even = half + (half & 1);
            assert_int_equal(as_half(dtype, exact), half);
            assert_int_equal(as_half(dtype, middle), even);
            assert_int_equal(as_half(dtype, nextafterf(middle, 0)), half);
            assert_int_equal(as_half(dtype, nextafterf(middle, INFINITY)), half + 1);
            assert_int_equal(as_half(dtype, -exact), half | 0x8000);
            assert_int_equal(as_half(dtype, -middle), even | 0x8000);
        }
        assert_int_equal(as_half(dtype, INFINITY), infinite);
        assert_int_equal(as_half(dtype, -INFINITY), infinite | 0x8000);
        assert_int_equal(as_half(dtype, FLT_MAX), infinite);
    }
    assert_int_equal(as_half(OR_F16, 65519.0f), 0x7bff);
    assert_int_equal(as_half(OR_F16, 65520.0f), 0x7c00);
    assert_int_equal(as_half(OR_F16, 1e30f), 0x7c00);
    assert_int_equal(as_half(OR_F16, 1e-30f), 0);
}

/* Whatever bits a NaN has, above all none that would be left after cutting. */
static void nan_stays_nan(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 23; bit++) {
        for (uint32_t sign = 0; sign < 2; sign++) {
            const uint32_t some = sign << 31 | 0x7f800000u | 1u << bit, all = some | 0x7fffffu;
            for (or_dtype dtype = OR_F16; dtype <= OR_BF16; dtype++) {
                const uint32_t bits[] = {some, all};
                for (int i = 0; i < 2; i++) {
                    float x, back;
                    memcpy(&x, &bits[i], sizeof x);
                    const uint16_t half = as_half(dtype, x);
                    or_expand(&half, dtype, 0, 1, &back);
                    assert_true(isnan(back));
                    assert_int_equal(half >> 15, sign);
                }
            }
        }
    }
}

static void floats_are_copied(void **state)
{
    (void)state;
    const float x[] = {1.5f, -0.0f, NAN, 1e-45f};
    unsigned char stored[sizeof x];
    or_quantize(x, OR_F32, 4, stored);
    assert_memory_equal(x, stored, sizeof x);
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

enum { N = 256 * 20 };

static float uniform(uint64_t *state)
{
    return (float)random_bits(state) / 2147483648.0f - 1.0f;
}

static float gaussian(uint64_t *state)
{
    const double radius = sqrt(-2 * log((random_bits(state) + 1.0) / 4294967296.0));
    return (float)(radius * cos(random_bits(state) * (2 * acos(-1) / 4294967296.0)));
}

static void flat(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = uniform(state);
}

static void bell(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = gaussian(state);
}

static void long_tails(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = powf(gaussian(state), 5);
}

static void one_outlier(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++)
        x[i] = random_bits(state) % 150 ? 0.01f * gaussian(state) : 10 * uniform(state);
}

static void all_negative(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = -5.0f - 0.5f * gaussian(state) * gaussian(state);
}

static void far_from_zero(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = 3.0f + 0.2f * uniform(state);
}

static void two_values(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = random_bits(state) % 3 ? 0.75f : -0.125f;
}

static void parts_of_all_sizes(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i++) x[i] = ldexpf(gaussian(state), -(int)(i / 16 * 7 % 13));
}

static void all_equal(uint64_t *state, float *x)
{
    for (size_t i = 0; i < N; i += 256) {
        const float value = uniform(state);
        for (size_t j = 0; j < 256; j++) x[i + j] = value;
    }
}

static void (*const distributions[])(uint64_t *state, float *x) = {
    flat,          bell,       long_tails,         one_outlier, all_negative,
    far_from_zero, two_values, parts_of_all_sizes, all_equal};
enum { DISTRIBUTIONS = sizeof distributions / sizeof *distributions };

/* How far a number may be off, for a block with greatest magnitude A and range R = greatest - least (0 being
 * within the range for the k-types with minima, whose levels begin at 0 or below).
 *
 * A fit allows one step of levels that just span the numbers: A / 2^(bits - 1), or R / (2^bits - 1). q8_0 has
 * no fit, and half a step. Rounding a half moves it by 2^-11 of itself at most, and so a level or offset by
 * as much; 1 % and A / 1000 are more than that. Below 2^-14 a half is off by up to 2^-25, times the greatest
 * q (and the greatest integer scale).
 *
 * k-types: the integer scale is at most 1.5 units from the fitted one, a unit being the greatest scale S
 * divided by 32, 128, 15 or 63, so a level moves by q * 1.5 / 32 * S and so on. S is below 1.5 A / (2^(bits -
 * 1) - 1) or 1.5 R / (2^bits - 2): the widest start of the search, stretched by the regression. Minima move
 * likewise, by 1.5 / 15 or / 63 of the greatest, R and a step. Below are the sums. */
static const struct {
    float of_greatest, of_range, tiny;
} bounds[OR_DTYPE_OTHER] = {
    [OR_Q8_0] = {1.01f / 254, 0, 127 * 0x1p-25f},
    [OR_Q4_0] = {1.01f / 8, 0, 8 * 0x1p-25f},
    [OR_Q4_1] = {0.001f, 1.01f / 15, 16 * 0x1p-25f},
    [OR_Q5_0] = {1.01f / 16, 0, 16 * 0x1p-25f},
    [OR_Q5_1] = {0.001f, 1.01f / 31, 32 * 0x1p-25f},
    [OR_Q2_K] = {0, 0.70f, (3 + 1) * 15 * 0x1p-25f},   /* 1/3 + 3 * .1 * .75 + .1 * 4/3 */
    [OR_Q3_K] = {0.35f, 0, 4 * 32 * 0x1p-25f},         /* 1/4 + 4 * 1.5/32 * .5 */
    [OR_Q4_K] = {0, 0.132f, (15 + 1) * 63 * 0x1p-25f}, /* 1/15 + 15 * 1.5/63 * 1.5/14 + 1.5/63 * 16/15 */
    [OR_Q5_K] = {0, 0.096f, (31 + 1) * 63 * 0x1p-25f}, /* 1/31 + 31 * 1.5/63 * 1.5/30 + 1.5/63 * 32/31 */
    [OR_Q6_K] = {0.0505f, 0, 32 * 128 * 0x1p-25f},     /* 1/32 + 32 * 1.5/128 * 1.5/31 */
};

static float bound(or_dtype dtype, const float *x)
{
    const bool with_zero = or_dtype_block(dtype) == 256;
    float least = with_zero ? 0.0f : x[0], greatest = least, magnitude = 0;
    for (size_t i = 0; i < or_dtype_block(dtype); i++) {
        least = fminf(least, x[i]);
        greatest = fmaxf(greatest, x[i]);
        magnitude = fmaxf(magnitude, fabsf(x[i]));
    }
    return bounds[dtype].of_greatest * magnitude + bounds[dtype].of_range * (greatest - least) +
           bounds[dtype].tiny;
}

/* No other q of the type would bring the number nearer, with the scale as stored; 1e-6 for rounding. */
static void assert_nearest(or_dtype dtype, const unsigned char *block, int i, float x)
{
    const slow_number stored = slow_block(dtype, block, i);
    const float error = fabsf(slow_value(stored) - x), rounding = 1e-6f * (fabsf(x) + fabsf(stored.minimum));
    for (int q = stored.q - 1; q <= stored.q + 1; q += 2) {
        slow_number other = stored;
        other.q = q;
        if (q >= stored.low && q <= stored.high && fabsf(slow_value(other) - x) + rounding < error)
            fail_msg("%s, number %d: %g became %g (q %d), q %d would be nearer", or_dtype_name(dtype), i,
                     (double)x, (double)slow_value(stored), stored.q, q);
    }
}

static void errors_stay_in_bounds(void **state)
{
    (void)state;
    static const float sizes[] = {1.0f, 0.02f, 30.0f, 1e-5f};
    uint64_t seed = 1;
    float *x = or_alloc(N, sizeof *x), *y = or_alloc(N, sizeof *y);
    unsigned char *stored = or_alloc(N, 2);
    for (int kind = 0; kind < 4 * DISTRIBUTIONS; kind++) {
        distributions[kind / 4](&seed, x);
        for (size_t i = 0; i < N; i++) x[i] *= sizes[kind % 4];
        for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) {
            const size_t block = or_dtype_block(dtype);
            or_quantize(x, dtype, N, stored);
            or_expand(stored, dtype, 0, N, y);
            for (size_t i = 0; i < N; i++) {
                const size_t first = i / block * block;
                const float allowed = bound(dtype, x + first), error = fabsf(x[i] - y[i]);
                if (!(error <= allowed))
                    fail_msg("%s, distribution %d, number %zu: %g became %g, allowed error %g",
                             or_dtype_name(dtype), kind, i, (double)x[i], (double)y[i], (double)allowed);
                assert_nearest(dtype, stored + or_dtype_bytes(dtype, first), (int)(i - first), x[i]);
            }
        }
    }
    free(x), free(y), free(stored);
}

static double rms_error(or_dtype dtype, const float *x, unsigned char *stored, float *y)
{
    double squares = 0;
    or_quantize(x, dtype, N, stored);
    or_expand(stored, dtype, 0, N, y);
    for (size_t i = 0; i < N; i++) squares += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sqrt(squares / N);
}

/* Rounding with steps that just span each block of 32: the obvious method where there are no super-blocks. */
static double plain_rms_error(or_dtype dtype, const float *x)
{
    const bool offset = dtype == OR_Q4_1 || dtype == OR_Q5_1;
    const int levels = dtype == OR_Q8_0 ? 255 : dtype == OR_Q4_0 || dtype == OR_Q4_1 ? 16 : 32;
    double squares = 0;
    for (size_t first = 0; first < N; first += 32) {
        double least = x[first], greatest = x[first], widest = 0;
        for (size_t i = first; i < first + 32; i++) {
            least = fmin(least, x[i]);
            greatest = fmax(greatest, x[i]);
            if (fabs(x[i]) > fabs(widest)) widest = x[i];
        }
        const double step = offset ? (greatest - least) / (levels - 1) : widest / -(levels / 2),
                     from = offset ? least : 0;
        for (size_t i = first; i < first + 32; i++) {
            const double q = fmin(nearbyint((x[i] - from) / step), offset ? levels - 1 : (levels - 1) / 2);
            squares += pow(x[i] - (from + q * step), 2);
        }
    }
    return sqrt(squares / N);
}

/* N(0, 1). The limits are what is reached and 2 %. */
static void errors_are_small_on_bell_curves(void **state)
{
    (void)state;
    static const double limits[OR_DTYPE_OTHER] = {
        [OR_F16] = 0.000215, [OR_BF16] = 0.0017, [OR_Q8_0] = 0.00546, [OR_Q4_0] = 0.0835,
        [OR_Q4_1] = 0.0714,  [OR_Q5_0] = 0.0413, [OR_Q5_1] = 0.0345,  [OR_Q2_K] = 0.272,
        [OR_Q3_K] = 0.1483,  [OR_Q4_K] = 0.0719, [OR_Q5_K] = 0.0356,  [OR_Q6_K] = 0.0177};
    uint64_t seed = 2;
    float *x = or_alloc(N, sizeof *x), *y = or_alloc(N, sizeof *y);
    unsigned char *stored = or_alloc(N, 4);
    double errors[OR_DTYPE_OTHER];
    bell(&seed, x);
    for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
        errors[dtype] = rms_error(dtype, x, stored, y);
        assert_near(errors[dtype], 0, limits[dtype]);
        if (or_dtype_block(dtype) == 32) assert_near(errors[dtype], 0, plain_rms_error(dtype, x) * 1.001);
    }
    assert_true(errors[OR_Q4_K] < 0.9 * errors[OR_Q4_0]); /* as many bits */
    assert_true(errors[OR_Q5_K] < 0.9 * errors[OR_Q5_0]);
    free(x), free(y), free(stored);
}

/* What has been quantised once is not changed by doing it again, for the types with one scale. Where a block
 * has few different values several scales give them, and the one that is found may differ by a rounding of
 * the half. */
static void quantising_twice_changes_nothing(void **state)
{
    (void)state;
    static const or_dtype types[] = {OR_F16, OR_BF16, OR_Q8_0, OR_Q4_0, OR_Q5_0};
    uint64_t seed = 3;
    float *x = or_alloc(N, sizeof *x), *y = or_alloc(N, sizeof *y), *again = or_alloc(N, sizeof *again);
    unsigned char *stored = or_alloc(N, 4);
    for (int kind = 0; kind < DISTRIBUTIONS; kind++) {
        const bool few_values = distributions[kind] == one_outlier || distributions[kind] == far_from_zero;
        distributions[kind](&seed, x);
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            or_quantize(x, types[t], N, stored);
            or_expand(stored, types[t], 0, N, y);
            or_quantize(y, types[t], N, stored);
            or_expand(stored, types[t], 0, N, again);
            for (size_t i = 0; i < N; i++)
                if (!(fabsf(y[i] - again[i]) <= (few_values ? 0x1p-11f * fabsf(y[i]) : 0.0f)))
                    fail_msg("%s, distribution %d, number %zu: %a, then %a", or_dtype_name(types[t]), kind, i,
                             (double)y[i], (double)again[i]);
        }
    }
    free(x), free(y), free(again), free(stored);
}

/* A block is made of its own numbers only: alone, in other memory, it gives the same bytes. */
static void blocks_do_not_depend_on_company(void **state)
{
    (void)state;
    uint64_t seed = 4;
    float *x = or_alloc(N, sizeof *x);
    unsigned char *stored = or_alloc(N, 4), alone[210 + 1];
    long_tails(&seed, x);
    for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) {
        const size_t block = or_dtype_block(dtype), bytes = or_dtype_block_bytes(dtype);
        memset(stored, 0xa5, or_dtype_bytes(dtype, N) + 1);
        or_quantize(x, dtype, N, stored);
        assert_int_equal(stored[or_dtype_bytes(dtype, N)], 0xa5);
        for (size_t b = 0; b < N / block; b += 13) {
            memset(alone, 0x5a, sizeof alone);
            or_quantize(x + b * block, dtype, block, alone + 1);
            assert_memory_equal(alone + 1, stored + b * bytes, bytes);
        }
    }
    free(x), free(stored);
}

/* ---- extremes ------------------------------------------------------------------------------------------- */

static void zeros_stay_zeros(void **state)
{
    (void)state;
    float x[256] = {0}, y[256];
    unsigned char stored[256 * 4];
    for (int sign = 0; sign < 2; sign++) {
        for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
            or_quantize(x, dtype, 256, stored);
            or_expand(stored, dtype, 0, 256, y);
            for (int i = 0; i < 256; i++) assert_true(y[i] == 0.0f);
        }
        for (int i = 0; i < 256; i++) x[i] = -0.0f;
    }
}

/* One part is zeros, the others are not. */
static void zeros_stay_zeros_beside_others(void **state)
{
    (void)state;
    uint64_t seed = 5;
    float x[256], y[256];
    unsigned char stored[256 * 4];
    for (int i = 0; i < 256; i++) x[i] = i / 32 == 3 ? 0.0f : gaussian(&seed);
    for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
        or_quantize(x, dtype, 256, stored);
        or_expand(stored, dtype, 0, 256, y);
        for (int i = 96; i < 128; i++) assert_true(y[i] == 0.0f);
    }
}

/* From denormal to the greatest: all results are finite and keep their sign, large ones at the reach of the
 * format, small ones near. */
static void extremes_stay_finite(void **state)
{
    (void)state;
    static const float sizes[] = {1e-45f, 1e-40f, 1e-20f, 1e-7f, 65504.0f, 1e9f, 1e30f, FLT_MAX};
    uint64_t seed = 6;
    float x[256], y[256];
    unsigned char stored[256 * 4];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int shape = 0; shape < 3; shape++) { /* mixed, one outlier, all negative */
            for (int i = 0; i < 256; i++)
                x[i] = sizes[s] * (shape == 2 ? -1.0f : shape == 1 && i ? 0.0f : uniform(&seed));
            for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) {
                or_quantize(x, dtype, 256, stored);
                or_expand(stored, dtype, 0, 256, y);
                for (int i = 0; i < 256; i++) {
                    assert_true(isfinite(y[i]));
                    assert_true(fabsf(y[i]) <= fmaxf(2.2f * sizes[s], 1e-4f));
                    if (sizes[s] >= 1e9f && fabsf(x[i]) > 0.9f * sizes[s]) assert_true(y[i] / x[i] > 0);
                    if (sizes[s] <= 1e-7f) assert_near(y[i], x[i], 1e-4);
                }
            }
        }
    }
}

/* Not asked for, but no reason to fall over: what comes out is bytes. */
static void infinite_numbers_do_no_harm(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    uint64_t seed = 7;
    float x[256];
    unsigned char stored[256 * 2];
    for (size_t b = 0; b < 3; b++) {
        for (int i = 0; i < 256; i++) x[i] = i % 50 == 7 ? bad[b] : gaussian(&seed);
        for (or_dtype dtype = OR_Q8_0; dtype < OR_DTYPE_OTHER; dtype++) or_quantize(x, dtype, 256, stored);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_rounded_to_nearest_even),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(floats_are_copied),
        cmocka_unit_test(errors_stay_in_bounds),
        cmocka_unit_test(errors_are_small_on_bell_curves),
        cmocka_unit_test(quantising_twice_changes_nothing),
        cmocka_unit_test(blocks_do_not_depend_on_company),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(zeros_stay_zeros_beside_others),
        cmocka_unit_test(extremes_stay_finite),
        cmocka_unit_test(infinite_numbers_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
