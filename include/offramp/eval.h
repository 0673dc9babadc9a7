/* eval.h - running evaluations and traces over the pipeline, and writing their results.
 *
 * A run is a list of groups: task x shots x policy. A group's instances go through the pipeline together;
 * each finished one is in the journal before it counts. From the journal come
 *   results.jsonl  a line per instance, sorted by group and index: no times, so that runs compare by cmp;
 *                  an instance that failed (or_job.fault) has an "error" and no token, -1
 *   summary.json   a line of figures per group
 *   run.json       command line, versions, hosts, plan, model fingerprint
 */
#ifndef OFFRAMP_EVAL_H
#define OFFRAMP_EVAL_H

#include <offramp/pipeline.h>
#include <offramp/task.h>
#include <offramp/trace.h>

/* What is run: the same for eval and trace. Not owned. */
typedef struct or_eval_plan {
    or_task *const *tasks;
    size_t n_tasks;
    const int *shots; /* each >= 0 */
    size_t n_shots;
    or_policy *const *policies; /* those of the pipeline, in its order */
    size_t n_policies;
    bool dense;      /* run full depth too; implied without policies */
    size_t limit;    /* instances per task at most, 0: all */
    size_t longest;  /* or_pipeline_longest(); must be set */
    bool skip_long;  /* of traces: rows with longer prompts are left out, with a note; else refused */
    size_t room;     /* or_pipeline_room(); 0: no answer is generated */
    or_kv_policy kv; /* for answers that are generated */
    /* [n_policies] who is expected to leave by each (or_load.survivors), for predicted rates; NULL: as the policies
     * say. An entry may be NULL: nobody. */
    const double *const *survivors;
    bool by_task;             /* or_eval_run() returns behind each task, see or_eval_finished() */
    or_prompt_options prompt; /* its shots are ignored */
} or_eval_plan;

/* One group's figures. NAN (null in JSON) where there is nothing to count. Generated answers (task.h) have an
 * exit layer for each of their tokens; with the other metrics a request is one token. */
typedef struct or_group_summary {
    const char *task, *policy; /* "full" for full depth */
    int shots;
    size_t n, failed; /* instances, and those of them whose numbers were not finite (or_job.fault) */
    /* Mean score, and its sample deviation / sqrt(n), as lm-eval's; of n: what failed is wrong. Figures of exits
     * are of the others. */
    double accuracy, standard_error;
    double exact_match; /* share of generated answers that are a reference; NAN if not generated */
    double agreement; /* share of answers (texts) that are full depth's, where it has one; NAN unless dense */
    double exit_layer_mean, exit_layer_var; /* layers executed; of all tokens; sample variance */
    double layers_saved; /* 1 - mean / L: the paper's layer ratio; layers that a token did not wait for */
    /* Multiply-adds executed, ramps (or_policy_ramp_macs()) included, over full depth's: what exits save, as if
     * no prompt shared its beginning with others. For generated
     * answers as the stages counted them: NAN unless this process ran the group and its full-depth twin
     * whole. */
    double flops_ratio;
    /* Of what this process ran, NAN if it ran nothing; tokens of prompts, or of generated answers. */
    double requests_per_second, tokens_per_second;
    double predicted; /* requests per second by the plan "auto"; NAN without it, and for generated answers */
    or_run_stats stats; /* n_stages 0 if it ran nothing */
} or_group_summary;

typedef struct or_eval or_eval;

/* Builds every instance once, so that a bad one is refused before anything runs: OR_ERR_INPUT names task
 * and row when a prompt is longer than the model's context, a generated answer would not fit behind it, or
 * an answer is outside its vocabulary. Rank 0; local. `tokenizer` and what `plan` points to must stay
 * valid. */
or_status or_eval_open(const or_eval_plan *plan, const or_tokenizer *tokenizer, const or_hparams *hparams,
                       or_eval **eval);
void or_eval_close(or_eval *eval); /* NULL is fine */

size_t or_eval_count(const or_eval *eval); /* instances of all groups */
size_t or_eval_group_count(const or_eval *eval);

/* Opens the output folder: makes it, begins or resumes the journal (or_journal_open()). `fingerprint` is the
 * model's. OR_ERR_INPUT when it cannot be written, is in use or holds another run. Rank 0; local. */
or_status or_eval_output(or_eval *eval, const char *folder, uint64_t fingerprint, bool resume);

/* Called between layers with what is done; may print. done counts what is on disk. */
typedef struct or_eval_progress {
    size_t done, total;
    double exit_layer_mean;                        /* of what this process has run */
    double requests_per_second, tokens_per_second; /* since this process began */
    double seconds_left;                           /* NAN while unknown */
} or_eval_progress;
typedef void or_eval_show(void *context, const or_eval_progress *progress);

/* What prompts of a group begin with alike, as demonstrations, is computed once (or_request.n_shared). Generated
 * answers are greedy.
 *
 * Runs what is not in the journal yet; then writes results.jsonl and summary.json. Returns OR_STOPPED when
 * stop() asked (may be NULL): what was admitted is in the journal, but for answers that were still being
 * generated. Rank 0; the others serve. */
or_status or_eval_run(or_eval *eval, or_pipeline *pipeline, or_eval_show *show, bool (*stop)(void *),
                      void *context);

/* True when all groups are through; otherwise or_eval_run() goes on with the next task. */
bool or_eval_finished(const or_eval *eval);

/* What this process has seen of who leaves where: share[n_layers + 1], S(0) = 1, over all groups; *length is the
 * mean number of tokens that were run of their prompts. False when it ran nothing. */
bool or_eval_survivors(const or_eval *eval, double *share, double *length);

/* Group g's figures, after the run; the stats stay owned by the eval. */
or_status or_eval_summary(const or_eval *eval, size_t group, or_group_summary *summary);

/* OR_ERR_FAILED when instances have failed, of whichever process: the message has their number and the first.
 * Everything is written nevertheless; to go on with such a run asks them no more, and ends the same. After
 * the run. */
or_status or_eval_check(const or_eval *eval);
size_t or_eval_failed(const or_eval *eval); /* of or_eval_count() */

/* The same over all tasks, for each shots and policy; task is "all tasks". Total t, in the order of the
 * groups of one task. Rates and stats are left out (NAN, 0). */
size_t or_eval_total_count(const or_eval *eval);
or_status or_eval_total(const or_eval *eval, size_t t, or_group_summary *summary);

/* What the stages did in all groups that this process ran, added up; n_stages 0 if it ran nothing. To be
 * freed in any case. */
or_status or_eval_stages(const or_eval *eval, or_run_stats *stats);

/* Runs all instances at full depth and writes trace.csv (see trace.h); where answers are generated, of
 * their first token, with an answer token of -1. What failed (or_eval_failed()) is left out, with a note. The
 * plan must have no policies, whose groups would not run to the end; the pipeline must have taps. Rank 0; the
 * others serve. */
or_status or_eval_trace(or_eval *eval, or_pipeline *pipeline, const char *path, or_eval_show *show,
                        bool (*stop)(void *), void *context);

#endif
