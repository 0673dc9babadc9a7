/* dtype.c - names and sizes of the stored number formats. */
#include <offramp/dtype.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [OR_F32] = {"f32", 4},
    [OR_F16] = {"f16", 2},
    [OR_BF16] = {"bf16", 2},
    [OR_DTYPE_OTHER] = {"other", 0},
};

const char *or_dtype_name(or_dtype dtype)
{
    return dtypes[dtype].name;
}

size_t or_dtype_size(or_dtype dtype)
{
    return dtypes[dtype].size;
}
