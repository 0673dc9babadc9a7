/* test_queue.c - the queue that replicas share: who gets what, a slow replica, the end, and whose news count. */
#include "support.h"

#include "queue.h"

enum { MOST = 2000, ROWS = 40 };

/* The job: request i has ROWS + i % 7 tokens; what it hears is counted. */
typedef struct world {
    size_t max_tokens; /* of each; 0: they are scored */
    size_t n_asked;
    size_t answered[MOST], tokens[MOST], finished[MOST];
    size_t enough_at; /* with so many tokens of it the job has enough of a request; 0: never */
    or_finish why[MOST];
    int fault; /* the last layer */
} world;

static const int32_t some_tokens[ROWS + 7];

static or_status give(void *context, size_t index, or_request *request)
{
    world *w = context;
    assert_int_equal(index, w->n_asked++); /* in order, each once */
    request->tokens = some_tokens;
    request->n_tokens = ROWS + index % 7;
    request->max_tokens = w->max_tokens;
    request->n_choices = 2;
    return OR_OK;
}

static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    (void)answer;
    ((world *)context)->answered[index]++;
    return OR_OK;
}

static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    world *w = context;
    (void)token;
    if (++w->tokens[index] == w->enough_at) *more = false;
    return OR_OK;
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    world *w = context;
    w->finished[index]++;
    w->why[index] = why;
    return OR_OK;
}

static or_job job_of(world *w, size_t n_requests)
{
    return (or_job){.n_requests = n_requests,
                    .context = w,
                    .request = give,
                    .answer = take_answer,
                    .token = take_token,
                    .finish = take_finish};
}

/* Takes a portion, up to what the appetite has room for; how many. */
static size_t take_portion(or_queue *queue, int replica, or_appetite appetite)
{
    size_t portion, n = 0;
    bool taken = true;
    or_request request;
    appetite.received = queue->shares[replica].count;
    assert_ok(or_queue_portion(queue, replica, &appetite, &portion));
    assert_true(portion <= queue->job->n_requests - queue->next);
    for (; n < portion; n++) {
        assert_ok(or_queue_take(queue, replica, &appetite, &request, &taken));
        if (!taken) break;
        assert_int_equal(request.n_tokens, ROWS + (queue->next - 1) % 7);
    }
    assert_int_equal(appetite.received, queue->shares[replica].count);
    return n;
}

static void answer(or_queue *queue, int replica, size_t request)
{
    const or_news news = {.kind = OR_NEWS_ANSWER, .request = request, .answer = {.choice = -1}};
    bool more;
    assert_ok(or_queue_hear(queue, replica, &news, &more));
}

/* ---- who gets what ------------------------------------------------------------------------------------ */

/* Replicas of different speeds, simulated: each takes when less than a wave waits for it, and works on a wave at a
 * time. Returns when the last is done; `begins` is when a replica is there at all. */
typedef struct worker {
    double speed, begins; /* rows per second */
    double free_at;
    size_t waiting, running; /* requests that it has, of which the first `running` are in its wave */
    size_t done;
} worker;

static double simulate(worker *workers, int n, size_t n_requests, world *w)
{
    enum { WAVE = 1024 };
    or_queue queue = {0};
    const or_job job = job_of(w, n_requests);
    double now = 0;
    memset(w, 0, sizeof *w);
    assert_ok(or_queue_open(&queue, &job, n));
    for (int i = 0; i < n; i++) workers[i].free_at = workers[i].begins;
    while (queue.n_done < n_requests) {
        int first = 0;
        for (int i = 1; i < n; i++)
            if (workers[i].free_at < workers[first].free_at) first = i;
        worker *at = &workers[first];
        now = at->free_at;
        for (size_t i = 0; i < at->running; i++) answer(&queue, first, at->done++);
        at->waiting -= at->running;
        if (at->waiting * ROWS <= WAVE)
            at->waiting += take_portion(&queue, first, (or_appetite){.rows = WAVE});
        at->running = at->waiting < WAVE / ROWS ? at->waiting : WAVE / ROWS;
        at->free_at = now + (at->running ? (double)at->running * ROWS / at->speed : 0.001);
    }
    for (size_t i = 0; i < n_requests; i++) assert_int_equal(w->answered[i], 1);
    or_queue_close(&queue);
    return now;
}

static world shared_world;

static void equal_replicas_end_together(void **state)
{
    (void)state;
    static const size_t jobs[] = {1, 2, 3, 10, 64, 200, 2000};
    for (int n = 1; n <= 5; n++)
        for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++) {
            worker workers[5] = {
                {.speed = 1000}, {.speed = 1000}, {.speed = 1000}, {.speed = 1000}, {.speed = 1000}};
            const double took = simulate(workers, n, jobs[i], &shared_world),
                         share = (double)((jobs[i] + (size_t)n - 1) / (size_t)n) * ROWS / 1000;
            /* what is not divisible, and a tenth; a millisecond of looking */
            if (took > share * 1.1 + 2 * ROWS / 1000.0 + 0.01)
                fail_msg("%zu requests, %d replicas: %g s, an even share takes %g s", jobs[i], n, took,
                         share);
        }
}

static void slow_replicas_take_less(void **state)
{
    (void)state;
    worker workers[3] = {{.speed = 1000}, {.speed = 250}, {.speed = 1000}};
    const double took = simulate(workers, 3, 2000, &shared_world), ideal = 2000.0 * ROWS / 2250;
    if (took > 1.1 * ideal) fail_msg("%g s, %g s if all were always busy", took, ideal);
    assert_true(workers[1].done > 150 && workers[1].done < 300); /* 222 by their speeds */
}

static void late_replicas_are_not_waited_for(void **state)
{
    (void)state;
    worker workers[2] = {{.speed = 1000}, {.speed = 1000, .begins = 60}};
    simulate(workers, 2, 2000, &shared_world); /* 80 s for one */
    assert_true(workers[0].done > 1600);
    assert_true(workers[1].done > 100);
}

/* One that stands still keeps what it has, and no more. */
static void stuck_replicas_keep_only_what_they_have(void **state)
{
    (void)state;
    or_queue queue = {0};
    world *w = &shared_world;
    memset(w, 0, sizeof *w);
    const or_job job = job_of(w, 500);
    assert_ok(or_queue_open(&queue, &job, 2));
    const size_t kept = take_portion(&queue, 1, (or_appetite){.rows = 1024});
    assert_true(kept > 0 && kept <= 1024 / ROWS + 1);
    size_t done = 0;
    for (size_t n; (n = take_portion(&queue, 0, (or_appetite){.rows = 1024})) > 0;)
        for (; n > 0; n--) answer(&queue, 0, done++);
    assert_int_equal(done, 500 - kept);
    for (size_t i = 0; i < kept; i++) answer(&queue, 1, i);
    assert_int_equal(queue.n_done, 500);
    or_queue_close(&queue);
}

/* Of few requests each replica gets some, also when one asks much faster than the others. */
static void nobody_takes_more_than_a_share(void **state)
{
    (void)state;
    world *w = &shared_world;
    for (size_t n = 1; n <= 40; n++)
        for (int replicas = 1; replicas <= 4; replicas++) {
            or_queue queue = {0};
            size_t has = 0;
            memset(w, 0, sizeof *w);
            w->max_tokens = 8;
            const or_job job = job_of(w, n);
            assert_ok(or_queue_open(&queue, &job, replicas));
            const or_appetite room = {.rows = 1024, .slots = 64, .pages = 1000};
            for (size_t got; (got = take_portion(&queue, 0, room)) > 0;) has += got;
            assert_int_equal(has, (n + (size_t)replicas - 1) / (size_t)replicas);
            or_queue_close(&queue);
        }
}

static void finish(or_queue *queue, int replica, size_t request)
{
    const or_news news = {.kind = OR_NEWS_FINISH, .request = request, .why = OR_FINISH_LENGTH};
    bool more;
    assert_ok(or_queue_hear(queue, replica, &news, &more));
}

/* Replicas that take continuations for their free slots, and finish them, in any order: to the last one. */
static void continuations_are_all_given(void **state)
{
    (void)state;
    enum { REPLICAS = 3, SLOTS = 4 };
    world *w = &shared_world;
    uint64_t seed = 17;
    for (int round = 0; round < 300; round++) {
        or_queue queue = {0};
        size_t done[REPLICAS] = {0};
        const size_t n = 1 + random_bits(&seed) % 40;
        memset(w, 0, sizeof *w);
        w->max_tokens = 1;
        const or_job job = job_of(w, n);
        assert_ok(or_queue_open(&queue, &job, REPLICAS));
        while (queue.n_done < n) {
            const int replica = (int)(random_bits(&seed) % REPLICAS);
            const size_t open = queue.shares[replica].n_open;
            if (random_bits(&seed) % 2)
                take_portion(&queue, replica, (or_appetite){.slots = SLOTS - open, .pages = 1000});
            else if (open > 0)
                finish(&queue, replica, done[replica]++);
        }
        for (size_t i = 0; i < n; i++) assert_int_equal(w->finished[i], 1);
        or_queue_close(&queue);
    }
}

static void continuations_need_slots_and_pages(void **state)
{
    (void)state;
    or_queue queue = {0};
    world *w = &shared_world;
    memset(w, 0, sizeof *w);
    w->max_tokens = 20; /* 60 .. 66 tokens with the prompt: 2 or 3 pages of 32 */
    const or_job job = job_of(w, 100);
    size_t portion;
    or_appetite appetite = {.rows = 1024, .slots = 3, .pages = 100};
    assert_ok(or_queue_open(&queue, &job, 2));
    assert_ok(or_queue_portion(&queue, 0, &appetite, &portion));
    assert_int_equal(portion, 3);
    assert_int_equal(take_portion(&queue, 0, appetite), 3); /* 0, 1, 2: 6 pages */
    assert_int_equal(take_portion(&queue, 1, (or_appetite){.rows = 1024, .slots = 9, .pages = 5}), 2);
    assert_int_equal(take_portion(&queue, 1, (or_appetite){.rows = 1024, .slots = 9, .pages = 2}),
                     0); /* 5: 3 */
    assert_int_equal(take_portion(&queue, 1, (or_appetite){.rows = 1024, .slots = 0, .pages = 99}), 0);
    assert_int_equal(take_portion(&queue, 1, (or_appetite){.rows = 1024, .slots = 1, .pages = 3}), 1);
    or_queue_close(&queue);
}

static or_status refuse_third(const void *context, size_t index, const or_request *request)
{
    (void)context;
    (void)request;
    return index < 3 ? OR_OK : or_fail(OR_ERR_INPUT, "prompt refused", NULL, "request %zu", index);
}

static void requests_are_checked_before_they_are_given(void **state)
{
    (void)state;
    or_queue queue = {0};
    world *w = &shared_world;
    memset(w, 0, sizeof *w);
    const or_job job = job_of(w, 9);
    or_appetite appetite = {.rows = 1024};
    or_request request;
    bool taken;
    assert_ok(or_queue_open(&queue, &job, 2));
    queue.check = refuse_third;
    for (int i = 0; i < 3; i++) assert_ok(or_queue_take(&queue, i % 2, &appetite, &request, &taken));
    assert_fails(or_queue_take(&queue, 1, &appetite, &request, &taken), OR_ERR_INPUT, "request 3");
    or_queue_close(&queue);
}

/* ---- whose news count --------------------------------------------------------------------------------- */

static or_status hear(or_queue *queue, int replica, or_news news)
{
    bool more;
    return or_queue_hear(queue, replica, &news, &more);
}

static void strange_answers_are_refused(void **state)
{
    (void)state;
    or_queue queue = {0};
    world *w = &shared_world;
    memset(w, 0, sizeof *w);
    const or_job job = job_of(w, 20);
    const or_news good = {.kind = OR_NEWS_ANSWER, .answer = {.choice = 1}};
    or_observation seen[1] = {{.layer = 1}};
    assert_ok(or_queue_open(&queue, &job, 2));
    assert_true(take_portion(&queue, 0, (or_appetite){.rows = 1024}) > 2);
    assert_int_equal(take_portion(&queue, 1, (or_appetite){.rows = 1}), 1);
    or_news wrong[] = {good, good, good, good, good, good};
    wrong[0].request = 1; /* it has only one */
    wrong[1].request = UINT64_MAX;
    wrong[2].answer.choice = 2;    /* of two */
    wrong[3].answer.seen = seen;   /* nobody asked to observe */
    wrong[4].kind = OR_NEWS_TOKEN; /* of a prompt that is scored */
    wrong[5].kind = OR_NEWS_FINISH;
    for (size_t i = 0; i < 6; i++)
        assert_fails(hear(&queue, 1, wrong[i]), OR_ERR_PEER, "unexpected answer: of kind");
    assert_ok(hear(&queue, 1, good));
    assert_fails(hear(&queue, 1, good), OR_ERR_PEER, "from replica 1, of its request 0"); /* twice */
    or_queue_close(&queue);
}

/* One request that is continued by 5 tokens at most. */
static void open_one(or_queue *queue, world *w, or_job *job, size_t enough_at)
{
    memset(w, 0, sizeof *w);
    w->max_tokens = 5;
    w->enough_at = enough_at;
    *job = job_of(w, 1);
    *queue = (or_queue){0};
    assert_ok(or_queue_open(queue, job, 1));
    assert_int_equal(take_portion(queue, 0, (or_appetite){.rows = 1, .slots = 1, .pages = 9}), 1);
}

static void tokens_behind_enough_are_dropped(void **state)
{
    (void)state;
    static const struct {
        size_t enough_at, tokens;
        or_finish said, expected;
    } cases[] = {
        {0, 5, OR_FINISH_LENGTH, OR_FINISH_LENGTH}, {0, 3, OR_FINISH_END, OR_FINISH_END},
        {2, 2, OR_FINISH_STOP, OR_FINISH_STOP},     {2, 4, OR_FINISH_STOP, OR_FINISH_STOP},
        {2, 2, OR_FINISH_END, OR_FINISH_END}, /* the second token ends it, as it would have alone */
        {2, 3, OR_FINISH_END, OR_FINISH_STOP},      {5, 5, OR_FINISH_LENGTH, OR_FINISH_STOP},
        {2, 5, OR_FINISH_LENGTH, OR_FINISH_STOP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world *w = &shared_world;
        or_queue queue;
        or_job job;
        const size_t enough = cases[i].enough_at, tokens = cases[i].tokens;
        open_one(&queue, w, &job, enough);
        for (size_t k = 0; k < tokens; k++) {
            const or_news token = {.kind = OR_NEWS_TOKEN};
            bool more;
            assert_ok(or_queue_hear(&queue, 0, &token, &more));
            assert_int_equal(more, enough == 0 || k + 1 < enough);
        }
        assert_ok(hear(&queue, 0, (or_news){.kind = OR_NEWS_FINISH, .why = cases[i].said}));
        assert_int_equal(w->tokens[0], enough && enough < tokens ? enough : tokens);
        assert_int_equal(w->finished[0], 1);
        assert_int_equal(w->why[0], cases[i].expected);
        assert_int_equal(queue.n_done, 1);
        assert_fails(hear(&queue, 0, (or_news){.kind = OR_NEWS_FINISH}), OR_ERR_PEER, "unexpected answer");
        or_queue_close(&queue);
    }
}

static void no_more_tokens_than_were_asked_for(void **state)
{
    (void)state;
    or_queue queue;
    or_job job;
    open_one(&queue, &shared_world, &job, 0);
    for (int k = 0; k < 5; k++) assert_ok(hear(&queue, 0, (or_news){.kind = OR_NEWS_TOKEN}));
    assert_fails(hear(&queue, 0, (or_news){.kind = OR_NEWS_TOKEN}), OR_ERR_PEER, "unexpected answer");
    assert_fails(hear(&queue, 0, (or_news){.kind = OR_NEWS_ANSWER}), OR_ERR_PEER, "unexpected answer");
    or_queue_close(&queue);
}

static or_status take_fault(void *context, size_t index, int layer)
{
    world *w = context;
    w->finished[index]++;
    w->fault = layer;
    return OR_OK;
}

/* Both of a prompt and of a continuation; but not of what came behind the token with which the job had
 * enough. */
static void faults_are_the_jobs_unless_it_had_enough(void **state)
{
    (void)state;
    const or_news fault = {.kind = OR_NEWS_FAULT, .fault = 7};
    or_queue queue;
    or_job job;
    for (size_t enough = 0; enough < 3; enough += 2) {
        world *w = &shared_world;
        open_one(&queue, w, &job, enough);
        job.fault = take_fault;
        for (int k = 0; k < 2; k++) assert_ok(hear(&queue, 0, (or_news){.kind = OR_NEWS_TOKEN}));
        assert_ok(hear(&queue, 0, fault));
        assert_int_equal(w->fault, enough ? 0 : 7);
        assert_int_equal(w->finished[0], 1);
        if (enough) assert_int_equal(w->why[0], OR_FINISH_STOP);
        assert_int_equal(queue.n_done, 1);
        assert_fails(hear(&queue, 0, fault), OR_ERR_PEER, "unexpected answer");
        or_queue_close(&queue);
    }
    world *w = &shared_world;
    memset(w, 0, sizeof *w);
    queue = (or_queue){0};
    job = job_of(w, 1);
    assert_ok(or_queue_open(&queue, &job, 1));
    assert_int_equal(take_portion(&queue, 0, (or_appetite){.rows = 1024}), 1);
    assert_fails(hear(&queue, 0, fault), OR_ERR_FAILED, "numbers are not finite: request 0 after layer 7");
    or_queue_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_replicas_end_together),
        cmocka_unit_test(slow_replicas_take_less),
        cmocka_unit_test(late_replicas_are_not_waited_for),
        cmocka_unit_test(stuck_replicas_keep_only_what_they_have),
        cmocka_unit_test(nobody_takes_more_than_a_share),
        cmocka_unit_test(continuations_are_all_given),
        cmocka_unit_test(continuations_need_slots_and_pages),
        cmocka_unit_test(requests_are_checked_before_they_are_given),
        cmocka_unit_test(strange_answers_are_refused),
        cmocka_unit_test(tokens_behind_enough_are_dropped),
        cmocka_unit_test(no_more_tokens_than_were_asked_for),
        cmocka_unit_test(faults_are_the_jobs_unless_it_had_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
