/* levels.c - a few hundred thresholds that stand for all that there are. */
#include "train_internal.h"

#include <math.h>

static int highest_first(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Every score that there is, or of many every so-manieth. One that is not a number would never fire. */
or_status or_levels_make(const or_scores *scores, or_levels *levels)
{
    size_t cells = scores->count * (size_t)scores->n_ramps, n = 0;
    double *sorted;
    OR_TRY(OR_NEW(sorted, cells));
    for (size_t i = 0; i < cells; i++)
        if (!isnan(scores->score[i])) sorted[n++] = scores->score[i];
    qsort(sorted, n, sizeof *sorted, highest_first);
    size_t distinct = 0, every = 1;
    for (size_t i = 0; i < n; i++) distinct += i == 0 || sorted[i] != sorted[i - 1];
    if (distinct > OR_LEVELS - 1) every = (n + OR_LEVELS - 2) / (OR_LEVELS - 1);
    *levels = (or_levels){.count = 1, .at = {INFINITY}};
    for (size_t i = every - 1; i < n; i += every)
        if (sorted[i] < levels->at[levels->count - 1]) levels->at[levels->count++] = sorted[i];
    free(sorted);
    return OR_OK;
}
