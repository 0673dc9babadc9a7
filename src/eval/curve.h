/* curve.h - at which layers tokens leave, as a share of them: for measuring what exits are worth without a
 * policy that makes them.
 *
 *   S(l), l = 0 .. L, is the share of the tokens that are still in the pipeline behind layer l: S(0) = 1,
 *   and no number is greater than the one before. S(l - 1) - S(l) of them leave after layer l, and what is
 *   left leaves after layer L, so S(L) says nothing more; it is 0 in files that we write.
 */
#ifndef OFFRAMP_EVAL_CURVE_H
#define OFFRAMP_EVAL_CURVE_H

#include <offramp/policy.h>
#include <offramp/status.h>

typedef struct or_curve {
    int n_layers;
    double *share; /* [n_layers + 1] */
} or_curve;

/* Reads a JSON array of n_layers + 1 numbers; or, from a .csv, the curve of a trace: with a policy that of
 * its exits on it, without one that of an oracle, which leaves as soon as the token is the full model's.
 * OR_ERR_INPUT names what is wrong; *curve is released by or_curve_free() in any case. */
or_status or_curve_read(const char *path, int n_layers, const or_policy *policy, or_curve *curve);
void or_curve_free(or_curve *curve);

/* The exit layer, 1 .. n_layers, of token `token` of sequence `sequence`: a pure function of these, the
 * seed and the curve. */
int or_curve_exit(const or_curve *curve, uint64_t seed, uint64_t sequence, uint64_t token);

#endif
