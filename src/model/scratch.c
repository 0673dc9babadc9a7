/* scratch.c - the memory a layer works in.
 *
 * For all rows of the wave: the normed states, q, k, v, the attention output, and what the block adds to
 * the hidden states; the feed-forward block for OR_FF_ROWS rows at a time (rows are independent there).
 * All of it is one allocation, shared by the layers, and its size is a pure function of the shape, so it
 * can be told beforehand.
 */
#include "family.h"

#include "threads.h"

/* Nothing is kept, so nothing is copied, and old and new are never there together. */
or_status or_workspace_reserve(or_workspace *workspace, size_t floats)
{
    if (floats <= workspace->capacity) return OR_OK;
    free(workspace->data);
    workspace->capacity = 0;
    OR_TRY(OR_NEW(workspace->data, floats));
    workspace->capacity = floats;
    return OR_OK;
}

enum { ALIGN = 16 }; /* floats: a piece begins at a cache line */

typedef struct piece {
    float **place;
    size_t floats;
} piece;
enum { PIECES = 9 };

/* What a layer needs for `rows` rows of sequences of up to `longest` positions; returns the sum. */
static size_t list_pieces(const or_hparams *h, size_t rows, size_t longest, int threads, or_scratch *s,
                          piece pieces[PIECES])
{
    const size_t d = (size_t)h->d_model, q = (size_t)h->n_heads * (size_t)h->head_dim;
    const size_t kv = (size_t)h->n_kv_heads * (size_t)h->head_dim;
    const size_t ff = (rows < OR_FF_ROWS ? rows : OR_FF_ROWS) * (size_t)h->d_ff;
    const or_attention_shape shape = {h->n_heads, h->n_kv_heads, h->head_dim};
    /* in the order in which they lie in the workspace */
    const piece all[PIECES] = {
        {&s->normed, rows * d},
        {&s->q, rows * q},
        {&s->k, rows * kv},
        {&s->v, rows * kv},
        {&s->mixed, rows * q},
        {&s->scores, or_attention_scratch(&shape, longest, threads)},
        {&s->out, rows * d},
        {&s->up, ff},
        {&s->gate, h->gated_ff ? ff : 0},
    };
    size_t total = 0;
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = (piece){all[i].place, (all[i].floats + ALIGN - 1) / ALIGN * ALIGN};
        total += pieces[i].floats;
    }
    return total;
}

/* Sizes from list_pieces(), places one behind the other. They hold until the workspace is reserved again. */
or_status or_scratch_lay_out(or_model *model, const or_span *spans, size_t n_spans, size_t rows,
                             or_scratch *s)
{
    piece pieces[PIECES];
    const size_t longest = or_span_longest(spans, n_spans);
    OR_TRY(or_workspace_reserve(&model->workspace,
                                list_pieces(model->hparams, rows, longest, or_threads(), s, pieces)));
    float *at = model->workspace.data;
    for (size_t i = 0; i < PIECES; i++) {
        *pieces[i].place = at;
        at += pieces[i].floats;
    }
    return OR_OK;
}

/* The layer's pieces; rotary tables; and of a ramp the rows, normed and narrowed, and their logits. Scores
 * and rotary tables grow with the longest sequence. */
size_t or_hparams_workspace(const or_hparams *h, size_t rows, size_t positions, size_t ramp_rows, int threads)
{
    or_scratch unused;
    piece pieces[PIECES];
    const size_t layer = list_pieces(h, rows, positions, threads, &unused, pieces);
    const size_t ramp = ramp_rows * (2 * (size_t)h->d_model + (size_t)h->d_embed + (size_t)h->n_vocab);
    const size_t rotary = h->rope == OR_ROPE_NONE ? 0 : or_rope_positions(positions) * (size_t)h->head_dim;
    return (layer + ramp + rotary) * sizeof(float);
}
