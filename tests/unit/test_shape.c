/* test_shape.c - models that are made up from a shape: tensors, weights of every type, memory, and what is
 * refused. */
#include "support.h"

#include "checkpoint_internal.h"
#include "memory.h"
#include "threads.h"

#include <offramp/model.h>
#include <offramp/plan.h>

#include <math.h>

enum { LAYERS = 3, WIDTH = 256, FF = 512, VOCAB = 320, TOKENS = 7 };

/* `shape` is the value of "offramp_shape". */
static const char *write_shape(const char *name, const char *shape)
{
    char text[1024];
    const char *path = path_in(scratch_folder(), name);
    snprintf(text, sizeof text,
             "{\"model_type\": \"llama\", \"hidden_size\": %d, \"intermediate_size\": %d, "
             "\"num_hidden_layers\": %d, "
             "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": %d, "
             "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-5, \"offramp_shape\": %s}",
             WIDTH, FF, LAYERS, VOCAB, shape);
    put_text(path, text);
    return path;
}

/* The path with words behind it, in one of two buffers. */
static const char *with(const char *path, const char *words)
{
    static char texts[2][1024];
    static int turn;
    turn = !turn;
    snprintf(texts[turn], sizeof texts[turn], "%s,%s", path, words);
    return texts[turn];
}

static or_checkpoint *open_checkpoint(const char *path)
{
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(path, &checkpoint));
    return checkpoint;
}

static const void *map(or_checkpoint *checkpoint, const char *name)
{
    const void *data;
    assert_non_null(or_checkpoint_find(checkpoint, name));
    assert_ok(or_checkpoint_map(checkpoint, or_checkpoint_find(checkpoint, name), &data));
    return data;
}

/* ---- what is there ----------------------------------------------------------------------------------------- */

static void a_shape_has_the_tensors_of_its_family(void **state)
{
    (void)state;
    or_checkpoint *c = open_checkpoint(write_shape("a.json", "{\"dtype\": \"bf16\"}"));
    const or_tensor *tensor;
    assert_string_equal(or_checkpoint_format(c), "shape");
    assert_int_equal(or_checkpoint_count(c), 9 * LAYERS + 3);
    assert_ok(or_checkpoint_require(c, "model.layers.2.self_attn.k_proj.weight", WIDTH / 2, WIDTH, &tensor));
    assert_int_equal(tensor->dtype, OR_BF16);
    assert_int_equal(tensor->bytes, WIDTH / 2 * WIDTH * 2);
    assert_ok(or_checkpoint_require(c, "model.layers.0.mlp.down_proj.weight", WIDTH, FF, &tensor));
    assert_ok(or_checkpoint_require(c, "lm_head.weight", VOCAB, WIDTH, &tensor));
    assert_ok(or_checkpoint_require(c, "model.layers.1.input_layernorm.weight", WIDTH, 0, &tensor));
    assert_int_equal(tensor->dtype, OR_F32);
    const float *ones = map(c, "model.layers.1.input_layernorm.weight");
    for (int i = 0; i < WIDTH; i++) assert_true(ones[i] == 1.0f);
    or_checkpoint_close(c);
}

/* By the published numbers of parameters. */
static void the_shapes_that_ship_are_those_of_the_models(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t parameters;
    } models[] = {
        {"configs/models/tinyllama-1.1b.json", 1100048384},
        {"configs/models/llama-2-7b.json", 6738415616},
        {"configs/models/llama-2-13b.json", 13015864320},
        {"configs/models/llama-2-70b.json", 68976648192},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        or_checkpoint *c = open_checkpoint(source_path(models[i].name));
        or_shares shares;
        assert_ok(or_checkpoint_shares(c, &shares));
        assert_true(shares.parameters == models[i].parameters);
        assert_ok(or_model_check(source_path(models[i].name), NULL));
        or_shares_free(&shares);
        or_checkpoint_close(c);
    }
}

/* What stands behind the name wins over the file. */
static void words_behind_the_name_change_the_shape(void **state)
{
    (void)state;
    const char *path = write_shape("b.json", "{\"dtype\": \"bf16\", \"layers\": 2}");
    or_checkpoint *c = open_checkpoint(path), *changed = open_checkpoint(with(path, "dtype=q8_0,layers=5"));
    assert_int_equal(or_checkpoint_hparams(c)->n_layers, 2);
    assert_int_equal(or_checkpoint_hparams(changed)->n_layers, 5);
    assert_int_equal(or_checkpoint_find(changed, "lm_head.weight")->dtype, OR_Q8_0);
    assert_true(or_checkpoint_fingerprint(c) != or_checkpoint_fingerprint(changed));
    or_checkpoint_close(c);
    or_checkpoint_close(changed);
}

/* ---- weights ------------------------------------------------------------------------------------------------ */

/* The same bytes again, on any number of threads; others in another tensor. */
static void weights_are_the_same_every_time(void **state)
{
    (void)state;
    static const char name[] = "model.layers.1.mlp.up_proj.weight",
                      other[] = "model.layers.2.mlp.up_proj.weight";
    /* 1024 rows of 4096 columns: several copies of the piece that is repeated */
    const char *path = path_in(scratch_folder(), "wide.json");
    put_text(path, "{\"model_type\": \"llama\", \"hidden_size\": 4096, \"intermediate_size\": 1024, "
                   "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"vocab_size\": 32, "
                   "\"offramp_shape\": {\"dtype\": \"bf16\"}}");
    or_threads_set(1);
    or_checkpoint *a = open_checkpoint(path), *b = open_checkpoint(path);
    const uint16_t *weights = map(a, name);
    or_threads_set(3);
    assert_memory_equal(weights, map(b, name), 1024 * 4096 * 2);
    assert_true(memcmp(weights, map(b, other), 4096) != 0);
    for (size_t row = 1; row < 1024; row++) /* no row twice */
        for (size_t before = row < 300 ? 0 : row - 300; before < row; before++)
            assert_true(memcmp(weights + row * 4096, weights + before * 4096, 64) != 0);
    assert_true(or_checkpoint_fingerprint(a) == or_checkpoint_fingerprint(b));
    or_checkpoint_close(a);
    or_checkpoint_close(b);
    or_threads_set(0);
}

/* The logits at the last row of a prompt. States stay small on the way. */
static void run(const char *path, float logits[VOCAB])
{
    static const int32_t prompt[TOKENS] = {1, 5, 300, 7, 2, 5, 0};
    float hidden[TOKENS * WIDTH];
    const or_span span = {.first = 0, .count = TOKENS};
    or_model *model;
    assert_ok(or_model_open(path, 0, LAYERS, &model));
    assert_ok(or_model_embed(model, prompt, TOKENS, 0, hidden));
    for (int layer = 0; layer < LAYERS; layer++) {
        assert_ok(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
        for (int i = 0; i < TOKENS * WIDTH; i++) assert_true(isfinite(hidden[i]) && fabsf(hidden[i]) < 100);
    }
    assert_ok(or_model_logits(model, hidden + (TOKENS - 1) * WIDTH, 1, logits));
    or_model_close(model);
}

/* A normed state times weights of variance 1 / columns: logits of deviation 1 or so, of mean 0, whatever
 * the type. */
static void every_type_gives_sane_numbers(void **state)
{
    (void)state;
    const char *path = write_shape("c.json", "{\"dtype\": \"f32\"}");
    for (or_dtype dtype = OR_F32; dtype < OR_DTYPE_OTHER; dtype++) {
        char word[32];
        float logits[VOCAB];
        double sum = 0, squares = 0;
        snprintf(word, sizeof word, "dtype=%s", or_dtype_name(dtype));
        run(with(path, word), logits);
        for (int i = 0; i < VOCAB; i++) {
            sum += (double)logits[i];
            squares += (double)logits[i] * (double)logits[i];
        }
        if (!(squares / VOCAB > 0.5 && squares / VOCAB < 2 && fabs(sum / VOCAB) < 0.3))
            fail_msg("%s: mean %g, mean square %g", word, sum / VOCAB, squares / VOCAB);
    }
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void shared_layers_are_one_in_memory(void **state)
{
    (void)state;
    const char *path = write_shape("d.json", "{\"dtype\": \"bf16\", \"share_layers\": true}");
    or_checkpoint *c = open_checkpoint(path),
                  *plain = open_checkpoint(write_shape("e.json", "{\"dtype\": \"bf16\"}"));
    uint64_t bytes;
    const void *up = map(c, "model.layers.2.mlp.up_proj.weight");
    assert_ptr_equal(up, map(c, "model.layers.1.mlp.up_proj.weight"));
    assert_ptr_not_equal(up, map(c, "model.layers.1.mlp.gate_proj.weight"));
    assert_ptr_not_equal(map(plain, "model.layers.2.mlp.up_proj.weight"),
                         map(plain, "model.layers.1.mlp.up_proj.weight"));
    assert_ptr_not_equal(map(c, "lm_head.weight"), map(c, "model.embed_tokens.weight"));
    assert_string_equal(or_checkpoint_find(c, "model.layers.2.mlp.up_proj.weight")->stored, "bf16 shared");
    assert_true(or_checkpoint_fingerprint(c) != or_checkpoint_fingerprint(plain));
    assert_ok(or_checkpoint_read(c, &bytes));
    assert_int_equal(bytes, 0);
    or_checkpoint_close(c);
    or_checkpoint_close(plain);
}

/* A plan counts one layer of a stage where they are shared, and all where not. */
static void a_plan_counts_shared_layers_once(void **state)
{
    (void)state;
    const char *path = write_shape("f.json", "{\"dtype\": \"bf16\"}");
    or_plan plan;
    size_t weights[2];
    for (int shared = 0; shared < 2; shared++) {
        or_checkpoint *c = open_checkpoint(shared ? with(path, "share_layers") : path);
        or_shares shares;
        assert_ok(or_checkpoint_shares(c, &shares));
        assert_ok(or_plan_even(LAYERS, 1, &plan));
        weights[shared] = or_plan_memory(&plan, 0, or_checkpoint_hparams(c), &shares, 8, 1).weights;
        assert_int_equal(weights[0] - weights[shared], (size_t)shared * 2 * shares.layers[0]);
        or_shares_free(&shares);
        or_checkpoint_close(c);
    }
}

/* ---- what is refused ------------------------------------------------------------------------------------------ */

static void refuse(const char *path, const char *part)
{
    or_checkpoint *checkpoint;
    assert_fails(or_checkpoint_open(path, &checkpoint), OR_ERR_INPUT, part);
    assert_null(checkpoint);
}

static void bad_shapes_are_refused_by_name(void **state)
{
    (void)state;
    const char *good = write_shape("g.json", "{\"dtype\": \"q8_0\"}");
    refuse(write_shape("h.json", "null"), "\"offramp_shape\"");
    refuse(write_shape("h.json", "{}"), "\"dtype\"");
    refuse(write_shape("h.json", "{\"dtype\": \"int4\"}"), "\"dtype\" is \"int4\", expected f32");
    refuse(write_shape("h.json", "{\"dtype\": \"other\"}"), "\"dtype\" is \"other\"");
    refuse(write_shape("h.json", "{\"dtype\": \"f32\", \"layers\": 0}"), "\"layers\"");
    refuse(write_shape("h.json", "{\"dtype\": \"f32\", \"share_layers\": 1}"), "\"share_layers\"");
    refuse(with(good, "layers=0"), "found \"layers=0\" behind the file's name");
    refuse(with(good, "layers=2x"), "found \"layers=2x\"");
    refuse(with(good, "dtype=q9"), "\"dtype\" is \"q9\"");
    refuse(with(good, "fast"), "found \"fast\"");
    refuse(with(good, ""), "found \"\"");
    refuse(path_in(scratch_folder(), "nowhere.json"), "nowhere.json");
    const char *bad = path_in(scratch_folder(), "i.json");
    put_text(bad, "{\"model_type\": \"llama\"");
    refuse(bad, "i.json");
    put_text(bad, "{\"model_type\": \"gpt\", \"offramp_shape\": {\"dtype\": \"f32\"}}");
    refuse(bad, "model type \"gpt\"");
    put_text(bad,
             "{\"model_type\": \"llama\", \"hidden_size\": 48, \"intermediate_size\": 64, "
             "\"num_hidden_layers\": 1, "
             "\"num_attention_heads\": 4, \"vocab_size\": 32, \"offramp_shape\": {\"dtype\": \"q4_0\"}}");
    refuse(bad, "would have 48 columns, q4_0 needs a multiple of 32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shape_has_the_tensors_of_its_family),
        cmocka_unit_test(the_shapes_that_ship_are_those_of_the_models),
        cmocka_unit_test(words_behind_the_name_change_the_shape),
        cmocka_unit_test(weights_are_the_same_every_time),
        cmocka_unit_test(every_type_gives_sane_numbers),
        cmocka_unit_test(shared_layers_are_one_in_memory),
        cmocka_unit_test(a_plan_counts_shared_layers_once),
        cmocka_unit_test(bad_shapes_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
