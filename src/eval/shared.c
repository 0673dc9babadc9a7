/* shared.c - which prompts begin alike.
 *
 * In the order of a dictionary, the prompts that have the longest beginning in common with one are beside it:
 *
 *   1 5 7        2 with the next
 *   1 5 9 2 4    4 with the next, 2 with the one before
 *   1 5 9 2 8    4 with the one before
 *   3            0
 */
#include "shared.h"

#include "memory.h"

#include <offramp/span.h>

typedef struct entry {
    const or_tokens *tokens;
    size_t index;
} entry;

static size_t common_length(const or_tokens *a, const or_tokens *b)
{
    const size_t least = a->count < b->count ? a->count : b->count;
    size_t n = 0;
    while (n < least && a->ids[n] == b->ids[n]) n++;
    return n;
}

static int compare(const void *a, const void *b)
{
    const or_tokens *x = ((const entry *)a)->tokens, *y = ((const entry *)b)->tokens;
    const size_t n = common_length(x, y);
    if (n < x->count && n < y->count) return x->ids[n] < y->ids[n] ? -1 : 1;
    return (x->count > y->count) - (x->count < y->count);
}

or_status or_shared_prefixes(const or_tokens *const *prompts, size_t n, size_t *shared)
{
    entry *order = NULL;
    OR_TRY(OR_NEW(order, n));
    for (size_t i = 0; i < n; i++) order[i] = (entry){prompts[i], i};
    if (n > 0) qsort(order, n, sizeof *order, compare);
    size_t before = 0; /* with the one before */
    for (size_t i = 0; i < n; i++) {
        const size_t after = i + 1 < n ? common_length(order[i].tokens, order[i + 1].tokens) : 0;
        const size_t most = before > after ? before : after;
        shared[order[i].index] = most >= OR_PAGE ? most : 0;
        before = after;
    }
    free(order);
    return OR_OK;
}
