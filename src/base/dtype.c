/* dtype.c - names and sizes of the stored number formats. */
#include <offramp/dtype.h>

#include <string.h>

/* By or_dtype. Each sum has the members of ggml's struct for the block in the order of memory;
 * src/compute/blocks.h says what is in them. */
static const struct {
    const char *name;
    size_t block, bytes; /* numbers and bytes of a block */
} dtypes[] = {
    [OR_F32] = {"f32", 1, 4},
    [OR_F16] = {"f16", 1, 2},
    [OR_BF16] = {"bf16", 1, 2},
    [OR_Q8_0] = {"q8_0", 32, 2 + 32},             /* scale, 8 bits each */
    [OR_Q4_0] = {"q4_0", 32, 2 + 16},             /* scale, 4 bits each */
    [OR_Q4_1] = {"q4_1", 32, 4 + 16},             /* scale, minimum, 4 bits */
    [OR_Q5_0] = {"q5_0", 32, 2 + 4 + 16},         /* scale, fifth bits, 4 bits */
    [OR_Q5_1] = {"q5_1", 32, 4 + 4 + 16},         /* scale, minimum, fifth bits, 4 bits */
    [OR_Q2_K] = {"q2_k", 256, 16 + 64 + 4},       /* scales of sub-blocks, 2 bits, scale and minimum */
    [OR_Q3_K] = {"q3_k", 256, 32 + 64 + 12 + 2},  /* third bits, 2 bits, scales of sub-blocks, scale */
    [OR_Q4_K] = {"q4_k", 256, 4 + 12 + 128},      /* scale and minimum, scales of sub-blocks, 4 bits */
    [OR_Q5_K] = {"q5_k", 256, 4 + 12 + 32 + 128}, /* as Q4_K, fifth bits before the 4 bits */
    [OR_Q6_K] = {"q6_k", 256, 128 + 64 + 16 + 2}, /* 4 bits, bits 5 and 6, scales of sub-blocks, scale */
    [OR_DTYPE_OTHER] = {"other", 1, 0},
};

const char *or_dtype_name(or_dtype dtype)
{
    return dtypes[dtype].name;
}

/* The search ends at the last entry, which so is the answer to every unknown name, "other" among them. */
or_dtype or_dtype_find(const char *name)
{
    or_dtype dtype = OR_F32;
    while (dtype != OR_DTYPE_OTHER && strcmp(dtypes[dtype].name, name) != 0) dtype++;
    return dtype;
}

/* Types are checked where files are read: an or_dtype is always an index of the table. */
size_t or_dtype_block(or_dtype dtype)
{
    return dtypes[dtype].block;
}

size_t or_dtype_block_bytes(or_dtype dtype)
{
    return dtypes[dtype].bytes;
}

/* The rest of a block that is not whole is not counted; readers refuse rows that would have one. */
size_t or_dtype_bytes(or_dtype dtype, size_t count)
{
    return count / dtypes[dtype].block * dtypes[dtype].bytes;
}
