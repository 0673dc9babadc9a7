/* crf_fit.c - the loss of a chain's weights and its least point by libLBFGS. */
#include "crf_fit.h"

#include "memory.h"

#include <lbfgs.h>
#include <math.h>
#include <string.h>

/* L-BFGS stops at the first; what it stopped at for another reason is taken up to the second. */
static const double wanted_gradient = 1e-6, accepted_gradient = 1e-5;
enum { MOST_STEPS = 5000, KEPT_STEPS = 30 };

or_status or_crf_room_make(size_t length, or_crf_room *room)
{
    *room = (or_crf_room){0};
    OR_TRY(OR_NEW(room->factors, length));
    OR_TRY(OR_NEW(room->pairs, length));
    return OR_NEW(room->forward, length + 1);
}

void or_crf_room_free(or_crf_room *room)
{
    free(room->forward);
    free(room->pairs);
    free(room->factors);
    *room = (or_crf_room){0};
}

/* gradient += what is expected of chain z [length, width] less what it shows. */
static void add_gradient(const or_crf_data *data, const double *z, const bool *labels,
                         const or_crf_factor *pairs, double *gradient)
{
    double *steps = gradient + data->width;
    for (size_t r = 0; r < data->length; r++, z += data->width) {
        const bool before = r > 0 && labels[r - 1];
        const double excess = pairs[r].at[0][1] + pairs[r].at[1][1] - labels[r];
        for (int j = 0; j < data->width; j++) gradient[j] += excess * z[j];
        for (int pair = 0; pair < OR_CRF_STEPS; pair++)
            steps[pair] += pairs[r].at[pair / 2][pair % 2] - (before == pair / 2 && labels[r] == pair % 2);
    }
}

double or_crf_loss(const or_crf_data *data, double l2, const double *weights, or_crf_room *room,
                   double *gradient)
{
    const size_t chain = data->length * (size_t)data->width;
    const int n_weights = data->width + OR_CRF_STEPS;
    const double share = 1 / (double)data->chains;
    double loss = 0, squares = 0;
    memset(gradient, 0, (size_t)n_weights * sizeof *gradient);
    for (size_t i = 0; i < data->chains; i++) {
        const double *z = data->z + i * chain;
        const bool *labels = data->labels + i * data->length;
        for (size_t r = 0; r < data->length; r++)
            room->factors[r] = or_crf_factor_of(weights, z + r * (size_t)data->width, data->width);
        loss -= or_crf_chain(room->factors, labels, data->length, room->forward, room->pairs);
        add_gradient(data, z, labels, room->pairs, gradient);
    }
    for (int j = 0; j < n_weights; j++) {
        squares += weights[j] * weights[j];
        gradient[j] = share * (gradient[j] + l2 * weights[j]);
    }
    return share * (loss + l2 / 2 * squares);
}

/* What libLBFGS hands to evaluate(). */
typedef struct problem {
    const or_crf_data *data;
    double l2;
    or_crf_room room;
    int steps;
} problem;

static lbfgsfloatval_t evaluate(void *instance, const lbfgsfloatval_t *weights, lbfgsfloatval_t *gradient,
                                const int n, const lbfgsfloatval_t step)
{
    problem *p = instance;
    (void)n, (void)step;
    return or_crf_loss(p->data, p->l2, weights, &p->room, gradient);
}

static int count_step(void *instance, const lbfgsfloatval_t *weights, const lbfgsfloatval_t *gradient,
                      const lbfgsfloatval_t loss, const lbfgsfloatval_t weights_norm,
                      const lbfgsfloatval_t gradient_norm, const lbfgsfloatval_t step, int n, int k,
                      int tried)
{
    (void)weights, (void)gradient, (void)loss, (void)weights_norm, (void)gradient_norm;
    (void)step, (void)n, (void)tried;
    ((problem *)instance)->steps = k;
    return 0;
}

static double norm(const double *values, int n)
{
    double squares = 0;
    for (int j = 0; j < n; j++) squares += values[j] * values[j];
    return sqrt(squares);
}

/* Whatever the library says: near the least point its line search may find no lower value for rounding. */
static or_status check_least(problem *p, const double *weights, int code)
{
    const int n = p->data->width + OR_CRF_STEPS;
    double *gradient = NULL;
    OR_TRY(OR_NEW(gradient, (size_t)n));
    or_crf_loss(p->data, p->l2, weights, &p->room, gradient);
    const double left = norm(gradient, n) / fmax(1, norm(weights, n));
    free(gradient);
    if (left <= accepted_gradient) return OR_OK; /* not NaN */
    return or_fail(
        OR_ERR_FAILED, "crf cannot be fitted", NULL,
        "libLBFGS ended with code %d after %d steps at a gradient of %g, expected at most %g: raise --l2",
        code, p->steps, left, accepted_gradient);
}

or_status or_crf_fit(const or_crf_data *data, double l2, double *weights, int *steps)
{
    const int n = data->width + OR_CRF_STEPS;
    problem p = {.data = data, .l2 = l2};
    lbfgs_parameter_t how;
    or_status status = OR_OK;
    /* aligned and filled up to whole vectors as the library wants it; zeroed */
    lbfgsfloatval_t *found = lbfgs_malloc(n);
    if (!found) return or_fail_memory((unsigned long long)n * sizeof *found);
    OR_TRY_GOTO(unwind, or_crf_room_make(data->length, &p.room));
    lbfgs_parameter_init(&how);
    how.epsilon = wanted_gradient;
    how.m = KEPT_STEPS;
    how.max_iterations = MOST_STEPS;
    const int code = lbfgs(n, found, NULL, evaluate, count_step, &p, &how);
    OR_TRY_GOTO(unwind, check_least(&p, found, code));
    memcpy(weights, found, (size_t)n * sizeof *weights);
    if (steps) *steps = p.steps;
unwind:
    or_crf_room_free(&p.room);
    lbfgs_free(found);
    return status;
}
