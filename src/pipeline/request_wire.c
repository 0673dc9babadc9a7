/* request_wire.c - requests and news as bytes. Heads are copied out before they are looked at, since nothing
 * is aligned in a message. */
#include "request_wire.h"

#include "sample.h"

#include <string.h>

/* ---- requests ----------------------------------------------------------------------------------------- */

typedef struct request_head {
    uint64_t n_tokens, n_choices, n_ends, max_tokens, n_shared;
    or_sampling sampling;
    int32_t policy, observe, kv, likeliest;
    int32_t has_forced, has_exits;
} request_head;

/* Numbers in a list of exits: one for each token that is wanted. */
static size_t exits_of(uint64_t max_tokens)
{
    return max_tokens > 0 ? max_tokens : 1;
}

static request_head head_of(const or_request *request)
{
    return (request_head){
        .n_tokens = request->n_tokens,
        .n_choices = request->n_choices,
        .n_ends = request->n_ends,
        .max_tokens = request->max_tokens,
        .n_shared = request->n_shared,
        .sampling = request->sampling,
        .policy = request->policy,
        .observe = request->observe,
        .kv = (int32_t)request->kv,
        .likeliest = request->likeliest,
        .has_forced = request->forced != NULL,
        .has_exits = request->exits != NULL,
    };
}

static or_status put_list(or_buffer *out, const int32_t *list, size_t count)
{
    return list && count > 0 ? or_buffer_append(out, list, count * sizeof *list) : OR_OK;
}

or_status or_request_encode(const or_request *request, or_buffer *out)
{
    const request_head head = head_of(request);
    OR_TRY(or_buffer_append(out, &head, sizeof head));
    OR_TRY(put_list(out, request->tokens, request->n_tokens));
    OR_TRY(put_list(out, request->choices, request->n_choices));
    OR_TRY(put_list(out, request->ends, request->n_ends));
    OR_TRY(put_list(out, request->forced, request->max_tokens));
    return put_list(out, request->exits, exits_of(request->max_tokens));
}

static bool is_flag(int32_t value)
{
    return value == 0 || value == 1;
}

/* What is no list. A scored prompt has none of what continuations have; a count that lies is found by the
 * size. */
static bool head_fits(const request_head *head, const or_request_limits *limits)
{
    const size_t most = head->max_tokens > 0 ? limits->room : limits->longest;
    if (head->n_tokens < 1 || head->n_tokens > most || head->max_tokens > most - head->n_tokens) return false;
    if (head->policy < -1 || (head->policy >= 0 && (size_t)head->policy >= limits->n_policies)) return false;
    return head->kv >= 0 && head->kv < OR_KV_POLICIES && is_flag(head->observe) && is_flag(head->likeliest) &&
           is_flag(head->has_forced) && is_flag(head->has_exits) &&
           (head->max_tokens == 0 || or_sampling_check(&head->sampling, NULL) == OR_OK);
}

/* Numbers in all lists; false when they cannot be in `bytes` bytes. */
static bool count_numbers(const request_head *head, size_t bytes, size_t *count)
{
    const size_t most = bytes / sizeof(int32_t);
    if (head->n_tokens > most || head->n_choices > most || head->n_ends > most ||
        head->max_tokens > SIZE_MAX / 8)
        return false;
    *count = head->n_tokens + head->n_choices + head->n_ends + (head->has_forced ? head->max_tokens : 0) +
             (head->has_exits ? exits_of(head->max_tokens) : 0);
    return *count <= most;
}

static bool all_within(const int32_t *list, size_t count, int32_t low, int32_t high)
{
    for (size_t i = 0; list && i < count; i++)
        if (list[i] < low || list[i] > high) return false;
    return true;
}

static bool lists_fit(const or_request *request, const or_request_limits *limits)
{
    const int32_t last = limits->n_vocab - 1;
    return all_within(request->tokens, request->n_tokens, 0, last) &&
           all_within(request->choices, request->n_choices, 0, last) &&
           all_within(request->forced, request->max_tokens, 0, last) &&
           all_within(request->exits, exits_of(request->max_tokens), 1, limits->n_layers);
}

/* The next `count` numbers of a block; NULL where there are none. */
static const int32_t *next_list(const int32_t **at, size_t count)
{
    const int32_t *list = count > 0 ? *at : NULL;
    *at += count;
    return list;
}

/* `numbers` are those of the lists, in their order. */
static or_request request_of(const request_head *head, const int32_t *numbers)
{
    or_request request = {
        .n_tokens = head->n_tokens,
        .policy = head->policy,
        .observe = head->observe,
        .n_choices = head->n_choices,
        .max_tokens = head->max_tokens,
        .kv = (or_kv_policy)head->kv,
        .sampling = head->sampling,
        .likeliest = head->likeliest,
        .n_ends = head->n_ends,
        .n_shared = head->n_shared,
    };
    request.tokens = next_list(&numbers, head->n_tokens);
    request.choices = next_list(&numbers, head->n_choices);
    request.ends = next_list(&numbers, head->n_ends);
    request.forced = next_list(&numbers, head->has_forced ? head->max_tokens : 0);
    request.exits = next_list(&numbers, head->has_exits ? exits_of(head->max_tokens) : 0);
    return request;
}

/* Nothing is reserved before the sizes are known to be true. */
or_status or_request_decode(const char *bytes, size_t size, const or_request_limits *limits, size_t *used,
                            or_request **out)
{
    const char *what = "request from rank 0 refused";
    request_head head;
    size_t count;
    char *block;
    if (size < sizeof head) return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, expected a head", size);
    memcpy(&head, bytes, sizeof head);
    if (!head_fits(&head, limits))
        return or_fail(OR_ERR_PEER, what, NULL,
                       "its head is of another job, do all ranks run the same command?");
    if (!count_numbers(&head, size - sizeof head, &count))
        return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, its head asks for more", size);
    OR_TRY(OR_NEW(block, sizeof **out + count * sizeof(int32_t)));
    memcpy(block + sizeof **out, bytes + sizeof head, count * sizeof(int32_t));
    or_request *request = (or_request *)(void *)block;
    *request = request_of(&head, (const int32_t *)(const void *)(block + sizeof **out));
    if (!lists_fit(request, limits)) {
        free(block);
        return or_fail(OR_ERR_PEER, what, NULL, "it has tokens or layers that this model does not have");
    }
    *used = sizeof head + count * sizeof(int32_t);
    *out = request;
    return OR_OK;
}

/* ---- news --------------------------------------------------------------------------------------------- */

typedef struct news_head {
    uint64_t request;
    int32_t kind;
    int32_t n_seen; /* observations behind an answer */
} news_head;

/* Bytes behind the head, without observations; 0 for a kind that there is not. */
static size_t body_size(int32_t kind)
{
    switch (kind) {
    case OR_NEWS_ANSWER:
        return sizeof(or_answer);
    case OR_NEWS_TOKEN:
        return sizeof(or_token);
    case OR_NEWS_FINISH:
        return sizeof(or_finish);
    case OR_NEWS_FAULT:
        return sizeof(int32_t);
    }
    return 0;
}

/* Where the body is. */
static void *body_of(or_news *news)
{
    switch (news->kind) {
    case OR_NEWS_ANSWER:
        return &news->answer;
    case OR_NEWS_TOKEN:
        return &news->token;
    case OR_NEWS_FINISH:
        return &news->why;
    case OR_NEWS_FAULT:
        return &news->fault;
    }
    return NULL;
}

/* The pointer of an answer means nothing elsewhere. */
or_status or_news_encode(const or_news *news, or_buffer *out)
{
    const or_answer *answer = &news->answer;
    const bool observed = news->kind == OR_NEWS_ANSWER && answer->seen;
    const news_head head = {news->request, (int32_t)news->kind, observed ? answer->exit.layer : 0};
    or_news sent = *news;
    sent.answer.seen = NULL;
    OR_TRY(or_buffer_append(out, &head, sizeof head));
    OR_TRY(or_buffer_append(out, body_of(&sent), body_size(head.kind)));
    return observed ? or_buffer_append(out, answer->seen, (size_t)head.n_seen * sizeof *answer->seen) : OR_OK;
}

static bool is_token(int32_t token, const or_request_limits *limits)
{
    return token >= 0 && token < limits->n_vocab;
}

static bool is_layer(int32_t layer, const or_request_limits *limits)
{
    return layer >= 1 && layer <= limits->n_layers;
}

static bool best_fits(const or_token_logit *best, int n_best, const or_request_limits *limits)
{
    if (n_best < 0 || n_best > OR_BEST) return false;
    for (int i = 0; i < n_best; i++)
        if (!is_token(best[i].token, limits)) return false;
    return true;
}

static bool answer_fits(const or_answer *answer, int32_t n_seen, const or_request_limits *limits)
{
    if (!is_layer(answer->exit.layer, limits) || (n_seen != 0 && n_seen != answer->exit.layer)) return false;
    return is_token(answer->exit.token, limits) && answer->choice >= -1 &&
           best_fits(answer->best, answer->n_best, limits);
}

static bool news_fit(const or_news *news, int32_t n_seen, const or_request_limits *limits)
{
    if (news->kind == OR_NEWS_ANSWER) return answer_fits(&news->answer, n_seen, limits);
    if (n_seen != 0) return false;
    if (news->kind == OR_NEWS_FAULT) return is_layer(news->fault, limits);
    if (news->kind == OR_NEWS_TOKEN)
        return is_token(news->token.token, limits) && is_layer(news->token.exit_layer, limits) &&
               best_fits(news->token.best, news->token.n_best, limits);
    return news->why == OR_FINISH_LENGTH || news->why == OR_FINISH_END || news->why == OR_FINISH_STOP;
}

or_status or_news_decode(const char *bytes, size_t size, const or_request_limits *limits, size_t *used,
                         or_observation *seen, or_news *news)
{
    const char *what = "answer from another pipeline refused";
    news_head head;
    if (size < sizeof head) return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, expected a head", size);
    memcpy(&head, bytes, sizeof head);
    const size_t body = body_size(head.kind);
    if (body == 0 || head.n_seen < 0 || head.n_seen > limits->n_layers)
        return or_fail(OR_ERR_PEER, what, NULL, "kind %d with %d observations", head.kind, head.n_seen);
    const size_t all = sizeof head + body + (size_t)head.n_seen * sizeof *seen;
    if (size < all)
        return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, its head asks for %zu", size, all);
    *news = (or_news){.kind = (or_news_kind)head.kind, .request = head.request};
    memcpy(body_of(news), bytes + sizeof head, body);
    memcpy(seen, bytes + sizeof head + body, all - sizeof head - body);
    news->answer.seen = head.n_seen > 0 ? seen : NULL;
    if (!news_fit(news, head.n_seen, limits))
        return or_fail(OR_ERR_PEER, what, NULL, "it has tokens or layers that this model does not have");
    *used = all;
    return OR_OK;
}
