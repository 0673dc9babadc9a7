/* cmd_quantize.c - offramp quantize: a model of the Llama family as a GGUF file, in another weight type.
 *
 * The conversion is src/model/export.c; here are its options, its bar and the line it ends with.
 */
#include "cli.h"

#include "clock.h"
#include "log.h"
#include "threads.h"

#include <offramp/export.h>

#include <stdio.h>

static or_common common;
static char *operands[2]; /* model, output */
static char *type_name;
/* What type_name says, found while parsing: a misspelt type is refused before the model is opened. */
static or_dtype type;

static or_option options[] = {
    {"type", OR_OPTION_TEXT, &type_name, "T",
     "f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, q4_0, q3_k or q2_k", 0, 0, false},
    {"threads", OR_OPTION_INT, &common.threads, "N", "threads; 0: the cores it may run on (0)", 0, 4096,
     false},
    OR_OPTIONS_TALK(common),
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "quantize MODEL OUT.gguf --type T",
    .summary =
        "Writes a model of the Llama family (a Hugging Face folder or a GGUF file) as one GGUF file with "
        "its\n"
        "matrices in another type; offramp and llama.cpp run it. A matrix whose rows are no whole blocks of\n"
        "that type gets the nearest type that fits. The folder must have its tokenizer, which goes into the "
        "file.",
    .example = "offramp quantize llama-2-7b llama-2-7b-q4_k.gguf --type q4_k",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, operands, 2, helped));
    if (*helped) return OR_OK;
    /* an empty name, as from an unset variable in a script, is a missing one */
    if (!operands[1] || !operands[1][0])
        return or_fail(
            OR_ERR_USAGE, "argument missing", NULL,
            "expected a model and a file to write, as in offramp quantize MODEL OUT.gguf --type q8_0");
    OR_TRY(or_options_need(options, "type"));
    type = or_dtype_find(type_name);
    if (type != OR_DTYPE_OTHER) return OR_OK;
    return or_fail(OR_ERR_USAGE, "wrong option", NULL, "--type is \"%s\", expected %s", type_name,
                   /* the help of --type lists the types, so it must stay the first row */
                   options[0].help);
}

/* Weights are counted, not bytes, since types differ in size from in to out. */
static void show(void *context, uint64_t done, uint64_t total)
{
    or_progress_part(context, done, total, "weights");
}

/* Local. A refused or interrupted export leaves no file under the name (or_gguf_create). */
static or_status run_quantize(or_session *session)
{
    or_export_summary summary;
    or_progress progress;
    char bytes_in[OR_BYTES_TEXT], bytes_out[OR_BYTES_TEXT];
    OR_TRY(or_common_apply(&common, session));
    OR_TRY(or_progress_open(&common, session, "quantize", &progress));
    const double begin = or_clock_now();
    or_status status = or_model_export(operands[0], operands[1], type, show, &progress, &summary);
    or_progress_close(&progress);
    if (status != OR_OK) return status;
    if (summary.substituted > 0)
        or_log_note("%zu of %zu matrices are stored in another type: their rows are no whole blocks of %s",
                    summary.substituted, summary.matrices, type_name);
    if (!common.quiet)
        printf("%s: %s of tensors from %s, in %.1f s\n", operands[1],
               or_bytes_text(summary.bytes_written, bytes_out), or_bytes_text(summary.bytes_read, bytes_in),
               or_clock_now() - begin);
    return OR_OK;
}

static void release(void)
{
    or_options_free(options);
    free(operands[0]);
    free(operands[1]);
}

const or_command or_command_quantize = {
    "quantize", "a model as a GGUF file, in another weight type", false, parse, run_quantize, release,
};
