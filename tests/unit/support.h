/* support.h - what the unit tests share: cmocka, scratch folders, files, and asserts on or_status.
 *
 * A test program is a list of cmocka tests; a test that needs data which is not in the project calls
 * need_data() first, which skips it with a line that says so.
 */
#ifndef OFFRAMP_TESTS_SUPPORT_H
#define OFFRAMP_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <offramp/status.h>

/* The call succeeds; otherwise its message is printed. */
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        or_status got_ = (call);                                                                             \
        if (got_ != OR_OK) fail_msg("%s: status %d, %s", #call, (int)got_, or_status_message());             \
    } while (0)

/* The call fails with `expected`, and its message holds `part`. */
#define assert_fails(call, expected, part)                                                                   \
    do {                                                                                                     \
        or_status got_ = (call);                                                                             \
        if (got_ != (expected) || !strstr(or_status_message(), (part)))                                      \
            fail_msg("%s: status %d (expected %d), message \"%s\" (expected \"%s\" in it)", #call,           \
                     (int)got_, (int)(expected), or_status_message(), (part));                               \
    } while (0)

/* |a - b| <= tolerance, both printed. */
#define assert_near(a, b, tolerance)                                                                         \
    do {                                                                                                     \
        double a_ = (a), b_ = (b);                                                                           \
        if (!(a_ - b_ <= (tolerance) && b_ - a_ <= (tolerance)))                                             \
            fail_msg("%s = %.9g, %s = %.9g, more than %g apart", #a, a_, #b, b_, (double)(tolerance));       \
    } while (0)

/* A new empty folder, removed with all it holds at exit. The text is valid until then. */
const char *scratch_folder(void);

/* folder/name, in one of a few rotating buffers. */
const char *path_in(const char *folder, const char *name);

/* Writes a file (test fails when it cannot). */
void put_file(const char *path, const void *data, size_t size);
void put_text(const char *path, const char *text);

/* A file of the project's source tree / of the data that is not shipped. The second skips the calling test
 * with a line when the data are not there. */
const char *source_path(const char *name);
const char *need_data(const char *name);

/* Seeded random numbers, the same on every machine: uniform in 0 .. 2^32-1. */
uint32_t random_bits(uint64_t *state);

#endif
