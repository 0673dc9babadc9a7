/* file.c - whole files and paths, over POSIX. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* For what the user can mend by another path or by permissions. Where the machine fails behind a good path
 * (a full disk), the status is OR_ERR_FAILED instead. */
static or_status fail_errno(const char *what, const char *path)
{
    return or_fail(OR_ERR_INPUT, what, path, "%s", strerror(errno));
}

/* Opens a regular file for reading and asks its size; *fd is open only after OR_OK. Folders can be opened,
 * too, and devices have no size that offsets could be checked against: both are refused by their kind. */
static or_status open_regular(const char *path, int *fd, uint64_t *size)
{
    struct stat info;
    or_status status = OR_OK;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not wait for a writer */
    if (*fd < 0) return fail_errno("file cannot be opened", path);
    if (fstat(*fd, &info) != 0)
        status = fail_errno("file cannot be read", path);
    else if (!S_ISREG(info.st_mode))
        status = or_fail(OR_ERR_INPUT, "file cannot be read", path, "not a regular file");
    else
        *size = (uint64_t)info.st_size;
    if (status != OR_OK) close(*fd);
    return status;
}

/* Opens the file, so that one that may not be read is told now and not when its data are wanted. */
or_status or_file_size(const char *path, uint64_t *size)
{
    int fd;
    OR_TRY(open_regular(path, &fd, size));
    close(fd);
    return OR_OK;
}

/* For a file that is short when it is opened, and for one that becomes shorter while it is read. */
static or_status too_short(const char *path, uint64_t found, uint64_t offset, size_t size)
{
    return or_fail(OR_ERR_INPUT, "file too short", path,
                   "found %llu bytes, expected %zu from byte %llu on (cut off?)", (unsigned long long)found,
                   size, (unsigned long long)offset);
}

/* ---- mapping ---------------------------------------------------------------------------------------------- */

/* Bytes between the beginning of the page and `address`, a place in the file or in memory: mappings begin
 * at pages in both, so that the two have the same lead.
 *
 *   page            page            page
 *   |<- before ->| data, size bytes |
 *   ^ what mmap() gives and munmap() wants back */
static size_t lead(uint64_t address)
{
    return (size_t)(address % (uint64_t)sysconf(_SC_PAGESIZE));
}

/* The descriptor may be closed at once: the mapping holds the file. Ranks of a host that map the same
 * tensor share the pages of the kernel's cache. (offset + size could overflow, so they are compared one by
 * one.) */
or_status or_map_open(const char *path, uint64_t offset, size_t size, or_map *map)
{
    int fd;
    uint64_t file_size;
    const size_t before = lead(offset);
    *map = (or_map){0};
    OR_TRY(open_regular(path, &fd, &file_size));
    or_status status = OR_OK;
    if (offset > file_size || size > file_size - offset) {
        status = too_short(path, file_size, offset, size);
    } else {
        void *pages = mmap(NULL, size + before, PROT_READ, MAP_SHARED, fd, (off_t)(offset - before));
        if (pages == MAP_FAILED)
            status = fail_errno("file cannot be mapped", path);
        else
            *map = (or_map){(unsigned char *)pages + before, size};
    }
    close(fd);
    return status;
}

or_status or_map_memory(size_t size, or_map *map, unsigned char **data)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *map = (or_map){0};
    if (pages == MAP_FAILED) return or_fail_memory(size);
    madvise(pages, size, MADV_HUGEPAGE); /* where the kernel offers them: fewer misses of the TLB */
    *data = pages;
    *map = (or_map){*data, size};
    return OR_OK;
}

/* What lies before `data` on its page was mapped as well. */
void or_map_close(or_map *map)
{
    const size_t before = lead((uintptr_t)map->data);
    if (map->data) munmap((void *)(map->data - before), map->size + before);
    *map = (or_map){0};
}

/* MADV_POPULATE_READ (Linux 5.14) does what touching every page would do, but where a touch would raise
 * SIGBUS (a disk error, a file cut off meanwhile) it fails, so that the user gets a message. */
or_status or_map_read(const or_map *map, const char *path)
{
    const size_t before = lead((uintptr_t)map->data);
    void *pages = (void *)(map->data - before);
    if (madvise(pages, map->size + before, MADV_POPULATE_READ) == 0) return OR_OK;
    if (errno == EINVAL) { /* a kernel before 5.14: it may at least begin to read */
        madvise(pages, map->size + before, MADV_WILLNEED);
        return OR_OK;
    }
    return fail_errno("file cannot be read", path);
}

/* ---- reading ---------------------------------------------------------------------------------------------- */

/* pread() may bring less than it is asked for, so it is asked again. After an error what had come stays in
 * the buffer; one more byte is reserved for the NUL. */
or_status or_file_read_part(const char *path, uint64_t offset, size_t size, or_buffer *buffer)
{
    int fd;
    uint64_t file_size;
    OR_RESERVE(buffer->data, buffer->capacity, buffer->size + size + 1);
    OR_TRY(open_regular(path, &fd, &file_size));
    or_status status = OR_OK;
    if (offset > file_size || size > file_size - offset) status = too_short(path, file_size, offset, size);
    for (size_t done = 0; status == OR_OK && done < size;) {
        const ssize_t got = pread(fd, buffer->data + buffer->size, size - done, (off_t)(offset + done));
        if (got > 0) {
            done += (size_t)got;
            buffer->size += (size_t)got;
        } else if (got == 0) {
            status = too_short(path, offset + done, offset, size);
        } else if (errno != EINTR) {
            status = fail_errno("file cannot be read", path);
        }
    }
    buffer->data[buffer->size] = '\0';
    close(fd);
    return status;
}

/* Asks for no size beforehand, since pipes and /proc have none: reads chunks until nothing comes. */
or_status or_file_read(const char *path, or_buffer *buffer)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno("file cannot be opened", path);

    or_status status = or_buffer_append(buffer, "", 0); /* data is valid for an empty file too */
    char *chunk = NULL;
    enum { CHUNK = 1 << 18 };
    if (status == OR_OK) status = OR_NEW(chunk, CHUNK);
    while (status == OR_OK) {
        ssize_t got = read(fd, chunk, CHUNK);
        if (got == 0) break;
        if (got > 0)
            status = or_buffer_append(buffer, chunk, (size_t)got);
        else if (errno != EINTR)
            status = fail_errno("file cannot be read", path);
    }
    free(chunk);
    if (!standard) close(fd);
    return status;
}

/* write() may take less than it is given, on a disk that fills up above all; the call after it says why. */
static or_status write_all(int fd, const char *path, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t put = write(fd, data, size);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return or_fail(OR_ERR_FAILED, "file cannot be written", path, "%s", strerror(errno));
        data += put;
        size -= (size_t)put;
    }
    return OR_OK;
}

/* fsync() before rename(): the other way round a crash could leave the name on an empty file. The number of
 * the process keeps two of one host that write the same path from writing into one temporary file. */
or_status or_file_write(const char *path, const void *data, size_t size)
{
    char *temporary = NULL;
    OR_TRY(or_format(&temporary, "%s.tmp.%ld", path, (long)getpid()));
    or_status status = OR_OK;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        status = fail_errno("file cannot be written", path);
        goto free_name;
    }
    status = write_all(fd, path, data, size);
    if (status == OR_OK && fsync(fd) != 0)
        status = or_fail(OR_ERR_FAILED, "file cannot be written", path, "%s", strerror(errno));
    close(fd);
    if (status == OR_OK && rename(temporary, path) != 0) status = fail_errno("file cannot be replaced", path);
    if (status != OR_OK) unlink(temporary);
free_name:
    free(temporary);
    return status;
}

/* By making the temporary file, as permissions alone do not tell (a read-only mount). */
or_status or_file_may_write(const char *path)
{
    char *temporary = NULL;
    if (or_path_exists(path) && !or_path_is_file(path))
        return or_fail(OR_ERR_INPUT, "file cannot be written", path, "not a regular file");
    OR_TRY(or_format(&temporary, "%s.tmp.%ld", path, (long)getpid()));
    or_status status = OR_OK;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        status = fail_errno("file cannot be written", path);
    } else {
        close(fd);
        unlink(temporary);
    }
    free(temporary);
    return status;
}

/* "a/b/c" is cut at each '/' in turn, from the second character on, since the root is there. Other ranks
 * may make the same folder at the same time, so one that exists is as good as one that was made. */
or_status or_folder_make(const char *path)
{
    char *partial = NULL;
    if (path[0] == '\0') return or_fail(OR_ERR_INPUT, "folder cannot be made", NULL, "its name is empty");
    OR_TRY(or_strdup(path, &partial));
    or_status status = OR_OK;
    for (char *at = partial + 1; status == OR_OK; at++) {
        if (*at != '/' && *at != '\0') continue;
        char end = *at;
        *at = '\0';
        if (mkdir(partial, 0777) != 0 && !(errno == EEXIST && or_path_is_folder(partial)))
            status = fail_errno("folder cannot be made", partial);
        *at = end;
        if (end == '\0') break;
    }
    free(partial);
    return status;
}

/* These follow symbolic links, of which the folders in Hugging Face's cache consist. */
bool or_path_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

bool or_path_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool or_path_is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* A folder is of use when it can be listed (R) and its files be reached (X). */
const char *or_path_problem(const char *path)
{
    const int needed = or_path_is_folder(path) ? R_OK | X_OK : R_OK;
    return access(path, needed) == 0 ? NULL : strerror(errno);
}

/* Device and inode are what POSIX knows a file by: links and "./" make no difference. */
bool or_path_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Files name each other (a task its data, a policy its classifier) by either kind of path. */
or_status or_path_join(const char *folder, const char *name, char **path)
{
    if (name[0] == '/' || !folder || folder[0] == '\0') return or_strdup(name, path);
    bool slash = folder[strlen(folder) - 1] == '/';
    return or_format(path, "%s%s%s", folder, slash ? "" : "/", name);
}

/* "/name" is in "/", whose slash stays; every other folder loses its last one. */
or_status or_path_folder(const char *path, char **folder)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return or_strdup(".", folder);
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    return or_format(folder, "%.*s", (int)length, path);
}
