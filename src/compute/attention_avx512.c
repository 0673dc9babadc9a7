/* attention_avx512.c - causal attention by AVX-512: rows of queries meet a page of keys, then of values,
 * while it is in the first cache.
 *
 * The query heads of a group share keys and values (arXiv 2305.13245), so the rows that meet a KV head are
 * the span's positions times the heads of its group: row m is head m % group at the span's position
 * m / group. A sequence that decodes one token so still gives blocks of several rows.
 *
 *                       a page of keys              all pages           a page of values
 *                       head_dim x 32               up to n             32 x head_dim, 32 columns at a time
 *                     +---------------             +--------           +------------
 *   up to 12 rows:   |  scores[12][32]    then    |  softmax   then   |  sums[12][32]
 *   q                |                            |                   |     24 of 32 registers are sums
 *
 * Order of summation, of each row by itself; a row attends to the n positions 0 .. n - 1:
 *   s_j    = sum over head_dim in order, each product added by a fused multiply-add
 *   e_j    = 2^((s_j - max) * c), c = log2(e) / sqrt(head_dim) in floats, by exp2_lanes(); max is exact
 *   total  = 16 lanes, lane i adding e_i, e_i+16, ... in this order; then pairwise, 16 -> 8 -> 4 -> 2 -> 1
 *   out    = (sum over j in order, each e_j v_j added by a fused multiply-add) / total
 * Sums that wait between two pages wait without rounding. So the bits depend on the row's own q and its
 * sequence's keys and values alone, not on the rows it is computed with, on pages or on threads. They differ
 * by rounding from those of attention.c, which fuses nothing.
 */
#include "head_blocks.h"
#include "kernels_portable.h"
#include "threads.h"
#include "vector.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>

/* Only code that runs after usable() of the sets said yes. */
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,fma,f16c,avx2")))

enum {
    ROWS = OR_ATTENTION_ROWS,
    VECTORS = 2, /* of a row, whose sums are in registers at a time */
    COLUMNS = VECTORS * OR_LANES,
    WORK = 8 * ROWS /* rows of a piece of work: they share the keys that are brought into blocks */
};
_Static_assert((int)OR_PAGE == (int)COLUMNS, "a register block of scores is a page wide");

/* A thread's part of the scratch. */
typedef struct room {
    float *scores; /* [ROWS, score_stride] */
    float *rows;   /* [ROWS, row_stride]: the queries of a block, later its sums */
    float *keys;   /* of rows that are in no pages, in blocks */
    size_t score_stride, row_stride;
} room;

/* Rows of queries with one KV head. */
typedef struct block {
    or_head_blocks head;
    size_t head_dim, rows;
    size_t n[ROWS]; /* positions a row attends to; not falling */
} block;

/* scores[ROWS, 32] of a page, not yet scaled; also of slots that hold nothing. `next` is the page after it,
 * which is asked for: it lies anywhere (measured on Zen 4, decoding: 1.6 times as fast as without). */
OR_INLINE AVX512 void score_page(const float *keys, const float *next, size_t head_dim, const room *r,
                                 size_t rows, float *scores)
{
    __m512 sum[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++) sum[m][0] = sum[m][1] = _mm512_setzero_ps();
    for (size_t i = 0; i < head_dim; i++) {
        const __m512 k0 = _mm512_loadu_ps(keys + i * OR_PAGE);
        const __m512 k1 = _mm512_loadu_ps(keys + i * OR_PAGE + OR_LANES);
        _mm_prefetch((const char *)(next + i * OR_PAGE), _MM_HINT_T1);
        _mm_prefetch((const char *)(next + i * OR_PAGE + OR_LANES), _MM_HINT_T1);
#pragma GCC unroll 12
        for (size_t m = 0; m < rows; m++) {
            const __m512 q = _mm512_set1_ps(r->rows[m * r->row_stride + i]);
            sum[m][0] = _mm512_fmadd_ps(q, k0, sum[m][0]);
            sum[m][1] = _mm512_fmadd_ps(q, k1, sum[m][1]);
        }
    }
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++) {
        _mm512_storeu_ps(scores + m * r->score_stride, sum[m][0]);
        _mm512_storeu_ps(scores + m * r->score_stride + OR_LANES, sum[m][1]);
    }
}

OR_INLINE AVX512 __mmask16 first_lanes(size_t n)
{
    return n >= OR_LANES ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* Up to COLUMNS columns of sums += e_j v_j, for the positions of a page from `from` on; values, whose rows are
 * `stride` apart, and sums begin at the columns. The last positions are not those of all rows. */
OR_INLINE AVX512 void mix_page(const block *b, size_t from, const float *values, const float *next,
                               size_t stride, size_t columns, const room *r, size_t rows, float *sums)
{
    const size_t least = b->n[0] > from ? b->n[0] - from : 0, most = b->n[b->rows - 1] - from;
    const size_t all = least < OR_PAGE ? least : OR_PAGE, end = most < OR_PAGE ? most : OR_PAGE;
    const __mmask16 mask0 = first_lanes(columns);
    const __mmask16 mask1 = columns > OR_LANES ? first_lanes(columns - OR_LANES) : 0;
    const float *shares = r->scores + from;
    __m512 sum[ROWS][VECTORS];
    size_t j = 0;
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++) {
        sum[m][0] = _mm512_maskz_loadu_ps(mask0, sums + m * r->row_stride);
        sum[m][1] = _mm512_maskz_loadu_ps(mask1, sums + m * r->row_stride + OR_LANES);
    }
    for (; j < all; j++) {
        const __m512 v0 = _mm512_maskz_loadu_ps(mask0, values + j * stride);
        const __m512 v1 = _mm512_maskz_loadu_ps(mask1, values + j * stride + OR_LANES);
        _mm_prefetch((const char *)(next + j * stride), _MM_HINT_T1);
        _mm_prefetch((const char *)(next + j * stride + OR_LANES), _MM_HINT_T1);
#pragma GCC unroll 12
        for (size_t m = 0; m < rows; m++) {
            const __m512 e = _mm512_set1_ps(shares[m * r->score_stride + j]);
            sum[m][0] = _mm512_fmadd_ps(e, v0, sum[m][0]);
            sum[m][1] = _mm512_fmadd_ps(e, v1, sum[m][1]);
        }
    }
    for (; j < end; j++) {
        const __m512 v0 = _mm512_maskz_loadu_ps(mask0, values + j * stride);
        const __m512 v1 = _mm512_maskz_loadu_ps(mask1, values + j * stride + OR_LANES);
#pragma GCC unroll 12
        for (size_t m = 0; m < rows; m++) {
            const __mmask16 attends = from + j < b->n[m] ? 0xffff : 0;
            const __m512 e = _mm512_set1_ps(shares[m * r->score_stride + j]);
            sum[m][0] = _mm512_mask3_fmadd_ps(e, v0, sum[m][0], attends);
            sum[m][1] = _mm512_mask3_fmadd_ps(e, v1, sum[m][1], attends);
        }
    }
#pragma GCC unroll 12
    for (size_t m = 0; m < rows; m++) {
        _mm512_mask_storeu_ps(sums + m * r->row_stride, mask0, sum[m][0]);
        _mm512_mask_storeu_ps(sums + m * r->row_stride + OR_LANES, mask1, sum[m][1]);
    }
}

/* The scores and the sums of a block against all its pages; `rows` is a constant where this is built in. */
OR_INLINE AVX512 void score_pages(const block *b, const room *r, size_t rows)
{
    const size_t pages = or_kv_pages(b->n[b->rows - 1]);
    for (size_t page = 0; page < pages; page++)
        score_page(or_block_keys(&b->head, page), or_block_keys(&b->head, page + 1 < pages ? page + 1 : page),
                   b->head_dim, r, rows, r->scores + page * OR_PAGE);
}

OR_INLINE AVX512 void mix_pages(const block *b, const room *r, size_t rows)
{
    const size_t pages = or_kv_pages(b->n[b->rows - 1]);
    for (size_t page = 0; page < pages; page++) {
        size_t stride, other; /* before rows the next block's may be another: then less is prefetched */
        const float *values = or_block_values(&b->head, page, &stride);
        const float *next = page + 1 < pages ? or_block_values(&b->head, page + 1, &other) : values;
        for (size_t i = 0; i < b->head_dim; i += COLUMNS)
            mix_page(b, page * OR_PAGE, values + i, next + i, stride, b->head_dim - i, r, rows, r->rows + i);
    }
}

/* Both for a number of rows. */
#define FOR_ROWS(rows)                                                                                       \
    AVX512 static void score_##rows(const block *b, const room *r)                                           \
    {                                                                                                        \
        score_pages(b, r, rows);                                                                             \
    }                                                                                                        \
    AVX512 static void mix_##rows(const block *b, const room *r)                                             \
    {                                                                                                        \
        mix_pages(b, r, rows);                                                                               \
    }
FOR_ROWS(1)
FOR_ROWS(2)
FOR_ROWS(3)
FOR_ROWS(4)
FOR_ROWS(5)
FOR_ROWS(6)
FOR_ROWS(7)
FOR_ROWS(8)
FOR_ROWS(9)
FOR_ROWS(10)
FOR_ROWS(11)
FOR_ROWS(12)

static void (*const score_table[])(const block *, const room *) = {
    NULL,    score_1, score_2, score_3,  score_4,  score_5,  score_6,
    score_7, score_8, score_9, score_10, score_11, score_12,
};
static void (*const mix_table[])(const block *, const room *) = {
    NULL, mix_1, mix_2, mix_3, mix_4, mix_5, mix_6, mix_7, mix_8, mix_9, mix_10, mix_11, mix_12,
};

/* 2^x for x <= 0, to about 2 units in the last place; 2^0 is 1, and what is less than floats reach is 0.
 * x = n + r, n whole, |r| <= 1/2; 2^r by a polynomial of degree 5 that is 1 at 0 and elsewhere within 1.1e-7
 * of 2^r, found by reweighted least squares of the relative error. NaN stays NaN. */
OR_INLINE AVX512 __m512 exp2_lanes(__m512 x)
{
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.3264763402e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.6715129912e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5507335812e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022242427e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314700365e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

/* The lanes added pairwise, 16 -> 8 -> 4 -> 2 -> 1. */
OR_INLINE AVX512 float add_lanes(__m512 a)
{
    a = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0xee));
    a = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0x55));
    a = _mm512_add_ps(a, _mm512_permute_ps(a, 0xee));
    return _mm512_cvtss_f32(_mm512_add_ps(a, _mm512_permute_ps(a, 0x55)));
}

/* The greatest of n scores, in any order: no rounding. A NaN is not it, but stays in what follows. */
OR_INLINE AVX512 float greatest(const float *scores, size_t n)
{
    __m512 max[2];
    max[0] = max[1] = _mm512_set1_ps(-INFINITY);
    for (size_t j = 0; j < n; j += OR_PAGE) {
        for (size_t v = 0; v < 2; v++) {
            const size_t at = j + v * OR_LANES;
            const __mmask16 mask = at < n ? first_lanes(n - at) : 0;
            max[v] = _mm512_mask_max_ps(max[v], mask, _mm512_maskz_loadu_ps(mask, scores + at), max[v]);
        }
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(max[0], max[1]));
}

/* scores = 2^((scores - max) * c); returns their sum. */
AVX512 static float exponentiate(float *scores, size_t n, float c)
{
    const __m512 max = _mm512_set1_ps(greatest(scores, n)), factor = _mm512_set1_ps(c);
    __m512 lanes = _mm512_setzero_ps();
    for (size_t j = 0; j < n; j += OR_LANES) {
        const __mmask16 mask = first_lanes(n - j);
        const __m512 s = _mm512_loadu_ps(scores + j);
        const __m512 e = exp2_lanes(_mm512_mul_ps(_mm512_sub_ps(s, max), factor));
        lanes = _mm512_mask_add_ps(lanes, mask, lanes, e);
        _mm512_storeu_ps(scores + j, e);
    }
    return add_lanes(lanes);
}

/* to[n] = from[n] / by */
AVX512 static void divide_row(const float *from, size_t n, float by, float *to)
{
    for (size_t i = 0; i < n; i += OR_LANES) {
        const __mmask16 mask = first_lanes(n - i);
        const __m512 sum = _mm512_maskz_loadu_ps(mask, from + i);
        _mm512_mask_storeu_ps(to + i, mask, _mm512_div_ps(sum, _mm512_set1_ps(by)));
    }
}

/* What all heads of a group do with a span: q and out begin at the group in the span's first row. */
typedef struct group_rows {
    const or_span *span;
    const float *q;
    float *out;
    size_t group, stride; /* heads; floats from a position to the next */
} group_rows;

static size_t row_at(const group_rows *g, size_t m, size_t head_dim)
{
    return m / g->group * g->stride + m % g->group * head_dim;
}

/* Rows [first, first + b->rows). */
static void attend_block(const group_rows *g, size_t first, block *b, const room *r)
{
    const size_t head_dim = b->head_dim;
    const float c = 1.44269504088896341f / sqrtf((float)head_dim);
    for (size_t m = 0; m < b->rows; m++) {
        b->n[m] = (size_t)g->span->position + (first + m) / g->group + 1;
        memcpy(r->rows + m * r->row_stride, g->q + row_at(g, first + m, head_dim), head_dim * sizeof *g->q);
    }
    score_table[b->rows](b, r);
    float totals[ROWS];
    for (size_t m = 0; m < b->rows; m++)
        totals[m] = exponentiate(r->scores + m * r->score_stride, b->n[m], c);
    memset(r->rows, 0, b->rows * r->row_stride * sizeof *r->rows);
    mix_table[b->rows](b, r);
    for (size_t m = 0; m < b->rows; m++)
        divide_row(r->rows + m * r->row_stride, head_dim, totals[m], g->out + row_at(g, first + m, head_dim));
}

/* Rows [first, end), in blocks of almost equal size. */
static void attend_rows(const group_rows *g, const or_head_blocks *head, size_t head_dim, size_t first,
                        size_t end, const room *r)
{
    const size_t blocks = (end - first + ROWS - 1) / ROWS;
    for (size_t i = 0; i < blocks; i++) {
        const size_t left = blocks - i;
        block b = {.head = *head, .head_dim = head_dim, .rows = (end - first + left - 1) / left};
        attend_block(g, first, &b, r);
        first += b.rows;
    }
}

/* This thread's. The rows of scores are not a power of two apart, which would put them all in the same places
 * of a cache. */
static room make_room(const or_attention_shape *shape, size_t longest, float *scratch)
{
    room r = {.score_stride = or_kv_pages(longest) * OR_PAGE + OR_LANES};
    r.row_stride = ((size_t)shape->head_dim + OR_LANES - 1) / OR_LANES * OR_LANES;
    float *base = scratch + (64 - (uintptr_t)scratch % 64) % 64 / sizeof *scratch;
    r.keys = base + or_attention_scratch_of_thread(shape, longest) * (size_t)or_thread_number();
    r.rows = r.keys + or_kv_pages(longest) * OR_PAGE * (size_t)shape->head_dim;
    r.scores = r.rows + ROWS * r.row_stride;
    return r;
}

/* Work differs with the positions that rows attend to: hence the dynamic schedule. */
void or_avx512_attention(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                         const or_kv_layer *kv, const float *q, const float *k, const float *v, float *out,
                         float *scratch)
{
    const size_t head_dim = (size_t)shape->head_dim, group = (size_t)(shape->n_heads / shape->n_kv_heads);
    const size_t longest = or_span_longest(spans, n_spans), stride = (size_t)shape->n_heads * head_dim;
    const size_t most = or_span_most_rows(spans, n_spans) * group;

#pragma omp parallel for collapse(3) schedule(dynamic) num_threads(or_threads())
    for (size_t s = 0; s < n_spans; s++) {
        for (size_t kv_head = 0; kv_head < (size_t)shape->n_kv_heads; kv_head++) {
            for (size_t first = 0; first < most; first += WORK) {
                const size_t rows = (size_t)spans[s].count * group;
                if (first >= rows) continue;
                const size_t end = rows - first < WORK ? rows : first + WORK;
                const room r = make_room(shape, longest, scratch);
                const or_head_blocks head =
                    or_head_blocks_of(shape, &spans[s], (end - 1) / group + 1, kv, k, v, kv_head, r.keys);
                const size_t at = (size_t)spans[s].first * stride + kv_head * group * head_dim;
                const group_rows g = {&spans[s], q + at, out + at, group, stride};
                attend_rows(&g, &head, head_dim, first, end, &r);
            }
        }
    }
}
#endif
