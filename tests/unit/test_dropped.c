/* test_dropped.c - checkpoints without some of their layers: which tensors the layers that are left have, in
 * every format, what is counted, and lists that are refused. */
#include "support.h"

#include "tiny_gguf.h"

#include <offramp/checkpoint.h>
#include <offramp/model.h>

static or_checkpoint *without(const char *path, const char *layers)
{
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open_without(path, layers, &checkpoint));
    return checkpoint;
}

/* The tensor of a layer (from 0) that Hugging Face's name asks for is the one that the file calls `own`. */
static void check_name(const or_checkpoint *checkpoint, int layer, const char *pattern, const char *own)
{
    char name[128];
    snprintf(name, sizeof name, pattern, layer);
    const or_tensor *tensor = or_checkpoint_find(checkpoint, name);
    assert_non_null(tensor);
    assert_string_equal(tensor->name, own);
}

static const char up[] = "model.layers.%d.mlp.up_proj.weight";

static void layers_that_are_left_count_anew(void **state)
{
    (void)state;
    or_checkpoint *c = without(tiny_folder("BF16", tiny_config), "3,1");
    const or_tensor *tensor;
    assert_int_equal(or_checkpoint_hparams(c)->n_layers, 2);
    check_name(c, 0, up, "model.layers.1.mlp.up_proj.weight");
    check_name(c, 1, up, "model.layers.3.mlp.up_proj.weight");
    assert_null(or_checkpoint_find(c, "model.layers.2.mlp.up_proj.weight"));
    assert_string_equal(or_checkpoint_find(c, "model.norm.weight")->name, "model.norm.weight");
    /* a message names what is in the file */
    assert_fails(or_checkpoint_require(c, "model.layers.1.mlp.up_proj.weight", 5, 16, &tensor), OR_ERR_INPUT,
                 "\"model.layers.3.mlp.up_proj.weight\"");
    assert_fails(or_checkpoint_require(c, "model.layers.1.bias", 5, 0, &tensor), OR_ERR_INPUT,
                 "\"model.layers.3.bias\"");
    or_checkpoint_close(c);
}

static void the_numbers_of_gguf_files_do_so_too(void **state)
{
    (void)state;
    tiny_gguf *m = tiny_gguf_new(OR_F32, 4);
    or_checkpoint *c = without(tiny_gguf_put(m), "1,2");
    check_name(c, 0, up, "blk.2.ffn_up.weight");
    check_name(c, 1, up, "blk.3.ffn_up.weight");
    assert_string_equal(or_checkpoint_find(c, "model.embed_tokens.weight")->name, "token_embd.weight");
    free(m);
    or_checkpoint_close(c);
}

/* The weights of a shape's first layer are those of all, also where that one is dropped. */
static void shapes_share_what_they_shared(void **state)
{
    (void)state;
    char path[4096];
    const void *first, *second;
    snprintf(path, sizeof path, "%s,layers=3,share_layers",
             source_path("configs/models/tinyllama-1.1b.json"));
    or_checkpoint *c = without(path, "1");
    assert_ok(or_checkpoint_map(c, or_checkpoint_find(c, "model.layers.0.input_layernorm.weight"), &first));
    assert_ok(or_checkpoint_map(c, or_checkpoint_find(c, "model.layers.1.input_layernorm.weight"), &second));
    assert_ptr_equal(first, second);
    or_checkpoint_close(c);
}

static void what_is_dropped_takes_nothing(void **state)
{
    (void)state;
    const char *folder = tiny_folder("BF16", tiny_config);
    or_checkpoint *all = without(folder, NULL), *less = without(folder, "2");
    or_shares whole, part;
    assert_ok(or_checkpoint_shares(all, &whole));
    assert_ok(or_checkpoint_shares(less, &part));
    assert_int_equal(whole.total - part.total, whole.layers[1]);
    assert_int_equal((whole.parameters - part.parameters) * 2, whole.layers[1]);
    for (int layer = 0; layer < 3; layer++) assert_int_equal(part.layers[layer], whole.layers[layer]);
    assert_int_equal(part.other, whole.other);
    or_shares_free(&whole);
    or_shares_free(&part);
    or_checkpoint_close(all);
    or_checkpoint_close(less);
}

/* By the set, not by the order in which it is named. */
static void fingerprints_tell_sets_apart(void **state)
{
    (void)state;
    static const char *const sets[] = {NULL, "1", "2", "1,2", "1,3", "2,1"};
    enum { SETS = sizeof sets / sizeof *sets };
    const char *folder = tiny_folder("BF16", tiny_config);
    uint64_t prints[SETS];
    for (int i = 0; i < SETS; i++) {
        or_checkpoint *c = without(folder, sets[i]);
        prints[i] = or_checkpoint_fingerprint(c);
        or_checkpoint_close(c);
    }
    for (int i = 0; i < SETS; i++)
        for (int j = 0; j < i; j++) assert_int_equal(prints[i] == prints[j], i == 5 && j == 3);
}

/* A part of a model without layers 1 and 3 runs layers 2 and 4. */
static void models_run_the_layers_that_are_left(void **state)
{
    (void)state;
    static const int32_t tokens[3] = {1, 5, 30};
    const or_span span = {.count = 3};
    const char *folder = tiny_folder("F32", tiny_config);
    float whole[3 * TINY_WIDTH], part[3 * TINY_WIDTH];
    or_model *all, *less;
    assert_ok(or_model_open(folder, 0, TINY_LAYERS, &all));
    const or_model_options without = {.without = "1,3"};
    assert_ok(or_model_open_with(folder, &without, 0, 2, &less));
    assert_ok(or_model_embed(all, tokens, 3, 0, whole));
    memcpy(part, whole, sizeof part);
    for (int layer = 0; layer < 2; layer++) {
        assert_ok(or_model_layer(all, 2 * layer + 1, &span, 1, NULL, whole, NULL));
        assert_ok(or_model_layer(less, layer, &span, 1, NULL, part, NULL));
        assert_memory_equal(whole, part, sizeof whole);
    }
    assert_true(or_model_fingerprint(all) != or_model_fingerprint(less));
    assert_true(or_model_bytes(less) < or_model_bytes(all));
    or_model_close(all);
    or_model_close(less);
    assert_fails(or_model_open_with(folder, &without, 0, 3, &less), OR_ERR_USAGE, "the model has 2");
    assert_ok(or_model_check(folder, "1,3"));
}

static void lists_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *layers, *part;
    } bad[] = {
        {"", "found \"\", expected numbers"},
        {"1,", "found \"\", expected numbers"},
        {"x", "found \"x\""},
        {"1;2", "found \"1;2\""},
        {"+1", "found \"+1\""},
        {" 1", "found \" 1\""},
        {"0", "found layer 0, the model has 1..4"},
        {"1,5", "found layer 5, the model has 1..4"},
        {"99999999999999999999", "found layer 99999999999999999999, the model has 1..4"},
        {"4,2,4", "found layer 4 twice"},
        {"1,2,3,4", "all layers"},
    };
    const char *folder = tiny_folder("BF16", tiny_config);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        or_checkpoint *checkpoint;
        assert_fails(or_checkpoint_open_without(folder, bad[i].layers, &checkpoint), OR_ERR_USAGE,
                     bad[i].part);
        assert_null(checkpoint);
    }
    or_checkpoint *one = without(folder, "1,2,4");
    check_name(one, 0, up, "model.layers.2.mlp.up_proj.weight");
    or_checkpoint_close(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_that_are_left_count_anew),
        cmocka_unit_test(the_numbers_of_gguf_files_do_so_too),
        cmocka_unit_test(shapes_share_what_they_shared),
        cmocka_unit_test(what_is_dropped_takes_nothing),
        cmocka_unit_test(fingerprints_tell_sets_apart),
        cmocka_unit_test(models_run_the_layers_that_are_left),
        cmocka_unit_test(lists_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
