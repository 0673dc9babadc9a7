/* journal.h - finished results on disk, one JSON object a line, appended only.
 *
 *   {"offramp_journal":1,"run":"<what is being run>","owner":{...}}
 *   {"group":0,"index":17,...}
 *   ...
 *
 * A result counts once its line is on disk: lines are appended by write() and made durable by fdatasync() in
 * or_journal_sync(); what was appended since is not yet counted. A job killed at any moment leaves whole lines
 * and perhaps a torn last one, which is left out when the journal is opened again.
 *
 * One job writes at a time. The file is locked (flock(), which NFS, Lustre and GPFS know across hosts; the
 * lock goes with the process), and whoever goes on with a journal copies it to a new file under the same
 * name. So a former job that is not as dead as it seemed - cut off with its node, on a file system without
 * locks, or succeeded by the next generation of its own job (owner.h) - writes to a file that has no name any
 * more, and is told so at its next sync. Rank 0 only; local.
 */
#ifndef OFFRAMP_PIPELINE_JOURNAL_H
#define OFFRAMP_PIPELINE_JOURNAL_H

#include "json.h"

typedef struct or_journal or_journal;

/* Takes a line that was found when opening. */
typedef or_status or_journal_line(void *context, const cJSON *line, const char *where);

/* Opens `path` for the run that `run` describes (any text without line breaks; results of another run must
 * not mix). A new file is begun; an existing one is OR_ERR_INPUT unless `resume`, when its run must be the
 * same and its lines are given to `take`. OR_ERR_INPUT also while another job writes to it. A file that is
 * refused stays as it was. */
or_status or_journal_open(const char *path, const char *run, bool resume, or_journal_line *take,
                          void *context, or_journal **journal);

/* Appends one line (a JSON object without its line break). */
or_status or_journal_append(or_journal *journal, const char *line, size_t size);

/* Makes everything appended durable; *lines is how many lines are on disk in all, the head not counted.
 * OR_ERR_FAILED when the disk is full, or another job goes on with the journal. */
or_status or_journal_sync(or_journal *journal, size_t *lines);

/* OR_ERR_FAILED when another job goes on with the journal: before results are written beside it. */
or_status or_journal_check(const or_journal *journal);

void or_journal_close(or_journal *journal); /* NULL is fine */

#endif
