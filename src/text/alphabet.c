/* alphabet.c - GPT-2's byte alphabet, computed. */
#include "alphabet.h"

#include "utf8.h"

/* Bytes that are not printable in Latin-1, in three runs: each run's characters follow on the one before. */
typedef struct run {
    uint32_t first, last; /* bytes */
    uint32_t code;        /* character of `first` */
} run;

static const run unprintable[] = {
    {0x00, 0x20, 0x100}, {0x7f, 0xa0, 0x100 + 33}, {0xad, 0xad, 0x100 + 33 + 34}};
enum { RUNS = sizeof unprintable / sizeof *unprintable };

/* The character of a byte; itself where that is printable. */
static uint32_t code_of(uint8_t byte)
{
    for (const run *r = unprintable; r < unprintable + RUNS; r++)
        if (byte >= r->first && byte <= r->last) return r->code + byte - r->first;
    return byte;
}

/* The byte of a character, -1 when it is not of the alphabet. */
static int byte_of(uint32_t code)
{
    for (const run *r = unprintable; r < unprintable + RUNS; r++)
        if (code >= r->code && code <= r->code + r->last - r->first) return (int)(r->first + code - r->code);
    return code <= 0xff && code_of((uint8_t)code) == code ? (int)code : -1;
}

or_status or_alphabet_put(uint8_t byte, or_buffer *out)
{
    const uint32_t code = code_of(byte); /* below U+0800: one byte of UTF-8, or two */
    const char utf8[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
    return code < 0x80 ? or_buffer_append(out, &(char){(char)code}, 1) : or_buffer_append(out, utf8, 2);
}

/* The text is UTF-8, as the texts of all pieces are, so each step moves on. What one piece stands for need
 * not be UTF-8: characters are put together from the bytes of several. */
or_status or_alphabet_bytes(const char *text, size_t size, or_buffer *out, bool *understood)
{
    const size_t begin = out->size;
    *understood = true;
    for (size_t i = 0; i < size && *understood;) {
        uint32_t code;
        i += or_utf8_decode(text + i, size - i, &code);
        const int byte = byte_of(code);
        *understood = byte >= 0;
        if (*understood) OR_TRY(or_buffer_append(out, &(char){(char)byte}, 1));
    }
    if (!*understood) out->size = begin;
    return OR_OK;
}
