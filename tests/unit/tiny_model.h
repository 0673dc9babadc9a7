/* tiny_model.h - writes safetensors files and tiny Llama folders for tests.
 *
 * The weights of a tiny model are a function of the tensor's name and the element only, so that folders which
 * store them in other types, shards or places hold the same model. All values are exact in bf16.
 */
#ifndef OFFRAMP_TESTS_TINY_MODEL_H
#define OFFRAMP_TESTS_TINY_MODEL_H

#include "support.h"

#include <stdbool.h>

enum { TINY_LAYERS = 4, TINY_WIDTH = 16, TINY_FF = 24, TINY_VOCAB = 32 };

static const char tiny_config[] =
    "{\"model_type\": \"llama\", \"hidden_act\": \"silu\", \"hidden_size\": 16, \"intermediate_size\": 24, "
    "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 32, "
    "\"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, \"rope_scaling\": null, \"max_position_embeddings\": "
    "64, "
    "\"tie_word_embeddings\": false, \"bos_token_id\": 1, \"eos_token_id\": 2}";

/* A safetensors file in the making: its header's JSON and its data. */
typedef struct tiny_file {
    char header[1 << 15];
    unsigned char data[1 << 18];
    size_t header_size, data_size;
} tiny_file;

static inline void tiny_begin(tiny_file *file)
{
    file->header_size = (size_t)sprintf(file->header, "{");
    file->data_size = 0;
}

/* The values of a tensor: 7 bits each, so exact in bf16 and f16; vectors are around 1. "model." in front of
 * the name does not count. */
static inline void tiny_values(const char *name, bool vector, size_t n, float *values)
{
    uint64_t seed = 1;
    for (const char *c = strncmp(name, "model.", 6) == 0 ? name + 6 : name; *c; c++)
        seed = seed * 131 + (unsigned char)*c;
    for (size_t i = 0; i < n; i++)
        values[i] = (float)((int)(random_bits(&seed) % 129) - 64) / 128.0f + (vector ? 1.0f : 0.0f);
}

/* Adds a tensor [rows, columns] (columns 0: a vector) as "F32", "F16" or "BF16". */
static inline void tiny_add(tiny_file *file, const char *name, const char *type, int rows, int columns)
{
    const size_t n = (size_t)rows * (size_t)(columns ? columns : 1), begin = file->data_size;
    float values[1 << 11];
    assert_true(n <= sizeof values / sizeof *values);
    tiny_values(name, columns == 0, n, values);
    for (size_t i = 0; i < n; i++) {
        const float value = values[i];
        uint32_t bits;
        memcpy(&bits, &value, 4);
        uint16_t half = (uint16_t)(bits >> 16);
        if (strcmp(type, "F16") == 0) {
            const int exponent = (int)(bits >> 23 & 0xff) - 127 + 15;
            half = value == 0
                       ? 0
                       : (uint16_t)((bits >> 16 & 0x8000) | (uint32_t)exponent << 10 | (bits >> 13 & 0x3ff));
        }
        const size_t size = strcmp(type, "F32") == 0 ? 4 : 2;
        assert_true(file->data_size + size <= sizeof file->data);
        memcpy(file->data + file->data_size, size == 4 ? (const void *)&bits : (const void *)&half, size);
        file->data_size += size;
    }
    char shape[32];
    snprintf(shape, sizeof shape, columns ? "[%d,%d]" : "[%d]", rows, columns);
    file->header_size +=
        (size_t)sprintf(file->header + file->header_size,
                        "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                        file->header_size > 1 ? "," : "", name, type, shape, begin, file->data_size);
}

/* Writes header size, header and data. */
static inline void tiny_put(const char *path, const char *header, size_t header_size, const void *data,
                            size_t data_size)
{
    const uint64_t size = header_size;
    char *bytes = malloc(8 + header_size + data_size);
    memcpy(bytes, &size, 8);
    memcpy(bytes + 8, header, header_size);
    if (data_size) memcpy(bytes + 8 + header_size, data, data_size);
    put_file(path, bytes, 8 + header_size + data_size);
    free(bytes);
}

static inline void tiny_end(tiny_file *file, const char *path)
{
    file->header_size += (size_t)sprintf(file->header + file->header_size, "}");
    tiny_put(path, file->header, file->header_size, file->data, file->data_size);
}

static inline void tiny_add_layer(tiny_file *file, int layer, const char *type)
{
    static const struct {
        const char *suffix;
        int rows, columns;
    } tensors[] = {{"input_layernorm", 16, 0},   {"post_attention_layernorm", 16, 0},
                   {"self_attn.q_proj", 16, 16}, {"self_attn.k_proj", 8, 16},
                   {"self_attn.v_proj", 8, 16},  {"self_attn.o_proj", 16, 16},
                   {"mlp.gate_proj", 24, 16},    {"mlp.up_proj", 24, 16},
                   {"mlp.down_proj", 16, 24}};
    char name[96];
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, tensors[i].suffix);
        tiny_add(file, name, type, tensors[i].rows, tensors[i].columns);
    }
}

/* A whole model folder, every tensor of this type, `config` as its config.json. */
static inline const char *tiny_folder(const char *type, const char *config)
{
    const char *folder = scratch_folder();
    tiny_file *file = malloc(sizeof *file);
    tiny_begin(file);
    tiny_add(file, "model.embed_tokens.weight", type, TINY_VOCAB, TINY_WIDTH);
    for (int layer = 0; layer < TINY_LAYERS; layer++) tiny_add_layer(file, layer, type);
    tiny_add(file, "model.norm.weight", type, TINY_WIDTH, 0);
    tiny_add(file, "lm_head.weight", type, TINY_VOCAB, TINY_WIDTH);
    tiny_end(file, path_in(folder, "model.safetensors"));
    put_text(path_in(folder, "config.json"), config);
    free(file);
    return folder;
}

#endif
