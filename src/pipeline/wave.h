/* wave.h - the rows that travel through a stage together, and their form on the wire.
 *
 *   requests   r0      r1   r2 ...        n_requests, in admission order
 *   hidden     ######  ###  ########      n_rows x width, a request's rows one after the other
 *   attn, mlp  #       #    #             n_requests x width, with taps: the previous layer's outputs
 *   choices    ..      ...                tokens of all requests, one after the other
 *
 * Waves are appended to each other (merging) and compacted when requests leave. Pure: no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_WAVE_H
#define OFFRAMP_PIPELINE_WAVE_H

#include "compute.h"
#include "memory.h"

#include <offramp/pipeline.h>

/* One request in a wave; plain numbers, also on the wire. */
typedef struct or_rider {
    uint64_t index;  /* of the job */
    int32_t rows;    /* tokens */
    int32_t policy;  /* -1: full depth */
    int32_t observe; /* 0 or 1 */
    int32_t n_choices;
    or_ramp_state state;
} or_rider;

typedef struct or_wave {
    size_t width; /* d_model */
    bool taps;
    int32_t layer; /* layers executed so far, equal for all riders */
    size_t n_riders, n_rows, n_choices;
    or_rider *riders;
    or_span *spans; /* [n_riders] rows of each */
    int32_t *choices;
    float *hidden, *attn, *mlp;
    size_t riders_capacity, spans_capacity, choices_capacity, hidden_capacity, attn_capacity, mlp_capacity;
} or_wave;

void or_wave_init(or_wave *wave, size_t width, bool taps);
void or_wave_free(or_wave *wave);
void or_wave_clear(or_wave *wave); /* no riders, layer 0; keeps its memory */

/* Adds a rider with its choices; its rows and taps are there, to be filled by the caller (taps zeroed). */
or_status or_wave_add(or_wave *wave, const or_rider *rider, const int32_t *choices);

/* Appends all riders of `other`, which has the same layer, width and taps. */
or_status or_wave_append(or_wave *wave, const or_wave *other);

/* Removes the riders r with leaves[r]; the others keep their order. */
void or_wave_compact(or_wave *wave, const bool *leaves);

/* Bytes on the wire, and writing them. The receiver's machine must have the same byte order. */
size_t or_wave_wire_size(const or_wave *wave);
void or_wave_encode(const or_wave *wave, void *bytes);

/* Reads a wave from the wire into an initialised one. Everything in it is checked: OR_ERR_PEER when the sizes
 * do not fit each other, this pipeline's width and taps, or its policies. */
or_status or_wave_decode(or_wave *wave, const void *bytes, size_t size, size_t n_policies);

/* How many of the first sizes to take so that their sum is within the budget: at least one if there are any.
 * Decides both what is admitted into a wave and which arrived waves are merged. */
size_t or_take_within(const size_t *sizes, size_t n, size_t budget);

#endif
