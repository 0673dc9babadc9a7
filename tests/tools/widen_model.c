/* widen_model.c - the same Llama model with every row a multiple of 256 numbers, so that it can be stored in types
 * whose blocks have 256:
 *
 *   widen_model FOLDER OUTPUT
 *
 * States, feed-forward and heads are filled up with zeros, which stay zeros in every layer. Only the norms must know:
 * the mean square over D numbers of which D - d are zeros is d/D of what it was, so weights are multiplied by
 * sqrt(d/D) and eps by d/D. Numbers are the same but for the rounding of that. Everything is written as f32; the
 * tokenizer is the caller's to copy.
 */
#include "compute.h"

#include <offramp/offramp.h>

#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 256 };

static int up(int n)
{
    return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* A dimension by its old size: the vocabulary stays, everything else becomes a multiple of the block. */
static int64_t widened(const or_hparams *h, int64_t n)
{
    const int q = h->n_heads * h->head_dim, kv = h->n_kv_heads * h->head_dim;
    if (n == h->n_vocab) return n;
    return n == kv && kv != q ? (int64_t)kv * up(q) / q : up((int)n);
}

static void put_config(const char *folder, const or_hparams *h)
{
    const int q = h->n_heads * h->head_dim, d = up(h->d_model);
    FILE *file = create(folder, "config.json");
    fprintf(
        file,
        "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, \"num_hidden_layers\": "
        "%d,\n"
        " \"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"head_dim\": %d, \"vocab_size\": %d,\n"
        " \"rms_norm_eps\": %.9g, \"rope_theta\": %.9g, \"max_position_embeddings\": %d,\n"
        " \"tie_word_embeddings\": %s, \"bos_token_id\": %d, \"eos_token_id\": %d}\n",
        d, up(h->d_ff), h->n_layers, h->n_heads * up(q) / q, h->n_kv_heads * up(q) / q, h->head_dim,
        h->n_vocab, (double)h->norm_eps * h->d_model / d, (double)h->rope_theta, h->n_context,
        h->tied_head ? "true" : "false", h->bos, h->eos);
    if (fclose(file) != 0) die("config.json was not written");
}

static void put_header(FILE *file, const or_checkpoint *checkpoint)
{
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    const size_t n = or_checkpoint_count(checkpoint);
    f32_head head = begin_head(n);
    for (size_t i = 0; i < n; i++) {
        const or_tensor *t = or_checkpoint_at(checkpoint, i);
        put_entry(&head, t->name, widened(h, t->dims[0]), t->n_dims == 2 ? widened(h, t->dims[1]) : 0);
    }
    end_head(&head, file);
}

/* A matrix, or a vector as a matrix of one row. */
static void put_tensor(FILE *file, or_checkpoint *checkpoint, const or_tensor *t)
{
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    const bool vector = t->n_dims == 1;
    const size_t rows = vector ? 1 : (size_t)t->dims[0], columns = (size_t)t->dims[t->n_dims - 1];
    const size_t wide = (size_t)widened(h, (int64_t)columns),
                 high = vector ? 1 : (size_t)widened(h, (int64_t)rows);
    const float scale = vector ? sqrtf((float)h->d_model / (float)up(h->d_model)) : 1.0f;
    const void *data;
    if (or_checkpoint_map(checkpoint, t, &data) != OR_OK) die(or_status_message());
    float *row = calloc(wide, sizeof *row);
    for (size_t r = 0; r < high; r++) {
        if (r < rows)
            or_expand(data, t->dtype, r * columns, columns, row);
        else
            memset(row, 0, wide * sizeof *row);
        for (size_t i = 0; i < columns; i++) row[i] *= scale;
        if (fwrite(row, sizeof *row, wide, file) != wide) die("model.safetensors was not written");
    }
    free(row);
}

int main(int argc, char **argv)
{
    or_checkpoint *checkpoint;
    if (argc != 3) die("usage: FOLDER OUTPUT");
    if (or_checkpoint_open(argv[1], &checkpoint) != OR_OK) die(or_status_message());
    put_config(argv[2], or_checkpoint_hparams(checkpoint));
    FILE *file = create(argv[2], "model.safetensors");
    put_header(file, checkpoint);
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++)
        put_tensor(file, checkpoint, or_checkpoint_at(checkpoint, i));
    if (fclose(file) != 0) die("model.safetensors was not written");
    or_checkpoint_close(checkpoint);
    return 0;
}
