/* family.h - what distinguishes model families (Llama, OPT, ...): which tensors they have and how they
 * compute.
 *
 * A family is a const table of functions in a file of its own and a line in model.c. The llama file shows
 * how:
 *   bind_ends   finds the tensors before the first and after the last layer (nothing is read yet but vectors)
 *   bind_layer  finds a layer's tensors
 *   embed       or_model_embed()
 *   layer       or_model_layer(); `rows` is the sum of the spans
 *   project     or_model_project(), likewise: what layer() puts into the pages
 *   finish      or_model_logits() up to the output projection: hidden states to what the head multiplies
 * What is done alike in all of them is at the end of this header.
 */
#ifndef OFFRAMP_MODEL_FAMILY_H
#define OFFRAMP_MODEL_FAMILY_H

#include "compute.h"
#include "kv.h"
#include "memory.h"

#include "file.h"

#include <offramp/model.h>

/* Memory that is kept from wave to wave and only grows. */
typedef struct or_workspace {
    float *data;
    size_t capacity; /* floats */
} or_workspace;

typedef struct or_family or_family;

/* A matrix of the stage: where the family keeps it, and what is behind it. */
typedef struct or_bound {
    or_matrix *matrix;
    const or_tensor *tensor;
    const void *data; /* as stored; layers that share weights have the same */
    bool is_table;    /* its rows are looked up, so it stays as stored */
    or_map packed;    /* its own panels; none where it is as stored, or shares those of an earlier one */
} or_bound;

struct or_model {
    or_checkpoint *checkpoint;
    const or_hparams *hparams;
    const or_family *family;
    const or_kernels *kernels;
    int first, last;
    bool checks_only; /* or_model_check(): tensors are looked up, and nothing is mapped or read */
    size_t bytes;
    uint64_t fingerprint;
    or_bound *bound; /* [n_bound] */
    size_t n_bound, bound_capacity;

    or_attention_shape attention;

    /* What a family or a stage has no use for stays NULL: the embedding, positions and project_in where
     * first > 0, the rest as or_hparams says. */
    or_matrix embedding;                 /* [n_vocab, d_embed] */
    or_matrix positions;                 /* OPT: [2 + n_context, d_model] */
    or_matrix project_in, project_out;   /* OPT: [d_model, d_embed], [d_embed, d_model] */
    float *final_norm, *final_norm_bias; /* [d_model] */
    or_matrix head;                      /* [n_vocab, d_embed] */
    void *layers;                        /* the family's own array, [last - first] */

    or_workspace workspace;     /* of embed(), layer(), project() and finish(), one at a time */
    float *rope_cos, *rope_sin; /* [rope_positions, head_dim / 2] */
    size_t rope_positions;
    float *rope_divisors; /* [head_dim / 2] of the frequencies; NULL but for OR_ROPE_TENSOR */
};

struct or_family {
    const char *name;  /* or_hparams.family */
    size_t layer_size; /* bytes of one element of model->layers */
    or_status (*bind_ends)(or_model *model);
    or_status (*bind_layer)(or_model *model, int layer, void *bound);
    void (*unbind_layer)(void *bound); /* also of a layer that was bound half-way */

    or_status (*embed)(or_model *model, const int32_t *tokens, size_t rows, size_t position, float *hidden);
    or_status (*layer)(or_model *model, const void *bound, const or_span *spans, size_t n_spans, size_t rows,
                       const or_kv_layer *kv, float *hidden, const or_model_taps *taps);
    or_status (*project)(or_model *model, const void *bound, const or_span *spans, size_t n_spans,
                         size_t rows, const or_kv_layer *kv, const float *hidden);
    /* *states[n, d_embed] is in the workspace, or `rows` itself */
    or_status (*finish)(or_model *model, const float *rows, size_t n, const float **states);
};

/* Finds a matrix [rows, columns] / reads a vector [count] as float32 (malloc'ed), and counts its bytes. The
 * matrix stays where it is until the model is closed, and is filled in when all of a stage were found. A table
 * is a matrix of which single rows are looked up. */
or_status or_model_matrix(or_model *model, const char *name, int rows, int columns, or_matrix *matrix);
or_status or_model_table(or_model *model, const char *name, int rows, int columns, or_matrix *table);
or_status or_model_vector(or_model *model, const char *name, int count, float **vector);

/* Finds embedding (where first is 0) and output projection, which may be one tensor. */
or_status or_model_bind_tokens(or_model *model, const char *embedding, const char *head);

/* out[rows, d_embed] = the tokens' rows of the embedding. */
void or_model_token_rows(const or_model *model, const int32_t *tokens, size_t rows, float *out);

/* Makes room for `floats` floats; what was in the workspace is lost. */
or_status or_workspace_reserve(or_workspace *workspace, size_t floats);

/* Where the steps of a layer leave their results, in the workspace. */
enum { OR_FF_ROWS = 1024 };
typedef struct or_scratch {
    float *normed, *q, *k, *v, *mixed, *scores; /* attention: [rows, ...] */
    float *out;                                 /* [rows, d_model]: what the block adds */
    float *gate, *up;                           /* [OR_FF_ROWS, d_ff]; gate where or_hparams.gated_ff */
} or_scratch;

or_status or_scratch_lay_out(or_model *model, const or_span *spans, size_t n_spans, size_t rows,
                             or_scratch *scratch);

/* Frequency of rotary pair i as the model stretches it (rope.c); divisors: see or_model.rope_divisors. */
float or_rope_frequency(const or_hparams *hparams, const float *divisors, int i);

/* How far the rotary tables are made to reach when `positions` are asked for, so that they seldom grow. */
size_t or_rope_positions(size_t positions);

/* Makes the rotary tables reach `positions` positions. */
or_status or_model_reserve_rope(or_model *model, size_t positions);

extern const or_family or_family_llama;
extern const or_family or_family_opt;

#endif
