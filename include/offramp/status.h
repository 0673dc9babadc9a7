/* status.h - the one status type of offramp, and the one-line message behind it.
 *
 * Every call that can fail returns an or_status. The function that decides the error writes the message
 * with or_fail(); its callers only pass the status on (OR_TRY, OR_TRY_GOTO). The message is kept per
 * thread until the next or_fail() of that thread. Local: nothing here talks to other ranks.
 */
#ifndef OFFRAMP_STATUS_H
#define OFFRAMP_STATUS_H

/* The values are the exit codes of the commands. */
typedef enum or_status {
    OR_OK = 0,
    OR_ERR_FAILED = 1, /* the work failed: memory, disk, a number that is not finite */
    OR_ERR_USAGE = 2,  /* the command line is wrong */
    OR_ERR_INPUT = 3,  /* a model, task, policy or request file is refused */
    OR_STOPPED = 75,   /* stopped on request; the journal is complete, go on with --resume */
    OR_ERR_PEER = 76   /* another rank is lost, or sent what no rank sends */
} or_status;

/* Sets this thread's message to "<what> (<where>): <details>" and returns `status`.
 *   what     what happened, e.g. "model refused"
 *   where    the file or rank it happened in, or NULL
 *   details  printf format: what was found, what was expected or what to do
 * Control characters and broken UTF-8 from the input are shown as '?', so that the message is one line. */
or_status or_fail(or_status status, const char *what, const char *where, const char *details, ...)
    __attribute__((format(printf, 4, 5)));

/* Shorthand for the error of a failed allocation of `bytes` (OR_ERR_FAILED). */
or_status or_fail_memory(unsigned long long bytes);

/* The message of this thread's last or_fail(), "" if there was none. Valid until the next one. */
const char *or_status_message(void);

/* Takes over a message that was made elsewhere (another thread or rank), as it is. */
void or_status_set_message(const char *message);

/* Returns the status of `expr` to the caller unless it is OR_OK. */
#define OR_TRY(expr)                                                                                         \
    do {                                                                                                     \
        or_status or_try_ = (expr);                                                                          \
        if (or_try_ != OR_OK) return or_try_;                                                                \
    } while (0)

/* The same for functions that unwind: stores it in the local `status` and jumps to `label`. */
#define OR_TRY_GOTO(label, expr)                                                                             \
    do {                                                                                                     \
        if ((status = (expr)) != OR_OK) goto label;                                                          \
    } while (0)

#endif
