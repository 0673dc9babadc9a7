/* test_request_wire.c - requests and news through the wire and back, and against damage. */
#include "support.h"

#include "request_wire.h"

enum { VOCAB = 500, LAYERS = 9, LONGEST = 40, ROOM = 64, POLICIES = 3 };

static const or_request_limits limits = {
    .n_policies = POLICIES, .longest = LONGEST, .room = ROOM, .n_vocab = VOCAB, .n_layers = LAYERS};

static uint32_t below(uint64_t *seed, uint32_t bound)
{
    return random_bits(seed) % bound;
}

/* A request of any kind, with its arrays in `lists`. */
typedef struct lists {
    int32_t tokens[LONGEST], choices[8], ends[4], forced[ROOM], exits[ROOM];
} lists;

static or_request make_request(uint64_t *seed, lists *l)
{
    const bool continues = below(seed, 2);
    or_request request = {
        .tokens = l->tokens,
        .n_tokens = 1 + below(seed, LONGEST),
        .policy = (int)below(seed, POLICIES + 1) - 1,
        .observe = !continues && below(seed, 2),
        .sampling = {.top_p = 1},
        .n_shared = below(seed, LONGEST),
    };
    for (size_t i = 0; i < LONGEST; i++) l->tokens[i] = (int32_t)below(seed, VOCAB);
    for (size_t i = 0; i < 8; i++) l->choices[i] = (int32_t)below(seed, VOCAB);
    for (size_t i = 0; i < ROOM; i++) l->forced[i] = (int32_t)below(seed, VOCAB);
    for (size_t i = 0; i < ROOM; i++) l->exits[i] = 1 + (int32_t)below(seed, LAYERS);
    for (size_t i = 0; i < 4; i++) l->ends[i] = (int32_t)below(seed, VOCAB);
    if (!continues) {
        request.n_choices = below(seed, 8);
        request.choices = request.n_choices > 0 ? l->choices : NULL;
        request.exits = below(seed, 2) ? l->exits : NULL; /* one, for its one token */
        return request;
    }
    request.max_tokens = 1 + below(seed, (uint32_t)(ROOM - request.n_tokens));
    request.kv = (or_kv_policy)below(seed, OR_KV_POLICIES);
    request.sampling =
        (or_sampling){0.5f * (float)below(seed, 3), (int32_t)below(seed, 5), 0.9f, below(seed, 99)};
    request.likeliest = below(seed, 2);
    request.n_ends = below(seed, 4);
    request.ends = request.n_ends > 0 ? l->ends : NULL;
    request.forced = below(seed, 2) ? l->forced : NULL;
    request.exits = below(seed, 2) ? l->exits : NULL;
    return request;
}

static void assert_list(const int32_t *a, const int32_t *b, size_t count)
{
    if (count == 0) return;
    assert_int_equal(a != NULL, b != NULL);
    if (a) assert_memory_equal(a, b, count * sizeof *a);
}

static void assert_request(const or_request *a, const or_request *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->policy, b->policy);
    assert_int_equal(a->observe, b->observe);
    assert_int_equal(a->n_choices, b->n_choices);
    assert_int_equal(a->max_tokens, b->max_tokens);
    assert_int_equal(a->kv, b->kv);
    assert_true(a->sampling.temperature == b->sampling.temperature && a->sampling.top_p == b->sampling.top_p);
    assert_int_equal(a->sampling.top_k, b->sampling.top_k);
    assert_int_equal(a->sampling.seed, b->sampling.seed);
    assert_int_equal(a->likeliest, b->likeliest);
    assert_int_equal(a->n_ends, b->n_ends);
    assert_int_equal(a->n_shared, b->n_shared);
    assert_list(a->tokens, b->tokens, a->n_tokens);
    assert_list(a->choices, b->choices, a->n_choices);
    assert_list(a->ends, b->ends, a->n_ends);
    assert_list(a->forced, b->forced, a->max_tokens);
    assert_list(a->exits, b->exits, a->max_tokens ? a->max_tokens : 1);
}

static void requests_come_as_they_went(void **state)
{
    (void)state;
    enum { MANY = 300 };
    static lists kept[MANY];
    or_request sent[MANY];
    or_buffer bytes = {0};
    uint64_t seed = 3;
    size_t at = 0, used;
    for (size_t i = 0; i < MANY; i++) {
        sent[i] = make_request(&seed, &kept[i]);
        assert_ok(or_request_encode(&sent[i], &bytes));
    }
    for (size_t i = 0; i < MANY; i++, at += used) {
        or_request *came;
        assert_ok(or_request_decode(bytes.data + at, bytes.size - at, &limits, &used, &came));
        assert_request(&sent[i], came);
        free(came);
    }
    assert_int_equal(at, bytes.size);
    or_buffer_free(&bytes);
}

/* What was let through is within the limits, whatever the bytes say. */
static void assert_within(const or_request *r)
{
    assert_true(r->n_tokens >= 1 && r->n_tokens + r->max_tokens <= (r->max_tokens ? ROOM : LONGEST));
    assert_true(r->policy >= -1 && r->policy < POLICIES && r->kv < OR_KV_POLICIES);
    for (size_t i = 0; i < r->n_tokens; i++) assert_true(r->tokens[i] >= 0 && r->tokens[i] < VOCAB);
    for (size_t i = 0; i < r->n_choices; i++) assert_true(r->choices[i] >= 0 && r->choices[i] < VOCAB);
    for (size_t i = 0; r->forced && i < r->max_tokens; i++)
        assert_true(r->forced[i] >= 0 && r->forced[i] < VOCAB);
    for (size_t i = 0; r->exits && i < (r->max_tokens ? r->max_tokens : 1); i++)
        assert_true(r->exits[i] >= 1 && r->exits[i] <= LAYERS);
    for (size_t i = 0; i < r->n_ends; i++) (void)*(volatile const int32_t *)&r->ends[i];
}

/* An exact copy, so that the sanitizer sees a read behind its end. */
static char *copy_of(const char *bytes, size_t size)
{
    char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    return copy;
}

static void damaged_requests_are_refused(void **state)
{
    (void)state;
    uint64_t seed = 5;
    size_t refused = 0, used;
    or_request *came;
    for (int round = 0; round < 100; round++) {
        lists l;
        or_buffer bytes = {0};
        const or_request request = make_request(&seed, &l);
        assert_ok(or_request_encode(&request, &bytes));
        for (size_t size = 0; size < bytes.size; size++) {
            char *part = copy_of(bytes.data, size);
            assert_fails(or_request_decode(part, size, &limits, &used, &came), OR_ERR_PEER, "refused");
            free(part);
        }
        for (int damage = 0; damage < 200; damage++) {
            char *broken = copy_of(bytes.data, bytes.size);
            for (int n = 1 + (int)below(&seed, 3); n > 0; n--)
                broken[below(&seed, (uint32_t)bytes.size)] = (char)random_bits(&seed);
            if (or_request_decode(broken, bytes.size, &limits, &used, &came) == OR_OK) {
                assert_true(used <= bytes.size);
                assert_within(came);
                free(came);
            } else {
                refused++;
            }
            free(broken);
        }
        or_buffer_free(&bytes);
    }
    assert_true(refused > 5000); /* of 20000; low bytes of tokens give other tokens */
}

/* One field of a good request is wrong. */
static void wrong_requests_are_refused(void **state)
{
    (void)state;
    const int32_t tokens[] = {1, 2, 3}, outside[] = {1, VOCAB, 3}, exits[] = {1, LAYERS + 1},
                  early[] = {0, 1};
    const or_request good = {
        .tokens = tokens, .n_tokens = 3, .max_tokens = 2, .policy = -1, .sampling = {.top_p = 1}};
    or_request wrong[10];
    for (size_t i = 0; i < 10; i++) wrong[i] = good;
    wrong[0].tokens = outside;
    wrong[1].forced = outside;
    wrong[2].exits = exits;
    wrong[3].exits = early;
    wrong[4].policy = POLICIES;
    wrong[5].policy = -2;
    wrong[6].kv = OR_KV_POLICIES;
    wrong[7].sampling.temperature = -1;
    wrong[8].sampling.top_p = 0;
    wrong[9].choices = outside;
    wrong[9].n_choices = 2;
    for (size_t i = 0; i < 10; i++) {
        or_buffer bytes = {0};
        or_request *came;
        size_t used;
        assert_ok(or_request_encode(&wrong[i], &bytes));
        assert_fails(or_request_decode(bytes.data, bytes.size, &limits, &used, &came), OR_ERR_PEER,
                     "request from rank 0 refused");
        or_buffer_free(&bytes);
    }
    or_request_limits small = limits;
    or_buffer bytes = {0};
    or_request *came;
    size_t used;
    assert_ok(or_request_encode(&good, &bytes));
    assert_ok(or_request_decode(bytes.data, bytes.size, &limits, &used, &came));
    free(came);
    small.room = 4; /* three tokens, and two behind them */
    assert_fails(or_request_decode(bytes.data, bytes.size, &small, &used, &came), OR_ERR_PEER, "another job");
    small.room = 0; /* that pipeline only scores */
    assert_fails(or_request_decode(bytes.data, bytes.size, &small, &used, &came), OR_ERR_PEER, "another job");
    or_buffer_free(&bytes);
}

/* ---- news --------------------------------------------------------------------------------------------- */

static or_news make_news(uint64_t *seed, or_observation *seen)
{
    or_news news = {.kind = (or_news_kind)below(seed, 4), .request = below(seed, 1000)};
    if (news.kind == OR_NEWS_ANSWER) {
        news.answer.exit = (or_observation){
            .layer = 1 + (int32_t)below(seed, LAYERS), .token = (int32_t)below(seed, VOCAB), .gap = 0.25f};
        news.answer.choice = (int32_t)below(seed, 4) - 1;
        news.answer.n_best = (int)below(seed, OR_BEST + 1);
        for (int i = 0; i < news.answer.n_best; i++)
            news.answer.best[i] = (or_token_logit){(int32_t)below(seed, VOCAB), 1.5f};
        for (int l = 0; l < LAYERS; l++)
            seen[l] = (or_observation){.layer = l + 1, .token = (int32_t)below(seed, VOCAB)};
        if (below(seed, 2)) news.answer.seen = seen;
    } else if (news.kind == OR_NEWS_TOKEN) {
        news.token = (or_token){.token = (int32_t)below(seed, VOCAB),
                                .exit_layer = 1 + (int32_t)below(seed, LAYERS),
                                .logprob = -0.5f,
                                .n_best = 2,
                                .best = {{7, 2}, {8, 1}}};
    } else if (news.kind == OR_NEWS_FAULT) {
        news.fault = 1 + (int32_t)below(seed, LAYERS);
    } else {
        news.why = (or_finish)below(seed, 3);
    }
    return news;
}

static void assert_news(const or_news *a, const or_news *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->request, b->request);
    if (a->kind == OR_NEWS_TOKEN) assert_memory_equal(&a->token, &b->token, sizeof a->token);
    if (a->kind == OR_NEWS_FINISH) assert_int_equal(a->why, b->why);
    if (a->kind == OR_NEWS_FAULT) assert_int_equal(a->fault, b->fault);
    if (a->kind != OR_NEWS_ANSWER) return;
    assert_memory_equal(&a->answer.exit, &b->answer.exit, sizeof a->answer.exit);
    assert_int_equal(a->answer.choice, b->answer.choice);
    assert_int_equal(a->answer.n_best, b->answer.n_best);
    assert_memory_equal(a->answer.best, b->answer.best, sizeof a->answer.best);
    assert_int_equal(a->answer.seen != NULL, b->answer.seen != NULL);
    if (a->answer.seen)
        assert_memory_equal(a->answer.seen, b->answer.seen,
                            (size_t)a->answer.exit.layer * sizeof *a->answer.seen);
}

static void news_come_as_they_went(void **state)
{
    (void)state;
    enum { MANY = 300 };
    static or_observation kept[MANY][LAYERS];
    or_observation seen[LAYERS];
    static or_news sent[MANY];
    or_buffer bytes = {0};
    uint64_t seed = 11;
    size_t at = 0, used;
    for (size_t i = 0; i < MANY; i++) {
        sent[i] = make_news(&seed, kept[i]);
        assert_ok(or_news_encode(&sent[i], &bytes));
    }
    for (size_t i = 0; i < MANY; i++, at += used) {
        or_news came;
        assert_ok(or_news_decode(bytes.data + at, bytes.size - at, &limits, &used, seen, &came));
        assert_news(&sent[i], &came);
    }
    assert_int_equal(at, bytes.size);
    or_buffer_free(&bytes);
}

static void damaged_news_are_refused(void **state)
{
    (void)state;
    uint64_t seed = 13;
    size_t used;
    or_news came;
    for (int round = 0; round < 200; round++) {
        or_observation made[LAYERS], seen[LAYERS];
        or_buffer bytes = {0};
        const or_news news = make_news(&seed, made);
        assert_ok(or_news_encode(&news, &bytes));
        for (size_t size = 0; size < bytes.size; size++) {
            char *part = copy_of(bytes.data, size);
            assert_fails(or_news_decode(part, size, &limits, &used, seen, &came), OR_ERR_PEER, "refused");
            free(part);
        }
        for (int damage = 0; damage < 100; damage++) {
            char *broken = copy_of(bytes.data, bytes.size);
            broken[below(&seed, (uint32_t)bytes.size)] = (char)random_bits(&seed);
            if (or_news_decode(broken, bytes.size, &limits, &used, seen, &came) == OR_OK) {
                assert_true(used <= bytes.size);
                if (came.kind == OR_NEWS_ANSWER)
                    assert_true(came.answer.exit.layer >= 1 && came.answer.exit.layer <= LAYERS &&
                                came.answer.exit.token >= 0 && came.answer.exit.token < VOCAB &&
                                came.answer.n_best <= OR_BEST);
                if (came.kind == OR_NEWS_TOKEN)
                    assert_true(came.token.exit_layer >= 1 && came.token.exit_layer <= LAYERS &&
                                came.token.token >= 0 && came.token.token < VOCAB &&
                                came.token.n_best <= OR_BEST);
                if (came.kind == OR_NEWS_FAULT) assert_true(came.fault >= 1 && came.fault <= LAYERS);
            }
            free(broken);
        }
        or_buffer_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_as_they_went), cmocka_unit_test(damaged_requests_are_refused),
        cmocka_unit_test(wrong_requests_are_refused), cmocka_unit_test(news_come_as_they_went),
        cmocka_unit_test(damaged_news_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
