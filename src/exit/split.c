/* split.c - instances split into a part that fits, one that calibrates and one that tests.
 *
 * Rows of one request are alike, and so are one question's requests at 0, 5 and 10 shots: were some of them
 * in the fit part and others in the test part, the test would praise what was learned by heart. So whole
 * questions (task, index) are shuffled and dealt out.
 */
#include "train_internal.h"

#include "random.h"

#include <string.h>

uint64_t or_draw(uint64_t *state, uint64_t below)
{
    return or_random(state) % below; /* the remainder's bias is below 2^-40 for our ranges */
}

/* What is not for the test is halved, the odd one calibrates. 1e-9 makes 29 of 100 at a share of 0.29,
 * whose product is 28.999... */
void or_parts_count(size_t questions, double test_share, size_t *fit, size_t *calibration, size_t *test)
{
    *test = (size_t)((double)questions * test_share + 1e-9);
    *fit = (questions - *test) / 2;
    *calibration = questions - *test - *fit;
}

/* An item and what it is sorted by. */
typedef struct entry {
    const or_trace_item *item;
    size_t number;
} entry;

/* 0 for the same question, whatever its number of shots. */
static int compare_questions(const entry *a, const entry *b)
{
    int order = strcmp(a->item->task, b->item->task);
    return order ? order : (a->item->index > b->item->index) - (a->item->index < b->item->index);
}

/* A total order: qsort() is free to swap equals, and the split must be the same everywhere. */
static int compare_entries(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = compare_questions(x, y);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Writes the first entry of every question to starts [count + 1], with `count` behind the last; returns how
 * many questions there are. */
static size_t find_questions(const entry *entries, size_t count, size_t *starts)
{
    size_t questions = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || compare_questions(&entries[i - 1], &entries[i]) != 0) starts[questions++] = i;
    starts[questions] = count;
    return questions;
}

/* Fisher and Yates. */
static void shuffle(size_t *numbers, size_t count, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = count; i > 1; i--) {
        size_t j = or_draw(&state, i), kept = numbers[i - 1];
        numbers[i - 1] = numbers[j];
        numbers[j] = kept;
    }
}

or_status or_parts_make(const or_trace *trace, double test_share, uint64_t seed, or_parts *parts)
{
    entry *entries = NULL;
    size_t *starts = NULL, *dealt = NULL, n = trace->count, fit, calibration, test;
    or_status status = OR_OK;
    *parts = (or_parts){0};
    OR_TRY_GOTO(unwind, OR_NEW(entries, n));
    OR_TRY_GOTO(unwind, OR_NEW(starts, n + 1));
    OR_TRY_GOTO(unwind, OR_NEW(dealt, n));
    OR_TRY_GOTO(unwind, OR_NEW(parts->order, n));
    for (size_t i = 0; i < n; i++) entries[i] = (entry){&trace->items[i], i};
    qsort(entries, n, sizeof *entries, compare_entries);
    size_t questions = find_questions(entries, n, starts);
    for (size_t q = 0; q < questions; q++) dealt[q] = q;
    shuffle(dealt, questions, seed);
    or_parts_count(questions, test_share, &fit, &calibration, &test);
    size_t used = 0;
    /* counts are of questions until here; the parts' are of items, as the rest of training wants them */
    for (size_t q = 0; q < questions; q++) {
        size_t from = starts[dealt[q]], to = starts[dealt[q] + 1];
        for (size_t i = from; i < to; i++) parts->order[used++] = entries[i].number;
        *(q < fit                 ? &parts->n_fit
          : q < fit + calibration ? &parts->n_calibration
                                  : &parts->n_test) += to - from;
    }
unwind:
    free(dealt);
    free(starts);
    free(entries);
    return status;
}

/* The items of a question lie together in the order. */
void or_parts_thin(const or_trace *trace, uint64_t seed, or_parts *parts)
{
    size_t *items = parts->order + parts->n_fit, kept = 0;
    uint64_t state = seed ^ UINT64_C(0x0ddc1a9e5b7f3d21); /* apart from the split's */
    for (size_t from = 0, to; from < parts->n_calibration; from = to) {
        const entry first = {&trace->items[items[from]], 0};
        for (to = from + 1; to < parts->n_calibration; to++)
            if (compare_questions(&first, &(entry){&trace->items[items[to]], 0}) != 0) break;
        items[kept++] = items[from + or_draw(&state, to - from)];
    }
    memmove(items + kept, items + parts->n_calibration, parts->n_test * sizeof *items);
    parts->n_calibration = kept;
}

const size_t *or_parts_judging(const or_parts *parts, size_t *count)
{
    *count = parts->n_test > 0 ? parts->n_test : parts->n_calibration;
    return parts->order + parts->n_fit + (parts->n_test > 0 ? parts->n_calibration : 0);
}

void or_parts_free(or_parts *parts)
{
    free(parts->order);
    *parts = (or_parts){0};
}
