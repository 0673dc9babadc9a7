/* utf8.h - strict UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
#ifndef OFFRAMP_BASE_UTF8_H
#define OFFRAMP_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character at `text` (1..4), or 0 when there is none within `size` bytes. */
size_t or_utf8_length(const char *text, size_t size);

/* Decodes the character at `text` into *code and returns its length, or 0 as above. */
size_t or_utf8_decode(const char *text, size_t size, uint32_t *code);

/* True when all `size` bytes are well formed; otherwise *bad (unless NULL) is the first bad byte's offset. */
bool or_utf8_valid(const char *text, size_t size, size_t *bad);

/* True when the `size` bytes (1 or more) are the beginning of a well-formed character and not all of it. */
bool or_utf8_begins(const char *text, size_t size);

/* Where no well-formed character begins at `text` (size >= 1): how many bytes one U+FFFD stands for, which
 * is the longest beginning of a character, or else one byte (Unicode 3.9, "maximal subpart of an ill-formed
 * subsequence"; what Python's errors="replace" and Rust's from_utf8_lossy do). */
size_t or_utf8_broken(const char *text, size_t size);

#endif
