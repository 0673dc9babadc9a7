/* utf8.c - strict UTF-8, after table 3-7 of the Unicode standard. */
#include "utf8.h"

/* Well-formed characters, by their bytes:
 *
 *   00..7F                          U+0000  .. U+007F
 *   C2..DF  80..BF                  U+0080  .. U+07FF     C0, C1 would be overlong
 *   E0      A0..BF  80..BF          U+0800  .. U+0FFF
 *   E1..EC  80..BF  80..BF          U+1000  .. U+CFFF
 *   ED      80..9F  80..BF          U+D000  .. U+D7FF     above are the surrogates
 *   EE..EF  80..BF  80..BF          U+E000  .. U+FFFF
 *   F0      90..BF  80..BF  80..BF  U+10000 .. U+3FFFF
 *   F1..F3  80..BF  80..BF  80..BF  U+40000 .. U+FFFFF
 *   F4      80..8F  80..BF  80..BF  U+100000.. U+10FFFF
 *
 * The narrower second bytes (after E0, ED, F0, F4) are asked for by the value, once it is put together. */
size_t or_utf8_decode(const char *text, size_t size, uint32_t *code)
{
    const unsigned char *s = (const unsigned char *)text;
    if (size == 0) return 0;
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || size < length) return 0;
    /* Of the first byte the bits behind its ones and their zero: 5, 4 or 3. */
    uint32_t value = s[0] & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        value = value << 6 | (s[i] & 0x3f);
    }
    bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    bool surrogate = value >= 0xd800 && value <= 0xdfff;
    if (overlong || surrogate || value > 0x10ffff) return 0;
    *code = value;
    return length;
}

size_t or_utf8_length(const char *text, size_t size)
{
    uint32_t code;
    return or_utf8_decode(text, size, &code);
}

bool or_utf8_valid(const char *text, size_t size, size_t *bad)
{
    for (size_t i = 0; i < size;) {
        size_t length = or_utf8_length(text + i, size - i);
        if (length == 0) {
            if (bad) *bad = i;
            return false;
        }
        i += length;
    }
    return true;
}

/* Whether `size` bytes begin a character of `length`: some end makes them well formed. Of all ends, those
 * of the lowest and the highest bytes are enough, since what may follow is always a range up to one of
 * them. */
static bool begins_character(const char *text, size_t size, size_t length)
{
    char low[4] = {'\x80', '\x80', '\x80', '\x80'}, high[4] = {'\xbf', '\xbf', '\xbf', '\xbf'};
    for (size_t i = 0; i < size; i++) low[i] = high[i] = text[i];
    return or_utf8_length(low, length) == length || or_utf8_length(high, length) == length;
}

/* The first byte allows one length only, so at most one of these finds anything. */
bool or_utf8_begins(const char *text, size_t size)
{
    for (size_t length = size + 1; length <= 4; length++)
        if (begins_character(text, size, length)) return true;
    return false;
}

/* The longest beginning comes first. */
size_t or_utf8_broken(const char *text, size_t size)
{
    for (size_t begun = size < 3 ? size : 3; begun > 1; begun--)
        if (or_utf8_begins(text, begun)) return begun;
    return 1;
}
