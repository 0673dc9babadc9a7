/* cmd_tokenize.c - offramp tokenize: JSON strings to JSON arrays of ids, a line each, and back.
 *
 *   "Hello world"     -->            [15043, 3186]        (Llama-2)
 *   "Hello world"     <-- --decode   [15043, 3186]
 */
#include "cli.h"

#include "file.h"
#include "json.h"

#include <stdio.h>
#include <string.h>

static or_common common;
static bool with_bos, decode;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    {"bos", OR_OPTION_FLAG, &with_bos, "", "begin each array with the BOS token", 0, 0, false},
    {"decode", OR_OPTION_FLAG, &decode, "", "the way back: arrays of ids to strings", 0, 0, false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "tokenize --model M [--bos | --decode]",
    .summary =
        "Reads one JSON string a line from stdin and prints one JSON array of token ids a line. Special\n"
        "tokens in the text are plain text.",
    .example = "echo '\"Once upon a time\"' | offramp tokenize --model llama-2-7b",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    return *helped ? OR_OK : or_options_need(options, "model");
}

/* A JSON string in, so that line breaks can be asked about. */
static or_status encode_line(const or_tokenizer *tokenizer, const cJSON *line, const char *where,
                             or_buffer *out)
{
    if (!cJSON_IsString(line)) return or_fail(OR_ERR_INPUT, "line refused", where, "expected a JSON string");
    or_tokens tokens = {0};
    or_status status = OR_OK;
    /* a tokenizer without BOS (-1) gives the same ids with --bos as without */
    if (with_bos && or_tokenizer_bos(tokenizer) >= 0)
        status = or_tokens_add(&tokens, or_tokenizer_bos(tokenizer));
    if (status == OR_OK)
        status = or_tokenizer_encode(tokenizer, line->valuestring, strlen(line->valuestring), &tokens);
    if (status == OR_OK) status = or_buffer_puts(out, "[");
    for (size_t i = 0; i < tokens.count && status == OR_OK; i++)
        status = or_buffer_printf(out, "%s%d", i ? ", " : "", tokens.ids[i]);
    if (status == OR_OK) status = or_buffer_puts(out, "]\n");
    or_tokens_free(&tokens);
    return status;
}

/* Special tokens have no text and leave no trace (tokenizer.h). Numbers that are no int are refused:
 * cJSON's valueint does not equal them. */
static or_status decode_line(const or_tokenizer *tokenizer, const cJSON *line, const char *where,
                             or_buffer *out)
{
    if (!cJSON_IsArray(line))
        return or_fail(OR_ERR_INPUT, "line refused", where, "expected a JSON array of ids");
    or_tokens tokens = {0};
    char *decoded = NULL;
    size_t size;
    or_status status = OR_OK;
    for (const cJSON *item = line->child; item && status == OR_OK; item = item->next)
        status = cJSON_IsNumber(item) && item->valuedouble == item->valueint
                     ? or_tokens_add(&tokens, item->valueint)
                     : or_fail(OR_ERR_INPUT, "line refused", where, "expected whole numbers in the array");
    if (status == OR_OK) status = or_tokenizer_decode(tokenizer, tokens.ids, tokens.count, &decoded, &size);
    if (status == OR_OK) status = or_json_put_string(out, decoded);
    if (status == OR_OK) status = or_buffer_puts(out, "\n");
    free(decoded);
    or_tokens_free(&tokens);
    return status;
}

/* A line is printed whole or not at all; the first bad one ends the command, named "stdin:3". */
static or_status convert_line(const or_tokenizer *tokenizer, const char *line, size_t size, size_t number)
{
    char where[64];
    cJSON *json = NULL;
    or_buffer out = {0};
    snprintf(where, sizeof where, "stdin:%zu", number);
    or_status status = or_json_parse(line, size, where, &json);
    if (status == OR_OK) status = (decode ? decode_line : encode_line)(tokenizer, json, where, &out);
    if (status == OR_OK && fwrite(out.data, 1, out.size, stdout) != out.size)
        status = or_fail(OR_ERR_FAILED, "output cannot be written", "stdout", "it is closed");
    cJSON_Delete(json);
    or_buffer_free(&out);
    return status;
}

/* Local. Line by line, so input of any length takes the memory of its longest line. */
static or_status run_tokenize(or_session *session)
{
    (void)session;
    or_tokenizer *tokenizer = NULL;
    OR_TRY(or_tokenizer_open(common.model, &tokenizer));
    char *line = NULL;
    size_t capacity = 0, number = 0;
    or_status status = OR_OK;
    for (ssize_t length; status == OR_OK && (length = getline(&line, &capacity, stdin)) != -1;) {
        if (line[length - 1] == '\n') length--;
        status = convert_line(tokenizer, line, (size_t)length, ++number);
    }
    free(line);
    or_tokenizer_close(tokenizer);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_tokenize = {
    "tokenize", "text to token ids and back, a JSON line each", false, parse, run_tokenize, release,
};
