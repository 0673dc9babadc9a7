/* family.h - what distinguishes model families (Llama, ...): which tensors a layer has and how it computes.
 *
 * A family is a const table of functions in a file of its own and a line in model.c. The llama file shows how:
 *   bind_layer  finds a layer's tensors in the checkpoint and describes them (nothing is read yet)
 *   layer       runs one layer over a wave
 */
#ifndef OFFRAMP_MODEL_FAMILY_H
#define OFFRAMP_MODEL_FAMILY_H

#include "compute.h"
#include "memory.h"

#include <offramp/model.h>

/* Scratch that is kept from wave to wave and only grows. */
typedef struct or_workspace {
    float *data;
    size_t capacity; /* floats */
} or_workspace;

/* Hands out `count` floats after another, 16-aligned; call or_workspace_reserve() with the sum beforehand. */
or_status or_workspace_reserve(or_workspace *workspace, size_t floats);

typedef struct or_family or_family;

struct or_model {
    or_checkpoint *checkpoint;
    const or_hparams *hparams;
    const or_family *family;
    const or_kernels *kernels;
    int first, last;
    size_t bytes;
    uint64_t fingerprint;

    or_matrix embedding; /* [n_vocab, d_model]; data NULL where first > 0 */
    or_matrix head;      /* [n_vocab, d_model] */
    float *final_norm;   /* [d_model] */
    void *layers;        /* the family's own array, [last - first] */

    or_workspace workspace;     /* of layer() and logits(), never both at once */
    float *rope_cos, *rope_sin; /* [rope_positions, head_dim / 2] */
    size_t rope_positions;
};

struct or_family {
    const char *name; /* or_hparams.family */
    const char *embedding_name, *final_norm_name, *head_name;
    size_t layer_size; /* bytes of one element of model->layers */
    or_status (*bind_layer)(or_model *model, int layer, void *bound);
    void (*unbind_layer)(void *bound);
    or_status (*layer)(or_model *model, const void *bound, const or_span *spans, size_t n_spans, size_t rows,
                       float *hidden, const or_model_taps *taps);
};

/* Finds a matrix [rows, columns] / reads a vector [count] as float32 (malloc'ed), and counts its bytes. */
or_status or_model_matrix(or_model *model, const char *name, int rows, int columns, or_matrix *matrix);
or_status or_model_vector(or_model *model, const char *name, int count, float **vector);

/* Makes the rotary tables reach `positions` positions. */
or_status or_model_reserve_rope(or_model *model, size_t positions);

extern const or_family or_family_llama;

#endif
