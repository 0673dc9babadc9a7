/* queue.c - the shared queue of replicas. */
#include "queue.h"

#include "fault.h"

or_status or_queue_open(or_queue *queue, const or_job *job, int n_replicas)
{
    queue->job = job;
    queue->n_replicas = n_replicas;
    OR_TRY(OR_NEW(queue->tickets, job->n_requests));
    return OR_NEW(queue->shares, (size_t)n_replicas);
}

void or_queue_close(or_queue *queue)
{
    for (int i = 0; queue->shares && i < queue->n_replicas; i++) free(queue->shares[i].requests);
    free(queue->shares);
    free(queue->tickets);
    *queue = (or_queue){0};
}

/* ---- giving ------------------------------------------------------------------------------------------- */

/* Asks the job for the next request, unless it was; *there: there is one. */
static or_status look_ahead(or_queue *queue, bool *there)
{
    *there = queue->next < queue->job->n_requests;
    if (!*there || queue->ready) return OR_OK;
    queue->request = (or_request){.policy = -1, .sampling = {.top_p = 1}};
    OR_TRY(queue->job->request(queue->job->context, queue->next, &queue->request));
    if (queue->check) OR_TRY(queue->check(queue->context, queue->next, &queue->request));
    queue->ready = true;
    return OR_OK;
}

/* Pages of the KV cache that it takes when the beginning that it shares is there already. */
static size_t pages_of(const or_queue *queue, const or_request *request)
{
    return (or_request_own(request, queue->share) + request->max_tokens + OR_PAGE - 1) / OR_PAGE;
}

/* Whether the next request does. */
static bool fits(const or_queue *queue, const or_appetite *appetite)
{
    const or_request *request = &queue->request;
    if (request->max_tokens == 0) return appetite->rows > 0;
    return appetite->slots > 0 && appetite->pages >= pages_of(queue, request);
}

static uint64_t less(uint64_t from, uint64_t by)
{
    return from > by ? from - by : 0;
}

static void take_from(const or_queue *queue, or_appetite *appetite, const or_request *request)
{
    appetite->received++;
    if (request->max_tokens == 0) {
        appetite->rows = less(appetite->rows, or_request_own(request, queue->share));
    } else {
        appetite->slots--;
        appetite->pages -= pages_of(queue, request);
    }
}

static size_t divide_up(size_t whole, size_t parts)
{
    return (whole + parts - 1) / parts;
}

/* Never more than an even share of all that is not done, so that of few requests each replica gets some. Of
 * prompts half of an even share of what is left: as that becomes less, so do the portions. Continuations
 * begin together, as many as there is room for: a wave of one takes about as long as a wave of all. */
or_status or_queue_portion(or_queue *queue, int replica, const or_appetite *appetite, size_t *portion)
{
    bool there;
    *portion = 0;
    OR_TRY(look_ahead(queue, &there));
    if (!there || !fits(queue, appetite)) return OR_OK;
    const size_t parts = (size_t)queue->n_replicas, left = queue->job->n_requests - queue->next,
                 most = divide_up(left + queue->n_open, parts), has = queue->shares[replica].n_open,
                 room = most > has ? most - has : 0,
                 part = queue->request.max_tokens > 0 ? appetite->slots : divide_up(left, 2 * parts);
    *portion = part < room ? part : room;
    if (*portion > left) *portion = left;
    return OR_OK;
}

or_status or_queue_take(or_queue *queue, int replica, or_appetite *appetite, or_request *request, bool *taken)
{
    or_share *share = &queue->shares[replica];
    OR_TRY(look_ahead(queue, taken));
    if (!*taken || !fits(queue, appetite)) {
        *taken = false;
        return OR_OK;
    }
    OR_RESERVE(share->requests, share->capacity, share->count + 1);
    share->requests[share->count++] = queue->next;
    share->n_open++;
    queue->n_open++;
    *request = queue->request;
    take_from(queue, appetite, request);
    queue->tickets[queue->next++] = (or_ticket){
        .n_choices = (int32_t)request->n_choices,
        .tokens_left = request->max_tokens > 0 ? (int32_t)request->max_tokens : -1,
        .open = true,
        .observe = request->observe,
    };
    queue->ready = false;
    return OR_OK;
}

/* ---- what becomes of them ----------------------------------------------------------------------------- */

static void close_ticket(or_queue *queue, int replica, or_ticket *ticket)
{
    ticket->open = false;
    queue->shares[replica].n_open--;
    queue->n_open--;
    queue->n_done++;
}

/* Whether there can be such news of the request. */
static bool is_expected(const or_ticket *ticket, const or_news *news)
{
    const bool continued = ticket->tokens_left >= 0;
    if (!ticket->open) return false;
    switch (news->kind) {
    case OR_NEWS_ANSWER:
        return !continued && news->answer.choice < ticket->n_choices &&
               ticket->observe == (news->answer.seen != NULL);
    case OR_NEWS_TOKEN:
        return ticket->tokens_left > 0;
    case OR_NEWS_FINISH:
        return continued;
    case OR_NEWS_FAULT:
        return true;
    }
    return false;
}

static or_status hear_token(or_queue *queue, size_t index, const or_token *token, bool *more)
{
    or_ticket *ticket = &queue->tickets[index];
    ticket->tokens_left--;
    if (ticket->enough) {
        ticket->late = true;
        *more = false;
        return OR_OK;
    }
    OR_TRY(queue->job->token(queue->job->context, index, token, more));
    ticket->enough = !*more;
    return OR_OK;
}

/* Where the job had enough, that is why nothing more comes; unless the token with which it had enough is one
 * that ends the continuation anyway. */
static or_finish why_of(const or_ticket *ticket, or_finish why)
{
    if (!ticket->enough || (why == OR_FINISH_END && !ticket->late)) return why;
    return OR_FINISH_STOP;
}

or_status or_queue_hear(or_queue *queue, int replica, const or_news *news, bool *more)
{
    const or_share *share = &queue->shares[replica];
    const or_job *job = queue->job;
    const size_t index = news->request < share->count ? share->requests[news->request] : job->n_requests;
    *more = true;
    if (index == job->n_requests || !is_expected(&queue->tickets[index], news))
        return or_fail(OR_ERR_PEER, "unexpected answer", NULL,
                       "of kind %d, from replica %d, of its request %llu", (int)news->kind, replica,
                       (unsigned long long)news->request);
    or_ticket *ticket = &queue->tickets[index];
    if (news->kind == OR_NEWS_TOKEN) return hear_token(queue, index, &news->token, more);
    close_ticket(queue, replica, ticket);
    if (news->kind == OR_NEWS_ANSWER) return job->answer(job->context, index, &news->answer);
    /* what went wrong behind the token with which the job had enough is nobody's */
    if (news->kind == OR_NEWS_FAULT && ticket->enough)
        return job->finish(job->context, index, OR_FINISH_STOP);
    if (news->kind == OR_NEWS_FAULT) return or_job_fault(job, index, news->fault);
    return job->finish(job->context, index, why_of(ticket, news->why));
}
