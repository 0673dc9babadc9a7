/* sim_internal.h - the parts of a simulation: events, waves of riders without rows, what rank 0 knows, the stages.
 *
 *   sim_events.c   events by time, and waves           sim_source.c   rank 0: filling waves, answers
 *   simulate.c     the stages, and the result
 */
#ifndef OFFRAMP_PIPELINE_SIM_INTERNAL_H
#define OFFRAMP_PIPELINE_SIM_INTERNAL_H

#include "memory.h"
#include "pipeline_internal.h"

#include <offramp/simulate.h>

/* ---- waves and events ----------------------------------------------------------------------------------- */

typedef struct or_sim_rider {
    uint32_t request;
    int32_t rows;
    int32_t exit; /* layers that it executes */
    bool asks;    /* its last row gives a token */
} or_sim_rider;

/* Riders on their way; also those that left, as records on their way home. */
typedef struct or_sim_wave {
    int layer; /* layers executed */
    size_t n, capacity, rows, asking;
    int next_exit; /* nobody leaves before */
    bool waited;   /* for a credit, on the last link */
    or_sim_rider *riders;
} or_sim_wave;

typedef enum or_sim_kind {
    /* In the time of work. */
    OR_SIM_RAN,  /* the stage has run its wave as far as was foreseen */
    OR_SIM_LEFT, /* riders have left at a stage */
    /* In seconds. */
    OR_SIM_LOOK,    /* the sleeping stage looks for messages, of which one is there */
    OR_SIM_WAVE,    /* a wave arrives */
    OR_SIM_CREDIT,  /* a credit comes back */
    OR_SIM_RECORDS, /* riders come home to rank 0 */
    OR_SIM_ARRIVAL  /* the next request is there */
} or_sim_kind;

typedef struct or_sim_event {
    double time;
    or_sim_kind kind;
    int stage;
    or_sim_wave *wave; /* LEFT, WAVE, RECORDS */
    uint64_t number;   /* in the order in which they were made: decides among equal times */
} or_sim_event;

typedef struct or_sim_heap {
    or_sim_event *events; /* [count] none later than those at 2i + 1, 2i + 2 */
    size_t count, capacity;
} or_sim_heap;

/* Two clocks. Where n ranks that work share c < n cores, each does c/n seconds of work in a second: then the time of
 * work, which is the same for all that work, goes slower. */
typedef struct or_sim_events {
    or_sim_heap seconds, work;
    double now, worked; /* in seconds; of work */
    double cores;       /* 0: each rank has its own */
    int working;        /* ranks */
    uint64_t numbers;
    or_sim_wave **waves, **spare; /* all that were made; those that nobody has */
    size_t n_waves, n_spare, waves_capacity, spare_capacity;
} or_sim_events;

/* Its time is by the clock of its kind; its number is given here. */
or_status or_sim_push(or_sim_events *events, or_sim_event event);

/* The next event of either clock; both go on to it. False: there is none. */
bool or_sim_next(or_sim_events *events, or_sim_event *event);
void or_sim_events_free(or_sim_events *events);

/* An empty one at that layer, and giving it back; NULL is fine. */
or_status or_sim_wave_new(or_sim_events *events, int layer, or_sim_wave **wave);
void or_sim_wave_drop(or_sim_events *events, or_sim_wave *wave);

or_status or_sim_wave_add(or_sim_wave *wave, const or_sim_rider *rider);

/* Moves riders [from, from + n) of one wave behind those of the other, which has the same layer. */
or_status or_sim_wave_move(or_sim_wave *wave, or_sim_wave *from, size_t n);

/* Moves those that leave at its layer to `left`. */
or_status or_sim_wave_leave(or_sim_wave *wave, or_sim_wave *left);

/* ---- rank 0 ------------------------------------------------------------------------------------------------ */

/* A request that was admitted. Of its rows and tokens `fed` were begun; `given` answers have come. */
typedef struct or_sim_track {
    double admitted, answered;
    int32_t fed, given;
    int32_t n_riders; /* under way */
    bool queued;
} or_sim_track;

/* run.c and schedule.c without contents. */
typedef struct or_sim_source {
    const or_simulation *what;
    or_sim_track *tracks; /* [n_requests] */
    uint32_t *queue;      /* [sequences] a ring of those with something to feed */
    size_t queue_first, n_queued, next, n_active, n_riders, n_done;
    size_t rows;     /* that were begun */
    size_t n_asking; /* of continuations, in the wave that is filled */
    or_run_stats *stats;
} or_sim_source;

or_status or_sim_source_open(or_sim_source *source, const or_simulation *what, or_run_stats *stats);
void or_sim_source_close(or_sim_source *source);

/* Fills an empty wave with what is there now; it may stay empty. */
or_status or_sim_fill(or_sim_source *source, double now, or_sim_wave *wave);

/* Riders come home. */
void or_sim_home(or_sim_source *source, double now, const or_sim_wave *records);

/* All were answered, and nobody is under way. */
bool or_sim_is_over(const or_sim_source *source);

/* How long requests took. */
or_status or_sim_latencies(const or_sim_source *source, or_simulated *result);

#endif
