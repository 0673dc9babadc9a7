/* transport_mpi.c - the transport over Open MPI (MPI_THREAD_SERIALIZED, see transport_internal.h).
 *
 * Messages have no size limit known to the receiver, so they are probed first (MPI_Improbe) and received
 * into a buffer of their size without waiting (MPI_Imrecv). Collectives, but for those of
 * or_transport_open() and _close(), are the non-blocking ones and waited for by naps: MPI's own waiting
 * spins, and would take the core from ranks that still compute. MPI errors abort the job by MPI's default
 * handler: Open MPI 4.1 cannot go on after one.
 */
#include "transport_internal.h"

#include "clock.h"
#include "memory.h"

#include <limits.h>
#include <string.h>

pthread_mutex_t or_mpi_mutex = PTHREAD_MUTEX_INITIALIZER;

/* Without spinning. */
or_status or_mpi_wait(MPI_Request *request)
{
    or_wait wait = {0};
    for (int done = 0;;) {
        OR_TRY_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (done) return OR_OK;
        or_wait_nap(&wait);
    }
}

/* For reports, and for the rank that is lost. Collective, blocking; at open only. */
static or_status gather_hosts(or_transport *transport)
{
    char name[MPI_MAX_PROCESSOR_NAME] = "";
    int length;
    OR_TRY_MPI(MPI_Get_processor_name(name, &length));
    OR_TRY(OR_NEW(transport->hosts, (size_t)transport->size * sizeof name));
    OR_TRY_MPI(
        MPI_Allgather(name, sizeof name, MPI_CHAR, transport->hosts, sizeof name, MPI_CHAR, transport->comm));
    return OR_OK;
}

/* A communicator of our own, so that no message of the host program is met. Ranks that share memory are
 * those of a host. */
or_status or_transport_open(or_transport **out)
{
    or_transport *transport = NULL;
    OR_TRY(OR_NEW(transport, 1));
    MPI_Comm_dup(MPI_COMM_WORLD, &transport->comm);
    MPI_Comm_rank(transport->comm, &transport->rank);
    MPI_Comm_size(transport->comm, &transport->size);
    MPI_Comm_split_type(transport->comm, MPI_COMM_TYPE_SHARED, transport->rank, MPI_INFO_NULL,
                        &transport->host);
    or_status status = gather_hosts(transport);
    if (status == OR_OK)
        *out = transport;
    else
        or_transport_close(transport);
    return status;
}

/* Ranks keep their order, so the first of each part is the first of its ranks. */
or_status or_transport_split(or_transport *whole, int parts, or_transport **out)
{
    or_transport *part = NULL;
    OR_TRY(OR_NEW(part, 1));
    part->host = MPI_COMM_NULL;
    part->watch = whole->watch;
    OR_TRY_MPI(MPI_Comm_split(whole->comm, whole->rank / (whole->size / parts), whole->rank, &part->comm));
    MPI_Comm_rank(part->comm, &part->rank);
    MPI_Comm_size(part->comm, &part->size);
    *out = part;
    return OR_OK;
}

/* Collective (MPI_Comm_free). After a pipeline that closed in good order nothing is under way. */
void or_transport_close(or_transport *transport)
{
    if (!transport) return;
    if (transport->host != MPI_COMM_NULL) { /* the whole, not a part */
        or_watch_close(transport);
        MPI_Comm_free(&transport->host);
    }
    MPI_Comm_free(&transport->comm);
    free(transport->sends.requests);
    free(transport->sends.flights);
    free(transport->receives.requests);
    free(transport->receives.flights);
    free(transport->hosts);
    free(transport);
}

int or_transport_rank(const or_transport *transport)
{
    return transport->rank;
}

int or_transport_size(const or_transport *transport)
{
    return transport->size;
}

const char *or_transport_host(const or_transport *transport, int rank)
{
    return transport->hosts ? transport->hosts + (size_t)rank * MPI_MAX_PROCESSOR_NAME : NULL;
}

size_t or_transport_sending(const or_transport *transport)
{
    return transport->sends.count;
}

/* Both arrays have room before either is written, so they stay in step. */
static or_status add_flight(or_flights *list, const or_flight *started, MPI_Request request)
{
    OR_RESERVE(list->requests, list->requests_capacity, list->count + 1);
    OR_RESERVE(list->flights, list->flights_capacity, list->count + 1);
    list->requests[list->count] = request;
    list->flights[list->count++] = *started;
    return OR_OK;
}

/* Takes a flight that has landed out of the list; the last takes its place. For sends, whose order does not
 * matter. Local, non-blocking. */
static or_status take_landed(or_flights *list, or_flight *landed, bool *found)
{
    int at, done = 0;
    *found = false;
    if (list->count == 0) return OR_OK;
    OR_TRY_MPI(MPI_Testany((int)list->count, list->requests, &at, &done, MPI_STATUS_IGNORE));
    if (!done || at == MPI_UNDEFINED) return OR_OK;
    *landed = list->flights[at];
    list->count--;
    list->requests[at] = list->requests[list->count];
    list->flights[at] = list->flights[list->count];
    *found = true;
    return OR_OK;
}

/* Whether an earlier message of the same sender is still arriving. */
static bool must_wait(const or_flights *list, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (list->flights[i].message.from == list->flights[at].message.from) return true;
    return false;
}

/* Takes the first message that has arrived and that none of the same sender is ahead of. The list is in the
 * order in which they were announced, which is the order in which each sender sent them (MPI 3.1, section
 * 3.5). */
static or_status take_next(or_flights *list, or_flight *landed, bool *found)
{
    *found = false;
    for (size_t i = 0; i < list->count && !*found; i++) {
        int done = 0;
        if (must_wait(list, i)) continue;
        OR_TRY_MPI(MPI_Test(&list->requests[i], &done, MPI_STATUS_IGNORE));
        if (!done) continue;
        *landed = list->flights[i];
        *found = true;
        list->count--;
        memmove(list->requests + i, list->requests + i + 1, (list->count - i) * sizeof *list->requests);
        memmove(list->flights + i, list->flights + i + 1, (list->count - i) * sizeof *list->flights);
    }
    return OR_OK;
}

/* Frees the buffers that MPI is done with. Called by every send and poll: there is no other time for it. */
static or_status free_sent(or_transport *transport)
{
    for (bool found = true; found;) {
        or_flight sent;
        OR_TRY(take_landed(&transport->sends, &sent, &found));
        if (found) free(sent.data);
    }
    return OR_OK;
}

/* The buffer is MPI's until free_sent() finds the send complete. */
or_status or_transport_send(or_transport *transport, int to, or_tag tag, void *data, size_t size)
{
    if (size > INT_MAX) {
        free(data);
        return or_fail(OR_ERR_FAILED, "message too large", NULL,
                       "%zu bytes, MPI sends up to %d; use smaller "
                       "--wave-tokens",
                       size, INT_MAX);
    }
    MPI_Request request;
    OR_TRY_MPI(MPI_Isend(data, (int)size, MPI_BYTE, to, (int)tag, transport->comm, &request));
    or_flight started = {.data = data};
    OR_TRY(add_flight(&transport->sends, &started, request));
    return free_sent(transport);
}

/* Starts receiving a message that has been announced, if there is one. */
static or_status start_receive(or_transport *transport, bool *started)
{
    MPI_Message handle;
    MPI_Status info;
    MPI_Request request;
    int found = 0, size = 0;
    OR_TRY_MPI(MPI_Improbe(MPI_ANY_SOURCE, MPI_ANY_TAG, transport->comm, &found, &handle, &info));
    *started = found;
    if (!found) return OR_OK;
    OR_TRY_MPI(MPI_Get_count(&info, MPI_BYTE, &size));
    char *data = NULL;
    OR_TRY(OR_NEW(data, (size_t)size));
    or_flight arriving = {.data = data,
                          .message = {info.MPI_SOURCE, (or_tag)info.MPI_TAG, data, (size_t)size}};
    OR_TRY_MPI(MPI_Imrecv(data, size, MPI_BYTE, &handle, &request));
    return add_flight(&transport->receives, &arriving, request);
}

/* Receives of all announced messages are started before one is handed out: large ones then arrive side by
 * side. */
or_status or_transport_poll(or_transport *transport, or_message *message, bool *arrived)
{
    OR_TRY(free_sent(transport));
    for (bool started = true; started;) OR_TRY(start_receive(transport, &started));
    or_flight landed;
    OR_TRY(take_next(&transport->receives, &landed, arrived));
    if (*arrived) *message = landed.message;
    return OR_OK;
}

/* The worst status is the greatest; MPI_MAXLOC gives the lowest rank among those that have it. */
or_status or_transport_agree(or_transport *transport, or_status status)
{
    struct {
        int status, rank;
    } mine = {(int)status, transport->rank}, worst = {0, 0};
    MPI_Request request;
    OR_TRY_MPI(MPI_Iallreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, transport->comm, &request));
    OR_TRY(or_mpi_wait(&request));
    if (worst.status != OR_OK && worst.rank != transport->rank) or_status_set_message("");
    return (or_status)worst.status;
}

or_status or_transport_same(or_transport *transport, uint64_t value, const char *what)
{
    uint64_t mine[2] = {value, ~value}, most[2];
    MPI_Request request;
    OR_TRY_MPI(MPI_Iallreduce(mine, most, 2, MPI_UINT64_T, MPI_MAX, transport->comm, &request));
    OR_TRY(or_mpi_wait(&request));
    or_status status = OR_OK; /* the greatest value and the greatest complement meet only if all are equal */
    if (most[0] != ~most[1])
        status = or_fail(OR_ERR_INPUT, "ranks differ", NULL,
                         "%s is not the same on all ranks, expected the "
                         "same files on every host",
                         what);
    return or_transport_agree(transport, status);
}

or_status or_transport_host_sum(or_transport *transport, uint64_t value, uint64_t *sum, int *ranks)
{
    MPI_Request request;
    OR_TRY_MPI(MPI_Iallreduce(&value, sum, 1, MPI_UINT64_T, MPI_SUM, transport->host, &request));
    OR_TRY(or_mpi_wait(&request));
    OR_TRY_MPI(MPI_Comm_size(transport->host, ranks));
    return OR_OK;
}

or_status or_transport_least(or_transport *transport, uint64_t *value)
{
    const uint64_t mine = *value;
    MPI_Request request;
    OR_TRY_MPI(MPI_Iallreduce(&mine, value, 1, MPI_UINT64_T, MPI_MIN, transport->comm, &request));
    return or_mpi_wait(&request);
}

or_status or_transport_gather(or_transport *transport, const void *mine, size_t size, void *all)
{
    MPI_Request request;
    OR_TRY_MPI(
        MPI_Iallgather(mine, (int)size, MPI_BYTE, all, (int)size, MPI_BYTE, transport->comm, &request));
    return or_mpi_wait(&request);
}

or_status or_transport_barrier(or_transport *transport)
{
    MPI_Request request;
    OR_TRY_MPI(MPI_Ibarrier(transport->comm, &request));
    return or_mpi_wait(&request);
}
