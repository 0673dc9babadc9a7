/* clock.c - over POSIX: clock_gettime() and nanosleep(). */
#include "clock.h"

#include <sys/prctl.h>
#include <time.h>

/* CLOCK_MONOTONIC goes on evenly when somebody sets the host's time. It begins at another moment on every
 * host, so only differences mean something, and only on one host. */
double or_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* EINTR is not taken up again: whoever waits in a loop looks sooner at what the signal handler left. */
void or_clock_sleep(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL);
}

static double within(double nap)
{
    if (nap < OR_CLOCK_NAP) return OR_CLOCK_NAP;
    return nap < OR_CLOCK_NAP_MOST ? nap : OR_CLOCK_NAP_MOST;
}

double or_wait_seconds(or_wait *wait, double now)
{
    if (wait->waiting) return within((now - wait->begin) / 8);
    wait->waiting = true;
    wait->begin = now;
    return within((wait->last[0] < wait->last[1] ? wait->last[0] : wait->last[1]) / 4);
}

void or_wait_over(or_wait *wait, double now)
{
    if (!wait->waiting) return;
    wait->waiting = false;
    wait->last[1] = wait->last[0];
    wait->last[0] = now - wait->begin;
}

/* Linux lets timers of a thread be late by 50 us, unless the thread asks for better. */
void or_wait_nap(or_wait *wait)
{
    if (!wait->waiting) prctl(PR_SET_TIMERSLACK, 1000UL);
    or_clock_sleep(or_wait_seconds(wait, or_clock_now()));
}

void or_wait_end(or_wait *wait)
{
    if (wait->waiting) or_wait_over(wait, or_clock_now());
}
