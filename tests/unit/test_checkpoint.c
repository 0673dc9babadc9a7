/* test_checkpoint.c - Hugging Face folders: what is read, and every way of being wrong that is refused. */
#include "support.h"

#include "tiny_model.h"

#include <offramp/checkpoint.h>

static void shapes_and_tensors_are_read(void **state)
{
    (void)state;
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(tiny_folder("F16", tiny_config), &checkpoint));
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    assert_string_equal(h->family, "llama");
    assert_string_equal(or_checkpoint_format(checkpoint), "safetensors");
    assert_int_equal(h->n_layers, 4);
    assert_int_equal(h->head_dim, 4);
    assert_int_equal(h->n_kv_heads, 2);
    assert_int_equal(or_checkpoint_count(checkpoint), 4 * 9 + 3);
    const or_tensor *tensor;
    assert_ok(or_checkpoint_require(checkpoint, "model.layers.2.mlp.down_proj.weight", 16, 24, &tensor));
    assert_int_equal(tensor->dtype, OR_F16);
    assert_int_equal(tensor->bytes, 16 * 24 * 2);
    assert_ok(or_checkpoint_require(checkpoint, "model.norm.weight", 16, 0, &tensor));
    assert_fails(or_checkpoint_require(checkpoint, "model.norm.weight", 17, 0, &tensor), OR_ERR_INPUT, "17");
    assert_fails(or_checkpoint_require(checkpoint, "lm_head.weight", 32, 0, &tensor), OR_ERR_INPUT,
                 "lm_head.weight");
    assert_fails(or_checkpoint_require(checkpoint, "lm_head.bias", 32, 0, &tensor), OR_ERR_INPUT,
                 "lm_head.bias");
    assert_null(or_checkpoint_find(checkpoint, "nothing"));
    for (size_t i = 1; i < or_checkpoint_count(checkpoint); i++)
        assert_true(strcmp(or_checkpoint_at(checkpoint, i - 1)->name, or_checkpoint_at(checkpoint, i)->name) <
                    0);
    or_checkpoint_close(checkpoint);
}

/* The demo's shape, and a fingerprint that is stable and tells models apart. */
static void fingerprints_tell_models_apart(void **state)
{
    (void)state;
    or_checkpoint *a, *b, *c;
    assert_ok(or_checkpoint_open(source_path("configs/demo/model"), &a));
    assert_ok(or_checkpoint_open(source_path("configs/demo/model/"), &b));
    assert_ok(or_checkpoint_open(tiny_folder("BF16", tiny_config), &c));
    assert_int_equal(or_checkpoint_hparams(a)->n_layers, 16);
    assert_int_equal(or_checkpoint_count(a), 147);
    assert_true(or_checkpoint_fingerprint(a) == or_checkpoint_fingerprint(b));
    assert_true(or_checkpoint_fingerprint(a) != or_checkpoint_fingerprint(c));
    or_checkpoint_close(a);
    or_checkpoint_close(b);
    or_checkpoint_close(c);
}

/* ---- safetensors ---------------------------------------------------------------------------------------- */

static void try_header(const char *header, size_t data_size, const char *part)
{
    const char *folder = scratch_folder();
    unsigned char data[256] = {0};
    or_checkpoint *checkpoint;
    put_text(path_in(folder, "config.json"), tiny_config);
    tiny_put(path_in(folder, "model.safetensors"), header, strlen(header), data, data_size);
    assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, part);
}

#define ONE(dtype, shape, offsets)                                                                           \
    "{\"a\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void bad_headers_are_refused(void **state)
{
    (void)state;
    try_header("x", 0, "JSON");
    try_header("[1]", 0, "object");
    try_header("{\"a\":1}", 0, "\"a\"");
    try_header("{\"__metadata__\":5}", 0, "__metadata__");
    try_header("{\"__metadata__\":{\"format\":5}}", 0, "__metadata__");
    try_header("{}", 0, "no tensors");
    try_header(ONE("F32", "[2,2]", "[0,20]"), 16, "\"a\"");  /* past the end */
    try_header(ONE("F32", "[2,2]", "[0,12]"), 16, "\"a\"");  /* not the shape's bytes */
    try_header(ONE("F32", "[2,2]", "[16,0]"), 16, "\"a\"");  /* reversed */
    try_header(ONE("F32", "[2,2]", "[-16,0]"), 16, "\"a\""); /* negative */
    try_header(ONE("F32", "[2,2]", "[0,16.5]"), 32, "\"a\"");
    try_header(ONE("F32", "[2,2]", "[0]"), 16, "\"a\"");
    try_header(ONE("F32", "[2,2]", "[1e300,2e300]"), 16, "\"a\"");
    try_header(ONE("F32", "[-2,-2]", "[0,16]"), 16, "shape");
    try_header(ONE("F32", "[2,2.5]", "[0,16]"), 16, "shape");
    try_header(ONE("F32", "[4294967296,4294967296,4294967296]", "[0,0]"), 16, "\"a\"");
    try_header(ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 16, "\"a\"");
    try_header(ONE("F32", "4", "[0,16]"), 16, "shape");
    try_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
               "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
               16, "\"b\"");
    try_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
               "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
               16, "\"a\"");
}

static void bad_sizes_are_refused(void **state)
{
    (void)state;
    or_checkpoint *checkpoint;
    static const uint64_t sizes[] = {0, 100, 100000001, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *folder = scratch_folder();
        unsigned char bytes[64] = {0};
        memcpy(bytes, &sizes[i], 8);
        put_text(path_in(folder, "config.json"), tiny_config);
        put_file(path_in(folder, "model.safetensors"), bytes, sizeof bytes);
        assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, "model.safetensors");
        put_file(path_in(folder, "model.safetensors"), bytes, 7);
        assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, "model.safetensors");
    }
}

/* A weight that is needed must be of a type that weights have. */
static void other_types_are_kept_and_refused_as_weights(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    or_checkpoint *checkpoint;
    const or_tensor *tensor;
    const char *header = ONE("I64", "[2]", "[0,16]");
    put_text(path_in(folder, "config.json"), tiny_config);
    tiny_put(path_in(folder, "model.safetensors"), header, strlen(header), "0123456789abcdef", 16);
    assert_ok(or_checkpoint_open(folder, &checkpoint));
    assert_int_equal(or_checkpoint_find(checkpoint, "a")->dtype, OR_DTYPE_OTHER);
    assert_fails(or_checkpoint_require(checkpoint, "a", 2, 0, &tensor), OR_ERR_INPUT, "I64");
    or_checkpoint_close(checkpoint);
}

/* Any one byte of the header changed, any place cut: read or refused, never a crash (run with sanitizers). */
static void damage_is_survived(void **state)
{
    (void)state;
    uint64_t seed = 5;
    char path[256];
    const char *folder = tiny_folder("BF16", tiny_config);
    snprintf(path, sizeof path, "%s", path_in(folder, "model.safetensors"));
    FILE *file = fopen(path, "rb");
    static unsigned char good[1 << 16], bad[1 << 16];
    const size_t size = fread(good, 1, sizeof good, file);
    fclose(file);
    uint64_t header;
    memcpy(&header, good, 8);
    size_t refused = 0;
    for (int i = 0; i < 1500; i++) {
        or_checkpoint *checkpoint;
        memcpy(bad, good, size);
        size_t length = size;
        if (i % 3 == 0)
            length = 1 + random_bits(&seed) % (size - 1);
        else
            bad[random_bits(&seed) % (8 + header)] = (unsigned char)random_bits(&seed);
        put_file(path, bad, length);
        const or_status got = or_checkpoint_open(folder, &checkpoint);
        assert_true(got == OR_OK || got == OR_ERR_INPUT);
        if (got == OR_OK)
            or_checkpoint_close(checkpoint);
        else
            refused++;
    }
    assert_true(refused > 700);
}

/* ---- config.json ---------------------------------------------------------------------------------------- */

/* tiny_config with the text `from` replaced by `to`. */
static void try_config(const char *from, const char *to, const char *part)
{
    char config[2048];
    const char *at = strstr(tiny_config, from);
    or_checkpoint *checkpoint;
    assert_non_null(at);
    snprintf(config, sizeof config, "%.*s%s%s", (int)(at - tiny_config), tiny_config, to, at + strlen(from));
    const char *folder = tiny_folder("BF16", config);
    if (part) {
        assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, part);
    } else {
        assert_ok(or_checkpoint_open(folder, &checkpoint));
        or_checkpoint_close(checkpoint);
    }
}

static void configs_are_checked(void **state)
{
    (void)state;
    try_config("\"model_type\": \"llama\"", "\"model_type\": \"gpt2\"", "llama, opt");
    try_config("\"model_type\": \"llama\", ", "", "model_type");
    try_config("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "gelu");
    try_config("\"hidden_size\": 16", "\"hidden_size\": 0", "hidden_size");
    try_config("\"hidden_size\": 16", "\"hidden_size\": \"16\"", "hidden_size");
    try_config("\"hidden_size\": 16", "\"hidden_size\": 18", "hidden_size");
    try_config("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", "num_key_value_heads");
    try_config("\"num_hidden_layers\": 4", "\"num_hidden_layers\": -4", "num_hidden_layers");
    try_config("\"vocab_size\": 32", "\"vocab_size\": 1e99", "vocab_size");
    try_config("\"rms_norm_eps\": 1e-5", "\"rms_norm_eps\": -1", "rms_norm_eps");
    try_config("\"rope_theta\": 10000.0", "\"rope_theta\": 0", "rope_theta");
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4.0}", "yarn");
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4.0}",
               "dynamic");
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}", "factor");
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}",
               "low_freq_factor");
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}", NULL);
    try_config("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"default\"}", NULL);
    try_config("\"rope_scaling\": null", "\"attention_bias\": true", "attention_bias");
    try_config("\"num_key_value_heads\": 2, ", "", NULL); /* then as many as heads */
    try_config("\"eos_token_id\": 2", "\"eos_token_id\": [2, 3]", NULL);
}

static void folders_are_checked(void **state)
{
    (void)state;
    or_checkpoint *checkpoint;
    const char *folder = scratch_folder();
    assert_fails(or_checkpoint_open("/nowhere", &checkpoint), OR_ERR_INPUT, "/nowhere");
    assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, folder);
    put_text(path_in(folder, "config.json"), tiny_config);
    assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, "safetensors");
    put_text(path_in(folder, "model.gguf"), "GGUF");
    assert_fails(or_checkpoint_open(path_in(folder, "model.gguf"), &checkpoint), OR_ERR_INPUT, "GGUF");
    put_text(path_in(folder, "model.safetensors.index.json"),
             "{\"weight_map\": {\"a\": \"../b.safetensors\"}}");
    assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, "../b.safetensors");
    put_text(path_in(folder, "model.safetensors.index.json"), "{\"weight_map\": {\"a\": 5}}");
    assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, "index.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_and_tensors_are_read),
        cmocka_unit_test(fingerprints_tell_models_apart),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(bad_sizes_are_refused),
        cmocka_unit_test(other_types_are_kept_and_refused_as_weights),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(configs_are_checked),
        cmocka_unit_test(folders_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
