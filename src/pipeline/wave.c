/* wave.c - building, merging, growing and compacting waves.
 *
 * Invariants: spans follow each other without gaps from row 0 on, in the order of the riders, and add up
 * to n_rows; lists likewise. So the list of a rider begins where those before it end, and needs no index of
 * its own.
 */
#include "wave.h"

#include <math.h>
#include <string.h>

void or_wave_init(or_wave *wave, size_t width, bool taps)
{
    *wave = (or_wave){.width = width, .taps = taps};
}

void or_wave_free(or_wave *wave)
{
    free(wave->riders);
    free(wave->spans);
    free(wave->lists);
    free(wave->hidden);
    free(wave->attn);
    free(wave->mlp);
    free(wave->ghosts);
    or_wave_init(wave, wave->width, wave->taps);
}

void or_wave_clear(or_wave *wave)
{
    wave->layer = 0;
    wave->waited = false;
    wave->n_riders = wave->n_rows = wave->n_list = wave->n_ghosts = 0;
}

or_status or_wave_reserve(or_wave *wave, size_t riders, size_t rows, size_t list)
{
    OR_RESERVE(wave->riders, wave->riders_capacity, riders);
    OR_RESERVE(wave->spans, wave->spans_capacity, riders);
    OR_RESERVE(wave->lists, wave->lists_capacity, list);
    OR_RESERVE(wave->hidden, wave->hidden_capacity, rows * wave->width);
    if (!wave->taps) return OR_OK;
    OR_RESERVE(wave->attn, wave->attn_capacity, riders * wave->width);
    OR_RESERVE(wave->mlp, wave->mlp_capacity, riders * wave->width);
    return OR_OK;
}

or_status or_wave_add_ghosts(or_wave *wave, size_t count, float **rows)
{
    OR_RESERVE(wave->ghosts, wave->ghosts_capacity, (wave->n_ghosts + count) * wave->width);
    *rows = wave->ghosts + wave->n_ghosts * wave->width;
    wave->n_ghosts += count;
    return OR_OK;
}

/* memcpy() that may be asked for nothing: an array that never grew is NULL. */
static void copy(void *to, const void *from, size_t count, size_t size)
{
    if (count) memcpy(to, from, count * size);
}

/* Taps of zeros stand for what is before the first layer: their cosine with anything is 0 (or_cosine()). */
or_status or_wave_add(or_wave *wave, const or_rider *rider, const int32_t *choices, const int32_t *pages)
{
    const size_t r = wave->n_riders, n_choices = (size_t)rider->n_choices,
                 n_list = (size_t)or_rider_list(rider);
    OR_TRY(or_wave_reserve(wave, r + 1, wave->n_rows + (size_t)rider->rows, wave->n_list + n_list));
    wave->riders[r] = *rider;
    wave->spans[r] =
        (or_span){.first = (int32_t)wave->n_rows, .count = rider->rows, .position = rider->step.position};
    copy(wave->lists + wave->n_list, choices, n_choices, sizeof *choices);
    copy(wave->lists + wave->n_list + n_choices, pages, n_list - n_choices, sizeof *pages);
    if (wave->taps) {
        memset(wave->attn + r * wave->width, 0, wave->width * sizeof(float));
        memset(wave->mlp + r * wave->width, 0, wave->width * sizeof(float));
    }
    wave->n_riders++;
    wave->n_rows += (size_t)rider->rows;
    wave->n_list += n_list;
    return OR_OK;
}

/* A rider's rows stay together and in order, so it computes the same in any wave. */
or_status or_wave_append(or_wave *wave, const or_wave *other)
{
    const size_t riders = wave->n_riders, rows = wave->n_rows, width = wave->width;
    OR_TRY(
        or_wave_reserve(wave, riders + other->n_riders, rows + other->n_rows, wave->n_list + other->n_list));
    copy(wave->riders + riders, other->riders, other->n_riders, sizeof *other->riders);
    copy(wave->spans + riders, other->spans, other->n_riders, sizeof *other->spans);
    for (size_t r = riders; r < riders + other->n_riders; r++) wave->spans[r].first += (int32_t)rows;
    copy(wave->lists + wave->n_list, other->lists, other->n_list, sizeof *other->lists);
    copy(wave->hidden + rows * width, other->hidden, other->n_rows * width, sizeof(float));
    if (wave->taps) {
        copy(wave->attn + riders * width, other->attn, other->n_riders * width, sizeof(float));
        copy(wave->mlp + riders * width, other->mlp, other->n_riders * width, sizeof(float));
    }
    wave->layer = other->layer;
    wave->n_riders += other->n_riders;
    wave->n_rows += other->n_rows;
    wave->n_list += other->n_list;
    return OR_OK;
}

/* Riders of a sequence that lie behind each other, as the pieces of a long prompt do, may go together. */
bool or_wave_conflicts(const or_wave *wave, const or_wave *next)
{
    for (size_t n = 0; n < next->n_riders; n++) {
        const or_step *later = &next->riders[n].step;
        for (size_t r = 0; later->sequence && r < wave->n_riders; r++) {
            const or_rider *rider = &wave->riders[r];
            if (rider->step.sequence == later->sequence &&
                rider->step.position + rider->rows > later->position)
                return true;
        }
    }
    return false;
}

/* From the last rider to the first, since all rows move towards the end. */
or_status or_wave_grow(or_wave *wave, const int32_t *more)
{
    const size_t width = wave->width;
    size_t grown = 0;
    for (size_t r = 0; r < wave->n_riders; r++) grown += (size_t)more[r];
    if (grown == 0) return OR_OK;
    OR_TRY(or_wave_reserve(wave, wave->n_riders, wave->n_rows + grown, wave->n_list));
    wave->n_rows += grown;
    for (size_t r = wave->n_riders; r-- > 0 && grown > 0;) {
        or_span *span = &wave->spans[r];
        const size_t from = (size_t)span->first;
        memmove(wave->hidden + (from + grown) * width, wave->hidden + from * width,
                (size_t)span->count * width * sizeof(float));
        grown -= (size_t)more[r];
        span->first = (int32_t)(from + grown);
        span->count += more[r];
        span->position -= more[r];
        wave->riders[r].rows = span->count;
        wave->riders[r].step.position = span->position;
    }
    return OR_OK;
}

void or_wave_bind_pages(or_wave *wave)
{
    const int32_t *list = wave->lists;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        wave->spans[r].pages = rider->step.n_pages > 0 ? list + rider->n_choices : NULL;
        wave->spans[r].reads_only = rider->step.sequence == 0 && !or_step_is_prefix(&rider->step);
        list += or_rider_list(rider);
    }
}

size_t or_wave_requests(const or_wave *wave)
{
    size_t n = 0;
    for (size_t r = 0; r < wave->n_riders; r++) n += !or_step_is_prefix(&wave->riders[r].step);
    return n;
}

/* Moves rider `from` to place `to` <= from, its rows to `row` and its list to `list`. All move towards the
 * front, and may overlap where they were: hence memmove(). */
static void move_rider(or_wave *wave, size_t from, size_t to, size_t row, size_t list_from, size_t list)
{
    const size_t width = wave->width, bytes = width * sizeof(float);
    const or_span span = wave->spans[from];
    memmove(wave->hidden + row * width, wave->hidden + (size_t)span.first * width,
            (size_t)span.count * bytes);
    if (wave->taps) {
        memmove(wave->attn + to * width, wave->attn + from * width, bytes);
        memmove(wave->mlp + to * width, wave->mlp + from * width, bytes);
    }
    const int32_t n_list = or_rider_list(&wave->riders[from]);
    if (n_list > 0)
        memmove(wave->lists + list, wave->lists + list_from, (size_t)n_list * sizeof *wave->lists);
    wave->riders[to] = wave->riders[from];
    wave->spans[to] = span;
    wave->spans[to].first = (int32_t)row;
}

/* In place and in one pass; riders before the first that leaves do not move. */
void or_wave_compact(or_wave *wave, const bool *leaves)
{
    size_t kept = 0, row = 0, list = 0, list_from = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const size_t n_list = (size_t)or_rider_list(&wave->riders[r]), rows = (size_t)wave->spans[r].count;
        if (!leaves[r]) {
            if (kept < r) move_rider(wave, r, kept, row, list_from, list);
            kept++;
            row += rows;
            list += n_list;
        }
        list_from += n_list;
    }
    wave->n_riders = kept;
    wave->n_rows = row;
    wave->n_list = list;
}

size_t or_take_within(const size_t *sizes, size_t n, size_t budget)
{
    size_t taken = 0, sum = 0;
    while (taken < n && (taken == 0 || sum + sizes[taken] <= budget)) sum += sizes[taken++];
    return taken;
}

size_t or_wave_budget(size_t most, int n_stages, size_t rows, size_t begun, size_t left)
{
    if (n_stages == 1) return most;
    double share = (double)rows; /* at first as many as were begun, at last a stage's share of what is left */
    if (begun > 0 && left < SIZE_MAX) share = fmin(share, share / (double)begun * (double)left / n_stages);
    share = fmax(share, OR_WAVE_LEAST);
    return share < (double)most ? (size_t)share : most;
}
