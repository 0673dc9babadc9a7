/* attention.c - milliseconds of processor time of what a layer does besides matrix products, on one thread.
 *
 *   cmake --build build --target benchmark_attention && build/tests/benchmark_attention [CASES]
 *
 * CASES, a text like pp512, keeps the cases whose names contain it. A line is a shape and a kernel, called as
 * often as a layer of the Llama family does; a column is a wave: a prompt of so many tokens (pp), or so many
 * sequences that decode one token each at a position (d, with x for "rows at"). All spans have pages but in
 * the lines "no pages". `total` leaves these out and takes attention in the set that is fastest here. The
 * last line of a shape is what the layer's matrix products are, in 10^9 floating-point operations.
 *
 * A cell is the least of several calls, since other work on the machine can only add to it. Decoding finds
 * its keys and values in memory, as it does when a model's layers follow one another: what one call reads is
 * thrown out of the caches before the next.
 */
#include "compute.h"
#include "kv.h"
#include "memory.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct model_shape {
    const char *name;
    or_attention_shape attention;
    size_t d, ff;
} model_shape;

static const model_shape shapes[] = {
    {"tinyllama-1.1b", {32, 4, 64}, 2048, 5632},
    {"llama-2-70b", {64, 8, 128}, 8192, 28672},
};

/* `spans` sequences, `count` rows each, the first of them at `position`. */
typedef struct wave_case {
    const char *name;
    int spans, count, position;
} wave_case;

static const wave_case cases[] = {
    {"pp64", 1, 64, 0},      {"pp512", 1, 512, 0},    {"pp2048", 1, 2048, 0},    {"d1x128", 1, 1, 128},
    {"d1x1024", 1, 1, 1024}, {"d32x128", 32, 1, 128}, {"d32x1024", 32, 1, 1024},
};
enum {
    CASES = sizeof cases / sizeof *cases,
    MOST_SPANS = 32,
    LEAST_CALLS = 3,
    MOST_CALLS = 60,
    COLD_CALLS = 12
};
static const double cell_ms = 250;

/* What the kernels of a layer are called with. */
typedef struct wave {
    const model_shape *shape;
    or_span spans[MOST_SPANS];
    size_t n_spans, rows, longest;
    or_kv_layer kv;
    int32_t *pages;
    float *hidden, *out, *weight, *q, *k, *v, *gate, *up, *cos, *sin, *scratch;
} wave;

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static float *floats(size_t n)
{
    static uint64_t seed = 1;
    float *values = or_alloc(n, sizeof *values);
    if (!values) exit(1);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (float)(seed >> 40) / 8388608.0f - 1.0f;
    }
    return values;
}

static wave make_wave(const model_shape *shape, const wave_case *c)
{
    const or_attention_shape *a = &shape->attention;
    const size_t q = (size_t)a->n_heads * (size_t)a->head_dim,
                 kv = (size_t)a->n_kv_heads * (size_t)a->head_dim;
    wave w = {.shape = shape, .n_spans = (size_t)c->spans, .rows = (size_t)(c->spans * c->count)};
    w.longest = (size_t)(c->position + c->count);
    const size_t pages = or_kv_pages(w.longest), half = (size_t)a->head_dim / 2;
    w.pages = or_alloc(pages * w.n_spans, sizeof *w.pages);
    if (!w.pages) exit(1);
    for (size_t i = 0; i < pages * w.n_spans; i++) w.pages[i] = (int32_t)i;
    for (int s = 0; s < c->spans; s++)
        w.spans[s] = (or_span){.first = s * c->count,
                               .count = c->count,
                               .position = c->position,
                               .pages = w.pages + (size_t)s * pages};
    w.kv = (or_kv_layer){.stride = or_kv_page_floats(a)};
    w.kv.data = floats(pages * w.n_spans * w.kv.stride);
    w.hidden = floats(w.rows * shape->d), w.out = floats(w.rows * (q > shape->d ? q : shape->d));
    w.weight = floats(shape->d);
    w.q = floats(w.rows * q), w.k = floats(w.rows * kv), w.v = floats(w.rows * kv);
    w.gate = floats(w.rows * shape->ff), w.up = floats(w.rows * shape->ff);
    w.cos = floats(w.longest * half), w.sin = floats(w.longest * half);
    w.scratch = floats(or_attention_scratch(a, w.longest, 1));
    return w;
}

static void free_wave(wave *w)
{
    float *const all[] = {w->hidden, w->out, w->weight, w->q,   w->k,       w->v,
                          w->gate,   w->up,  w->cos,    w->sin, w->scratch, w->kv.data};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(w->pages);
}

static void norms(const or_kernels *set, wave *w)
{
    for (int i = 0; i < 2; i++) set->rms_norm(w->hidden, w->rows, w->shape->d, w->weight, 1e-5f, w->out);
}

/* Turns by angles that are none, so numbers stay in their range only because the calls are few. */
static void rope(const or_kernels *set, wave *w)
{
    const or_attention_shape *a = &w->shape->attention;
    set->rope(w->spans, w->n_spans, a->n_heads, a->head_dim, w->cos, w->sin, w->q);
    set->rope(w->spans, w->n_spans, a->n_kv_heads, a->head_dim, w->cos, w->sin, w->k);
}

static void put(const or_kernels *set, wave *w)
{
    (void)set;
    or_kv_put(&w->shape->attention, w->spans, w->n_spans, w->k, w->v, &w->kv);
}

static void attention(const or_kernels *set, wave *w)
{
    set->attention(&w->shape->attention, w->spans, w->n_spans, &w->kv, w->q, w->k, w->v, w->out, w->scratch);
}

static void silu(const or_kernels *set, wave *w)
{
    set->silu_mul(w->gate, w->up, w->rows * w->shape->ff);
}

static void adds(const or_kernels *set, wave *w)
{
    (void)set;
    for (int i = 0; i < 2; i++) or_add(w->hidden, w->out, w->rows * w->shape->d);
}

static const struct {
    const char *name, *set; /* NULL: the fastest here */
    void (*run)(const or_kernels *set, wave *w);
    bool no_pages, in_total;
} kernels[] = {
    {"attention, reference", "reference", attention, false, false},
    {"attention", NULL, attention, false, true},
    {"attention, no pages", NULL, attention, true, false},
    {"norms", NULL, norms, false, true},
    {"rope", NULL, rope, false, true},
    {"kv put", NULL, put, false, true},
    {"silu", NULL, silu, false, true},
    {"adds", NULL, adds, false, true},
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

/* Reads more than the caches hold. */
static void empty_caches(void)
{
    enum { FLOATS = 24 << 20 };
    static float *other;
    if (!other) other = floats(FLOATS);
    for (size_t i = 0; i < FLOATS; i += 16) other[i] += 1.0f;
}

static double measure(size_t kernel, wave *w, bool cold)
{
    double least = 0, total = 0;
    const or_kernels *set = or_kernels_find(kernels[kernel].set);
    for (int call = 0; call < LEAST_CALLS || (total < cell_ms && call < (cold ? COLD_CALLS : MOST_CALLS));
         call++) {
        if (cold) empty_caches();
        const double begin = cpu_ms();
        kernels[kernel].run(set, w);
        const double took = cpu_ms() - begin;
        total += took;
        if (call == 0 || took < least) least = took;
    }
    return least;
}

/* One column: a cell of every kernel, then the total; -1 for none. */
static void measure_case(const model_shape *shape, const wave_case *c, double cells[KERNELS + 2])
{
    wave w = make_wave(shape, c);
    const or_attention_shape *a = &shape->attention;
    const double heads = (double)(2 * a->n_heads + 2 * a->n_kv_heads) * a->head_dim;
    cells[KERNELS] = 0;
    for (size_t k = 0; k < KERNELS; k++) {
        cells[k] = -1;
        if (kernels[k].no_pages && c->position) continue;
        for (size_t s = 0; s < w.n_spans; s++)
            w.spans[s].pages = kernels[k].no_pages ? NULL : w.pages + s * or_kv_pages(w.longest);
        cells[k] = measure(k, &w, c->position > 0);
        if (kernels[k].in_total) cells[KERNELS] += cells[k];
    }
    cells[KERNELS + 1] = (double)(2 * w.rows * shape->d) * (heads + 3 * (double)shape->ff) * 1e-9;
    free_wave(&w);
}

int main(int argc, char **argv)
{
    const char *wanted = argc > 1 ? argv[1] : "";
    or_threads_set(1);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        double cells[CASES][KERNELS + 2];
        printf("%-14s ms  %-21s", shapes[s].name, or_kernels_find(NULL)->name);
        for (size_t c = 0; c < CASES; c++) {
            if (!strstr(cases[c].name, wanted)) continue;
            measure_case(&shapes[s], &cases[c], cells[c]);
            printf(" %9s", cases[c].name);
            fflush(stdout);
        }
        printf("\n");
        for (size_t k = 0; k < KERNELS + 2; k++) {
            printf("%-39s", k < KERNELS    ? kernels[k].name
                            : k == KERNELS ? "total"
                                           : "matrix products, GFLOP");
            for (size_t c = 0; c < CASES; c++) {
                if (!strstr(cases[c].name, wanted)) continue;
                if (cells[c][k] < 0)
                    printf(" %9s", "-");
                else
                    printf(" %9.3f", cells[c][k]);
            }
            printf("\n");
        }
    }
    return 0;
}
