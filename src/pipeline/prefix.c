/* prefix.c - taking, feeding and giving back the pages of a scored prompt's prefix. */
#include "prefix.h"

/* Whole pages of what others begin with too. */
static int32_t pages_wanted(const or_request *request)
{
    const size_t others = request->n_shared, own = request->n_tokens - 1;
    return (int32_t)((others < own ? others : own) / OR_PAGE);
}

or_status or_prefix_take(or_prefix *prefix, or_pages *pages, const or_request *request)
{
    const int32_t wanted = pages->n_pages > 0 ? pages_wanted(request) : 0;
    *prefix = (or_prefix){0};
    if (wanted == 0) return OR_OK;
    OR_TRY(OR_NEW(prefix->pages, (size_t)wanted));
    prefix->n_found = or_pages_find_prefix(pages, request->tokens, wanted, prefix->pages);
    const size_t missing = (size_t)(wanted - prefix->n_found), there = or_pages_available(pages);
    prefix->n_pages = prefix->n_found + (int32_t)(missing < there ? missing : there);
    or_pages_take_prefix(pages, request->tokens, prefix->n_found, prefix->n_pages, prefix->pages);
    prefix->fed = prefix->n_found * OR_PAGE;
    return OR_OK;
}

void or_prefix_release(or_prefix *prefix, or_pages *pages)
{
    for (int32_t i = prefix->n_pages; i-- > 0;) or_pages_release(pages, prefix->pages[i]);
    free(prefix->pages);
    *prefix = (or_prefix){0};
}

bool or_prefix_is_fed(const or_prefix *prefix, const or_pages *pages)
{
    for (int32_t i = 0; i < prefix->n_found; i++)
        if (!pages->pages[prefix->pages[i]].fed) return false;
    return true;
}

void or_prefix_feed(or_prefix *prefix, or_pages *pages, size_t index, const or_request *request, size_t most,
                    or_feed *feed)
{
    const int32_t from = prefix->fed, all = or_prefix_positions(prefix) - from,
                  rows = (size_t)all < most ? all : (int32_t)most;
    *feed = (or_feed){
        .rider = {.index = index, .rows = rows, .policy = -1, .state = OR_RAMP_STATE_START},
        .tokens = request->tokens + from,
        .pages = prefix->pages,
    };
    feed->rider.step = (or_step){
        .position = from,
        .n_pages = (from + rows + OR_PAGE - 1) / OR_PAGE,
        .asks = INT32_MAX,
    };
    prefix->fed += rows;
    prefix->n_riders++;
    for (int32_t i = prefix->n_found; (i + 1) * OR_PAGE <= prefix->fed; i++)
        pages->pages[prefix->pages[i]].fed = true;
}
