/* plan.h - how the layers are split over the ranks. Pure functions over plain structs. */
#ifndef OFFRAMP_PLAN_H
#define OFFRAMP_PLAN_H

#include <offramp/status.h>

enum { OR_PLAN_STAGES = 1024 }; /* most stages a plan can have */

/* Stage s holds layers [bound[s], bound[s + 1]), counted from 0; bound[0] = 0, bound[n_stages] = L. Every stage
 * has at least one layer. */
typedef struct or_plan {
    int n_stages;
    int bound[OR_PLAN_STAGES + 1];
} or_plan;

/* As equal as can be; the first stages get the layers left over. OR_ERR_USAGE when there are more ranks than
 * layers. */
or_status or_plan_even(int n_layers, int n_ranks, or_plan *plan);

/* From what --plan says: "even"; "10,20,25,25" (layers per rank, which must fit n_ranks and add up to
 * n_layers); or the name of a file {"layers": [10, 20, 25, 25]}. OR_ERR_USAGE or, for a file, OR_ERR_INPUT. */
or_status or_plan_parse(const char *text, int n_layers, int n_ranks, or_plan *plan);

#endif
