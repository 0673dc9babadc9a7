/* clock.h - time that only goes forward, and sleeping. */
#ifndef OFFRAMP_BASE_CLOCK_H
#define OFFRAMP_BASE_CLOCK_H

/* Seconds since some fixed moment (CLOCK_MONOTONIC). */
double or_clock_now(void);

/* Sleeps; a signal may end it early. */
void or_clock_sleep(double seconds);

#endif
