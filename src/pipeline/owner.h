/* owner.h - which process of which job writes a journal: a member of the journal's head.
 *
 *   "owner": {"host": "n07", "pid": 4711, "job": "1234", "restart": 1}
 *
 * A scheduler that queues a job again after it has lost a node (Slurm: same SLURM_JOB_ID, SLURM_RESTART_COUNT
 * greater) cannot tell whether the former generation still runs on that node, and may hold a lock there. The
 * later one succeeds it. Local.
 */
#ifndef OFFRAMP_PIPELINE_OWNER_H
#define OFFRAMP_PIPELINE_OWNER_H

#include "json.h"

typedef struct or_owner {
    char host[256];
    int64_t pid;
    char job[64];    /* of the scheduler; "" outside of one */
    int64_t restart; /* how often it was queued again */
} or_owner;

/* This process. */
void or_owner_self(or_owner *owner);

/* As JSON. */
or_status or_owner_put(or_buffer *out, const or_owner *owner);

/* Of a journal's head; all zero where it names none. */
void or_owner_read(const cJSON *head, or_owner *owner);

/* Whether `next` is a later generation of the job that `owner` belongs to, which has ended or is to end. Pure. */
bool or_owner_succeeds(const or_owner *next, const or_owner *owner);

#endif
