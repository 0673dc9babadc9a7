/* report.h - one document of what eval, study, bench and trace have written: tables, and plots by gnuplot.
 *
 * Inputs are added one after the other, each recognised by what is in it, and then written in a format. The
 * same inputs give the same bytes. Local.
 */
#ifndef OFFRAMP_EVAL_REPORT_H
#define OFFRAMP_EVAL_REPORT_H

#include <offramp/status.h>

typedef struct or_report or_report;
typedef struct or_report_format or_report_format;

or_status or_report_open(or_report **report);
void or_report_close(or_report *report); /* NULL is fine */

/* Adds a folder of eval (run.json, summary.json, results.jsonl, timeline.json if it is there) or of study
 * (study.json), a file of bench (-o json, -o jsonl), a trace.csv, a timeline, or a folder of such files.
 * OR_ERR_INPUT names the file and the field for what is none of these, or damaged. */
or_status or_report_add(or_report *report, const char *path);

/* "html", "md" or "tex"; OR_ERR_USAGE for another one. The name is also how files of the format end. */
or_status or_report_format_find(const char *name, const or_report_format **format);
const char *or_report_format_name(const or_report_format *format);

/* Writes the file, whole or not at all. OR_ERR_FAILED when the format has plots and gnuplot is not
 * installed. */
or_status or_report_write(or_report *report, const or_report_format *format, const char *path);

#endif
