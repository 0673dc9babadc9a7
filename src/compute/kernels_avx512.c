/* kernels_avx512.c - matrix products by AVX-512, for any number of rows: the time follows the rows from the
 * first one on, which is what decoding needs (a row per sequence).
 *
 * Order of summation. An output of a row has one sum of 16 lanes. Lane i adds the products of columns
 * i, i + 16, i + 32, ... in this order, each by a fused multiply-add; behind the last column there are zeros;
 * at the end the lanes are added pairwise, 16 -> 8 -> 4 -> 2 -> 1. Nothing else is ever added. Sums that wait
 * between two slices of the columns wait as 16 lanes, without rounding. So an element's bits depend on the
 * number of columns alone; which rows and outputs share a block, a slice, a tile or a thread changes none.
 *
 *                    4 outputs: w
 *                   +------------
 *     up to 6      |  sum[6][4]          24 of the 32 registers are sums; a step of 16 columns loads
 *     rows: x      |                     4 vectors of weights and 6 of x, for 24 multiply-adds
 *
 * Weights in f32, f16 and bf16 are widened in registers, from where the file is mapped; those of other types
 * to this thread's scratch, slice by slice. A few rows take as long as reading the weights from memory does:
 * those of the next outputs are asked for while these are used (measured on Zen 4: 1.5 times as fast as
 * without). For many rows, what meets is cut so that it stays in the second cache.
 */
#include "kernels_portable.h"
#include "threads.h"
#include "vector.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Only code that runs after usable() said yes. */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,fma,f16c,avx2")))

enum {
    ROWS = 6,             /* of a register block */
    OUTS = 4,             /* of a register block */
    TILE = 32,            /* outputs of a piece of work: whole register blocks */
    NEAR = 64,            /* rows that meet all outputs of a tile before the next ones */
    BLOCK = 4 * NEAR,     /* rows for which weights are widened once */
    SLICE = 2048,         /* columns: whole blocks of every type, whole vectors; x[NEAR, SLICE] is 512 KiB */
    STRIDE = SLICE + 272, /* of widened rows, so that they are not all in the same places of a cache */
    FEW = NEAR * SLICE    /* numbers of x that stay in the second cache */
};

/* Of a thread: widened weights [outs, STRIDE]; sums between slices, of OUTS outputs after the other for every
 * NEAR rows: [row, output, lane]. */
static _Thread_local struct {
    _Alignas(64) float weights[TILE * STRIDE];
    _Alignas(64) float sums[TILE * BLOCK * OR_LANES];
} scratch;

/* A register block's work: some columns of up to ROWS rows and OUTS outputs. */
typedef struct piece {
    const unsigned char *w[OUTS];
    size_t ahead;   /* bytes from these weights to those of the next outputs */
    const float *x; /* [rows, x_stride] */
    size_t x_stride, width;
    float *sums; /* [rows, outs, 16] */
    float *y;    /* [rows, y_stride] */
    size_t y_stride;
    bool first, last; /* of the slices of a row of W */
} piece;

/* 16 weights, those that are not in `mask` zeros and not read. */
OR_INLINE AVX512 __m512 load_weights(or_dtype dtype, const unsigned char *w, __mmask16 mask)
{
    if (dtype == OR_F32) return _mm512_maskz_loadu_ps(mask, w);
    const __m256i halves = _mm256_maskz_loadu_epi16(mask, w);
    if (dtype == OR_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)); /* bf16 */
}

/* 16 columns to all sums. */
OR_INLINE AVX512 void add_columns(const piece *p, or_dtype dtype, size_t rows, size_t outs, size_t column,
                                  __mmask16 mask, __m512 sum[ROWS][OUTS])
{
    const size_t bytes = dtype == OR_F32 ? 4 : 2;
    __m512 w[OUTS];
#pragma GCC unroll 8
    for (size_t o = 0; o < outs; o++) {
        const unsigned char *at = p->w[o] + column * bytes;
        _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T1); /* behind the last output: no fault */
        w[o] = load_weights(dtype, at, mask);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        const __m512 x = _mm512_maskz_loadu_ps(mask, p->x + r * p->x_stride + column);
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++) sum[r][o] = _mm512_fmadd_ps(x, w[o], sum[r][o]);
    }
}

/* The lanes of four sums, each added pairwise. */
OR_INLINE AVX512 __m128 add_lanes(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 sums = /* four lanes each */
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    sums = _mm512_add_ps(sums, _mm512_permute_ps(sums, 0xee));
    sums = _mm512_add_ps(sums, _mm512_permute_ps(sums, 0x55));
    return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, sums));
}

/* A piece; all but `p` are constants where this is built in. */
OR_INLINE AVX512 void multiply(const piece *p, or_dtype dtype, size_t rows, size_t outs)
{
    __m512 sum[ROWS][OUTS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++)
            sum[r][o] = p->first ? _mm512_setzero_ps() : _mm512_load_ps(p->sums + (r * outs + o) * OR_LANES);
    }
    size_t column = 0;
    for (; column + OR_LANES <= p->width; column += OR_LANES)
        add_columns(p, dtype, rows, outs, column, 0xffff, sum);
    if (column < p->width)
        add_columns(p, dtype, rows, outs, column, (__mmask16)((1u << (p->width - column)) - 1), sum);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        if (p->last) {
            const __m128 y =
                add_lanes(sum[r][0], sum[r][outs > 1], sum[r][outs > 2 ? 2 : 0], sum[r][outs - 1]);
            _mm_mask_storeu_ps(p->y + r * p->y_stride, (__mmask8)((1u << outs) - 1), y);
            continue;
        }
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++) _mm512_store_ps(p->sums + (r * outs + o) * OR_LANES, sum[r][o]);
    }
}

/* multiply() for a type, OUTS outputs or one, and any number of rows up to ROWS. */
#define MULTIPLY(name, dtype, outs)                                                                          \
    AVX512 static void name(const piece *p, size_t rows)                                                     \
    {                                                                                                        \
        switch (rows) {                                                                                      \
        case 1:                                                                                              \
            multiply(p, dtype, 1, outs);                                                                     \
            break;                                                                                           \
        case 2:                                                                                              \
            multiply(p, dtype, 2, outs);                                                                     \
            break;                                                                                           \
        case 3:                                                                                              \
            multiply(p, dtype, 3, outs);                                                                     \
            break;                                                                                           \
        case 4:                                                                                              \
            multiply(p, dtype, 4, outs);                                                                     \
            break;                                                                                           \
        case 5:                                                                                              \
            multiply(p, dtype, 5, outs);                                                                     \
            break;                                                                                           \
        case ROWS:                                                                                           \
            multiply(p, dtype, ROWS, outs);                                                                  \
            break;                                                                                           \
        }                                                                                                    \
    }
MULTIPLY(multiply_f32, OR_F32, OUTS)
MULTIPLY(multiply_f32_one, OR_F32, 1)
MULTIPLY(multiply_f16, OR_F16, OUTS)
MULTIPLY(multiply_f16_one, OR_F16, 1)
MULTIPLY(multiply_bf16, OR_BF16, OUTS)
MULTIPLY(multiply_bf16_one, OR_BF16, 1)

static void (*const multiply_table[][2])(const piece *, size_t rows) = {
    [OR_F32] = {multiply_f32, multiply_f32_one},
    [OR_F16] = {multiply_f16, multiply_f16_one},
    [OR_BF16] = {multiply_bf16, multiply_bf16_one},
};

static bool is_widened(const or_matrix *w)
{
    return w->dtype != OR_F32 && w->dtype != OR_F16 && w->dtype != OR_BF16;
}

/* A slice of W met by rows of x: columns [from, from + width) of outputs [out, out + outs). */
typedef struct slice {
    const or_matrix *w;
    size_t out, outs, from, width;
} slice;

/* Asks for a stored row that is widened soon. Behind the last one there is nothing, which is no fault. */
static void fetch(const slice *s, size_t stored)
{
    const size_t columns = (size_t)s->w->columns, bytes = or_dtype_bytes(s->w->dtype, s->width);
    const char *at = (const char *)s->w->data + or_dtype_bytes(s->w->dtype, stored * columns + s->from);
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch(at + i, _MM_HINT_T1);
}

/* To scratch.weights, of a type that is not read in place. */
static void widen(const slice *s)
{
    for (size_t o = 0; o < s->outs; o++) {
        const size_t stored = (size_t)or_matrix_row(s->w, (int)(s->out + o));
        fetch(s, stored + OUTS);
        or_expand(s->w->data, s->w->dtype, stored * (size_t)s->w->columns + s->from, s->width,
                  scratch.weights + o * STRIDE);
    }
}

/* p->w = the weights of outputs `o`, o + 1, ... of the slice. */
static void find_weights(const slice *s, size_t o, size_t outs, piece *p)
{
    for (size_t i = 0; i < outs; i++) {
        const size_t stored = (size_t)or_matrix_row(s->w, (int)(s->out + o + i));
        p->w[i] = is_widened(s->w)
                      ? (const unsigned char *)(scratch.weights + (o + i) * STRIDE)
                      : (const unsigned char *)s->w->data +
                            or_dtype_bytes(s->w->dtype, stored * (size_t)s->w->columns + s->from);
    }
}

/* Adds the slice to the sums of n rows of x [n, columns], for outputs `o`, o + 1, ... of it, in groups of
 * almost equal size; or, if it is the last slice, sets y [n, w.rows]. */
static void multiply_rows(const slice *s, const float *x, size_t n, size_t o, size_t outs, float *sums,
                          float *y)
{
    const size_t columns = (size_t)s->w->columns, outputs = (size_t)s->w->rows;
    const size_t groups = (n + ROWS - 1) / ROWS;
    piece p = {.x_stride = columns, .y_stride = outputs, .width = s->width, .first = s->from == 0};
    p.last = s->from + s->width == columns;
    if (!is_widened(s->w)) p.ahead = or_dtype_bytes(s->w->dtype, OUTS * columns);
    find_weights(s, o, outs, &p);
    const or_dtype dtype = is_widened(s->w) ? OR_F32 : s->w->dtype;
    for (size_t group = 0, row = 0; group < groups; group++) {
        const size_t rows = (n - row + groups - group - 1) / (groups - group);
        p.x = x + row * columns + s->from;
        p.y = y + row * outputs + s->out + o;
        p.sums = sums + row * outs * OR_LANES;
        multiply_table[dtype][outs == 1](&p, rows);
        row += rows;
    }
}

/* A slice for n rows, some NEAR at a time. */
static void multiply_slice(const slice *s, const float *x, size_t n, float *y)
{
    if (is_widened(s->w)) widen(s);
    for (size_t row = 0; row < n; row += NEAR) {
        const size_t rows = n - row < NEAR ? n - row : NEAR;
        for (size_t o = 0, outs; o < s->outs; o += outs) {
            outs = s->outs - o < OUTS ? 1 : OUTS;
            multiply_rows(s, x + row * (size_t)s->w->columns, rows, o, outs,
                          scratch.sums + (row * s->outs + o * rows) * OR_LANES, y + row * (size_t)s->w->rows);
        }
    }
}

/* y[n, out .. out + 32) = x[n, columns] against the 32 rows of W from output `out` on; n is up to BLOCK, x
 * and y begin at the block of rows. While all of x stays in the second cache, outputs follow one another and
 * their weights are read to the end of the row; else all outputs meet a slice of x before the next slice. */
static void multiply_tile(const or_matrix *w, const float *x, size_t n, size_t out, float *y)
{
    const size_t columns = (size_t)w->columns, rows = (size_t)w->rows;
    const bool few = n <= NEAR && n * columns <= FEW;
    const size_t end = rows - out < TILE ? rows : out + TILE, step = few ? OUTS : TILE;
    const size_t most = few && !is_widened(w) ? columns : SLICE;
    for (; out < end; out += step) {
        slice s = {.w = w, .out = out, .outs = end - out < step ? end - out : step};
        for (; s.from < columns; s.from += s.width) {
            s.width = columns - s.from < most ? columns - s.from : most;
            multiply_slice(&s, x, n, y);
        }
    }
}

/* A thread computes whole outputs, for up to `most` rows of x: no sum is shared. */
static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    const size_t tiles = ((size_t)w->rows + TILE - 1) / TILE, most = is_widened(w) ? BLOCK : NEAR;
    const size_t blocks = (n + most - 1) / most;
#pragma omp parallel for collapse(2) schedule(static) num_threads(or_threads())
    for (size_t block = 0; block < blocks; block++) {
        for (size_t tile = 0; tile < tiles; tile++) {
            const size_t row = block * most, rows = n - row < most ? n - row : most;
            multiply_tile(w, x + row * (size_t)w->columns, rows, tile * TILE, y + row * (size_t)w->rows);
        }
    }
}

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
