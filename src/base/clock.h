/* clock.h - time that only goes forward, and sleeping. */
#ifndef OFFRAMP_BASE_CLOCK_H
#define OFFRAMP_BASE_CLOCK_H

#include <stdbool.h>

/* Seconds since some fixed moment (CLOCK_MONOTONIC). */
double or_clock_now(void);

/* Sleeps; a signal may end it early. */
void or_clock_sleep(double seconds);

/* Waiting asleep for something that only looking can tell. Begins as {0}; a wait is naps until or_wait_end(), and an
 * or_wait is for many waits, one after the other.
 *
 * The first nap is a quarter of the shorter one of the last two waits: who takes turns with others waits alike each
 * time, and every look costs some 25 us (many ranks on a core would look more than they work). From there on naps are
 * an eighth of what was waited until then. So a wait ends late by an eighth of its length, by what it is shorter than
 * a quarter of the last ones, and by 2 ms at most; a long one costs five hundred looks a second: 1.3 % of a core (2
 * ranks, measured). */
typedef struct or_wait {
    bool waiting;
    double begin;   /* or_clock_now() */
    double last[2]; /* seconds of those before; 0: there were none */
} or_wait;

#define OR_CLOCK_NAP      20e-6
#define OR_CLOCK_NAP_MOST 2e-3

/* Sleeps for a nap, of the wait that is on or that begins; a signal may end it early. */
void or_wait_nap(or_wait *wait);

/* What was waited for is here. Without a wait that is on, nothing. */
void or_wait_end(or_wait *wait);

/* The rule by itself, for any clock: seconds of the nap that begins `now`; what was waited for is here `now`. */
double or_wait_seconds(or_wait *wait, double now);
void or_wait_over(or_wait *wait, double now);

#endif
