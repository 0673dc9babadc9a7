/* trace_internal.h - what writing and reading trace.csv share: names, columns and their ranges. */
#ifndef OFFRAMP_EXIT_TRACE_INTERNAL_H
#define OFFRAMP_EXIT_TRACE_INTERNAL_H

#include <offramp/trace.h>

#include <stdbool.h>

#define OR_TRACE_FORMAT "offramp-trace-1"
#define OR_TRACE_HEADER                                                                                      \
    "task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token"

#define OR_TRACE_MAX_SHOTS 1000000
#define OR_TRACE_MAX_INDEX ((int64_t)1 << 53) /* what a JSON number carries exactly */

/* The measured columns, gap to cos_hidden, by number. */
enum { OR_TRACE_MEASURES = 5 };
const char *or_trace_measure_name(int measure);
float *or_trace_measure(or_observation *seen, int measure); /* its place in an observation */

/* 0..1 or -1..1, and a little more, since sums of floats may pass 1 by their rounding; not for what is no
 * number. or_trace_measure_range() is the text of that. */
bool or_trace_measure_good(int measure, float value);
const char *or_trace_measure_range(int measure);

/* What is wrong with a task's name ("found ..., expected ..."), NULL when nothing is: it is one line of
 * text. */
const char *or_trace_name_fault(const char *name);

/* Releases the items from number `from` on. */
void or_trace_cut(or_trace *trace, size_t from);

#endif
