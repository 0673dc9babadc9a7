/* packing_bf16.c - bf16 weights by VDPBF16PS, x rounded to bf16 (to nearest even).
 *
 * A panel, of 64 outputs: pairs of columns one after the other, each of 64 pairs of numbers:
 *
 *   columns 0, 1:  w[o][0] w[o][1]  w[o+1][0] w[o+1][1]  ...  | columns 2, 3: ...         [columns/2, 64, 2]
 *
 * with a zero behind the last column where their number is odd.
 *
 * Order of summation. An output of a row has one float32 sum, to which the products of columns 0 and 1, of 2 and
 * 3, ... are added by one VDPBF16PS each, in this order, as that instruction rounds. Sums that wait between two
 * slices of the columns wait as float32, without rounding. So an element's bits depend on its weights and its
 * row alone.
 *
 *                    64 outputs: w, 4 vectors
 *                   +------------------------
 *     up to 6      |  sum[6][4]                 a step of two columns loads 4 vectors of weights and 6 pairs of
 *     rows: x      |                            x, for 24 dot products
 */
#include "packing.h"
#include "threads.h"

#if defined(__x86_64__)
#include "vector.h"

#include <immintrin.h>

/* Only code that runs after usable() of the set said yes. */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))

enum {
    ROWS = 6,                /* of a register block */
    VECTORS = OR_PANEL / 16, /* of a panel's outputs */
    PAIRS = 1024, /* of columns in a slice: a panel's is 256 KiB, which stays in the second cache */
    BLOCK = 512,  /* rows that meet a slice before it is left */
    ASKING = 5,   /* rows from which on weights are asked for before they are met: the processor's own
                     prefetching is enough for fewer, and 5 % faster */
    AHEAD = 4096  /* bytes before */
};

static size_t pairs_of(int columns)
{
    return ((size_t)columns + 1) / 2;
}

static size_t bytes(int rows, int columns)
{
    return or_panels(rows) * pairs_of(columns) * OR_PANEL * 2 * sizeof(uint16_t);
}

/* ---- packing ------------------------------------------------------------------------------------------- */

static void pack_output(const or_matrix *w, size_t output, uint16_t *panel)
{
    const size_t columns = (size_t)w->columns;
    const unsigned char *row =
        (const unsigned char *)w->data + (size_t)or_matrix_row(w, (int)output) * columns * sizeof(uint16_t);
    uint16_t *to = panel + output % OR_PANEL * 2;
    for (size_t c = 0; c < columns; c++)
        memcpy(to + c / 2 * OR_PANEL * 2 + c % 2, row + c * sizeof(uint16_t), sizeof(uint16_t));
}

static void pack(const or_matrix *w, void *packed)
{
    const size_t rows = (size_t)w->rows, size = pairs_of(w->columns) * OR_PANEL * 2;
#pragma omp parallel for schedule(static) num_threads(or_threads())
    for (size_t p = 0; p < or_panels(w->rows); p++) {
        uint16_t *panel = (uint16_t *)packed + p * size;
        memset(panel, 0, size * sizeof *panel);
        for (size_t o = p * OR_PANEL; o < rows && o < (p + 1) * OR_PANEL; o++) pack_output(w, o, panel);
    }
}

static void expand(const or_matrix *w, int output, size_t from, size_t count, float *out)
{
    const size_t o = (size_t)output;
    const uint16_t *panel =
        (const uint16_t *)w->packed + o / OR_PANEL * (pairs_of(w->columns) * OR_PANEL * 2);
    for (size_t i = 0; i < count; i++)
        or_expand(panel + (from + i) / 2 * OR_PANEL * 2 + o % OR_PANEL * 2 + (from + i) % 2, OR_BF16, 0, 1,
                  out + i);
}

static void round_columns(const float *x, size_t count, float *out)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t rounded;
        or_quantize(x + i, OR_BF16, 1, &rounded);
        or_expand(&rounded, OR_BF16, 0, 1, out + i);
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* A slice of the rows of x, rounded: [BLOCK, PAIRS], shared by all threads. */
static _Alignas(64) uint32_t rounded[BLOCK * PAIRS];

/* x[width] to pairs, the last one filled up with a zero. */
AVX512 static void round_row(const float *x, size_t width, uint32_t *pairs)
{
    for (size_t c = 0; c < width; c += 16) {
        const size_t left = width - c;
        const __mmask16 mask = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff;
        const __m512 values = _mm512_maskz_loadu_ps(mask, x + c);
        _mm256_store_si256((__m256i *)(pairs + c / 2), (__m256i)_mm512_cvtneps_pbh(values));
    }
}

/* A slice of a panel that meets some rows. */
typedef struct piece {
    const uint16_t *w; /* [pairs, 64, 2] */
    const uint32_t *x; /* [rows, PAIRS] */
    size_t pairs;
    float *y; /* [rows, stride], of which as many outputs are the panel's as `masks` say */
    size_t stride;
    __mmask16 masks[VECTORS];
    bool first; /* of the slices: y is not read */
    bool near;  /* the weights are in a cache already */
} piece;

/* A register block; `rows` and `near` are constants where this is built in. */
OR_INLINE AVX512 void multiply(const piece *p, size_t rows, bool near)
{
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++)
            sum[r][v] = p->first ? _mm512_setzero_ps()
                                 : _mm512_maskz_loadu_ps(p->masks[v], p->y + r * p->stride + 16 * v);
    }
    for (size_t pair = 0; pair < p->pairs; pair++) {
        const uint16_t *from = p->w + pair * OR_PANEL * 2;
        __m512i w[VECTORS];
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++) {
            if (rows >= ASKING && !near)
                _mm_prefetch((const char *)(from + 32 * v) + AHEAD,
                             _MM_HINT_T0); /* no fault behind the end */
            w[v] = _mm512_load_si512(from + 32 * v);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const __m512i x = _mm512_set1_epi32((int)p->x[r * PAIRS + pair]);
#pragma GCC unroll 8
            for (size_t v = 0; v < VECTORS; v++)
                sum[r][v] = _mm512_dpbf16_ps(sum[r][v], (__m512bh)w[v], (__m512bh)x);
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t v = 0; v < VECTORS; v++)
            _mm512_mask_storeu_ps(p->y + r * p->stride + 16 * v, p->masks[v], sum[r][v]);
    }
}

#define MULTIPLY(rows)                                                                                       \
    AVX512 static void multiply_##rows(const piece *p)                                                       \
    {                                                                                                        \
        if (p->near)                                                                                         \
            multiply(p, rows, true);                                                                         \
        else                                                                                                 \
            multiply(p, rows, false);                                                                        \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)

static void (*const multiply_table[ROWS + 1])(const piece *) = {
    NULL, multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6,
};

/* The slice from pair `from` on of panel `panel` for n rows, in groups of almost equal size. */
static void multiply_panel(const or_matrix *w, size_t panel, size_t from, size_t pairs, size_t n, float *y)
{
    const size_t outs = (size_t)w->rows, first = panel * OR_PANEL, groups = (n + ROWS - 1) / ROWS;
    piece p = {
        .w = (const uint16_t *)w->packed + (panel * pairs_of(w->columns) + from) * OR_PANEL * 2,
        .pairs = pairs,
        .stride = outs,
        .first = from == 0,
    };
    for (size_t v = 0; v < VECTORS; v++) {
        const size_t left = first + 16 * v < outs ? outs - first - 16 * v : 0;
        p.masks[v] = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff;
    }
    for (size_t group = 0, row = 0; group < groups; group++) {
        const size_t rows = (n - row + groups - group - 1) / (groups - group);
        p.x = rounded + row * PAIRS;
        p.y = y + row * outs + first;
        multiply_table[rows](&p);
        p.near = true;
        row += rows;
    }
}

/* Rows of a block, slice by slice: all threads round, then each takes panels. */
static void multiply_block(const or_matrix *w, const float *x, size_t n, float *y)
{
    const size_t columns = (size_t)w->columns;
#pragma omp parallel num_threads(or_threads())
    for (size_t from = 0; from < pairs_of(w->columns); from += PAIRS) {
        const size_t left = columns - 2 * from, width = left < 2 * PAIRS ? left : 2 * PAIRS;
#pragma omp for schedule(static)
        for (size_t row = 0; row < n; row++)
            round_row(x + row * columns + 2 * from, width, rounded + row * PAIRS);
#pragma omp for schedule(static)
        for (size_t panel = 0; panel < or_panels(w->rows); panel++)
            multiply_panel(w, panel, from, (width + 1) / 2, n, y);
    }
}

static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    for (size_t row = 0; row < n; row += BLOCK)
        multiply_block(w, x + row * (size_t)w->columns, n - row < BLOCK ? n - row : BLOCK,
                       y + row * (size_t)w->rows);
}

const or_packing or_packing_bf16 = {
    .dtype = OR_BF16,
    .bytes = bytes,
    .pack = pack,
    .expand = expand,
    .round = round_columns,
    .matmul = matmul,
};
#endif
