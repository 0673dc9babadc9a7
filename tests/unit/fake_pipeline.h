/* fake_pipeline.h - stages that run riders of the schedule through a model that is a pure function; no
 * waves, no MPI.
 *
 *   push -> queue of stage 0 -> queue of stage 1 -> ...        one rider at a time, in the order in which they came
 *              |                   |
 *              records             records                     of a stage in order, of different stages in any
 *
 * A row's "hidden state" is the hash of all tokens up to it. A layer makes it from the row's token and from
 * what it finds in its cells ("keys and values") at all positions before, and puts it into its own. So
 * whatever goes wrong with pages, rows that wait, or dropped drafts gives another hash, and with it another
 * token. Stages do with riders what src/pipeline/stage.c and ramp.c do, in the plainest way.
 */
#ifndef OFFRAMP_TESTS_FAKE_PIPELINE_H
#define OFFRAMP_TESTS_FAKE_PIPELINE_H

#include "support.h"

#include "schedule.h"

enum {
    FAKE_STAGES = 4,
    FAKE_LAYERS = 7,
    FAKE_PAGES = 14,
    FAKE_SLOTS = 6,
    FAKE_VOCAB = 32,
    FAKE_QUEUE = 64, /* riders in a stage's queue */
    FAKE_ROWS = 150  /* tokens of a prompt and its continuation at most */
};

/* ---- the model ---------------------------------------------------------------------------------------- */

/* `before`: sum over all positions before, of their hashes times their place. */
static inline uint64_t fake_hash(int32_t token, uint64_t before)
{
    uint64_t z = before + ((uint64_t)token + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline uint64_t fake_add(uint64_t before, int32_t position, uint64_t hash)
{
    return before + hash * (2 * (uint64_t)position + 1);
}

/* The token behind a prefix with this hash. */
static inline int32_t fake_token(uint64_t hash)
{
    return (int32_t)(hash % FAKE_VOCAB);
}

/* The layer after which it leaves with a policy, 1..n_layers. */
static inline int fake_exit(uint64_t hash, int n_layers)
{
    return 1 + (int)((hash >> 16) % (unsigned)n_layers);
}

/* What an early layer takes for the token under verify: wrong in `wrong` of 8 cases. */
static inline int32_t fake_draft(uint64_t hash, unsigned wrong)
{
    const bool is_wrong = (hash >> 32) % 8 < wrong;
    return (fake_token(hash) + (is_wrong ? 1 + (int32_t)((hash >> 40) % 3) : 0)) % FAKE_VOCAB;
}

/* The layer after which the row's numbers are not finite, in `faulty` of 64 cases; 0: they always are.
 * Unlike those of a real model, its faults do not spread to the rows behind it. */
static inline int fake_fault(uint64_t hash, unsigned faulty, int n_layers)
{
    return (hash >> 44) % 64 < faulty ? 1 + (int)((hash >> 50) % (unsigned)n_layers) : 0;
}

/* ---- the stages --------------------------------------------------------------------------------------- */

typedef struct fake_row {
    int32_t token, position;
    int depth; /* layers that it went through */
    uint64_t hash;
} fake_row;

typedef struct fake_rider {
    or_rider rider;
    int32_t pages[FAKE_PAGES];
    fake_row rows[FAKE_ROWS], ghosts[FAKE_ROWS];
} fake_rider;

typedef struct fake_stage {
    int first, last; /* layers [first, last) */
    fake_rider *queue[FAKE_QUEUE];
    size_t n_queue;
    or_record records[FAKE_QUEUE * 4];
    size_t n_records;
    uint64_t sequences[FAKE_SLOTS];
    int32_t done[FAKE_SLOTS][FAKE_LAYERS + 1]; /* by layer - first */
    fake_row waiting[FAKE_PAGES][OR_PAGE];
} fake_stage;

typedef struct fake_pipeline {
    int n_stages, n_layers;
    unsigned wrong;  /* see fake_draft() */
    unsigned faulty; /* see fake_fault() */
    fake_stage stages[FAKE_STAGES];
    uint64_t cells[FAKE_LAYERS][FAKE_PAGES][OR_PAGE];
} fake_pipeline;

static inline void fake_push(fake_stage *stage, fake_rider *rider)
{
    assert_true(stage->n_queue < FAKE_QUEUE);
    stage->queue[stage->n_queue++] = rider;
}

/* The first record of a stage. */
static inline or_record fake_pop_record(fake_stage *stage)
{
    const or_record record = stage->records[0];
    memmove(stage->records, stage->records + 1, --stage->n_records * sizeof record);
    return record;
}

static inline fake_row *fake_waiting(fake_stage *stage, const fake_rider *r, int32_t position)
{
    return &stage->waiting[r->pages[position / OR_PAGE]][position % OR_PAGE];
}

static inline void fake_arrive(fake_stage *stage, fake_rider *r)
{
    or_step *step = &r->rider.step;
    const int32_t first = step->position - step->ghosts;
    const bool begins = stage->sequences[step->slot] != step->sequence;
    for (int l = 0; l <= stage->last - stage->first; l++) {
        int32_t *done = &stage->done[step->slot][l];
        if (begins || *done > first) *done = first;
    }
    stage->sequences[step->slot] = step->sequence;
    for (int32_t i = 0; i < step->ghosts; i++) *fake_waiting(stage, r, first + i) = r->ghosts[i];
    step->ghosts = 0;
}

/* Rows that wait before `layer` (stage->last: before the next stage) join the rider, or are projected. */
static inline void fake_join(fake_pipeline *p, fake_stage *stage, fake_rider *r, int layer)
{
    or_step *step = &r->rider.step;
    int32_t *done = &stage->done[step->slot][layer - stage->first];
    const int32_t count = step->position - *done, from = *done;
    const bool projected = step->kv == OR_KV_PROPAGATE;
    assert_true(count >= 0); /* a stage has no rows behind those that come, unless these were dropped */
    *done = step->position + r->rider.rows;
    if (!projected) memmove(r->rows + count, r->rows, (size_t)r->rider.rows * sizeof *r->rows);
    for (int32_t i = 0; i < count; i++) {
        const fake_row row = *fake_waiting(stage, r, from + i);
        assert_int_equal(row.position, from + i);
        assert_true(projected ? row.depth <= layer : row.depth == layer); /* it waits where it left */
        if (!projected)
            r->rows[i] = row;
        else if (layer < stage->last)
            p->cells[layer][r->pages[row.position / OR_PAGE]][row.position % OR_PAGE] = row.hash;
        else
            r->ghosts[i] = row;
    }
    if (projected) {
        step->ghosts = layer == stage->last ? count : 0;
    } else {
        step->position -= count;
        r->rider.rows += count;
    }
}

static inline void fake_layer(fake_pipeline *p, fake_rider *r, int layer)
{
    uint64_t before = 0;
    int32_t position = 0;
    for (int32_t i = 0; i < r->rider.rows; i++) {
        fake_row *row = &r->rows[i];
        assert_int_equal(row->position, r->rider.step.position + i);
        assert_int_equal(row->depth, layer);
        for (; position < row->position; position++)
            before =
                fake_add(before, position, p->cells[layer][r->pages[position / OR_PAGE]][position % OR_PAGE]);
        row->hash = fake_hash(row->token, before);
        row->depth++;
        p->cells[layer][r->pages[position / OR_PAGE]][position % OR_PAGE] = row->hash;
    }
}

static inline or_record *fake_record(fake_stage *stage, const fake_rider *r, const fake_row *row, int kind)
{
    or_record *record = &stage->records[stage->n_records++];
    assert_true(stage->n_records <= sizeof stage->records / sizeof *stage->records);
    *record = (or_record){
        .index = r->rider.index,
        .sequence = r->rider.step.sequence,
        .slot = r->rider.step.slot,
        .kind = kind,
        .leaves = 1,
        .position = row->position,
        .round = r->rider.step.round,
        .drawn = fake_token(row->hash),
        .seen = {.layer = row->depth, .top_prob = (float)row->depth, .gap = (float)(row->hash % 1000)},
        .logprob = (float)(row->hash % 999),
    };
    return record;
}

/* Of a row that says no token. */
static inline void fake_lose(or_record *record, int fault)
{
    record->fault = fault;
    record->drawn = 0;
    record->logprob = record->seen.top_prob = record->seen.gap = 0;
}

/* Whether the rider leaves behind a layer since a row that is asked is lost there. Under verify it goes on,
 * and leaves no draft. */
static inline bool fake_lost(const fake_pipeline *p, fake_stage *stage, fake_rider *r)
{
    or_step *step = &r->rider.step;
    const fake_row *last = &r->rows[r->rider.rows - 1];
    bool lost = false;
    for (int32_t i = 0; i < r->rider.rows; i++) {
        const int fault = fake_fault(r->rows[i].hash, p->faulty, p->n_layers);
        lost |= r->rows[i].position >= step->asks && fault > 0 && r->rows[i].depth >= fault;
    }
    if (!lost) return false;
    step->exits_at = 0;
    r->rider.policy = -1;
    if (step->kv != OR_KV_VERIFY) fake_lose(fake_record(stage, r, last, OR_RECORD_ANSWER), last->depth);
    return step->kv != OR_KV_VERIFY;
}

/* Whether the rider, all of its rows, leaves at the ramp behind a layer before the last. */
static inline bool fake_ramp(const fake_pipeline *p, fake_stage *stage, fake_rider *r)
{
    or_step *step = &r->rider.step;
    const fake_row *row = &r->rows[r->rider.rows - 1];
    if (step->asks > row->position) return false;
    const int exit = step->exits_at > 0     ? step->exits_at
                     : r->rider.policy >= 0 ? fake_exit(row->hash, p->n_layers)
                                            : p->n_layers;
    if (row->depth != exit) return false;
    or_record *record = fake_record(stage, r, row, OR_RECORD_ANSWER);
    if (step->kv == OR_KV_VERIFY) {
        record->kind = OR_RECORD_DRAFT;
        record->drawn = fake_draft(row->hash, p->wrong);
        record->leaves = !step->pushed;
    }
    if (!record->leaves) {
        step->drafted = 1;
        step->exits_at = 0;
        r->rider.policy = -1;
        return false;
    }
    for (int32_t i = 0; i < r->rider.rows; i++) *fake_waiting(stage, r, r->rows[i].position) = r->rows[i];
    return true;
}

static inline void fake_finish(const fake_pipeline *p, fake_stage *stage, const fake_rider *r)
{
    const or_step *step = &r->rider.step;
    const int32_t last = r->rider.rows - 1;
    if (step->asks > r->rows[last].position) {
        fake_record(stage, r, &r->rows[last], OR_RECORD_SILENT);
        return;
    }
    for (int32_t i = 0; i <= last; i++) {
        if (r->rows[i].position < step->asks) continue;
        or_record *record = fake_record(stage, r, &r->rows[i],
                                        step->kv == OR_KV_VERIFY ? OR_RECORD_VERDICT : OR_RECORD_ANSWER);
        record->leaves = i == last;
        record->drafted = record->kind == OR_RECORD_VERDICT && (i < last || step->drafted);
        const int fault = fake_fault(r->rows[i].hash, p->faulty, p->n_layers);
        if (fault > 0) fake_lose(record, fault);
    }
}

/* Runs the first rider of a stage's queue: it leaves, or goes to the next queue. */
static inline void fake_run(fake_pipeline *p, int s)
{
    fake_stage *stage = &p->stages[s];
    fake_rider *r = stage->queue[0];
    bool leaves = false;
    memmove(stage->queue, stage->queue + 1, --stage->n_queue * sizeof r);
    fake_arrive(stage, r);
    for (int layer = stage->first; layer < stage->last && !leaves; layer++) {
        fake_join(p, stage, r, layer);
        fake_layer(p, r, layer);
        leaves = fake_lost(p, stage, r) || (layer + 1 < p->n_layers && fake_ramp(p, stage, r));
    }
    if (!leaves && stage->last < p->n_layers) {
        fake_join(p, stage, r, stage->last);
        fake_push(&p->stages[s + 1], r);
        return;
    }
    if (!leaves) fake_finish(p, stage, r);
    free(r);
}

#endif
