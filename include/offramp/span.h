/* span.h - where a request's tokens are within a wave. */
#ifndef OFFRAMP_SPAN_H
#define OFFRAMP_SPAN_H

#include <stdint.h>

/* Rows [first, first + count), count >= 1, at positions 0 .. count-1 of one request. */
typedef struct or_span {
    int32_t first, count;
} or_span;

#endif
