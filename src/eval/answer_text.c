/* answer_text.c - SQuAD's normalisation as a list of replacements, and the scores over it.
 *
 *   "The U.S.A., a\tland"   lower case   "the u.s.a., a\tland"
 *                           punctuation  "the usa a\tland"
 *                           articles     "  usa  \tland"
 *                           white space  "usa land"
 *
 * The order is the official script's: "U.S.A." must become one word before words are looked at.
 */
#include "answer_text.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

/* Classes are spelt out where \w, \s and \b mean another set here than in Python, or in other versions of
 * PCRE2: Python's words are letters and numbers without marks, and its white space has U+001C..U+001F.
 * Python's underscore is a word character too, but there is none left when the articles are looked for. */
static const struct {
    const char *pattern, *replacement;
} steps[] = {
    {"[\\p{Lu}\\p{Lt}]+", "\\L$0"},
    {"[!-/:-@\\[-`{-~]+", ""},
    {"(?<![\\p{L}\\p{N}])(?:an?|the)(?![\\p{L}\\p{N}])", " "},
    {"[\\t-\\r\\x1c-\\x20\\x{85}\\p{Z}]+", " "},
    {"\\A | \\z", ""},
};
enum { N_STEPS = sizeof steps / sizeof *steps };

/* The patterns are our own: that they compile is an invariant, all else is lack of memory. */
static or_status make_step(size_t i, pcre2_code **code)
{
    int error;
    size_t at;
    *code = pcre2_compile((PCRE2_SPTR)steps[i].pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &error, &at, NULL);
    return *code ? OR_OK : or_fail_memory(strlen(steps[i].pattern));
}

/* *to = `from` with every match of the step replaced. Only lower case can make a text longer, from two
 * bytes to three at most (U+023A), so there is always room. */
static or_status run_step(size_t i, const or_buffer *from, or_buffer *to)
{
    const uint32_t options = PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_EXTENDED | PCRE2_NO_UTF_CHECK;
    pcre2_code *code;
    OR_RESERVE(to->data, to->capacity, 2 * from->size + 1);
    OR_TRY(make_step(i, &code));
    to->size = to->capacity;
    const int done = pcre2_substitute(code, (PCRE2_SPTR)from->data, from->size, 0, options, NULL, NULL,
                                      (PCRE2_SPTR)steps[i].replacement, PCRE2_ZERO_TERMINATED,
                                      (PCRE2_UCHAR *)to->data, &to->size);
    pcre2_code_free(code);
    return done >= 0 ? OR_OK : or_fail_memory(from->size); /* the matcher's own */
}

/* Back and forth between two buffers; the last result is in *normal. */
or_status or_answer_normalise(const char *text, or_buffer *normal)
{
    or_buffer from = {0};
    normal->size = 0;
    or_status status = or_buffer_puts(normal, text);
    for (size_t i = 0; i < N_STEPS && status == OR_OK; i++) {
        or_buffer swap = from;
        from = *normal;
        *normal = swap;
        status = run_step(i, &from, normal);
    }
    or_buffer_free(&from);
    return status;
}

/* ---- words --------------------------------------------------------------------------------------------- */

/* Words of a normalised text, sorted; they point into `copy`. */
typedef struct words {
    char *copy;
    char **list;
    size_t count;
} words;

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static or_status split_words(const char *text, words *w)
{
    size_t most = 1;
    for (const char *c = text; *c; c++) most += *c == ' ';
    OR_TRY(or_strdup(text, &w->copy));
    OR_TRY(OR_NEW(w->list, most));
    char *rest = NULL;
    for (char *word = strtok_r(w->copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        w->list[w->count++] = word;
    qsort(w->list, w->count, sizeof *w->list, compare_words);
    return OR_OK;
}

/* Size of the multiset that both have. */
static size_t count_common(const words *a, const words *b)
{
    size_t common = 0;
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        const int order = strcmp(a->list[i], b->list[k]);
        common += order == 0;
        i += order <= 0;
        k += order >= 0;
    }
    return common;
}

static void free_words(words *w)
{
    free(w->list);
    free(w->copy);
}

/* In the official script's order of operations, so that the doubles are its own. */
or_status or_answer_f1(const char *text, const char *reference, double *f1)
{
    words a = {0}, b = {0};
    or_status status = split_words(text, &a);
    if (status == OR_OK) status = split_words(reference, &b);
    const double common = status == OR_OK ? (double)count_common(&a, &b) : 0;
    *f1 = 0;
    if (common > 0) {
        const double precision = common / (double)a.count, recall = common / (double)b.count;
        *f1 = 2 * precision * recall / (precision + recall);
    }
    free_words(&a);
    free_words(&b);
    return status;
}

or_status or_answer_score_text(const char *text, const char *const *references, size_t n_references,
                               or_answer_score *score)
{
    or_buffer own = {0}, reference = {0};
    *score = (or_answer_score){0};
    or_status status = or_answer_normalise(text, &own);
    for (size_t i = 0; i < n_references && status == OR_OK; i++) {
        double f1 = 0;
        status = or_answer_normalise(references[i], &reference);
        if (status == OR_OK) status = or_answer_f1(own.data, reference.data, &f1);
        if (status != OR_OK) break;
        if (strcmp(own.data, reference.data) == 0) score->exact = true;
        if (f1 > score->f1) score->f1 = f1;
    }
    or_buffer_free(&reference);
    or_buffer_free(&own);
    return status;
}
