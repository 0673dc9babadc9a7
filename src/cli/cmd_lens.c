/* cmd_lens.c - offramp lens: what every layer would say next (logit lens), per prompt.
 *
 *   in   {"id": "a", "prompt": "Once upon a time"}     id: any JSON value but null, given back as it is
 *        {"id": 2, "tokens": [1, 9038, 2501]}
 *   out  {"id": "a", "tokens": [...],
 *         "layers": [{"layer": 1, "token": 15, "top_prob": .., "gap": .., "cos_attn": .., ...}, ...],
 *         "logits_top10": [[727, 18.2], ...], "logsumexp": 19.1}      of the full model, greatest first
 *        {"id": 2, "tokens": [...], "error": "numbers are not finite after layer 7"}
 */
#include "cli.h"

#include "file.h"
#include "log.h"
#include "requests.h"
#include "shared.h"

#include <stdio.h>

static or_common common = {.timeout = OR_TIMEOUT, .wave_tokens = 1024};
static char *input, *output;

static or_option options[] = {
    OR_OPTION_MODEL(common),
    {"input", OR_OPTION_PATH, &input, "FILE", "requests, a JSON object a line: id, and prompt or tokens", 0,
     0, false},
    {"output", OR_OPTION_TEXT, &output, "FILE", "JSON lines to write", 0, 0, false},
    OR_OPTIONS_KEPT(common),
    OR_OPTION_DROP_LAYERS(common),
    OR_OPTIONS_PIPELINE(common),
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "lens --model M --input requests.jsonl --output lens.jsonl [options]",
    .summary =
        "For each prompt and layer: the token that the final norm and output projection give there, its\n"
        "probability, the gap to the second, and how much the layer changed its vectors (cosines); and the\n"
        "ten greatest logits of the full model. \"tokens\" are used as they are, a \"prompt\" is encoded.",
    .example = "mpirun -n 2 offramp lens --model llama-2-7b --input prompts.jsonl --output lens.jsonl",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, NULL, 0, helped));
    if (*helped) return OR_OK;
    OR_TRY(or_options_need(options, "model"));
    OR_TRY(or_options_need(options, "input"));
    return or_options_need(options, "output");
}

/* One line of the input, and of the output. */
typedef struct prompt {
    char *id; /* as JSON */
    or_tokens tokens;
    size_t n_shared; /* see or_request */
    or_buffer line;
    int fault; /* or_job.fault()'s layer */
} prompt;

typedef struct run {
    or_session *session;
    or_pipeline *pipeline;
    or_request_reader reader;
    prompt *prompts;
    size_t n_prompts, capacity;
    size_t n_done;
    size_t n_failed, first_failed; /* whose numbers are not finite; the first of the file's */
    or_progress progress;
} run;

/* ---- input -------------------------------------------------------------------------------------------- */

/* Counted before its status is looked at: what was read of it is freed with the rest. */
static or_status take_request(void *context, const cJSON *object, size_t line, const char *where)
{
    (void)line;
    run *r = context;
    OR_RESERVE(r->prompts, r->capacity, r->n_prompts + 1);
    prompt *p = &r->prompts[r->n_prompts++];
    *p = (prompt){0};
    OR_TRY(or_request_id(object, "id", where, &p->id));
    return or_request_tokens(&r->reader, or_json_find(object, "tokens"), or_json_find(object, "prompt"),
                             where, &p->tokens);
}

static or_status find_shared(run *r)
{
    const or_tokens **all = NULL;
    size_t *shared = NULL;
    or_status status = OR_NEW(all, r->n_prompts);
    if (status == OR_OK) status = OR_NEW(shared, r->n_prompts);
    for (size_t i = 0; i < r->n_prompts && status == OR_OK; i++) all[i] = &r->prompts[i].tokens;
    if (status == OR_OK) status = or_shared_prefixes(all, r->n_prompts, shared);
    for (size_t i = 0; i < r->n_prompts && status == OR_OK; i++) r->prompts[i].n_shared = shared[i];
    free(shared);
    free(all);
    return status;
}

/* Rank 0. All requests are read before the first one runs, so a bad line costs nothing. */
static or_status prepare(run *r)
{
    or_buffer file = {0};
    r->reader = (or_request_reader){
        .model = common.model,
        .hparams = or_pipeline_hparams(r->pipeline),
        .longest = or_pipeline_longest(r->pipeline),
    };
    or_status status = or_progress_open(&common, r->session, "lens", &r->progress);
    if (status == OR_OK) status = or_file_read(input, &file);
    if (status == OR_OK) status = or_requests_each(&file, input, take_request, r);
    if (status == OR_OK) status = find_shared(r);
    or_tokenizer_close(r->reader.opened);
    or_buffer_free(&file);
    return status;
}

/* ---- output ------------------------------------------------------------------------------------------- */

static or_status put_float(or_buffer *out, const char *key, float value)
{
    OR_TRY(or_buffer_printf(out, ", \"%s\": ", key));
    return or_json_put_float(out, value);
}

/* Cosines are 0 where there is no layer before (policy.h). */
static or_status put_layer(or_buffer *out, const or_observation *seen)
{
    OR_TRY(or_buffer_printf(out, "%s{\"layer\": %d, \"token\": %d", seen->layer > 1 ? ", " : "", seen->layer,
                            seen->token));
    OR_TRY(put_float(out, "top_prob", seen->top_prob));
    OR_TRY(put_float(out, "gap", seen->gap));
    OR_TRY(put_float(out, "cos_attn", seen->cos_attn));
    OR_TRY(put_float(out, "cos_mlp", seen->cos_mlp));
    OR_TRY(put_float(out, "cos_hidden", seen->cos_hidden));
    return or_buffer_puts(out, "}");
}

static or_status put_prompt(prompt *p)
{
    or_buffer *out = &p->line;
    OR_TRY(or_buffer_printf(out, "{\"id\": %s, \"tokens\": [", p->id));
    for (size_t i = 0; i < p->tokens.count; i++)
        OR_TRY(or_buffer_printf(out, "%s%d", i ? ", " : "", p->tokens.ids[i]));
    return or_buffer_puts(out, "]");
}

/* The line of one prompt, kept until all are there. */
static or_status put_answer(prompt *p, const or_answer *answer)
{
    or_buffer *out = &p->line;
    OR_TRY(put_prompt(p));
    OR_TRY(or_buffer_puts(out, ", \"layers\": ["));
    for (int layer = 0; layer < answer->exit.layer; layer++) OR_TRY(put_layer(out, &answer->seen[layer]));
    OR_TRY(or_buffer_puts(out, "], \"logits_top10\": ["));
    for (int i = 0; i < answer->n_best; i++) {
        OR_TRY(or_buffer_printf(out, "%s[%d, ", i ? ", " : "", answer->best[i].token));
        OR_TRY(or_json_put_float(out, answer->best[i].logit));
        OR_TRY(or_buffer_puts(out, "]"));
    }
    OR_TRY(or_buffer_puts(out, "]"));
    OR_TRY(put_float(out, "logsumexp", answer->logsumexp));
    return or_buffer_puts(out, "}\n");
}

/* Full depth: a request that left would not show the layers behind its exit. */
static or_status give_request(void *context, size_t index, or_request *request)
{
    const run *r = context;
    const prompt *p = &r->prompts[index];
    *request = (or_request){
        .tokens = p->tokens.ids,
        .n_tokens = p->tokens.count,
        .n_shared = p->n_shared,
        .policy = -1,
        .observe = true,
    };
    return OR_OK;
}

/* In any order; the lines are put into that of the input at the end. */
static or_status take_answer(void *context, size_t index, const or_answer *answer)
{
    run *r = context;
    or_progress_part(&r->progress, ++r->n_done, r->n_prompts, "prompts");
    return put_answer(&r->prompts[index], answer);
}

static or_status take_fault(void *context, size_t index, int layer)
{
    run *r = context;
    prompt *p = &r->prompts[index];
    p->fault = layer;
    if (r->n_failed++ == 0 || index < r->first_failed) r->first_failed = index;
    or_progress_part(&r->progress, ++r->n_done, r->n_prompts, "prompts");
    OR_TRY(put_prompt(p));
    return or_buffer_printf(&p->line, ", \"error\": \"numbers are not finite after layer %d\"}\n", layer);
}

/* Rank 0, after all is written. */
static or_status check(const run *r)
{
    if (r->n_failed == 0) return OR_OK;
    return or_fail(OR_ERR_FAILED, "prompts failed", NULL,
                   "%zu of %zu, the first has the id %s: numbers are not finite after layer %d%s",
                   r->n_failed, r->n_prompts, r->prompts[r->first_failed].id,
                   r->prompts[r->first_failed].fault,
                   r->n_failed == r->n_prompts ? "; are the weights damaged?" : "");
}

/* Rank 0. The file appears whole, or not at all: after a stop nothing is written. */
static or_status drive(void *context)
{
    run *r = context;
    const or_job job = {
        .n_requests = r->n_prompts,
        .context = r,
        .request = give_request,
        .answer = take_answer,
        .stop = or_stop_asked,
        .fault = take_fault,
        .name = "lens",
    };
    or_run_stats *stats = NULL; /* large: one entry per possible stage */
    or_buffer all = {0};
    OR_TRY(OR_NEW(stats, 1));
    or_status status = or_pipeline_run(r->pipeline, &job, stats);
    or_progress_close(&r->progress);
    for (size_t i = 0; i < r->n_prompts && status == OR_OK; i++)
        status = or_buffer_append(&all, r->prompts[i].line.data, r->prompts[i].line.size);
    if (status == OR_OK) status = or_file_write(output, all.data, all.size);
    if (status == OR_OK && !common.quiet) printf("%zu prompts: %s\n", r->n_prompts, output);
    or_run_stats_free(stats);
    free(stats);
    or_buffer_free(&all);
    return status;
}

/* Collective; the steps are those of cmd_eval.c. The pipeline has taps for the cosines and no policies. */
static or_status run_lens(or_session *session)
{
    run r = {.session = session};
    or_status status = or_transport_agree(session->transport, or_common_apply(&common, session));
    if (status != OR_OK) return status;
    OR_TRY_GOTO(release, or_common_open(&common, session, true, NULL, 0, &r.pipeline));
    OR_TRY_GOTO(release, or_transport_agree(session->transport, session->rank == 0 ? prepare(&r) : OR_OK));
    or_stop_install();
    status = or_session_drive(session, r.pipeline, drive, &r);
    if (status == OR_OK) {
        session->whole = true;
        status = check(&r);
    }
    if (status == OR_STOPPED) or_log_note("stopped on request, nothing was written");

release:
    or_pipeline_close(r.pipeline);
    for (size_t i = 0; i < r.n_prompts; i++) {
        cJSON_free(r.prompts[i].id);
        or_tokens_free(&r.prompts[i].tokens);
        or_buffer_free(&r.prompts[i].line);
    }
    free(r.prompts);
    return status;
}

static void release(void)
{
    or_options_free(options);
}

const or_command or_command_lens = {
    "lens",  "what every layer would say next, with the features of exit policies", true, parse, run_lens,
    release,
};
