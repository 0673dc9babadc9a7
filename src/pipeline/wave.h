/* wave.h - the rows that travel through a stage together, and their form on the wire.
 *
 *   riders     r0      r1   r2 ...        n_riders, in the order in which rank 0 began them
 *   hidden     ######  ###  ########      n_rows x width, a rider's rows one after the other
 *   attn, mlp  #       #    #             n_riders x width, with taps: the previous layer's outputs
 *   lists      ..pp    ...  ppp           of all riders, one after the other: its choices, then its pages
 *   ghosts     gg           g             n_ghosts x width, on the wire only (or_step.ghosts)
 *
 * A rider is a request whose prompt is scored, a step of a continuation - some of its positions on their way
 * through the layers -, or part of a prefix that scored prompts share (prefix.h). Waves are appended to each other (merging), compacted when riders leave, and grow
 * when rows that waited join a rider. Pure: no MPI, no clock.
 */
#ifndef OFFRAMP_PIPELINE_WAVE_H
#define OFFRAMP_PIPELINE_WAVE_H

#include "compute.h"
#include "memory.h"

#include <offramp/pipeline.h>

/* What a step of a continuation carries. A scored prompt has zeros here; behind a prefix that is there
 * already, `position` and `n_pages` are the prefix', in whole pages. The rider that computes a prefix asks
 * nothing, and its pages reach to its last row as those of a continuation do. */
typedef struct or_step {
    uint64_t sequence; /* number of the continuation, from 1, never used twice; 0: of a scored prompt */
    int32_t slot;      /* where the stages keep what they know of it */
    int32_t position;  /* of the rider's first row */
    int32_t n_pages;   /* as many as its last row needs */
    int32_t ghosts; /* on the wire: so many waiting positions before `position` come along to be projected */
    int32_t asks;   /* at full depth every row from this position on gives a token; INT32_MAX: none does */
    int32_t kv;     /* or_kv_policy */
    int32_t exits_at; /* the layer after which its last row exits, given; 0: as the policy says */
    int32_t target;   /* the token whose probability is wanted; -1: the one that is drawn */
    int32_t round;    /* verify: counts how often rank 0 has dropped drafts */
    int32_t pushed;   /* verify: does not wait after its exit, but goes on to the full depth */
    int32_t drafted;  /* verify: its last row has given a draft */
    int32_t fault;    /* the layer after which a row that is asked is not finite (fault.h); 0: all are */
    int32_t fault_position; /* the first such row */
    int32_t likeliest;      /* or_request.likeliest */
    or_sampling sampling;
} or_step;

/* Whether it asks for a token: not so the first pieces of a long prompt, and prefixes. */
static inline bool or_step_asks(const or_step *step, int32_t rows)
{
    return step->asks < step->position + rows;
}

/* Whether it is part of a prefix that scored prompts share. */
static inline bool or_step_is_prefix(const or_step *step)
{
    return step->sequence == 0 && step->asks == INT32_MAX;
}

/* One request in a wave; plain numbers, also on the wire. */
typedef struct or_rider {
    uint64_t index;  /* of the job */
    int32_t rows;    /* tokens */
    int32_t policy;  /* -1: full depth */
    int32_t observe; /* 0 or 1 */
    int32_t n_choices;
    or_ramp_state state;
    int32_t
        n_short; /* the likeliest tokens of the last ramp that computed a whole distribution; 0: none did */
    int32_t shortlist[OR_SHORTLIST];
    or_step step;
} or_rider;

typedef struct or_wave {
    size_t width; /* d_model */
    bool taps;
    int32_t layer; /* layers executed so far, equal for all riders */
    bool waited;   /* for a credit, before it was sent */
    size_t n_riders, n_rows, n_list, n_ghosts;
    or_rider *riders;
    or_span *spans; /* [n_riders] rows of each; their pages are in `lists`, see or_wave_bind_pages() */
    int32_t *lists; /* [n_list] */
    float *hidden, *attn, *mlp, *ghosts;
    size_t riders_capacity, spans_capacity, lists_capacity, hidden_capacity, attn_capacity, mlp_capacity,
        ghosts_capacity;
} or_wave;

void or_wave_init(or_wave *wave, size_t width, bool taps);
void or_wave_free(or_wave *wave);
void or_wave_clear(or_wave *wave); /* no riders, layer 0; keeps its memory */

/* Room for `riders` riders, `rows` rows and lists of `list` numbers in all. */
or_status or_wave_reserve(or_wave *wave, size_t riders, size_t rows, size_t list);

/* Adds a rider with its choices and pages; its rows and taps are there, to be filled by the caller (taps
 * zeroed). */
or_status or_wave_add(or_wave *wave, const or_rider *rider, const int32_t *choices, const int32_t *pages);

/* Appends all riders of `other`, which has the same layer, width and taps. Neither has ghosts. */
or_status or_wave_append(or_wave *wave, const or_wave *other);

/* Whether a rider of `next` begins at a position that one of `wave` still has to run: after rank 0 has
 * dropped drafts. Such waves must be run one after the other. */
bool or_wave_conflicts(const or_wave *wave, const or_wave *next);

/* Puts more[r] rows, to be filled by the caller, before those of each rider r, which then begins at so many
 * positions earlier. */
or_status or_wave_grow(or_wave *wave, const int32_t *more);

/* Makes the spans point to their pages: until riders are added, appended or compacted. Scored prompts only
 * read theirs. */
void or_wave_bind_pages(or_wave *wave);

/* The riders in it without the prefixes that scored prompts share. */
size_t or_wave_requests(const or_wave *wave);

/* Makes room for so many more ghosts, and gives the place of the first. */
or_status or_wave_add_ghosts(or_wave *wave, size_t count, float **rows);

/* The pages of rider r, whose place in the lists the caller keeps by adding up or_rider_list(). */
static inline int32_t or_rider_list(const or_rider *rider)
{
    return rider->n_choices + rider->step.n_pages;
}

/* Removes the riders r with leaves[r]; the others keep their order. */
void or_wave_compact(or_wave *wave, const bool *leaves);

/* Bytes on the wire, and writing them. The receiver's machine must have the same byte order. */
size_t or_wave_wire_size(const or_wave *wave);
void or_wave_encode(const or_wave *wave, void *bytes);

/* What a pipeline knows, against which a wave from the wire is checked. */
typedef struct or_wave_limits {
    size_t n_policies, n_pages, n_slots;
    int n_vocab, n_layers;
} or_wave_limits;

/* Reads a wave from the wire into an initialised one. Everything in it is checked: OR_ERR_PEER when the sizes
 * do not fit each other, this pipeline's width and taps, or when a number is outside of the limits. */
or_status or_wave_decode(or_wave *wave, const void *bytes, size_t size, const or_wave_limits *limits);

/* How many of the first sizes to take so that their sum is within the budget: at least one if there are any.
 * Decides both what is admitted into a wave and which arrived waves are merged. */
size_t or_take_within(const size_t *sizes, size_t n, size_t budget);

/* Rows of the next wave of scored prompts, of up to `most`: `begun` requests with `rows` rows in all were begun, `left`
 * are left, of about as many rows each (SIZE_MAX: nobody knows how many). Until the first wave is through, later
 * stages have nothing to do, and behind the last one the first stages: so the waves at the beginning and at the end
 * are small, though no smaller than OR_WAVE_LEAST, from where on a layer's time is in proportion to its rows. Guided
 * self-scheduling (Polychronopoulos and Kuck, 1987). */
enum { OR_WAVE_LEAST = 128 };
size_t or_wave_budget(size_t most, int n_stages, size_t rows, size_t begun, size_t left);

#endif
