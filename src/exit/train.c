/* train.c - fits and calibrates an exit policy from traces.
 *
 *   instances --- fit ---------> classifier for ramps everywhere ----- calibration part --> threshold, result A
 *              |   |'----------> classifier for every second layer --- calibration part --> threshold, result B
 *              |   '-> which ramps pay --> classifier for those ------ calibration part --> threshold, result C
 *              '- test: the best of A, B and C (candidate.c) is reported, with the others beside it
 *
 * Agreement is counted over requests. Where a trace asks one question at several numbers of shots, these are
 * not quite as many independent instances as the bound on the agreement takes them for.
 */
#include "train_internal.h"

#include "clock.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* An SVM's time grows with the square of its rows at least, a CRF's memory with them: more than these is
 * surely a slip. */
enum { MOST_ROWS = 1000000 };

void or_train_defaults(or_train_options *options)
{
    *options = (or_train_options){.classifier = "svm",
                                  .kernel = "rbf",
                                  .c = 1,
                                  .error_weight = 20,
                                  .l2 = 1,
                                  .target_agreement = 0.99,
                                  .test_share = 0.2,
                                  .seed = 1};
}

void or_train_paper(or_train_options *options)
{
    options->features = 1u << OR_FEATURE_GAP | 1u << OR_FEATURE_TOP_PROB;
    options->everywhere = true;
    options->error_weight = 1;
    options->target_agreement = options->guarantee = 0;
    options->threshold = strcmp(options->classifier, "crf") == 0 ? 0.5 : 0;
}

/* Conditions are written as !(x >= 0), which NaN fails as well. */
static or_status check_options(const or_train_options *options)
{
    const char *wrong = NULL;
    if (!(options->target_agreement >= 0 && options->target_agreement < 1))
        wrong = "the target agreement must be 0 (keep the threshold) or a share below 1";
    else if (!(options->guarantee >= 0 && options->guarantee < 1))
        wrong = "the guarantee must be 0 (none) or a confidence below 1";
    else if (options->guarantee > 0 && options->target_agreement == 0)
        wrong = "a guarantee needs a target agreement above 0";
    else if (!(options->test_share >= 0 && options->test_share <= 0.5))
        wrong = "the test share must be within 0..0.5";
    else if (!isfinite(options->threshold) || options->threshold < 0)
        wrong = "the threshold must be a number above 0, or 0 for the classifier's own";
    else if (options->threshold > 0 && options->target_agreement > 0)
        wrong = "a threshold of your own goes with a target agreement of 0, which keeps it";
    else if (options->features >> OR_FEATURE_COUNT)
        wrong = "there is no such feature";
    else if (strcmp(options->kernel, "rbf") != 0 && strcmp(options->kernel, "linear") != 0)
        wrong = "the kernel must be \"rbf\" or \"linear\"";
    else if (!(options->c > 0) || !isfinite(options->c))
        wrong = "the cost c must be a number above 0";
    else if (!(options->error_weight > 0) || !isfinite(options->error_weight))
        wrong = "the weight of errors must be a number above 0";
    else if (!(options->gamma >= 0) || !isfinite(options->gamma))
        wrong = "gamma must be a number above 0, or 0 for 1 / number of features";
    else if (!(options->l2 > 0) || !isfinite(options->l2))
        wrong = "the weight l2 must be a number above 0";
    else if (options->max_rows == 1 || options->max_rows > MOST_ROWS)
        wrong = "the rows fitted at most must be within 2..1000000, or 0 for the classifier's own";
    else if (options->shortlist < 0 || options->shortlist == 1 || options->shortlist > OR_SHORTLIST)
        wrong = "the shortlist must have 2..64 tokens, or 0 for none";
    return wrong ? or_fail(OR_ERR_USAGE, "policy cannot be trained", NULL, "%s", wrong) : OR_OK;
}

/* Fewest instances of a trace like this one that leave `calibrating` for calibration and one to fit. */
static size_t instances_needed(const or_train_job *job, size_t calibrating)
{
    double share = 1 - job->options->test_share, least = 2 * ((double)calibrating - 1) / share;
    size_t questions = least > 2 ? (size_t)least : 2, fit, calibration, test;
    for (;; questions++) { /* a few steps, for the rounding of or_parts_count() */
        or_parts_count(questions, job->options->test_share, &fit, &calibration, &test);
        if (fit >= 1 && calibration >= calibrating) return questions;
    }
}

/* Instances that must calibrate for the target to be within reach at all: 1 / (n + 1) <= 1 - target. */
static size_t calibration_needed(double target)
{
    double least = ceil(1 / (1 - target)) - 2;
    size_t count = least > 1 ? (size_t)least : 1;
    while (or_errors_allowed(target, count) < 0) count++;
    return count;
}

/* The same for a promise, whose calibration part holds a question once. */
static or_status check_promise(const or_train_job *job)
{
    const or_train_options *options = job->options;
    const size_t needed = or_guarantee_needed(options->target_agreement, options->guarantee);
    if (job->parts.n_fit >= 1 && job->parts.n_calibration >= needed) return OR_OK;
    return or_fail(
        OR_ERR_INPUT, "trace too small", NULL,
        "%zu questions calibrate, expected %zu (of %zu in the trace) to promise an agreement of %g with "
        "confidence %g: trace more, or promise less",
        job->parts.n_calibration, needed, instances_needed(job, needed), options->target_agreement,
        options->guarantee);
}

/* Refused before any work, with the number of instances that would do. */
static or_status check_size(const or_train_job *job)
{
    if (job->options->guarantee > 0) return check_promise(job);
    double target = job->options->target_agreement;
    size_t needed = target > 0 ? calibration_needed(target) : 1;
    if (job->parts.n_fit >= 1 && job->parts.n_calibration >= needed) return OR_OK;
    return or_fail(
        OR_ERR_INPUT, "trace too small", NULL,
        "%zu of its %zu instances calibrate, expected %zu of %zu for an agreement of %g: trace more, "
        "or lower the target",
        job->parts.n_calibration, job->trace->count, needed, instances_needed(job, needed), target);
}

/* What the options are priced by must be in the trace's side file. */
static or_status check_prices(const or_train_options *options, const or_trace_meta *meta)
{
    if (options->generation && meta->row_macs == 0)
        return or_fail(
            OR_ERR_INPUT, "policy cannot be trained", NULL,
            "the trace has no \"row_macs\", expected what a layer costs for one row: for generation, "
            "trace anew with this version");
    if (options->shortlist && meta->n_vocab == 0)
        return or_fail(
            OR_ERR_INPUT, "policy cannot be trained", NULL,
            "the trace has no \"vocab\", expected the size of the vocabulary: for a shortlist, trace "
            "anew with this version");
    if (options->shortlist && options->shortlist >= meta->n_vocab)
        return or_fail(OR_ERR_INPUT, "policy cannot be trained", NULL,
                       "found a shortlist of %d tokens, expected fewer than the vocabulary's %d",
                       options->shortlist, meta->n_vocab);
    return OR_OK;
}

or_status or_train_check(const or_train_options *options)
{
    const or_classifier_ops *ops;
    OR_TRY(check_options(options));
    OR_TRY(or_classifier_find(options->classifier, NULL, &ops));
    return or_classifier_check_features(ops, options->features ? options->features : ops->features, NULL);
}

/* Everything that can be refused without fitting. job->parts is freed by the caller, also after a failure. */
static or_status open_job(or_train_job *job)
{
    const or_train_options *options = job->options;
    OR_TRY(or_train_check(options));
    OR_TRY(or_classifier_find(options->classifier, NULL, &job->ops));
    job->features = options->features ? options->features : job->ops->features;
    if (job->trace->meta.n_layers < 2 || job->trace->meta.n_layers > OR_MAX_LAYERS)
        return or_fail(OR_ERR_INPUT, "policy cannot be trained", NULL,
                       "the model has %d layers, expected 2..%d", job->trace->meta.n_layers, OR_MAX_LAYERS);
    OR_TRY(check_prices(options, &job->trace->meta));
    OR_TRY(or_parts_make(job->trace, options->test_share, options->seed, &job->parts));
    if (options->guarantee > 0) or_parts_thin(job->trace, options->seed, &job->parts);
    return check_size(job);
}

static or_status put_member(or_buffer *out, const char *key, double value)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": ", key));
    return or_json_put_double(out, value);
}

/* Members of or_train_result by their own names; shares of 1, not per cent. */
static or_status put_result(or_buffer *out, const or_train_result *result)
{
    OR_TRY(or_buffer_printf(out, "\"instances\": %zu", result->instances));
    OR_TRY(put_member(out, "agreement", result->agreement));
    OR_TRY(put_member(out, "exit_layer_mean", result->exit_layer_mean));
    OR_TRY(put_member(out, "layers_saved", result->layers_saved));
    OR_TRY(put_member(out, "work_saved", result->work_saved));
    return put_member(out, "oracle_saved", result->oracle_saved);
}

/* Each task once, by its first item. Items of a task mostly lie together, so the first test settles nearly
 * all. */
static or_status put_tasks(or_buffer *out, const or_trace *trace)
{
    const char *comma = "";
    OR_TRY(or_buffer_puts(out, ", \"tasks\": ["));
    for (size_t i = 0; i < trace->count; i++) {
        if (i > 0 && strcmp(trace->items[i - 1].task, trace->items[i].task) == 0) continue;
        size_t first = 0; /* the first item of this task */
        while (strcmp(trace->items[first].task, trace->items[i].task) != 0) first++;
        if (first < i) continue;
        OR_TRY(or_buffer_puts(out, comma));
        OR_TRY(or_json_put_string(out, trace->items[i].task));
        comma = ", ";
    }
    return or_buffer_puts(out, "]");
}

/* The three sets of ramps, replayed on the same instances. */
static or_status put_ramps(const or_train_job *job, const or_train_ramps *compared, or_buffer *out)
{
    static const char *const keys[OR_TRAIN_SETS] = {"all", "every_second", "chosen"};
    if (job->options->everywhere) return OR_OK;
    OR_TRY(or_buffer_printf(out, ",\n    \"ramps_compared\": {\"on\": \"%s\"",
                            job->parts.n_test > 0 ? "test" : "calibration"));
    for (int set = 0; set < OR_TRAIN_SETS; set++) {
        const or_train_ramps *ramps = &compared[set];
        OR_TRY(or_buffer_printf(out, ",\n      \"%s\": {\"ramps\": %d", keys[set], ramps->n_ramps));
        OR_TRY(put_member(out, "agreement", ramps->result.agreement));
        OR_TRY(put_member(out, "layers_saved", ramps->result.layers_saved));
        OR_TRY(put_member(out, "work_saved", ramps->result.work_saved));
        OR_TRY(or_buffer_puts(out, "}"));
    }
    return or_buffer_puts(out, "}");
}

/* "instances", which follows, are the questions of the promise. */
static or_status put_promise(const or_train_promise *promise, or_buffer *out)
{
    if (promise->guarantee == 0) return OR_OK;
    OR_TRY(or_buffer_puts(out, "\"guarantee\": "));
    OR_TRY(or_json_put_double(out, promise->guarantee));
    OR_TRY(put_member(out, "bound", promise->bound));
    return or_buffer_printf(out, ", \"errors\": %zu, ", promise->errors);
}

/* How the policy came about, for people and for tables: nothing of it is read back, and no times are in it,
 * so that the same training gives the same bytes. */
static or_status put_notes(const or_train_job *job, const or_candidate *best, const or_train_report *report,
                           or_buffer *out)
{
    const or_train_options *options = job->options;
    OR_TRY(or_buffer_puts(out, ",\n  \"calibration\": {"));
    if (options->target_agreement > 0) {
        OR_TRY(or_buffer_puts(out, "\"target_agreement\": "));
        OR_TRY(or_json_put_double(out, options->target_agreement));
        OR_TRY(or_buffer_puts(out, ", "));
    }
    OR_TRY(put_promise(&report->promise, out));
    OR_TRY(put_result(out, &best->calibration));
    OR_TRY(or_buffer_puts(out, "},\n  \"training\": {"));
    if (options->generation) OR_TRY(or_buffer_puts(out, "\"for\": \"generation\", "));
    if (job->ops->describe) OR_TRY(job->ops->describe(options, best->policy->n_features, out));
    OR_TRY(or_buffer_printf(out, "\"seed\": %" PRIu64 ", \"fit_instances\": %zu, \"fit_rows\": %zu",
                            options->seed, job->parts.n_fit, best->fit_rows));
    OR_TRY(or_buffer_printf(out, ", \"fit_rows_all\": %zu", best->fit_rows_all));
    OR_TRY(put_tasks(out, job->trace));
    if (report->test.instances > 0) {
        OR_TRY(or_buffer_puts(out, ",\n    \"test\": {"));
        OR_TRY(put_result(out, &report->test));
        OR_TRY(or_buffer_puts(out, "}"));
    }
    OR_TRY(put_ramps(job, report->ramps, out));
    return or_buffer_puts(out, "}");
}

/* A policy that never fires agrees always. */
static or_train_promise promise_of(const or_train_job *job, const or_candidate *best)
{
    const double guarantee = job->options->guarantee;
    const size_t questions = job->parts.n_calibration;
    or_train_promise promise = {
        .guarantee = guarantee, .questions = questions, .errors = best->errors, .bound = 1};
    if (guarantee > 0 && isfinite(best->policy->threshold))
        promise.bound = or_guarantee_bound(guarantee, best->errors, questions);
    return promise;
}

static or_status add_survivors(const or_train_job *job, or_policy *policy)
{
    size_t count;
    const size_t *judging = or_parts_judging(&job->parts, &count);
    OR_TRY(OR_NEW(policy->survivors, (size_t)policy->n_layers + 1));
    or_replay_survivors(policy, job->trace, judging, count, policy->survivors);
    return OR_OK;
}

/* What the test part shows goes into the report, the survivors and the policy's notes, and decides nothing.
 * */
or_status or_train(const or_trace *trace, const or_train_options *options, const char *path,
                   or_train_report *report)
{
    double start = or_clock_now();
    or_trace priced = *trace; /* borrows the items */
    if (options->generation) priced.meta.layer_macs = trace->meta.row_macs;
    or_train_job job = {.trace = &priced, .options = options, .path = path};
    or_candidate best = {0};
    or_buffer notes = {0};
    or_status status = OR_OK;
    *report = (or_train_report){0};
    OR_TRY_GOTO(unwind, open_job(&job));
    OR_TRY_GOTO(unwind, or_candidate_find(&job, &best, report->ramps));
    if (job.parts.n_test > 0) report->test = report->ramps[OR_TRAIN_CHOSEN].result;
    report->promise = promise_of(&job, &best);
    OR_TRY_GOTO(unwind, add_survivors(&job, best.policy));
    OR_TRY_GOTO(unwind, put_notes(&job, &best, report, &notes));
    OR_TRY_GOTO(unwind, or_policy_save(best.policy, notes.data));
    report->fit_instances = job.parts.n_fit;
    report->fit_rows = best.fit_rows;
    report->fit_rows_all = best.fit_rows_all;
    report->calibration = best.calibration;
    report->threshold = best.policy->threshold;
    report->n_ramps = or_policy_ramp_count(best.policy);
    report->seconds = or_clock_now() - start;
unwind:
    or_buffer_free(&notes);
    or_policy_free(best.policy);
    or_parts_free(&job.parts);
    return status;
}
