/* export.h - writing a model of the Llama family as a GGUF file, in another weight type if wanted.
 *
 * Matrices are stored in the type asked for, vectors in float32. Numbers are rounded once: from what the
 * model stores to the type (src/compute/quantize*.c say how). Rows whose length is no whole number of blocks
 * cannot be stored in a block type; such a matrix gets the nearest type that fits (or_export_type), and the
 * summary counts them. Keys, tensor names and the order of query and key rows are llama.cpp's, which runs
 * the result.
 */
#ifndef OFFRAMP_EXPORT_H
#define OFFRAMP_EXPORT_H

#include <offramp/dtype.h>
#include <offramp/status.h>

#include <stddef.h>
#include <stdint.h>

typedef struct or_export_summary {
    uint64_t bytes_read, bytes_written; /* of tensors */
    size_t matrices;
    size_t substituted; /* of them, stored in another type than asked for */
} or_export_summary;

/* Called after each tensor with the elements written so far and in all. */
typedef void or_export_progress(void *context, uint64_t done, uint64_t total);

/* Writes the model at `path` (a folder or a GGUF file) to `output`, which appears when it is complete.
 * Memory: some rows at a time, on or_threads() threads. Local, blocking. OR_ERR_INPUT when the model is
 * refused, is of another family, would overwrite itself, has weights that the type cannot hold (not finite,
 * or too large for f16), its vocabulary cannot be written, or `output` is there and is no GGUF file;
 * OR_ERR_FAILED when it cannot be written to the end. What was written is removed then. progress may be
 * NULL. */
or_status or_model_export(const char *path, const char *output, or_dtype type, or_export_progress *progress,
                          void *context, or_export_summary *summary);

/* The type in which rows of `columns` numbers are stored when `type` is asked for: `type` itself if they
 * are whole blocks; else of 256-blocks the 32-block type of as many bits or more; else f16. */
or_dtype or_export_type(or_dtype type, size_t columns);

#endif
