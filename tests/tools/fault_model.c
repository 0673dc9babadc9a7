/* fault_model.c - the same Llama model, but numbers go wrong behind a certain token, in a certain layer:
 *
 *   fault_model FOLDER OUTPUT WEIGHT TOKEN:LAYER...
 *
 * Each pair has an element of the hidden state to itself. It is 0 in all layers: nothing is embedded there
 * and nothing added. Only TOKEN is embedded with a large number there, and in LAYER (from 1) a value of the
 * attention takes that times WEIGHT. With 3e38 that is infinite in the row of the token, and from there in
 * all rows that attend to it; rows without the token have 0 times 3e38. So the state is finite after LAYER -
 * 1 layers, and not after LAYER. With LAYER 0 the token's embedding itself is NaN. With WEIGHT 0 it is the
 * same model, without faults. Written as f32; config and tokenizer are the caller's to copy.
 */
#include "compute.h"

#include <offramp/offramp.h>

#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct fault {
    int token, layer;
} fault;

static fault *faults; /* [n_faults], fault i has element i */
static int n_faults;
static float weight;

static void put_header(FILE *file, const or_checkpoint *checkpoint)
{
    const size_t n = or_checkpoint_count(checkpoint);
    f32_head head = begin_head(n);
    for (size_t i = 0; i < n; i++) {
        const or_tensor *t = or_checkpoint_at(checkpoint, i);
        put_entry(&head, t->name, t->dims[0], t->n_dims == 2 ? t->dims[1] : 0);
    }
    end_head(&head, file);
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* What `fault` f makes of row `r` of a matrix. */
static void change_row(const or_tensor *t, int64_t r, size_t columns, int f, float *row)
{
    char value[96];
    snprintf(value, sizeof value, "model.layers.%d.self_attn.v_proj.weight", faults[f].layer - 1);
    if (ends_with(t->name, "embed_tokens.weight")) {
        row[f] = r == faults[f].token ? 100 : 0;
        if (r == faults[f].token && faults[f].layer == 0 && weight != 0) row[f] = NAN;
    } else if (r == f && (ends_with(t->name, "o_proj.weight") || ends_with(t->name, "down_proj.weight"))) {
        memset(row, 0, columns * sizeof *row);
    } else if (r == 0 && strcmp(t->name, value) == 0) {
        row[f] = weight;
    }
}

static void put_tensor(FILE *file, or_checkpoint *checkpoint, const or_tensor *t)
{
    const size_t rows = t->n_dims == 1 ? 1 : (size_t)t->dims[0], columns = (size_t)t->dims[t->n_dims - 1];
    float *row = malloc(columns * sizeof *row);
    const void *data;
    if (or_checkpoint_map(checkpoint, t, &data) != OR_OK) die(or_status_message());
    for (size_t r = 0; r < rows; r++) {
        or_expand(data, t->dtype, r * columns, columns, row);
        for (int f = 0; f < n_faults && t->n_dims == 2; f++) change_row(t, (int64_t)r, columns, f, row);
        if (fwrite(row, sizeof *row, columns, file) != columns) die("model.safetensors was not written");
    }
    free(row);
}

int main(int argc, char **argv)
{
    or_checkpoint *checkpoint;
    if (argc < 5) die("usage: FOLDER OUTPUT WEIGHT TOKEN:LAYER...");
    weight = strtof(argv[3], NULL);
    faults = calloc((size_t)argc, sizeof *faults);
    for (; n_faults < argc - 4; n_faults++)
        if (sscanf(argv[n_faults + 4], "%d:%d", &faults[n_faults].token, &faults[n_faults].layer) != 2)
            die("expected TOKEN:LAYER");
    if (or_checkpoint_open(argv[1], &checkpoint) != OR_OK) die(or_status_message());
    FILE *file = create(argv[2], "model.safetensors");
    put_header(file, checkpoint);
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++)
        put_tensor(file, checkpoint, or_checkpoint_at(checkpoint, i));
    if (fclose(file) != 0) die("model.safetensors was not written");
    or_checkpoint_close(checkpoint);
    free(faults);
    return 0;
}
