/* cmd_inspect.c - offramp inspect: architecture, tensors, and where the bytes are. Reads headers only.
 *
 *   model        configs/demo/model (llama, safetensors)
 *   parameters   4198528
 *   ...
 *   bytes        8397056 in all, embedding 1048576, head 1048576, other 256
 *     layers 1..16: 393728 bytes each
 *   tensors      147
 *     lm_head.weight                                       BF16  [4096, 128]
 *     ...
 */
#include "cli.h"

#include "json.h"

#include <stdio.h>
#include <string.h>

static char *model;
static bool as_json;

static or_option options[] = {
    {"json", OR_OPTION_FLAG, &as_json, "", "as JSON", 0, 0, false},
    OR_OPTIONS_END,
};

static const or_command_text text = {
    .usage = "inspect MODEL [--json]",
    .summary = "Prints a model's architecture, its tensors, and the bytes of a layer, the output projection "
               "and the\n"
               "embedding. Reads headers only.",
    .example = "offramp inspect llama-2-70b",
};

static or_status parse(int argc, char **argv, bool *helped)
{
    OR_TRY(or_options_parse(argc, argv, options, &text, &model, 1, helped));
    if (*helped || model) return OR_OK;
    return or_fail(OR_ERR_USAGE, "argument missing", NULL, "expected a model, as in offramp inspect MODEL");
}

/* Slowest dimension first, as or_tensor has it: a matrix is [rows, columns]. */
static void print_shape(const or_tensor *tensor)
{
    printf("[");
    for (int d = 0; d < tensor->n_dims; d++) printf("%s%lld", d ? ", " : "", (long long)tensor->dims[d]);
    printf("]");
}

/* What the config says, then where the bytes are, then every tensor by the name and type the file gives
 * it. */
static void print_text(const or_checkpoint *checkpoint, const or_shares *s)
{
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    printf("model        %s (%s, %s)\n", or_checkpoint_path(checkpoint), h->family,
           or_checkpoint_format(checkpoint));
    printf("parameters   %llu\n", (unsigned long long)s->parameters);
    printf("layers       %d, %s biases, norms %s%s\n", h->n_layers, h->biases ? "with" : "without",
           h->norm_first ? "before each block" : "after each sum", h->final_norm ? "" : ", no final norm");
    printf("width        %d, feed-forward %d%s", h->d_model, h->d_ff, h->gated_ff ? " (gated)" : "");
    if (h->d_embed != h->d_model) printf(", embedding %d", h->d_embed);
    printf("\n");
    printf("heads        %d of %d, %d for keys and values\n", h->n_heads, h->head_dim, h->n_kv_heads);
    printf("vocabulary   %d, output projection %s\n", h->n_vocab,
           h->tied_head ? "tied to the embedding" : "of its own");
    printf("context      %d tokens, ", h->n_context);
    if (h->rope == OR_ROPE_NONE)
        printf("learned positions\n");
    else
        printf("rope theta %g\n", (double)h->rope_theta);
    printf("bytes        %zu in all, embedding %zu, head %zu, other %zu\n", s->total, s->embedding, s->head,
           s->other);
    for (int layer = 0, last; layer < h->n_layers; layer = last) { /* runs of layers of equal size */
        for (last = layer + 1; last < h->n_layers && s->layers[last] == s->layers[layer];) last++;
        printf("  layers %d..%d: %zu bytes each\n", layer + 1, last, s->layers[layer]);
    }
    if (s->one_layer) printf("  all layers of a rank are one in memory (share_layers)\n");
    printf("tensors      %zu\n", or_checkpoint_count(checkpoint));
    for (size_t i = 0; i < or_checkpoint_count(checkpoint); i++) {
        const or_tensor *tensor = or_checkpoint_at(checkpoint, i);
        printf("  %-52s %-5s ", tensor->name, tensor->stored);
        print_shape(tensor);
        printf("\n");
    }
}

/* The same for programs, one object on one line; layer_bytes is a number per layer, offsets count from the
 * beginning of the tensor's own file:
 *
 *   {"family": "llama", "format": "safetensors", "parameters": ..., "n_layers": 32, ...,
 *    "layer_bytes": [...], "tensors": [{"name": "...", "type": "BF16", "file": "...",
 *    "offset": 8, "bytes": 33554432, "shape": [4096, 4096]}, ...]} */
static or_status print_json(const or_checkpoint *checkpoint, const or_shares *s)
{
    const or_hparams *h = or_checkpoint_hparams(checkpoint);
    or_buffer out = {0};
    or_status status = or_buffer_printf(
        &out,
        "{\"family\": \"%s\", \"format\": \"%s\", \"parameters\": %llu, \"n_layers\": %d, \"d_model\": %d, "
        "\"d_embed\": %d, \"d_ff\": %d, \"n_heads\": %d, \"n_kv_heads\": %d, \"head_dim\": %d, \"n_vocab\": "
        "%d, "
        "\"n_context\": %d, "
        "\"tied_head\": %s, \"share_layers\": %s, \"bytes\": %zu, \"embedding_bytes\": %zu, \"head_bytes\": "
        "%zu, \"layer_bytes\": "
        "[",
        h->family, or_checkpoint_format(checkpoint), (unsigned long long)s->parameters, h->n_layers,
        h->d_model, h->d_embed, h->d_ff, h->n_heads, h->n_kv_heads, h->head_dim, h->n_vocab, h->n_context,
        h->tied_head ? "true" : "false", s->one_layer ? "true" : "false", s->total, s->embedding, s->head);
    for (int layer = 0; layer < h->n_layers && status == OR_OK; layer++)
        status = or_buffer_printf(&out, "%s%zu", layer ? ", " : "", s->layers[layer]);
    if (status == OR_OK) status = or_buffer_puts(&out, "], \"tensors\": [");
    for (size_t i = 0; i < or_checkpoint_count(checkpoint) && status == OR_OK; i++) {
        const or_tensor *tensor = or_checkpoint_at(checkpoint, i);
        status = or_buffer_puts(&out, i ? ", {\"name\": " : "{\"name\": ");
        if (status == OR_OK) status = or_json_put_string(&out, tensor->name);
        if (status == OR_OK) status = or_buffer_puts(&out, ", \"type\": ");
        if (status == OR_OK) status = or_json_put_string(&out, tensor->stored);
        if (status == OR_OK) status = or_buffer_printf(&out, ", \"file\": ");
        if (status == OR_OK)
            status = or_json_put_string(&out, or_checkpoint_file_path(checkpoint, tensor->file));
        if (status == OR_OK)
            status = or_buffer_printf(&out, ", \"offset\": %llu, \"bytes\": %zu, \"shape\": [",
                                      (unsigned long long)tensor->offset, tensor->bytes);
        for (int d = 0; d < tensor->n_dims && status == OR_OK; d++)
            status = or_buffer_printf(&out, "%s%lld", d ? ", " : "", (long long)tensor->dims[d]);
        if (status == OR_OK) status = or_buffer_puts(&out, "]}");
    }
    if (status == OR_OK) status = or_buffer_puts(&out, "]}");
    if (status == OR_OK) puts(out.data);
    or_buffer_free(&out);
    return status;
}

/* Local. No tensor is mapped, so a model larger than the memory is looked at in no time. */
static or_status run_inspect(or_session *session)
{
    (void)session;
    or_checkpoint *checkpoint = NULL;
    or_shares s = {0};
    OR_TRY(or_checkpoint_open(model, &checkpoint));
    or_status status = or_checkpoint_shares(checkpoint, &s);
    if (status == OR_OK && as_json) status = print_json(checkpoint, &s);
    if (status == OR_OK && !as_json) print_text(checkpoint, &s);
    or_shares_free(&s);
    or_checkpoint_close(checkpoint);
    return status;
}

static void release(void)
{
    free(model);
}

const or_command or_command_inspect = {
    "inspect", "a model's architecture, tensors, and where its bytes are", false, parse, run_inspect, release,
};
