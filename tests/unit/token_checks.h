/* token_checks.h - what the tests of tokenizers ask of one, and files of texts. */
#ifndef OFFRAMP_TESTS_TOKEN_CHECKS_H
#define OFFRAMP_TESTS_TOKEN_CHECKS_H

#include "support.h"

#include "json.h"

#include <offramp/tokenizer.h>

/* The text gives these ids, written "259 33". */
static inline void check_ids(const or_tokenizer *t, const char *text, const char *expected)
{
    or_tokens tokens = {0};
    or_buffer got = {0};
    assert_ok(or_tokenizer_encode(t, text, strlen(text), &tokens));
    for (size_t i = 0; i < tokens.count; i++)
        assert_ok(or_buffer_printf(&got, "%s%d", i ? " " : "", tokens.ids[i]));
    assert_string_equal(got.size ? got.data : "", expected);
    or_buffer_free(&got);
    or_tokens_free(&tokens);
}

/* The ids have this text. */
static inline void check_text(const or_tokenizer *t, const int32_t *ids, size_t count, const char *expected)
{
    char *text;
    size_t size;
    assert_ok(or_tokenizer_decode(t, ids, count, &text, &size));
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
}

static inline void check_bos(const or_tokenizer *t, int bos, int eos, bool adds)
{
    assert_int_equal(or_tokenizer_bos(t), bos);
    assert_int_equal(or_tokenizer_eos(t), eos);
    assert_int_equal(or_tokenizer_adds_bos(t), adds);
}

/* The tokens that end a text, in any order: as many as expected, and each of these. */
static inline void check_ends(const or_tokenizer *t, size_t count, const int32_t *expected)
{
    const int32_t *ids;
    assert_int_equal(or_tokenizer_ends(t, &ids), count);
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t j = 0; j < count; j++) found = found || ids[j] == expected[i];
        if (!found) fail_msg("token %d ends no text", expected[i]);
    }
}

/* The ids are those of the JSON array. `text` is for the message. */
static inline void check_token_list(const char *text, const or_tokens *tokens, const cJSON *expected)
{
    const cJSON *id = expected->child;
    for (size_t i = 0; i < tokens->count; i++, id = id->next)
        if (!id || tokens->ids[i] != id->valueint)
            fail_msg("\"%s\": id %zu is %d, expected %d", text, i, tokens->ids[i], id ? id->valueint : -1);
    assert_null(id);
}

/* Calls check() with each line of a JSONL file, and two tokenizers; returns how many lines there were. */
typedef void line_check(const cJSON *line, const or_tokenizer *a, const or_tokenizer *b);

static inline size_t each_line(const char *path, line_check *check, const or_tokenizer *a,
                               const or_tokenizer *b)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, lines = 0;
    assert_non_null(file);
    for (; getline(&line, &capacity, file) != -1; lines++) {
        cJSON *json = cJSON_Parse(line);
        check(json, a, b);
        cJSON_Delete(json);
    }
    free(line);
    fclose(file);
    return lines;
}

#endif
