/* report_svg.c - running gnuplot, and making its SVG a part of a page.
 *
 * gnuplot writes documents of their own: with a prolog, a size in pixels, black lines, and ids (gpPt5,
 * gnuplot_plot_1) that are the same in all of them. In one page these would clash, and black would vanish in
 * the dark.
 */
#include "report_plots.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- running ------------------------------------------------------------------------------------------- */

/* Files in memory: nothing to remove, and none of the three can wait for another, as pipes could. */
typedef struct streams {
    int in, out, err;
} streams;

static or_status fail_errno(const char *what, int error)
{
    return or_fail(OR_ERR_FAILED, "plots cannot be drawn", "gnuplot", "%s: %s", what, strerror(error));
}

static or_status open_streams(const or_buffer *script, streams *s)
{
    s->in = memfd_create("script", MFD_CLOEXEC);
    s->out = memfd_create("svg", MFD_CLOEXEC);
    s->err = memfd_create("messages", MFD_CLOEXEC);
    if (s->in < 0 || s->out < 0 || s->err < 0) return fail_errno("no file in memory", errno);
    for (size_t done = 0; done < script->size;) {
        const ssize_t n = write(s->in, script->data + done, script->size - done);
        if (n < 0) return fail_errno("the script cannot be kept", errno);
        done += (size_t)n;
    }
    lseek(s->in, 0, SEEK_SET);
    return OR_OK;
}

static void close_streams(const streams *s)
{
    if (s->in >= 0) close(s->in);
    if (s->out >= 0) close(s->out);
    if (s->err >= 0) close(s->err);
}

static or_status read_all(int fd, or_buffer *text)
{
    char part[65536];
    lseek(fd, 0, SEEK_SET);
    for (ssize_t n; (n = read(fd, part, sizeof part)) != 0;) {
        if (n < 0) return fail_errno("its output cannot be read", errno);
        OR_TRY(or_buffer_append(text, part, (size_t)n));
    }
    return OR_OK;
}

/* -d: without the settings of the user, so that the same figures give the same bytes. */
static or_status spawn(const streams *s, int *code)
{
    char *const argv[] = {"gnuplot", "-d", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, s->in, 0);
    posix_spawn_file_actions_adddup2(&actions, s->out, 1);
    posix_spawn_file_actions_adddup2(&actions, s->err, 2);
    const int error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT)
        return or_fail(OR_ERR_FAILED, "plots cannot be drawn", NULL,
                       "gnuplot is not installed, install the package gnuplot-nox or take --format md");
    if (error) return fail_errno("it cannot be started", error);
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return fail_errno("it cannot be waited for", errno);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return OR_OK;
}

/* Messages begin with the line of the script and a caret below; the last line says what is wrong. */
static or_status say_failure(const streams *s, int code)
{
    or_buffer text = {0};
    or_status status = read_all(s->err, &text);
    while (text.size > 0 && text.data[text.size - 1] == '\n') text.data[--text.size] = '\0';
    const char *last = text.size > 0 ? strrchr(text.data, '\n') : NULL;
    if (status == OR_OK)
        status = or_fail(OR_ERR_FAILED, "plots cannot be drawn", "gnuplot", "it ended with code %d: %s", code,
                         last            ? last + 1
                         : text.size > 0 ? text.data
                                         : "");
    or_buffer_free(&text);
    return status;
}

or_status or_gnuplot_run(const or_buffer *script, or_buffer *out)
{
    streams s = {-1, -1, -1};
    int code = 0;
    or_status status = open_streams(script, &s);
    if (status == OR_OK) status = spawn(&s, &code);
    if (status == OR_OK) status = code == 0 ? read_all(s.out, out) : say_failure(&s, code);
    close_streams(&s);
    return status;
}

/* ---- embedding ----------------------------------------------------------------------------------------- */

/* The part of the text that is looked at. */
typedef struct span {
    const char *at, *end;
} span;

static bool starts(const span *text, const char *with)
{
    const size_t n = strlen(with);
    return (size_t)(text->end - text->at) >= n && memcmp(text->at, with, n) == 0;
}

/* Moves behind the next `what`; to the end when there is none. */
static void skip_behind(span *text, const char *what)
{
    const char *found = memmem(text->at, (size_t)(text->end - text->at), what, strlen(what));
    text->at = found ? found + strlen(what) : text->end;
}

/* The page sets the size, within bounds: the texts grow and shrink with it. */
static or_status put_head(span *text, const char *label, or_buffer *out)
{
    int width, height;
    skip_behind(text, "viewBox=\"0 0 ");
    if (sscanf(text->at, "%d %d", &width, &height) != 2)
        return or_fail(OR_ERR_FAILED, "plots cannot be drawn", "gnuplot", "it wrote no SVG that is known");
    skip_behind(text, ">");
    OR_TRY(or_buffer_printf(out,
                            "<svg role=\"img\" viewBox=\"0 0 %d %d\" style=\"min-width:%dpx;max-width:%dpx\" "
                            "aria-label=\"",
                            width, height, width * 2 / 3, width * 9 / 8));
    OR_TRY(or_html_escape(out, label));
    OR_TRY(or_buffer_puts(out, "\"><title>"));
    OR_TRY(or_html_escape(out, label));
    return or_buffer_puts(out, "</title>");
}

/* What is put in the place of a beginning, in order: longer ones stand before theirs. P is for the prefix. */
static const struct {
    const char *found, *put;
} changes[] = {
    {" id=\"", " id=\"P"},
    {" id='", " id='P"},
    {"href='#", "href='#P"},
    {"href=\"#", "href=\"#P"},
    {"url(#", "url(#P"},
    {"\"black\"", "\"currentColor\""},
    {"'black'", "'currentColor'"},
    {"rgb(  0,   0,   0)", "currentColor"},
    {"rgb(0,0,0)", "currentColor"},
};

/* The prefix is the panel's. */
static or_status put_change(const char *put, const char *prefix, or_buffer *out)
{
    const char *mark = strchr(put, 'P');
    if (!mark) return or_buffer_puts(out, put);
    return or_buffer_printf(out, "%.*s%s", (int)(mark - put), put, prefix);
}

/* Marks are only drawn by reference to their definitions, which some plots never use. */
static bool wants_definitions(const span *text)
{
    span rest = *text;
    skip_behind(&rest, "</defs>");
    return memmem(rest.at, (size_t)(rest.end - rest.at), "href='#", 7) != NULL;
}

/* One step: something left out, something changed, or a byte as it is. gnuplot's titles would be shown as
 * tips. */
static or_status put_next(span *text, const char *prefix, or_buffer *out)
{
    if (starts(text, "<title>")) {
        skip_behind(text, "</title>");
        return OR_OK;
    }
    if (starts(text, "<desc>")) {
        skip_behind(text, "</desc>");
        return OR_OK;
    }
    if (starts(text, "<defs>") && !wants_definitions(text)) {
        skip_behind(text, "</defs>");
        return OR_OK;
    }
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        if (!starts(text, changes[i].found)) continue;
        text->at += strlen(changes[i].found);
        return put_change(changes[i].put, prefix, out);
    }
    return or_buffer_append(out, text->at++, 1);
}

/* Texts of the plot are left alone but for one that would look like an attribute: quotes are no names'. */
or_status or_svg_embed(const char *svg, size_t size, const char *prefix, const char *label, or_buffer *out)
{
    span text = {svg, svg + size};
    OR_TRY(put_head(&text, label, out));
    while (text.at < text.end) OR_TRY(put_next(&text, prefix, out));
    return OR_OK;
}
