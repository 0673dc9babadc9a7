/* test_local.c - copies of tensors on the host's own disk: the same bytes, taken again, made anew when damaged. */
#include "support.h"
#include "tiny_model.h"

#include "file.h"

#include <offramp/checkpoint.h>
#include <offramp/model.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* All tensors of the model, from copies in `local` (NULL: from where they are), one behind the other. */
static void read_all(const char *model, const char *local, or_buffer *bytes, uint64_t *copied,
                     uint64_t *reused)
{
    or_checkpoint *checkpoint;
    bytes->size = 0;
    assert_ok(or_checkpoint_open(model, &checkpoint));
    if (local) assert_ok(or_checkpoint_copy_to(checkpoint, local));
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++) {
        const or_tensor *tensor = or_checkpoint_at(checkpoint, i);
        const void *data;
        assert_ok(or_checkpoint_map(checkpoint, tensor, &data));
        assert_ok(or_buffer_append(bytes, data, tensor->bytes));
    }
    or_checkpoint_copied(checkpoint, copied, reused);
    or_checkpoint_close(checkpoint);
}

/* The folder of the copies, the only one in the only one; "" when there is none. */
static const char *copies_in(const char *local)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", local);
    for (int depth = 0; depth < 2; depth++) {
        DIR *listing = opendir(path);
        struct dirent *entry;
        char name[256] = "";
        while (listing && (entry = readdir(listing)))
            if (entry->d_name[0] != '.') {
                assert_string_equal(name, "");
                snprintf(name, sizeof name, "%s", entry->d_name);
            }
        if (listing) closedir(listing);
        if (!name[0]) return "";
        snprintf(path + strlen(path), sizeof path - strlen(path), "/%s", name);
    }
    return path;
}

static void copies_are_the_same_and_taken_again(void **state)
{
    (void)state;
    const char *model = tiny_folder("BF16", tiny_config), *local = path_in(scratch_folder(), "a/b");
    char folder[600];
    snprintf(folder, sizeof folder, "%s", local);
    or_buffer plain = {0}, first = {0}, second = {0};
    uint64_t copied, reused;
    read_all(model, NULL, &plain, &copied, &reused);
    assert_int_equal(copied + reused, 0);
    read_all(model, folder, &first, &copied, &reused);
    assert_int_equal(copied, plain.size);
    assert_int_equal(reused, 0);
    read_all(model, folder, &second, &copied, &reused);
    assert_int_equal(copied, 0);
    assert_int_equal(reused, plain.size);
    assert_int_equal(first.size, plain.size);
    assert_memory_equal(first.data, plain.data, plain.size);
    assert_memory_equal(second.data, plain.data, plain.size);
    or_buffer_free(&plain);
    or_buffer_free(&first);
    or_buffer_free(&second);
}

/* Every byte of a copy counts: one that is another, one too few, one too many. */
static void damaged_copies_are_made_anew(void **state)
{
    (void)state;
    const char *model = tiny_folder("F32", tiny_config);
    char local[600], path[1200];
    snprintf(local, sizeof local, "%s", path_in(scratch_folder(), "local"));
    or_buffer plain = {0}, again = {0}, copy = {0};
    uint64_t copied, reused;
    read_all(model, local, &plain, &copied, &reused);
    snprintf(path, sizeof path, "%s/model.norm.weight", copies_in(local));
    assert_ok(or_file_read(path, &copy));
    const size_t size = copy.size;
    for (size_t at = 0; at <= size + 1; at += at < size ? 1 + size / 40 : 1) {
        if (at < size) copy.data[at] ^= 1;
        put_file(path, copy.data,
                 at == size  ? size - 1
                 : at > size ? size + 1
                             : size); /* a NUL is behind it */
        if (at < size) copy.data[at] ^= 1;
        read_all(model, local, &again, &copied, &reused);
        assert_int_equal(copied + reused, plain.size);
        assert_true(copied > 0 && copied < size);
        assert_memory_equal(again.data, plain.data, plain.size);
    }
    or_buffer_free(&plain);
    or_buffer_free(&again);
    or_buffer_free(&copy);
}

static void a_changed_model_has_new_copies(void **state)
{
    (void)state;
    const char *model = tiny_folder("F32", tiny_config);
    char local[600], before[1024], leftover[1200], file[1024];
    snprintf(local, sizeof local, "%s", path_in(scratch_folder(), "local"));
    snprintf(file, sizeof file, "%s/model.safetensors", model);
    or_buffer old = {0}, plain = {0}, again = {0}, text = {0};
    uint64_t copied, reused;
    read_all(model, local, &old, &copied, &reused);
    snprintf(before, sizeof before, "%s", copies_in(local));
    assert_ok(or_file_read(file, &text));
    text.data[text.size - 1] ^= 64; /* a weight; same size, same header */
    usleep(20000);                  /* another time */
    put_file(file, text.data, text.size);
    read_all(model, NULL, &plain, &copied, &reused);
    read_all(model, local, &again, &copied, &reused);
    assert_int_equal(copied, plain.size);
    assert_memory_equal(again.data, plain.data, plain.size);
    assert_string_not_equal(copies_in(local), before); /* and the old ones are gone: there is one folder */
    /* what a process that is gone was writing is removed, what a living one writes is not */
    snprintf(leftover, sizeof leftover, "%s/x.tmp.999999999", copies_in(local));
    put_text(leftover, "half");
    snprintf(file, sizeof file, "%s/x.tmp.%ld", copies_in(local), (long)getpid());
    put_text(file, "half");
    const int held = open(file, O_RDONLY);
    assert_int_equal(flock(held, LOCK_EX), 0);
    read_all(model, local, &again, &copied, &reused);
    assert_int_equal(reused, plain.size);
    assert_false(or_path_exists(leftover));
    assert_true(or_path_exists(file));
    close(held);
    or_buffer_free(&old);
    or_buffer_free(&plain);
    or_buffer_free(&again);
    or_buffer_free(&text);
}

/* A model opens only what it is asked for, and is the same. */
static void models_copy_their_own_layers(void **state)
{
    (void)state;
    const char *folder = tiny_folder("F32", tiny_config);
    char local[600];
    snprintf(local, sizeof local, "%s", path_in(scratch_folder(), "local"));
    const or_model_options options = {.local = local};
    or_model *plain, *copy, *rest;
    uint64_t copied, reused, all;
    assert_ok(or_model_open(folder, 1, 2, &plain));
    assert_ok(or_model_open_with(folder, &options, 1, 2, &copy));
    or_model_copied(copy, &copied, &reused);
    assert_int_equal(reused, 0);
    assert_true(copied > 0);
    assert_true(or_model_fingerprint(plain) == or_model_fingerprint(copy));
    assert_ok(or_model_open_with(folder, &options, 0, TINY_LAYERS, &rest));
    or_model_copied(rest, &all, &reused);
    assert_int_equal(reused, copied); /* what the first one had is not copied again */
    assert_true(all > 0);
    or_model_close(plain);
    or_model_close(copy);
    or_model_close(rest);
}

static void what_cannot_be_written_is_refused(void **state)
{
    (void)state;
    const char *folder = tiny_folder("F32", tiny_config);
    char local[600], file[700];
    or_checkpoint *checkpoint;
    const void *data;
    snprintf(local, sizeof local, "%s", path_in(scratch_folder(), "local"));
    snprintf(file, sizeof file, "%s", path_in(scratch_folder(), "file"));
    put_text(file, "");
    assert_ok(or_checkpoint_open(folder, &checkpoint));
    assert_fails(or_checkpoint_copy_to(checkpoint, file), OR_ERR_INPUT, "folder cannot be made");
    or_checkpoint_close(checkpoint);
    /* a disk that is full, as far as this process is concerned */
    const struct rlimit small = {64, RLIM_INFINITY}, whole = {RLIM_INFINITY, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    assert_ok(or_checkpoint_open(folder, &checkpoint));
    assert_ok(or_checkpoint_copy_to(checkpoint, local));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    or_status status = or_checkpoint_map(checkpoint, or_checkpoint_at(checkpoint, 0), &data);
    setrlimit(RLIMIT_FSIZE, &whole);
    assert_true(status != OR_OK);
    assert_non_null(strstr(or_status_message(), "local copy cannot be written"));
    DIR *listing = opendir(copies_in(local));
    struct dirent *entry;
    while ((entry = readdir(listing))) assert_int_equal(entry->d_name[0], '.'); /* nothing half is left */
    closedir(listing);
    or_checkpoint_close(checkpoint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_the_same_and_taken_again), cmocka_unit_test(damaged_copies_are_made_anew),
        cmocka_unit_test(a_changed_model_has_new_copies),      cmocka_unit_test(models_copy_their_own_layers),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
