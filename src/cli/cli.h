/* cli.h - what the commands share: the session with its ranks, the options of everything that runs a
 * pipeline, progress, and the stop signal.
 *
 * A command is a const or_command in a file cmd_<verb>.c and a line in main.c.
 */
#ifndef OFFRAMP_CLI_CLI_H
#define OFFRAMP_CLI_CLI_H

#include "options.h"

#include <offramp/batch.h>
#include <offramp/eval.h>
#include <offramp/timeline.h>

/* One process of the job. */
typedef struct or_session {
    or_transport *transport; /* NULL for commands of one rank */
    int rank;                /* 0 for those */
    const char *command;
    bool alone; /* an error of this rank is not known to the others: the job must be aborted */
    bool whole; /* the work is done, and its error is that requests have failed */
    int argc;
    char **argv;           /* the whole command line, for run.json */
    or_timeline *timeline; /* of --timeline; NULL: none */
    const char *timeline_path;
} or_session;

typedef struct or_command {
    const char *name, *summary;
    bool collective; /* runs on all ranks over MPI; otherwise rank 0 works and the others end at once */
    /* Parses its options from argv[1..]. Called before MPI starts; *helped: there is nothing more to do. */
    or_status (*parse)(int argc, char **argv, bool *helped);
    or_status (*run)(or_session *session);
    void (*release)(void);
} or_command;

/* ---- common options ----------------------------------------------------------------------------------- */

typedef struct or_common {
    char *model, *drop_layers, *stage_to, *plan, *kernels, *progress, *timeline;
    int64_t wave_tokens, threads, memory_per_rank, replicas; /* replicas 0: one */
    int64_t sequences, kv_memory; /* sequences stays 0 in commands that generate nothing */
    double timeout;               /* OR_TIMEOUT unless it is given */
    char *status;
    bool no_prefix_cache;
    or_workload workload; /* what the plan "auto" is made for */
    const or_rank_cost *costs;
    bool quiet_plan; /* like the two above set by the command, no option */
    bool quiet, verbose, allow_other_model;
} or_common;

/* Rows of an option table for the fields of an or_common `c`. */
#define OR_OPTION_MODEL(c)                                                                                   \
    {                                                                                                        \
        "model", OR_OPTION_PATH, &(c).model, "M",                                                            \
            "model: a Hugging Face folder, a .gguf file, or a .json shape", 0, 0, false                      \
    }
#define OR_OPTION_DROP_LAYERS(c)                                                                             \
    {                                                                                                        \
        "drop-layers", OR_OPTION_TEXT, &(c).drop_layers, "L",                                                \
            "run the model without these layers, as in 10,11,12; those left count anew (none)", 0, 0, false  \
    }
#define OR_OPTIONS_COMPUTE(c)                                                                                \
    {"threads", OR_OPTION_INT, &(c).threads, "N", "threads per rank; 0: the cores it may run on (0)",        \
     0,         4096,          false},                                                                       \
    {                                                                                                        \
        "kernels", OR_OPTION_TEXT, &(c).kernels, "NAME",                                                     \
            "avx512_bf16, avx512, avx2, openblas or reference (the first that is usable)", 0, 0, false       \
    }
#define OR_OPTION_MEMORY(c)                                                                                  \
    {                                                                                                        \
        "memory-per-rank", OR_OPTION_BYTES, &(c).memory_per_rank, "B",                                       \
            "what a rank may take, as in 60G; 0: what the host has (0)", 0, 1e18, false                      \
    }
#define OR_OPTION_TIMELINE(c)                                                                                \
    {                                                                                                        \
        "timeline", OR_OPTION_TEXT, &(c).timeline, "FILE",                                                   \
            "what each rank did and when, for ui.perfetto.dev and chrome://tracing", 0, 0, false             \
    }
/* Of the watch over all ranks. */
#define OR_TIMEOUT 60
#define OR_OPTIONS_WATCH(c)                                                                                  \
    {"timeout",                                                                                              \
     OR_OPTION_REAL,                                                                                         \
     &(c).timeout,                                                                                           \
     "S",                                                                                                    \
     "end the job when a rank gives no sign of life for so many seconds; 0: never (60)",                     \
     0,                                                                                                      \
     1e9,                                                                                                    \
     false},                                                                                                 \
    {                                                                                                        \
        "status", OR_OPTION_TEXT, &(c).status, "FILE",                                                       \
            "JSON that says every 2 s how far the job is, and what each rank does", 0, 0, false              \
    }
#define OR_OPTION_REPLICAS(c)                                                                                \
    {                                                                                                        \
        "replicas", OR_OPTION_INT, &(c).replicas, "N",                                                       \
            "pipelines, of as many ranks each, that share the requests (1)", 1, 1024, false                  \
    }
#define OR_OPTION_STAGE_TO(c)                                                                                \
    {                                                                                                        \
        "stage-to", OR_OPTION_TEXT, &(c).stage_to, "DIR",                                                    \
            "copy each rank's weights to DIR on its host, once, and read them from there", 0, 0, false       \
    }
#define OR_OPTIONS_PIPELINE(c)                                                                               \
    {"plan",                                                                                                 \
     OR_OPTION_TEXT,                                                                                         \
     &(c).plan,                                                                                              \
     "P",                                                                                                    \
     "layers per rank: auto, even, 10,20,25,25 or plan.json (even)",                                         \
     0,                                                                                                      \
     0,                                                                                                      \
     false},                                                                                                 \
        OR_OPTION_REPLICAS(c), OR_OPTION_STAGE_TO(c),                                                        \
        {"wave-tokens",                                                                                      \
         OR_OPTION_INT,                                                                                      \
         &(c).wave_tokens,                                                                                   \
         "N",                                                                                                \
         "rows of a wave at most; a longer prompt is one by itself (1024)",                                  \
         1,                                                                                                  \
         1 << 24,                                                                                            \
         false},                                                                                             \
        OR_OPTION_MEMORY(c), OR_OPTIONS_COMPUTE(c), OR_OPTION_TIMELINE(c), OR_OPTIONS_WATCH(c)
#define OR_OPTION_SURVIVORS(path)                                                                            \
    {                                                                                                        \
        "survivors", OR_OPTION_PATH, &(path), "F",                                                           \
            "--plan auto expects exits by this [S(0), ... S(L)] or trace.csv (what the policies say)", 0, 0, \
            false                                                                                            \
    }
#define OR_OPTIONS_GENERATION(c)                                                                             \
    {"batch", OR_OPTION_INT, &(c).sequences, "N", "continuations in flight at most (32)", 1, 65536, false},  \
        OR_OPTIONS_KEPT(c)
/* Keys and values that are kept. */
#define OR_OPTIONS_KEPT(c)                                                                                   \
    {"kv-memory",                                                                                            \
     OR_OPTION_BYTES,                                                                                        \
     &(c).kv_memory,                                                                                         \
     "B",                                                                                                    \
     "keys and values of a rank at most, as in 2G; 0: what fits (0)",                                        \
     0,                                                                                                      \
     1e18,                                                                                                   \
     false},                                                                                                 \
    {                                                                                                        \
        "no-prefix-cache", OR_OPTION_FLAG, &(c).no_prefix_cache, "",                                         \
            "compute beginnings that prompts share once for each", 0, 0, false                               \
    }
#define OR_OPTIONS_TALK(c)                                                                                   \
    {"progress", OR_OPTION_TEXT, &(c).progress, "WHEN", "bar: auto, always or never (auto)", 0, 0, false},   \
        {"quiet", OR_OPTION_FLAG, &(c).quiet, "", "errors only", 0, 0, false},                               \
    {                                                                                                        \
        "verbose", OR_OPTION_FLAG, &(c).verbose, "", "say what each rank does", 0, 0, false                  \
    }
#define OR_OPTIONS_END                                                                                       \
    {                                                                                                        \
        NULL, OR_OPTION_FLAG, NULL, NULL, NULL, 0, 0, false                                                  \
    }

/* Sets log, threads and kernels by the options, and begins the watch. Collective where there are ranks; what it
 * returns may differ between them. */
or_status or_common_apply(const or_common *common, const or_session *session);

/* The policies of --policy; {0} is none. */
typedef struct or_policies {
    or_policy **items;
    size_t count;
} or_policies;

/* Every rank loads them, each from its own view of the file system: ramps are decided where their layers
 * are. Local; freed also after a failure. */
or_status or_policies_load(const or_list *paths, or_policies *policies);
void or_policies_free(or_policies *policies);

/* Taps cost two vectors a request on the wire, so only where a policy looks at them. */
bool or_policies_want_cosines(const or_policies *policies);

/* Opens the pipeline by the options, and the session's timeline if they name one (collective). */
or_status or_common_open(const or_common *common, or_session *session, bool taps, or_policy *const *policies,
                         size_t n_policies, or_pipeline **pipeline);

/* Rank 0 drives, the others serve; an error of one rank in here is not known to the others. Collective. */
or_status or_session_drive(or_session *session, or_pipeline *pipeline, or_status (*drive)(void *),
                           void *context);

/* Writes the timeline, if there is one, when the command is done, also where requests have failed, or was
 * stopped: `status` is how it ended, and what comes back how it ends now. Closes it. */
or_status or_session_keep_timeline(or_session *session, or_status status);

/* ---- progress and stopping ---------------------------------------------------------------------------- */

typedef struct or_progress {
    bool bar, lines;  /* a bar, or a line every 10 s */
    const char *what; /* "eval" */
    double last;
    or_transport *transport; /* where headway is told, for --status; NULL: nowhere */
    bool open;               /* a bar is on the screen, without a line break */
} or_progress;

/* By --progress and --quiet; auto: a bar when stderr is a terminal. */
or_status or_progress_open(const or_common *common, const or_session *session, const char *what,
                           or_progress *progress);
void or_progress_show(void *progress, const or_eval_progress *now); /* an or_eval_show */
/* The same for work that is counted only: "quantize [####....] 12 % of the weights". */
void or_progress_part(or_progress *progress, uint64_t done, uint64_t total, const char *what);
void or_progress_close(or_progress *progress);

/* True after SIGUSR1. */
bool or_stop_asked(void *unused);
void or_stop_install(void);

/* ---- tables ----------------------------------------------------------------------------------------------- */

/* Prints what eval measured to stdout: a line per group, totals over the tasks, and the stages. */
or_status or_print_summary(const or_session *session, const or_eval *eval);

/* One line: requests per second that the plan "auto" promised, and those that were measured, of the groups that this
 * process ran; nothing without that plan. */
void or_print_forecast(const or_eval *eval);

/* The same of run: a line of figures, drafts and shared prompts where there were any, and the stages. */
or_status or_print_batch(const or_session *session, const or_batch *batch);

/* Appends the table of stages of one or more runs, 110 columns wide at most (table_stages.c). */
or_status or_put_stages(const or_session *session, const or_run_stats *stats, or_buffer *out);

extern const or_command or_command_inspect, or_command_tokenize, or_command_lens, or_command_trace,
    or_command_train, or_command_eval, or_command_run, or_command_plan, or_command_quantize, or_command_bench,
    or_command_study, or_command_report;

#endif
