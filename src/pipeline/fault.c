/* fault.c - numbers that are not finite. */
#include "fault.h"

#include <math.h>

int32_t or_first_asked(const or_rider *rider, or_span span)
{
    if (rider->step.sequence == 0) return span.count - 1;
    return rider->step.asks > span.position ? rider->step.asks - span.position : 0;
}

/* Squares that leave the range of a float are as good as lost: the norm of such a row is 0. */
static bool is_finite_row(const or_wave *wave, int32_t row)
{
    const float *hidden = wave->hidden + (size_t)row * wave->width;
    return isfinite(or_dot(hidden, hidden, wave->width));
}

void or_fault_note(or_wave *wave, size_t r)
{
    or_step *step = &wave->riders[r].step;
    const or_span span = wave->spans[r];
    for (int32_t i = or_first_asked(&wave->riders[r], span); i < span.count; i++) {
        if (step->fault > 0 && span.position + i >= step->fault_position) return;
        if (is_finite_row(wave, span.first + i)) continue;
        step->fault = wave->layer;
        step->fault_position = span.position + i;
        return;
    }
}

or_status or_job_fault(const or_job *job, size_t index, int layer)
{
    if (job->fault) return job->fault(job->context, index, layer);
    return or_fail(OR_ERR_FAILED, "numbers are not finite", NULL,
                   "request %zu after layer %d, expected finite logits; are the weights damaged?", index,
                   layer);
}
