/* record.h - what a ramp reports to rank 0 about one request at one layer. Plain numbers, also on the wire. */
#ifndef OFFRAMP_PIPELINE_RECORD_H
#define OFFRAMP_PIPELINE_RECORD_H

#include <offramp/pipeline.h>

typedef struct or_record {
    uint64_t index; /* of the request in its job */
    int32_t leaves; /* 1: the request exits here; 0: one more observation of it */
    int32_t choice;
    or_observation seen;
    float logsumexp;
    int32_t n_best; /* 0 unless an observed request exits here */
    or_token_logit best[OR_BEST];
} or_record;

#endif
