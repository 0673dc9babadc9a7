/* split.c - the steps that cut a text, over PCRE2. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "split.h"

#include <pcre2.h>
#include <string.h>

/* A pattern, ready to match; compiled code is read-only, so that threads share it. */
typedef struct step {
    char *pattern; /* as it was given */
    bool literal;
    pcre2_code *code;
} step;

struct or_splits {
    step *steps;
    size_t n_steps, capacity;
};

/* Bounds of one match, so that a pattern that backtracks without end is an error and not a hang: steps of
 * the matcher, memory in KiB, bytes of the compiled matcher's stack. A pattern of a real model needs one
 * step or so for each character. */
enum { MATCH_STEPS = 10000000, MATCH_HEAP = 1 << 18, MATCH_STACK = 1 << 24 };

/* Compiles the pattern; where the machine allows it, to machine code (else PCRE2 interprets it). */
static or_status compile(const char *pattern, bool literal, const char *where, pcre2_code **code)
{
    int error;
    size_t at;
    uint32_t may_be_empty = 0;
    const uint32_t options = literal ? PCRE2_LITERAL | PCRE2_UTF : PCRE2_UTF | PCRE2_UCP;
    *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, options, &error, &at, NULL);
    if (!*code) {
        char found[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)found, sizeof found);
        return or_fail(OR_ERR_INPUT, "tokenizer refused", where,
                       "its pattern breaks at byte %zu of \"%s\": %s", at, pattern, found);
    }
    pcre2_pattern_info(*code, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
    if (may_be_empty) {
        pcre2_code_free(*code);
        return or_fail(OR_ERR_INPUT, "tokenizer refused", where,
                       "its pattern \"%s\" may match nothing at all, expected at least a character", pattern);
    }
    pcre2_jit_compile(*code, PCRE2_JIT_COMPLETE);
    return OR_OK;
}

/* Takes over `code` when it succeeds. */
static or_status add_step(or_splits *splits, const char *pattern, bool literal, pcre2_code *code)
{
    OR_RESERVE(splits->steps, splits->capacity, splits->n_steps + 1);
    step *added = &splits->steps[splits->n_steps];
    OR_TRY(or_strdup(pattern, &added->pattern));
    added->literal = literal;
    added->code = code;
    splits->n_steps++;
    return OR_OK;
}

/* A literal needs no translation; it goes through the same buffer for the sake of one call. */
or_status or_splits_add(or_splits **splits, const char *pattern, bool literal, const char *where)
{
    or_buffer translated = {0};
    pcre2_code *code = NULL;
    if (!*splits) OR_TRY(OR_NEW(*splits, 1));
    or_status status =
        literal ? or_buffer_puts(&translated, pattern) : or_split_translate(pattern, where, &translated);
    if (status == OR_OK) status = compile(translated.data, literal, where, &code);
    or_buffer_free(&translated);
    OR_TRY(status);
    status = add_step(*splits, pattern, literal, code);
    if (status != OR_OK) pcre2_code_free(code);
    return status;
}

void or_splits_free(or_splits *splits)
{
    if (!splits) return;
    for (size_t i = 0; i < splits->n_steps; i++) {
        pcre2_code_free(splits->steps[i].code);
        free(splits->steps[i].pattern);
    }
    free(splits->steps);
    free(splits);
}

/* By the pattern's text as the file had it: another spelling of the same pattern is another one. */
bool or_splits_are(const or_splits *splits, const char *const *patterns)
{
    const size_t n_steps = splits ? splits->n_steps : 0;
    for (size_t i = 0; i < n_steps; i++, patterns++)
        if (!*patterns || splits->steps[i].literal || strcmp(splits->steps[i].pattern, *patterns) != 0)
            return false;
    return !*patterns;
}

/* What one thread needs to match. */
typedef struct matcher {
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
} matcher;

static void free_matcher(matcher *m)
{
    pcre2_jit_stack_free(m->stack);
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
}

/* The limit on steps grows with the text, since a pattern may well need a step for each of its characters.
 * The data hold one pair of places (the whole match): groups are not asked for. */
static or_status make_matcher(size_t size, matcher *m)
{
    enum { STACK_AT_FIRST = 1 << 15 };
    *m = (matcher){.context = pcre2_match_context_create(NULL),
                   .data = pcre2_match_data_create(1, NULL),
                   .stack = pcre2_jit_stack_create(STACK_AT_FIRST, MATCH_STACK, NULL)};
    if (!m->context || !m->data) { /* without the compiled matcher the stack is NULL, and not needed */
        free_matcher(m);
        return or_fail_memory(STACK_AT_FIRST);
    }
    pcre2_set_match_limit(m->context, MATCH_STEPS + (uint32_t)size);
    pcre2_set_heap_limit(m->context, MATCH_HEAP);
    if (m->stack) pcre2_jit_stack_assign(m->context, NULL, m->stack);
    return OR_OK;
}

/* The end of the next piece; or_tokenizer_encode() keeps sizes far below 4 GiB. */
static or_status add_cut(or_cuts *cuts, size_t end)
{
    OR_RESERVE(cuts->ends, cuts->capacity, cuts->count + 1);
    cuts->ends[cuts->count++] = (uint32_t)end;
    return OR_OK;
}

/* As a rule a limit was reached, which is a matter of this text and pattern, so the message names the
 * pattern. */
static or_status refuse_match(const step *by, int error)
{
    char found[128] = "";
    pcre2_get_error_message(error, (PCRE2_UCHAR *)found, sizeof found);
    return or_fail(OR_ERR_INPUT, "text refused", NULL, "the tokenizer's pattern \"%s\" cannot be matched: %s",
                   by->pattern, found);
}

/* Cuts bytes [begin, end) of the text. The pattern sees nothing before and behind them; within them
 * look-behind sees what was cut already, as the search goes on from `at` in the same piece. The text was
 * checked to be UTF-8, so PCRE2 need not check it again for each match, which would take quadratic time. */
static or_status cut_piece(const step *by, const matcher *m, const char *text, size_t begin, size_t end,
                           or_cuts *cuts)
{
    const PCRE2_SPTR piece = (PCRE2_SPTR)text + begin;
    size_t at = 0;
    while (at < end - begin) {
        const int found =
            pcre2_match(by->code, piece, end - begin, at, PCRE2_NO_UTF_CHECK, m->data, m->context);
        if (found == PCRE2_ERROR_NOMATCH) return add_cut(cuts, end);
        if (found < 0) return refuse_match(by, found);
        const size_t *match = pcre2_get_ovector_pointer(m->data);
        if (match[0] > at) OR_TRY(add_cut(cuts, begin + match[0]));
        OR_TRY(add_cut(cuts, begin + match[1]));
        at = match[1];
    }
    return OR_OK;
}

/* Cuts every piece of `from` further, into `to`. */
static or_status cut_pieces(const step *by, const matcher *m, const char *text, const or_cuts *from,
                            or_cuts *to)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        OR_TRY(cut_piece(by, m, text, i ? from->ends[i - 1] : 0, from->ends[i], to));
    return OR_OK;
}

/* One piece at first, the whole text. Each step reads one list of cuts and writes the other; then they
 * change places. */
or_status or_splits_cut(const or_splits *splits, const char *text, size_t size, or_cuts *cuts)
{
    matcher m;
    or_cuts next = {0};
    cuts->count = 0;
    OR_TRY(add_cut(cuts, size));
    if (!splits) return OR_OK;
    OR_TRY(make_matcher(size, &m));
    or_status status = OR_OK;
    for (size_t i = 0; i < splits->n_steps && status == OR_OK; i++) {
        status = cut_pieces(&splits->steps[i], &m, text, cuts, &next);
        const or_cuts held = *cuts;
        *cuts = next;
        next = held;
    }
    free(next.ends);
    free_matcher(&m);
    return status;
}
