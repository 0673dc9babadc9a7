/* plan.h - how the layers are split over the ranks. Pure functions over plain structs. */
#ifndef OFFRAMP_PLAN_H
#define OFFRAMP_PLAN_H

#include <offramp/checkpoint.h>
#include <offramp/status.h>

#include <stdbool.h>
#include <stddef.h>

enum { OR_PLAN_STAGES = 1024 }; /* most stages a plan can have */

/* Stage s holds layers [bound[s], bound[s + 1]), counted from 0; bound[0] = 0, bound[n_stages] = L. Every
 * stage has at least one layer. */
typedef struct or_plan {
    int n_stages;
    int bound[OR_PLAN_STAGES + 1];
} or_plan;

/* As equal as can be; the first stages get the layers left over. OR_ERR_USAGE when there are more ranks than
 * layers. */
or_status or_plan_even(int n_layers, int n_ranks, or_plan *plan);

/* From what --plan says: "even"; "10,20,25,25" (layers per rank, which must fit n_ranks and add up to
 * n_layers); or the name of a file {"layers": [10, 20, 25, 25]}. OR_ERR_USAGE or, for a file, OR_ERR_INPUT. */
or_status or_plan_parse(const char *text, int n_layers, int n_ranks, or_plan *plan);

/* Whether it is "auto": no plan yet, but one to be made from what work costs (or_plan_auto()). NULL is not. */
bool or_plan_is_auto(const char *text);

/* The way back: "10,20,25,25", malloc'ed. */
or_status or_plan_format(const or_plan *plan, char **text);

/* What a rank holds in memory while it runs its stage, in bytes. Prompts longer than a wave need more than
 * this, and so do cosine features with very many short prompts. */
typedef struct or_stage_memory {
    size_t weights;   /* mapped: its layers, what its ramps need, and on stage 0 the embedding */
    size_t workspace; /* scratch of a layer and a ramp */
    size_t waves;     /* running, arriving, waiting and leaving */
    size_t total;
} or_stage_memory;

/* That of one stage, with waves of `wave_tokens` rows on `threads` threads. */
or_stage_memory or_plan_memory(const or_plan *plan, int stage, const or_hparams *hparams,
                               const or_shares *shares, size_t wave_tokens, int threads);

/* The most rows that a wave can have and still be sent to the next rank in one message (1 GiB). */
size_t or_plan_wave_rows(const or_hparams *hparams);

/* The most rows of a wave, up to `most`, with which the stage takes no more than `limit` bytes; 0 when none
 * do. */
size_t or_plan_rows_within(size_t limit, size_t most, const or_plan *plan, int stage,
                           const or_hparams *hparams, const or_shares *shares, int threads);

/* The smallest number of ranks from `n_ranks` on whose even split takes no rank more than `limit` bytes; 0
 * when not even a rank per layer does. */
int or_plan_ranks_within(size_t limit, int n_ranks, const or_hparams *hparams, const or_shares *shares,
                         size_t wave_tokens, int threads);

#endif
