/* table_stages.c - what each stage did in a run, or in several together.
 *
 *   stage  layers    in  exits   out  left%  rows    waves  busy%  ramp%  idle%  wait%  GFLOP/s      peak
 *       0  1..8    3264    408  2856   87.5  128k  136/136   62.3    0.8    9.1   20.5     73.2  48.2 MiB
 *       1  9..16   2856   2856     0    0.0  113k  135/135   67.4    0.7   30.3    0.0     58.1  42.7 MiB
 *
 * in, exits, out: requests, or steps of continuations. left%: survivors after the stage. waves: that were run, of
 * those that arrived; merging makes them fewer. Shares of time are of the run's; ramps are part of busy, and
 * GFLOP/s are while busy. Several hosts have a column, and so have several replicas, which lie one behind the other.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 110, GAP = 2, TEXT = 80 }; /* in characters */
enum {
    REPLICA,
    STAGE,
    HOST,
    LAYERS,
    IN,
    EXITS,
    OUT,
    LEFT,
    ROWS,
    WAVES,
    BUSY,
    RAMP,
    IDLE,
    WAIT,
    SPEED,
    PEAK,
    COLUMNS
};

static const char *const titles[COLUMNS] = {"replica", "stage", "host",    "layers", "in",    "exits",
                                            "out",     "left%", "rows",    "waves",  "busy%", "ramp%",
                                            "idle%",   "wait%", "GFLOP/s", "peak"};

typedef char row[COLUMNS][TEXT];

/* In five characters: 99999, 123k, 1.23M, 45.6G. */
static const char *count_text(uint64_t count, char text[TEXT])
{
    static const char units[] = "kMGTPE";
    double value = (double)count / 1e3;
    size_t unit = 0;
    for (; value >= 999.5; unit++) value /= 1e3;
    if (count < 100000)
        snprintf(text, TEXT, "%llu", (unsigned long long)count);
    else
        snprintf(text, TEXT, "%.*f%c", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[unit]);
    return text;
}

/* A share of a whole that may be nothing, or not known. */
static void share_text(double part, double whole, char text[TEXT])
{
    if (whole > 0)
        snprintf(text, TEXT, "%.1f", 100 * part / whole);
    else
        snprintf(text, TEXT, "-");
}

static void fill_row(const or_session *session, const or_run_stats *stats, int s, row cells)
{
    const or_stage_stats *stage = &stats->stage[s];
    const uint64_t *survivors = stats->survivors;
    const double speed = stage->busy > 0 ? 2e-9 * stage->macs / stage->busy : 0;
    const int replicas = stats->stage[stats->n_stages - 1].replica + 1;
    char run[TEXT], came[TEXT];
    snprintf(cells[REPLICA], TEXT, "%d", stage->replica);
    snprintf(cells[STAGE], TEXT, "%d", s % (stats->n_stages / replicas));
    snprintf(cells[HOST], TEXT, "%s", or_transport_host(session->transport, s));
    snprintf(cells[LAYERS], TEXT, "%d..%d", stage->first + 1, stage->last);
    count_text(stage->requests_in, cells[IN]);
    count_text(stage->exits, cells[EXITS]);
    count_text(stage->requests_out, cells[OUT]);
    share_text(survivors ? (double)survivors[stage->last] : 0, survivors ? (double)survivors[0] : 0,
               cells[LEFT]);
    count_text(stage->rows_in, cells[ROWS]);
    snprintf(cells[WAVES], TEXT, "%.30s/%.30s", count_text(stage->waves_run, run),
             count_text(stage->waves_in, came));
    share_text(stage->busy, stats->seconds, cells[BUSY]);
    share_text(stage->ramp, stats->seconds, cells[RAMP]);
    share_text(stage->idle, stats->seconds, cells[IDLE]);
    share_text(stage->wait, stats->seconds, cells[WAIT]);
    snprintf(cells[SPEED], TEXT, "%.*f", speed < 1000 ? 1 : 0, speed);
    or_bytes_text(stage->peak, cells[PEAK]);
}

/* Host and replica go without saying where there is one. */
static bool is_shown(const row *rows, int n_rows, int column)
{
    if (column != HOST && column != REPLICA) return true;
    for (int r = 1; r < n_rows; r++)
        if (strcmp(rows[r][column], rows[0][column]) != 0) return true;
    return false;
}

/* As wide as their widest text; the host gets what is left, or six characters. */
static void find_widths(const row *rows, int n_rows, int widths[COLUMNS])
{
    enum { HOST_LEAST = 6 };
    int all = 0;
    for (int c = 0; c < COLUMNS; c++) {
        widths[c] = is_shown(rows, n_rows, c) ? (int)strlen(titles[c]) : 0;
        for (int r = 0; widths[c] > 0 && r < n_rows; r++)
            if ((int)strlen(rows[r][c]) > widths[c]) widths[c] = (int)strlen(rows[r][c]);
        if (widths[c] > 0) all += widths[c] + (all > 0 ? GAP : 0);
    }
    if (widths[HOST] == 0 || all <= WIDTH) return;
    widths[HOST] -= all - WIDTH;
    if (widths[HOST] < HOST_LEAST) widths[HOST] = HOST_LEAST;
}

static or_status put_row(const char *const cells[COLUMNS], const int widths[COLUMNS], or_buffer *out)
{
    const char *gap = "";
    for (int c = 0; c < COLUMNS; c++) {
        const bool left = c == HOST || c == LAYERS;
        if (widths[c] == 0) continue;
        OR_TRY(or_buffer_printf(out, "%s%*.*s", gap, left ? -widths[c] : widths[c], widths[c], cells[c]));
        gap = "  ";
    }
    return or_buffer_puts(out, "\n");
}

or_status or_put_stages(const or_session *session, const or_run_stats *stats, or_buffer *out)
{
    int widths[COLUMNS];
    row *rows = NULL;
    OR_TRY(OR_NEW(rows, (size_t)stats->n_stages));
    for (int s = 0; s < stats->n_stages; s++) fill_row(session, stats, s, rows[s]);
    find_widths(rows, stats->n_stages, widths);
    or_status status = put_row(titles, widths, out);
    for (int s = 0; s < stats->n_stages && status == OR_OK; s++) {
        const char *cells[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) cells[c] = rows[s][c];
        status = put_row(cells, widths, out);
    }
    free(rows);
    return status;
}
