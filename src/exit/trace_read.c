/* trace_read.c - reading trace.csv and its side file trace.csv.json.
 *
 * Strict, because a trace that was cut or edited would train a policy that looks well and is wrong: rows in
 * order, every number in its range, the last line whole, and as many instances as the side file says.
 * Messages name file and line.
 */
#include "trace_internal.h"

#include "file.h"
#include "json.h"
#include "policy_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A place in the text: `at` moves within the line that ends at `end`. */
typedef struct cursor {
    const char *path;
    const char *at, *end;
    size_t line; /* from 1 */
} cursor;

/* One line as read; `task` is kept from line to line to save its memory. */
typedef struct trace_row {
    or_buffer task;
    int64_t shots, index, final_token, answer_token;
    or_observation seen;
} trace_row;

/* The message's place is "trace.csv:17". */
static or_status refuse(const cursor *at, const char *found_and_expected)
{
    char where[1024];
    snprintf(where, sizeof where, "%s:%zu", at->path, at->line);
    return or_fail(OR_ERR_INPUT, "trace refused", where, "%s", found_and_expected);
}

/* Shows at most 40 bytes of what stands where the field begins. */
static or_status refuse_field(const cursor *at, const char *name, const char *expected)
{
    char text[256];
    int length = (int)strcspn(at->at, ",\n");
    snprintf(text, sizeof text, "%s is \"%.*s\", expected %s", name, length < 40 ? length : 40, at->at,
             expected);
    return refuse(at, text);
}

/* Steps to the next line; its end is a newline, else the file was cut. */
static or_status next_line(cursor *at, const char *from)
{
    at->at = from;
    at->line++;
    at->end = strchr(from, '\n');
    return at->end ? OR_OK
                   : refuse(at, "the file ends within this line, expected a newline after the last row");
}

/* Takes the comma after a field, or finds the end after the last one. */
static or_status end_field(cursor *at, bool last)
{
    if (last)
        return at->at == at->end ? OR_OK : refuse(at, "found more than 12 fields, expected the line's end");
    if (*at->at != ',') return refuse(at, "found fewer than 12 fields, expected " OR_TRACE_HEADER);
    at->at++;
    return OR_OK;
}

/* Digits and minus alone, within low..high. The text ends in a NUL, so strtoll() and strspn() stay in it;
 * that they stay in the line as well is seen from the byte behind the number. */
static or_status take_int(cursor *at, const char *name, int64_t low, int64_t high, bool last, int64_t *value)
{
    char expected[80];
    size_t length = strspn(at->at, "-0123456789");
    char *end;
    *value = strtoll(at->at, &end, 10); /* out of range becomes the widest value, which is refused too */
    /* strchr() finds NUL as well, but the line's own newline stops strtoll() before the text's end */
    if (length == 0 || end != at->at + length || !strchr(",\n", *end) || *value < low || *value > high) {
        snprintf(expected, sizeof expected, "a whole number %" PRId64 "..%" PRId64, low, high);
        return refuse_field(at, name, expected);
    }
    at->at = end;
    return end_field(at, last);
}

/* The float is the one that was written: trace_write.c gives it enough digits. */
static or_status take_measure(cursor *at, int measure, or_observation *seen)
{
    float *value = or_trace_measure(seen, measure);
    size_t length = strspn(at->at, "+-.0123456789e"); /* strtof() would take space, names and 0x too */
    char *end;
    *value = strtof(at->at, &end);
    if (length == 0 || end != at->at + length || !strchr(",\n", *end) ||
        !or_trace_measure_good(measure, *value)) {
        char expected[40];
        snprintf(expected, sizeof expected, "a number %s", or_trace_measure_range(measure));
        return refuse_field(at, or_trace_measure_name(measure), expected);
    }
    at->at = end;
    return end_field(at, false);
}

/* A quoted field: "" within stands for one quote. */
static or_status take_quoted(cursor *at, or_buffer *text)
{
    for (at->at++;; at->at++) {
        const char *quote = memchr(at->at, '"', (size_t)(at->end - at->at));
        if (!quote) return refuse(at, "found a quote that does not end in this line, expected a second one");
        OR_TRY(or_buffer_append(text, at->at, (size_t)(quote - at->at)));
        at->at = quote + 1;
        if (*at->at != '"') return OR_OK;
        OR_TRY(or_buffer_puts(text, "\""));
    }
}

/* A plain name ends at its comma, a quote within one is refused. `text` gets the name instead of the last
 * row's. */
static or_status take_task(cursor *at, or_buffer *text)
{
    text->size = 0;
    OR_TRY(or_buffer_puts(text, ""));
    if (*at->at == '"') {
        OR_TRY(take_quoted(at, text));
    } else {
        size_t length = strcspn(at->at, ",\"\n");
        OR_TRY(or_buffer_append(text, at->at, length));
        at->at += length;
    }
    const char *fault = or_trace_name_fault(text->data);
    char message[128];
    snprintf(message, sizeof message, "found %s", fault ? fault : "");
    return fault ? refuse(at, message) : end_field(at, false);
}

/* The twelve columns of OR_TRACE_HEADER, in its order. `stable` is not among them: add_row() counts it. */
static or_status take_row(cursor *at, int n_layers, trace_row *row)
{
    int64_t layer, token;
    OR_TRY(take_task(at, &row->task));
    OR_TRY(take_int(at, "shots", 0, OR_TRACE_MAX_SHOTS, false, &row->shots));
    OR_TRY(take_int(at, "index", 0, OR_TRACE_MAX_INDEX, false, &row->index));
    OR_TRY(take_int(at, "layer", 1, n_layers, false, &layer));
    for (int i = 0; i < OR_TRACE_MEASURES; i++) OR_TRY(take_measure(at, i, &row->seen));
    OR_TRY(take_int(at, "token", 0, INT32_MAX, false, &token));
    OR_TRY(take_int(at, "final_token", 0, INT32_MAX, false, &row->final_token));
    OR_TRY(take_int(at, "answer_token", -1, INT32_MAX, true, &row->answer_token));
    row->seen.layer = (int32_t)layer;
    row->seen.token = (int32_t)token;
    return OR_OK;
}

/* The item is in the trace from its first row on, so that or_trace_cut() releases it whatever comes. */
static or_status begin_item(or_trace *trace, int n_layers, const trace_row *row)
{
    OR_RESERVE(trace->items, trace->capacity, trace->count + 1);
    or_trace_item *item = &trace->items[trace->count++];
    *item = (or_trace_item){.shots = (int)row->shots,
                            .index = row->index,
                            .final_token = (int32_t)row->final_token,
                            .answer_token = (int32_t)row->answer_token};
    OR_TRY(or_strdup(row->task.data, &item->task));
    return OR_NEW(item->seen, (size_t)n_layers);
}

/* Columns that are of the request, not of the layer, must be the same in all its rows. */
static bool same_item(const or_trace_item *item, const trace_row *row)
{
    return strcmp(item->task, row->task.data) == 0 && item->shots == row->shots &&
           item->index == row->index && item->final_token == row->final_token &&
           item->answer_token == row->answer_token;
}

/* Adds a row to the item it belongs to. *done counts the rows of the last item, *state its `stable`. */
static or_status add_row(or_trace *trace, int n_layers, const cursor *at, const trace_row *row, int *done,
                         or_ramp_state *state)
{
    char text[160];
    if (*done == n_layers) *done = 0;
    if (row->seen.layer != *done + 1) {
        snprintf(text, sizeof text, "found layer %d after layer %d, expected layer %d", row->seen.layer,
                 *done, *done + 1);
        return refuse(at, text);
    }
    if (*done == 0) {
        OR_TRY(begin_item(trace, n_layers, row));
        *state = OR_RAMP_STATE_START;
    }
    or_trace_item *item = &trace->items[trace->count - 1];
    if (!same_item(item, row))
        return refuse(at,
                      "found another task, shots, index, final or answer token than in this instance's row "
                      "before, expected all its layers in a row");
    item->seen[*done] = row->seen;
    item->seen[*done].stable = or_ramp_state_update(state, row->seen.token);
    ++*done;
    return OR_OK;
}

/* `done` counts the rows of the item in hand: n_layers stands between two items, also before the first. */
static or_status read_rows(const char *path, const or_buffer *text, int n_layers, or_trace *trace)
{
    cursor at = {.path = path};
    trace_row row = {0};
    or_ramp_state state = OR_RAMP_STATE_START;
    int done = n_layers;
    or_status status = OR_OK;
    OR_TRY(next_line(&at, text->data));
    if (strncmp(at.at, OR_TRACE_HEADER "\n", sizeof OR_TRACE_HEADER) != 0)
        return refuse(&at, "found another header line, expected " OR_TRACE_HEADER);
    while (status == OR_OK && *(at.end + 1) != '\0') {
        status = next_line(&at, at.end + 1);
        if (status == OR_OK) status = take_row(&at, n_layers, &row);
        if (status == OR_OK) status = add_row(trace, n_layers, &at, &row, &done, &state);
    }
    if (status == OR_OK && done != n_layers)
        status = refuse(&at, "the file ends within an instance, expected all its layers");
    or_buffer_free(&row.task);
    return status;
}

/* The side file, whose numbers trace_write.c wrote; *instances is how many it announces.
 *
 *   {"format": "offramp-trace-1", "fingerprint": "16 hexadecimal digits", "layers": 16, "instances": 200,
 *    "layer_macs": 1.3e9, "ramp_macs": 6.5e7, "vocab": 32000, "row_macs": 2.1e7}
 *
 * The last two are not in older traces. */
static or_status read_meta(const char *path, or_trace_meta *meta, int64_t *instances)
{
    char *side = NULL;
    cJSON *json = NULL;
    const char *format;
    int64_t layers, vocab = 0;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, or_format(&side, "%s.json", path));
    OR_TRY_GOTO(unwind, or_json_load(side, &json));
    OR_TRY_GOTO(unwind, or_json_string(json, "format", side, &format));
    if (strcmp(format, OR_TRACE_FORMAT) != 0) {
        status = or_fail(OR_ERR_INPUT, "trace refused", side, "its format is \"%s\", expected \"%s\"", format,
                         OR_TRACE_FORMAT);
        goto unwind;
    }
    OR_TRY_GOTO(unwind, or_policy_read_hash(json, "fingerprint", side, &meta->fingerprint));
    OR_TRY_GOTO(unwind, or_json_int(json, "layers", side, 1, OR_MAX_LAYERS, &layers));
    OR_TRY_GOTO(unwind, or_json_int(json, "instances", side, 0, INT64_C(1) << 53, instances));
    OR_TRY_GOTO(unwind, or_json_number(json, "layer_macs", side, &meta->layer_macs));
    OR_TRY_GOTO(unwind, or_json_number(json, "ramp_macs", side, &meta->ramp_macs));
    OR_TRY_GOTO(unwind, or_json_opt_int(json, "vocab", side, 0, INT32_MAX, &vocab));
    OR_TRY_GOTO(unwind, or_json_opt_number(json, "row_macs", side, &meta->row_macs));
    meta->n_layers = (int)layers;
    meta->n_vocab = (int)vocab;
    if (meta->layer_macs <= 0 || meta->row_macs < 0 || meta->ramp_macs < 0)
        status = or_fail(OR_ERR_INPUT, "trace refused", side,
                         "layers cost %g (%g for a row) and ramps %g multiply-adds, expected more than 0",
                         meta->layer_macs, meta->row_macs, meta->ramp_macs);
unwind:
    cJSON_Delete(json);
    free(side);
    return status;
}

/* Rows of two models would train one policy for neither. */
static or_status check_same_model(const char *path, const or_trace_meta *first, const or_trace_meta *meta)
{
    if (first->fingerprint == meta->fingerprint && first->n_layers == meta->n_layers) return OR_OK;
    return or_fail(OR_ERR_INPUT, "trace refused", path,
                   "it is of model %016" PRIx64 " with %d layers, the traces before of %016" PRIx64
                   " with %d, expected one model",
                   meta->fingerprint, meta->n_layers, first->fingerprint, first->n_layers);
}

/* The mean costs over `before` instances of the first and `added` of the second; that of a row is not known
 * where one of them does not say. The vocabulary is the model's: one that says is enough. */
static void merge_meta(or_trace_meta *meta, size_t before, const or_trace_meta *more, size_t added)
{
    double all = (double)(before + added), share = all > 0 ? (double)added / all : 1;
    if (before == 0) share = 1; /* meta was never set */
    or_trace_meta merged = *more;
    merged.layer_macs = (1 - share) * meta->layer_macs + share * more->layer_macs;
    merged.ramp_macs = (1 - share) * meta->ramp_macs + share * more->ramp_macs;
    merged.row_macs = (1 - share) * meta->row_macs + share * more->row_macs;
    if (more->row_macs == 0 || (before > 0 && meta->row_macs == 0)) merged.row_macs = 0;
    if (more->n_vocab == 0) merged.n_vocab = meta->n_vocab;
    *meta = merged;
}

or_status or_trace_read(const char *path, or_trace *trace)
{
    or_trace_meta meta = {0};
    or_buffer text = {0};
    int64_t instances;
    size_t before = trace->count;
    /* the side file first: a row's layers are checked against its depth */
    OR_TRY(read_meta(path, &meta, &instances));
    if (trace->meta.n_layers > 0) OR_TRY(check_same_model(path, &trace->meta, &meta));
    /* the text whole in memory: lines are taken by pointers into it */
    or_status status = or_file_read(path, &text);
    if (status == OR_OK && memchr(text.data, '\0', text.size))
        status = or_fail(OR_ERR_INPUT, "trace refused", path, "found a NUL byte, expected text");
    if (status == OR_OK) status = read_rows(path, &text, meta.n_layers, trace);
    if (status == OR_OK && (int64_t)(trace->count - before) != instances)
        status = or_fail(OR_ERR_INPUT, "trace refused", path,
                         "found %zu instances, %s.json says %lld: cut, or of another run",
                         trace->count - before, path, (long long)instances);
    or_buffer_free(&text);
    if (status == OR_OK)
        merge_meta(&trace->meta, before, &meta, trace->count - before);
    else
        or_trace_cut(trace, before);
    return status;
}
