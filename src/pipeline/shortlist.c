/* shortlist.c - whether a ramp may be skipped without computing the whole distribution.
 *
 * The K likeliest tokens of the last ramp that computed it all travel with the rider. Their K logits alone
 * make a distribution in which every token is at least as likely as in the whole one: a policy that does
 * not fire even on that would hardly fire on the whole, and the rider stays. When it fires, the whole
 * distribution is computed, and that alone decides. So the shortlist can make a rider stay longer, and
 * never leave on less confidence. Only `stable` may come out higher: a token outside of the list that was
 * the likeliest in between is not seen.
 */
#include "stage.h"

#include <math.h>

/* The observation that the shortlist makes. The state counts its token for the ramp's, and remembers what it
 * showed; the whole distribution, if it is computed, counts anew from the state before. */
or_status or_shortlist_check(or_stage *stage, const or_wave *wave, size_t r, bool *whole)
{
    or_rider *rider = &wave->riders[r];
    const or_hparams *h = or_model_hparams(stage->model);
    float logits[OR_SHORTLIST];
    or_top top;
    *whole = true;
    if (rider->n_short == 0 || rider->step.exits_at > 0) return OR_OK;
    const or_policy *policy = stage->policies[rider->policy];
    const size_t last = (size_t)(wave->spans[r].first + wave->spans[r].count - 1), k = (size_t)rider->n_short;
    OR_TRY(
        or_model_candidates(stage->model, wave->hidden + last * wave->width, 1, rider->shortlist, k, logits));
    or_kernels_get()->top(logits, k, &top);
    if (!isfinite(top.logsumexp)) return OR_OK; /* the whole distribution will say so */
    or_ramp_state state = rider->state;
    or_observation seen = {
        .layer = wave->layer,
        .token = rider->shortlist[top.token],
        .top_prob = top.prob,
        .gap = top.gap,
    };
    if (wave->taps) {
        seen.cos_attn = stage->cosines[3 * r];
        seen.cos_mlp = stage->cosines[3 * r + 1];
        seen.cos_hidden = stage->cosines[3 * r + 2];
    }
    seen.stable = or_ramp_state_update(&state, seen.token);
    stage->stats.macs += (double)k * h->d_embed;
    *whole = or_policy_fires(policy, &seen, &state);
    if (!*whole) rider->state = state;
    return OR_OK;
}
