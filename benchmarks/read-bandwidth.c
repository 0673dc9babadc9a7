/* read-bandwidth.c - how fast memory can be read: what decoding, which reads all weights for each step, cannot
 * exceed.
 *
 *   cmake --build build --target benchmark_read-bandwidth && build/tests/benchmark_read-bandwidth [THREADS [MIB]]
 *
 * Prints one line, GB/s with 1, 2 ... THREADS (2) threads, each reading its part of MIB (1024) MiB: the best of
 * several passes, since other work on the machine can only take from it.
 *
 *   read 1024 MiB, GB/s by threads: 24.6 29.8
 */
#include "clock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES = 12, SUMS = 8 };

/* As many bytes as a cache line; the compiler makes of it what the machine has. */
typedef uint64_t line __attribute__((vector_size(64)));

/* Several sums, so that no load waits for the addition before it. */
static uint64_t read_lines(const line *lines, size_t n)
{
    line sums[SUMS] = {0};
    uint64_t sum = 0;
    for (size_t i = 0; i + SUMS <= n; i += SUMS)
        for (int j = 0; j < SUMS; j++) sums[j] += lines[i + (size_t)j];
    for (int j = 0; j < SUMS; j++)
        for (int k = 0; k < 8; k++) sum += sums[j][k];
    return sum;
}

/* GB/s of one pass. The sum is used, as nothing would be read otherwise. */
static double pass(const line *lines, size_t n, int threads)
{
    static volatile uint64_t keep;
    uint64_t sum = 0;
    const double begin = or_clock_now();
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (int t = 0; t < threads; t++) {
        const size_t part = n / (size_t)threads;
        sum += read_lines(lines + (size_t)t * part, part);
    }
    const double seconds = or_clock_now() - begin;
    keep = sum;
    (void)keep;
    return (double)(n * sizeof *lines) / seconds / 1e9;
}

int main(int argc, char **argv)
{
    const int most = argc > 1 ? atoi(argv[1]) : 2, mib = argc > 2 ? atoi(argv[2]) : 1024;
    const size_t n = ((size_t)(mib > 0 ? mib : 0) << 20) / sizeof(line);
    line *lines = n && most > 0 ? aligned_alloc(sizeof(line), n * sizeof *lines) : NULL;
    if (!lines) return fprintf(stderr, "expected [THREADS [MIB]], numbers above 0, and so much memory\n"), 2;
    memset(lines, 1, n * sizeof *lines); /* zero pages would all be one in memory */
    printf("read %d MiB, GB/s by threads:", mib);
    for (int threads = 1; threads <= most; threads++) {
        double best = 0;
        for (int i = 0; i < PASSES; i++) {
            const double rate = pass(lines, n, threads);
            if (rate > best) best = rate;
        }
        printf(" %.1f", best);
    }
    printf("\n");
    free(lines);
    return 0;
}
