/* requests.h - what all request files have in common: JSON lines, ids, and prompts as text or tokens. */
#ifndef OFFRAMP_EVAL_REQUESTS_H
#define OFFRAMP_EVAL_REQUESTS_H

#include "json.h"

#include <offramp/model.h>
#include <offramp/tokenizer.h>

/* Takes line `line`, counted from 1; `where` is "requests.jsonl:12". */
typedef or_status or_requests_take(void *context, const cJSON *object, size_t line, const char *where);

/* Gives each line of a file's text to `take`. Blank lines are skipped and counted. OR_ERR_INPUT for a line
 * that is no JSON object or has a member twice, and when there is none at all. */
or_status or_requests_each(const or_buffer *text, const char *path, or_requests_take *take, void *context);

/* The id `key` in *id, as JSON (cJSON_free()). OR_ERR_INPUT when it is missing, or a number that is not
 * exact as a double, which is how numbers are read. */
or_status or_request_id(const cJSON *object, const char *key, const char *where, char **id);

/* How the tokens of prompts are found, and what is asked of them. */
typedef struct or_request_reader {
    const char *model; /* the tokenizer is its own, opened when the first prompt is text */
    const or_tokenizer *tokenizer;
    or_tokenizer *opened; /* the caller closes it; `tokenizer` is it then */
    const or_hparams *hparams;
    size_t longest; /* tokens of a prompt */
} or_request_reader;

/* Appends the token ids of an array. OR_ERR_INPUT for one outside the model's vocabulary. */
or_status or_request_ids(const cJSON *list, const or_hparams *h, const char *where, or_tokens *out);

/* Appends the tokens of a request: those of the array `tokens` as they are, or else of the text `prompt`,
 * encoded with BOS where the model's prompts begin with it. One of them may be NULL. OR_ERR_INPUT when
 * they are none, too many, or outside the model's vocabulary. */
or_status or_request_tokens(or_request_reader *reader, const cJSON *tokens, const cJSON *prompt,
                            const char *where, or_tokens *out);

#endif
