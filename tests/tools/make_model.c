/* make_model.c - writes a Llama model with random weights as a sharded Hugging Face folder, without its tokenizer:
 *
 *   make_model FOLDER LAYERS WIDTH D_FF HEADS KV_HEADS VOCAB SHARDS F32|BF16|HOLES
 *
 * Shards are as Hugging Face's: model-00001-of-000NN.safetensors, layers in order, with an index. Weights are
 * uniform with the variance that keeps states of about their size; the same for the same arguments. HOLES makes files
 * for BF16 weights that have their size but hold nothing: a file system with sparse files takes no room for them.
 */
#include "tool.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct tensor {
    char name[96];
    int rows, columns; /* columns 0: a vector */
    int shard;
} tensor;

static int layers, width, d_ff, heads, kv_heads, vocab, shards;
static bool bf16, holes;
static tensor *tensors;
static size_t n_tensors;

static void add(const char *name, int rows, int columns, int shard)
{
    tensor *t = &tensors[n_tensors++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->rows = rows;
    t->columns = columns;
    t->shard = shard;
}

static void list_tensors(void)
{
    const int head = width / heads, kv = kv_heads * head;
    const struct {
        const char *part;
        int rows, columns;
    } parts[] = {
        {"input_layernorm", width, 0},      {"self_attn.q_proj", width, width},
        {"self_attn.k_proj", kv, width},    {"self_attn.v_proj", kv, width},
        {"self_attn.o_proj", width, width}, {"post_attention_layernorm", width, 0},
        {"mlp.gate_proj", d_ff, width},     {"mlp.up_proj", d_ff, width},
        {"mlp.down_proj", width, d_ff},
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    tensors = calloc((size_t)layers * PARTS + 3, sizeof *tensors);
    add("model.embed_tokens.weight", vocab, width, 0);
    for (int layer = 0; layer < layers; layer++) {
        for (int i = 0; i < PARTS; i++) {
            char name[96];
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, parts[i].part);
            add(name, parts[i].rows, parts[i].columns, (int)((int64_t)layer * shards / layers));
        }
    }
    add("model.norm.weight", width, 0, shards - 1);
    add("lm_head.weight", vocab, width, shards - 1);
}

static void shard_name(int shard, char name[64])
{
    snprintf(name, 64, "model-%05d-of-%05d.safetensors", shard + 1, shards);
}

static uint64_t elements(const tensor *t)
{
    return (uint64_t)t->rows * (uint64_t)(t->columns ? t->columns : 1);
}

/* Uniform in -1 .. 1 (splitmix64). */
static float random_float(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)(int32_t)((z ^ z >> 31) >> 32) / 2147483648.0f;
}

/* Vectors (norms) are about 1, matrices have variance 1 / columns, the embedding 1/3. */
static void put_weights(FILE *file, const tensor *t, uint64_t *state)
{
    const bool embedding = strstr(t->name, "embed_tokens") != NULL;
    const float scale = t->columns == 0 ? 0.1f : embedding ? 1.0f : sqrtf(3.0f / (float)t->columns);
    for (uint64_t i = 0; i < elements(t); i++) {
        const float value = (t->columns == 0 ? 1.0f : 0.0f) + scale * random_float(state);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        const uint16_t half = (uint16_t)(bits >> 16); /* cut off, not rounded: any bf16 will do */
        if (bf16)
            fwrite(&half, sizeof half, 1, file);
        else
            fwrite(&value, sizeof value, 1, file);
    }
}

static void put_shard(const char *folder, int shard, uint64_t *state)
{
    char name[64], *header = malloc((n_tensors + 1) * 256);
    size_t used = (size_t)sprintf(header, "{");
    uint64_t at = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        const tensor *t = &tensors[i];
        const uint64_t bytes = elements(t) * (bf16 ? 2 : 4);
        if (t->shard != shard) continue;
        used +=
            (size_t)sprintf(header + used, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%d%s", used > 1 ? "," : "",
                            t->name, bf16 ? "BF16" : "F32", t->rows, t->columns ? "," : "");
        if (t->columns) used += (size_t)sprintf(header + used, "%d", t->columns);
        used +=
            (size_t)sprintf(header + used, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + bytes);
        at += bytes;
    }
    used += (size_t)sprintf(header + used, "}");
    shard_name(shard, name);
    FILE *file = create(folder, name);
    const uint64_t size = used;
    fwrite(&size, sizeof size, 1, file);
    fwrite(header, 1, used, file);
    for (size_t i = 0; i < n_tensors && !holes; i++)
        if (tensors[i].shard == shard) put_weights(file, &tensors[i], state);
    if (holes && (fflush(file) != 0 || ftruncate(fileno(file), (off_t)(8 + used + at)) != 0))
        die("a shard cannot be so large");
    if (fclose(file) != 0) die("a shard was not written");
    free(header);
}

static void put_texts(const char *folder)
{
    FILE *index = create(folder, "model.safetensors.index.json"), *config = create(folder, "config.json");
    fprintf(index, "{\"weight_map\": {");
    for (size_t i = 0; i < n_tensors; i++) {
        char name[64];
        shard_name(tensors[i].shard, name);
        fprintf(index, "%s\n  \"%s\": \"%s\"", i ? "," : "", tensors[i].name, name);
    }
    fprintf(index, "}}\n");
    fprintf(config,
            "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, "
            "\"num_hidden_layers\": %d,\n"
            " \"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"vocab_size\": %d, "
            "\"rms_norm_eps\": 1e-05,\n"
            " \"max_position_embeddings\": 2048, \"bos_token_id\": 1, \"eos_token_id\": 2}\n",
            width, d_ff, layers, heads, kv_heads, vocab);
    if (fclose(index) != 0 || fclose(config) != 0) die("the index or the config was not written");
}

int main(int argc, char **argv)
{
    if (argc != 10) die("usage: FOLDER LAYERS WIDTH D_FF HEADS KV_HEADS VOCAB SHARDS F32|BF16|HOLES");
    int *const numbers[] = {&layers, &width, &d_ff, &heads, &kv_heads, &vocab, &shards};
    for (int i = 0; i < 7; i++)
        if ((*numbers[i] = atoi(argv[i + 2])) < 1) die("numbers must be 1 or more");
    holes = strcmp(argv[9], "HOLES") == 0;
    bf16 = holes || strcmp(argv[9], "BF16") == 0;
    list_tensors();
    put_texts(argv[1]);
    uint64_t state = 1;
    for (int shard = 0; shard < shards; shard++) put_shard(argv[1], shard, &state);
    free(tensors);
    return 0;
}
