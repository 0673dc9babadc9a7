/* blocks.h - where everything lies in the blocks of the quantised types (ggml's, as GGUF files hold them);
 * for widening and for quantising.
 *
 * Blocks of 32 numbers, with one scale d and perhaps an offset m (half precision):
 *
 *             bytes                                 value of number i
 *   q8_0      d:2  q:32                             d * q, q a signed byte
 *   q4_0      d:2  q:16                             d * (q - 8)
 *   q4_1      d:2  m:2  q:16                        d * q + m
 *   q5_0      d:2  high:4  q:16                     d * (q - 16)
 *   q5_1      d:2  m:2  high:4  q:16                d * q + m
 *
 * Byte i of q holds number i in its low four bits and number i + 16 in its high ones. `high` is a
 * little-endian word of 32 bits; bit i of it is the fifth bit of number i.
 *
 * Super-blocks of 256 numbers (k-types). Every part of 16 or 32 numbers has its own scale sc and perhaps
 * minimum m, which are small integers themselves, in units of d and dmin:
 *
 *             bytes                                             value of a number                  parts
 *   q2_k      scales:16  q:64  d:2  dmin:2                      (d * sc) * q - dmin * m            16
 *   q3_k      high:32  q:64  scales:12  d:2                     (d * (sc - 32)) * (q - 4)          16
 *   q4_k      d:2  dmin:2  scales:12  q:128                     (d * sc) * q - dmin * m             8
 *   q5_k      d:2  dmin:2  scales:12  high:32  q:128            (d * sc) * q - dmin * m             8
 *   q6_k      q:128  high:64  scales:16  d:2                    (d * sc) * (q - 32)                16
 *
 * The numbers are 8 runs of 32. Those of a run lie in 32 neighbouring bytes, number i in byte i, all at the
 * same bits of their byte: the low bits of a number in q, the bits above them in `high`. Runs fill an array
 * chunk by chunk. Which runs share a byte (its upper bits on the left):
 *
 *   2 bits, chunks of 4     4 bits, chunks of 2     4 bits, chunks of 4     1 bit, one chunk of 8
 *   (q2_k, q3_k q;          (q4_k, q5_k q)          (q6_k q)                (q3_k, q5_k high)
 *    q6_k high)
 *   bytes  0-31  3 2 1 0    bytes  0-31   1 0       bytes  0-31   2 0       bytes 0-31  7 6 5 4 3 2 1 0
 *   bytes 32-63  7 6 5 4    bytes 32-63   3 2       bytes 32-63   3 1
 *                           bytes 64-95   5 4       bytes 64-95   6 4
 *                           bytes 96-127  7 6       bytes 96-127  7 5
 *
 * How the scales are packed:
 *   q2_k        part p in byte p: scale in the low four bits, minimum in the high ones
 *   q3_k        six bits. Low four: parts 0-7 in the low halves of bytes 0-7, parts 8-15 in their high ones.
 *               Upper two: parts p, p + 4, p + 8, p + 12 in byte 8 + p, from its low end
 *   q4_k, q5_k  six bits. Parts 0-3: scale in the low six bits of byte p, minimum in those of byte 4 + p.
 *               Parts 4 + p: the low four bits of scale and minimum in the low and high half of byte
 *               8 + p, the upper two in the upper two of byte p (scale) and of byte 4 + p (minimum)
 *   q6_k        part p in byte p, signed
 */
#ifndef OFFRAMP_COMPUTE_BLOCKS_H
#define OFFRAMP_COMPUTE_BLOCKS_H

#include "vector.h"

#include <stddef.h>

enum { OR_BLOCK = 32, OR_SUPERBLOCK = 256, OR_RUN = 32, OR_PARTS = 16 /* at most */ };

/* Fields are bytes from the block's start; 0 where the type has none. d comes first. */
typedef struct or_block {
    size_t m, high, q, bytes;
    int zero;
} or_block;

static const or_block or_block_q4_0 = {.q = 2, .bytes = 18, .zero = 8};
static const or_block or_block_q4_1 = {.m = 2, .q = 4, .bytes = 20};
static const or_block or_block_q5_0 = {.high = 2, .q = 6, .bytes = 22, .zero = 16};
static const or_block or_block_q5_1 = {.m = 2, .high = 4, .q = 8, .bytes = 24};

/* An array of `bits` for each number, `at` bytes from the block's start. No bits: no array. */
typedef struct or_bit_array {
    size_t at;
    int bits, chunk; /* runs in a chunk, which fill whole bytes */
} or_bit_array;

typedef struct or_superblock {
    or_bit_array low, high;
    size_t part;                   /* numbers that share a scale */
    size_t scales, d, dmin, bytes; /* bytes from the start; dmin 0: no minima */
    int zero;
} or_superblock;

static const or_superblock or_block_q2_k = {
    .low = {16, 2, 4}, .part = 16, .scales = 0, .d = 80, .dmin = 82, .bytes = 84};
static const or_superblock or_block_q3_k = {
    .low = {32, 2, 4}, .high = {0, 1, 8}, .part = 16, .scales = 96, .d = 108, .bytes = 110, .zero = 4};
static const or_superblock or_block_q4_k = {
    .low = {16, 4, 2}, .part = 32, .scales = 4, .d = 0, .dmin = 2, .bytes = 144};
static const or_superblock or_block_q5_k = {
    .low = {48, 4, 2}, .high = {16, 1, 8}, .part = 32, .scales = 4, .d = 0, .dmin = 2, .bytes = 176};
static const or_superblock or_block_q6_k = {
    .low = {0, 4, 4}, .high = {128, 2, 4}, .part = 16, .scales = 192, .d = 208, .bytes = 210, .zero = 32};

/* Byte of the block that holds number 0 of a run, and how far its bits are shifted in it. */
OR_INLINE size_t or_run_byte(const or_bit_array *array, int run)
{
    const int groups = array->chunk * array->bits / 8; /* of 32 bytes in a chunk */
    return array->at + OR_RUN * (size_t)(run / array->chunk * groups + run % array->chunk % groups);
}

OR_INLINE int or_run_shift(const or_bit_array *array, int run)
{
    const int groups = array->chunk * array->bits / 8;
    return array->bits * (run % array->chunk / groups);
}

#endif
