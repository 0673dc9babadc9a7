/* leader.c - the first rank of a pipeline that is not rank 0's: it runs a job whose requests come from rank
 * 0 as it asks for them, and whose answers go there. See replicas.h. */
#include "replicas.h"

#include "clock.h"

#include <string.h>

/* ---- messages ----------------------------------------------------------------------------------------- */

/* One number, as JOB and ENOUGH have it. */
static or_status read_number(const or_message *message, uint64_t *number)
{
    if (message->size != sizeof *number)
        return or_fail(OR_ERR_PEER, "unexpected message", NULL, "tag %d of %zu bytes from rank 0",
                       (int)message->tag, message->size);
    memcpy(number, message->data, sizeof *number);
    return OR_OK;
}

static or_status take_job(or_pipeline *p, const or_message *message)
{
    or_replicas *r = p->replicas;
    uint64_t n_requests = 0;
    OR_TRY(read_number(message, &n_requests));
    if (r->begun)
        return or_fail(OR_ERR_PEER, "unexpected run", NULL, "rank 0 begins one before the last is over");
    OR_TRY(OR_NEW(r->received, n_requests));
    r->n_requests = n_requests;
    r->n_received = 0;
    r->asked = or_replicas_begin(p);
    r->over_here = false;
    r->begun = true;
    return OR_OK;
}

static or_status take_requests(or_pipeline *p, const or_message *message)
{
    or_replicas *r = p->replicas;
    const or_request_limits limits = or_replicas_limits(p);
    const char *bytes = message->data;
    for (size_t at = 0, used; at < message->size; at += used) {
        if (!r->begun || r->n_received == r->n_requests)
            return or_fail(OR_ERR_PEER, "unexpected request", NULL, "rank 0 sent one more than the run has");
        or_received *to = &r->received[r->n_received];
        OR_TRY(or_request_decode(bytes + at, message->size - at, &limits, &used, &to->request));
        r->n_received++;
    }
    return OR_OK;
}

/* The request may have come to its end meanwhile. */
static or_status take_enough(or_replicas *r, const or_message *message)
{
    uint64_t request = 0;
    OR_TRY(read_number(message, &request));
    if (!r->begun || request >= r->n_received)
        return or_fail(OR_ERR_PEER, "unexpected message", NULL, "rank 0 has enough of request %llu",
                       (unsigned long long)request);
    r->received[request].enough = true;
    return OR_OK;
}

static or_status act_on(or_pipeline *p, const or_message *message)
{
    or_replicas *r = p->replicas;
    if (message->from == 0) {
        if (message->tag == OR_TAG_JOB) return take_job(p, message);
        if (message->tag == OR_TAG_GIVE) return take_requests(p, message);
        if (message->tag == OR_TAG_ENOUGH) return take_enough(r, message);
        if (message->tag == OR_TAG_END) r->over_here = true;
        if (message->tag == OR_TAG_CLOSE) p->closing = true;
        if (message->tag == OR_TAG_END || message->tag == OR_TAG_CLOSE) return OR_OK;
    }
    return or_fail(OR_ERR_PEER, "unexpected message", NULL, "tag %d from rank %d", (int)message->tag,
                   message->from);
}

static or_status send_news(or_pipeline *p)
{
    or_buffer *news = &p->replicas->news;
    if (news->size == 0) return OR_OK;
    const or_buffer sent = *news;
    *news = (or_buffer){0};
    return or_transport_send(p->world, 0, OR_TAG_NEWS, sent.data, sent.size);
}

or_status or_leader_pump(or_pipeline *p)
{
    for (bool arrived = true; arrived;) {
        or_message message;
        OR_TRY(or_transport_poll(p->world, &message, &arrived));
        if (!arrived) break;
        or_status status = act_on(p, &message);
        free(message.data);
        OR_TRY(status);
    }
    return send_news(p);
}

/* ---- the job ------------------------------------------------------------------------------------------ */

/* What there is room for beside the requests that are here and not begun. */
static or_appetite appetite_of(const or_pipeline *p, size_t begun, bool *hungry)
{
    const or_replicas *r = p->replicas;
    size_t rows = 0, slots, pages, waiting = 0;
    for (size_t i = begun; i < r->n_received; i++) {
        rows += or_request_own(r->received[i].request, p->share_prefixes);
        waiting += r->received[i].request->max_tokens > 0;
    }
    or_pipeline_room_now(p, &slots, &pages);
    *hungry = waiting == 0 && (rows <= p->wave_tokens || r->n_received - begun <= 1);
    return (or_appetite){.received = r->n_received, .rows = p->wave_tokens, .slots = slots, .pages = pages};
}

/* Asks while no more than a wave of prompts, or no continuation, waits here; and again when there is more
 * room than the last time. */
static or_status ask(or_pipeline *p, size_t begun)
{
    or_replicas *r = p->replicas;
    bool hungry;
    const or_appetite now = appetite_of(p, begun, &hungry);
    const or_appetite *last = &r->asked;
    if (!hungry || (now.received == last->received && now.slots <= last->slots && now.pages <= last->pages))
        return OR_OK;
    or_appetite *copy;
    OR_TRY(OR_NEW(copy, 1));
    *copy = r->asked = now;
    return or_transport_send(p->world, 0, OR_TAG_ASK, copy, sizeof *copy);
}

static or_status count_ready(void *context, size_t begun, size_t *there, bool *more)
{
    or_pipeline *p = context;
    or_replicas *r = p->replicas;
    *there = r->n_received;
    *more = !r->over_here;
    return *more ? ask(p, begun) : OR_OK;
}

static or_status give_request(void *context, size_t index, or_request *request)
{
    const or_pipeline *p = context;
    *request = *p->replicas->received[index].request;
    return OR_OK;
}

/* The last word on a request. */
static or_status send_last(or_replicas *r, size_t index, const or_news *news)
{
    free(r->received[index].request);
    r->received[index].request = NULL;
    return or_news_encode(news, &r->news);
}

static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_ANSWER, .request = index, .answer = *answer};
    return send_last(p->replicas, index, &news);
}

/* Rank 0 drops the tokens behind the one with which it had enough: also this one, if it had. */
static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    or_pipeline *p = context;
    or_replicas *r = p->replicas;
    const or_news news = {.kind = OR_NEWS_TOKEN, .request = index, .token = *token};
    *more = !r->received[index].enough;
    return or_news_encode(&news, &r->news);
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_FINISH, .request = index, .why = why};
    return send_last(p->replicas, index, &news);
}

static or_status take_fault(void *context, size_t index, int layer)
{
    or_pipeline *p = context;
    const or_news news = {.kind = OR_NEWS_FAULT, .request = index, .fault = layer};
    return send_last(p->replicas, index, &news);
}

/* At the end of the job nothing is left to stop. */
static bool asks_to_stop(void *context)
{
    const or_pipeline *p = context;
    return p->replicas->over_here;
}

/* ---- a run -------------------------------------------------------------------------------------------- */

static or_status send_totals(or_pipeline *p, const or_run_stats *stats)
{
    const or_totals totals = {stats->tokens, stats->drafts, stats->drafts_replaced, stats->prompt_tokens,
                              stats->prompt_tokens_shared};
    const size_t stages = (size_t)p->plan.n_stages * sizeof *stats->stage,
                 survivors = ((size_t)p->stage.n_layers + 1) * sizeof *stats->survivors;
    char *bytes;
    OR_TRY(OR_NEW(bytes, or_totals_size(p)));
    memcpy(bytes, &totals, sizeof totals);
    memcpy(bytes + sizeof totals, stats->stage, stages);
    memcpy(bytes + sizeof totals + stages, stats->survivors, survivors);
    return or_transport_send(p->world, 0, OR_TAG_TOTALS, bytes, or_totals_size(p));
}

/* This pipeline's part of rank 0's run. */
static or_status run_part(or_pipeline *p, or_run_stats *stats)
{
    or_replicas *r = p->replicas;
    const or_job job = {
        .n_requests = r->n_requests,
        .context = p,
        .ready = count_ready,
        .request = give_request,
        .answer = take_answer,
        .stop = asks_to_stop,
        .token = take_token,
        .finish = take_finish,
        .fault = take_fault,
    };
    or_status status = or_pipeline_run_own(p, &job, stats);
    if (status == OR_STOPPED) status = OR_OK; /* rank 0 knows */
    if (status == OR_OK) status = send_news(p);
    if (status == OR_OK) status = send_totals(p, stats);
    or_run_stats_free(stats);
    for (size_t i = 0; i < r->n_received; i++) free(r->received[i].request);
    free(r->received);
    r->received = NULL;
    r->n_received = 0;
    r->begun = false;
    return status;
}

or_status or_replicas_serve(or_pipeline *p)
{
    or_run_stats *stats = NULL; /* large: one entry per possible stage */
    or_wait wait = {0};
    OR_TRY(OR_NEW(stats, 1));
    or_status status = OR_OK;
    while (!p->closing && status == OR_OK) {
        status = or_pipeline_pump(p);
        if (status == OR_OK && p->replicas->begun) {
            status = run_part(p, stats);
            or_wait_end(&wait);
        } else {
            or_wait_nap(&wait);
        }
    }
    free(stats);
    return status;
}
