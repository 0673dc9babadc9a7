/* reliability.h - how far a ramp can be trusted that shows this token: the table behind the feature
 * "reliability".
 *
 *   p(t) = (r(t) + W b) / (n(t) + W),   reliability(t) = ln(p / (1 - p))
 *
 * where n(t) of the rows fitted, a row being one instance at one ramp, show the token t, and it is the full
 * model's in r(t) of them; b is that share over all tokens, and W = OR_RELIABLE rows of it stand for what is
 * not known. A token of fewer than W rows, and one that was never seen, has the reliability of all. So a task
 * with few answers is told from running text, and an answer that the layers like to begin with from one that
 * they come to late: a ramp that shows "negative" may be right as often as one that shows "the" is wrong.
 *
 * policy.json holds the values, not the counts, so that no host's logarithm decides anything.
 */
#ifndef OFFRAMP_EXIT_RELIABILITY_H
#define OFFRAMP_EXIT_RELIABILITY_H

#include "json.h"

enum { OR_RELIABLE = 4 };

/* Ascending tokens, each once. {0} has none and finds all equally reliable. */
typedef struct or_reliability {
    double others; /* of a token that is not in the table */
    size_t count;
    int32_t *tokens;
    double *values;
} or_reliability;

/* One row of those fitted. */
typedef struct or_shown {
    int32_t token;
    bool right;
} or_shown;

/* From the rows [count], count > 0, which get sorted. */
or_status or_reliability_make(or_shown *rows, size_t count, or_reliability *table);
void or_reliability_free(or_reliability *table);

double or_reliability_of(const or_reliability *table, int32_t token);

/* Appends ",\n  \"reliability\": {...}" to a policy, and reads it back, distrusting the file `where`. */
or_status or_reliability_put(const or_reliability *table, or_buffer *json);
or_status or_reliability_read(const cJSON *policy, const char *where, or_reliability *table);

#endif
