/* svm_sum.c - sum_i coef_i K(sv_i, z) - rho, as a classifier is asked at every ramp for every request.
 *
 *   RBF     K = exp(-gamma |sv - z|^2) = 2^-|s sv - s z|^2,  s = sqrt(gamma / log 2)
 *   linear  K = sv . z, hence one vector of weights: (sum_i coef_i sv_i) . z
 *
 * libsvm keeps support vectors as lists of (index, value) and takes them one by one. Here a feature of all is one row,
 * and OR_SVM_BLOCK of them are met at a time:
 *
 *   distances [64]   features in order
 *   sums [64]        += coef 2^-distance, block after block; at the end the upper half is added to the lower, six times
 *
 * These loops are plain C in one order, without fused multiply-adds: registers of any width give the same bits. They are
 * compiled twice, for all processors and for those with AVX-512.
 *
 * 2^x = 2^k 2^r, k the integer next to x (the addition of 1.5 2^52 rounds to it, and leaves it in the low bits) and
 * |r| <= 1/2: the Taylor series up to r^10, which there errs by 3e-13 of the value.
 */
#include "svm_sum.h"

#include "memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <svm.h>

/* (log 2)^n / n! */
#define C1  0x1.62e42fefa39efp-1
#define C2  (C1 * C1 / 2)
#define C3  (C2 * C1 / 3)
#define C4  (C3 * C1 / 4)
#define C5  (C4 * C1 / 5)
#define C6  (C5 * C1 / 6)
#define C7  (C6 * C1 / 7)
#define C8  (C7 * C1 / 8)
#define C9  (C8 * C1 / 9)
#define C10 (C9 * C1 / 10)

/* ---- from libsvm's model -------------------------------------------------------------------------------- */

/* Element j of support vector i; what is not listed is 0. */
static double element(const struct svm_model *model, int i, int j)
{
    const struct svm_node *node = model->SV[i];
    while (node->index >= 0 && node->index < j + 1) node++;
    return node->index == j + 1 ? node->value : 0;
}

static or_status make_linear(const struct svm_model *model, or_svm_sum *sum)
{
    OR_TRY(OR_NEW(sum->data, (size_t)sum->n_features));
    for (int j = 0; j < sum->n_features; j++)
        for (int i = 0; i < model->l; i++) sum->data[j] += model->sv_coef[0][i] * element(model, i, j);
    return OR_OK;
}

static or_status make_rbf(const struct svm_model *model, or_svm_sum *sum)
{
    const size_t rows = (size_t)sum->n_features + 1, block = rows * OR_SVM_BLOCK;
    sum->n_blocks = ((size_t)model->l + OR_SVM_BLOCK - 1) / OR_SVM_BLOCK;
    sum->scale = sqrt(model->param.gamma / C1);
    OR_TRY(OR_NEW(sum->data, sum->n_blocks * block));
    for (int i = 0; i < model->l; i++) {
        double *at = sum->data + (size_t)i / OR_SVM_BLOCK * block + (size_t)i % OR_SVM_BLOCK;
        for (int j = 0; j < sum->n_features; j++, at += OR_SVM_BLOCK) *at = sum->scale * element(model, i, j);
        *at = model->sv_coef[0][i];
    }
    return OR_OK;
}

or_status or_svm_sum_make(const struct svm_model *model, int n_features, or_svm_sum *sum)
{
    *sum = (or_svm_sum){.n_features = n_features, .rho = model->rho[0]};
    return model->param.kernel_type == RBF ? make_rbf(model, sum) : make_linear(model, sum);
}

void or_svm_sum_free(or_svm_sum *sum)
{
    free(sum->data);
    *sum = (or_svm_sum){0};
}

/* ---- the sum -------------------------------------------------------------------------------------------- */

#define INLINE static inline __attribute__((always_inline))

/* 2^x for x <= 0. Below -1000 it is as good as nothing, and k would leave the exponent. Compared are the bits, which
 * for numbers below 0 grow with the distance from it: a choice between doubles would keep the loop from becoming
 * vectors. */
INLINE double power(double x)
{
    static const double rounder = 0x1.8p52;
    const uint64_t least = 0xC08F400000000000; /* -1000 */
    uint64_t k, bits;
    memcpy(&bits, &x, sizeof bits);
    bits = bits > least ? least : bits;
    memcpy(&x, &bits, sizeof x);
    const double shifted = x + rounder, r = x - (shifted - rounder);
    double p = C10;
    p = p * r + C9;
    p = p * r + C8;
    p = p * r + C7;
    p = p * r + C6;
    p = p * r + C5;
    p = p * r + C4;
    p = p * r + C3;
    p = p * r + C2;
    p = p * r + C1;
    p = p * r + 1;
    memcpy(&k, &shifted, sizeof k);
    memcpy(&bits, &p, sizeof bits);
    bits += k << 52;
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* minus[i] = before[i] - (sv_i,j - z_j)^2, without `before` for the first feature: filling it would cost as much. */
INLINE void add_block(const or_svm_sum *sum, const double *rows, const double *z, double *sums)
{
    double minus[OR_SVM_BLOCK];
    for (int j = 0; j < sum->n_features; j++, rows += OR_SVM_BLOCK) {
        const double at = sum->scale * z[j];
        if (j == 0)
            for (int i = 0; i < OR_SVM_BLOCK; i++) minus[i] = -((rows[i] - at) * (rows[i] - at));
        else
            for (int i = 0; i < OR_SVM_BLOCK; i++) minus[i] -= (rows[i] - at) * (rows[i] - at);
    }
    for (int i = 0; i < OR_SVM_BLOCK; i++) sums[i] += rows[i] * power(minus[i]);
}

INLINE double add_all(const or_svm_sum *sum, const double *z)
{
    const size_t block = ((size_t)sum->n_features + 1) * OR_SVM_BLOCK;
    double sums[OR_SVM_BLOCK] = {0};
    for (size_t b = 0; b < sum->n_blocks; b++) add_block(sum, sum->data + b * block, z, sums);
    for (int half = OR_SVM_BLOCK / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}

static double add_plain(const or_svm_sum *sum, const double *z)
{
    return add_all(sum, z);
}

#ifdef __x86_64__
__attribute__((target("avx512f,avx512dq,prefer-vector-width=512"))) static double add_avx512(
    const or_svm_sum *sum, const double *z)
{
    return add_all(sum, z);
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}
#else
#define add_avx512 add_plain
static bool has_avx512(void)
{
    return false;
}
#endif

static double dot(const or_svm_sum *sum, const double *z)
{
    double value = 0;
    for (int j = 0; j < sum->n_features; j++) value += sum->data[j] * z[j];
    return value;
}

double or_svm_sum_at(const or_svm_sum *sum, const double *z)
{
    for (int j = 0; j < sum->n_features; j++)
        if (isnan(z[j])) return NAN; /* the clamp in power() would lose it */
    const double value = sum->n_blocks == 0 ? dot(sum, z)
                         : has_avx512()     ? add_avx512(sum, z)
                                            : add_plain(sum, z);
    return value - sum->rho;
}
