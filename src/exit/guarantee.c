/* guarantee.c - the threshold of an exit policy that keeps a promise: Learn then Test (Angelopoulos, Bates,
 * Candes, Jordan and Lei, arXiv 2110.01052) with exact binomial tests in a fixed sequence.
 *
 * Promised is: with confidence 1 - delta over the calibration instances, a request leaves with another token
 * than the full model's with a probability of at most alpha = 1 - target. (calibrate.c promises less: that
 * this holds on average over calibration parts.)
 *
 * For each threshold t the hypothesis "more than alpha of all requests get a wrong token under t" is rejected
 * when as few errors as were seen, or fewer, would then be unlikely:
 *
 *   p(t) = P(Bin(n, alpha) <= errors(t)) <= delta,   n calibration instances, independent of each other
 *
 * Thresholds are tested from the strictest to the boldest, each at the whole delta, and the first that is not
 * rejected ends it: to take one wrongly, the first wrong one of the sequence would have to be rejected, which
 * happens with a probability of at most delta. So nothing is paid for the number of thresholds; but their
 * sequence must be known before the calibration part's labels are looked at. It is made of the scores of the
 * fit part (levels.c).
 *
 * p falls with n and grows with the errors: it is at most delta for a number of errors that is the same for
 * all t.
 */
#include "train_internal.h"

#include <math.h>

/* What 1 - guarantee and sums of logarithms may be off by: keeps 0.5^2 <= 1 - 0.75 true. */
static const double rounding = 1e-12;

/* ln P(Bin(n, risk) <= k), k counting up. */
typedef struct tail {
    double n, k, log_odds; /* ln(risk / (1 - risk)) */
    double term, sum;      /* ln P(= k), ln P(<= k) */
} tail;

/* 0 < risk < 1 */
static tail begin_tail(size_t n, double risk)
{
    const double none = (double)n * log1p(-risk);
    return (tail){.n = (double)n, .log_odds = log(risk) - log1p(-risk), .term = none, .sum = none};
}

static void count_up(tail *t)
{
    t->term += log((t->n - t->k) / (t->k + 1)) + t->log_odds;
    t->k++;
    const double high = fmax(t->sum, t->term), low = fmin(t->sum, t->term);
    t->sum = high + log1p(exp(low - high));
}

long or_guarantee_errors(double target, double guarantee, size_t count)
{
    const double log_delta = log1p(-guarantee) + rounding;
    long errors = -1;
    /* all of them wrong has probability 1, so that it ends before */
    for (tail t = begin_tail(count, 1 - target); errors < (long)count && t.sum <= log_delta; count_up(&t))
        errors++;
    return errors;
}

size_t or_guarantee_needed(double target, double guarantee)
{
    const double least = floor(log1p(-guarantee) / log1p(target - 1)) - 1;
    size_t count = least > 1 ? (size_t)least : 1;
    while (or_guarantee_errors(target, guarantee, count) < 0) count++;
    return count;
}

/* By bisection between none and all wrong: the more are wrong, the less likely so few errors. */
double or_guarantee_bound(double guarantee, size_t errors, size_t count)
{
    double low = 0, high = 1;
    if (errors >= count) return 0;
    for (int step = 0; step < 60; step++) {
        const double risk = (low + high) / 2;
        tail t = begin_tail(count, risk);
        while (t.k < (double)errors) count_up(&t);
        if (t.sum > log1p(-guarantee))
            low = risk;
        else
            high = risk;
    }
    return 1 - high;
}

or_status or_guarantee_keep(const or_scores *scores, const or_levels *levels, long allowed, double *threshold,
                            size_t *errors)
{
    or_descent descent = {0};
    *threshold = INFINITY;
    *errors = 0;
    or_status status = or_descent_begin(scores, &descent);
    for (int i = 1; status == OR_OK && i < levels->count; i++) {
        const long wrong = or_descent_to(&descent, levels->at[i]);
        if (wrong > allowed) break;
        *threshold = levels->at[i];
        *errors = (size_t)wrong;
    }
    or_descent_free(&descent);
    return status;
}
