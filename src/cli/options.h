/* options.h - command lines and config files, from one table per command.
 *
 * A command lists its options once: name, kind, where the value goes, help. From that come the parsing of
 * --name VALUE (-x VALUE where the name is a letter), of --config FILE.json (its keys are the names; the
 * command line wins), and the help text.
 * Paths of inputs in a config file are relative to that file.
 */
#ifndef OFFRAMP_CLI_OPTIONS_H
#define OFFRAMP_CLI_OPTIONS_H

#include "memory.h"

#include <stdbool.h>
#include <stdint.h>

/* A repeatable or comma-separated value. */
typedef struct or_list {
    char **items;
    size_t count, capacity;
} or_list;

typedef enum or_option_kind {
    OR_OPTION_FLAG,  /* bool */
    OR_OPTION_TEXT,  /* char *, malloc'ed */
    OR_OPTION_PATH,  /* char *, malloc'ed; an input file or folder */
    OR_OPTION_PATHS, /* or_list of such; the option may be given several times */
    OR_OPTION_TEXTS, /* or_list of texts as they are; the option may be given several times */
    OR_OPTION_INT,   /* int64_t within [low, high] */
    OR_OPTION_BYTES, /* int64_t; "512", "64M", "1.5G" (K, M, G, T: powers of 1024) */
    OR_OPTION_REAL,  /* double within [low, high] */
    OR_OPTION_LIST   /* or_list; comma-separated */
} or_option_kind;

typedef struct or_option {
    const char *name; /* without the dashes, of which one letter has one; NULL ends a table */
    or_option_kind kind;
    void *value; /* holds the default before parsing */
    const char *placeholder, *help;
    double low, high; /* INT, REAL */
    bool set;         /* out: it was given */
} or_option;

/* What a command says of itself in its help. */
typedef struct or_command_text {
    const char *usage; /* "eval --model M --task T... --output DIR" */
    const char *summary, *example;
} or_command_text;

/* Parses argv[1..] into the options; operands[n_operands] take arguments without dashes (malloc'ed, NULL
 * where there are fewer). *helped becomes true when --help was asked for and printed. OR_ERR_USAGE names
 * the option, what was found and expected. */
or_status or_options_parse(int argc, char **argv, or_option *options, const or_command_text *text,
                           char **operands, int n_operands, bool *helped);

/* OR_ERR_USAGE unless the option `name` of the table was given. */
or_status or_options_need(const or_option *options, const char *name);

/* Frees the values that were allocated. */
void or_options_free(or_option *options);

#endif
