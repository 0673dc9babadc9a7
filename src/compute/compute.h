/* compute.h - the arithmetic of a layer: matrix products, attention, norms, rotary positions, softmax.
 *
 * All activations are float32, row-major, one row per token. Weights stay as stored (or_matrix) and are
 * widened to float32 tile by tile.
 *
 * Order of summation. Every output element is summed in an order that depends on the shape of the layer only:
 * not on how many rows there are, which row it is, what the other rows hold, or how many threads share the
 * work. So a request's numbers are the same bits in any company. What each kernel does for that is said in
 * its file; tests/unit/test_kernels.c checks it.
 *
 * A kernel set (or_kernels) is a table of functions. `reference` is plain C, always built, and the oracle of
 * the others. A new set is a file that fills a table and one line in kernels.c.
 *
 * Local; the functions run on or_threads() threads and return when all is done.
 */
#ifndef OFFRAMP_COMPUTE_COMPUTE_H
#define OFFRAMP_COMPUTE_COMPUTE_H

#include <offramp/dtype.h>
#include <offramp/span.h>
#include <offramp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Weights of y = W x, as stored: [rows, columns] row-major, rows = outputs, columns = inputs (whole blocks of
 * the type). `data` may be unaligned; not owned, like `packed`. */
typedef struct or_matrix {
    const void *data;
    or_dtype dtype;
    int rows, columns;
    int interleaved;    /* 0: stored in the order of the outputs; else see or_matrix_row() */
    const void *packed; /* or_matrix_pack(): the weights are there, and `data` is NULL */
} or_matrix;

/* The stored row of output `output`.
 *
 * GGUF files of llama models store the rows of a query or key head as rotary pairs. `interleaved` is then the
 * head dimension (even; rows are whole heads), and outputs i and i + head_dim/2 of a head are its stored rows
 * 2i and 2i + 1. For a head of 8:
 *
 *   output      0  1  2  3 | 4  5  6  7
 *   stored row  0  2  4  6 | 1  3  5  7
 */
static inline int or_matrix_row(const or_matrix *w, int output)
{
    if (w->interleaved == 0) return output;
    const int half = w->interleaved / 2, place = output % w->interleaved;
    return output - place + place % half * 2 + place / half;
}

/* Shape of an attention layer; n_heads is a multiple of n_kv_heads (grouped queries). */
typedef struct or_attention_shape {
    int n_heads, n_kv_heads, head_dim;
} or_attention_shape;

/* The head of a next-token distribution. */
typedef struct or_top {
    int32_t token;   /* argmax, the lowest id among equals */
    float prob;      /* P(top) */
    float gap;       /* P(top) - P(second); prob when there is one token only */
    float logit;     /* of `token` */
    float logsumexp; /* not finite when a logit is not */
} or_top;

typedef struct or_kernels {
    const char *name;
    const char *needs; /* what usable() looks for, for messages */

    /* False when this machine or library cannot run the set correctly. */
    bool (*usable)(void);

    /* How the set wants weights of that type laid out; NULL: as stored. The member is NULL for a set that
     * takes all as stored. */
    const struct or_packing *(*packing)(or_dtype dtype);

    /* y[n, w.rows] = x[n, w.columns] w^T. y must not overlap x. An interleaved matrix gives the bits that its
     * rows give when stored in the order of the outputs. A set with packings may round x where w is packed
     * (its file says to what); it takes matrices that are not packed as well. */
    void (*matmul)(const or_matrix *w, const float *x, size_t n, float *y);

    /* Causal attention: row i of a span is at position `position` + i and attends to the positions up to its
     * own. Those before the span are in the pages of `kv`, and its own too where it keeps them there
     * (or_kv_put(), kv.h); else these are its rows of k and v. It is the same to the bit where a sequence is
     * cut, and which of the two it is. kv may be NULL when no span has pages. q, out: [rows, n_heads *
     * head_dim]; k, v: [rows, n_kv_heads * head_dim]; out must not overlap the others. `scratch` has
     * or_attention_scratch() floats. */
    void (*attention)(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                      const or_kv_layer *kv, const float *q, const float *k, const float *v, float *out,
                      float *scratch);

    /* out[n, d] = x / sqrt(mean(x^2) + eps) * weight (RMSNorm, arXiv 1910.07467). out may be x. */
    void (*rms_norm)(const float *x, size_t n, size_t d, const float *weight, float eps, float *out);

    /* out[n, d] = (x - mean) / sqrt(variance + eps) * weight + bias (layer norm, arXiv 1607.06450); the
     * variance is that of the population, from the differences. out may be x. */
    void (*layer_norm)(const float *x, size_t n, size_t d, const float *weight, const float *bias, float eps,
                       float *out);

    /* Rotates heads in place: x [rows, n_heads * head_dim]; pairs are (i, i + head_dim/2), the layout of
     * Hugging Face checkpoints. cos, sin: [positions, head_dim/2], of all that the spans reach (RoFormer,
     * arXiv 2104.09864). */
    void (*rope)(const or_span *spans, size_t n_spans, int n_heads, int head_dim, const float *cos,
                 const float *sin, float *x);

    /* gate[i] = silu(gate[i]) * up[i] (SwiGLU, arXiv 2002.05202). */
    void (*silu_mul)(float *gate, const float *up, size_t n);

    /* Softmax of one row of logits, of which only the top is kept. */
    void (*top)(const float *logits, size_t n, or_top *top);
} or_kernels;

/* The set of that name, NULL if there is none. Name NULL: the first usable one of the table (the fastest). */
const or_kernels *or_kernels_find(const char *name);

/* The set in use by this process; chosen at the first call unless or_kernels_use() did so before. */
const or_kernels *or_kernels_get(void);

/* Takes a set by name (NULL: automatic). OR_ERR_USAGE for an unknown name, OR_ERR_FAILED if not usable. */
or_status or_kernels_use(const char *name);

/* "avx512_bf16, avx512, ..." for help texts. */
const char *or_kernels_names(void);

/* Bytes of w as the set in use wants it laid out, 0: as stored. Its type, rows and columns count. */
size_t or_matrix_packed_bytes(const or_matrix *w);

/* Lays w out so in `packed` (64-byte aligned, or_matrix_packed_bytes() of it, which are not 0), to which it
 * refers from then on, no longer to `data`. */
void or_matrix_pack(or_matrix *w, void *packed);

/* Floats of scratch for attention over sequences of up to `longest` positions, on `threads` threads. */
size_t or_attention_scratch(const or_attention_shape *shape, size_t longest, int threads);

/* Positions of the longest sequence up to the end of its span: the greatest position + count. */
size_t or_span_longest(const or_span *spans, size_t n_spans);

/* Widens `count` stored elements, beginning at element `from`, to float32. Both are whole blocks (multiples
 * of or_dtype_block()). Each value is the float32 that the format's definition gives, with its order of
 * operations (blocks.h). `data` may be unaligned. */
void or_expand(const void *data, or_dtype dtype, size_t from, size_t count, float *out);

/* The same of columns [from, from + count) of an output of w, packed or not. */
void or_matrix_expand(const or_matrix *w, int output, size_t from, size_t count, float *out);

/* out[count] = x as a product with w takes it: rounded where w is packed. x begins at column 0 or at any
 * multiple of 256; out may not be x. */
void or_matrix_round(const or_matrix *w, const float *x, size_t count, float *out);

/* The other way: x[count] to `out`, or_dtype_bytes(dtype, count) bytes. `count` is whole blocks. f16 and bf16
 * are rounded to nearest even, infinities and NaN stay. The block types must get finite numbers; scales are
 * chosen for the least squared error, numbers beyond what a half-precision scale reaches become the greatest
 * there is, and a block of zeros stays zeros. A pure function of x. */
void or_quantize(const float *x, or_dtype dtype, size_t count, void *out);

/* out[n_spans, width] = the last row of each span of rows[.., width]. */
void or_gather_last(const or_span *spans, size_t n_spans, const float *rows, size_t width, float *out);

/* x[i] += y[i] */
void or_add(float *x, const float *y, size_t n);

/* x[n, d] += bias[d], to every row. */
void or_add_bias(float *x, size_t n, size_t d, const float *bias);

/* x[i] = max(x[i], 0); NaN stays NaN, so that damage is seen. */
void or_relu(float *x, size_t n);

/* Sum of a[i] * b[i] in 16 interleaved partial sums, which are then added pairwise. */
float or_dot(const float *a, const float *b, size_t n);

/* One output of w for x[w.columns], for a few of many outputs: to the bits of the reference set's matmul(), with
 * x rounded as the set in use rounds it where w is packed. */
float or_matrix_dot(const or_matrix *w, int output, const float *x);

/* a . b / (|a| |b|), 0 when one of them is all zeros. */
float or_cosine(const float *a, const float *b, size_t n);

#endif
