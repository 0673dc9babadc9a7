/* outcome.h - what came of an instance: all that results and figures are made of, and what a journal line
 * holds.
 *
 * One token, or a generated answer, which comes token by token:
 *
 *   or_continuation_open() -> or_continuation_put(token) ... -> or_continuation_end() -> or_outcome
 */
#ifndef OFFRAMP_EVAL_OUTCOME_H
#define OFFRAMP_EVAL_OUTCOME_H

#include "json.h"

#include <offramp/pipeline.h>
#include <offramp/task.h>

typedef struct or_outcome {
    bool done;
    int32_t token; /* the prediction; for a choice its first token; of a generated answer its first token */
    int32_t exit_layer; /* of that token, and so gap and top_prob */
    float gap, top_prob;
    char *text;           /* generated answers: UTF-8, before the stop text; else NULL */
    int32_t *exit_layers; /* [n_tokens] of all its tokens, the first one's too; else NULL */
    size_t n_tokens;
    int32_t
        fault; /* or_job.fault()'s layer, 0: it was answered. If not, token is -1, exit_layer that layer, and
                    * a text empty and without tokens */

    /* not in the journal: these follow from the task */
    bool correct; /* the answer token; a generated answer: it is, normalised, one of the references */
    double score; /* by the task's metric, 0..1 */
} or_outcome;

void or_outcome_free(or_outcome *outcome); /* {0} is fine */

/* That of an instance that has failed: judged, and done. */
or_status or_outcome_fail(or_outcome *outcome, int layer, bool generated);

/* Appends "numbers are not finite after layer 7", as messages and results have it. */
or_status or_outcome_put_fault(int layer, or_buffer *out);

/* Sets correct and score. */
or_status or_outcome_judge(or_outcome *outcome, or_metric metric, const or_instance *instance);

/* Appends the members of a journal line, with a comma before each, floats so that they read back to the same
 * bits:
 *
 *   ,"token":3869,"exit_layer":9,"gap":0.41,"top_prob":0.62
 *   ,"token":3869,"exit_layer":9,"gap":0.41,"top_prob":0.62,"text":" Denver Broncos","exit_layers":[9,16,12]
 *   ,"token":-1,"exit_layer":7,"gap":0,"top_prob":0,"error":"numbers are not finite after layer 7"
 */
or_status or_outcome_put(const or_outcome *outcome, or_buffer *line);
or_status or_outcome_put_text(const or_outcome *outcome, or_buffer *line); /* those of the text only */
or_status or_outcome_put_error(const or_outcome *outcome,
                               or_buffer *line); /* that one; nothing without a fault */

/* Reads them back into *outcome ({0}) and says that it is done. `max_tokens` is the task's: 0 where no
 * text is expected. OR_ERR_INPUT, naming `where`, for what no run has written. */
or_status or_outcome_take(const cJSON *line, const char *where, const or_hparams *hparams, size_t max_tokens,
                          or_outcome *outcome);

/* A generated answer while its tokens come. */
typedef struct or_continuation or_continuation;

/* The tokenizer must outlive it. */
or_status or_continuation_open(const or_tokenizer *tokenizer, const or_task *task,
                               const or_instance *instance, or_continuation **continuation);
void or_continuation_close(or_continuation *continuation); /* NULL is fine */

/* Takes the next token; *more becomes false when a stop text is complete. */
or_status or_continuation_put(or_continuation *continuation, const or_token *token, bool *more);

/* After the last token, of which there must be one: *outcome ({0}) is all but judged, and done. */
or_status or_continuation_end(or_continuation *continuation, or_outcome *outcome);

#endif
