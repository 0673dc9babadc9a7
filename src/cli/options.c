/* options.c - command lines (getopt_long) and config files, from one table. */
#include "options.h"

#include "file.h"
#include "json.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What stands before the name of an option. */
static const char *dashes(const char *name)
{
    return name[1] ? "--" : "-";
}

/* As in: wrong option: --seed is "x", expected a whole number from 0 to 9e+15 */
static or_status refuse(const char *name, const char *found, const char *expected)
{
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "%s%s is \"%s\", expected %s", dashes(name), name,
                   found, expected);
}

/* A copy of `length` bytes of `text`; the list frees it. */
static or_status list_add(or_list *list, const char *text, size_t length)
{
    OR_RESERVE(list->items, list->capacity, list->count + 1);
    OR_TRY(or_format(&list->items[list->count], "%.*s", (int)length, text));
    list->count++;
    return OR_OK;
}

static void list_clear(or_list *list)
{
    for (size_t i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (or_list){0};
}

static bool is_list(or_option_kind kind)
{
    return kind == OR_OPTION_LIST || kind == OR_OPTION_TEXTS || kind == OR_OPTION_PATHS;
}

/* Appends the parts between commas; empty ones, as behind a last comma, are no items. */
static or_status set_list(or_list *list, const char *text)
{
    for (;;) {
        size_t length = strcspn(text, ",");
        if (length > 0) OR_TRY(list_add(list, text, length));
        if (text[length] == '\0') return OR_OK;
        text += length + 1;
    }
}

/* Whole numbers go through a double too: the bounds of the tables stay below 2^53, where it holds each of
 * them. !(>= and <=) refuses what strtod() reads as nan. */
static or_status set_number(const or_option *option, const char *text)
{
    char *end, expected[96];
    double number = strtod(text, &end);
    bool whole = option->kind == OR_OPTION_INT;
    snprintf(expected, sizeof expected, "a %snumber from %g to %g", whole ? "whole " : "", option->low,
             option->high);
    if (end == text || *end != '\0' || !(number >= option->low && number <= option->high))
        return refuse(option->name, text, expected);
    if (whole && number != (double)(int64_t)number) return refuse(option->name, text, expected);
    if (whole)
        *(int64_t *)option->value = (int64_t)number;
    else
        *(double *)option->value = number;
    return OR_OK;
}

/* A number, which may have a fraction, and one of K, M, G, T in capitals; no unit means bytes. */
static or_status set_bytes(const or_option *option, const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    double number = strtod(text, &end);
    const char *unit = end > text && *end ? strchr(units, *end) : NULL;
    if (unit) {
        number *= (double)(UINT64_C(1) << 10 * (unit - units + 1));
        end++;
    }
    if (end == text || *end != '\0' || !(number >= option->low && number <= option->high))
        return refuse(option->name, text, "bytes, as in 512M or 1.5G");
    *(int64_t *)option->value = (int64_t)number;
    return OR_OK;
}

/* Sets an option from text (NULL for a FLAG of the command line). `folder` is where relative input paths
 * begin, NULL for the working directory. */
static or_status set_option(or_option *option, const char *text, const char *folder)
{
    char **single = option->value, *path = NULL;
    or_status status;
    switch (option->kind) {
    case OR_OPTION_FLAG:
        *(bool *)option->value = true;
        return OR_OK;
    case OR_OPTION_INT:
    case OR_OPTION_REAL:
        return set_number(option, text);
    case OR_OPTION_BYTES:
        return set_bytes(option, text);
    case OR_OPTION_TEXT:
        free(*single);
        return or_strdup(text, single);
    case OR_OPTION_PATH:
        free(*single);
        return or_path_join(folder, text, single);
    case OR_OPTION_LIST:
        return set_list(option->value, text);
    case OR_OPTION_TEXTS:
        return list_add(option->value, text, strlen(text));
    case OR_OPTION_PATHS:
        OR_TRY(or_path_join(folder, text, &path));
        status = list_add(option->value, path, strlen(path));
        free(path);
        return status;
    }
    return OR_OK;
}

/* ---- config files ------------------------------------------------------------------------------------- */

/* --config NAME: a file, or one of the configs that came with the program - of an installed one under
 * share, of one in its build folder those of the source tree. The first that exists; *path is malloc'ed. */
static or_status find_config(const char *name, char **path)
{
    char program[4096] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? strrchr(program, '/') : NULL;
    if (slash) *slash = '\0';
    const char *beside = slash ? program : "";
    char *candidate[3] = {NULL, NULL, NULL};
    or_status status = or_strdup(name, &candidate[0]);
    if (status == OR_OK)
        status = or_format(&candidate[1], "%s/../%s/%s", beside, OFFRAMP_INSTALLED_CONFIGS, name);
    if (status == OR_OK) status = or_format(&candidate[2], "%s/%s", OFFRAMP_SOURCE_CONFIGS, name);
    *path = NULL;
    for (size_t i = 0; i < 3; i++) {
        if (status == OR_OK && !*path && or_path_exists(candidate[i]))
            *path = candidate[i];
        else
            free(candidate[i]);
    }
    if (status == OR_OK && !*path)
        status = or_fail(OR_ERR_USAGE, "config not found", name, "no such file here or in %s/../%s", beside,
                         OFFRAMP_INSTALLED_CONFIGS);
    return status;
}

/* One member of a config: a string is taken as on the command line, a number by a text that loses nothing,
 * an array as the option given once per element. `folder` makes relative inputs those beside the config;
 * outputs (TEXT) stay relative to where the command runs. */
static or_status set_from_json(or_option *option, const cJSON *item, const char *where, const char *folder)
{
    const bool flag = option->kind == OR_OPTION_FLAG;
    const bool many = is_list(option->kind);
    char number[40];
    if (flag && cJSON_IsBool(item)) {
        *(bool *)option->value = cJSON_IsTrue(item);
        return OR_OK;
    }
    if (!flag && cJSON_IsString(item)) return set_option(option, item->valuestring, folder);
    if (!flag && cJSON_IsNumber(item)) {
        snprintf(number, sizeof number, "%.17g", item->valuedouble);
        return set_option(option, number, folder);
    }
    if (!many || !cJSON_IsArray(item))
        return or_fail(OR_ERR_USAGE, "wrong config", where,
                       "\"%s\" has a value of the wrong kind, expected %s", option->name,
                       flag ? "true or false" : "what --help says");
    for (const cJSON *part = item->child; part; part = part->next) {
        if (cJSON_IsArray(part))
            return or_fail(OR_ERR_USAGE, "wrong config", where, "\"%s\" holds an array in an array",
                           option->name);
        OR_TRY(set_from_json(option, part, where, folder));
    }
    return OR_OK;
}

static or_option *find_option(or_option *options, const char *name)
{
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0) return options;
    return NULL;
}

/* Takes from the file what the command line has not set:
 *
 *   {"model": "llama-2-7b", "task": ["sst2.json", "squad.json"], "shots": "0,5", "dense": true}
 *
 * A list given on the command line replaces the file's, it is not added to it. */
static or_status read_config(or_option *options, const char *name)
{
    char *path = NULL, *folder = NULL;
    cJSON *root = NULL;
    OR_TRY(find_config(name, &path));
    or_status status = or_json_load(path, &root);
    if (status == OR_OK) status = or_path_folder(path, &folder);
    for (const cJSON *item = root ? root->child : NULL; item && status == OR_OK; item = item->next) {
        or_option *option = find_option(options, item->string);
        if (!option) {
            status = or_fail(OR_ERR_USAGE, "wrong config", path,
                             "\"%s\" is no option of this command, see --help", item->string);
        } else if (!option->set) {
            status = set_from_json(option, item, path, folder);
            option->set = true;
        }
    }
    cJSON_Delete(root);
    free(folder);
    free(path);
    return status;
}

/* ---- command lines ------------------------------------------------------------------------------------ */

/* Defaults are written in the help texts, in brackets; the variables that hold them are not printed. */
static void print_help(const or_option *options, const or_command_text *text)
{
    printf("usage: offramp %s\n\n%s\n\noptions:\n", text->usage, text->summary);
    for (const or_option *option = options; option->name; option++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s %s", dashes(option->name), option->name,
                 option->kind == OR_OPTION_FLAG ? "" : option->placeholder);
        printf("  %-30s %s\n", left, option->help);
    }
    printf("  %-30s %s\n", "--config FILE.json", "options from a file; those given here win");
    printf("  %-30s %s\n", "--help", "this text");
    printf("\nexample:\n  %s\n", text->example);
}

/* Most rows of a table. getopt gives an option's row as its value, so its own two lie above, and below the
 * letters. */
enum { MAX_OPTIONS = 48, CONFIG = MAX_OPTIONS, HELP };

/* getopt's table: option i of ours has value i. */
static void make_long_options(const or_option *options, struct option *table)
{
    int i = 0;
    for (; options[i].name; i++)
        table[i] = (struct option){
            options[i].name, options[i].kind == OR_OPTION_FLAG ? no_argument : required_argument, NULL, i};
    table[i++] = (struct option){"config", required_argument, NULL, CONFIG};
    table[i++] = (struct option){"help", no_argument, NULL, HELP};
    table[i] = (struct option){0};
}

/* getopt's text of the options with one letter: a value follows each that is no flag. The colon in front
 * asks for ':' where that is missing. */
static void make_letters(const or_option *options, char letters[2 * MAX_OPTIONS + 2])
{
    *letters++ = ':';
    for (; options->name; options++) {
        if (options->name[1]) continue;
        *letters++ = options->name[0];
        if (options->kind != OR_OPTION_FLAG) *letters++ = ':';
    }
    *letters = '\0';
}

/* What getopt found: a row of the table, or a letter. */
static or_option *found_option(or_option *options, int found)
{
    const char letter[2] = {(char)found, '\0'};
    return found < MAX_OPTIONS ? &options[found] : find_option(options, letter);
}

/* One option of the command line. PATHS, TEXTS and LIST given again add to what was given before. */
static or_status take_option(or_option *option, const char *text)
{
    OR_TRY(set_option(option, text, NULL));
    option->set = true;
    return OR_OK;
}

/* The config is read last, when it is known what the command line has set. argv[0] is the command's name,
 * which getopt takes for the program's. GNU getopt moves operands behind the options, so they may stand
 * anywhere. */
or_status or_options_parse(int argc, char **argv, or_option *options, const or_command_text *text,
                           char **operands, int n_operands, bool *helped)
{
    struct option table[MAX_OPTIONS + 3];
    char letters[2 * MAX_OPTIONS + 2];
    const char *config = NULL;
    make_long_options(options, table);
    make_letters(options, letters);
    /* we write the message ourselves, on one rank */
    opterr = 0;
    *helped = false;
    for (int found; (found = getopt_long(argc, argv, letters, table, NULL)) != -1;) {
        if (found == '?' || found == ':')
            return or_fail(OR_ERR_USAGE, "wrong option", NULL, "found %s, %s; see offramp %s --help",
                           argv[optind - 1], found == ':' ? "expected a value after it" : "no such option",
                           argv[0]);
        if (found == HELP) {
            print_help(options, text);
            *helped = true;
            return OR_OK;
        }
        if (found == CONFIG)
            config = optarg;
        else
            OR_TRY(take_option(found_option(options, found), optarg));
    }
    for (int i = 0; i < n_operands && optind < argc; i++) OR_TRY(or_strdup(argv[optind++], &operands[i]));
    if (optind < argc)
        return or_fail(OR_ERR_USAGE, "wrong argument", NULL,
                       "found \"%s\", expected options; see offramp %s --help", argv[optind], argv[0]);
    return config ? read_config(options, config) : OR_OK;
}

/* Given by the command line or by a config, which sets `set` as well. */
or_status or_options_need(const or_option *options, const char *name)
{
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0 && options->set) return OR_OK;
    return or_fail(OR_ERR_USAGE, "option missing", NULL, "expected %s%s, see --help", dashes(name), name);
}

/* Numbers and flags own nothing; pointers are reset, so that a second call is harmless. */
void or_options_free(or_option *options)
{
    for (; options->name; options++) {
        if (options->kind == OR_OPTION_TEXT || options->kind == OR_OPTION_PATH) {
            free(*(char **)options->value);
            *(char **)options->value = NULL;
        }
        if (options->kind == OR_OPTION_LIST || options->kind == OR_OPTION_PATHS) list_clear(options->value);
    }
}
