/* stats.c - sums over runs. */
#include "memory.h"

#include <offramp/pipeline.h>

static void add_stage(or_stage_stats *sum, const or_stage_stats *stage)
{
    sum->replica = stage->replica;
    sum->first = stage->first;
    sum->last = stage->last;
    sum->requests_in += stage->requests_in;
    sum->exits += stage->exits;
    sum->requests_out += stage->requests_out;
    sum->waves_in += stage->waves_in;
    sum->waves_run += stage->waves_run;
    sum->waves_out += stage->waves_out;
    sum->rows_in += stage->rows_in;
    sum->ramp_rows += stage->ramp_rows;
    sum->macs += stage->macs;
    sum->busy += stage->busy;
    sum->ramp += stage->ramp;
    sum->wait += stage->wait;
    sum->idle += stage->idle;
    if (stage->peak > sum->peak) sum->peak = stage->peak;
}

or_status or_run_stats_add(or_run_stats *sum, const or_run_stats *run)
{
    if (run->n_stages == 0) return OR_OK;
    const int n_layers = run->stage[run->n_stages - 1].last;
    if (!sum->survivors) OR_TRY(OR_NEW(sum->survivors, (size_t)n_layers + 1));
    for (int l = 0; run->survivors && l <= n_layers; l++) sum->survivors[l] += run->survivors[l];
    for (int s = 0; s < run->n_stages; s++) add_stage(&sum->stage[s], &run->stage[s]);
    if (run->n_stages > sum->n_stages) sum->n_stages = run->n_stages;
    sum->tokens += run->tokens;
    sum->drafts += run->drafts;
    sum->drafts_replaced += run->drafts_replaced;
    sum->prompt_tokens += run->prompt_tokens;
    sum->prompt_tokens_shared += run->prompt_tokens_shared;
    sum->seconds += run->seconds;
    return OR_OK;
}

void or_run_stats_free(or_run_stats *stats)
{
    free(stats->survivors);
    stats->survivors = NULL;
}
