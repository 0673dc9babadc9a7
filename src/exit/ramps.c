/* ramps.c - which layers get a ramp.
 *
 * A ramp is paid by every request that is still there and repaid by those that leave at it; with a shortlist
 * the first one is dearer than the others. Given which ramps would fire for which recorded request, the work
 * of any set of ramps is a matter of counting; the set is found by starting from all layers and adding or
 * dropping the one layer that saves most, until none saves anything.
 *
 * Scores and threshold are held fixed meanwhile, as found with all ramps (`stable` would change a little
 * with the set); training then fits and calibrates anew for the chosen set and keeps it only where it does
 * better. The search looks at the fit part alone: the calibration part must not know the candidates it is
 * to judge, or its promise on agreement would no longer hold.
 */
#include "train_internal.h"

/* For one instance the ramp [1 .. n_ramps] that would fire, by layer. */
typedef struct firing {
    size_t count;
    int n_ramps;
    bool *fires; /* [count, n_ramps + 1] */
} firing;

/* Multiply-adds that the instances take under the set `ramp`. */
static double work_of(const firing *of, const or_prices *prices, const bool *ramp)
{
    or_steps steps = {0};
    for (size_t i = 0; i < of->count; i++) {
        const bool *fires = of->fires + i * ((size_t)of->n_ramps + 1);
        int layer = 1;
        while (layer <= of->n_ramps && !(ramp[layer] && fires[layer])) layer++;
        or_steps_add(&steps, ramp, of->n_ramps + 1, layer); /* n_ramps + 1 is the full depth */
    }
    return or_steps_macs(&steps, prices);
}

/* The layer whose ramp is best added or dropped, 0 when no such step lowers *work; *work is then updated. */
static int best_step(const firing *of, const or_prices *prices, bool *ramp, double *work)
{
    int best = 0;
    for (int layer = 1; layer <= of->n_ramps; layer++) {
        ramp[layer] = !ramp[layer];
        double changed = work_of(of, prices, ramp);
        ramp[layer] = !ramp[layer];
        /* strictly less each time, so the search comes to an end; a tie stays with the lowest layer */
        if (changed >= *work) continue;
        *work = changed;
        best = layer;
    }
    return best;
}

or_status or_ramps_choose(const or_scores *scores, double threshold, const or_prices *prices, bool *ramp)
{
    firing of = {.count = scores->count, .n_ramps = scores->n_ramps};
    OR_TRY(OR_NEW(of.fires, of.count * ((size_t)of.n_ramps + 1)));
    for (size_t i = 0; i < of.count; i++)
        for (int r = 0; r < of.n_ramps; r++)
            of.fires[i * ((size_t)of.n_ramps + 1) + (size_t)r + 1] =
                scores->score[i * (size_t)of.n_ramps + (size_t)r] >= threshold;
    for (int layer = 1; layer <= of.n_ramps; layer++) ramp[layer] = true;
    ramp[0] = false;
    double work = work_of(&of, prices, ramp);
    for (int layer; (layer = best_step(&of, prices, ramp, &work)) > 0;) ramp[layer] = !ramp[layer];
    free(of.fires);
    return OR_OK;
}
