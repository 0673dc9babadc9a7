/* machine.c - memory of this host, after proc(5) and the kernel's cgroup-v2 documentation. */
#include "machine.h"

#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The number behind `key` in a file of lines "key:  N kB", which are KiB; `otherwise` where it cannot be
 * read. */
static uint64_t read_line(const char *path, const char *key, uint64_t otherwise)
{
    or_buffer text = {0};
    uint64_t kib, bytes = otherwise;
    const char *line = or_file_read(path, &text) == OR_OK ? strstr(text.data, key) : NULL;
    if (line && sscanf(line + strlen(key), "%" SCNu64 " kB", &kib) == 1) bytes = kib << 10;
    or_buffer_free(&text);
    return bytes;
}

/* MemAvailable: free memory and what the kernel could free without swapping, page cache above all. A file
 * that cannot be read is no error: no limit is known then. */
static uint64_t read_available(const char *path)
{
    return read_line(path, "MemAvailable:", UINT64_MAX);
}

uint64_t or_machine_peak(void)
{
    return read_line("/proc/self/status", "VmHWM:", 0);
}

/* The limit of one control group: a number, or "max". The topmost group has no such file, and none has it
 * where the memory controller is off. */
static uint64_t read_limit(const char *groups, const char *group)
{
    char *path = NULL;
    or_buffer text = {0};
    uint64_t limit = UINT64_MAX;
    if (or_format(&path, "%s%s/memory.max", groups, group) != OR_OK) return limit;
    if (or_path_exists(path) && or_file_read(path, &text) == OR_OK &&
        sscanf(text.data, "%" SCNu64, &limit) != 1)
        limit = UINT64_MAX;
    or_buffer_free(&text);
    free(path);
    return limit;
}

/* The least limit of the process's group and of those above it, each of which holds for all groups below it
 * together. Version 2's line begins with "0::"; limits of version 1 are not found. */
static uint64_t read_limits(const char *cgroup, const char *groups)
{
    or_buffer text = {0};
    uint64_t least = UINT64_MAX;
    char *group = NULL;
    if (or_path_exists(cgroup) && or_file_read(cgroup, &text) == OR_OK) group = strstr(text.data, "0::/");
    if (group) {
        group += 3;
        group[strcspn(group, "\n")] = '\0';
    }
    while (group && *group) { /* "/job/step", then "/job" */
        /* A job's limit is usually set at a group above that of its processes. */
        const uint64_t limit = read_limit(groups, group);
        if (limit < least) least = limit;
        *strrchr(group, '/') = '\0';
    }
    or_buffer_free(&text);
    /* In a container the topmost group is the container's own; that of a host has no such file. */
    const uint64_t topmost = read_limit(groups, "");
    return topmost < least ? topmost : least;
}

/* The smaller one binds; where neither is known, both are UINT64_MAX. */
uint64_t or_machine_memory_in(const char *meminfo, const char *cgroup, const char *groups)
{
    const uint64_t available = read_available(meminfo), limit = read_limits(cgroup, groups);
    return available < limit ? available : limit;
}

uint64_t or_machine_memory(void)
{
    return or_machine_memory_in("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup");
}
