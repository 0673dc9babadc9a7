/* test_train.c - training an exit policy: split, calibration, choice of ramps, replay, and the whole of it on
 * synthetic traces.
 */
#include "support.h"

#include "file.h"
#include "train_internal.h"

#include <math.h>

static double uniform(uint64_t *seed)
{
    return random_bits(seed) / 4294967296.0;
}

static float within(double value)
{
    return (float)(value < 0 ? 0 : value > 1 ? 1 : value);
}

/* An instance's answer becomes clear at some depth: before, the token is another one (which may stay the
 * same for some layers) or by chance the right one, and the gap is small; from there on it is the final one
 * and the gap is large. One instance in `liars` is as sure of a wrong token before. */
static void make_item(or_trace_item *item, int n_layers, uint64_t *seed, int liars)
{
    int clear = 1 + n_layers / 6 + (int)(uniform(seed) * (n_layers - n_layers / 6));
    bool liar = liars && random_bits(seed) % (unsigned)liars == 0;
    assert_ok(OR_NEW(item->seen, (size_t)n_layers));
    item->final_token = (int32_t)(random_bits(seed) % 50);
    item->answer_token = item->final_token;
    int32_t token = 100;
    for (int l = 1; l <= n_layers; l++) {
        if (uniform(seed) < 0.5) token = (int32_t)(100 + random_bits(seed) % 5);
        bool right = l >= clear || uniform(seed) < 0.05;
        double base = l >= clear || (liar && l > clear / 2) ? 0.7 : 0.25,
               gap = base + 0.35 * (uniform(seed) - 0.5);
        item->seen[l - 1] = (or_observation){.layer = l,
                                             .token = right ? item->final_token : token,
                                             .gap = within(gap),
                                             .top_prob = within(gap + 0.2 * uniform(seed)),
                                             .cos_hidden = within(0.5 + 0.5 * uniform(seed))};
    }
}

static or_trace make_trace(size_t count, int n_layers, uint64_t seed, int liars)
{
    or_trace trace = {.meta = {.fingerprint = 7,
                               .n_layers = n_layers,
                               .n_vocab = 1000,
                               .layer_macs = 1e8,
                               .row_macs = 1e7,
                               .ramp_macs = 5e6},
                      .count = count,
                      .capacity = count};
    assert_ok(OR_NEW(trace.items, count));
    for (size_t i = 0; i < count; i++) {
        assert_ok(or_strdup(i % 3 == 0 ? "one" : "two", &trace.items[i].task));
        trace.items[i].index = (int64_t)i;
        make_item(&trace.items[i], n_layers, &seed, liars);
    }
    return trace;
}

/* Without `reliability`: in these traces a token alone tells whether it is an answer. */
static or_train_options defaults(const char *classifier)
{
    or_train_options options;
    or_train_defaults(&options);
    options.classifier = classifier;
    options.target_agreement = 0.95;
    if (strcmp(classifier, "svm") == 0)
        options.features = 1u << OR_FEATURE_GAP | 1u << OR_FEATURE_TOP_PROB | 1u << OR_FEATURE_LAYER |
                           1u << OR_FEATURE_STABLE;
    return options;
}

/* A path "p.json" in a folder of its own, in a buffer of the caller's. */
static const char *policy_path(char path[1024])
{
    snprintf(path, 1024, "%s", path_in(scratch_folder(), "p.json"));
    return path;
}

static void test_parts_share_no_question(void **state)
{
    (void)state;
    or_trace trace = make_trace(101, 2, 5, 0);
    for (size_t i = 0; i < trace.count; i++) { /* most questions at two numbers of shots, in any order */
        trace.items[i].shots = i < 51 ? 0 : 5;
        trace.items[i].index = (int64_t)(i % 51);
        trace.items[i].task[0] = 'x';
    }
    or_parts parts, again, other;
    assert_ok(or_parts_make(&trace, 0.2, 1, &parts));
    assert_int_equal(parts.n_fit + parts.n_calibration + parts.n_test, trace.count);
    int part_of[101], seen = 0;
    for (size_t i = 0; i < trace.count; i++) part_of[i] = -1;
    for (size_t i = 0; i < trace.count; i++) {
        assert_int_equal(part_of[parts.order[i]], -1);
        part_of[parts.order[i]] = i < parts.n_fit ? 0 : i < parts.n_fit + parts.n_calibration ? 1 : 2;
    }
    for (size_t i = 0; i < trace.count; i++)
        for (size_t j = 0; j < i; j++) {
            if (strcmp(trace.items[i].task, trace.items[j].task) != 0) continue;
            if (trace.items[i].index != trace.items[j].index) continue;
            assert_int_equal(part_of[i], part_of[j]);
            seen++;
        }
    assert_true(seen > 20);

    assert_ok(or_parts_make(&trace, 0.2, 1, &again));
    assert_memory_equal(parts.order, again.order, trace.count * sizeof *parts.order);
    assert_ok(or_parts_make(&trace, 0.2, 2, &other));
    assert_memory_not_equal(parts.order, other.order, trace.count * sizeof *parts.order);
    or_parts_free(&parts);
    or_parts_free(&again);
    or_parts_free(&other);
    or_trace_free(&trace);
}

/* Each question of the calibration part once, at any of its numbers of shots; the other parts stay. */
static void test_thinned_parts_hold_a_question_once(void **state)
{
    (void)state;
    or_trace trace = make_trace(300, 2, 5, 0);
    for (size_t i = 0; i < trace.count; i++) {
        trace.items[i].shots = (int)(i / 100);
        trace.items[i].index = (int64_t)(i % 100);
        trace.items[i].task[0] = 'x';
        trace.items[i].task[1] = '\0';
    }
    or_parts whole, parts;
    assert_ok(or_parts_make(&trace, 0.2, 1, &whole));
    assert_ok(or_parts_make(&trace, 0.2, 1, &parts));
    or_parts_thin(&trace, 1, &parts);
    assert_int_equal(whole.n_calibration, 120);
    assert_int_equal(parts.n_calibration, 40);
    assert_int_equal(parts.n_fit, whole.n_fit);
    assert_int_equal(parts.n_test, whole.n_test);
    assert_memory_equal(parts.order, whole.order, whole.n_fit * sizeof *whole.order);
    assert_memory_equal(parts.order + parts.n_fit + 40, whole.order + whole.n_fit + 120,
                        whole.n_test * sizeof *whole.order);
    int with_shots[3] = {0};
    bool met[100] = {false};
    for (size_t i = 0; i < 40; i++) {
        const or_trace_item *item = &trace.items[parts.order[parts.n_fit + i]];
        assert_false(met[item->index]);
        met[item->index] = true;
        with_shots[item->shots]++;
        bool known = false;
        for (size_t k = 0; k < 120; k++)
            known |= whole.order[whole.n_fit + k] == parts.order[parts.n_fit + i];
        assert_true(known);
    }
    for (int i = 0; i < 3; i++) assert_true(with_shots[i] > 4);
    or_parts_free(&whole);
    or_parts_free(&parts);
    or_trace_free(&trace);
}

static void test_part_sizes(void **state)
{
    (void)state;
    size_t fit, calibration, test;
    or_parts_count(1000, 0.2, &fit, &calibration, &test);
    assert_int_equal(fit, 400);
    assert_int_equal(calibration, 400);
    assert_int_equal(test, 200);
    or_parts_count(11, 0, &fit, &calibration, &test);
    assert_int_equal(fit, 5);
    assert_int_equal(calibration, 6);
    assert_int_equal(test, 0);
    or_parts_count(10, 0.3, &fit, &calibration, &test); /* 0.3 * 10 is a bit less than 3 in floating point */
    assert_int_equal(test, 3);
}

static void test_draw_is_within_and_even(void **state)
{
    (void)state;
    uint64_t seed = 3;
    int seen[6] = {0};
    for (int i = 0; i < 6000; i++) seen[or_draw(&seed, 6)]++;
    for (int i = 0; i < 6; i++) assert_true(seen[i] > 850 && seen[i] < 1150);
    assert_int_equal(or_draw(&seed, 1), 0);
}

static void test_errors_allowed(void **state)
{
    (void)state;
    assert_int_equal(or_errors_allowed(0.9, 8), -1);
    assert_int_equal(or_errors_allowed(0.9, 9), 0); /* 1 - 0.9 is less than 1 / 10 in floating point */
    assert_int_equal(or_errors_allowed(0.9, 18), 0);
    assert_int_equal(or_errors_allowed(0.9, 19), 1);
    assert_int_equal(or_errors_allowed(0.99, 98), -1);
    assert_int_equal(or_errors_allowed(0.99, 99), 0);
    assert_int_equal(or_errors_allowed(0.99, 400), 3);
    assert_int_equal(or_errors_allowed(0.5, 0), -1);
}

/* The ramp at which instance i leaves under threshold t, n_ramps when at none. */
static int exit_ramp(const or_scores *scores, size_t i, double t)
{
    int r = 0;
    while (r < scores->n_ramps && !(scores->score[i * (size_t)scores->n_ramps + (size_t)r] >= t)) r++;
    return r;
}

/* As the header says it: every score tried as a threshold, from the highest down, until one leaves too
 * many. */
static double brute_threshold(const or_scores *scores, long allowed)
{
    double accepted = INFINITY, last = INFINITY;
    for (;;) {
        double t = -INFINITY;
        for (size_t k = 0; k < scores->count * (size_t)scores->n_ramps; k++)
            if (scores->score[k] < last && scores->score[k] > t) t = scores->score[k];
        if (t == -INFINITY) return accepted;
        long errors = 0;
        for (size_t i = 0; i < scores->count; i++) {
            int r = exit_ramp(scores, i, t);
            errors += r < scores->n_ramps && !scores->right[i * (size_t)scores->n_ramps + (size_t)r];
        }
        if (errors > allowed) return accepted;
        accepted = last = t;
    }
}

/* Scores of a few distinct values, so that there are ties within and between instances. */
static or_scores random_scores(uint64_t *seed, size_t count, int n_ramps, unsigned values)
{
    or_scores scores = {.count = count, .n_ramps = n_ramps};
    assert_ok(OR_NEW(scores.score, count * (size_t)n_ramps));
    assert_ok(OR_NEW(scores.right, count * (size_t)n_ramps));
    for (size_t k = 0; k < count * (size_t)n_ramps; k++) {
        scores.score[k] = random_bits(seed) % values * 0.25 - 1;
        scores.right[k] = uniform(seed) < 0.4 + 0.1 * (scores.score[k] + 1);
    }
    return scores;
}

static void test_calibration_against_trying_everything(void **state)
{
    (void)state;
    uint64_t seed = 21;
    int never = 0, lowest = 0;
    for (int round = 0; round < 3000; round++) {
        or_scores scores = random_scores(&seed, 1 + random_bits(&seed) % 8, 1 + (int)(random_bits(&seed) % 5),
                                         2 + random_bits(&seed) % 20);
        long allowed = (long)(random_bits(&seed) % 5) - 1;
        double found, expected = brute_threshold(&scores, allowed);
        assert_ok(or_calibrate(&scores, allowed, &found));
        /* both may differ in which of several thresholds of the same effect they name, not in the exits; the
         * next lower score may change no exit, in which case only trying everything goes on to it */
        assert_true(found >= expected);
        for (size_t i = 0; i < scores.count; i++)
            assert_int_equal(exit_ramp(&scores, i, found), exit_ramp(&scores, i, expected));
        never += isinf(found);
        lowest += found == -1;
        or_scores_free(&scores);
    }
    assert_true(never > 50 && lowest > 50);
}

static double naive_work(const or_scores *scores, double t, const or_prices *prices, const bool *ramp)
{
    double work = 0;
    for (size_t i = 0; i < scores->count; i++) {
        bool left = false, first = true;
        for (int layer = 1; layer <= scores->n_ramps + 1 && !left; layer++) {
            work += prices->layer;
            if (layer > scores->n_ramps) work += prices->head;
            if (layer > scores->n_ramps || !ramp[layer]) continue;
            work += first ? prices->first_ramp : prices->later_ramp;
            left = scores->score[i * (size_t)scores->n_ramps + (size_t)layer - 1] >= t;
            if (left && !first) work += prices->confirm;
            first = false;
        }
    }
    return work;
}

static size_t naive_errors(const or_scores *scores, double t, const bool *ramp)
{
    size_t errors = 0;
    for (size_t i = 0; i < scores->count; i++)
        for (int r = 0; r < scores->n_ramps; r++) {
            size_t cell = i * (size_t)scores->n_ramps + (size_t)r;
            if (!ramp[r + 1] || !(scores->score[cell] >= t)) continue;
            errors += !scores->right[cell];
            break;
        }
    return errors;
}

/* Under the threshold *fixed, or with NULL under the lowest before which none leaves more than `allowed`
 * wrong. */
static double naive_best(const or_scores *scores, const double *fixed, size_t allowed,
                         const or_prices *prices, const bool *ramp)
{
    if (fixed) return naive_work(scores, *fixed, prices, ramp);
    for (double t = INFINITY, last;; t = last) {
        last = -INFINITY;
        for (size_t k = 0; k < scores->count * (size_t)scores->n_ramps; k++)
            if (scores->score[k] < t && scores->score[k] > last) last = scores->score[k];
        if (last == -INFINITY || naive_errors(scores, last, ramp) > allowed)
            return naive_work(scores, t, prices, ramp);
    }
}

/* Local search beside all sets, of 6 and of 9 ramps, with and without a shortlist's prices. */
static void check_search(bool fixed, int n_ramps, int rounds, int *best_found, double *worst)
{
    const double threshold = 0.5;
    uint64_t seed = 8;
    for (int round = 0; round < rounds; round++) {
        or_scores scores = random_scores(&seed, 20, n_ramps, 8);
        double dear = random_bits(&seed) % 12, least = INFINITY;
        or_prices prices = {.layer = 8, .first_ramp = dear, .later_ramp = dear, .head = 2};
        if (round % 2) prices.later_ramp = 1, prices.confirm = dear;
        size_t allowed = random_bits(&seed) % 6;
        const double *t = fixed ? &threshold : NULL;
        bool ramp[16], other[16] = {false};
        assert_ok(or_ramps_choose(&scores, t, (long)allowed, &prices, ramp));
        assert_true(!ramp[0] && !ramp[n_ramps + 1]);
        double work = naive_best(&scores, t, allowed, &prices, ramp);
        for (unsigned set = 0; set < 1u << n_ramps; set++) {
            for (int layer = 1; layer <= n_ramps; layer++) other[layer] = set >> (layer - 1) & 1;
            double its = naive_best(&scores, t, allowed, &prices, other);
            if (its < least) least = its;
        }
        assert_true(work >= least);
        *best_found += work == least;
        if (work / least > *worst) *worst = work / least;
        or_scores_free(&scores);
    }
}

static void test_ramps_against_trying_everything(void **state)
{
    (void)state;
    for (int fixed = 0; fixed < 2; fixed++) {
        int best_found = 0;
        double worst = 1;
        check_search(fixed, 6, 300, &best_found, &worst);
        check_search(fixed, 9, 60, &best_found, &worst);
        assert_true(best_found > 340); /* nearly always the very best of all sets */
        assert_true(worst < 1.05);     /* 354 and 360 of 360; 1.032 and 1 */
    }
}

/* The ramp after layer 2 is as sure as that after layer 4, and wrong for every other instance: only without
 * it may the threshold be so low that they leave. (Ramps that nobody comes to stay: they cost nothing.) */
static void test_a_ramp_that_errs_is_left_out(void **state)
{
    (void)state;
    double score[40];
    bool right[40], ramp[6];
    or_scores scores = {10, 4, score, right};
    or_prices prices = {.layer = 100, .first_ramp = 1, .later_ramp = 1, .head = 1};
    const double lax = 0.5;
    for (int k = 0; k < 40; k++) {
        score[k] = k % 4 == 1 || k % 4 == 3 ? 0.5 : 0.1;
        right[k] = k % 4 == 3 || (k % 4 == 1 && k / 4 % 2);
    }
    assert_ok(or_ramps_choose(&scores, NULL, 0, &prices, ramp));
    assert_memory_equal(ramp, ((bool[]){false, false, false, false, true, false}), 6);
    assert_ok(or_ramps_choose(&scores, NULL, 5, &prices, ramp));
    assert_memory_equal(ramp, ((bool[]){false, false, true, true, true, false}), 6);
    assert_ok(or_ramps_choose(&scores, &lax, 0, &prices, ramp));
    assert_memory_equal(ramp, ((bool[]){false, false, true, true, true, false}), 6);
}

/* The way of a request through the pipeline, written out anew: at each ramp count back over the ramps
 * before. */
static int simulate(const or_policy *policy, const or_trace_item *item, int n_layers, int32_t *token)
{
    or_ramp_state carried = OR_RAMP_STATE_START;
    for (int layer = 1; layer < n_layers; layer++) {
        if (!or_policy_has_ramp(policy, layer)) continue;
        or_observation seen = item->seen[layer - 1];
        seen.stable = 0;
        for (int before = layer; before >= 1; before--) {
            if (!or_policy_has_ramp(policy, before)) continue;
            if (item->seen[before - 1].token != seen.token) break;
            seen.stable++;
        }
        *token = seen.token;
        if (or_policy_fires(policy, &seen, &carried)) return layer;
    }
    *token = item->final_token;
    return n_layers;
}

/* With a shortlist of 50 of the 1000 tokens a ramp behind the first has a twentieth of a head, 2.5e5. */
static void check_replay(const char *classifier, int shortlist)
{
    char path[1024];
    or_trace trace = make_trace(300, 12, 31, 20);
    or_train_options options = defaults(classifier);
    options.features = 1u << OR_FEATURE_GAP | 1u << OR_FEATURE_STABLE | 1u << OR_FEATURE_LAYER;
    options.shortlist = shortlist;
    or_train_report report;
    or_policy *policy;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_ok(or_policy_load(path, &policy));
    policy->ramp[3] = policy->ramp[6] = false; /* a set with holes */
    policy->ramp[4] = policy->ramp[5] = policy->ramp[8] = true;
    double layers = 0, work = 0;
    size_t agree = 0, early = 0, all[300];
    for (size_t i = 0; i < trace.count; i++) {
        int32_t token, expected;
        int exit = or_policy_replay(policy, &trace.items[i], 12, &token);
        assert_int_equal(exit, simulate(policy, &trace.items[i], 12, &expected));
        assert_int_equal(token, expected);
        layers += exit;
        agree += token == trace.items[i].final_token;
        early += exit < 12;
        work += 1e8 * exit + (exit == 12 ? 5e6 : 0);
        int passed = 0;
        for (int l = 1; l <= exit; l++)
            if (or_policy_has_ramp(policy, l))
                work += (shortlist && passed++ ? 2.5e5 : 5e6) + (double)or_policy_cost(policy);
        if (passed > 1 && exit < 12) work += 5e6;
        all[i] = i;
    }
    assert_true(early > 100 && early < 300);
    or_train_result result;
    or_replay_result(policy, &trace, all, 300, &result);
    assert_int_equal(result.instances, 300);
    assert_near(result.agreement, agree / 300.0, 1e-12);
    assert_near(result.exit_layer_mean, layers / 300, 1e-12);
    assert_near(result.layers_saved, 1 - layers / 300 / 12, 1e-12);
    assert_near(result.work_saved, 1 - work / 300 / 1.205e9, 1e-12);
    or_replay_result(policy, &trace, all, 0, &result);
    assert_int_equal(result.instances, 0);
    or_policy_free(policy);
    or_trace_free(&trace);
}

static void test_replay_is_what_the_pipeline_does(void **state)
{
    (void)state;
    check_replay("svm", 0);
    check_replay("svm", 50);
    check_replay("crf", 0);
    check_replay("crf", 50);
}

static void test_oracle_leaves_where_the_token_stays(void **state)
{
    (void)state;
    or_trace trace = make_trace(1, 4, 1, 0);
    or_policy *policy;
    or_train_result result;
    size_t first = 0;
    const int32_t tokens[3][4] = {{5, 1, 5, 5}, {5, 5, 5, 5}, {5, 5, 5, 1}};
    const double saved[3] = {0.25, 0.75, 0.75}; /* the last layer's token is the final one by definition */
    assert_ok(or_policy_new("p.json", 4, &policy));
    policy->ops = &or_classifier_gap;
    for (int k = 0; k < 3; k++) {
        trace.items[0].final_token = 5;
        for (int l = 0; l < 4; l++) trace.items[0].seen[l].token = tokens[k][l];
        or_replay_result(policy, &trace, &first, 1, &result);
        assert_near(result.oracle_saved, saved[k], 1e-12);
        assert_near(result.work_saved, 0, 1e-12);
        assert_near(result.exit_layer_mean, 4, 1e-12);
    }
    or_policy_free(policy);
    or_trace_free(&trace);
}

/* The policy's survivors are those of the items chosen, counted anew. */
static void check_survivors(const or_policy *policy, const or_trace *trace, const size_t *chosen,
                            size_t count)
{
    const double *survivors = or_policy_survivors(policy);
    int n_layers = trace->meta.n_layers;
    for (int layer = 0; layer <= n_layers; layer++) {
        size_t beyond = 0;
        for (size_t i = 0; i < count; i++) {
            int32_t token;
            beyond += or_policy_replay(policy, &trace->items[chosen[i]], n_layers, &token) > layer;
        }
        assert_near(survivors[layer], (double)beyond / (double)count, 1e-15);
    }
    assert_true(survivors[0] == 1 && survivors[n_layers] == 0 && survivors[n_layers - 1] < 1);
}

static void same_result(const or_train_result *a, const or_train_result *b)
{
    assert_int_equal(a->instances, b->instances);
    assert_true(a->agreement == b->agreement && a->exit_layer_mean == b->exit_layer_mean);
    assert_true(a->layers_saved == b->layers_saved && a->work_saved == b->work_saved);
    assert_true(a->oracle_saved == b->oracle_saved);
}

/* The target is reached where it was promised, nearly so on fresh instances, and something is saved; and the
 * policy on disk does to each part what the report says. */
static void check_training(const or_train_options *options, double least_saved)
{
    char path[1024];
    or_trace trace = make_trace(600, 12, 41, 60), fresh = make_trace(1500, 12, 1041, 60);
    or_train_report report;
    or_train_result result;
    or_policy *policy;
    or_parts parts;
    assert_ok(or_train(&trace, options, policy_path(path), &report));
    assert_int_equal(report.fit_instances, 240);
    assert_int_equal(report.calibration.instances, 240);
    assert_int_equal(report.test.instances, 120);
    assert_true(report.calibration.agreement >=
                1 - or_errors_allowed(options->target_agreement, 240) / 240.0);
    assert_true(report.n_ramps > 0 && report.n_ramps <= 11);
    assert_true(report.seconds > 0);

    assert_ok(or_policy_load(path, &policy));
    assert_ok(or_policy_check(policy, 12, 7, false));
    assert_int_equal(or_policy_ramp_count(policy), report.n_ramps);
    assert_true(policy->threshold == report.threshold);
    assert_ok(or_parts_make(&trace, options->test_share, options->seed, &parts));
    or_replay_result(policy, &trace, parts.order + 240, 240, &result);
    same_result(&result, &report.calibration);
    or_replay_result(policy, &trace, parts.order + 480, 120, &result);
    same_result(&result, &report.test);
    check_survivors(policy, &trace, parts.order + 480, 120);

    size_t *all;
    assert_ok(OR_NEW(all, fresh.count));
    for (size_t i = 0; i < fresh.count; i++) all[i] = i;
    or_replay_result(policy, &fresh, all, fresh.count, &result);
    assert_true(result.agreement >= options->target_agreement - 0.015);
    assert_true(result.agreement <= options->target_agreement + 0.04); /* nor is it wastefully strict */
    assert_true(result.work_saved >= least_saved);
    assert_true(result.layers_saved <= result.oracle_saved + 0.05);
    free(all);
    or_parts_free(&parts);
    or_policy_free(policy);
    or_trace_free(&trace);
    or_trace_free(&fresh);
}

static void test_training_reaches_its_target(void **state)
{
    (void)state;
    or_train_options options = defaults("svm");
    check_training(&options, 0.25);
    options.kernel = "linear";
    check_training(&options, 0.2);
    options = defaults("crf");
    check_training(&options, 0.25);
    options = defaults("gap");
    check_training(&options, 0.1);
}

static or_buffer contents(const char *path)
{
    or_buffer text = {0};
    assert_ok(or_file_read(path, &text));
    return text;
}

/* All leave after the first layer that keeps the target, which one ramp is enough for. */
static void test_a_fixed_layer(void **state)
{
    (void)state;
    enum { LAYERS = 12 };
    or_trace trace = make_trace(1000, LAYERS, 43, 60);
    or_train_options options = defaults("fixed");
    or_train_report report;
    or_policy *policy;
    char path[1024];
    options.target_agreement = 0.9;
    options.test_share = 0;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_ok(or_policy_load(path, &policy));
    assert_int_equal(report.n_ramps, 1);
    const int layer = or_policy_last_ramp(policy);
    size_t right = 0, earlier = 0;
    for (size_t i = 0; i < trace.count; i++) {
        int32_t token;
        const or_observation *seen = trace.items[i].seen;
        assert_int_equal(or_policy_replay(policy, &trace.items[i], LAYERS, &token), layer);
        right += token == seen[LAYERS - 1].token;
        earlier += seen[layer - 2].token == seen[LAYERS - 1].token;
    }
    if (right < 880 || earlier >= 900)
        fail_msg("layer %d: %zu of 1000 right, %zu before", layer, right, earlier);
    or_policy_free(policy);
    or_trace_free(&trace);
}

/* What is promised is kept on fresh instances, is what the file says, and is more than without a promise. */
static void test_a_guarantee(void **state)
{
    (void)state;
    static const char *const kinds[] = {"svm", "crf", "gap"};
    or_trace trace = make_trace(1500, 12, 43, 60), fresh = make_trace(4000, 12, 1043, 60);
    size_t *all;
    assert_ok(OR_NEW(all, fresh.count));
    for (size_t i = 0; i < fresh.count; i++) all[i] = i;
    for (int k = 0; k < 3; k++) {
        char path[1024], text[100];
        or_train_options options = defaults(kinds[k]);
        or_train_report plain, report;
        or_train_result result;
        or_policy *policy;
        assert_ok(or_train(&trace, &options, policy_path(path), &plain));
        assert_true(plain.promise.guarantee == 0);
        options.guarantee = 0.95;
        assert_ok(or_train(&trace, &options, path, &report));
        const or_train_promise *promise = &report.promise;
        assert_true(promise->guarantee == 0.95 && promise->bound >= 0.95 && promise->bound < 1);
        assert_int_equal(promise->questions, 600);
        assert_int_equal(report.calibration.instances, 600);
        assert_true((long)promise->errors <= or_guarantee_errors(0.95, 0.95, 600));
        assert_near(report.calibration.agreement, 1 - (double)promise->errors / 600, 1e-12);
        assert_true(report.n_ramps > 0 && report.calibration.work_saved > 0.05);
        assert_ok(or_policy_load(path, &policy));
        or_replay_result(policy, &fresh, all, fresh.count, &result);
        assert_true(result.agreement >= 0.95);
        or_policy_free(policy);
        or_buffer json = contents(path);
        snprintf(text, sizeof text, "\"errors\": %zu, \"instances\": 600", promise->errors);
        assert_non_null(strstr(
            json.data, "\"calibration\": {\"target_agreement\": 0.95, \"guarantee\": 0.95, \"bound\": 0.9"));
        assert_non_null(strstr(json.data, text));
        or_buffer_free(&json);
    }
    free(all);
    or_trace_free(&trace);
    or_trace_free(&fresh);
}

/* The calibration part chooses the threshold and nothing else: with so many of it wrong at odd layers that
 * another set of ramps would calibrate better, the classifier and its ramps are the same, and the threshold
 * is stricter. */
static void test_a_guarantee_keeps_the_calibration_part_out(void **state)
{
    (void)state;
    or_trace trace = make_trace(1000, 12, 44, 60);
    or_train_options options = defaults("svm");
    or_train_report reports[2];
    or_buffer svm[2];
    or_parts parts;
    bool ramp[2][13];
    options.guarantee = 0.9;
    options.target_agreement = 0.9;
    assert_ok(or_parts_make(&trace, options.test_share, options.seed, &parts));
    for (int i = 0; i < 2; i++) {
        char path[1024], file[1024];
        or_policy *policy;
        policy_path(path);
        snprintf(file, sizeof file, "%.*s.svm", (int)strlen(path) - 5, path);
        assert_ok(or_train(&trace, &options, path, &reports[i]));
        assert_true(reports[i].n_ramps > 0);
        svm[i] = contents(file);
        assert_ok(or_policy_load(path, &policy));
        memcpy(ramp[i], policy->ramp, 13);
        or_policy_free(policy);
        for (size_t k = 0; k < parts.n_calibration; k += 7)
            for (int l = 0; l < 11; l += 2) trace.items[parts.order[parts.n_fit + k]].seen[l].token = 999;
    }
    assert_memory_equal(ramp[0], ramp[1], 13);
    assert_string_equal(svm[0].data, svm[1].data);
    assert_true(reports[1].threshold > reports[0].threshold);
    /* the set that a choice by the calibration part would have come to now does better */
    assert_true(reports[1].ramps[OR_TRAIN_SECOND].result.work_saved >
                reports[1].calibration.work_saved + 0.03);
    or_parts_free(&parts);
    for (int i = 0; i < 2; i++) or_buffer_free(&svm[i]);
    or_trace_free(&trace);
}

/* Tokens from 100 on are never an answer here, which gap and layer do not show. */
static void test_reliability_tells_answers_from_other_tokens(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(1000, 12, 45, 20);
    or_train_options options = defaults("svm");
    or_train_report without, with;
    or_policy *policy;
    assert_ok(or_train(&trace, &options, policy_path(path), &without));
    options.features = 0; /* the kind's own */
    assert_ok(or_train(&trace, &options, path, &with));
    assert_true(with.test.layers_saved > without.test.layers_saved + 0.05);
    assert_true(with.test.agreement >= 0.9);

    or_train_result result;
    or_parts parts;
    assert_ok(or_policy_load(path, &policy));
    assert_true(or_reliability_of(&policy->reliability, 100) < -2);
    assert_true(or_reliability_of(&policy->reliability, 7) > 0);
    assert_ok(or_parts_make(&trace, options.test_share, options.seed, &parts));
    or_replay_result(policy, &trace, parts.order + parts.n_fit + parts.n_calibration, parts.n_test, &result);
    same_result(&result, &with.test);
    or_parts_free(&parts);
    or_policy_free(policy);
    or_trace_free(&trace);
}

/* AdaInfer as published: its two features, all ramps, the SVM's own border; nothing is calibrated. */
static void test_paper(void **state)
{
    (void)state;
    char path[1024];
    static const char *const kinds[] = {"svm", "crf"};
    or_trace trace = make_trace(300, 12, 46, 20);
    for (int i = 0; i < 2; i++) {
        or_train_options options;
        or_train_report report;
        or_policy *policy;
        or_train_defaults(&options);
        options.classifier = kinds[i];
        or_train_paper(&options);
        assert_ok(or_train(&trace, &options, policy_path(path), &report));
        assert_int_equal(report.n_ramps, 11);
        assert_true(report.threshold == (i == 0 ? 0 : 0.5));
        assert_ok(or_policy_load(path, &policy));
        assert_int_equal(policy->n_features, 2);
        assert_int_equal(policy->features[0], OR_FEATURE_GAP);
        assert_int_equal(policy->features[1], OR_FEATURE_TOP_PROB);
        assert_int_equal(or_policy_ramp_count(policy), 11);
        or_policy_free(policy);
        or_buffer json = contents(path);
        assert_null(strstr(json.data, "ramps_compared"));
        assert_null(strstr(json.data, "target_agreement"));
        or_buffer_free(&json);
    }
    or_trace_free(&trace);
}

static void test_too_few_for_a_guarantee(void **state)
{
    (void)state;
    char path[1024];
    or_train_options options = defaults("gap");
    or_train_report report;
    options.target_agreement =
        0.9; /* 0.9^22 <= 0.1: 22 must calibrate, 43 without a test part, 53 with one */
    options.guarantee = 0.9;
    options.test_share = 0;
    or_trace trace = make_trace(42, 4, 2, 0);
    assert_fails(
        or_train(&trace, &options, policy_path(path), &report), OR_ERR_INPUT,
        "21 questions calibrate, expected 22 (of 43 in the trace) to promise an agreement of 0.9 with "
        "confidence 0.9");
    assert_false(or_path_exists(path));
    or_trace_free(&trace);
    trace = make_trace(86, 4, 2, 0); /* two numbers of shots of 43 questions */
    for (size_t i = 0; i < trace.count; i++) {
        trace.items[i].index = (int64_t)(i % 43);
        trace.items[i].task[0] = 'x';
        trace.items[i].task[1] = '\0';
    }
    assert_ok(or_train(&trace, &options, path, &report));
    assert_int_equal(report.promise.questions, 22);
    trace.items[0].index = 1; /* one question less */
    trace.items[43].index = 1;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "21 questions calibrate");
    or_trace_free(&trace);
}

static void test_the_same_again_gives_the_same_files(void **state)
{
    (void)state;
    or_trace trace = make_trace(200, 8, 3, 40);
    or_train_options options = defaults("svm");
    or_train_report report;
    or_buffer json[3], svm[3], crf[2];
    for (int i = 0; i < 3; i++) {
        char path[1024], file[1024];
        policy_path(path);
        snprintf(file, sizeof file, "%.*s.svm", (int)strlen(path) - 5, path);
        options.seed = i < 2 ? 1 : 2;
        assert_ok(or_train(&trace, &options, path, &report));
        json[i] = contents(path);
        svm[i] = contents(file);
    }
    assert_string_equal(json[0].data, json[1].data);
    assert_string_equal(svm[0].data, svm[1].data);
    assert_string_not_equal(json[0].data, json[2].data);
    assert_non_null(strstr(json[0].data, "\"tasks\": [\"one\", \"two\"]"));
    assert_non_null(strstr(json[0].data, "\"target_agreement\": 0.95"));
    for (int i = 0; i < 2; i++) {
        char path[1024];
        options = defaults("crf");
        assert_ok(or_train(&trace, &options, policy_path(path), &report));
        crf[i] = contents(path);
    }
    assert_string_equal(crf[0].data, crf[1].data);
    assert_non_null(strstr(crf[0].data, "\"training\": {\"l2\": 1, "));
    for (int i = 0; i < 3; i++) {
        or_buffer_free(&json[i]);
        or_buffer_free(&svm[i]);
        if (i < 2) or_buffer_free(&crf[i]);
    }
    or_trace_free(&trace);
}

static void test_rows_are_thinned(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(200, 8, 3, 0);
    or_train_options options = defaults("svm");
    or_train_report report;
    options.max_rows = 100;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_int_equal(report.fit_rows, 100);
    assert_int_equal(report.fit_rows_all % 80, 0); /* 80 instances, some ramps each */
    assert_true(report.fit_rows_all >= 80 && report.fit_rows_all <= 80 * 7);
    or_trace_free(&trace);

    /* a crf is fitted to whole instances: of 7 ramps or fewer each, and to one at least */
    options = defaults("crf");
    options.max_rows = 100;
    trace = make_trace(200, 8, 3, 0);
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    const size_t chain = report.fit_rows_all / 80;
    assert_true(chain >= 1 && chain <= 7);
    assert_int_equal(report.fit_rows, 100 / chain * chain);
    options.max_rows = 2;
    assert_ok(or_train(&trace, &options, path, &report));
    assert_int_equal(report.fit_rows, report.fit_rows_all / 80 == 1 ? 2 : report.fit_rows_all / 80);
    or_trace_free(&trace);

    /* from all layers of all instances: the first rows there are would all be wrong ones */
    trace = make_trace(60, 41, 4, 0);
    for (size_t i = 0; i < trace.count; i++)
        for (int l = 0; l < 41; l++) trace.items[i].seen[l].token = l < 30 ? 99 : trace.items[i].final_token;
    options = defaults("svm");
    options.max_rows = 30;
    assert_ok(or_train(&trace, &options, path, &report));
    assert_int_equal(report.fit_rows, 30);
    or_trace_free(&trace);
}

static void test_own_threshold_without_a_target(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(100, 8, 3, 0);
    or_train_options options = defaults("gap");
    or_train_report report;
    options.target_agreement = 0;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_true(report.threshold == 0.8);
    options.threshold = 0.6;
    assert_ok(or_train(&trace, &options, path, &report));
    assert_true(report.threshold == 0.6);
    /* without a test part the survivors are the calibration part's */
    or_policy *policy;
    or_parts parts;
    options.test_share = 0;
    assert_ok(or_train(&trace, &options, path, &report));
    assert_ok(or_policy_load(path, &policy));
    assert_ok(or_parts_make(&trace, 0, options.seed, &parts));
    check_survivors(policy, &trace, parts.order + 50, 50);
    or_parts_free(&parts);
    or_policy_free(policy);
    or_buffer json = contents(path);
    assert_null(strstr(json.data, "target_agreement"));
    or_buffer_free(&json);
    or_trace_free(&trace);
}

static void test_too_few_instances(void **state)
{
    (void)state;
    char path[1024];
    or_train_options options = defaults("gap");
    or_train_report report;
    options.target_agreement = 0.9; /* 9 must calibrate: 17 without a test part, 21 with a fifth for it */
    options.test_share = 0;
    or_trace trace = make_trace(16, 4, 2, 0);
    assert_fails(or_train(&trace, &options, policy_path(path), &report), OR_ERR_INPUT,
                 "8 of its 16 instances calibrate, expected 9 of 17 for an agreement of 0.9");
    options.test_share = 0.2;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT,
                 "7 of its 16 instances calibrate, expected 9 of 21");
    assert_false(or_path_exists(path));
    or_trace_free(&trace);
    trace = make_trace(21, 4, 2, 0);
    assert_ok(or_train(&trace, &options, path, &report));
    or_trace_free(&trace);
    trace = make_trace(20, 4, 2, 0);
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "8 of its 20");
    options.target_agreement = 1 - 1e-15;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "trace too small");
    or_trace_free(&trace);
    trace = make_trace(1, 4, 2, 0);
    options.target_agreement = 0;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "expected 1 of 2");
    or_trace_free(&trace);
    trace = make_trace(0, 4, 2, 0);
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "0 of its 0 instances");
    or_trace_free(&trace);
}

static void test_one_label_only(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(60, 4, 2, 0);
    or_train_report report;
    for (int right = 0; right < 2; right++) {
        for (size_t i = 0; i < trace.count; i++)
            for (int l = 0; l < 3; l++)
                trace.items[i].seen[l].token = right ? trace.items[i].final_token : 500;
        or_train_options options = defaults("svm");
        assert_fails(or_train(&trace, &options, policy_path(path), &report), OR_ERR_INPUT,
                     right ? "show the full model's token" : "show another token than the full model");
        options = defaults("gap");
        assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT, "one label only");
    }
    or_trace_free(&trace);
}

/* Where the surest are always wrong, no threshold will do, and the policy is one that never fires. */
static void test_a_target_out_of_reach(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(200, 6, 2, 0);
    for (size_t i = 0; i < trace.count; i++)
        for (int l = 0; l < 5; l++) {
            or_observation *seen = &trace.items[i].seen[l];
            seen->gap = seen->token == trace.items[i].final_token ? 0.2f : 0.9f;
        }
    or_train_options options = defaults("gap");
    or_train_report report;
    or_policy *policy;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_true(isinf(report.threshold));
    assert_int_equal(report.n_ramps, 0);
    assert_near(report.test.agreement, 1, 0);
    assert_near(report.test.work_saved, 0, 1e-12);
    assert_ok(or_policy_load(path, &policy));
    for (size_t i = 0; i < trace.count; i++) {
        int32_t token;
        assert_int_equal(or_policy_replay(policy, &trace.items[i], 6, &token), 6);
        assert_int_equal(token, trace.items[i].final_token);
    }
    or_policy_free(policy);
    or_trace_free(&trace);
}

static void test_dear_ramps_are_few(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(400, 16, 2, 0);
    const double prices[] = {0, 6e7, 3e8, 1e11};
    int ramps[4];
    const char *kinds[] = {"svm", "gap"};
    for (int k = 0; k < 2; k++) {
        or_train_options options = defaults(kinds[k]);
        options.target_agreement = 0.95;
        for (int i = 0; i < 4; i++) {
            or_train_report report;
            trace.meta.ramp_macs = prices[i];
            assert_ok(or_train(&trace, &options, policy_path(path), &report));
            ramps[i] = report.n_ramps;
            assert_true(report.calibration.work_saved >= 0);
            assert_int_equal(report.calibration.work_saved > 0, report.n_ramps > 0);
        }
        assert_true(ramps[0] > ramps[1] && ramps[1] > ramps[2] && ramps[1] > 0);
        assert_int_equal(ramps[3], 0);
    }
    or_trace_free(&trace);
}

/* Where a head costs half a layer, a shortlist pays for more ramps, and saves more; so do dear layers. */
static void test_a_shortlist_makes_ramps_more(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(400, 16, 2, 0);
    const char *kinds[] = {"svm", "gap"};
    trace.meta.ramp_macs = 0.5 * trace.meta.row_macs;
    for (int k = 0; k < 2; k++) {
        or_train_options options = defaults(kinds[k]);
        or_train_report prompts, whole, cheap;
        or_policy *policy;
        options.target_agreement = 0.9;
        assert_ok(or_train(&trace, &options, policy_path(path), &prompts));
        options.generation = true;
        assert_ok(or_train(&trace, &options, path, &whole));
        options.shortlist = 10;
        assert_ok(or_train(&trace, &options, path, &cheap));
        assert_true(prompts.n_ramps > whole.n_ramps && cheap.n_ramps > whole.n_ramps && whole.n_ramps > 0);
        assert_true(cheap.calibration.work_saved > whole.calibration.work_saved + 0.02);
        assert_ok(or_policy_load(path, &policy));
        assert_int_equal(or_policy_shortlist(policy), 10);
        or_policy_free(policy);
        or_buffer json = contents(path);
        assert_non_null(strstr(json.data, "\"training\": {\"for\": \"generation\", "));
        or_buffer_free(&json);
    }
    or_trace_free(&trace);
}

/* Traces of versions that did not write n_vocab and row_macs train what they always did. */
static void test_what_an_older_trace_cannot_price(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(200, 6, 2, 0);
    or_train_report report;
    or_train_options options = defaults("gap");
    trace.meta.n_vocab = 0;
    trace.meta.row_macs = 0;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    options.generation = true;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT,
                 "the trace has no \"row_macs\", expected what a layer costs for one row");
    options.generation = false;
    options.shortlist = 8;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT,
                 "the trace has no \"vocab\", expected the size of the vocabulary");
    trace.meta.n_vocab = 8;
    assert_fails(or_train(&trace, &options, path, &report), OR_ERR_INPUT,
                 "found a shortlist of 8 tokens, expected fewer than the vocabulary's 8");
    trace.meta.n_vocab = 9;
    assert_ok(or_train(&trace, &options, path, &report));
    or_trace_free(&trace);
}

/* All become clear at the same layer: ramps before it go (those behind are never reached and cost nothing),
 * and the rows that are left have one label. */
static void test_ramps_where_all_is_right(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(100, 12, 9, 0);
    for (size_t i = 0; i < trace.count; i++)
        for (int l = 0; l < 12; l++) {
            or_observation *seen = &trace.items[i].seen[l];
            seen->token = l < 6 ? 99 : trace.items[i].final_token;
            seen->gap = l < 6 ? 0.25f : 0.75f;
        }
    or_train_options options = defaults("svm");
    options.features = 1u << OR_FEATURE_GAP;
    or_train_report report;
    or_policy *policy;
    assert_ok(or_train(&trace, &options, policy_path(path), &report));
    assert_near(report.test.agreement, 1, 0);
    assert_near(report.test.exit_layer_mean, 7, 0);
    assert_near(report.test.layers_saved, report.test.oracle_saved, 0);
    assert_ok(or_policy_load(path, &policy));
    for (int layer = 1; layer < 12; layer++) assert_int_equal(or_policy_has_ramp(policy, layer), layer >= 7);
    or_policy_free(policy);
    or_trace_free(&trace);
}

static void test_options_that_are_refused(void **state)
{
    (void)state;
    char path[1024];
    or_trace trace = make_trace(100, 4, 2, 0);
    or_train_report report;
    policy_path(path);
#define REFUSES(change, status, part)                                                                        \
    do {                                                                                                     \
        or_train_options options = defaults("svm");                                                          \
        change;                                                                                              \
        assert_fails(or_train(&trace, &options, path, &report), status, part);                               \
    } while (0)
    REFUSES(options.target_agreement = 1, OR_ERR_USAGE, "target agreement");
    REFUSES(options.target_agreement = -0.1, OR_ERR_USAGE, "target agreement");
    REFUSES(options.target_agreement = NAN, OR_ERR_USAGE, "target agreement");
    REFUSES(options.guarantee = 1, OR_ERR_USAGE, "guarantee");
    REFUSES(options.guarantee = -0.1, OR_ERR_USAGE, "guarantee");
    REFUSES((options.guarantee = 0.9, options.target_agreement = 0), OR_ERR_USAGE,
            "needs a target agreement");
    REFUSES(options.test_share = 0.6, OR_ERR_USAGE, "test share");
    REFUSES(options.test_share = -0.1, OR_ERR_USAGE, "test share");
    REFUSES(options.threshold = -1, OR_ERR_USAGE, "threshold");
    REFUSES(options.threshold = INFINITY, OR_ERR_USAGE, "threshold");
    REFUSES(options.features = 1u << OR_FEATURE_COUNT, OR_ERR_USAGE, "no such feature");
    REFUSES(options.kernel = "poly", OR_ERR_USAGE, "kernel");
    REFUSES(options.c = 0, OR_ERR_USAGE, "cost c");
    REFUSES(options.c = INFINITY, OR_ERR_USAGE, "cost c");
    REFUSES(options.error_weight = 0, OR_ERR_USAGE, "weight of errors");
    REFUSES(options.error_weight = NAN, OR_ERR_USAGE, "weight of errors");
    REFUSES(options.gamma = -1, OR_ERR_USAGE, "gamma");
    REFUSES(options.l2 = 0, OR_ERR_USAGE, "weight l2");
    REFUSES(options.l2 = NAN, OR_ERR_USAGE, "weight l2");
    REFUSES(options.max_rows = 1, OR_ERR_USAGE, "rows fitted");
    REFUSES(options.max_rows = 2000000, OR_ERR_USAGE, "rows fitted");
    REFUSES(options.shortlist = 1, OR_ERR_USAGE, "the shortlist must have 2..64 tokens, or 0");
    REFUSES(options.shortlist = -2, OR_ERR_USAGE, "shortlist");
    REFUSES(options.shortlist = OR_SHORTLIST + 1, OR_ERR_USAGE, "shortlist");
    REFUSES(options.classifier = "tree", OR_ERR_INPUT, "found \"tree\"");
    REFUSES((options.classifier = "gap", options.features = 1u << OR_FEATURE_LAYER), OR_ERR_INPUT,
            "looks at gap alone");
    trace.meta.n_layers = 1;
    REFUSES((void)0, OR_ERR_INPUT, "the model has 1 layers, expected 2..");
    trace.meta.n_layers = 4;
    snprintf(path, sizeof path, "%s/none/p.json", scratch_folder());
    REFUSES((void)0, OR_ERR_INPUT, "cannot be written");
    or_trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_share_no_question),
        cmocka_unit_test(test_thinned_parts_hold_a_question_once),
        cmocka_unit_test(test_part_sizes),
        cmocka_unit_test(test_draw_is_within_and_even),
        cmocka_unit_test(test_errors_allowed),
        cmocka_unit_test(test_calibration_against_trying_everything),
        cmocka_unit_test(test_ramps_against_trying_everything),
        cmocka_unit_test(test_a_ramp_that_errs_is_left_out),
        cmocka_unit_test(test_replay_is_what_the_pipeline_does),
        cmocka_unit_test(test_oracle_leaves_where_the_token_stays),
        cmocka_unit_test(test_training_reaches_its_target),
        cmocka_unit_test(test_a_fixed_layer),
        cmocka_unit_test(test_a_guarantee),
        cmocka_unit_test(test_a_guarantee_keeps_the_calibration_part_out),
        cmocka_unit_test(test_reliability_tells_answers_from_other_tokens),
        cmocka_unit_test(test_paper),
        cmocka_unit_test(test_too_few_for_a_guarantee),
        cmocka_unit_test(test_the_same_again_gives_the_same_files),
        cmocka_unit_test(test_rows_are_thinned),
        cmocka_unit_test(test_own_threshold_without_a_target),
        cmocka_unit_test(test_too_few_instances),
        cmocka_unit_test(test_one_label_only),
        cmocka_unit_test(test_a_target_out_of_reach),
        cmocka_unit_test(test_dear_ramps_are_few),
        cmocka_unit_test(test_a_shortlist_makes_ramps_more),
        cmocka_unit_test(test_what_an_older_trace_cannot_price),
        cmocka_unit_test(test_ramps_where_all_is_right),
        cmocka_unit_test(test_options_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
