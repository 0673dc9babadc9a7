/* wave.c - building, merging, compacting waves, and their form on the wire.
 *
 * Invariants: spans follow each other without gaps from row 0 on, in the order of the riders, and add up
 * to n_rows; choices likewise. So the choices of a rider begin where those before it end, and need no
 * index of their own.
 */
#include "wave.h"

#include <string.h>

void or_wave_init(or_wave *wave, size_t width, bool taps)
{
    *wave = (or_wave){.width = width, .taps = taps};
}

void or_wave_free(or_wave *wave)
{
    free(wave->riders);
    free(wave->spans);
    free(wave->choices);
    free(wave->hidden);
    free(wave->attn);
    free(wave->mlp);
    or_wave_init(wave, wave->width, wave->taps);
}

void or_wave_clear(or_wave *wave)
{
    wave->layer = 0;
    wave->n_riders = wave->n_rows = wave->n_choices = 0;
}

/* Room for `riders` riders, `rows` rows and `choices` choices in all. */
static or_status reserve(or_wave *wave, size_t riders, size_t rows, size_t choices)
{
    OR_RESERVE(wave->riders, wave->riders_capacity, riders);
    OR_RESERVE(wave->spans, wave->spans_capacity, riders);
    OR_RESERVE(wave->choices, wave->choices_capacity, choices);
    OR_RESERVE(wave->hidden, wave->hidden_capacity, rows * wave->width);
    if (!wave->taps) return OR_OK;
    OR_RESERVE(wave->attn, wave->attn_capacity, riders * wave->width);
    OR_RESERVE(wave->mlp, wave->mlp_capacity, riders * wave->width);
    return OR_OK;
}

/* memcpy() that may be asked for nothing: an array that never grew is NULL. */
static void copy(void *to, const void *from, size_t count, size_t size)
{
    if (count) memcpy(to, from, count * size);
}

/* Taps of zeros stand for what is before the first layer: their cosine with anything is 0 (or_cosine()). */
or_status or_wave_add(or_wave *wave, const or_rider *rider, const int32_t *choices)
{
    const size_t r = wave->n_riders, n_choices = (size_t)rider->n_choices;
    OR_TRY(reserve(wave, r + 1, wave->n_rows + (size_t)rider->rows, wave->n_choices + n_choices));
    wave->riders[r] = *rider;
    wave->spans[r] = (or_span){.first = (int32_t)wave->n_rows, .count = rider->rows};
    copy(wave->choices + wave->n_choices, choices, n_choices, sizeof *choices);
    if (wave->taps) {
        memset(wave->attn + r * wave->width, 0, wave->width * sizeof(float));
        memset(wave->mlp + r * wave->width, 0, wave->width * sizeof(float));
    }
    wave->n_riders++;
    wave->n_rows += (size_t)rider->rows;
    wave->n_choices += n_choices;
    return OR_OK;
}

/* A rider's rows stay together and in order, so it computes the same in any wave. */
or_status or_wave_append(or_wave *wave, const or_wave *other)
{
    const size_t riders = wave->n_riders, rows = wave->n_rows, width = wave->width;
    OR_TRY(reserve(wave, riders + other->n_riders, rows + other->n_rows, wave->n_choices + other->n_choices));
    copy(wave->riders + riders, other->riders, other->n_riders, sizeof *other->riders);
    for (size_t r = 0; r < other->n_riders; r++)
        wave->spans[riders + r] =
            (or_span){.first = other->spans[r].first + (int32_t)rows, .count = other->spans[r].count};
    copy(wave->choices + wave->n_choices, other->choices, other->n_choices, sizeof *other->choices);
    copy(wave->hidden + rows * width, other->hidden, other->n_rows * width, sizeof(float));
    if (wave->taps) {
        copy(wave->attn + riders * width, other->attn, other->n_riders * width, sizeof(float));
        copy(wave->mlp + riders * width, other->mlp, other->n_riders * width, sizeof(float));
    }
    wave->layer = other->layer;
    wave->n_riders += other->n_riders;
    wave->n_rows += other->n_rows;
    wave->n_choices += other->n_choices;
    return OR_OK;
}

/* Moves rider `from` to place `to` <= from, its rows to `row` and its choices to `choice`. All move
 * towards the front, and may overlap where they were: hence memmove(). */
static void move_rider(or_wave *wave, size_t from, size_t to, size_t row, size_t choice_from, size_t choice)
{
    const size_t width = wave->width, bytes = width * sizeof(float);
    const or_span span = wave->spans[from];
    memmove(wave->hidden + row * width, wave->hidden + (size_t)span.first * width,
            (size_t)span.count * bytes);
    if (wave->taps) {
        memmove(wave->attn + to * width, wave->attn + from * width, bytes);
        memmove(wave->mlp + to * width, wave->mlp + from * width, bytes);
    }
    if (wave->riders[from].n_choices > 0)
        memmove(wave->choices + choice, wave->choices + choice_from,
                (size_t)wave->riders[from].n_choices * sizeof *wave->choices);
    wave->riders[to] = wave->riders[from];
    wave->spans[to] = (or_span){.first = (int32_t)row, .count = span.count};
}

/* In place and in one pass; riders before the first that leaves do not move. */
void or_wave_compact(or_wave *wave, const bool *leaves)
{
    size_t kept = 0, row = 0, choice = 0, choice_from = 0;
    for (size_t r = 0; r < wave->n_riders; r++) {
        const size_t n_choices = (size_t)wave->riders[r].n_choices, rows = (size_t)wave->spans[r].count;
        if (!leaves[r]) {
            if (kept < r) move_rider(wave, r, kept, row, choice_from, choice);
            kept++;
            row += rows;
            choice += n_choices;
        }
        choice_from += n_choices;
    }
    wave->n_riders = kept;
    wave->n_rows = row;
    wave->n_choices = choice;
}

/* On the wire: this head, then without gaps
 *   riders   [n_riders]            plain structs, the sender's byte order
 *   choices  [n_choices]           int32
 *   hidden   [n_rows, width]       float32
 *   attn     [n_riders, width]     float32, with taps
 *   mlp      [n_riders, width]     float32, with taps
 * The magic refuses other bytes, and those of a machine with the other byte order. */
typedef struct wire_head {
    uint32_t magic;
    int32_t layer;
    uint64_t width, taps, n_riders, n_rows, n_choices;
} wire_head;
enum { MAGIC = 0x6f726d77 };

/* Bytes of a wave with these counts; false when they exceed what MPI can send at once. The counts may come
 * from the wire: with each at most 2^31 no product overflows 128 bits. */
static bool wire_size(const wire_head *head, size_t *size)
{
    const uint64_t most = (uint64_t)1 << 31;
    if (head->n_riders > most || head->n_rows > most || head->n_choices > most || head->width > most)
        return false;
    unsigned __int128 total = sizeof *head;
    total += (unsigned __int128)head->n_riders * sizeof(or_rider);
    total += (unsigned __int128)head->n_choices * sizeof(int32_t);
    total += (unsigned __int128)head->n_rows * head->width * sizeof(float);
    if (head->taps) total += (unsigned __int128)head->n_riders * head->width * 2 * sizeof(float);
    *size = (size_t)total;
    return total < most;
}

static wire_head head_of(const or_wave *wave)
{
    return (wire_head){MAGIC,          wave->layer,  wave->width,    wave->taps,
                       wave->n_riders, wave->n_rows, wave->n_choices};
}

/* 0 when a message cannot hold it. */
size_t or_wave_wire_size(const or_wave *wave)
{
    const wire_head head = head_of(wave);
    size_t size;
    return wire_size(&head, &size) ? size : 0;
}

/* Copies, and gives the place behind; get() likewise. */
static char *put(char *at, const void *from, size_t size)
{
    if (size) memcpy(at, from, size);
    return at + size;
}

void or_wave_encode(const or_wave *wave, void *bytes)
{
    const wire_head head = head_of(wave);
    const size_t tap_bytes = wave->taps ? wave->n_riders * wave->width * sizeof(float) : 0;
    char *at = put(bytes, &head, sizeof head);
    at = put(at, wave->riders, wave->n_riders * sizeof *wave->riders);
    at = put(at, wave->choices, wave->n_choices * sizeof *wave->choices);
    at = put(at, wave->hidden, wave->n_rows * wave->width * sizeof(float));
    at = put(at, wave->attn, tap_bytes);
    put(at, wave->mlp, tap_bytes);
}

static const char *get(const char *at, void *to, size_t size)
{
    if (size) memcpy(to, at, size);
    return at + size;
}

/* Rows and choices of the riders must add up to the wave's, and their policies must exist. Makes the
 * spans, which are not sent, as they follow from the rows. */
static bool riders_fit(or_wave *wave, const wire_head *head, size_t n_policies)
{
    uint64_t rows = 0, choices = 0;
    for (size_t r = 0; r < head->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        if (rider->rows < 1 || rider->n_choices < 0 || rider->policy < -1) return false;
        if (rider->policy >= 0 && (size_t)rider->policy >= n_policies) return false;
        wave->spans[r] = (or_span){.first = (int32_t)rows, .count = rider->rows};
        rows += (uint64_t)rider->rows;
        choices += (uint64_t)rider->n_choices;
        if (rows > head->n_rows || choices > head->n_choices) return false;
    }
    return rows == head->n_rows && choices == head->n_choices;
}

/* Sizes are checked before anything is reserved or read by them. Choices are checked against the
 * vocabulary by the caller (take_wave()), which has the model. On failure the wave is empty or as it was. */
or_status or_wave_decode(or_wave *wave, const void *bytes, size_t size, size_t n_policies)
{
    const char *what = "wave from the previous rank refused";
    wire_head head;
    size_t expected;
    if (size < sizeof head) return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, expected a head", size);
    const char *at = get(bytes, &head, sizeof head);
    if (head.magic != MAGIC || head.width != wave->width || head.taps != wave->taps || head.layer < 0)
        return or_fail(OR_ERR_PEER, what, NULL,
                       "its head is of another job, do all ranks run the same command?");
    if (!wire_size(&head, &expected) || expected != size)
        return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, its head asks for another size", size);

    or_wave_clear(wave);
    OR_TRY(reserve(wave, head.n_riders, head.n_rows, head.n_choices));
    const size_t tap_bytes = wave->taps ? head.n_riders * wave->width * sizeof(float) : 0;
    at = get(at, wave->riders, head.n_riders * sizeof *wave->riders);
    if (!riders_fit(wave, &head, n_policies))
        return or_fail(OR_ERR_PEER, what, NULL, "its requests do not add up to its rows");
    at = get(at, wave->choices, head.n_choices * sizeof *wave->choices);
    at = get(at, wave->hidden, head.n_rows * wave->width * sizeof(float));
    at = get(at, wave->attn, tap_bytes);
    get(at, wave->mlp, tap_bytes);
    wave->layer = head.layer;
    wave->n_riders = head.n_riders;
    wave->n_rows = head.n_rows;
    wave->n_choices = head.n_choices;
    return OR_OK;
}

size_t or_take_within(const size_t *sizes, size_t n, size_t budget)
{
    size_t taken = 0, sum = 0;
    while (taken < n && (taken == 0 || sum + sizes[taken] <= budget)) sum += sizes[taken++];
    return taken;
}
