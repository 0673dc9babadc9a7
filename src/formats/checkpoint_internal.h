/* checkpoint_internal.h - what a checkpoint format is, and how it hands its tensors over.
 *
 * A format is a const or_format_ops in a file of its own and a line in the table of checkpoint.c. Its open()
 *   1. fills checkpoint->hparams,
 *   2. maps its files by or_checkpoint_add_file() and describes their tensors by or_checkpoint_add_tensor(),
 *   3. calls or_checkpoint_seal(), after which tensors can be found by name.
 * Whatever it maps and adds is released by or_checkpoint_close(), also when open() fails half-way.
 */
#ifndef OFFRAMP_FORMATS_CHECKPOINT_INTERNAL_H
#define OFFRAMP_FORMATS_CHECKPOINT_INTERNAL_H

#include "file.h"

#include <offramp/checkpoint.h>

/* Far above any model; they keep products of two of them within an int64_t, and widths within an int. */
enum {
    OR_WIDTH_MAX = 1 << 20,
    OR_LAYERS_MAX = 1000,
    OR_VOCAB_ROWS_MAX = 1 << 24,
    OR_CONTEXT_MAX = 1 << 30
};

typedef struct or_format_ops {
    const char *name;                /* what or_checkpoint_format() says */
    const char *accepts;             /* completes "expected ..." in the message that refuses a path */
    bool (*probe)(const char *path); /* looks like this format; the first that says so opens the path */
    or_status (*open)(or_checkpoint *checkpoint);
} or_format_ops;

extern const or_format_ops or_format_hf_folder;

/* A mapped file of the checkpoint. Its index is its place in the fingerprint: formats add files in an order
 * that does not depend on the machine (that of their names). */
typedef struct or_checkpoint_file {
    char *path;
    or_map map;
} or_checkpoint_file;

/* A tensor and the file that holds it. tensor.name and tensor.stored lie in one block, that of the name. */
typedef struct or_entry {
    or_tensor tensor;
    size_t file;
} or_entry;

struct or_checkpoint {
    const or_format_ops *format;
    char *path; /* as it was given to or_checkpoint_open() */
    or_hparams hparams;
    or_checkpoint_file *files;
    size_t n_files, file_capacity;
    or_entry *entries; /* by name, once sealed; then n_entries > 0 */
    size_t n_entries, entry_capacity;
    uint64_t fingerprint;
};

/* Maps `path` as the next file of the checkpoint, which keeps it until it is closed. */
or_status or_checkpoint_add_file(or_checkpoint *checkpoint, const char *path, size_t *file);

/* Adds a tensor of file `file`; name and stored are copied. The caller has checked that data and bytes lie
 * within the file, and for weight types that the bytes are those of the shape. */
or_status or_checkpoint_add_tensor(or_checkpoint *checkpoint, size_t file, const or_tensor *tensor);

/* Checks the tensors against each other (two of one name, two over the same bytes, none at all) and sorts
 * them by name. */
or_status or_checkpoint_seal(or_checkpoint *checkpoint);

/* The tensor of that name in a sealed checkpoint, NULL if there is none. */
const or_entry *or_checkpoint_find_entry(const or_checkpoint *checkpoint, const char *name);

/* safetensors.c: maps one .safetensors file and adds its tensors. */
or_status or_safetensors_read(or_checkpoint *checkpoint, const char *path);

/* hf_config.c: reads a Hugging Face config.json. */
or_status or_hf_config_read(const char *path, or_hparams *hparams);

#endif
