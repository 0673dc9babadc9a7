/* test_machine.c - the memory of a host, from files as the kernel writes them. */
#include "support.h"

#include "file.h"
#include "machine.h"

static void the_least_limit_counts(void **state)
{
    (void)state;
    char folder[200], meminfo[256], cgroup[256], inner[256], outer[256];
    snprintf(folder, sizeof folder, "%s", scratch_folder());
    snprintf(meminfo, sizeof meminfo, "%s/meminfo", folder);
    snprintf(cgroup, sizeof cgroup, "%s/cgroup", folder);
    snprintf(outer, sizeof outer, "%s/job/memory.max", folder);
    snprintf(inner, sizeof inner, "%s/job/step/memory.max", folder);
    assert_ok(or_folder_make(path_in(folder, "job/step")));
    put_text(meminfo, "MemTotal:  100 kB\nMemFree:  10 kB\nMemAvailable:      64 kB\nBuffers: 1 kB\n");
    assert_true(or_machine_memory_in(meminfo, "/nowhere", folder) == 65536);
    put_text(cgroup, "1:name=systemd:/x\n0::/job/step\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 65536); /* no limits there */
    put_text(inner, "max\n");
    put_text(outer, "50000\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 50000);
    put_text(inner, "40000\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 40000);
    put_text(inner, "90000\n");
    put_text(outer, "max\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 65536);
    put_text(meminfo, "MemTotal: 100 kB\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 90000);
    put_text(cgroup, "0::/\n");
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == UINT64_MAX);
    assert_true(or_machine_memory_in("/nowhere", "/nowhere", folder) == UINT64_MAX);
    put_text(path_in(folder, "memory.max"), "30000\n"); /* of the container */
    assert_true(or_machine_memory_in(meminfo, cgroup, folder) == 30000);
}

static void this_machine_has_some(void **state)
{
    (void)state;
    assert_true(or_machine_memory() > 1 << 20);
}

static void the_peak_is_what_was_touched(void **state)
{
    (void)state;
    enum { BYTES = 32 << 20 };
    const uint64_t before = or_machine_peak();
    volatile char *bytes = malloc(BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES; i += 4096) bytes[i] = 1;
    free((void *)bytes);
    const uint64_t after = or_machine_peak();
    assert_true(before > 0);
    assert_in_range(after - before, BYTES * 9 / 10, BYTES * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_limit_counts),
        cmocka_unit_test(this_machine_has_some),
        cmocka_unit_test(the_peak_is_what_was_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
