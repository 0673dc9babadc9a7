/* gguf_model.c - a model as a GGUF file, or as several split from one.
 *
 * Split files are called NAME-00001-of-000NN.gguf, ... and carry "split.no" (from 0), "split.count" and
 * "split.tensors.count"; the first has all keys, and the tensors are spread over all of them. A user names the
 * first, and the others lie beside it.
 */
#include "gguf_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char refused[] = "model refused";
enum { SPLITS_MAX = 99999, SUFFIX = sizeof "-00001-of-00002.gguf" - 1 };

/* Tensors of a layer that the model does not have, and such that no step of the computation asks for
 * (biases, experts), mean that the file is of another model than its keys say. */
static or_status add_tensors(or_checkpoint *checkpoint, const or_gguf *g)
{
    size_t file;
    OR_TRY(or_checkpoint_add_file(checkpoint, or_gguf_path(g), &file));
    for (size_t i = 0; i < or_gguf_tensors(g); i++) {
        const or_gguf_tensor *found = or_gguf_tensor_at(g, i);
        or_tensor tensor = {.name = found->name,
                            .dtype = found->dtype,
                            .stored = found->stored,
                            .n_dims = found->n_dims,
                            .file = file,
                            .offset = found->offset,
                            .bytes = (size_t)found->bytes};
        memcpy(tensor.dims, found->dims, sizeof found->dims);
        if (!or_gguf_knows_tensor(found->name, checkpoint->hparams.n_layers))
            return or_fail(
                OR_ERR_INPUT, refused, or_gguf_path(g),
                "tensor \"%s\" is not one of a llama model of %d layers, which is all that is computed",
                found->name, checkpoint->hparams.n_layers);
        OR_TRY(or_checkpoint_add_tensor(checkpoint, &tensor));
    }
    return OR_OK;
}

/* "split.no" and "split.count"; a file that is whole is part 0 of 1. */
static or_status read_split(const or_gguf *g, int64_t *number, int64_t *count)
{
    *number = 0;
    *count = 1;
    OR_TRY(or_gguf_opt_int(g, "split.count", 0, SPLITS_MAX, count));
    OR_TRY(or_gguf_opt_int(g, "split.no", 0, SPLITS_MAX, number));
    if (*count == 0) *count = 1;
    return OR_OK;
}

/* The path of part `number` beside that of the first. malloc'ed. */
static or_status part_path(const char *first, int64_t number, int64_t count, char **path)
{
    char suffix[40];
    const size_t length = strlen(first);
    snprintf(suffix, sizeof suffix, "-00001-of-%05" PRId64 ".gguf", count);
    if (length <= SUFFIX || strcmp(first + length - SUFFIX, suffix) != 0)
        return or_fail(OR_ERR_INPUT, refused, first,
                       "it is the first of %" PRId64 " parts, expected a name that ends in %s", count,
                       suffix);
    return or_format(path, "%.*s-%05" PRId64 "-of-%05" PRId64 ".gguf", (int)(length - SUFFIX), first,
                     number + 1, count);
}

/* Opens one of the other parts, which must say of itself what its name says, and takes its tensors; its
 * keys are not looked at. */
static or_status add_part(or_checkpoint *checkpoint, int64_t wanted, int64_t wanted_count)
{
    char *path = NULL;
    or_gguf *g = NULL;
    int64_t number, count;
    OR_TRY(part_path(checkpoint->path, wanted, wanted_count, &path));
    or_status status = or_gguf_open(path, &g);
    if (status == OR_OK) status = read_split(g, &number, &count);
    if (status == OR_OK && (number != wanted || count != wanted_count))
        status = or_fail(OR_ERR_INPUT, refused, path,
                         "it is part %" PRId64 " of %" PRId64 ", expected part %" PRId64 " of %" PRId64,
                         number + 1, count, wanted + 1, wanted_count);
    if (status == OR_OK) status = add_tensors(checkpoint, g);
    or_gguf_close(g);
    free(path);
    return status;
}

/* The embedding, whose rows are the vocabulary, may lie in any part, so that is asked last. */
static or_status add_all(or_checkpoint *checkpoint, const or_gguf *first)
{
    int64_t number, count, tensors = -1;
    OR_TRY(read_split(first, &number, &count));
    if (number != 0)
        return or_fail(OR_ERR_INPUT, refused, checkpoint->path,
                       "it is part %" PRId64 " of %" PRId64
                       ", expected the first (its name ends in -00001-of-%05" PRId64 ".gguf)",
                       number + 1, count, count);
    OR_TRY(or_gguf_read_hparams(first, &checkpoint->hparams));
    OR_TRY(add_tensors(checkpoint, first));
    for (int64_t part = 1; part < count; part++) OR_TRY(add_part(checkpoint, part, count));
    OR_TRY(or_gguf_opt_int(first, "split.tensors.count", 0, INT32_MAX, &tensors));
    if (tensors >= 0 && count > 1 && (size_t)tensors != checkpoint->n_tensors)
        return or_fail(OR_ERR_INPUT, refused, checkpoint->path,
                       "its %" PRId64 " parts have %zu tensors, expected %" PRId64
                       " (\"split.tensors.count\")",
                       count, checkpoint->n_tensors, tensors);
    OR_TRY(or_checkpoint_seal(checkpoint));
    const or_tensor *embedding = or_checkpoint_named(checkpoint, "token_embd.weight");
    return or_gguf_read_vocab(first, embedding ? embedding->dims[0] : 0, &checkpoint->hparams);
}

/* What the tensors that there are say of the computation: no head of its own means that the embedding is
 * the head; divisors of the rotary frequencies, that they are Llama 3.1's. */
static or_status finish_hparams(const or_checkpoint *checkpoint, or_hparams *h)
{
    h->tied_head = !or_checkpoint_named(checkpoint, "output.weight");
    if (!or_checkpoint_named(checkpoint, OR_ROPE_FREQS)) return OR_OK;
    if (h->rope == OR_ROPE_LINEAR)
        return or_fail(OR_ERR_INPUT, refused, checkpoint->path,
                       "found rope scaling linear and tensor \"" OR_ROPE_FREQS
                       "\", which are not supported together, expected one of them");
    h->rope = OR_ROPE_TENSOR;
    return OR_OK;
}

/* The checkpoint has copies of all names, so the headers need not stay in memory. */
static or_status open_gguf(or_checkpoint *checkpoint)
{
    or_gguf *first = NULL;
    OR_TRY(or_gguf_open(checkpoint->path, &first));
    or_status status = add_all(checkpoint, first);
    or_gguf_close(first);
    return status == OR_OK ? finish_hparams(checkpoint, &checkpoint->hparams) : status;
}

const or_format_ops or_format_gguf = {
    .name = "gguf",
    .accepts = "a GGUF file",
    .probe = or_gguf_probe,
    .open = open_gguf,
    .rename = or_gguf_tensor_name,
};
