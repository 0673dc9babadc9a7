/* trace.c - trace.csv and its side file trace.csv.json, written and read.
 *
 *   task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token
 *   sst2,5,0,1,0.0131,0.0214,0,0,0.482,15,6374,6374
 *   "news, world",5,0,1,...                       a task name is quoted where it must be (RFC 4180)
 *
 * Floats are written with as few digits as read back to the same float. The reader is strict, because a trace
 * that was cut or edited would train a policy that looks well and is wrong: rows in order, every number in its
 * range, the last line whole, and as many instances as the side file says. Messages name file and line.
 */
#include <offramp/trace.h>

#include "file.h"
#include "json.h"
#include "policy_internal.h"
#include "utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char format_name[] = "offramp-trace-1";
static const char header[] =
    "task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token\n";

#define MAX_SHOTS 1000000
#define MAX_INDEX ((int64_t)1 << 53) /* what a JSON number carries exactly */
#define ABOUT_ONE 1.00001f           /* sums of floats may pass 1 by their rounding */

/* The measured numbers of an observation, in the order of their columns. */
static const struct {
    const char *name;
    float low;
    size_t offset;
} measures[] = {
    {"gap", 0, offsetof(or_observation, gap)},
    {"top_prob", 0, offsetof(or_observation, top_prob)},
    {"cos_attn", -ABOUT_ONE, offsetof(or_observation, cos_attn)},
    {"cos_mlp", -ABOUT_ONE, offsetof(or_observation, cos_mlp)},
    {"cos_hidden", -ABOUT_ONE, offsetof(or_observation, cos_hidden)},
};

enum { N_MEASURES = sizeof measures / sizeof measures[0] };

static float *measure(or_observation *seen, int i)
{
    return (float *)((char *)seen + measures[i].offset);
}

static bool measure_good(int i, float value)
{
    return value >= measures[i].low && value <= ABOUT_ONE; /* false for what is not a number */
}

static void free_items(or_trace *trace, size_t from)
{
    for (size_t i = from; i < trace->count; i++) {
        free(trace->items[i].task);
        free(trace->items[i].seen);
    }
    trace->count = from;
}

void or_trace_free(or_trace *trace)
{
    free_items(trace, 0);
    free(trace->items);
    *trace = (or_trace){0};
}

/* What a task may be called: text of one line. NULL when it is fine. */
static const char *name_fault(const char *name)
{
    if (name[0] == '\0') return "an empty task name, expected text";
    if (!or_utf8_valid(name, strlen(name), NULL)) return "a task name that is not UTF-8, expected text";
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 0x20 || *c == 0x7f) return "a control character in the task name, expected text";
    return NULL;
}

/* ---- writing ---- */

struct or_trace_writer {
    char *path, *temporary;
    FILE *file;
    int n_layers;
    size_t count;
};

static void free_writer(or_trace_writer *writer)
{
    free(writer->temporary);
    free(writer->path);
    free(writer);
}

or_status or_trace_begin(const char *path, int n_layers, or_trace_writer **writer)
{
    or_trace_writer *made = NULL;
    or_status status = OR_OK;
    *writer = NULL;
    OR_TRY(OR_NEW(made, 1));
    made->n_layers = n_layers;
    OR_TRY_GOTO(unwind, or_strdup(path, &made->path));
    OR_TRY_GOTO(unwind, or_format(&made->temporary, "%s.tmp.%ld", path, (long)getpid()));
    made->file = fopen(made->temporary, "wb");
    if (!made->file)
        status = or_fail(OR_ERR_INPUT, "trace cannot be written", path, "%m");
    else if (fputs(header, made->file) < 0)
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", path, "%m");
unwind:
    if (status != OR_OK)
        or_trace_abandon(made);
    else
        *writer = made;
    return status;
}

void or_trace_abandon(or_trace_writer *writer)
{
    if (!writer) return;
    if (writer->file) {
        fclose(writer->file);
        unlink(writer->temporary);
    }
    free_writer(writer);
}

/* What is wrong with an item would make a file that the reader refuses; so it is refused here. */
static or_status check_item(const or_trace_writer *writer, const or_trace_item *item)
{
    const char *fault = name_fault(item->task);
    if (fault) return or_fail(OR_ERR_INPUT, "trace row refused", writer->path, "found %s", fault);
    if (item->shots < 0 || item->shots > MAX_SHOTS || item->index < 0 || item->index > MAX_INDEX ||
        item->final_token < 0 || item->answer_token < -1)
        return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                       "found shots %d, index %" PRId64 ", final token %d, answer token %d in task %s",
                       item->shots, item->index, item->final_token, item->answer_token, item->task);
    for (int l = 0; l < writer->n_layers; l++) {
        or_observation seen = item->seen[l];
        if (seen.layer != l + 1 || seen.token < 0)
            return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                           "found layer %d with token %d in task %s, instance %" PRId64 ", expected layer %d",
                           seen.layer, seen.token, item->task, item->index, l + 1);
        for (int i = 0; i < N_MEASURES; i++)
            if (!measure_good(i, *measure(&seen, i)))
                return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                               "%s is %g after layer %d of task %s, instance %" PRId64 ", expected %.0f..1",
                               measures[i].name, (double)*measure(&seen, i), l + 1, item->task, item->index,
                               (double)measures[i].low);
    }
    return OR_OK;
}

static or_status put_name(or_buffer *out, const char *name)
{
    if (!strpbrk(name, ",\"")) return or_buffer_puts(out, name);
    OR_TRY(or_buffer_puts(out, "\""));
    for (const char *c = name; *c; c++) OR_TRY(or_buffer_puts(out, *c == '"' ? "\"\"" : (char[]){*c, '\0'}));
    return or_buffer_puts(out, "\"");
}

static or_status put_row(or_buffer *out, const or_trace_item *item, or_observation seen)
{
    OR_TRY(put_name(out, item->task));
    OR_TRY(or_buffer_printf(out, ",%d,%" PRId64 ",%d", item->shots, item->index, seen.layer));
    for (int i = 0; i < N_MEASURES; i++) {
        OR_TRY(or_buffer_puts(out, ","));
        OR_TRY(or_json_put_float(out, *measure(&seen, i)));
    }
    return or_buffer_printf(out, ",%d,%d,%d\n", seen.token, item->final_token, item->answer_token);
}

or_status or_trace_put(or_trace_writer *writer, const or_trace_item *item)
{
    OR_TRY(check_item(writer, item));
    or_buffer rows = {0};
    or_status status = OR_OK;
    for (int l = 0; l < writer->n_layers && status == OR_OK; l++) status = put_row(&rows, item, item->seen[l]);
    if (status == OR_OK && fwrite(rows.data, 1, rows.size, writer->file) != rows.size)
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", writer->path, "%m");
    if (status == OR_OK) writer->count++;
    or_buffer_free(&rows);
    return status;
}

static or_status write_meta(const or_trace_writer *writer, const or_trace_meta *meta)
{
    or_buffer out = {0};
    char *path = NULL;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, or_format(&path, "%s.json", writer->path));
    OR_TRY_GOTO(unwind, or_buffer_printf(&out,
                                         "{\n  \"format\": \"%s\",\n  \"fingerprint\": \"%016" PRIx64
                                         "\",\n  \"layers\": %d,\n  \"instances\": %zu,\n  \"layer_macs\": ",
                                         format_name, meta->fingerprint, meta->n_layers, writer->count));
    OR_TRY_GOTO(unwind, or_json_put_double(&out, meta->layer_macs));
    OR_TRY_GOTO(unwind, or_buffer_puts(&out, ",\n  \"ramp_macs\": "));
    OR_TRY_GOTO(unwind, or_json_put_double(&out, meta->ramp_macs));
    OR_TRY_GOTO(unwind, or_buffer_puts(&out, "\n}\n"));
    OR_TRY_GOTO(unwind, or_file_write(path, out.data, out.size));
unwind:
    free(path);
    or_buffer_free(&out);
    return status;
}

or_status or_trace_end(or_trace_writer *writer, const or_trace_meta *meta)
{
    or_status status = OR_OK;
    if (meta->n_layers != writer->n_layers || !(meta->layer_macs > 0) || !(meta->ramp_macs >= 0) ||
        !isfinite(meta->layer_macs) || !isfinite(meta->ramp_macs))
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", writer->path,
                         "found %d layers of %g and ramps of %g multiply-adds, expected %d layers", meta->n_layers,
                         meta->layer_macs, meta->ramp_macs, writer->n_layers);
    else if (fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0)
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", writer->path, "%m");
    /* the side file first: where trace.csv appears, what it needs is there */
    if (status == OR_OK) status = write_meta(writer, meta);
    if (status == OR_OK && rename(writer->temporary, writer->path) != 0)
        status = or_fail(OR_ERR_INPUT, "trace cannot be replaced", writer->path, "%m");
    if (status != OR_OK) {
        or_trace_abandon(writer);
        return status;
    }
    fclose(writer->file); /* all of it was synced above */
    free_writer(writer);
    return OR_OK;
}
