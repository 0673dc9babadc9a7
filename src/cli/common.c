/* common.c - what the commands share. */
#include "cli.h"

#include "clock.h"
#include "compute.h"
#include "file.h"
#include "log.h"
#include "threads.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A status file that cannot be written is refused now. Collective. */
static or_status watch(const or_common *common, const or_session *session)
{
    const or_watch_options options = {
        .timeout = common->timeout,
        .status = common->status,
        .command = session->command,
        .alive = getenv("OFFRAMP_ALIVE") != NULL,
    };
    or_status status = OR_OK;
    if (common->stage_to && common->stage_to[0] == '\0')
        status = or_fail(OR_ERR_USAGE, "wrong option", NULL, "--stage-to is \"\", expected a folder");
    OR_TRY(or_transport_agree(session->transport, status));
    if (common->status && session->rank == 0) status = or_file_may_write(common->status);
    OR_TRY(or_transport_agree(session->transport, status));
    return or_transport_watch(session->transport, &options);
}

/* Lines of the log name their rank only where there are several. */
or_status or_common_apply(const or_common *common, const or_session *session)
{
    or_log_level level = common->quiet ? OR_LOG_QUIET : common->verbose ? OR_LOG_VERBOSE : OR_LOG_NORMAL;
    bool many = session->transport && or_transport_size(session->transport) > 1;
    or_log_open(level, many ? session->rank : -1);
    if (session->transport) OR_TRY(watch(common, session));
    or_threads_set((int)common->threads);
    return or_kernels_use(common->kernels);
}

or_status or_policies_load(const or_list *paths, or_policies *policies)
{
    OR_TRY(OR_NEW(policies->items, paths->count));
    for (; policies->count < paths->count; policies->count++)
        OR_TRY(or_policy_load(paths->items[policies->count], &policies->items[policies->count]));
    return OR_OK;
}

void or_policies_free(or_policies *policies)
{
    for (size_t i = 0; i < policies->count; i++) or_policy_free(policies->items[i]);
    free(policies->items);
}

bool or_policies_want_cosines(const or_policies *policies)
{
    for (size_t i = 0; i < policies->count; i++)
        if (or_policy_wants_cosines(policies->items[i])) return true;
    return false;
}

/* Before anything is loaded: what cannot be written in the end is refused now. Collective. */
static or_status open_timeline(const or_common *common, or_session *session)
{
    or_status status = OR_OK;
    if (!common->timeline || session->timeline) return OR_OK;
    session->timeline_path = common->timeline;
    if (session->rank == 0) status = or_file_may_write(common->timeline);
    OR_TRY(or_transport_agree(session->transport, status));
    return or_timeline_open(session->transport, &session->timeline);
}

or_status or_session_keep_timeline(or_session *session, or_status status)
{
    if (session->timeline && session->rank == 0 &&
        (status == OR_OK || status == OR_STOPPED || session->whole)) {
        const or_status written = or_timeline_write(session->timeline, session->timeline_path);
        if (written == OR_OK) or_log_note("timeline: %s", session->timeline_path);
        if (written != OR_OK) status = written;
    }
    or_timeline_close(session->timeline);
    session->timeline = NULL;
    return status;
}

/* The pipeline refuses together: what one rank cannot open, no rank opens. */
or_status or_common_open(const or_common *common, or_session *session, bool taps, or_policy *const *policies,
                         size_t n_policies, or_pipeline **pipeline)
{
    OR_TRY(open_timeline(common, session));
    const or_pipeline_options options = {
        .model = common->model,
        .drop_layers = common->drop_layers,
        .local = common->stage_to,
        .plan = common->plan ? common->plan : "even",
        .replicas = (int)common->replicas,
        .wave_tokens = (size_t)common->wave_tokens,
        .taps = taps,
        .policies = policies,
        .n_policies = n_policies,
        .allow_other_model = common->allow_other_model,
        .sequences = (size_t)common->sequences,
        .kv_memory = (uint64_t)common->kv_memory,
        .no_prefix_cache = common->no_prefix_cache,
        .memory_per_rank = (uint64_t)common->memory_per_rank,
        .workload = common->workload,
        .costs = common->costs,
        .quiet_plan = common->quiet_plan,
        .timeline = session->timeline,
    };
    return or_pipeline_open(session->transport, &options, pipeline);
}

/* While requests flow there is nothing collective by which ranks could agree on an error; hence `alone`. A
 * stop is no error: rank 0 still closes the pipeline, which lets the others go. */
or_status or_session_drive(or_session *session, or_pipeline *pipeline, or_status (*drive)(void *),
                           void *context)
{
    session->alone = true;
    or_status status = session->rank == 0 ? drive(context) : or_pipeline_serve(pipeline);
    session->alone = status != OR_OK && status != OR_STOPPED;
    return status;
}

/* ---- progress ----------------------------------------------------------------------------------------- */

/* Logs of batch jobs are no terminals: they get a line every 10 s instead of a bar that overwrites itself.
 * --progress never shows neither, always forces the bar. */
or_status or_progress_open(const or_common *common, const or_session *session, const char *what,
                           or_progress *progress)
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
        .transport = session->transport,
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

/* True when something is to be shown now: always on a bar, every LINE_SECONDS as a line. */
static bool is_time(or_progress *progress)
{
    enum { LINE_SECONDS = 10 };
    /* the first line comes LINE_SECONDS after the start: or_progress_open() set `last` */
    const double time = or_clock_now();
    if (!progress->bar && !progress->lines) return false;
    if (progress->lines && time - progress->last < LINE_SECONDS) return false;
    progress->last = time;
    return true;
}

/* `share` is 0..1. The bar is drawn over itself: \r goes to its beginning, ESC [K clears what a longer one
 * left. */
static void show_line(or_progress *progress, double share, const char *line)
{
    enum { WIDTH = 24 };
    char bar[WIDTH + 1] = "";
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(share * WIDTH));
    if (progress->bar)
        fprintf(stderr, "\r%s [%s] %s\033[K", progress->what, bar, line);
    else
        fprintf(stderr, "offramp: %s %s\n", progress->what, line);
    progress->open = progress->bar;
}

/* Only told between layers, at most ten times a second (eval_run.c): a wave of many rows may keep it still
 * for a while. */
void or_progress_show(void *context, const or_eval_progress *now)
{
    or_progress *progress = context;
    char left[32], line[256];
    if (progress->transport)
        or_transport_tell_headway(progress->transport,
                                  &(or_headway){now->done, now->total, now->requests_per_second,
                                                now->tokens_per_second, now->exit_layer_mean,
                                                now->seconds_left});
    if (!is_time(progress)) return;
    snprintf(line, sizeof line, "%zu/%zu  %.0f requests/s  %.0f tokens/s  exit layer %.1f  left %s",
             now->done, now->total, now->requests_per_second, now->tokens_per_second, now->exit_layer_mean,
             duration(now->done == now->total ? 0 : now->seconds_left, left));
    show_line(progress, now->total ? (double)now->done / (double)now->total : 1, line);
}

void or_progress_part(or_progress *progress, uint64_t done, uint64_t total, const char *what)
{
    const double share = total ? (double)done / (double)total : 1;
    char line[64];
    if (!is_time(progress)) return;
    snprintf(line, sizeof line, "%3.0f %% of the %s", 100 * share, what);
    show_line(progress, share, line);
}

/* What is printed next begins on a line of its own. */
void or_progress_close(or_progress *progress)
{
    if (progress->open) fprintf(stderr, "\n");
    progress->open = false;
}

/* ---- stopping ----------------------------------------------------------------------------------------- */

/* launch/offramp.sbatch sends SIGUSR1 ahead of its time limit and mpirun hands it to all ranks. The
 * handler only sets this flag; rank 0's pipeline looks at it between layers (or_job.stop). The other ranks
 * install the handler to survive the signal, and go on serving. */
static volatile sig_atomic_t stop_asked;

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    stop_asked = 1;
}

/* SA_RESTART: reads and writes that the signal finds under way are not to fail by it. */
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
