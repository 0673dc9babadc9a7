/* schedule.c - continuations: admission, whose turn it is, and the end. What one sequence knows is in
 * sequence.c. */
#include "fault.h"
#include "sequence.h"

#include <string.h>

or_status or_schedule_open(or_schedule *s, size_t n_slots, size_t n_pages, uint64_t numbers)
{
    s->n_slots = n_slots;
    s->numbers = numbers;
    OR_TRY(OR_NEW(s->slots, n_slots));
    OR_TRY(OR_NEW(s->queue, n_slots));
    return or_pages_open(&s->pages, n_pages);
}

void or_schedule_close(or_schedule *s)
{
    for (size_t slot = 0; s->slots && slot < s->n_slots; slot++) or_sequence_free(s->slots[slot]);
    free(s->slots);
    free(s->queue);
    or_pages_close(&s->pages);
    *s = (or_schedule){0};
}

size_t or_schedule_share(const or_schedule *s)
{
    const size_t stages = (size_t)s->n_stages;
    return s->n_active < stages ? 1 : (s->n_active + stages - 1) / stages;
}

/* ---- pages -------------------------------------------------------------------------------------------- */

static int32_t pages_for(const or_request *request)
{
    return (int32_t)((request->n_tokens + request->max_tokens + OR_PAGE - 1) / OR_PAGE);
}

/* Whole pages of what others begin with too; the prompt's last token is always run, as it asks. */
static int32_t pages_shared(const or_schedule *s, const or_request *request)
{
    const size_t others = s->share ? request->n_shared : 0, own = request->n_tokens - 1;
    return (int32_t)((others < own ? others : own) / OR_PAGE);
}

/* Gives the sequence its pages: those of its prefix that are there, and new ones. False, and nothing is
 * taken, when there are not enough. */
static bool take_pages(or_schedule *s, or_sequence *q)
{
    q->n_found = or_pages_find_prefix(&s->pages, q->request.tokens, q->n_shared, q->pages);
    if (or_pages_available(&s->pages) < (size_t)(q->n_pages - q->n_found)) {
        while (q->n_found > 0) or_pages_release(&s->pages, q->pages[--q->n_found]);
        return false;
    }
    or_pages_take_prefix(&s->pages, q->request.tokens, q->n_found, q->n_shared, q->pages);
    for (int32_t i = q->n_shared; i < q->n_pages; i++) q->pages[i] = or_pages_take(&s->pages);
    return true;
}

/* ---- the queue ---------------------------------------------------------------------------------------- */

static void enqueue(or_schedule *s, or_sequence *q)
{
    if (q->queued) return;
    s->queue[(s->queue_first + s->n_queued++) % s->n_slots] = q->slot;
    q->queued = true;
}

/* The sequence whose turn it is. */
static or_sequence *dequeue(or_schedule *s)
{
    or_sequence *q = s->slots[s->queue[s->queue_first]];
    s->queue_first = (s->queue_first + 1) % s->n_slots;
    s->n_queued--;
    q->queued = false;
    return q;
}

/* A sequence that has to wait for its prefix, which another one is feeding, lets the next one go ahead. */
bool or_schedule_peek(or_schedule *s, size_t most, or_feed *feed)
{
    for (size_t tried = 0, n = s->n_queued; tried < n; tried++) {
        or_sequence *q = s->slots[s->queue[s->queue_first]];
        if (or_sequence_next(q, &s->pages, (int32_t)(most < INT32_MAX ? most : INT32_MAX), feed)) return true;
        dequeue(s);
        if (or_sequence_waits(q)) enqueue(s, q);
    }
    return false;
}

void or_schedule_feed(or_schedule *s, const or_feed *feed)
{
    or_sequence *q = dequeue(s);
    or_sequence_feed(q, &s->pages, feed);
    q->n_riders++;
    s->n_riders++;
    if (or_sequence_waits(q)) enqueue(s, q);
}

/* ---- begin and end ------------------------------------------------------------------------------------ */

or_status or_schedule_admit(or_schedule *s, size_t index, const or_request *request, bool *admitted)
{
    or_sequence *q = NULL;
    int32_t slot = 0;
    const int32_t n_pages = pages_for(request), n_shared = pages_shared(s, request);
    *admitted = false;
    if (s->n_active == s->n_slots) return OR_OK;
    if (or_pages_available(&s->pages) < (size_t)(n_pages - n_shared))
        return OR_OK; /* even if all are found */
    while (s->slots[slot]) slot++;
    OR_TRY(or_sequence_new(index, request, n_pages, n_shared, &q));
    if (!take_pages(s, q)) {
        or_sequence_free(q);
        return OR_OK;
    }
    q->slot = slot;
    q->number = ++s->numbers;
    q->fed = q->n_found * OR_PAGE;
    s->slots[slot] = q;
    s->n_active++;
    s->stats->prompt_tokens += request->n_tokens;
    s->stats->prompt_tokens_shared += (size_t)q->fed;
    enqueue(s, q);
    *admitted = true;
    return OR_OK;
}

/* Takes it out of the queue. */
static void unqueue(or_schedule *s, const or_sequence *q)
{
    for (size_t n = s->n_queued; n > 0; n--) {
        or_sequence *other = dequeue(s);
        if (other != q) enqueue(s, other);
    }
}

/* Nothing more of it is fed, or given. */
static void stop_sequence(or_schedule *s, or_sequence *q)
{
    if (q->queued) unqueue(s, q);
    q->ended = true;
}

static or_status end_sequence(or_schedule *s, or_sequence *q, or_finish why)
{
    stop_sequence(s, q);
    return s->job->finish(s->job->context, q->index, why);
}

/* Its next token cannot be told. Drafts behind it come home to a sequence that has ended. */
static or_status fail_sequence(or_schedule *s, or_sequence *q, const or_pending *lost)
{
    for (int layer = 0; layer < lost->final.exit_layer; layer++) s->survivors[layer]++;
    stop_sequence(s, q);
    return or_job_fault(s->job, q->index, lost->fault);
}

/* Slot and pages are free from now on. */
static void drop_sequence(or_schedule *s, or_sequence *q)
{
    for (int32_t i = q->n_pages; i-- > 0;) or_pages_release(&s->pages, q->pages[i]);
    s->slots[q->slot] = NULL;
    s->n_active--;
    or_sequence_free(q);
}

/* Gives the job the tokens that have become final, and goes on or ends. */
static or_status give_tokens(or_schedule *s, or_sequence *q)
{
    or_token token;
    while (or_sequence_settle(q, s->stats, &token)) {
        bool more = true;
        s->stats->tokens++;
        for (int layer = 0; layer < token.exit_layer; layer++) s->survivors[layer]++;
        OR_TRY(s->job->token(s->job->context, q->index, &token, &more));
        if (or_sequence_ended(q)) return end_sequence(s, q, OR_FINISH_END);
        if (!more) return end_sequence(s, q, OR_FINISH_STOP);
        if ((size_t)q->given == q->request.max_tokens) return end_sequence(s, q, OR_FINISH_LENGTH);
    }
    const or_pending *lost = or_sequence_lost(q);
    if (lost) return fail_sequence(s, q, lost);
    if (or_sequence_waits(q)) enqueue(s, q);
    return OR_OK;
}

/* Records come over the wire: what is used as an index, or to count, is checked. */
static bool record_fits(const or_schedule *s, const or_record *record)
{
    return record->slot >= 0 && (size_t)record->slot < s->n_slots && record->seen.layer >= 1 &&
           record->seen.layer <= s->n_layers && record->drawn >= 0 && record->drawn < s->n_vocab &&
           record->n_best >= 0 && record->n_best <= OR_BEST && record->fault >= 0 &&
           record->fault <= s->n_layers;
}

/* A draft that was pushed may be heard of later than its verdict, from another rank, when its sequence is
 * gone. */
or_status or_schedule_take(or_schedule *s, const or_record *record)
{
    or_sequence *q = record_fits(s, record) ? s->slots[record->slot] : NULL;
    if (q && q->number != record->sequence) q = NULL;
    if (!record_fits(s, record) || (record->leaves && (!q || q->n_riders == 0)))
        return or_fail(OR_ERR_PEER, "unexpected record", NULL, "of slot %d, sequence %llu, at layer %d",
                       record->slot, (unsigned long long)record->sequence, record->seen.layer);
    if (!q) return OR_OK;
    q->n_riders -= record->leaves != 0;
    s->n_riders -= record->leaves != 0;
    if (!q->ended) {
        OR_TRY(or_sequence_take(q, record));
        OR_TRY(give_tokens(s, q));
    }
    if (q->ended && q->n_riders == 0) drop_sequence(s, q);
    return OR_OK;
}
