/* simulate.c - the stages of a simulation, and its loop. The rules are those of pipeline.c and stage.c.
 *
 *          message                 look: inbox -> running
 *   asleep --------> LOOK at the next nap's end ---------> running --RAN--> more layers, parked, held or sent
 *                         |  nothing to do: on with naps                        |
 *                         +---------------------------------------- look <-----+
 *
 * A stage runs as many layers at a time as can be foreseen: up to its end, up to where a parked wave waits, or until
 * its wave is thin. What arrives meanwhile changes nothing before.
 */
#include "sim_internal.h"

#include "clock.h"

#include <math.h>

typedef struct sim_stage {
    int number, first, last; /* layers (first, last] */
    const or_rank_cost *cost;
    or_stage_stats *stats;
    or_sim_wave *inbox[OR_CREDITS_MOST], *running, *parked;
    or_sim_wave *owed; /* riders that left behind a layer without a ramp, until the stage's end; NULL: none */
    size_t n_inbox;
    size_t granted; /* to the stage before */
    int credits;
    bool starved; /* the held wave has waited for a credit */
    bool merging; /* the running wave comes up to the parked one */
    bool held;    /* the running wave is done and waits for a credit */
    double held_since, link_free;
    double since, work, ramp_work; /* working since; in all, and at ramps, by the clock of work */
    or_wait wait;
    bool asleep, looks; /* whether it will find something when it looks next */
    double look;
} sim_stage;

typedef struct simulator {
    const or_simulation *what;
    int n_layers;
    or_run_stats *stats;
    or_sim_events events;
    or_sim_source source;
    sim_stage *stages; /* [n_stages] */
    bool awaited;      /* the arrival of the next request is an event */
    bool over;
} simulator;

/* ---- sleep ---------------------------------------------------------------------------------------------- */

static void nap_on(sim_stage *s)
{
    s->look += or_wait_seconds(&s->wait, s->look);
}

/* There is something to find for a rank that sleeps: it does so when its nap is over. */
static or_status notice(simulator *sim, sim_stage *s, double now)
{
    if (!s->asleep || s->looks) return OR_OK;
    /* until naps are the longest; of those there may be millions */
    while (s->look < now && s->look - s->wait.begin < 8 * OR_CLOCK_NAP_MOST) nap_on(s);
    if (s->look < now) s->look += ceil((now - s->look) / OR_CLOCK_NAP_MOST) * OR_CLOCK_NAP_MOST;
    s->looks = true;
    return or_sim_push(&sim->events, (or_sim_event){fmax(s->look, now), OR_SIM_LOOK, s->number, NULL, 0});
}

/* Rank 0 also waits for requests that have not arrived. */
static or_status sleep_on(simulator *sim, sim_stage *s, double now)
{
    const or_sim_source *source = &sim->source;
    s->asleep = true;
    s->look = now;
    nap_on(s);
    if (s->number > 0 || sim->awaited || source->next == sim->what->n_requests) return OR_OK;
    const double arrival = sim->what->requests[source->next].arrival;
    if (arrival <= now) return OR_OK;
    sim->awaited = true;
    return or_sim_push(&sim->events, (or_sim_event){arrival, OR_SIM_ARRIVAL, 0, NULL, 0});
}

/* ---- a wave through a stage ------------------------------------------------------------------------------ */

/* Riders leave when so much work is done. */
static or_status let_go(simulator *sim, sim_stage *s, double worked, or_sim_wave *riders)
{
    s->stats->exits += riders->n;
    return or_sim_push(&sim->events, (or_sim_event){worked, OR_SIM_LEFT, s->number, riders, 0});
}

/* Behind a layer: all that ask are checked where there is a ramp and at full depth, and some leave. */
static or_status check(simulator *sim, sim_stage *s, double *worked)
{
    or_sim_wave *wave = s->running, *left = NULL;
    const bool final = wave->layer == sim->n_layers;
    const bool checked = final || (sim->what->ramp && sim->what->ramp[wave->layer]);
    if (checked) {
        const double seconds = or_cost_at(&s->cost->ramp, (double)wave->asking);
        *worked += seconds;
        s->stats->ramp_rows += wave->asking;
        if (!final) s->ramp_work += seconds;
    }
    if (wave->layer < wave->next_exit) return OR_OK;
    if (checked || !s->owed) OR_TRY(or_sim_wave_new(&sim->events, wave->layer, &left));
    if (!checked && !s->owed) s->owed = left;
    OR_TRY(or_sim_wave_leave(wave, checked ? left : s->owed));
    return checked ? let_go(sim, s, *worked, left) : OR_OK;
}

/* The tokens that are owed, with one output projection. */
static or_status settle(simulator *sim, sim_stage *s, double *worked)
{
    or_sim_wave *owed = s->owed;
    if (!owed) return OR_OK;
    s->owed = NULL;
    s->stats->ramp_rows += owed->n;
    *worked += or_cost_at(&s->cost->ramp, (double)owed->n);
    return let_go(sim, s, *worked, owed);
}

/* From now on the rank works, until so much is done. */
static or_status work_until(simulator *sim, sim_stage *s, double worked)
{
    sim->events.working++;
    s->since = sim->events.now;
    s->work += worked - sim->events.worked;
    return or_sim_push(&sim->events, (or_sim_event){worked, OR_SIM_RAN, s->number, NULL, 0});
}

/* or_pipeline_advance() would look at each layer's end whether to park it. */
static bool is_thin(const sim_stage *s)
{
    return s->number > 0 && !s->parked && s->running->rows > 0 && s->running->rows < OR_THIN_ROWS;
}

static int run_until(const sim_stage *s)
{
    return s->merging ? s->parked->layer : s->last;
}

/* Layers, at least one. */
static or_status run(simulator *sim, sim_stage *s)
{
    or_sim_wave *wave = s->running;
    const int until = run_until(s);
    double worked = sim->events.worked;
    if (wave->layer == s->first) s->stats->waves_run++;
    if (wave->layer == 0) worked += s->cost->embed * (double)wave->rows;
    while (wave->layer < until && wave->n > 0) {
        worked += or_cost_at(&s->cost->layer, (double)wave->rows);
        wave->layer++;
        OR_TRY(check(sim, s, &worked));
        if (wave->layer < until && is_thin(s)) break;
    }
    if (wave->layer == until || wave->n == 0) OR_TRY(settle(sim, s, &worked));
    return work_until(sim, s, worked);
}

/* ---- between waves ---------------------------------------------------------------------------------------- */

static or_status send_held(simulator *sim, sim_stage *s, double now)
{
    or_sim_wave *wave = s->running;
    s->starved |= s->held && s->credits == 0;
    if (!s->held || s->credits == 0) return OR_OK;
    wave->waited = s->starved;
    s->starved = false;
    const double bytes =
        (double)wave->rows * sim->what->row_bytes + (double)wave->n * (double)sizeof(or_rider);
    s->link_free = fmax(now, s->link_free) + (s->cost->bandwidth > 0 ? bytes / s->cost->bandwidth : 0);
    s->stats->wait += now - s->held_since;
    s->stats->waves_out++;
    s->stats->requests_out += wave->n;
    s->credits--;
    s->held = false;
    s->running = NULL;
    or_wait_over(&s->wait, now);
    return or_sim_push(&sim->events,
                       (or_sim_event){s->link_free + s->cost->latency, OR_SIM_WAVE, s->number + 1, wave, 0});
}

/* To the stage before. */
static or_status send_credit(simulator *sim, const sim_stage *s, double now)
{
    const double arrival = now + sim->stages[s->number - 1].cost->latency;
    return or_sim_push(&sim->events, (or_sim_event){arrival, OR_SIM_CREDIT, s->number - 1, NULL, 0});
}

/* The first wave of the inbox is empty: its credit goes back. */
static or_status drop_first(simulator *sim, sim_stage *s, double now)
{
    or_sim_wave_drop(&sim->events, s->inbox[0]);
    for (size_t i = 1; i < s->n_inbox; i++) s->inbox[i - 1] = s->inbox[i];
    s->n_inbox--;
    return send_credit(sim, s, now);
}

/* Riders of the wave that fit behind those that are running, at least one where there is nothing yet. */
static size_t riders_within(const simulator *sim, const or_sim_wave *running, const or_sim_wave *wave)
{
    const bool continues = sim->what->requests[wave->riders[0].request].tokens > 0;
    const size_t most = or_merge_most(sim->what->sequences, sim->stats->n_stages);
    size_t n = 0, rows = running->rows;
    if (rows > 0 && continues && running->asking + wave->asking > most) return 0;
    for (; n < wave->n; n++) {
        if (rows > 0 && rows + (size_t)wave->riders[n].rows > sim->what->wave_tokens) break;
        rows += (size_t)wave->riders[n].rows;
    }
    return n;
}

/* Merges what has arrived, up to the token budget. */
static or_status take_inbox(simulator *sim, sim_stage *s, double now)
{
    while (s->n_inbox > 0) {
        or_sim_wave *wave = s->inbox[0];
        const size_t n = riders_within(sim, s->running, wave);
        if (n == 0) break;
        OR_TRY(or_sim_wave_move(s->running, wave, n));
        if (wave->n > 0) break;
        OR_TRY(drop_first(sim, s, now));
    }
    return OR_OK;
}

/* The wave that is run next, if there is one. A parked wave goes on by itself where nothing has come. */
static or_status find_wave(simulator *sim, sim_stage *s, double now)
{
    OR_TRY(or_sim_wave_new(&sim->events, s->first, &s->running));
    OR_TRY(s->number == 0 ? or_sim_fill(&sim->source, now, s->running) : take_inbox(sim, s, now));
    s->merging = s->running->n > 0 && s->parked;
    if (s->running->n > 0) return OR_OK;
    or_sim_wave_drop(&sim->events, s->running);
    s->running = s->parked;
    s->parked = NULL;
    return OR_OK;
}

/* The rank has run what it had, or wakes. */
static or_status look(simulator *sim, sim_stage *s, double now)
{
    s->asleep = s->looks = false;
    if (s->number == 0 && or_sim_is_over(&sim->source)) {
        sim->over = true;
        sim->stats->seconds = now;
        return OR_OK;
    }
    OR_TRY(send_held(sim, s, now));
    if (!s->held) OR_TRY(find_wave(sim, s, now));
    if (s->held || !s->running) return sleep_on(sim, s, now);
    or_wait_over(&s->wait, now);
    return run(sim, s);
}

/* ---- what happens ----------------------------------------------------------------------------------------- */

/* The wave has come up to the parked one, which goes first. */
static or_status merge(simulator *sim, sim_stage *s)
{
    or_sim_wave *wave = s->running;
    OR_TRY(or_sim_wave_move(s->parked, wave, wave->n));
    or_sim_wave_drop(&sim->events, wave);
    s->running = s->parked;
    s->parked = NULL;
    s->merging = false;
    return run(sim, s);
}

/* A thin wave waits for the next one, which is here, to come to its layer. */
static or_status park(simulator *sim, sim_stage *s)
{
    double worked = sim->events.worked;
    OR_TRY(settle(sim, s, &worked));
    s->parked = s->running;
    s->running = NULL;
    return work_until(sim, s, worked);
}

static or_status after_run(simulator *sim, sim_stage *s, double now)
{
    or_sim_wave *wave = s->running;
    sim->events.working--;
    s->stats->busy += now - s->since;
    if (!wave) return look(sim, s, now); /* it was parked */
    if (s->merging) return merge(sim, s);
    if (wave->n > 0 && wave->layer < s->last) return s->n_inbox > 0 ? park(sim, s) : run(sim, s);
    s->held = wave->n > 0; /* nothing left: the later ranks are skipped */
    s->held_since = now;
    if (!s->held) {
        or_sim_wave_drop(&sim->events, wave);
        s->running = NULL;
    }
    return look(sim, s, now);
}

/* grant_more() of pipeline.c, for ranks with memory enough. */
static or_status grant_more(simulator *sim, sim_stage *s, double now)
{
    const bool idles = s->asleep && s->wait.waiting && s->n_inbox == 0 && !s->held;
    const size_t granted = or_credits_after(s->granted, OR_CREDITS_MOST, idles ? now - s->wait.begin : 0);
    for (; s->granted < granted; s->granted++) OR_TRY(send_credit(sim, s, now));
    return OR_OK;
}

static or_status take_wave(simulator *sim, sim_stage *s, const or_sim_event *event)
{
    if (event->wave->waited) OR_TRY(grant_more(sim, s, event->time));
    s->inbox[s->n_inbox++] = event->wave; /* the sender had a credit */
    s->stats->waves_in++;
    s->stats->requests_in += event->wave->n;
    s->stats->rows_in += event->wave->rows;
    return notice(sim, s, event->time);
}

/* Riders that left are at home on rank 0; from another their records are sent. */
static or_status send_home(simulator *sim, const sim_stage *s, const or_sim_event *event)
{
    if (s->number > 0)
        return or_sim_push(&sim->events, (or_sim_event){sim->events.now + s->cost->latency, OR_SIM_RECORDS, 0,
                                                        event->wave, 0});
    or_sim_home(&sim->source, sim->events.now, event->wave);
    or_sim_wave_drop(&sim->events, event->wave);
    return OR_OK;
}

static or_status take_records(simulator *sim, sim_stage *first, const or_sim_event *event)
{
    or_sim_home(&sim->source, event->time, event->wave);
    or_sim_wave_drop(&sim->events, event->wave);
    return notice(sim, first, event->time);
}

static or_status happen(simulator *sim, const or_sim_event *event)
{
    sim_stage *s = &sim->stages[event->stage];
    switch (event->kind) {
    case OR_SIM_RAN:
        return after_run(sim, s, sim->events.now);
    case OR_SIM_LEFT:
        return send_home(sim, s, event);
    case OR_SIM_LOOK:
        return look(sim, s, event->time);
    case OR_SIM_WAVE:
        return take_wave(sim, s, event);
    case OR_SIM_CREDIT:
        s->credits++;
        return notice(sim, s, event->time);
    case OR_SIM_RECORDS:
        return take_records(sim, s, event);
    case OR_SIM_ARRIVAL:
        sim->awaited = false;
        return notice(sim, s, event->time);
    }
    return OR_OK;
}

/* ---- the run ---------------------------------------------------------------------------------------------- */

/* A rider without an exit would never come home. */
static or_status check_request(const or_simulation *what, size_t index)
{
    const or_sim_request *r = &what->requests[index];
    const int n_layers = what->plan->bound[what->plan->n_stages];
    const double before = index > 0 ? r[-1].arrival : 0;
    if (!(r->arrival >= before && isfinite(r->arrival)) || r->rows < 1 || r->tokens < 0)
        return or_fail(OR_ERR_INPUT, "request refused", NULL,
                       "request %zu of the simulation arrives at %g with %d rows for %d tokens", index,
                       r->arrival, r->rows, r->tokens);
    for (int32_t i = 0; r->exits && i < (r->tokens > 0 ? r->tokens : 1); i++)
        if (r->exits[i] < 1 || r->exits[i] > n_layers)
            return or_fail(OR_ERR_INPUT, "request refused", NULL,
                           "request %zu is to exit at layer %d, expected 1..%d", index, r->exits[i],
                           n_layers);
    return OR_OK;
}

/* All sleep but rank 0, which begins. */
static or_status begin(simulator *sim, or_simulated *result)
{
    const or_plan *plan = sim->what->plan;
    sim->n_layers = plan->bound[plan->n_stages];
    sim->stats = &result->run;
    sim->stats->n_stages = plan->n_stages;
    sim->events.cores = sim->what->cores;
    OR_TRY(or_sim_source_open(&sim->source, sim->what, sim->stats));
    OR_TRY(OR_NEW(sim->stages, (size_t)plan->n_stages));
    for (int n = 0; n < plan->n_stages; n++) {
        sim_stage *s = &sim->stages[n];
        *s = (sim_stage){.number = n,
                         .first = plan->bound[n],
                         .last = plan->bound[n + 1],
                         .cost = &sim->what->ranks[n],
                         .stats = &sim->stats->stage[n],
                         .credits = OR_CREDITS,
                         .granted = OR_CREDITS,
                         .asleep = true};
        s->stats->first = s->first;
        s->stats->last = s->last;
    }
    return notice(sim, &sim->stages[0], 0);
}

static or_status finish(simulator *sim, or_simulated *result)
{
    for (size_t i = 0; i < sim->what->n_requests; i++) result->rows += (uint64_t)sim->what->requests[i].rows;
    for (int n = 0; n < sim->stats->n_stages; n++) {
        or_stage_stats *stats = &sim->stats->stage[n];
        stats->idle = sim->stats->seconds - stats->busy - stats->wait;
        if (sim->stages[n].work > 0)
            stats->ramp = stats->busy * sim->stages[n].ramp_work / sim->stages[n].work;
    }
    return or_sim_latencies(&sim->source, result);
}

or_status or_simulate(const or_simulation *simulation, or_simulated *result)
{
    simulator sim = {.what = simulation};
    or_sim_event event;
    *result = (or_simulated){0};
    for (size_t i = 0; i < simulation->n_requests; i++) OR_TRY(check_request(simulation, i));
    or_status status = begin(&sim, result);
    while (status == OR_OK && !sim.over && or_sim_next(&sim.events, &event)) status = happen(&sim, &event);
    if (status == OR_OK) status = finish(&sim, result);
    or_sim_events_free(&sim.events);
    or_sim_source_close(&sim.source);
    free(sim.stages);
    return status;
}

void or_simulated_free(or_simulated *result)
{
    or_run_stats_free(&result->run);
}
