/* attention.c - causal attention over a sequence's keys and values, and rotary positions.
 *
 * A (span, head) pair is one piece of work, done by one thread: for each of its rows, at position i,
 *   s_j = q_i . k_j / sqrt(head_dim), j = 0..i      p = softmax(s)      out_i = sum_j p_j v_j
 * (arXiv 1706.03762, section 3.2.1) with the sum over j in order. Nothing depends on which other requests
 * are in the wave, nor on which of a sequence's positions were computed together.
 *
 * Query heads share keys and values in groups of n_heads / n_kv_heads neighbours (arXiv 2305.13245).
 */
#include "kernels_portable.h"
#include "head_blocks.h"
#include "threads.h"
#include "vector.h"

#include <math.h>

size_t or_span_longest(const or_span *spans, size_t n_spans)
{
    size_t longest = 0;
    for (size_t s = 0; s < n_spans; s++) {
        const size_t positions = (size_t)spans[s].position + (size_t)spans[s].count;
        if (positions > longest) longest = positions;
    }
    return longest;
}

size_t or_span_most_rows(const or_span *spans, size_t n_spans)
{
    size_t most = 0;
    for (size_t s = 0; s < n_spans; s++)
        if ((size_t)spans[s].count > most) most = (size_t)spans[s].count;
    return most;
}

/* A row of scores, in whole blocks. */
static size_t score_floats(size_t longest)
{
    return or_kv_pages(longest) * OR_PAGE;
}

size_t or_attention_scratch_of_thread(const or_attention_shape *shape, size_t longest)
{
    const size_t head_dim = (size_t)shape->head_dim;
    return score_floats(longest) * head_dim + OR_ATTENTION_ROWS * (score_floats(longest) + OR_LANES) +
           OR_ATTENTION_ROWS * ((head_dim + OR_LANES - 1) / OR_LANES * OR_LANES);
}

/* And what is left to where a thread's part may begin. */
size_t or_attention_scratch(const or_attention_shape *shape, size_t longest, int threads)
{
    return or_attention_scratch_of_thread(shape, longest) * (size_t)threads + OR_LANES;
}

/* scores[j] = q . k_j * scale for j < n, summed over head_dim in order; also for the rest of the last block,
 * whatever its slots hold. */
OR_CLONES static void score_row(const or_head_blocks *head, const float *q, size_t head_dim, size_t n,
                                float scale, float *scores)
{
    for (size_t from = 0; from < n; from += OR_PAGE) {
        const float *keys = or_block_keys(head, from / OR_PAGE);
        float sums[OR_PAGE] = {0};
        for (size_t i = 0; i < head_dim; i++)
            for (size_t j = 0; j < OR_PAGE; j++) sums[j] += q[i] * keys[i * OR_PAGE + j];
        for (size_t j = 0; j < OR_PAGE; j++) scores[from + j] = sums[j] * scale;
    }
}

/* scores = e^(scores - max); returns their sum, in lanes. The greatest becomes 1, so the sum is at least 1
 * and nothing overflows. n is the query's position + 1, so the order of the sum is the request's own
 * affair. */
OR_CLONES static float exponentiate(float *scores, size_t n)
{
    float max = scores[0], lanes[OR_LANES] = {0};
    for (size_t j = 1; j < n; j++) max = scores[j] > max ? scores[j] : max;
    for (size_t j = 0; j < n; j++) scores[j] = or_exp(scores[j] - max);
    size_t j = 0;
    for (; j + OR_LANES <= n; j += OR_LANES)
        for (size_t l = 0; l < OR_LANES; l++) lanes[l] += scores[j + l];
    for (size_t l = 0; j + l < n; l++) lanes[l] += scores[j + l];
    return or_lanes_sum(lanes);
}

enum { MIXED = 2 * OR_LANES }; /* elements whose sums are in registers at a time */

/* Elements [i, i + width) of out = sum_j scores[j] * v_j, over j < n in order; width <= MIXED. */
OR_INLINE void mix_lanes(const or_head_blocks *head, const float *scores, size_t n, size_t i, size_t width,
                         float *out)
{
    float lanes[MIXED] = {0};
    for (size_t from = 0; from < n; from += OR_PAGE) {
        size_t stride;
        const float *v = or_block_values(head, from / OR_PAGE, &stride) + i;
        const size_t end = n - from < OR_PAGE ? n - from : OR_PAGE;
        for (size_t j = 0; j < end; j++)
            for (size_t l = 0; l < width; l++) lanes[l] += scores[from + j] * v[j * stride + l];
    }
    for (size_t l = 0; l < width; l++) out[i + l] = lanes[l];
}

/* out[head_dim] = sum_j scores[j] / sum * v_j. The scores become shares. */
OR_CLONES static void mix_values(const or_head_blocks *head, float *scores, float sum, size_t head_dim,
                                 size_t n, float *out)
{
    for (size_t j = 0; j < n; j++) scores[j] /= sum;
    size_t i = 0;
    for (; i + MIXED <= head_dim; i += MIXED) mix_lanes(head, scores, n, i, MIXED, out);
    for (; i + OR_LANES <= head_dim; i += OR_LANES) mix_lanes(head, scores, n, i, OR_LANES, out);
    if (i < head_dim) mix_lanes(head, scores, n, i, head_dim - i, out);
}

/* q and out begin at the head in the span's first row; rows are `stride` floats apart. */
static void attend_span(const or_head_blocks *head, const or_span *span, size_t head_dim, const float *q,
                        size_t stride, float *out, float *scores)
{
    const float scale = 1.0f / sqrtf((float)head_dim);
    for (size_t i = 0; i < (size_t)span->count; i++) {
        const size_t n = (size_t)span->position + i + 1;
        score_row(head, q + i * stride, head_dim, n, scale, scores);
        const float sum = exponentiate(scores, n);
        mix_values(head, scores, sum, head_dim, n, out + i * stride);
    }
}

/* The work for a head grows with the positions that a span's rows attend to, and spans differ: hence the
 * dynamic schedule. Which thread takes a head does not matter, as a thread's scratch is written before it is
 * used. */
void or_portable_attention(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                           const or_kv_layer *kv, const float *q, const float *k, const float *v, float *out,
                           float *scratch)
{
    const size_t head_dim = (size_t)shape->head_dim, stride = (size_t)shape->n_heads * head_dim;
    const size_t group = (size_t)(shape->n_heads / shape->n_kv_heads);
    const size_t longest = or_span_longest(spans, n_spans);

#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(or_threads())
    for (size_t s = 0; s < n_spans; s++) {
        for (size_t head = 0; head < (size_t)shape->n_heads; head++) {
            float *scores =
                scratch + or_attention_scratch_of_thread(shape, longest) * (size_t)or_thread_number();
            const or_head_blocks blocks = or_head_blocks_of(shape, &spans[s], (size_t)spans[s].count, kv, k,
                                                            v, head / group, scores + score_floats(longest));
            const size_t at = (size_t)spans[s].first * stride + head * head_dim;
            attend_span(&blocks, &spans[s], head_dim, q + at, stride, out + at, scores);
        }
    }
}

/* (a, b) -> (a cos - b sin, b cos + a sin) for the pairs of one head. RoFormer pairs neighbours; here a
 * pair is half a head apart, which is the same with the rows of the weights in another order (see
 * compute.h). */
OR_CLONES static void rotate(float *x, size_t half, const float *cos, const float *sin)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i] + a * sin[i];
    }
}

/* The heads of row i of a span, at position `position` + i, whose row of the tables they take. */
static void rotate_row(const or_span *span, size_t i, size_t n_heads, size_t head_dim, const float *cos,
                       const float *sin, float *x)
{
    const size_t half = head_dim / 2, angle = ((size_t)span->position + i) * half;
    float *row = x + ((size_t)span->first + i) * n_heads * head_dim;
    for (size_t head = 0; head < n_heads; head++)
        rotate(row + head * head_dim, half, cos + angle, sin + angle);
}

void or_portable_rope(const or_span *spans, size_t n_spans, int n_heads, int head_dim, const float *cos,
                      const float *sin, float *x)
{
    enum { ROWS = 16 }; /* that a thread takes at a time */
    const size_t most = or_span_most_rows(spans, n_spans), heads = (size_t)n_heads, dim = (size_t)head_dim;
#pragma omp parallel for collapse(2) schedule(dynamic)                                                       \
    num_threads(or_threads()) if (n_spans * most * heads * dim > OR_SHARED)
    for (size_t s = 0; s < n_spans; s++) {
        for (size_t from = 0; from < most; from += ROWS) {
            const size_t count = (size_t)spans[s].count, end = count < from + ROWS ? count : from + ROWS;
            for (size_t i = from; i < end; i++) rotate_row(&spans[s], i, heads, dim, cos, sin, x);
        }
    }
}
