/* candidate.c - makes the policies that training chooses from, and chooses.
 *
 *   a ramp after every layer
 *   one after every second layer
 *   ramps where they pay, as the first shows on the fit part (ramps.c); fitted anew, since `stable` counts
 *   ramps and the chain of a CRF is over them
 *   no ramp at all, when none of these saves work
 *
 * Each is fitted on the fit part and given its threshold on the calibration part, where also the best one is
 * found. Taking the best of three on the data that calibrated them bends the promise on agreement a little
 * (three events must not happen instead of one); the test part tells.
 *
 * With a guarantee nothing may bend. The best one is the one that saves most on the fit part, under a
 * threshold that keeps the target there; only then do the calibration part's labels say under which threshold
 * it runs. (That it is dropped for no ramps at all where it saves nothing is no matter: then none is wrong.)
 */
#include "train_internal.h"

#include <math.h>
#include <string.h>

/* Item numbers of the two parts that training looks at: n_fit and n_calibration of them. */
static const size_t *fit_part(const or_train_job *job)
{
    return job->parts.order;
}

static const size_t *calibration_part(const or_train_job *job)
{
    return job->parts.order + job->parts.n_fit;
}

/* Rows that are fitted together or not at all: those of an instance, or one. */
static size_t chain_length(const or_train_job *job, const or_policy *policy)
{
    const int ramps = or_policy_ramp_count(policy);
    return job->ops->chains && ramps > 0 ? (size_t)ramps : 1;
}

/* So many of those to come are to be taken, each with the same chance (Knuth, TAOCP 3.4.2, algorithm S). */
typedef struct sample {
    uint64_t state;
    size_t left, wanted;
} sample;

static bool takes(sample *s)
{
    if (or_draw(&s->state, s->left--) >= s->wanted) return false;
    s->wanted--;
    return true;
}

/* The rows of the fit part at the policy's ramps; more than max_rows are thinned, row by row or, for a
 * classifier of chains, by whole instances, of which one is taken at least. The memory is in *x and *right.
 * */
static or_status gather_rows(const or_train_job *job, const or_policy *policy, double **x, bool **right,
                             or_candidate *made)
{
    const size_t most = job->options->max_rows ? job->options->max_rows : job->ops->max_rows;
    const size_t all = job->parts.n_fit * (size_t)or_policy_ramp_count(policy),
                 chain = chain_length(job, policy);
    const size_t units = all / chain, room = most < chain ? 1 : most / chain,
                 wanted = units < room ? units : room;
    size_t taken = 0;
    sample sampled = {job->options->seed ^ UINT64_C(0x5eed0f12e0f5a3b7), units,
                      wanted}; /* apart from the split's */
    OR_TRY(OR_NEW(*x, wanted * chain * (size_t)policy->n_features));
    OR_TRY(OR_NEW(*right, wanted * chain));
    for (size_t i = 0; i < job->parts.n_fit; i++) {
        const or_trace_item *item = &job->trace->items[fit_part(job)[i]];
        or_ramp_state ramps = OR_RAMP_STATE_START;
        size_t passed = 0;
        bool takes_it = false;
        for (int layer = 1; layer < policy->n_layers; layer++) {
            if (!policy->ramp[layer]) continue;
            or_observation seen = item->seen[layer - 1];
            seen.stable = or_ramp_state_update(&ramps, seen.token);
            if (passed++ % chain == 0) takes_it = takes(&sampled);
            if (!takes_it) continue;
            or_policy_features(policy, &seen, *x + taken * (size_t)policy->n_features);
            (*right)[taken++] = seen.token == item->final_token;
        }
    }
    made->fit_rows = taken;
    made->fit_rows_all = all;
    return OR_OK;
}

/* One label alone draws no border: libsvm would make a model of one class. False for no rows, too. */
static bool both_occur(const bool *right, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (right[i] != right[0]) return true;
    return false;
}

/* Counts what the policy's ramps show in the fit part, all of it. */
static or_status count_shown(const or_train_job *job, or_policy *policy)
{
    or_shown *rows;
    size_t count = 0;
    if (!or_policy_looks_at(policy, OR_FEATURE_RELIABILITY)) return OR_OK;
    OR_TRY(OR_NEW(rows, job->parts.n_fit * (size_t)or_policy_ramp_count(policy)));
    for (size_t i = 0; i < job->parts.n_fit; i++) {
        const or_trace_item *item = &job->trace->items[fit_part(job)[i]];
        for (int layer = 1; layer < policy->n_layers; layer++) {
            const int32_t token = item->seen[layer - 1].token;
            if (policy->ramp[layer]) rows[count++] = (or_shown){token, token == item->final_token};
        }
    }
    or_reliability_free(&policy->reliability);
    or_status status = or_reliability_make(rows, count, &policy->reliability);
    free(rows);
    return status;
}

/* Fits the candidate's classifier to the rows at the layers `ramp`, which become the policy's ramps. */
static or_status fit_candidate(const or_train_job *job, const bool *ramp, or_candidate *made)
{
    or_policy *policy = made->policy;
    double *x = NULL;
    bool *right = NULL;
    or_status status = OR_OK;
    memcpy(policy->ramp, ramp, ((size_t)policy->n_layers + 1) * sizeof *ramp);
    OR_TRY_GOTO(unwind, count_shown(job, policy));
    OR_TRY_GOTO(unwind, gather_rows(job, policy, &x, &right, made));
    if (!both_occur(right, made->fit_rows)) {
        status = or_fail(OR_ERR_INPUT, "trace has one label only", NULL,
                         "all of its %zu rows fitted show %s, expected both kinds: trace other tasks",
                         made->fit_rows,
                         right[0] ? "the full model's token" : "another token than the full model");
        goto unwind;
    }
    or_fit_rows rows = {x, right, made->fit_rows, policy->n_features, chain_length(job, policy)};
    OR_TRY_GOTO(unwind, job->ops->fit(&rows, job->options, &policy->model));
    /* from here on or_policy_free() releases the model by its kind */
    policy->ops = job->ops;
unwind:
    free(right);
    free(x);
    return status;
}

/* Errors that are the target's share of the fit part. */
static long allowed_on_fit(const or_train_job *job)
{
    return (long)floor((1 - job->options->target_agreement) * (double)job->parts.n_fit + 1e-9);
}

/* What the candidate saves on the fit part, and then the lowest threshold under which the promise is kept. */
static or_status promise(const or_train_job *job, or_candidate *made)
{
    const or_train_options *options = job->options;
    const size_t n_fit = job->parts.n_fit, count = job->parts.n_calibration;
    const long allowed = or_guarantee_errors(options->target_agreement, options->guarantee, count);
    or_policy *policy = made->policy;
    or_scores fit = {0}, calibration = {0};
    or_levels levels;
    or_train_result result;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, or_scores_make(policy, job->trace, fit_part(job), n_fit, &fit));
    OR_TRY_GOTO(unwind, or_calibrate(&fit, allowed_on_fit(job), &policy->threshold));
    or_replay_result(policy, job->trace, fit_part(job), n_fit, &result);
    made->saved = result.work_saved;
    OR_TRY_GOTO(unwind, or_levels_make(&fit, &levels));
    OR_TRY_GOTO(unwind, or_scores_make(policy, job->trace, calibration_part(job), count, &calibration));
    OR_TRY_GOTO(unwind, or_guarantee_keep(&calibration, &levels, allowed, &policy->threshold, &made->errors));
    or_replay_result(policy, job->trace, calibration_part(job), count, &made->calibration);
unwind:
    or_scores_free(&calibration);
    or_scores_free(&fit);
    return status;
}

/* Sets the threshold - to keep the target, or without one the user's own or the kind's - and measures the
 * policy under it on the calibration part. */
static or_status calibrate_candidate(const or_train_job *job, or_candidate *made)
{
    const or_train_options *options = job->options;
    or_policy *policy = made->policy;
    size_t count = job->parts.n_calibration;
    or_status status = OR_OK;
    if (options->target_agreement == 0) {
        policy->threshold = options->threshold > 0 ? options->threshold : job->ops->threshold;
    } else {
        or_scores scores = {0};
        long allowed = or_errors_allowed(options->target_agreement, count);
        status = or_scores_make(policy, job->trace, calibration_part(job), count, &scores);
        if (status == OR_OK) status = or_calibrate(&scores, allowed, &policy->threshold);
        or_scores_free(&scores);
    }
    if (status == OR_OK)
        or_replay_result(policy, job->trace, calibration_part(job), count, &made->calibration);
    made->saved = made->calibration.work_saved;
    return status;
}

/* Makes a policy with these ramps, [n_layers + 1]; or_policy_free(made->policy) also after a failure. */
static or_status make_candidate(const or_train_job *job, const bool *ramp, const bool *everywhere,
                                or_candidate *made)
{
    const or_trace_meta *meta = &job->trace->meta;
    OR_TRY(or_policy_new(job->path, meta->n_layers, &made->policy));
    made->policy->fingerprint = meta->fingerprint;
    made->policy->shortlist = job->options->shortlist;
    for (int i = 0; i < OR_FEATURE_COUNT; i++)
        if (job->features >> i & 1) made->policy->features[made->policy->n_features++] = (or_feature)i;
    or_status status = fit_candidate(job, ramp, made);
    /* few ramps may show one label only; the classifier for all of them serves these as well */
    if (status == OR_ERR_INPUT && ramp != everywhere) status = fit_candidate(job, everywhere, made);
    OR_TRY(status);
    memcpy(made->policy->ramp, ramp, ((size_t)meta->n_layers + 1) * sizeof *ramp);
    return job->options->guarantee > 0 ? promise(job, made) : calibrate_candidate(job, made);
}

/* ramp = the set that saves most on the fit part, as the policy `all` with ramps everywhere scores it. */
static or_status choose_ramps(const or_train_job *job, const or_policy *all, bool *ramp)
{
    or_scores scores = {0};
    or_prices prices = or_prices_of_trace(all, &job->trace->meta);
    /* errors are counted on the fit part, so that nothing of the calibration part gets into the choice */
    const double target = job->options->target_agreement;
    const long allowed = allowed_on_fit(job);
    or_status status = or_scores_make(all, job->trace, fit_part(job), job->parts.n_fit, &scores);
    if (status == OR_OK)
        status = or_ramps_choose(&scores, target > 0 ? NULL : &all->threshold, allowed, &prices, ramp);
    or_scores_free(&scores);
    return status;
}

/* What is left when ramps cost more than they save: a policy that costs nothing and changes nothing. */
static void take_away_ramps(const or_train_job *job, or_candidate *made)
{
    or_ramps_every(0, made->policy->n_layers, made->policy->ramp);
    made->policy->threshold = INFINITY;
    made->errors = 0;
    or_replay_result(made->policy, job->trace, calibration_part(job), job->parts.n_calibration,
                     &made->calibration);
}

/* A tie goes to the fewer ramps. */
static bool is_better(const or_candidate *a, const or_candidate *b)
{
    if (a->saved != b->saved) return a->saved > b->saved;
    return or_policy_ramp_count(a->policy) < or_policy_ramp_count(b->policy);
}

static or_train_ramps judge(const or_train_job *job, const or_policy *policy)
{
    or_train_ramps ramps = {.n_ramps = or_policy_ramp_count(policy), .threshold = policy->threshold};
    size_t count;
    const size_t *judging = or_parts_judging(&job->parts, &count);
    or_replay_result(policy, job->trace, judging, count, &ramps.result);
    return ramps;
}

/* Those beside a ramp after every layer; `ramp` [n_layers + 1] is for working. */
static or_status make_others(const or_train_job *job, const bool *everywhere, bool *ramp, or_candidate *made)
{
    or_ramps_every(2, job->trace->meta.n_layers, ramp);
    OR_TRY(make_candidate(job, ramp, everywhere, &made[OR_TRAIN_SECOND]));
    OR_TRY(choose_ramps(job, made[OR_TRAIN_ALL].policy, ramp));
    return make_candidate(job, ramp, everywhere, &made[OR_TRAIN_CHOSEN]);
}

or_status or_candidate_find(const or_train_job *job, or_candidate *best, or_train_ramps *compared)
{
    const int n_layers = job->trace->meta.n_layers;
    bool *everywhere = NULL, *ramp = NULL;
    or_candidate made[OR_TRAIN_SETS] = {0};
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, OR_NEW(everywhere, (size_t)n_layers + 1));
    OR_TRY_GOTO(unwind, OR_NEW(ramp, (size_t)n_layers + 1));
    or_ramps_every(1, n_layers, everywhere);
    OR_TRY_GOTO(unwind, make_candidate(job, everywhere, everywhere, &made[OR_TRAIN_ALL]));
    if (!job->options->everywhere) OR_TRY_GOTO(unwind, make_others(job, everywhere, ramp, made));
    int kept = OR_TRAIN_ALL;
    for (int set = OR_TRAIN_ALL + 1; set < OR_TRAIN_SETS; set++)
        if (made[set].policy && is_better(&made[set], &made[kept])) kept = set;
    for (int set = OR_TRAIN_ALL; set < OR_TRAIN_CHOSEN; set++)
        if (made[set].policy) compared[set] = judge(job, made[set].policy);
    *best = made[kept];
    made[kept].policy = NULL;
    if (best->calibration.work_saved <= 0 && !job->options->everywhere) take_away_ramps(job, best);
    compared[OR_TRAIN_CHOSEN] = judge(job, best->policy);
unwind:
    for (int set = 0; set < OR_TRAIN_SETS; set++) or_policy_free(made[set].policy);
    free(ramp);
    free(everywhere);
    return status;
}
