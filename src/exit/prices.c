/* prices.c - what a request's steps cost, in multiply-adds: the one place from which training, replay and the
 * figures of an evaluation have it.
 *
 *                       first ramp          later ramp              exit at a later ramp
 *   whole distributions head + classifier   head + classifier       -
 *   shortlist of K      head + classifier   K tokens + classifier   head
 *
 * A shortlist is taken to show what the whole distribution would, so that every confirmation ends in an exit.
 */
#include "train_internal.h"

or_prices or_prices_of(const or_policy *policy, double layer, double head, int n_vocab)
{
    const double decision = (double)or_policy_cost(policy);
    or_prices prices = {
        .layer = layer, .first_ramp = head + decision, .later_ramp = head + decision, .head = head};
    /* a list as long as the vocabulary spares nothing: a policy of another model may have one */
    if (policy->shortlist == 0 || policy->shortlist >= n_vocab) return prices;
    /* a token's logit is one row of the output projection; OPT 350M's narrowing before it, 2 % of its head,
     * is taken for part of these rows */
    prices.later_ramp = head * policy->shortlist / n_vocab + decision;
    prices.confirm = head;
    return prices;
}

or_prices or_prices_of_trace(const or_policy *policy, const or_trace_meta *meta)
{
    return or_prices_of(policy, meta->layer_macs, meta->ramp_macs, meta->n_vocab);
}

void or_steps_add(or_steps *steps, const bool *ramp, int n_layers, int exit_layer)
{
    uint64_t passed = 0; /* ramps, the one that fired included; the last layer has none */
    for (int layer = 1; layer <= exit_layer && layer < n_layers; layer++) passed += ramp[layer];
    steps->layers += (uint64_t)exit_layer;
    steps->first_ramps += passed > 0;
    steps->later_ramps += passed > 0 ? passed - 1 : 0;
    steps->confirms += exit_layer < n_layers && passed > 1;
    steps->heads += exit_layer == n_layers;
}

double or_steps_macs(const or_steps *steps, const or_prices *prices)
{
    double ramps = (double)steps->first_ramps * prices->first_ramp +
                   (double)steps->later_ramps * prices->later_ramp +
                   (double)steps->confirms * prices->confirm;
    return (double)steps->layers * prices->layer + ramps + (double)steps->heads * prices->head;
}

double or_policy_ramp_macs(const or_policy *policy, const or_hparams *hparams, int exit_layer)
{
    or_prices prices = or_prices_of(policy, 0, or_hparams_head_macs(hparams), hparams->n_vocab);
    or_steps steps = {0};
    or_steps_add(&steps, policy->ramp, policy->n_layers, exit_layer);
    steps.heads = 0;
    return or_steps_macs(&steps, &prices);
}
