/* stage.h - what a rank does with a wave: its layers, each with its ramp. No MPI here: the caller passes what
 * is to happen between layers, and takes the records.
 */
#ifndef OFFRAMP_PIPELINE_STAGE_H
#define OFFRAMP_PIPELINE_STAGE_H

#include "kv_cache.h"
#include "record.h"
#include "wave.h"

enum { OR_RAMP_ROWS = 64 }; /* rows that a ramp checks at a time, which bounds the memory for logits */

/* A row whose next-token distribution is wanted. */
typedef struct or_due {
    size_t rider;
    int32_t row; /* of the wave */
} or_due;

typedef struct or_stage {
    or_model *model; /* not owned, like the policies */
    or_policy *const *policies;
    size_t n_policies;
    int n_layers; /* of the whole model */
    bool taps;
    or_kv kv;   /* n_slots 0 where prompts are scored only; then n_pages may be 0 too */
    bool pause; /* set by the hook: or_stage_run() is to return before the next layer */
    or_stage_stats stats;

    /* Scratch, grown as needed. */
    float *rows, *logits; /* ramp: rows that are due, and their logits */
    or_due *due;
    or_record *records; /* of one ramp, [n_records] */
    bool *leaves;
    or_rider
        *owed; /* [n_owed] riders that left at the layer that was given, whose tokens are still to be found */
    float *owed_rows;      /* [n_owed, width] */
    or_token_logit *draws; /* [threads, n_vocab] */
    int32_t *waiting;      /* [n_riders] positions that join each rider */
    or_span *ghosts;       /* of the riders whose waiting positions are projected */
    float *ghost_rows;
    float *last_hidden; /* taps: last rows before the layer, [n_riders, width] */
    float *cosines;     /* taps: [n_riders, 3] attn, mlp, hidden */
    size_t n_records, n_owed, owed_capacity, owed_rows_capacity, rows_capacity, logits_capacity, due_capacity,
        records_capacity, leaves_capacity, draws_capacity, waiting_capacity, ghosts_capacity,
        ghost_rows_capacity, last_capacity, cosines_capacity;
    float *new_attn, *new_mlp;
    size_t attn_capacity, mlp_capacity;
} or_stage;

/* A wave has come to the stage, and is merged or run next: the cache learns where its continuations stand,
 * and takes its ghosts. */
void or_stage_arrive(or_stage *stage, or_wave *wave);

/* Rows that may be in this stage at a time because of a rider: its own, and those that wait for it here. */
size_t or_stage_burden(const or_stage *stage, const or_rider *rider);

/* Called after each layer and its ramp, and at the end with the tokens that were owed: hands over the records, of
 * which there may be none (of riders that left or are observed), and lets messages flow. */
typedef or_status or_stage_hook(void *context, const or_record *records, size_t n_records);

/* Runs the wave, which has arrived, through the stage's layers before layer `until` (the stage's last, or
 * where another wave waits to be merged), as long as a rider is left and the hook does not ask for a pause.
 * Rows that wait before a layer join those of their continuation that come to it. Riders that leave are
 * reported to the hook and compacted away at once; their rows wait, where a later one may come for them.
 * One whose numbers are not finite leaves, too, and its record says so (fault.h). */
or_status or_stage_run(or_stage *stage, or_wave *wave, int until, or_stage_hook *hook, void *context);

/* The ramp after wave->layer layers: fills stage->records and stage->leaves (ramp.c). */
or_status or_ramp_check(or_stage *stage, or_wave *wave);

/* The tokens that are owed: fills stage->records. */
or_status or_ramp_settle(or_stage *stage);

/* Whether a ramp has to compute the whole distribution for this rider, by its shortlist (shortlist.c). */
or_status or_shortlist_check(or_stage *stage, const or_wave *wave, size_t r, bool *whole);

void or_stage_free(or_stage *stage);

#endif
