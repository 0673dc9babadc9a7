/* sim_events.c - two heaps of events, one for each clock, and a store of waves. */
#include "sim_internal.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- events --------------------------------------------------------------------------------------------- */

static bool before(const or_sim_event *a, const or_sim_event *b)
{
    return a->time < b->time || (a->time == b->time && a->number < b->number);
}

or_status or_sim_push(or_sim_events *events, or_sim_event event)
{
    or_sim_heap *heap = event.kind <= OR_SIM_LEFT ? &events->work : &events->seconds;
    OR_RESERVE(heap->events, heap->capacity, heap->count + 1);
    size_t at = heap->count++;
    event.number = events->numbers++;
    for (; at > 0 && before(&event, &heap->events[(at - 1) / 2]); at = (at - 1) / 2)
        heap->events[at] = heap->events[(at - 1) / 2];
    heap->events[at] = event;
    return OR_OK;
}

/* Takes the first. The last one takes its place, and sinks. */
static or_sim_event pop(or_sim_heap *heap)
{
    const or_sim_event first = heap->events[0], last = heap->events[--heap->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && before(&heap->events[child + 1], &heap->events[child])) child++;
        if (!before(&heap->events[child], &last)) break;
        heap->events[at] = heap->events[child];
    }
    heap->events[at] = last;
    return first;
}

/* Without sharing both clocks show the same, to the last bit. */
bool or_sim_next(or_sim_events *events, or_sim_event *event)
{
    const or_sim_heap *seconds = &events->seconds, *work = &events->work;
    const bool shared = events->cores > 0 && events->working > events->cores;
    const double speed = shared ? events->cores / events->working : 1;
    const double at = seconds->count > 0 ? seconds->events[0].time : INFINITY;
    const double until = work->count > 0 ? work->events[0].time : INFINITY;
    const double done = events->cores > 0 ? events->now + (until - events->worked) / speed : until;
    if (at == INFINITY && done == INFINITY) return false;
    if (done <= at) {
        events->now = done;
        events->worked = until;
        *event = pop(&events->work);
        return true;
    }
    events->worked = events->cores > 0 ? events->worked + (at - events->now) * speed : at;
    events->now = at;
    *event = pop(&events->seconds);
    return true;
}

void or_sim_events_free(or_sim_events *events)
{
    for (size_t i = 0; i < events->n_waves; i++) {
        free(events->waves[i]->riders);
        free(events->waves[i]);
    }
    free(events->waves);
    free(events->spare);
    free(events->seconds.events);
    free(events->work.events);
    *events = (or_sim_events){0};
}

/* ---- waves ---------------------------------------------------------------------------------------------- */

static or_status make_wave(or_sim_events *events)
{
    OR_RESERVE(events->waves, events->waves_capacity, events->n_waves + 1);
    OR_RESERVE(events->spare, events->spare_capacity,
               events->n_waves + 1); /* so that all may be given back */
    or_sim_wave *wave = NULL;
    OR_TRY(OR_NEW(wave, 1));
    events->waves[events->n_waves++] = wave;
    events->spare[events->n_spare++] = wave;
    return OR_OK;
}

static void clear(or_sim_wave *wave)
{
    wave->n = wave->rows = wave->asking = 0;
    wave->next_exit = INT_MAX;
}

or_status or_sim_wave_new(or_sim_events *events, int layer, or_sim_wave **wave)
{
    if (events->n_spare == 0) OR_TRY(make_wave(events));
    *wave = events->spare[--events->n_spare];
    clear(*wave);
    (*wave)->layer = layer;
    return OR_OK;
}

void or_sim_wave_drop(or_sim_events *events, or_sim_wave *wave)
{
    if (wave) events->spare[events->n_spare++] = wave;
}

static void count(or_sim_wave *wave, const or_sim_rider *rider)
{
    wave->rows += (size_t)rider->rows;
    wave->asking += rider->asks;
    if (rider->exit < wave->next_exit) wave->next_exit = rider->exit;
}

or_status or_sim_wave_add(or_sim_wave *wave, const or_sim_rider *rider)
{
    OR_RESERVE(wave->riders, wave->capacity, wave->n + 1);
    wave->riders[wave->n++] = *rider;
    count(wave, rider);
    return OR_OK;
}

or_status or_sim_wave_move(or_sim_wave *wave, or_sim_wave *from, size_t n)
{
    const size_t rest = from->n - n;
    OR_RESERVE(wave->riders, wave->capacity, wave->n + n);
    for (size_t r = 0; r < n; r++) count(wave, &from->riders[r]);
    memcpy(wave->riders + wave->n, from->riders, n * sizeof *wave->riders);
    wave->n += n;
    memmove(from->riders, from->riders + n, rest * sizeof *from->riders);
    clear(from);
    for (; from->n < rest; from->n++) count(from, &from->riders[from->n]);
    return OR_OK;
}

or_status or_sim_wave_leave(or_sim_wave *wave, or_sim_wave *left)
{
    const size_t all = wave->n;
    clear(wave);
    for (size_t r = 0; r < all; r++) {
        const or_sim_rider rider = wave->riders[r];
        if (rider.exit <= wave->layer) {
            OR_TRY(or_sim_wave_add(left, &rider));
        } else {
            wave->riders[wave->n++] = rider;
            count(wave, &rider);
        }
    }
    return OR_OK;
}
