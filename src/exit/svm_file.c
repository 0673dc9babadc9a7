/* svm_file.c - a libsvm model file checked in memory before libsvm sees it.
 *
 * svm_load_model() trusts its file: a negative count, a missing line or a feature index out of range makes it
 * read and write where it should not. So we let it parse only what svm_save_model() could have written:
 *
 *   svm_type c_svc            gamma only with rbf; label 1 -1 or -1 1
 *   kernel_type rbf
 *   gamma 0.25
 *   nr_class 2
 *   total_sv 2
 *   rho 0.06
 *   label 1 -1
 *   nr_sv 1 1
 *   SV
 *   1 1:0.56 2:0.86           coefficient, then index:value, indices ascending
 *   -1 1:0.26 2:0.76
 */
#include "svm_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Far more than training can make (train.c fits 1000000 rows at most), and exact in a double. */
enum { MAX_SV = 10000000 };

/* The line in hand is [at, end); `next` is where the following one begins. */
typedef struct lines {
    const char *next, *at, *end;
    const char *where;
    int number; /* of the line in hand, from 1 */
} lines;

/* Shows the line from in->at on, cut to 40 bytes: who has taken something puts `at` back first. */
static or_status refuse(const lines *in, const char *expected)
{
    int shown = in->end - in->at < 40 ? (int)(in->end - in->at) : 40;
    return or_fail(OR_ERR_INPUT, "svm model refused", in->where, "line %d is \"%.*s\", expected %s",
                   in->number, shown, in->at, expected);
}

/* Steps to the next line, without the space that svm_save_model() leaves at the end of some. */
static or_status next_line(lines *in, const char *expected)
{
    in->number++;
    in->at = in->next;
    const char *end = strchr(in->at, '\n');
    if (!end)
        return or_fail(OR_ERR_INPUT, "svm model refused", in->where, "the file ends in line %d, expected %s",
                       in->number, expected);
    in->next = end + 1;
    in->end = end > in->at && end[-1] == ' ' ? end - 1 : end;
    return OR_OK;
}

/* Takes `word` from the front of the line. */
static bool take(lines *in, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(in->end - in->at) < length || memcmp(in->at, word, length) != 0) return false;
    in->at += length;
    return true;
}

/* Takes a finite decimal number; the spaces, names and hexadecimal digits that strtod() knows are refused. */
static bool take_number(lines *in, double *value)
{
    size_t length = strspn(in->at, "0123456789+-.e");
    char *end;
    *value = strtod(in->at, &end);
    if (length == 0 || end != in->at + length || end > in->end || !isfinite(*value)) return false;
    in->at = end;
    return true;
}

/* Leaves `at` behind the number also when that is refused. */
static bool take_count(lines *in, double low, double high, double *value)
{
    return take_number(in, value) && *value >= low && *value <= high && *value == floor(*value);
}

/* A whole line of fixed text. */
static or_status want_line(lines *in, const char *text)
{
    OR_TRY(next_line(in, text));
    const char *from = in->at;
    if (take(in, text) && in->at == in->end) return OR_OK;
    in->at = from;
    return refuse(in, text);
}

/* A line "<name> <number>" with the number in low..high. */
static or_status want_number(lines *in, const char *name, double low, double high, const char *expected,
                             double *value)
{
    OR_TRY(next_line(in, expected));
    const char *from = in->at;
    bool good = take(in, name) && take(in, " ") && take_number(in, value) && in->at == in->end;
    if (good && *value >= low && *value <= high) return OR_OK;
    in->at = from;
    return refuse(in, expected);
}

/* One line for linear, two for rbf. The gamma of a file counts, whatever training would choose today. */
static or_status check_kernel(lines *in)
{
    const char *expected = "\"kernel_type rbf\" or \"kernel_type linear\"";
    OR_TRY(next_line(in, expected));
    const char *from = in->at;
    if (take(in, "kernel_type linear") && in->at == in->end) return OR_OK;
    in->at = from;
    if (!take(in, "kernel_type rbf") || in->at != in->end) {
        in->at = from;
        return refuse(in, expected);
    }
    double gamma;
    return want_number(in, "gamma", 0, HUGE_VAL, "gamma and a number from 0", &gamma);
}

/* Either order is good: svm.c turns the sign by which label comes first. */
static or_status check_labels(lines *in)
{
    OR_TRY(next_line(in, "label 1 -1"));
    const char *from = in->at;
    if ((take(in, "label 1 -1") || take(in, "label -1 1")) && in->at == in->end) return OR_OK;
    in->at = from;
    return refuse(in, "label 1 -1");
}

/* C-SVC's coefficients add up to 0, so each class has a vector at least. */
static or_status check_class_sizes(lines *in, double total)
{
    const char *expected = "nr_sv and two counts that add up to total_sv";
    OR_TRY(next_line(in, expected));
    const char *from = in->at;
    double first = 0, second = 0;
    if (take(in, "nr_sv ") && take_count(in, 1, total, &first) && take(in, " ") &&
        take_count(in, 1, total, &second) && in->at == in->end && first + second == total)
        return OR_OK;
    in->at = from;
    return refuse(in, expected);
}

/* Indices may be left out: libsvm takes those values for 0. */
static or_status check_vector(lines *in, int n_features)
{
    const char *expected = "a coefficient and index:value pairs, the indices ascending within the features";
    OR_TRY(next_line(in, "a support vector"));
    const char *from = in->at;
    double value, index, last = 0;
    bool good = take_number(in, &value);
    while (good && in->at < in->end) {
        good = take(in, " ") && take_count(in, last + 1, n_features, &index) && take(in, ":") &&
               take_number(in, &value);
        if (good) last = index;
    }
    if (good) return OR_OK;
    in->at = from;
    return refuse(in, expected);
}

or_status or_svm_file_check(const char *text, size_t size, const char *where, int n_features)
{
    if (memchr(text, '\0', size))
        return or_fail(OR_ERR_INPUT, "svm model refused", where, "found a NUL byte, expected libsvm's text");
    lines in = {.next = text, .where = where};
    double classes, total, rho;
    OR_TRY(want_line(&in, "svm_type c_svc"));
    OR_TRY(check_kernel(&in));
    OR_TRY(want_number(&in, "nr_class", 2, 2, "nr_class 2", &classes));
    OR_TRY(want_number(&in, "total_sv", 2, MAX_SV, "total_sv and a count from 2", &total));
    OR_TRY(want_number(&in, "rho", -HUGE_VAL, HUGE_VAL, "rho and a number", &rho));
    OR_TRY(check_labels(&in));
    OR_TRY(check_class_sizes(&in, total)); /* whole numbers, so total is one too */
    OR_TRY(want_line(&in, "SV"));
    for (double i = 0; i < total; i++) OR_TRY(check_vector(&in, n_features));
    if (*in.next != '\0') {
        OR_TRY(next_line(&in, "its end"));
        return refuse(&in, "the end of the file after the support vectors announced");
    }
    return OR_OK;
}
