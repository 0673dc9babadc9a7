/* transport_watch.c - the watch of a job: a thread on every rank that tells rank 0 twice a second that it lives,
 * and is told so by rank 0.
 *
 *   rank 0 <--pulse-- rank 1, 2, ...     rank 0 --pulse--> rank 1, 2, ...
 *
 * On a communicator of its own, with one receive and at most one send under way per peer. Who hears nothing
 * for too long, or that nothing is done (health.h), ends the job. The same thread writes the status file, and
 * prints a rank's state on SIGUSR2. It sleeps but for four looks a second.
 *
 * SIGTERM is what launchers send when they end a job: because a rank has died, which is then named, or
 * because somebody wants it to end: it is handed on as SIGUSR1, which stops in good order if there is time.
 */
#include "transport_internal.h"

#include "clock.h"
#include "file.h"
#include "health.h"
#include "log.h"

#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOOK    0.25 /* seconds from look to look */
#define PULSE   0.5
#define STATUS  2.0
#define STALLED 2.0 /* a look so late: this process was stopped itself */
/* A launcher that ends a job gives it a second from SIGTERM on, which it sends a second after a death: a rank
 * that has died was silent for longer than one that lives, and the lines of others are still printed. One that
 * lives says at once that it got the signal, for which is waited, by rank 1 for longer: it speaks where rank 0
 * cannot. */
#define LAST_WORDS   0.4
#define LAST_WORDS_1 0.7
#define DEAD         1.3

typedef struct pulse {
    or_vital vital;
    int32_t bye;        /* nothing comes after it */
    int32_t terminated; /* it got a SIGTERM */
} pulse;

/* What a rank has of another: everybody of rank 0, rank 0 of everybody. */
typedef struct peer {
    pulse in, out;
    MPI_Request receive, send; /* MPI_REQUEST_NULL: not under way */
    bool said_bye;
} peer;

struct or_watch {
    or_watch_options options;
    int rank, size;
    MPI_Comm comm;
    peer *peers; /* [size] */
    or_health health;
    pthread_t thread;
    bool started, said; /* said: who is lost, and the launcher ends the job */
    atomic_bool ending;
    double begin, looked, pulsed, wrote, terminated; /* when; 0: not yet; terminated < 0: and said */
    or_headway shown;
    const char *ended; /* how the job ended; NULL: it goes on */

    pthread_mutex_t mutex; /* of what the main thread tells: */
    or_vital own;
    or_headway headway;
    double stepped;
};

static volatile sig_atomic_t wants_state, was_terminated;

/* ---- signals ------------------------------------------------------------------------------------------- */

static void ask_for_state(int signal_number)
{
    (void)signal_number;
    wants_state = 1;
}

static void terminate(int signal_number)
{
    (void)signal_number;
    was_terminated = 1;
    kill(getpid(), SIGUSR1); /* a command that cannot stop in good order ends by it */
}

static void install_handlers(void)
{
    struct sigaction state = {.sa_handler = ask_for_state, .sa_flags = SA_RESTART},
                     end = {.sa_handler = terminate, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &state, NULL);
    sigaction(SIGTERM, &end, NULL);
}

/* ---- what the main thread tells ------------------------------------------------------------------------ */

void or_transport_tell(or_transport *transport, or_doing doing, int layer, size_t rows,
                       const or_stage_stats *stage)
{
    or_watch *w = transport->watch;
    if (!w) return;
    const double now = or_clock_now();
    pthread_mutex_lock(&w->mutex);
    or_vital *own = &w->own;
    if (own->doing == OR_DOING_LAYER && now - w->stepped > own->slowest) own->slowest = now - w->stepped;
    own->doing = doing;
    own->layer = layer;
    own->rows = (int32_t)rows;
    if (stage) {
        own->stage = *stage;
        own->wave = (int64_t)stage->waves_run;
    }
    own->steps += doing == OR_DOING_LAYER || doing == OR_DOING_LOAD || doing == OR_DOING_WRITE;
    w->stepped = now;
    pthread_mutex_unlock(&w->mutex);
}

void or_transport_tell_run(or_transport *transport, bool runs)
{
    or_watch *w = transport->watch;
    if (!w) return;
    pthread_mutex_lock(&w->mutex);
    w->own.runs = runs;
    pthread_mutex_unlock(&w->mutex);
}

void or_transport_tell_headway(or_transport *transport, const or_headway *headway)
{
    or_watch *w = transport->watch;
    if (!w) return;
    pthread_mutex_lock(&w->mutex);
    w->headway = *headway;
    pthread_mutex_unlock(&w->mutex);
}

/* ---- pulses -------------------------------------------------------------------------------------------- */

static bool is_peer(const or_watch *w, int rank)
{
    return rank != w->rank && (w->rank == 0 || rank == 0);
}

static or_status listen_to(or_watch *w, int rank)
{
    peer *p = &w->peers[rank];
    OR_TRY_MPI(MPI_Irecv(&p->in, sizeof p->in, MPI_BYTE, rank, 0, w->comm, &p->receive));
    return OR_OK;
}

/* One rank that is to end ends the job, by way of rank 0. */
static void pass_on(const or_watch *w, const peer *from)
{
    if (w->rank == 0 && from->in.terminated && !was_terminated) kill(getpid(), SIGTERM);
}

/* All that have come. The last one of a peer is its bye. */
static or_status take_pulses(or_watch *w, double now)
{
    for (int r = 0; r < w->size; r++) {
        peer *p = &w->peers[r];
        int came = 1;
        while (is_peer(w, r) && !p->said_bye && came) {
            OR_TRY_MPI(MPI_Test(&p->receive, &came, MPI_STATUS_IGNORE));
            if (!came) break;
            or_health_take(&w->health, r, &p->in.vital, now);
            p->said_bye = p->in.bye;
            pass_on(w, p);
            if (!p->said_bye) OR_TRY(listen_to(w, r));
        }
    }
    return OR_OK;
}

/* A peer that takes nothing is left alone until it does. */
static or_status send_pulses(or_watch *w, bool bye)
{
    for (int r = 0; r < w->size; r++) {
        peer *p = &w->peers[r];
        int free_again;
        if (!is_peer(w, r)) continue;
        OR_TRY_MPI(MPI_Test(&p->send, &free_again, MPI_STATUS_IGNORE));
        if (!free_again) continue;
        p->out = (pulse){w->health.ranks[w->rank].vital, bye, was_terminated};
        OR_TRY_MPI(MPI_Isend(&p->out, sizeof p->out, MPI_BYTE, r, 0, w->comm, &p->send));
    }
    return OR_OK;
}

/* ---- what is seen -------------------------------------------------------------------------------------- */

/* A control line for the launcher that watches this job from outside (launch/offramp-mpirun): a byte that no
 * text has, then a word. */
static void say_outside(const or_watch *w, const char *word)
{
    if (w->rank == 0 && w->options.alive) fprintf(stderr, "\036%s\n", word);
}

/* A status that cannot be written is no reason to end a job: said once. */
static void write_status(or_watch *w, const char *state, double now)
{
    or_buffer text = {0};
    if (w->rank != 0 || !w->options.status) return;
    or_status status =
        or_health_put_json(&text, &w->health, &w->shown, w->options.command, state, now - w->begin, now);
    if (status == OR_OK) status = or_file_write(w->options.status, text.data, text.size);
    if (status != OR_OK) {
        or_log_warn("%s", or_status_message());
        w->options.status = NULL;
    }
    or_buffer_free(&text);
}

/* Who has said bye is not missed; nor, where all are ended, who got the signal as well. */
static void excuse(or_watch *w, bool terminated, double now)
{
    for (int r = 0; r < w->size; r++)
        if (w->peers[r].said_bye || (terminated && w->peers[r].in.terminated)) w->health.ranks[r].heard = now;
}

/* Only rank 0 says who is missing; rank 1 does where that is rank 0. */
static void say_last_words(or_watch *w, double now)
{
    if (!was_terminated) return;
    if (w->terminated == 0) w->terminated = now;
    if (w->terminated < 0 || now - w->terminated < (w->rank == 0 ? LAST_WORDS : LAST_WORDS_1)) return;
    w->terminated = -1;
    excuse(w, true, now);
    const or_loss loss = or_health_missing(&w->health, w->rank, DEAD, now);
    if (loss.rank < 0 || w->rank > 1) return;
    or_health_fail(&w->health, &loss);
    fprintf(stderr, "offramp: %s\n", or_status_message());
    w->said = true;
    write_status(w, "lost", now);
}

static void print_state(or_watch *w)
{
    const or_health_rank *own = &w->health.ranks[w->rank];
    const or_stage_stats *s = &own->vital.stage;
    char text[OR_DOING_TEXT];
    if (!wants_state) return;
    wants_state = 0;
    fprintf(stderr,
            "offramp: rank %d on %s: %s; layers %d..%d, %" PRIu64 " requests in, %" PRIu64
            " exits, busy %.1f s, wait %.1f s, idle %.1f s\n",
            w->rank, own->host, or_doing_text(&own->vital, text), s->first + 1, s->last, s->requests_in,
            s->exits, s->busy, s->wait, s->idle);
}

/* What the main thread has told until now is the own pulse. */
static void take_own(or_watch *w, double now)
{
    pthread_mutex_lock(&w->mutex);
    const or_vital own = w->own;
    w->shown = w->headway;
    pthread_mutex_unlock(&w->mutex);
    or_health_take(&w->health, w->rank, &own, now);
}

/* The main thread may be anywhere; what it has told the journal is on disk. */
static void end_job(or_watch *w, or_transport *transport)
{
    if (or_status_message()[0] != '\0') fprintf(stderr, "offramp: %s\n", or_status_message());
    say_outside(w, "lost");
    write_status(w, "lost", or_clock_now());
    or_transport_abort(transport, OR_ERR_PEER);
}

/* Own pulse first: it is what the others are told, and what is judged with theirs. */
static or_status look(or_watch *w, double now)
{
    take_own(w, now);
    OR_TRY(take_pulses(w, now));
    if (w->looked > 0 && now - w->looked > STALLED) or_health_forgive(&w->health, now);
    w->looked = now;
    if (now - w->pulsed >= PULSE || (was_terminated && w->terminated == 0)) {
        OR_TRY(send_pulses(w, false));
        w->pulsed = now;
    }
    print_state(w);
    say_last_words(w, now);
    if (now - w->wrote >= STATUS) {
        say_outside(w, "alive");
        if (!w->said) write_status(w, "running", now);
        w->wrote = now;
    }
    if (w->said) return OR_OK;
    const or_loss loss = or_health_judge(&w->health, w->rank, w->options.timeout, now);
    return loss.rank < 0 ? OR_OK : or_health_fail(&w->health, &loss);
}

/* A rank other than 0 and 1 that loses rank 0 ends silently: one line is enough. */
static void *watch(void *context)
{
    or_transport *transport = context;
    or_watch *w = transport->watch;
    while (!w->ending) {
        if (look(w, or_clock_now()) != OR_OK) {
            if (w->rank > 1) or_status_set_message("");
            end_job(w, transport);
        }
        or_clock_sleep(was_terminated ? LOOK / 4 : LOOK);
    }
    return NULL;
}

/* ---- beginning and end --------------------------------------------------------------------------------- */

/* The thread gets no signals: handlers run in threads that may be interrupted. */
static or_status start_thread(or_transport *transport)
{
    or_watch *w = transport->watch;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&w->thread, NULL, watch, transport);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->started = error == 0;
    return w->started ? OR_OK : or_fail(OR_ERR_FAILED, "no watch", NULL, "%s", strerror(error));
}

static or_status open_watch(or_transport *transport, const or_watch_options *options)
{
    or_watch *w = NULL;
    OR_TRY(OR_NEW(w, 1));
    transport->watch = w;
    w->options = *options;
    w->rank = transport->rank;
    w->size = transport->size;
    w->begin = or_clock_now();
    w->comm = MPI_COMM_NULL;
    pthread_mutex_init(&w->mutex, NULL);
    OR_TRY(or_health_open(&w->health, w->size, w->begin));
    OR_TRY(OR_NEW(w->peers, (size_t)w->size));
    for (int r = 0; r < w->size; r++) {
        w->health.ranks[r].host = or_transport_host(transport, r);
        w->peers[r].receive = w->peers[r].send = MPI_REQUEST_NULL;
    }
    return OR_OK;
}

or_status or_transport_watch(or_transport *transport, const or_watch_options *options)
{
    if (transport->watch) return OR_OK;
    or_status status = open_watch(transport, options);
    OR_TRY(or_transport_agree(transport, status));
    or_watch *w = transport->watch;
    OR_TRY_MPI(MPI_Comm_dup(transport->comm, &w->comm));
    for (int r = 0; r < w->size; r++)
        if (is_peer(w, r)) OR_TRY(listen_to(w, r));
    install_handlers();
    say_outside(w, "alive");
    return or_transport_agree(transport, start_thread(transport));
}

static bool all_have_gone(const or_watch *w)
{
    for (int r = 0; r < w->size; r++)
        if (is_peer(w, r) && !w->peers[r].said_bye) return false;
    return true;
}

/* Each says bye, and waits for that of the others: then nothing is under way. By the main thread, which still judges
 * meanwhile: a rank may be lost at the very end. */
static or_status say_bye(or_watch *w)
{
    or_wait wait = {0};
    take_own(w, or_clock_now());
    for (int r = 0; r < w->size; r++)
        if (is_peer(w, r)) OR_TRY(or_mpi_wait(&w->peers[r].send));
    OR_TRY(send_pulses(w, true));
    or_health_forgive(&w->health, or_clock_now());
    while (!all_have_gone(w)) {
        const double now = or_clock_now();
        OR_TRY(take_pulses(w, now));
        excuse(w, false, now);
        or_loss loss = or_health_missing(&w->health, w->rank, w->options.timeout, now);
        if (w->options.timeout > 0 && loss.rank >= 0) return or_health_fail(&w->health, &loss);
        or_wait_nap(&wait);
    }
    for (int r = 0; r < w->size; r++)
        if (is_peer(w, r)) OR_TRY(or_mpi_wait(&w->peers[r].send));
    return OR_OK;
}

void or_transport_tell_end(or_transport *transport, or_status status)
{
    or_watch *w = transport->watch;
    if (!w || w->rank != 0) return;
    w->ended = status == OR_OK ? "done" : status == OR_STOPPED ? "stopped" : "failed";
}

void or_watch_close(or_transport *transport)
{
    or_watch *w = transport->watch;
    if (!w || w->comm == MPI_COMM_NULL) return;
    w->ending = true;
    if (w->started) pthread_join(w->thread, NULL);
    if (!w->ended) w->ended = "failed";
    say_outside(w, w->ended);
    if (say_bye(w) != OR_OK) end_job(w, transport);
    write_status(w, w->ended, or_clock_now());
    MPI_Comm_free(&w->comm);
    or_health_free(&w->health);
    pthread_mutex_destroy(&w->mutex);
    free(w->peers);
    free(w);
    transport->watch = NULL;
}

/* Nothing of MPI comes after it: the mutex stays locked. Where not even this ends the process, an alarm does. */
void or_transport_abort(or_transport *transport, or_status status)
{
    signal(SIGALRM, SIG_DFL);
    alarm(5);
    fflush(NULL);
    pthread_mutex_lock(&or_mpi_mutex);
    MPI_Abort(transport ? transport->comm : MPI_COMM_WORLD, (int)status);
    _exit((int)status);
}
