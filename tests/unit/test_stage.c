/* test_stage.c - stages, without MPI: whatever the split, the company and the exits, every token, and every
 * key and value in the cache, has the bits that the sequence alone gives. The driver checks that of all
 * that is run here (stages.h); the tests choose what is run.
 */
#include "stages.h"

#include "tiny_model.h"

/* Sanitized code is slow, so it gets fewer and shorter requests: as long as the prefixes that are shared
 * need. */
#ifdef OFFRAMP_SANITIZE
enum { TRIALS = 6, LONGEST = 48 };
#else
enum { TRIALS = 8, LONGEST = 100 };
#endif
enum { TINY_CONTEXT = 64 };

/* A model of a test. */
typedef struct subject {
    char path[512];
    int n_layers, n_vocab, longest; /* prompt and continuation */
} subject;

static subject demo(void)
{
    subject m = {.n_layers = 16, .n_vocab = 4096, .longest = LONGEST};
    snprintf(m.path, sizeof m.path, "%s", source_path("configs/demo/model"));
    return m;
}

static subject tiny(const char *folder)
{
    subject m = {.n_layers = TINY_LAYERS, .n_vocab = TINY_VOCAB, .longest = TINY_CONTEXT};
    snprintf(m.path, sizeof m.path, "%s", folder);
    return m;
}

static subject tiny_llama(void)
{
    return tiny(tiny_folder("BF16", tiny_config));
}

/* ---- a tiny OPT --------------------------------------------------------------------------------------------- */

static void add_biased(tiny_file *file, const char *stem, int rows, int columns)
{
    char name[96];
    snprintf(name, sizeof name, "model.decoder.%s.weight", stem);
    tiny_add(file, name, "BF16", rows, columns);
    snprintf(name, sizeof name, "model.decoder.%s.bias", stem);
    tiny_add(file, name, "BF16", rows, 0);
}

static subject tiny_opt(void)
{
    static const struct {
        const char *part;
        int rows, columns;
    } parts[] = {{"self_attn.q_proj", 16, 16},
                 {"self_attn.k_proj", 16, 16},
                 {"self_attn.v_proj", 16, 16},
                 {"self_attn.out_proj", 16, 16},
                 {"self_attn_layer_norm", 16, 0},
                 {"fc1", 24, 16},
                 {"fc2", 16, 24},
                 {"final_layer_norm", 16, 0}};
    const char *folder = scratch_folder();
    tiny_file *file = malloc(sizeof *file);
    tiny_begin(file);
    tiny_add(file, "model.decoder.embed_tokens.weight", "BF16", TINY_VOCAB, TINY_WIDTH);
    tiny_add(file, "model.decoder.embed_positions.weight", "BF16", TINY_CONTEXT + 2, TINY_WIDTH);
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            char stem[64];
            snprintf(stem, sizeof stem, "layers.%d.%s", layer, parts[i].part);
            add_biased(file, stem, parts[i].rows, parts[i].columns);
        }
    add_biased(file, "final_layer_norm", TINY_WIDTH, 0);
    tiny_end(file, path_in(folder, "model.safetensors"));
    put_text(
        path_in(folder, "config.json"),
        "{\"model_type\": \"opt\", \"activation_function\": \"relu\", \"hidden_size\": 16, \"ffn_dim\": 24, "
        "\"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"vocab_size\": 32, "
        "\"max_position_embeddings\": 64, \"word_embed_proj_dim\": 16, \"do_layer_norm_before\": true, "
        "\"enable_bias\": true, \"tie_word_embeddings\": true, \"layer_norm_elementwise_affine\": true, "
        "\"bos_token_id\": 2, \"eos_token_id\": 2}");
    free(file);
    return tiny(folder);
}

/* ---- requests ----------------------------------------------------------------------------------------------- */

/* One more than asked for, so that none is fine. */
static int32_t *random_numbers(uint64_t *seed, size_t n, int from, int below)
{
    int32_t *numbers = malloc((n + 1) * sizeof *numbers);
    for (size_t i = 0; i < n; i++)
        numbers[i] = from + (int32_t)(random_bits(seed) % (unsigned)(below - from));
    return numbers;
}

/* Prompts and continuations of any length, as far as they go with the model; `kv` < 0: any policy. */
static void make_trials(const subject *m, uint64_t seed, int kv, trial trials[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) {
        const unsigned half = (unsigned)m->longest / 2;
        const size_t prompt = 1 + random_bits(&seed) % (i % 3 ? half : half / 4),
                     more = 1 + random_bits(&seed) % half;
        trials[i] = (trial){.request = {.n_tokens = prompt,
                                        .tokens = random_numbers(&seed, prompt, 0, m->n_vocab),
                                        .policy = -1,
                                        .max_tokens = more,
                                        .kv = kv >= 0 ? (or_kv_policy)kv : (or_kv_policy)(i % OR_KV_POLICIES),
                                        .sampling = {.top_p = 1}}};
    }
}

/* What came of them. */
static void forget_results(trial trials[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) {
        free(trials[i].tokens);
        free(trials[i].pages);
        free(trials[i].seen);
        trials[i] = (trial){.request = trials[i].request, .enough = trials[i].enough};
    }
}

static void free_trials(trial trials[TRIALS])
{
    forget_results(trials);
    for (size_t i = 0; i < TRIALS; i++) {
        free((void *)trials[i].request.tokens);
        free((void *)trials[i].request.forced);
        free((void *)trials[i].request.exits);
    }
}

/* Every token leaves where it is told to, the last one at full depth. */
static void give_exits(const subject *m, uint64_t seed, trial trials[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) {
        or_request *r = &trials[i].request;
        int32_t *exits = random_numbers(&seed, r->max_tokens, 1, m->n_layers + 1);
        for (size_t t = 0; t < r->max_tokens; t++)
            if (random_bits(&seed) % 6 == 0) exits[t] = m->n_layers;
        exits[r->max_tokens - 1] = m->n_layers;
        r->exits = exits;
    }
}

static void force(const subject *m, uint64_t seed, trial trials[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) {
        or_request *r = &trials[i].request;
        r->forced = random_numbers(&seed, r->max_tokens, 0, m->n_vocab);
    }
}

static setup setup_of(const subject *m, int n_stages)
{
    return (setup){.model = m->path,
                   .n_layers = m->n_layers,
                   .n_stages = n_stages,
                   .n_slots = 5,
                   .n_pages = 13, /* several have to wait for those of others */
                   .wave_tokens = 24,
                   .taps = n_stages % 2,
                   .seed = (uint64_t)n_stages};
}

typedef struct outcome {
    or_run_stats stats;
    double macs;
    size_t spare;
} outcome;

/* Runs the trials and checks them. */
static outcome run(const setup *how, trial trials[TRIALS])
{
    stages s;
    stages_open(&s, how, trials, TRIALS);
    stages_run(&s);
    if (how->n_slots > 4 && how->n_stages > 1 && s.n_merged == 0) fail_msg("no waves were merged");
    outcome result = {.stats = s.stats, .spare = s.spare};
    for (int i = 0; i < how->n_stages; i++) result.macs += s.seats[i].stage.stats.macs;
    stages_close(&s);
    return result;
}

/* The same tokens with the same numbers. */
static void assert_same_results(const trial a[TRIALS], const trial b[TRIALS])
{
    for (size_t i = 0; i < TRIALS; i++) {
        assert_int_equal(a[i].n_tokens, b[i].n_tokens);
        for (size_t t = 0; t < a[i].n_tokens; t++) {
            const or_token *x = &a[i].tokens[t], *y = &b[i].tokens[t];
            assert_true(x->token == y->token && x->exit_layer == y->exit_layer &&
                        x->top_prob == y->top_prob && x->gap == y->gap && x->logprob == y->logprob &&
                        x->logsumexp == y->logsumexp);
        }
    }
}

/* A policy of gap, with a ramp behind every layer; threshold -1: leaves at once, 2: never. */
static or_policy *gap_policy(const subject *m, double threshold, int shortlist)
{
    or_policy *policy;
    or_buffer json = {0};
    static const char *folder; /* one for all: there are more policies than scratch folders */
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "gap.json");
    assert_ok(or_buffer_printf(&json,
                               "{\"format\": \"offramp-policy-1\", \"classifier\": \"gap\", \"features\": "
                               "[\"gap\"], \"layers\": %d, \"threshold\": %g, \"shortlist\": %d, "
                               "\"fingerprint\": \"00ff00ff00ff00ff\", \"ramps\": [1",
                               m->n_layers, threshold, shortlist));
    for (int layer = 2; layer < m->n_layers; layer++) assert_ok(or_buffer_printf(&json, ", %d", layer));
    assert_ok(or_buffer_puts(&json, "]}"));
    put_text(path, json.data);
    assert_ok(or_policy_load(path, &policy));
    or_buffer_free(&json);
    return policy;
}

/* ---- the policies for keys and values ----------------------------------------------------------------- */

static void run_kv(const subject *m, int kv, bool forced)
{
    for (int n_stages = 1; n_stages <= STAGES_MOST; n_stages++) {
        const setup how = setup_of(m, n_stages);
        trial trials[TRIALS];
        make_trials(m, 10 + (uint64_t)n_stages, kv, trials);
        give_exits(m, 20 + (uint64_t)n_stages, trials);
        if (forced) force(m, 30 + (uint64_t)n_stages, trials);
        run(&how, trials);
        free_trials(trials);
    }
}

static void run_kv_of_all(int kv, bool forced)
{
    const subject subjects[] = {demo(), tiny_llama(), tiny_opt()};
    for (size_t i = 0; i < 3; i++) run_kv(&subjects[i], kv, forced);
}

static void deferred_is_exact(void **state)
{
    (void)state;
    run_kv_of_all(OR_KV_DEFERRED, true);
}

static void propagate_projects_what_was_skipped(void **state)
{
    (void)state;
    run_kv_of_all(OR_KV_PROPAGATE, true);
}

/* Continuations of all three, and prompts that are scored, in the same waves. */
static void policies_keep_each_other_company(void **state)
{
    (void)state;
    const subject subjects[] = {demo(), tiny_llama(), tiny_opt()};
    for (int i = 0; i < 3; i++) {
        const setup how = setup_of(&subjects[i], 2 + i % 2);
        trial trials[TRIALS];
        make_trials(&subjects[i], 40 + (uint64_t)i, -1, trials);
        give_exits(&subjects[i], 50 + (uint64_t)i, trials);
        for (size_t t = 2; t < TRIALS; t += 4) trials[t].request.max_tokens = 0;
        run(&how, trials);
        free_trials(trials);
    }
}

/* Without exits nothing waits, so an estimate is what it is; with them it is an upper bound (stages.h). */
static void nothing_is_expected_where_nothing_waits(void **state)
{
    (void)state;
    const subject m = tiny_llama();
    for (int n_stages = 1; n_stages <= STAGES_MOST; n_stages++) {
        setup how = setup_of(&m, n_stages);
        trial trials[TRIALS];
        make_trials(&m, 60, OR_KV_DEFERRED, trials);
        how.wave_tokens = 1000; /* no pieces of a prompt behind each other in a wave */
        assert_int_equal(run(&how, trials).spare, 0);
        free_trials(trials);
    }
}

/* ---- verify --------------------------------------------------------------------------------------------------- */

enum { ALWAYS, SOMETIMES, NEVER, POLICIES };

/* That the tokens are the full depth's is checked of each (check_tokens()). Some are stopped, and some meet
 * an end, while drafts behind it are under way. */
static void run_verify(const subject *m, int n_stages, int policy, bool exits, float temperature)
{
    static const int32_t ends[] = {3, 5, 8, 13};
    or_policy *policies[POLICIES] = {gap_policy(m, -1, 0), gap_policy(m, 0.1, 0), gap_policy(m, 2, 0)};
    setup how = setup_of(m, n_stages);
    trial trials[TRIALS];
    how.policies = policies;
    how.n_policies = POLICIES;
    how.seed += 100 * (uint64_t)policy;
    make_trials(m, 70 + (uint64_t)(4 * policy + n_stages), OR_KV_VERIFY, trials);
    if (exits) give_exits(m, 80 + (uint64_t)n_stages, trials);
    for (size_t i = 0; i < TRIALS; i++) {
        or_request *r = &trials[i].request;
        r->policy = policy;
        r->sampling.temperature = temperature;
        r->sampling.seed = i;
        if (i % 3 == 0) r->ends = ends, r->n_ends = 4;
        if (i % 4 == 1) trials[i].enough = 1 + r->max_tokens / 2;
    }
    const outcome result = run(&how, trials);
    if (policy == NEVER && !exits) assert_int_equal(result.stats.drafts, 0);
    if (policy == ALWAYS || exits) assert_true(result.stats.drafts_replaced > 0);
    free_trials(trials);
    for (int i = 0; i < POLICIES; i++) or_policy_free(policies[i]);
}

static void verify_gives_the_full_depths_tokens(void **state)
{
    (void)state;
    const subject large = demo(), small[] = {tiny_llama(), tiny_opt()};
    for (int policy = 0; policy < POLICIES; policy++) {
        run_verify(&large, 2 + policy, policy, false, policy == ALWAYS ? 0 : 0.8f);
        for (int n_stages = 1; n_stages <= STAGES_MOST; n_stages++)
            for (int i = 0; i < 2; i++) run_verify(&small[i], n_stages, policy, false, i ? 0 : 0.8f);
    }
    run_verify(&large, 3, NEVER, true, 0);
    for (int n_stages = 1; n_stages <= STAGES_MOST; n_stages++)
        for (int i = 0; i < 2; i++) run_verify(&small[i], n_stages, NEVER, true, i ? 0.8f : 0);
}

/* Continuations come and go in a cache that holds two or three of them, and pages of those that have ended
 * are taken while drafts of theirs are under way. */
static void drafts_do_not_disturb_those_who_come_after(void **state)
{
    (void)state;
    const subject m = tiny_llama();
    for (int round = 0; round < 60; round++) {
        setup how = setup_of(&m, 2 + round % 3);
        trial trials[TRIALS];
        make_trials(&m, 140 + (uint64_t)round, round % 2 ? OR_KV_VERIFY : -1, trials);
        give_exits(&m, 180 + (uint64_t)round, trials);
        for (size_t i = 0; i < TRIALS; i++) {
            or_request *r = &trials[i].request;
            trials[i].enough = i % 2 ? 1 + r->max_tokens / 2 : 0;
            if (i % 4 == 2) r->max_tokens = 1 + r->max_tokens / 4;
            if (i % 4 == 0 && r->n_tokens > OR_PAGE) r->n_shared = OR_PAGE;
        }
        how.n_slots = 2 + (size_t)round % 4;
        how.n_pages = how.n_slots + 1;
        how.wave_tokens = 8 + (size_t)(round % 5) * 16;
        how.seed = (uint64_t)round;
        run(&how, trials);
        free_trials(trials);
    }
}

/* ---- shortlists ----------------------------------------------------------------------------------------------- */

/* The same path with and without, and what it costs; the numbers of each exit are the whole distribution's
 * (check_tokens()). */
static void run_shortlist(const subject *m, double threshold, int shortlist)
{
    or_policy *policies[2] = {gap_policy(m, threshold, 0), gap_policy(m, threshold, shortlist)};
    setup how = setup_of(m, 3);
    trial trials[2][TRIALS];
    outcome results[2];
    size_t early = 0; /* left behind a ramp that had a shortlist */
    how.n_policies = 1;
    for (int with = 0; with < 2; with++) {
        how.policies = &policies[with];
        make_trials(m, 90, OR_KV_DEFERRED, trials[with]);
        force(m, 91, trials[with]);
        for (size_t i = 0; i < TRIALS; i++) trials[with][i].request.policy = 0;
        results[with] = run(&how, trials[with]);
    }
    for (size_t i = 0; i < TRIALS; i++)
        for (size_t t = 0; t < trials[0][i].n_tokens; t++) {
            const int without = trials[0][i].tokens[t].exit_layer, with = trials[1][i].tokens[t].exit_layer;
            if (with < without)
                fail_msg("leaves after layer %d, without a shortlist after %d", with, without);
            early += with > 1 && with < m->n_layers;
        }
    assert_int_equal(early > 0, threshold < 1);
    /* a ramp of the small model costs less than a layer that somebody stays for */
    if (m->n_vocab > TINY_VOCAB) assert_true(results[1].macs < results[0].macs);
    for (int with = 0; with < 2; with++) free_trials(trials[with]), or_policy_free(policies[with]);
}

static void shortlists_never_leave_earlier(void **state)
{
    (void)state;
    const subject large = demo(), small = tiny_llama();
    run_shortlist(&large, 0.2, 16);
    run_shortlist(&large, 2, 64);
    run_shortlist(&small, 0.1, 2);
    run_shortlist(&small, 0.1, 8);
}

/* ---- sampling --------------------------------------------------------------------------------------------------- */

static void draws_are_the_same_in_any_split_and_company(void **state)
{
    (void)state;
    const subject m = tiny_llama();
    or_policy *policy = gap_policy(&m, 0.15, 0);
    trial alone[TRIALS], trials[TRIALS];
    setup how = setup_of(&m, 1);
    make_trials(&m, 110, -1, alone);
    make_trials(&m, 110, -1, trials);
    for (size_t i = 0; i < TRIALS; i++) {
        or_request *r = &alone[i].request;
        r->policy = 0;
        r->sampling = (or_sampling){.temperature = 0.7f, .top_k = 12, .top_p = 0.9f, .seed = i / 2};
        trials[i].request.policy = 0;
        trials[i].request.sampling = r->sampling;
    }
    how.policies = &policy;
    how.n_policies = 1;
    how.n_slots = 1;
    run(&how, alone);
    how.n_slots = 5;
    for (how.n_stages = 1; how.n_stages <= STAGES_MOST; how.n_stages++) {
        how.wave_tokens = 10 * (size_t)how.n_stages;
        run(&how, trials);
        assert_same_results(alone, trials);
        forget_results(trials);
    }
    free_trials(alone), free_trials(trials);
    or_policy_free(policy);
}

/* ---- shared prefixes --------------------------------------------------------------------------------------------- */

/* Every other prompt begins with the same tokens, of which so many pages are whole. */
static void share_prefix(const subject *m, size_t n, trial trials[TRIALS])
{
    uint64_t seed = 120;
    int32_t *prefix = random_numbers(&seed, n, 0, m->n_vocab);
    for (size_t i = 0; i < TRIALS; i += 2) {
        or_request *r = &trials[i].request;
        const size_t own = 1 + i, all = n + own;
        int32_t *tokens = random_numbers(&seed, all, 0, m->n_vocab);
        memcpy(tokens, prefix, n * sizeof *tokens);
        free((void *)r->tokens);
        r->tokens = tokens;
        r->n_tokens = all;
        r->n_shared = n;
        if (all + r->max_tokens > (size_t)m->longest) r->max_tokens = (size_t)m->longest - all;
    }
    free(prefix);
}

static void run_shared(const subject *m, size_t n, size_t n_pages)
{
    enum { SHARING = TRIALS / 2 };
    trial with[TRIALS], without[TRIALS];
    setup how = setup_of(m, 3);
    if (n_pages > 0) how.n_pages = n_pages;
    make_trials(m, 130, -1, with);
    make_trials(m, 130, -1, without);
    share_prefix(m, n, with);
    share_prefix(m, n, without);
    give_exits(m, 131, with);
    give_exits(m, 131, without);
    how.no_share = true;
    assert_int_equal(run(&how, without).stats.prompt_tokens_shared, 0);
    how.no_share = false;
    const outcome result = run(&how, with);
    assert_same_results(with, without);
    if (n_pages > 0) {
        assert_int_equal(result.stats.prompt_tokens_shared, (SHARING - 1) * (n / OR_PAGE) * OR_PAGE);
        for (size_t i = 2; i < TRIALS; i += 2)
            assert_memory_equal(with[i].pages, with[0].pages, n / OR_PAGE * sizeof *with[0].pages);
    }
    free_trials(with), free_trials(without);
}

static void prefixes_are_shared(void **state)
{
    (void)state;
    const subject large = demo(), small = tiny_opt();
    run_shared(&large, 40, 60);
    run_shared(&small, 40, 60);
    run_shared(&large, LONGEST > 90 ? 64 : 32, 0); /* too few pages to keep them all the time */
    run_shared(&small, 32, 0);
}

/* Prompts that are scored: four of five begin with one prefix, some of these with its first page only, and some
 * have nothing behind it; the fifth begins with another page. Returns how many tokens others have computed where
 * no page is ever taken away. */
static size_t share_scored(const subject *m, uint64_t seed, trial trials[TRIALS])
{
    const size_t most = (size_t)(m->longest - 4) / OR_PAGE;
    int32_t *prefix = random_numbers(&seed, most * OR_PAGE, 0, m->n_vocab);
    size_t there[2] = {0}, shared = 0;
    for (size_t i = 0; i < TRIALS; i++) {
        const size_t other = i % 5 == 1, n = other || i % 5 == 2 ? 1 : most,
                     own = i % 5 == 3 ? 0 : 1 + random_bits(&seed) % ((size_t)m->longest - most * OR_PAGE),
                     all = n * OR_PAGE + own, pages = (own ? all - own : all - 1) / OR_PAGE;
        int32_t *tokens = random_numbers(&seed, all, 0, m->n_vocab);
        for (size_t t = 0; t < n * OR_PAGE; t++) tokens[t] = other ? (prefix[t] + 1) % m->n_vocab : prefix[t];
        trials[i] = (trial){.request = {.n_tokens = all, .tokens = tokens, .n_shared = n * OR_PAGE}};
        shared += (pages < there[other] ? pages : there[other]) * OR_PAGE;
        if (pages > there[other]) there[other] = pages;
    }
    free(prefix);
    return shared;
}

/* Every layer's observations are those of the prompt alone (check_seen()), whatever leaves before its prefix has
 * come to the end, and whatever has to go for want of pages. */
static void run_scored(const subject *m, int n_stages, int policy, size_t n_pages, size_t wave_tokens)
{
    or_policy *policies[POLICIES] = {gap_policy(m, -1, 0), gap_policy(m, 0.1, 4), gap_policy(m, 2, 0)};
    setup how = setup_of(m, n_stages);
    trial trials[TRIALS];
    how.policies = policies;
    how.n_policies = POLICIES;
    how.n_slots = 0;
    how.n_pages = n_pages;
    how.wave_tokens = wave_tokens;
    const size_t shared = share_scored(m, 150 + n_pages, trials);
    for (size_t i = 0; i < TRIALS; i++) trials[i].request.policy = i % 3 ? policy : -1;
    const outcome result = run(&how, trials);
    if (n_pages > 4) assert_int_equal(result.stats.prompt_tokens_shared, shared);
    if (n_pages == 0) assert_int_equal(result.stats.prompt_tokens_shared, 0);
    assert_true(shared > 0);
    free_trials(trials);
    for (int i = 0; i < POLICIES; i++) or_policy_free(policies[i]);
}

static void scored_prompts_share_prefixes(void **state)
{
    (void)state;
    const subject subjects[] = {tiny_llama(), tiny_opt(), demo()};
    static const size_t pages[] = {0, 1, 2, 13}, waves[] = {7, 24, 64, 1000};
    for (int s = 0; s < 2; s++)
        for (int n_stages = 1; n_stages <= STAGES_MOST; n_stages++)
            for (int policy = 0; policy < POLICIES; policy++)
                for (int i = 0; i < 4; i++)
                    run_scored(&subjects[s], n_stages, policy, pages[i], waves[(i + policy + n_stages) % 4]);
    for (int i = 0; i < 4; i++) run_scored(&subjects[2], 1 + i, i % POLICIES, pages[i], waves[3 - i]);
}

/* In the same waves, and pages, as continuations that begin with the same tokens. */
static void prefixes_are_shared_by_prompts_and_continuations(void **state)
{
    (void)state;
    const subject subjects[] = {tiny_llama(), tiny_opt(), demo()};
    for (int i = 0; i < 12; i++) {
        const subject *m = &subjects[i % 3];
        setup how = setup_of(m, 1 + i % STAGES_MOST);
        trial trials[TRIALS];
        how.n_pages = i % 2 ? 13 : 5;
        how.seed = (uint64_t)i;
        make_trials(m, 160 + (uint64_t)i, -1, trials);
        share_prefix(m, LONGEST > 90 && i % 3 == 2 ? 64 : 32, trials);
        give_exits(m, 170, trials);
        for (size_t t = i % 4; t < TRIALS; t += 4) trials[t].request.max_tokens = 0;
        run(&how, trials);
        free_trials(trials);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deferred_is_exact),
        cmocka_unit_test(propagate_projects_what_was_skipped),
        cmocka_unit_test(policies_keep_each_other_company),
        cmocka_unit_test(nothing_is_expected_where_nothing_waits),
        cmocka_unit_test(verify_gives_the_full_depths_tokens),
        cmocka_unit_test(drafts_do_not_disturb_those_who_come_after),
        cmocka_unit_test(shortlists_never_leave_earlier),
        cmocka_unit_test(draws_are_the_same_in_any_split_and_company),
        cmocka_unit_test(prefixes_are_shared),
        cmocka_unit_test(scored_prompts_share_prefixes),
        cmocka_unit_test(prefixes_are_shared_by_prompts_and_continuations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
