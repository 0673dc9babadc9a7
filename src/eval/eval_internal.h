/* eval_internal.h - what an evaluation is made of.
 *
 *   sets    task x shots: the instances, built once
 *   groups  set x policy: an outcome per instance
 */
#ifndef OFFRAMP_EVAL_EVAL_INTERNAL_H
#define OFFRAMP_EVAL_EVAL_INTERNAL_H

#include "journal.h"
#include "memory.h"
#include "outcome.h"

#include <offramp/eval.h>

typedef struct or_instance_set {
    const or_task *task;
    int shots;
    size_t n;
    or_instance *instances; /* [n] */
    size_t *n_shared;       /* [n] leading tokens of each prompt with which others begin too (shared.h) */
} or_instance_set;

typedef struct or_group {
    const or_instance_set *set;
    int policy;                   /* -1: full depth */
    or_outcome *outcomes;         /* [set->n] */
    const struct or_group *dense; /* the full-depth group of the same set, NULL if there is none */
    or_run_stats stats;           /* of this process; n_stages 0 if it ran nothing */
    size_t ran, ran_tokens;       /* by this process */
    double predicted;             /* or_group_summary.predicted; 0: none */
} or_group;

struct or_eval {
    or_eval_plan plan;
    const or_tokenizer *tokenizer;
    or_hparams hparams;
    or_instance_set *sets;
    size_t n_sets;
    or_group *groups;
    size_t n_groups, n_done; /* n_done: of all groups, on disk */
    size_t next_group;       /* the first that or_eval_run() has not been through */
    char *folder;
    or_journal *journal;
};

/* "full" or the policy's name. */
const char *or_group_policy_name(const or_eval *eval, const or_group *group);

/* OR_ERR_USAGE when two of the policies have one name, or one has full depth's. */
or_status or_check_policy_names(or_policy *const *policies, size_t n);

/* results.c: the files made from the outcomes. */
or_status or_eval_write_results(const or_eval *eval);
or_status or_eval_write_summary(const or_eval *eval);

#endif
