/* clocks.c - comparing clocks by messages there and back. */
#include "clocks.h"

#include "clock.h"
#include "memory.h"

#include <math.h>
#include <string.h>

void or_clock_gap_take(or_clock_gap *gap, bool first, double sent, double there, double back)
{
    const double error = (back - sent) / 2;
    if (!first && error >= gap->error) return;
    *gap = (or_clock_gap){.offset = there - (sent + error), .error = error};
}

void or_clock_gap_settle(or_clock_gap *gap)
{
    if (fabs(gap->offset) <= gap->error) *gap = (or_clock_gap){0};
}

/* Short naps, so that what is measured is the way of the message more than the waiting for it. */
static or_status wait_for(or_transport *transport, int from, or_message *message)
{
    or_wait wait = {0};
    for (bool arrived = false; !arrived;) {
        OR_TRY(or_transport_poll(transport, message, &arrived));
        if (!arrived) or_wait_nap(&wait);
    }
    if (message->from == from && message->tag == OR_TAG_CLOCK) return OR_OK;
    free(message->data);
    return or_fail(OR_ERR_PEER, "unexpected message", NULL, "tag %d from rank %d while clocks are compared",
                   (int)message->tag, message->from);
}

/* Rank 0's side of an exchange. */
static or_status ask(or_transport *transport, int rank, bool first, or_clock_gap *gap)
{
    or_message message;
    double there;
    const double sent = or_clock_now();
    OR_TRY(or_transport_send(transport, rank, OR_TAG_CLOCK, NULL, 0));
    OR_TRY(wait_for(transport, rank, &message));
    const double back = or_clock_now();
    const bool whole = message.size == sizeof there;
    if (whole) memcpy(&there, message.data, sizeof there);
    free(message.data);
    if (!whole)
        return or_fail(OR_ERR_PEER, "unexpected message", NULL, "rank %d sent %zu bytes for its clock", rank,
                       message.size);
    or_clock_gap_take(gap, first, sent, there, back);
    return OR_OK;
}

/* The other side. */
static or_status answer(or_transport *transport)
{
    or_message message;
    double *now = NULL;
    OR_TRY(OR_NEW(now, 1));
    or_status status = wait_for(transport, 0, &message);
    if (status != OR_OK) {
        free(now);
        return status;
    }
    free(message.data);
    *now = or_clock_now();
    return or_transport_send(transport, 0, OR_TAG_CLOCK, now, sizeof *now);
}

or_status or_clocks_compare(or_transport *transport, or_clock_gap *gaps)
{
    enum { EXCHANGES = 16 };
    if (or_transport_rank(transport) > 0) {
        for (int i = 0; i < EXCHANGES; i++) OR_TRY(answer(transport));
        return OR_OK;
    }
    gaps[0] = (or_clock_gap){0};
    for (int rank = 1; rank < or_transport_size(transport); rank++) {
        for (int i = 0; i < EXCHANGES; i++) OR_TRY(ask(transport, rank, i == 0, &gaps[rank]));
        or_clock_gap_settle(&gaps[rank]);
    }
    return OR_OK;
}
