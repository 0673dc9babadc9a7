/* run.c - the first rank of a pipeline in a run: admits requests, runs stage 0, and puts the answers
 * together from the records that come home from all stages.
 *
 * A prompt that is scored gets a track, is admitted behind what it lacks of its prefix (prefix.h), travels as
 * a rider, and is answered when the record with which it left is here. Continuations are the schedule's
 * (schedule.h). A wave takes riders of these first, then the next requests. There is no end message: the run
 * is over when all that was admitted has come to its end, and every rider has come home.
 */
#include "pipeline_internal.h"
#include "replicas.h"

#include "fault.h"
#include "prefix.h"
#include "sample.h"

#include "clock.h"
#include "log.h"
#include "machine.h"

#include <string.h>

/* A prompt that is scored, until it is answered and its silent riders are home. */
typedef struct track {
    or_prefix prefix;
    or_observation *seen; /* observed requests: [n_layers], filled as records come */
    int n_seen;
    bool admitted, has_left, answered;
    or_record left; /* the record with which it left */
} track;

struct or_tracker {
    const or_job *job;
    int n_layers;
    track **tracks;              /* [n_requests], NULL where there is none, as of continuations */
    size_t n_scored, n_answered; /* prompts that were admitted, and that were answered */
    size_t n_silent;             /* riders that compute prefixes, under way */
    uint64_t *survivors;         /* [n_layers + 1] */
    or_run_stats *stats;         /* not owned */
    or_schedule schedule;        /* n_slots 0 where nothing is generated; its pages are for prefixes too */
};

static void free_track(track *t)
{
    if (!t) return;
    free(t->prefix.pages);
    free(t->seen);
    free(t);
}

static void drop_if_over(or_tracker *tracker, size_t index)
{
    track *t = tracker->tracks[index];
    if (!t->answered || t->prefix.n_riders > 0) return;
    or_prefix_release(&t->prefix, &tracker->schedule.pages);
    free_track(t);
    tracker->tracks[index] = NULL;
}

/* To the job. */
static or_status give_answer(const or_tracker *tracker, size_t index)
{
    const track *t = tracker->tracks[index];
    const or_record *left = &t->left;
    if (left->fault > 0) return or_job_fault(tracker->job, index, left->fault);
    or_answer answer = {
        .exit = left->seen,
        .choice = left->choice,
        .logsumexp = left->logsumexp,
        .n_best = left->n_best,
        .seen = t->seen,
    };
    memcpy(answer.best, left->best, sizeof answer.best);
    return tracker->job->answer(tracker->job->context, index, &answer);
}

/* Gives the answer, and counts it, once the request has left and, if observed, all its observations are in
 * (those of different ranks come in any order). */
static or_status answer_if_complete(or_tracker *tracker, size_t index)
{
    track *t = tracker->tracks[index];
    if (!t->has_left || (t->seen && t->n_seen < t->left.seen.layer)) return OR_OK;
    /* survivors[l]: it executed more than l layers */
    for (int layer = 0; layer < t->left.seen.layer; layer++) tracker->survivors[layer]++;
    or_status status = give_answer(tracker, index);
    tracker->n_answered++;
    t->answered = true;
    drop_if_over(tracker, index);
    return status;
}

static or_status refuse_record(const or_record *record)
{
    return or_fail(OR_ERR_PEER, "unexpected record", NULL, "of request %llu at layer %d",
                   (unsigned long long)record->index, record->seen.layer);
}

/* Part of a prefix is through. */
static or_status take_silent(or_tracker *tracker, track *t, const or_record *record)
{
    if (!t || t->prefix.n_riders == 0) return refuse_record(record);
    t->prefix.n_riders--;
    tracker->n_silent--;
    drop_if_over(tracker, (size_t)record->index);
    return OR_OK;
}

static or_status take_scored(or_tracker *tracker, track *t, const or_record *record)
{
    const int layer = record->seen.layer;
    if (!t || !t->admitted || t->answered || layer < 1 || layer > tracker->n_layers || record->fault < 0 ||
        record->fault > layer || (t->has_left && record->leaves))
        return refuse_record(record);
    if (t->seen) {
        t->seen[layer - 1] = record->seen;
        t->n_seen++;
    }
    if (record->leaves) {
        t->left = *record;
        t->has_left = true;
    }
    return answer_if_complete(tracker, (size_t)record->index);
}

/* Records come from stages of this run, but over the wire: an index, layer or second leaving that cannot
 * be is refused. */
or_status or_tracker_take(or_tracker *tracker, const or_record *records, size_t n_records)
{
    for (size_t i = 0; i < n_records; i++) {
        const or_record *record = &records[i];
        track *t = record->index < tracker->job->n_requests ? tracker->tracks[record->index] : NULL;
        if (record->sequence)
            OR_TRY(or_schedule_take(&tracker->schedule, record));
        else if (record->kind == OR_RECORD_SILENT)
            OR_TRY(take_silent(tracker, t, record));
        else
            OR_TRY(take_scored(tracker, t, record));
    }
    return OR_OK;
}

static or_status check_tokens(const or_pipeline *p, size_t index, const char *what, const int32_t *tokens,
                              size_t count)
{
    const int n_vocab = or_model_hparams(p->model)->n_vocab;
    for (size_t i = 0; tokens && i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= n_vocab)
            return or_fail(OR_ERR_INPUT, "request refused", NULL,
                           "request %zu has %s %d, the model knows 0..%d", index, what, tokens[i],
                           n_vocab - 1);
    return OR_OK;
}

/* `count` exit layers, if any are given. */
static or_status check_exits(const or_pipeline *p, size_t index, const int32_t *exits, size_t count)
{
    const int n_layers = p->stage.n_layers;
    for (size_t i = 0; exits && i < count; i++)
        if (exits[i] < 1 || exits[i] > n_layers)
            return or_fail(OR_ERR_INPUT, "request refused", NULL,
                           "request %zu is to exit at layer %d, expected 1..%d", index, exits[i], n_layers);
    return OR_OK;
}

/* What only scored prompts have. Where an exit is given, its row is computed later than the ramp, which knows
 * neither choices nor cosines any more. */
static or_status check_scoring(const or_pipeline *p, size_t index, const or_request *request)
{
    if (request->exits && (request->n_choices > 0 || request->observe))
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "request %zu has a given exit and %s, expected one of them", index,
                       request->observe ? "is observed" : "choices");
    OR_TRY(check_tokens(p, index, "choice", request->choices, request->n_choices));
    return check_exits(p, index, request->exits, 1);
}

/* What only continuations have. */
static or_status check_generation(const or_pipeline *p, size_t index, const or_request *request)
{
    const size_t room = or_pipeline_room(p);
    if (request->n_tokens + request->max_tokens > room)
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "request %zu asks for %zu tokens behind %zu, the KV cache has room for %zu in all",
                       index, request->max_tokens, request->n_tokens, room);
    OR_TRY(check_exits(p, index, request->exits, request->max_tokens));
    OR_TRY(check_tokens(p, index, "forced token", request->forced, request->max_tokens));
    return or_sampling_check(&request->sampling, NULL);
}

/* Checks what the job gave, so that no index or size from outside goes further. */
or_status or_pipeline_check(const or_pipeline *p, size_t index, const or_request *request)
{
    if (request->n_tokens < 1 || request->n_tokens > p->longest)
        return or_fail(OR_ERR_INPUT, "prompt refused", NULL, "request %zu has %zu tokens, expected 1..%zu",
                       index, request->n_tokens, p->longest);
    OR_TRY(check_tokens(p, index, "token", request->tokens, request->n_tokens));
    return request->max_tokens > 0 ? check_generation(p, index, request) : check_scoring(p, index, request);
}

/* Puts a rider into the wave at layer 0: its rows are embedded, [rows, d_model] behind those that are
 * there. */
static or_status board(or_pipeline *p, const or_rider *rider, const int32_t *tokens, const int32_t *choices,
                       const int32_t *pages)
{
    const size_t row = p->running.n_rows, rows = (size_t)rider->rows;
    OR_TRY(or_wave_add(&p->running, rider, choices, pages));
    OR_TRY(or_model_embed(p->model, tokens, rows, (size_t)rider->step.position,
                          p->running.hidden + row * p->running.width));
    p->stage.stats.requests_in += !or_step_is_prefix(&rider->step);
    p->stage.stats.rows_in += rows;
    return OR_OK;
}

/* A prompt that is scored, whose prefix is in the pipeline: the rows behind it. */
static or_status admit(or_pipeline *p, size_t index, const or_request *request)
{
    or_tracker *tracker = p->tracker;
    track *t = tracker->tracks[index];
    const int32_t position = or_prefix_positions(&t->prefix);
    const or_rider rider = {
        .index = index,
        .rows = (int32_t)request->n_tokens - position,
        .policy = request->policy,
        .observe = request->observe,
        .n_choices = (int32_t)request->n_choices,
        .state = OR_RAMP_STATE_START,
        .step = {.position = position,
                 .n_pages = t->prefix.n_pages,
                 .exits_at = request->exits ? request->exits[0] : 0},
    };
    t->admitted = true;
    tracker->n_scored++;
    tracker->stats->prompt_tokens += request->n_tokens;
    tracker->stats->prompt_tokens_shared += (size_t)t->prefix.n_found * OR_PAGE;
    return board(p, &rider, request->tokens + position, request->choices, t->prefix.pages);
}

/* What rank 0 has yet to admit: the next request is asked for one ahead, to see whether it still fits. */
typedef struct queue {
    size_t next;
    size_t there; /* requests that the job has by now */
    bool more;    /* and others may follow */
    size_t rows;  /* that were begun */
    bool ready;   /* `request` holds request `next` */
    or_request request;
} queue;

/* The wave that is being filled. */
typedef struct filling {
    size_t budget; /* rows that it may have with scored prompts */
    size_t rows;   /* that it may come to have in this stage (or_stage_burden()) */
    size_t riders; /* of continuations that ask */
} filling;

/* Riders of continuations, as long as they fit. */
static or_status feed_wave(or_pipeline *p, filling *f)
{
    or_schedule *schedule = &p->tracker->schedule;
    or_feed feed;
    while (f->riders < or_schedule_share(schedule) && (f->rows == 0 || f->rows < p->wave_tokens)) {
        const size_t most = f->rows < p->wave_tokens ? p->wave_tokens - f->rows : 1;
        if (!or_schedule_peek(schedule, most, &feed)) break;
        const size_t sizes[2] = {f->rows, or_stage_burden(&p->stage, &feed.rider)};
        if (f->rows > 0 && or_take_within(sizes, 2, p->wave_tokens) < 2) break;
        or_schedule_feed(schedule, &feed);
        OR_TRY(board(p, &feed.rider, feed.tokens, NULL, feed.pages));
        f->rows += sizes[1];
        f->riders += feed.rider.step.asks != INT32_MAX;
    }
    return OR_OK;
}

static or_status open_track(or_pipeline *p, size_t index, const or_request *request)
{
    or_tracker *tracker = p->tracker;
    track *t = NULL;
    if (tracker->tracks[index]) return OR_OK;
    OR_TRY(OR_NEW(t, 1));
    tracker->tracks[index] = t;
    if (request->observe) OR_TRY(OR_NEW(t->seen, (size_t)tracker->n_layers));
    return p->share_prefixes ? or_prefix_take(&t->prefix, &tracker->schedule.pages, request) : OR_OK;
}

/* What a prompt lacks of its prefix, as far as it fits. */
static or_status feed_prefix(or_pipeline *p, size_t index, const or_request *request, filling *f)
{
    or_pages *pages = &p->tracker->schedule.pages;
    or_prefix *prefix = &p->tracker->tracks[index]->prefix;
    or_feed feed;
    while (or_prefix_waits(prefix) && or_prefix_is_fed(prefix, pages) && f->rows < f->budget) {
        or_prefix_feed(prefix, pages, index, request, f->budget - f->rows, &feed);
        p->tracker->n_silent++;
        OR_TRY(board(p, &feed.rider, feed.tokens, NULL, feed.pages));
        f->rows += (size_t)feed.rider.rows;
    }
    return OR_OK;
}

/* A prompt that is scored, if it fits behind what comes before it. */
static or_status take_prompt(or_pipeline *p, size_t index, const or_request *request, filling *f, bool *taken)
{
    if (f->rows >= f->budget) return OR_OK; /* so that none takes pages before its time */
    OR_TRY(open_track(p, index, request));
    OR_TRY(feed_prefix(p, index, request, f));
    const or_prefix *prefix = &p->tracker->tracks[index]->prefix;
    if (or_prefix_waits(prefix) || !or_prefix_is_fed(prefix, &p->tracker->schedule.pages)) return OR_OK;
    const size_t sizes[2] = {f->rows, request->n_tokens - (size_t)or_prefix_positions(prefix)};
    if (f->rows > 0 && or_take_within(sizes, 2, f->budget) < 2) return OR_OK;
    OR_TRY(admit(p, index, request));
    f->rows += sizes[1];
    *taken = true;
    return OR_OK;
}

/* Asks the job how many requests it has by now. */
static or_status count_requests(const or_pipeline *p, queue *q)
{
    const or_job *job = p->tracker->job;
    q->there = job->n_requests;
    q->more = false;
    return job->ready ? job->ready(job->context, q->next, &q->there, &q->more) : OR_OK;
}

/* Asks for the next request, unless it is there already. */
static or_status look_ahead(or_pipeline *p, queue *q)
{
    const or_job *job = p->tracker->job;
    if (q->ready) return OR_OK;
    q->request = (or_request){.policy = -1, .sampling = {.top_p = 1}};
    OR_TRY(job->request(job->context, q->next, &q->request));
    OR_TRY(or_pipeline_check(p, q->next, &q->request));
    q->ready = true;
    return OR_OK;
}

/* Takes the request that is looked at into the wave, or to the continuations, if there is room. */
static or_status take_request(or_pipeline *p, queue *q, filling *f, bool *taken)
{
    *taken = false;
    if (q->request.max_tokens == 0) return take_prompt(p, q->next, &q->request, f, taken);
    OR_TRY(or_schedule_admit(&p->tracker->schedule, q->next, &q->request, taken));
    return *taken ? feed_wave(p, f) : OR_OK;
}

/* Fills the running wave: continuations that are under way, then the next requests in order, up to the
 * token budget; the first rider is taken whatever its size. It may stay empty. */
static or_status fill_wave(or_pipeline *p, queue *q, bool admitting)
{
    const size_t left = q->more ? SIZE_MAX : q->there - q->next;
    filling f = {.budget = or_wave_budget(p->wave_tokens, p->plan.n_stages, q->rows, q->next, left)};
    or_wave_clear(&p->running);
    if (p->tracker->schedule.n_slots > 0) OR_TRY(feed_wave(p, &f));
    for (bool taken = true; admitting && taken && q->next < q->there;) {
        OR_TRY(look_ahead(p, q));
        OR_TRY(take_request(p, q, &f, &taken));
        if (!taken) break;
        q->ready = false;
        q->next++;
    }
    q->rows += f.rows;
    if (p->running.n_riders == 0) return OR_OK;
    p->stage.stats.waves_in++;
    or_stage_arrive(&p->stage, &p->running);
    return OR_OK;
}

/* Whether all that was admitted has come to its end. After a stop continuations are left where they are. */
static bool is_over(const or_pipeline *p, bool stopped)
{
    const or_tracker *t = p->tracker;
    return !p->held && t->n_answered == t->n_scored && t->n_silent == 0 && t->schedule.n_riders == 0 &&
           (stopped || t->schedule.n_active == 0);
}

/* Admits and runs until everything admitted is answered. While a wave is held for lack of credit none is
 * admitted: that is how a slow rank slows the first. When the job stops, what is in the pipeline still
 * comes home. */
static or_status run_requests(or_pipeline *p, bool *stopped)
{
    const or_job *job = p->tracker->job;
    queue q = {0};
    *stopped = false;
    for (;;) {
        OR_TRY(or_pipeline_pump(p));
        OR_TRY(or_pipeline_send_held(p));
        if (job->tick) OR_TRY(job->tick(job->context));
        OR_TRY(count_requests(p, &q));
        const bool coming = q.next < q.there || q.more;
        if (!*stopped && job->stop && (coming || p->tracker->schedule.n_active > 0))
            *stopped = job->stop(job->context);
        const bool admitting = coming && !*stopped;
        if (!admitting && is_over(p, *stopped)) return OR_OK;
        if (!p->held && !*stopped) OR_TRY(fill_wave(p, &q, admitting));
        if (!p->held && !*stopped && p->running.n_riders > 0) {
            or_wait_end(&p->waiting);
            OR_TRY(or_pipeline_advance(p));
        } else {
            or_pipeline_nap(p);
        }
    }
}

/* Its own; those of the other ranks come by messages. */
static or_status keep_events(or_pipeline *p)
{
    void *data;
    size_t size;
    if (!p->timeline) return OR_OK;
    OR_TRY(or_timeline_pack(p->timeline, &data, &size));
    return or_pipeline_keep_events(p, data, size);
}

/* Asks every stage what it did: one FINISH to each, one STATS from each, which comes after its EVENTS if a
 * timeline is recorded. Blocking (asleep); the other ranks are in serve(). */
static or_status gather_stats(or_pipeline *p, or_run_stats *stats)
{
    p->n_gathered = 1;
    OR_TRY(keep_events(p));
    for (int rank = 1; rank < p->plan.n_stages; rank++)
        OR_TRY(or_transport_send(p->transport, rank, OR_TAG_FINISH, NULL, 0));
    stats->n_stages = p->plan.n_stages;
    stats->stage[0] = p->stage.stats;
    stats->stage[0].peak = or_machine_peak();
    while (p->n_gathered < p->plan.n_stages) {
        OR_TRY(or_pipeline_pump(p));
        or_pipeline_nap(p);
    }
    for (int rank = 1; rank < p->plan.n_stages; rank++) stats->stage[rank] = p->gathered[rank];
    return OR_OK;
}

/* Tells all ranks that a run begins, this one too. */
static or_status begin_run(or_pipeline *p)
{
    or_pipeline_begin_run(p);
    for (int rank = 1; rank < p->plan.n_stages; rank++)
        OR_TRY(or_transport_send(p->transport, rank, OR_TAG_BEGIN, NULL, 0));
    return OR_OK;
}

/* Numbers of continuations go on from run to run, as the stages know them by these. */
static or_status open_schedule(or_pipeline *p, or_tracker *tracker, or_run_stats *stats)
{
    or_schedule *s = &tracker->schedule;
    if (p->stage.kv.n_pages == 0) return OR_OK;
    s->job = tracker->job;
    s->n_stages = p->plan.n_stages;
    s->n_layers = tracker->n_layers;
    s->n_vocab = or_model_hparams(p->model)->n_vocab;
    s->share = p->share_prefixes;
    s->survivors = tracker->survivors;
    s->stats = stats;
    return or_schedule_open(s, p->stage.kv.n_slots, p->stage.kv.n_pages, p->numbers);
}

void or_pipeline_room_now(const or_pipeline *p, size_t *slots, size_t *pages)
{
    const or_schedule *s = &p->tracker->schedule;
    *slots = s->n_slots - s->n_active;
    *pages = s->n_slots > 0 ? or_pages_available(&s->pages) : 0;
}

/* After an error the other ranks may be in the middle of anything, so the pipeline is marked as failed:
 * closing it does not drain. A stop is no error. */
or_status or_pipeline_run_own(or_pipeline *p, const or_job *job, or_run_stats *stats)
{
    or_tracker tracker = {.job = job, .n_layers = p->stage.n_layers, .stats = stats};
    const double begin = or_clock_now();
    bool stopped = false;
    p->paused = false;
    *stats = (or_run_stats){0};
    or_status status = OR_NEW(tracker.tracks, job->n_requests);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, OR_NEW(tracker.survivors, (size_t)tracker.n_layers + 1));
    OR_TRY_GOTO(done, open_schedule(p, &tracker, stats));
    p->tracker = &tracker;
    OR_TRY_GOTO(done, begin_run(p));
    OR_TRY_GOTO(done, run_requests(p, &stopped));
    stats->seconds = or_clock_now() - begin;
    OR_TRY_GOTO(done, gather_stats(p, stats));
    if (stats->prompt_tokens_shared > 0)
        or_log_detail("prompt tokens: %llu, shared %llu", (unsigned long long)stats->prompt_tokens,
                      (unsigned long long)stats->prompt_tokens_shared);
    stats->survivors = tracker.survivors;
    tracker.survivors = NULL;
    if (stopped) status = OR_STOPPED;

done:
    p->tracker = NULL;
    if (status != OR_OK && status != OR_STOPPED) p->failed = true;
    if (tracker.schedule.n_slots > 0) p->numbers = tracker.schedule.numbers;
    or_schedule_close(&tracker.schedule);
    for (size_t i = 0; tracker.tracks && i < job->n_requests; i++) free_track(tracker.tracks[i]);
    free(tracker.tracks);
    free(tracker.survivors);
    return status;
}

or_status or_pipeline_run(or_pipeline *p, const or_job *job, or_run_stats *stats)
{
    const double begin = or_clock_now();
    or_transport_tell_run(p->world, true);
    or_status status = p->replicas ? or_replicas_run(p, job, stats) : or_pipeline_run_own(p, job, stats);
    or_transport_tell_run(p->world, false);
    if (p->timeline && (status == OR_OK || status == OR_STOPPED)) {
        const or_status ended = or_timeline_end_run(p->timeline, job->name, begin, stats);
        if (ended != OR_OK) status = ended;
    }
    return status;
}
