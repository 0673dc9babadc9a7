/* layout.h - what is said of a layout (cost.h), by `offramp plan` and by a job with --plan auto. */
#ifndef OFFRAMP_PIPELINE_LAYOUT_H
#define OFFRAMP_PIPELINE_LAYOUT_H

#include <offramp/cost.h>

/* Takes a line, without its end. */
typedef void or_layout_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Says what the layout is thought to reach while it is full, beside the even plan, and where fewer ranks or another
 * number of replicas would do as well or better, each within its ranks' memory. Local. */
or_status or_layout_advise(const or_layout *layout, const or_rank_cost *ranks, const or_workload *work,
                           const or_plan_sizes *sizes, or_layout_say *say);

#endif
