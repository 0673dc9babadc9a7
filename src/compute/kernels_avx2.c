/* kernels_avx2.c - matrix products by AVX2 and FMA: those of matmul_rows.h with 16 lanes in two vectors, and
 * so the bits of the set `avx512`.
 *
 * 12 of the 16 registers are sums, of 3 rows and 2 outputs; a step of 16 columns does the first 8 lanes,
 * then the last 8: 2 vectors of weights and 3 of x for 6 multiply-adds each. The second cache cannot give 5
 * vectors in that time, the first one can: 3 rows of a slice of x (12 KiB) stay there, while all weights of
 * a tile pass, one row behind the other, from the second cache. (Measured on Zen 4 with 512 rows and f32:
 * 0.68 of the time with slices and rows as kernels_avx512.c has them and weights as mapped.)
 */
#include "kernels_portable.h"
#include "vector.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Only code that runs after usable() said yes. */
#define TARGET __attribute__((target("avx2,fma,f16c")))

enum { ROWS = 3, OUTS = 2, VECTORS = 2, SLICE = 1024, NEAR = 3, COPY_F32 = 32, COPY_HALVES = 32 };
typedef __m256 vector;

OR_INLINE TARGET vector zero(void)
{
    return _mm256_setzero_ps();
}

/* To a register: otherwise the compiler loads it anew for each multiply-add, which costs the loads that the
 * register block saves. */
OR_INLINE TARGET vector load(const float *from)
{
    vector value = _mm256_loadu_ps(from);
    __asm__("" : "+x"(value));
    return value;
}

OR_INLINE TARGET void store(float *to, vector value)
{
    _mm256_store_ps(to, value);
}

OR_INLINE TARGET vector multiply_add(vector a, vector b, vector c)
{
    return _mm256_fmadd_ps(a, b, c);
}

OR_INLINE TARGET vector widen_vector(or_dtype dtype, const unsigned char *w)
{
    if (dtype == OR_F32) return _mm256_loadu_ps((const float *)w);
    const __m128i halves = _mm_loadu_si128((const __m128i *)w);
    if (dtype == OR_F16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)); /* bf16 */
}

OR_INLINE TARGET void set_outputs(vector sum[OUTS][VECTORS], size_t outs, float *y)
{
#pragma GCC unroll 8
    for (size_t o = 0; o < outs; o++) {
        const __m256 eight = _mm256_add_ps(sum[o][0], sum[o][1]);
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        y[o] = _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
}

#include "matmul_rows.h"

static bool usable(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#else
#define matmul NULL /* never called */
static bool usable(void)
{
    return false;
}
#endif

const or_kernels or_kernels_avx2 = {
    .name = "avx2",
    .needs = "a processor with AVX2, FMA and F16C",
    .usable = usable,
    .matmul = matmul,
    .attention = or_portable_attention,
    .rms_norm = or_portable_rms_norm,
    .layer_norm = or_portable_layer_norm,
    .rope = or_portable_rope,
    .silu_mul = or_portable_silu_mul,
    .top = or_portable_top,
};
