/* report_columns.c - the columns of all tables of figures: keys in JSON, heads on the page, what is
 * allowed. */
#include "report_internal.h"

#define TEXT(key, head, flags)                                                                               \
    {                                                                                                        \
        key, head, OR_COLUMN_TEXT, flags, 0, 0, 0, 0                                                         \
    }
#define COUNT(key, head, flags)                                                                              \
    {                                                                                                        \
        key, head, OR_COLUMN_COUNT, flags, 0, 9e15, 0, 0                                                     \
    }
#define SHARE(key, head, flags)                                                                              \
    {                                                                                                        \
        key, head, OR_COLUMN_SHARE, flags, -1e6, 1, 0, 0                                                     \
    }
#define REAL(key, head, flags, digits)                                                                       \
    {                                                                                                        \
        key, head, OR_COLUMN_REAL, flags, 0, 1e18, digits, 0                                                 \
    }
#define UNIT(key, head, flags, digits, error)                                                                \
    {                                                                                                        \
        key, head, OR_COLUMN_REAL, flags, 0, 1, digits, error                                                \
    }

/* Layers saved may be below 0 where ramps are counted in; compute may be above 1. */
static const or_column result_columns[OR_RESULT_COLUMNS] = {
    [OR_RESULT_SOURCE] = TEXT(NULL, "from", OR_COLUMN_QUIET),
    [OR_RESULT_MODEL] = TEXT(NULL, "model", OR_COLUMN_QUIET),
    [OR_RESULT_GROUP] = TEXT("group", "group", OR_COLUMN_NULL | OR_COLUMN_QUIET),
    [OR_RESULT_TASK] = TEXT("task", "task", 0),
    [OR_RESULT_SHOTS] = COUNT("shots", "shots", 0),
    [OR_RESULT_POLICY] = TEXT("policy", "policy", 0),
    [OR_RESULT_TRAINED] = TEXT("trained_on", "trained on", OR_COLUMN_NULL),
    [OR_RESULT_LABEL] = TEXT(NULL, "label", OR_COLUMN_HIDDEN),
    [OR_RESULT_N] = {"n", "n", OR_COLUMN_COUNT, 0, 1, 9e15, 0, 0},
    [OR_RESULT_ACCURACY] = UNIT("accuracy", "accuracy", OR_COLUMN_NULL, 4, OR_RESULT_ERROR),
    [OR_RESULT_ERROR] = UNIT("stderr", "standard error", OR_COLUMN_NULL | OR_COLUMN_HIDDEN, 4, 0),
    [OR_RESULT_EXACT] = UNIT("exact_match", "exact match", OR_COLUMN_NULL, 4, 0),
    [OR_RESULT_AGREEMENT] = UNIT("agreement", "agreement", OR_COLUMN_NULL, 4, 0),
    [OR_RESULT_EXIT_MEAN] = REAL("exit_layer_mean", "exit layer", OR_COLUMN_NULL, 2),
    [OR_RESULT_EXIT_VAR] = REAL("exit_layer_var", "variance", OR_COLUMN_NULL, 2),
    [OR_RESULT_SAVED] = SHARE("layers_saved", "layers saved", OR_COLUMN_NULL),
    [OR_RESULT_OF_ORACLE] = SHARE(NULL, "of the oracle's", OR_COLUMN_NULL),
    [OR_RESULT_FLOPS] = {"flops_ratio", "compute", OR_COLUMN_SHARE, OR_COLUMN_NULL, 0, 1e6, 0, 0},
    [OR_RESULT_REQUESTS] = REAL("requests_per_second", "requests/s", OR_COLUMN_NULL, 0),
    [OR_RESULT_TOKENS] = REAL("tokens_per_second", "tokens/s", OR_COLUMN_NULL, 0),
};

static const or_column policy_columns[OR_POLICY_COLUMNS] = {
    TEXT("model", "model", OR_COLUMN_QUIET),
    TEXT("policy", "policy", 0),
    TEXT("trained_on", "trained on", OR_COLUMN_NULL),
    TEXT("classifier", "classifier", 0),
    COUNT("ramps", "ramps", 0),
    [OR_POLICY_THRESHOLD] = {"threshold", "threshold", OR_COLUMN_REAL, OR_COLUMN_NULL, -1e18, 1e18, 4, 0},
    UNIT("target_agreement", "target", OR_COLUMN_NULL, 3, 0),
    UNIT("guarantee", "confidence", OR_COLUMN_NULL, 2, 0),
    UNIT("bound", "agreement shown", OR_COLUMN_NULL, 4, 0),
    COUNT("questions", "questions", OR_COLUMN_NULL),
    COUNT("errors", "errors", OR_COLUMN_NULL),
    TEXT("file", "file", OR_COLUMN_NULL),
};

static const or_column features_columns[OR_FEATURES_COLUMNS] = {
    TEXT("model", "model", OR_COLUMN_QUIET),
    TEXT("classifier", "classifier", 0),
    {"features", "features", OR_COLUMN_LIST, 0, 0, 0, 0, 0},
    COUNT("n", "n", 0),
    UNIT("agreement", "agreement", 0, 4, 0),
    SHARE("layers_saved", "layers saved", 0),
    {"flops_ratio", "compute", OR_COLUMN_SHARE, OR_COLUMN_NULL, 0, 1e6, 0, 0},
    SHARE("oracle_saved", "oracle saves", OR_COLUMN_NULL),
};

static const or_column transfer_columns[OR_TRANSFER_COLUMNS] = {
    [OR_TRANSFER_MODEL] = TEXT("model", "model", OR_COLUMN_QUIET),
    [OR_TRANSFER_FROM] = TEXT("model_trained", "policy of model", OR_COLUMN_NULL | OR_COLUMN_QUIET),
    [OR_TRANSFER_POLICY] = TEXT("policy", "policy", 0),
    [OR_TRANSFER_TRAINED] = TEXT("trained_on", "trained on", 0),
    [OR_TRANSFER_TESTED] = TEXT("tested_on", "tested on", 0),
    [OR_TRANSFER_N] = COUNT("n", "n", 0),
    [OR_TRANSFER_ACCURACY] = UNIT("accuracy", "accuracy", OR_COLUMN_NULL, 4, 0),
    [OR_TRANSFER_FULL] = UNIT("accuracy_full", "of full depth", OR_COLUMN_NULL, 4, 0),
    [OR_TRANSFER_AGREEMENT] = UNIT("agreement", "agreement", 0, 4, 0),
    [OR_TRANSFER_SAVED] = SHARE("layers_saved", "layers saved", 0),
    [OR_TRANSFER_FLOPS] = {"flops_ratio", "compute", OR_COLUMN_SHARE, OR_COLUMN_NULL, 0, 1e6, 0, 0},
};

static const or_column bench_columns[OR_BENCH_COLUMNS] = {
    TEXT(NULL, "from", OR_COLUMN_QUIET),
    TEXT("model", "model", 0),
    TEXT("type", "type", 0),
    {"share_layers", "layers shared", OR_COLUMN_FLAG, 0, 0, 0, 0, 0},
    {"size", "size", OR_COLUMN_BYTES, 0, 0, 1e18, 0, 0},
    COUNT("params", "parameters", 0),
    COUNT("ranks", "ranks", 0),
    COUNT("replicas", "replicas", OR_COLUMN_QUIET),
    COUNT("threads", "threads", 0),
    {"plan", "plan", OR_COLUMN_LIST, 0, 0, 0, 0, 0},
    TEXT("test", "test", 0),
    TEXT("exits", "exits", OR_COLUMN_NULL),
    {"tokens_per_second", "tokens/s", OR_COLUMN_REAL, 0, 0, 1e18, 2, OR_BENCH_DEVIATION},
    REAL("deviation", "deviation", OR_COLUMN_NULL | OR_COLUMN_HIDDEN, 2),
    REAL("prompts_per_second", "prompts/s", OR_COLUMN_NULL, 2),
    REAL("predicted", "predicted", OR_COLUMN_NULL, 2),
    REAL("gflops", "GFLOP/s", OR_COLUMN_NULL, 1),
    SHARE("ramps", "ramps", OR_COLUMN_NULL),
    SHARE("work_saved", "work saved", OR_COLUMN_NULL),
    REAL("ratio", "times as fast", OR_COLUMN_NULL, 3),
};

static const or_column stage_columns[OR_STAGE_COLUMNS] = {
    [OR_STAGE_SOURCE] = TEXT(NULL, "from", OR_COLUMN_QUIET),
    [OR_STAGE_REPLICA] = COUNT("replica", "replica", OR_COLUMN_QUIET),
    [OR_STAGE_LAYERS] = TEXT(NULL, "layers", 0),
    [OR_STAGE_IN] = COUNT("requests_in", "in", 0),
    [OR_STAGE_EXITS] = COUNT("exits", "exits", 0),
    [OR_STAGE_OUT] = COUNT("requests_out", "out", 0),
    [OR_STAGE_ROWS] = COUNT("rows_in", "rows", 0),
    [OR_STAGE_BUSY] = REAL("busy", "busy s", 0, 2),
    [OR_STAGE_RAMP] = REAL("ramp", "of it ramps s", 0, 2),
    [OR_STAGE_IDLE] = REAL("idle", "idle s", 0, 2),
    [OR_STAGE_WAIT] = REAL("wait", "wait s", 0, 2),
    [OR_STAGE_BUSY_SHARE] = SHARE(NULL, "busy", OR_COLUMN_NULL),
    [OR_STAGE_PEAK] = {"peak", "peak memory", OR_COLUMN_BYTES, OR_COLUMN_NULL, 0, 1e18, 0, 0},
};

static const or_column source_columns[OR_SOURCE_COLUMNS] = {
    [OR_SOURCE_NAME] = TEXT(NULL, "input", 0),
    [OR_SOURCE_KIND] = TEXT(NULL, "of", 0),
    [OR_SOURCE_MODEL] = TEXT(NULL, "model", OR_COLUMN_NULL),
    [OR_SOURCE_LAYERS] = COUNT(NULL, "layers", OR_COLUMN_NULL),
    [OR_SOURCE_FINGERPRINT] = TEXT(NULL, "fingerprint", OR_COLUMN_NULL),
    [OR_SOURCE_RANKS] = COUNT(NULL, "ranks", OR_COLUMN_NULL),
    [OR_SOURCE_THREADS] = COUNT("threads", "threads", OR_COLUMN_NULL),
    [OR_SOURCE_KERNELS] = TEXT("kernels", "kernels", OR_COLUMN_NULL),
};

static or_table table_of(const char *title, const char *note, const or_column *columns, int n_columns)
{
    return (or_table){.title = title, .note = note, .columns = columns, .n_columns = n_columns};
}

void or_report_tables(or_report *r)
{
    static const char shares[] =
        "Compute: multiply-adds executed, ramps and classifier included, over full depth's. Agreement: how "
        "often the answer is full depth's. Exit layers count layers executed.";
    r->results = table_of("Results", shares, result_columns, OR_RESULT_COLUMNS);
    r->totals = table_of("All tasks", "Weighted by instances.", result_columns, OR_RESULT_COLUMNS);
    r->policies =
        table_of("Policies",
                 "Confidence: with which the agreement is promised, by the errors among as many questions.",
                 policy_columns, OR_POLICY_COLUMNS);
    r->features =
        table_of("Features", "What a policy of these features saves.", features_columns, OR_FEATURES_COLUMNS);
    r->transfer = table_of("Generalisation",
                           "Policies on tasks, and by models, that they were not trained on; beside them "
                           "what they were trained on.",
                           transfer_columns, OR_TRANSFER_COLUMNS);
    r->bench = table_of("Throughput", "Of offramp bench; ± is the deviation between repeats.", bench_columns,
                        OR_BENCH_COLUMNS);
    r->stages = table_of("Stages",
                         "Sums over all groups of a run, in seconds; busy is its share of the time that was "
                         "busy, idle or waited for credit.",
                         stage_columns, OR_STAGE_COLUMNS);
    r->sources = table_of("Inputs", NULL, source_columns, OR_SOURCE_COLUMNS);
}
