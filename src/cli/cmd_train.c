/* cmd_train.c - offramp train: fits and calibrates an exit policy from traces.
 *
 * Needs no model: a trace has all that is looked at. Exit code 2 is for options out of their range, 3 for
 * traces that are refused, too small for the target, or that show one label only.
 */
#include "cli.h"

#include <offramp/train.h>

#include "log.h"

#include <stdio.h>
#include <string.h>

static or_list traces, features;
static char *classifier, *kernel, *output, *use;
static double target, c_value, gamma_value, error_weight, l2, guarantee, threshold, test_share;
static int64_t seed, max_rows, shortlist;
static bool paper;
static or_common common;

static or_option options[] = {
    {"trace", OR_OPTION_PATHS, &traces, "FILE", "trace.csv of offramp trace, may be given several times", 0,
     0, false},
    {"classifier", OR_OPTION_TEXT, &classifier, "KIND",
     "svm, crf; one feature alone: gap, top_prob, fixed (the layer) (svm)", 0, 0, false},
    {"features", OR_OPTION_LIST, &features, "F,F...",
     "gap, top_prob, cos_attn, cos_mlp, cos_hidden, layer, stable, reliability (svm: "
     "gap,layer,stable,reliability; crf: gap,top_prob,layer,stable)",
     0, 0, false},
    {"kernel", OR_OPTION_TEXT, &kernel, "K", "svm: rbf or linear (rbf)", 0, 0, false},
    {"c", OR_OPTION_REAL, &c_value, "X", "svm: cost of an error (1)", 1e-6, 1e9, false},
    {"gamma", OR_OPTION_REAL, &gamma_value, "X", "svm: width of the rbf; 0: 1 / features (0)", 0, 1e9, false},
    {"error-weight", OR_OPTION_REAL, &error_weight, "X",
     "svm: cost of leaving wrongly, in needless stays (20)", 1e-6, 1e6, false},
    {"l2", OR_OPTION_REAL, &l2, "X", "crf: weight of its squared weights beside the log-likelihood (1)", 1e-6,
     1e9, false},
    {"target-agreement", OR_OPTION_REAL, &target, "X",
     "with full depth; 0: no calibration, use --threshold (0.99)", 0, 1, false},
    {"guarantee", OR_OPTION_REAL, &guarantee, "X",
     "confidence with which the target is promised of requests like those traced, as 0.95; 0: no promise (0)",
     0, 1, false},
    {"threshold", OR_OPTION_REAL, &threshold, "X",
     "with --target-agreement 0: score from which a request leaves (gap: 0.8, top_prob: 0.9, fixed: 0.75 of "
     "the layers, crf: 0.95)",
     -1e9, 1e9, false},
    {"for", OR_OPTION_TEXT, &use, "USE",
     "price of a layer beside a ramp's: scoring, of a whole prompt; generation, of one token (scoring)", 0, 0,
     false},
    {"shortlist", OR_OPTION_INT, &shortlist, "K",
     "likeliest tokens of the first ramp, which later ramps look at first; 0: whole distributions (0)", 0,
     OR_SHORTLIST, false},
    {"test-share", OR_OPTION_REAL, &test_share, "X", "of the instances, held out for the report (0.2)", 0,
     0.5, false},
    {"max-rows", OR_OPTION_INT, &max_rows, "N",
     "rows fitted at most, sub-sampled by --seed; 0: svm 4000, crf 1000000 (0)", 0, 1e7, false},
    {"seed", OR_OPTION_INT, &seed, "N", "of the split and the sub-sample (1)", 0, 9e15, false},
    {"paper", OR_OPTION_FLAG, &paper, "",
     "AdaInfer as published: gap,top_prob, a ramp after every layer, no calibration (svm, crf)", 0, 0, false},
    {"output", OR_OPTION_TEXT, &output, "FILE", "policy.json to write (an SVM's model lies beside it)", 0, 0,
     false},
    {"quiet", OR_OPTION_FLAG, &common.quiet, "", "errors only", 0, 0, false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "train --trace FILE... --output policy.json [options]",
    .summary =
        "Fits an exit policy to traces, calibrates its threshold to a target agreement with full depth,\n"
        "chooses the layers that have a ramp, and says how it does on instances it has not seen.",
    .example =
        "offramp train --trace sst2-trace.csv --classifier svm --target-agreement 0.99 --output sst2.json\n"
        "offramp train --trace sst2-trace.csv --classifier crf --guarantee 0.95 --output sst2-crf.json",
};

/* Numbers get their defaults from train.c, so that they are written down once; texts stay NULL. */
static or_status parse(int argc, char **argv, bool *helped)
{
    or_train_options defaults;
    or_train_defaults(&defaults);
    target = defaults.target_agreement;
    c_value = defaults.c;
    gamma_value = defaults.gamma;
    error_weight = defaults.error_weight;
    l2 = defaults.l2;
    guarantee = defaults.guarantee;
    threshold = defaults.threshold;
    test_share = defaults.test_share;
    seed = (int64_t)defaults.seed;
    max_rows = (int64_t)defaults.max_rows;
    shortlist = defaults.shortlist;
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    if (use && strcmp(use, "scoring") != 0 && strcmp(use, "generation") != 0)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--for is \"%s\", expected scoring or generation",
                       use);
    OR_TRY(or_options_need(options, "trace"));
    return or_options_need(options, "output");
}

/* --paper stands for these. */
static or_status check_paper(const or_train_options *train)
{
    static const char *const decided[] = {"features", "error-weight", "target-agreement", "guarantee",
                                          "threshold"};
    for (const or_option *option = options; option->name; option++)
        for (size_t i = 0; i < sizeof decided / sizeof decided[0]; i++)
            if (option->set && strcmp(option->name, decided[i]) == 0)
                return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--%s was given, which --paper decides",
                               option->name);
    if (strcmp(train->classifier, "svm") == 0 || strcmp(train->classifier, "crf") == 0) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                   "--classifier is \"%s\", expected svm or crf with --paper", train->classifier);
}

/* Features are checked here, the rest by or_train(), which knows what goes with what. */
static or_status collect(or_train_options *train)
{
    or_train_defaults(train);
    if (classifier) train->classifier = classifier;
    if (kernel) train->kernel = kernel;
    train->target_agreement = target;
    train->c = c_value;
    train->gamma = gamma_value;
    train->error_weight = error_weight;
    train->l2 = l2;
    train->guarantee = guarantee;
    train->threshold = threshold;
    train->test_share = test_share;
    train->seed = (uint64_t)seed;
    train->max_rows = (size_t)max_rows;
    train->shortlist = (int)shortlist;
    train->generation = use && strcmp(use, "generation") == 0;
    for (size_t i = 0; i < features.count; i++) {
        int feature = or_feature_find(features.items[i]);
        if (feature < 0)
            return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--features has \"%s\", see --help",
                           features.items[i]);
        train->features |= 1u << feature;
    }
    if (paper) {
        OR_TRY(check_paper(train));
        or_train_paper(train);
    }
    return OR_OK;
}

/* One row; a part without instances (--test-share 0) has none. */
static void print_result(const char *part, const or_train_result *result)
{
    if (result->instances == 0) return;
    printf("%-12s %9zu  %9.4f  %10.2f  %11.1f%%  %9.1f%%  %11.1f%%\n", part, result->instances,
           result->agreement, result->exit_layer_mean, 100 * result->layers_saved, 100 * result->work_saved,
           100 * result->oracle_saved);
}

/* What the choice of ramps is worth: the same training with others. */
static void print_ramps(const or_train_report *report)
{
    static const char *const names[OR_TRAIN_SETS] = {"all layers", "every second layer", "chosen"};
    printf("\n%-18s  %5s  %9s  %12s  %10s\n", "ramps after", "ramps", "agreement", "layers saved",
           "work saved");
    for (int set = 0; set < OR_TRAIN_SETS; set++) {
        const or_train_ramps *ramps = &report->ramps[set];
        printf("%-18s  %5d  %9.4f  %11.1f%%  %9.1f%%\n", names[set], ramps->n_ramps, ramps->result.agreement,
               100 * ramps->result.layers_saved, 100 * ramps->result.work_saved);
    }
    printf("(each with a threshold of its own; %s instances)\n\n",
           report->test.instances > 0 ? "the held out" : "the calibration");
}

/* Of requests like those of the trace; the errors are of the calibration part. */
static void print_promise(const or_train_options *train, const or_train_promise *promise)
{
    if (promise->guarantee == 0) return;
    printf(
        "promised with confidence %g: an agreement of at least %g on requests like these (%zu errors of %zu "
        "questions show %.4f)\n",
        promise->guarantee, train->target_agreement, promise->errors, promise->questions, promise->bound);
}

/* Two rows of the same figures: what the threshold was chosen on, and what nothing was chosen on. The
 * second is the one to believe.
 *
 *              instances  agreement  exit layer  layers saved  work saved  oracle saves
 * calibration        400     0.9925       21.40         33.1%       29.8%         48.0%
 * held out           200     0.9900       21.75         32.0%       28.7%         47.5% */
static void print_report(const or_train_options *train, const or_train_report *report)
{
    printf("fitted %s on %zu of %zu rows of %zu instances (seed %llu), %d ramps, threshold %.4g, %.1f s\n",
           train->classifier, report->fit_rows, report->fit_rows_all, report->fit_instances,
           (unsigned long long)train->seed, report->n_ramps, report->threshold, report->seconds);
    printf("%-12s %9s  %9s  %10s  %12s  %10s  %12s\n", "", "instances", "agreement", "exit layer",
           "layers saved", "work saved", "oracle saves");
    print_result("calibration", &report->calibration);
    print_result("held out", &report->test);
    if (!train->everywhere) print_ramps(report);
    print_promise(train, &report->promise);
    if (train->shortlist > 0)
        printf("work saved is an estimate: it takes a shortlist of %d tokens to show what all tokens show\n",
               train->shortlist);
    if (train->generation) printf("work is counted for one token behind the prompt, as in generation\n");
    if (report->n_ramps == 0)
        printf("no exit reaches the target and saves work: this policy never lets a request leave\n");
    printf("policy: %s\n", output);
}

/* Local. Several traces are read as one, their costs averaged over all instances (trace.h). */
static or_status run_train(or_session *session)
{
    (void)session;
    or_log_open(common.quiet ? OR_LOG_QUIET : OR_LOG_NORMAL, -1);
    or_train_options train;
    or_train_report report;
    or_trace trace = {0};
    or_status status = collect(&train);
    for (size_t i = 0; i < traces.count && status == OR_OK; i++)
        status = or_trace_read(traces.items[i], &trace);
    if (status == OR_OK) status = or_train(&trace, &train, output, &report);
    if (status == OR_OK && !common.quiet) print_report(&train, &report);
    or_trace_free(&trace);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_train = {
    "train", "fits and calibrates an exit policy from traces", false, parse, run_train, release,
};
