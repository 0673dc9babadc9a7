/* open.c - opening a pipeline: the plan, whether it fits into memory, and only then the layers.
 *
 * The ranks go through it step by step and agree after each, so that what one of them refuses is refused
 * by all.
 */
#include "pipeline_internal.h"
#include "replicas.h"

#include "log.h"
#include "machine.h"
#include "threads.h"

#include <stdio.h>
#include <string.h>

/* What the headers say of the model and of this rank's part of it. */
typedef struct planned {
    or_hparams h;
    or_shares shares;
    or_stage_memory memory; /* with waves of --wave-tokens */
} planned;

/* The replicas' ranks, and which this one is of them. Collective. */
static or_status split_ranks(or_pipeline *p, const or_pipeline_options *options)
{
    const int ranks = or_transport_size(p->world), replicas = options->replicas ? options->replicas : 1;
    or_status status = OR_OK;
    if (replicas < 1 || ranks % replicas != 0)
        status =
            or_fail(OR_ERR_USAGE, "replicas do not fit", NULL,
                    "--replicas is %d, started with %d ranks, expected a multiple of it", replicas, ranks);
    else if (ranks > OR_PLAN_STAGES)
        status = or_fail(OR_ERR_USAGE, "too many ranks", NULL, "started with %d, expected up to %d", ranks,
                         (int)OR_PLAN_STAGES);
    OR_TRY(or_transport_agree(p->world, status));
    p->n_replicas = replicas;
    if (replicas == 1) return OR_OK;
    status = or_transport_split(p->world, replicas, &p->transport);
    if (status == OR_OK) {
        p->rank = or_transport_rank(p->transport);
        p->replica = or_transport_rank(p->world) / or_transport_size(p->transport);
        if (p->rank == 0) status = or_replicas_open(p);
    }
    return or_transport_agree(p->world, status);
}

/* Reads the model's shape. Local; headers only. */
static or_status read_headers(const or_pipeline_options *options, planned *o)
{
    or_checkpoint *checkpoint = NULL;
    OR_TRY(or_checkpoint_open_without(options->model, options->drop_layers, &checkpoint));
    o->h = *or_checkpoint_hparams(checkpoint);
    or_status status = or_checkpoint_shares(checkpoint, &o->shares);
    or_checkpoint_close(checkpoint);
    OR_TRY(status);
    if (options->wave_tokens > or_plan_wave_rows(&o->h))
        return or_fail(
            OR_ERR_USAGE, "waves too large", NULL,
            "%zu tokens of width %d do not fit into a message of 1 GiB, use smaller --wave-tokens (up to "
            "%zu)",
            options->wave_tokens, o->h.d_model, or_plan_wave_rows(&o->h));
    return OR_OK;
}

/* A plan that is given; costs that are known are kept for forecasts. Local. */
static or_status parse_plan(or_pipeline *p, const or_pipeline_options *options, const planned *o)
{
    const size_t ranks = (size_t)or_transport_size(p->world);
    OR_TRY(or_plan_parse(options->plan, o->h.n_layers, or_transport_size(p->transport), &p->plan));
    if (!options->costs) return OR_OK;
    OR_TRY(OR_NEW(p->costs, ranks));
    memcpy(p->costs, options->costs, ranks * sizeof *p->costs);
    return OR_OK;
}

/* Makes the plan, and says what this rank's stage needs in memory. Collective. */
static or_status plan_stage(or_pipeline *p, const or_pipeline_options *options, planned *o)
{
    if (or_plan_is_auto(options->plan))
        OR_TRY(or_pipeline_plan_auto(p, options, &o->h, &o->shares));
    else
        OR_TRY(or_transport_agree(p->world, parse_plan(p, options, o)));
    o->memory = or_plan_memory(&p->plan, p->rank, &o->h, &o->shares, options->wave_tokens, or_threads());
    return OR_OK;
}

/* "1.2 GiB (weights 1 GiB, workspace 100 MiB, waves 100 MiB)" */
static const char *memory_text(const or_stage_memory *m, char text[128])
{
    char total[OR_BYTES_TEXT], weights[OR_BYTES_TEXT], workspace[OR_BYTES_TEXT], waves[OR_BYTES_TEXT];
    snprintf(text, 128, "%s (weights %s, workspace %s, waves %s)", or_bytes_text(m->total, total),
             or_bytes_text(m->weights, weights), or_bytes_text(m->workspace, workspace),
             or_bytes_text(m->waves, waves));
    return text;
}

/* Refuses a stage that takes more than it may, or with the other ranks of this host more than that has;
 * *limit is what this rank may take. Collective. */
static or_status check_memory(or_pipeline *p, const or_pipeline_options *options, const planned *o,
                              uint64_t *limit)
{
    const uint64_t has = or_machine_memory(), may = options->memory_per_rank, own = o->memory.total;
    uint64_t needed;
    int ranks;
    char stage[64], text[128], number[OR_BYTES_TEXT], other[OR_BYTES_TEXT];
    snprintf(stage, sizeof stage, "rank %d, layers %d..%d", or_pipeline_rank(p, p->rank),
             p->plan.bound[p->rank] + 1, p->plan.bound[p->rank + 1]);
    /* before any refusal, so that no rank of the host waits for one that has left; of all replicas */
    OR_TRY(or_transport_host_sum(p->world, own, &needed, &ranks));
    or_log_detail("needs %s", memory_text(&o->memory, text));
    if (may > 0 && own > may)
        return or_fail(OR_ERR_INPUT, "model does not fit", stage,
                       "it needs %s and --memory-per-rank is %s; use more ranks, another --plan or smaller "
                       "--wave-tokens",
                       memory_text(&o->memory, text), or_bytes_text(may, number));
    if (may == 0 && needed > has)
        return or_fail(
            OR_ERR_INPUT, "model does not fit", stage,
            "it needs %s, all ranks of this host (%d) %s, and the host has %s available; use more hosts, "
            "or --memory-per-rank to say what a rank may take",
            memory_text(&o->memory, text), ranks, or_bytes_text(needed, number), or_bytes_text(has, other));
    /* what the host has left is shared evenly by its ranks */
    *limit = may > 0 ? may : own + (has - needed) / (uint64_t)ranks;
    return OR_OK;
}

/* Scratch that attention to a whole context takes beyond that for the rows of a wave. */
static uint64_t context_scratch(const or_hparams *h, size_t rows)
{
    const size_t context = (size_t)h->n_context;
    if (context <= rows) return 0;
    return or_hparams_workspace(h, rows, context, OR_RAMP_ROWS, or_threads()) -
           or_hparams_workspace(h, rows, rows, OR_RAMP_ROWS, or_threads());
}

/* How many pages the KV cache has where something is generated, on all ranks alike: as --kv-memory says, or half of what is left beside
 * the rest (the other half is for waves that grow), and no more than all sequences can use. *limit becomes
 * what is left. Collective. */
static or_status find_pages(or_pipeline *p, const or_pipeline_options *options, const planned *o,
                            uint64_t *limit, uint64_t *pages)
{
    const int layers = p->plan.bound[p->rank + 1] - p->plan.bound[p->rank];
    const uint64_t page = or_kv_page_bytes(&o->h, layers),
                   most = options->sequences * (((size_t)o->h.n_context + OR_PAGE - 1) / OR_PAGE),
                   taken = o->memory.total + context_scratch(&o->h, options->wave_tokens),
                   left = *limit > taken ? *limit - taken : 0,
                   budget = options->kv_memory > 0 ? options->kv_memory : left / 2;
    char has[OR_BYTES_TEXT], wants[OR_BYTES_TEXT], one[OR_BYTES_TEXT];
    or_status status = OR_OK;
    *pages = 0;
    if (options->sequences == 0) return OR_OK;
    *pages = budget / page < most ? budget / page : most;
    if (budget > left || *pages == 0)
        status = or_fail(OR_ERR_INPUT, "KV cache does not fit", NULL,
                         "rank %d has %s left for it, it is to take %s, and a page of %d tokens is %s",
                         or_pipeline_rank(p, p->rank), or_bytes_text(left, has), or_bytes_text(budget, wants),
                         (int)OR_PAGE, or_bytes_text(page, one));
    OR_TRY(or_transport_agree(p->world, status));
    OR_TRY(or_transport_least(p->world, pages));
    *limit = left + o->memory.total - *pages * page;
    or_log_detail("KV cache of %llu pages of %d tokens, %s", (unsigned long long)*pages, (int)OR_PAGE,
                  or_bytes_text(*pages * page, has));
    return OR_OK;
}

/* Pages where prompts are scored only, for the prefixes that they share: an eighth of what is left, or as
 * --kv-memory says up to half of it, and no more than some prefixes at a time can use. The rest is for waves
 * that grow with long prompts. Where there is no room for pages each prompt computes its own prefix: nothing is
 * refused for want of them. *limit becomes what is left. Collective. */
static or_status find_prefix_pages(or_pipeline *p, const or_pipeline_options *options, const planned *o,
                                   uint64_t *limit, uint64_t *pages)
{
    enum { CONTEXTS = 4 };
    const int layers = p->plan.bound[p->rank + 1] - p->plan.bound[p->rank];
    const uint64_t page = or_kv_page_bytes(&o->h, layers),
                   most = CONTEXTS * (((uint64_t)o->h.n_context + OR_PAGE - 1) / OR_PAGE),
                   left = *limit > o->memory.total ? *limit - o->memory.total : 0,
                   wanted = options->kv_memory > 0 ? options->kv_memory : left / 8,
                   budget = wanted < left / 2 ? wanted : left / 2;
    char text[OR_BYTES_TEXT];
    if (options->sequences > 0 || options->no_prefix_cache) return OR_OK;
    *pages = budget / page < most ? budget / page : most;
    OR_TRY(or_transport_least(p->world, pages));
    *limit -= *pages * page;
    or_log_detail("prefix cache of up to %llu pages of %d tokens, %s", (unsigned long long)*pages,
                  (int)OR_PAGE, or_bytes_text(*pages * page, text));
    return OR_OK;
}

/* Credits beyond the first for waves that are long under way, in an eighth of what is left: each is a wave of the
 * inbox, which may hold half as many rows more, and one on the wire at either end. *limit becomes what is left. Local. */
static void find_credits(or_pipeline *p, const or_pipeline_options *options, const planned *o,
                         uint64_t *limit)
{
    const uint64_t wave = options->wave_tokens * (uint64_t)o->h.d_model * sizeof(float) * 7 / 2,
                   left = *limit > o->memory.total ? *limit - o->memory.total : 0, fit = left / 8 / wave;
    const size_t more = fit < OR_CREDITS_MOST - OR_CREDITS ? (size_t)fit : OR_CREDITS_MOST - OR_CREDITS;
    p->granted_most = OR_CREDITS + more;
    *limit -= more * wave;
}

/* The longest prompt, which is a wave by itself if it has to be: the model's context, what a message
 * holds, and on every rank what fits into memory. Collective. */
static or_status find_longest(or_pipeline *p, const planned *o, uint64_t limit)
{
    const size_t context = (size_t)o->h.n_context, sent = or_plan_wave_rows(&o->h),
                 most = context < sent ? context : sent;
    uint64_t longest = or_plan_rows_within(limit, most, &p->plan, p->rank, &o->h, &o->shares, or_threads());
    OR_TRY(or_transport_least(p->world, &longest));
    if (longest < context)
        or_log_detail("takes prompts of up to %llu tokens, of the model's context of %zu",
                      (unsigned long long)longest, context);
    p->longest = (size_t)longest;
    return OR_OK;
}

/* Opens this rank's layers and checks the policies, against the weights that are really here. Local;
 * blocks while the weights are read. */
static or_status open_stage(or_pipeline *p, const or_pipeline_options *options, uint64_t pages)
{
    or_transport_tell(p->world, OR_DOING_LOAD, 0, 0, NULL);
    const or_model_options how = {.without = options->drop_layers, .local = options->local};
    OR_TRY(or_model_open_with(options->model, &how, p->plan.bound[p->rank], p->plan.bound[p->rank + 1],
                              &p->model));
    for (size_t i = 0; i < options->n_policies; i++)
        OR_TRY(or_policy_check(options->policies[i], or_model_hparams(p->model)->n_layers,
                               or_model_fingerprint(p->model), options->allow_other_model));
    if (pages > 0)
        OR_TRY(or_kv_open(&p->stage.kv, or_model_hparams(p->model),
                          or_model_last(p->model) - or_model_first(p->model), (size_t)pages,
                          options->sequences));
    if (p->rank == 0) OR_TRY(OR_NEW(p->gathered, (size_t)p->plan.n_stages));
    return OR_OK;
}

/* Says what all ranks have copied and found; a model that was made up has nothing to copy. Collective. */
static or_status report_copies(or_pipeline *p, const or_pipeline_options *options, double begin)
{
    uint64_t mine[2], sum[2] = {0}, *all = NULL;
    const size_t ranks = (size_t)or_transport_size(p->world);
    char copied[OR_BYTES_TEXT], reused[OR_BYTES_TEXT], rate[OR_BYTES_TEXT];
    if (!options->local) return OR_OK;
    or_model_copied(p->model, &mine[0], &mine[1]);
    OR_TRY(or_transport_agree(p->world, OR_NEW(all, 2 * ranks)));
    or_status status = or_transport_gather(p->world, mine, sizeof mine, all);
    for (size_t i = 0; i < 2 * ranks; i++) sum[i % 2] += all[i];
    const double seconds = or_clock_now() - begin;
    if (or_transport_rank(p->world) == 0 && status == OR_OK)
        or_log_note("local copies in %s: %s copied in %.1f s (%s/s), %s were there", options->local,
                    or_bytes_text(sum[0], copied), seconds,
                    or_bytes_text((unsigned long long)((double)sum[0] / seconds), rate),
                    or_bytes_text(sum[1], reused));
    free(all);
    return status;
}

/* All steps on all ranks; one that can refuse is followed by an agreement, so a rank goes on only when all
 * do. The steps before open_stage() read headers only, so a model that does not fit is refused in no time.
 * Collective. */
static or_status open_together(or_pipeline *p, const or_pipeline_options *options, planned *o)
{
    uint64_t limit = 0, pages = 0;
    OR_TRY(split_ranks(p, options));
    OR_TRY(or_transport_agree(p->world, read_headers(options, o)));
    OR_TRY(plan_stage(p, options, o));
    OR_TRY(or_transport_agree(p->world, check_memory(p, options, o, &limit)));
    OR_TRY(find_pages(p, options, o, &limit, &pages));
    OR_TRY(find_prefix_pages(p, options, o, &limit, &pages));
    find_credits(p, options, o, &limit);
    OR_TRY(find_longest(p, o, limit));
    const double begin = or_clock_now();
    OR_TRY(or_transport_agree(p->world, open_stage(p, options, pages)));
    OR_TRY(report_copies(p, options, begin));
    return or_transport_same(p->world, or_model_fingerprint(p->model), "the model");
}

/* What needs the model to be open. Nothing here fails, so no agreement follows. Local. */
static void prepare(or_pipeline *p, const or_pipeline_options *options)
{
    const or_hparams *h = or_model_hparams(p->model);
    p->stage.model = p->model;
    p->stage.policies = options->policies;
    p->stage.n_policies = options->n_policies;
    p->stage.n_layers = h->n_layers;
    p->stage.taps = options->taps;
    for (size_t i = 0; i < OR_CREDITS_MOST; i++)
        or_wave_init(&p->inbox[i], (size_t)h->d_model, options->taps);
    or_wave_init(&p->running, (size_t)h->d_model, options->taps);
    or_wave_init(&p->parked, (size_t)h->d_model, options->taps);
    or_pipeline_begin_run(p);
}

/* The options must be the same on all ranks; of the model that is checked (or_transport_same).
 * After a failure all ranks have one, so they release what they hold and do not drain. */
or_status or_pipeline_open(or_transport *transport, const or_pipeline_options *options, or_pipeline **out)
{
    or_pipeline *p = NULL;
    planned o = {0};
    or_status status = or_transport_agree(transport, OR_NEW(p, 1));
    if (status == OR_OK) {
        p->world = p->transport = transport;
        p->rank = or_transport_rank(transport);
        p->credits = p->allowed = OR_CREDITS;
        p->granted = p->granted_most = OR_CREDITS;
        p->wave_tokens = options->wave_tokens;
        p->share_prefixes = !options->no_prefix_cache;
        p->timeline = options->timeline;
        status = open_together(p, options, &o);
    }
    or_shares_free(&o.shares);
    if (status == OR_OK) {
        prepare(p, options);
        *out = p;
        return OR_OK;
    }
    if (p) {
        /* all ranks are here, as they are not after a failed run */
        if (p->transport != p->world) or_transport_close(p->transport);
        p->transport = p->world;
        p->failed = true;
    }
    or_pipeline_close(p);
    return status;
}
