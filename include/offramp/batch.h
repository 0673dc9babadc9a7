/* batch.h - a file of requests through the pipeline: continuations of prompts, with a journal.
 *
 * Requests are JSON objects, a line each. Two forms are understood, also mixed in one file:
 *
 *   {"id": 7, "prompt": "Once upon"}
 *   {"id": "b", "tokens": [1, 9038], "max_tokens": 64, "temperature": 0.8, "top_k": 40, "top_p": 0.95,
 *    "seed": 3, "stop": ["\n\n", "Q:"], "policy": "svm", "kv": "verify", "logprobs": true}
 *   {"id": 8, "prompt": "Once upon", "follow": " a time"}
 *   {"custom_id": "c", "method": "POST", "url": "/v1/completions",
 *    "body": {"prompt": "Once", "max_tokens": 16}}
 *
 * "id" is any JSON value but null, another for each line, and given back as it is. "tokens" are used as
 * they are; a "prompt" is encoded, with BOS in front where the model's prompts begin with it. "stop" may
 * be one text. "policy" is the name of one of the plan's, or "full". "logprobs" asks for the five
 * likeliest tokens of each. What a line does not say is as or_batch_plan.settings has it.
 *
 * "follow" is the continuation that is gone along with, whatever is drawn: an array of token ids, or behind a
 * "prompt" a text. That is encoded with the prompt as one text; a token that has a part of both counts as
 * followed, and the prompt ends before it. "max_tokens" is its length and nothing ends it early; a line
 * that says otherwise is refused, as is one for which there is no room. The command line's stop texts do
 * not count for it.
 *
 * Lines with "custom_id" are OpenAI's batch lines. The body takes all of the above but "id" and "follow";
 * its "prompt" may be an array of token ids, its "logprobs" is 0..5; "model" is given back and not looked
 * at, "user" is ignored. Members that ask for what there is not (n, best_of, echo, suffix, stream,
 * logit_bias, penalties) may have the value that asks for nothing. Chat bodies ("messages") are refused.
 *
 * Results are JSON objects, a line each, in the order of the requests. They hold no times: the same
 * requests give the same bytes, whatever the ranks, the sequences in flight, and however often the run was
 * interrupted.
 *
 *   {"id": 7, "tokens": [263, 931, 2], "text": " a time", "exit_layers": [9, 16, 12], "top_probs": [...],
 *    "gaps": [...], "logprobs": [{"token": 263, "logprob": -0.31, "top": [[263, -0.31], ...]}, ...],
 *    "finish": "eos"}
 *   {"id": "b", "error": "wrong field: \"seed\" is a string, expected a whole number"}
 *   {"id": "c", "error": "numbers are not finite after layer 7"}
 *
 * "tokens" are all that were drawn, also those of a stop text and the token that ended it. "text" ends
 * before a stop text; broken UTF-8 never shows. Probabilities are those of the exit layer's distribution
 * before temperature. "logprobs" are there when they were asked for. "finish" is "length" (max_tokens),
 * "stop" (a stop text) or "eos". A request that was refused has "id" and "error" and nothing else; so has
 * one that has failed (or_job.fault), also when tokens of it were drawn before.
 *
 * Where a continuation was followed, "tokens" are what was drawn at each position, behind the followed
 * tokens before it; there is no "text", since together they are none; and "logprobs" are always there, of
 * the followed tokens ("top" is empty where they were not asked for): -sum(logprob)/n is the text's
 * cross-entropy. Under kv "verify" a draft that was confirmed counts as it was drawn, with the
 * probabilities of its exit layer.
 *
 * OpenAI's lines get OpenAI's form. "created" is 0; "finish_reason" is "stop" also for eos; "logprobs" is
 * null or the legacy form: in "tokens" a token that is no whole characters stands as its vocabulary writes
 * it, "text_offset" counts characters of "text" that were certain before the token. Refused ones, and those
 * that failed, have no response.
 *
 *   {"id": "batch_req_3", "custom_id": "c", "response": {"status_code": 200, "request_id": "req_3", "body":
 *    {"id": "cmpl-3", "object": "text_completion", "created": 0, "model": "m", "choices": [{"index": 0,
 *     "text": "...", "logprobs": null, "finish_reason": "length"}], "usage": {"prompt_tokens": 4,
 *     "completion_tokens": 16, "total_tokens": 20}}}, "error": null}
 *   {"id": "batch_req_4", "custom_id": "d", "response": null,
 *    "error": {"code": "invalid_request", "message": "..."}}
 *   {"id": "batch_req_5", "custom_id": "e", "response": null,
 *    "error": {"code": "server_error", "message": "numbers are not finite after layer 7"}}
 *
 * All functions are rank 0's and local but or_batch_run(), for which the other ranks serve.
 */
#ifndef OFFRAMP_BATCH_H
#define OFFRAMP_BATCH_H

#include <offramp/eval.h>
#include <offramp/pipeline.h>
#include <offramp/tokenizer.h>

enum { OR_BATCH_LOGPROBS = 5 }; /* likeliest tokens at most that a request may ask for */

/* What is wanted of a request. */
typedef struct or_batch_settings {
    size_t max_tokens; /* >= 1; cut to what the model's context leaves behind the prompt */
    or_sampling sampling;
    or_kv_policy kv;
    int policy;               /* index of the plan's policies, -1: full depth */
    const char *const *stops; /* [n_stops] texts, each not empty, behind which nothing is wanted */
    size_t n_stops;
    int logprobs; /* likeliest tokens to list, 0 .. OR_BATCH_LOGPROBS; -1: no probabilities at all */
} or_batch_settings;

/* What is run. Not owned; all of it must stay valid. */
typedef struct or_batch_plan {
    const char *input; /* a file of requests; "-": standard input */
    const char *model; /* how results call the model where a request does not */
    const or_tokenizer *tokenizer;
    const or_hparams *hparams;
    size_t longest;             /* or_pipeline_longest() */
    size_t room;                /* or_pipeline_room() */
    or_policy *const *policies; /* those of the pipeline, in its order */
    size_t n_policies;
    or_batch_settings settings; /* what a request does not say */
    bool ignore_ends;           /* the tokens that end a text (or_tokenizer_ends()) end none */

    /* Instead of `input`: one request, whose text is given to `text` as it comes, in whole characters.
     * Refused with OR_ERR_INPUT when the model cannot run it. */
    const char *prompt;
    or_status (*text)(void *context, const char *text, size_t size);
    void *context;
} or_batch_plan;

typedef struct or_batch or_batch;

/* Reads all requests before any runs. OR_ERR_INPUT names file and line when the file is no list of
 * requests: a line is no JSON object, has a member or the whole file an id twice, or an id is missing. A
 * request that asks for what cannot be (a member that is not known, a prompt that is too long) is not an
 * error: its result says so. */
or_status or_batch_open(const or_batch_plan *plan, or_batch **batch);
void or_batch_close(or_batch *batch); /* NULL is fine */

/* Says where results go: `path`, and "<path>.journal" for finished ones until all are there
 * (or_journal_open()); it stays. `fingerprint` is the model's. OR_ERR_INPUT when they are there and
 * `resume` is false, hold another run, are in use or cannot be written. A request that was
 * refused since the KV cache had no room for it runs where it has. Not for a plan with a prompt. */
or_status or_batch_output(or_batch *batch, const char *path, uint64_t fingerprint, bool resume);

/* Runs what is not in the journal yet, then writes the results. OR_STOPPED when stop() asked (may be
 * NULL): what was finished is in the journal, the rest begins anew. */
or_status or_batch_run(or_batch *batch, or_pipeline *pipeline, or_eval_show *show, bool (*stop)(void *),
                       void *context);

/* Figures after a run. NAN where there is nothing to count; seconds are of what this process ran, from the
 * moment that the request is admitted. */
typedef struct or_batch_summary {
    size_t requests, refused;
    size_t failed;   /* numbers were not finite (or_job.fault) */
    uint64_t tokens; /* of all continuations */
    double exit_layer_mean;
    double requests_per_second, tokens_per_second;
    double first_median, first_worst; /* until the first token */
    double last_median, last_worst;   /* until nothing more came */
    const or_run_stats *stats;        /* the batch's; n_stages 0 if it ran nothing */
} or_batch_summary;
or_status or_batch_summarise(const or_batch *batch, or_batch_summary *summary);

/* OR_ERR_FAILED when requests have failed, of whichever process: the message has their number and the first.
 * Everything is written nevertheless; to go on with such a run runs them no more, and ends the same. After
 * the run. */
or_status or_batch_check(const or_batch *batch);

#endif
