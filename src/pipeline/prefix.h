/* prefix.h - the tokens with which scored prompts begin alike: computed once, kept in pages while they last.
 *
 *   prompt      s h a r e d . . . . . . . . . | o w n
 *   pages       found    | taken by this one  |
 *   riders                 silent, silent ... | the prompt's: its rows attend to the pages, and put nothing there
 *
 * Who finds pages missing takes and fills them: its silent riders go to the full depth, so that all layers of
 * all stages have keys and values of the prefix, wherever those who share it leave. Its own rider, and those
 * of others, come behind them in the same waves or in later ones, and keep that order through all stages. A
 * page is used by all who have it until they are answered, and by who fills it until its silent riders are
 * home: only then can it go to another prefix.
 *
 * Where pages are short a prompt shares less of its prefix, or nothing: it never waits for room.
 * Pure: plain structs, no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_PREFIX_H
#define OFFRAMP_PIPELINE_PREFIX_H

#include "schedule.h"

typedef struct or_prefix {
    int32_t *pages; /* [n_pages] */
    int32_t n_pages;
    int32_t n_found; /* of these were there before */
    int32_t fed;     /* positions that were there, or whose riders are begun */
    size_t n_riders; /* silent ones under way */
} or_prefix;

/* Takes pages for a scored prompt's prefix: none where the prompt shares none, or there are none. A prompt's
 * last token is never in them: it asks. or_prefix_release() what was taken. */
or_status or_prefix_take(or_prefix *prefix, or_pages *pages, const or_request *request);
void or_prefix_release(or_prefix *prefix, or_pages *pages); /* {0} is fine */

static inline int32_t or_prefix_positions(const or_prefix *prefix)
{
    return prefix->n_pages * OR_PAGE;
}

/* Whether there are rows to feed, before the prompt itself may go. */
static inline bool or_prefix_waits(const or_prefix *prefix)
{
    return prefix->fed < or_prefix_positions(prefix);
}

/* Whether what it has found is there, or on its way ahead. A continuation may still be feeding it. */
bool or_prefix_is_fed(const or_prefix *prefix, const or_pages *pages);

/* The next silent rider of a prefix that waits: at most `most` rows (>= 1); it is begun. */
void or_prefix_feed(or_prefix *prefix, or_pages *pages, size_t index, const or_request *request, size_t most,
                    or_feed *feed);

#endif
