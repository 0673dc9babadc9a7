/* machine.h - what this host has. */
#ifndef OFFRAMP_BASE_MACHINE_H
#define OFFRAMP_BASE_MACHINE_H

#include <stdint.h>

/* Bytes of memory that this process may come to use beside what others of the host use now: what the kernel
 * could free for it (/proc/meminfo, MemAvailable), or the limit of its control group or of a group above
 * (Slurm's, a container's), whichever is less. UINT64_MAX when neither can be read. */
uint64_t or_machine_memory(void);

/* Bytes of memory that this process has had at a time at most, those of mapped files that were in memory
 * included: VmHWM of proc(5). 0 when it cannot be read. */
uint64_t or_machine_peak(void);

/* The first from given places: a meminfo file, the process's cgroup file and the folder where control groups
 * (version 2) lie. For tests. */
uint64_t or_machine_memory_in(const char *meminfo, const char *cgroup, const char *groups);

#endif
