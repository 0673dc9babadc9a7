/* common.c - what the commands share. */
#include "cli.h"

#include "clock.h"
#include "compute.h"
#include "log.h"
#include "threads.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

or_status or_common_apply(const or_common *common, const or_session *session)
{
    or_log_level level = common->quiet ? OR_LOG_QUIET : common->verbose ? OR_LOG_VERBOSE : OR_LOG_NORMAL;
    bool many = session->transport && or_transport_size(session->transport) > 1;
    or_log_open(level, many ? session->rank : -1);
    or_threads_set((int)common->threads);
    return or_kernels_use(common->kernels);
}

or_status or_common_open(const or_common *common, or_session *session, bool taps, or_policy *const *policies,
                         size_t n_policies, or_pipeline **pipeline)
{
    const or_pipeline_options options = {
        .model = common->model,
        .plan = common->plan ? common->plan : "even",
        .wave_tokens = (size_t)common->wave_tokens,
        .taps = taps,
        .policies = policies,
        .n_policies = n_policies,
        .allow_other_model = common->allow_other_model,
        .memory_per_rank = (uint64_t)common->memory_per_rank,
    };
    return or_pipeline_open(session->transport, &options, pipeline);
}

or_status or_session_drive(or_session *session, or_pipeline *pipeline, or_status (*drive)(void *),
                           void *context)
{
    session->alone = true;
    or_status status = session->rank == 0 ? drive(context) : or_pipeline_serve(pipeline);
    session->alone = status != OR_OK && status != OR_STOPPED;
    return status;
}

/* ---- progress ------------------------------------------------------------------------------------------- */

or_status or_progress_open(const or_common *common, const char *what, or_progress *progress)
{
    const char *when = common->progress ? common->progress : "auto";
    bool automatic = strcmp(when, "auto") == 0, always = strcmp(when, "always") == 0;
    if (!automatic && !always && strcmp(when, "never") != 0)
        return or_fail(OR_ERR_USAGE, "wrong option", NULL,
                       "--progress is \"%s\", expected auto, always or never", when);
    bool terminal = isatty(STDERR_FILENO);
    *progress = (or_progress){
        .bar = always || (automatic && terminal && !common->quiet),
        .lines = automatic && !terminal && !common->quiet,
        .what = what,
        .last = or_clock_now(),
    };
    return OR_OK;
}

/* "1:02:03" or "02:03", "-" while unknown. */
static const char *duration(double seconds, char text[32])
{
    if (!isfinite(seconds)) return "-";
    long s = lround(seconds);
    if (s >= 3600)
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, 32, "%02ld:%02ld", s / 60, s % 60);
    return text;
}

void or_progress_show(void *context, const or_eval_progress *now)
{
    or_progress *progress = context;
    enum { WIDTH = 24, LINE_SECONDS = 10 };
    const double time = or_clock_now();
    const bool over = now->done == now->total;
    if (!progress->bar && !progress->lines) return;
    if (progress->lines && time - progress->last < LINE_SECONDS) return;
    progress->last = time;

    char left[32], bar[WIDTH + 1] = "", line[256];
    size_t filled = now->total ? now->done * WIDTH / now->total : WIDTH;
    memset(bar, '.', WIDTH);
    memset(bar, '#', filled);
    snprintf(line, sizeof line, "%zu/%zu  %.0f requests/s  %.0f tokens/s  exit layer %.1f  left %s",
             now->done, now->total, now->requests_per_second, now->tokens_per_second, now->exit_layer_mean,
             duration(over ? 0 : now->seconds_left, left));
    if (progress->bar)
        fprintf(stderr, "\r%s [%s] %s\033[K", progress->what, bar, line);
    else
        fprintf(stderr, "offramp: %s %s\n", progress->what, line);
    progress->open = progress->bar;
}

void or_progress_close(or_progress *progress)
{
    if (progress->open) fprintf(stderr, "\n");
    progress->open = false;
}

/* ---- stopping ------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

void or_stop_install(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
}

bool or_stop_asked(void *unused)
{
    (void)unused;
    return stop_asked;
}
