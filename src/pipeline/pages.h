/* pages.h - which pages of the KV cache are whose. Rank 0 knows it for all stages: page p of a request
 * is page p everywhere.
 *
 *   free -> taken by one continuation -> free
 *   free -> taken and shared: holds OR_PAGE tokens behind a known prefix, used by any number of requests
 *        -> idle (used by none, kept in case another comes) -> used again, or taken for something else
 *
 * A shared page is found by its tokens and the page before it, so what it holds is told by all tokens up to
 * its end. Who has a page of a prefix has those before it too, and gives back the last one first: so of a
 * prefix the pages become idle, and go, from its end.
 * Pure: plain memory, no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_PAGES_H
#define OFFRAMP_PIPELINE_PAGES_H

#include <offramp/span.h>
#include <offramp/status.h>

#include <stdbool.h>

typedef struct or_page {
    int32_t uses; /* requests that have it */
    bool shared,
        fed; /* fed: its tokens are in the pipeline or through it; what comes later may attend to them */
    uint64_t number;      /* of what it holds, from 1, never used twice */
    uint64_t parent;      /* number of the page before it, 0: it is the first */
    int32_t next;         /* page with the same hash, -1 */
    int32_t older, newer; /* idle: its neighbours among the idle ones, -1 */
    int32_t tokens[OR_PAGE];
} or_page;

typedef struct or_pages {
    or_page *pages; /* [n_pages] */
    size_t n_pages, n_free, n_idle;
    int32_t *free;          /* [n_free] a stack */
    int32_t *buckets;       /* [n_pages] first shared page of each hash, -1 */
    int32_t oldest, newest; /* idle page, in the order in which they became so; -1: none */
    uint64_t numbers;
} or_pages;

or_status or_pages_open(or_pages *pages, size_t n_pages);
void or_pages_close(or_pages *pages);

/* Pages that can be taken: free and idle ones. */
size_t or_pages_available(const or_pages *pages);

/* Takes a page; there must be one available. When none is free, the one that is idle for longest. */
int32_t or_pages_take(or_pages *pages);

/* One use less; with the last one the page is idle if it is shared and was fed, else free. Pages of a
 * request are released from the last to the first. */
void or_pages_release(or_pages *pages, int32_t page);

/* The shared page that holds these OR_PAGE tokens behind `parent` (a page, or -1), one use more; -1: none. */
int32_t or_pages_find(or_pages *pages, int32_t parent, const int32_t *tokens);

/* Makes a taken page shared: it is to hold these tokens behind `parent`, and is not fed yet. */
void or_pages_share(or_pages *pages, int32_t page, int32_t parent, const int32_t *tokens);

/* A prefix of n whole pages, tokens [n * OR_PAGE]: those of its pages that are there, one use more each, in
 * found[]; returns how many. */
int32_t or_pages_find_prefix(or_pages *pages, const int32_t *tokens, int32_t n, int32_t *found);

/* Takes the pages from `first` to n - 1 of such a prefix into prefix[n], of which those before `first` are
 * there, and makes them shared. There must be so many available. */
void or_pages_take_prefix(or_pages *pages, const int32_t *tokens, int32_t first, int32_t n, int32_t *prefix);

#endif
