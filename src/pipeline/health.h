/* health.h - what the ranks of a job tell of themselves, and which of them is lost.
 *
 *   main thread of a rank: or_transport_tell(vital) --pulse, twice a second--> rank 0: or_health
 *                                                                               |-> or_health_judge()
 *                                                                               |-> or_health_put_json()
 *
 * A pulse is sent by a thread of its own (transport_watch.c), so that it comes however long a layer takes: a
 * rank without pulse is dead, stopped, or cut off. A rank that pulses may still hang; then nothing is done any
 * more while a run is on, or results are put on disk. Plain data and pure functions; times are or_clock_now() of
 * the rank that judges.
 */
#ifndef OFFRAMP_PIPELINE_HEALTH_H
#define OFFRAMP_PIPELINE_HEALTH_H

#include "memory.h"

#include <offramp/pipeline.h>

typedef enum or_doing {
    OR_DOING_START,  /* reads what it was given */
    OR_DOING_LOAD,   /* opens its layers */
    OR_DOING_LAYER,  /* computes */
    OR_DOING_WAIT,   /* has nothing to do */
    OR_DOING_CREDIT, /* has a wave that the next rank does not take yet */
    OR_DOING_WRITE   /* rank 0: has results put on disk */
} or_doing;

/* What a rank tells of itself; on the wire. */
typedef struct or_vital {
    int32_t doing;  /* or_doing */
    int32_t layer;  /* LAYER: the last one it has run of its wave */
    int32_t rows;   /* of that wave */
    int32_t runs;   /* 1: rank 0 has requests in the pipeline */
    int64_t wave;   /* waves it has run, this one not counted */
    int64_t steps;  /* grows with all that it does */
    double slowest; /* seconds from one step to the next at most, while it computed */
    or_stage_stats stage;
} or_vital;

/* A rank, as another one sees it. */
typedef struct or_health_rank {
    const char *host;
    or_vital vital;
    double heard; /* when its last pulse came */
    double moved; /* when its steps had grown */
} or_health_rank;

typedef struct or_health {
    int n_ranks;
    or_health_rank *ranks; /* [n_ranks], malloc'ed */
} or_health;

/* All ranks as if heard of `now`. */
or_status or_health_open(or_health *health, int n_ranks, double now);
void or_health_free(or_health *health);

/* A pulse of a rank has come. */
void or_health_take(or_health *health, int rank, const or_vital *vital, double now);

/* After the judge itself had stood still: nobody is blamed for it. */
void or_health_forgive(or_health *health, double now);

typedef struct or_loss {
    int rank;    /* -1: none is lost */
    bool silent; /* no pulse; else it pulses, and nothing is done */
    double seconds;
} or_loss;

/* Which rank is lost, as rank `judge` sees it. Rank 0 hears all; the others hear rank 0 only, and judge 3 s later
 * (rank 1) or 6 s, so that one of them says it. Silent: no pulse for `timeout` s. Still: a run is on or results are
 * put on disk, and no rank has taken a step for `timeout` s, or four times the longest step until then; named is
 * rank 0 if it writes, else the one that computes. timeout 0: never. A job of one rank may be waiting for whoever
 * reads its output, and is lost only where it writes. */
or_loss or_health_judge(const or_health *health, int judge, double timeout, double now);

/* When the launcher ends the job: the rank that has been silent for longest, if for `least` s at least. */
or_loss or_health_missing(const or_health *health, int judge, double least, double now);

enum { OR_DOING_TEXT = 96 };

/* "layer 9, 48 rows, wave 12", "waiting for waves". */
const char *or_doing_text(const or_vital *vital, char text[OR_DOING_TEXT]);

/* Sets the message of a loss; returns OR_ERR_PEER. */
or_status or_health_fail(const or_health *health, const or_loss *loss);

/* The status file (docs/cluster.md). `state` is "running" or how it ended: "done", "stopped", "failed", "lost";
 * `seconds` since the job began. */
or_status or_health_put_json(or_buffer *out, const or_health *health, const or_headway *headway,
                             const char *command, const char *state, double seconds, double now);

#endif
