/* quantize.h - how one block of each quantised type is made. In the table of quantize.c; the layouts are
 * drawn in blocks.h, the choice of scales is fit.h's. */
#ifndef OFFRAMP_COMPUTE_QUANTIZE_H
#define OFFRAMP_COMPUTE_QUANTIZE_H

/* quantize_q.c: 32 numbers to a block */
void or_quantize_q8_0(const float *x, unsigned char *block);
void or_quantize_q4_0(const float *x, unsigned char *block);
void or_quantize_q4_1(const float *x, unsigned char *block);
void or_quantize_q5_0(const float *x, unsigned char *block);
void or_quantize_q5_1(const float *x, unsigned char *block);

/* quantize_k.c: 256 numbers to a super-block */
void or_quantize_q2_k(const float *x, unsigned char *block);
void or_quantize_q3_k(const float *x, unsigned char *block);
void or_quantize_q4_k(const float *x, unsigned char *block);
void or_quantize_q5_k(const float *x, unsigned char *block);
void or_quantize_q6_k(const float *x, unsigned char *block);

#endif
