/* format_csv.c - comma-separated values after RFC 4180, the first record naming the fields.
 *
 *   record = field *("," field) (CRLF / LF / end of file)
 *   field  = *plain / DQUOTE *(any but DQUOTE / 2DQUOTE) DQUOTE
 *
 * A quoted field may hold commas and line ends, which are kept as they are. A quote within a plain field and
 * text behind a closing quote are refused, as the RFC has it: they mean that the file was written by other
 * rules, and guessing would shift the columns.
 */
#include "dataset.h"

#include <string.h>

/* Bytes of the line end at `at`: "\r\n" 2, "\n" 1, none 0. */
static size_t line_end(const or_csv *csv)
{
    if (csv->at == csv->end) return 0;
    if (*csv->at == '\n') return 1;
    return csv->end - csv->at >= 2 && csv->at[0] == '\r' && csv->at[1] == '\n' ? 2 : 0;
}

/* From behind the opening quote to behind the closing one. */
static or_status read_quoted(or_csv *csv, const or_dataset *dataset)
{
    size_t opened = csv->line;
    for (;;) {
        const char *quote = memchr(csv->at, '"', (size_t)(csv->end - csv->at));
        if (!quote)
            return or_dataset_refuse(dataset, opened, "a quote opens here, expected its end in the file");
        for (const char *c = csv->at; c < quote; c++) csv->line += *c == '\n';
        OR_TRY(or_buffer_append(&csv->text, csv->at, (size_t)(quote - csv->at)));
        csv->at = quote + 1;
        if (csv->at == csv->end || *csv->at != '"') return OR_OK;
        OR_TRY(or_buffer_append(&csv->text, "\"", 1));
        csv->at++;
    }
}

/* Up to a comma, a line end or the file's end; white space belongs to the field. */
static or_status read_plain(or_csv *csv, const or_dataset *dataset)
{
    const char *from = csv->at;
    while (csv->at < csv->end && *csv->at != ',' && line_end(csv) == 0) {
        if (*csv->at == '"')
            return or_dataset_refuse(dataset, csv->line,
                                     "found a quote within a field, expected \"...\" around it, \"\" for it");
        if (*csv->at == '\r')
            return or_dataset_refuse(dataset, csv->line,
                                     "found a lone carriage return, expected lines that end in LF or CR LF");
        csv->at++;
    }
    return or_buffer_append(&csv->text, from, (size_t)(csv->at - from));
}

/* One field, up to the comma or line end behind it. */
static or_status read_field(or_csv *csv, const or_dataset *dataset)
{
    OR_RESERVE(csv->starts, csv->capacity, csv->count + 1);
    csv->starts[csv->count++] = csv->text.size;
    if (csv->at < csv->end && *csv->at == '"') {
        csv->at++;
        OR_TRY(read_quoted(csv, dataset));
        if (csv->at < csv->end && *csv->at != ',' && line_end(csv) == 0)
            return or_dataset_refuse(dataset, csv->line,
                                     "found text behind a closing quote, expected a comma or the line's end");
    } else {
        OR_TRY(read_plain(csv, dataset));
    }
    return or_buffer_append(&csv->text, "", 1);
}

/* At the end of the file there may be none: the line counts all the same. */
static void skip_line_end(or_csv *csv)
{
    csv->at += line_end(csv);
    csv->line++;
}

/* Fields are offsets into csv->text, which grows: pointers by or_csv_field() hold until the next record. */
or_status or_csv_next(or_csv *csv, const or_dataset *dataset, bool *found)
{
    while (line_end(csv) > 0) skip_line_end(csv);
    csv->text.size = 0;
    csv->count = 0;
    csv->place = csv->line;
    *found = csv->at < csv->end;
    if (!*found) return OR_OK;
    OR_TRY(read_field(csv, dataset));
    while (csv->at < csv->end && *csv->at == ',') {
        csv->at++;
        OR_TRY(read_field(csv, dataset));
    }
    skip_line_end(csv);
    return OR_OK;
}

const char *or_csv_field(const or_csv *csv, size_t i)
{
    return csv->text.data + csv->starts[i];
}

void or_csv_end(or_csv *csv)
{
    or_buffer_free(&csv->text);
    free(csv->starts);
    *csv = (or_csv){0};
}

/* A short or long record means that the columns are shifted somewhere: refused, not padded. */
static or_status add_record(or_dataset *dataset, const or_csv *header, const or_csv *record)
{
    if (record->count != header->count)
        return or_dataset_refuse(dataset, record->place, "found %zu fields, expected %zu as in the header",
                                 record->count, header->count);
    OR_TRY(or_dataset_begin_row(dataset, record->place));
    for (size_t i = 0; i < record->count; i++)
        OR_TRY(or_dataset_add(dataset, or_csv_field(header, i), or_csv_field(record, i)));
    return OR_OK;
}

/* The header is read by a reader of its own, whose fields stay while the records pass. */
static or_status read_csv(const char *text, size_t size, or_dataset *dataset)
{
    or_csv header = {.at = text, .end = text + size, .line = 1}, record = {0};
    bool found;
    or_status status;
    OR_TRY_GOTO(done, or_csv_next(&header, dataset, &found));
    record = (or_csv){.at = header.at, .end = header.end, .line = header.line};
    while (found) { /* a header that is missing leaves nothing to read either */
        OR_TRY_GOTO(done, or_csv_next(&record, dataset, &found));
        if (found) OR_TRY_GOTO(done, add_record(dataset, &header, &record));
    }
done:
    or_csv_end(&record);
    or_csv_end(&header);
    return status;
}

const or_dataset_format or_format_csv = {
    .name = "csv", .input = "input", .output = "output", .read = read_csv};
