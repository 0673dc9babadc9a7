/* test_gguf.c - the GGUF container: what was written is read, and every way of being wrong is refused. */
#include "support.h"

#include "file.h"
#include "gguf.h"

#include <unistd.h>

/* ---- a file as the writer makes it ------------------------------------------------------------------------ */

static void write_sample(const char *path)
{
    or_gguf_writer *w;
    const or_gguf_text texts[] = {{"a", 1}, {"", 0}, {"x\0y", 3}};
    const float floats[] = {0.5f, -1.0f};
    const int32_t ints[] = {7, -7};
    unsigned char data[18] = {1};
    assert_ok(or_gguf_create(path, &w));
    assert_ok(or_gguf_put_text(w, "general.architecture", "llama"));
    assert_ok(or_gguf_put_u32(w, "u", 4000000000u));
    assert_ok(or_gguf_put_f32(w, "f", 0.25f));
    assert_ok(or_gguf_put_bool(w, "b", true));
    assert_ok(or_gguf_put_texts(w, "texts", texts, 3));
    assert_ok(or_gguf_put_f32s(w, "floats", floats, 2));
    assert_ok(or_gguf_put_i32s(w, "ints", ints, 2));
    assert_ok(or_gguf_put_tensor(w, "first", OR_F16, 2, (int64_t[]){3, 3}));
    assert_ok(or_gguf_put_tensor(w, "second", OR_Q4_0, 1, (int64_t[]){32}));
    assert_ok(or_gguf_put_data(w, data, 6));
    assert_ok(or_gguf_put_data(w, data, 12));
    data[0] = 2;
    assert_ok(or_gguf_put_data(w, data, 18));
    assert_false(or_path_exists(path)); /* not before it is whole */
    assert_ok(or_gguf_finish(w));
    or_gguf_writer_close(w);
}

static void written_files_are_read(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "sample.gguf");
    write_sample(path);
    or_gguf *g;
    int64_t integer = 0;
    double number = 0;
    bool flag = false;
    or_gguf_text text;
    or_gguf_items items;
    assert_true(or_gguf_probe(path));
    assert_ok(or_gguf_open(path, &g));
    assert_ok(or_gguf_int(g, "u", 0, UINT32_MAX, &integer));
    assert_true(integer == 4000000000);
    assert_ok(or_gguf_opt_number(g, "f", 0, 1, &number));
    assert_true(number == 0.25);
    assert_ok(or_gguf_opt_bool(g, "b", &flag));
    assert_true(flag);
    assert_ok(or_gguf_text_of(g, "general.architecture", &text));
    assert_true(or_gguf_text_is(text, "llama") && !or_gguf_text_is(text, "llam"));
    assert_ok(or_gguf_texts(g, "texts", &items));
    assert_int_equal(items.left, 3);
    assert_true(or_gguf_text_is(or_gguf_next_text(&items), "a"));
    assert_int_equal(or_gguf_next_text(&items).size, 0);
    text = or_gguf_next_text(&items);
    assert_int_equal(text.size, 3);
    assert_memory_equal(text.data, "x\0y", 3);
    assert_int_equal(items.left, 0);
    assert_ok(or_gguf_numbers(g, "floats", &items));
    assert_true(or_gguf_next_number(&items) == 0.5 && or_gguf_next_number(&items) == -1);
    assert_ok(or_gguf_numbers(g, "ints", &items));
    assert_true(or_gguf_next_number(&items) == 7 && or_gguf_next_number(&items) == -7);

    assert_int_equal(or_gguf_tensors(g), 2);
    const or_gguf_tensor *first = or_gguf_tensor_at(g, 0), *second = or_gguf_tensor_at(g, 1);
    assert_string_equal(first->name, "first");
    assert_int_equal(first->dtype, OR_F16);
    assert_int_equal(first->bytes, 18);
    assert_int_equal(first->offset % 32, 0);
    assert_int_equal(second->offset, first->offset + 32);
    assert_int_equal(second->bytes, 18);
    assert_string_equal(second->stored, "Q4_0");
    or_buffer all = {0};
    assert_ok(or_file_read(path, &all));
    assert_int_equal(all.data[first->offset], 1);
    assert_int_equal(all.data[second->offset], 2);
    assert_int_equal(all.size, second->offset + 32);
    or_buffer_free(&all);
    or_gguf_close(g);
}

static void wrong_kinds_are_refused(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "sample.gguf");
    write_sample(path);
    or_gguf *g;
    int64_t integer = 5;
    double number = 5;
    bool flag = true;
    or_gguf_text text = {"kept", 4};
    or_gguf_items items;
    assert_ok(or_gguf_open(path, &g));
    assert_fails(or_gguf_int(g, "nothing", 0, 9, &integer), OR_ERR_INPUT, "\"nothing\" is missing");
    assert_fails(or_gguf_int(g, "f", 0, 9, &integer), OR_ERR_INPUT, "expected an integer");
    assert_fails(or_gguf_int(g, "u", 0, 9, &integer), OR_ERR_INPUT, "expected 0..9");
    assert_fails(or_gguf_int(g, "ints", 0, 9, &integer), OR_ERR_INPUT, "an array");
    assert_fails(or_gguf_opt_number(g, "b", 0, 9, &number), OR_ERR_INPUT, "a boolean");
    assert_fails(or_gguf_opt_bool(g, "u", &flag), OR_ERR_INPUT, "an integer");
    assert_fails(or_gguf_opt_text(g, "u", &text), OR_ERR_INPUT, "expected a text");
    assert_fails(or_gguf_texts(g, "ints", &items), OR_ERR_INPUT, "expected an array of texts");
    assert_fails(or_gguf_numbers(g, "texts", &items), OR_ERR_INPUT, "expected an array of numbers");
    assert_ok(or_gguf_opt_int(g, "nothing", 0, 9, &integer));
    assert_ok(or_gguf_opt_number(g, "nothing", 0, 9, &number));
    assert_ok(or_gguf_opt_bool(g, "nothing", &flag));
    assert_ok(or_gguf_opt_text(g, "nothing", &text));
    assert_true(integer == 5 && number == 5 && flag && text.size == 4);
    or_gguf_close(g);
}

/* ---- files made word by word ------------------------------------------------------------------------------ */

typedef struct bytes {
    unsigned char data[4096];
    size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put32(bytes *b, uint32_t value)
{
    put(b, &value, sizeof value);
}

static void put64(bytes *b, uint64_t value)
{
    put(b, &value, sizeof value);
}

static void put_name(bytes *b, const char *name)
{
    put64(b, strlen(name));
    put(b, name, strlen(name));
}

static bytes head(uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    bytes b = {.size = 0};
    put(&b, "GGUF", 4);
    put32(&b, version);
    put64(&b, n_tensors);
    put64(&b, n_keys);
    return b;
}

static void put_tensor(bytes *b, const char *name, int n_dims, const uint64_t *dims, uint32_t type,
                       uint64_t offset)
{
    put_name(b, name);
    put32(b, (uint32_t)n_dims);
    for (int i = 0; i < n_dims; i++) put64(b, dims[i]);
    put32(b, type);
    put64(b, offset);
}

static void refused(const bytes *b, const char *part)
{
    const char *path = path_in(scratch_folder(), "bad.gguf");
    or_gguf *g;
    put_file(path, b->data, b->size);
    assert_fails(or_gguf_open(path, &g), OR_ERR_INPUT, part);
    assert_null(g);
}

static void bad_counts_are_refused(void **state)
{
    (void)state;
    bytes b = {.size = 0};
    put(&b, "GGML", 4);
    put(&b, (char[60]){0}, 60);
    refused(&b, "does not begin with GGUF");
    const uint32_t versions[] = {0, 1, 4, 0x03000000};
    for (size_t i = 0; i < 4; i++) {
        b = head(versions[i], 0, 0);
        refused(&b, "expected 2 or 3");
    }
    b = head(3, UINT64_MAX, 0);
    refused(&b, "announces");
    b = head(3, 0, (uint64_t)1 << 40);
    refused(&b, "announces");
    b = head(3, 1, 0);
    put(&b, (char[60]){0}, 60);
    refused(&b, "the next tensor has 0 bytes");
    b = head(3, 0, 1);
    put64(&b, UINT64_MAX); /* a name without end */
    put(&b, (char[60]){0}, 60);
    refused(&b, "cut off?");
    b = head(3, 0, 1);
    put_name(&b, "a\xff");
    put(&b, (char[60]){0}, 60);
    refused(&b, "UTF-8");
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    bytes b = head(3, 0, 1);
    put_name(&b, "key");
    put32(&b, 13);
    put64(&b, 0);
    refused(&b, "\"key\"): its value is of type 13");
    b = head(3, 0, 1);
    put_name(&b, "key");
    put32(&b, 9); /* an array of arrays */
    put32(&b, 9);
    put64(&b, 1);
    refused(&b, "in an array");
    b = head(3, 0, 1);
    put_name(&b, "key");
    put32(&b, 9);
    put32(&b, 4);
    put64(&b, UINT64_MAX / 2); /* more than the file has, and 4 times it overflows */
    refused(&b, "cut off?");
    b = head(3, 0, 1);
    put_name(&b, "key");
    put32(&b, 9);
    put32(&b, 8);
    put64(&b, (uint64_t)1 << 60); /* texts: no memory may be taken for them */
    refused(&b, "cut off?");
    b = head(3, 0, 1);
    put_name(&b, "key");
    put32(&b, 7);
    put(&b, "\2", 1);
    refused(&b, "expected 0 or 1");
    b = head(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_name(&b, "key");
        put32(&b, 0);
        put(&b, "\1", 1);
    }
    refused(&b, "\"key\" is given twice");
    const uint32_t alignments[] = {0, 4, 24, 1 << 20};
    for (size_t i = 0; i < 4; i++) {
        b = head(3, 0, 1);
        put_name(&b, "general.alignment");
        put32(&b, 4);
        put32(&b, alignments[i]);
        refused(&b, "\"general.alignment\"");
    }
}

/* One tensor with these dimensions, type and offset, before 64 bytes of data. */
static void tensor_refused(int n_dims, const uint64_t *dims, uint32_t type, uint64_t offset, const char *part)
{
    bytes b = head(3, 1, 0);
    put_tensor(&b, "t", n_dims, dims, type, offset);
    while (b.size % 32) put(&b, "", 1);
    put(&b, (char[64]){0}, 64);
    refused(&b, part);
}

static void bad_tensors_are_refused(void **state)
{
    (void)state;
    const uint64_t four = 4, zero = 0, sign = (uint64_t)1 << 63, block = 33, many = (uint64_t)1 << 61;
    tensor_refused(0, &four, 0, 0, "0 dimensions");
    tensor_refused(5, (uint64_t[]){1, 1, 1, 1, 1}, 0, 0, "5 dimensions");
    tensor_refused(1, &zero, 0, 0, "dimension 1 is 0");
    tensor_refused(1, &sign, 0, 0, "dimension 1 is 9223372036854775808");
    tensor_refused(2, (uint64_t[]){(uint64_t)1 << 32, (uint64_t)1 << 32}, 0, 0, "below 2^63");
    tensor_refused(2, (uint64_t[]){4, (uint64_t)1 << 61}, 0, 0, "below 2^63");
    tensor_refused(1, &many, 0, 0, "the file's"); /* 2^63 bytes */
    tensor_refused(1, (uint64_t[]){((uint64_t)1 << 62) + 4}, 0, 0, "too many");
    tensor_refused(1, &block, 2, 0, "multiple of 32");
    tensor_refused(1, (uint64_t[]){17}, 0, 0, "the file's");     /* 68 bytes of 64 */
    tensor_refused(1, &four, 0, 64, "the file's");               /* begins at the end */
    tensor_refused(1, &four, 0, 8, "expected a multiple of 32"); /* out of line */
    tensor_refused(1, &four, 0, UINT64_MAX - 31, "the file's");
    bytes b = head(2, 2, 0);
    put_tensor(&b, "t", 1, &four, 0, 0);
    put_tensor(&b, "t", 1, &four, 0, 32);
    while (b.size % 32) put(&b, "", 1);
    put(&b, (char[64]){0}, 64);
    refused(&b, "\"t\" is given twice");
}

/* In a file of a terabyte (holes take no disk) a name's length points at its end: the header may not take
 * it all. */
static void weights_are_not_taken_for_text(void **state)
{
    (void)state;
    const char *path = path_in(scratch_folder(), "huge.gguf");
    bytes b = head(3, 0, 1);
    or_gguf *g;
    put64(&b, (uint64_t)1 << 39);
    put_file(path, b.data, b.size);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_fails(or_gguf_open(path, &g), OR_ERR_INPUT, "expected a header of at most 134217728 bytes");
}

/* Types that are not computed with are kept under their names, without bytes; numbers that nobody knows are
 * not. */
static void other_types_have_names(void **state)
{
    (void)state;
    const uint64_t four = 4;
    bytes b = head(2, 1, 0);
    put_tensor(&b, "b", 1, &four, 4711, 0);
    refused(&b, "number 4711");
    b = head(2, 1, 0);
    put_tensor(&b, "a", 1, &four, 23, 0);
    while (b.size % 32) put(&b, "", 1);
    const char *path = path_in(scratch_folder(), "other.gguf");
    put_file(path, b.data, b.size);
    or_gguf *g;
    assert_ok(or_gguf_open(path, &g));
    assert_string_equal(or_gguf_tensor_at(g, 0)->stored, "IQ4_XS");
    assert_int_equal(or_gguf_tensor_at(g, 0)->dtype, OR_DTYPE_OTHER);
    or_gguf_close(g);
}

/* Cut at every byte of its header the file is refused; with any byte of it changed it is refused or read,
 * and does no harm (the sanitizers watch). */
static void damaged_headers_do_no_harm(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "sample.gguf"));
    write_sample(path);
    or_gguf *g;
    or_buffer whole = {0};
    assert_ok(or_gguf_open(path, &g));
    const size_t header = (size_t)or_gguf_tensor_at(g, 0)->offset;
    or_gguf_close(g);
    assert_ok(or_file_read(path, &whole));
    for (size_t cut = 1; cut < whole.size - 14; cut++) { /* 14 bytes of padding at the end nobody needs */
        put_file(path, whole.data, cut);
        assert_fails(or_gguf_open(path, &g), OR_ERR_INPUT, path);
    }
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    for (size_t at = 0; at < header; at++) {
        for (size_t v = 0; v < sizeof values; v++) {
            const char before = whole.data[at];
            whole.data[at] = (char)values[v];
            put_file(path, whole.data, whole.size);
            or_status status = or_gguf_open(path, &g);
            if (status != OR_OK) assert_int_equal(status, OR_ERR_INPUT);
            or_gguf_close(g);
            whole.data[at] = before;
        }
    }
    or_buffer_free(&whole);
}

static void unfinished_files_do_not_appear(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "half.gguf"));
    or_gguf_writer *w;
    assert_ok(or_gguf_create(path, &w));
    assert_ok(or_gguf_put_tensor(w, "t", OR_F32, 1, (int64_t[]){2}));
    assert_ok(or_gguf_put_data(w, (float[]){1}, 4));
    assert_fails(or_gguf_put_data(w, (float[]){1, 2}, 8), OR_ERR_FAILED, "more data");
    assert_fails(or_gguf_finish(w), OR_ERR_FAILED, "data came for 0 tensors of 1");
    or_gguf_writer_close(w);
    assert_false(or_path_exists(path));
    assert_fails(or_gguf_create("/nowhere/half.gguf", &w), OR_ERR_INPUT, "nowhere");
    assert_null(w);
    assert_fails(or_gguf_create(scratch_folder(), &w), OR_ERR_INPUT, "no regular file");
    assert_null(w);
    put_text(path, "{}");
    assert_fails(or_gguf_create(path, &w), OR_ERR_INPUT, "is no GGUF file");
    put_text(path, "");
    assert_ok(or_gguf_create(path, &w));
    or_gguf_writer_close(w);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    or_gguf *g;
    assert_fails(or_gguf_open("/nowhere/at.gguf", &g), OR_ERR_INPUT, "/nowhere/at.gguf");
    assert_fails(or_gguf_open(scratch_folder(), &g), OR_ERR_INPUT, "no regular file");
    assert_false(or_gguf_probe("/nowhere/at.gguf"));
    assert_false(or_gguf_probe(scratch_folder()));
    or_gguf_close(NULL);
    or_gguf_writer_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_files_are_read),     cmocka_unit_test(wrong_kinds_are_refused),
        cmocka_unit_test(bad_counts_are_refused),     cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(bad_tensors_are_refused),    cmocka_unit_test(other_types_have_names),
        cmocka_unit_test(damaged_headers_do_no_harm), cmocka_unit_test(unfinished_files_do_not_appear),
        cmocka_unit_test(what_is_no_file_is_refused), cmocka_unit_test(weights_are_not_taken_for_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
