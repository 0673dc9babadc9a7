/* journal.c - the append-only file of results.
 *
 *   or_journal_append() -> pending, in memory -> or_journal_sync(): write(), fdatasync() -> counted
 *
 * So an append costs no system call, and a killed job loses what came after its last sync.
 *
 *   begin:   create the name, which must be new -> lock -> head
 *   resume:  open -> lock, unless its owner is succeeded -> read -> new file, locked -> rename onto the name
 */
#include "journal.h"

#include "file.h"
#include "log.h"
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct or_journal {
    int fd;
    char *path;
    or_buffer pending; /* appended, not yet written */
    size_t lines;      /* with the pending ones */
};

static or_status fail_errno(const or_journal *journal, const char *what)
{
    return or_fail(OR_ERR_FAILED, what, journal->path, "%s", strerror(errno));
}

/* ---- writing ------------------------------------------------------------------------------------------- */

or_status or_journal_append(or_journal *journal, const char *line, size_t size)
{
    OR_TRY(or_buffer_append(&journal->pending, line, size));
    journal->lines++;
    return or_buffer_append(&journal->pending, "\n", 1);
}

/* write() may take a part only, or be interrupted by a signal; both go on. */
static or_status write_pending(or_journal *journal)
{
    const char *at = journal->pending.data;
    for (size_t left = journal->pending.size; left > 0;) {
        ssize_t put = write(journal->fd, at, left);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(journal, "journal cannot be written");
        at += put;
        left -= (size_t)put;
    }
    if (fdatasync(journal->fd) != 0) return fail_errno(journal, "journal cannot be written");
    journal->pending.size = 0;
    return OR_OK;
}

/* Whether the file that is open here is the one that has the name. */
static bool has_name(const or_journal *journal)
{
    struct stat named, opened;
    return stat(journal->path, &named) == 0 && fstat(journal->fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

or_status or_journal_check(const or_journal *journal)
{
    if (has_name(journal)) return OR_OK;
    return or_fail(OR_ERR_FAILED, "output taken over", journal->path,
                   "another job goes on with it, or it was removed; this one ends");
}

/* With nothing pending the disk is left alone. */
or_status or_journal_sync(or_journal *journal, size_t *lines)
{
    if (journal->pending.size > 0) {
        OR_TRY(or_journal_check(journal));
        OR_TRY(write_pending(journal));
    }
    *lines = journal->lines;
    return OR_OK;
}

/* ---- the head ------------------------------------------------------------------------------------------ */

/* Up to the owner. */
static or_status put_run(or_buffer *head, const char *run)
{
    OR_TRY(or_buffer_puts(head, "{\"offramp_journal\":1,\"run\":"));
    return or_json_put_string(head, run);
}

static or_status put_head(or_buffer *head, const char *run)
{
    or_owner self;
    or_owner_self(&self);
    OR_TRY(put_run(head, run));
    OR_TRY(or_buffer_puts(head, ",\"owner\":"));
    OR_TRY(or_owner_put(head, &self));
    return or_buffer_puts(head, "}\n");
}

/* The first line: this is a journal, and of this run. */
static or_status check_head(const cJSON *head, const char *run, const char *path)
{
    int64_t version;
    const char *found;
    OR_TRY(or_json_int(head, "offramp_journal", path, 1, 1, &version));
    OR_TRY(or_json_string(head, "run", path, &found));
    if (strcmp(found, run) == 0) return OR_OK;
    return or_fail(OR_ERR_INPUT, "another run's journal", path,
                   "it belongs to %s, this run is %s; use another output", found, run);
}

/* A job killed while it wrote the very first line leaves a part of it, or an empty file. */
static bool is_torn_head(const or_buffer *text, const char *run)
{
    or_buffer head = {0};
    bool torn = put_run(&head, run) == OR_OK && !memchr(text->data, '\n', text->size) &&
                memcmp(text->data, head.data, text->size < head.size ? text->size : head.size) == 0;
    or_buffer_free(&head);
    return torn;
}

/* Who wrote it last; all zero when the head does not say. */
static void read_owner(const or_buffer *text, const char *path, or_owner *owner)
{
    const char *end = memchr(text->data, '\n', text->size);
    cJSON *json = NULL;
    *owner = (or_owner){0};
    if (!end || or_json_parse(text->data, (size_t)(end - text->data), path, &json) != OR_OK) return;
    or_owner_read(json, owner);
    cJSON_Delete(json);
}

/* ---- beginning ----------------------------------------------------------------------------------------- */

/* Another job would double the results. False: it has the lock. File systems without locks - which say so in many
 * ways, Lustre by ENOSYS - are taken as they are; a job that goes on with the journal stops the former one anyway. */
static bool lock(const or_journal *journal)
{
    return flock(journal->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

static or_status fail_in_use(const or_journal *journal, const or_owner *owner)
{
    char who[400] = "another job";
    if (owner->pid > 0)
        snprintf(who, sizeof who, "process %" PRId64 " on %s%s%s", owner->pid, owner->host,
                 owner->job[0] ? ", job " : "", owner->job);
    return or_fail(OR_ERR_INPUT, "output in use", journal->path,
                   "%s is writing to it, wait for it or use another output", who);
}

/* The head is on disk before the first result, so a journal always says whose it is. A file that has just
 * been made may have been found by a job that resumes: it goes on. */
static or_status begin(or_journal *journal, const char *run)
{
    if (!lock(journal)) return fail_in_use(journal, &(or_owner){0});
    OR_TRY(put_head(&journal->pending, run));
    return write_pending(journal);
}

/* ---- going on ------------------------------------------------------------------------------------------ */

/* Gives the whole lines of an old journal to `take`; they are [*from, *end) of the text. The first line that
 * is not whole JSON and everything behind it was never counted. */
static or_status replay(or_journal *journal, const or_buffer *text, const char *run, or_journal_line *take,
                        void *context, size_t *from, size_t *end)
{
    size_t number = 1;
    *from = *end = 0;
    if (is_torn_head(text, run)) return OR_OK;
    while (*end < text->size) {
        const char *line = text->data + *end, *stop = memchr(line, '\n', text->size - *end);
        cJSON *json = NULL;
        if (!stop || or_json_parse(line, (size_t)(stop - line), journal->path, &json) != OR_OK) break;
        char where[512];
        snprintf(where, sizeof where, "%s:%zu", journal->path, number);
        or_status status = number == 1 ? check_head(json, run, journal->path) : take(context, json, where);
        cJSON_Delete(json);
        OR_TRY(status);
        *end += (size_t)(stop - line) + 1;
        if (number++ == 1) *from = *end;
    }
    if (number == 1)
        return or_fail(OR_ERR_INPUT, "not a journal", journal->path,
                       "its first line is no journal's head, expected one that offramp wrote");
    journal->lines = number - 2;
    if (*end < text->size)
        or_log_warn("%s: %zu bytes of a torn line are left out", journal->path, text->size - *end);
    return OR_OK;
}

/* A name must be on disk before what only it leads to. A folder that cannot be read cannot be synced. */
static or_status sync_folder(const or_journal *journal)
{
    char *folder;
    OR_TRY(or_path_folder(journal->path, &folder));
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (fd < 0) return OR_OK;
    const bool synced = fsync(fd) == 0 || errno == EINVAL;
    close(fd);
    return synced ? OR_OK : fail_errno(journal, "journal cannot be written");
}

/* Puts the head and the old lines into a new file, which is locked before it gets the journal's name. Whoever
 * has the old one open writes to nobody's from then on. */
static or_status replace(or_journal *journal, const char *run, const char *lines, size_t size)
{
    char *name = NULL;
    OR_TRY(or_format(&name, "%s.new.%ld", journal->path, (long)getpid()));
    const int old = journal->fd, fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    or_status status = OR_OK;
    if (fd < 0) {
        status = fail_errno(journal, "journal cannot be written");
        goto done;
    }
    journal->fd = fd;
    flock(fd, LOCK_EX | LOCK_NB); /* nobody else has opened it */
    status = put_head(&journal->pending, run);
    if (status == OR_OK) status = or_buffer_append(&journal->pending, lines, size);
    if (status == OR_OK) status = write_pending(journal);
    if (status == OR_OK && rename(name, journal->path) != 0)
        status = fail_errno(journal, "journal cannot be written");
    if (status != OR_OK) unlink(name);
    close(old);
done:
    free(name);
    return status == OR_OK ? sync_folder(journal) : status;
}

/* Opens the file that has the name and locks it; a job that ends or begins meanwhile gives the name to another
 * file, which is opened then. Where the lock is not to be had, its owner decides: *text is what is there. */
static or_status open_old(or_journal *journal, or_buffer *text)
{
    or_owner self, owner;
    or_owner_self(&self);
    for (;;) {
        journal->fd = open(journal->path, O_RDWR | O_APPEND | O_CLOEXEC);
        if (journal->fd < 0)
            return or_fail(OR_ERR_INPUT, "output cannot be written", journal->path, "%s", strerror(errno));
        const bool locked = lock(journal);
        if (has_name(journal)) {
            text->size = 0;
            OR_TRY(or_file_read(journal->path, text));
            if (locked) return OR_OK;
            read_owner(text, journal->path, &owner);
            if (!or_owner_succeeds(&self, &owner)) return fail_in_use(journal, &owner);
            or_log_warn("%s: taken over from process %" PRId64
                        " on %s, of this job before it was queued again",
                        journal->path, owner.pid, owner.host);
            return OR_OK;
        }
        close(journal->fd);
    }
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

/* A name that is taken belongs to a run: O_EXCL, as two jobs may begin at once. */
static or_status open_new(or_journal *journal, const char *run, bool *exists)
{
    journal->fd = open(journal->path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    *exists = journal->fd < 0 && errno == EEXIST;
    if (*exists) return OR_OK;
    if (journal->fd < 0)
        return or_fail(OR_ERR_INPUT, "output cannot be written", journal->path, "%s", strerror(errno));
    OR_TRY(begin(journal, run));
    return sync_folder(journal);
}

or_status or_journal_open(const char *path, const char *run, bool resume, or_journal_line *take,
                          void *context, or_journal **out)
{
    or_journal *journal = NULL;
    or_buffer old = {0};
    size_t from, end;
    bool exists;
    OR_TRY(OR_NEW(journal, 1));
    journal->fd = -1;
    or_status status = or_strdup(path, &journal->path);
    OR_TRY_GOTO(close, status);
    OR_TRY_GOTO(close, open_new(journal, run, &exists));
    if (exists && !resume) {
        status = or_fail(OR_ERR_INPUT, "output holds a run", path,
                         "go on with it by --resume, or use another output");
        goto close;
    }
    if (exists) {
        OR_TRY_GOTO(close, open_old(journal, &old));
        OR_TRY_GOTO(close, replay(journal, &old, run, take, context, &from, &end));
        OR_TRY_GOTO(close, replace(journal, run, old.data + from, end - from));
    }
    or_buffer_free(&old);
    *out = journal;
    return OR_OK;

close:
    or_buffer_free(&old);
    or_journal_close(journal);
    return status;
}

void or_journal_close(or_journal *journal)
{
    if (!journal) return;
    if (journal->fd >= 0) close(journal->fd);
    or_buffer_free(&journal->pending);
    free(journal->path);
    free(journal);
}
