/* crf_chain.h - a linear-chain conditional random field over the ramps of one request: sums over label
 * sequences.
 *
 *   y_r in {0, 1}   label of ramp r = 1..n: 1 "stop", the token there is the full model's; 0 "go on"
 *   y_0 = 0         before the first ramp there is no token that could be
 *   f_r(y', y)      log weight of label y at ramp r behind y' at the ramp before: its factor
 *
 *   P(y_1..y_n | x) = exp(sum_r f_r(y_{r-1}, y_r)) / Z,   Z = the sum over all 2^n label sequences
 *
 * (Lafferty, McCallum and Pereira, ICML 2001; Sutton and McCallum, arXiv 1011.4088, sections 2.3 and 4.1.)
 * A factor has a part of what the ramp sees, and one of the pair of labels:
 *
 *   f_r(y', y) = y (u . z_r) + t[y'][y],   z_r the features of ramp r; u, t the weights
 *
 * Features weigh labels, not steps from one to the next. If they weighed both, a part that depends on the
 * layer could move from one ramp's factor to the next one's without a change to whole chains; but chains that
 * end early, which decide (below), would be off by that part. (Tried on the demo: half as much saved.)
 *
 * The sums are those of forward and backward passes,
 *
 *   a_r(y)  = log sum_{y'} exp(a_{r-1}(y') + f_r(y', y)),     a_0 = (0, -infinity)
 *   b_r(y') = log sum_{y}  exp(f_{r+1}(y', y) + b_{r+1}(y)),  b_n = (0, 0)
 *
 * Z = sum_y exp(a_n(y)) and P(y_{r-1} = y', y_r = y | x) = exp(a_{r-1}(y') + f_r(y', y) + b_r(y)) / Z.
 *
 * A request on its way knows the ramps 1..r only. The marginal of the chain that ends there, the filtered
 * marginal P(y_r = 1 | x_1..x_r), needs the forward pass alone, of which it carries one number from ramp to
 * ramp: the log-odds a_r(1) - a_r(0).
 *
 * All of it is in logarithms, where nothing underflows, and pure: no memory of its own, no errors. A factor
 * that is not finite gives a result that may be no number.
 */
#ifndef OFFRAMP_EXIT_CRF_CHAIN_H
#define OFFRAMP_EXIT_CRF_CHAIN_H

#include <stdbool.h>
#include <stddef.h>

/* at[y'][y]; of log weights, or of probabilities of a pair of labels. */
typedef struct or_crf_factor {
    double at[2][2];
} or_crf_factor;

enum { OR_CRF_STEPS = 4 }; /* weights behind those of the features: t[0][0], t[0][1], t[1][0], t[1][1] */

/* The factor of a ramp with features z [width]; weights [width + OR_CRF_STEPS] = u, t. */
or_crf_factor or_crf_factor_of(const double *weights, const double *z, int width);

/* Log-odds of the filtered marginal at a ramp, from those at the ramp before; -INFINITY before the first. */
double or_crf_filter(double log_odds, const or_crf_factor *factor);

/* ln P(labels | x) of a chain of n ramps, and pairs[r] = P(y_{r-1}, y_r | x) of each ramp, [n]. `forward`
 * [n + 1] is room to work in: it holds a_0..a_n afterwards. */
double or_crf_chain(const or_crf_factor *factors, const bool *labels, size_t n, double (*forward)[2],
                    or_crf_factor *pairs);

#endif
