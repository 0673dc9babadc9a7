/* clocks.h - how far the clocks of the ranks are from rank 0's.
 *
 *   rank 0   sent ------------------ back        offset = there - (sent + back) / 2
 *                  \               /             error  = (back - sent) / 2
 *   rank r          ---- there ----
 *
 * The answer may have been given at any moment between `sent` and `back`. Of several exchanges the shortest
 * counts.
 */
#ifndef OFFRAMP_PIPELINE_CLOCKS_H
#define OFFRAMP_PIPELINE_CLOCKS_H

#include "transport.h"

/* In seconds. A moment of rank 0 is that of the other rank minus the offset, within the error. Both are 0
 * where the two have one clock, that of their host. */
typedef struct or_clock_gap {
    double offset, error;
} or_clock_gap;

/* Takes an exchange, the first of `first`. */
void or_clock_gap_take(or_clock_gap *gap, bool first, double sent, double there, double back);

/* After the last one: clocks that could be one are one. Hosts that were started within microseconds of each
 * other are not met. */
void or_clock_gap_settle(or_clock_gap *gap);

/* Fills gaps[size] on rank 0; NULL elsewhere. No other message may be under way. Collective, blocking
 * (asleep). */
or_status or_clocks_compare(or_transport *transport, or_clock_gap *gaps);

#endif
