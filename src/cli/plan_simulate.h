/* plan_simulate.h - offramp plan --simulate: requests through a simulated pipeline (simulate.h), and what came of it. */
#ifndef OFFRAMP_CLI_PLAN_SIMULATE_H
#define OFFRAMP_CLI_PLAN_SIMULATE_H

#include "cli.h"

#include <offramp/simulate.h>

/* What its options say. */
typedef struct or_plan_simulation {
    bool wanted;
    int64_t requests, tokens, seed;
    double rate, cores; /* 0: all are there at the beginning; each rank has its own */
} or_plan_simulation;

#define OR_PLAN_SIMULATION                                                                                   \
    {                                                                                                        \
        .requests = 1000, .tokens = 128, .seed = 1                                                           \
    }
#define OR_OPTIONS_SIMULATION(s)                                                                             \
    {"simulate", OR_OPTION_FLAG, &(s).wanted, "", "run requests through a model of the pipeline", 0,         \
     0,          false},                                                                                     \
        {"requests",                                                                                         \
         OR_OPTION_INT,                                                                                      \
         &(s).requests,                                                                                      \
         "N",                                                                                                \
         "simulate so many; those of a trace.csv, over and over (1000)",                                     \
         1,                                                                                                  \
         10000000,                                                                                           \
         false},                                                                                             \
        {"tokens", OR_OPTION_INT, &(s).tokens, "N", "simulate: tokens of a continuation, see --batch (128)", \
         1,        1000000,       false},                                                                    \
        {"rate",                                                                                             \
         OR_OPTION_REAL,                                                                                     \
         &(s).rate,                                                                                          \
         "R",                                                                                                \
         "simulate: requests arrive by chance, R a second; 0: all at once (0)",                              \
         0,                                                                                                  \
         1e9,                                                                                                \
         false},                                                                                             \
        {"cores",                                                                                            \
         OR_OPTION_REAL,                                                                                     \
         &(s).cores,                                                                                         \
         "N",                                                                                                \
         "simulate: cores that all ranks share, as 1.5; 0: each has its own (0)",                            \
         0,                                                                                                  \
         1e6,                                                                                                \
         false},                                                                                             \
    {                                                                                                        \
        "seed", OR_OPTION_INT, &(s).seed, "N", "simulate: which exits and arrivals are drawn (1)", 0, 9e15,  \
            false                                                                                            \
    }

/* The job that is planned. */
typedef struct or_planned {
    const or_hparams *hparams;
    const or_plan *plan;
    const or_rank_cost *costs; /* [plan->n_stages] */
    const or_workload *work;
    size_t wave_tokens;
    const char
        *survivors; /* path of a trace.csv, whose requests are replayed; of a curve, or NULL: exits are drawn
                                * by work->survivors */
    const or_list *policies; /* paths; the trace's exits are by the first, or without one an oracle's */
} or_planned;

/* Simulates, and prints rates, latencies and stages. Local. */
or_status or_plan_simulate(const or_plan_simulation *simulation, const or_planned *planned);

#endif
