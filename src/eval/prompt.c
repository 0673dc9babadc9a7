/* prompt.c - from a task's rows to prompts and answer tokens.
 *
 *   description | demonstration, separator | ... | prompt(row) | answer(row)
 *               '- prompt(d) answer(d) -'                       '- not part of the prompt
 *
 * Demonstrations are drawn without replacement by a partial Fisher-Yates shuffle with splitmix64 (Steele,
 * Lea, Flood 2014) as the source of randomness: whole numbers only, so the same on every machine.
 *
 * Answer tokens: a tokenizer may join the prompt's end and the answer's begin into one token ("A: " + "yes"
 * has the token "▁yes", while "A: " ends in "▁"). So prompt and prompt + answer are both encoded, and their
 * common part is the prompt:
 *   encode(prompt)           Q : ▁
 *   encode(prompt + answer)  Q : ▁yes          -> prompt "Q :", answer token "▁yes"
 * With choices, all must follow the same prompt: the common part of encode(prompt) and all continuations.
 * A generated answer is not known beforehand, so its prompt is encode(prompt).
 */
#include "task_struct.h"

#include <string.h>

static const or_dataset *split_of(const or_task *task, or_split split)
{
    return split == OR_SPLIT_TRAIN ? &task->train : &task->test;
}

/* splitmix64: the finaliser is also the mix of seed and index. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mix(*state);
}

/* Uniform in 0 .. bound-1: numbers below 2^64 mod bound are thrown away, the rest divides evenly. */
static size_t random_below(uint64_t *state, size_t bound)
{
    uint64_t limit = -(uint64_t)bound % bound, x;
    do x = next_random(state);
    while (x < limit);
    return (size_t)(x % bound);
}

/* A shuffled deck of 0 .. n-1 of which only the changed cards are kept: drawing k of a million rows costs k^2
 * look-ups, not a million. Card i < drawn has been dealt; the deck at `places[i]` holds `cards[i]`. */
typedef struct deck {
    size_t *places, *cards;
    size_t drawn, n;
    uint64_t random;
} deck;

static size_t card_at(const deck *from, size_t place)
{
    for (size_t i = from->drawn; i-- > 0;) /* the latest change counts */
        if (from->places[i] == place) return from->cards[i];
    return place;
}

/* Step i of Fisher-Yates: swaps card i with a random one of i .. n-1 and deals it. */
static size_t draw_card(deck *from)
{
    size_t i = from->drawn, j = i + random_below(&from->random, from->n - i);
    size_t card = card_at(from, j);
    from->places[i] = j;
    from->cards[i] = card_at(from, i);
    from->drawn++;
    return card;
}

/* Fills demos[shots] with rows of train. `self` is the row asked about when it is one of them, else SIZE_MAX:
 * drawn, it is skipped, so that all other instances keep their demonstrations. */
static or_status draw_demos(const or_task *task, const or_prompt_options *options, size_t index, size_t self,
                            size_t *demos)
{
    size_t shots = (size_t)options->shots;
    deck from = {.n = task->train.count, .random = options->seed};
    /* the seed is mixed first: else seed 1, row 2 would draw as seed 2, row 1 */
    if (options->demos_per_instance) from.random = mix(mix(options->seed + 1) + index);
    or_status status;
    /* one more than shots: `self` may be among the cards drawn */
    OR_TRY_GOTO(done, OR_NEW(from.places, shots + 1));
    OR_TRY_GOTO(done, OR_NEW(from.cards, shots + 1));
    for (size_t i = 0; i < shots;) {
        size_t card = draw_card(&from);
        if (card != self) demos[i++] = card;
    }
done:
    free(from.cards);
    free(from.places);
    return status;
}

/* Options and index against what the task has. With OR_SPLIT_TRAIN one more train row is needed: the row
 * itself may be drawn and is passed over. */
static or_status check_request(const or_task *task, const or_prompt_options *options, size_t index)
{
    const or_dataset *rows = split_of(task, options->split);
    if (index >= rows->count)
        return or_fail(OR_ERR_INPUT, "no such instance", task->name, "asked for row %zu of %zu", index + 1,
                       rows->count);
    if (options->shots < 0)
        return or_fail(OR_ERR_USAGE, "wrong shots", task->name, "found %d, expected 0 or more",
                       options->shots);
    size_t self = options->split == OR_SPLIT_TRAIN, shots = (size_t)options->shots;
    if (shots > 0 && task->train.count < shots + self)
        return or_fail(OR_ERR_INPUT, "too few demonstrations", task->name,
                       "row %zu asks for %zu shots, but the task has %zu train rows%s, give fewer shots or "
                       "more rows",
                       index + 1, shots, task->train.count, self ? ", this one among them" : "");
    return OR_OK;
}

/* Each demonstration is a train row as it would be asked, with its answer and the separator behind it. */
static or_status put_demos(const or_task *task, const or_prompt_options *options, size_t index,
                           or_buffer *text)
{
    if (options->shots == 0) return OR_OK;
    size_t *demos, self = options->split == OR_SPLIT_TRAIN ? index : SIZE_MAX;
    OR_TRY(OR_NEW(demos, (size_t)options->shots));
    or_status status = draw_demos(task, options, index, self, demos);
    for (int i = 0; i < options->shots && status == OR_OK; i++) {
        const or_row *demo = &task->train.rows[demos[i]];
        OR_TRY_GOTO(done, or_template_fill(&task->prompt, demo, NULL, text));
        OR_TRY_GOTO(done, or_template_fill(&task->answer, demo, NULL, text));
        OR_TRY_GOTO(done, or_buffer_puts(text, task->separator));
    }
done:
    free(demos);
    return status;
}

/* Everything up to the answer. */
static or_status put_prompt(const or_task *task, const or_prompt_options *options, size_t index,
                            or_buffer *text)
{
    OR_TRY(check_request(task, options, index));
    OR_TRY(or_buffer_puts(text, task->description));
    OR_TRY(put_demos(task, options, index, text));
    return or_template_fill(&task->prompt, &split_of(task, options->split)->rows[index], NULL, text);
}

or_status or_task_prompt_text(const or_task *task, const or_prompt_options *options, size_t index,
                              char **text)
{
    or_buffer made = {0};
    *text = NULL;
    or_status status = put_prompt(task, options, index, &made);
    if (status == OR_OK)
        *text = made.data;
    else
        or_buffer_free(&made);
    return status;
}

/* The answers whose first tokens are looked for, and what they become behind the prompt. */
typedef struct endings {
    size_t count;         /* the choices; 1 for the row's own answer alone */
    size_t right;         /* which of them is the row's answer */
    const char **outputs; /* [count] */
    or_tokens *whole;     /* [count] encode(prompt + answer) */
    or_tokens prompt;     /* encode(prompt) */
    size_t common;        /* tokens that the prompt and all of `whole` begin with */
} endings;

static void free_endings(endings *made)
{
    for (size_t i = 0; made->whole && i < made->count; i++) or_tokens_free(&made->whole[i]);
    or_tokens_free(&made->prompt);
    free(made->whole);
    free(made->outputs);
}

/* The texts that may follow: the task file's choices or else the row's own; without choices the answer
 * alone. The answer is among the choices (task_check.c), so `right` is always set. The texts are not
 * copied. */
static or_status list_outputs(const or_task *task, const or_row *row, endings *made)
{
    const char *answer = or_row_text(row, task->output);
    bool choice = task->metric == OR_METRIC_CHOICE;
    made->count = !choice ? 1 : task->n_choices ? task->n_choices : row->n_choices;
    OR_TRY(OR_NEW(made->outputs, made->count));
    OR_TRY(OR_NEW(made->whole, made->count));
    for (size_t i = 0; i < made->count; i++) {
        made->outputs[i] = !choice ? answer : task->n_choices ? task->choices[i] : row->choices[i];
        if (strcmp(made->outputs[i], answer) == 0) made->right = i;
    }
    return OR_OK;
}

/* Tokens, at most `limit`, with which both begin. */
static size_t common_prefix(const or_tokens *a, const or_tokens *b, size_t limit)
{
    size_t n = 0;
    while (n < limit && n < a->count && n < b->count && a->ids[n] == b->ids[n]) n++;
    return n;
}

/* Encodes the prompt in `text` and each of its endings; `text` is left as it was. */
static or_status encode_all(const or_task *task, const or_tokenizer *tokenizer, const or_row *row,
                            or_buffer *text, endings *made)
{
    size_t size = text->size;
    OR_TRY(or_tokenizer_encode(tokenizer, text->data, size, &made->prompt));
    made->common = made->prompt.count;
    for (size_t i = 0; i < made->count; i++) {
        const or_field instead = {task->output, (char *)made->outputs[i]};
        OR_TRY(or_template_fill(&task->answer, row, &instead, text));
        or_status status = or_tokenizer_encode(tokenizer, text->data, text->size, &made->whole[i]);
        text->size = size;
        text->data[size] = '\0';
        OR_TRY(status);
        made->common = common_prefix(&made->prompt, &made->whole[i], made->common);
    }
    return OR_OK;
}

/* Every ending must go on behind the common part, and no two in the same way. */
static or_status check_endings(const or_task *task, const or_dataset *dataset, const or_row *row,
                               const endings *made)
{
    size_t at = made->common;
    for (size_t i = 0; i < made->count; i++) {
        if (made->whole[i].count <= at)
            return or_dataset_refuse(
                dataset, row->place,
                "task \"%s\": the answer \"%s\" adds no token to the prompt, expected text", task->name,
                made->outputs[i]);
        for (size_t k = 0; k < i; k++)
            if (made->whole[i].ids[at] == made->whole[k].ids[at])
                return or_dataset_refuse(
                    dataset, row->place,
                    "task \"%s\": the choices \"%s\" and \"%s\" begin with the same token, "
                    "expected choices that the first token tells apart",
                    task->name, made->outputs[k], made->outputs[i]);
    }
    return OR_OK;
}

/* Takes the first `count` tokens of encode(prompt). BOS is no part of encode(), so it goes in front here,
 * once. */
static or_status fill_prompt(const or_task *task, const or_tokenizer *tokenizer, const or_dataset *dataset,
                             const or_row *row, const or_tokens *prompt, size_t count, or_instance *instance)
{
    if (or_tokenizer_adds_bos(tokenizer))
        OR_TRY(or_tokens_add(&instance->prompt, (int32_t)or_tokenizer_bos(tokenizer)));
    for (size_t i = 0; i < count; i++) OR_TRY(or_tokens_add(&instance->prompt, prompt->ids[i]));
    if (instance->prompt.count > 0) return OR_OK;
    return or_dataset_refuse(dataset, row->place,
                             "task \"%s\": the prompt has no token before the answer, expected some",
                             task->name);
}

/* Cuts the prompt to the common part and reads the answer token behind it. */
static or_status fill_instance(const or_task *task, const or_tokenizer *tokenizer, const or_dataset *dataset,
                               const or_row *row, const endings *made, or_instance *instance)
{
    OR_TRY(fill_prompt(task, tokenizer, dataset, row, &made->prompt, made->common, instance));
    instance->answer_token = made->whole[made->right].ids[made->common];
    if (task->metric != OR_METRIC_CHOICE) return OR_OK;
    for (size_t i = 0; i < made->count; i++)
        OR_TRY(or_tokens_add(&instance->choices, made->whole[i].ids[made->common]));
    return OR_OK;
}

/* An answer that is generated: its prompt, and the texts that count as right. Those beside the output field
 * are answers to the format's own question only. */
static or_status fill_generated(const or_task *task, const or_tokenizer *tokenizer, const or_dataset *dataset,
                                const or_row *row, const or_buffer *text, or_instance *instance)
{
    const bool several = row->n_answers > 0 && strcmp(task->output, dataset->format->output) == 0;
    or_tokens prompt = {0};
    or_status status = or_tokenizer_encode(tokenizer, text->data, text->size, &prompt);
    if (status == OR_OK) status = fill_prompt(task, tokenizer, dataset, row, &prompt, prompt.count, instance);
    or_tokens_free(&prompt);
    OR_TRY(status);
    instance->answer_token = -1;
    instance->n_references = several ? row->n_answers : 1;
    OR_TRY(OR_NEW(instance->references, instance->n_references));
    for (size_t i = 0; i < instance->n_references; i++)
        instance->references[i] = several ? row->answers[i] : or_row_text(row, task->output);
    return OR_OK;
}

/* Text first, then tokens: everything before the answer is one text that is encoded as a whole, since
 * tokens may reach over the borders of templates and demonstrations. */
or_status or_task_instance(const or_task *task, const or_tokenizer *tokenizer,
                           const or_prompt_options *options, size_t index, or_instance *instance)
{
    *instance = (or_instance){0};
    or_buffer text = {0};
    endings made = {0};
    or_status status = put_prompt(task, options, index, &text); /* checks index */
    if (status != OR_OK) goto done;
    const or_dataset *dataset = split_of(task, options->split);
    const or_row *row = &dataset->rows[index];
    if (task->max_tokens > 0) {
        status = fill_generated(task, tokenizer, dataset, row, &text, instance);
        goto done;
    }
    OR_TRY_GOTO(done, list_outputs(task, row, &made));
    OR_TRY_GOTO(done, encode_all(task, tokenizer, row, &text, &made));
    OR_TRY_GOTO(done, check_endings(task, dataset, row, &made));
    OR_TRY_GOTO(done, fill_instance(task, tokenizer, dataset, row, &made, instance));
done:
    free_endings(&made);
    or_buffer_free(&text);
    if (status != OR_OK) or_instance_free(instance);
    return status;
}

void or_instance_free(or_instance *instance)
{
    or_tokens_free(&instance->prompt);
    or_tokens_free(&instance->choices);
    free(instance->references);
    *instance = (or_instance){0};
}
