/* test_model.c - a stage's part of a model: any split, company, storage type, shards and tied heads give
 * the same bits; rotary scaling. */
#include "support.h"

#include "compute.h"
#include "memory.h"
#include "paged.h"
#include "threads.h"
#include "tiny_model.h"

#include <offramp/model.h>

#include <unistd.h>

enum { TOKENS = 9 };
static const int32_t prompt[TOKENS] = {1, 5, 9, 30, 2, 7, 7, 31, 0};

/* Logits at the last row of `n` tokens, through the parts that `bounds` (ended by L) describe. */
static void run_parts(const char *folder, const int *bounds, const int32_t *tokens, int n, float *logits)
{
    float hidden[64 * TINY_WIDTH];
    const or_span span = {.first = 0, .count = n};
    for (int first = 0; first < TINY_LAYERS; bounds++) {
        or_model *model;
        assert_ok(or_model_open(folder, first, *bounds, &model));
        if (first == 0) assert_ok(or_model_embed(model, tokens, (size_t)n, 0, hidden));
        for (int layer = first; layer < *bounds; layer++)
            assert_ok(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
        if (*bounds == TINY_LAYERS)
            assert_ok(or_model_logits(model, hidden + (n - 1) * TINY_WIDTH, 1, logits));
        first = *bounds;
        or_model_close(model);
    }
}

static void run_whole(const char *folder, float *logits)
{
    run_parts(folder, (int[]){TINY_LAYERS}, prompt, TOKENS, logits);
}

static void any_split_gives_the_same_bits(void **state)
{
    (void)state;
    const char *folder = tiny_folder("BF16", tiny_config);
    float whole[TINY_VOCAB], parts[TINY_VOCAB];
    run_whole(folder, whole);
    const int splits[][4] = {{1, 4}, {3, 4}, {2, 3, 4}, {1, 2, 3, 4}};
    for (size_t i = 0; i < 4; i++) {
        run_parts(folder, splits[i], prompt, TOKENS, parts);
        assert_memory_equal(whole, parts, sizeof whole);
    }
}

static void company_does_not_matter(void **state)
{
    (void)state;
    const char *folder = tiny_folder("BF16", tiny_config);
    float alone[TINY_VOCAB], logits[TINY_VOCAB], hidden[30 * TINY_WIDTH];
    run_whole(folder, alone);
    or_model *model;
    assert_ok(or_model_open(folder, 0, TINY_LAYERS, &model));
    for (int before = 0; before < 20; before += 3) {
        int32_t tokens[30] = {3, 8, 4};
        memcpy(tokens + before, prompt, sizeof prompt);
        const or_span spans[] = {{.first = 0, .count = before},
                                 {.first = before, .count = TOKENS},
                                 {.first = before + TOKENS, .count = 1}};
        const size_t skip = before == 0; /* no empty spans */
        assert_ok(or_model_embed(model, tokens, (size_t)before + TOKENS + 1, 0, hidden));
        for (int layer = 0; layer < TINY_LAYERS; layer++)
            assert_ok(or_model_layer(model, layer, spans + skip, 3 - skip, NULL, hidden, NULL));
        assert_ok(or_model_logits(model, hidden + (before + TOKENS - 1) * TINY_WIDTH, 1, logits));
        assert_memory_equal(alone, logits, sizeof alone);
    }
    or_model_close(model);
}

/* ---- the demo model: wider than one vector, many layers ---- */

enum { DEMO_LAYERS = 16, DEMO_WIDTH = 128, DEMO_VOCAB = 4096, DEMO_ROWS = 64 };

/* Through the parts that `bounds` (ended by L) describe; logits at the last row of each span. With taps,
 * those of the last layer go to `taps`. */
static void run_demo(const int *bounds, const int32_t *tokens, const or_span *spans, size_t n_spans,
                     const or_model_taps *taps, float *logits)
{
    float hidden[DEMO_ROWS * DEMO_WIDTH], last[4 * DEMO_WIDTH];
    const size_t rows = (size_t)(spans[n_spans - 1].first + spans[n_spans - 1].count);
    for (int first = 0; first < DEMO_LAYERS; first = *bounds++) {
        or_model *model;
        assert_ok(or_model_open(source_path("configs/demo/model"), first, *bounds, &model));
        assert_int_equal(or_model_first(model), first);
        assert_int_equal(or_model_last(model), *bounds);
        if (first == 0) assert_ok(or_model_embed(model, tokens, rows, 0, hidden));
        for (int layer = first; layer < *bounds; layer++)
            assert_ok(or_model_layer(model, layer, spans, n_spans, NULL, hidden, taps));
        if (*bounds == DEMO_LAYERS) {
            or_gather_last(spans, n_spans, hidden, DEMO_WIDTH, last);
            assert_ok(or_model_logits(model, last, n_spans, logits));
        }
        or_model_close(model);
    }
}

static void demo_tokens(int32_t *tokens)
{
    uint64_t seed = 12;
    for (size_t i = 0; i < DEMO_ROWS; i++) tokens[i] = (int32_t)(random_bits(&seed) % DEMO_VOCAB);
}

static void demo_gives_the_same_bits_in_any_split(void **state)
{
    (void)state;
    static const int splits[][5] = {{16}, {8, 16}, {1, 4, 9, 15, 16}};
    static const char *const sets[] = {"reference", NULL};
    const or_span spans[] = {{.first = 0, .count = 9}, {.first = 9, .count = 1}, {.first = 10, .count = 30}};
    int32_t tokens[DEMO_ROWS];
    float *whole = or_alloc(3 * DEMO_VOCAB, sizeof *whole), *parts = or_alloc(3 * DEMO_VOCAB, sizeof *parts);
    demo_tokens(tokens);
    for (size_t set = 0; set < 2; set++) {
        assert_ok(or_kernels_use(sets[set]));
        or_threads_set(1);
        run_demo(splits[0], tokens, spans, 3, NULL, whole);
        for (int i = 0; i < 6; i++) {
            or_threads_set(1 + i / 3);
            run_demo(splits[i % 3], tokens, spans, 3, NULL, parts);
            assert_memory_equal(whole, parts, 3 * DEMO_VOCAB * sizeof *whole);
        }
    }
    assert_ok(or_kernels_use(NULL));
    free(whole), free(parts);
}

/* The same prompt alone and between two others, logits and taps. */
static void demo_requests_do_not_depend_on_company(void **state)
{
    (void)state;
    enum { N = 23 };
    const int all[] = {DEMO_LAYERS};
    int32_t tokens[DEMO_ROWS], other[DEMO_ROWS];
    float *alone = or_alloc(DEMO_VOCAB, sizeof *alone), *logits = or_alloc(3 * DEMO_VOCAB, sizeof *logits);
    float attn[DEMO_WIDTH], mlp[DEMO_WIDTH], attns[3 * DEMO_WIDTH], mlps[3 * DEMO_WIDTH];
    demo_tokens(tokens);
    or_threads_set(1);
    run_demo(all, tokens, &(or_span){.first = 0, .count = N}, 1, &(or_model_taps){attn, mlp}, alone);
    run_demo(all, tokens, &(or_span){.first = 0, .count = N}, 1, NULL,
             logits); /* looking on changes nothing */
    assert_memory_equal(alone, logits, DEMO_VOCAB * sizeof *alone);
    or_threads_set(2);
    for (int before = 1; before < 38; before += 9) {
        const or_span spans[] = {
            {.first = 0, .count = before}, {.first = before, .count = N}, {.first = before + N, .count = 3}};
        demo_tokens(other);
        memcpy(other + before, tokens, N * sizeof *tokens);
        run_demo(all, other, spans, 3, &(or_model_taps){attns, mlps}, logits);
        assert_memory_equal(alone, logits + DEMO_VOCAB, DEMO_VOCAB * sizeof *alone);
        assert_memory_equal(attn, attns + DEMO_WIDTH, sizeof attn);
        assert_memory_equal(mlp, mlps + DEMO_WIDTH, sizeof mlp);
        assert_true(memcmp(alone, logits, DEMO_VOCAB * sizeof *alone) != 0); /* the others are others */
    }
    free(alone), free(logits);
}

/* ---- keys and values in pages ---- */

static void pieces_give_the_same_bits(void **state)
{
    (void)state;
    static const char *const sets[] = {"reference", NULL};
    for (size_t set = 0; set < 2; set++) {
        or_model *model;
        assert_ok(or_kernels_use(sets[set]));
        assert_ok(or_model_open(tiny_folder("BF16", tiny_config), 0, TINY_LAYERS, &model));
        check_pages(model, 61);
        or_model_close(model);
        assert_ok(or_model_open(source_path("configs/demo/model"), 0, 3, &model));
        check_pages(model, 101);
        or_model_close(model);
    }
}

/* Rotary tables reach the last position, not only the last row. */
static void far_positions_give_the_same_bits(void **state)
{
    (void)state;
    or_model *model;
    for (int chunk = 100; chunk <= 300; chunk += 200) {
        assert_ok(or_model_open(source_path("configs/demo/model"), 0, 1, &model));
        check_chunks(model, 800, chunk);
        or_model_close(model);
    }
}

/* ---- folders that hold the same model ---- */

static void storage_does_not_matter(void **state)
{
    (void)state;
    float bf16[TINY_VOCAB], other[TINY_VOCAB];
    assert_ok(or_kernels_use("reference")); /* others may round x as the weights' type asks */
    run_whole(tiny_folder("BF16", tiny_config), bf16);
    run_whole(tiny_folder("F32", tiny_config), other);
    assert_memory_equal(bf16, other, sizeof bf16);
    run_whole(tiny_folder("F16", tiny_config), other);
    assert_memory_equal(bf16, other, sizeof bf16);
    assert_ok(or_kernels_use(NULL));
}

static void shards_are_one_model(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    tiny_file *file = malloc(sizeof *file);
    char index[1 << 14];
    size_t size = (size_t)sprintf(index, "{\"weight_map\": {\"model.norm.weight\": \"b.safetensors\", "
                                         "\"lm_head.weight\": \"b.safetensors\", "
                                         "\"model.embed_tokens.weight\": \"a.safetensors\"");
    for (int layer = 0; layer < TINY_LAYERS; layer++) {
        static const char *const names[] = {
            "input_layernorm",  "post_attention_layernorm", "self_attn.q_proj", "self_attn.k_proj",
            "self_attn.v_proj", "self_attn.o_proj",         "mlp.gate_proj",    "mlp.up_proj",
            "mlp.down_proj"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            size += (size_t)sprintf(index + size, ", \"model.layers.%d.%s.weight\": \"%c.safetensors\"",
                                    layer, names[i], layer < 2 ? 'a' : 'b');
    }
    sprintf(index + size, "}}");
    tiny_begin(file);
    tiny_add(file, "model.embed_tokens.weight", "BF16", TINY_VOCAB, TINY_WIDTH);
    tiny_add_layer(file, 0, "BF16");
    tiny_add_layer(file, 1, "F32");
    tiny_end(file, path_in(folder, "a.safetensors"));
    tiny_begin(file);
    tiny_add_layer(file, 2, "F16");
    tiny_add_layer(file, 3, "BF16");
    tiny_add(file, "model.norm.weight", "F32", TINY_WIDTH, 0);
    tiny_add(file, "lm_head.weight", "BF16", TINY_VOCAB, TINY_WIDTH);
    tiny_end(file, path_in(folder, "b.safetensors"));
    free(file);
    put_text(path_in(folder, "config.json"), tiny_config);
    put_text(path_in(folder, "model.safetensors.index.json"), index);
    float whole[TINY_VOCAB], sharded[TINY_VOCAB];
    assert_ok(or_kernels_use("reference")); /* others may round x as the weights' type asks */
    run_whole(tiny_folder("BF16", tiny_config), whole);
    run_whole(folder, sharded);
    assert_memory_equal(whole, sharded, sizeof whole);
    assert_ok(or_kernels_use(NULL));

    or_model *model;
    assert_int_equal(unlink(path_in(folder, "b.safetensors")), 0);
    assert_fails(or_model_open(folder, 0, 4, &model), OR_ERR_INPUT, "b.safetensors");
}

/* A tied model stores one of the two tensors, under either name. */
static const char *tied_folder(const char *stored, bool tied)
{
    const char *folder = scratch_folder();
    tiny_file *file = malloc(sizeof *file);
    char config[1024];
    tiny_begin(file);
    tiny_add(file, "TIED", "BF16", TINY_VOCAB, TINY_WIDTH); /* the same numbers, then named */
    char *at = strstr(file->header, "TIED");
    memmove(at + strlen(stored), at + 4, strlen(at + 4) + 1);
    memcpy(at, stored, strlen(stored));
    file->header_size = strlen(file->header);
    for (int layer = 0; layer < TINY_LAYERS; layer++) tiny_add_layer(file, layer, "BF16");
    tiny_add(file, "model.norm.weight", "BF16", TINY_WIDTH, 0);
    tiny_end(file, path_in(folder, "model.safetensors"));
    snprintf(config, sizeof config, "%s", tiny_config);
    at = strstr(config, "\"tie_word_embeddings\": false");
    if (tied) memcpy(at, "\"tie_word_embeddings\":  true", 28);
    put_text(path_in(folder, "config.json"), config);
    free(file);
    return folder;
}

static void tied_heads_have_either_name(void **state)
{
    (void)state;
    float embedding[TINY_VOCAB], head[TINY_VOCAB];
    or_model *model;
    run_whole(tied_folder("model.embed_tokens.weight", true), embedding);
    run_whole(tied_folder("lm_head.weight", true), head);
    assert_memory_equal(embedding, head, sizeof head);
    assert_fails(or_model_open(tied_folder("model.embed_tokens.weight", false), 0, 4, &model), OR_ERR_INPUT,
                 "lm_head.weight");
    assert_fails(or_model_open(tied_folder("lm_head.weight", false), 0, 4, &model), OR_ERR_INPUT,
                 "model.embed_tokens.weight");
    assert_ok(
        or_model_open(tied_folder("lm_head.weight", false), 1, 4, &model)); /* has no use for the embedding */
    or_model_close(model);
}

static const char *scaled_folder(const char *scaling)
{
    char config[1024];
    const char *at = strstr(tiny_config, "null");
    snprintf(config, sizeof config, "%.*s%s%s", (int)(at - tiny_config), tiny_config, scaling, at + 4);
    return tiny_folder("BF16", config);
}

static void rope_scaling_changes_later_positions(void **state)
{
    (void)state;
    static const char *const scalings[] = {
        "{\"type\": \"linear\", \"factor\": 2.0}",
        "{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
        "\"original_max_position_embeddings\": 16}"};
    float plain[TINY_VOCAB], scaled[TINY_VOCAB];
    for (size_t i = 0; i < 2; i++) {
        const char *folder = scaled_folder(scalings[i]);
        run_parts(tiny_folder("BF16", tiny_config), (int[]){4}, prompt, 1, plain);
        run_parts(folder, (int[]){4}, prompt, 1, scaled);
        assert_memory_equal(plain, scaled, sizeof plain); /* position 0 is not turned */
        run_parts(tiny_folder("BF16", tiny_config), (int[]){4}, prompt, TOKENS, plain);
        run_parts(folder, (int[]){4}, prompt, TOKENS, scaled);
        assert_true(memcmp(plain, scaled, sizeof plain) != 0);
    }
}

/* Where a stretched frequency is known: head_dim is 4, so wavelengths are 2 pi and 200 pi. */
static void rope_scaling_stretches_what_it_should(void **state)
{
    (void)state;
    static const struct {
        const char *scaling, *same; /* NULL: plain */
    } cases[] = {{"{\"type\": \"linear\", \"factor\": 1.0}", NULL},
                 /* every wavelength is short against the context: left as it is */
                 {"{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                  "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192}",
                  NULL},
                 /* every wavelength is long: all are divided, as by linear */
                 {"{\"rope_type\": \"llama3\", \"factor\": 8.0, \"low_freq_factor\": 1.0, "
                  "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 2}",
                  "{\"type\": \"linear\", \"factor\": 8.0}"}};
    float expected[TINY_VOCAB], scaled[TINY_VOCAB];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_whole(cases[i].same ? scaled_folder(cases[i].same) : tiny_folder("BF16", tiny_config), expected);
        run_whole(scaled_folder(cases[i].scaling), scaled);
        assert_memory_equal(expected, scaled, sizeof scaled);
    }
}

static void ranges_are_checked(void **state)
{
    (void)state;
    const char *folder = tiny_folder("BF16", tiny_config);
    or_model *model;
    assert_fails(or_model_open(folder, 0, 5, &model), OR_ERR_USAGE, "the model has 4");
    assert_fails(or_model_open(folder, 2, 2, &model), OR_ERR_USAGE, "wrong layer range");
    assert_fails(or_model_open(folder, 0, 0, &model), OR_ERR_USAGE, "wrong layer range");
    assert_ok(or_model_check(folder, NULL));
    assert_fails(or_model_check(path_in(folder, "none"), NULL), OR_ERR_INPUT, "No such file");
    assert_fails(or_model_open(folder, -1, 2, &model), OR_ERR_USAGE, "wrong layer range");
    assert_fails(or_model_open(folder, 3, 2, &model), OR_ERR_USAGE, "wrong layer range");
    assert_fails(or_model_open(folder, 4, 5, &model), OR_ERR_USAGE, "asked for layers 5..5");
    assert_fails(or_model_open(path_in(folder, "none"), 0, 4, &model), OR_ERR_INPUT, "No such file");
    or_model_close(NULL);
    uint64_t fingerprint;
    assert_ok(or_model_open(folder, 0, 1, &model));
    fingerprint = or_model_fingerprint(model);
    or_model_close(model);
    assert_ok(or_model_open(folder, 3, 4, &model));
    assert_true(fingerprint == or_model_fingerprint(model)); /* equal on all ranks */
    or_model_close(model);
}

static void macs_are_counted(void **state)
{
    (void)state;
    or_hparams h = {.d_model = 4,
                    .d_embed = 4,
                    .gated_ff = true,
                    .n_heads = 2,
                    .n_kv_heads = 1,
                    .head_dim = 3,
                    .d_ff = 5,
                    .n_vocab = 7};
    /* q 4x6, k and v 4x3, o 6x4, three of 4x5: 132 per token; pairs (1 + 2 + 3) x 2 heads x 3 x 2 */
    assert_near(or_hparams_layer_macs(&h, 3), 3 * 132 + 6 * 12, 0);
    assert_near(or_hparams_rows_macs(&h, 0, 3), 3 * 132 + 6 * 12, 0);
    assert_near(or_hparams_rows_macs(&h, 10, 2), 2 * 132 + (11 + 12) * 12, 0);
    assert_near(or_hparams_project_macs(&h), 24, 0);
    assert_near(or_hparams_head_macs(&h), 28, 0);
    h.gated_ff = false;
    h.d_embed = 3; /* 4x3 to narrow a row, then 3x7 */
    assert_near(or_hparams_layer_macs(&h, 3), 3 * 112 + 6 * 12, 0);
    assert_near(or_hparams_head_macs(&h), 33, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_split_gives_the_same_bits),
        cmocka_unit_test(company_does_not_matter),
        cmocka_unit_test(demo_gives_the_same_bits_in_any_split),
        cmocka_unit_test(demo_requests_do_not_depend_on_company),
        cmocka_unit_test(pieces_give_the_same_bits),
        cmocka_unit_test(far_positions_give_the_same_bits),
        cmocka_unit_test(storage_does_not_matter),
        cmocka_unit_test(shards_are_one_model),
        cmocka_unit_test(tied_heads_have_either_name),
        cmocka_unit_test(rope_scaling_changes_later_positions),
        cmocka_unit_test(rope_scaling_stretches_what_it_should),
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(macs_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
