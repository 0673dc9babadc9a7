/* peak.c - how many operations a second the cores can do in their widest instructions, with all operands in
 * registers: what a matrix product cannot exceed.
 *
 *   cmake --build build --target benchmark_peak && build/tests/benchmark_peak [THREADS]
 *
 * Prints GFLOP/s (two for each multiply-add) with 1, 2 ... THREADS (2) threads: the best of several bursts, which
 * are short, so that some meet no other work on the machine. Only what the processor has is shown.
 *
 *   peak f32, GFLOP/s by threads: 115 217        VFMADD, 16 float32 a register
 *   peak bf16, GFLOP/s by threads: 230 430       VDPBF16PS, 32 products of bfloat16
 *   peak int8, GFLOP/s by threads: 460 875       VPDPBUSD, 64 products of bytes
 */
#include "clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#if defined __x86_64__ && defined __GNUC__
#include <immintrin.h>

/* Twelve sums cover latency times throughput of every core with these instructions, and fit the registers. */
enum { BURSTS = 200, ROUNDS = 100000, SUMS = 12 };

/* The asm hides from the compiler that operands stay what they are, or it would move the work out of the loop. */
#define BURST(name, features, type, zero, operation)                                                         \
    __attribute__((target(features))) static void name(void)                                                 \
    {                                                                                                        \
        type sums[SUMS];                                                                                     \
        __m512i a = _mm512_set1_epi8(1), b = a;                                                              \
        for (int i = 0; i < SUMS; i++) sums[i] = zero();                                                     \
        for (int round = 0; round < ROUNDS; round++) {                                                       \
            __asm__ volatile("" : "+v"(a), "+v"(b));                                                         \
            for (int i = 0; i < SUMS; i++) sums[i] = operation;                                              \
        }                                                                                                    \
        for (int i = 0; i < SUMS; i++) __asm__ volatile("" : : "v"(sums[i]));                                \
    }

BURST(burst_f32, "avx512f", __m512, _mm512_setzero_ps,
      _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sums[i]))
BURST(burst_bf16, "avx512f,avx512bf16", __m512, _mm512_setzero_ps,
      _mm512_dpbf16_ps(sums[i], (__m512bh)a, (__m512bh)b))
BURST(burst_int8, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512, _mm512_dpbusd_epi32(sums[i], a, b))

static double rate(void (*burst)(void), int products, int threads)
{
    const double begin = or_clock_now();
#pragma omp parallel for num_threads(threads)
    for (int t = 0; t < threads; t++) burst();
    return 2.0 * products * SUMS * ROUNDS * threads / (or_clock_now() - begin) / 1e9;
}

static void show(const char *name, bool has, void (*burst)(void), int products, int most)
{
    if (!has) return;
    printf("peak %s, GFLOP/s by threads:", name);
    for (int threads = 1; threads <= most; threads++) {
        double best = 0;
        for (int i = 0; i < BURSTS; i++) {
            const double now = rate(burst, products, threads);
            if (now > best) best = now;
        }
        printf(" %.0f", best);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    const int most = argc > 1 ? atoi(argv[1]) : 2;
    if (most < 1) return fprintf(stderr, "expected [THREADS], a number above 0\n"), 2;
    show("f32", __builtin_cpu_supports("avx512f"), burst_f32, 16, most);
    show("bf16", __builtin_cpu_supports("avx512bf16"), burst_bf16, 32, most);
    show("int8", __builtin_cpu_supports("avx512vnni"), burst_int8, 64, most);
    return 0;
}
#else
int main(void)
{
    return 0;
}
#endif
