/* events.c - recording events and gathering them. */
#include "events.h"

#include <math.h>
#include <string.h>

enum { EVENTS_OF_RANK = 1 << 20, EVENTS_OF_ALL = 1 << 22 };

or_status or_timeline_make(int rank, int n_ranks, or_timeline **out)
{
    const bool gathers = rank == 0;
    const size_t share = EVENTS_OF_ALL / (size_t)n_ranks,
                 most = share < EVENTS_OF_RANK ? share : EVENTS_OF_RANK;
    or_timeline *timeline = NULL;
    OR_TRY(OR_NEW(timeline, 1));
    timeline->rank = rank;
    timeline->n_ranks = n_ranks;
    timeline->own.most = most;
    or_status status = gathers ? OR_NEW(timeline->lanes, (size_t)n_ranks) : OR_OK;
    for (int r = 0; status == OR_OK && gathers && r < n_ranks; r++) timeline->lanes[r].events.most = most;
    if (status == OR_OK)
        *out = timeline;
    else
        or_timeline_close(timeline);
    return status;
}

void or_timeline_close(or_timeline *timeline)
{
    if (!timeline) return;
    for (int r = 0; timeline->lanes && r < timeline->n_ranks; r++) {
        free(timeline->lanes[r].events.items);
        free(timeline->lanes[r].host);
    }
    for (size_t i = 0; i < timeline->n_spans; i++) free(timeline->spans[i].name);
    free(timeline->own.items);
    free(timeline->lanes);
    free(timeline->spans);
    free(timeline);
}

/* ---- a rank's own ----------------------------------------------------------------------------------------- */

static bool goes_on(const or_event *last, const or_event *event)
{
    return (event->kind == OR_EVENT_WAIT || event->kind == OR_EVENT_IDLE) && last->kind == event->kind &&
           last->end == event->begin;
}

static void add(or_events *events, const or_event *event)
{
    if (events->count > 0 && goes_on(&events->items[events->count - 1], event)) {
        events->items[events->count - 1].end = event->end;
        return;
    }
    if (events->count == events->capacity && events->count < events->most) {
        or_event *grown = or_grow(events->items, &events->capacity, events->count + 1, sizeof *grown);
        if (grown) events->items = grown;
    }
    if (events->count < events->most && events->count < events->capacity)
        events->items[events->count++] = *event;
    else
        events->dropped++;
}

void or_timeline_add(or_timeline *timeline, const or_event *event)
{
    if (timeline) add(&timeline->own, event);
}

void or_timeline_forget(or_timeline *timeline)
{
    if (timeline) timeline->own.count = 0;
}

/* ---- to rank 0 -------------------------------------------------------------------------------------------- */

/* What is before the events in a message. */
typedef struct head {
    uint64_t rank, count, dropped;
} head;

/* What a rank has sent counts against what it may keep, so that all runs together stay within it. */
or_status or_timeline_pack(or_timeline *timeline, void **data, size_t *size)
{
    or_events *own = &timeline->own;
    const head h = {(uint64_t)timeline->rank, own->count, own->dropped};
    char *bytes = NULL;
    *size = sizeof h + own->count * sizeof *own->items;
    OR_TRY(OR_NEW(bytes, *size));
    memcpy(bytes, &h, sizeof h);
    if (own->count > 0) memcpy(bytes + sizeof h, own->items, own->count * sizeof *own->items);
    own->most -= own->count;
    own->count = 0;
    own->dropped = 0;
    *data = bytes;
    return OR_OK;
}

static bool is_event(const or_event *event)
{
    return event->kind >= 0 && event->kind < OR_EVENT_KINDS && isfinite(event->begin) &&
           event->end >= event->begin && isfinite(event->end) && isfinite(event->ramp) &&
           isfinite(event->macs) && event->waves >= 0;
}

/* Waves that come in by an event have the numbers of the rank before. */
static int64_t numbers_begin(const or_timeline *timeline, int rank, const or_event *event)
{
    if (event->kind == OR_EVENT_SEND) return timeline->lanes[rank].sent;
    return rank > 0 ? timeline->lanes[rank - 1].sent : 0;
}

or_status or_timeline_take(or_timeline *timeline, const void *data, size_t size)
{
    const char *bytes = data;
    head h = {0};
    if (size >= sizeof h) memcpy(&h, bytes, sizeof h);
    const size_t rest = size - sizeof h;
    if (size < sizeof h || h.rank >= (uint64_t)timeline->n_ranks || rest % sizeof(or_event) != 0 ||
        rest / sizeof(or_event) != h.count)
        return or_fail(OR_ERR_PEER, "unexpected events", NULL, "%zu bytes, said to be of rank %llu", size,
                       (unsigned long long)h.rank);
    const int rank = (int)h.rank;
    or_lane *lane = &timeline->lanes[rank];
    for (size_t i = 0; i < h.count; i++) {
        or_event event;
        memcpy(&event, bytes + sizeof h + i * sizeof event, sizeof event);
        if (!is_event(&event))
            return or_fail(OR_ERR_PEER, "unexpected event", NULL, "of kind %d from rank %d", event.kind,
                           rank);
        event.begin -= lane->gap.offset;
        event.end -= lane->gap.offset;
        event.wave += numbers_begin(timeline, rank, &event);
        add(&lane->events, &event);
    }
    lane->events.dropped += h.dropped;
    return OR_OK;
}

or_status or_timeline_end_run(or_timeline *timeline, const char *name, double begin,
                              const or_run_stats *stats)
{
    OR_RESERVE(timeline->spans, timeline->spans_capacity, timeline->n_spans + 1);
    or_run_span *span = &timeline->spans[timeline->n_spans];
    *span = (or_run_span){.begin = begin, .end = begin + stats->seconds};
    OR_TRY(or_strdup(name ? name : "run", &span->name));
    for (int s = 0; s < stats->n_stages && s < timeline->n_ranks; s++) {
        const or_stage_stats *stage = &stats->stage[s];
        or_lane *lane = &timeline->lanes[s];
        const bool same = lane->first == stage->first && lane->last == stage->last;
        lane->first = timeline->n_spans == 0 || same ? stage->first : 0;
        lane->last = timeline->n_spans == 0 || same ? stage->last : 0;
        lane->sent += (int64_t)stage->waves_out;
    }
    timeline->n_spans++;
    return OR_OK;
}
