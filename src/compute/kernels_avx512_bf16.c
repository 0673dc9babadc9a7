/* kernels_avx512_bf16.c - the set for processors with the dot products of AVX-512 BF16 and VNNI.
 *
 * Weights of the types below are packed (packing.h), and x is rounded to what the dot products take: bf16 for
 * bf16 weights, bytes with a scale for quantised ones. Products with other types are those of the set
 * `avx512`, whose x stays float32.
 */
#include "kernels_portable.h"
#include "packing.h"

#if defined(__x86_64__)
static const or_packing *const packings[] = {
    &or_packing_bf16, &or_packing_q8_0, &or_packing_q4_0, &or_packing_q4_k, &or_packing_q6_k,
};
enum { PACKINGS = sizeof packings / sizeof *packings };

static const or_packing *packing(or_dtype dtype)
{
    for (size_t i = 0; i < PACKINGS; i++)
        if (packings[i]->dtype == dtype) return packings[i];
    return NULL;
}

static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    if (w->packed)
        packing(w->dtype)->matmul(w, x, n, y);
    else
        or_kernels_avx512.matmul(w, x, n, y);
}

static bool usable(void)
{
    return or_kernels_avx512.usable() && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512bf16");
}
#else
#define packing             NULL
#define matmul              NULL /* never called */
#define or_avx512_attention NULL
static bool usable(void)
{
    return false;
}
#endif

const or_kernels or_kernels_avx512_bf16 = {
    .name = "avx512_bf16",
    .needs = "a processor with AVX-512 (F, BW, VL, VNNI, BF16)",
    .usable = usable,
    .packing = packing,
    .matmul = matmul,
    .attention = or_avx512_attention,
    .rms_norm = or_portable_rms_norm,
    .layer_norm = or_portable_layer_norm,
    .rope = or_portable_rope,
    .silu_mul = or_portable_silu_mul,
    .top = or_portable_top,
};
