/* alphabet.h - GPT-2's byte alphabet: a printable character for each of the 256 bytes, so that pieces are
 * text.
 *
 * Bytes that are printable in Latin-1 (! to ~, ¡ to ¬, ® to ÿ) are that character, the others in their
 * order U+0100, U+0101, ... (bytes_to_unicode() of GPT-2's encoder.py). A space is Ġ (U+0120), a newline Ċ.
 */
#ifndef OFFRAMP_TEXT_ALPHABET_H
#define OFFRAMP_TEXT_ALPHABET_H

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends the character of a byte, in UTF-8. */
or_status or_alphabet_put(uint8_t byte, or_buffer *out);

/* Appends the bytes that these characters stand for; false, and nothing is appended, when one is not of the
 * alphabet. */
or_status or_alphabet_bytes(const char *text, size_t size, or_buffer *out, bool *understood);

#endif
