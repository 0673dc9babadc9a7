/* fault.h - numbers that are not finite: whose they are, and telling the job.
 *
 *   layer --note--> or_step.fault --ramp--> or_record.fault --rank 0--> or_job.fault()
 *
 * A request is judged by the rows that are asked for a token alone. So the layer that is named is its own
 * affair, like its answer: not that of the waves, of the pieces of its prompt, or of who computed the prefix
 * that it shares. What goes wrong in an earlier row comes to these by attention, a layer later.
 *
 * Under verify the rows of several tokens travel together, and a draft that is wrong takes those behind it
 * back, with their faults. There a fault waits, like a token, until all before it are final; the rider goes
 * on to the full depth, whose verdicts they need. Everybody else leaves at once.
 */
#ifndef OFFRAMP_PIPELINE_FAULT_H
#define OFFRAMP_PIPELINE_FAULT_H

#include "wave.h"

/* Place within its rows of the first that gives a token at full depth: of a continuation those from
 * or_step.asks on, of a scored prompt the last one. The rider asks. */
int32_t or_first_asked(const or_rider *rider, or_span span);

/* After wave->layer layers: notes the first of these rows of rider r, which asks, that is not finite, unless
 * it is known already. */
void or_fault_note(or_wave *wave, size_t r);

/* Whether it leaves because of that: not where the full depth is wanted for the tokens before. */
static inline bool or_fault_leaves(const or_step *step)
{
    return step->fault > 0 && !(step->sequence && step->kv == OR_KV_VERIFY);
}

/* Tells the job that request `index` has failed after `layer` layers; OR_ERR_FAILED where the job does not
 * want to know. */
or_status or_job_fault(const or_job *job, size_t index, int layer);

#endif
