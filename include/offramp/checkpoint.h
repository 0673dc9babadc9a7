/* checkpoint.h - a model on disk: its hyperparameters and named tensors, whatever the file format.
 *
 * A checkpoint is opened by reading headers only. Of the data nothing is read or mapped but the tensors
 * that are asked for (or_checkpoint_map), so a rank has its own layers in memory and no others. Local:
 * every rank opens the checkpoint by itself.
 *
 * Everything in a file is distrusted: header sizes, offsets, shapes, overlaps and duplicate names are checked
 * before a pointer is made of them; a bad one is refused with OR_ERR_INPUT naming file, tensor, what was
 * found and what was expected.
 */
#ifndef OFFRAMP_CHECKPOINT_H
#define OFFRAMP_CHECKPOINT_H

#include <offramp/dtype.h>
#include <offramp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How positions enter: by rotary frequencies, stretched in some way for longer contexts, or not by
 * rotation. */
typedef enum or_rope_kind {
    OR_ROPE_PLAIN,
    OR_ROPE_LINEAR, /* positions divided by factor (position interpolation, arXiv 2306.15595) */
    OR_ROPE_LLAMA3, /* Llama 3.1's rule: low frequencies divided by factor, smooth in between */
    OR_ROPE_TENSOR, /* frequencies divided by those of a tensor, "rope_freqs.weight" [head_dim / 2] (GGUF) */
    OR_ROPE_NONE    /* nothing is rotated: a learned vector per position is added to the embedding */
} or_rope_kind;

/* The shape of a model. All counts are > 0 and consistent with each other (checked when read). */
typedef struct or_hparams {
    char family[32]; /* model_type: "llama", "opt" */
    int n_layers;    /* L */
    int d_model;     /* width of the hidden state */
    int d_embed;     /* width of embedding and output projection; not d_model: a matrix lies in between */
    int n_heads;     /* query heads */
    int n_kv_heads;  /* key/value heads; divides n_heads (grouped-query attention) */
    int head_dim;    /* even where rotated; n_heads * head_dim need not equal d_model */
    int d_ff;        /* width of the feed-forward block */
    int n_vocab;     /* rows of embedding and output projection */
    int n_context;   /* longest prompt, tokens (max_position_embeddings) */
    float norm_eps;
    float rope_theta;
    or_rope_kind rope;
    float rope_factor;                                 /* LINEAR, LLAMA3 */
    float rope_low_freq_factor, rope_high_freq_factor; /* LLAMA3 */
    int rope_original_context;                         /* LLAMA3 */
    bool rotary_pairs; /* rows of query and key weights lie in rotary pairs (GGUF): or_matrix.interleaved */
    bool norm_first;   /* attention and feed-forward read normed states; else their sums are normed */
    bool final_norm;   /* there is one between the last layer and the output projection */
    bool biases;       /* the matrices of the layers have them */
    bool gated_ff;     /* the feed-forward block has three matrices (gate, up, down), not two */
    bool tied_head;    /* config says the output projection is the embedding */
    int bos, eos;      /* token ids, -1 where the config has none */
} or_hparams;

/* One tensor: its type, shape and place; row-major, dims[0] slowest. Owned by the checkpoint and valid
 * until it is closed. */
typedef struct or_tensor {
    const char *name; /* as the file has it */
    or_dtype dtype;
    const char *stored; /* the type as the file names it: "BF16", "Q4_K", "I64" */
    int n_dims;         /* 0..8 */
    int64_t dims[8];
    size_t file;     /* which of the checkpoint's files */
    uint64_t offset; /* from the beginning of that file */
    size_t bytes;
} or_tensor;

typedef struct or_checkpoint or_checkpoint;

/* Opens a Hugging Face folder (config.json with model.safetensors, or shards with
 * model.safetensors.index.json), or a GGUF file (of split ones the first, whose name ends in
 * -00001-of-000NN.gguf), or makes up a model of the shape that a .json file says (src/formats/shape.c;
 * random weights in memory, for measuring). The caller closes; *checkpoint is NULL unless OR_OK.
 * OR_ERR_INPUT when the path or what is there is refused. Other formats are one file and one line in
 * src/formats/checkpoint.c. */
or_status or_checkpoint_open(const char *path, or_checkpoint **checkpoint);
void or_checkpoint_close(or_checkpoint *checkpoint); /* NULL is fine */

/* The same of a model without some of its layers: "10,11,12", counted from 1; NULL: with all. It has so many
 * layers fewer, and its layer i is the i-th that is kept (static layer removal, ShortGPT, arXiv 2403.03853);
 * tensors are asked for by that number. What is dropped counts in the fingerprint and is in no share, but
 * stays in the list of tensors. OR_ERR_USAGE for layers that the model does not have, for one twice, and for
 * all. */
or_status or_checkpoint_open_without(const char *path, const char *layers, or_checkpoint **checkpoint);

const char *or_checkpoint_path(const or_checkpoint *checkpoint);
const char *or_checkpoint_format(const or_checkpoint *checkpoint); /* "safetensors", "gguf", "shape" */
size_t or_checkpoint_files(const or_checkpoint *checkpoint);
const char *or_checkpoint_file_path(const or_checkpoint *checkpoint, size_t file); /* or_tensor.file */
const or_hparams *or_checkpoint_hparams(const or_checkpoint *checkpoint);

/* Tensors in the order of their names in the file. */
size_t or_checkpoint_count(const or_checkpoint *checkpoint);
const or_tensor *or_checkpoint_at(const or_checkpoint *checkpoint, size_t i);

/* The tensor that Hugging Face's checkpoints call `name` ("model.layers.3.mlp.up_proj.weight"), whatever this
 * format calls it; NULL when there is none. */
const or_tensor *or_checkpoint_find(const or_checkpoint *checkpoint, const char *name);

/* The same, which must be there, of a weight type, and of shape [rows, columns] (columns 0: a vector [rows]);
 * otherwise OR_ERR_INPUT naming all of that. */
or_status or_checkpoint_require(const or_checkpoint *checkpoint, const char *name, int64_t rows,
                                int64_t columns, const or_tensor **tensor);

/* From now on tensors are mapped from copies in `folder`, on a disk of this host: one that is asked for and not there is
 * copied, once for all jobs and ranks of the host, on or_threads() threads. Each is checksummed, and there as a whole or
 * not at all. Copies of what the model was before its files changed are removed. A made-up model has none. OR_ERR_INPUT
 * when the folder cannot be written, and from then on or_checkpoint_map() may be OR_ERR_FAILED: the disk is full.
 * Blocking. */
or_status or_checkpoint_copy_to(or_checkpoint *checkpoint, const char *folder);

/* Bytes that were copied until now, and that were there; 0 without copies. */
void or_checkpoint_copied(const or_checkpoint *checkpoint, uint64_t *copied, uint64_t *reused);

/* Maps a tensor's data, which may be unaligned, until it is released or the checkpoint closed; a tensor that
 * is asked for again is where it was. Nothing is read before it is touched, or or_checkpoint_read().
 * OR_ERR_INPUT when the file cannot be opened any more, or has become shorter. */
or_status or_checkpoint_map(or_checkpoint *checkpoint, const or_tensor *tensor, const void **data);

/* The same, and reads the tensor in now, blocking: for those that are looked at at once. OR_ERR_INPUT also
 * when it cannot be read. */
or_status or_checkpoint_fetch(or_checkpoint *checkpoint, const or_tensor *tensor, const void **data);

/* Reads in what has been mapped so far and was not read yet, on or_threads() threads; *bytes counts it.
 * OR_ERR_INPUT when the file cannot be read. Blocking. */
or_status or_checkpoint_read(or_checkpoint *checkpoint, uint64_t *bytes);

/* Unmaps what or_checkpoint_map() gave at `data`: no pointer into it may be used any more. The tensor may be
 * asked for again, and may then be somewhere else. NULL is fine. */
void or_checkpoint_release(or_checkpoint *checkpoint, const void *data);

/* Where a checkpoint's bytes are. Reads nothing. OR_ERR_FAILED for lack of memory; *shares is released by
 * or_shares_free() in any case. */
typedef struct or_shares {
    size_t total, embedding, head;
    size_t other; /* final norm, positions, and what belongs to no layer */
    uint64_t parameters;
    size_t *layers; /* [n_layers], malloc'ed */
    bool one_layer; /* all layers of a rank are one in memory (a shape with share_layers) */
} or_shares;
or_status or_checkpoint_shares(const or_checkpoint *checkpoint, or_shares *shares);
void or_shares_free(or_shares *shares);

/* A hash of the hyperparameters and of every tensor's name, type, shape and place: cheap, reads headers only,
 * equal on every rank. (or_model adds bytes of the final norm and of the head, so that
 * retrained weights differ.) */
uint64_t or_checkpoint_fingerprint(const or_checkpoint *checkpoint);

#endif
