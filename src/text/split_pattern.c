/* split_pattern.c - Oniguruma's patterns for PCRE2.
 *
 * The tokenizers library matches with Oniguruma in its Ruby syntax, we with PCRE2 (PCRE2_UTF | PCRE2_UCP).
 * The two agree on what models use: literals, classes, general categories (\p{L}, \p{Lu}), \d, greedy and
 * possessive quantifiers, groups that only group, look-around. \s is rewritten, since PCRE2's holds U+180E,
 * which is no white space since Unicode 6.3. Whatever else the two may read differently (\w and \h,
 * scripts, sets within sets, options in the middle, named groups) is refused, because ids that are slightly
 * wrong are worse than none.
 *
 * Sources: Oniguruma's doc/RE; pcre2pattern(3).
 */
#include "split.h"

#include <ctype.h>
#include <string.h>

const char or_split_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char or_split_llama3[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                               " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const char or_split_digit[] = "\\p{N}";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static or_status refuse(const char *at, int length, const char *where)
{
    return or_fail(OR_ERR_INPUT, "tokenizer refused", where,
                   "its pattern has \"%.*s\", which regular expression engines read differently, expected "
                   "a pattern like GPT-2's or Llama-3's",
                   length, at);
}

/* Bytes of \p{L}, \P{Lu} or \p{^L}, 0 for another property: what scripts are is understood differently. One
 * or two letters are a general category of Unicode in both. */
static size_t category_length(const char *at)
{
    size_t length = 2;
    if (at[length++] != '{') return 0;
    if (at[length] == '^') length++;
    const size_t first = length;
    while (isalpha((unsigned char)at[length])) length++;
    const size_t letters = length - first;
    return (letters == 1 || letters == 2) && at[length] == '}' ? length + 1 : 0;
}

/* An escape sequence; *at moves behind it. Before letters and digits a backslash makes something else of
 * them, and only of those listed the same in both; before anything else it makes a plain character. */
static or_status put_escape(const char **at, const char *where, or_buffer *out)
{
    const char *from = *at;
    size_t length = from[1] ? 2 : 1;
    if (from[1] == 's' || from[1] == 'S') {
        *at += length;
        return or_buffer_puts(out, from[1] == 's' ? "\\p{White_Space}" : "\\P{White_Space}");
    }
    if (from[1] == 'p' || from[1] == 'P')
        length = category_length(from);
    else if (isalnum((unsigned char)from[1]) && !strchr("dDrntf", from[1]))
        length = 0;
    if (length == 0) return refuse(from, 2, where);
    *at += length;
    return or_buffer_append(out, from, length);
}

/* What may not stand at `at`; NULL when all is well. Outside of classes:
 *   (*      PCRE2's verbs
 *   {,      Oniguruma: from 0 times on; PCRE2 before 10.43: plain text
 *   }+ }?   possessive and lazy in PCRE2; in Ruby's syntax a repeat of a repeat, or optional
 *   ^ $ .   differ in what they take for the end of a line
 *   (?      groups but those listed: names, options for what follows, conditions, recursion
 * In a class a bracket begins another class, and && intersects two, for Oniguruma alone. */
static const char *find_foreign(const char *at, bool in_class)
{
    static const char *const outside[] = {"(*", "{,", "}+", "}?", "^", "$", ".", NULL};
    static const char *const inside[] = {"[", "&&", NULL};
    static const char *const groups[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>", NULL};
    for (const char *const *foreign = in_class ? inside : outside; *foreign; foreign++)
        if (begins(at, *foreign)) return *foreign;
    if (in_class || !begins(at, "(?")) return NULL;
    for (const char *const *group = groups; *group; group++)
        if (begins(at, *group)) return NULL;
    return "(?";
}

/* Bytes of "[", "[^", "[]" or "[^]": a bracket that comes first is a character. */
static size_t class_begin(const char *at)
{
    const size_t length = at[1] == '^' ? 2 : 1;
    return at[length] == ']' ? length + 1 : length;
}

/* From left to right, a token at a time. Nothing is parsed: what is left out here (a bracket that is not
 * closed) PCRE2 itself refuses afterwards. */
or_status or_split_translate(const char *pattern, const char *where, or_buffer *out)
{
    bool in_class = false;
    for (const char *at = pattern; *at;) {
        if (*at == '\\') {
            OR_TRY(put_escape(&at, where, out));
            continue;
        }
        const char *foreign = find_foreign(at, in_class);
        if (foreign) return refuse(at, (int)strlen(foreign), where);
        size_t length = 1;
        if (*at == '[') {
            length = class_begin(at);
            in_class = true;
        } else if (*at == ']') {
            in_class = false;
        }
        OR_TRY(or_buffer_append(out, at, length));
        at += length;
    }
    return or_buffer_append(out, "", 0); /* not NULL for an empty pattern either */
}
