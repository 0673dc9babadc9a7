/* calibrate.c - the threshold of an exit policy, by conformal risk control (Angelopoulos, Bates, Fisch, Lei
 * and Schuster, arXiv 2208.02814).
 *
 * With threshold t an instance leaves at its first ramp whose score is at least t; it is an error when the
 * token there is not the full model's. Over n calibration instances a threshold is acceptable when
 *
 *   (errors(t) + 1) / (n + 1) <= 1 - target,
 *
 * the 1 being the request to come, taken for an error. Errors need not grow steadily as t falls (an instance
 * may be wrong at layer 5 and right again at 4), so thresholds are tried in a fixed order from the strictest
 * down and the first one refused ends it. Lower thresholds let every instance leave earlier or where it did,
 * which only saves more: the last one accepted is the one that saves most.
 *
 *   scores of an instance by ramp   0.2  0.7  0.4  0.9      going down it leaves at ramp 4 from t = 0.9,
 *   those that matter               0.2  0.7       0.9      at 2 from 0.7 and at 1 from 0.2: each higher
 *                                                           than all before it. Sorted over all instances
 *                                                           they are the only points where anything changes.
 */
#include "train_internal.h"

#include <math.h>

long or_errors_allowed(double target, size_t count)
{
    /* the last term keeps a target of 0.9 with 9 instances from failing by the rounding of 1 - 0.9 */
    return (long)floor((1 - target) * ((double)count + 1) + 1e-9) - 1;
}

static int strictest_first(const void *a, const void *b)
{
    const or_exit_event *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->instance > y->instance) - (x->instance < y->instance);
}

/* Writes the events of all instances to events [count * n_ramps] and returns how many there are. A score
 * that is not a number makes none, as it would never fire. */
static size_t find_events(const or_scores *scores, or_exit_event *events)
{
    size_t count = 0;
    for (size_t i = 0; i < scores->count; i++) {
        const double *score = scores->score + i * (size_t)scores->n_ramps;
        const bool *right = scores->right + i * (size_t)scores->n_ramps;
        double highest = -INFINITY;
        for (int r = 0; r < scores->n_ramps; r++) {
            if (!(score[r] > highest)) continue;
            highest = score[r];
            events[count++] = (or_exit_event){score[r], i, right[r]};
        }
    }
    return count;
}

or_status or_descent_begin(const or_scores *scores, or_descent *descent)
{
    *descent = (or_descent){0};
    OR_TRY(OR_NEW(descent->events, scores->count * (size_t)scores->n_ramps));
    OR_TRY(OR_NEW(descent->wrong, scores->count));
    descent->count = find_events(scores, descent->events);
    qsort(descent->events, descent->count, sizeof *descent->events, strictest_first);
    return OR_OK;
}

long or_descent_to(or_descent *descent, double threshold)
{
    for (; descent->next < descent->count && descent->events[descent->next].score >= threshold;
         descent->next++) {
        const or_exit_event *event = &descent->events[descent->next];
        bool *wrong = &descent->wrong[event->instance];
        descent->errors += !event->right - *wrong;
        *wrong = !event->right;
    }
    return descent->errors;
}

void or_descent_free(or_descent *descent)
{
    free(descent->wrong);
    free(descent->events);
    *descent = (or_descent){0};
}

or_status or_calibrate(const or_scores *scores, long allowed, double *threshold)
{
    or_descent descent;
    *threshold = INFINITY;
    or_status status = or_descent_begin(scores, &descent);
    /* all events of one score are one step: no threshold lies between them */
    while (status == OR_OK && descent.next < descent.count) {
        const double score = descent.events[descent.next].score;
        if (or_descent_to(&descent, score) > allowed) break;
        *threshold = score;
    }
    or_descent_free(&descent);
    return status;
}
