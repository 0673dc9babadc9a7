/* dropped.c - a checkpoint without some of its layers, as ShortGPT runs a model (arXiv 2403.03853).
 *
 * A view: layer i is the i-th layer that is kept, and who asks for its tensors gets those of the file's layer
 * kept[i]. Tensors keep the names and the places that the file gives them. Nobody above needs to know: for
 * plans, ramps and caches the model has so many layers.
 */
#include "checkpoint_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Where in "model.layers.17.mlp...", "blk.17.ffn..." the number begins; NULL for a tensor of no layer. */
static const char *find_number(const char *name)
{
    static const char *const marks[] = {"layers.", "blk."};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const char *at = strstr(name, marks[i]);
        if (at && isdigit((unsigned char)at[strlen(marks[i])])) return at + strlen(marks[i]);
    }
    return NULL;
}

int or_checkpoint_layer(const or_checkpoint *checkpoint, const char *own_name)
{
    const char *number = find_number(own_name);
    const long layer = number ? strtol(number, NULL, 10) : OR_LAYERS_MAX;
    if (layer >= checkpoint->file_layers) return OR_LAYER_NONE;
    if (!checkpoint->kept) return (int)layer;
    for (int i = 0; i < checkpoint->hparams.n_layers; i++)
        if (checkpoint->kept[i] == layer) return i;
    return OR_LAYER_DROPPED;
}

/* Numbers behind the last layer stay behind it: they find what the whole checkpoint has there, as a rule
 * nothing. */
const char *or_checkpoint_whole_name(const or_checkpoint *checkpoint, const char *name,
                                     char text[OR_TENSOR_NAME])
{
    const char *number = checkpoint->kept ? find_number(name) : NULL;
    if (!number) return name;
    char *rest;
    const int n_layers = checkpoint->hparams.n_layers;
    const long layer = strtol(number, &rest, 10), whole = layer < n_layers
                                                              ? checkpoint->kept[layer]
                                                              : layer - n_layers + checkpoint->file_layers;
    snprintf(text, OR_TENSOR_NAME, "%.*s%ld%s", (int)(number - name), name, whole, rest);
    return text;
}

/* ---- what is dropped ------------------------------------------------------------------------------- */

static const char wrong[] = "wrong layers to drop";

/* Sets dropped[layer - 1] of the layer that *at begins with, and moves *at behind it. */
static or_status take_layer(const char *text, const char **at, int n_layers, bool *dropped)
{
    const char *begin = *at;
    char *end;
    const long layer = strtol(begin, &end, 10);
    if (!isdigit((unsigned char)*begin) || (*end != ',' && *end != '\0'))
        return or_fail(OR_ERR_USAGE, wrong, text, "found \"%s\", expected numbers of layers, as in 10,11,12",
                       begin);
    if (layer < 1 || layer > n_layers)
        return or_fail(OR_ERR_USAGE, wrong, text, "found layer %.*s, the model has 1..%d", (int)(end - begin),
                       begin, n_layers);
    if (dropped[layer - 1])
        return or_fail(OR_ERR_USAGE, wrong, text, "found layer %ld twice, expected it once", layer);
    dropped[layer - 1] = true;
    *at = end;
    return OR_OK;
}

/* "10,11,12" -> dropped[n_layers], all false at first; and how many. */
static or_status parse(const char *text, int n_layers, bool *dropped, int *n_dropped)
{
    const char *at = text;
    OR_TRY(take_layer(text, &at, n_layers, dropped));
    for (*n_dropped = 1; *at == ','; ++*n_dropped) {
        at++;
        OR_TRY(take_layer(text, &at, n_layers, dropped));
    }
    if (*n_dropped < n_layers) return OR_OK;
    return or_fail(OR_ERR_USAGE, wrong, text,
                   "these are all layers, expected at least one of %d that is left", n_layers);
}

or_status or_checkpoint_drop(or_checkpoint *checkpoint, const char *layers)
{
    const int n_layers = checkpoint->file_layers;
    bool *dropped = NULL;
    int n_dropped, n_kept = 0;
    OR_TRY(OR_NEW(dropped, (size_t)n_layers));
    or_status status = parse(layers, n_layers, dropped, &n_dropped);
    if (status == OR_OK) status = OR_NEW(checkpoint->kept, (size_t)(n_layers - n_dropped));
    for (int layer = 0; layer < n_layers && status == OR_OK; layer++)
        if (!dropped[layer]) checkpoint->kept[n_kept++] = layer;
    if (status == OR_OK) checkpoint->hparams.n_layers = n_kept;
    free(dropped);
    return status;
}
