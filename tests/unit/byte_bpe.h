/* byte_bpe.h - a small byte-level BPE for tests, as tokenizer.json: ids 0..255 are the bytes, then come
 *
 *   he 256   ll 257   hell 258   hello 259   Ġhe 260   Ġhello 261 (made by no merge)   <|endoftext|> 262
 */
#ifndef OFFRAMP_TESTS_BYTE_BPE_H
#define OFFRAMP_TESTS_BYTE_BPE_H

#include "token_checks.h"

#include "alphabet.h"

#define G              "\xc4\xa0" /* Ġ, a space */
#define BYTE_LEVEL     "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define BYTE_LEVEL_RAW "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}"
#define SPLIT(pattern)                                                                                       \
    "{\"type\": \"Split\", \"pattern\": {" pattern "}, \"behavior\": \"Isolated\", \"invert\": false}"
#define STEPS(list) "{\"type\": \"Sequence\", \"pretokenizers\": [" list "]}"

/* Parts of the file; NULL: as said above, with GPT-2's pattern. */
typedef struct bpe_parts {
    const char *pre;     /* pre_tokenizer */
    const char *more;    /* members of the root, each with a comma behind it */
    const char *options; /* members of the model, likewise */
    const char *vocab;   /* behind the bytes, begins with a comma */
    const char *merges;
} bpe_parts;

static const char bpe_vocab[] = ", \"he\": 256, \"ll\": 257, \"hell\": 258, \"hello\": 259, \"" G
                                "he\": 260, \"" G "hello\": 261, \"<|endoftext|>\": 262";
static const char bpe_merges[] = "\"h e\", \"l l\", [\"he\", \"ll\"], \"hell o\", \"" G " he\"";

/* Appends "character": byte, for all bytes but `missing` (-1: none is). */
static inline void put_byte_vocab(or_buffer *out, int missing)
{
    for (int byte = 0; byte < 256; byte++) {
        or_buffer character = {0};
        if (byte == missing) continue;
        assert_ok(or_alphabet_put((uint8_t)byte, &character));
        assert_ok(or_buffer_puts(out, byte ? ", " : ""));
        assert_ok(or_json_put_string(out, character.data));
        assert_ok(or_buffer_printf(out, ": %d", byte));
        or_buffer_free(&character);
    }
}

static inline void put_bpe(const char *path, bpe_parts parts)
{
    or_buffer text = {0};
    assert_ok(or_buffer_printf(&text,
                               "{%s \"pre_tokenizer\": %s, \"model\": {%s \"type\": \"BPE\", \"vocab\": {",
                               parts.more ? parts.more : "", parts.pre ? parts.pre : BYTE_LEVEL,
                               parts.options ? parts.options : ""));
    put_byte_vocab(&text, -1);
    assert_ok(or_buffer_printf(&text, "%s}, \"merges\": [%s]}}", parts.vocab ? parts.vocab : bpe_vocab,
                               parts.merges ? parts.merges : bpe_merges));
    put_file(path, text.data, text.size);
    or_buffer_free(&text);
}

/* Opens a folder with this tokenizer.json. */
static inline or_status open_bpe(bpe_parts parts, or_tokenizer **tokenizer)
{
    static const char *folder;
    if (!folder) folder = scratch_folder();
    put_bpe(path_in(folder, "tokenizer.json"), parts);
    return or_tokenizer_open(folder, tokenizer);
}

static inline or_tokenizer *made_bpe(bpe_parts parts)
{
    or_tokenizer *tokenizer = NULL;
    assert_ok(open_bpe(parts, &tokenizer));
    return tokenizer;
}

/* {"text", "ids"}: the text gives the ids (where there are some) and comes back from them. */
static inline void check_line(const cJSON *line, const or_tokenizer *t, const or_tokenizer *unused)
{
    const char *text = or_json_find(line, "text")->valuestring;
    or_tokens tokens = {0};
    (void)unused;
    assert_ok(or_tokenizer_encode(t, text, strlen(text), &tokens));
    if (or_json_find(line, "ids")) check_token_list(text, &tokens, or_json_find(line, "ids"));
    check_text(t, tokens.ids, tokens.count, text);
    or_tokens_free(&tokens);
}

static inline size_t check_lines(const char *path, const or_tokenizer *t)
{
    return each_line(path, check_line, t, NULL);
}

#endif
