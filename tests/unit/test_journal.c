/* test_journal.c - the journal: resumed, cut at every byte, of another run, in use. */
#include "support.h"

#include "file.h"
#include "journal.h"
#include "owner.h"

#include <unistd.h>

/* Lines that were taken when opening: their "n", in order. */
typedef struct taken {
    int n[16];
    size_t count;
} taken;

static or_status take(void *context, const cJSON *line, const char *where)
{
    taken *t = context;
    int64_t n;
    OR_TRY(or_json_int(line, "n", where, 0, 99, &n));
    t->n[t->count++] = (int)n;
    return OR_OK;
}

static or_journal *open_journal(const char *path, const char *run, bool resume, taken *t)
{
    or_journal *journal = NULL;
    *t = (taken){0};
    assert_ok(or_journal_open(path, run, resume, take, t, &journal));
    return journal;
}

static void append(or_journal *journal, int n)
{
    char line[32];
    int size = snprintf(line, sizeof line, "{\"n\":%d}", n);
    assert_ok(or_journal_append(journal, line, (size_t)size));
}

/* What a journal of `run`, a JSON text, begins with when this process writes it. */
static const char *head_of(const char *run)
{
    static char text[512];
    or_buffer owner = {0};
    or_owner self;
    or_owner_self(&self);
    assert_ok(or_owner_put(&owner, &self));
    snprintf(text, sizeof text, "{\"offramp_journal\":1,\"run\":%s,\"owner\":%s}\n", run, owner.data);
    or_buffer_free(&owner);
    return text;
}

/* A journal of three lines; *text is the file. */
static void make_journal(const char *path, or_buffer *text)
{
    taken t;
    size_t lines;
    or_journal *journal = open_journal(path, "run A", false, &t);
    for (int n = 1; n <= 3; n++) append(journal, n);
    assert_ok(or_journal_sync(journal, &lines));
    assert_int_equal(lines, 3);
    or_journal_close(journal);
    assert_ok(or_file_read(path, text));
}

static void lines_come_back(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    or_buffer text = {0};
    taken t;
    size_t lines;
    make_journal(path, &text);
    or_journal *journal = open_journal(path, "run A", true, &t);
    assert_int_equal(t.count, 3);
    append(journal, 4);
    assert_ok(or_journal_sync(journal, &lines));
    assert_int_equal(lines, 4);
    or_journal_close(journal);
    or_journal_close(open_journal(path, "run A", true, &t));
    for (int i = 0; i < 4; i++) assert_int_equal(t.n[i], i + 1);
    assert_int_equal(t.count, 4);
    or_buffer_free(&text);
}

static void appended_lines_are_not_counted_before_sync(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    taken t;
    or_journal *journal = open_journal(path, "run A", false, &t);
    append(journal, 1);
    or_journal_close(journal); /* never synced: never counted, never written */
    or_journal_close(open_journal(path, "run A", true, &t));
    assert_int_equal(t.count, 0);
}

/* Killed at any byte: the whole lines before it are taken, and what is appended then follows them. */
static void every_cut_leaves_whole_lines(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    or_buffer text = {0};
    taken t;
    size_t lines;
    make_journal(path, &text);
    for (size_t cut = 0; cut <= text.size; cut++) {
        int whole = -1; /* the head is no result */
        for (size_t i = 0; i < cut; i++) whole += text.data[i] == '\n';
        put_file(path, text.data, cut);
        or_journal *journal = open_journal(path, "run A", true, &t);
        assert_int_equal(t.count, whole > 0 ? whole : 0);
        append(journal, 77);
        assert_ok(or_journal_sync(journal, &lines));
        or_journal_close(journal);
        or_journal_close(open_journal(path, "run A", true, &t));
        assert_int_equal(t.count, (whole > 0 ? whole : 0) + 1);
        assert_int_equal(t.n[t.count - 1], 77);
    }
    or_buffer_free(&text);
}

/* As above, but not every byte before the cut is as it was written: the first broken line ends what is
 * taken. */
static void broken_lines_end_the_journal(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    static const char head[] = "{\"offramp_journal\":1,\"run\":\"run A\"}\n";
    static const char *const broken[] = {"{\"n\":2", "", "{\"n\":2}}", "\xff\xfe", "{\"n\":2} {}"};
    char text[600];
    or_buffer after = {0};
    taken t;
    size_t lines;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        snprintf(text, sizeof text, "%s{\"n\":1}\n%s\n{\"n\":3}\n", head, broken[i]);
        put_text(path, text);
        or_journal *journal = open_journal(path, "run A", true, &t);
        assert_int_equal(t.count, 1);
        append(journal, 8);
        assert_ok(or_journal_sync(journal, &lines));
        assert_int_equal(lines, 2);
        or_journal_close(journal);
        assert_ok(or_file_read(path, &after));
        snprintf(text, sizeof text, "%s{\"n\":1}\n{\"n\":8}\n", head_of("\"run A\""));
        assert_string_equal(after.data, text);
        or_buffer_free(&after);
    }
    /* a block of zeros, as some file systems leave them after a crash */
    char zeros[100] = {0};
    snprintf(zeros, sizeof zeros, "%s{\"n\":1}\n", head);
    put_file(path, zeros, sizeof zeros);
    or_journal_close(open_journal(path, "run A", true, &t));
    assert_int_equal(t.count, 1);
    assert_ok(or_file_read(path, &after));
    assert_int_equal(after.size, strlen(head_of("\"run A\"")) + strlen("{\"n\":1}\n"));
    or_buffer_free(&after);
}

/* The file holds the head and the lines, each ended by a line break, whatever the name of the run. */
static void files_are_what_the_header_says(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    or_buffer text = {0};
    taken t;
    size_t lines = 99;
    or_journal *journal = open_journal(path, "say \"A\" \\ \xc3\xa9", true, &t); /* nothing there: begun */
    assert_int_equal(t.count, 0);
    assert_ok(or_journal_sync(journal, &lines));
    assert_int_equal(lines, 0);
    append(journal, 1);
    assert_ok(or_file_read(path, &text)); /* the head is there at once, a line after the next sync */
    assert_string_equal(text.data, head_of("\"say \\\"A\\\" \\\\ \xc3\xa9\""));
    append(journal, 2);
    assert_ok(or_journal_sync(journal, &lines));
    assert_int_equal(lines, 2);
    assert_ok(or_journal_sync(journal, &lines)); /* nothing is written twice */
    or_journal_close(journal);
    const size_t head = text.size;
    text.size = 0;
    assert_ok(or_file_read(path, &text));
    assert_string_equal(text.data + head, "{\"n\":1}\n{\"n\":2}\n");
    or_buffer_free(&text);
    or_journal_close(open_journal(path, "say \"A\" \\ \xc3\xa9", true, &t));
    assert_int_equal(t.count, 2);
    or_journal_close(NULL);
}

/* A head cut at every byte is begun anew for its own run; for another run the file is refused, and left. */
static void torn_heads_of_another_run_are_kept(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    static const char head[] = "{\"offramp_journal\":1,\"run\":\"run A\"}\n";
    const size_t same = (size_t)(strstr(head, "A\"") - head); /* up to here both runs' heads are alike */
    or_buffer after = {0};
    for (size_t cut = same + 1; cut <= sizeof head - 1; cut++) {
        taken t = {0};
        or_journal *journal = NULL;
        put_file(path, head, cut);
        assert_fails(or_journal_open(path, "run B", true, take, &t, &journal), OR_ERR_INPUT, "journal.jsonl");
        assert_null(journal);
        assert_ok(or_file_read(path, &after));
        assert_int_equal(after.size, cut);
        or_buffer_free(&after);
    }
}

static void others_are_refused(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    or_buffer text = {0};
    taken t = {0};
    or_journal *second = NULL;
    make_journal(path, &text);
    assert_fails(or_journal_open(path, "run A", false, take, &t, &second), OR_ERR_INPUT, "--resume");
    assert_fails(or_journal_open(path, "run B", true, take, &t, &second), OR_ERR_INPUT, "another run");
    or_journal *first = open_journal(path, "run A", true, &t);
    assert_fails(or_journal_open(path, "run A", true, take, &t, &second), OR_ERR_INPUT, "in use");
    or_journal_close(first);
    put_text(path, "{\"offramp_journal\":1,\"run\":\"run A\"}\n{\"n\":\"x\"}\n");
    assert_fails(or_journal_open(path, "run A", true, take, &t, &second), OR_ERR_INPUT, "journal.jsonl:2");
    static const char *const heads[] = {"{\"offramp_journal\":2,\"run\":\"run A\"}\n", "{\"n\":1}\n", "[]\n",
                                        "{\"offramp_journal\":1}\n", "{\"offramp_journal\":1,\"run\":7}\n"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        put_text(path, heads[i]);
        assert_fails(or_journal_open(path, "run A", true, take, &t, &second), OR_ERR_INPUT, "wrong field");
    }
    put_text(path, "my notes\n");
    assert_fails(or_journal_open(path, "run A", true, take, &t, &second), OR_ERR_INPUT, "not a journal");
    or_buffer after = {0};
    assert_ok(or_file_read(path, &after));
    assert_string_equal(after.data, "my notes\n"); /* a refused file stays as it was */
    or_buffer_free(&after);
    or_buffer_free(&text);
    const char *folder = scratch_folder();
    assert_fails(or_journal_open(folder, "run A", true, take, &t, &second), OR_ERR_INPUT, folder);
    assert_fails(or_journal_open("/nowhere/journal.jsonl", "run A", false, take, &t, &second), OR_ERR_INPUT,
                 "nowhere");
}

/* Generations of a scheduler's job. */
static or_journal *open_as(const char *path, const char *job, const char *restart, taken *t)
{
    setenv("SLURM_JOB_ID", job, 1);
    setenv("SLURM_RESTART_COUNT", restart, 1);
    or_journal *journal = open_journal(path, "run A", true, t);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    return journal;
}

/* The node of a job was lost, the job queued again, and the old process still runs there with its lock: the
 * new one goes on, and what the old one writes later is nowhere. */
static void later_generations_take_over(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    taken t;
    size_t lines;
    or_journal *stale = open_as(path, "12", "0", &t), *next, *refused = NULL;
    append(stale, 1);
    assert_ok(or_journal_sync(stale, &lines));
    append(stale, 2); /* not on disk yet */
    setenv("SLURM_JOB_ID", "13", 1);
    setenv("SLURM_RESTART_COUNT", "5", 1);
    assert_fails(or_journal_open(path, "run A", true, take, &t, &refused), OR_ERR_INPUT, "job 12");
    setenv("SLURM_JOB_ID", "12", 1);
    setenv("SLURM_RESTART_COUNT", "0", 1);
    assert_fails(or_journal_open(path, "run A", true, take, &t, &refused), OR_ERR_INPUT, "in use");
    next = open_as(path, "12", "1", &t);
    assert_int_equal(t.count, 1);
    append(next, 3);
    assert_ok(or_journal_sync(next, &lines));
    assert_fails(or_journal_sync(stale, &lines), OR_ERR_FAILED, "taken over");
    assert_fails(or_journal_check(stale), OR_ERR_FAILED, "taken over");
    assert_ok(or_journal_check(next));
    or_journal_close(stale);
    append(next, 4);
    assert_ok(or_journal_sync(next, &lines));
    or_journal_close(next);
    or_journal_close(open_as(path, "14", "0", &t));
    assert_int_equal(t.count, 3);
    assert_int_equal(t.n[0], 1);
    assert_int_equal(t.n[1], 3);
    assert_int_equal(t.n[2], 4);
}

/* Where the file system knows no locks: who goes on stops who was there before. */
static void without_locks_the_last_one_writes(void **state)
{
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s", path_in(scratch_folder(), "journal.jsonl"));
    taken t;
    size_t lines;
    or_journal *first = open_journal(path, "run A", false, &t);
    append(first, 1);
    assert_ok(or_journal_sync(first, &lines));
    char moved[300];
    snprintf(moved, sizeof moved, "%s.was", path);
    or_buffer text = {0};
    assert_ok(or_file_read(path, &text));
    assert_int_equal(rename(path, moved), 0); /* another file under the name has no lock */
    put_file(path, text.data, text.size);
    or_journal *second = open_journal(path, "run A", true, &t);
    append(first, 2);
    assert_fails(or_journal_sync(first, &lines), OR_ERR_FAILED, "taken over");
    append(second, 3);
    assert_ok(or_journal_sync(second, &lines));
    or_journal_close(first);
    or_journal_close(second);
    or_journal_close(open_journal(path, "run A", true, &t));
    assert_int_equal(t.count, 2);
    assert_int_equal(t.n[1], 3);
    or_buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_back),
        cmocka_unit_test(appended_lines_are_not_counted_before_sync),
        cmocka_unit_test(every_cut_leaves_whole_lines),
        cmocka_unit_test(broken_lines_end_the_journal),
        cmocka_unit_test(files_are_what_the_header_says),
        cmocka_unit_test(torn_heads_of_another_run_are_kept),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(later_generations_take_over),
        cmocka_unit_test(without_locks_the_last_one_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
