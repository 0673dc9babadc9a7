/* decision.c - what a decision of an exit policy's classifier costs beside a layer of its model: nanoseconds of
 * processor time on one thread.
 *
 *   cmake --build build --target benchmark_decision &&
 *     build/tests/benchmark_decision [MODEL POLICY]     (configs/demo/model configs/demo/policy/svm.json)
 *
 *   decision of svm: 81234 ns, 12012 multiply-adds
 *   layer, prompt of 40 tokens: 412345 ns, a decision is 19.70 % of it
 *
 * Decisions are about observations drawn at random, layers about random hidden states; of each the least of
 * several rounds counts, since other work on the machine can only add to it.
 */
#include "memory.h"
#include "random.h"
#include "threads.h"

#include <offramp/checkpoint.h>
#include <offramp/model.h>
#include <offramp/policy.h>

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 30, DECISIONS = 200 };

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Uniform in 0 .. 1. */
static float draw(uint64_t *state)
{
    return (float)(or_random(state) >> 40) * 0x1p-24f;
}

static or_observation draw_observation(uint64_t *state, int n_layers)
{
    const float top = draw(state);
    return (or_observation){.layer = 1 + (int)(or_random(state) % (uint64_t)(n_layers - 1)),
                            .top_prob = top,
                            .gap = top * draw(state),
                            .stable = 1 + (int)(or_random(state) % 8)};
}

static double decision_ns(const or_policy *policy, int n_layers)
{
    static volatile size_t fired;
    or_observation seen[DECISIONS];
    uint64_t state = 1;
    double least = 0;
    or_ramp_state ramps = OR_RAMP_STATE_START;
    for (size_t i = 0; i < DECISIONS; i++) seen[i] = draw_observation(&state, n_layers);
    for (int round = 0; round < ROUNDS; round++) {
        const double begin = cpu_ns();
        for (size_t i = 0; i < DECISIONS; i++) fired += or_policy_fires(policy, &seen[i], &ramps);
        const double took = (cpu_ns() - begin) / DECISIONS;
        if (round == 0 || took < least) least = took;
    }
    return least;
}

/* Of all layers in turn, by their number; hidden [tokens, d_model]. */
static or_status layer_ns(or_model *model, int tokens, float *hidden, double *least)
{
    const or_hparams *h = or_model_hparams(model);
    const or_span span = {.count = tokens};
    uint64_t state = 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < (size_t)tokens * (size_t)h->d_model; i++) hidden[i] = draw(&state) - 0.5f;
        const double begin = cpu_ns();
        for (int layer = 0; layer < h->n_layers; layer++)
            OR_TRY(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
        const double took = (cpu_ns() - begin) / h->n_layers;
        if (round == 0 || took < *least) *least = took;
    }
    return OR_OK;
}

static or_status measure(or_model *model, const or_policy *policy)
{
    static const int lengths[] = {1, 40, 64, 512};
    const or_hparams *h = or_model_hparams(model);
    OR_TRY(or_policy_check(policy, h->n_layers, 0, true));
    const double decision = decision_ns(policy, h->n_layers);
    printf("decision of %s: %.0f ns, %llu multiply-adds\n", or_policy_classifier(policy), decision,
           (unsigned long long)or_policy_cost(policy));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths && lengths[i] <= h->n_context; i++) {
        float *hidden = NULL;
        double layer = 0;
        or_status status = OR_NEW(hidden, (size_t)lengths[i] * (size_t)h->d_model);
        if (status == OR_OK) status = layer_ns(model, lengths[i], hidden, &layer);
        free(hidden);
        OR_TRY(status);
        printf("layer, prompt of %d tokens: %.0f ns, a decision is %.2f %% of it\n", lengths[i], layer,
               100 * decision / layer);
    }
    return OR_OK;
}

static or_status run(const char *path, const char *policy_path)
{
    or_model *model = NULL;
    or_policy *policy = NULL;
    int n_layers = 0;
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_checkpoint_open(path, &checkpoint));
    n_layers = or_checkpoint_hparams(checkpoint)->n_layers;
    or_checkpoint_close(checkpoint);
    or_status status = or_policy_load(policy_path, &policy);
    if (status == OR_OK) status = or_model_open(path, 0, n_layers, &model);
    if (status == OR_OK) status = measure(model, policy);
    or_model_close(model);
    or_policy_free(policy);
    return status;
}

int main(int argc, char **argv)
{
    or_threads_set(1);
    const or_status status =
        run(argc == 3 ? argv[1] : "configs/demo/model", argc == 3 ? argv[2] : "configs/demo/policy/svm.json");
    if (status != OR_OK) fprintf(stderr, "%s\n", or_status_message());
    return status != OR_OK;
}
