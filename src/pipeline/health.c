/* health.c - see health.h. */
#include "health.h"

#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* ---- what was heard ------------------------------------------------------------------------------------ */

or_status or_health_open(or_health *health, int n_ranks, double now)
{
    OR_TRY(OR_NEW(health->ranks, (size_t)n_ranks));
    health->n_ranks = n_ranks;
    for (int r = 0; r < n_ranks; r++) health->ranks[r].host = "?";
    or_health_forgive(health, now);
    return OR_OK;
}

void or_health_free(or_health *health)
{
    free(health->ranks);
    *health = (or_health){0};
}

/* A run that begins is a step, as waiting between runs is no standing still. */
void or_health_take(or_health *health, int rank, const or_vital *vital, double now)
{
    or_health_rank *r = &health->ranks[rank];
    if (vital->steps != r->vital.steps || vital->runs != r->vital.runs) r->moved = now;
    r->vital = *vital;
    r->heard = now;
}

void or_health_forgive(or_health *health, double now)
{
    for (int r = 0; r < health->n_ranks; r++) health->ranks[r].heard = health->ranks[r].moved = now;
}

/* ---- who is lost --------------------------------------------------------------------------------------- */

or_loss or_health_missing(const or_health *health, int judge, double least, double now)
{
    or_loss loss = {.rank = -1, .silent = true, .seconds = least};
    for (int r = 0; r < health->n_ranks; r++) {
        const double silent = now - health->ranks[r].heard;
        if (r == judge || (judge != 0 && r != 0) || silent < loss.seconds) continue;
        loss.rank = r;
        loss.seconds = silent;
    }
    return loss;
}

/* The shortest time for which any rank has not taken a step. */
static double stillness(const or_health *health, double now)
{
    double least = INFINITY;
    for (int r = 0; r < health->n_ranks; r++) least = fmin(least, now - health->ranks[r].moved);
    return least;
}

static double slowest_step(const or_health *health)
{
    double most = 0;
    for (int r = 0; r < health->n_ranks; r++) most = fmax(most, health->ranks[r].vital.slowest);
    return most;
}

static bool writes(const or_health *health)
{
    return health->ranks[0].vital.doing == OR_DOING_WRITE;
}

/* Rank 0 if it writes. One that computes keeps the others waiting; rank 0 where all wait, as it has begun what does
 * not end. */
static int who_hangs(const or_health *health)
{
    if (writes(health)) return 0;
    for (int r = 0; r < health->n_ranks; r++)
        if (health->ranks[r].vital.doing == OR_DOING_LAYER) return r;
    return 0;
}

or_loss or_health_judge(const or_health *health, int judge, double timeout, double now)
{
    enum { HEAD_START = 3 };
    or_loss loss = {.rank = -1};
    if (timeout <= 0 || (health->n_ranks == 1 && !writes(health))) return loss;
    /* rank 0 has the word, then rank 1; the others end silently */
    loss = or_health_missing(health, judge, timeout + HEAD_START * (judge < 2 ? judge : 2), now);
    if (loss.rank >= 0 || judge != 0) return loss;
    if (!health->ranks[0].vital.runs && !writes(health)) return loss;
    const double still = stillness(health, now);
    if (still > fmax(timeout, 4 * slowest_step(health)))
        loss = (or_loss){.rank = who_hangs(health), .seconds = still};
    return loss;
}

/* ---- texts --------------------------------------------------------------------------------------------- */

const char *or_doing_text(const or_vital *vital, char text[OR_DOING_TEXT])
{
    switch ((or_doing)vital->doing) {
    case OR_DOING_START:
        return "starting";
    case OR_DOING_LOAD:
        return "loading its layers";
    case OR_DOING_WAIT:
        return "waiting for waves";
    case OR_DOING_CREDIT:
        return "waiting for the next rank";
    case OR_DOING_WRITE:
        return "putting results on disk";
    case OR_DOING_LAYER:
        break;
    }
    snprintf(text, OR_DOING_TEXT, "behind layer %d of wave %" PRId64 ", %d rows", vital->layer, vital->wave,
             vital->rows);
    return text;
}

or_status or_health_fail(const or_health *health, const or_loss *loss)
{
    const or_health_rank *r = &health->ranks[loss->rank];
    char text[OR_DOING_TEXT], what[64];
    snprintf(what, sizeof what, "rank %d %s", loss->rank, loss->silent ? "lost" : "hangs");
    return or_fail(OR_ERR_PEER, what, r->host,
                   "%s for %.0f s, it was %s; the job ends, eval and run go on with --resume",
                   loss->silent ? "no sign of life" : "nothing was done", loss->seconds,
                   or_doing_text(&r->vital, text));
}

/* ---- the status file ----------------------------------------------------------------------------------- */

static or_status put_number(or_buffer *out, const char *name, double value)
{
    if (!isfinite(value)) return or_buffer_printf(out, ", \"%s\": null", name);
    return or_buffer_printf(out, ", \"%s\": %.6g", name, value);
}

static or_status put_text(or_buffer *out, const char *name, const char *text)
{
    OR_TRY(or_buffer_printf(out, "\"%s\": ", name));
    return or_json_put_string(out, text);
}

/* Layers counted from 1, both ends included; null before the rank has any. */
static or_status put_rank(or_buffer *out, const or_health *health, int rank, double now)
{
    const or_health_rank *r = &health->ranks[rank];
    const or_stage_stats *s = &r->vital.stage;
    char text[OR_DOING_TEXT];
    OR_TRY(or_buffer_printf(out, "%s\n  {\"rank\": %d, ", rank > 0 ? "," : "", rank));
    OR_TRY(put_text(out, "host", r->host));
    OR_TRY(put_number(out, "heard", now - r->heard));
    OR_TRY(or_buffer_puts(out, ", "));
    OR_TRY(put_text(out, "doing", or_doing_text(&r->vital, text)));
    if (s->last > s->first)
        OR_TRY(or_buffer_printf(out, ", \"layers\": [%d, %d]", s->first + 1, s->last));
    else
        OR_TRY(or_buffer_puts(out, ", \"layers\": null"));
    OR_TRY(or_buffer_printf(out,
                            ", \"requests_in\": %" PRIu64 ", \"exits\": %" PRIu64 ", \"waves\": %" PRIu64,
                            s->requests_in, s->exits, s->waves_run));
    OR_TRY(put_number(out, "busy", s->busy));
    OR_TRY(put_number(out, "wait", s->wait));
    OR_TRY(put_number(out, "idle", s->idle));
    return or_buffer_puts(out, "}");
}

/* Coordinated Universal Time, ISO 8601. */
static or_status put_time(or_buffer *out)
{
    const time_t now = time(NULL);
    struct tm parts;
    char text[32];
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return put_text(out, "updated", text);
}

or_status or_health_put_json(or_buffer *out, const or_health *health, const or_headway *headway,
                             const char *command, const char *state, double seconds, double now)
{
    const char *job = getenv("SLURM_JOB_ID");
    OR_TRY(or_buffer_puts(out, "{\"offramp_status\": 1, "));
    OR_TRY(put_text(out, "command", command));
    OR_TRY(or_buffer_puts(out, ", "));
    OR_TRY(put_text(out, "state", state));
    OR_TRY(or_buffer_puts(out, ", "));
    OR_TRY(put_time(out));
    OR_TRY(or_buffer_puts(out, ", "));
    OR_TRY(put_text(out, "job", job ? job : ""));
    OR_TRY(put_number(out, "seconds", seconds));
    OR_TRY(or_buffer_printf(out, ",\n \"done\": %zu, \"total\": %zu", headway->done, headway->total));
    OR_TRY(put_number(out, "requests_per_second", headway->requests_per_second));
    OR_TRY(put_number(out, "tokens_per_second", headway->tokens_per_second));
    OR_TRY(put_number(out, "exit_layer_mean", headway->exit_layer_mean));
    OR_TRY(put_number(out, "seconds_left", headway->seconds_left));
    OR_TRY(or_buffer_puts(out, ",\n \"ranks\": ["));
    for (int r = 0; r < health->n_ranks; r++) OR_TRY(put_rank(out, health, r, now));
    return or_buffer_puts(out, "\n]}\n");
}
