/* target.c - see target.h. */
#include "target.h"

#include "file.h"
#include "threads.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void stop(const char *what, const char *where)
{
    fprintf(stderr, "fuzz target: %s (%s): %s\n", what, where, or_status_message());
    abort();
}

static void remove_folder(void)
{
    DIR *entries = opendir(folder);
    for (const struct dirent *entry; entries && (entry = readdir(entries));)
        if (entry->d_name[0] != '.') unlinkat(dirfd(entries), entry->d_name, 0);
    if (entries) closedir(entries);
    rmdir(folder);
}

static void make_folder(void)
{
    strcpy(folder, "/dev/shm/offramp-fuzz-XXXXXX");
    if (!mkdtemp(folder)) {
        strcpy(folder, "/tmp/offramp-fuzz-XXXXXX");
        if (!mkdtemp(folder)) stop("no folder for inputs", folder);
    }
    atexit(remove_folder);
    or_threads_set(1);
}

const char *target_folder(void)
{
    if (!folder[0]) make_folder();
    return folder;
}

const char *target_put(const char *name, const uint8_t *data, size_t size)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", target_folder(), name);
    FILE *file = fopen(path, "wb");
    if (!file || (size && fwrite(data, 1, size, file) != size) || fclose(file) != 0)
        stop("cannot write", path);
    return path;
}

void target_copy_seed(const char *name, const char *seed)
{
    or_buffer bytes = {0};
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", TARGET_CORPUS, seed);
    if (or_file_read(path, &bytes) != OR_OK) stop("no seed", path);
    target_put(name, (const uint8_t *)bytes.data, bytes.size);
    or_buffer_free(&bytes);
}

void target_judge(or_status status, const char *path)
{
    if (status == OR_OK) return;
    if (status != OR_ERR_INPUT) stop("neither read nor refused", path);
    if (!strstr(or_status_message(), path)) stop("refused without naming the file", path);
}
