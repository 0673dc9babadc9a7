/* crf_fit.h - the weights of a chain (crf_chain.h) from labelled ones: L2-regularised maximum likelihood.
 *
 *   loss(w) = 1/N (l2 / 2 |w|^2 - sum_i ln P(y_i | x_i)),   w = (u, t), N chains of one length
 *
 *   d loss / d u        = 1/N (l2 u + sum_i sum_r (P(y_r = 1 | x_i) - [it is]) z_ir)
 *   d loss / d t[y'][y] = 1/N (l2 t[y'][y] + sum_i sum_r (P(y_{r-1} = y', y_r = y | x_i) - [they are]))
 *
 * (Sutton and McCallum, arXiv 1011.4088, section 5.1.) The loss is strictly convex, so that there is one
 * answer, whatever the start; it is found from 0 by L-BFGS (Liu and Nocedal, Math. Programming 45, 1989;
 * libLBFGS). Everything is summed by one thread in the order of the chains: the same data give the same bits.
 */
#ifndef OFFRAMP_EXIT_CRF_FIT_H
#define OFFRAMP_EXIT_CRF_FIT_H

#include "crf_chain.h"

#include <offramp/status.h>

/* Borrowed by who is given it. */
typedef struct or_crf_data {
    const double *z;    /* [chains, length, width], finite */
    const bool *labels; /* [chains, length] */
    size_t chains, length;
    int width;
} or_crf_data;

/* Room for the sums of one chain. */
typedef struct or_crf_room {
    or_crf_factor *factors, *pairs; /* [length] */
    double (*forward)[2];           /* [length + 1] */
} or_crf_room;

/* or_crf_room_free() also after a failure (lack of memory). */
or_status or_crf_room_make(size_t length, or_crf_room *room);
void or_crf_room_free(or_crf_room *room);

/* The loss at `weights` [width + OR_CRF_STEPS], and its gradient there. Pure but for the room. */
double or_crf_loss(const or_crf_data *data, double l2, const double *weights, or_crf_room *room,
                   double *gradient);

/* weights [width + OR_CRF_STEPS] = where the loss is least, l2 > 0: its gradient is at most 1e-5 of max(1,
 * |w|). OR_ERR_FAILED where that is not reached, with a message that says how near it came. *steps, unless
 * NULL, is how many L-BFGS took. */
or_status or_crf_fit(const or_crf_data *data, double l2, double *weights, int *steps);

#endif
