/* make_corpus.c - writes the seeds of the fuzz targets, small valid files of every kind that is read:
 *
 *   make_corpus FOLDER      writes FOLDER/{gguf,safetensors,config,tokenizer,sentencepiece}/...
 *
 * tests/fuzz/corpus is what it wrote, and test_corpus.sh checks that it still is.
 */
#include "byte_bpe.h"
#include "tiny_model.h"

#include "file.h"
#include "gguf.h"

/* Folder of the corpus being written. */
static const char *corpus;

static const char *seed_path(const char *folder, const char *name)
{
    const char *path = path_in(corpus, folder);
    assert_ok(or_folder_make(path));
    return path_in(path, name);
}

/* ---- models as GGUF files --------------------------------------------------------------------------------- */

/* A llama model of one layer; the types of its matrices, f32 where none is given, decide how wide it has to
 * be. */
typedef struct seed_model {
    int d_model, n_heads, head_dim, d_ff, n_vocab;
    or_dtype embedding, norm, q, k, v, o, gate, up, down, head; /* head OR_DTYPE_OTHER: the embedding is it */
} seed_model;

enum { SEED_TENSORS = 12 };

typedef struct seed_tensor {
    const char *name;
    or_dtype dtype;
    int64_t dims[2];
    int n_dims;
} seed_tensor;

static size_t list_tensors(const seed_model *m, seed_tensor out[SEED_TENSORS])
{
    const int d = m->d_model, q = m->n_heads * m->head_dim, kv = m->head_dim;
    const seed_tensor tensors[SEED_TENSORS] = {
        {"token_embd.weight", m->embedding, {m->n_vocab, d}, 2},
        {"output_norm.weight", m->norm, {d}, 1},
        {"blk.0.attn_norm.weight", m->norm, {d}, 1},
        {"blk.0.ffn_norm.weight", m->norm, {d}, 1},
        {"blk.0.attn_q.weight", m->q, {q, d}, 2},
        {"blk.0.attn_k.weight", m->k, {kv, d}, 2},
        {"blk.0.attn_v.weight", m->v, {kv, d}, 2},
        {"blk.0.attn_output.weight", m->o, {d, q}, 2},
        {"blk.0.ffn_gate.weight", m->gate, {m->d_ff, d}, 2},
        {"blk.0.ffn_up.weight", m->up, {m->d_ff, d}, 2},
        {"blk.0.ffn_down.weight", m->down, {d, m->d_ff}, 2},
        {"output.weight", m->head, {m->n_vocab, d}, 2},
    };
    memcpy(out, tensors, sizeof tensors);
    return m->head == OR_DTYPE_OTHER ? SEED_TENSORS - 1 : SEED_TENSORS;
}

static void put_int(or_gguf_writer *w, const char *key, int value)
{
    assert_ok(or_gguf_put_u32(w, key, (uint32_t)value));
}

static void put_hparams(or_gguf_writer *w, const seed_model *m)
{
    assert_ok(or_gguf_put_text(w, "general.architecture", "llama"));
    put_int(w, "llama.block_count", 1);
    put_int(w, "llama.context_length", 16);
    put_int(w, "llama.embedding_length", m->d_model);
    put_int(w, "llama.feed_forward_length", m->d_ff);
    put_int(w, "llama.attention.head_count", m->n_heads);
    put_int(w, "llama.attention.head_count_kv", 1);
    put_int(w, "llama.attention.key_length", m->head_dim);
    put_int(w, "llama.attention.value_length", m->head_dim);
    put_int(w, "llama.rope.dimension_count", m->head_dim);
    put_int(w, "llama.vocab_size", m->n_vocab);
    assert_ok(or_gguf_put_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f));
    assert_ok(or_gguf_put_f32(w, "llama.rope.freq_base", 10000));
}

/* Bytes that are a modest number in every type: 0x38 .. 0x3e are the upper bytes of 0.00003 .. 1.6. */
static void put_weights(or_gguf_writer *w, or_dtype dtype, size_t elements)
{
    unsigned char bytes[4096];
    const size_t size = or_dtype_bytes(dtype, elements);
    assert_true(size <= sizeof bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(0x38 + i % 7);
    assert_ok(or_gguf_put_data(w, bytes, size));
}

static void finish(or_gguf_writer *w)
{
    assert_ok(or_gguf_finish(w));
    or_gguf_writer_close(w);
}

static void put_tensors(or_gguf_writer *w, const seed_model *m)
{
    seed_tensor tensors[SEED_TENSORS];
    const size_t n = list_tensors(m, tensors);
    for (size_t i = 0; i < n; i++)
        assert_ok(
            or_gguf_put_tensor(w, tensors[i].name, tensors[i].dtype, tensors[i].n_dims, tensors[i].dims));
    for (size_t i = 0; i < n; i++)
        put_weights(w, tensors[i].dtype,
                    (size_t)(tensors[i].dims[0] * (tensors[i].n_dims == 2 ? tensors[i].dims[1] : 1)));
}

static or_gguf_writer *begin_gguf(const char *name)
{
    or_gguf_writer *w = NULL;
    assert_ok(or_gguf_create(seed_path("gguf", name), &w));
    return w;
}

/* ---- vocabularies in GGUF files --------------------------------------------------------------------------- */

static void put_spm_vocab(or_gguf_writer *w)
{
    static const or_gguf_text tokens[] = {{"<unk>", 5},        {"<s>", 3}, {"</s>", 4}, {"<0x0A>", 6},
                                          {"\xe2\x96\x81", 3}, {"a", 1},   {"b", 1},    {"ab", 2}};
    static const float scores[] = {0, 0, 0, 0, -1, -2, -3, -0.5f};
    static const int32_t types[] = {2, 3, 3, 6, 1, 1, 1, 1};
    assert_ok(or_gguf_put_text(w, "tokenizer.ggml.model", "llama"));
    assert_ok(or_gguf_put_texts(w, "tokenizer.ggml.tokens", tokens, 8));
    assert_ok(or_gguf_put_f32s(w, "tokenizer.ggml.scores", scores, 8));
    assert_ok(or_gguf_put_i32s(w, "tokenizer.ggml.token_type", types, 8));
    put_int(w, "tokenizer.ggml.bos_token_id", 1);
    put_int(w, "tokenizer.ggml.eos_token_id", 2);
    put_int(w, "tokenizer.ggml.unknown_token_id", 0);
    assert_ok(or_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", true));
    assert_ok(or_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", true));
}

enum { BPE_TOKENS = 256 + 3 };

/* Byte-level BPE: the bytes, and two merges. */
static void put_bpe_vocab(or_gguf_writer *w)
{
    static const or_gguf_text merges[] = {{"h e", 3}, {G " he", 5}};
    or_gguf_text tokens[BPE_TOKENS] = {[256] = {"he", 2}, [257] = {G "he", 4}, [258] = {"<|endoftext|>", 13}};
    int32_t types[BPE_TOKENS];
    or_buffer characters[256] = {{0}};
    for (int byte = 0; byte < 256; byte++) {
        assert_ok(or_alphabet_put((uint8_t)byte, &characters[byte]));
        tokens[byte] = (or_gguf_text){characters[byte].data, characters[byte].size};
    }
    for (int i = 0; i < BPE_TOKENS; i++) types[i] = i == BPE_TOKENS - 1 ? 3 : 1;
    assert_ok(or_gguf_put_text(w, "tokenizer.ggml.model", "gpt2"));
    assert_ok(or_gguf_put_text(w, "tokenizer.ggml.pre", "gpt-2"));
    assert_ok(or_gguf_put_texts(w, "tokenizer.ggml.tokens", tokens, BPE_TOKENS));
    assert_ok(or_gguf_put_i32s(w, "tokenizer.ggml.token_type", types, BPE_TOKENS));
    assert_ok(or_gguf_put_texts(w, "tokenizer.ggml.merges", merges, 2));
    for (int byte = 0; byte < 256; byte++) or_buffer_free(&characters[byte]);
}

/* ---- GGUF files ------------------------------------------------------------------------------------------- */

static void put_gguf_model(const char *name, const seed_model *m)
{
    or_gguf_writer *w = begin_gguf(name);
    put_hparams(w, m);
    put_tensors(w, m);
    finish(w);
}

static void put_gguf_models(void)
{
    const seed_model tiny = {
        .d_model = 4, .n_heads = 2, .head_dim = 2, .d_ff = 4, .n_vocab = 8, .head = OR_DTYPE_OTHER};
    const seed_model halves = {.d_model = 4,
                               .n_heads = 2,
                               .head_dim = 2,
                               .d_ff = 4,
                               .n_vocab = 6,
                               .embedding = OR_F16,
                               .q = OR_BF16,
                               .k = OR_F16,
                               .v = OR_BF16,
                               .o = OR_F16,
                               .gate = OR_F16,
                               .up = OR_BF16,
                               .down = OR_F16,
                               .head = OR_BF16};
    const seed_model blocks = {.d_model = 32,
                               .n_heads = 2,
                               .head_dim = 2,
                               .d_ff = 4,
                               .n_vocab = 3,
                               .embedding = OR_Q8_0,
                               .q = OR_Q4_0,
                               .k = OR_Q4_1,
                               .v = OR_Q5_0,
                               .o = OR_F16,
                               .gate = OR_Q5_1,
                               .up = OR_Q4_0,
                               .down = OR_F16,
                               .head = OR_Q8_0};
    const seed_model k_blocks = {.d_model = 256,
                                 .n_heads = 1,
                                 .head_dim = 2,
                                 .d_ff = 2,
                                 .n_vocab = 3,
                                 .embedding = OR_Q2_K,
                                 .norm = OR_F16,
                                 .q = OR_Q3_K,
                                 .k = OR_Q4_K,
                                 .v = OR_Q5_K,
                                 .o = OR_F16,
                                 .gate = OR_Q6_K,
                                 .up = OR_Q4_K,
                                 .down = OR_F16,
                                 .head = OR_Q6_K};
    or_gguf_writer *w = begin_gguf("llama-f32-spm.gguf");
    put_hparams(w, &tiny);
    put_spm_vocab(w);
    put_tensors(w, &tiny);
    finish(w);
    put_gguf_model("llama-halves.gguf", &halves);
    put_gguf_model("llama-blocks.gguf", &blocks);
    put_gguf_model("llama-k-blocks.gguf", &k_blocks);
    w = begin_gguf("bpe.gguf");
    put_bpe_vocab(w);
    finish(w);
}

/* A value and an array of two of every type, under the names that exercise.c asks for. The writer has calls
 * for the types that we write only, so this one is made by hand; of version 2, and with another alignment. */
static void put_kinds(void)
{
    static const struct {
        const char *name;
        uint32_t type;
        size_t size;
    } kinds[] = {{"u8", 0, 1},   {"i8", 1, 1},   {"u16", 2, 2},  {"i16", 3, 2},
                 {"u32", 4, 4},  {"i32", 5, 4},  {"f32", 6, 4},  {"bool", 7, 1},
                 {"text", 8, 9}, {"u64", 10, 8}, {"i64", 11, 8}, {"f64", 12, 8}};
    static const unsigned char value[18] = {1, 0, 0, 0, 0, 0, 0, 0, 'x', 1, 0, 0, 0, 0, 0, 0, 0, 'y'};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    or_buffer out = {0};
    const uint32_t version = 2, array = 9, u32 = 4, alignment = 64;
    const uint64_t n_tensors = 0, n_keys = 2 * KINDS + 1, two = 2,
                   alignment_size = strlen("general.alignment");
    assert_ok(or_buffer_puts(&out, "GGUF"));
    assert_ok(or_buffer_append(&out, &version, 4));
    assert_ok(or_buffer_append(&out, &n_tensors, 8));
    assert_ok(or_buffer_append(&out, &n_keys, 8));
    assert_ok(or_buffer_append(&out, &alignment_size, 8));
    assert_ok(or_buffer_puts(&out, "general.alignment"));
    assert_ok(or_buffer_append(&out, &u32, 4));
    assert_ok(or_buffer_append(&out, &alignment, 4));
    for (int i = 0; i < 2 * KINDS; i++) {
        const uint64_t name_size = strlen(kinds[i / 2].name) + (size_t)(i % 2);
        assert_ok(or_buffer_append(&out, &name_size, 8));
        assert_ok(or_buffer_printf(&out, "%s%s", kinds[i / 2].name, i % 2 ? "s" : ""));
        if (i % 2) assert_ok(or_buffer_append(&out, &array, 4));
        assert_ok(or_buffer_append(&out, &kinds[i / 2].type, 4));
        if (i % 2) assert_ok(or_buffer_append(&out, &two, 8));
        for (int n = 0; n <= i % 2; n++) assert_ok(or_buffer_append(&out, value + 9 * n, kinds[i / 2].size));
    }
    put_file(seed_path("gguf", "kinds.gguf"), out.data, out.size);
    or_buffer_free(&out);
}

/* ---- safetensors files ------------------------------------------------------------------------------------ */

enum { HF_WIDTH = 4, HF_KV = 2, HF_FF = 6, HF_VOCAB = 8, HF_CONTEXT = 8 };

static void add_llama(tiny_file *file, const char *type, bool head)
{
    static const struct {
        const char *name;
        int rows, columns;
    } tensors[] = {{"embed_tokens", HF_VOCAB, HF_WIDTH},
                   {"norm", HF_WIDTH, 0},
                   {"layers.0.input_layernorm", HF_WIDTH, 0},
                   {"layers.0.post_attention_layernorm", HF_WIDTH, 0},
                   {"layers.0.self_attn.q_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.self_attn.k_proj", HF_KV, HF_WIDTH},
                   {"layers.0.self_attn.v_proj", HF_KV, HF_WIDTH},
                   {"layers.0.self_attn.o_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.mlp.gate_proj", HF_FF, HF_WIDTH},
                   {"layers.0.mlp.up_proj", HF_FF, HF_WIDTH},
                   {"layers.0.mlp.down_proj", HF_WIDTH, HF_FF}};
    char name[96];
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        snprintf(name, sizeof name, "model.%s.weight", tensors[i].name);
        tiny_add(file, name, type, tensors[i].rows, tensors[i].columns);
    }
    if (head) tiny_add(file, "lm_head.weight", type, HF_VOCAB, HF_WIDTH);
}

static void add_opt(tiny_file *file, const char *type)
{
    static const struct {
        const char *name;
        int rows, columns;
    } tensors[] = {{"embed_tokens", HF_VOCAB, HF_WIDTH},
                   {"embed_positions", HF_CONTEXT + 2, HF_WIDTH},
                   {"layers.0.self_attn.q_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.self_attn.k_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.self_attn.v_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.self_attn.out_proj", HF_WIDTH, HF_WIDTH},
                   {"layers.0.fc1", HF_FF, HF_WIDTH},
                   {"layers.0.fc2", HF_WIDTH, HF_FF},
                   {"layers.0.self_attn_layer_norm", HF_WIDTH, 0},
                   {"layers.0.final_layer_norm", HF_WIDTH, 0},
                   {"final_layer_norm", HF_WIDTH, 0}};
    char name[96];
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        snprintf(name, sizeof name, "model.decoder.%s.weight", tensors[i].name);
        tiny_add(file, name, type, tensors[i].rows, tensors[i].columns);
        if (i < 2) continue;
        snprintf(name, sizeof name, "model.decoder.%s.bias", tensors[i].name);
        tiny_add(file, name, type, tensors[i].rows, 0);
    }
}

/* Text between the tensors that a reader has to pass over: metadata, other types, scalars, empty tensors. */
static void add_others(tiny_file *file)
{
    file->header_size +=
        (size_t)sprintf(file->header + file->header_size,
                        ",\"__metadata__\":{\"format\":\"pt\",\"note\":\"\\\"\\u00e9\\\\\"}"
                        ",\"inv_freq\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[%zu,%zu]}"
                        ",\"empty\":{\"dtype\":\"I64\",\"shape\":[0],\"data_offsets\":[0,0]}"
                        ",\"mask\":{\"dtype\":\"BOOL\",\"shape\":[1,2,1],\"data_offsets\":[%zu,%zu]}",
                        file->data_size, file->data_size + 8, file->data_size + 8, file->data_size + 10);
    memset(file->data + file->data_size, 1, 10);
    file->data_size += 10;
}

static void put_safetensors(void)
{
    static tiny_file file;
    static const char *const types[] = {"F32", "BF16", "F16"};
    static const char *const names[] = {"f32.safetensors", "tied-bf16.safetensors", "others-f16.safetensors"};
    for (int i = 0; i < 3; i++) {
        tiny_begin(&file);
        add_llama(&file, types[i], i != 1);
        if (i == 2) add_others(&file);
        tiny_end(&file, seed_path("safetensors", names[i]));
    }
    tiny_begin(&file);
    add_llama(&file, "BF16", true);
    add_opt(&file, "BF16");
    tiny_end(&file, seed_path("safetensors", "families.safetensors"));
}

/* ---- configs and tokenizers ------------------------------------------------------------------------------- */

#define LLAMA                                                                                                \
    "{\"model_type\": \"llama\", \"hidden_act\": \"silu\", \"hidden_size\": 4, \"intermediate_size\": 6, "   \
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 1, \"head_dim\": 2, "    \
    "\"vocab_size\": 8, \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"max_position_embeddings\": 8, "  \
    "\"attention_bias\": false, \"mlp_bias\": false, \"bos_token_id\": 1, \"eos_token_id\": [2, 7], "

#define OPT                                                                                                  \
    "{\"model_type\": \"opt\", \"activation_function\": \"relu\", \"hidden_size\": 4, \"ffn_dim\": 6, "      \
    "\"word_embed_proj_dim\": 4, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"vocab_size\": 8, "  \
    "\"max_position_embeddings\": 8, \"enable_bias\": true, \"layer_norm_elementwise_affine\": true, "       \
    "\"bos_token_id\": 1, \"eos_token_id\": 2, \"tie_word_embeddings\": true, "

static void put_configs(void)
{
    put_text(seed_path("config", "llama.json"),
             LLAMA "\"rope_scaling\": null, \"partial_rotary_factor\": 1, \"tie_word_embeddings\": true}\n");
    put_text(seed_path("config", "llama-linear.json"),
             LLAMA "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0}, "
                   "\"tie_word_embeddings\": false}\n");
    put_text(seed_path("config", "llama3.json"),
             LLAMA "\"rope_parameters\": {\"rope_type\": \"llama3\", \"rope_theta\": 1e4, \"factor\": 8.0, "
                   "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, "
                   "\"original_max_position_embeddings\": 4}}\n");
    put_text(seed_path("config", "opt.json"),
             OPT "\"do_layer_norm_before\": true, \"_remove_final_layer_norm\": false}\n");
    put_text(seed_path("config", "opt-post-norm.json"), OPT "\"do_layer_norm_before\": false}\n");
}

/* Byte-level BPE, and SentencePiece in its two forms: a normalizer that prepends and replaces, and a
 * Metaspace. */
static void put_tokenizers(void)
{
    static const char *const preparations[] = {
        "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": "
        "\"\xe2\x96\x81\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
        "\"\xe2\x96\x81\"}]}, \"pre_tokenizer\": null",
        "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"Metaspace\", \"replacement\": "
        "\"\xe2\x96\x81\", "
        "\"prepend_scheme\": \"first\", \"split\": false}"};
    static const char *const merges[] = {"\"a b\", \"\xe2\x96\x81 ab\"",
                                         "[\"a\", \"b\"], [\"\xe2\x96\x81\", \"ab\"]"};
    static const char *const names[] = {"spm.json", "spm-metaspace.json"};
    for (int i = 0; i < 2; i++) {
        char text[2048];
        snprintf(text, sizeof text,
                 "{\"added_tokens\": [{\"id\": 0, \"content\": \"<unk>\", \"special\": true}, "
                 "{\"id\": 9, \"content\": \"<pad>\", \"special\": false}], %s, \"post_processor\": "
                 "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", "
                 "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}]}, "
                 "\"decoder\": {\"type\": \"Sequence\", \"decoders\": []}, "
                 "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": \"<unk>\", "
                 "\"fuse_unk\": true, \"byte_fallback\": true, \"vocab\": {\"<unk>\": 0, \"<s>\": 1, "
                 "\"</s>\": 2, \"<0x0A>\": 3, \"\xe2\x96\x81\": 4, \"a\": 5, \"b\": 6, \"ab\": 7, "
                 "\"\xe2\x96\x81\x61\x62\": 8}, \"merges\": [%s]}}\n",
                 preparations[i], merges[i]);
        put_text(seed_path("tokenizer", names[i]), text);
    }
    put_bpe(seed_path("tokenizer", "bpe.json"), (bpe_parts){0});
    put_bpe(
        seed_path("tokenizer", "bpe-splits.json"),
        (bpe_parts){.pre = STEPS(SPLIT("\"Regex\": \"\\\\p{N}{1,3}| ?[^\\\\s]+|\\\\s+(?!\\\\S)\"") ", " SPLIT(
                        "\"String\": \"Hello\"") ", {\"type\": \"Digits\", \"individual_digits\": "
                                                 "true}, " BYTE_LEVEL_RAW),
                    .options = "\"ignore_merges\": true, "});
}

/* Appends a field of protobuf that is text or a message. */
static void put_field(or_buffer *out, char key, const void *data, size_t size)
{
    assert_true(size < 128);
    assert_ok(or_buffer_append(out, (char[]){key, (char)size}, 2));
    assert_ok(or_buffer_append(out, data, size));
}

/* tokenizer.model: pieces {1: text, 2: score, 3: type}, TrainerSpec {3: bpe}, NormalizerSpec {4: no
 * trimming}. */
static void put_sentencepiece(void)
{
    static const struct {
        const char *text;
        float score;
        char type;
    } pieces[] = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3},   {"\xe2\x96\x81", -1, 1},
                  {"a", -2, 1},    {"b", -3, 1},  {"ab", -0.5f, 1}, {"\xe2\x96\x81\x61\x62", -0.25f, 1}};
    or_buffer out = {0};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        or_buffer piece = {0};
        put_field(&piece, 0x0a, pieces[i].text, strlen(pieces[i].text));
        assert_ok(or_buffer_append(&piece, "\x15", 1));
        assert_ok(or_buffer_append(&piece, &pieces[i].score, 4));
        assert_ok(or_buffer_append(&piece, (char[]){0x18, pieces[i].type}, 2));
        put_field(&out, 0x0a, piece.data, piece.size);
        or_buffer_free(&piece);
    }
    put_field(&out, 0x12, "\x18\x02", 2);
    put_field(&out, 0x1a, "\x20\x00", 2);
    put_file(seed_path("sentencepiece", "bpe.model"), out.data, out.size);
    or_buffer_free(&out);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_corpus FOLDER\n");
        return 2;
    }
    corpus = argv[1];
    put_gguf_models();
    put_kinds();
    put_safetensors();
    put_configs();
    put_tokenizers();
    put_sentencepiece();
    return 0;
}
