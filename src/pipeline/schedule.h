/* schedule.h - rank 0's view of the continuations in flight: which tokens are known, which positions may be
 * run next, what a record means.
 *
 *   request --admit: slot, pages--> sequence      known   p r o m p t | t0 t1 t2
 *                                                 fed     . . . . . .   .  .       rows begun
 *                                                 given                 .          tokens given to the job
 *   peek, feed: a rider for the rows [fed, known)
 *   take: a record -> a token is known, is given -> the next row may be fed ... -> finish
 *
 * Sequences with something to feed stand in a queue, so each gets its turn. Under verify a draft makes the
 * next row known at once, and `given` follows when the full depth's verdicts come; one that contradicts its
 * draft takes known and fed back. Rows that are under way then are told by their round; their records mean
 * nothing.
 *
 * Where a token cannot be told (or_record.fault) the sequence ends when all before it are given.
 *
 * A sequence may end while riders of it are still under way (verify). Its slot and pages go to another only
 * when they have come home: a stage that merges waves would otherwise run rows of both, which write to the
 * same pages.
 *
 * Pure: plain structs, no MPI, no clock; the job's token(), finish() and fault() are called from take().
 */
#ifndef OFFRAMP_PIPELINE_SCHEDULE_H
#define OFFRAMP_PIPELINE_SCHEDULE_H

#include "pages.h"
#include "record.h"
#include "wave.h"

enum {
    OR_DRAFTS_PUSHED = 4, /* verify: so many drafts are verified together */
    OR_DRAFTS_MOST = 16   /* drafts that may wait for their verdicts */
};

typedef struct or_sequence or_sequence;

typedef struct or_schedule {
    const or_job *job;
    int n_stages, n_layers, n_vocab;
    bool share; /* prefixes are shared */
    or_pages pages;
    or_sequence **slots; /* [n_slots], NULL: free */
    size_t n_slots, n_active;
    int32_t *queue; /* [n_slots] a ring of slots */
    size_t queue_first, n_queued;
    uint64_t numbers;    /* last or_step.sequence that was given */
    size_t n_riders;     /* under way */
    uint64_t *survivors; /* [n_layers + 1], not owned */
    or_run_stats *stats; /* counts, not owned */
} or_schedule;

/* `numbers`: so far used, so that no number is used twice by a pipeline. or_schedule_close() of {0} is
 * fine. */
or_status or_schedule_open(or_schedule *schedule, size_t n_slots, size_t n_pages, uint64_t numbers);
void or_schedule_close(or_schedule *schedule);

/* Takes a request if a slot and pages enough for its prompt and all its tokens are there; otherwise it has
 * to wait. */
or_status or_schedule_admit(or_schedule *schedule, size_t index, const or_request *request, bool *admitted);

/* The rider that is next: at most `most` rows (>= 1). */
typedef struct or_feed {
    or_rider rider;
    const int32_t *tokens; /* [rider.rows] */
    const int32_t *pages;  /* [rider.step.n_pages] */
} or_feed;

/* Finds it, changing nothing but the order of the queue; false when nothing can be fed now. */
bool or_schedule_peek(or_schedule *schedule, size_t most, or_feed *feed);

/* The rider of the last peek is begun. */
void or_schedule_feed(or_schedule *schedule, const or_feed *feed);

/* Riders of continuations that ask, in a wave at most, so that every stage has some to work on. */
size_t or_schedule_share(const or_schedule *schedule);

/* Takes a record of a continuation. OR_ERR_PEER when it cannot be: its numbers are outside of what there
 * is, its rider is not under way, or nothing of its kind is expected at its position. What comes of dropped
 * drafts, and of a continuation that has ended, means nothing but that the rider is home. */
or_status or_schedule_take(or_schedule *schedule, const or_record *record);

#endif
