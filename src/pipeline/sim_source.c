/* sim_source.c - rank 0 of a simulation: which requests go into the next wave, and what comes of those that are home.
 * The rules are those of run.c, schedule.c and sequence.c, under propagate. */
#include "sim_internal.h"

#include <math.h>
#include <string.h>

or_status or_sim_source_open(or_sim_source *s, const or_simulation *what, or_run_stats *stats)
{
    const size_t n_layers = (size_t)what->plan->bound[what->plan->n_stages];
    *s = (or_sim_source){.what = what, .stats = stats};
    OR_TRY(OR_NEW(s->tracks, what->n_requests));
    OR_TRY(OR_NEW(s->queue, what->sequences));
    return OR_NEW(stats->survivors, n_layers + 1);
}

void or_sim_source_close(or_sim_source *s)
{
    free(s->tracks);
    free(s->queue);
    *s = (or_sim_source){0};
}

/* ---- continuations ---------------------------------------------------------------------------------------- */

/* Tokens are known up to the last that was given; behind that of the end nothing is run. */
static bool waits(const or_sim_source *s, size_t request)
{
    const or_sim_request *r = &s->what->requests[request];
    const or_sim_track *t = &s->tracks[request];
    return t->given < r->tokens && t->fed < r->rows + t->given;
}

static void enqueue(or_sim_source *s, size_t request)
{
    or_sim_track *t = &s->tracks[request];
    if (t->queued || !waits(s, request)) return;
    s->queue[(s->queue_first + s->n_queued++) % s->what->sequences] = (uint32_t)request;
    t->queued = true;
}

static size_t dequeue(or_sim_source *s)
{
    const size_t request = s->queue[s->queue_first];
    s->queue_first = (s->queue_first + 1) % s->what->sequences;
    s->n_queued--;
    s->tracks[request].queued = false;
    return request;
}

static int exit_layer(const or_sim_source *s, size_t request)
{
    const int32_t *exits = s->what->requests[request].exits;
    return exits ? exits[s->tracks[request].given] : s->what->plan->bound[s->what->plan->n_stages];
}

/* The prompt before its last row goes to the full depth, which asks nothing; the last row is a rider by itself. */
static or_sim_rider next_rider(const or_sim_source *s, size_t request, size_t most)
{
    const or_sim_request *r = &s->what->requests[request];
    const or_sim_track *t = &s->tracks[request];
    const int32_t known = r->rows + t->given, end = t->fed < r->rows - 1 ? r->rows - 1 : known;
    or_sim_rider rider = {.request = (uint32_t)request, .rows = end - t->fed};
    if ((size_t)rider.rows > most) rider.rows = (int32_t)most;
    rider.asks = t->fed + rider.rows == known;
    rider.exit = rider.asks ? exit_layer(s, request) : s->what->plan->bound[s->what->plan->n_stages];
    return rider;
}

/* ---- filling ---------------------------------------------------------------------------------------------- */

static or_status board(or_sim_source *s, const or_sim_rider *rider, or_sim_wave *wave)
{
    or_stage_stats *stats = &s->stats->stage[0];
    s->n_riders++;
    s->tracks[rider->request].n_riders++;
    stats->requests_in++;
    stats->rows_in += (uint64_t)rider->rows;
    return or_sim_wave_add(wave, rider);
}

/* or_schedule_share() */
static size_t share(const or_sim_source *s)
{
    const size_t stages = (size_t)s->what->plan->n_stages;
    return s->n_active < stages ? 1 : (s->n_active + stages - 1) / stages;
}

/* Riders of continuations in turn, as long as they fit. */
static or_status feed(or_sim_source *s, or_sim_wave *wave)
{
    const size_t budget = s->what->wave_tokens;
    while (s->n_queued > 0 && s->n_asking < share(s) && wave->rows < budget) {
        const size_t request = dequeue(s);
        const or_sim_rider rider = next_rider(s, request, budget - wave->rows);
        s->tracks[request].fed += rider.rows;
        s->n_asking += rider.asks;
        OR_TRY(board(s, &rider, wave));
        enqueue(s, request);
    }
    return OR_OK;
}

/* The next request, if it has arrived and there is room for it. */
static or_status take_request(or_sim_source *s, double now, size_t budget, or_sim_wave *wave, bool *taken)
{
    const size_t next = s->next;
    const or_sim_request *r = &s->what->requests[next];
    *taken = r->arrival <= now && (r->tokens > 0 ? s->n_active < s->what->sequences
                                                 : wave->n == 0 || wave->rows + (size_t)r->rows <= budget);
    if (!*taken) return OR_OK;
    s->next++;
    s->tracks[next].admitted = now;
    if (r->tokens > 0) {
        s->n_active++;
        enqueue(s, next);
        return feed(s, wave);
    }
    const or_sim_rider rider = {(uint32_t)next, r->rows, exit_layer(s, next), true};
    return board(s, &rider, wave);
}

or_status or_sim_fill(or_sim_source *s, double now, or_sim_wave *wave)
{
    const or_simulation *what = s->what;
    const size_t n = what->n_requests;
    const bool more = n > 0 && what->requests[n - 1].arrival > now; /* rank 0 does not know how many come */
    const size_t budget = or_wave_budget(what->wave_tokens, what->plan->n_stages, s->rows, s->next,
                                         more ? SIZE_MAX : n - s->next);
    s->n_asking = 0;
    OR_TRY(feed(s, wave));
    for (bool taken = true; taken && s->next < n;) OR_TRY(take_request(s, now, budget, wave, &taken));
    s->rows += wave->rows;
    if (wave->n > 0) s->stats->stage[0].waves_in++;
    return OR_OK;
}

/* ---- answers ---------------------------------------------------------------------------------------------- */

static void take_answer(or_sim_source *s, double now, const or_sim_rider *rider)
{
    const or_sim_request *r = &s->what->requests[rider->request];
    or_sim_track *t = &s->tracks[rider->request];
    for (int layer = 0; layer < rider->exit; layer++) s->stats->survivors[layer]++;
    t->given++;
    s->stats->tokens += r->tokens > 0;
    if (t->given >= r->tokens) {
        t->answered = now;
        s->n_done++;
    }
}

void or_sim_home(or_sim_source *s, double now, const or_sim_wave *records)
{
    for (size_t i = 0; i < records->n; i++) {
        const or_sim_rider *rider = &records->riders[i];
        const int32_t tokens = s->what->requests[rider->request].tokens;
        or_sim_track *t = &s->tracks[rider->request];
        s->n_riders--;
        t->n_riders--;
        if (rider->asks) take_answer(s, now, rider);
        if (tokens == 0) continue;
        enqueue(s, rider->request);
        if (t->given == tokens && t->n_riders == 0) s->n_active--;
    }
}

bool or_sim_is_over(const or_sim_source *s)
{
    return s->n_done == s->what->n_requests && s->n_riders == 0;
}

/* ---- latencies -------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The least number that so great a share does not exceed. */
static double rank_of(const double *sorted, size_t n, double part)
{
    const size_t at = (size_t)ceil(part * (double)n);
    return sorted[at > 0 ? at - 1 : 0];
}

static or_latencies summarise(double *seconds, size_t n)
{
    double sum = 0;
    qsort(seconds, n, sizeof *seconds, compare);
    for (size_t i = 0; i < n; i++) sum += seconds[i];
    return (or_latencies){sum / (double)n, rank_of(seconds, n, 0.5), rank_of(seconds, n, 0.9),
                          rank_of(seconds, n, 0.99), seconds[n - 1]};
}

or_status or_sim_latencies(const or_sim_source *s, or_simulated *result)
{
    const size_t n = s->what->n_requests;
    double *seconds = NULL;
    if (n == 0) return OR_OK;
    OR_TRY(OR_NEW(seconds, n));
    for (size_t i = 0; i < n; i++) seconds[i] = s->tracks[i].answered - s->tracks[i].admitted;
    result->admitted = summarise(seconds, n);
    for (size_t i = 0; i < n; i++) seconds[i] = s->tracks[i].answered - s->what->requests[i].arrival;
    result->arrived = summarise(seconds, n);
    free(seconds);
    return OR_OK;
}
