/* stage.h - what a rank does with a wave: its layers, each with its ramp. No MPI here: the caller passes what
 * is to happen between layers, and takes the records.
 */
#ifndef OFFRAMP_PIPELINE_STAGE_H
#define OFFRAMP_PIPELINE_STAGE_H

#include "record.h"
#include "wave.h"

enum { OR_RAMP_ROWS = 64 }; /* rows that a ramp checks at a time, which bounds the memory for logits */

typedef struct or_stage {
    or_model *model; /* not owned, like the policies */
    or_policy *const *policies;
    size_t n_policies;
    int n_layers; /* of the whole model */
    bool taps;
    or_stage_stats stats;

    /* Scratch, grown as needed. */
    float *rows, *logits; /* ramp: last rows of the riders that are due, and their logits */
    size_t *due;          /* which riders those are */
    or_record *records;   /* of one ramp, [n_records] */
    bool *leaves;
    float *last_hidden; /* taps: last rows before the layer, [n_riders, width] */
    float *cosines;     /* taps: [n_riders, 3] attn, mlp, hidden */
    size_t n_records, rows_capacity, logits_capacity, due_capacity, records_capacity, leaves_capacity,
        last_capacity, cosines_capacity;
    float *new_attn, *new_mlp;
    size_t attn_capacity, mlp_capacity;
} or_stage;

/* Called after each layer and its ramp: hands over the records, of which there may be none (of riders that
 * left or are observed), and lets messages flow. */
typedef or_status or_stage_hook(void *context, const or_record *records, size_t n_records);

/* Runs the wave through the stage's layers until they end or no rider is left. Riders that leave are reported
 * to the hook and compacted away at once. OR_ERR_FAILED when numbers are not finite, naming the layer. */
or_status or_stage_run(or_stage *stage, or_wave *wave, or_stage_hook *hook, void *context);

/* The ramp after wave->layer layers: fills stage->records and stage->leaves (ramp.c). */
or_status or_ramp_check(or_stage *stage, const or_wave *wave);

void or_stage_free(or_stage *stage);

#endif
