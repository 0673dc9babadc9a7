/* kernels_openblas.c - matrix products by OpenBLAS sgemm, always called with one and the same shape.
 *
 * sgemm picks its inner kernel by the shape of the call, and some of its kernels sum a row differently by the
 * row's place in the block. Both would let a request's numbers depend on its company. So W is cut into tiles
 *
 *           columns: slices of 1024
 *          +--------+--------+---+        one call:  y[8, 64] (+)= x[8, slice] tile[64, slice]^T
 *     64   |  tile  |        |   |
 *   rows   +--------+--------+---+        8 rows of x always (a last group is filled up with zeros),
 *          |        |        |   |        slices in order, the first one sets y, the others add to it
 *          +--------+--------+---+
 *
 * and the shape of a call depends on W alone. With 8 rows OpenBLAS 0.3.21 treats all rows of a call alike on
 * every core type tried (Prescott ... Cooperlake; with 12 or more, Haswell and Zen kernels do not); usable()
 * checks that on the machine at hand. (Outputs of a tile are another matter: Haswell and Zen kernels sum the
 * last ones of a tile whose rows are no multiple of 8 differently. An output's place in its tile follows from
 * the layer's shape, so that is no harm.) The small shape is also the fast one where OpenBLAS has its kernels
 * for small matrices (AVX-512), as these do not copy their operands.
 */
#include "kernels_portable.h"
#include "threads.h"

#include <cblas.h>
#include <string.h>

enum {
    GROUP = 8,         /* rows of x per call */
    TILE = 64,         /* rows of W per call */
    SLICE = 1024,      /* columns per call: whole blocks of every type */
    BLOCK = 32 * GROUP /* rows of x that meet a widened tile before the next piece of work */
};

/* Scratch of a thread: a widened tile (256 KiB), and a group that is not full. */
static _Thread_local struct {
    _Alignas(64) float tile[TILE * SLICE]; /* [tile_rows, width] */
    _Alignas(64) float x[GROUP * SLICE];
    _Alignas(64) float y[GROUP * TILE];
} scratch;

/* y[8, tile_rows] (+)= x[8, width] tile^T */
static void call(int tile_rows, int width, const float *x, int x_stride, bool add, float *y, int y_stride)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, GROUP, tile_rows, width, 1.0f, x, x_stride,
                scratch.tile, width, add ? 1.0f : 0.0f, y, y_stride);
}

/* The same for n < 8 rows: filled up with zeros, and only n rows of y are written. */
static void call_partial(size_t n, int tile_rows, int width, const float *x, int x_stride, bool add, float *y,
                         int y_stride)
{
    const size_t row_bytes = (size_t)width * sizeof *x, out_bytes = (size_t)tile_rows * sizeof *y;
    memset(scratch.x, 0, GROUP * row_bytes);
    memset(scratch.y, 0, GROUP * out_bytes);
    for (size_t i = 0; i < n; i++) {
        memcpy(scratch.x + i * (size_t)width, x + i * (size_t)x_stride, row_bytes);
        if (add) memcpy(scratch.y + i * (size_t)tile_rows, y + i * (size_t)y_stride, out_bytes);
    }
    call(tile_rows, width, scratch.x, width, add, scratch.y, tile_rows);
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * (size_t)y_stride, scratch.y + i * (size_t)tile_rows, out_bytes);
}

/* y[n, out .. out + 64) = x[n, columns] against the 64 rows of W from output `out` on; x and y begin at
 * the block of rows. A tile is widened once and met by all of them. Slices go in order, each adding to
 * what the last left in y. */
static void multiply_tile(const or_matrix *w, const float *x, size_t n, int out, float *y)
{
    const int tile_rows = w->rows - out < TILE ? w->rows - out : TILE;
    for (int from = 0; from < w->columns; from += SLICE) {
        const int width = w->columns - from < SLICE ? w->columns - from : SLICE;
        for (int i = 0; i < tile_rows; i++)
            or_expand(w->data, w->dtype,
                      (size_t)or_matrix_row(w, out + i) * (size_t)w->columns + (size_t)from, (size_t)width,
                      scratch.tile + (size_t)i * (size_t)width);
        for (size_t row = 0; row < n; row += GROUP) {
            const float *rows_x = x + row * (size_t)w->columns + from;
            float *rows_y = y + row * (size_t)w->rows + out;
            if (n - row >= GROUP)
                call(tile_rows, width, rows_x, w->columns, from > 0, rows_y, w->rows);
            else
                call_partial(n - row, tile_rows, width, rows_x, w->columns, from > 0, rows_y, w->rows);
        }
    }
}

/* A thread computes whole outputs, for up to BLOCK rows of x: no sum is shared. With more rows a tile is
 * widened once per block. */
static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    const size_t tiles = ((size_t)w->rows + TILE - 1) / TILE, blocks = (n + BLOCK - 1) / BLOCK;
#pragma omp parallel for collapse(2) schedule(static) num_threads(or_threads())
    for (size_t block = 0; block < blocks; block++) {
        for (size_t tile = 0; tile < tiles; tile++) {
            const size_t row = block * BLOCK, rows = n - row < BLOCK ? n - row : BLOCK;
            multiply_tile(w, x + row * (size_t)w->columns, rows, (int)(tile * TILE),
                          y + row * (size_t)w->rows);
        }
    }
}

/* One row of x in every place of a group, with other rows beside it: equal bits in all places? The tile
 * and that row have full mantissas, so that another order of summation shows in the last bits. Uses this
 * thread's scratch. */
static bool places_are_alike(int columns)
{
    static float x[GROUP * SLICE], y[GROUP * TILE], first[TILE];
    for (int i = 0; i < TILE * columns; i++) scratch.tile[i] = (float)((i * 7919) % 2003) / 1001.5f - 1.0f;
    for (int place = 0; place < GROUP; place++) {
        for (int row = 0; row < GROUP; row++)
            for (int i = 0; i < columns; i++)
                x[row * columns + i] = row == place ? (float)((i * 104729) % 1009) / 504.5f - 1.0f
                                                    : (float)((i + 31 * row + place) % 17) - 8.0f;
        call(TILE, columns, x, columns, false, y, TILE);
        if (place == 0) memcpy(first, y, sizeof first);
        if (memcmp(first, y + place * TILE, sizeof first) != 0) return false;
    }
    return true;
}

/* A full slice; a small power of two; a width that is no multiple of a vector. */
static bool usable(void)
{
    openblas_set_num_threads(1); /* the threads are ours: each calls sgemm for its own tiles */
    return places_are_alike(SLICE) && places_are_alike(128) && places_are_alike(100);
}

const or_kernels or_kernels_openblas = {
    .name = "openblas",
    .needs = "an OpenBLAS that treats all rows of a call alike on this processor",
    .usable = usable,
    .matmul = matmul,
    .attention = or_portable_attention,
    .rms_norm = or_portable_rms_norm,
    .layer_norm = or_portable_layer_norm,
    .rope = or_portable_rope,
    .silu_mul = or_portable_silu_mul,
    .top = or_portable_top,
};
