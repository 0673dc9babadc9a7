/* events.h - what a rank did, event by event, and how rank 0 puts the ranks' together.
 *
 *   this rank's own events --or_timeline_pack()--> bytes --or_timeline_take()--> lanes[rank], on rank 0
 *
 * Events of a rank follow each other and do not overlap. Those of busy, wait and idle last as long as its
 * or_stage_stats say, taken together. What is between them goes to messages, and on rank 0 to admission.
 * Pure: no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_EVENTS_H
#define OFFRAMP_PIPELINE_EVENTS_H

#include "clocks.h"
#include "memory.h"

#include <offramp/timeline.h>

typedef enum or_event_kind {
    OR_EVENT_BUSY, /* a wave goes through layers */
    OR_EVENT_SEND, /* a wave is packed and its message begun */
    OR_EVENT_WAIT, /* a wave cannot be sent for lack of credit */
    OR_EVENT_IDLE, /* nothing to do */
    OR_EVENT_KINDS
} or_event_kind;

/* Plain numbers, also on the wire. */
typedef struct or_event {
    double begin, end; /* seconds, or_clock_now() of its rank */
    double ramp, macs; /* BUSY: seconds of it at ramps, multiply-adds executed */
    int64_t
        wave; /* SEND: its number on the way to the next rank, BUSY: of the first that came in by it; from 0 */
    int64_t bytes;                /* SEND: of the message */
    int32_t kind;                 /* or_event_kind */
    int32_t waves;                /* BUSY: so many came in by it */
    int32_t first, last;          /* BUSY: layers (first, last] */
    int32_t rows, riders;         /* BUSY: when it began; SEND */
    int32_t rows_out, riders_out; /* BUSY: when it ended */
    int32_t exits;                /* BUSY: of requests; silent riders leave, too */
} or_event;

typedef struct or_events {
    or_event *items; /* [count], in order */
    size_t count, capacity;
    size_t most;      /* count at most */
    uint64_t dropped; /* that were too many */
} or_events;

/* What rank 0 knows of a rank. */
typedef struct or_lane {
    or_events events; /* of all runs so far, by rank 0's clock */
    or_clock_gap gap;
    char *host;
    int32_t first, last; /* layers; both 0 where they are not the same in all runs */
    int64_t sent; /* waves to the next rank in all runs so far, at which the next run's numbers begin */
} or_lane;

/* From its first request to its last answer. */
typedef struct or_run_span {
    char *name;
    double begin, end;
} or_run_span;

struct or_timeline {
    int rank, n_ranks;  /* of the job, whatever pipelines it has */
    or_events own;      /* of this rank, since the run began */
    or_lane *lanes;     /* rank 0: [n_ranks], else NULL */
    or_run_span *spans; /* rank 0: [n_spans] */
    size_t n_spans, spans_capacity;
};

/* Opens one that nobody has told clocks and hosts. Rank 0's gathers. */
or_status or_timeline_make(int rank, int n_ranks, or_timeline **timeline);

/* The next event of this rank. Waiting and idling that goes on where the last event ended makes that one
 * longer. No timeline (NULL): nothing. Where there is no memory it is dropped. */
void or_timeline_add(or_timeline *timeline, const or_event *event);

/* Drops this rank's events: a run begins. NULL: nothing. */
void or_timeline_forget(or_timeline *timeline);

/* This rank's events as bytes (malloc'ed) for rank 0; it has none then. */
or_status or_timeline_pack(or_timeline *timeline, void **data, size_t *size);

/* Rank 0: takes those of a rank (its own, too). OR_ERR_PEER when they cannot be a rank's. */
or_status or_timeline_take(or_timeline *timeline, const void *data, size_t size);

/* Rank 0, after all ranks' were taken: the run that they are of. `name` may be NULL. */
or_status or_timeline_end_run(or_timeline *timeline, const char *name, double begin,
                              const or_run_stats *stats);

/* Appends the file of or_timeline_write(). */
or_status or_timeline_put(const or_timeline *timeline, or_buffer *out);

#endif
