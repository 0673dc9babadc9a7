/* trace.h - what every layer saw of full-depth runs: the data from which policies are trained and replayed.
 *
 * trace.csv holds a row per request and layer, layers 1..L in order, one request after the other:
 *   task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token
 * Beside it, trace.csv.json says which model it is of and what its layers and ramps cost. Local.
 */
#ifndef OFFRAMP_TRACE_H
#define OFFRAMP_TRACE_H

#include <offramp/policy.h>
#include <offramp/status.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What trace.csv.json says. */
typedef struct or_trace_meta {
    uint64_t fingerprint; /* of the model, written as 16 hexadecimal digits */
    int n_layers;
    int n_vocab;       /* 0: not known, the trace is of a version that did not write it */
    double layer_macs; /* mean multiply-adds of one layer for one request of the trace */
    double row_macs;   /* the same for the one row behind the request, as in generation; 0: not known */
    double ramp_macs;  /* multiply-adds of one ramp (the output projection of one row) */
} or_trace_meta;

/* One request's full-depth run. */
typedef struct or_trace_item {
    char *task;
    int shots;
    int64_t index;
    int32_t final_token;  /* the full model's argmax */
    int32_t answer_token; /* the data set's answer, -1 when it has none */
    or_observation *seen; /* [n_layers]; `stable` counted as if every layer had a ramp */
} or_trace_item;

/* Owns its items with their tasks and observations; {0} is empty. */
typedef struct or_trace {
    or_trace_meta meta;
    or_trace_item *items; /* [count] */
    size_t count, capacity;
} or_trace;

/* Writing, as requests finish: begin, then each item in order, then end (which checks the stream, syncs and
 * renames the file into place; abandon instead removes it). Both release the writer, end also when it fails;
 * after a failed put, abandon. OR_ERR_INPUT when the file cannot be made or a task's name is no line of text,
 * OR_ERR_FAILED for an item that the reader would refuse: layers out of order, numbers out of range. */
typedef struct or_trace_writer or_trace_writer;
or_status or_trace_begin(const char *path, int n_layers, or_trace_writer **writer);
or_status or_trace_put(or_trace_writer *writer, const or_trace_item *item);
or_status or_trace_end(or_trace_writer *writer, const or_trace_meta *meta);
void or_trace_abandon(or_trace_writer *writer); /* NULL is fine */

/* Appends the items of a file to *trace ({0} at first); the costs in meta become the mean over all items.
 * Files of several models do not mix: refused. When refused, *trace is as it was. */
or_status or_trace_read(const char *path, or_trace *trace);
void or_trace_free(or_trace *trace);

/* ShortGPT's block influence (arXiv 2403.03853) of each layer, influence[n_layers], of a trace with at least
 * one item: 1 - the mean cosine of the hidden state before and after the layer. ShortGPT takes the mean over
 * all positions of a calibration text; this is at the last position of the traced prompts, where the answer
 * is read. Pure. */
void or_block_influence(const or_trace *trace, double *influence);

/* The k <= n_layers layers (1..L) of least influence, layers[k], the least first, of equal ones the deeper:
 * those that ShortGPT drops (or_checkpoint_open_without()). Pure. */
void or_least_influential(const double *influence, int n_layers, int k, int *layers);

#endif
