/* journal.c - the append-only file of results.
 *
 *   or_journal_append() -> pending, in memory -> or_journal_sync(): write(), fdatasync() -> counted
 *
 * So an append costs no system call, and a killed job loses what came after its last sync.
 */
#include "journal.h"

#include "file.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
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

or_status or_journal_append(or_journal *journal, const char *line, size_t size)
{
    OR_TRY(or_buffer_append(&journal->pending, line, size));
    journal->lines++;
    return or_buffer_append(&journal->pending, "\n", 1);
}

/* write() may take a part only, or be interrupted by a signal; both go on. With nothing pending the
 * disk is left alone. */
or_status or_journal_sync(or_journal *journal, size_t *lines)
{
    const char *at = journal->pending.data;
    for (size_t left = journal->pending.size; left > 0;) {
        ssize_t put = write(journal->fd, at, left);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(journal, "journal cannot be written");
        at += put;
        left -= (size_t)put;
    }
    if (journal->pending.size > 0 && fdatasync(journal->fd) != 0)
        return fail_errno(journal, "journal cannot be written");
    journal->pending.size = 0;
    *lines = journal->lines;
    return OR_OK;
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

/* The head line of a journal of `run`. */
static or_status make_head(const char *run, or_buffer *head)
{
    OR_TRY(or_buffer_puts(head, "{\"offramp_journal\":1,\"run\":"));
    OR_TRY(or_json_put_string(head, run));
    return or_buffer_puts(head, "}\n");
}

/* The head is on disk before the first result, so a journal always says whose it is. */
static or_status begin_new(or_journal *journal, const char *run)
{
    size_t lines;
    OR_TRY(make_head(run, &journal->pending));
    return or_journal_sync(journal, &lines);
}

/* A job killed while it wrote the very first line leaves a part of it. An empty file, as open() makes it,
 * is one too, so new journals begin here as well. */
static bool is_torn_head(const or_buffer *text, const char *run)
{
    or_buffer head = {0};
    bool torn = make_head(run, &head) == OR_OK && text->size < head.size &&
                memcmp(text->data, head.data, text->size) == 0;
    or_buffer_free(&head);
    return torn;
}

/* Takes the whole lines of an old journal. The first line that is not whole JSON and everything behind it was
 * never counted: it is cut off. */
static or_status replay(or_journal *journal, const or_buffer *text, const char *run, or_journal_line *take,
                        void *context)
{
    size_t begin = 0, number = 1;
    if (is_torn_head(text, run)) {
        if (ftruncate(journal->fd, 0) != 0) return fail_errno(journal, "journal cannot be cut");
        return begin_new(journal, run);
    }
    /* `begin` is behind the last line that was taken: what is cut off begins there */
    while (begin < text->size) {
        const char *line = text->data + begin, *end = memchr(line, '\n', text->size - begin);
        cJSON *json = NULL;
        if (!end || or_json_parse(line, (size_t)(end - line), journal->path, &json) != OR_OK) break;
        char where[512];
        snprintf(where, sizeof where, "%s:%zu", journal->path, number);
        or_status status = number == 1 ? check_head(json, run, journal->path) : take(context, json, where);
        cJSON_Delete(json);
        OR_TRY(status);
        if (number++ > 1) journal->lines++;
        begin += (size_t)(end - line) + 1;
    }
    if (number == 1)
        return or_fail(OR_ERR_INPUT, "not a journal", journal->path,
                       "its first line is no journal's head, expected "
                       "one that offramp wrote");
    if (begin < text->size) {
        or_log_warn("%s: %zu bytes of a torn line are cut off", journal->path, text->size - begin);
        if (ftruncate(journal->fd, (off_t)begin) != 0) return fail_errno(journal, "journal cannot be cut");
    }
    return OR_OK;
}

/* Another job on the same folder would double the results. The lock goes with the process. File systems
 * without locks are taken as they are. */
static or_status lock(const or_journal *journal)
{
    if (flock(journal->fd, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK || errno == ENOTSUP) return OR_OK;
    return or_fail(OR_ERR_INPUT, "output in use", journal->path,
                   "another job is writing to it, wait for it or use another output");
}

/* Locked before it is read: another job could still be appending. */
or_status or_journal_open(const char *path, const char *run, bool resume, or_journal_line *take,
                          void *context, or_journal **out)
{
    or_journal *journal = NULL;
    or_buffer old = {0};
    OR_TRY(OR_NEW(journal, 1));
    journal->fd = -1;
    or_status status = or_strdup(path, &journal->path);
    OR_TRY_GOTO(close, status);
    const bool exists = or_path_exists(path);
    if (exists && !resume) {
        status = or_fail(OR_ERR_INPUT, "output holds a run", path,
                         "go on with it by --resume, or use another output");
        goto close;
    }
    journal->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (journal->fd < 0) {
        status = or_fail(OR_ERR_INPUT, "output cannot be written", path, "%s", strerror(errno));
        goto close;
    }
    OR_TRY_GOTO(close, lock(journal));
    OR_TRY_GOTO(close, or_file_read(path, &old));
    OR_TRY_GOTO(close, replay(journal, &old, run, take, context));
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
