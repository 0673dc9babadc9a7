/* test_checkpoint_map.c - tensors in memory: mapped once, read once, files that change after they were
 * opened; and where a checkpoint's bytes are (shares.c). */
#include "support.h"

#include "tiny_gguf.h"

#include <offramp/checkpoint.h>

#include <sys/mman.h>
#include <unistd.h>

static or_checkpoint *open_folder(void)
{
    or_checkpoint *checkpoint;
    assert_ok(or_checkpoint_open(tiny_folder("BF16", tiny_config), &checkpoint));
    return checkpoint;
}

static const void *map(or_checkpoint *checkpoint, const char *name)
{
    const void *data = NULL;
    assert_ok(or_checkpoint_map(checkpoint, or_checkpoint_find(checkpoint, name), &data));
    assert_non_null(data);
    return data;
}

/* A bf16 number of a tensor, as the file has it. */
static float number_at(const void *data, size_t i)
{
    float value;
    or_expand(data, OR_BF16, i, 1, &value);
    return value;
}

static void a_tensor_is_mapped_once(void **state)
{
    (void)state;
    or_checkpoint *checkpoint = open_folder();
    float values[TINY_VOCAB * TINY_WIDTH];
    const void *head = map(checkpoint, "lm_head.weight");
    const void *norm = map(checkpoint, "model.norm.weight");
    assert_true(head != norm);
    assert_true(map(checkpoint, "lm_head.weight") == head);
    tiny_values("lm_head.weight", false, TINY_VOCAB * TINY_WIDTH, values);
    assert_true(number_at(head, 0) == values[0]);
    assert_true(number_at(head, TINY_VOCAB * TINY_WIDTH - 1) == values[TINY_VOCAB * TINY_WIDTH - 1]);
    tiny_values("norm.weight", true, TINY_WIDTH, values);
    assert_true(number_at(norm, TINY_WIDTH - 1) == values[TINY_WIDTH - 1]);
    or_checkpoint_close(checkpoint);
}

static void bytes_are_counted_once(void **state)
{
    (void)state;
    or_checkpoint *checkpoint = open_folder();
    uint64_t bytes = 1;
    assert_ok(or_checkpoint_read(checkpoint, &bytes)); /* nobody asked for any */
    assert_int_equal(bytes, 0);
    map(checkpoint, "lm_head.weight");
    map(checkpoint, "model.norm.weight");
    map(checkpoint, "lm_head.weight");
    assert_ok(or_checkpoint_read(checkpoint, &bytes));
    assert_int_equal(bytes, (32 * 16 + 16) * 2);
    assert_ok(or_checkpoint_read(checkpoint, &bytes));
    assert_int_equal(bytes, 0);
    map(checkpoint, "model.layers.1.mlp.up_proj.weight");
    map(checkpoint, "model.norm.weight");
    assert_ok(or_checkpoint_read(checkpoint, &bytes));
    assert_int_equal(bytes, 24 * 16 * 2);
    or_checkpoint_close(checkpoint);
}

/* ---- files that became shorter ---------------------------------------------------------------------------- */

static void a_file_cut_before_mapping_is_refused(void **state)
{
    (void)state;
    const char *folder = tiny_folder("BF16", tiny_config);
    or_checkpoint *checkpoint;
    const void *data;
    assert_ok(or_checkpoint_open(folder, &checkpoint));
    assert_int_equal(truncate(path_in(folder, "model.safetensors"), 1000), 0);
    assert_fails(or_checkpoint_map(checkpoint, or_checkpoint_find(checkpoint, "lm_head.weight"), &data),
                 OR_ERR_INPUT, "model.safetensors");
    assert_int_equal(unlink(path_in(folder, "model.safetensors")), 0);
    assert_fails(or_checkpoint_map(checkpoint, or_checkpoint_find(checkpoint, "lm_head.weight"), &data),
                 OR_ERR_INPUT, "model.safetensors");
    or_checkpoint_close(checkpoint);
}

/* Whether the kernel reads mapped pages on request (5.14 and later); before, or_checkpoint_read() cannot
 * tell. */
static bool kernel_populates(void)
{
    void *page = mmap(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    const bool can = madvise(page, 1, MADV_POPULATE_READ) == 0;
    munmap(page, 1);
    return can;
}

/* The pages are there no more; touching them would end the process, reading them in is refused. */
static void a_file_cut_after_mapping_is_refused(void **state)
{
    (void)state;
    if (!kernel_populates()) {
        print_message("skipped: this kernel has no MADV_POPULATE_READ\n");
        skip();
    }
    const char *folder = tiny_folder("BF16", tiny_config);
    or_checkpoint *checkpoint;
    uint64_t bytes;
    assert_ok(or_checkpoint_open(folder, &checkpoint));
    map(checkpoint, "lm_head.weight");
    assert_int_equal(truncate(path_in(folder, "model.safetensors"), 0), 0);
    assert_fails(or_checkpoint_read(checkpoint, &bytes), OR_ERR_INPUT, "model.safetensors");
    or_checkpoint_close(checkpoint);
}

/* ---- shares ----------------------------------------------------------------------------------------------- */

/* By hand: q and o 16x16, k and v 8x16, three of 24x16, and two norms. */
enum { MATRICES = 2 * 16 * 16 + 2 * 8 * 16 + 3 * 24 * 16, ENDS = 32 * 16 };

static void shares_add_up(void **state)
{
    (void)state;
    or_shares s;
    or_checkpoint *checkpoint = open_folder();
    assert_ok(or_checkpoint_shares(checkpoint, &s));
    for (int layer = 0; layer < TINY_LAYERS; layer++)
        assert_int_equal(s.layers[layer], (MATRICES + 2 * 16) * 2);
    assert_int_equal(s.embedding, ENDS * 2);
    assert_int_equal(s.head, ENDS * 2);
    assert_int_equal(s.other, 16 * 2);
    assert_int_equal(s.parameters, 4 * (MATRICES + 2 * 16) + 2 * ENDS + 16);
    assert_int_equal(s.total, s.parameters * 2);
    or_shares_free(&s);
    assert_null(s.layers);
    or_checkpoint_close(checkpoint);
}

static void shares_of_gguf_files_add_up(void **state)
{
    (void)state;
    or_shares s;
    or_checkpoint *checkpoint;
    tiny_gguf *m = tiny_gguf_new(OR_F16, 4); /* norms and divisors in f32 */
    tiny_gguf_drop_tensor(m, "output.weight");
    tiny_gguf_add_tensor(m, "rope_freqs.weight", "rope_freqs.weight", 2, 0);
    assert_ok(or_checkpoint_open(tiny_gguf_put(m), &checkpoint));
    assert_ok(or_checkpoint_shares(checkpoint, &s));
    assert_int_equal(s.layers[0], MATRICES * 2 + 2 * 16 * 4);
    assert_int_equal(s.layers[3], s.layers[0]);
    assert_int_equal(s.embedding, ENDS * 2);
    assert_int_equal(s.head, 0); /* tied */
    assert_int_equal(s.other, (16 + 2) * 4);
    assert_int_equal(s.total, 4 * s.layers[0] + s.embedding + s.other);
    or_shares_free(&s);
    or_checkpoint_close(checkpoint);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_is_mapped_once),
        cmocka_unit_test(bytes_are_counted_once),
        cmocka_unit_test(a_file_cut_before_mapping_is_refused),
        cmocka_unit_test(a_file_cut_after_mapping_is_refused),
        cmocka_unit_test(shares_add_up),
        cmocka_unit_test(shares_of_gguf_files_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
