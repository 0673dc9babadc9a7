/* transport_internal.h - a transport over MPI, and its watch: what transport_mpi.c and transport_watch.c share. */
#ifndef OFFRAMP_PIPELINE_TRANSPORT_INTERNAL_H
#define OFFRAMP_PIPELINE_TRANSPORT_INTERNAL_H

#include "transport.h"

#include <mpi.h>
#include <pthread.h>

/* A message under way: its request stands at the same place of `requests`. */
typedef struct or_flight {
    void *data;
    or_message message; /* receives only */
} or_flight;

typedef struct or_flights {
    MPI_Request *requests;
    or_flight *flights;
    size_t count, requests_capacity, flights_capacity;
} or_flights;

typedef struct or_watch or_watch; /* transport_watch.c */

struct or_transport {
    MPI_Comm comm;
    MPI_Comm host; /* the ranks of this host; MPI_COMM_NULL of a part */
    int rank, size;
    char *hosts; /* [size][MPI_MAX_PROCESSOR_NAME] */
    or_flights sends, receives;
    or_watch *watch; /* NULL: none; of a part its whole's */
};

/* MPI returns only on success (its default handler ends the job otherwise); the check keeps a changed error
 * handler from going unseen. One thread at a time is in MPI (MPI_THREAD_SERIALIZED): the main thread, or the
 * watch's. */
#define OR_TRY_MPI(call)                                                                                     \
    do {                                                                                                     \
        pthread_mutex_lock(&or_mpi_mutex);                                                                   \
        int or_mpi_ = (call);                                                                                \
        pthread_mutex_unlock(&or_mpi_mutex);                                                                 \
        if (or_mpi_ != MPI_SUCCESS)                                                                          \
            return or_fail(OR_ERR_PEER, "MPI failed", NULL, "%s returned %d", #call, or_mpi_);               \
    } while (0)

extern pthread_mutex_t or_mpi_mutex;

/* Waits for a request, asleep. The main thread's. */
or_status or_mpi_wait(MPI_Request *request);

/* Ends the watch; collective. NULL is fine. */
void or_watch_close(or_transport *transport);

#endif
