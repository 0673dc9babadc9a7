/* model.h - a stage's part of a model: the layers [first, last), the final norm and output projection that
 * its ramps need, and, where first is 0, the embedding.
 *
 * Hidden states are float32 [rows, d_model], one row per token; a request's tokens are consecutive rows (a
 * span), first token first. Layers are counted from 0 here; "exit layer" elsewhere counts layers executed.
 *
 * Local: each rank opens its own part; the file is mapped and only tensors of that part are touched. A model
 * works on one wave at a time (its workspace is reused), on or_threads() threads; all calls block.
 * The numbers of a request do not depend on the other requests of the wave (see src/compute/compute.h).
 */
#ifndef OFFRAMP_MODEL_H
#define OFFRAMP_MODEL_H

#include <offramp/checkpoint.h>
#include <offramp/span.h>
#include <offramp/status.h>

typedef struct or_model or_model;

/* Opens layers [first, last) of the checkpoint at `path`; 0 <= first < last <= L. OR_ERR_INPUT when a
 * tensor is missing or of another shape than the config says, naming it. */
or_status or_model_open(const char *path, int first, int last, or_model **model);
void or_model_close(or_model *model); /* NULL is fine */

/* How else; {0} is or_model_open(). */
typedef struct or_model_options {
    const char *without; /* layers that are left out, or_checkpoint_open_without(); L are left */
    const char *local;   /* folder for copies of what is read, or_checkpoint_copy_to() */
} or_model_options;
or_status or_model_open_with(const char *path, const or_model_options *options, int first, int last,
                             or_model **model);

/* Bytes that opening it has copied, and found copied: or_checkpoint_copied(). */
void or_model_copied(const or_model *model, uint64_t *copied, uint64_t *reused);

/* Whether every layer of that model could be opened: OR_ERR_INPUT names the first tensor that is missing, of
 * another shape, or of a type that is not computed with. Reads headers only. */
or_status or_model_check(const char *path, const char *without);

const or_hparams *or_model_hparams(const or_model *model);
int or_model_first(const or_model *model);
int or_model_last(const or_model *model);

/* Identifies the weights: the checkpoint's fingerprint and the bytes of the final norm, if there is one,
 * and of a part of the output projection, which every rank has. Equal on all ranks. */
uint64_t or_model_fingerprint(const or_model *model);

/* Bytes of weights that this part computes with: its layers, final norm, head, and embedding if it has it. A
 * tensor that is both embedding and head counts once. */
size_t or_model_bytes(const or_model *model);

/* hidden[rows, d_model] = the embeddings of `rows` tokens of one request: row i is at position `position` +
 * i, which is below n_context. 0 <= token < n_vocab. Only where first is 0. OR_ERR_FAILED when the workspace
 * cannot be allocated. */
or_status or_model_embed(or_model *model, const int32_t *tokens, size_t rows, size_t position, float *hidden);

/* What a layer computed at the last row of each span, for the cosine features: [n_spans, d_model] each. */
typedef struct or_model_taps {
    float *attn; /* attention output after its projection (and bias), before the residual is added */
    float *mlp;  /* feed-forward output, before the residual is added */
} or_model_taps;

/* Runs layer `layer` (first <= layer < last) over the hidden states in place. The spans cover all rows.
 * Keys and values of spans that keep them in pages are put there (`kv`) first, of all spans, and then
 * every row attends to its own position and all before it: to what the pages hold of them, whenever that
 * was computed. So a sequence may be run in one piece or token by token, to the same bits. Spans of one
 * sequence must not overlap. kv may be NULL when no span has pages; taps may be NULL. OR_ERR_FAILED when
 * the workspace cannot be allocated. */
or_status or_model_layer(or_model *model, int layer, const or_span *spans, size_t n_spans,
                         const or_kv_layer *kv, float *hidden, const or_model_taps *taps);

/* Puts the keys and values that layer `layer` makes of the hidden states hidden[rows, d_model] into its
 * pages, and does nothing else: for tokens that skip the layer. All spans keep theirs in pages. */
or_status or_model_project(or_model *model, int layer, const or_span *spans, size_t n_spans,
                           const or_kv_layer *kv, const float *hidden);

/* Floats of one page of one layer. A pure function of the shape. */
size_t or_hparams_page_floats(const or_hparams *hparams);

/* The next-token logits that the hidden states `rows` [n, d_model] give: logits[n, n_vocab] = output
 * projection of the final norm (logit lens). Any layer's hidden states may be asked. A model without a
 * final norm (OPT 350M, whose layers end with a norm of their own) has its hidden states multiplied as they
 * are; where the embedding is narrower than the layers, they are narrowed before the output projection as
 * after the last layer. */
or_status or_model_logits(or_model *model, const float *rows, size_t n, float *logits);

/* The logits of some tokens only: logits[n, k] of tokens[n, k], each row its own. Summed in another order
 * than or_model_logits(), so they may differ from those in their last bits. */
or_status or_model_candidates(or_model *model, const float *rows, size_t n, const int32_t *tokens, size_t k,
                              float *logits);

/* Bytes of scratch that a part of this model takes while it runs waves of `rows` rows, whose sequences have
 * up to `positions` positions, and ramps over `ramp_rows` rows, on `threads` threads. Pages are not counted.
 * A pure function of the shape. */
size_t or_hparams_workspace(const or_hparams *hparams, size_t rows, size_t positions, size_t ramp_rows,
                            int threads);

/* Multiply-adds of one layer for a prompt of `tokens` tokens (matrices and causal attention); for `rows` rows
 * from `position` on of a sequence; of projecting one row's key and value; and of one row's logits. Pure
 * functions of the shape, from which all figures on saved work are made. */
double or_hparams_layer_macs(const or_hparams *hparams, int64_t tokens);
double or_hparams_rows_macs(const or_hparams *hparams, int64_t position, int64_t rows);
double or_hparams_project_macs(const or_hparams *hparams);
double or_hparams_head_macs(const or_hparams *hparams);

#endif
