/* test_opt.c - the OPT family: both layouts against a slow forward pass in double precision, names and
 * variants of checkpoints, splits and company. (tests/cli/test_lens.sh has transformers' numbers.) */
#include "support.h"

#include "compute.h"
#include "paged.h"
#include "threads.h"
#include "tiny_model.h"

#include <offramp/model.h>

#include <math.h>

enum { LAYERS = 3, WIDTH = 16, HEADS = 4, HEAD = 4, FF = 24, VOCAB = 32, CONTEXT = 64, TOKENS = 9 };
static const int32_t prompt[TOKENS] = {2, 5, 9, 30, 2, 7, 7, 31, 0};

/* A tiny OPT model; what is 0 is as in the smallest one of the pre-norm layout. */
typedef struct recipe {
    bool post_norm, no_final_norm, no_biases, own_head;
    int d_embed; /* 0: WIDTH */
    const char *prefix, *type;
    const char *left_out, *widened; /* a tensor (without prefix) that is not there, that has one row more */
    const char *config;             /* NULL: as above says */
} recipe;

static const recipe pre = {0}, post = {.post_norm = true, .d_embed = 8};
static const recipe variants[] = {
    {0},
    {.post_norm = true, .d_embed = 8},
    {.no_biases = true, .own_head = true},
    {.no_final_norm = true, .d_embed = 24},
    {.post_norm = true, .no_biases = true, .own_head = true, .d_embed = 12},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static int embed_width(const recipe *r)
{
    return r->d_embed ? r->d_embed : WIDTH;
}

static bool has_final_norm(const recipe *r)
{
    return !r->post_norm && !r->no_final_norm;
}

/* ---- the folder --------------------------------------------------------------------------------------- */

static void add(tiny_file *file, const recipe *r, const char *name, int rows, int columns)
{
    char whole[128];
    const bool head = strcmp(name, "lm_head.weight") == 0; /* has no prefix in either naming */
    if (r->left_out && strcmp(r->left_out, name) == 0) return;
    if (r->widened && strcmp(r->widened, name) == 0) rows++;
    snprintf(whole, sizeof whole, "%s%s", head ? "" : r->prefix ? r->prefix : "model.", name);
    tiny_add(file, whole, r->type ? r->type : "BF16", rows, columns);
}

/* A matrix or norm (columns 0) with its bias. */
static void add_pair(tiny_file *file, const recipe *r, const char *stem, int rows, int columns)
{
    char name[96];
    snprintf(name, sizeof name, "%s.weight", stem);
    add(file, r, name, rows, columns);
    snprintf(name, sizeof name, "%s.bias", stem);
    if (columns == 0 || !r->no_biases) add(file, r, name, rows, 0);
}

static void add_layer(tiny_file *file, const recipe *r, int layer)
{
    static const struct {
        const char *part;
        int rows, columns;
    } parts[] = {{"self_attn.q_proj", WIDTH, WIDTH},
                 {"self_attn.k_proj", WIDTH, WIDTH},
                 {"self_attn.v_proj", WIDTH, WIDTH},
                 {"self_attn.out_proj", WIDTH, WIDTH},
                 {"self_attn_layer_norm", WIDTH, 0},
                 {"fc1", FF, WIDTH},
                 {"fc2", WIDTH, FF},
                 {"final_layer_norm", WIDTH, 0}};
    char stem[64];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(stem, sizeof stem, "decoder.layers.%d.%s", layer, parts[i].part);
        add_pair(file, r, stem, parts[i].rows, parts[i].columns);
    }
}

static void put_config(const recipe *r, char config[1024])
{
    snprintf(
        config, 1024,
        "{\"model_type\": \"opt\", \"activation_function\": \"relu\", \"hidden_size\": 16, \"ffn_dim\": 24, "
        "\"num_hidden_layers\": 3, \"num_attention_heads\": 4, \"vocab_size\": 32, "
        "\"max_position_embeddings\": 64, \"word_embed_proj_dim\": %d, \"do_layer_norm_before\": %s, "
        "\"_remove_final_layer_norm\": %s, \"enable_bias\": %s, \"tie_word_embeddings\": %s, "
        "\"layer_norm_elementwise_affine\": true, \"bos_token_id\": 2, \"eos_token_id\": 2}",
        embed_width(r), r->post_norm ? "false" : "true", r->no_final_norm ? "true" : "false",
        r->no_biases ? "false" : "true", r->own_head ? "false" : "true");
}

static void put_model(const char *folder, const recipe *r)
{
    tiny_file *file = malloc(sizeof *file);
    char config[1024];
    tiny_begin(file);
    add(file, r, "decoder.embed_tokens.weight", VOCAB, embed_width(r));
    add(file, r, "decoder.embed_positions.weight", CONTEXT + 2, WIDTH);
    for (int layer = 0; layer < LAYERS; layer++) add_layer(file, r, layer);
    if (has_final_norm(r)) add_pair(file, r, "decoder.final_layer_norm", WIDTH, 0);
    if (embed_width(r) != WIDTH) {
        add(file, r, "decoder.project_in.weight", WIDTH, embed_width(r));
        add(file, r, "decoder.project_out.weight", embed_width(r), WIDTH);
    }
    if (r->own_head) add(file, r, "lm_head.weight", VOCAB, embed_width(r));
    tiny_end(file, path_in(folder, "model.safetensors"));
    put_config(r, config);
    put_text(path_in(folder, "config.json"), r->config ? r->config : config);
    free(file);
}

static const char *opt_folder(const recipe *r)
{
    const char *folder = scratch_folder();
    put_model(folder, r);
    return folder;
}

/* ---- the slow forward pass ---------------------------------------------------------------------------- */

/* y[rows] = W x + b */
static void multiply(const char *stem, int rows, int columns, bool bias, const double *x, double *y)
{
    char name[96];
    float w[VOCAB * 24], b[VOCAB];
    snprintf(name, sizeof name, "%s.weight", stem);
    tiny_values(name, false, (size_t)(rows * columns), w);
    snprintf(name, sizeof name, "%s.bias", stem);
    tiny_values(name, true, (size_t)rows, b);
    for (int i = 0; i < rows; i++) {
        y[i] = bias ? b[i] : 0;
        for (int j = 0; j < columns; j++) y[i] += w[i * columns + j] * x[j];
    }
}

static void normalise(const char *stem, const double *x, double *y)
{
    char name[96];
    float w[WIDTH], b[WIDTH];
    double mean = 0, variance = 0;
    snprintf(name, sizeof name, "%s.weight", stem);
    tiny_values(name, true, WIDTH, w);
    snprintf(name, sizeof name, "%s.bias", stem);
    tiny_values(name, true, WIDTH, b);
    for (int i = 0; i < WIDTH; i++) mean += x[i] / WIDTH;
    for (int i = 0; i < WIDTH; i++) variance += (x[i] - mean) * (x[i] - mean) / WIDTH;
    for (int i = 0; i < WIDTH; i++) y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * w[i] + b[i];
}

static void embed_slowly(const recipe *r, double hidden[TOKENS][WIDTH])
{
    const int d_embed = embed_width(r);
    float words[VOCAB * 24], positions[(CONTEXT + 2) * WIDTH];
    tiny_values("decoder.embed_tokens.weight", false, (size_t)(VOCAB * d_embed), words);
    tiny_values("decoder.embed_positions.weight", false, (CONTEXT + 2) * WIDTH, positions);
    for (int t = 0; t < TOKENS; t++) {
        double word[24];
        for (int i = 0; i < d_embed; i++) word[i] = words[prompt[t] * d_embed + i];
        if (d_embed == WIDTH)
            memcpy(hidden[t], word, sizeof hidden[t]);
        else
            multiply("decoder.project_in", WIDTH, d_embed, false, word, hidden[t]);
        for (int i = 0; i < WIDTH; i++) hidden[t][i] += positions[(t + 2) * WIDTH + i];
    }
}

/* out[t] = attention of position t over 0..t, before the output projection */
static void attend_slowly(double q[TOKENS][WIDTH], double k[TOKENS][WIDTH], double v[TOKENS][WIDTH], int t,
                          double *out)
{
    for (int head = 0; head < WIDTH; head += HEAD) {
        double share[TOKENS], sum = 0;
        for (int s = 0; s <= t; s++) {
            double dot = 0;
            for (int i = 0; i < HEAD; i++) dot += q[t][head + i] * k[s][head + i];
            sum += share[s] = exp(dot / sqrt(HEAD));
        }
        for (int i = 0; i < HEAD; i++) {
            out[head + i] = 0;
            for (int s = 0; s <= t; s++) out[head + i] += share[s] / sum * v[s][head + i];
        }
    }
}

/* One layer over hidden; attn and mlp are what it adds at the last position. */
static void layer_slowly(const recipe *r, int layer, double hidden[TOKENS][WIDTH], double *attn, double *mlp)
{
    double x[TOKENS][WIDTH], q[TOKENS][WIDTH], k[TOKENS][WIDTH], v[TOKENS][WIDTH], mixed[WIDTH], up[FF];
    char stem[8][64];
    static const char *const parts[] = {"self_attn.q_proj",
                                        "self_attn.k_proj",
                                        "self_attn.v_proj",
                                        "self_attn.out_proj",
                                        "self_attn_layer_norm",
                                        "fc1",
                                        "fc2",
                                        "final_layer_norm"};
    for (int i = 0; i < 8; i++) snprintf(stem[i], sizeof stem[i], "decoder.layers.%d.%s", layer, parts[i]);
    for (int t = 0; t < TOKENS; t++) {
        memcpy(x[t], hidden[t], sizeof x[t]);
        if (!r->post_norm) normalise(stem[4], hidden[t], x[t]);
        multiply(stem[0], WIDTH, WIDTH, !r->no_biases, x[t], q[t]);
        multiply(stem[1], WIDTH, WIDTH, !r->no_biases, x[t], k[t]);
        multiply(stem[2], WIDTH, WIDTH, !r->no_biases, x[t], v[t]);
    }
    for (int t = 0; t < TOKENS; t++) {
        attend_slowly(q, k, v, t, mixed);
        multiply(stem[3], WIDTH, WIDTH, !r->no_biases, mixed, attn);
        for (int i = 0; i < WIDTH; i++) hidden[t][i] += attn[i];
        if (r->post_norm) normalise(stem[4], hidden[t], hidden[t]);
        memcpy(x[t], hidden[t], sizeof x[t]);
        if (!r->post_norm) normalise(stem[7], hidden[t], x[t]);
        multiply(stem[5], FF, WIDTH, !r->no_biases, x[t], up);
        for (int i = 0; i < FF; i++) up[i] = fmax(up[i], 0);
        multiply(stem[6], WIDTH, FF, !r->no_biases, up, mlp);
        for (int i = 0; i < WIDTH; i++) hidden[t][i] += mlp[i];
        if (r->post_norm) normalise(stem[7], hidden[t], hidden[t]);
    }
}

static void logits_slowly(const recipe *r, const double *hidden, double *logits)
{
    double normed[WIDTH], narrow[24];
    memcpy(normed, hidden, sizeof normed);
    if (has_final_norm(r)) normalise("decoder.final_layer_norm", hidden, normed);
    memcpy(narrow, normed, sizeof normed);
    if (embed_width(r) != WIDTH)
        multiply("decoder.project_out", embed_width(r), WIDTH, false, normed, narrow);
    multiply(r->own_head ? "lm_head" : "decoder.embed_tokens", VOCAB, embed_width(r), false, narrow, logits);
}

static void compare(const char *what, int layer, const float *got, const double *exact, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - exact[i]) <= 2e-5 * (1 + fabs(exact[i]))))
            fail_msg("%s after layer %d: [%d] is %g, expected %g", what, layer + 1, i, (double)got[i],
                     exact[i]);
}

/* After every layer: the last row, what the layer added, and the logits of a ramp. */
static void layers_are_right(void **state)
{
    (void)state;
    const or_span span = {.first = 0, .count = TOKENS};
    assert_ok(or_kernels_use("reference")); /* others may round x as the weights' type asks */
    for (int i = 0; i < VARIANTS; i++) {
        const recipe *r = &variants[i];
        double exact[TOKENS][WIDTH], attn[WIDTH], mlp[WIDTH], logits[VOCAB];
        float hidden[TOKENS * WIDTH], tap_attn[WIDTH], tap_mlp[WIDTH], ramp[VOCAB];
        float *last = hidden + (TOKENS - 1) * WIDTH;
        or_model *model;
        assert_ok(or_model_open(opt_folder(r), 0, LAYERS, &model));
        assert_ok(or_model_embed(model, prompt, TOKENS, 0, hidden));
        embed_slowly(r, exact);
        compare("embedding", -1, hidden, exact[0], TOKENS * WIDTH);
        for (int layer = 0; layer < LAYERS; layer++) {
            assert_ok(
                or_model_layer(model, layer, &span, 1, NULL, hidden, &(or_model_taps){tap_attn, tap_mlp}));
            layer_slowly(r, layer, exact, attn, mlp);
            compare("hidden state", layer, hidden, exact[0], TOKENS * WIDTH);
            compare("attention", layer, tap_attn, attn, WIDTH);
            compare("feed-forward", layer, tap_mlp, mlp, WIDTH);
            assert_ok(or_model_logits(model, last, 1, ramp));
            logits_slowly(r, exact[TOKENS - 1], logits);
            compare("logit", layer, ramp, logits, VOCAB);
        }
        or_model_close(model);
    }
    assert_ok(or_kernels_use(NULL));
}

/* ---- splits, company, names --------------------------------------------------------------------------- */

/* Logits at the last row of the prompt, through the parts that `bounds` (ended by LAYERS) describe. */
static void run_parts(const char *folder, const int *bounds, float *logits)
{
    float hidden[TOKENS * WIDTH];
    const or_span span = {.first = 0, .count = TOKENS};
    for (int first = 0; first < LAYERS; first = *bounds++) {
        or_model *model;
        assert_ok(or_model_open(folder, first, *bounds, &model));
        if (first == 0) assert_ok(or_model_embed(model, prompt, TOKENS, 0, hidden));
        for (int layer = first; layer < *bounds; layer++)
            assert_ok(or_model_layer(model, layer, &span, 1, NULL, hidden, NULL));
        if (*bounds == LAYERS) assert_ok(or_model_logits(model, hidden + (TOKENS - 1) * WIDTH, 1, logits));
        or_model_close(model);
    }
}

static void run_whole(const char *folder, float *logits)
{
    run_parts(folder, (int[]){LAYERS}, logits);
}

static void any_split_gives_the_same_bits(void **state)
{
    (void)state;
    static const int splits[][3] = {{1, 3}, {2, 3}, {1, 2, 3}};
    for (int i = 0; i < 2; i++) {
        const char *folder = opt_folder(&variants[i]);
        float whole[VOCAB], parts[VOCAB];
        run_whole(folder, whole);
        for (size_t s = 0; s < 3; s++) {
            or_threads_set(1 + (int)(s % 2));
            run_parts(folder, splits[s], parts);
            assert_memory_equal(whole, parts, sizeof whole);
        }
    }
}

/* The prompt among others: at every place of a small wave, and behind more rows than a feed-forward block
 * takes at a time. */
static void company_does_not_matter(void **state)
{
    (void)state;
    enum { MOST = 1200 };
    static const int before[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1024 / 7, MOST / 7};
    static float hidden[(MOST + TOKENS + 1) * WIDTH];
    static or_span spans[MOST + 2];
    for (int i = 0; i < 2; i++) {
        const char *folder = opt_folder(&variants[i]);
        float alone[VOCAB], logits[VOCAB];
        or_model *model;
        run_whole(folder, alone);
        assert_ok(or_model_open(folder, 0, LAYERS, &model));
        for (size_t b = 0; b < sizeof before / sizeof *before; b++) {
            int rows = 0, n = 0;
            for (; n < before[b]; rows += spans[n++].count) /* others of 7 tokens, the first of one */
                spans[n] = (or_span){.first = rows, .count = n == 0 ? 1 : 7};
            spans[n++] = (or_span){.first = rows, .count = TOKENS};
            spans[n++] = (or_span){.first = rows + TOKENS, .count = 1};
            for (int s = 0; s < n; s++)
                assert_ok(or_model_embed(model, s == n - 2 ? prompt : prompt + s % 3, (size_t)spans[s].count,
                                         0, hidden + spans[s].first * WIDTH));
            or_threads_set(1 + (int)(b % 2));
            for (int layer = 0; layer < LAYERS; layer++)
                assert_ok(or_model_layer(model, layer, spans, (size_t)n, NULL, hidden, NULL));
            assert_ok(or_model_logits(model, hidden + (rows + TOKENS - 1) * WIDTH, 1, logits));
            assert_memory_equal(alone, logits, sizeof alone);
        }
        or_model_close(model);
    }
}

/* Through pages; positions are learned, so those of pieces are looked up. */
static void pieces_give_the_same_bits(void **state)
{
    (void)state;
    for (int i = 0; i < VARIANTS; i++) {
        or_model *model;
        assert_ok(or_model_open(opt_folder(&variants[i]), 0, LAYERS, &model));
        check_pages(model, CONTEXT - 1);
        or_model_close(model);
    }
}

/* Names with "model." and without, and another type. */
static void folders_of_one_model_give_the_same_bits(void **state)
{
    (void)state;
    assert_ok(or_kernels_use("reference")); /* others may round x as the weights' type asks */
    for (int i = 0; i < VARIANTS; i++) {
        recipe r = variants[i];
        float expected[VOCAB], got[VOCAB];
        run_whole(opt_folder(&r), expected);
        r.prefix = "";
        run_whole(opt_folder(&r), got);
        assert_memory_equal(expected, got, sizeof got);
        r.type = "F16";
        run_whole(opt_folder(&r), got);
        assert_memory_equal(expected, got, sizeof got);
    }
    assert_ok(or_kernels_use(NULL));
}

static void bytes_are_counted_once(void **state)
{
    (void)state;
    /* bf16; the post-norm layout: embedding (also the head), positions, project_in and project_out, layers */
    const size_t words = 2 * VOCAB * 8, positions = 2 * 66 * WIDTH, project = 2 * WIDTH * 8;
    const size_t layer = 2 * (4 * (WIDTH * WIDTH + WIDTH) + 2 * WIDTH * FF + FF + WIDTH + 4 * WIDTH);
    const char *folder = opt_folder(&post);
    or_model *model;
    assert_ok(or_model_open(folder, 0, 2, &model));
    assert_int_equal(or_model_bytes(model), words + positions + 2 * project + 2 * layer);
    or_model_close(model);
    assert_ok(or_model_open(folder, 2, 3, &model));
    assert_int_equal(or_model_bytes(model), words + project + layer);
    or_model_close(model);
}

/* ---- what is refused ---------------------------------------------------------------------------------- */

static void missing_and_misshapen_tensors_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        const recipe *recipe;
    } cases[] = {
        {"decoder.embed_tokens.weight", &pre},
        {"decoder.embed_positions.weight", &pre},
        {"decoder.final_layer_norm.weight", &pre},
        {"decoder.final_layer_norm.bias", &pre},
        {"decoder.layers.0.self_attn.q_proj.bias", &pre},
        {"decoder.layers.1.self_attn.k_proj.weight", &pre},
        {"decoder.layers.1.self_attn.out_proj.bias", &pre},
        {"decoder.layers.2.fc1.bias", &pre},
        {"decoder.layers.2.fc2.weight", &pre},
        {"decoder.layers.2.self_attn_layer_norm.weight", &post},
        {"decoder.layers.2.final_layer_norm.bias", &post},
        {"decoder.project_in.weight", &post},
        {"decoder.project_out.weight", &post},
    };
    const char *folder = scratch_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        recipe r = *cases[i].recipe;
        or_model *model;
        const bool head = i == 0; /* the head's name is asked for where the embedding is not there */
        r.left_out = cases[i].tensor;
        put_model(folder, &r);
        assert_fails(or_model_open(folder, 0, LAYERS, &model), OR_ERR_INPUT,
                     head ? "lm_head.weight" : cases[i].tensor);
        r.left_out = NULL;
        r.widened = cases[i].tensor;
        put_model(folder, &r);
        assert_fails(or_model_open(folder, 0, LAYERS, &model), OR_ERR_INPUT, cases[i].tensor);
    }
}

/* The config of `base` with the text `from` replaced by `to`; refused with `part` in the message, or (NULL)
 * the same shape as `same`. */
static void try_config(const recipe *base, const char *from, const char *to, const char *part)
{
    static const char *folder;
    char config[1024], other[2048];
    recipe r = *base;
    if (!folder) folder = scratch_folder();
    or_checkpoint *checkpoint;
    put_config(base, config);
    const char *at = strstr(config, from);
    assert_non_null(at);
    snprintf(other, sizeof other, "%.*s%s%s", (int)(at - config), config, to, at + strlen(from));
    r.config = other;
    put_model(folder, &r);
    if (part) {
        assert_fails(or_checkpoint_open(folder, &checkpoint), OR_ERR_INPUT, part);
        return;
    }
    float logits[VOCAB], expected[VOCAB]; /* what was left away has the default that it had */
    run_whole(folder, logits);
    put_model(folder, base);
    run_whole(folder, expected);
    assert_memory_equal(logits, expected, sizeof logits);
}

static void configs_are_checked(void **state)
{
    (void)state;
    try_config(&pre, "\"relu\"", "\"gelu\"", "\"activation_function\" is \"gelu\"");
    try_config(&pre, "affine\": true", "affine\": false", "\"layer_norm_elementwise_affine\" is false");
    try_config(&pre, "\"vocab_size\"", "\"quantization_config\": {}, \"vocab_size\"", "quantization_config");
    try_config(&pre, "\"hidden_size\": 16", "\"hidden_size\": 18", "\"hidden_size\" is 18");
    try_config(&pre, "\"hidden_size\": 16, ", "", "hidden_size");
    try_config(&pre, "\"ffn_dim\": 24", "\"ffn_dim\": 0", "ffn_dim");
    try_config(&pre, "heads\": 4", "heads\": 4.5", "num_attention_heads");
    try_config(&pre, "\"word_embed_proj_dim\": 16", "\"word_embed_proj_dim\": -16", "word_embed_proj_dim");
    try_config(&pre, "before\": true", "before\": 1", "do_layer_norm_before");
    try_config(&pre, "norm\": false", "norm\": \"no\"", "_remove_final_layer_norm");
    try_config(&pre, "enable_bias\": true", "enable_bias\": \"yes\"", "enable_bias");
    try_config(&pre, "embeddings\": 64", "embeddings\": 2000000000", "max_position_embeddings");
    try_config(&pre, "\"eos_token_id\": 2", "\"eos_token_id\": 32", "eos_token_id");
}

static void absent_fields_have_their_defaults(void **state)
{
    (void)state;
    try_config(&pre, "\"activation_function\": \"relu\", ", "", NULL);
    try_config(&pre, "\"word_embed_proj_dim\": 16, ", "", NULL);
    try_config(&pre, "\"do_layer_norm_before\": true, ", "", NULL);
    try_config(&pre, "\"_remove_final_layer_norm\": false, ", "", NULL);
    try_config(&pre, "\"enable_bias\": true, ", "", NULL);
    try_config(&pre, "\"tie_word_embeddings\": true, ", "", NULL);
    try_config(&pre, "\"layer_norm_elementwise_affine\": true, ", "", NULL);
    try_config(&post, "\"hidden_size\"", "\"prefix\": \"</s>\", \"pad_token_id\": 1, \"hidden_size\"", NULL);
}

/* Layouts that differ in a flag only are different models. */
static void fingerprints_tell_layouts_apart(void **state)
{
    (void)state;
    or_checkpoint *checkpoint;
    uint64_t seen[2];
    char config[1024];
    recipe r = {.no_final_norm = true};
    for (int i = 0; i < 2; i++) {
        assert_ok(or_checkpoint_open(opt_folder(&r), &checkpoint));
        seen[i] = or_checkpoint_fingerprint(checkpoint);
        or_checkpoint_close(checkpoint);
        put_config(&(recipe){.post_norm = true}, config);
        r.config = config;
    }
    assert_true(seen[0] != seen[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_right),
        cmocka_unit_test(any_split_gives_the_same_bits),
        cmocka_unit_test(company_does_not_matter),
        cmocka_unit_test(pieces_give_the_same_bits),
        cmocka_unit_test(folders_of_one_model_give_the_same_bits),
        cmocka_unit_test(bytes_are_counted_once),
        cmocka_unit_test(missing_and_misshapen_tensors_are_refused),
        cmocka_unit_test(configs_are_checked),
        cmocka_unit_test(absent_fields_have_their_defaults),
        cmocka_unit_test(fingerprints_tell_layouts_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
