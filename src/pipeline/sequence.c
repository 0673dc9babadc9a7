/* sequence.c - what is known of one continuation. Token i of it follows position n_tokens - 1 + i. */
#include "sequence.h"

#include <string.h>

or_status or_sequence_new(size_t index, const or_request *request, int32_t n_pages, int32_t n_shared,
                          or_sequence **sequence)
{
    or_sequence *q = NULL;
    or_status status = OR_NEW(q, 1);
    OR_TRY_GOTO(done, status);
    q->index = index;
    q->request = *request;
    q->n_pages = n_pages;
    q->n_shared = n_shared;
    q->known = (int32_t)request->n_tokens;
    OR_TRY_GOTO(done, OR_NEW(q->tokens, request->n_tokens + request->max_tokens));
    OR_TRY_GOTO(done, OR_NEW(q->pages, (size_t)n_pages));
    OR_TRY_GOTO(done, OR_NEW(q->pending, request->max_tokens));
    memcpy(q->tokens, request->tokens, request->n_tokens * sizeof *q->tokens);
    *sequence = q;
done:
    if (status != OR_OK) or_sequence_free(q);
    return status;
}

void or_sequence_free(or_sequence *q)
{
    if (!q) return;
    free(q->tokens);
    free(q->pages);
    free(q->pending);
    free(q);
}

static bool verifies(const or_sequence *q)
{
    return q->request.kv == OR_KV_VERIFY;
}

static int32_t last_prompt(const or_sequence *q)
{
    return (int32_t)q->request.n_tokens - 1;
}

static bool is_end(const or_sequence *q, int32_t token)
{
    for (size_t i = 0; i < q->request.n_ends && !q->request.forced; i++)
        if (q->request.ends[i] == token) return true;
    return false;
}

/* ---- what is fed -------------------------------------------------------------------------------------- */

/* The last row's token is not asked for: all tokens are known. */
static bool is_complete(const or_sequence *q)
{
    return (size_t)q->known == q->request.n_tokens + q->request.max_tokens;
}

bool or_sequence_waits(const or_sequence *q)
{
    if (q->again) return true;
    if (q->fed >= q->known || is_complete(q)) return false;
    if (!verifies(q) || q->known == (int32_t)q->request.n_tokens) return true;
    const int32_t drafts = q->known - (int32_t)q->request.n_tokens - q->given;
    return drafts < OR_DRAFTS_MOST && !is_end(q, q->tokens[q->known - 1]);
}

/* Where the next rider's rows end. A prefix that others will use is run to the full depth by itself, so
 * that all layers have it; and under propagate the prompt before its last row, which alone may exit. */
static int32_t rows_end(const or_sequence *q)
{
    const int32_t shared = q->n_shared * OR_PAGE;
    if (q->fed < shared) return shared;
    if (q->request.kv == OR_KV_PROPAGATE && q->fed < last_prompt(q)) return last_prompt(q);
    return q->known;
}

/* The step of a row whose token is wanted. A rider knows the token that is followed behind its last row
 * alone, so where one is, no draft waits for the rider of another. */
static void ask(const or_sequence *q, or_rider *rider)
{
    const int32_t last = rider->step.position + rider->rows - 1, token = last - last_prompt(q);
    or_step *step = &rider->step;
    rider->policy = q->again ? -1 : q->request.policy;
    step->asks = verifies(q) ? last_prompt(q) : last;
    step->sampling = q->request.sampling;
    step->likeliest = q->request.likeliest;
    if (q->request.forced) step->target = q->request.forced[token];
    if (q->request.exits && !q->again) step->exits_at = q->request.exits[token];
    step->pushed = verifies(q) && !q->again &&
                   (q->request.forced || q->unpushed + 1 >= OR_DRAFTS_PUSHED ||
                    (size_t)token + 1 == q->request.max_tokens);
}

bool or_sequence_next(const or_sequence *q, const or_pages *pages, int32_t most, or_feed *feed)
{
    if (!or_sequence_waits(q)) return false;
    for (int32_t i = 0; i < q->n_found; i++)
        if (!pages->pages[q->pages[i]].fed) return false;
    const int32_t from = q->again ? q->fed - 1 : q->fed, wanted = q->again ? q->fed : rows_end(q);
    const int32_t end = wanted - from > most ? from + most : wanted;
    *feed = (or_feed){
        .rider = {.index = q->index, .rows = end - from, .policy = -1, .state = OR_RAMP_STATE_START},
        .tokens = q->tokens + from,
        .pages = q->pages,
    };
    feed->rider.step = (or_step){
        .sequence = q->number,
        .slot = q->slot,
        .position = from,
        .n_pages = (end + OR_PAGE - 1) / OR_PAGE,
        .asks = INT32_MAX,
        .kv = (int32_t)q->request.kv,
        .target = -1,
        .round = q->round,
        .sampling = {.top_p = 1},
    };
    if (end == q->known || q->again) ask(q, &feed->rider);
    return true;
}

void or_sequence_feed(or_sequence *q, or_pages *pages, const or_feed *feed)
{
    q->fed = feed->rider.step.position + feed->rider.rows;
    for (int32_t i = q->n_found; i < q->n_shared && (i + 1) * OR_PAGE <= q->fed; i++)
        pages->pages[q->pages[i]].fed = true;
    if (feed->rider.step.asks == INT32_MAX) return;
    q->unpushed = feed->rider.step.pushed || q->again ? 0 : q->unpushed + 1;
    q->again = false;
}

/* ---- what comes back ---------------------------------------------------------------------------------- */

static or_token token_of(const or_record *record)
{
    or_token token = {
        .token = record->drawn,
        .exit_layer = record->seen.layer,
        .top_prob = record->seen.top_prob,
        .gap = record->seen.gap,
        .logprob = record->logprob,
        .logsumexp = record->logsumexp,
        .n_best = record->n_best,
    };
    memcpy(token.best, record->best, sizeof token.best);
    return token;
}

/* The token behind the last known one: drawn, or the one that is to be followed. */
static void learn(or_sequence *q, int32_t drawn)
{
    const int32_t token = q->known - (int32_t)q->request.n_tokens;
    q->tokens[q->known++] = q->request.forced ? q->request.forced[token] : drawn;
}

/* A draft that ends the continuation has nothing behind it that would bring its verdict: its row is run
 * again. */
static void take_draft(or_sequence *q, or_pending *pending, const or_record *record)
{
    pending->draft = token_of(record);
    pending->has_draft = true;
    learn(q, record->drawn);
    q->again = record->leaves && is_end(q, q->tokens[q->known - 1]);
}

/* Whether a record of this round can be. Tokens become known one after the other, so a draft is always of
 * the row behind which none is known yet. */
static bool is_expected(const or_sequence *q, const or_record *record)
{
    if (record->kind == OR_RECORD_SILENT) return record->leaves;
    if (record->position < last_prompt(q) || record->position >= q->fed) return false;
    if (record->kind == OR_RECORD_DRAFT) return verifies(q) && record->position == q->known - 1;
    if (q->pending[record->position - last_prompt(q)].has_final) return false;
    if (record->kind == OR_RECORD_VERDICT) return verifies(q);
    return record->kind == OR_RECORD_ANSWER && !verifies(q) && record->leaves;
}

or_status or_sequence_take(or_sequence *q, const or_record *record)
{
    if (record->round != q->round) return OR_OK;
    if (!is_expected(q, record))
        return or_fail(OR_ERR_PEER, "unexpected record", NULL, "of kind %d, request %zu, position %d",
                       record->kind, q->index, record->position);
    if (record->kind == OR_RECORD_SILENT) return OR_OK;
    or_pending *pending = &q->pending[record->position - last_prompt(q)];
    if (record->kind == OR_RECORD_DRAFT) {
        take_draft(q, pending, record);
        return OR_OK;
    }
    if (record->kind == OR_RECORD_VERDICT && record->position == q->fed - 1) q->unpushed = 0;
    pending->final = token_of(record);
    pending->fault = record->fault;
    pending->has_final = true;
    pending->expects_draft = record->drafted;
    return OR_OK;
}

/* The draft was wrong: its token and all behind it are forgotten. */
static void roll_back(or_sequence *q, int32_t drawn)
{
    const int32_t kept = (int32_t)q->request.n_tokens + q->given;
    for (int32_t i = q->given + 1; i < q->known - (int32_t)q->request.n_tokens; i++)
        q->pending[i] = (or_pending){0};
    q->known = q->fed = kept;
    q->round++;
    q->unpushed = 0;
    q->again = false;
    learn(q, drawn);
}

/* What is known of the next token, when it is final. Verdicts come in the order of their positions, drafts in
 * that of theirs; a draft's record may come after its verdict, from another rank, and is waited for, since it
 * says where the token left. */
static const or_pending *next_final(const or_sequence *q)
{
    if ((size_t)q->given == q->request.max_tokens) return NULL;
    const or_pending *pending = &q->pending[q->given];
    return pending->has_final && (!pending->expects_draft || pending->has_draft) ? pending : NULL;
}

const or_pending *or_sequence_lost(const or_sequence *q)
{
    const or_pending *pending = next_final(q);
    return pending && pending->fault > 0 ? pending : NULL;
}

bool or_sequence_settle(or_sequence *q, or_run_stats *stats, or_token *token)
{
    const or_pending *pending = next_final(q);
    if (!pending || pending->fault > 0) return false;
    const bool drafted = pending->has_draft,
               confirmed = drafted && pending->draft.token == pending->final.token;
    *token = confirmed ? pending->draft : pending->final;
    stats->drafts += drafted;
    stats->drafts_replaced += drafted && !confirmed;
    if (!drafted)
        learn(q, token->token);
    else if (!confirmed && !q->request.forced)
        roll_back(q, token->token);
    q->given++;
    return true;
}

bool or_sequence_ended(const or_sequence *q)
{
    return is_end(q, q->tokens[last_prompt(q) + q->given]);
}
