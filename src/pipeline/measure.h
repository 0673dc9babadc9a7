/* measure.h - what a layer, a ramp and an embedding take on this rank, by a short measurement. */
#ifndef OFFRAMP_PIPELINE_MEASURE_H
#define OFFRAMP_PIPELINE_MEASURE_H

#include <offramp/cost.h>

/* Opens layer `layer` (from 0) of the checkpoint, runs it over waves of up to `most` rows - prompts of `length`
 * tokens, or with 1 single rows, as continuations have - and the output projection over some riders, and closes
 * it. Every number is the mean of a few runs; rows whose run would take longer than 2 s are left out. With
 * layer 0 the embedding as well. Link and memory are left 0. Local; blocks for some seconds at most, but for
 * reading the layer. */
or_status or_measure_rank(const char *model, int layer, size_t length, size_t most, or_rank_cost *cost);

/* Ranks of one kind differ by what else their machines did for a moment: those within 15 % of a faster one (by a layer
 * of the most rows) get the mean of all such. Ranks of different kinds, 15 % apart, keep the difference. Pure. */
void or_costs_level(or_rank_cost *costs, int n_ranks);

#endif
