/* tool.h - what the tools share. */
#ifndef OFFRAMP_TESTS_TOOL_H
#define OFFRAMP_TESTS_TOOL_H

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the tool with code 1. */
static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* A new file in the folder; there is no return when it cannot be made. */
static inline FILE *create(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) die(path);
    return file;
}

/* The header of a safetensors file of f32 tensors: begin, an entry for each in the order of their data (columns 0: a
 * vector), end. */
typedef struct f32_head {
    char *text;
    uint64_t used, at; /* bytes of text; of the data, until now */
} f32_head;

static inline f32_head begin_head(size_t n_tensors)
{
    f32_head h = {.text = malloc((n_tensors + 1) * 256)};
    h.used = (uint64_t)sprintf(h.text, "{");
    return h;
}

static inline void put_entry(f32_head *h, const char *name, int64_t rows, int64_t columns)
{
    const uint64_t bytes = (uint64_t)(rows * (columns ? columns : 1)) * sizeof(float);
    h->used += (uint64_t)sprintf(h->text + h->used, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%" PRId64,
                                 h->at ? "," : "", name, rows);
    if (columns) h->used += (uint64_t)sprintf(h->text + h->used, ",%" PRId64, columns);
    h->used += (uint64_t)sprintf(h->text + h->used, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", h->at,
                                 h->at + bytes);
    h->at += bytes;
}

static inline void end_head(f32_head *h, FILE *file)
{
    h->used += (uint64_t)sprintf(h->text + h->used, "}");
    fwrite(&h->used, sizeof h->used, 1, file);
    fwrite(h->text, 1, h->used, file);
    free(h->text);
}

#endif
