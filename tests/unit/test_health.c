/* test_health.c - which rank is lost, and what the status file says. */
#include "support.h"

#include "health.h"
#include "json.h"

#include <math.h>

/* Four ranks on hosts a..d, all heard of at 100 s. */
static or_health four(void)
{
    static const char *const hosts[] = {"a", "b", "c", "d"};
    or_health health;
    assert_ok(or_health_open(&health, 4, 100));
    for (int r = 0; r < 4; r++) health.ranks[r].host = hosts[r];
    return health;
}

/* A pulse at `now` of a rank that has taken `steps`. */
static void pulse(or_health *health, int rank, or_doing doing, int64_t steps, double now)
{
    const or_vital vital = {
        .doing = doing, .layer = 9, .rows = 48, .runs = rank == 0, .wave = 12, .steps = steps};
    or_health_take(health, rank, &vital, now);
}

static void assert_lost(or_loss loss, int rank, bool silent, double seconds)
{
    assert_int_equal(loss.rank, rank);
    if (rank < 0) return;
    assert_int_equal(loss.silent, silent);
    assert_near(loss.seconds, seconds, 1e-9);
}

static void the_most_silent_rank_is_lost(void **state)
{
    (void)state;
    or_health health = four();
    for (int r = 0; r < 4; r++) pulse(&health, r, OR_DOING_WAIT, 1, 100);
    pulse(&health, 3, OR_DOING_WAIT, 2, 104);
    pulse(&health, 2, OR_DOING_WAIT, 2, 103);
    pulse(&health, 0, OR_DOING_LAYER, 2, 109);
    assert_lost(or_health_judge(&health, 0, 10, 109), -1, true, 0);
    assert_lost(or_health_judge(&health, 0, 10, 110.5), 1, true, 10.5);
    assert_lost(or_health_judge(&health, 0, 2, 110.5), 1, true, 10.5);
    assert_lost(or_health_judge(&health, 0, 0, 1e6), -1, true, 0); /* never */
    or_health_free(&health);
}

/* They hear nobody else, and let rank 0 say first who is lost. */
static void other_ranks_judge_rank_0(void **state)
{
    (void)state;
    or_health health = four();
    assert_lost(or_health_judge(&health, 1, 10, 112), -1, true, 0);
    assert_lost(or_health_judge(&health, 1, 10, 113.5), 0, true, 13.5);
    assert_lost(or_health_judge(&health, 2, 10, 115), -1, true, 0);
    assert_lost(or_health_judge(&health, 3, 10, 116.5), 0, true, 16.5);
    pulse(&health, 0, OR_DOING_WAIT, 1, 113);
    assert_lost(or_health_judge(&health, 2, 10, 125), -1, true, 0);
    or_health_free(&health);
}

/* All pulse, a run is on, and nobody takes a step. */
static void a_job_that_stands_still_hangs(void **state)
{
    (void)state;
    or_health health = four();
    pulse(&health, 0, OR_DOING_WAIT, 5, 101);
    for (int t = 102; t <= 130; t++)
        for (int r = 0; r < 4; r++)
            pulse(&health, r, r == 2 ? OR_DOING_LAYER : OR_DOING_WAIT, r == 0 ? 5 : 7, t);
    assert_lost(or_health_judge(&health, 0, 20, 121), -1, false, 0); /* the others began to count at 102 */
    assert_lost(or_health_judge(&health, 0, 20, 130), 2, false, 28);
    assert_lost(or_health_judge(&health, 1, 20, 130), -1, false, 0); /* for rank 0 to say */
    char text[OR_DOING_TEXT];
    const or_loss loss = or_health_judge(&health, 0, 20, 130);
    assert_fails(or_health_fail(&health, &loss), OR_ERR_PEER, "rank 2 hangs (c): nothing was done for 28 s");
    assert_non_null(strstr(or_status_message(), or_doing_text(&health.ranks[2].vital, text)));
    assert_string_equal(text, "behind layer 9 of wave 12, 48 rows");
    pulse(&health, 3, OR_DOING_LAYER, 8, 130); /* somebody does something */
    assert_lost(or_health_judge(&health, 0, 20, 131), -1, false, 0);
    or_health_free(&health);
}

static void slow_layers_are_waited_for(void **state)
{
    (void)state;
    or_health health = four();
    for (int t = 101; t <= 160; t++)
        for (int r = 0; r < 4; r++) {
            const or_vital vital = {.runs = r == 0, .doing = OR_DOING_LAYER, .steps = 3, .slowest = r};
            or_health_take(&health, r, &vital, t);
        }
    assert_lost(or_health_judge(&health, 0, 5, 112), -1, false, 0); /* four times 3 s */
    assert_lost(or_health_judge(&health, 0, 5, 114), 0, false, 13);
    or_health_free(&health);
}

/* Between runs rank 0 may train or read for hours. */
static void without_a_run_standing_still_is_fine(void **state)
{
    (void)state;
    or_health health = four();
    const or_vital idle = {.doing = OR_DOING_WAIT, .steps = 4};
    for (int t = 101; t <= 1000; t++)
        for (int r = 0; r < 4; r++) or_health_take(&health, r, &idle, t);
    assert_lost(or_health_judge(&health, 0, 20, 1000), -1, false, 0);
    pulse(&health, 0, OR_DOING_WAIT, 4, 1000); /* a run begins: counted from now on */
    for (int r = 1; r < 4; r++) or_health_take(&health, r, &idle, 1010);
    assert_lost(or_health_judge(&health, 0, 20, 1010), -1, false, 0);
    or_health_free(&health);
}

/* Also behind a run, and in a job of one rank: a file server that does not answer. */
static void results_that_do_not_reach_the_disk_hang(void **state)
{
    (void)state;
    or_health health = four(), alone;
    const or_vital idle = {.doing = OR_DOING_WAIT, .steps = 4},
                   writes = {.doing = OR_DOING_WRITE, .steps = 9};
    for (int t = 101; t <= 130; t++)
        for (int r = 0; r < 4; r++) or_health_take(&health, r, r == 0 ? &writes : &idle, t);
    assert_lost(or_health_judge(&health, 0, 20, 120.5), -1, false, 0);
    assert_lost(or_health_judge(&health, 0, 20, 130), 0, false, 29);
    char text[OR_DOING_TEXT];
    assert_string_equal(or_doing_text(&health.ranks[0].vital, text), "putting results on disk");
    or_health_take(&health, 0, &idle, 131);
    assert_lost(or_health_judge(&health, 0, 20, 140), -1, false, 0);
    or_health_free(&health);

    assert_ok(or_health_open(&alone, 1, 100));
    or_health_take(&alone, 0, &writes, 101);
    or_health_take(&alone, 0, &writes, 130);
    assert_lost(or_health_judge(&alone, 0, 20, 130), 0, false, 29);
    or_health_free(&alone);
}

/* Its terminal may be held, and nobody else waits for it. */
static void one_rank_judges_nobody(void **state)
{
    (void)state;
    or_health health;
    assert_ok(or_health_open(&health, 1, 100));
    pulse(&health, 0, OR_DOING_LAYER, 1, 101);
    pulse(&health, 0, OR_DOING_LAYER, 1, 1000);
    assert_lost(or_health_judge(&health, 0, 20, 1000), -1, false, 0);
    or_health_free(&health);
}

static void a_judge_that_was_stopped_forgives(void **state)
{
    (void)state;
    or_health health = four();
    or_health_forgive(&health, 500);
    assert_lost(or_health_judge(&health, 0, 10, 505), -1, true, 0);
    assert_lost(or_health_judge(&health, 3, 10, 505), -1, true, 0);
    or_health_free(&health);
}

static void the_missing_one_is_named_when_all_end(void **state)
{
    (void)state;
    or_health health = four();
    for (int r = 0; r < 4; r++) pulse(&health, r, OR_DOING_LAYER, 1, r == 3 ? 100 : 101.5);
    assert_lost(or_health_missing(&health, 0, 1.3, 101.7), 3, true, 1.7);
    assert_lost(or_health_missing(&health, 0, 1.8, 101.7), -1, true, 0);
    assert_lost(or_health_missing(&health, 1, 1.3, 101.7), -1, true, 0); /* it hears rank 0 only */
    or_health_free(&health);
}

static void the_status_is_json(void **state)
{
    (void)state;
    or_health health = four();
    or_buffer text = {0};
    cJSON *json = NULL;
    const or_headway headway = {30, 120, 10.5, 400, NAN, 9};
    or_vital vital = {.doing = OR_DOING_LAYER, .layer = 3, .rows = 7, .wave = 2};
    vital.stage = (or_stage_stats){.first = 4, .last = 8, .requests_in = 40, .exits = 10, .busy = 1.5};
    or_health_take(&health, 1, &vital, 101);
    health.ranks[2].host = "say \"c\"";
    assert_ok(or_health_put_json(&text, &health, &headway, "eval", "running", 12.5, 103));
    assert_ok(or_json_parse(text.data, text.size, "status", &json));
    const cJSON *ranks = cJSON_GetObjectItem(json, "ranks"), *rank = cJSON_GetArrayItem(ranks, 1);
    assert_int_equal(cJSON_GetArraySize(ranks), 4);
    assert_int_equal(cJSON_GetObjectItem(json, "done")->valueint, 30);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "exit_layer_mean")));
    assert_near(cJSON_GetObjectItem(rank, "heard")->valuedouble, 2, 1e-9);
    assert_int_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(rank, "layers"), 0)->valueint, 5);
    assert_int_equal(cJSON_GetObjectItem(rank, "requests_in")->valueint, 40);
    assert_string_equal(cJSON_GetObjectItem(rank, "doing")->valuestring, "behind layer 3 of wave 2, 7 rows");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(ranks, 0), "layers")));
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetArrayItem(ranks, 2), "host")->valuestring, "say \"c\"");
    cJSON_Delete(json);
    or_buffer_free(&text);
    or_health_free(&health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_silent_rank_is_lost),
        cmocka_unit_test(other_ranks_judge_rank_0),
        cmocka_unit_test(a_job_that_stands_still_hangs),
        cmocka_unit_test(slow_layers_are_waited_for),
        cmocka_unit_test(without_a_run_standing_still_is_fine),
        cmocka_unit_test(results_that_do_not_reach_the_disk_hang),
        cmocka_unit_test(one_rank_judges_nobody),
        cmocka_unit_test(a_judge_that_was_stopped_forgives),
        cmocka_unit_test(the_missing_one_is_named_when_all_end),
        cmocka_unit_test(the_status_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
