/* kernels_avx512.c - matrix products by AVX-512: those of matmul_rows.h with 16 lanes in a vector.
 *
 * 24 of the 32 registers are sums, of 6 rows and 4 outputs; a step of 16 columns loads 4 vectors of weights
 * and 6 of x, for 24 multiply-adds. What meets stays in the second cache: 64 rows of a slice of x are 512
 * KiB. Weights of 16 bits are never copied: reading them as mapped is as fast with any number of rows.
 */
#include "kernels_portable.h"
#include "vector.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Only code that runs after usable() said yes. */
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,fma,f16c,avx2")))

enum { ROWS = 6, OUTS = 4, VECTORS = 1, SLICE = 2048, NEAR = 64, COPY_F32 = 64, COPY_HALVES = 1 << 30 };
typedef __m512 vector;

OR_INLINE TARGET vector zero(void)
{
    return _mm512_setzero_ps();
}

OR_INLINE TARGET vector load(const float *from)
{
    return _mm512_loadu_ps(from);
}

OR_INLINE TARGET void store(float *to, vector value)
{
    _mm512_store_ps(to, value);
}

OR_INLINE TARGET vector multiply_add(vector a, vector b, vector c)
{
    return _mm512_fmadd_ps(a, b, c);
}

OR_INLINE TARGET vector widen_vector(or_dtype dtype, const unsigned char *w)
{
    if (dtype == OR_F32) return _mm512_loadu_ps(w);
    const __m256i halves = _mm256_loadu_si256((const __m256i *)w);
    if (dtype == OR_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)); /* bf16 */
}

/* Four sums at a time: what comes before their places in y is added in one vector. */
OR_INLINE TARGET void set_outputs(vector sum[OUTS][VECTORS], size_t outs, float *y)
{
    const __m512 a = sum[0][0], b = sum[outs > 1][0], c = sum[outs > 2 ? 2 : 0][0], d = sum[outs - 1][0];
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 sums = /* four lanes each */
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    sums = _mm512_add_ps(sums, _mm512_permute_ps(sums, 0xee));
    sums = _mm512_add_ps(sums, _mm512_permute_ps(sums, 0x55));
    _mm_mask_storeu_ps(y, (__mmask8)((1u << outs) - 1),
                       _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, sums)));
}

#include "matmul_rows.h"

static bool usable(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}
#else
#define matmul              NULL /* never called */
#define or_avx512_attention NULL
static bool usable(void)
{
    return false;
}
#endif

const or_kernels or_kernels_avx512 = {
    .name = "avx512",
    .needs = "a processor with AVX-512 (F, BW, VL)",
    .usable = usable,
    .matmul = matmul,
    .attention = or_avx512_attention,
    .rms_norm = or_portable_rms_norm,
    .layer_norm = or_portable_layer_norm,
    .rope = or_portable_rope,
    .silu_mul = or_portable_silu_mul,
    .top = or_portable_top,
};
