/* trace.c - traces in memory, and the columns of trace.csv that its writer and its reader share.
 *
 *   task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token
 *   sst2,5,0,1,0.0131,0.0214,0,0,0.482,15,6374,6374
 *   "news, world",5,0,1,...                       a task name is quoted where it must be (RFC 4180)
 */
#include "trace_internal.h"

#include "utf8.h"

#include <stdlib.h>
#include <string.h>

/* Cosines and probabilities are quotients of float sums, which may come out a few ulps above 1. */
#define ABOUT_ONE 1.00001f

/* Where each measured column lies in an observation, so that writing, reading and checking are one loop. */
static const struct {
    const char *name;
    float low;
    size_t offset;
} measures[OR_TRACE_MEASURES] = {
    {"gap", 0, offsetof(or_observation, gap)},
    {"top_prob", 0, offsetof(or_observation, top_prob)},
    {"cos_attn", -ABOUT_ONE, offsetof(or_observation, cos_attn)},
    {"cos_mlp", -ABOUT_ONE, offsetof(or_observation, cos_mlp)},
    {"cos_hidden", -ABOUT_ONE, offsetof(or_observation, cos_hidden)},
};

const char *or_trace_measure_name(int measure)
{
    return measures[measure].name;
}

float *or_trace_measure(or_observation *seen, int measure)
{
    return (float *)((char *)seen + measures[measure].offset);
}

bool or_trace_measure_good(int measure, float value)
{
    return value >= measures[measure].low && value <= ABOUT_ONE; /* both false for NaN */
}

const char *or_trace_measure_range(int measure)
{
    return measures[measure].low < 0 ? "-1..1" : "0..1";
}

/* Line breaks among them: a row of trace.csv is one line, quoted or not. */
const char *or_trace_name_fault(const char *name)
{
    if (name[0] == '\0') return "an empty task name, expected text";
    if (!or_utf8_valid(name, strlen(name), NULL)) return "a task name that is not UTF-8, expected text";
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7f) return "a control character in the task name, expected text";
    return NULL;
}

void or_trace_cut(or_trace *trace, size_t from)
{
    for (size_t i = from; i < trace->count; i++) {
        free(trace->items[i].task);
        free(trace->items[i].seen);
    }
    if (from < trace->count) trace->count = from;
}

void or_trace_free(or_trace *trace)
{
    or_trace_cut(trace, 0);
    free(trace->items);
    *trace = (or_trace){0};
}
