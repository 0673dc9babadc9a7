/* dtype.h - the number formats in which weights are stored. */
#ifndef OFFRAMP_DTYPE_H
#define OFFRAMP_DTYPE_H

#include <stddef.h>

/* OR_DTYPE_OTHER: a type that checkpoints may hold (bool, int64, ...) but that is never a weight. */
typedef enum or_dtype { OR_F32, OR_F16, OR_BF16, OR_DTYPE_OTHER } or_dtype;

/* Lower-case name ("f32") and bytes per element; "other" and 0 for OR_DTYPE_OTHER. */
const char *or_dtype_name(or_dtype dtype);
size_t or_dtype_size(or_dtype dtype);

#endif
