/* wave_wire.c - the form of a wave on the wire. A head, then without gaps
 *
 *   riders   [n_riders]            plain structs, the sender's byte order
 *   lists    [n_list]              int32
 *   hidden   [n_rows, width]       float32
 *   attn     [n_riders, width]     float32, with taps
 *   mlp      [n_riders, width]     float32, with taps
 *   ghosts   [n_ghosts, width]     float32
 */
#include "wave.h"

#include <math.h>
#include <string.h>

/* The magic refuses other bytes, and those of a machine with the other byte order. */
typedef struct wire_head {
    uint32_t magic;
    int32_t layer;
    uint64_t width, taps, n_riders, n_rows, n_list, n_ghosts, waited;
} wire_head;
enum { MAGIC = 0x6f726d79 };

/* Bytes of a wave with these counts; false when they exceed what MPI can send at once. The counts may come
 * from the wire: with each at most 2^31 no product overflows 128 bits. */
static bool wire_size(const wire_head *head, size_t *size)
{
    const uint64_t most = (uint64_t)1 << 31;
    if (head->n_riders > most || head->n_rows > most || head->n_list > most || head->n_ghosts > most ||
        head->width > most)
        return false;
    const unsigned __int128 row = head->width * sizeof(float);
    unsigned __int128 total = sizeof *head;
    total += (unsigned __int128)head->n_riders * sizeof(or_rider);
    total += (unsigned __int128)head->n_list * sizeof(int32_t);
    total += (head->n_rows + (unsigned __int128)head->n_ghosts) * row;
    if (head->taps) total += head->n_riders * row * 2;
    *size = (size_t)total;
    return total < most;
}

static wire_head head_of(const or_wave *wave)
{
    return (wire_head){MAGIC,        wave->layer,  wave->width,    wave->taps,  wave->n_riders,
                       wave->n_rows, wave->n_list, wave->n_ghosts, wave->waited};
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
    const size_t row = wave->width * sizeof(float), tap_bytes = wave->taps ? wave->n_riders * row : 0;
    char *at = put(bytes, &head, sizeof head);
    at = put(at, wave->riders, wave->n_riders * sizeof *wave->riders);
    at = put(at, wave->lists, wave->n_list * sizeof *wave->lists);
    at = put(at, wave->hidden, wave->n_rows * row);
    at = put(at, wave->attn, tap_bytes);
    at = put(at, wave->mlp, tap_bytes);
    put(at, wave->ghosts, wave->n_ghosts * row);
}

static const char *get(const char *at, void *to, size_t size)
{
    if (size) memcpy(to, at, size);
    return at + size;
}

static bool tokens_fit(const int32_t *tokens, int32_t count, size_t below)
{
    for (int32_t i = 0; i < count; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= below) return false;
    return true;
}

static bool is_flag(int32_t value)
{
    return value == 0 || value == 1;
}

static bool sampling_fits(const or_sampling *how)
{
    return how->temperature >= 0 && isfinite(how->temperature) && how->top_k >= 0 && how->top_p > 0 &&
           how->top_p <= 1;
}

/* A step's own numbers; `end` is the position behind its last row, and bounded by the pages that there are.
 * */
static bool step_fits(const or_step *step, int64_t end, const or_wave_limits *limits)
{
    return step->slot >= 0 && (size_t)step->slot < limits->n_slots && step->position >= 0 &&
           step->ghosts >= 0 && step->ghosts <= step->position &&
           step->n_pages == (end + OR_PAGE - 1) / OR_PAGE && (size_t)step->n_pages <= limits->n_pages &&
           step->asks >= 0 && step->kv >= 0 && step->kv < OR_KV_POLICIES && step->exits_at >= 0 &&
           step->exits_at <= limits->n_layers && step->target >= -1 && step->target < limits->n_vocab &&
           is_flag(step->pushed) && is_flag(step->drafted) && is_flag(step->likeliest) && step->fault >= 0 &&
           step->fault <= (step->kv == OR_KV_VERIFY ? limits->n_layers : 0) && step->fault_position >= 0 &&
           sampling_fits(&step->sampling);
}

/* That of a scored prompt, which is in none of the pages, or of a prefix, which is in all of them to `end`. */
static bool scored_step_fits(const or_rider *rider, int64_t end, const or_wave_limits *limits)
{
    const or_step *step = &rider->step;
    const bool asks = step->asks == 0, fills = step->asks == INT32_MAX;
    const int64_t paged = asks ? step->position : (end + OR_PAGE - 1) / OR_PAGE * OR_PAGE;
    return step->position >= 0 && step->n_pages >= 0 && (size_t)step->n_pages <= limits->n_pages &&
           (int64_t)step->n_pages * OR_PAGE == paged && step->ghosts == 0 && step->fault == 0 &&
           step->exits_at >= 0 && step->exits_at <= (asks ? limits->n_layers : 0) &&
           (asks || (fills && rider->policy == -1 && !rider->observe));
}

static bool rider_fits(const or_rider *rider, const or_wave_limits *limits)
{
    if (rider->rows < 1 || rider->n_choices < 0 || rider->policy < -1 || !is_flag(rider->observe))
        return false;
    if (rider->state.stable < 0 || rider->state.stable > limits->n_layers || isnan(rider->state.message))
        return false;
    if (rider->policy >= 0 && (size_t)rider->policy >= limits->n_policies) return false;
    if (rider->n_short < 0 || rider->n_short > OR_SHORTLIST) return false;
    if (!tokens_fit(rider->shortlist, rider->n_short, (size_t)limits->n_vocab)) return false;
    const int64_t end = (int64_t)rider->step.position + rider->rows;
    return rider->step.sequence ? step_fits(&rider->step, end, limits) : scored_step_fits(rider, end, limits);
}

/* Rows, lists and ghosts of the riders must add up to the wave's. Makes the spans, which are not sent, as
 * they follow from the riders. */
static bool riders_fit(or_wave *wave, const wire_head *head, const or_wave_limits *limits)
{
    uint64_t rows = 0, list = 0, ghosts = 0;
    for (size_t r = 0; r < head->n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        if (!rider_fits(rider, limits)) return false;
        wave->spans[r] =
            (or_span){.first = (int32_t)rows, .count = rider->rows, .position = rider->step.position};
        rows += (uint64_t)rider->rows;
        list += (uint64_t)rider->n_choices + (uint64_t)rider->step.n_pages;
        ghosts += (uint64_t)rider->step.ghosts;
        if (rows > head->n_rows || list > head->n_list || ghosts > head->n_ghosts) return false;
    }
    return rows == head->n_rows && list == head->n_list && ghosts == head->n_ghosts;
}

/* Choices are tokens, pages are pages. */
static bool lists_fit(const or_wave *wave, size_t n_riders, const or_wave_limits *limits)
{
    const int32_t *list = wave->lists;
    for (size_t r = 0; r < n_riders; r++) {
        const or_rider *rider = &wave->riders[r];
        if (!tokens_fit(list, rider->n_choices, (size_t)limits->n_vocab)) return false;
        if (!tokens_fit(list + rider->n_choices, rider->step.n_pages, limits->n_pages)) return false;
        list += or_rider_list(rider);
    }
    return true;
}

/* Sizes are checked before anything is reserved or read by them. On failure the wave is empty or as it
 * was. */
or_status or_wave_decode(or_wave *wave, const void *bytes, size_t size, const or_wave_limits *limits)
{
    const char *what = "wave from the previous rank refused";
    wire_head head;
    size_t expected;
    float *ghosts;
    if (size < sizeof head) return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, expected a head", size);
    const char *at = get(bytes, &head, sizeof head);
    if (head.magic != MAGIC || head.width != wave->width || head.taps != wave->taps || head.layer < 0 ||
        head.waited > 1)
        return or_fail(OR_ERR_PEER, what, NULL,
                       "its head is of another job, do all ranks run the same command?");
    if (!wire_size(&head, &expected) || expected != size)
        return or_fail(OR_ERR_PEER, what, NULL, "found %zu bytes, its head asks for another size", size);

    or_wave_clear(wave);
    OR_TRY(or_wave_reserve(wave, head.n_riders, head.n_rows, head.n_list));
    OR_TRY(or_wave_add_ghosts(wave, head.n_ghosts, &ghosts));
    wave->n_ghosts = 0;
    const size_t row = wave->width * sizeof(float), tap_bytes = wave->taps ? head.n_riders * row : 0;
    at = get(at, wave->riders, head.n_riders * sizeof *wave->riders);
    if (!riders_fit(wave, &head, limits))
        return or_fail(OR_ERR_PEER, what, NULL, "its requests do not add up to its rows");
    at = get(at, wave->lists, head.n_list * sizeof *wave->lists);
    if (!lists_fit(wave, head.n_riders, limits))
        return or_fail(OR_ERR_PEER, what, NULL, "it has tokens or pages that this rank does not know");
    at = get(at, wave->hidden, head.n_rows * row);
    at = get(at, wave->attn, tap_bytes);
    at = get(at, wave->mlp, tap_bytes);
    get(at, wave->ghosts, head.n_ghosts * row);
    wave->layer = head.layer;
    wave->waited = head.waited != 0;
    wave->n_riders = head.n_riders;
    wave->n_rows = head.n_rows;
    wave->n_list = head.n_list;
    wave->n_ghosts = head.n_ghosts;
    return OR_OK;
}
