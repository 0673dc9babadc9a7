/* attention.c - causal attention over whole prompts, and rotary positions.
 *
 * A (request, head) pair is one piece of work, done by one thread: for each of its positions i
 *   s_j = q_i . k_j / sqrt(head_dim), j = 0..i      p = softmax(s)      out_i = sum_j p_j v_j
 * (arXiv 1706.03762, section 3.2.1) with the sum over j in order. Nothing depends on which other requests
 * are in the wave.
 *
 * Query heads share keys and values in groups of n_heads / n_kv_heads neighbours (arXiv 2305.13245).
 */
#include "kernels_portable.h"
#include "threads.h"
#include "vector.h"

#include <math.h>

size_t or_span_longest(const or_span *spans, size_t n_spans)
{
    size_t longest = 0;
    for (size_t s = 0; s < n_spans; s++)
        if ((size_t)spans[s].count > longest) longest = (size_t)spans[s].count;
    return longest;
}

/* Per thread: a row of scores, and the keys of one head transposed. */
static size_t scratch_per_thread(const or_attention_shape *shape, size_t longest)
{
    return longest * (1 + (size_t)shape->head_dim);
}

size_t or_attention_scratch(const or_attention_shape *shape, size_t longest, int threads)
{
    return scratch_per_thread(shape, longest) * (size_t)threads;
}

/* out[head_dim, n] = the keys of one head; k rows are `stride` floats apart. So that the sums over
 * head_dim of all keys go side by side in vectors. */
static void transpose(const float *k, size_t stride, size_t head_dim, size_t n, float *out)
{
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < head_dim; i++) out[i * n + j] = k[j * stride + i];
}

/* scores[j] = q . k_j * scale for j < n, summed over head_dim in order; keys [head_dim, stride] */
OR_CLONES static void score_row(const float *q, const float *keys, size_t stride, size_t head_dim, size_t n,
                                float scale, float *scores)
{
    for (size_t j = 0; j < n; j++) scores[j] = 0.0f;
    for (size_t i = 0; i < head_dim; i++) {
        /* [n], element i of every key */
        const float *key = keys + i * stride;
        const float factor = q[i];
        for (size_t j = 0; j < n; j++) scores[j] += factor * key[j];
    }
    for (size_t j = 0; j < n; j++) scores[j] *= scale;
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

/* out = sum_j scores[j] / sum * v_j, over j in order; OR_LANES elements at a time stay in a register. The
 * scores become shares. */
OR_CLONES static void mix_values(float *scores, float sum, const float *v, size_t stride, size_t head_dim,
                                 size_t n, float *out)
{
    for (size_t j = 0; j < n; j++) scores[j] /= sum;
    size_t i = 0;
    for (; i + OR_LANES <= head_dim; i += OR_LANES) {
        float lanes[OR_LANES] = {0};
        for (size_t j = 0; j < n; j++)
            for (size_t l = 0; l < OR_LANES; l++) lanes[l] += scores[j] * v[j * stride + i + l];
        for (size_t l = 0; l < OR_LANES; l++) out[i + l] = lanes[l];
    }
    for (; i < head_dim; i++) {
        out[i] = 0.0f;
        for (size_t j = 0; j < n; j++) out[i] += scores[j] * v[j * stride + i];
    }
}

/* The work for a head grows with the square of the span's length, and spans differ: hence the dynamic
 * schedule. Which thread takes a head does not matter, as a thread's scratch is written before it is read. */
void or_portable_attention(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                           const float *q, const float *k, const float *v, float *out, float *scores)
{
    const size_t head_dim = (size_t)shape->head_dim;
    const size_t q_stride = (size_t)shape->n_heads * head_dim,
                 kv_stride = (size_t)shape->n_kv_heads * head_dim;
    const size_t group = (size_t)(shape->n_heads / shape->n_kv_heads);
    const size_t longest = or_span_longest(spans, n_spans);
    const float scale = 1.0f / sqrtf((float)head_dim);

#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(or_threads())
    for (size_t s = 0; s < n_spans; s++) {
        for (size_t head = 0; head < (size_t)shape->n_heads; head++) {
            float *row = scores + scratch_per_thread(shape, longest) * (size_t)or_thread_number();
            float *transposed = row + longest; /* [head_dim, n] */
            const size_t first = (size_t)spans[s].first, n = (size_t)spans[s].count;
            /* [n, head_dim] of the group's head, rows kv_stride apart */
            const float *keys = k + first * kv_stride + head / group * head_dim;
            const float *values = v + first * kv_stride + head / group * head_dim;
            transpose(keys, kv_stride, head_dim, n, transposed);
            for (size_t i = 0; i < n; i++) {
                const size_t at = (first + i) * q_stride + head * head_dim;
                score_row(q + at, transposed, n, head_dim, i + 1, scale, row);
                float sum = exponentiate(row, i + 1);
                mix_values(row, sum, values, kv_stride, head_dim, i + 1, out + at);
            }
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

/* Row i of a span is position i of its request, so it takes row i of the tables. */
void or_portable_rope(const or_span *spans, size_t n_spans, int n_heads, int head_dim, const float *cos,
                      const float *sin, float *x)
{
    const size_t half = (size_t)head_dim / 2, stride = (size_t)n_heads * (size_t)head_dim;
#pragma omp parallel for schedule(dynamic) num_threads(or_threads())
    for (size_t s = 0; s < n_spans; s++)
        for (size_t i = 0; i < (size_t)spans[s].count; i++)
            for (size_t head = 0; head < (size_t)n_heads; head++)
                rotate(x + ((size_t)spans[s].first + i) * stride + head * (size_t)head_dim, half,
                       cos + i * half, sin + i * half);
}
