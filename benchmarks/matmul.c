/* matmul.c - milliseconds of processor time of a matrix product on one thread, by kernel set, type and rows.
 *
 *   cmake --build build --target benchmark_matmul && build/tests/benchmark_matmul [TYPE...]
 *
 * Weights come from memory, as they do when a model's layers follow one another: there are copies of the
 * matrix of more bytes together than caches have, and each call takes the next one. A cell is the least of
 * several calls, since other work on the machine can only add to it.
 */
#include "compute.h"
#include "memory.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const sets[] = {"avx512_bf16", "avx512", "avx2", "openblas"};
static const char *const all_types[] = {"bf16", "f32", "q8_0", "q4_0", "q4_k", "q6_k"};
static const int shapes[][2] = {{5632, 2048}, {8192, 8192}}; /* outputs, columns */
static const size_t counts[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 512};
enum { MOST = 512, MADE = 16, LEAST_CALLS = 4, MOST_CALLS = 40 };
static const size_t copies_bytes = (size_t)160 << 20;
static const double cell_ms = 300;

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void fill(float *values, size_t n)
{
    uint64_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(seed >> 40) / 8388608.0f - 1.0f;
    }
}

/* MADE rows of random weights over and over, `copies` matrices of them. */
static void *make_weights(or_dtype dtype, int rows, int columns, size_t copies)
{
    const size_t made = or_dtype_bytes(dtype, (size_t)MADE * (size_t)columns);
    const size_t bytes = copies * or_dtype_bytes(dtype, (size_t)rows * (size_t)columns);
    float *values = or_alloc((size_t)MADE * (size_t)columns, sizeof *values);
    unsigned char *weights = or_alloc(bytes, 1);
    if (!values || !weights) exit(1);
    fill(values, (size_t)MADE * (size_t)columns);
    or_quantize(values, dtype, (size_t)MADE * (size_t)columns, weights);
    for (size_t at = made; at < bytes; at += made)
        memcpy(weights + at, weights, bytes - at < made ? bytes - at : made);
    free(values);
    return weights;
}

/* Copies that the set wants packed are packed into `packed`, which is NULL where it takes them as stored. */
static unsigned char *pack_copies(or_matrix w, size_t copies)
{
    const unsigned char *first = w.data;
    const size_t bytes = or_dtype_bytes(w.dtype, (size_t)w.rows * (size_t)w.columns);
    const size_t size = or_matrix_packed_bytes(&w);
    unsigned char *packed = size ? aligned_alloc(64, (size * copies + 63) / 64 * 64) : NULL;
    for (size_t i = 0; packed && i < copies; i++) {
        or_matrix copy = w;
        copy.data = first + i * bytes;
        or_matrix_pack(&copy, packed + i * size);
    }
    return packed;
}

static double measure(const or_kernels *set, or_matrix w, size_t copies, const unsigned char *packed,
                      const float *x, size_t n, float *y)
{
    const unsigned char *first = w.data;
    const size_t bytes = or_dtype_bytes(w.dtype, (size_t)w.rows * (size_t)w.columns);
    const size_t size = or_matrix_packed_bytes(&w);
    double least = 0, total = 0;
    for (size_t call = 0; call < LEAST_CALLS || (total < cell_ms && call < MOST_CALLS); call++) {
        if (packed)
            w.packed = packed + call % copies * size;
        else
            w.data = first + call % copies * bytes;
        const double begin = cpu_ms();
        set->matmul(&w, x, n, y);
        const double took = cpu_ms() - begin;
        total += took;
        if (call == 0 || took < least) least = took;
    }
    return least;
}

static void measure_type(or_dtype dtype, int rows, int columns)
{
    const size_t bytes = or_dtype_bytes(dtype, (size_t)rows * (size_t)columns);
    const size_t copies = (copies_bytes + bytes - 1) / bytes;
    void *weights = make_weights(dtype, rows, columns, copies);
    const or_matrix w = {.data = weights, .dtype = dtype, .rows = rows, .columns = columns};
    float *x = or_alloc((size_t)MOST * (size_t)columns, sizeof *x);
    float *y = or_alloc((size_t)MOST * (size_t)rows, sizeof *y);
    if (!x || !y) exit(1);
    fill(x, (size_t)MOST * (size_t)columns);
    for (size_t set = 0; set < sizeof sets / sizeof *sets; set++) {
        const or_kernels *run = or_kernels_find(sets[set]);
        if (!run->usable() || or_kernels_use(sets[set]) != OR_OK) continue;
        unsigned char *packed = pack_copies(w, copies);
        printf("%-5s %d -> %d %-9s", or_dtype_name(dtype), columns, rows, sets[set]);
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            printf(" %7.2f", measure(run, w, copies, packed, x, counts[i], y));
            fflush(stdout);
        }
        printf("\n");
        free(packed);
    }
    free(weights), free(x), free(y);
}

int main(int argc, char **argv)
{
    const char *const *types = argc > 1 ? (const char *const *)argv + 1 : all_types;
    const size_t n_types = argc > 1 ? (size_t)argc - 1 : sizeof all_types / sizeof *all_types;
    or_threads_set(1);
    printf("%-28s", "ms for rows");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) printf(" %7zu", counts[i]);
    printf("\n");
    for (size_t shape = 0; shape < sizeof shapes / sizeof *shapes; shape++) {
        for (size_t type = 0; type < n_types; type++) {
            const or_dtype dtype = or_dtype_find(types[type]);
            if (dtype == OR_DTYPE_OTHER) return fprintf(stderr, "unknown type %s\n", types[type]), 2;
            measure_type(dtype, shapes[shape][0], shapes[shape][1]);
        }
    }
    return 0;
}
