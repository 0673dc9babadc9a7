/* pages.c - taking, sharing and giving back pages. */
#include "pages.h"

#include "memory.h"

#include <string.h>
#include <xxhash.h>

or_status or_pages_open(or_pages *pages, size_t n_pages)
{
    *pages = (or_pages){.n_pages = n_pages, .oldest = -1, .newest = -1};
    OR_TRY(OR_NEW(pages->pages, n_pages));
    OR_TRY(OR_NEW(pages->free, n_pages));
    OR_TRY(OR_NEW(pages->buckets, n_pages));
    for (size_t i = 0; i < n_pages; i++) {
        pages->free[i] = (int32_t)(n_pages - 1 - i); /* the first page is taken first */
        pages->buckets[i] = -1;
    }
    pages->n_free = n_pages;
    return OR_OK;
}

void or_pages_close(or_pages *pages)
{
    free(pages->pages);
    free(pages->free);
    free(pages->buckets);
    *pages = (or_pages){0};
}

size_t or_pages_available(const or_pages *pages)
{
    return pages->n_free + pages->n_idle;
}

/* ---- idle ones ---------------------------------------------------------------------------------------- */

static void append_idle(or_pages *pages, int32_t page)
{
    or_page *p = &pages->pages[page];
    p->older = pages->newest;
    p->newer = -1;
    *(p->older >= 0 ? &pages->pages[p->older].newer : &pages->oldest) = page;
    pages->newest = page;
    pages->n_idle++;
}

static void remove_idle(or_pages *pages, int32_t page)
{
    const or_page *p = &pages->pages[page];
    *(p->older >= 0 ? &pages->pages[p->older].newer : &pages->oldest) = p->newer;
    *(p->newer >= 0 ? &pages->pages[p->newer].older : &pages->newest) = p->older;
    pages->n_idle--;
}

/* ---- shared ones -------------------------------------------------------------------------------------- */

static int32_t *bucket_of(or_pages *pages, uint64_t parent, const int32_t *tokens)
{
    const uint64_t hash = XXH3_64bits_withSeed(tokens, OR_PAGE * sizeof *tokens, parent);
    return &pages->buckets[hash % pages->n_pages];
}

static uint64_t number_of(const or_pages *pages, int32_t page)
{
    return page < 0 ? 0 : pages->pages[page].number;
}

int32_t or_pages_find(or_pages *pages, int32_t parent, const int32_t *tokens)
{
    const uint64_t number = number_of(pages, parent);
    int32_t found = *bucket_of(pages, number, tokens);
    for (; found >= 0; found = pages->pages[found].next)
        if (pages->pages[found].parent == number &&
            memcmp(pages->pages[found].tokens, tokens, sizeof pages->pages[found].tokens) == 0)
            break;
    if (found < 0) return -1;
    if (pages->pages[found].uses++ == 0) remove_idle(pages, found);
    return found;
}

void or_pages_share(or_pages *pages, int32_t page, int32_t parent, const int32_t *tokens)
{
    or_page *p = &pages->pages[page];
    int32_t *bucket = bucket_of(pages, number_of(pages, parent), tokens);
    p->shared = true;
    p->fed = false;
    p->number = ++pages->numbers;
    p->parent = number_of(pages, parent);
    p->next = *bucket;
    memcpy(p->tokens, tokens, sizeof p->tokens);
    *bucket = page;
}

int32_t or_pages_find_prefix(or_pages *pages, const int32_t *tokens, int32_t n, int32_t *found)
{
    int32_t i = 0;
    for (; i < n; i++) {
        found[i] = or_pages_find(pages, i > 0 ? found[i - 1] : -1, tokens + (size_t)i * OR_PAGE);
        if (found[i] < 0) break;
    }
    return i;
}

void or_pages_take_prefix(or_pages *pages, const int32_t *tokens, int32_t first, int32_t n, int32_t *prefix)
{
    for (int32_t i = first; i < n; i++) {
        prefix[i] = or_pages_take(pages);
        or_pages_share(pages, prefix[i], i > 0 ? prefix[i - 1] : -1, tokens + (size_t)i * OR_PAGE);
    }
}

/* Out of its bucket. */
static void forget(or_pages *pages, int32_t page)
{
    or_page *p = &pages->pages[page];
    int32_t *at = bucket_of(pages, p->parent, p->tokens);
    while (*at != page) at = &pages->pages[*at].next;
    *at = p->next;
    p->shared = false;
}

/* ---- taking and giving back --------------------------------------------------------------------------- */

int32_t or_pages_take(or_pages *pages)
{
    int32_t page;
    if (pages->n_free > 0) {
        page = pages->free[--pages->n_free];
    } else {
        page = pages->oldest;
        remove_idle(pages, page);
        forget(pages, page);
    }
    pages->pages[page] = (or_page){.uses = 1};
    return page;
}

void or_pages_release(or_pages *pages, int32_t page)
{
    or_page *p = &pages->pages[page];
    if (--p->uses > 0) return;
    if (p->shared && p->fed) {
        append_idle(pages, page);
        return;
    }
    if (p->shared) forget(pages, page);
    pages->free[pages->n_free++] = page;
}
