/* test_trace.c - trace.csv and its side file: the way there and back, and everything that is refused. */
#include "support.h"

#include "file.h"
#include "trace_internal.h"

#include <math.h>
#include <unistd.h>

enum { LAYERS = 3 };

static const or_trace_meta meta = {.fingerprint = 0xfedcba9876543210,
                                   .n_layers = LAYERS,
                                   .n_vocab = 50,
                                   .layer_macs = 1e9 / 3,
                                   .row_macs = 1e7 / 3,
                                   .ramp_macs = 2.5};

/* Any float of 0..1 or -1..1, with all its digits. */
static float any(uint64_t *seed, bool negative)
{
    float value = (float)(random_bits(seed) / 4294967296.0);
    return negative && random_bits(seed) % 2 ? -value : value;
}

static void make_item(uint64_t *seed, or_observation *seen, or_trace_item *item)
{
    for (int l = 0; l < LAYERS; l++)
        seen[l] = (or_observation){.layer = l + 1,
                                   .token = (int32_t)(random_bits(seed) % 3),
                                   .top_prob = any(seed, false),
                                   .gap = any(seed, false),
                                   .cos_attn = any(seed, true),
                                   .cos_mlp = any(seed, true),
                                   .cos_hidden = any(seed, true)};
    item->seen = seen;
    item->shots = (int)(random_bits(seed) % 20);
    item->index = random_bits(seed);
    item->final_token = seen[LAYERS - 1].token;
    item->answer_token = (int32_t)(random_bits(seed) % 9) - 1;
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    enum { ITEMS = 200 };
    static or_observation seen[ITEMS][LAYERS];
    static or_trace_item items[ITEMS];
    static const char *const names[] = {"sst2",   "news, world", "\"quoted\"",
                                        "ümläut", " space ",     "a\"b,\"\"c"};
    char path[1024];
    uint64_t seed = 17;
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "trace.csv"));
    or_trace_writer *writer;
    assert_ok(or_trace_begin(path, LAYERS, &writer));
    for (int i = 0; i < ITEMS; i++) {
        make_item(&seed, seen[i], &items[i]);
        items[i].task = (char *)names[i % 6];
        assert_ok(or_trace_put(writer, &items[i]));
    }
    assert_false(or_path_exists(path)); /* until all of it is there */
    assert_ok(or_trace_end(writer, &meta));

    or_trace trace = {0};
    assert_ok(or_trace_read(path, &trace));
    assert_int_equal(trace.count, ITEMS);
    assert_true(trace.meta.fingerprint == meta.fingerprint);
    assert_int_equal(trace.meta.n_layers, LAYERS);
    assert_true(trace.meta.layer_macs == meta.layer_macs && trace.meta.ramp_macs == meta.ramp_macs);
    assert_true(trace.meta.row_macs == meta.row_macs);
    assert_int_equal(trace.meta.n_vocab, 50);
    for (int i = 0; i < ITEMS; i++) {
        const or_trace_item *item = &trace.items[i];
        assert_string_equal(item->task, items[i].task);
        assert_int_equal(item->shots, items[i].shots);
        assert_true(item->index == items[i].index);
        assert_int_equal(item->final_token, items[i].final_token);
        assert_int_equal(item->answer_token, items[i].answer_token);
        or_ramp_state ramps = OR_RAMP_STATE_START;
        for (int l = 0; l < LAYERS; l++) {
            seen[i][l].stable = or_ramp_state_update(&ramps, seen[i][l].token);
            assert_memory_equal(&item->seen[l], &seen[i][l], sizeof seen[i][l]);
        }
    }
    or_trace_free(&trace);
    assert_null(trace.items);
}

static void test_files_of_one_model_join(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    or_observation seen[LAYERS];
    or_trace_item item = {.task = "t"};
    or_trace trace = {0};
    uint64_t seed = 1;
    make_item(&seed, seen, &item);
    for (int file = 0; file < 3; file++) { /* the last is an older one, which lacks some figures */
        char path[1024];
        snprintf(path, sizeof path, "%s/%d.csv", folder, file);
        or_trace_meta its = meta;
        its.layer_macs = file == 0 ? 100 : 400;
        its.row_macs = file == 0 ? 10 : file == 1 ? 40 : 0;
        its.n_vocab = file == 2 ? 0 : 50;
        or_trace_writer *writer;
        assert_ok(or_trace_begin(path, LAYERS, &writer));
        for (int i = 0; i < file + 1; i++) assert_ok(or_trace_put(writer, &item));
        assert_ok(or_trace_end(writer, &its));
        assert_ok(or_trace_read(path, &trace));
        static const double layers[3] = {100, 300, 350}, rows[3] = {10, 30, 0}; /* means over all instances */
        assert_near(trace.meta.layer_macs, layers[file], 1e-9);
        assert_near(trace.meta.row_macs, rows[file], 1e-9);
        assert_int_equal(trace.meta.n_vocab, 50);
    }
    assert_int_equal(trace.count, 6);

    char other[1024];
    snprintf(other, sizeof other, "%s/other.csv", folder);
    or_trace_meta its = meta;
    its.fingerprint = 5;
    or_trace_writer *writer;
    assert_ok(or_trace_begin(other, LAYERS, &writer));
    assert_ok(or_trace_end(writer, &its));
    assert_fails(or_trace_read(other, &trace), OR_ERR_INPUT,
                 "model 0000000000000005 with 3 layers, the traces before of fedcba9876543210");
    assert_int_equal(trace.count, 6);
    or_trace_free(&trace);
}

static void test_what_would_be_refused_is_not_written(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    char path[1024];
    snprintf(path, sizeof path, "%s", path_in(folder, "trace.csv"));
    or_observation seen[LAYERS];
    or_trace_item item = {0};
    or_trace_writer *writer;
    uint64_t seed = 4;
    assert_ok(or_trace_begin(path, LAYERS, &writer));
#define REFUSES(change, status, part)                                                                        \
    do {                                                                                                     \
        make_item(&seed, seen, &item);                                                                       \
        item.task = "t";                                                                                     \
        change;                                                                                              \
        assert_fails(or_trace_put(writer, &item), status, part);                                             \
    } while (0)
    REFUSES(item.task = "", OR_ERR_INPUT, "empty task name");
    REFUSES(item.task = "a\nb", OR_ERR_INPUT, "control character");
    REFUSES(item.task = "\xff", OR_ERR_INPUT, "not UTF-8");
    REFUSES(item.shots = -1, OR_ERR_FAILED, "shots -1");
    REFUSES(item.index = -1, OR_ERR_FAILED, "index -1");
    REFUSES(item.final_token = -1, OR_ERR_FAILED, "final token -1");
    REFUSES(item.answer_token = -2, OR_ERR_FAILED, "answer token -2");
    REFUSES(seen[1].layer = 3, OR_ERR_FAILED, "found layer 3");
    REFUSES(seen[1].token = -1, OR_ERR_FAILED, "token -1");
    REFUSES(seen[1].gap = NAN, OR_ERR_FAILED, "gap is nan after layer 2 of task t");
    REFUSES(seen[2].top_prob = 1.1f, OR_ERR_FAILED, "top_prob is 1.1 after layer 3");
    REFUSES(seen[0].cos_attn = -1.1f, OR_ERR_FAILED, "expected -1..1");
    REFUSES(seen[0].cos_mlp = INFINITY, OR_ERR_FAILED, "cos_mlp is inf");
    REFUSES(seen[0].cos_hidden = -NAN, OR_ERR_FAILED, "cos_hidden");
    make_item(&seed, seen, &item);
    item.task = "t";
    seen[0].top_prob = seen[1].cos_mlp = 1.000001f; /* 1 and its rounding */
    assert_ok(or_trace_put(writer, &item));
    assert_ok(or_trace_end(writer, &meta));
    or_trace trace = {0};
    assert_ok(or_trace_read(path, &trace));
    assert_int_equal(trace.count, 1);
    or_trace_free(&trace);
}

static void test_writing_that_ends_badly_leaves_nothing(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    char path[1024];
    snprintf(path, sizeof path, "%s", path_in(folder, "trace.csv"));
    or_trace_writer *writer;
    assert_ok(or_trace_begin(path, LAYERS, &writer));
    or_trace_abandon(writer);
    or_trace_abandon(NULL);
    or_trace_meta bad[6] = {meta, meta, meta, meta, meta, meta};
    bad[0].n_layers = 4;
    bad[1].layer_macs = 0;
    bad[2].ramp_macs = -1;
    bad[3].layer_macs = NAN;
    bad[4].row_macs = -1;
    bad[5].row_macs = INFINITY;
    for (int i = 0; i < 6; i++) {
        assert_ok(or_trace_begin(path, LAYERS, &writer));
        assert_fails(or_trace_end(writer, &bad[i]), OR_ERR_FAILED, "trace cannot be written");
    }
    assert_int_equal(rmdir(folder), 0); /* it is empty */
    assert_fails(or_trace_begin(path, LAYERS, &writer), OR_ERR_INPUT, path);
    assert_null(writer);
}

/* One folder for all: there are more cases than scratch folders. */
static const char *write_files(const char *csv, const char *side)
{
    static const char *folder;
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "t.csv");
    put_text(path, csv);
    remove(path_in(folder, "t.csv.json"));
    if (side) put_text(path_in(folder, "t.csv.json"), side);
    return path;
}

static const char good_side[] = "{\"format\": \"offramp-trace-1\", \"fingerprint\": \"0000000000000001\", "
                                "\"layers\": 2, \"instances\": 2, \"layer_macs\": 10, \"ramp_macs\": 0, "
                                "\"vocab\": 9, \"row_macs\": 5}";
#define HEADER OR_TRACE_HEADER "\n"
#define FIRST                                                                                                \
    "a,0,0,1,0.5,0.75,0,0,-1,4,5,-1\n"                                                                       \
    "a,0,0,2,0.5,0.75,0,0,1e-3,5,5,-1\n"
#define SECOND "\"b\",5,9007199254740992,1,0,1,-0.5,1,1,4,5,7\n"
#define LAST   "b,5,9007199254740992,2,0,1,-0.5,1,1,5,5,7\n"

static void test_rows_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *rows, *part;
    } broken[] = {
        {"task,shots\n", "t.csv:1): found another header line"},
        {"", "t.csv:1)"},
        {"task", "t.csv:1): the file ends within this line"},
        {HEADER FIRST SECOND, "t.csv:4): the file ends within an instance"},
        {HEADER FIRST, "found 1 instances"},
        {HEADER FIRST SECOND LAST FIRST, "found 3 instances"},
        {HEADER FIRST SECOND "b,5,9007199254740992,2,0,1,-0.5,1,1,5,5,7", "t.csv:5): the file ends within"},
        {HEADER FIRST SECOND "b,5,9007199254740992,2,0,1,-0.5,1,1,5,5\n", "t.csv:5): found fewer than 12"},
        {HEADER FIRST SECOND "b,5,9007199254740992,2,0,1,-0.5,1,1,5,5,7,8\n", "t.csv:5): found more than 12"},
        {HEADER FIRST "\n" SECOND LAST, "t.csv:4): found an empty task name"},
        {HEADER FIRST LAST, "t.csv:4): found layer 2 after layer 0, expected layer 1"},
        {HEADER FIRST SECOND SECOND, "t.csv:5): found layer 1 after layer 1, expected layer 2"},
        {HEADER FIRST SECOND "c,5,9007199254740992,2,0,1,-0.5,1,1,5,5,7\n", "t.csv:5): found another task"},
        {HEADER FIRST SECOND "b,4,9007199254740992,2,0,1,-0.5,1,1,5,5,7\n", "found another task, shots"},
        {HEADER FIRST SECOND "b,5,9007199254740991,2,0,1,-0.5,1,1,5,5,7\n", "found another task, shots"},
        {HEADER FIRST SECOND "b,5,9007199254740992,2,0,1,-0.5,1,1,5,4,7\n", "found another task, shots"},
        {HEADER FIRST SECOND "b,5,9007199254740992,2,0,1,-0.5,1,1,5,5,6\n", "found another task, shots"},
        {HEADER "\"a,0,0,1\n", "t.csv:2): found a quote that does not end"},
        {HEADER "\"a\"b,0,0,1\n", "t.csv:2): found fewer than 12"},
        {HEADER "a\"b,0,0,1\n", "t.csv:2): found fewer than 12"},
        {HEADER "\xc3,0,0,1\n", "t.csv:2): found a task name that is not UTF-8"},
        {HEADER "a\tb,0,0,1\n", "t.csv:2): found a control character"},
        {HEADER "a,-1,0,1\n", "shots is \"-1\", expected a whole number 0..1000000"},
        {HEADER "a,1.5,0,1\n", "shots is \"1.5\""},
        {HEADER "a, 1,0,1\n", "shots is \" 1\""},
        {HEADER "a,,0,1\n", "shots is \"\""},
        {HEADER "a,0x1,0,1\n", "shots is \"0x1\""},
        {HEADER "a,0,99999999999999999999,1\n", "index is \"99999999999999999999\""},
        {HEADER "a,0,0,0\n", "layer is \"0\", expected a whole number 1..2"},
        {HEADER "a,0,0,3\n", "layer is \"3\""},
        {HEADER "a,0,0,1,1.5,0,0,0,0,0,0,0\n", "t.csv:2): gap is \"1.5\", expected a number 0..1"},
        {HEADER "a,0,0,1,-0.1,0,0,0,0,0,0,0\n", "gap is \"-0.1\""},
        {HEADER "a,0,0,1,0,nan,0,0,0,0,0,0\n", "top_prob is \"nan\""},
        {HEADER "a,0,0,1,0,0x1,0,0,0,0,0,0\n", "top_prob is \"0x1\""},
        {HEADER "a,0,0,1,0,0,-1.5,0,0,0,0,0\n", "cos_attn is \"-1.5\", expected a number -1..1"},
        {HEADER "a,0,0,1,0,0,0,1e999,0,0,0,0\n", "cos_mlp is \"1e999\""},
        {HEADER "a,0,0,1,0,0,0,0,,0,0,0\n", "cos_hidden is \"\""},
        {HEADER "a,0,0,1,0,0,0,0,1 ,0,0,0\n", "cos_hidden is \"1 \""},
        {HEADER "a,0,0,1,0,0,0,0,0,-1,0,0\n", "token is \"-1\""},
        {HEADER "a,0,0,1,0,0,0,0,0,0,2147483648,0\n", "final_token is \"2147483648\""},
        {HEADER "a,0,0,1,0,0,0,0,0,0,0,-2\n", "answer_token is \"-2\", expected a whole number -1.."},
        {HEADER "a,0,0,1,0,0,0,0,0,0,0,1\r\n", "answer_token is \"1?\""},
    };
    or_trace trace = {0};
    assert_ok(or_trace_read(write_files(HEADER FIRST SECOND LAST, good_side), &trace));
    assert_int_equal(trace.count, 2);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_fails(or_trace_read(write_files(broken[i].rows, good_side), &trace), OR_ERR_INPUT,
                     broken[i].part);
        assert_int_equal(trace.count, 2); /* what was read before stays, nothing is added */
        assert_string_equal(trace.items[1].task, "b");
    }
    const char *path = write_files("", good_side);
    put_file(path, HEADER "\0", sizeof HEADER);
    assert_fails(or_trace_read(path, &trace), OR_ERR_INPUT, "NUL byte");
    or_trace_free(&trace);
}

static void test_side_files_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
    } edits[] = {
        {"offramp-trace-1", "offramp-trace-0", "its format is \"offramp-trace-0\""},
        {"format", "fromat", "\"format\" is nothing"},
        {"0000000000000001", "1", "expected 16 lower-case hexadecimal digits"},
        {"fingerprint", "print", "\"fingerprint\" is nothing"},
        {"\"layers\": 2", "\"layers\": 0", "\"layers\" is 0, expected a whole number 1..4096"},
        {"\"layers\"", "\"layer\"", "\"layers\" is nothing"},
        {"\"instances\": 2", "\"instances\": 3", "found 2 instances"},
        {"\"instances\": 2", "\"instances\": -1", "\"instances\" is -1"},
        {"\"instances\"", "\"n\"", "\"instances\" is nothing"},
        {"\"layer_macs\": 10", "\"layer_macs\": 0", "layers cost 0"},
        {"\"layer_macs\": 10", "\"layer_macs\": 1e999", "\"layer_macs\""},
        {"\"layer_macs\"", "\"macs\"", "\"layer_macs\" is nothing"},
        {"\"ramp_macs\": 0", "\"ramp_macs\": -1", "ramps -1"},
        {"\"ramp_macs\"", "\"macs\"", "\"ramp_macs\" is nothing"},
        {"\"vocab\": 9", "\"vocab\": -1", "\"vocab\" is -1, expected a whole number 0.."},
        {"\"row_macs\": 5", "\"row_macs\": -1", "(-1 for a row)"},
        {"\"row_macs\": 5", "\"row_macs\": \"5\"", "\"row_macs\""},
    };
    or_trace trace = {0};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        const char *at = strstr(good_side, edits[i].from);
        assert_non_null(at);
        char side[512];
        snprintf(side, sizeof side, "%.*s%s%s", (int)(at - good_side), good_side, edits[i].to,
                 at + strlen(edits[i].from));
        assert_fails(or_trace_read(write_files(HEADER FIRST SECOND LAST, side), &trace), OR_ERR_INPUT,
                     edits[i].part);
        assert_int_equal(trace.count, 0);
    }
    assert_fails(or_trace_read(write_files(HEADER FIRST, NULL), &trace), OR_ERR_INPUT, "t.csv.json");
    const char *path = write_files(HEADER, good_side);
    assert_int_equal(remove(path), 0);
    assert_fails(or_trace_read(path, &trace), OR_ERR_INPUT, "t.csv)");
    or_trace_free(&trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_files_of_one_model_join),
        cmocka_unit_test(test_what_would_be_refused_is_not_written),
        cmocka_unit_test(test_writing_that_ends_badly_leaves_nothing),
        cmocka_unit_test(test_rows_that_are_refused),
        cmocka_unit_test(test_side_files_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
