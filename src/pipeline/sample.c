/* sample.c - drawing a token from a row of logits: temperature, top-k (Fan et al. 2018, arXiv 1805.04833,
 * section 5.4), nucleus (Holtzman et al. 2020, arXiv 1904.09751, section 3.1).
 *
 *   logits -> heap, greatest first -> top_k of them -> the likeliest up to top_p -> one of these by u
 *
 * The heap lies in scratch and is taken down from its end, as heapsort does: what was taken stands behind
 * it, the first in the last place. So only what is looked at is sorted, and nothing at all where nothing is
 * left out.
 *
 * For the same token everywhere, sums are in double and in one order, and e^x is or_exp(), which is
 * arithmetic of our own and not the machine's library.
 */
#include "sample.h"

#include "vector.h"

#include <math.h>
#include <xxhash.h>

static or_status refuse(const char *where, const char *field, double found, const char *expected)
{
    return or_fail(OR_ERR_INPUT, "sampling refused", where, "%s is %g, expected %s", field, found, expected);
}

/* Written so that NaN is refused. */
or_status or_sampling_check(const or_sampling *how, const char *where)
{
    if (!(how->temperature >= 0) || isinf(how->temperature))
        return refuse(where, "temperature", how->temperature, "a finite number, 0 or more");
    if (how->top_k < 0) return refuse(where, "top_k", how->top_k, "0 or more");
    if (!(how->top_p > 0 && how->top_p <= 1))
        return refuse(where, "top_p", how->top_p, "more than 0 and at most 1");
    return OR_OK;
}

static size_t likeliest(const float *logits, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* Uniform in [0, 1): a multiple of 2^-53. */
static double uniform(uint64_t seed, int64_t position)
{
    const uint64_t key[2] = {seed, (uint64_t)position};
    return (double)(XXH3_64bits(key, sizeof key) >> 11) * 0x1p-53;
}

/* One row, how to draw from it, and where. */
typedef struct draw {
    const or_sampling *how;
    const float *logits; /* [n] */
    size_t n, best;      /* best: the likeliest token */
    double scale;        /* 1 / temperature */
    double u;
} draw;

enum { BLOCK = 256 }; /* weights computed at a time */

/* A probability up to a factor: e^((logit - greatest) / temperature). What or_exp() would clamp is nothing,
 * so that a token far below is never drawn. */
OR_INLINE float weight(double logit, double greatest, double scale)
{
    const double x = (logit - greatest) * scale;
    return x > -87 ? or_exp((float)x) : 0;
}

static double weight_of(const draw *d, float logit)
{
    return weight(logit, d->logits[d->best], d->scale);
}

/* Weights of the tokens from `from` on, at most BLOCK of them; returns how many. */
OR_CLONES static size_t weigh_block(const draw *d, size_t from, float *weights)
{
    const size_t count = d->n - from < BLOCK ? d->n - from : BLOCK;
    const double greatest = d->logits[d->best], scale = d->scale;
    for (size_t i = 0; i < count; i++) weights[i] = weight(d->logits[from + i], greatest, scale);
    return count;
}

/* Of all tokens, by their ids. */
static double total_weight(const draw *d)
{
    float weights[BLOCK];
    double total = 0;
    for (size_t from = 0; from < d->n; from += BLOCK)
        for (size_t i = 0, count = weigh_block(d, from, weights); i < count; i++) total += weights[i];
    return total;
}

/* ---- the heap ------------------------------------------------------------------------------------------ */

static bool goes_before(const or_token_logit *a, const or_token_logit *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->token < b->token);
}

/* Puts heap[at] in its place below; `n` entries, each before its children 2 at + 1 and 2 at + 2. */
static void sift(or_token_logit *heap, size_t n, size_t at)
{
    const or_token_logit moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && goes_before(&heap[child + 1], &heap[child])) child++;
        if (!goes_before(&heap[child], &moved)) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void make_heap(const float *logits, size_t n, or_token_logit *heap)
{
    for (size_t i = 0; i < n; i++) heap[i] = (or_token_logit){(int32_t)i, logits[i]};
    for (size_t at = n / 2; at-- > 0;) sift(heap, n, at);
}

/* Moves the first of `n` entries behind the others: heap[n - 1]. */
static void take_first(or_token_logit *heap, size_t n)
{
    const or_token_logit first = heap[0];
    heap[0] = heap[n - 1];
    sift(heap, n - 1, 0);
    heap[n - 1] = first;
}

/* ---- drawing ------------------------------------------------------------------------------------------- */

/* Over all tokens, by their ids. The sum ends as the total, of which u < 1 is less: it finds a token. */
static int32_t draw_any(const draw *d)
{
    const double aim = d->u * total_weight(d);
    float weights[BLOCK];
    double sum = 0;
    for (size_t from = 0; from < d->n; from += BLOCK)
        for (size_t i = 0, count = weigh_block(d, from, weights); i < count; i++)
            if ((sum += weights[i]) > aim) return (int32_t)(from + i);
    return (int32_t)d->best;
}

/* Among the k likeliest; heap[n - i] is the i-th of them, once it was taken. With k = n their sum is over
 * ids, since they need not all be taken. */
static int32_t draw_likely(const draw *d, size_t k, or_token_logit *heap)
{
    const size_t n = d->n;
    double total = k == n ? total_weight(d) : 0, mass = 0, sum = 0;
    size_t taken = 0, kept = 0;
    make_heap(d->logits, n, heap);
    for (; k < n && taken < k; total += weight_of(d, heap[n - taken].logit)) take_first(heap, n - taken++);
    do {
        if (kept == taken) take_first(heap, n - taken++);
        mass += weight_of(d, heap[n - ++kept].logit);
    } while (kept < k && mass < d->how->top_p * total);
    for (size_t i = 1; i <= kept; i++) {
        sum += weight_of(d, heap[n - i].logit);
        if (sum > d->u * mass) return heap[n - i].token;
    }
    return (int32_t)d->best;
}

int32_t or_sample(const or_sampling *how, int64_t position, const float *logits, size_t n,
                  or_token_logit *scratch)
{
    const size_t best = likeliest(logits, n);
    if (how->temperature == 0) return (int32_t)best;
    const draw d = {how, logits, n, best, 1.0 / how->temperature, uniform(how->seed, position)};
    const size_t k = how->top_k > 0 && (size_t)how->top_k < n ? (size_t)how->top_k : n;
    return k == n && how->top_p == 1 ? draw_any(&d) : draw_likely(&d, k, scratch);
}

int32_t or_best_tokens(const float *logits, size_t n, or_token_logit *best, int32_t most)
{
    int32_t count = 0;
    for (size_t token = 0; token < n; token++) {
        if (count == most && !(logits[token] > best[most - 1].logit)) continue;
        int32_t at = count < most ? count++ : most - 1;
        for (; at > 0 && logits[token] > best[at - 1].logit; at--) best[at] = best[at - 1];
        best[at] = (or_token_logit){(int32_t)token, logits[token]};
    }
    return count;
}
