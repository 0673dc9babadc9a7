/* test_timeline.c - events that are recorded, gathered, and written: what is in the file is what the ranks did. */
#include "support.h"

#include "events.h"
#include "json.h"

#include <math.h>

enum { RANKS = 3, RUNS = 4 };

static or_event event_of(int kind, double begin, double end)
{
    return (or_event){.kind = kind, .begin = begin, .end = end};
}

static or_timeline *make(int n_ranks)
{
    or_timeline *timeline = NULL;
    assert_ok(or_timeline_make(0, n_ranks, &timeline));
    return timeline;
}

static void add(or_timeline *timeline, int kind, double begin, double end)
{
    const or_event event = event_of(kind, begin, end);
    or_timeline_add(timeline, &event);
}

/* From a rank's own timeline to rank 0's, as the pipeline does it. */
static void hand_over(or_timeline *from, or_timeline *to)
{
    void *data;
    size_t size;
    assert_ok(or_timeline_pack(from, &data, &size));
    assert_ok(or_timeline_take(to, data, size));
    free(data);
}

/* ---- recording ------------------------------------------------------------------------------------------------ */

static void naps_that_follow_each_other_are_one_event(void **state)
{
    (void)state;
    or_timeline *t = make(1);
    add(t, OR_EVENT_IDLE, 1, 2);
    add(t, OR_EVENT_IDLE, 2, 3.5);
    add(t, OR_EVENT_IDLE, 3.75, 4); /* something was done before */
    add(t, OR_EVENT_WAIT, 4, 5);
    add(t, OR_EVENT_WAIT, 5, 6);
    add(t, OR_EVENT_BUSY, 6, 7);
    add(t, OR_EVENT_BUSY, 7, 8); /* two waves */
    const double ends[] = {3.5, 4, 6, 7, 8};
    assert_int_equal(t->own.count, 5);
    for (size_t i = 0; i < 5; i++) assert_true(t->own.items[i].end == ends[i]);
    or_timeline_forget(t);
    add(t, OR_EVENT_BUSY, 8, 9);
    assert_int_equal(t->own.count, 1);
    or_timeline_close(t);
    add(NULL, OR_EVENT_BUSY, 0, 1);
    or_timeline_forget(NULL);
    or_timeline_close(NULL);
}

/* What a rank may keep is for all its runs together. */
static void what_is_too_much_is_counted(void **state)
{
    (void)state;
    or_timeline *t = make(1);
    t->own.most = t->lanes[0].events.most = 10;
    for (int i = 0; i < 7; i++) add(t, OR_EVENT_BUSY, i, i + 0.5);
    hand_over(t, t);
    assert_int_equal(t->lanes[0].events.count, 7);
    for (int i = 7; i < 15; i++) add(t, OR_EVENT_BUSY, i, i + 0.5);
    hand_over(t, t);
    for (int i = 15; i < 20; i++) add(t, OR_EVENT_IDLE, i, i + 0.5);
    hand_over(t, t);
    assert_int_equal(t->lanes[0].events.count, 10);
    assert_int_equal(t->lanes[0].events.dropped, 10);
    or_timeline_close(t);
    t = make(1); /* a rank has a million, all have four */
    assert_true(t->own.most == 1 << 20);
    or_timeline_close(t);
    t = make(1024);
    assert_true(t->own.most == 1 << 12);
    or_timeline_close(t);
}

static void events_that_cannot_be_are_refused(void **state)
{
    (void)state;
    or_timeline *t = make(2), *other, *third;
    void *data, *wrong;
    size_t size, wrong_size;
    assert_ok(or_timeline_make(1, 2, &other));
    assert_ok(or_timeline_make(2, 3, &third)); /* of another job */
    add(other, OR_EVENT_BUSY, 1, 2);
    assert_ok(or_timeline_pack(other, &data, &size));
    assert_ok(or_timeline_pack(third, &wrong, &wrong_size));
    assert_fails(or_timeline_take(t, wrong, wrong_size), OR_ERR_PEER, "of rank 2");
    for (size_t n = 0; n < size; n++) assert_fails(or_timeline_take(t, data, n), OR_ERR_PEER, "said to be");
    const struct {
        or_event event;
        const char *said;
    } bad[] = {{event_of(OR_EVENT_KINDS, 1, 2), "of kind 4"},
               {event_of(-1, 1, 2), "of kind -1"},
               {event_of(OR_EVENT_IDLE, 2, 1), "of kind 3"},
               {event_of(OR_EVENT_IDLE, NAN, 1), "from rank 1"},
               {event_of(OR_EVENT_IDLE, 0, INFINITY), "from rank 1"},
               {{.kind = OR_EVENT_BUSY, .waves = -1}, "from rank 1"},
               {{.kind = OR_EVENT_BUSY, .macs = NAN}, "from rank 1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy((char *)data + size - sizeof(or_event), &bad[i].event, sizeof(or_event));
        assert_fails(or_timeline_take(t, data, size), OR_ERR_PEER, bad[i].said);
    }
    assert_int_equal(t->lanes[1].events.count, 0);
    free(data);
    free(wrong);
    or_timeline_close(t);
    or_timeline_close(other);
    or_timeline_close(third);
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

static void the_shortest_exchange_counts(void **state)
{
    (void)state;
    or_clock_gap gap;
    or_clock_gap_take(&gap, true, 10, 110.4, 10.6); /* 0.6 s there and back */
    assert_near(gap.offset, 100.1, 1e-9);
    assert_near(gap.error, 0.3, 1e-9);
    or_clock_gap_take(&gap, false, 20, 120.05, 20.2);
    or_clock_gap_take(&gap, false, 30, 130.9, 31);
    assert_near(gap.offset, 99.95, 1e-9);
    assert_near(gap.error, 0.1, 1e-9);
    or_clock_gap_settle(&gap);
    assert_near(gap.offset, 99.95, 1e-9);
    or_clock_gap_take(&gap, true, 40, 40.003, 40.004);
    or_clock_gap_settle(&gap); /* within what can be told: one clock */
    assert_true(gap.offset == 0 && gap.error == 0);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* What a rank did in a run, and its sums. */
typedef struct acted {
    or_timeline *own;
    double now; /* by the rank's clock */
    int64_t sent, came;
    or_stage_stats sum;
} acted;

static double duration(uint64_t *seed)
{
    return (1 + random_bits(seed) % 100000) * 1.7e-7;
}

/* Sends what it ran, unless it is the last rank; runs what the one before has sent, and idles before. */
static void act(acted *a, int rank, int n_waves, uint64_t *seed)
{
    a->now += duration(seed);
    for (int i = 0; i < n_waves; i++) {
        or_event event = event_of(OR_EVENT_IDLE, a->now, a->now + duration(seed));
        or_timeline_add(a->own, &event);
        a->sum.idle += event.end - event.begin;
        event = event_of(OR_EVENT_BUSY, event.end, event.end + duration(seed));
        event.first = 4 * rank, event.last = 4 * rank + 4, event.rows = 40 + i, event.riders = 5;
        event.riders_out = (int32_t)(random_bits(seed) % 6);
        event.rows_out = 8 * event.riders_out;
        event.exits = event.riders - event.riders_out;
        event.ramp = (event.end - event.begin) / 8, event.macs = 1e6;
        event.wave = a->came, event.waves = rank > 0;
        a->came += event.waves;
        or_timeline_add(a->own, &event);
        a->sum.busy += event.end - event.begin;
        a->sum.ramp += event.ramp;
        a->sum.macs += event.macs;
        a->sum.exits += (uint64_t)event.exits;
        a->now = event.end;
        if (rank == RANKS - 1) continue;
        event = event_of(OR_EVENT_WAIT, a->now, a->now + duration(seed));
        or_timeline_add(a->own, &event);
        a->sum.wait += event.end - event.begin;
        event = event_of(OR_EVENT_SEND, event.end, event.end + 1e-6);
        event.wave = a->sent++, event.rows = 30, event.riders = 4, event.bytes = 1 << 20;
        or_timeline_add(a->own, &event);
        a->sum.waves_out++;
        a->now = event.end;
    }
}

static double number(const cJSON *object, const char *key)
{
    double value = 0;
    assert_ok(or_json_number(object, key, "timeline", &value));
    return value;
}

/* What is read back of a rank. */
typedef struct seen {
    char name[80];
    or_stage_stats sum;
    double end; /* of its last event */
    size_t n_events;
} seen;

static void see_busy(const cJSON *item, int rank, double seconds, seen *s)
{
    const cJSON *args;
    assert_ok(or_json_object(item, "args", "timeline", &args));
    assert_true(number(args, "first_layer") == 4 * rank + 1 && number(args, "last_layer") == 4 * rank + 4);
    assert_true(number(args, "riders") - number(args, "riders_out") == number(args, "exits"));
    s->sum.busy += seconds;
    s->sum.ramp += 1e-6 * number(args, "ramps_us");
    s->sum.macs += 0.5e9 * number(args, "gflops") * seconds;
    s->sum.exits += (uint64_t)number(args, "exits");
}

/* An event does not begin before the one ahead of it has ended. */
static void see_span(const cJSON *item, int rank, seen *s)
{
    const double begin = number(item, "ts"), seconds = 1e-6 * number(item, "dur");
    const char *name;
    assert_ok(or_json_string(item, "name", "timeline", &name));
    assert_true(begin >= 0 && seconds >= 0);
    if (begin < s->end - 1e-6)
        fail_msg("rank %d: an event begins at %.3f, the last one ended at %.3f", rank, begin, s->end);
    s->end = begin + 1e6 * seconds;
    s->n_events++;
    if (strcmp(name, "busy") == 0)
        see_busy(item, rank, seconds, s);
    else if (strcmp(name, "idle") == 0)
        s->sum.idle += seconds;
    else if (strcmp(name, "wait") == 0)
        s->sum.wait += seconds;
    else if (strcmp(name, "send") == 0)
        s->sum.waves_out++;
    else
        fail_msg("an event is called %s", name);
}

/* Each arrow begins once and ends once, on the next rank. */
static void see_arrow(const cJSON *item, bool begins, int rank, int arrows[RANKS][64])
{
    const int64_t id = (int64_t)number(item, "id");
    const int sender = (int)(id >> 32), wave = (int)(id & 63);
    assert_int_equal(rank, begins ? sender : sender + 1);
    arrows[sender][wave] += begins ? 1 : 100;
}

static void see_file(const cJSON *root, seen ranks[RANKS + 1], int arrows[RANKS][64])
{
    const cJSON *events, *item;
    assert_ok(or_json_array(root, "traceEvents", "timeline", &events));
    cJSON_ArrayForEach(item, events)
    {
        const int rank = (int)number(item, "pid") - 1;
        const char *phase, *name;
        assert_true(rank >= 0 && rank <= RANKS && number(item, "tid") == rank + 1);
        assert_ok(or_json_string(item, "ph", "timeline", &phase));
        assert_ok(or_json_string(item, "name", "timeline", &name));
        const cJSON *args = or_json_find(item, "args");
        if (strcmp(name, "process_name") == 0)
            snprintf(ranks[rank].name, sizeof ranks[rank].name, "%s",
                     or_json_find(args, "name")->valuestring);
        else if (phase[0] == 'X' && rank < RANKS)
            see_span(item, rank, &ranks[rank]);
        else if (phase[0] == 'X')
            ranks[rank].n_events++;
        else if (phase[0] == 's' || phase[0] == 'f')
            see_arrow(item, phase[0] == 's', rank, arrows);
        else
            assert_string_equal(phase, "M");
    }
}

static void run_once(or_timeline *t, acted ranks[RANKS], int run, uint64_t *seed, or_run_stats *stats)
{
    const int n_waves = 1 + (int)(random_bits(seed) % 9);
    char name[32];
    *stats = (or_run_stats){.n_stages = RANKS, .seconds = 0.1};
    const double begin = ranks[0].now;
    for (int r = RANKS - 1; r >= 0; r--) { /* ranks send in any order */
        const uint64_t before = ranks[r].sum.waves_out;
        ranks[r].sent = ranks[r].came = 0;
        act(&ranks[r], r, n_waves, seed);
        hand_over(ranks[r].own, t);
        stats->stage[r] =
            (or_stage_stats){.first = 4 * r, .last = 4 * r + 4, .waves_out = ranks[r].sum.waves_out - before};
    }
    snprintf(name, sizeof name, "run \"%d\"", run);
    assert_ok(or_timeline_end_run(t, name, begin, stats));
}

/* Clocks that are years apart line up, and nothing is lost by printing but less than nanoseconds. */
static void the_file_says_what_was_done(void **state)
{
    (void)state;
    static or_run_stats stats;
    static const double offsets[RANKS] = {0, 1e7 + 0.123456, -3.25e5};
    acted ranks[RANKS] = {0};
    seen read[RANKS + 1] = {0};
    int arrows[RANKS][64] = {0};
    or_timeline *t = make(RANKS);
    uint64_t seed = 7;
    or_buffer text = {0};
    cJSON *root;
    for (int r = 0; r < RANKS; r++) {
        assert_ok(or_timeline_make(r, RANKS, &ranks[r].own));
        ranks[r].now = 5e5 + offsets[r] + 0.01 * r;
        t->lanes[r].gap = (or_clock_gap){offsets[r], r * 1e-6};
        assert_ok(or_strdup(r < 2 ? "node01" : "node\"02", &t->lanes[r].host));
    }
    t->lanes[2].events.dropped = 3;
    for (int run = 0; run < RUNS; run++) run_once(t, ranks, run, &seed, &stats);
    assert_ok(or_timeline_put(t, &text));
    assert_ok(or_json_parse(text.data, text.size, "timeline", &root));
    see_file(root, read, arrows);
    for (int r = 0; r < RANKS; r++) {
        const or_stage_stats *did = &ranks[r].sum, *says = &read[r].sum;
        const double rounding = 5e-9 * (double)read[r].n_events; /* a double of 1e7 s has steps of 2 ns */
        char name[80];
        snprintf(name, sizeof name, "rank %d, layers %d..%d, %s", r, 4 * r + 1, 4 * r + 4, t->lanes[r].host);
        assert_string_equal(read[r].name, name);
        assert_near(says->busy, did->busy, rounding);
        assert_near(says->idle, did->idle, rounding);
        assert_near(says->wait, did->wait, rounding);
        assert_near(says->ramp, did->ramp, rounding);
        assert_near(says->macs, did->macs, 1e-3 * did->macs);
        assert_int_equal(says->exits, did->exits);
        assert_int_equal(says->waves_out, did->waves_out);
        for (uint64_t wave = 0; wave < 64; wave++)
            assert_int_equal(arrows[r][wave], wave < did->waves_out ? 101 : 0);
        or_timeline_close(ranks[r].own);
    }
    assert_string_equal(read[RANKS].name, "runs");
    assert_int_equal(read[RANKS].n_events, RUNS);
    const cJSON *head = or_json_find(or_json_find(root, "otherData"), "ranks");
    assert_near(number(cJSON_GetArrayItem(head, 1), "clock_offset"), offsets[1], 1e-8);
    assert_near(number(cJSON_GetArrayItem(head, 2), "clock_error"), 2e-6, 1e-12);
    assert_true(number(cJSON_GetArrayItem(head, 2), "dropped") == 3);
    cJSON_Delete(root);
    or_buffer_free(&text);
    or_timeline_close(t);
}

/* Where plans differ between runs, a rank's name says no layers; a file of no run is one, too. */
static void names_hold_for_all_runs(void **state)
{
    (void)state;
    static or_run_stats stats;
    or_timeline *t = make(1);
    or_buffer text = {0};
    cJSON *root;
    assert_ok(or_timeline_put(t, &text));
    assert_ok(or_json_parse(text.data, text.size, "timeline", &root));
    cJSON_Delete(root);
    for (int last = 4; last < 7; last++) {
        stats = (or_run_stats){.n_stages = 1, .stage = {{.last = last}}};
        assert_ok(or_timeline_end_run(t, NULL, 1, &stats));
    }
    text.size = 0;
    assert_ok(or_timeline_put(t, &text));
    assert_non_null(strstr(text.data, "{\"name\": \"rank 0\"}"));
    or_buffer_free(&text);
    or_timeline_close(t);
}

/* ---- sums of runs -------------------------------------------------------------------------------------------------- */

static void runs_add_up(void **state)
{
    (void)state;
    static or_run_stats sum, run;
    uint64_t survivors[] = {9, 7, 5, 0};
    run = (or_run_stats){.n_stages = 2, .survivors = survivors, .tokens = 5, .seconds = 2};
    run.stage[0] = (or_stage_stats){.last = 1, .requests_in = 9, .exits = 2, .busy = 1, .peak = 7};
    run.stage[1] =
        (or_stage_stats){.first = 1, .last = 3, .requests_in = 7, .exits = 7, .idle = 1, .peak = 5};
    for (int i = 0; i < 3; i++) {
        run.stage[0].peak--;
        assert_ok(or_run_stats_add(&sum, &run));
    }
    run.n_stages = 0; /* ran nothing */
    assert_ok(or_run_stats_add(&sum, &run));
    assert_int_equal(sum.n_stages, 2);
    assert_true(sum.seconds == 6 && sum.stage[0].busy == 3 && sum.stage[1].idle == 3 && sum.tokens == 15);
    assert_true(sum.stage[0].requests_in == 27 && sum.stage[1].exits == 21 && sum.stage[1].first == 1);
    assert_true(sum.stage[0].peak == 6 && sum.stage[1].peak == 5);
    for (int l = 0; l < 4; l++) assert_int_equal(sum.survivors[l], 3 * survivors[l]);
    or_run_stats_free(&sum);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(naps_that_follow_each_other_are_one_event),
        cmocka_unit_test(what_is_too_much_is_counted),
        cmocka_unit_test(events_that_cannot_be_are_refused),
        cmocka_unit_test(the_shortest_exchange_counts),
        cmocka_unit_test(the_file_says_what_was_done),
        cmocka_unit_test(names_hold_for_all_runs),
        cmocka_unit_test(runs_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
