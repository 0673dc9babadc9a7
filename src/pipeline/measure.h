/* measure.h - what a layer, a ramp and an embedding take on this rank, by a short measurement. */
#ifndef OFFRAMP_PIPELINE_MEASURE_H
#define OFFRAMP_PIPELINE_MEASURE_H

#include <offramp/cost.h>

/* Opens layers of the stage (first, last], as many as do not stay in a cache from one to the next, runs them in turn over
 * waves of up to `most` rows - prompts of `length` tokens, or with 1 single rows, as continuations have - and the output
 * projection over some riders, and closes them. Every number is the mean of a few runs; rows whose run would take
 * longer than 2 s are left out. With first 0 the embedding as well. Link and memory are left 0. The model is
 * that of or_model_open_with(). Local; blocks for some seconds at most, but for reading the layers. */
or_status or_measure_rank(const char *model, const char *without, const or_shares *shares, int first,
                          int last, size_t length, size_t most, or_rank_cost *cost);

/* Ranks of one kind differ by what else their machines did for a moment. First those of one host that are within
 * 50 % of a faster one (by a layer of the most rows) get the mean of all such, since its cores are alike as a rule
 * and its other work goes from one to the other; then those of all hosts that are within 15 %. Ranks of different
 * kinds keep the difference. hosts[n_ranks] are names. Pure. */
void or_costs_level(or_rank_cost *costs, const char *const *hosts, int n_ranks);

#endif
