/* timeline.c - opening a timeline, and the file that is made of it.
 *
 * The file is the JSON object form of Chrome's trace events ("Trace Event Format"), an event a line:
 *
 *   {"displayTimeUnit": "ms",
 *    "otherData": {"clock": "...", "ranks": [{"host": "node01", "clock_offset": 0, "clock_error": 0, "dropped": 0}, ...]},
 *    "traceEvents": [
 *   {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "rank 0, layers 1..11, node01"}},
 *   {"ph": "X", "pid": 1, "tid": 1, "ts": 0.000, "dur": 812.400, "name": "busy", "args": {"rows": 40, ...}},
 *   {"ph": "s", "pid": 1, "tid": 1, "ts": 812.400, "name": "wave", "cat": "wave", "id": 0},      an arrow begins
 *   {"ph": "f", "bp": "e", "pid": 2, "tid": 2, "ts": 840.100, "name": "wave", "cat": "wave", "id": 0},  and ends
 *
 * Times are microseconds since the first event. Processes are counted from 1, as Perfetto takes 0 for the idle
 * process of a kernel: rank r is process r + 1, and the runs are one behind the last rank's.
 */
#include "events.h"

#include "file.h"
#include "json.h"

#include <math.h>
#include <stdio.h>

/* ---- opening ------------------------------------------------------------------------------------------------ */

/* Rank 0. */
static or_status learn_ranks(or_timeline *timeline, or_transport *transport, const or_clock_gap *gaps)
{
    for (int r = 0; r < timeline->n_ranks; r++) {
        timeline->lanes[r].gap = gaps[r];
        OR_TRY(or_strdup(or_transport_host(transport, r), &timeline->lanes[r].host));
    }
    return OR_OK;
}

/* The ranks agree before the first message, so that none waits for one that has no memory. */
or_status or_timeline_open(or_transport *transport, or_timeline **out)
{
    const bool gathers = or_transport_rank(transport) == 0;
    const int size = or_transport_size(transport);
    or_timeline *timeline = NULL;
    or_clock_gap *gaps = NULL;
    or_status status = or_timeline_make(or_transport_rank(transport), size, &timeline);
    if (status == OR_OK && gathers) status = OR_NEW(gaps, (size_t)size);
    status = or_transport_agree(transport, status);
    if (status == OR_OK) status = or_clocks_compare(transport, gaps);
    if (status == OR_OK && gathers) status = learn_ranks(timeline, transport, gaps);
    free(gaps);
    if (status == OR_OK)
        *out = timeline;
    else
        or_timeline_close(timeline);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* Whole nanoseconds, so that what ends where the next begins still does when it is printed. */
typedef struct writer {
    const or_timeline *timeline;
    double origin;
    or_buffer *out;
    bool first;
} writer;

static int64_t nanoseconds(const writer *w, double moment)
{
    return llround((moment - w->origin) * 1e9);
}

/* "12.345": microseconds. */
static or_status put_time(writer *w, const char *key, int64_t ns)
{
    return or_buffer_printf(w->out, ", \"%s\": %lld.%03lld", key, (long long)(ns / 1000),
                            (long long)(ns % 1000));
}

/* The beginning of an event, up to and without what differs between kinds. */
static or_status begin_event(writer *w, const char *phase, int pid)
{
    const char *comma = w->first ? "\n" : ",\n";
    w->first = false;
    return or_buffer_printf(w->out, "%s{\"ph\": \"%s\", \"pid\": %d, \"tid\": %d", comma, phase, pid, pid);
}

static or_status put_span(writer *w, int pid, double begin, double end)
{
    const int64_t from = nanoseconds(w, begin), to = nanoseconds(w, end);
    OR_TRY(begin_event(w, "X", pid));
    OR_TRY(put_time(w, "ts", from));
    return put_time(w, "dur", to - from);
}

/* An end of the arrow from the message of a wave to where it is run. */
static or_status put_arrow(writer *w, const char *phase, int pid, double moment, int sender, int64_t wave)
{
    OR_TRY(begin_event(w, phase, pid));
    OR_TRY(put_time(w, "ts", nanoseconds(w, moment)));
    return or_buffer_printf(w->out, ", \"name\": \"wave\", \"cat\": \"wave\", \"id\": %lld}",
                            (long long)sender << 32 | (long long)wave);
}

static or_status put_busy(writer *w, int rank, const or_event *e)
{
    const double seconds = e->end - e->begin;
    OR_TRY(or_buffer_printf(
        w->out,
        ", \"name\": \"busy\", \"args\": {\"rows\": %d, \"rows_out\": %d, \"riders\": %d, \"riders_out\": "
        "%d, \"exits\": %d, \"first_layer\": %d, \"last_layer\": %d, \"waves\": %d, \"ramps_us\": %.3f, "
        "\"gflops\": %.4g}}",
        e->rows, e->rows_out, e->riders, e->riders_out, e->exits, e->first + 1, e->last, e->waves,
        1e6 * e->ramp, seconds > 0 ? 2e-9 * e->macs / seconds : 0));
    for (int32_t i = 0; i < e->waves; i++)
        OR_TRY(put_arrow(w, "f\", \"bp\": \"e", rank + 1, e->begin, rank - 1, e->wave + i));
    return OR_OK;
}

static or_status put_send(writer *w, int rank, const or_event *e)
{
    OR_TRY(or_buffer_printf(
        w->out, ", \"name\": \"send\", \"args\": {\"rows\": %d, \"riders\": %d, \"bytes\": %lld}}", e->rows,
        e->riders, (long long)e->bytes));
    return put_arrow(w, "s", rank + 1, e->begin, rank, e->wave);
}

static or_status put_event(writer *w, int rank, const or_event *e)
{
    OR_TRY(put_span(w, rank + 1, e->begin, e->end));
    switch ((or_event_kind)e->kind) {
    case OR_EVENT_BUSY:
        return put_busy(w, rank, e);
    case OR_EVENT_SEND:
        return put_send(w, rank, e);
    case OR_EVENT_WAIT:
        return or_buffer_puts(w->out, ", \"name\": \"wait\"}");
    default:
        return or_buffer_puts(w->out, ", \"name\": \"idle\"}");
    }
}

static or_status put_label(writer *w, int pid, const char *kind, const char *name)
{
    OR_TRY(begin_event(w, "M", pid));
    OR_TRY(or_buffer_printf(w->out, ", \"name\": \"%s\", \"args\": {\"name\": ", kind));
    OR_TRY(or_json_put_string(w->out, name));
    return or_buffer_puts(w->out, "}}");
}

/* What a process and its only thread are called, and where it stands. */
static or_status put_names(writer *w, int pid, const char *name, const char *thread, int place)
{
    OR_TRY(put_label(w, pid, "process_name", name));
    OR_TRY(put_label(w, pid, "thread_name", thread));
    OR_TRY(begin_event(w, "M", pid));
    return or_buffer_printf(w->out, ", \"name\": \"process_sort_index\", \"args\": {\"sort_index\": %d}}",
                            place);
}

/* "rank 1, layers 12..22, node02", and all that it did. */
static or_status put_lane(writer *w, int rank)
{
    const or_lane *lane = &w->timeline->lanes[rank];
    char *name = NULL, layers[48] = "";
    if (lane->last > 0) snprintf(layers, sizeof layers, ", layers %d..%d", lane->first + 1, lane->last);
    OR_TRY(or_format(&name, "rank %d%s%s%s", rank, layers, lane->host ? ", " : "",
                     lane->host ? lane->host : ""));
    or_status status = put_names(w, rank + 1, name, "stage", rank + 1);
    free(name);
    for (size_t i = 0; i < lane->events.count && status == OR_OK; i++)
        status = put_event(w, rank, &lane->events.items[i]);
    return status;
}

static or_status put_runs(writer *w)
{
    const or_timeline *timeline = w->timeline;
    const int pid = timeline->n_ranks + 1;
    OR_TRY(put_names(w, pid, "runs", "runs", 0));
    for (size_t i = 0; i < timeline->n_spans; i++) {
        OR_TRY(put_span(w, pid, timeline->spans[i].begin, timeline->spans[i].end));
        OR_TRY(or_buffer_puts(w->out, ", \"name\": "));
        OR_TRY(or_json_put_string(w->out, timeline->spans[i].name));
        OR_TRY(or_buffer_puts(w->out, "}"));
    }
    return OR_OK;
}

/* Of whom, and how exact. */
static or_status put_head(const or_timeline *timeline, or_buffer *out)
{
    OR_TRY(or_buffer_puts(
        out, "{\"displayTimeUnit\": \"ms\",\n \"otherData\": {\"clock\": \"rank 0's; clock_offset is how far "
             "a rank's was ahead when the job began, in seconds, within clock_error\", \"ranks\": ["));
    for (int r = 0; r < timeline->n_ranks; r++) {
        const or_lane *lane = &timeline->lanes[r];
        OR_TRY(or_buffer_puts(out, r ? ", {\"host\": " : "{\"host\": "));
        OR_TRY(or_json_put_string(out, lane->host ? lane->host : ""));
        OR_TRY(or_buffer_printf(out, ", \"clock_offset\": %.9f, \"clock_error\": %.9f, \"dropped\": %llu}",
                                lane->gap.offset, lane->gap.error, (unsigned long long)lane->events.dropped));
    }
    return or_buffer_puts(out, "]},\n \"traceEvents\": [");
}

/* The moment that is 0: times may not be below, and ranks have begun one after the other. */
static double first_moment(const or_timeline *timeline)
{
    double first = timeline->n_spans > 0 ? timeline->spans[0].begin : 0;
    for (int r = 0; r < timeline->n_ranks; r++) {
        const or_events *events = &timeline->lanes[r].events;
        if (events->count > 0 && events->items[0].begin < first) first = events->items[0].begin;
    }
    return first;
}

or_status or_timeline_put(const or_timeline *timeline, or_buffer *out)
{
    writer w = {.timeline = timeline, .origin = first_moment(timeline), .out = out, .first = true};
    OR_TRY(put_head(timeline, out));
    OR_TRY(put_runs(&w));
    for (int r = 0; r < timeline->n_ranks; r++) OR_TRY(put_lane(&w, r));
    return or_buffer_puts(out, "\n]}\n");
}

or_status or_timeline_write(const or_timeline *timeline, const char *path)
{
    or_buffer out = {0};
    or_status status = or_timeline_put(timeline, &out);
    if (status == OR_OK) status = or_file_write(path, out.data, out.size);
    or_buffer_free(&out);
    return status;
}
