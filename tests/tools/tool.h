/* tool.h - what the tools share. */
#ifndef OFFRAMP_TESTS_TOOL_H
#define OFFRAMP_TESTS_TOOL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the tool with code 1. */
static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* A new file in the folder; there is no return when it cannot be made. */
static inline FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    return file;
}

#endif
