/* record.h - what a ramp, or the full depth, reports to rank 0 about a request. Plain numbers, also on the
 * wire.
 *
 * Every rider comes home with exactly one record that leaves; records before it do not.
 */
#ifndef OFFRAMP_PIPELINE_RECORD_H
#define OFFRAMP_PIPELINE_RECORD_H

#include <offramp/pipeline.h>

typedef enum or_record_kind {
    OR_RECORD_SEEN,    /* of an observed prompt: one more layer's observation */
    OR_RECORD_ANSWER,  /* the token that was wanted */
    OR_RECORD_DRAFT,   /* verify: an early token, to be confirmed */
    OR_RECORD_VERDICT, /* verify: the full depth's token */
    OR_RECORD_SILENT   /* rows that asked nothing are through */
} or_record_kind;

typedef struct or_record {
    uint64_t index;    /* of the request in its job */
    uint64_t sequence; /* of a continuation, see or_step; 0: a scored prompt */
    int32_t slot;      /* its slot */
    int32_t kind;      /* or_record_kind */
    int32_t leaves;    /* 1: the rider is not in the pipeline any more */
    int32_t position;  /* continuations: of the row that was asked; the token is what follows it */
    int32_t round;     /* or_step.round */
    int32_t drafted;   /* VERDICT: that row left a draft behind, whose record is here or under way */
    int32_t fault;     /* ANSWER, VERDICT: the layer after which its numbers are not finite; there is no token
                        * then, and nothing said of one but where it was asked for. 0: they are */
    int32_t choice;
    int32_t drawn; /* continuations: the token; seen.token is the likeliest */
    or_observation seen;
    float logsumexp;
    float logprob;  /* continuations: of `drawn` or of the target */
    int32_t n_best; /* 0 unless asked for */
    or_token_logit best[OR_BEST];
} or_record;

#endif
