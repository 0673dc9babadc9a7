/* test_alphabet.c - GPT-2's byte alphabet, there and back. */
#include "support.h"

#include "alphabet.h"
#include "utf8.h"

static void check_character(uint8_t byte, uint32_t expected)
{
    or_buffer out = {0};
    uint32_t code;
    assert_ok(or_alphabet_put(byte, &out));
    assert_int_equal(or_utf8_decode(out.data, out.size, &code), out.size);
    assert_int_equal(code, expected);
    or_buffer_free(&out);
}

/* The list of GPT-2's encoder.py: printable ones stay, the rest is U+0100 and up in order. */
static void characters_are_gpt2s(void **state)
{
    (void)state;
    uint32_t next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        const bool stays = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        check_character((uint8_t)byte, stays ? (uint32_t)byte : next++);
    }
    assert_int_equal(next, 0x144);
    check_character(' ', 0x120);
    check_character('\n', 0x10a);
    check_character(0xad, 0x143);
}

static void every_byte_comes_back(void **state)
{
    (void)state;
    or_buffer spelled = {0}, bytes = {0};
    bool understood;
    for (int byte = 0; byte < 256; byte++) assert_ok(or_alphabet_put((uint8_t)byte, &spelled));
    assert_ok(or_alphabet_bytes(spelled.data, spelled.size, &bytes, &understood));
    assert_true(understood);
    assert_int_equal(bytes.size, 256);
    for (int byte = 0; byte < 256; byte++) assert_int_equal((uint8_t)bytes.data[byte], byte);
    or_buffer_free(&bytes);
    or_buffer_free(&spelled);
}

static void other_characters_are_not_understood(void **state)
{
    (void)state;
    static const char *const others[] = {" ",          "\n",       "\x7f",         "\xc2\xa0", /* U+00A0 */
                                         "\xc2\xad",   "\xc5\x84", "\xe2\x96\x81", "\xf0\x9f\xa6\x99",
                                         "abc\xc2\x85"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        or_buffer bytes = {0};
        bool understood = true;
        assert_ok(or_buffer_puts(&bytes, "kept"));
        assert_ok(or_alphabet_bytes(others[i], strlen(others[i]), &bytes, &understood));
        assert_false(understood);
        assert_int_equal(bytes.size, 4);
        or_buffer_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_gpt2s),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(other_characters_are_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
