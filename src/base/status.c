/* status.c - the per-thread error message. */
#include <offramp/status.h>

#include "utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Long enough for two paths and a sentence; a longer message is cut, never overflows. */
static _Thread_local char message[1024];

/* Keeps the message one printable line: control characters and bytes that are no UTF-8 become '?', among
 * them what is left of a character at which the message was cut. No byte is added, so it is done in place. */
static void make_printable(char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size;) {
        size_t length = or_utf8_length(text + i, size - i);
        if (length == 0 || (unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
            length = 1;
        }
        i += length;
    }
}

/* What does not fit is cut, at the end of the details as a rule. */
or_status or_fail(or_status status, const char *what, const char *where, const char *details, ...)
{
    char made[sizeof message]; /* apart, since an argument may point into the old message */
    int used = where ? snprintf(made, sizeof made, "%s (%s): ", what, where)
                     : snprintf(made, sizeof made, "%s: ", what);
    if (used > 0 && (size_t)used < sizeof made) {
        va_list args;
        va_start(args, details);
        vsnprintf(made + used, sizeof made - (size_t)used, details, args);
        va_end(args);
    }
    make_printable(made);
    memcpy(message, made, sizeof message);
    return status;
}

or_status or_fail_memory(unsigned long long bytes)
{
    return or_fail(OR_ERR_FAILED, "out of memory", NULL,
                   "%llu bytes could not be allocated, give the job more memory or smaller waves", bytes);
}

const char *or_status_message(void)
{
    return message;
}

/* The text was made printable where or_fail() made it. */
void or_status_set_message(const char *text)
{
    snprintf(message, sizeof message, "%s", text);
}
