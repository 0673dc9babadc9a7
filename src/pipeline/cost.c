/* cost.c - forecasts of plans, and the best plan. The method is in cost.h. */
#include <offramp/cost.h>

#include "memory.h"
#include "wave.h"

#include <offramp/model.h>

#include <math.h>

double or_cost_at(const or_cost_curve *curve, double rows)
{
    const int n = curve->n_points;
    if (n == 0 || rows <= 0) return 0;
    if (rows <= curve->rows[0]) return curve->seconds[0];
    if (rows >= curve->rows[n - 1]) return curve->seconds[n - 1] * rows / curve->rows[n - 1];
    int right = 1;
    while (curve->rows[right] < rows) right++;
    const double from = curve->rows[right - 1], part = (rows - from) / (curve->rows[right] - from);
    return curve->seconds[right - 1] + part * (curve->seconds[right] - curve->seconds[right - 1]);
}

or_load or_load_of(const or_workload *work, int n_stages, int replicas, size_t wave_tokens,
                   const or_hparams *h)
{
    const size_t stages = (size_t)n_stages, length = work->sequences ? 1 : work->length,
                 requests = (work->requests + (size_t)replicas - 1) / (size_t)replicas;
    size_t most = work->sequences;
    if (most > requests && requests > 0) most = requests;
    size_t riders = work->sequences ? (most + stages - 1) / stages : wave_tokens / length;
    if (riders == 0) riders = 1; /* a longer prompt is a wave by itself */
    if (requests > 0 && riders > requests) riders = requests;
    if (work->sequences && riders > wave_tokens) riders = wave_tokens;
    return (or_load){
        .n_layers = h->n_layers,
        .rows = (double)(riders * length),
        .riders = (double)riders,
        .in_flight = (double)most,
        .requests = (double)work->requests,
        .row_bytes = (double)h->d_model * sizeof(float),
        .survivors = work->survivors,
        .ramp = work->ramp,
        .given = work->given,
    };
}

or_rank_cost or_cost_of_macs(const or_hparams *h, size_t length)
{
    const double rows = (double)length;
    return (or_rank_cost){
        .layer = {2, {0, rows}, {0, or_hparams_layer_macs(h, (int64_t)length)}},
        .ramp = {2, {0, 1}, {0, or_hparams_head_macs(h)}},
    };
}

/* S(layer) */
static double survivors(const or_load *load, int layer)
{
    return load->survivors ? load->survivors[layer] : 1;
}

/* For what a share of the riders brings along, `each` apiece. Where that is less than one rider it is one in some of
 * the waves, and none - which takes no time - in the others. */
static double seconds_of(const or_cost_curve *curve, const or_load *load, double share, double each)
{
    const double riders = share * load->riders;
    return riders < 1 ? riders * or_cost_at(curve, each) : or_cost_at(curve, riders * each);
}

double or_stage_seconds(const or_rank_cost *rank, const or_load *load, int first, int last)
{
    const int reached = last < load->n_layers ? last : last - 1; /* at full depth nobody is early */
    const double rows = load->rows / load->riders;               /* of a rider */
    double seconds = first == 0 ? rank->embed * load->rows : 0;
    if (load->given)
        seconds += seconds_of(&rank->ramp, load, survivors(load, first) - survivors(load, reached), 1);
    for (int layer = first + 1; layer <= last; layer++) {
        const double left = survivors(load, layer - 1);
        const bool checked = layer == load->n_layers || (load->ramp && load->ramp[layer]);
        seconds += seconds_of(&rank->layer, load, left, rows);
        if (checked) seconds += seconds_of(&rank->ramp, load, left, 1);
    }
    return seconds;
}

double or_link_seconds(const or_rank_cost *rank, const or_load *load, int last)
{
    const double rows = last < load->n_layers ? survivors(load, last) * load->rows : 0;
    if (rows == 0) return 0;
    return rank->latency + (rank->bandwidth > 0 ? rows * load->row_bytes / rank->bandwidth : 0);
}

/* Of one pipeline. A rider that goes round again is at home before that. */
static void forecast_one(const or_plan *plan, const or_rank_cost *ranks, const or_load *load,
                         or_forecast *forecast)
{
    const int n = plan->n_stages;
    *forecast = (or_forecast){.n_stages = n};
    for (int s = 0; s < n; s++) {
        const double stage = or_stage_seconds(&ranks[s], load, plan->bound[s], plan->bound[s + 1]),
                     link = or_link_seconds(&ranks[s], load, plan->bound[s + 1]);
        forecast->stage[s] = stage;
        forecast->link[s] = link;
        forecast->through += stage + link;
        forecast->slowest = fmax(forecast->slowest, fmax(stage, link));
    }
    /* a prompt is not cut */
    forecast->first = load->in_flight > 0 ? 1 : fmin(1, fmax(OR_WAVE_LEAST / load->rows, 1 / load->riders));
    const double round = forecast->through + (n > 1 ? ranks[n - 1].latency : 0);
    forecast->every = forecast->slowest;
    if (load->in_flight > 0) forecast->every = fmax(forecast->every, round * load->riders / load->in_flight);
    if (forecast->every > 0) forecast->requests_per_second = load->riders / forecast->every;
}

void or_forecast_make(const or_plan *plan, int replicas, const or_rank_cost *ranks, const or_load *load,
                      or_forecast *forecast)
{
    const int at_work = load->requests > 0 && load->requests < replicas ? (int)load->requests : replicas;
    or_forecast one;
    double rate = 0;
    forecast_one(plan, ranks, load, forecast);
    for (int r = 0; r < at_work; r++) {
        forecast_one(plan, ranks + r * plan->n_stages, load, &one);
        rate += one.requests_per_second;
        if (one.slowest > forecast->slowest) *forecast = one;
    }
    forecast->pipelines = at_work;
    forecast->requests_per_second = rate;
    if (rate > 0) forecast->every = load->riders / rate;
}

double or_forecast_seconds(const or_forecast *forecast, double waves)
{
    const double filling = forecast->first * (forecast->through - forecast->slowest);
    return filling + forecast->slowest + fmax(0, waves - forecast->pipelines) * forecast->every;
}

/* ---- the best plan ------------------------------------------------------------------------------------ */

/* The problem, and its tables. A place is a stage and the layers before its end: at(stage, end). */
typedef struct search {
    int n_stages, replicas, n_layers;
    const or_rank_cost *ranks; /* [replicas * n_stages] */
    const or_load *load;
    or_stage_bytes *bytes;
    const void *context;
    /* [n_stages + 1, n_layers + 1] of the first stages that hold so many layers; INFINITY: none do */
    double *best;
    int *begin; /* where the last of these stages begins */
} search;

static size_t at(const search *s, int stages, int layers)
{
    return (size_t)stages * ((size_t)s->n_layers + 1) + (size_t)layers;
}

/* What sets the pace of a stage, on the slowest of its ranks: its work or its link; INFINITY where it does not fit. */
static double pace(const search *s, int stage, int first, int last)
{
    double slowest = 0;
    for (int r = 0; r < s->replicas; r++) {
        const or_rank_cost *rank = &s->ranks[r * s->n_stages + stage];
        if (rank->memory > 0 && s->bytes && s->bytes(s->context, stage, first, last) > rank->memory)
            return INFINITY;
        slowest = fmax(slowest, or_stage_seconds(rank, s->load, first, last));
        slowest = fmax(slowest, or_link_seconds(rank, s->load, last));
    }
    return slowest;
}

/* One more stage: the slowest of all, or with a limit on it the sum of the squares. */
static double join(double before, double stage, double limit)
{
    if (limit == INFINITY) return fmax(before, stage);
    return stage <= limit ? before + stage * stage : INFINITY;
}

/* best[stages, layers] from best[stages - 1, ...], the longest first stages among equals. */
static void find_begin(search *s, int stages, int layers, double limit)
{
    double *best = &s->best[at(s, stages, layers)];
    *best = INFINITY;
    for (int first = layers - 1; first >= stages - 1; first--) {
        const double before = s->best[at(s, stages - 1, first)];
        if (before == INFINITY) continue;
        const double all = join(before, pace(s, stages - 1, first, layers), limit);
        if (all >= *best) continue;
        *best = all;
        s->begin[at(s, stages, layers)] = first;
    }
}

/* Fills the tables; returns what all stages and layers come to. */
static double fill(search *s, double limit)
{
    for (int layers = 0; layers <= s->n_layers; layers++)
        s->best[at(s, 0, layers)] = layers == 0 ? 0 : INFINITY;
    for (int stages = 1; stages <= s->n_stages; stages++)
        for (int layers = 0; layers <= s->n_layers; layers++) find_begin(s, stages, layers, limit);
    return s->best[at(s, s->n_stages, s->n_layers)];
}

static void read_plan(const search *s, or_plan *plan)
{
    int layers = s->n_layers;
    *plan = (or_plan){.n_stages = s->n_stages};
    for (int stages = s->n_stages; stages > 0; stages--) {
        plan->bound[stages] = layers;
        layers = s->begin[at(s, stages, layers)];
    }
}

/* First how fast the slowest stage can be; then the sum of squares among plans as fast. One pass for both
 * would be wrong: the slowest of the first stages does not matter where a later one is slower. */
or_status or_plan_best(int n_stages, int replicas, const or_rank_cost *ranks, const or_load *load,
                       or_stage_bytes *bytes, const void *context, or_plan *plan)
{
    search s = {n_stages, replicas, load->n_layers, ranks, load, bytes, context, NULL, NULL};
    const size_t places = ((size_t)n_stages + 1) * ((size_t)load->n_layers + 1);
    or_status status = or_plan_even(load->n_layers, n_stages, plan); /* that there are layers for all */
    OR_TRY(status);
    OR_TRY_GOTO(done, OR_NEW(s.best, places));
    OR_TRY_GOTO(done, OR_NEW(s.begin, places));
    const double slowest = fill(&s, INFINITY);
    if (slowest == INFINITY) {
        status = or_fail(OR_ERR_INPUT, "model does not fit", NULL,
                         "no split over %d ranks leaves each within the memory that it may take", n_stages);
        goto done;
    }
    fill(&s, slowest);
    read_plan(&s, plan);
done:
    free(s.best);
    free(s.begin);
    return status;
}
