/* run.c - rank 0 of a run: admits requests, runs stage 0, and puts the answers together from the records that
 * come home from all stages.
 *
 * A request is admitted (gets a track), travels as a rider, and is answered when the record with which it
 * left is here. There is no end message: the run is over when as many are answered as were admitted.
 */
#include "pipeline_internal.h"

#include "clock.h"

#include <string.h>

/* A request that was admitted and not yet answered. */
typedef struct track {
    or_observation *seen; /* observed requests: [n_layers], filled as records come */
    int n_seen;
    bool has_left;
    or_record left; /* the record with which it left */
} track;

struct or_tracker {
    const or_job *job;
    int n_layers;
    track **tracks; /* [n_requests], NULL before admission and after the answer */
    size_t n_answered;
    uint64_t *survivors; /* [n_layers + 1] */
};

/* Gives the answer to the job, and counts it, once the request has left and, if observed, all its
 * observations are in (those of different ranks may overtake each other). */
static or_status answer_if_complete(or_tracker *tracker, size_t index)
{
    track *t = tracker->tracks[index];
    const or_record *left = &t->left;
    if (!t->has_left || (t->seen && t->n_seen < left->seen.layer)) return OR_OK;
    or_answer answer = {
        .exit = left->seen,
        .choice = left->choice,
        .logsumexp = left->logsumexp,
        .n_best = left->n_best,
        .seen = t->seen,
    };
    memcpy(answer.best, left->best, sizeof answer.best);
    /* survivors[l]: it executed more than l layers */
    for (int layer = 0; layer < left->seen.layer; layer++) tracker->survivors[layer]++;
    or_status status = tracker->job->answer(tracker->job->context, index, &answer);
    free(t->seen);
    free(t);
    tracker->tracks[index] = NULL;
    tracker->n_answered++;
    return status;
}

/* Records come from stages of this run, but over the wire: an index, layer or second leaving that cannot
 * be is refused. */
or_status or_tracker_take(or_tracker *tracker, const or_record *records, size_t n_records)
{
    for (size_t i = 0; i < n_records; i++) {
        const or_record *record = &records[i];
        const int layer = record->seen.layer;
        track *t = record->index < tracker->job->n_requests ? tracker->tracks[record->index] : NULL;
        if (!t || layer < 1 || layer > tracker->n_layers || (t->has_left && record->leaves))
            return or_fail(OR_ERR_PEER, "unexpected record", NULL, "of request %llu at layer %d",
                           (unsigned long long)record->index, layer);
        if (t->seen) {
            t->seen[layer - 1] = record->seen;
            t->n_seen++;
        }
        if (record->leaves) {
            t->left = *record;
            t->has_left = true;
        }
        OR_TRY(answer_if_complete(tracker, (size_t)record->index));
    }
    return OR_OK;
}

/* Checks what the job gave, so that no index or size from outside goes further. */
static or_status check_request(const or_pipeline *p, size_t index, const or_request *request)
{
    const or_hparams *h = or_model_hparams(p->model);
    if (request->n_tokens < 1 || request->n_tokens > p->longest)
        return or_fail(OR_ERR_INPUT, "prompt refused", NULL, "request %zu has %zu tokens, expected 1..%zu",
                       index, request->n_tokens, p->longest);
    for (size_t i = 0; i < request->n_tokens; i++)
        if (request->tokens[i] < 0 || request->tokens[i] >= h->n_vocab)
            return or_fail(OR_ERR_INPUT, "prompt refused", NULL,
                           "request %zu has token %d, the model knows 0..%d", index, request->tokens[i],
                           h->n_vocab - 1);
    for (size_t i = 0; i < request->n_choices; i++)
        if (request->choices[i] < 0 || request->choices[i] >= h->n_vocab)
            return or_fail(OR_ERR_INPUT, "prompt refused", NULL,
                           "request %zu has choice %d, the model knows 0..%d", index, request->choices[i],
                           h->n_vocab - 1);
    return OR_OK;
}

/* Puts a request into the wave at layer 0: its rows are embedded, [n_tokens, d_model] behind those that
 * are there. */
static or_status admit(or_pipeline *p, size_t index, const or_request *request)
{
    or_tracker *tracker = p->tracker;
    const or_rider rider = {
        .index = index,
        .rows = (int32_t)request->n_tokens,
        .policy = request->policy,
        .observe = request->observe,
        .n_choices = (int32_t)request->n_choices,
        .state = {-1, 0},
    };
    track *t = NULL;
    OR_TRY(OR_NEW(t, 1));
    tracker->tracks[index] = t;
    if (request->observe) OR_TRY(OR_NEW(t->seen, (size_t)tracker->n_layers));
    const size_t row = p->running.n_rows;
    OR_TRY(or_wave_add(&p->running, &rider, request->choices));
    OR_TRY(or_model_embed(p->model, request->tokens, request->n_tokens, 0,
                          p->running.hidden + row * p->running.width));
    p->stage.stats.requests_in++;
    p->stage.stats.rows_in += request->n_tokens;
    return OR_OK;
}

/* What rank 0 has yet to admit: the next request is asked for one ahead, to see whether it still fits. */
typedef struct queue {
    size_t next;
    bool ready; /* `request` holds request `next` */
    or_request request;
} queue;

/* Fills the running wave with the next requests in order, up to the token budget; the first is taken
 * whatever its size. */
static or_status fill_wave(or_pipeline *p, queue *q)
{
    const or_job *job = p->tracker->job;
    or_wave_clear(&p->running);
    while (q->next < job->n_requests) {
        if (!q->ready) {
            q->request = (or_request){.policy = -1};
            OR_TRY(job->request(job->context, q->next, &q->request));
            OR_TRY(check_request(p, q->next, &q->request));
            q->ready = true;
        }
        const size_t sizes[2] = {p->running.n_rows, q->request.n_tokens};
        const bool first = p->running.n_riders == 0;
        if (!first && or_take_within(sizes, 2, p->wave_tokens) < 2) break;
        OR_TRY(admit(p, q->next, &q->request));
        q->ready = false;
        q->next++;
    }
    if (p->running.n_riders > 0) p->stage.stats.waves_in++;
    return OR_OK;
}

/* Admits and runs until everything admitted is answered. While a wave is held for lack of credit none is
 * admitted: that is how a slow rank slows the first. When the job stops, what is in the pipeline still
 * comes home. */
static or_status run_requests(or_pipeline *p, bool *stopped)
{
    const or_job *job = p->tracker->job;
    queue q = {0};
    double nap = 20e-6;
    *stopped = false;
    for (;;) {
        OR_TRY(or_pipeline_pump(p));
        OR_TRY(or_pipeline_send_held(p));
        if (job->tick) OR_TRY(job->tick(job->context));
        if (!*stopped && job->stop && q.next < job->n_requests) *stopped = job->stop(job->context);
        const bool admitting = q.next < job->n_requests && !*stopped;
        if (!admitting && !p->held && p->tracker->n_answered == q.next) return OR_OK;
        if (admitting && !p->held) {
            OR_TRY(fill_wave(p, &q));
            OR_TRY(or_pipeline_advance(p));
            nap = 20e-6;
        } else {
            or_pipeline_nap(p, &nap);
        }
    }
}

/* Asks every stage what it did: one FINISH to each, one STATS from each. Blocking (asleep); the other
 * ranks are in serve(). */
static or_status gather_stats(or_pipeline *p, or_run_stats *stats)
{
    p->n_gathered = 1;
    for (int rank = 1; rank < p->plan.n_stages; rank++)
        OR_TRY(or_transport_send(p->transport, rank, OR_TAG_FINISH, NULL, 0));
    double nap = 20e-6;
    stats->n_stages = p->plan.n_stages;
    stats->stage[0] = p->stage.stats;
    while (p->n_gathered < p->plan.n_stages) {
        OR_TRY(or_pipeline_pump(p));
        or_pipeline_nap(p, &nap);
    }
    for (int rank = 1; rank < p->plan.n_stages; rank++) stats->stage[rank] = p->gathered[rank];
    p->stage.stats = (or_stage_stats){.first = 0, .last = p->plan.bound[1]};
    return OR_OK;
}

/* After an error the other ranks may be in the middle of anything, so the pipeline is marked as failed:
 * closing it does not drain. A stop is no error. */
or_status or_pipeline_run(or_pipeline *p, const or_job *job, or_run_stats *stats)
{
    or_tracker tracker = {.job = job, .n_layers = p->stage.n_layers};
    const double begin = or_clock_now();
    bool stopped = false;
    *stats = (or_run_stats){0};
    or_status status = OR_NEW(tracker.tracks, job->n_requests);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, OR_NEW(tracker.survivors, (size_t)tracker.n_layers + 1));
    p->tracker = &tracker;
    OR_TRY_GOTO(done, run_requests(p, &stopped));
    stats->seconds = or_clock_now() - begin;
    OR_TRY_GOTO(done, gather_stats(p, stats));
    stats->survivors = tracker.survivors;
    tracker.survivors = NULL;
    if (stopped) status = OR_STOPPED;

done:
    p->tracker = NULL;
    if (status != OR_OK && status != OR_STOPPED) p->failed = true;
    for (size_t i = 0; tracker.tracks && i < job->n_requests; i++) {
        if (tracker.tracks[i]) free(tracker.tracks[i]->seen);
        free(tracker.tracks[i]);
    }
    free(tracker.tracks);
    free(tracker.survivors);
    return status;
}

void or_run_stats_free(or_run_stats *stats)
{
    free(stats->survivors);
    stats->survivors = NULL;
}
