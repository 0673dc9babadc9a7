/* pipeline.c - the message pump, the loop of the ranks after the first, and closing. Opening is in open.c.
 *
 * One thread does it all. It looks for messages in its waiting loops (serve() here, run_requests() in
 * run.c) and between layers (hand_over()), so that waves arrive and credits return while a wave is
 * computed. Acting on a message never runs a stage; it only fills the inbox, the credits and the tracker.
 *
 * Waiting is by naps (or_wait).
 */
#include "pipeline_internal.h"
#include "replicas.h"

#include "clock.h"
#include "log.h"
#include "machine.h"

#include <string.h>

/* ---- closing ------------------------------------------------------------------------------------------- */

/* Until all credits are back and all buffers sent, then until all ranks are here: so no message is under
 * way when the transport is closed. Collective, blocking (asleep). */
static or_status drain(or_pipeline *p)
{
    if (p->replicas) OR_TRY(or_replicas_close(p));
    for (int rank = 1; p->rank == 0 && rank < p->plan.n_stages; rank++)
        OR_TRY(or_transport_send(p->transport, rank, OR_TAG_CLOSE, NULL, 0));
    while (p->credits < p->allowed || or_transport_sending(p->transport) > 0 ||
           or_transport_sending(p->world) > 0) {
        OR_TRY(or_pipeline_pump(p));
        or_pipeline_nap(p);
    }
    return or_transport_barrier(p->world);
}

or_status or_pipeline_pause(or_pipeline *p)
{
    or_status status = drain(p);
    p->closing = false;
    p->paused = status == OR_OK;
    p->failed |= status != OR_OK;
    return status;
}

void or_pipeline_close(or_pipeline *p)
{
    if (!p) return;
    if (!p->failed && !p->paused && drain(p) != OR_OK) or_log_warn("%s", or_status_message());
    for (size_t i = 0; i < OR_CREDITS_MOST; i++) or_wave_free(&p->inbox[i]);
    or_wave_free(&p->running);
    or_wave_free(&p->parked);
    or_stage_free(&p->stage);
    or_model_close(p->model);
    or_replicas_free(p->replicas);
    free(p->gathered);
    free(p->costs);
    /* after a failed run the others do not come to close it */
    if (p->transport != p->world && !p->failed) or_transport_close(p->transport);
    free(p);
}

const or_hparams *or_pipeline_hparams(const or_pipeline *p)
{
    return or_model_hparams(p->model);
}

const or_plan *or_pipeline_plan(const or_pipeline *p)
{
    return &p->plan;
}

int or_pipeline_replicas(const or_pipeline *p)
{
    return p->n_replicas;
}

void or_pipeline_tell_write(const or_pipeline *p, bool begins)
{
    if (p) or_transport_tell(p->world, begins ? OR_DOING_WRITE : OR_DOING_WAIT, 0, 0, NULL);
}

size_t or_pipeline_longest(const or_pipeline *p)
{
    return p->longest;
}

size_t or_pipeline_room(const or_pipeline *p)
{
    return p->stage.kv.n_slots > 0 ? p->stage.kv.n_pages * OR_PAGE : 0;
}

uint64_t or_pipeline_fingerprint(const or_pipeline *p)
{
    return or_model_fingerprint(p->model);
}

/* ---- messages ----------------------------------------------------------------------------------------- */

/* A wave has come that has waited for its credit. A rank that naps has nothing to do, unless it waits for a credit itself. */
static or_status grant_more(or_pipeline *p)
{
    const bool idles = p->waiting.waiting && p->n_inbox == 0 && !p->held;
    const double waited = idles ? or_clock_now() - p->waiting.begin : 0;
    const size_t granted = or_credits_after(p->granted, p->granted_most, waited);
    if (granted > p->granted) or_log_detail("waves are long under way: %zu at a time", granted);
    for (; p->granted < granted; p->granted++)
        OR_TRY(or_transport_send(p->transport, p->rank - 1, OR_TAG_MORE, NULL, 0));
    return OR_OK;
}

/* Puts a wave into the inbox. Never into `running`, which may be in the middle of a layer. A wave without
 * credit, of another layer than this stage begins at, or with numbers that cannot be is refused.
 * Local. */
static or_status take_wave(or_pipeline *p, const or_message *message)
{
    if (p->n_inbox == p->granted || message->from != p->rank - 1)
        return or_fail(OR_ERR_PEER, "unexpected wave", NULL, "rank %d sent one to rank %d without credit",
                       or_pipeline_rank(p, message->from), or_pipeline_rank(p, p->rank));
    or_wave *wave = &p->inbox[p->n_inbox];
    const or_hparams *h = or_model_hparams(p->model);
    const or_wave_limits limits = {p->stage.n_policies, p->stage.kv.n_pages, p->stage.kv.n_slots, h->n_vocab,
                                   h->n_layers};
    OR_TRY(or_wave_decode(wave, message->data, message->size, &limits));
    if (wave->layer != p->plan.bound[p->rank])
        return or_fail(OR_ERR_PEER, "unexpected wave", NULL, "it is at layer %d, rank %d begins after %d",
                       wave->layer, or_pipeline_rank(p, p->rank), p->plan.bound[p->rank]);
    if (wave->waited) OR_TRY(grant_more(p));
    p->n_inbox++;
    p->stage.stats.waves_in++;
    p->stage.stats.requests_in += or_wave_requests(wave);
    p->stage.stats.rows_in += wave->n_rows;
    return OR_OK;
}

void or_pipeline_begin_run(or_pipeline *p)
{
    p->stage.stats = (or_stage_stats){.first = p->plan.bound[p->rank], .last = p->plan.bound[p->rank + 1]};
    p->n_begun = p->n_run = 0;
    p->napped = 0;
    p->waiting = (or_wait){0};
    or_timeline_forget(p->timeline);
}

static or_status send_events(or_pipeline *p)
{
    void *data;
    size_t size;
    if (!p->timeline) return OR_OK;
    OR_TRY(or_timeline_pack(p->timeline, &data, &size));
    return or_transport_send(p->transport, 0, OR_TAG_EVENTS, data, size);
}

/* Rank > 0: answers OR_TAG_FINISH, if it came, and begins to count anew. Local, non-blocking. */
static or_status send_stats(or_pipeline *p)
{
    or_stage_stats *stats = NULL;
    if (!p->finishing) return OR_OK;
    p->finishing = false;
    OR_TRY(send_events(p));
    OR_TRY(OR_NEW(stats, 1));
    *stats = p->stage.stats;
    stats->peak = or_machine_peak();
    or_pipeline_begin_run(p);
    return or_transport_send(p->transport, 0, OR_TAG_STATS, stats, sizeof *stats);
}

or_status or_pipeline_keep_events(or_pipeline *p, void *data, size_t size)
{
    if (p->replica > 0) return or_transport_send(p->world, 0, OR_TAG_EVENTS, data, size);
    or_status status = or_timeline_take(p->timeline, data, size);
    free(data);
    return status;
}

static or_status take_events(or_pipeline *p, or_message *message)
{
    void *data = message->data;
    if (!p->timeline || !p->gathered)
        return or_fail(OR_ERR_PEER, "unexpected events", NULL, "rank %d sent %zu bytes", message->from,
                       message->size);
    message->data = NULL;
    return or_pipeline_keep_events(p, data, message->size);
}

/* Rank 0, and only during a run: no records are under way outside of one, as a run ends when all is
 * answered. */
static or_status take_records(or_pipeline *p, const or_message *message)
{
    if (!p->tracker || message->size % sizeof(or_record) != 0)
        return or_fail(OR_ERR_PEER, "unexpected records", NULL, "rank %d sent %zu bytes",
                       or_pipeline_rank(p, message->from), message->size);
    return or_tracker_take(p->tracker, message->data, message->size / sizeof(or_record));
}

static or_status take_stats(or_pipeline *p, const or_message *message)
{
    if (message->size != sizeof *p->gathered || !p->gathered)
        return or_fail(OR_ERR_PEER, "unexpected statistics", NULL, "rank %d sent %zu bytes",
                       or_pipeline_rank(p, message->from), message->size);
    memcpy(&p->gathered[message->from], message->data, message->size);
    p->n_gathered++;
    return OR_OK;
}

/* Messages of one sender keep their order, on which the KV cache relies: a wave may attend to what an
 * earlier one put there, and later ones may use its pages for something else. Those of different ranks come
 * in any order. */
static or_status act_on(or_pipeline *p, or_message *message)
{
    switch (message->tag) {
    case OR_TAG_WAVE:
        return take_wave(p, message);
    case OR_TAG_CREDIT:
        p->credits++;
        return OR_OK;
    case OR_TAG_MORE:
        p->credits++;
        p->allowed++;
        return OR_OK;
    case OR_TAG_RECORDS:
        return take_records(p, message);
    case OR_TAG_BEGIN: /* what was idled away between two runs is in none; a wave may have been faster */
        if (p->stage.stats.waves_in == 0) or_pipeline_begin_run(p);
        return OR_OK;
    case OR_TAG_FINISH: /* the last records may be home while the layers that sent them are still being booked */
        p->finishing = true;
        return OR_OK;
    case OR_TAG_EVENTS:
        return take_events(p, message);
    case OR_TAG_STATS:
        return take_stats(p, message);
    case OR_TAG_CLOSE:
        p->closing = true;
        return OR_OK;
    default: /* those of replicas.c, and of clocks, come outside of it */
        return or_fail(OR_ERR_PEER, "unexpected message", NULL, "tag %d from rank %d", (int)message->tag,
                       or_pipeline_rank(p, message->from));
    }
}

/* All that has arrived, not one message only; then what other pipelines have sent. Local, non-blocking. */
or_status or_pipeline_pump(or_pipeline *p)
{
    for (;;) {
        or_message message;
        bool arrived;
        OR_TRY(or_transport_poll(p->transport, &message, &arrived));
        if (!arrived) return p->replicas ? or_replicas_pump(p) : OR_OK;
        or_status status = act_on(p, &message);
        free(message.data);
        OR_TRY(status);
    }
}

/* ---- a wave through this rank ------------------------------------------------------------------------- */

/* Whether the running wave has become thin while the next one is here: then that is brought to the same
 * layer first, and both go on together. Not with rows that may still join it, nor when one is parked
 * already. */
static bool may_park(const or_pipeline *p)
{
    size_t rows = 0;
    if (p->rank == 0 || p->parked.n_riders > 0 || p->n_inbox == 0) return false;
    for (size_t r = 0; r < p->running.n_riders && rows < OR_THIN_ROWS; r++)
        rows += or_stage_burden(&p->stage, &p->running.riders[r]);
    return rows > 0 && rows < OR_THIN_ROWS && !or_wave_conflicts(&p->running, &p->inbox[0]);
}

/* For the watch. */
static void tell(or_pipeline *p, or_doing doing)
{
    or_transport_tell(p->world, doing, p->running.layer, p->running.n_rows, &p->stage.stats);
}

/* Between layers: records go home at once, messages flow. The records are the stage's own, overwritten at
 * the next ramp, so what is sent is a copy. Local, non-blocking. */
static or_status hand_over(void *context, const or_record *records, size_t n_records)
{
    or_pipeline *p = context;
    if (n_records > 0 && p->rank == 0) {
        OR_TRY(or_tracker_take(p->tracker, records, n_records));
    } else if (n_records > 0) {
        or_record *copy = NULL;
        OR_TRY(OR_NEW(copy, n_records));
        memcpy(copy, records, n_records * sizeof *copy);
        OR_TRY(or_transport_send(p->transport, 0, OR_TAG_RECORDS, copy, n_records * sizeof *copy));
    }
    tell(p, OR_DOING_LAYER);
    OR_TRY(or_pipeline_pump(p));
    p->stage.pause = may_park(p);
    return OR_OK;
}

/* The message is a copy, so `running` is free for the next wave at once. Local, non-blocking. */
or_status or_pipeline_send_held(or_pipeline *p)
{
    p->starved |= p->held && p->credits == 0;
    if (!p->held || p->credits == 0) return OR_OK;
    p->running.waited = p->starved;
    p->starved = false;
    const size_t size = or_wave_wire_size(&p->running);
    if (size == 0)
        return or_fail(OR_ERR_FAILED, "wave too large", NULL,
                       "%zu requests with what they carry do not fit into a message of 2 GiB, use smaller "
                       "--wave-tokens",
                       p->running.n_riders);
    char *bytes = NULL;
    or_event event = {
        .kind = OR_EVENT_SEND,
        .begin = or_clock_now(),
        .wave = (int64_t)p->stage.stats.waves_out,
        .bytes = (int64_t)size,
        .rows = (int32_t)p->running.n_rows,
        .riders = (int32_t)p->running.n_riders,
    };
    OR_TRY(OR_NEW(bytes, size));
    or_wave_encode(&p->running, bytes);
    p->stage.stats.waves_out++;
    p->stage.stats.requests_out += or_wave_requests(&p->running);
    p->credits--;
    p->held = false;
    p->napped = 0;
    or_wait_end(&p->waiting); /* for the credit */
    OR_TRY(or_transport_send(p->transport, p->rank + 1, OR_TAG_WAVE, bytes, size));
    event.end = or_clock_now();
    or_timeline_add(p->timeline, &event);
    return OR_OK;
}

static void swap(or_wave *a, or_wave *b)
{
    const or_wave wave = *a;
    *a = *b;
    *b = wave;
}

/* The parked wave goes first, as it came first. */
static or_status merge_parked(or_pipeline *p)
{
    swap(&p->running, &p->parked);
    if (p->parked.n_riders > 0) OR_TRY(or_wave_append(&p->running, &p->parked));
    or_wave_clear(&p->parked);
    return OR_OK;
}

/* Runs `running` through the layers before `until`. What is booked as busy includes the messages between
 * layers. */
static or_status run_layers(or_pipeline *p, int until)
{
    or_stage_stats *stats = &p->stage.stats;
    const or_wave *wave = &p->running;
    const uint64_t exits = stats->exits;
    or_event event = {
        .kind = OR_EVENT_BUSY,
        .begin = or_clock_now(),
        .ramp = stats->ramp,
        .macs = stats->macs,
        .wave = p->n_run,
        .waves = (int32_t)(p->n_begun - p->n_run),
        .first = wave->layer,
        .rows = (int32_t)wave->n_rows,
        .riders = (int32_t)wave->n_riders,
    };
    tell(p, OR_DOING_LAYER);
    OR_TRY(or_stage_run(&p->stage, &p->running, until, hand_over, p));
    event.end = or_clock_now();
    event.ramp = stats->ramp - event.ramp;
    event.macs = stats->macs - event.macs;
    event.exits = (int32_t)(stats->exits - exits);
    event.last = wave->layer;
    event.rows_out = (int32_t)wave->n_rows;
    event.riders_out = (int32_t)wave->n_riders;
    stats->busy += event.end - event.begin;
    p->n_run = p->n_begun;
    p->napped = 0;
    or_timeline_add(p->timeline, &event);
    return OR_OK;
}

/* Blocks for the layers' time. On the last rank nobody is left: at full depth every rider leaves. */
or_status or_pipeline_advance(or_pipeline *p)
{
    const int last = p->plan.bound[p->rank + 1];
    const bool merges = p->parked.n_riders > 0;
    OR_TRY(run_layers(p, merges ? p->parked.layer : last));
    if (merges) {
        OR_TRY(merge_parked(p));
        OR_TRY(run_layers(p, last));
    }
    if (p->stage.pause && p->running.n_riders > 0 && p->running.layer < last) {
        swap(&p->running, &p->parked);
        or_wave_clear(&p->running);
        return OR_OK;
    }
    p->held = p->running.n_riders > 0; /* nothing left: the later ranks are skipped */
    return or_pipeline_send_held(p);
}

/* Waiting is for a credit, which a slower later rank keeps; idling is for anything else. */
void or_pipeline_nap(or_pipeline *p)
{
    or_event event = {.kind = p->held ? OR_EVENT_WAIT : OR_EVENT_IDLE};
    event.begin = p->napped > 0 ? p->napped : or_clock_now();
    tell(p, p->held ? OR_DOING_CREDIT : OR_DOING_WAIT);
    or_wait_nap(&p->waiting);
    event.end = p->napped = or_clock_now();
    if (p->held)
        p->stage.stats.wait += event.end - event.begin;
    else
        p->stage.stats.idle += event.end - event.begin;
    or_timeline_add(p->timeline, &event);
}

/* ---- ranks after the first ---------------------------------------------------------------------------- */

/* Gives back the credit of the first wave of the inbox, which is empty now, and makes room for another. */
static or_status drop_first(or_pipeline *p)
{
    const or_wave first = p->inbox[0]; /* swapped, so that all keep their memory */
    for (size_t i = 1; i < p->n_inbox; i++) p->inbox[i - 1] = p->inbox[i];
    p->inbox[--p->n_inbox] = first;
    return or_transport_send(p->transport, p->rank - 1, OR_TAG_CREDIT, NULL, 0);
}

/* Puts the first `n` riders of a wave that has arrived behind those that are running, and leaves the others
 * where they are. */
static or_status take_riders(or_pipeline *p, or_wave *wave, size_t n)
{
    const size_t before = p->running.n_riders, all = wave->n_riders;
    OR_TRY(or_wave_append(&p->running, wave));
    if (n == all) {
        or_wave_clear(wave);
        return OR_OK;
    }
    OR_RESERVE(p->stage.leaves, p->stage.leaves_capacity, before + all);
    for (size_t r = 0; r < before + all; r++) p->stage.leaves[r] = r >= before + n;
    or_wave_compact(&p->running, p->stage.leaves);
    for (size_t r = 0; r < all; r++) p->stage.leaves[r] = r < n;
    or_wave_compact(wave, p->stage.leaves);
    return OR_OK;
}

/* Continuations among the first `n` riders that ask for a token. */
static size_t count_asking(const or_wave *wave, size_t n)
{
    size_t asking = 0;
    for (size_t r = 0; r < n; r++)
        asking +=
            wave->riders[r].step.sequence > 0 && or_step_asks(&wave->riders[r].step, wave->riders[r].rows);
    return asking;
}

/* How many riders of the wave fit into what is left of the budget, at least one if nothing is running yet; and all that
 * there are or none where continuations are enough as they are. */
static size_t riders_within(const or_pipeline *p, const or_wave *wave, size_t *rows)
{
    const size_t asking = count_asking(wave, wave->n_riders),
                 running = count_asking(&p->running, p->running.n_riders);
    if (*rows > 0 && asking > 0 && running + asking > or_merge_most(p->stage.kv.n_slots, p->plan.n_stages))
        return 0;
    size_t n = 0;
    for (; n < wave->n_riders; n++) {
        const size_t sizes[2] = {*rows, or_stage_burden(&p->stage, &wave->riders[n])};
        if (*rows > 0 && or_take_within(sizes, 2, p->wave_tokens) < 2) break;
        *rows += sizes[1];
    }
    return n;
}

/* Merges waves from the inbox, oldest first, up to the token budget, into `running`, and returns their
 * credits. They go back before the layers are run, so that the next wave arrives while this one is
 * computed. All waves of an inbox are at the same layer (take_wave()). Rows that wait here may join a wave
 * and make it larger than it was: then it is run in parts. */
static or_status take_inbox(or_pipeline *p)
{
    size_t rows = 0;
    or_wave_clear(&p->running);
    while (p->n_inbox > 0) {
        or_wave *wave = &p->inbox[0];
        if (or_wave_conflicts(&p->running, wave) || or_wave_conflicts(&p->parked, wave)) break;
        or_stage_arrive(&p->stage, wave);
        const size_t n = riders_within(p, wave, &rows), all = wave->n_riders;
        if (n == 0) break;
        OR_TRY(take_riders(p, wave, n));
        p->n_begun += !p->begun;
        p->begun = n < all;
        if (n < all) break;
        OR_TRY(drop_first(p));
    }
    return OR_OK;
}

/* The held wave goes first: until it is sent `running` is not free, and the inbox fills up, which stops
 * the rank before. CLOSE comes when all is answered, so no wave is left then. Blocking, asleep while there
 * is nothing to do. */
static or_status serve(or_pipeline *p)
{
    while (!p->closing) {
        OR_TRY(or_pipeline_pump(p));
        OR_TRY(send_stats(p));
        OR_TRY(or_pipeline_send_held(p));
        if (p->held || (p->n_inbox == 0 && p->parked.n_riders == 0)) {
            or_pipeline_nap(p);
            continue;
        }
        or_wait_end(&p->waiting);
        OR_TRY(take_inbox(p));
        if (p->running.n_riders == 0) swap(&p->running, &p->parked); /* nothing to wait for */
        OR_TRY(or_pipeline_advance(p));
    }
    return OR_OK;
}

or_status or_pipeline_serve(or_pipeline *p)
{
    p->paused = false;
    or_status status = p->replicas ? or_replicas_serve(p) : serve(p);
    if (status != OR_OK) p->failed = true;
    return status;
}
