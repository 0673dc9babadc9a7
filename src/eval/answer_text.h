/* answer_text.h - how a generated text compares with the answers that count as right: SQuAD v1.1's exact
 * match and F1 (Rajpurkar et al., arXiv 1606.05250), as its authors' evaluate-v1.1.py computes them.
 *
 *   "The Denver Broncos!"  --normalised-->  "denver broncos"
 *
 * Normalised is, in this order: lower case, without punctuation, without the words a, an and the, white space
 * squeezed to single spaces and none at the ends. Characters are judged by their Unicode properties, as
 * Python does it, and never by the locale:
 *   lower case   upper and title case letters of all scripts, each by itself. Python's few mappings that need
 *                more than a letter differ: the sigma at the end of a word, and Turkish İ (which stays)
 *   punctuation  ASCII's !"#$%&'()*+,-./:;<=>?@[\]^_`{|}~ only; “ and — stay
 *   words        end where no letter or digit follows: "a" of "a\u0301" is a word, that of "ab" is not
 *   white space  what Unicode calls so, and U+001C..U+001F
 *
 * Pure functions; local.
 */
#ifndef OFFRAMP_EVAL_ANSWER_TEXT_H
#define OFFRAMP_EVAL_ANSWER_TEXT_H

#include "memory.h"

#include <stdbool.h>

typedef struct or_answer_score {
    bool exact; /* the normalised text is one of the normalised references */
    double f1;  /* 0..1, the best over the references */
} or_answer_score;

/* Replaces *normal (an empty buffer or one to use again) by the normalised text. `text` is valid UTF-8. */
or_status or_answer_normalise(const char *text, or_buffer *normal);

/* Harmonic mean of precision and recall of the words of `text` in those of `reference`, both normalised; each
 * occurrence of a word counts once. 0 when they share none, also when both are empty. */
or_status or_answer_f1(const char *text, const char *reference, double *f1);

/* Neither text nor references are normalised yet. */
or_status or_answer_score_text(const char *text, const char *const *references, size_t n_references,
                               or_answer_score *score);

#endif
