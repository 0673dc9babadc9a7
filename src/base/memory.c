/* memory.c - checked allocation and the growable byte buffer. */
#include "memory.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes, on the machines that we know of. */
enum { CACHE_LINE = 64 };

/* Whole cache lines, which aligned_alloc() asks for (C11, 7.22.3.1); so no two allocations share one, and
 * threads that write to different ones do not wait for each other. */
void *or_alloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - CACHE_LINE) return NULL;
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    if (bytes == 0) bytes = CACHE_LINE;
    void *memory = aligned_alloc(CACHE_LINE, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

/* By half as much again: n appends one by one copy fewer than 3 n elements in all. */
void *or_grow(void *old, size_t *capacity, size_t need, size_t size)
{
    size_t wanted = *capacity + *capacity / 2, bytes;
    if (wanted < need) wanted = need;
    /* So that short vectors do not move with each element. */
    if (wanted < 8) wanted = 8;
    if (__builtin_mul_overflow(wanted, size, &bytes)) return NULL;
    void *memory = realloc(old, bytes);
    if (memory) *capacity = wanted;
    return memory;
}

/* One byte more than the data, for the NUL; the check before keeps that sum from overflowing. */
or_status or_buffer_append(or_buffer *buffer, const void *data, size_t size)
{
    if (size > SIZE_MAX - buffer->size - 1) return or_fail_memory(size);
    OR_RESERVE(buffer->data, buffer->capacity, buffer->size + size + 1);
    if (size) memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return OR_OK;
}

or_status or_buffer_puts(or_buffer *buffer, const char *text)
{
    return or_buffer_append(buffer, text, strlen(text));
}

/* Appends a printf; shared by the two variadic calls below. It is printed twice, to measure and to keep,
 * and a va_list serves once only. */
static or_status append_vprintf(or_buffer *buffer, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    or_status status = OR_OK;
    if (length < 0) {
        status = or_fail(OR_ERR_FAILED, "text not made", NULL, "format \"%s\" cannot be printed", format);
    } else {
        char *line = malloc((size_t)length + 1);
        if (line) {
            vsnprintf(line, (size_t)length + 1, format, again);
            status = or_buffer_append(buffer, line, (size_t)length);
            free(line);
        } else {
            status = or_fail_memory((size_t)length + 1);
        }
    }
    va_end(again);
    return status;
}

or_status or_buffer_printf(or_buffer *buffer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    or_status status = append_vprintf(buffer, format, args);
    va_end(args);
    return status;
}

or_status or_buffer_put_csv(or_buffer *buffer, const char *field)
{
    if (!strpbrk(field, ",\"\r\n")) return or_buffer_puts(buffer, field);
    OR_TRY(or_buffer_puts(buffer, "\""));
    for (; *field; field++) OR_TRY(or_buffer_printf(buffer, "%s%c", *field == '"' ? "\"" : "", *field));
    return or_buffer_puts(buffer, "\"");
}

/* Leaves an empty buffer, which may be filled again. */
void or_buffer_free(or_buffer *buffer)
{
    free(buffer->data);
    *buffer = (or_buffer){0};
}

/* Goes on to the next unit where three digits would become 1000: there are never more than three. */
const char *or_bytes_text(unsigned long long bytes, char text[OR_BYTES_TEXT])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    enum { LAST = sizeof units / sizeof *units - 1 };
    double number = (double)bytes;
    int unit = 0;
    for (; number >= 999.5 && unit < LAST; unit++) number /= 1024;
    snprintf(text, OR_BYTES_TEXT, unit == 0 ? "%.0f %s" : "%.3g %s", number, units[unit]);
    return text;
}

or_status or_strdup(const char *text, char **copy)
{
    *copy = strdup(text);
    return *copy ? OR_OK : or_fail_memory(strlen(text) + 1);
}

/* After an error nothing has been appended, so *text is NULL and may be freed. */
or_status or_format(char **text, const char *format, ...)
{
    or_buffer buffer = {0};
    va_list args;
    va_start(args, format);
    or_status status = append_vprintf(&buffer, format, args);
    va_end(args);
    *text = buffer.data;
    return status;
}
