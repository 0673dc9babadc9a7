/* clock.h - time that only goes forward, and sleeping. */
#ifndef OFFRAMP_BASE_CLOCK_H
#define OFFRAMP_BASE_CLOCK_H

/* Seconds since some fixed moment (CLOCK_MONOTONIC). */
double or_clock_now(void);

/* Sleeps; a signal may end it early. */
void or_clock_sleep(double seconds);

/* Waiting asleep for something that only looking can tell: a nap of *nap seconds, which begins as
 * OR_CLOCK_NAP and grows by an eighth each time up to 2 ms. So a wait ends late by an eighth of its length
 * at most, and a long one costs five hundred looks a second: 1.3 % of a core (2 ranks, measured). */
#define OR_CLOCK_NAP 20e-6
#define OR_CLOCK_NAP_MOST 2e-3
void or_clock_nap(double *nap);

/* The nap behind one of `nap` seconds. */
static inline double or_clock_longer_nap(double nap)
{
    return nap * 1.125 < OR_CLOCK_NAP_MOST ? nap * 1.125 : OR_CLOCK_NAP_MOST;
}

#endif
