/* dot_blocks.h - products of packed blocks (packing_blocks.h), built once for each type. Its file defines
 *
 *   TYPE, BYTES                           of the weights, and of a stored block
 *   elements                              of it, see or_panel_type
 *   RUNS                                  of 32 columns in a stored block
 *   PARTS                                 integer sums of a run: 1, or 2 of 16 columns
 *   ZERO                                  what numbers() is too high by
 *   MINIMA                                1 where weights have minima, else 0
 *   ASKING                                the fewest rows that ask for weights ahead of their use; with fewer
 *                                         the processor's own prefetching is faster, as measured on Zen 4
 *   numbers(block, run, quad, half)       four columns of 16 outputs, unsigned
 *   scale(block, run, part, half)         of 16 outputs
 *   minimum(block, run, half)             of 16 outputs, where there are any
 *
 * and includes this file, which gives the functions of its or_packing. Names that it defines are the file's
 * own, so there is no guard.
 *
 * Order of summation. An output of a row has one float32 sum. The parts are added to it in the order of the
 * columns: with i the part's integer sum, which is exact, t = i * scale is rounded, and sum becomes
 * fma(t, x.d, sum). Where weights have minima, it then becomes fma(-minimum, x.d_sum, sum), for each run.
 * Sums that wait between two slices of the columns wait as float32, without rounding. So an element's bits
 * depend on its weights and its row alone.
 *
 *                    32 outputs: w, 2 vectors
 *                   +------------------------
 *     up to 6      |  integer[6][2], sum[6][2]       a step of four columns takes 2 vectors of weights out of
 *     rows: x      |                                 the block, and 6 words of x, for 12 dot products
 *
 * Weights are taken out of the blocks in registers, for any number of rows: with 6 of them that runs beside
 * the dot products, on units which these leave free.
 */
enum { QUADS = OR_BLOCK / 4 / PARTS }; /* of columns in a part */

/* The integer sums of a part: all of its columns. */
OR_INLINE OR_VNNI void add_numbers(__m512i sum[][2], const unsigned char *block, int run, int part,
                                   const or_rounded *x, size_t x_stride, size_t rows)
{
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) sum[r][0] = sum[r][1] = _mm512_set1_epi32(x[r * x_stride].offset[part]);
#pragma GCC unroll 8
    for (int quad = part * QUADS; quad < (part + 1) * QUADS; quad++) {
        const __m512i w[2] = {numbers(block, run, quad, 0), numbers(block, run, quad, 1)};
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, x[r * x_stride].q + 4 * quad, sizeof four);
            const __m512i columns = _mm512_set1_epi32(four);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], w[0], columns);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], w[1], columns);
        }
    }
}

/* A run. `rows` is constant where these are built in. */
OR_INLINE OR_VNNI void add_run(__m512 sum[][2], const unsigned char *block, int run, const or_rounded *x,
                               size_t x_stride, size_t rows)
{
#pragma GCC unroll 2
    for (int part = 0; part < PARTS; part++) {
        __m512i integer[OR_GROUP][2];
        add_numbers(integer, block, run, part, x, x_stride, rows);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const __m512 d = scale(block, run, part, half);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; r++) {
                const __m512 t = _mm512_mul_ps(_mm512_cvtepi32_ps(integer[r][half]), d);
                sum[r][half] = _mm512_fmadd_ps(t, _mm512_set1_ps(x[r * x_stride].d), sum[r][half]);
            }
        }
    }
#if MINIMA
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __m512 m = minimum(block, run, half);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++)
            sum[r][half] = _mm512_fnmadd_ps(m, _mm512_set1_ps(x[r * x_stride].d_sum), sum[r][half]);
    }
#endif
}

/* Asks for bytes that come some time after a run's share of its block; nothing faults behind the end. The far
 * ones go to the second cache, since the first loses them again. The runs of a super-block do not meet its
 * bytes in their order, which the processor cannot foresee: there the near ones are asked for, too. */
OR_INLINE OR_VNNI void ask_ahead(const unsigned char *block, int run)
{
    enum { LINES = (BYTES * OR_WIDE / 64 + RUNS - 1) / RUNS };
#pragma GCC unroll 32
    for (int line = 0; line < LINES; line++) {
        const char *at = (const char *)block + (run * LINES + line) * 64;
        _mm_prefetch(at + 8192, _MM_HINT_T1);
        if (RUNS > 1) _mm_prefetch(at + 2048, _MM_HINT_T0);
    }
}

/* A register block; `rows` is constant where this is built in. */
OR_INLINE OR_VNNI void multiply(const or_piece *p, size_t rows)
{
    __m512 sum[OR_GROUP][2];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++)
            sum[r][v] = p->first ? _mm512_setzero_ps()
                                 : _mm512_maskz_loadu_ps(p->masks[v], p->y + r * p->y_stride + 16 * v);
    }
    const unsigned char *block = p->w;
    const or_rounded *x = p->x;
    const size_t x_stride = p->x_stride;
    for (size_t b = 0; b < p->blocks; b++, block += BYTES * OR_WIDE) {
#ifndef OFFRAMP_SANITIZE /* whose checks would make minutes of compiling of it */
#pragma GCC unroll 8
#endif
        for (int run = 0; run < RUNS; run++, x++) {
            if (rows >= ASKING) ask_ahead(block, run);
            add_run(sum, block, run, x, x_stride, rows);
            __asm__ volatile("" ::: "memory"); /* or the next run's weights are loaded already, and spilled */
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; v++)
            _mm512_mask_storeu_ps(p->y + r * p->y_stride + 16 * v, p->masks[v], sum[r][v]);
    }
}

#define MULTIPLY(rows)                                                                                       \
    OR_VNNI static void multiply_##rows(const or_piece *p)                                                   \
    {                                                                                                        \
        multiply(p, rows);                                                                                   \
    }
MULTIPLY(1)
MULTIPLY(2)
MULTIPLY(3)
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)

static const or_panel_type type = {
    .dtype = TYPE,
    .zero = ZERO,
    .part = OR_BLOCK / PARTS,
    .elements = elements,
    .multiply = {NULL, multiply_1, multiply_2, multiply_3, multiply_4, multiply_5, multiply_6},
};

static size_t bytes(int rows, int columns)
{
    return or_panels_bytes(&type, rows, columns);
}

static void pack(const or_matrix *w, void *packed)
{
    or_panels_pack(&type, w, packed);
}

static void expand(const or_matrix *w, int output, size_t from, size_t count, float *out)
{
    or_panels_expand(&type, w, output, from, count, out);
}

static void round_columns(const float *x, size_t count, float *out)
{
    or_panels_round(&type, x, count, out);
}

static void matmul(const or_matrix *w, const float *x, size_t n, float *y)
{
    or_panels_matmul(&type, w, x, n, y);
}
