/* ramps.c - which layers get a ramp.
 *
 * A ramp is paid by every request that is still there and repaid by those that leave at it; with a shortlist
 * the first one is dearer than the others. And a ramp less is one chance less to leave wrongly, which lets
 * the threshold of the others fall. So a set of ramps is worth what the recorded requests take under the
 * lowest threshold that the set may have: the rule is that of calibrate.c, on some hundred thresholds, the
 * levels.
 *
 *   level      0 is never (INFINITY), 1 the strictest, the last the laxest
 *   first      of an instance and a ramp: the strictest level at which the instance would leave there
 *
 *     ramps of the set   first      the instance leaves there at the levels
 *           3              40       40 ..
 *           5              55       none, since where it would it has left at 3
 *           9              12       12 .. 39
 *       full depth                   0 .. 11
 *
 * One pass over the instances thus counts the steps and the errors of all levels. The set is found by local
 * search: add, drop or, where neither helps, exchange the one ramp that saves most, until nothing saves
 * anything; from all layers, every second one, every third and none. tests/unit/test_train.c holds it against
 * trying all sets.
 *
 * Scores are held fixed meanwhile, as the classifier for all ramps gives them (with the set `stable` would
 * change a little, and so would what a CRF remembers, whose chain is over the ramps that there are); training
 * then fits and calibrates anew for the chosen set and keeps it only where it does better. The search looks
 * at the fit part alone: the calibration part must not know the candidates it is to judge, or its promise on
 * agreement would no longer hold.
 */
#include "train_internal.h"

#include <math.h>
#include <string.h>

/* What is counted of all instances at a level: steps (the first ramps are everyone's) and wrong tokens. */
enum { LAYERS, LATER_RAMPS, CONFIRMS, HEADS, WRONG, KINDS };
typedef struct tally {
    int64_t of[KINDS];
} tally;

typedef struct search {
    const or_scores *scores; /* of ramps after all layers but the last: ramp r is after layer r + 1 */
    const or_prices *prices;
    int64_t allowed; /* instances that may get a wrong token */
    or_levels levels;
    uint16_t *first; /* [count, n_ramps]; levels.count: it never leaves there */
    tally *at;       /* [levels.count + 1]: as the difference to the level before */
    int *set;        /* [n_ramps]: the ramps of the set that is looked at, ascending */
} search;

/* ---- levels ------------------------------------------------------------------------------------------ */

/* The first of the falling levels that the score reaches, n_levels when it reaches none. */
static int level_of(const search *s, double score)
{
    int low = 1, high = s->levels.count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (score >= s->levels.at[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ---- what a set is worth ----------------------------------------------------------------------------- */

/* At the levels from .. to - 1 one more instance does this. */
static void count(const search *s, int from, int to, tally one)
{
    for (int kind = 0; kind < KINDS; kind++) {
        s->at[from].of[kind] += one.of[kind];
        s->at[to].of[kind] -= one.of[kind];
    }
}

/* Instance i, with `size` ramps in s->set. */
static void count_instance(const search *s, size_t i, int size)
{
    const size_t row = i * (size_t)s->scores->n_ramps;
    int stays = s->levels.count; /* at the levels below it is still there; at level 0 it always is */
    for (int passed = 0; passed < size && stays > 1; passed++) {
        const int ramp = s->set[passed], level = s->first[row + (size_t)ramp];
        if (level >= stays) continue;
        count(s, level, stays,
              (tally){{[LAYERS] = ramp + 1,
                       [LATER_RAMPS] = passed,
                       [CONFIRMS] = passed > 0,
                       [WRONG] = !s->scores->right[row + (size_t)ramp]}});
        stays = level;
    }
    count(s, 0, stays,
          (tally){{[LAYERS] = s->scores->n_ramps + 1, [LATER_RAMPS] = size > 0 ? size - 1 : 0, [HEADS] = 1}});
}

/* Multiply-adds that the instances take under the set `ramp` [n_ramps + 1] and its laxest level that is
 * allowed. */
static double work_of(const search *s, const bool *ramp)
{
    tally sum = {{0}}, best = {{0}};
    int size = 0;
    for (int layer = 1; layer <= s->scores->n_ramps; layer++)
        if (ramp[layer]) s->set[size++] = layer - 1;
    memset(s->at, 0, ((size_t)s->levels.count + 1) * sizeof *s->at);
    for (size_t i = 0; i < s->scores->count; i++) count_instance(s, i, size);
    for (int level = 0; level < s->levels.count; level++) {
        for (int kind = 0; kind < KINDS; kind++) sum.of[kind] += s->at[level].of[kind];
        if (sum.of[WRONG] > s->allowed) break; /* not at level 0, where nobody leaves */
        best = sum;
    }
    or_steps steps = {.layers = (uint64_t)best.of[LAYERS],
                      .first_ramps = size > 0 ? s->scores->count : 0,
                      .later_ramps = (uint64_t)best.of[LATER_RAMPS],
                      .confirms = (uint64_t)best.of[CONFIRMS],
                      .heads = (uint64_t)best.of[HEADS]};
    return or_steps_macs(&steps, s->prices);
}

/* ---- the search -------------------------------------------------------------------------------------- */

/* Adds or drops (b = a), or exchanges, the ramps after layers a and b. */
static void flip(bool *ramp, int a, int b)
{
    ramp[a] = !ramp[a];
    if (b != a) ramp[b] = !ramp[b];
}

/* Takes the step that lowers *work most; false when none does. Strictly lower each time, so the search comes
 * to an end; a tie stays with the lowest layers. An exchange is of a ramp there is for one there is not. */
static bool best_step(const search *s, bool exchange, bool *ramp, double *work)
{
    int best_a = 0, best_b = 0;
    for (int a = 1; a <= s->scores->n_ramps; a++)
        for (int b = a; b <= (exchange ? s->scores->n_ramps : a); b++) {
            if (exchange && ramp[a] == ramp[b]) continue;
            flip(ramp, a, b);
            double changed = work_of(s, ramp);
            flip(ramp, a, b);
            if (changed >= *work) continue;
            *work = changed;
            best_a = a;
            best_b = b;
        }
    if (best_a > 0) flip(ramp, best_a, best_b);
    return best_a > 0;
}

/* From the set `ramp`, which becomes the best that is found; returns its work. */
static double descend(const search *s, bool *ramp)
{
    double work = work_of(s, ramp);
    while (best_step(s, false, ramp, &work) || best_step(s, true, ramp, &work)) {
    }
    return work;
}

/* ramp [n_layers + 1] = one after every `stride` layers, none where that is 0. */
void or_ramps_every(int stride, int n_layers, bool *ramp)
{
    for (int layer = 0; layer <= n_layers; layer++)
        ramp[layer] = stride > 0 && layer > 0 && layer < n_layers && layer % stride == 0;
}

/* s->first and the rest of the memory, for levels that were made. */
static or_status open_search(search *s)
{
    const or_scores *scores = s->scores;
    const size_t cells = scores->count * (size_t)scores->n_ramps;
    OR_TRY(OR_NEW(s->first, cells));
    OR_TRY(OR_NEW(s->at, (size_t)s->levels.count + 1));
    OR_TRY(OR_NEW(s->set, (size_t)scores->n_ramps));
    for (size_t i = 0; i < cells; i++) s->first[i] = (uint16_t)level_of(s, scores->score[i]);
    return OR_OK;
}

or_status or_ramps_choose(const or_scores *scores, const double *threshold, long allowed,
                          const or_prices *prices, bool *ramp)
{
    static const int starts[] = {1, 2, 3, 0}; /* a tie goes to the first of them */
    const size_t size = (size_t)scores->n_ramps + 2;
    search s = {
        .scores = scores, .prices = prices, .allowed = allowed, .levels = {.count = 2, .at = {INFINITY}}};
    bool *found = NULL;
    double least = INFINITY;
    or_status status = OR_OK;
    if (threshold) {
        s.levels.at[1] = *threshold;
        s.allowed = (int64_t)scores->count;
    } else {
        OR_TRY_GOTO(unwind, or_levels_make(scores, &s.levels));
    }
    OR_TRY_GOTO(unwind, open_search(&s));
    OR_TRY_GOTO(unwind, OR_NEW(found, size));
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        or_ramps_every(starts[i], scores->n_ramps + 1, found);
        double work = descend(&s, found);
        if (work >= least) continue;
        least = work;
        memcpy(ramp, found, size * sizeof *ramp);
    }
unwind:
    free(found);
    free(s.set);
    free(s.at);
    free(s.first);
    return status;
}
