/* test_eval.c - evaluations with generated answers: what is asked of the pipeline, and what is made of its
 * tokens.
 *
 * The pipeline is a stand-in (or_pipeline_run() below, linked instead of the library's) that says for each
 * row what the test has written down.
 */
#include "support.h"

#include "eval_internal.h"
#include "file.h"

#include <math.h>

enum { N_ROWS = 4, N_LAYERS = 16 };

/* The world of a test: what the stand-in says, and what it was asked. */
static struct {
    const char *said[2][N_ROWS]; /* at full depth, and with the policy */
    int stop_after;              /* continuations that are finished before a stop; -1: none */
    const char *lost;            /* the text that is said of those that fail then */
    or_request asked;            /* the last request */
    size_t n_asked;
} world;

/* The row that a request asks about, by its prompt. */
static size_t row_of(const or_request *request, const or_eval *eval)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (eval->sets[0].instances[i].prompt.ids == request->tokens) return i;
    fail_msg("no row has this prompt");
    return 0;
}

static or_tokenizer *tokenizer;
static or_eval *running;

/* Gives the tokens of `text` behind the prompt "...A:"; token k exits at layer 4 + k, at full depth at 16. */
static void say(const or_job *job, size_t index, const or_request *request, const char *text)
{
    or_tokens prompt = {0}, whole = {0};
    char both[256];
    bool more = true;
    snprintf(both, sizeof both, "A:%s", text);
    assert_ok(or_tokenizer_encode(tokenizer, "A:", 2, &prompt));
    assert_ok(or_tokenizer_encode(tokenizer, both, strlen(both), &whole));
    for (size_t k = 0; more && prompt.count + k < whole.count; k++) {
        const or_token token = {.token = whole.ids[prompt.count + k],
                                .exit_layer = request->policy < 0 ? N_LAYERS : 4 + (int32_t)k,
                                .gap = 0.25f,
                                .top_prob = 0.5f};
        assert_ok(job->token(job->context, index, &token, &more));
    }
    or_tokens_free(&whole);
    or_tokens_free(&prompt);
}

or_status or_pipeline_run(or_pipeline *pipeline, const or_job *job, or_run_stats *stats)
{
    (void)pipeline;
    *stats = (or_run_stats){.n_stages = 1, .seconds = 1};
    assert_ok(OR_NEW(stats->survivors, N_LAYERS + 1));
    for (size_t i = 0; i < job->n_requests; i++, world.n_asked++) {
        assert_ok(job->request(job->context, i, &world.asked));
        const char *said = world.said[world.asked.policy + 1][row_of(&world.asked, running)];
        say(job, i, &world.asked, said);
        stats->stage[0].macs += world.asked.policy < 0 ? 100 : 60;
        if (world.stop_after-- == 0) return OR_STOPPED; /* this one is left unfinished */
        if (world.lost && strcmp(said, world.lost) == 0)
            assert_ok(job->fault(job->context, i, 6));
        else
            assert_ok(job->finish(job->context, i, OR_FINISH_STOP));
    }
    return OR_OK;
}

uint64_t or_pipeline_fingerprint(const or_pipeline *pipeline)
{
    (void)pipeline;
    return 7;
}

static int writing; /* how deep */
void or_pipeline_tell_write(const or_pipeline *pipeline, bool begins)
{
    (void)pipeline;
    writing += begins ? 1 : -1;
    assert_true(writing == 0 || writing == 1);
}

/* ---- tests --------------------------------------------------------------------------------------------- */

typedef struct fixture {
    or_task *task;
    or_policy *policy;
    or_eval_plan plan;
    int shots;
} fixture;

static const or_hparams hparams = {.n_layers = N_LAYERS, .n_context = 2048, .n_vocab = 32000, .d_model = 64};

static void open_fixture(fixture *f, const char *metric)
{
    const char *folder = scratch_folder();
    char text[512];
    snprintf(text, sizeof text,
             "{\"name\": \"birds\", \"format\": \"jsonl\", \"test\": \"test.jsonl\", \"metric\": \"%s\", "
             "\"description\": \"%s\", \"prompt\": \"Say {input}\\nA:\", \"max_tokens\": 8}",
             metric, "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a "); /* a page */
    put_text(path_in(folder, "task.json"), text);
    put_text(path_in(folder, "test.jsonl"),
             "{\"input\": \"x\", \"output\": \"a red bird\"}\n{\"input\": \"y\", \"output\": \"blue\"}\n"
             "{\"input\": \"z\", \"output\": \"two birds\"}\n{\"input\": \"w\", \"output\": \"none\"}\n");
    memset(&world, 0, sizeof world);
    const char *const said[2][N_ROWS] = {{" red bird\nQ", " blue\n", " birds\n", " some\n"},
                                         {" The red bird.\nQ", " blue\n", " two\n", " some\n"}};
    memcpy(world.said, said, sizeof said);
    world.stop_after = -1;
    assert_ok(or_tokenizer_open(source_path("configs/demo/model"), &tokenizer));
    assert_ok(or_task_load(path_in(folder, "task.json"), NULL, &f->task));
    assert_ok(or_policy_load(source_path("configs/demo/policy/svm.json"), &f->policy));
    f->shots = 0;
    f->plan = (or_eval_plan){.tasks = &f->task,
                             .n_tasks = 1,
                             .shots = &f->shots,
                             .n_shots = 1,
                             .policies = &f->policy,
                             .n_policies = 1,
                             .dense = true,
                             .longest = 2048,
                             .room = 64,
                             .kv = OR_KV_VERIFY};
}

static void close_fixture(fixture *f)
{
    or_policy_free(f->policy);
    or_task_free(f->task);
    or_tokenizer_close(tokenizer);
}

/* Runs into the folder; the eval stays open in `running`. */
static or_status run(const fixture *f, const char *folder, bool resume)
{
    assert_ok(or_eval_open(&f->plan, tokenizer, &hparams, &running));
    assert_ok(or_eval_output(running, folder, 7, resume));
    return or_eval_run(running, NULL, NULL, NULL, NULL);
}

static or_buffer read_results(const char *folder)
{
    or_buffer text = {0};
    assert_ok(or_file_read(path_in(folder, "results.jsonl"), &text));
    return text;
}

static void requests_ask_for_text(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "f1");
    assert_ok(run(&f, scratch_folder(), false));
    assert_int_equal(world.n_asked, 2 * N_ROWS);
    assert_int_equal(world.asked.policy, 0);
    assert_int_equal(world.asked.max_tokens, 8);
    assert_int_equal(world.asked.kv, OR_KV_VERIFY);
    assert_near(world.asked.sampling.temperature, 0, 0);
    assert_near(world.asked.sampling.top_p, 1, 0);
    assert_false(world.asked.observe);
    assert_int_equal(world.asked.n_ends, or_tokenizer_ends(tokenizer, &(const int32_t *){NULL}));
    assert_int_equal(world.asked.ends[0], or_tokenizer_eos(tokenizer));
    /* all prompts begin with the description and part behind it */
    const or_tokens *a = &running->sets[0].instances[0].prompt, *b = &running->sets[0].instances[1].prompt;
    const size_t shared = world.asked.n_shared;
    assert_true(shared >= OR_PAGE && shared < a->count);
    assert_memory_equal(a->ids, b->ids, shared * sizeof(int32_t));
    or_eval_close(running);
    f.plan.limit = 1; /* one prompt shares with nobody */
    assert_ok(run(&f, scratch_folder(), false));
    assert_int_equal(world.asked.n_shared, 0);
    or_eval_close(running);
    close_fixture(&f);
}

static void figures_are_of_scores_and_tokens(void **state)
{
    (void)state;
    fixture f;
    or_group_summary s;
    open_fixture(&f, "f1");
    assert_ok(run(&f, scratch_folder(), false));
    assert_ok(or_eval_summary(running, 0, &s)); /* full depth: f1 1, 1, 2/3, 0 */
    assert_near(s.accuracy, 2.0 / 3, 1e-12);
    assert_near(s.standard_error, sqrt((1.0 / 9 + 1.0 / 9 + 0 + 4.0 / 9) / 3 / 4), 1e-12);
    assert_near(s.exact_match, 0.5, 0);
    assert_true(isnan(s.agreement));
    assert_near(s.exit_layer_mean, N_LAYERS, 0);
    assert_near(s.layers_saved, 0, 0);
    assert_near(s.flops_ratio, 1, 0);
    assert_ok(or_eval_summary(running, 1, &s));
    assert_near(s.accuracy, 2.0 / 3, 1e-12);
    assert_near(s.exact_match, 0.5, 0);
    assert_near(s.agreement, 0.5, 0); /* "The red bird." is right as well, but another text */
    assert_near(s.flops_ratio, 0.6, 1e-12);
    double n = 0, sum = 0, squares = 0;
    for (size_t i = 0; i < N_ROWS; i++) {
        const or_outcome *outcome = &running->groups[1].outcomes[i];
        for (size_t k = 0; k < outcome->n_tokens; k++, n++) {
            sum += 4 + (double)k;
            squares += (4 + (double)k) * (4 + (double)k);
        }
    }
    assert_true(n > N_ROWS);
    assert_near(s.exit_layer_mean, sum / n, 1e-12);
    assert_near(s.exit_layer_var, (squares - sum * sum / n) / (n - 1), 1e-12);
    assert_near(s.layers_saved, 1 - sum / n / N_LAYERS, 1e-12);
    assert_near(s.tokens_per_second, n, 0);
    or_eval_close(running);
    close_fixture(&f);
}

static void lines_hold_the_text(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "exact_match");
    char folder[256];
    snprintf(folder, sizeof folder, "%s", scratch_folder());
    assert_ok(run(&f, folder, false));
    or_buffer text = read_results(folder);
    const or_outcome *blue = &running->groups[1].outcomes[1];
    assert_int_equal(blue->n_tokens, 2);
    char expected[512];
    snprintf(expected, sizeof expected,
             "{\"task\":\"birds\",\"shots\":0,\"policy\":\"svm\",\"index\":1,\"token\":%d,\"correct\":true,"
             "\"score\":1,\"text\":\" blue\",\"exit_layers\":[4,5],\"exit_layer\":4,\"gap\":0.25,"
             "\"top_prob\":0.5,\"dense_text\":\" blue\"}\n",
             blue->token);
    assert_non_null(strstr(text.data, expected));
    assert_non_null(strstr(text.data, "\"correct\":false,\"score\":0,\"text\":\" two\",\"exit_layers\":"));
    assert_null(strstr(text.data, "answer_token"));
    or_buffer_free(&text);
    or_eval_close(running);
    close_fixture(&f);
}

/* Stopped with a continuation in flight, at every point: resumed, the results are those of one run. */
static void stopped_runs_go_on(void **state)
{
    (void)state;
    fixture f;
    or_group_summary s;
    open_fixture(&f, "f1");
    char folder[256];
    snprintf(folder, sizeof folder, "%s", scratch_folder());
    assert_ok(run(&f, folder, false));
    or_eval_close(running);
    or_buffer whole = read_results(folder);
    for (int stop = 0; stop < 2 * N_ROWS; stop++) {
        snprintf(folder, sizeof folder, "%s", scratch_folder());
        world.stop_after = stop;
        assert_int_equal(run(&f, folder, false), OR_STOPPED);
        or_eval_close(running);
        assert_false(or_path_exists(path_in(folder, "results.jsonl")));
        world.n_asked = 0;
        assert_ok(run(&f, folder, true));
        assert_int_equal(world.n_asked, 2 * N_ROWS - stop);
        or_buffer resumed = read_results(folder);
        assert_string_equal(resumed.data, whole.data);
        or_buffer_free(&resumed);
        /* what the first process has executed is not known to the second */
        assert_ok(or_eval_summary(running, 1, &s));
        assert_int_equal(isnan(s.flops_ratio), stop > 0);
        or_eval_close(running);
    }
    f.plan.kv = OR_KV_PROPAGATE;
    assert_ok(or_eval_open(&f.plan, tokenizer, &hparams, &running));
    assert_fails(or_eval_output(running, folder, 7, true), OR_ERR_INPUT, "another run's journal");
    or_eval_close(running);
    or_buffer_free(&whole);
    close_fixture(&f);
}

/* A row fails at full depth and with the policy, another one with the policy only. */
static void what_failed_is_wrong_and_left_out_of_the_rest(void **state)
{
    (void)state;
    fixture f;
    or_group_summary s;
    open_fixture(&f, "f1");
    world.lost = " blue\n";
    world.said[1][0] = " blue\n";
    char folder[256];
    snprintf(folder, sizeof folder, "%s", scratch_folder());
    for (int resumed = 0; resumed < 2; resumed++) {
        world.n_asked = 0;
        assert_ok(run(&f, folder, resumed));
        assert_int_equal(world.n_asked, resumed ? 0 : 2 * N_ROWS);
        assert_int_equal(or_eval_failed(running), 3);
        assert_fails(
            or_eval_check(running), OR_ERR_FAILED,
            "3 of 8, the first is task birds, 0 shots, policy full, index 1: numbers are not finite after "
            "layer 6");
        assert_null(strstr(or_status_message(), "damaged"));
        assert_ok(or_eval_summary(running, 0, &s)); /* f1 1, failed, 2/3, 0 */
        assert_int_equal(s.failed, 1);
        assert_near(s.accuracy, 5.0 / 12, 1e-12);
        assert_near(s.exit_layer_mean, N_LAYERS, 0);
        assert_ok(or_eval_summary(running, 1, &s)); /* failed, failed, 2/3, 0; agrees in one of three */
        assert_int_equal(s.failed, 2);
        assert_near(s.accuracy, 1.0 / 6, 1e-12);
        assert_near(s.agreement, 1.0 / 3, 1e-12);
        or_buffer text = read_results(folder);
        assert_non_null(strstr(text.data,
                               "\"index\":1,\"token\":-1,\"correct\":false,\"score\":0,\"text\":\"\","
                               "\"exit_layers\":[],\"exit_layer\":6,\"gap\":0,\"top_prob\":0,"
                               "\"error\":\"numbers are not finite after layer 6\"}\n"));
        assert_non_null(
            strstr(text.data, "\"dense_text\":\"\",\"error\":\"numbers are not finite after layer 6\"}"));
        or_buffer_free(&text);
        or_eval_close(running);
    }
    for (int i = 0; i < 2 * N_ROWS; i++) world.said[i / N_ROWS][i % N_ROWS] = " blue\n";
    assert_ok(run(&f, scratch_folder(), false));
    assert_fails(or_eval_check(running), OR_ERR_FAILED, "8 of 8");
    assert_non_null(strstr(or_status_message(), "layer 6; are the weights damaged?"));
    assert_ok(or_eval_summary(running, 1, &s));
    assert_true(s.accuracy == 0 && isnan(s.agreement) && isnan(s.exit_layer_mean));
    or_eval_close(running);
    close_fixture(&f);
}

static void answers_without_room_are_refused(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "f1");
    f.plan.room = 12;
    assert_fails(or_eval_open(&f.plan, tokenizer, &hparams, &running), OR_ERR_INPUT,
                 "answer does not fit (birds): row 1 has");
    assert_non_null(strstr(or_status_message(), "up to 8 more, the KV cache holds 12"));
    f.plan.room = 4096;
    or_hparams small = hparams;
    small.n_context = 12;
    assert_fails(or_eval_open(&f.plan, tokenizer, &small, &running), OR_ERR_INPUT,
                 "the model's context is 12");
    f.plan.room = 0; /* a trace */
    assert_ok(or_eval_open(&f.plan, tokenizer, &small, &running));
    or_eval_close(running);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_ask_for_text),
        cmocka_unit_test(figures_are_of_scores_and_tokens),
        cmocka_unit_test(lines_hold_the_text),
        cmocka_unit_test(stopped_runs_go_on),
        cmocka_unit_test(what_failed_is_wrong_and_left_out_of_the_rest),
        cmocka_unit_test(answers_without_room_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
