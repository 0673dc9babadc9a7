/* packing_blocks.c - panels of quantised blocks: laying out, widening, rounding x, and sharing the work.
 *
 * Up to OR_GROUP rows meet a panel as one stream from memory. More meet a slice of its columns, which stays
 * in a cache meanwhile, group after group.
 */
#include "packing_blocks.h"
#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum {
    SLICE = 128, /* runs of 32 columns that many rows meet before the next ones: at most 140 KB of a panel */
    ROWS = 512   /* that meet a slice before it is left */
};

static size_t panels_of(int rows)
{
    return ((size_t)rows + OR_WIDE - 1) / OR_WIDE;
}

size_t or_panels_bytes(const or_panel_type *type, int rows, int columns)
{
    return panels_of(rows) * OR_WIDE * or_dtype_bytes(type->dtype, (size_t)columns);
}

/* ---- packing ------------------------------------------------------------------------------------------- */

/* Block by block, from output `o` of a panel or to it. */
static void pack_block(const or_panel_type *type, const unsigned char *stored, unsigned char *packed,
                       size_t o)
{
    for (size_t i = 0, at = 0; at < or_dtype_block_bytes(type->dtype); i++)
        for (const size_t size = type->elements[i].size; at < type->elements[i].end; at += size)
            memcpy(packed + OR_WIDE * at + size * o, stored + at, size);
}

static void unpack_block(const or_panel_type *type, unsigned char *stored, const unsigned char *packed,
                         size_t o)
{
    for (size_t i = 0, at = 0; at < or_dtype_block_bytes(type->dtype); i++)
        for (const size_t size = type->elements[i].size; at < type->elements[i].end; at += size)
            memcpy(stored + at, packed + OR_WIDE * at + size * o, size);
}

void or_panels_pack(const or_panel_type *type, const or_matrix *w, void *packed)
{
    const size_t rows = (size_t)w->rows, row_bytes = or_dtype_bytes(w->dtype, (size_t)w->columns);
    const size_t block_bytes = or_dtype_block_bytes(w->dtype);
#pragma omp parallel for schedule(static) num_threads(or_threads())
    for (size_t p = 0; p < panels_of(w->rows); p++) {
        unsigned char *panel = (unsigned char *)packed + p * OR_WIDE * row_bytes;
        memset(panel, 0, OR_WIDE * row_bytes);
        for (size_t o = p * OR_WIDE; o < rows && o < (p + 1) * OR_WIDE; o++) {
            const unsigned char *row =
                (const unsigned char *)w->data + (size_t)or_matrix_row(w, (int)o) * row_bytes;
            for (size_t at = 0; at < row_bytes; at += block_bytes)
                pack_block(type, row + at, panel + OR_WIDE * at, o % OR_WIDE);
        }
    }
}

/* A block is put together as it was stored, so its values are those of or_expand(). */
void or_panels_expand(const or_panel_type *type, const or_matrix *w, int output, size_t from, size_t count,
                      float *out)
{
    const size_t block = or_dtype_block(w->dtype), block_bytes = or_dtype_block_bytes(w->dtype);
    const size_t o = (size_t)output, row_bytes = or_dtype_bytes(w->dtype, (size_t)w->columns);
    const unsigned char *panel = (const unsigned char *)w->packed + o / OR_WIDE * OR_WIDE * row_bytes;
    for (size_t at = from; at < from + count; at += block) {
        unsigned char stored[256];
        unpack_block(type, stored, panel + OR_WIDE * (at / block * block_bytes), o % OR_WIDE);
        or_expand(stored, w->dtype, 0, block, out + at - from);
    }
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* A slice of the rows of x, rounded: [rows, runs of the slice], shared by all threads. */
static _Alignas(64) or_rounded rounded[ROWS * SLICE];

/* 32 columns. The greatest magnitude is found among the bits, where NaN is above all numbers. */
OR_VNNI static void round_run(const or_panel_type *type, const float *x, or_rounded *to)
{
    const __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    const __m512i most = _mm512_max_epu32((__m512i)_mm512_abs_ps(low), (__m512i)_mm512_abs_ps(high));
    const uint32_t bits = _mm512_reduce_max_epu32(most);
    float magnitude;
    memcpy(&magnitude, &bits, sizeof magnitude);
    const float d = magnitude / 127.0f;
    const __mmask16 mask = d == 0.0f ? 0 : 0xffff;
    const __m512 divisor = _mm512_set1_ps(d);
    _mm_storeu_si128((__m128i *)to->q,
                     _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_maskz_div_ps(mask, low, divisor))));
    _mm_storeu_si128((__m128i *)(to->q + 16),
                     _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_maskz_div_ps(mask, high, divisor))));
    int sums[2] = {0, 0};
    for (size_t i = 0; i < OR_BLOCK; i++) sums[i / 16] += to->q[i];
    to->d = d;
    to->d_sum = d * (float)(sums[0] + sums[1]);
    to->offset[0] = -type->zero * (type->part == 16 ? sums[0] : sums[0] + sums[1]);
    to->offset[1] = -type->zero * sums[1];
}

void or_panels_round(const or_panel_type *type, const float *x, size_t count, float *out)
{
    for (size_t from = 0; from < count; from += OR_BLOCK) {
        or_rounded run;
        round_run(type, x + from, &run);
        for (size_t i = 0; i < OR_BLOCK; i++) out[from + i] = (float)run.q[i] * run.d;
    }
}

/* Runs [from, from + runs) of panel `panel` for n rows, in groups of almost equal size. */
static void multiply_panel(const or_panel_type *type, const or_matrix *w, size_t panel, size_t from,
                           size_t runs, size_t n, float *y)
{
    const size_t outs = (size_t)w->rows, first = panel * OR_WIDE, groups = (n + OR_GROUP - 1) / OR_GROUP;
    const size_t row_bytes = or_dtype_bytes(w->dtype, (size_t)w->columns);
    or_piece p = {
        .w = (const unsigned char *)w->packed +
             OR_WIDE * (panel * row_bytes + or_dtype_bytes(w->dtype, from * OR_BLOCK)),
        .blocks = runs * OR_BLOCK / or_dtype_block(w->dtype),
        .x_stride = runs,
        .y_stride = outs,
        .first = from == 0,
    };
    for (size_t v = 0; v < 2; v++) {
        const size_t left = first + 16 * v < outs ? outs - first - 16 * v : 0;
        p.masks[v] = left < 16 ? (uint16_t)((1u << left) - 1) : 0xffff;
    }
    for (size_t group = 0, row = 0; group < groups; group++) {
        const size_t rows = (n - row + groups - group - 1) / (groups - group);
        p.x = rounded + row * runs;
        p.y = y + row * outs + first;
        type->multiply[rows](&p);
        row += rows;
    }
}

/* Rows of a block, slice by slice: all threads round, then each takes panels. */
static void multiply_rows(const or_panel_type *type, const or_matrix *w, const float *x, size_t n, float *y)
{
    const size_t columns = (size_t)w->columns, all = columns / OR_BLOCK;
    const size_t most = n <= OR_GROUP ? ROWS * SLICE / OR_GROUP / 8 * 8 : SLICE;
#pragma omp parallel num_threads(or_threads())
    for (size_t from = 0; from < all; from += most) {
        const size_t runs = all - from < most ? all - from : most;
#pragma omp for schedule(static)
        for (size_t i = 0; i < n * runs; i++)
            round_run(type, x + i / runs * columns + (from + i % runs) * OR_BLOCK, rounded + i);
#pragma omp for schedule(static)
        for (size_t panel = 0; panel < panels_of(w->rows); panel++)
            multiply_panel(type, w, panel, from, runs, n, y);
    }
}

void or_panels_matmul(const or_panel_type *type, const or_matrix *w, const float *x, size_t n, float *y)
{
    for (size_t row = 0; row < n; row += ROWS)
        multiply_rows(type, w, x + row * (size_t)w->columns, n - row < ROWS ? n - row : ROWS,
                      y + row * (size_t)w->rows);
}
#endif
