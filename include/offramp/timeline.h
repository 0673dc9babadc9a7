/* timeline.h - what every rank did and when, over the runs of a job: a file that ui.perfetto.dev and
 * chrome://tracing open (docs/timeline.md).
 *
 *   runs     | sst2 5 full                                      | sst2 5 svm               |
 *   rank 0   |busy      |send|busy      |send|wait|busy     |idle|busy      |send|busy     |
 *   rank 1   |idle           |busy       |idle |busy            |idle            |busy     |
 *
 * Every rank opens a timeline and names it when it opens a pipeline (or_pipeline_options.timeline); it may
 * serve several pipelines, one after the other. Each rank then records its own events, and rank 0 gathers
 * them at the end of each run. Of a rank a million events are kept at most, of all four million; those that
 * come later are counted only. Nothing that is computed changes by it.
 */
#ifndef OFFRAMP_TIMELINE_H
#define OFFRAMP_TIMELINE_H

#include <offramp/pipeline.h>

/* Compares the clocks of the ranks with rank 0's, so that events of different hosts line up: as well as
 * half a message's way there and back, and a little worse as the clocks drift apart. Collective, blocking
 * (asleep); outside of a pipeline. */
or_status or_timeline_open(or_transport *transport, or_timeline **timeline);
void or_timeline_close(or_timeline *timeline); /* local; NULL is fine */

/* Rank 0: writes the runs so far as trace events in JSON, whole or not at all. OR_ERR_INPUT when the folder
 * cannot be written. Local. */
or_status or_timeline_write(const or_timeline *timeline, const char *path);

#endif
