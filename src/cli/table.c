/* table.c - what eval and run measured, on the screen.
 *
 *   task  shots  policy       n  accuracy  stderr  agreement  exit layer     var  saved %   flops  ...
 *   sst2      5  full       872    0.9300  0.0086          -       32.00    0.00      0.0   1.000
 *   sst2      5  svm        872    0.9277  0.0088     0.9920       21.40   18.30     33.1   0.702
 *
 *   requests  refused    tokens  tokens/s  exit layer  first s   worst  last s   worst
 *        200        0     25600     812.3       11.40    0.210   1.904   3.811   5.002
 */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A number in a column of `width`, "-" where there is none. */
static void print_cell(int width, int digits, double value)
{
    if (isfinite(value))
        printf("  %*.*f", width, digits, value);
    else
        printf("  %*s", width, "-");
}

/* Shares as they are but "saved %", the layers saved; flops is executed over full depth's, so less is
 * better. */
static void print_row(const or_group_summary *s, int task_width, int policy_width)
{
    printf("%-*s  %5d  %-*s  %6zu", task_width, s->task, s->shots, policy_width, s->policy, s->n);
    print_cell(8, 4, s->accuracy);
    print_cell(6, 4, s->standard_error);
    print_cell(9, 4, s->agreement);
    print_cell(10, 2, s->exit_layer_mean);
    print_cell(6, 2, s->exit_layer_var);
    print_cell(7, 1, 100 * s->layers_saved);
    print_cell(6, 3, s->flops_ratio);
    print_cell(7, 0, s->requests_per_second);
    print_cell(8, 0, s->tokens_per_second);
    printf("\n");
}

/* Columns of names are as wide as their longest; bytes count, and names of tasks are ASCII (task.c). */
static int wider(int width, const char *text)
{
    return (int)strlen(text) > width ? (int)strlen(text) : width;
}

/* The stages of the whole run; nothing where this process ran nothing. */
static or_status print_stages(const or_session *session, const or_run_stats *stats)
{
    or_buffer text = {0};
    if (stats->n_stages == 0) return OR_OK;
    or_status status = or_put_stages(session, stats, &text);
    if (status == OR_OK) printf("\n%s", text.data);
    or_buffer_free(&text);
    return status;
}

/* "12.5 %" of a whole that may be nothing. */
static double per_cent(uint64_t part, uint64_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

/* What was not computed because others had, where there was any. */
static void print_shared(const or_run_stats *stats)
{
    if (stats->prompt_tokens_shared == 0) return;
    printf("\nprompt tokens: %llu, shared %llu (%.1f %%)\n", (unsigned long long)stats->prompt_tokens,
           (unsigned long long)stats->prompt_tokens_shared,
           per_cent(stats->prompt_tokens_shared, stats->prompt_tokens));
}

/* Those of all groups. */
static or_status print_eval_stages(const or_session *session, const or_eval *eval)
{
    or_run_stats *stats = NULL; /* too large for the stack to take lightly: an entry per possible stage */
    OR_TRY(OR_NEW(stats, 1));
    or_status status = or_eval_stages(eval, stats);
    if (status == OR_OK) print_shared(stats);
    if (status == OR_OK) status = print_stages(session, stats);
    or_run_stats_free(stats);
    free(stats);
    return status;
}

/* A line for each group of which instances have failed. */
static void print_failed(const or_group_summary *s, size_t n)
{
    for (size_t g = 0; g < n; g++)
        if (s[g].failed > 0)
            printf("failed, counted as wrong: %zu of %zu of %s, %d shots, %s\n", s[g].failed, s[g].n,
                   s[g].task, s[g].shots, s[g].policy);
}

/* All rows are collected before the first is printed, since the widths come from all. Totals repeat the
 * groups where there is one task, so they are shown for several only. */
or_status or_print_summary(const or_session *session, const or_eval *eval)
{
    const size_t n_groups = or_eval_group_count(eval), n_totals = or_eval_total_count(eval);
    int task_width = wider(4, "all tasks"), policy_width = 6;
    or_group_summary *s = NULL;
    OR_TRY(OR_NEW(s, n_groups + n_totals));
    or_status status = OR_OK;
    for (size_t g = 0; g < n_groups + n_totals && status == OR_OK; g++) {
        status = g < n_groups ? or_eval_summary(eval, g, &s[g]) : or_eval_total(eval, g - n_groups, &s[g]);
        if (status != OR_OK) break;
        task_width = wider(task_width, s[g].task);
        policy_width = wider(policy_width, s[g].policy);
    }
    if (status == OR_OK) {
        printf("%-*s  %5s  %-*s  %6s  %8s  %6s  %9s  %10s  %6s  %7s  %6s  %7s  %8s\n", task_width, "task",
               "shots", policy_width, "policy", "n", "accuracy", "stderr", "agreement", "exit layer", "var",
               "saved %", "flops", "req/s", "tokens/s");
        for (size_t g = 0; g < n_groups; g++) print_row(&s[g], task_width, policy_width);
        if (n_totals < n_groups) {
            printf("\n");
            for (size_t t = n_groups; t < n_groups + n_totals; t++)
                print_row(&s[t], task_width, policy_width);
        }
        if (or_eval_failed(eval) > 0) printf("\n");
        print_failed(s, n_groups);
        status = print_eval_stages(session, eval);
        printf("\n");
    }
    free(s);
    return status;
}

void or_print_forecast(const or_eval *eval)
{
    double requests = 0, predicted = 0, measured = 0;
    for (size_t g = 0; g < or_eval_group_count(eval); g++) {
        or_group_summary s;
        if (or_eval_summary(eval, g, &s) != OR_OK || !isfinite(s.predicted)) continue;
        const double ran = s.requests_per_second * s.stats.seconds;
        requests += ran;
        measured += s.stats.seconds;
        predicted += ran / s.predicted;
    }
    if (requests > 0)
        printf("predicted %.4g requests/s, measured %.4g (%.2f of it)\n", requests / predicted,
               requests / measured, predicted / measured);
}

/* Seconds are of single sequences, from their admission: first until the first token, last until the last. */
or_status or_print_batch(const or_session *session, const or_batch *batch)
{
    or_batch_summary s;
    OR_TRY(or_batch_summarise(batch, &s));
    printf("requests  refused    tokens  tokens/s  exit layer  first s   worst  last s   worst\n");
    printf("%8zu  %7zu  %8llu", s.requests, s.refused, (unsigned long long)s.tokens);
    print_cell(8, 1, s.tokens_per_second);
    print_cell(10, 2, s.exit_layer_mean);
    print_cell(7, 3, s.first_median);
    print_cell(6, 3, s.first_worst);
    print_cell(6, 3, s.last_median);
    print_cell(6, 3, s.last_worst);
    printf("\n");
    if (s.failed > 0) printf("\nfailed: %zu, numbers were not finite\n", s.failed);
    if (s.stats->drafts > 0)
        printf("\ndrafts: %llu, replaced %llu (%.1f %%)\n", (unsigned long long)s.stats->drafts,
               (unsigned long long)s.stats->drafts_replaced,
               per_cent(s.stats->drafts_replaced, s.stats->drafts));
    print_shared(s.stats);
    OR_TRY(print_stages(session, s.stats));
    printf("\n");
    return OR_OK;
}
