/* threads.h - how many threads this rank computes with (OpenMP).
 *
 * Parallel loops are written in place: `#pragma omp parallel for num_threads(or_threads())`, each iteration
 * computing its own outputs alone, so that no result depends on the number of threads.
 */
#ifndef OFFRAMP_BASE_THREADS_H
#define OFFRAMP_BASE_THREADS_H

/* Threads in use; before or_threads_set() the cores this process may run on. */
int or_threads(void);

/* Sets them; `count` 0 means the cores this process may run on (what the launcher bound). */
void or_threads_set(int count);

/* The number of the calling thread within such a loop, from 0 on; below or_threads(). Always 0 in a build
 * without OpenMP (the fuzz targets), where loops run on one thread. */
int or_thread_number(void);

/* Cores this process may run on. */
int or_threads_available(void);

#endif
