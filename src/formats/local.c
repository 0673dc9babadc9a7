/* local.c - copies of tensors on a disk of the host, for models that lie on a file server.
 *
 *   FOLDER/offramp-<hash of the model's path>/<hash of what it is>/<tensor>
 *
 *   a copy: | the tensor's bytes | hash of each piece of 8 MiB | tail |
 *
 * A copy is written under another name, synced and renamed, so that one that has its name is whole; each piece is
 * checked whenever it is taken. What a model is, is its fingerprint with size and time of its files: copies of what
 * it was before are removed. Ranks of a host share them, whatever layers they have; two that copy the same
 * tensor at once write the same.
 */
#include "checkpoint_internal.h"

#include "clock.h"
#include "log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

typedef struct tail {
    uint64_t magic, bytes, hash; /* hash: of the pieces' hashes */
} tail;
#define MAGIC UINT64_C(0x3179706f6372666f) /* "ofrcopy1" */

struct or_local {
    char *folder; /* of this model, as it is now */
    uint64_t copied, reused;
    double told; /* when it was last said how far it is */
};

static size_t count_pieces(size_t bytes)
{
    return (bytes + OR_PIECE - 1) / OR_PIECE;
}

/* A full disk is no mistake of the user's. */
static or_status fail_errno(const char *what, const char *path)
{
    return or_fail(errno == ENOSPC || errno == EDQUOT || errno == EIO ? OR_ERR_FAILED : OR_ERR_INPUT, what,
                   path, "%s", strerror(errno));
}

/* ---- folders ------------------------------------------------------------------------------------------- */

static or_status put_identity(const or_checkpoint *checkpoint, or_buffer *out)
{
    OR_TRY(or_buffer_printf(out, "%016" PRIx64, checkpoint->fingerprint));
    for (size_t i = 0; i < checkpoint->n_files; i++) {
        struct stat info;
        if (stat(checkpoint->files[i].path, &info) != 0)
            return or_fail(OR_ERR_INPUT, "file cannot be opened", checkpoint->files[i].path, "%s",
                           strerror(errno));
        OR_TRY(or_buffer_printf(out, " %" PRIu64 " %" PRId64 ".%ld", (uint64_t)info.st_size,
                                (int64_t)info.st_mtim.tv_sec, info.st_mtim.tv_nsec));
    }
    return OR_OK;
}

/* FOLDER/offramp-<path> and the name that what the model is has in there; both malloc'ed. */
static or_status name_folder(const or_checkpoint *checkpoint, const char *folder, char **path, char **name)
{
    or_buffer text = {0};
    char *real = realpath(checkpoint->path, NULL);
    const char *model = real ? real : checkpoint->path;
    or_status status =
        or_format(path, "%s/offramp-%016" PRIx64, folder, (uint64_t)XXH3_64bits(model, strlen(model)));
    free(real);
    if (status == OR_OK) status = put_identity(checkpoint, &text);
    if (status == OR_OK) status = or_format(name, "%016" PRIx64, (uint64_t)XXH3_64bits(text.data, text.size));
    or_buffer_free(&text);
    return status;
}

/* Calls `act` with the path of every entry; what cannot be listed has none. */
static or_status each_entry(const char *folder, const char *keep,
                            void (*act)(const char *path, const char *keep))
{
    DIR *listing = opendir(folder);
    struct dirent *entry;
    or_status status = OR_OK;
    while (listing && status == OR_OK && (entry = readdir(listing))) {
        char *path = NULL;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        status = or_path_join(folder, entry->d_name, &path);
        if (status == OR_OK) act(path, keep);
        free(path);
    }
    if (listing) closedir(listing);
    return status;
}

static void remove_file(const char *path, const char *keep)
{
    (void)keep;
    unlink(path);
}

/* Of another state of this model: a job that still maps it keeps what it maps. */
static void remove_superseded(const char *path, const char *keep)
{
    const char *name = strrchr(path, '/') + 1;
    if (strcmp(name, keep) == 0 || strlen(name) != strlen(keep)) return;
    or_log_note("%s: the model has changed, its former copies are removed", path);
    each_entry(path, NULL, remove_file);
    rmdir(path);
}

/* What a process that is gone has left behind: NAME.tmp.*, which one that lives has locked, in whatever container. */
static void remove_leftover(const char *path, const char *keep)
{
    (void)keep;
    const int fd = strstr(path, ".tmp.") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlink(path);
    close(fd);
}

or_status or_checkpoint_copy_to(or_checkpoint *checkpoint, const char *folder)
{
    char *all = NULL, *name = NULL;
    if (checkpoint->format->map || checkpoint->local) return OR_OK; /* made up: there is nothing to copy */
    OR_TRY(OR_NEW(checkpoint->local, 1));
    checkpoint->local->told = or_clock_now();
    or_status status = name_folder(checkpoint, folder, &all, &name);
    if (status == OR_OK) status = or_path_join(all, name, &checkpoint->local->folder);
    if (status == OR_OK) status = or_folder_make(checkpoint->local->folder);
    if (status == OR_OK) status = each_entry(all, name, remove_superseded);
    if (status == OR_OK) status = each_entry(checkpoint->local->folder, NULL, remove_leftover);
    free(name);
    free(all);
    return status;
}

void or_checkpoint_copied(const or_checkpoint *checkpoint, uint64_t *copied, uint64_t *reused)
{
    *copied = checkpoint->local ? checkpoint->local->copied : 0;
    *reused = checkpoint->local ? checkpoint->local->reused : 0;
}

void or_local_close(or_local *local)
{
    if (local) free(local->folder);
    free(local);
}

/* ---- taking a copy that is there ----------------------------------------------------------------------- */

typedef struct checking {
    const unsigned char *data;
    const uint64_t *hashes;
} checking;

/* Fails without a message: that a copy is damaged is no error. */
static or_status check_piece(void *context, size_t from, size_t size)
{
    const checking *c = context;
    return XXH3_64bits(c->data + from, size) == c->hashes[from / OR_PIECE] ? OR_OK : OR_ERR_FAILED;
}

static bool is_whole(const or_map *map, const or_buffer *hashes)
{
    checking c = {map->data, (const uint64_t *)(const void *)hashes->data};
    return or_each_piece(map->size, check_piece, &c) == OR_OK;
}

/* Hashes and tail of a copy; false when it is none of this tensor. */
static bool read_tail(const char *path, size_t bytes, or_buffer *hashes)
{
    const size_t size = count_pieces(bytes) * sizeof(uint64_t);
    uint64_t file_size;
    or_buffer end = {0};
    tail t = {0};
    bool is_copy = or_file_size(path, &file_size) == OR_OK && file_size == bytes + size + sizeof t &&
                   or_file_read_part(path, bytes, size, hashes) == OR_OK &&
                   or_file_read_part(path, bytes + size, sizeof t, &end) == OR_OK;
    if (is_copy) memcpy(&t, end.data, sizeof t);
    or_buffer_free(&end);
    return is_copy && t.magic == MAGIC && t.bytes == bytes && t.hash == XXH3_64bits(hashes->data, size);
}

/* Maps the copy if it is there and whole; *map stays empty otherwise. Reads it. */
static or_status take_copy(const char *path, size_t bytes, or_map *map)
{
    or_buffer hashes = {0};
    *map = (or_map){0};
    if (!or_path_exists(path)) return OR_OK;
    bool whole = read_tail(path, bytes, &hashes) && or_map_open(path, 0, bytes, map) == OR_OK &&
                 or_map_read(map, path) == OR_OK && is_whole(map, &hashes);
    or_buffer_free(&hashes);
    if (whole) return OR_OK;
    or_map_close(map);
    or_log_warn("%s: the local copy is damaged, it is made anew", path);
    return OR_OK;
}

/* ---- making one ---------------------------------------------------------------------------------------- */

typedef struct copying {
    const char *from, *to_path;
    uint64_t offset; /* of the tensor in `from` */
    int to;
    uint64_t *hashes; /* of the pieces */
} copying;

/* From the model's file to the copy's. */
static or_status copy_piece(void *context, size_t from, size_t size)
{
    const copying *c = context;
    or_buffer bytes = {0};
    or_status status = or_file_read_part(c->from, c->offset + from, size, &bytes);
    if (status == OR_OK) c->hashes[from / OR_PIECE] = XXH3_64bits(bytes.data, size);
    for (size_t done = 0; status == OR_OK && done < size;) {
        const ssize_t put = pwrite(c->to, bytes.data + done, size - done, (off_t)(from + done));
        if (put > 0)
            done += (size_t)put;
        else if (errno != EINTR)
            status = fail_errno("local copy cannot be written", c->to_path);
    }
    or_buffer_free(&bytes);
    return status;
}

static or_status write_tail(int to, const char *to_path, size_t bytes, const uint64_t *hashes)
{
    const size_t size = count_pieces(bytes) * sizeof *hashes;
    const tail t = {MAGIC, bytes, XXH3_64bits(hashes, size)};
    if (pwrite(to, hashes, size, (off_t)bytes) != (ssize_t)size ||
        pwrite(to, &t, sizeof t, (off_t)(bytes + size)) != (ssize_t)sizeof t || fsync(to) != 0)
        return fail_errno("local copy cannot be written", to_path);
    return OR_OK;
}

/* Room is taken first: a disk that is too small says so before anything is copied. */
static or_status fill_copy(const char *from, const or_tensor *tensor, int to, const char *to_path)
{
    copying c = {.from = from, .to_path = to_path, .offset = tensor->offset, .to = to};
    errno = posix_fallocate(to, 0, (off_t)tensor->bytes);
    if (errno != 0 && errno != EOPNOTSUPP && errno != EINVAL)
        return fail_errno("local copy cannot be written", to_path);
    OR_TRY(OR_NEW(c.hashes, count_pieces(tensor->bytes)));
    or_status status = or_each_piece(tensor->bytes, copy_piece, &c);
    if (status == OR_OK) status = write_tail(to, to_path, tensor->bytes, c.hashes);
    free(c.hashes);
    return status;
}

/* Makes a file under a name that nobody has, PATH.tmp.* - process ids may be the same in two containers - and locks it.
 * Another process may take it for a leftover before it is locked. *temporary is the caller's to free. */
static or_status open_temporary(const char *path, char **temporary, int *fd)
{
    struct stat info;
    for (;;) {
        OR_TRY(or_format(temporary, "%s.tmp.XXXXXX", path)); /* as mkstemp() wants it */
        *fd = mkostemp(*temporary, O_CLOEXEC);
        if (*fd < 0) return fail_errno("local copy cannot be written", *temporary);
        fchmod(*fd, 0644); /* others may take it, too */
        flock(*fd, LOCK_EX | LOCK_NB);
        if (fstat(*fd, &info) == 0 && info.st_nlink > 0) return OR_OK;
        close(*fd);
        free(*temporary);
        *temporary = NULL;
    }
}

static or_status make_copy(const char *from, const or_tensor *tensor, const char *path)
{
    char *temporary = NULL;
    int fd;
    or_status status = OR_OK;
    OR_TRY_GOTO(done, open_temporary(path, &temporary, &fd));
    status = fill_copy(from, tensor, fd, temporary);
    close(fd);
    if (status == OR_OK && rename(temporary, path) != 0)
        status = fail_errno("local copy cannot be written", path);
    if (status != OR_OK) unlink(temporary);
done:
    free(temporary);
    return status;
}

/* ---- a tensor ------------------------------------------------------------------------------------------ */

/* A name that no file system minds: the tensor's own if it is plain, else a hash of it. */
static or_status copy_path(const or_local *local, const char *name, char **path)
{
    bool plain = name[0] != '.' && strlen(name) < 200 && !strstr(name, ".tmp.");
    for (const char *at = name; *at; at++) plain &= isalnum((unsigned char)*at) || strchr("._-", *at) != NULL;
    if (plain) return or_path_join(local->folder, name, path);
    return or_format(path, "%s/%016" PRIx64, local->folder, (uint64_t)XXH3_64bits(name, strlen(name)));
}

static void tell(or_local *local)
{
    char text[OR_BYTES_TEXT];
    const double now = or_clock_now();
    if (now - local->told < 10) return;
    local->told = now;
    or_log_note("copied %s to %s", or_bytes_text(local->copied, text), local->folder);
}

or_status or_local_map(or_checkpoint *checkpoint, const or_tensor *tensor, or_map *map)
{
    or_local *local = checkpoint->local;
    char *path = NULL;
    OR_TRY(copy_path(local, tensor->name, &path));
    or_status status = take_copy(path, tensor->bytes, map);
    if (status == OR_OK && map->data) {
        local->reused += tensor->bytes;
    } else if (status == OR_OK) {
        status = make_copy(checkpoint->files[tensor->file].path, tensor, path);
        if (status == OR_OK) status = or_map_open(path, 0, tensor->bytes, map);
        local->copied += tensor->bytes;
        tell(local);
    }
    free(path);
    return status;
}
