/* sequence.h - one continuation: the tokens that are known of it, those that are final, and what comes
 * next. Used by schedule.c only; the picture is in schedule.h.
 */
#ifndef OFFRAMP_PIPELINE_SEQUENCE_H
#define OFFRAMP_PIPELINE_SEQUENCE_H

#include "memory.h"
#include "schedule.h"

/* What is known of a token that is not given yet. Without drafts there is at most one, and it is final. */
typedef struct or_pending {
    bool has_draft, has_final, expects_draft;
    int32_t fault; /* or_record.fault: `final` has an exit layer only */
    or_token draft, final;
} or_pending;

struct or_sequence {
    size_t index; /* of the request in its job */
    or_request request;
    uint64_t number;
    int32_t slot, round;
    int32_t *tokens; /* [n_tokens + max_tokens] prompt, then what is followed */
    int32_t known, fed, given;
    int32_t *pages;                     /* [n_pages] */
    int32_t n_pages, n_shared, n_found; /* shared ones come first; n_found of them were there before */
    bool queued;
    bool ended;          /* the job was told so */
    size_t n_riders;     /* under way */
    int32_t unpushed;    /* verify: rows since the last that was pushed or went to the full depth */
    bool again;          /* verify: the last row is to be run once more, to the full depth */
    or_pending *pending; /* [max_tokens], by token of the continuation */
};

or_status or_sequence_new(size_t index, const or_request *request, int32_t n_pages, int32_t n_shared,
                          or_sequence **sequence);
void or_sequence_free(or_sequence *sequence); /* NULL is fine */

/* Whether there are rows to feed. */
bool or_sequence_waits(const or_sequence *sequence);

/* Its next rider of up to `most` rows; false when there are none, or the prefix that it shares is not fed
 * yet. */
bool or_sequence_next(const or_sequence *sequence, const or_pages *pages, int32_t most, or_feed *feed);

/* That rider is under way. */
void or_sequence_feed(or_sequence *sequence, or_pages *pages, const or_feed *feed);

/* Notes what a record says. OR_ERR_PEER when it cannot be. */
or_status or_sequence_take(or_sequence *sequence, const or_record *record);

/* The next token that has become final, if there is one. */
bool or_sequence_settle(or_sequence *sequence, or_run_stats *stats, or_token *token);

/* What is known of the next token when it is final that there is none: its numbers are not finite. Else
 * NULL. */
const or_pending *or_sequence_lost(const or_sequence *sequence);

/* Whether the last settled token is one behind which nothing comes. */
bool or_sequence_ended(const or_sequence *sequence);

#endif
