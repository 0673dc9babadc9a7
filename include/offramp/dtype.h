/* dtype.h - the number formats in which weights are stored.
 *
 * A row of weights is a sequence of blocks. For the plain formats a block is one number; the block-quantised
 * ones (ggml's, as GGUF files hold them) store 32 or 256 numbers together, with their scales. A row has whole
 * blocks only. What the bits of a block mean is said in src/compute/blocks.h.
 */
#ifndef OFFRAMP_DTYPE_H
#define OFFRAMP_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

/* OR_DTYPE_OTHER: a type that checkpoints may hold (bool, int64, ...) but that is never a weight. */
typedef enum or_dtype {
    OR_F32,
    OR_F16,
    OR_BF16,
    OR_Q8_0,
    OR_Q4_0,
    OR_Q4_1,
    OR_Q5_0,
    OR_Q5_1,
    OR_Q2_K,
    OR_Q3_K,
    OR_Q4_K,
    OR_Q5_K,
    OR_Q6_K,
    OR_DTYPE_OTHER /* also the number of weight types */
} or_dtype;

/* Lower-case name ("f32", "q4_k"); "other" for OR_DTYPE_OTHER. */
const char *or_dtype_name(or_dtype dtype);

/* The type of that name, OR_DTYPE_OTHER if there is none. */
or_dtype or_dtype_find(const char *name);

/* Numbers in a block (1, 32 or 256), and its bytes. 1 and 0 for OR_DTYPE_OTHER. */
size_t or_dtype_block(or_dtype dtype);
size_t or_dtype_block_bytes(or_dtype dtype);

/* Bytes of `count` numbers, a multiple of the block. */
size_t or_dtype_bytes(or_dtype dtype, size_t count);

#endif
