/* memory.c - what a stage needs in memory, from the checkpoint's headers alone. Pure functions: a rank can
 * ask for any stage, and `offramp plan` for a machine it does not run on. */
#include "pipeline_internal.h"

static const size_t MESSAGE_MAX = (size_t)1 << 30; /* bytes of a wave on the wire; MPI counts in 31 bits */

/* Waves of a rank: the running one, a parked one and those that arrived, which grow by half at a time and so may hold
 * half as many rows more; besides, as bytes on the wire, those on their way out and those that are being
 * received. What requests carry beside their rows (taps, choices) is not counted. */
enum { WAVES = 2 + OR_CREDITS, WIRE_WAVES = 2 * OR_CREDITS, HALF_WAVES = 3 * WAVES + 2 * WIRE_WAVES };

or_stage_memory or_plan_memory(const or_plan *plan, int stage, const or_hparams *h, const or_shares *shares,
                               size_t wave_tokens, int threads)
{
    /* A tied head is the embedding, which then is on all ranks; a file may have it under either name, or
     * under both. */
    const size_t tied = shares->embedding > 0 ? shares->embedding : shares->head;
    const size_t own = shares->head + (stage == 0 ? shares->embedding : 0);
    or_stage_memory m = {
        .weights = shares->other + (h->tied_head || shares->head == 0 ? tied : own),
        .workspace = or_hparams_workspace(h, wave_tokens, wave_tokens, OR_RAMP_ROWS, threads),
        .waves = HALF_WAVES * wave_tokens * (size_t)h->d_model * sizeof(float) / 2,
    };
    const int last = shares->one_layer ? plan->bound[stage] + 1 : plan->bound[stage + 1];
    for (int layer = plan->bound[stage]; layer < last; layer++) m.weights += shares->layers[layer];
    m.total = m.weights + m.workspace + m.waves;
    return m;
}

/* By bisection: `fits` rows do, `beyond` rows do not (or are not asked for). */
size_t or_plan_wave_rows(const or_hparams *h)
{
    return MESSAGE_MAX / ((size_t)h->d_model * sizeof(float));
}

size_t or_plan_rows_within(size_t limit, size_t most, const or_plan *plan, int stage, const or_hparams *h,
                           const or_shares *shares, int threads)
{
    size_t fits = 0;
    for (size_t beyond = most + 1; fits + 1 < beyond;) { /* memory grows with the rows */
        const size_t rows = fits + (beyond - fits) / 2;
        if (or_plan_memory(plan, stage, h, shares, rows, threads).total <= limit)
            fits = rows;
        else
            beyond = rows;
    }
    return fits;
}

/* More ranks have fewer layers each, but final norm and head are on all of them; so ranks are tried one by
 * one. */
int or_plan_ranks_within(size_t limit, int n_ranks, const or_hparams *h, const or_shares *shares,
                         size_t wave_tokens, int threads)
{
    or_plan plan;
    for (int ranks = n_ranks; ranks <= h->n_layers && or_plan_even(h->n_layers, ranks, &plan) == OR_OK;
         ranks++) {
        size_t most = 0;
        for (int s = 0; s < ranks; s++) {
            const size_t total = or_plan_memory(&plan, s, h, shares, wave_tokens, threads).total;
            if (total > most) most = total;
        }
        if (most <= limit) return ranks;
    }
    return 0;
}
