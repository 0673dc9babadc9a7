/* stages.h - a model split into stages that run in one process, and what is checked of every continuation.
 *
 *   schedule -> stage 0 --wave, as bytes--> inbox -> stage 1 --> ...   records: taken at random
 *
 * Who acts next, how many waves are merged, and when a record comes home is drawn from a seed; only the
 * order on each link is kept, as between ranks. What comes out is compared with the oracle's (oracle.h),
 * bit for bit.
 */
#ifndef OFFRAMP_TESTS_STAGES_H
#define OFFRAMP_TESTS_STAGES_H

#include "support.h"

#include "oracle.h"
#include "pipeline_internal.h"
#include "prefix.h"
#include "sequence.h"
#include "threads.h"

#include <math.h>

enum { STAGES_MOST = 4, RIDERS_MOST = 256 };

/* A request and what came of it. */
typedef struct trial {
    or_request request;
    size_t enough;    /* the job stops it behind so many tokens; 0: it does not */
    or_token *tokens; /* [max_tokens] */
    size_t n_tokens;
    bool finished;
    uint64_t number; /* its sequence */
    int32_t slot, n_pages;
    int32_t *pages;
    or_observation *seen; /* of a prompt that is scored: [n_layers], n_seen of them */
    int n_seen, left;     /* the layer where it left, 0: not yet */
    or_prefix prefix;     /* its pages */
} trial;

typedef struct station {
    or_model *model;
    or_stage stage;
    or_wave running, inbox[OR_CREDITS];
    size_t n_inbox;
    or_record *records; /* not yet taken by rank 0 */
    size_t n_records, records_capacity;
    size_t burdens[RIDERS_MOST]; /* of the riders that were taken into `running` */
    or_rider riders[RIDERS_MOST];
    size_t n_burdens;
} station;

typedef struct setup {
    const char *model;
    int n_layers, n_stages;
    size_t n_slots, n_pages, wave_tokens;
    bool no_share, taps;
    uint64_t seed;
    or_policy *const *policies;
    size_t n_policies;
} setup;

typedef struct stages {
    setup how;
    int n_layers;
    station seats[STAGES_MOST];
    or_model *whole; /* the oracle's */
    or_schedule schedule;
    or_job job;
    or_run_stats stats;
    uint64_t *survivors;
    trial *trials;
    size_t n_trials, next, n_scored, n_silent;
    size_t n_merged, n_parted; /* waves that were */
    size_t spare;              /* the most rows that an estimate was above the rider's own */
    uint64_t seed;
} stages;

static inline unsigned stages_draw(stages *s, unsigned below)
{
    return random_bits(&s->seed) % below;
}

/* ---- what is checked of every continuation ------------------------------------------------------------ */

/* The tokens that were run, [n]: all but the last one. */
static inline int32_t *tokens_run(const trial *t, int *n)
{
    const size_t given = t->n_tokens, prompt = t->request.n_tokens;
    int32_t *tokens = malloc((prompt + given) * sizeof *tokens);
    memcpy(tokens, t->request.tokens, prompt * sizeof *tokens);
    for (size_t i = 0; i < given; i++)
        tokens[prompt + i] = t->request.forced ? t->request.forced[i] : t->tokens[i].token;
    *n = (int)(prompt + given) - 1;
    return tokens;
}

/* Each layer's keys and values as far as it has come, which is to the end when the last token went to full
 * depth or was verified. */
static inline void check_cache(stages *s, const trial *t, const oracle *o)
{
    const bool caught_up =
        t->request.kv == OR_KV_VERIFY || t->tokens[t->n_tokens - 1].exit_layer == s->n_layers;
    for (int i = 0; i < s->how.n_stages; i++) {
        const or_kv *kv = &s->seats[i].stage.kv;
        const int first = or_model_first(s->seats[i].model);
        const bool known = kv->sequences[t->slot] == t->number;
        if (caught_up && !known) fail_msg("stage %d has not met request %zu", i, (size_t)(t - s->trials));
        for (int layer = 0; known && layer < kv->n_layers; layer++) {
            const int32_t done = or_kv_done(kv, t->slot)[layer], n = done < o->n ? done : o->n;
            if (caught_up && n < o->n) fail_msg("layer %d has %d of %d positions", first + layer, n, o->n);
            for (int at = 0; at < n; at++)
                if (!same_slot(or_model_hparams(o->model), or_kv_layer_pages(kv, layer),
                               t->pages[at / OR_PAGE], or_kv_layer_pages(&o->kv, first + layer),
                               o->pages[at / OR_PAGE], (size_t)at % OR_PAGE))
                    fail_msg("request %zu (%s), layer %d: position %d of %d has another key or value",
                             (size_t)(t - s->trials), or_kv_policy_name(t->request.kv), first + layer, at,
                             o->n);
        }
    }
}

/* Each token is what its exit layer gives; with verify, also what the full depth gives. */
static inline void check_tokens(const stages *s, const trial *t, const oracle *o)
{
    const or_request *r = &t->request;
    for (size_t i = 0; i < t->n_tokens; i++) {
        const or_token *got = &t->tokens[i];
        const int position = (int)(r->n_tokens + i) - 1;
        const int32_t target = r->forced ? r->forced[i] : -1;
        const or_token want = oracle_token(o, got->exit_layer, position, &r->sampling, target);
        const bool given = r->exits && r->kv != OR_KV_VERIFY;
        if (given && got->exit_layer != r->exits[i])
            fail_msg("token %zu left after layer %d, not %d", i, got->exit_layer, r->exits[i]);
        if (got->token != want.token || got->top_prob != want.top_prob || got->gap != want.gap ||
            got->logprob != want.logprob || got->logsumexp != want.logsumexp)
            fail_msg("token %zu of request %zu at layer %d is %d (%.9g), expected %d (%.9g)", i,
                     (size_t)(t - s->trials), got->exit_layer, got->token, got->logprob, want.token,
                     want.logprob);
        if (r->kv == OR_KV_VERIFY && !r->forced)
            assert_int_equal(got->token, oracle_token(o, s->n_layers, position, &r->sampling, target).token);
    }
}

static inline void check_trial(stages *s, const trial *t)
{
    const bool projected = t->request.kv == OR_KV_PROPAGATE;
    oracle o;
    int n;
    int32_t *tokens = tokens_run(t, &n);
    oracle_open(&o, s->whole, tokens, n, (int)t->request.n_tokens - 1, projected ? t->tokens : NULL);
    check_cache(s, t, &o);
    check_tokens(s, t, &o);
    oracle_close(&o);
    free(tokens);
}

/* Every layer's observation of a prompt that is scored, until it left. */
static inline void check_seen(const stages *s, const trial *t)
{
    const or_sampling greedy = {.top_p = 1};
    const int n = (int)t->request.n_tokens;
    oracle o;
    oracle_open(&o, s->whole, t->request.tokens, n, 0, NULL);
    for (int layer = 1; layer <= t->left; layer++) {
        const or_observation *seen = &t->seen[layer - 1];
        const or_token want = oracle_token(&o, layer, n - 1, &greedy, -1);
        if (seen->token != want.token || seen->top_prob != want.top_prob || seen->gap != want.gap)
            fail_msg("a scored prompt's layer %d is not what it is alone", layer);
    }
    oracle_close(&o);
}

/* ---- the job ---------------------------------------------------------------------------------------------- */

static inline or_status stages_token(void *context, size_t index, const or_token *token, bool *more)
{
    stages *s = context;
    trial *t = &s->trials[index];
    assert_true(t->n_tokens < t->request.max_tokens);
    t->tokens[t->n_tokens++] = *token;
    *more = t->n_tokens != t->enough;
    return OR_OK;
}

/* Its pages are free from now on, but nothing else has been put there. */
static inline or_status stages_finish(void *context, size_t index, or_finish why)
{
    stages *s = context;
    trial *t = &s->trials[index];
    assert_false(t->finished);
    if (why == OR_FINISH_LENGTH) assert_int_equal(t->n_tokens, t->request.max_tokens);
    t->finished = true;
    check_trial(s, t);
    return OR_OK;
}

/* ---- opening and closing ------------------------------------------------------------------------------ */

/* Uneven parts. */
static inline void open_seat(stages *s, int i, int first, int last)
{
    station *seat = &s->seats[i];
    assert_ok(or_model_open(s->how.model, first, last, &seat->model));
    const or_hparams *h = or_model_hparams(seat->model);
    seat->stage = (or_stage){
        .model = seat->model,
        .policies = s->how.policies,
        .n_policies = s->how.n_policies,
        .n_layers = h->n_layers,
        .taps = s->how.taps,
    };
    or_kv *kv = &seat->stage.kv;
    if (s->how.n_pages > 0) assert_ok(or_kv_open(kv, h, last - first, s->how.n_pages, s->how.n_slots));
    for (size_t f = 0; f < kv->bytes / sizeof *kv->data; f++) kv->data[f] = NAN;
    or_wave_init(&seat->running, (size_t)h->d_model, s->how.taps);
    for (int w = 0; w < OR_CREDITS; w++) or_wave_init(&seat->inbox[w], (size_t)h->d_model, s->how.taps);
}

/* Page numbers in no order. */
static inline void shuffle_pages(stages *s)
{
    int32_t *free = s->schedule.pages.free;
    for (unsigned i = 0; i < s->schedule.pages.n_free; i++) {
        const unsigned other = stages_draw(s, i + 1);
        const int32_t page = free[i];
        free[i] = free[other];
        free[other] = page;
    }
}

static inline void stages_open(stages *s, const setup *how, trial *trials, size_t n_trials)
{
    *s = (stages){
        .how = *how, .n_layers = how->n_layers, .trials = trials, .n_trials = n_trials, .seed = how->seed};
    assert_ok(or_model_open(how->model, 0, s->n_layers, &s->whole));
    for (int i = 0, first = 0; i < how->n_stages; i++) {
        const int most = s->n_layers - (how->n_stages - 1 - i) - first,
                  count = i == how->n_stages - 1 ? most : 1 + (int)stages_draw(s, (unsigned)most);
        open_seat(s, i, first, first + count);
        first += count;
    }
    s->job = (or_job){.n_requests = n_trials, .context = s, .token = stages_token, .finish = stages_finish};
    assert_ok(OR_NEW(s->survivors, (size_t)s->n_layers + 1));
    s->schedule = (or_schedule){.job = &s->job,
                                .n_stages = how->n_stages,
                                .n_layers = s->n_layers,
                                .n_vocab = or_model_hparams(s->seats[0].model)->n_vocab,
                                .share = !how->no_share,
                                .survivors = s->survivors,
                                .stats = &s->stats};
    assert_ok(or_schedule_open(&s->schedule, how->n_slots, how->n_pages, 0));
    shuffle_pages(s);
    for (size_t i = 0; i < n_trials; i++) assert_ok(OR_NEW(trials[i].tokens, trials[i].request.max_tokens));
}

static inline void stages_close(stages *s)
{
    for (int i = 0; i < s->how.n_stages; i++) {
        station *seat = &s->seats[i];
        or_stage_free(&seat->stage);
        or_wave_free(&seat->running);
        for (int w = 0; w < OR_CREDITS; w++) or_wave_free(&seat->inbox[w]);
        or_model_close(seat->model);
        free(seat->records);
    }
    or_schedule_close(&s->schedule);
    or_model_close(s->whole);
    free(s->survivors);
}

/* ---- records ---------------------------------------------------------------------------------------------- */

/* Its pages are used until it has left, and as long as it fills them. */
static inline void release_prefix(stages *s, trial *t)
{
    if (t->finished && t->prefix.n_riders == 0) or_prefix_release(&t->prefix, &s->schedule.pages);
}

/* Of a prompt that is scored and observed: one layer's. Where it leaves is the policy's affair. */
static inline void take_seen(stages *s, const or_record *record)
{
    trial *t = &s->trials[record->index];
    t->seen[record->seen.layer - 1] = record->seen;
    t->n_seen++;
    if (record->leaves) t->left = record->seen.layer;
    if (t->request.policy < 0) assert_int_equal(record->leaves, record->seen.layer == s->n_layers);
    if (t->left == 0 || t->n_seen < t->left) return;
    assert_int_equal(t->n_seen, t->left);
    t->finished = true;
    s->n_scored--;
    check_seen(s, t);
    release_prefix(s, t);
}

static inline void take_silent(stages *s, const or_record *record)
{
    trial *t = &s->trials[record->index];
    assert_true(t->prefix.n_riders > 0 && record->leaves && record->seen.layer == s->n_layers);
    t->prefix.n_riders--;
    s->n_silent--;
    release_prefix(s, t);
}

static inline void take_records(stages *s, const or_record *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (records[i].sequence)
            assert_ok(or_schedule_take(&s->schedule, &records[i]));
        else if (records[i].kind == OR_RECORD_SILENT)
            take_silent(s, &records[i]);
        else
            take_seen(s, &records[i]);
    }
}

/* Some of those that a stage has sent come home. */
static inline void deliver(stages *s, station *seat)
{
    const size_t n = seat->n_records ? 1 + stages_draw(s, (unsigned)seat->n_records) : 0;
    if (n == 0) return;
    take_records(s, seat->records, n);
    seat->n_records -= n;
    memmove(seat->records, seat->records + n, seat->n_records * sizeof *seat->records);
}

/* ---- a wave through a stage --------------------------------------------------------------------------- */

typedef struct hook_context {
    stages *s;
    station *seat;
} hook_context;

/* What was estimated of each rider, and so of all, is never exceeded. */
static inline void check_burdens(const station *seat)
{
    const or_wave *wave = &seat->running;
    size_t taken = 0;
    for (size_t r = 0; r < wave->n_riders; r++, taken++) {
        const or_rider *rider = &wave->riders[r];
        const int32_t end = rider->step.position + rider->rows;
        while (taken < seat->n_burdens &&
               (seat->riders[taken].index != rider->index ||
                seat->riders[taken].step.position + seat->riders[taken].rows != end))
            taken++;
        assert_true(taken < seat->n_burdens);
        if ((size_t)rider->rows > seat->burdens[taken])
            fail_msg("a rider has %d rows, at most %zu were expected", rider->rows, seat->burdens[taken]);
    }
}

static inline void note_burden(stages *s, station *seat, const or_rider *rider)
{
    const size_t burden = or_stage_burden(&seat->stage, rider), spare = burden - (size_t)rider->rows;
    assert_true(seat->n_burdens < RIDERS_MOST);
    if (spare > s->spare) s->spare = spare;
    seat->riders[seat->n_burdens] = *rider;
    seat->burdens[seat->n_burdens++] = burden;
}

static inline or_status stages_hook(void *context, const or_record *records, size_t n)
{
    const hook_context *c = context;
    station *seat = c->seat;
    check_burdens(seat);
    seat->stage.pause = stages_draw(c->s, 4) == 0;
    if (seat == c->s->seats) {
        take_records(c->s, records, n);
        return OR_OK;
    }
    OR_RESERVE(seat->records, seat->records_capacity, seat->n_records + n);
    if (n) memcpy(seat->records + seat->n_records, records, n * sizeof *records);
    seat->n_records += n;
    return OR_OK;
}

/* Through the wire into the next stage's inbox. */
static inline void send_on(stages *s, station *from, station *to)
{
    const or_hparams *h = or_model_hparams(to->model);
    const or_wave_limits limits = {s->how.n_policies, s->how.n_pages, s->how.n_slots, h->n_vocab,
                                   h->n_layers};
    const size_t size = or_wave_wire_size(&from->running);
    char *bytes = malloc(size);
    or_wave_encode(&from->running, bytes);
    assert_true(to->n_inbox < OR_CREDITS);
    assert_ok(or_wave_decode(&to->inbox[to->n_inbox++], bytes, size, &limits));
    free(bytes);
}

/* No two riders of a wave write to the same place, and none to what another only reads. Room for one mark per
 * position of the cache. */
static inline void check_disjoint(const stages *s, station *seat)
{
    or_wave *wave = &seat->running;
    bool *written = calloc(s->how.n_pages * OR_PAGE, sizeof *written);
    or_wave_bind_pages(wave);
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_span *span = &wave->spans[r];
        const bool writes = span->pages && !span->reads_only;
        for (int32_t at = span->position; writes && at < span->position + span->count; at++) {
            bool *place = &written[span->pages[at / OR_PAGE] * OR_PAGE + at % OR_PAGE];
            if (*place) fail_msg("two riders of a wave write to position %d of a page", at % OR_PAGE);
            *place = true;
        }
    }
    free(written);
}

static inline void advance(stages *s, station *seat)
{
    hook_context context = {s, seat};
    check_disjoint(s, seat);
    or_threads_set(1 + (int)stages_draw(s, 2));
    const int last = or_model_last(seat->model);
    do /* again where the hook asked for a pause */
        assert_ok(or_stage_run(&seat->stage, &seat->running, last, stages_hook, &context));
    while (seat->running.layer < last && seat->running.n_riders > 0);
    check_burdens(seat);
    if (seat->running.n_riders > 0) send_on(s, seat, seat + 1);
}

/* ---- the first stage, as run.c does ------------------------------------------------------------------- */

static inline void board_rider(stages *s, const or_rider *rider, const int32_t *tokens, const int32_t *pages)
{
    station *seat = s->seats;
    const size_t row = seat->running.n_rows;
    note_burden(s, seat, rider);
    assert_ok(or_wave_add(&seat->running, rider, NULL, pages));
    assert_ok(or_model_embed(seat->model, tokens, (size_t)rider->rows, (size_t)rider->step.position,
                             seat->running.hidden + row * seat->running.width));
}

static inline size_t rows_expected(const station *seat)
{
    size_t rows = 0;
    for (size_t r = 0; r < seat->n_burdens; r++) rows += seat->burdens[r];
    return rows;
}

static inline void feed_riders(stages *s)
{
    station *seat = s->seats;
    or_feed feed;
    for (size_t asking = 0; asking < or_schedule_share(&s->schedule);) {
        const size_t rows = rows_expected(seat);
        if (rows >= s->how.wave_tokens || !or_schedule_peek(&s->schedule, s->how.wave_tokens - rows, &feed))
            return;
        if (rows > 0 && rows + or_stage_burden(&seat->stage, &feed.rider) > s->how.wave_tokens) return;
        or_schedule_feed(&s->schedule, &feed);
        board_rider(s, &feed.rider, feed.tokens, feed.pages);
        asking += feed.rider.step.asks != INT32_MAX;
    }
}

/* What it lacks of its prefix, and then the prompt; false: not all of it fits, or a continuation is still to
 * feed what it has found. */
static inline bool admit_scored(stages *s, trial *t)
{
    const or_request *r = &t->request;
    or_feed feed;
    if (!t->seen) {
        assert_ok(OR_NEW(t->seen, (size_t)s->n_layers));
        if (!s->how.no_share) assert_ok(or_prefix_take(&t->prefix, &s->schedule.pages, r));
        s->stats.prompt_tokens += r->n_tokens;
        s->stats.prompt_tokens_shared += (size_t)t->prefix.n_found * OR_PAGE;
    }
    if (!or_prefix_is_fed(&t->prefix, &s->schedule.pages)) return false;
    while (or_prefix_waits(&t->prefix)) {
        const size_t rows = rows_expected(s->seats);
        if (rows >= s->how.wave_tokens) return false;
        or_prefix_feed(&t->prefix, &s->schedule.pages, s->next, r, s->how.wave_tokens - rows, &feed);
        board_rider(s, &feed.rider, feed.tokens, feed.pages);
        s->n_silent++;
    }
    const int32_t position = or_prefix_positions(&t->prefix);
    const or_rider rider = {.index = s->next,
                            .rows = (int32_t)r->n_tokens - position,
                            .policy = r->policy,
                            .observe = 1,
                            .state = OR_RAMP_STATE_START,
                            .step = {.position = position, .n_pages = t->prefix.n_pages}};
    board_rider(s, &rider, r->tokens + position, t->prefix.pages);
    s->n_scored++;
    return true;
}

/* A prompt that is scored is in the wave at once; a continuation has to get a slot and pages. */
static inline bool admit_next(stages *s)
{
    trial *t = &s->trials[s->next];
    const or_request *r = &t->request;
    bool admitted = true;
    if (r->max_tokens == 0) {
        admitted = admit_scored(s, t);
    } else {
        assert_ok(or_schedule_admit(&s->schedule, s->next, r, &admitted));
    }
    if (!admitted) return false;
    for (size_t slot = 0; slot < s->how.n_slots; slot++) {
        const or_sequence *q = s->schedule.slots[slot];
        if (!q || q->index != s->next) continue;
        t->slot = (int32_t)slot;
        t->number = q->number;
        t->n_pages = q->n_pages;
        assert_ok(OR_NEW(t->pages, (size_t)q->n_pages));
        memcpy(t->pages, q->pages, (size_t)q->n_pages * sizeof *q->pages);
    }
    s->next++;
    return true;
}

/* Requests come while others are under way. */
static inline void begin_wave(stages *s)
{
    station *seat = s->seats;
    or_wave_clear(&seat->running);
    seat->n_burdens = 0;
    while (s->next < s->n_trials && stages_draw(s, 3) > 0 && admit_next(s)) {
    }
    feed_riders(s);
    if (seat->running.n_riders == 0) return;
    or_stage_arrive(&seat->stage, &seat->running);
    advance(s, seat);
}

/* ---- the others, as pipeline.c does ------------------------------------------------------------------- */

/* The first `n` riders of the first wave of the inbox join those that are running. */
static inline void take_first(stages *s, station *seat, size_t n)
{
    or_wave *wave = &seat->inbox[0];
    const size_t before = seat->running.n_riders, all = wave->n_riders;
    bool leaves[2 * RIDERS_MOST];
    for (size_t r = 0; r < n; r++) note_burden(s, seat, &wave->riders[r]);
    assert_ok(or_wave_append(&seat->running, wave));
    for (size_t r = 0; r < before + all; r++) leaves[r] = r >= before + n;
    or_wave_compact(&seat->running, leaves);
    for (size_t r = 0; r < all; r++) leaves[r] = r < n;
    or_wave_compact(wave, leaves);
    s->n_parted += n < all;
}

/* One or more waves of the inbox, the last of them perhaps in part. */
static inline void take_waves(stages *s, station *seat)
{
    or_wave_clear(&seat->running);
    seat->n_burdens = 0;
    while (seat->n_inbox > 0) {
        const or_wave first = seat->inbox[0];
        if (or_wave_conflicts(&seat->running, &first)) return;
        s->n_merged += seat->running.n_riders > 0;
        or_stage_arrive(&seat->stage, &seat->inbox[0]);
        const size_t all = first.n_riders, n = stages_draw(s, 3) ? all : 1 + stages_draw(s, (unsigned)all);
        take_first(s, seat, n);
        if (n < all) return;
        const or_wave empty = seat->inbox[0];
        for (size_t w = 1; w < seat->n_inbox; w++) seat->inbox[w - 1] = seat->inbox[w];
        seat->inbox[--seat->n_inbox] = empty;
    }
}

/* ---- a run --------------------------------------------------------------------------------------------------- */

/* A stage acts when there is room for what it sends. */
static inline void act(stages *s, int i)
{
    station *seat = &s->seats[i];
    if (i + 1 < s->how.n_stages && seat[1].n_inbox == OR_CREDITS) return;
    if (i == 0) {
        begin_wave(s);
    } else if (seat->n_inbox > 0) {
        take_waves(s, seat);
        advance(s, seat);
    }
}

static inline bool is_over(const stages *s)
{
    return s->next == s->n_trials && s->n_scored == 0 && s->n_silent == 0 && s->schedule.n_active == 0 &&
           s->schedule.n_riders == 0;
}

/* The first stages act more often, so that waves queue up behind them. */
static inline void stages_run(stages *s)
{
    for (int steps = 0; !is_over(s); steps++) {
        if (steps == 1000000) fail_msg("stuck: %zu riders are under way", s->schedule.n_riders);
        const int n = s->how.n_stages, a = (int)stages_draw(s, (unsigned)n),
                  b = (int)stages_draw(s, (unsigned)n);
        act(s, a < b ? a : b);
        deliver(s, &s->seats[stages_draw(s, (unsigned)n)]);
        if (stages_draw(s, 4) == 0) act(s, n - 1);
    }
    for (size_t i = 0; i < s->n_trials; i++) assert_true(s->trials[i].finished);
    assert_int_equal(or_pages_available(&s->schedule.pages), s->how.n_pages);
}

#endif
