/* kernels_portable.h - kernels in plain C with a fixed order of summation, from which sets are put together.
 * What each does is said in compute.h at the entry of the same name. */
#ifndef OFFRAMP_COMPUTE_KERNELS_PORTABLE_H
#define OFFRAMP_COMPUTE_KERNELS_PORTABLE_H

#include "compute.h"

/* Elements from which on threads share a pass over memory: some microseconds of work. */
enum { OR_SHARED = 65536 };

/* Rows of the span that has most. */
size_t or_span_most_rows(const or_span *spans, size_t n_spans);

void or_portable_attention(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                           const or_kv_layer *kv, const float *q, const float *k, const float *v, float *out,
                           float *scratch);
void or_portable_rms_norm(const float *x, size_t n, size_t d, const float *weight, float eps, float *out);
void or_portable_layer_norm(const float *x, size_t n, size_t d, const float *weight, const float *bias,
                            float eps, float *out);
void or_portable_rope(const or_span *spans, size_t n_spans, int n_heads, int head_dim, const float *cos,
                      const float *sin, float *x);
void or_portable_silu_mul(float *gate, const float *up, size_t n);
void or_portable_top(const float *logits, size_t n, or_top *top);

/* For the sets of AVX-512; differs from the portable one by rounding. */
void or_avx512_attention(const or_attention_shape *shape, const or_span *spans, size_t n_spans,
                         const or_kv_layer *kv, const float *q, const float *k, const float *v, float *out,
                         float *scratch);

/* The sets. */
extern const or_kernels or_kernels_reference;
extern const or_kernels or_kernels_avx512;
extern const or_kernels or_kernels_avx512_bf16;
extern const or_kernels or_kernels_avx2;
extern const or_kernels or_kernels_openblas;

#endif
