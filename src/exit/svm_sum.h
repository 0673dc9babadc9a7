/* svm_sum.h - an SVM's sum over its support vectors, laid out for the machine. */
#ifndef OFFRAMP_EXIT_SVM_SUM_H
#define OFFRAMP_EXIT_SVM_SUM_H

#include <offramp/status.h>

#include <stddef.h>

struct svm_model; /* libsvm's */

enum { OR_SVM_BLOCK = 64 }; /* support vectors that are met at a time */

typedef struct or_svm_sum {
    int n_features;
    size_t n_blocks; /* of an RBF kernel; 0: linear */
    double
        *data; /* RBF: [n_blocks, n_features + 1, OR_SVM_BLOCK]: the support vectors times `scale`, and behind
                        them their coefficients, 0 for those that fill the last block up; linear: [n_features], the
                        vectors' sum, each times its coefficient */
    double scale; /* sqrt(gamma / log 2), by which the kernel is a power of two */
    double rho;
} or_svm_sum;

/* Of a model with two classes, a linear or an RBF kernel, and features 1..n_features. Freed also after a
 * failure. */
or_status or_svm_sum_make(const struct svm_model *model, int n_features, or_svm_sum *sum);
void or_svm_sum_free(or_svm_sum *sum);

/* libsvm's decision value at z [n_features], but for the last bits: svm_predict_values() adds in another
 * order, and by another exp. The same bits on every machine. Not a number where z is none. */
double or_svm_sum_at(const or_svm_sum *sum, const double *z);

#endif
