/* replicas.c - rank 0's side of a job that several pipelines work off. The other side is leader.c.
 *
 * Its own pipeline runs a job around the caller's: the requests are those that the shared queue lets it
 * have, and it is not over before the other pipelines are done too. Messages of leaders are looked at when
 * those of the own pipeline are, between layers.
 */
#include "replicas.h"

#include "clock.h"

#include <string.h>

or_status or_replicas_open(or_pipeline *p)
{
    OR_TRY(OR_NEW(p->replicas, 1));
    OR_TRY(OR_NEW(p->replicas->asks, (size_t)p->n_replicas));
    return OR_NEW(p->replicas->totals, (size_t)p->n_replicas);
}

void or_replicas_free(or_replicas *r)
{
    if (!r) return;
    or_buffer_free(&r->news);
    free(r->totals);
    free(r->asks);
    free(r);
}

or_request_limits or_replicas_limits(const or_pipeline *p)
{
    const or_hparams *h = or_model_hparams(p->model);
    return (or_request_limits){p->stage.n_policies, p->longest, or_pipeline_room(p), h->n_vocab, h->n_layers};
}

or_appetite or_replicas_begin(const or_pipeline *p)
{
    const or_kv *kv = &p->stage.kv;
    return (or_appetite){
        .rows = p->wave_tokens, .slots = kv->n_slots, .pages = kv->n_slots > 0 ? kv->n_pages : 0};
}

size_t or_totals_size(const or_pipeline *p)
{
    return sizeof(or_totals) + (size_t)p->plan.n_stages * sizeof(or_stage_stats) +
           ((size_t)p->stage.n_layers + 1) * sizeof(uint64_t);
}

/* The rank that leads a replica. */
static int leader_of(const or_pipeline *p, int replica)
{
    return replica * or_transport_size(p->transport);
}

/* A copy of `data` to each leader. */
static or_status tell_leaders(or_pipeline *p, or_tag tag, const void *data, size_t size)
{
    for (int replica = 1; replica < p->n_replicas; replica++) {
        char *copy = NULL;
        if (size > 0) OR_TRY(OR_NEW(copy, size));
        if (size > 0) memcpy(copy, data, size);
        OR_TRY(or_transport_send(p->world, leader_of(p, replica), tag, copy, size));
    }
    return OR_OK;
}

or_status or_replicas_close(or_pipeline *p)
{
    return p->replica == 0 ? tell_leaders(p, OR_TAG_CLOSE, NULL, 0) : OR_OK;
}

/* ---- messages ----------------------------------------------------------------------------------------- */

/* The last counts. One that was sent before its leader got what it was given since is out of date, and is
 * not looked at; another will come. */
static or_status take_ask(or_pipeline *p, int replica, const or_message *message)
{
    or_appetite *ask = &p->replicas->asks[replica];
    if (message->size != sizeof *ask)
        return or_fail(OR_ERR_PEER, "unexpected question", NULL, "rank %d sent %zu bytes", message->from,
                       message->size);
    memcpy(ask, message->data, sizeof *ask);
    return OR_OK;
}

/* After a stop nobody listens. */
static or_status say_enough(or_pipeline *p, int replica, uint64_t request)
{
    uint64_t *copy;
    if (p->replicas->ended) return OR_OK;
    OR_TRY(OR_NEW(copy, 1));
    *copy = request;
    return or_transport_send(p->world, leader_of(p, replica), OR_TAG_ENOUGH, copy, sizeof *copy);
}

static or_status take_news(or_pipeline *p, int replica, const or_message *message)
{
    or_replicas *r = p->replicas;
    const or_request_limits limits = or_replicas_limits(p);
    const char *bytes = message->data;
    for (size_t at = 0, used; at < message->size; at += used) {
        or_news news;
        bool more;
        OR_TRY(or_news_decode(bytes + at, message->size - at, &limits, &used, r->seen, &news));
        OR_TRY(or_queue_hear(&r->queue, replica, &news, &more));
        if (!more) OR_TRY(say_enough(p, replica, news.request));
    }
    return OR_OK;
}

/* Keeps the message; it is added up when all are here. */
static or_status take_totals(or_pipeline *p, int replica, or_message *message)
{
    or_replicas *r = p->replicas;
    if (message->size != or_totals_size(p) || !r->ended || r->totals[replica])
        return or_fail(OR_ERR_PEER, "unexpected statistics", NULL, "rank %d sent %zu bytes", message->from,
                       message->size);
    r->totals[replica] = message->data;
    message->data = NULL;
    r->n_totals++;
    return OR_OK;
}

static or_status act_on(or_pipeline *p, or_message *message)
{
    const int size = or_transport_size(p->transport), replica = message->from / size;
    if (p->replicas->job && message->from > 0 && message->from % size == 0) {
        if (message->tag == OR_TAG_ASK) return take_ask(p, replica, message);
        if (message->tag == OR_TAG_NEWS) return take_news(p, replica, message);
        if (message->tag == OR_TAG_TOTALS) return take_totals(p, replica, message);
        if (message->tag == OR_TAG_EVENTS && p->timeline)
            return or_timeline_take(p->timeline, message->data, message->size);
    }
    return or_fail(OR_ERR_PEER, "unexpected message", NULL, "tag %d from rank %d", (int)message->tag,
                   message->from);
}

/* Gives a leader what it asked for, as much of it as is its part. */
static or_status serve(or_pipeline *p, int replica)
{
    or_replicas *r = p->replicas;
    or_appetite appetite = r->asks[replica];
    or_buffer out = {0};
    or_request request;
    size_t portion;
    bool taken = true;
    if (appetite.received != r->queue.shares[replica].count) return OR_OK;
    OR_TRY(or_queue_portion(&r->queue, replica, &appetite, &portion));
    if (portion == 0) return OR_OK;
    or_status status = OR_OK;
    for (size_t i = 0; i < portion && taken && status == OR_OK; i++) {
        status = or_queue_take(&r->queue, replica, &appetite, &request, &taken);
        if (status == OR_OK && taken) status = or_request_encode(&request, &out);
    }
    if (status == OR_OK)
        return or_transport_send(p->world, leader_of(p, replica), OR_TAG_GIVE, out.data, out.size);
    or_buffer_free(&out);
    return status;
}

static or_status pump_front(or_pipeline *p)
{
    or_replicas *r = p->replicas;
    for (bool arrived = true; arrived;) {
        or_message message;
        OR_TRY(or_transport_poll(p->world, &message, &arrived));
        if (!arrived) break;
        or_status status = act_on(p, &message);
        free(message.data);
        OR_TRY(status);
    }
    if (!r->job) return OR_OK;
    for (int replica = 1; replica < p->n_replicas && !r->over; replica++) OR_TRY(serve(p, replica));
    if (!r->over || r->ended) return OR_OK;
    r->ended = true;
    return tell_leaders(p, OR_TAG_END, NULL, 0);
}

or_status or_replicas_pump(or_pipeline *p)
{
    return p->replica == 0 ? pump_front(p) : or_leader_pump(p);
}

/* ---- the job of the own pipeline ---------------------------------------------------------------------- */

/* Whether a continuation was taken that waits for room. */
static bool one_waits(const or_queue *queue, size_t begun)
{
    const or_share *own = &queue->shares[0];
    return begun < own->count && queue->tickets[own->requests[begun]].tokens_left >= 0;
}

/* A wave's part of the queue. The pipeline goes on until all is done by all, so that it keeps the queue for
 * the others. */
static or_status count_ready(void *context, size_t begun, size_t *there, bool *more)
{
    or_pipeline *p = context;
    or_replicas *r = p->replicas;
    or_appetite appetite = {.rows = p->wave_tokens};
    size_t portion = 0, slots, pages;
    *there = r->queue.shares[0].count;
    *more = r->queue.n_done < r->job->n_requests;
    if (r->over || one_waits(&r->queue, begun)) return OR_OK;
    or_pipeline_room_now(p, &slots, &pages);
    appetite.slots = slots;
    appetite.pages = pages;
    OR_TRY(or_queue_portion(&r->queue, 0, &appetite, &portion));
    *there += portion;
    return OR_OK;
}

/* Of its portion it takes all, whatever fits: what does not waits here. */
static or_status take_request(void *context, size_t index, or_request *request)
{
    or_pipeline *p = context;
    or_appetite any = {.rows = SIZE_MAX, .slots = SIZE_MAX, .pages = SIZE_MAX};
    bool taken;
    OR_TRY(or_queue_take(&p->replicas->queue, 0, &any, request, &taken));
    if (taken) return OR_OK;
    return or_fail(OR_ERR_FAILED, "queue is empty", NULL, "there is no request %zu", index);
}

static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_ANSWER, .request = index, .answer = *answer};
    bool more;
    return or_queue_hear(&p->replicas->queue, 0, &news, &more);
}

static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_TOKEN, .request = index, .token = *token};
    return or_queue_hear(&p->replicas->queue, 0, &news, more);
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_FINISH, .request = index, .why = why};
    bool more;
    return or_queue_hear(&p->replicas->queue, 0, &news, &more);
}

static or_status take_fault(void *context, size_t index, int layer)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_FAULT, .request = index, .fault = layer};
    bool more;
    return or_queue_hear(&p->replicas->queue, 0, &news, &more);
}

static or_status tick(void *context)
{
    const or_job *job = ((or_pipeline *)context)->replicas->job;
    return job->tick ? job->tick(job->context) : OR_OK;
}

/* The leaders hear of it with the next look at the messages. */
static bool asks_to_stop(void *context)
{
    or_replicas *r = ((or_pipeline *)context)->replicas;
    r->over = r->over || (r->job->stop && r->job->stop(r->job->context));
    return r->over;
}

static or_status check(const void *context, size_t index, const or_request *request)
{
    return or_pipeline_check(context, index, request);
}

/* ---- a run -------------------------------------------------------------------------------------------- */

/* All is done, or was stopped. Waits, asleep, until every leader has said what its pipeline did; after a
 * stop that is when what it had begun is finished, and answers still come. */
static or_status wait_for_totals(or_pipeline *p)
{
    or_replicas *r = p->replicas;
    or_wait wait = {0};
    r->over = true;
    while (r->n_totals < p->n_replicas - 1) {
        OR_TRY(or_pipeline_pump(p));
        OR_TRY(tick(p));
        or_wait_nap(&wait);
    }
    return OR_OK;
}

static void add_totals(const or_pipeline *p, int replica, const char *bytes, or_run_stats *stats)
{
    or_totals totals;
    const size_t stages = (size_t)p->plan.n_stages * sizeof(or_stage_stats);
    memcpy(&totals, bytes, sizeof totals);
    stats->tokens += totals.tokens;
    stats->drafts += totals.drafts;
    stats->drafts_replaced += totals.drafts_replaced;
    stats->prompt_tokens += totals.prompt_tokens;
    stats->prompt_tokens_shared += totals.prompt_tokens_shared;
    memcpy(&stats->stage[stats->n_stages], bytes + sizeof totals, stages);
    for (int s = 0; s < p->plan.n_stages; s++) stats->stage[stats->n_stages++].replica = replica;
    for (int layer = 0; layer <= p->stage.n_layers; layer++) {
        uint64_t survivors;
        memcpy(&survivors, bytes + sizeof totals + stages + (size_t)layer * sizeof survivors,
               sizeof survivors);
        stats->survivors[layer] += survivors;
    }
}

static or_status open_run(or_pipeline *p, const or_job *job)
{
    or_replicas *r = p->replicas;
    const uint64_t n_requests = job->n_requests;
    r->job = job;
    r->over = r->ended = false;
    r->n_totals = 0;
    for (int replica = 0; replica < p->n_replicas; replica++) r->asks[replica] = or_replicas_begin(p);
    OR_TRY(or_queue_open(&r->queue, job, p->n_replicas));
    r->queue.share = p->share_prefixes;
    r->queue.check = check;
    r->queue.context = p;
    OR_TRY(OR_NEW(r->seen, (size_t)p->stage.n_layers));
    return tell_leaders(p, OR_TAG_JOB, &n_requests, sizeof n_requests);
}

static void close_run(or_pipeline *p)
{
    or_replicas *r = p->replicas;
    r->job = NULL;
    or_queue_close(&r->queue);
    free(r->seen);
    r->seen = NULL;
    for (int replica = 0; replica < p->n_replicas; replica++) {
        free(r->totals[replica]);
        r->totals[replica] = NULL;
    }
}

/* A stop that came when the others had only to finish what they had was none. */
or_status or_replicas_run(or_pipeline *p, const or_job *job, or_run_stats *stats)
{
    or_replicas *r = p->replicas;
    const or_job own = {
        .n_requests = job->n_requests,
        .context = p,
        .ready = count_ready,
        .request = take_request,
        .answer = take_answer,
        .tick = tick,
        .stop = asks_to_stop,
        .token = take_token,
        .finish = take_finish,
        .fault = take_fault,
    };
    bool stopped = false;
    *stats = (or_run_stats){0};
    or_status status = open_run(p, job);
    if (status == OR_OK) status = or_pipeline_run_own(p, &own, stats);
    if (status == OR_STOPPED) {
        stopped = true;
        status = OR_OK;
    }
    if (status == OR_OK) status = wait_for_totals(p);
    for (int replica = 1; replica < p->n_replicas && status == OR_OK; replica++)
        add_totals(p, replica, r->totals[replica], stats);
    if (stopped && status == OR_OK && r->queue.n_done < job->n_requests) status = OR_STOPPED;
    if (status != OR_OK && status != OR_STOPPED) p->failed = true;
    close_run(p);
    return status;
}
