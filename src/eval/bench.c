/* bench.c - the job of a test: its requests, made up beforehand so that nothing of it is measured, and its
 * tokens, counted. */
#include "bench.h"

#include "memory.h"
#include "random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *or_bench_name(const or_bench_test *test, char name[OR_BENCH_NAME])
{
    const bool scores = test->tokens == 0;
    int used =
        snprintf(name, OR_BENCH_NAME, "%s%zu", scores ? "pp" : "tg", scores ? test->prompt : test->tokens);
    if (test->batch > 1) snprintf(name + used, OR_BENCH_NAME - (size_t)used, " b%zu", test->batch);
    return name;
}

/* A test in the making. */
typedef struct bench_job {
    const or_bench_test *test;
    or_kv_policy kv;
    int policy;
    int32_t *prompts; /* [batch, prompt length] */
    int32_t *exits;   /* [batch, answers]; NULL: full depth */
    size_t n_answers, n_tokens, n_finished;
} bench_job;

static size_t prompt_length(const or_bench_test *test)
{
    return test->tokens ? 1 : test->prompt;
}

/* Tokens that a request gives. */
static size_t answers_of(const or_bench_test *test)
{
    return test->tokens ? test->tokens : 1;
}

static or_status give_request(void *context, size_t index, or_request *request)
{
    const bench_job *job = context;
    const or_bench_test *test = job->test;
    request->n_tokens = prompt_length(test);
    request->tokens = job->prompts + index * request->n_tokens;
    request->policy = job->policy;
    request->max_tokens = test->tokens;
    request->kv = job->kv;
    request->sampling.top_p = 1;
    if (job->exits) request->exits = job->exits + index * answers_of(test);
    return OR_OK;
}

static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    (void)index;
    (void)answer;
    ((bench_job *)context)->n_answers++;
    return OR_OK;
}

static or_status take_token(void *context, size_t index, const or_token *token, bool *more)
{
    (void)index;
    (void)token;
    (void)more;
    ((bench_job *)context)->n_tokens++;
    return OR_OK;
}

static or_status take_finish(void *context, size_t index, or_finish why)
{
    (void)index;
    (void)why;
    ((bench_job *)context)->n_finished++;
    return OR_OK;
}

/* Prompts are random; those that are continued are the token that begins a text. No two tests of a seed
 * differ in what they run but for their exits. */
static or_status make_requests(bench_job *job, const or_hparams *h, const or_bench_exits *exits)
{
    const or_bench_test *test = job->test;
    const size_t rows = test->batch * prompt_length(test);
    uint64_t state = exits->seed;
    OR_TRY(OR_NEW(job->prompts, rows));
    for (size_t i = 0; i < rows; i++)
        job->prompts[i] =
            test->tokens ? (h->bos > 0 ? h->bos : 0) : (int32_t)(or_random(&state) % (uint64_t)h->n_vocab);
    if (!exits->curve) return OR_OK;
    const size_t answers = answers_of(test);
    OR_TRY(OR_NEW(job->exits, test->batch * answers));
    for (size_t i = 0; i < test->batch; i++)
        for (size_t t = 0; t < answers; t++)
            job->exits[i * answers + t] = or_curve_exit(exits->curve, exits->seed, i, t);
    return OR_OK;
}

/* A rate over fewer tokens than were asked for would be a wrong one. */
static or_status check_all_came(const bench_job *job)
{
    const or_bench_test *test = job->test;
    const bool scores = test->tokens == 0;
    const size_t came = scores ? job->n_answers : job->n_tokens, wanted = test->batch * answers_of(test);
    if (came == wanted && (scores || job->n_finished == test->batch)) return OR_OK;
    return or_fail(OR_ERR_FAILED, "bench failed", NULL, "found %zu %s, expected %zu", came,
                   scores ? "answers" : "tokens", wanted);
}

static void read_sample(const or_bench_test *test, or_bench_sample *sample)
{
    const size_t tokens = test->batch * (test->tokens ? test->tokens : test->prompt);
    sample->tokens_per_second = (double)tokens / sample->stats.seconds;
    for (int s = 0; s < sample->stats.n_stages; s++) {
        const or_stage_stats *stage = &sample->stats.stage[s];
        sample->macs += stage->macs;
        sample->busy += stage->busy;
        sample->ramp += stage->ramp;
    }
}

/* "tg32 b8, exits propagate": a run in a timeline. */
static void name_run(const or_bench_test *test, const or_bench_exits *exits, char name[OR_BENCH_NAME])
{
    or_bench_name(test, name);
    const size_t used = strlen(name);
    if (exits->curve) snprintf(name + used, OR_BENCH_NAME - used, ", exits %s", or_kv_policy_name(exits->kv));
}

or_status or_bench_run(or_pipeline *pipeline, const or_bench_test *test, const or_bench_exits *exits,
                       or_bench_sample *sample)
{
    bench_job job = {.test = test, .kv = exits->kv, .policy = exits->policy};
    char name[OR_BENCH_NAME];
    name_run(test, exits, name);
    const or_job calls = {
        .n_requests = test->batch,
        .context = &job,
        .request = give_request,
        .answer = take_answer,
        .token = take_token,
        .finish = take_finish,
        .name = name,
    };
    *sample = (or_bench_sample){0};
    or_status status = make_requests(&job, or_pipeline_hparams(pipeline), exits);
    if (status == OR_OK) status = or_pipeline_run(pipeline, &calls, &sample->stats);
    if (status == OR_OK) status = check_all_came(&job);
    if (status == OR_OK) read_sample(test, sample);
    free(job.prompts);
    free(job.exits);
    return status;
}

static int compare_numbers(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

or_status or_bench_figure_of(const double *values, size_t count, or_bench_figure *figure)
{
    double *sorted = NULL, sum = 0, squares = 0;
    OR_TRY(OR_NEW(sorted, count));
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    for (size_t i = 0; i < count; i++) sum += values[i];
    figure->mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) squares += (values[i] - figure->mean) * (values[i] - figure->mean);
    figure->deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    figure->median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
    free(sorted);
    return OR_OK;
}
