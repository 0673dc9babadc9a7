/* cmd_report.c - offramp report: one page of what eval, study, bench and trace have written. Needs no
 * model. */
#include "cli.h"

#include "file.h"
#include "report.h"

#include <stdio.h>

static char **inputs; /* [n_inputs], NULL behind the last that was given */
static int n_inputs;
static char *output, *format_name;
static bool quiet;

static or_option options[] = {
    {"format", OR_OPTION_TEXT, &format_name, "FORMAT", "html, with plots; md or tex, tables only (html)", 0,
     0, false},
    {"output", OR_OPTION_TEXT, &output, "FILE", "file to write (report.FORMAT in the first DIR)", 0, 0,
     false},
    {"quiet", OR_OPTION_FLAG, &quiet, "", "errors only", 0, 0, false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "report DIR... [--format html|md|tex] [--output FILE]",
    .summary =
        "Makes one page of tables and plots that loads nothing else. DIR is a folder of eval or study, a "
        "file of\n"
        "bench -o json, a trace.csv, a timeline, or a folder of such files. Plots are drawn by gnuplot.",
    .example = "offramp report results/sst2 results/sst2-crf bench.json --output sst2.html",
};

/* As many inputs as there are arguments, at most. */
static or_status parse(int argc, char **argv, bool *helped)
{
    const or_report_format *format;
    n_inputs = argc;
    OR_TRY(OR_NEW(inputs, (size_t)n_inputs));
    OR_TRY(or_options_parse(argc, argv, options, &text, inputs, n_inputs, helped));
    if (*helped) return OR_OK;
    if (format_name) OR_TRY(or_report_format_find(format_name, &format));
    if (inputs[0]) return OR_OK;
    return or_fail(OR_ERR_USAGE, "argument missing", NULL,
                   "expected a folder, as in offramp report results/sst2");
}

/* Beside what the report is of, unless --output says otherwise. */
static or_status name_output(const or_report_format *format, char **path)
{
    char *folder = NULL, *name = NULL;
    if (output) return or_strdup(output, path);
    or_status status =
        or_path_is_folder(inputs[0]) ? or_strdup(inputs[0], &folder) : or_path_folder(inputs[0], &folder);
    if (status == OR_OK) status = or_format(&name, "report.%s", or_report_format_name(format));
    if (status == OR_OK) status = or_path_join(folder, name, path);
    free(folder);
    free(name);
    return status;
}

/* Local. */
static or_status run_report(or_session *session)
{
    (void)session;
    const or_report_format *format;
    or_report *report = NULL;
    char *path = NULL;
    or_status status = or_report_format_find(format_name ? format_name : "html", &format);
    OR_TRY_GOTO(done, status);
    OR_TRY_GOTO(done, or_report_open(&report));
    for (int i = 0; i < n_inputs && inputs[i]; i++) OR_TRY_GOTO(done, or_report_add(report, inputs[i]));
    OR_TRY_GOTO(done, name_output(format, &path));
    OR_TRY_GOTO(done, or_report_write(report, format, path));
    if (!quiet) printf("report: %s\n", path);
done:
    or_report_close(report);
    free(path);
    return status;
}

static void release(void)
{
    for (int i = 0; inputs && i < n_inputs; i++) free(inputs[i]);
    free(inputs);
    inputs = NULL;
    n_inputs = 0;
    or_options_free(options);
}

const or_command or_command_report = {
    "report", "one page of tables and plots from what eval, study and bench wrote", false, parse, run_report,
    release,
};
