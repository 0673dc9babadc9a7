/* cost_file.h - costs of ranks (cost.h) as a file: of a cluster that is planned for, or as they were measured.
 *
 *   {"measured_on": "llama-2-70b q8_0, 2 threads of an EPYC 9754",             free text, may be absent
 *    "ranks": [{"count": 4,
 *               "layer": [[1, 0.071], [32, 0.074], [512, 0.61]],               [rows, seconds]: rows ascending,
 *               "ramp":  [[1, 0.011], [64, 0.032]],                            1 to OR_COST_POINTS of them
 *               "embed": 1e-7, "latency": 2e-6, "bandwidth": 12.5e9, "memory": 64e9}, ...]}
 *
 * What is absent but "layer" is 0 or has no points: takes no time, has no limit. "count" is of ranks in a row that
 * are alike: 1 where it is absent, but for the last entry as many as are wanted.
 */
#ifndef OFFRAMP_PIPELINE_COST_FILE_H
#define OFFRAMP_PIPELINE_COST_FILE_H

#include <offramp/cost.h>

typedef struct or_costs {
    int n_ranks;
    or_rank_cost *ranks; /* [n_ranks] */
    char *measured_on;   /* NULL: not said */
} or_costs;

/* The costs of the first n_ranks ranks of the file (1 .. OR_PLAN_STAGES). OR_ERR_INPUT names the field, or how many
 * ranks there are when they are fewer. *costs is released by or_costs_free() in any case. */
or_status or_costs_read(const char *path, int n_ranks, or_costs *costs);

/* Writes them so that they read back as they are. Where all ranks are alike the file has no count: it is good for any
 * number of ranks. */
or_status or_costs_write(const char *path, const or_costs *costs);

void or_costs_free(or_costs *costs);

#endif
