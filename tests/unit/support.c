/* support.c - what the unit tests share. */
#include "support.h"

#include <ftw.h>
#include <unistd.h>

static char scratch[128][64];
static int n_scratch;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static void remove_scratch(void)
{
    for (int i = 0; i < n_scratch; i++) nftw(scratch[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_folder(void)
{
    if (n_scratch == 0) atexit(remove_scratch);
    assert_true(n_scratch < 128);
    char *folder = scratch[n_scratch];
    strcpy(folder, "/tmp/offramp-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    n_scratch++;
    return folder;
}

const char *path_in(const char *folder, const char *name)
{
    static char paths[8][1024];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void put_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void put_text(const char *path, const char *text)
{
    put_file(path, text, strlen(text));
}

const char *source_path(const char *name)
{
    return path_in(TEST_SOURCE, name);
}

const char *need_data(const char *name)
{
    const char *path = path_in(TEST_DATA, name);
    if (access(path, R_OK) != 0) {
        print_message("skipped: needs %s (cmake -DOFFRAMP_TEST_DATA=...)\n", path);
        skip();
    }
    return path;
}

uint32_t random_bits(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state ^ *state >> 33;
    return (uint32_t)(x * 0xff51afd7ed558ccdu >> 32);
}
