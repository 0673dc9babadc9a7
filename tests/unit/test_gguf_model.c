/* test_gguf_model.c - models in GGUF files: the same bits as from a Hugging Face folder, whole and in
 * parts, and every set of tensors that is refused. */
#include "support.h"

#include "checkpoint_internal.h"
#include "gguf_model.h"
#include "tiny_gguf.h"

#include <offramp/model.h>

#include <math.h>
#include <unistd.h>

enum { TOKENS = 9 };
static const int32_t prompt[TOKENS] = {1, 5, 9, 30, 2, 7, 7, 31, 0};

/* Logits at the last row of the prompt. */
static void run(const char *path, float *logits)
{
    float hidden[TOKENS * TINY_WIDTH];
    const or_span span = {.first = 0, .count = TOKENS};
    or_model *model;
    assert_ok(or_model_open(path, 0, TINY_LAYERS, &model));
    assert_ok(or_model_embed(model, prompt, TOKENS, 0, hidden));
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        assert_ok(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
    assert_ok(or_model_logits(model, hidden + (TOKENS - 1) * TINY_WIDTH, 1, logits));
    or_model_close(model);
}

static void assert_same_logits(const char *a, const char *b)
{
    float x[TINY_VOCAB], y[TINY_VOCAB];
    run(a, x);
    run(b, y);
    assert_memory_equal(x, y, sizeof x);
}

/* Writes the model and forgets it. */
static const char *put_and_free(tiny_gguf *m)
{
    const char *path = tiny_gguf_put(m);
    free(m);
    return path;
}

static const char *config_with(const char *from, const char *to)
{
    static char config[1024];
    const char *at = strstr(tiny_config, from);
    assert_non_null(at);
    snprintf(config, sizeof config, "%.*s%s%s", (int)(at - tiny_config), tiny_config, to, at + strlen(from));
    return config;
}

/* ---- the same bits ---------------------------------------------------------------------------------------- */

static void files_are_as_good_as_folders(void **state)
{
    (void)state;
    static const struct {
        or_dtype dtype;
        const char *name;
    } types[] = {{OR_F32, "F32"}, {OR_F16, "F16"}, {OR_BF16, "BF16"}};
    for (size_t i = 0; i < 3; i++)
        assert_same_logits(tiny_folder(types[i].name, tiny_config),
                           put_and_free(tiny_gguf_new(types[i].dtype, 4)));
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(put_and_free(tiny_gguf_new(OR_F16, 4)), &checkpoint));
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    assert_string_equal(or_checkpoint_format(checkpoint), "gguf");
    assert_string_equal(h->family, "llama");
    assert_int_equal(h->n_vocab, TINY_VOCAB);
    assert_int_equal(h->n_context, 64);
    assert_int_equal(h->bos, 1);
    assert_int_equal(h->eos, 2);
    assert_false(h->tied_head);
    or_checkpoint_close(checkpoint);
}

/* The rows of query and key heads must be in pairs: in the order of the folder it is another model. */
static void rotary_pairs_matter(void **state)
{
    (void)state;
    float folder[TINY_VOCAB], file[TINY_VOCAB];
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    tiny_gguf_tensor(m, "blk.2.attn_k.weight")->rotated = false;
    run(tiny_folder("F32", tiny_config), folder);
    run(put_and_free(m), file);
    assert_true(memcmp(folder, file, sizeof file) != 0);
}

static void without_output_the_head_is_tied(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_F16, 4);
    tiny_gguf_drop_tensor(m, "output.weight");
    assert_same_logits(
        tiny_folder("F16", config_with("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true")),
        put_and_free(m));
}

/* Other widths than the configuration of tiny_model.h: the folder is written here. */
static const char *folder_of(tiny_gguf *m, const char *config)
{
    const char *folder = scratch_folder();
    tiny_file *file = malloc(sizeof *file);
    assert_non_null(file);
    tiny_begin(file);
    for (size_t i = 0; i < m->n_tensors; i++)
        tiny_add(file, m->tensors[i].hf, "F32", m->tensors[i].rows, m->tensors[i].columns);
    tiny_end(file, path_in(folder, "model.safetensors"));
    put_text(path_in(folder, "config.json"), config);
    free(file);
    return folder;
}

static void heads_may_have_a_width_of_their_own(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_F32, 8); /* 4 heads of 8 in a state of 16 */
    const char *folder = folder_of(m, config_with("\"rope_scaling\": null", "\"head_dim\": 8"));
    tiny_gguf_set(m, (tiny_key){"llama.attention.value_length", TINY_U32, 8, NULL});
    tiny_gguf_set(m, (tiny_key){"llama.rope.dimension_count", TINY_U32, 8, NULL});
    assert_same_logits(folder, put_and_free(m));
}

/* Without their own count, keys and values have as many heads as queries. */
static void heads_of_keys_default_to_those_of_queries(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    tiny_gguf_drop_key(m, "llama.attention.head_count_kv");
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strstr(m->tensors[i].name, "attn_k") || strstr(m->tensors[i].name, "attn_v"))
            m->tensors[i].rows = 4 * 4;
    const char *folder = folder_of(m, config_with("\"num_key_value_heads\": 2, ", ""));
    assert_same_logits(folder, put_and_free(m));
}

/* ---- rotary frequencies ------------------------------------------------------------------------------- */

static void linear_scaling_is_the_same(void **state)
{
    (void)state;
    const char *folder = tiny_folder("F32", config_with("null", "{\"type\": \"linear\", \"factor\": 2.5}"));
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    tiny_gguf_set(m, (tiny_key){"llama.rope.scale_linear", TINY_F32, 2.5, NULL}); /* old files */
    assert_same_logits(folder, tiny_gguf_put(m));
    tiny_gguf_drop_key(m, "llama.rope.scale_linear");
    tiny_gguf_set(m, (tiny_key){"llama.rope.scaling.type", TINY_TEXT, 0, "linear"});
    tiny_gguf_set(m, (tiny_key){"llama.rope.scaling.factor", TINY_F32, 2.5, NULL});
    assert_same_logits(folder, tiny_gguf_put(m));
    tiny_gguf_set(
        m, (tiny_key){"llama.rope.scaling.type", TINY_TEXT, 0, "none"}); /* then the factor is not used */
    assert_same_logits(tiny_folder("F32", tiny_config), put_and_free(m));
}

static void the_base_is_read(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    tiny_gguf_set(m, (tiny_key){"llama.rope.freq_base", TINY_F32, 500000, NULL});
    assert_same_logits(tiny_folder("F32", config_with("\"rope_theta\": 10000.0", "\"rope_theta\": 500000.0")),
                       put_and_free(m));
}

/* Llama 3.1's rule for heads of 4 (two frequencies): the first has a wavelength of 2 pi, which lies between
 * 16 / 4 and 16 / 1 and is blended; the second, 200 pi, is divided by 8. */
static void a_tensor_of_divisors_is_llama3_scaling(void **state)
{
    (void)state;
    const double blend = (16 / (2 * M_PI) - 1) / (4 - 1);
    float folder[TINY_VOCAB], file[TINY_VOCAB], plain[TINY_VOCAB];
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    tiny_tensor *t = tiny_gguf_add_tensor(m, "rope_freqs.weight", "rope_freqs.weight", 2, 0);
    t->values[0] = (float)(1 / ((1 - blend) / 8 + blend));
    t->values[1] = 8;
    run(tiny_folder("F32",
                    config_with("null", "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": "
                                        "1.0, \"high_freq_factor\": 4.0, "
                                        "\"original_max_position_embeddings\": 16}")),
        folder);
    run(tiny_gguf_put(m), file);
    run(tiny_folder("F32", tiny_config), plain);
    float moved = 0;
    for (int i = 0; i < TINY_VOCAB; i++) {
        assert_near(folder[i], file[i], 1e-5);
        moved = fmaxf(moved, fabsf(plain[i] - file[i]));
    }
    assert_true(moved > 1e-2f); /* so that 1e-5 says something */

    tiny_gguf_set(m, (tiny_key){"llama.rope.scaling.type", TINY_TEXT, 0, "linear"});
    tiny_gguf_set(m, (tiny_key){"llama.rope.scaling.factor", TINY_F32, 2, NULL});
    or_checkpoint *checkpoint;
    assert_fails(or_checkpoint_open(put_and_free(m), &checkpoint), OR_ERR_INPUT, "not supported together");
}

/* ---- tensors that are refused ------------------------------------------------------------------------- */

/* The file is refused, naming it. */
static void refused(const char *path, const char *part)
{
    char file[256];
    or_model *model;
    snprintf(file, sizeof file, "%s", path);
    assert_fails(or_model_open(file, 0, TINY_LAYERS, &model), OR_ERR_INPUT, part);
    assert_non_null(strstr(or_status_message(), file));
}

static void missing_tensors_are_named(void **state)
{
    (void)state;
    static const char *const names[] = {
        "token_embd.weight",     "output_norm.weight",  "blk.0.attn_norm.weight",   "blk.3.attn_q.weight",
        "blk.1.attn_k.weight",   "blk.1.attn_v.weight", "blk.2.attn_output.weight", "blk.2.ffn_norm.weight",
        "blk.3.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.3.ffn_down.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char part[96];
        tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
        tiny_gguf_drop_tensor(m, names[i]);
        snprintf(part, sizeof part, "found no tensor \"%s\"", names[i]);
        refused(put_and_free(m), part);
    }
}

static void other_tensors_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"blk.0.attn_q.bias",
                                        "blk.4.attn_q.weight", /* there are layers 0..3 */
                                        "blk.01.attn_q.weight",
                                        "blk.1000000.attn_q.weight",
                                        "blk.-1.attn_q.weight",
                                        "blk.0.ffn_gate_inp.weight",
                                        "blk..attn_q.weight",
                                        "model.norm.weight",
                                        "rope_freqs"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char part[128];
        tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
        tiny_gguf_add_tensor(m, names[i], names[i], 16, 0);
        snprintf(part, sizeof part, "tensor \"%s\" is not one of a llama model of 4 layers", names[i]);
        refused(put_and_free(m), part);
    }
}

static void wrong_shapes_are_refused(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_tensor(m, "blk.2.attn_k.weight")->rows = 12;
    refused(put_and_free(m), "tensor \"blk.2.attn_k.weight\" has shape [12, 16], expected [8, 16]");
    m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_tensor(m, "output.weight")->rows = 33;
    refused(put_and_free(m), "tensor \"output.weight\" has shape [33, 16], expected [32, 16]");
    m = tiny_gguf_new(OR_BF16, 4);
    *tiny_gguf_tensor(m, "blk.0.attn_norm.weight") =
        (tiny_tensor){"blk.0.attn_norm.weight", "x", .rows = 4, .columns = 4};
    refused(put_and_free(m), "tensor \"blk.0.attn_norm.weight\" has shape [4, 4], expected [16]");
    m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_add_tensor(m, "rope_freqs.weight", "rope_freqs.weight", 3, 0);
    refused(put_and_free(m), "tensor \"rope_freqs.weight\" has shape [3], expected [2]");
}

/* A type that our own writer does not write: its number is put into the file. */
static void types_that_are_not_computed_are_named(void **state)
{
    (void)state;
    static const char name[] = "blk.1.ffn_up.weight";
    char path[256];
    or_buffer all = {0};
    const uint32_t type = 23;
    snprintf(path, sizeof path, "%s", put_and_free(tiny_gguf_new(OR_BF16, 4)));
    assert_ok(or_file_read(path, &all));
    char *at = memmem(all.data, all.size, name, strlen(name));
    assert_non_null(at);
    memcpy(at + strlen(name) + 4 + 2 * 8, &type,
           sizeof type); /* after the name: 2, its dimensions, its type */
    put_file(path, all.data, all.size);
    or_buffer_free(&all);
    refused(path, "tensor \"blk.1.ffn_up.weight\" is of type IQ4_XS, expected weights of type f32");
}

/* ---- parts ------------------------------------------------------------------------------------------------ */

/* A model in three parts: layers 1 and 2 in the second, the last and what follows in the third. */
static tiny_gguf *three_parts(void)
{
    tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
    m->parts = 3;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const char *name = m->tensors[i].name;
        if (strncmp(name, "blk.1.", 6) == 0 || strncmp(name, "blk.2.", 6) == 0) m->tensors[i].part = 1;
        if (strncmp(name, "blk.3.", 6) == 0 || strncmp(name, "output", 6) == 0) m->tensors[i].part = 2;
    }
    return m;
}

/* The path of another part of the model whose first part this is. */
static const char *sibling(const tiny_gguf *m, const char *first, int part)
{
    char folder[256];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(first, '/') - first), first);
    return tiny_gguf_path(m, folder, part);
}

static void parts_are_one_model(void **state)
{
    (void)state;
    const char *whole = put_and_free(tiny_gguf_new(OR_BF16, 4));
    tiny_gguf *m = three_parts();
    assert_same_logits(whole, tiny_gguf_put(m));
    for (size_t i = 0; i < m->n_tensors; i++) m->tensors[i].part = 1 + m->tensors[i].part / 2;
    assert_same_logits(whole, put_and_free(m)); /* the first part has keys only */
}

static void missing_and_swapped_parts_are_refused(void **state)
{
    (void)state;
    char first[256], second[256], third[256];
    tiny_gguf *m = three_parts();
    snprintf(first, sizeof first, "%s", tiny_gguf_put(m));
    snprintf(second, sizeof second, "%s", sibling(m, first, 1));
    snprintf(third, sizeof third, "%s", sibling(m, first, 2));
    free(m);
    refused(second, "it is part 2 of 3, expected the first (its name ends in -00001-of-00003.gguf)");

    const char *aside = path_in(scratch_folder(), "aside");
    assert_int_equal(rename(second, aside), 0);
    or_model *model;
    assert_fails(or_model_open(first, 0, 1, &model), OR_ERR_INPUT, second);
    assert_int_equal(rename(third, second), 0);
    assert_int_equal(rename(aside, third), 0);
    assert_fails(or_model_open(first, 0, 1, &model), OR_ERR_INPUT, "it is part 3 of 3, expected part 2 of 3");

    const char *renamed = path_in(scratch_folder(), "model.gguf");
    assert_int_equal(rename(first, renamed), 0);
    refused(renamed, "it is the first of 3 parts, expected a name that ends in -00001-of-00003.gguf");
}

static void parts_of_another_split_are_refused(void **state)
{
    (void)state;
    char first[256];
    tiny_gguf *m = three_parts(), *whole = tiny_gguf_new(OR_BF16, 4);
    snprintf(first, sizeof first, "%s", tiny_gguf_put(m));
    tiny_gguf_put_part(whole, sibling(m, first, 1), 0); /* a file that is whole in the place of a part */
    or_model *model;
    assert_fails(or_model_open(first, 0, 1, &model), OR_ERR_INPUT, "it is part 1 of 1, expected part 2 of 3");
    free(whole);
    free(m);
}

static void the_number_of_tensors_is_checked(void **state)
{
    (void)state;
    tiny_gguf *m = three_parts();
    m->said_tensors = 40;
    refused(put_and_free(m), "its 3 parts have 39 tensors, expected 40 (\"split.tensors.count\")");
    m = three_parts(); /* the same tensor in two parts */
    tiny_gguf_add_tensor(m, "blk.1.attn_v.weight", "model.layers.1.self_attn.v_proj.weight", 8, 16)->part = 2;
    or_model *model;
    assert_fails(or_model_open(put_and_free(m), 0, 1, &model), OR_ERR_INPUT,
                 "found tensor \"blk.1.attn_v.weight\" twice");
    assert_non_null(strstr(or_status_message(), "00002-of-00003"));
    assert_non_null(strstr(or_status_message(), "00003-of-00003"));
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static void names_follow_the_table(void **state)
{
    (void)state;
    static const struct {
        const char *hf, *gguf;
    } names[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                 {"model.norm.weight", "output_norm.weight"},
                 {"lm_head.weight", "output.weight"},
                 {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
                 {"model.layers.79.self_attn.q_proj.weight", "blk.79.attn_q.weight"},
                 {"model.layers.7.self_attn.k_proj.weight", "blk.7.attn_k.weight"},
                 {"model.layers.7.self_attn.v_proj.weight", "blk.7.attn_v.weight"},
                 {"model.layers.7.self_attn.o_proj.weight", "blk.7.attn_output.weight"},
                 {"model.layers.7.post_attention_layernorm.weight", "blk.7.ffn_norm.weight"},
                 {"model.layers.7.mlp.gate_proj.weight", "blk.7.ffn_gate.weight"},
                 {"model.layers.7.mlp.up_proj.weight", "blk.7.ffn_up.weight"},
                 {"model.layers.999.mlp.down_proj.weight", "blk.999.ffn_down.weight"},
                 {"rope_freqs.weight", "rope_freqs.weight"}};
    char text[OR_TENSOR_NAME];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_string_equal(or_gguf_tensor_name(names[i].hf, text), names[i].gguf);
        assert_true(or_gguf_knows_tensor(names[i].gguf, 1000));
    }
    static const char *const others[] = {"", "model.layers.7.mlp.up_proj.bias",
                                         "model.layers.x.mlp.up_proj.weight"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) { /* without another name */
        assert_string_equal(or_gguf_tensor_name(others[i], text), others[i]);
        assert_false(or_gguf_knows_tensor(others[i], 1000));
    }
    assert_false(or_gguf_knows_tensor("blk.79.attn_q.weight", 79));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_as_good_as_folders),
        cmocka_unit_test(rotary_pairs_matter),
        cmocka_unit_test(without_output_the_head_is_tied),
        cmocka_unit_test(heads_may_have_a_width_of_their_own),
        cmocka_unit_test(heads_of_keys_default_to_those_of_queries),
        cmocka_unit_test(linear_scaling_is_the_same),
        cmocka_unit_test(the_base_is_read),
        cmocka_unit_test(a_tensor_of_divisors_is_llama3_scaling),
        cmocka_unit_test(missing_tensors_are_named),
        cmocka_unit_test(other_tensors_are_refused),
        cmocka_unit_test(wrong_shapes_are_refused),
        cmocka_unit_test(types_that_are_not_computed_are_named),
        cmocka_unit_test(parts_are_one_model),
        cmocka_unit_test(missing_and_swapped_parts_are_refused),
        cmocka_unit_test(parts_of_another_split_are_refused),
        cmocka_unit_test(the_number_of_tensors_is_checked),
        cmocka_unit_test(names_follow_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
