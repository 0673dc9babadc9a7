/* matmul_rows.h - matrix products for any number of rows by one set's vectors: the time follows the rows from
 * the first one on, which is what decoding needs (a row per sequence).
 *
 * A template: a set's file says what its vectors are, and includes this once, which gives it matmul().
 *
 *   TARGET                   attribute of all functions that use the set's instructions
 *   vector, VECTORS          a vector, and how many make 16 lanes
 *   zero(), load(), store()  of a vector of floats; store() is to aligned memory
 *   multiply_add(a, b, c)    a * b + c, rounded once
 *   widen_vector(dtype, w)   as many weights in f32, f16 or bf16 as a vector holds
 *   set_outputs(sum, y)      y[outs] = the lanes of each sum, added pairwise
 *   ROWS, OUTS               of a register block, of which ROWS is up to 6
 *   SLICE                    columns that are met at a time: whole blocks of every type, whole vectors
 *   NEAR                     rows of a slice of x that meet all outputs of a tile before the next ones
 *   COPY_F32, COPY_HALVES    rows from which weights in f32, or in f16 and bf16, are worth being copied
 *
 * Order of summation. An output of a row has one sum of 16 lanes. Lane i adds the products of columns
 * i, i + 16, i + 32, ... in this order, each by a fused multiply-add; behind the last column there are zeros;
 * at the end the lanes are added pairwise, 16 -> 8 -> 4 -> 2 -> 1. Nothing else is ever added. Sums that wait
 * between two slices of the columns wait as 16 lanes, without rounding. So an element's bits depend on the
 * number of columns alone; which rows and outputs share a block, a slice, a tile or a thread changes none,
 * and neither does the set.
 *
 *                    OUTS outputs: w
 *                   +----------------
 *   up to ROWS     |  sum[ROWS][OUTS]        in registers; a step of 16 columns loads the weights of OUTS
 *   rows: x        |                         outputs and the numbers of ROWS rows, and uses all with all
 *
 * Weights in f32, f16 and bf16 are widened in registers, from where the file is mapped; those of other types,
 * and all of them for many rows, to this thread's scratch, slice by slice. A few rows take as long as reading
 * the weights from memory does: those of the next outputs are asked for while these are used (measured on
 * Zen 4: 1.5 times as fast as without). For many rows, what meets is cut so that it stays in a cache.
 */
#include "threads.h"
#include "vector.h"

enum {
    TILE = 32,                 /* outputs of a piece of work: whole register blocks */
    BLOCK = 256,               /* rows for which weights are widened once */
    MAPPED_BLOCK = 64,         /* rows for which weights are read once from where they are mapped */
    FEW = MAPPED_BLOCK * 2048, /* numbers of x that stay in the second cache */
    STRIDE = SLICE + 272,      /* of widened rows, so that they are not all in the same places of a cache */
    WIDTH = OR_LANES / VECTORS /* floats of a vector */
};

/* Of a thread: widened weights [outs, STRIDE]; sums between slices, of OUTS outputs after the other for every
 * group of rows that multiply_slice() makes: [row, output, lane]. */
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

/* 16 columns to all sums. `near`: the weights are widened already, and in a cache. */
OR_INLINE TARGET void add_columns(const piece *p, or_dtype dtype, bool near, size_t rows, size_t outs,
                                  size_t column, vector sum[ROWS][OUTS][VECTORS])
{
    const size_t bytes = dtype == OR_F32 ? 4 : 2;
#pragma GCC unroll 8
    for (size_t v = 0; v < VECTORS; v++, column += WIDTH) {
        vector w[OUTS];
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++) {
            const unsigned char *at = p->w[o] + column * bytes;
            if (v == 0 && !near)
                _mm_prefetch((const char *)at + p->ahead, _MM_HINT_T1); /* behind the last: no fault */
            w[o] = near ? load((const float *)at) : widen_vector(dtype, at);
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const vector x = load(p->x + r * p->x_stride + column);
#pragma GCC unroll 8
            for (size_t o = 0; o < outs; o++) sum[r][o][v] = multiply_add(x, w[o], sum[r][o][v]);
        }
    }
}

/* The columns from `column` on, which are fewer than 16, with zeros behind them. */
OR_INLINE TARGET void add_last_columns(const piece *p, or_dtype dtype, bool near, size_t rows, size_t outs,
                                       size_t column, vector sum[ROWS][OUTS][VECTORS])
{
    const size_t bytes = dtype == OR_F32 ? 4 : 2;
    float x[ROWS][OR_LANES] = {{0}}, w[OUTS][OR_LANES] = {{0}};
    piece last = {.x = x[0], .x_stride = OR_LANES};
    for (size_t r = 0; r < rows; r++)
        memcpy(x[r], p->x + r * p->x_stride + column, (p->width - column) * sizeof **x);
    for (size_t o = 0; o < outs; o++) {
        memcpy(w[o], p->w[o] + column * bytes, (p->width - column) * bytes);
        last.w[o] = (const unsigned char *)w[o];
    }
    add_columns(&last, dtype, near, rows, outs, 0, sum);
}

/* A piece; all but `p` are constants where this is built in. */
OR_INLINE TARGET void multiply(const piece *p, or_dtype dtype, bool near, size_t rows, size_t outs)
{
    vector sum[ROWS][OUTS][VECTORS];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++) {
#pragma GCC unroll 8
            for (size_t v = 0; v < VECTORS; v++)
                sum[r][o][v] = p->first ? zero() : load(p->sums + ((r * outs + o) * VECTORS + v) * WIDTH);
        }
    }
    size_t column = 0;
    for (; column + OR_LANES <= p->width; column += OR_LANES)
        add_columns(p, dtype, near, rows, outs, column, sum);
    if (column < p->width) add_last_columns(p, dtype, near, rows, outs, column, sum);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
        if (p->last) {
            set_outputs(sum[r], outs, p->y + r * p->y_stride);
            continue;
        }
#pragma GCC unroll 8
        for (size_t o = 0; o < outs; o++) {
#pragma GCC unroll 8
            for (size_t v = 0; v < VECTORS; v++)
                store(p->sums + ((r * outs + o) * VECTORS + v) * WIDTH, sum[r][o][v]);
        }
    }
}

/* multiply() for weights of a type, OUTS outputs or one, and any number of rows up to ROWS. */
#define CASE(n, dtype, near, outs)                                                                           \
    case n:                                                                                                  \
        if (n <= ROWS) multiply(p, dtype, near, n, outs);                                                    \
        break;
#define MULTIPLY(name, dtype, near, outs)                                                                    \
    TARGET static void name(const piece *p, size_t rows)                                                     \
    {                                                                                                        \
        switch (rows) {                                                                                      \
            CASE(1, dtype, near, outs)                                                                       \
            CASE(2, dtype, near, outs)                                                                       \
            CASE(3, dtype, near, outs)                                                                       \
            CASE(4, dtype, near, outs)                                                                       \
            CASE(5, dtype, near, outs)                                                                       \
            CASE(6, dtype, near, outs)                                                                       \
        }                                                                                                    \
    }
MULTIPLY(multiply_f32, OR_F32, false, OUTS)
MULTIPLY(multiply_f32_one, OR_F32, false, 1)
MULTIPLY(multiply_f16, OR_F16, false, OUTS)
MULTIPLY(multiply_f16_one, OR_F16, false, 1)
MULTIPLY(multiply_bf16, OR_BF16, false, OUTS)
MULTIPLY(multiply_bf16_one, OR_BF16, false, 1)
MULTIPLY(multiply_near, OR_F32, true, OUTS)
MULTIPLY(multiply_near_one, OR_F32, true, 1)

/* Weights where they are mapped, by type, and widened ones. */
static void (*const multiply_mapped[][2])(const piece *, size_t rows) = {
    [OR_F32] = {multiply_f32, multiply_f32_one},
    [OR_F16] = {multiply_f16, multiply_f16_one},
    [OR_BF16] = {multiply_bf16, multiply_bf16_one},
};
static void (*const multiply_widened[2])(const piece *, size_t rows) = {multiply_near, multiply_near_one};

/* Whether the weights are widened to scratch when n rows meet them. */
static bool is_widened(const or_matrix *w, size_t n)
{
    if (w->dtype == OR_F32) return n >= COPY_F32;
    return n >= COPY_HALVES || (w->dtype != OR_F16 && w->dtype != OR_BF16);
}

/* A slice of W met by rows of x: columns [from, from + width) of outputs [out, out + outs). */
typedef struct slice {
    const or_matrix *w;
    size_t out, outs, from, width;
    bool widened; /* to scratch.weights */
} slice;

/* Asks for a stored row that is widened soon. Behind the last one there is nothing, which is no fault. */
static void fetch(const slice *s, size_t stored)
{
    const size_t columns = (size_t)s->w->columns, bytes = or_dtype_bytes(s->w->dtype, s->width);
    const char *at = (const char *)s->w->data + or_dtype_bytes(s->w->dtype, stored * columns + s->from);
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch(at + i, _MM_HINT_T1);
}

/* To scratch.weights. */
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
        p->w[i] = s->widened ? (const unsigned char *)(scratch.weights + (o + i) * STRIDE)
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
    if (!s->widened) p.ahead = or_dtype_bytes(s->w->dtype, OUTS * columns);
    find_weights(s, o, outs, &p);
    void (*const run)(const piece *, size_t) =
        (s->widened ? multiply_widened : multiply_mapped[s->w->dtype])[outs == 1];
    for (size_t group = 0, row = 0; group < groups; group++) {
        const size_t rows = (n - row + groups - group - 1) / (groups - group);
        p.x = x + row * columns + s->from;
        p.y = y + row * outputs + s->out + o;
        p.sums = sums + row * outs * OR_LANES;
        run(&p, rows);
        row += rows;
    }
}

/* A slice for n rows, NEAR at a time where there are more outputs than a register block has. */
static void multiply_slice(const slice *s, const float *x, size_t n, float *y)
{
    if (s->widened) widen(s);
    const size_t near = s->outs > OUTS ? NEAR : n;
    for (size_t row = 0; row < n; row += near) {
        const size_t rows = n - row < near ? n - row : near;
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
static void multiply_tile(const or_matrix *w, const float *x, size_t n, size_t out, bool widened, float *y)
{
    const size_t columns = (size_t)w->columns, rows = (size_t)w->rows;
    const bool few = n <= MAPPED_BLOCK && n * columns <= FEW;
    const size_t end = rows - out < TILE ? rows : out + TILE, step = few ? OUTS : TILE;
    const size_t most = few && !widened ? columns : SLICE;
    for (; out < end; out += step) {
        slice s = {.w = w, .out = out, .widened = widened, .outs = end - out < step ? end - out : step};
        for (; s.from < columns; s.from += s.width) {
            s.width = columns - s.from < most ? columns - s.from : most;
            multiply_slice(&s, x, n, y);
        }
    }
}

/* A thread computes whole outputs, for up to `most` rows of x: no sum is shared. */
static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    const bool widened = is_widened(w, n);
    const size_t tiles = ((size_t)w->rows + TILE - 1) / TILE, most = widened ? BLOCK : MAPPED_BLOCK;
    const size_t blocks = (n + most - 1) / most;
#pragma omp parallel for collapse(2) schedule(static) num_threads(or_threads())
    for (size_t block = 0; block < blocks; block++) {
        for (size_t tile = 0; tile < tiles; tile++) {
            const size_t row = block * most, rows = n - row < most ? n - row : most;
            multiply_tile(w, x + row * (size_t)w->columns, rows, tile * TILE, widened,
                          y + row * (size_t)w->rows);
        }
    }
}
