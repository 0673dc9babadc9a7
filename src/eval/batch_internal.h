/* batch_internal.h - what a batch is made of.
 *
 *   batch_read.c     lines of either form -> requests, each to be run or refused
 *   batch_follow.c   the continuation that a request follows
 *   batch_run.c      requests -> pipeline -> tokens, text -> a line of the results, in the journal
 *   batch_results.c  that line, in either form
 *   batch.c          opening, the journal's head and what it gives back, the finished file, figures
 */
#ifndef OFFRAMP_EVAL_BATCH_INTERNAL_H
#define OFFRAMP_EVAL_BATCH_INTERNAL_H

#include "journal.h"
#include "memory.h"

#include <offramp/batch.h>
#include <offramp/stream.h>

/* A continuation on its way: from or_job.request() to or_job.finish(). */
typedef struct or_continuation {
    or_stream *stream;
    or_token *tokens; /* [n] */
    size_t *offsets;  /* [n], bytes of `text` before the token */
    size_t n, tokens_capacity, offsets_capacity;
    or_buffer text;         /* what is certain of it; no NUL characters, those are U+FFFD */
    bool stopped;           /* a stop text is complete */
    double admitted, first; /* or_clock_now() */
} or_continuation;

typedef struct or_batch_request {
    size_t number, line; /* among the file's requests, and in the file; from 1 */
    char *id;            /* as JSON; cJSON's memory */
    bool openai;
    char *model; /* OpenAI: what the line calls it; NULL */
    or_tokens prompt;
    or_tokens follow;           /* the continuation that is followed, whatever is drawn; empty: none */
    or_batch_settings settings; /* max_tokens is cut to what there is room for */
    char **stops;               /* [n_stops], the line's own; NULL where settings.stops are the plan's */
    size_t n_stops;
    char *error;     /* why it is refused; NULL: it can run */
    size_t n_shared; /* see or_request */

    or_continuation *going;  /* while it runs */
    or_buffer result;        /* its line of the results, with the line break; empty until it is finished */
    uint64_t tokens, layers; /* of that result: how many, and the sum of their exit layers */
    int fault;               /* or_job.fault()'s layer: that is its result; 0: it did not fail */
    double first, last;      /* seconds since it was admitted, of this process; 0: it did not run here */
} or_batch_request;

struct or_batch {
    or_batch_plan plan;
    uint64_t input_hash; /* of the file's bytes */
    or_batch_request *requests;
    size_t n_requests, capacity;
    char *output;
    or_journal *journal; /* NULL for a prompt */
    size_t n_journal;    /* results that are on disk */
    or_run_stats *stats; /* of this process */

    /* A run (batch_run.c). */
    size_t *pending; /* [n_pending] requests that this process runs: the job's */
    size_t n_pending;
    size_t n_begun_done;           /* results that were there before */
    size_t n_finished, n_unsynced; /* of this process; and those not known to be on disk */
    uint64_t drawn, layers;        /* tokens of this process, also of what is on its way */
    double begin, last_sync, last_show;
    const or_pipeline *pipeline; /* NULL: none */
    or_eval_show *show;
    bool (*stop)(void *);
    void *context;
};

/* batch_read.c. Fills the requests of the plan's file, or of its prompt. */
or_status or_batch_read(or_batch *batch);

/* batch_follow.c. Takes over a plain line's "follow" where it has one. The prompt is there already, and is
 * cut where the continuation begins before its end. */
or_status or_batch_read_follow(const or_batch_plan *plan, const cJSON *object, or_batch_request *request);

/* batch.c. Writes the results of a batch of which every request is finished or refused. */
or_status or_batch_write(const or_batch *batch);

/* batch_results.c. The line of a request that is finished, refused or has failed, in its form, with the line
 * break. */
or_status or_batch_put_result(const or_batch *batch, const or_batch_request *request, or_finish why,
                              or_buffer *out);
or_status or_batch_put_refusal(const or_batch_request *request, or_buffer *out);
or_status or_batch_put_failure(const or_batch_request *request, or_buffer *out);

/* batch_run.c. The pipeline's job for all requests that have no result yet, and what there is to do after
 * it. */
or_status or_batch_begin(or_batch *batch, or_job *job);
or_status or_batch_sync(or_batch *batch);
void or_continuation_free(or_continuation *going); /* NULL is fine */

#endif
