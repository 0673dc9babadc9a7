/* log.c - lines for people on stderr, each in one write so that ranks do not mix within a line. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

/* Set by or_log_open() once it is known what the user wants; -1: this run has no ranks to tell apart. */
static or_log_level log_level = OR_LOG_NORMAL;
static int log_rank = -1;

void or_log_open(or_log_level level, int rank)
{
    log_level = level;
    log_rank = rank;
}

/* Made in one piece and printed by one call, which glibc hands to the kernel in one write. What is longer
 * than the line's room is cut. */
static void print_line(or_log_level level, const char *kind, const char *format, va_list args)
{
    if (level > log_level) return;
    char line[2048];
    int used = log_rank < 0 ? snprintf(line, sizeof line, "offramp: %s", kind)
                            : snprintf(line, sizeof line, "offramp: rank %d: %s", log_rank, kind);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    fprintf(stderr, "%s\n", line);
}

void or_log_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(OR_LOG_NORMAL, "warning: ", format, args);
    va_end(args);
}

void or_log_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(OR_LOG_NORMAL, "", format, args);
    va_end(args);
}

void or_log_detail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(OR_LOG_VERBOSE, "", format, args);
    va_end(args);
}
