/* report_lanes.c - a timeline (offramp ... --timeline FILE): how busy each rank was, and when.
 *
 * A file may hold millions of events, one a line as timeline.c writes them, so it is read line by line, and
 * events are gathered in bins of equal time.
 */
#include "report_internal.h"

#include "file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { BUSY, WAIT, RUN } kind;

/* Microseconds. */
typedef struct span {
    int32_t rank; /* -1 of a run */
    kind kind;
    double begin, end;
} span;

typedef struct reader {
    or_report *report;
    or_lanes *lanes;
    span *spans;
    size_t n_spans, capacity;
} reader;

/* Processes are ranks from 1 on, and behind them the runs (timeline.c). */
static or_status take_rank(const cJSON *event, int n_ranks, const char *where, int *rank)
{
    int64_t pid;
    OR_TRY(or_json_int(event, "pid", where, 1, n_ranks + 1, &pid));
    *rank = (int)pid - 1;
    return OR_OK;
}

static or_status take_name(reader *r, const cJSON *event, const char *where)
{
    const char *name, *label;
    const cJSON *args;
    int rank;
    OR_TRY(or_json_string(event, "name", where, &label));
    if (strcmp(label, "process_name") != 0) return OR_OK;
    OR_TRY(take_rank(event, r->lanes->n_ranks, where, &rank));
    OR_TRY(or_json_object(event, "args", where, &args));
    OR_TRY(or_json_string(args, "name", where, &name));
    return rank < r->lanes->n_ranks ? or_report_text(r->report, &r->lanes->names[rank], "%s", name) : OR_OK;
}

/* What is neither a run, nor work, nor a wait is left white. */
static or_status take_span(reader *r, const cJSON *event, const char *where)
{
    const char *name;
    double begin, duration;
    int rank;
    OR_TRY(or_json_string(event, "name", where, &name));
    OR_TRY(take_rank(event, r->lanes->n_ranks, where, &rank));
    OR_TRY(or_json_number(event, "ts", where, &begin));
    OR_TRY(or_json_number(event, "dur", where, &duration));
    if (begin < 0 || duration < 0)
        return or_fail(OR_ERR_INPUT, "wrong field", where,
                       "\"ts\" is %g, \"dur\" is %g, expected none below 0", begin, duration);
    const bool run = rank == r->lanes->n_ranks, busy = strcmp(name, "busy") == 0;
    if (!run && !busy && strcmp(name, "wait") != 0) return OR_OK;
    OR_RESERVE(r->spans, r->capacity, r->n_spans + 1);
    r->spans[r->n_spans++] = (span){rank, run ? RUN : busy ? BUSY : WAIT, begin, begin + duration};
    return OR_OK;
}

static or_status take_event(reader *r, const char *text, size_t size, const char *where)
{
    cJSON *event = NULL;
    const char *phase;
    OR_TRY(or_json_parse(text, size, where, &event));
    or_status status = or_json_string(event, "ph", where, &phase);
    if (status == OR_OK && strcmp(phase, "M") == 0) status = take_name(r, event, where);
    if (status == OR_OK && strcmp(phase, "X") == 0) status = take_span(r, event, where);
    cJSON_Delete(event);
    return status;
}

/* What stands before the list of events, made whole by ending it. */
static or_status take_head(reader *r, const char *text, size_t size, const char *path)
{
    cJSON *head = NULL;
    const cJSON *other, *ranks;
    or_buffer whole = {0};
    or_status status = or_buffer_append(&whole, text, size);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_buffer_puts(&whole, "]}"));
    OR_TRY_GOTO(done, or_json_parse(whole.data, whole.size, path, &head));
    OR_TRY_GOTO(done, or_json_object(head, "otherData", path, &other));
    OR_TRY_GOTO(done, or_json_array(other, "ranks", path, &ranks));
    r->lanes->n_ranks = cJSON_GetArraySize(ranks);
    OR_TRY_GOTO(done, OR_NEW(r->lanes->names, (size_t)r->lanes->n_ranks));
    for (int rank = 0; rank < r->lanes->n_ranks; rank++)
        OR_TRY_GOTO(done, or_report_text(r->report, &r->lanes->names[rank], "rank %d", rank));
done:
    or_buffer_free(&whole);
    cJSON_Delete(head);
    return status;
}

/* An event a line, with a comma behind all but the last, then "]}". */
static or_status take_events(reader *r, const char *at, size_t line, const char *path)
{
    char where[1024];
    for (;; line++) {
        const size_t length = strcspn(at, "\n");
        snprintf(where, sizeof where, "%s:%zu", path, line);
        if (at[length] == '\0')
            return or_fail(OR_ERR_INPUT, "timeline refused", where,
                           "the file ends before its list of events does, expected ]}");
        if (length == 2 && memcmp(at, "]}", 2) == 0) return OR_OK;
        if (length > 0) OR_TRY(take_event(r, at, length - (at[length - 1] == ','), where));
        at += length + 1;
    }
}

/* Adds the part of a span in each bin, as a share of the bin. */
static void spread(double *bins, double begin, double end, double width)
{
    for (int b = (int)(begin / width); b < OR_LANE_BINS && b * width < end; b++) {
        const double from = fmax(begin, b * width), to = fmin(end, (b + 1) * width);
        if (to > from) bins[b] += (to - from) / width;
    }
}

/* The width of a bin is known when the last event is. */
static or_status gather(reader *r)
{
    or_lanes *lanes = r->lanes;
    const size_t n = (size_t)lanes->n_ranks * OR_LANE_BINS;
    double last = 0;
    OR_TRY(OR_NEW(lanes->busy, n));
    OR_TRY(OR_NEW(lanes->wait, n));
    for (size_t i = 0; i < r->n_spans; i++) last = fmax(last, r->spans[i].end);
    lanes->seconds = last / 1e6;
    for (size_t i = 0; i < r->n_spans; i++) {
        const span *s = &r->spans[i];
        if (s->kind == RUN) {
            OR_RESERVE(lanes->runs, lanes->runs_capacity, lanes->n_runs + 1);
            lanes->runs[lanes->n_runs++] = s->begin / 1e6;
            continue;
        }
        double *bins = s->kind == BUSY ? lanes->busy : lanes->wait;
        spread(bins + (size_t)s->rank * OR_LANE_BINS, s->begin, s->end, last / OR_LANE_BINS);
    }
    return OR_OK;
}

static or_status read_lanes(reader *r, const or_buffer *text, const char *path)
{
    static const char list[] = "\"traceEvents\": [\n";
    const char *begin = strstr(text->data, list);
    size_t lines = 1;
    if (!begin)
        return or_fail(OR_ERR_INPUT, "timeline refused", path,
                       "found no list \"traceEvents\" with an event a line, expected what --timeline writes");
    begin += sizeof list - 1;
    for (const char *at = text->data; at < begin; at++) lines += *at == '\n';
    OR_TRY(take_head(r, text->data, (size_t)(begin - text->data), path));
    OR_TRY(take_events(r, begin, lines, path));
    return gather(r);
}

or_status or_report_add_lanes(or_report *report, const char *path, const char *source)
{
    or_buffer text = {0};
    or_cell *cells;
    OR_RESERVE(report->lanes, report->lanes_capacity, report->n_lanes + 1);
    reader r = {.report = report, .lanes = &report->lanes[report->n_lanes++]};
    *r.lanes = (or_lanes){.source = source};
    or_status status = or_report_source(report, source, "timeline", &cells);
    if (status == OR_OK) status = or_file_read(path, &text);
    if (status == OR_OK) status = read_lanes(&r, &text, path);
    or_buffer_free(&text);
    free(r.spans);
    return status;
}
