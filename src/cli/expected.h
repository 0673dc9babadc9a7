/* expected.h - who is expected to leave where, for plans: what policies say of themselves, or a curve or trace. */
#ifndef OFFRAMP_CLI_EXPECTED_H
#define OFFRAMP_CLI_EXPECTED_H

#include "cli.h"

/* The mean over the policies of a job, and over a run at full depth where there is one. */
typedef struct or_expected {
    size_t n_policies;
    double *
        *of; /* [n_policies][n_layers + 1] of each; an entry is NULL where it does not say: nobody leaves */
    double *survivors; /* [n_layers + 1], or NULL: nobody leaves */
    bool *ramp;        /* [n_layers + 1] some policy has a ramp there; NULL: none has */
} or_expected;

/* From the survivors that the policies were trained with (or_policy_survivors()), or with `path` from a trace that
 * they are replayed on - without policies, that an oracle leaves by - or a curve. A policy that says nothing is taken to let nobody leave, with a warning.
 * `full` counts a run at full depth too. or_expected_free() in any case. */
or_status or_expected_make(or_policy *const *policies, size_t n_policies, const char *path, bool full,
                           int n_layers, or_expected *expected);

/* The same, for policies that are not loaded yet. */
or_status or_expected_read(const or_list *policies, const char *path, bool full, int n_layers,
                           or_expected *expected);

/* Sets who is expected to leave for a pipeline with the plan "auto"; with another plan nothing. *expected stays with the caller
 * while the pipeline is opened. Collective: rank 0 reads, all fail alike. */
or_status or_common_expect(or_common *common, or_session *session, const or_policies *policies,
                           const char *path, bool full, or_expected *expected);
void or_expected_free(or_expected *expected);

/* The plan that what was seen of a job suggests for the ranks of this pipeline, as a text for --plan (malloc'ed), and how
 * many times as fast its slowest stage is as that of the present plan; by what was measured for the plan "auto",
 * otherwise by multiply-adds. Local. */
or_status or_suggest_plan(const or_pipeline *pipeline, const or_workload *seen, const or_common *common,
                          double *gain, char **plan);

#endif
