/* crf_chain.c - forward, backward, and one step of the forward pass by itself. */
#include "crf_chain.h"

#include <math.h>

/* ln(exp(a) + exp(b)); -INFINITY is the logarithm of nothing. */
static double log_add(double a, double b)
{
    const double high = a > b ? a : b, low = a > b ? b : a;
    return high == -INFINITY ? high : high + log1p(exp(low - high));
}

or_crf_factor or_crf_factor_of(const double *weights, const double *z, int width)
{
    double stop = 0;
    for (int j = 0; j < width; j++) stop += weights[j] * z[j];
    const double *t = weights + width;
    return (or_crf_factor){{{t[0], stop + t[1]}, {t[2], stop + t[3]}}};
}

double or_crf_filter(double log_odds, const or_crf_factor *factor)
{
    return log_add(factor->at[0][1], log_odds + factor->at[1][1]) -
           log_add(factor->at[0][0], log_odds + factor->at[1][0]);
}

/* forward [n + 1]; returns ln Z. */
static double pass_forward(const or_crf_factor *factors, size_t n, double (*forward)[2])
{
    forward[0][0] = 0;
    forward[0][1] = -INFINITY;
    for (size_t r = 0; r < n; r++)
        for (int here = 0; here < 2; here++)
            forward[r + 1][here] =
                log_add(forward[r][0] + factors[r].at[0][here], forward[r][1] + factors[r].at[1][here]);
    return log_add(forward[n][0], forward[n][1]);
}

/* Ramp by ramp from the last one on; of the backward sums only those of the ramp behind are kept. */
static void pass_backward(const or_crf_factor *factors, size_t n, double (*forward)[2], double log_z,
                          or_crf_factor *pairs)
{
    double behind[2] = {0, 0};
    for (size_t r = n; r-- > 0;) {
        double sums[2];
        for (int before = 0; before < 2; before++) {
            double go_on = factors[r].at[before][0] + behind[0], stop = factors[r].at[before][1] + behind[1];
            pairs[r].at[before][0] = exp(forward[r][before] + go_on - log_z);
            pairs[r].at[before][1] = exp(forward[r][before] + stop - log_z);
            sums[before] = log_add(go_on, stop);
        }
        behind[0] = sums[0];
        behind[1] = sums[1];
    }
}

double or_crf_chain(const or_crf_factor *factors, const bool *labels, size_t n, double (*forward)[2],
                    or_crf_factor *pairs)
{
    const double log_z = pass_forward(factors, n, forward);
    double weight = 0;
    for (size_t r = 0; r < n; r++) weight += factors[r].at[r > 0 && labels[r - 1]][labels[r]];
    pass_backward(factors, n, forward, log_z, pairs);
    return weight - log_z;
}
