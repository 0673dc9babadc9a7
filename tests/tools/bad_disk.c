/* bad_disk.c - a file system as clusters have them, to be preloaded into offramp (LD_PRELOAD):
 *
 *   BAD_DISK_SYNC=N    the Nth fdatasync() of the process does not come back, as of a file server that is gone
 *   BAD_DISK_LOCK=1    flock() is not known (ENOSYS), as of Lustre without -o flock
 *
 * Not under AddressSanitizer, whose own library wants to be the first.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    static int count;
    const char *last = getenv("BAD_DISK_SYNC");
    if (last && ++count >= atoi(last))
        for (;;) pause();
    return (int)syscall(SYS_fdatasync, fd);
}

int flock(int fd, int operation)
{
    if (!getenv("BAD_DISK_LOCK")) return (int)syscall(SYS_flock, fd, operation);
    errno = ENOSYS;
    return -1;
}
