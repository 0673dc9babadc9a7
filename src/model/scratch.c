/* scratch.c - the memory a layer works in.
 *
 * A layer needs two more states of the wave than it keeps: q, k, v and the attention output lie there for all
 * rows, the feed-forward block for OR_FF_ROWS rows at a time (rows are independent there).
 */
#include "family.h"

or_status or_workspace_reserve(or_workspace *workspace, size_t floats)
{
    if (floats <= workspace->capacity) return OR_OK;
    free(workspace->data);
    workspace->capacity = 0;
    OR_TRY(OR_NEW(workspace->data, floats));
    workspace->capacity = floats;
    return OR_OK;
}

or_status or_scratch_lay_out(or_model *model, const or_span *spans, size_t n_spans, size_t rows,
                             or_scratch *s)
{
    const or_hparams *h = model->hparams;
    const size_t d = (size_t)h->d_model, q = (size_t)h->n_heads * (size_t)h->head_dim;
    const size_t kv = (size_t)h->n_kv_heads * (size_t)h->head_dim;
    const size_t ff = (rows < OR_FF_ROWS ? rows : OR_FF_ROWS) * (size_t)h->d_ff;
    const size_t scores = or_attention_scratch(&model->attention, spans, n_spans);
    const struct {
        float **piece;
        size_t floats;
    } pieces[] = {
        {&s->normed, rows * d}, {&s->q, rows * q},     {&s->k, rows * kv},
        {&s->v, rows * kv},     {&s->mixed, rows * q}, {&s->scores, scores},
        {&s->out, rows * d},    {&s->up, ff},          {&s->gate, h->gated_ff ? ff : 0},
    };
    enum { PIECES = sizeof pieces / sizeof *pieces, ALIGN = 16 };

    size_t total = 0;
    for (size_t i = 0; i < PIECES; i++) total += (pieces[i].floats + ALIGN - 1) / ALIGN * ALIGN;
    OR_TRY(or_workspace_reserve(&model->workspace, total));
    float *at = model->workspace.data;
    for (size_t i = 0; i < PIECES; i++) {
        *pieces[i].piece = at;
        at += (pieces[i].floats + ALIGN - 1) / ALIGN * ALIGN;
    }
    return OR_OK;
}
