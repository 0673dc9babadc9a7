/* trace_write.c - writing trace.csv and its side file trace.csv.json.
 *
 * Rows go to a temporary file that is renamed at the end, so that a trace under its own name is a whole one.
 * Floats are written with as few digits as read back to the same float.
 */
#include "trace_internal.h"

#include "file.h"
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

/* The temporary name has the process' number in it, so that two jobs do not write into one file. */
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
    else if (fputs(OR_TRACE_HEADER "\n", made->file) < 0)
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", path, "%m");
unwind:
    if (status != OR_OK)
        or_trace_abandon(made);
    else
        *writer = made;
    return status;
}

/* What was under the trace's own name before is left as it is. */
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
    const char *fault = or_trace_name_fault(item->task);
    if (fault) return or_fail(OR_ERR_INPUT, "trace row refused", writer->path, "found %s", fault);
    if (item->shots < 0 || item->shots > OR_TRACE_MAX_SHOTS || item->index < 0 ||
        item->index > OR_TRACE_MAX_INDEX || item->final_token < 0 || item->answer_token < -1)
        return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                       "found shots %d, index %" PRId64 ", final token %d, answer token %d in task %s",
                       item->shots, item->index, item->final_token, item->answer_token, item->task);
    for (int l = 0; l < writer->n_layers; l++) {
        or_observation seen = item->seen[l];
        /* OR_ERR_FAILED: these numbers are the run's own, so the model or we are broken, not a file */
        if (seen.layer != l + 1 || seen.token < 0)
            return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                           "found layer %d with token %d in task %s, instance %" PRId64 ", expected layer %d",
                           seen.layer, seen.token, item->task, item->index, l + 1);
        for (int i = 0; i < OR_TRACE_MEASURES; i++)
            if (!or_trace_measure_good(i, *or_trace_measure(&seen, i)))
                return or_fail(OR_ERR_FAILED, "trace row refused", writer->path,
                               "%s is %g after layer %d of task %s, instance %" PRId64 ", expected %s",
                               or_trace_measure_name(i), (double)*or_trace_measure(&seen, i), l + 1,
                               item->task, item->index, or_trace_measure_range(i));
    }
    return OR_OK;
}

static or_status put_row(or_buffer *out, const or_trace_item *item, or_observation seen)
{
    OR_TRY(or_buffer_put_csv(out, item->task));
    OR_TRY(or_buffer_printf(out, ",%d,%" PRId64 ",%d", item->shots, item->index, seen.layer));
    for (int i = 0; i < OR_TRACE_MEASURES; i++) {
        OR_TRY(or_buffer_puts(out, ","));
        OR_TRY(or_json_put_float(out, *or_trace_measure(&seen, i)));
    }
    return or_buffer_printf(out, ",%d,%d,%d\n", seen.token, item->final_token, item->answer_token);
}

or_status or_trace_put(or_trace_writer *writer, const or_trace_item *item)
{
    /* an instance is written in one piece or not at all */
    OR_TRY(check_item(writer, item));
    or_buffer rows = {0};
    or_status status = OR_OK;
    for (int l = 0; l < writer->n_layers && status == OR_OK; l++)
        status = put_row(&rows, item, item->seen[l]);
    if (status == OR_OK && fwrite(rows.data, 1, rows.size, writer->file) != rows.size)
        status = or_fail(OR_ERR_FAILED, "trace cannot be written", writer->path, "%m");
    if (status == OR_OK) writer->count++;
    or_buffer_free(&rows);
    return status;
}

/* `instances` is what was put, so that the reader notices a trace that was cut. */
static or_status write_meta(const or_trace_writer *writer, const or_trace_meta *meta)
{
    or_buffer out = {0};
    char *path = NULL;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, or_format(&path, "%s.json", writer->path));
    OR_TRY_GOTO(unwind, or_buffer_printf(&out,
                                         "{\n  \"format\": \"%s\",\n  \"fingerprint\": \"%016" PRIx64
                                         "\",\n  \"layers\": %d,\n  \"instances\": %zu,\n  \"layer_macs\": ",
                                         OR_TRACE_FORMAT, meta->fingerprint, meta->n_layers, writer->count));
    OR_TRY_GOTO(unwind, or_json_put_double(&out, meta->layer_macs));
    OR_TRY_GOTO(unwind, or_buffer_puts(&out, ",\n  \"ramp_macs\": "));
    OR_TRY_GOTO(unwind, or_json_put_double(&out, meta->ramp_macs));
    OR_TRY_GOTO(unwind, or_buffer_printf(&out, ",\n  \"vocab\": %d,\n  \"row_macs\": ", meta->n_vocab));
    OR_TRY_GOTO(unwind, or_json_put_double(&out, meta->row_macs));
    OR_TRY_GOTO(unwind, or_buffer_puts(&out, "\n}\n"));
    OR_TRY_GOTO(unwind, or_file_write(path, out.data, out.size));
unwind:
    free(path);
    or_buffer_free(&out);
    return status;
}

/* NaN and infinity show in the sum: nothing is subtracted. */
static bool costs_good(const or_trace_meta *meta)
{
    const double all = meta->layer_macs + meta->row_macs + meta->ramp_macs;
    return meta->layer_macs > 0 && meta->row_macs >= 0 && meta->ramp_macs >= 0 && isfinite(all);
}

/* Costs come from the caller, who knows the prompts' lengths. Synced before it is renamed: a name that
 * survives a crash of the host has its data. */
or_status or_trace_end(or_trace_writer *writer, const or_trace_meta *meta)
{
    or_status status = OR_OK;
    if (meta->n_layers != writer->n_layers || !costs_good(meta))
        status =
            or_fail(OR_ERR_FAILED, "trace cannot be written", writer->path,
                    "found %d layers of %g (%g for a row) and ramps of %g multiply-adds, expected %d layers",
                    meta->n_layers, meta->layer_macs, meta->row_macs, meta->ramp_macs, writer->n_layers);
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
