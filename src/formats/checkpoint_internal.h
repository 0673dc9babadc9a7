/* checkpoint_internal.h - what a checkpoint format is, and how it hands its tensors over.
 *
 * A format is a const or_format_ops in a file of its own and a line in the table of checkpoint.c. Its open()
 *   1. fills checkpoint->hparams,
 *   2. names its files by or_checkpoint_add_file() and describes their tensors by or_checkpoint_add_tensor(),
 *   3. calls or_checkpoint_seal(), after which tensors can be found by name.
 * Whatever it adds is released by or_checkpoint_close(), also when open() fails half-way.
 */
#ifndef OFFRAMP_FORMATS_CHECKPOINT_INTERNAL_H
#define OFFRAMP_FORMATS_CHECKPOINT_INTERNAL_H

#include "file.h"

#include <offramp/checkpoint.h>

enum {
    OR_TENSOR_NAME = 128, /* room for the name of a tensor that a model family asks for */
    /* Far above any model; they keep products of two of them within an int64_t, and widths within an int. */
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
    /* What this format calls the tensor that Hugging Face calls `name`; NULL: the same. */
    const char *(*rename)(const char *name, char text[OR_TENSOR_NAME]);
    /* or_checkpoint_map() of tensors that are in no file: fills their place in checkpoint->maps with
     * memory, and marks it as read. NULL: they are in the files. */
    or_status (*map)(or_checkpoint *checkpoint, const or_tensor *tensor, const void **data);
} or_format_ops;

extern const or_format_ops or_format_gguf, or_format_hf_folder, or_format_shape;

/* A file of the checkpoint. Its index is its place in the fingerprint: formats add files in an order that
 * does not depend on the machine (that of their names). */
typedef struct or_checkpoint_file {
    char *path;
    uint64_t size;
} or_checkpoint_file;

typedef struct or_local or_local; /* local.c */

struct or_checkpoint {
    const or_format_ops *format;
    char *path; /* as it was given to or_checkpoint_open() */
    or_hparams hparams;
    or_checkpoint_file *files;
    size_t n_files, file_capacity;
    or_tensor *tensors; /* by name, once sealed; name and stored lie in one block, that of the name */
    size_t n_tensors, tensor_capacity;
    uint64_t fingerprint;
    bool one_layer;  /* or_shares.one_layer */
    int file_layers; /* layers of the files; more than hparams.n_layers where some are dropped */
    int *kept;       /* [hparams.n_layers]: the number in the files of each layer; NULL: all are kept */

    or_map *maps;    /* [n_tensors] once sealed; data NULL: not asked for yet */
    bool *is_read;   /* [n_tensors] */
    or_local *local; /* NULL: tensors are mapped where they are */
};

/* pieces.c: calls act() for all pieces of OR_PIECE bytes, the last one shorter, in any order, on or_threads()
 * threads. The first error is told; its message is the calling thread's then. */
#define OR_PIECE ((size_t)8 << 20)
or_status or_each_piece(size_t bytes, or_status (*act)(void *context, size_t from, size_t size),
                        void *context);

/* local.c: maps the tensor's copy, which is made if it is not there. */
or_status or_local_map(or_checkpoint *checkpoint, const or_tensor *tensor, or_map *map);
void or_local_close(or_local *local); /* NULL is fine */

/* Adds the next file of the checkpoint, a regular one. */
or_status or_checkpoint_add_file(or_checkpoint *checkpoint, const char *path, size_t *file);

/* Adds a tensor; name and stored are copied. The caller has checked that its bytes lie within its file, and
 * for weight types that they are as many as the shape needs. */
or_status or_checkpoint_add_tensor(or_checkpoint *checkpoint, const or_tensor *tensor);

/* Checks the tensors against each other (two of one name, two over the same bytes, none at all) and sorts
 * them by name. */
or_status or_checkpoint_seal(or_checkpoint *checkpoint);

/* The tensor of that name in the file, of a sealed checkpoint; NULL if there is none. */
const or_tensor *or_checkpoint_named(const or_checkpoint *checkpoint, const char *name);

/* dropped.c: drops the layers of a text like "10,11,12", counted from 1, of a checkpoint that was just opened
 * and has all. OR_ERR_USAGE when it does not have them, or nothing would be left. */
or_status or_checkpoint_drop(or_checkpoint *checkpoint, const char *layers);

/* The layer to which a tensor of this name in the files belongs. */
enum { OR_LAYER_NONE = -1, OR_LAYER_DROPPED = -2 };
int or_checkpoint_layer(const or_checkpoint *checkpoint, const char *own_name);

/* What Hugging Face would call the tensor `name` if no layers were dropped; `text` or name itself. */
const char *or_checkpoint_whole_name(const or_checkpoint *checkpoint, const char *name,
                                     char text[OR_TENSOR_NAME]);

/* What every format asks of the heads it has read (n_heads, n_kv_heads, head_dim, of a family that rotates
 * them); heads, kv_heads: what the file calls the two counts. */
or_status or_hparams_check_heads(const or_hparams *h, const char *path, const char *heads,
                                 const char *kv_heads);

/* safetensors.c: reads the header of one .safetensors file and adds its tensors. */
or_status or_safetensors_read(or_checkpoint *checkpoint, const char *path);

/* shape_weights.c: fills the tensor's bytes with random weights (a vector's with ones); the same for the
 * same name, type and shape, on every machine. */
void or_shape_fill(const or_tensor *tensor, unsigned char *data);

/* hf_config.c: reads a Hugging Face config.json. */
or_status or_hf_config_read(const char *path, or_hparams *hparams);

#endif
