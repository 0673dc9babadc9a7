/* threads.c - what was asked for, or the cores of this process. */
#include "threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#include <sched.h>

/* 0 until somebody asks or sets. */
static int threads = 0;

/* The affinity mask and not the host's cores: launchers bind each rank to its share. 1 where it cannot be
 * asked, as on a host whose mask is wider than a cpu_set_t (1024 cores). */
int or_threads_available(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

void or_threads_set(int count)
{
    threads = count > 0 ? count : or_threads_available();
}

/* The first call sets the number, so it must come before there are several threads. */
int or_threads(void)
{
    if (threads == 0) or_threads_set(0);
    return threads;
}

int or_thread_number(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}
