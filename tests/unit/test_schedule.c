/* test_schedule.c - continuations over a pipeline with random timing (fake_pipeline.h): the tokens that the
 * job gets are those of the pure function, whatever is drafted, dropped, shared, or has to wait.
 */
#include "fake_pipeline.h"

#include "sequence.h"

enum { REQUESTS = 12, ENDS = 2 };

/* A request, and what must come of it. */
typedef struct expectation {
    or_request request;
    int32_t *tokens, *forced, *exits, *ends;
    struct expected {
        int32_t token;
        int exit;
        uint64_t hash;
        bool drafted, replaced;
    } out[FAKE_ROWS];
    int n_out;
    or_finish why;
    int fault;      /* instead of `why`: the layer after which the token behind out[] is lost, */
    int fault_exit; /* and layers executed for it */
    size_t stop_at; /* token() has enough then */
    /* while it runs */
    int given, n_finished;
    int32_t next, round; /* where its next rider begins; -1: none was fed yet */
    bool pushed;         /* its last rider was */
    uint64_t number;
} expectation;

typedef struct world {
    uint64_t seed;
    fake_pipeline pipeline;
    or_schedule schedule;
    or_run_stats stats;
    or_job job;
    uint64_t survivors[FAKE_LAYERS + 1];
    expectation requests[REQUESTS];
    size_t n_requests, next;
    size_t waits[FAKE_SLOTS]; /* riders of others since it could have been fed */
    int speed[2 * FAKE_STAGES + 2];
} world;

/* What all rounds did, so that a test that tries nothing fails. */
static struct {
    size_t drafts, replaced, shared, refused, again, late;
    size_t why[3], faults, faults_behind_drafts;
} tried;

static int pick(world *w, int below)
{
    return (int)(random_bits(&w->seed) % (unsigned)below);
}

/* ---- what is expected --------------------------------------------------------------------------------- */

static bool is_end(const or_request *request, int32_t token)
{
    for (size_t i = 0; i < request->n_ends && !request->forced; i++)
        if (request->ends[i] == token) return true;
    return false;
}

static int exit_of(const world *w, const or_request *request, size_t i, uint64_t hash)
{
    if (request->exits) return request->exits[i];
    return request->policy >= 0 ? fake_exit(hash, w->pipeline.n_layers) : w->pipeline.n_layers;
}

/* Whether there is no token: it is lost before it leaves, which under verify is at full depth. */
static bool is_lost(const world *w, expectation *e, int exit, uint64_t hash)
{
    const int fault = fake_fault(hash, w->pipeline.faulty, w->pipeline.n_layers);
    const bool verify = e->request.kv == OR_KV_VERIFY;
    if (fault == 0 || (!verify && fault > exit)) return false;
    e->fault = fault;
    e->fault_exit = verify ? w->pipeline.n_layers : fault;
    return true;
}

/* Token by token, from the definition. */
static void expect(world *w, expectation *e)
{
    const or_request *request = &e->request;
    const int n_layers = w->pipeline.n_layers;
    uint64_t before = 0, hash = 0;
    int32_t position = 0, token;
    for (; (size_t)position < request->n_tokens; position++) {
        hash = fake_hash(request->tokens[position], before);
        before = fake_add(before, position, hash);
    }
    e->why = OR_FINISH_LENGTH;
    for (size_t i = 0; i < request->max_tokens; i++, position++) {
        const int exit = exit_of(w, request, i, hash);
        if (is_lost(w, e, exit, hash)) return;
        struct expected *out = &e->out[e->n_out++];
        token = fake_token(hash);
        out->drafted = request->kv == OR_KV_VERIFY && exit < n_layers;
        out->replaced = out->drafted && fake_draft(hash, w->pipeline.wrong) != token;
        out->token = token;
        out->exit = out->replaced ? n_layers : exit;
        out->hash = hash;
        if (is_end(request, token)) e->why = OR_FINISH_END;
        if (e->why == OR_FINISH_LENGTH && i + 1 == e->stop_at) e->why = OR_FINISH_STOP;
        if (e->why != OR_FINISH_LENGTH) return;
        hash = fake_hash(request->forced ? request->forced[i] : token, before);
        before = fake_add(before, position, hash);
    }
}

static int32_t *random_tokens(world *w, size_t n)
{
    int32_t *tokens = malloc((n ? n : 1) * sizeof *tokens);
    for (size_t i = 0; i < n; i++) tokens[i] = pick(w, FAKE_VOCAB);
    return tokens;
}

/* Prompts begin with pages of the same few tokens, so that there is something to share. */
static void invent(world *w, expectation *e, size_t room)
{
    or_request *request = &e->request;
    const size_t total = 2 + (size_t)pick(w, (int)room - 1), n_tokens = 1 + (size_t)pick(w, (int)total - 1);
    *e = (expectation){.next = -1};
    *request = (or_request){
        .n_tokens = n_tokens, .kv = (or_kv_policy)pick(w, OR_KV_POLICIES), .policy = pick(w, 4) - 1};
    request->policy = request->policy > 0 ? 0 : request->policy;
    request->max_tokens = total - n_tokens;
    request->tokens = e->tokens = random_tokens(w, n_tokens);
    for (size_t i = 0; i < n_tokens && pick(w, 100) > 0; i++) e->tokens[i] = 3;
    request->n_shared = (size_t)pick(w, (int)n_tokens + 1);
    request->sampling = (or_sampling){.top_p = 1, .seed = (uint64_t)pick(w, 1000)};
    if (pick(w, 4) == 0) request->forced = e->forced = random_tokens(w, request->max_tokens);
    if (pick(w, 4) == 0) request->exits = e->exits = random_tokens(w, request->max_tokens);
    for (size_t i = 0; e->exits && i < request->max_tokens; i++)
        e->exits[i] = 1 + pick(w, w->pipeline.n_layers);
    request->n_ends = (size_t)pick(w, ENDS + 1);
    request->ends = e->ends = random_tokens(w, request->n_ends);
    if (pick(w, 3) == 0) e->stop_at = 1 + (size_t)pick(w, (int)request->max_tokens);
    expect(w, e);
}

/* ---- the job ------------------------------------------------------------------------------------------ */

static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    world *w = context;
    expectation *e = &w->requests[index];
    assert_true(e->given < e->n_out && *more);
    const struct expected *out = &e->out[e->given++];
    assert_int_equal(token->token, out->token);
    assert_int_equal(token->exit_layer, out->exit);
    assert_true(token->top_prob == (float)out->exit && token->gap == (float)(out->hash % 1000));
    assert_true(token->logprob == (float)(out->hash % 999));
    *more = (size_t)e->given != e->stop_at;
    return OR_OK;
}

/* The request's arrays are gone at once. */
static void end_request(expectation *e)
{
    assert_int_equal(e->given, e->n_out);
    assert_int_equal(e->n_finished++, 0);
    memset(e->tokens, 0x7f, e->request.n_tokens * sizeof *e->tokens);
    free(e->tokens), free(e->forced), free(e->exits), free(e->ends);
    e->tokens = NULL;
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    expectation *e = &((world *)context)->requests[index];
    assert_int_equal(e->fault, 0);
    assert_int_equal(why, e->why);
    tried.why[why]++;
    end_request(e);
    return OR_OK;
}

static or_status take_fault(void *context, size_t index, int layer)
{
    expectation *e = &((world *)context)->requests[index];
    assert_int_equal(layer, e->fault);
    tried.faults++;
    tried.faults_behind_drafts += e->n_out > 0 && e->out[e->n_out - 1].drafted;
    end_request(e);
    return OR_OK;
}

/* The same where the test plays the stages: what was given is counted. */
static or_status count_token(void *context, size_t index, const or_token *token, bool *more)
{
    (void)token, (void)more;
    ((world *)context)->requests[index].given++;
    return OR_OK;
}

static or_status count_finish(void *context, size_t index, or_finish why)
{
    (void)why;
    ((world *)context)->requests[index].n_finished++;
    return OR_OK;
}

/* ---- what a rider must be ----------------------------------------------------------------------------- */

/* Rows begin where the last ended: or earlier, when drafts were dropped, or an end is run again. */
static void check_place(expectation *e, const or_feed *feed)
{
    const or_rider *rider = &feed->rider;
    const or_step *step = &rider->step;
    if (e->next < 0) {
        assert_int_equal(step->position % OR_PAGE, 0);
        assert_true((size_t)step->position <= e->request.n_shared &&
                    (size_t)step->position < e->request.n_tokens);
    } else if (step->round == e->round && step->position != e->next) {
        assert_true(e->request.kv == OR_KV_VERIFY && rider->policy < 0 && step->exits_at == 0);
        assert_int_equal(step->position, e->next - 1);
        assert_false(e->pushed);
        tried.again++;
    } else if (step->round != e->round) {
        assert_true(step->round > e->round && !e->request.forced);
        assert_true(step->position <= e->next && (size_t)step->position >= e->request.n_tokens);
    }
    e->next = step->position + rider->rows;
    e->round = step->round;
    e->pushed = step->pushed;
    for (int32_t i = 0; i < rider->rows && (size_t)(step->position + i) < e->request.n_tokens; i++)
        assert_int_equal(feed->tokens[i], e->request.tokens[step->position + i]);
}

/* It asks with the last row that is known, and then as the request says. */
static void check_question(const expectation *e, const or_feed *feed)
{
    const or_rider *rider = &feed->rider;
    const or_step *step = &rider->step;
    const or_request *request = &e->request;
    const int32_t last_prompt = (int32_t)request->n_tokens - 1, token = e->next - 1 - last_prompt;
    assert_int_equal(step->kv, request->kv);
    if (step->asks == INT32_MAX) {
        assert_true(token < 0 && rider->policy == -1 && step->exits_at == 0);
        return;
    }
    assert_int_equal(step->asks, request->kv == OR_KV_VERIFY ? last_prompt : e->next - 1);
    assert_true(token >= 0 && (size_t)token < request->max_tokens && token - e->given < OR_DRAFTS_MOST);
    if (token > 0) assert_false(is_end(request, feed->tokens[rider->rows - 1])); /* nothing comes behind it */
    if (request->kv == OR_KV_PROPAGATE) assert_int_equal(rider->rows, 1); /* the others are at full depth */
    assert_int_equal(step->target, request->forced ? request->forced[token] : -1);
    assert_int_equal(step->sampling.seed, request->sampling.seed);
}

/* No rider of another sequence that is under way has a page that this one writes to, or it would find other
 * rows there when both are merged into a wave. */
static void check_pages(const world *w, const or_feed *feed)
{
    const or_step *step = &feed->rider.step;
    assert_int_equal(step->n_pages, (step->position + feed->rider.rows + OR_PAGE - 1) / OR_PAGE);
    for (int32_t i = 0; i < step->n_pages; i++) {
        const int32_t page = feed->pages[i];
        assert_true(page >= 0 && (size_t)page < w->schedule.pages.n_pages);
        for (int32_t j = 0; j < i; j++) assert_true(feed->pages[j] != page);
        if (i < step->position / OR_PAGE) continue;
        for (int s = 0; s < w->pipeline.n_stages; s++)
            for (size_t r = 0; r < w->pipeline.stages[s].n_queue; r++) {
                const fake_rider *other = w->pipeline.stages[s].queue[r];
                for (int32_t j = 0;
                     other->rider.step.sequence != step->sequence && j < other->rider.step.n_pages; j++)
                    assert_true(other->pages[j] != page);
            }
    }
}

/* Nobody is passed over for long: each of the others gets a turn at most, or two. */
static void check_turns(world *w, int32_t fed)
{
    or_feed feed;
    for (size_t slot = 0; slot < w->schedule.n_slots; slot++) {
        const or_sequence *q = w->schedule.slots[slot];
        if (!q || (int32_t)slot == fed || !q->queued || !or_sequence_next(q, &w->schedule.pages, 1, &feed))
            w->waits[slot] = 0;
        else
            assert_true(++w->waits[slot] <= 2 * w->schedule.n_slots);
    }
}

/* ---- what happens ------------------------------------------------------------------------------------- */

/* What leads to a page that may be found is there. */
static void check_prefixes(const or_pages *pages)
{
    for (size_t i = 0; i < pages->n_pages; i++) {
        const or_page *page = &pages->pages[i];
        bool is_there = !page->shared || page->parent == 0;
        for (size_t j = 0; j < pages->n_pages; j++)
            is_there |= pages->pages[j].shared && pages->pages[j].number == page->parent;
        assert_true(is_there);
    }
}

static void admit_next(world *w)
{
    or_schedule *s = &w->schedule;
    if (w->next == w->n_requests) return;
    expectation *e = &w->requests[w->next];
    const size_t total = e->request.n_tokens + e->request.max_tokens, pages = (total + OR_PAGE - 1) / OR_PAGE,
                 available = or_pages_available(&s->pages), idle = s->pages.n_idle;
    const uint64_t numbers = s->numbers;
    const bool slot = s->n_active < s->n_slots;
    bool admitted;
    assert_ok(or_schedule_admit(s, w->next, &e->request, &admitted));
    assert_int_equal(s->numbers, numbers + admitted);
    if (slot && available >= pages) assert_true(admitted);
    if (!slot) assert_false(admitted);
    if (!admitted) {
        assert_true(s->n_active > 0); /* something will make room */
        assert_true(or_pages_available(&s->pages) == available && s->pages.n_idle == idle);
        tried.refused++;
        return;
    }
    e->number = s->numbers;
    w->next++;
    check_prefixes(&s->pages);
}

static void feed_some(world *w)
{
    fake_stage *first = &w->pipeline.stages[0];
    const size_t share = or_schedule_share(&w->schedule);
    assert_true(share >= 1 && share <= FAKE_SLOTS);
    for (size_t n = 0; n < share && first->n_queue < FAKE_QUEUE; n++) {
        or_feed feed, same;
        const size_t most = 1 + (size_t)pick(w, pick(w, 3) ? 8 : 100);
        if (!or_schedule_peek(&w->schedule, most, &feed)) return;
        if (pick(w, 4) == 0) { /* looking changes nothing */
            assert_true(or_schedule_peek(&w->schedule, most, &same));
            assert_memory_equal(&same.rider.step, &feed.rider.step, offsetof(or_step, sampling));
        }
        expectation *e = &w->requests[feed.rider.index];
        assert_int_equal(feed.rider.step.sequence, e->number);
        assert_true(feed.rider.rows >= 1 && (size_t)feed.rider.rows <= most && e->n_finished == 0);
        check_place(e, &feed);
        check_question(e, &feed);
        check_pages(w, &feed);
        fake_rider *rider = calloc(1, sizeof *rider);
        rider->rider = feed.rider;
        memcpy(rider->pages, feed.pages, (size_t)feed.rider.step.n_pages * sizeof *feed.pages);
        for (int32_t i = 0; i < feed.rider.rows; i++)
            rider->rows[i] = (fake_row){.token = feed.tokens[i], .position = feed.rider.step.position + i};
        or_schedule_feed(&w->schedule, &feed);
        fake_push(first, rider);
        check_turns(w, feed.rider.step.slot);
    }
}

static void bring_record(world *w, int s)
{
    if (w->pipeline.stages[s].n_records == 0) return;
    const or_record record = fake_pop_record(&w->pipeline.stages[s]);
    const or_sequence *q = w->schedule.slots[record.slot];
    tried.late += !q || q->number != record.sequence;
    assert_ok(or_schedule_take(&w->schedule, &record));
}

/* One of: a request is admitted, a wave is fed, a stage runs a rider, a record comes home. */
static void do_something(world *w)
{
    const int n = 2 + 2 * w->pipeline.n_stages;
    int sum = 0, what = 0;
    for (int i = 0; i < n; i++) sum += w->speed[i];
    for (int at = pick(w, sum); at >= w->speed[what]; what++) at -= w->speed[what];
    if (what == 0)
        admit_next(w);
    else if (what == 1)
        feed_some(w);
    else if (what % 2 == 1)
        bring_record(w, (what - 2) / 2);
    else if (w->pipeline.stages[(what - 2) / 2].n_queue > 0 &&
             (what / 2 == w->pipeline.n_stages || w->pipeline.stages[what / 2].n_queue < FAKE_QUEUE))
        fake_run(&w->pipeline, (what - 2) / 2);
}

static size_t under_way(const world *w)
{
    size_t n = 0;
    for (int s = 0; s < w->pipeline.n_stages; s++)
        n += w->pipeline.stages[s].n_queue + w->pipeline.stages[s].n_records;
    return n;
}

/* ---- rounds ------------------------------------------------------------------------------------------- */

static void open_world(world *w, uint64_t seed)
{
    *w = (world){.seed = seed};
    fake_pipeline *p = &w->pipeline;
    p->n_stages = 1 + pick(w, FAKE_STAGES);
    p->n_layers = p->n_stages + pick(w, FAKE_LAYERS - p->n_stages + 1);
    p->wrong = (unsigned)pick(w, 9);
    p->faulty = (unsigned)pick(w, 4) / 2 * 2;
    for (int s = 0; s < p->n_stages; s++) {
        p->stages[s].first = s * p->n_layers / p->n_stages;
        p->stages[s].last = (s + 1) * p->n_layers / p->n_stages;
        memset(p->stages[s].waiting, 0xff, sizeof p->stages[s].waiting);
    }
    for (size_t i = 0; i < sizeof w->speed / sizeof *w->speed; i++) w->speed[i] = 1 << pick(w, 6);
    w->job = (or_job){.context = w, .token = take_token, .finish = take_finish, .fault = take_fault};
    w->schedule = (or_schedule){.job = &w->job,
                                .n_stages = p->n_stages,
                                .n_layers = p->n_layers,
                                .n_vocab = FAKE_VOCAB,
                                .share = pick(w, 4) > 0,
                                .survivors = w->survivors,
                                .stats = &w->stats};
    assert_ok(or_schedule_open(&w->schedule, 1 + (size_t)pick(w, FAKE_SLOTS), 1 + (size_t)pick(w, FAKE_PAGES),
                               (uint64_t)pick(w, 100)));
}

/* The counts are those of the tokens that were given; nothing is left anywhere. */
static void check_end(const world *w)
{
    const or_schedule *s = &w->schedule;
    size_t tokens = 0, drafts = 0, replaced = 0, prompts = 0, survivors[FAKE_LAYERS + 1] = {0};
    for (size_t i = 0; i < w->n_requests; i++) {
        const expectation *e = &w->requests[i];
        assert_int_equal(e->n_finished, 1);
        tokens += (size_t)e->n_out;
        prompts += e->request.n_tokens;
        for (int t = 0; t < e->n_out; t++) {
            drafts += e->out[t].drafted;
            replaced += e->out[t].replaced;
            for (int l = 0; l < e->out[t].exit; l++) survivors[l]++;
        }
        for (int l = 0; l < e->fault_exit; l++) survivors[l]++;
    }
    assert_int_equal(w->stats.tokens, tokens);
    assert_int_equal(w->stats.drafts, drafts);
    assert_int_equal(w->stats.drafts_replaced, replaced);
    assert_int_equal(w->stats.prompt_tokens, prompts);
    for (int l = 0; l <= FAKE_LAYERS; l++) assert_int_equal(w->survivors[l], survivors[l]);
    assert_true(s->n_active == 0 && s->n_queued == 0 && s->n_riders == 0);
    assert_int_equal(or_pages_available(&s->pages), s->pages.n_pages);
    for (size_t i = 0; i < s->pages.n_pages; i++) assert_int_equal(s->pages.pages[i].uses, 0);
    tried.drafts += drafts;
    tried.replaced += replaced;
    tried.shared += w->stats.prompt_tokens_shared;
}

static void random_round(uint64_t seed)
{
    static world w; /* large */
    open_world(&w, seed);
    size_t rows = 0, steps = 0;
    w.n_requests = 1 + (size_t)pick(&w, REQUESTS);
    for (size_t i = 0; i < w.n_requests; i++) {
        const size_t room = w.schedule.pages.n_pages * OR_PAGE;
        invent(&w, &w.requests[i], room < FAKE_ROWS ? room : FAKE_ROWS);
        rows += w.requests[i].request.n_tokens + w.requests[i].request.max_tokens;
    }
    while (w.next < w.n_requests || w.schedule.n_active > 0 || under_way(&w) > 0) {
        do_something(&w);
        if (++steps > 100000 + 1000 * rows) fail_msg("round %llu does not end", (unsigned long long)seed);
    }
    check_end(&w);
    or_schedule_close(&w.schedule);
}

static void any_timing_gives_the_tokens_of_the_function(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 3000; round++) random_round(round);
    assert_true(tried.drafts > 10000 && tried.replaced > 1000 && tried.shared > 1000 && tried.refused > 1000);
    assert_true(tried.again > 100 && tried.late > 10);
    for (int why = 0; why < 3; why++) assert_true(tried.why[why] > 100);
    assert_true(tried.faults > 1000 && tried.faults_behind_drafts > 100);
}

/* ---- one sequence, step by step ----------------------------------------------------------------------- */

/* A schedule with one request of 2 tokens and 6 to come; stages are played by the test. */
static or_schedule *open_one(world *w, or_kv_policy kv, const int32_t *exits)
{
    static const int32_t prompt[] = {1, 2}, end = 9;
    *w = (world){.n_requests = 1};
    w->job = (or_job){.context = w, .token = count_token, .finish = count_finish};
    w->schedule = (or_schedule){.job = &w->job,
                                .n_stages = 2,
                                .n_layers = 4,
                                .n_vocab = FAKE_VOCAB,
                                .survivors = w->survivors,
                                .stats = &w->stats};
    const or_request request = {.tokens = prompt,
                                .n_tokens = 2,
                                .max_tokens = 6,
                                .kv = kv,
                                .exits = exits,
                                .ends = &end,
                                .n_ends = 1,
                                .policy = -1,
                                .sampling = {.top_p = 1}};
    bool admitted;
    assert_ok(or_schedule_open(&w->schedule, 2, 2, 40));
    assert_ok(or_schedule_admit(&w->schedule, 0, &request, &admitted));
    assert_true(admitted);
    return &w->schedule;
}

static or_step feed_one(or_schedule *s)
{
    or_feed feed;
    assert_true(or_schedule_peek(s, 100, &feed));
    or_schedule_feed(s, &feed);
    return feed.rider.step;
}

static or_record record_of(or_record_kind kind, int32_t position, int32_t drawn)
{
    return (or_record){.sequence = 41,
                       .kind = kind,
                       .position = position,
                       .drawn = drawn,
                       .leaves = 1,
                       .seen = {.layer = kind == OR_RECORD_DRAFT ? 1 : 4}};
}

/* A row that went to the full depth by itself has verified all drafts before it: pushing begins anew. */
static void drafts_are_pushed_together(void **state)
{
    (void)state;
    static world w;
    const int32_t exits[] = {1, 4, 1, 1, 1, 1};
    const bool pushed[] = {false, false, false, false, false, true}; /* the last one always is */
    or_schedule *s = open_one(&w, OR_KV_VERIFY, exits);
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(feed_one(s).pushed, pushed[i]);
        or_record record = record_of(exits[i] == 4 ? OR_RECORD_VERDICT : OR_RECORD_DRAFT, 1 + i, 5);
        if (exits[i] == 4) { /* and with it the draft before */
            or_record before = record_of(OR_RECORD_VERDICT, i, 5);
            before.leaves = 0;
            before.drafted = 1;
            assert_ok(or_schedule_take(s, &before));
        }
        assert_ok(or_schedule_take(s, &record));
    }
    assert_int_equal(w.stats.tokens, 2);
    or_schedule_close(s);
    const int32_t early[] = {1, 1, 1, 1, 1, 1};
    s = open_one(&w, OR_KV_VERIFY, early);
    for (int32_t i = 0; i < 6; i++) {
        assert_int_equal(feed_one(s).pushed, i % OR_DRAFTS_PUSHED == OR_DRAFTS_PUSHED - 1 || i == 5);
        or_record record = record_of(OR_RECORD_DRAFT, 1 + i, 5);
        assert_ok(or_schedule_take(s, &record));
        record.leaves = 0; /* twice */
        assert_fails(or_schedule_take(s, &record), OR_ERR_PEER, "unexpected record");
    }
    or_schedule_close(s);
}

/* Slot and pages stay with a sequence that has ended until its riders are home. */
static void ended_sequences_wait_for_their_riders(void **state)
{
    (void)state;
    static world w;
    const int32_t exits[] = {1, 1, 1, 1, 1, 1};
    or_schedule *s = open_one(&w, OR_KV_VERIFY, exits);
    const size_t available = or_pages_available(&s->pages);
    for (int32_t i = 0; i < 4; i++) {
        feed_one(s);
        or_record draft = record_of(OR_RECORD_DRAFT, 1 + i, 5);
        draft.leaves = i != 3;
        assert_ok(or_schedule_take(s, &draft));
    }
    feed_one(s);                                            /* two are under way now */
    or_record verdict = record_of(OR_RECORD_VERDICT, 1, 9); /* an end, in place of the first draft */
    verdict.leaves = 0;
    verdict.drafted = 1;
    assert_ok(or_schedule_take(s, &verdict));
    assert_int_equal(w.requests[0].n_finished, 1);
    assert_int_equal(w.stats.drafts_replaced, 1);
    for (int32_t i = 1; i < 3; i++) { /* of drafts that mean nothing now */
        verdict.position = 1 + i;
        assert_ok(or_schedule_take(s, &verdict));
    }
    or_feed feed;
    assert_false(or_schedule_peek(s, 100, &feed));
    verdict.position = 4;
    verdict.leaves = 1;
    assert_ok(or_schedule_take(s, &verdict));
    assert_true(s->n_active == 1 && s->n_riders == 1 && or_pages_available(&s->pages) == available);
    or_record last = record_of(OR_RECORD_DRAFT, 5, 5);
    assert_ok(or_schedule_take(s, &last));
    assert_true(s->n_active == 0 && s->n_riders == 0 && or_pages_available(&s->pages) == available + 1);
    last.leaves = 0; /* a pushed one may be heard of even later */
    assert_ok(or_schedule_take(s, &last));
    last.leaves = 1; /* but no rider of it is left that could come home */
    assert_fails(or_schedule_take(s, &last), OR_ERR_PEER, "unexpected record");
    assert_int_equal(w.stats.tokens, 1);
    or_schedule_close(s);
}

/* Behind a draft that waits for its verdict a fault waits, too; a verdict that replaces the draft takes it
 * back. A job that hears of no faults fails. */
static void faults_wait_for_their_turn(void **state)
{
    (void)state;
    static world w;
    for (int confirmed = 0; confirmed < 2; confirmed++) {
        or_schedule *s = open_one(&w, OR_KV_VERIFY, NULL);
        feed_one(s);
        or_record draft = record_of(OR_RECORD_DRAFT, 1, 5);
        assert_ok(or_schedule_take(s, &draft));
        feed_one(s); /* brings the draft's verdict, and has no token itself */
        or_record verdict = record_of(OR_RECORD_VERDICT, 1, confirmed ? 5 : 6);
        verdict.leaves = 0;
        verdict.drafted = 1;
        or_record lost = record_of(OR_RECORD_VERDICT, 2, 0);
        lost.fault = 2;
        assert_ok(or_schedule_take(s, &verdict));
        assert_int_equal(w.requests[0].given, 1);
        if (confirmed) {
            assert_fails(or_schedule_take(s, &lost), OR_ERR_FAILED, "request 0 after layer 2");
        } else {
            assert_ok(or_schedule_take(s, &lost));
            assert_int_equal(s->n_active, 1);
            assert_int_equal(feed_one(s).position, 2); /* the token that is right is run there */
        }
        assert_int_equal(w.requests[0].given, 1);
        or_schedule_close(s);
    }
}

/* `what` is refused, and what was right before still is. */
static void assert_refused(or_schedule *s, or_record what)
{
    const size_t riders = s->n_riders;
    assert_fails(or_schedule_take(s, &what), OR_ERR_PEER, "unexpected record");
    s->slots[0]->n_riders += riders - s->n_riders; /* after an error nobody goes on; the test does */
    s->n_riders = riders;
}

static void records_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static world w;
    for (or_kv_policy kv = OR_KV_DEFERRED; kv < OR_KV_POLICIES; kv++) {
        const bool verify = kv == OR_KV_VERIFY;
        or_schedule *s = open_one(&w, kv, NULL);
        or_record good = record_of(verify ? OR_RECORD_VERDICT : OR_RECORD_ANSWER, 1, 5);
        assert_fails(or_schedule_take(s, &good), OR_ERR_PEER, "unexpected record"); /* nothing was fed */
        while (or_schedule_peek(s, 100, &(or_feed){0})) feed_one(s); /* under propagate two riders */
        const struct {
            size_t at;
            int32_t value;
        } cases[] = {{offsetof(or_record, slot), -1},
                     {offsetof(or_record, slot), 1}, /* empty */
                     {offsetof(or_record, slot), 2},
                     {offsetof(or_record, sequence), 40},
                     {offsetof(or_record, kind), OR_RECORD_SEEN},
                     {offsetof(or_record, kind), verify ? OR_RECORD_ANSWER : OR_RECORD_VERDICT},
                     {offsetof(or_record, kind), verify ? OR_RECORD_ANSWER : OR_RECORD_DRAFT},
                     {offsetof(or_record, kind), OR_RECORD_SILENT + 1},
                     {offsetof(or_record, kind), -1},
                     {offsetof(or_record, position), 0}, /* of the prompt, before its last row */
                     {offsetof(or_record, position), -1},
                     {offsetof(or_record, position), INT32_MIN},
                     {offsetof(or_record, position), 2}, /* not fed */
                     {offsetof(or_record, position), INT32_MAX},
                     {offsetof(or_record, drawn), -1},
                     {offsetof(or_record, drawn), FAKE_VOCAB},
                     {offsetof(or_record, n_best), -1},
                     {offsetof(or_record, n_best), OR_BEST + 1},
                     {offsetof(or_record, fault), -1},
                     {offsetof(or_record, fault), 5},
                     {offsetof(or_record, seen.layer), 0},
                     {offsetof(or_record, seen.layer), 5}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            or_record wrong = good;
            memcpy((char *)&wrong + cases[i].at, &cases[i].value, sizeof cases[i].value);
            assert_refused(s, wrong);
        }
        or_record stays = good;
        stays.leaves = 0;
        if (!verify) assert_refused(s, stays); /* an answer ends its rider */
        stays.kind = OR_RECORD_SILENT;
        assert_refused(s, stays);
        or_record other_round = good;
        other_round.round = 1;
        other_round.leaves = 0;
        assert_ok(or_schedule_take(s, &other_round));
        assert_int_equal(w.requests[0].given, 0);
        assert_ok(or_schedule_take(s, &good));
        assert_int_equal(w.requests[0].given, 1);
        feed_one(s);
        assert_refused(s, good); /* twice */
        or_schedule_close(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_timing_gives_the_tokens_of_the_function),
        cmocka_unit_test(drafts_are_pushed_together),
        cmocka_unit_test(ended_sequences_wait_for_their_riders),
        cmocka_unit_test(faults_wait_for_their_turn),
        cmocka_unit_test(records_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
