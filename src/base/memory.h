/* memory.h - checked allocation and the growable byte buffer. Everything here is released by free(). */
#ifndef OFFRAMP_BASE_MEMORY_H
#define OFFRAMP_BASE_MEMORY_H

#include <offramp/status.h>

#include <stddef.h>
#include <stdlib.h>

/* `count` zeroed elements of `size` bytes, aligned to a cache line; NULL on overflow or lack of memory.
 * A count of 0 gives a valid pointer, so that NULL always means failure. */
void *or_alloc(size_t count, size_t size);

/* Makes room for `need` elements of `size` bytes at `old` (realloc), growing by half so that appending is
 * linear. *capacity counts elements. Returns the new place, or NULL with `old` left valid. */
void *or_grow(void *old, size_t *capacity, size_t need, size_t size);

/* pointer = `count` zeroed elements of what it points to, as an or_status. */
#define OR_NEW(pointer, count)                                                                               \
    (((pointer) = or_alloc((count), sizeof *(pointer)))                                                      \
         ? OR_OK                                                                                             \
         : or_fail_memory((unsigned long long)(count) * sizeof *(pointer)))

/* Makes room for `need` elements in a vector {pointer, capacity}; returns or_fail_memory() from the caller
 * when there is none. New elements are not zeroed. */
#define OR_RESERVE(pointer, capacity, need)                                                                  \
    do {                                                                                                     \
        if ((size_t)(need) > (capacity)) {                                                                   \
            void *or_grown_ = or_grow((pointer), &(capacity), (need), sizeof *(pointer));                    \
            if (!or_grown_) return or_fail_memory((unsigned long long)(need) * sizeof *(pointer));           \
            (pointer) = or_grown_;                                                                           \
        }                                                                                                    \
    } while (0)

/* Growable bytes; {0} is empty. `data` is NUL-terminated after every append, the NUL not counted. */
typedef struct or_buffer {
    char *data;
    size_t size, capacity;
} or_buffer;

or_status or_buffer_append(or_buffer *buffer, const void *data, size_t size);
or_status or_buffer_puts(or_buffer *buffer, const char *text);
or_status or_buffer_printf(or_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends a field of comma-separated values, quoted only where it must be, a quote within doubled (RFC 4180). */
or_status or_buffer_put_csv(or_buffer *buffer, const char *field);
void or_buffer_free(or_buffer *buffer);

/* "812 B", "1.5 GiB": for people. Returns text. */
enum { OR_BYTES_TEXT = 16 };
const char *or_bytes_text(unsigned long long bytes, char text[OR_BYTES_TEXT]);

/* A malloc'ed copy of `text` in *copy. */
or_status or_strdup(const char *text, char **copy);

/* A malloc'ed printf in *text. */
or_status or_format(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
