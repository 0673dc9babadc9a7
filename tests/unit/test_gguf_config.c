/* test_gguf_config.c - the keys of a GGUF file that say a model's shape: each that is missing, wrong, or of
 * another computation is refused by its name. */
#include "support.h"

#include "tiny_gguf.h"

#include <offramp/checkpoint.h>

/* Writes the model, which is refused; forgets it. */
static void refused(tiny_gguf *m, const char *part)
{
    or_checkpoint *checkpoint;
    assert_fails(or_checkpoint_open(tiny_gguf_put(m), &checkpoint), OR_ERR_INPUT, part);
    assert_non_null(strstr(or_status_message(), "tiny.gguf"));
    assert_null(checkpoint);
    free(m);
}

static void refused_with(tiny_key key, const char *part)
{
    tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_set(m, key);
    refused(m, part);
}

static void missing_keys_are_named(void **state)
{
    (void)state;
    static const char *const names[] = {"general.architecture",
                                        "llama.block_count",
                                        "llama.embedding_length",
                                        "llama.feed_forward_length",
                                        "llama.context_length",
                                        "llama.attention.head_count",
                                        "llama.attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char part[96];
        tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
        tiny_gguf_drop_key(m, names[i]);
        snprintf(part, sizeof part, "\"%s\" is missing", names[i]);
        refused(m, part);
    }
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        tiny_kind kind;
        double value;
        const char *range;
    } cases[] = {
        {"llama.block_count", TINY_U32, 0, "1..1000"},
        {"llama.block_count", TINY_U32, 1001, "1..1000"},
        {"llama.embedding_length", TINY_U32, 0, "1..1.04858e+06"},
        {"llama.embedding_length", TINY_U32, 1 << 21, "1..1.04858e+06"},
        {"llama.feed_forward_length", TINY_U32, 0, "1.."},
        {"llama.context_length", TINY_U32, 0, "1.."},
        {"llama.context_length", TINY_U32, 4294967295, "1..1.07374e+09"},
        {"llama.attention.head_count", TINY_U32, 0, "1.."},
        {"llama.attention.head_count_kv", TINY_U32, 0, "1..4"},
        {"llama.attention.head_count_kv", TINY_U32, 5, "1..4"},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, 0, "1e-12..1"},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, 2, "1e-12..1"},
        {"llama.rope.freq_base", TINY_F32, 0, "0.001..1e+12"},
        {"llama.rope.scale_linear", TINY_F32, 0.5, "1..1e+06"},
        {"llama.rope.scaling.factor", TINY_F32, 0, "1..1e+06"},
        {"llama.vocab_size", TINY_U32, 0, "1.."},
        {"tokenizer.ggml.bos_token_id", TINY_U32, 32, "0..31"},
        {"tokenizer.ggml.eos_token_id", TINY_U32, 32, "0..31"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char part[128];
        snprintf(part, sizeof part, "\"%s\" is %g, expected %s", cases[i].name, cases[i].value,
                 cases[i].range);
        refused_with((tiny_key){cases[i].name, cases[i].kind, cases[i].value, NULL}, part);
    }
}

static void values_of_another_kind_are_refused(void **state)
{
    (void)state;
    refused_with((tiny_key){"general.architecture", TINY_U32, 1, NULL}, "is an integer, expected a text");
    refused_with((tiny_key){"llama.block_count", TINY_F32, 4, NULL}, "is a number, expected an integer");
    refused_with((tiny_key){"llama.block_count", TINY_TEXT, 0, "4"}, "is a text, expected an integer");
    refused_with((tiny_key){"llama.rope.freq_base", TINY_BOOL, 1, NULL}, "is a boolean, expected a number");
    refused_with((tiny_key){"llama.rope.scaling.type", TINY_U32, 0, NULL}, "is an integer, expected a text");
}

static void heads_must_fit(void **state)
{
    (void)state;
    refused_with((tiny_key){"llama.attention.head_count_kv", TINY_U32, 3, NULL},
                 "\"llama.attention.head_count\" is 4, expected a multiple of "
                 "\"llama.attention.head_count_kv\" (3)");
    tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_set(m, (tiny_key){"llama.attention.head_count", TINY_U32, 6, NULL});
    refused(m, "\"llama.embedding_length\" is 16, expected a multiple of \"llama.attention.head_count\" (6)");
    refused_with((tiny_key){"llama.attention.key_length", TINY_U32, 5, NULL},
                 "a head is 5 wide, expected an even");
    refused_with((tiny_key){"llama.attention.key_length", TINY_U32, 1 << 19, NULL},
                 "4 heads of 524288 are too wide");
    refused_with(
        (tiny_key){"llama.attention.value_length", TINY_U32, 8, NULL},
        "\"llama.attention.value_length\" is 8, which is not supported; expected the width of a head "
        "(4)");
    refused_with((tiny_key){"llama.rope.dimension_count", TINY_U32, 2, NULL},
                 "\"llama.rope.dimension_count\" is 2, which is not supported; expected the width of a head "
                 "(4)");
}

static void other_architectures_are_refused_by_name(void **state)
{
    (void)state;
    refused_with((tiny_key){"general.architecture", TINY_TEXT, 0, "gpt2"},
                 "architecture \"gpt2\" is not supported, expected llama");
    refused_with((tiny_key){"general.architecture", TINY_TEXT, 0, "llama4"}, "architecture \"llama4\"");
    refused_with((tiny_key){"general.architecture", TINY_TEXT, 0, ""}, "architecture \"\"");
    refused_with((tiny_key){"llama.rope.scaling.type", TINY_TEXT, 0, "yarn"},
                 "rope scaling \"yarn\" is not supported, expected none or linear");
    refused_with((tiny_key){"llama.rope.scaling.attn_factor", TINY_F32, 1.5, NULL},
                 "\"llama.rope.scaling.attn_factor\" is 1.5, which is not supported, expected 1");
    refused_with((tiny_key){"general.quantization_version", TINY_U32, 1, NULL},
                 "\"general.quantization_version\" is 1, expected 2..2");
    refused_with((tiny_key){"llama.vocab_size", TINY_U32, 31, NULL},
                 "\"llama.vocab_size\" is 31, expected the rows of \"token_embd.weight\" (32)");
}

/* What relatives of Llama have: refused unless it is none. */
static void other_computations_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"llama.expert_count",
                                        "llama.expert_used_count",
                                        "llama.attention.sliding_window",
                                        "llama.attention.scale",
                                        "llama.logit_scale",
                                        "llama.embedding_scale",
                                        "llama.residual_scale",
                                        "llama.attention.layer_norm_epsilon"};
    tiny_gguf *none = tiny_gguf_new(OR_BF16, 4);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char part[128];
        const tiny_kind kind = i < 3 ? TINY_U32 : TINY_F32;
        snprintf(part, sizeof part, "\"%s\" is 8, which is not supported, expected none", names[i]);
        refused_with((tiny_key){names[i], kind, 8, NULL}, part);
        tiny_gguf_set(none, (tiny_key){names[i], kind, 0, NULL});
    }
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(tiny_gguf_put(none), &checkpoint));
    or_checkpoint_close(checkpoint);
    free(none);
}

/* Attention that sees what comes later is refused; "no token", which files write as -1 in 32 bits, is none. */
static void masks_and_missing_tokens_are_read(void **state)
{
    (void)state;
    or_checkpoint *checkpoint;
    tiny_gguf *m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_set(m, (tiny_key){"llama.attention.causal", TINY_BOOL, 0, NULL});
    refused(m, "\"llama.attention.causal\" is false");
    m = tiny_gguf_new(OR_BF16, 4);
    tiny_gguf_set(m, (tiny_key){"llama.attention.causal", TINY_BOOL, 1, NULL});
    tiny_gguf_set(m, (tiny_key){"tokenizer.ggml.eos_token_id", TINY_U32, UINT32_MAX, NULL});
    assert_ok(or_checkpoint_open(tiny_gguf_put(m), &checkpoint));
    assert_int_equal(or_checkpoint_hparams(checkpoint)->bos, 1);
    assert_int_equal(or_checkpoint_hparams(checkpoint)->eos, -1);
    or_checkpoint_close(checkpoint);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_keys_are_named),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(values_of_another_kind_are_refused),
        cmocka_unit_test(heads_must_fit),
        cmocka_unit_test(other_architectures_are_refused_by_name),
        cmocka_unit_test(other_computations_are_refused),
        cmocka_unit_test(masks_and_missing_tokens_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
