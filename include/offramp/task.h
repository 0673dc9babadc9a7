/* task.h - evaluation tasks: data sets, prompts with demonstrations, and what counts as a right answer.
 *
 * A task file (JSON) names a data set and says how a row becomes a prompt:
 *   {"name": "sst2", "format": "jsonl", "train": "train.jsonl", "test": "dev.jsonl", "input": "text",
 *    "output": "label", "prompt": "Q: {input}\nA:", "answer": " {output}", "separator": "\n\n",
 *    "metric": "first_token"}
 * A row is a set of named texts; {name} in a template is replaced by the row's text of that name, {{ and }}
 * stand for braces. {input} and {output} are the fields that "input" and "output" name.
 *
 * Keys that may be absent: "train" (no demonstrations then); "input" and "output" (what the format calls
 * question and answer: "input" and "output" of jsonl, json and csv, "question" and "answer" of mmlu,
 * commonsense_qa and squad); "answer" (" {output}"); "separator" ("\n\n"); "metric" ("first_token");
 * "description" ("", literal text before the demonstrations); "choices" (texts for the metric "choice",
 * each put into "answer" as {output}; mmlu and commonsense_qa have their letters without); and for the
 * metrics that look at a generated text "max_tokens" (32: its tokens at most) and "stop" ("\n": the text or
 * the list of texts at which it ends). Any other key is refused.
 *
 * A prompt is the description, per demonstration prompt + answer + separator, and the prompt of the row that
 * is asked about.
 *
 * Local and deterministic: every rank that builds the same instance gets the same tokens.
 */
#ifndef OFFRAMP_TASK_H
#define OFFRAMP_TASK_H

#include <offramp/tokenizer.h>

#include <stdbool.h>
#include <stdint.h>

typedef enum or_metric {
    OR_METRIC_FIRST_TOKEN, /* the next token's argmax equals the answer's first token (AdaInfer) */
    OR_METRIC_CHOICE,      /* the argmax over the choices' first tokens is the answer's (lm-eval's MMLU) */

    /* Of a generated text against the texts that count as right, as SQuAD v1.1's script does it: lower case,
     * without punctuation and articles, the best of several references. The references are the row's {output}
     * (without what "answer" puts around it), or all answers that squad has for a question. */
    OR_METRIC_EXACT_MATCH, /* 1 when it is one of them */
    OR_METRIC_F1           /* 0..1: harmonic mean of precision and recall of its words */
} or_metric;

typedef struct or_task or_task;

/* Reads a task file and its data. Paths in it are relative to `data_folder`, or, when that is NULL, to the
 * task file. OR_ERR_INPUT names file and line: no UTF-8, no JSON, a field missing, no rows, an unknown
 * format, metric or placeholder. `train` may be absent; then shots > 0 is refused by or_task_instance(). */
or_status or_task_load(const char *path, const char *data_folder, or_task **task);
void or_task_free(or_task *task); /* NULL is fine */

const char *or_task_name(const or_task *task);
or_metric or_task_metric(const or_task *task);
/* Generated answers: tokens at most, and the texts at which they end. 0 and none with the metrics that look
 * at one token. */
size_t or_task_max_tokens(const or_task *task);
const char *const *or_task_stops(const or_task *task, size_t *count);
size_t or_task_test_count(const or_task *task);
size_t or_task_train_count(const or_task *task);
uint64_t or_task_fingerprint(const or_task *task); /* hash of the task file's meaning and of all rows */

/* Which rows an evaluation runs over. */
typedef enum or_split { OR_SPLIT_TEST, OR_SPLIT_TRAIN } or_split;

typedef struct or_prompt_options {
    int shots;               /* demonstrations before the question */
    uint64_t seed;           /* which ones: drawn from the train rows without replacement */
    bool demos_per_instance; /* false: the same demonstrations for every instance of the run */
    or_split split;          /* rows asked about; with OR_SPLIT_TRAIN a row is never its own demonstration */
} or_prompt_options;

/* One question, ready to run. */
typedef struct or_instance {
    or_tokens prompt;     /* BOS as the tokenizer says */
    int32_t answer_token; /* the token after `prompt` that begins the answer; -1 with generated answers */
    or_tokens choices;    /* OR_METRIC_CHOICE: the first tokens of the choices, in order; else empty */
    /* Generated answers: [n_references] texts that count as right; else NULL. The texts are the task's. */
    const char **references;
    size_t n_references;
} or_instance;

/* Builds instance `index` of the split. answer_token is the first token of encode(prompt + answer) that is
 * not in encode(prompt); where the two part before the prompt's end, `prompt` is cut to their common part,
 * so that the answer token is what follows it. With OR_METRIC_CHOICE that common part is the one of
 * encode(prompt) and encode(prompt + choice) of all choices. Where the answer is generated the prompt is
 * encode(prompt), whatever the answer: it should not end in a space, which most tokenizers take for the
 * beginning of a word. OR_ERR_INPUT names task and row when the
 * answer adds no token, when nothing is left of the prompt, when there are fewer train rows than shots
 * (with OR_SPLIT_TRAIN: than shots + 1), or when two choices begin with the same token; OR_ERR_USAGE when
 * shots is negative. */
or_status or_task_instance(const or_task *task, const or_tokenizer *tokenizer,
                           const or_prompt_options *options, size_t index, or_instance *instance);
void or_instance_free(or_instance *instance);

/* The prompt's text as or_task_instance() encodes it, for people (malloc'ed). */
or_status or_task_prompt_text(const or_task *task, const or_prompt_options *options, size_t index,
                              char **text);

#endif
