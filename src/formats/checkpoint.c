/* checkpoint.c - the table of checkpoint formats, and what all of them share: finding, requiring and
 * fingerprinting tensors. */
#include "checkpoint_internal.h"

#include "json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

/* The first whose probe says yes opens the path. */
static const or_format_ops *const formats[] = {
    &or_format_hf_folder,
    &or_format_gguf,
    &or_format_shape,
};
enum { FORMATS = sizeof formats / sizeof *formats };

/* Each key/value head serves n_heads / n_kv_heads query heads (grouped queries, arXiv 2305.13245), and
 * rotation turns the numbers of a head two at a time. */
or_status or_hparams_check_heads(const or_hparams *h, const char *path, const char *heads,
                                 const char *kv_heads)
{
    if (h->n_heads % h->n_kv_heads != 0)
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "\"%s\" is %d, expected a multiple of \"%s\" (%d)", heads, h->n_heads, kv_heads,
                       h->n_kv_heads);
    if (h->head_dim % 2 != 0)
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "a head is %d wide, expected an even number (rotary pairs)", h->head_dim);
    if ((int64_t)h->n_heads * h->head_dim > OR_WIDTH_MAX)
        return or_fail(OR_ERR_INPUT, "model refused", path,
                       "%d heads of %d are too wide, expected at most %d", h->n_heads, h->head_dim,
                       OR_WIDTH_MAX);
    return OR_OK;
}

/* No format took the path: says why, and what all of them accept. */
static or_status refuse_path(const char *path)
{
    or_buffer accepted = {0};
    or_status status = OR_OK;
    for (size_t i = 0; i < FORMATS && status == OR_OK; i++)
        status = or_buffer_printf(&accepted, "%s%s", i ? " or " : "", formats[i]->accepts);
    const char *problem = or_path_problem(path), *found = problem ? problem : "found a file that is no model";
    if (status == OR_OK)
        status = or_fail(OR_ERR_INPUT, "model refused", path, "%s, expected %s", found, accepted.data);
    or_buffer_free(&accepted);
    return status;
}

/* By its bits, which do not depend on how a C library rounds when it prints. */
static or_status put_bits(or_buffer *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return or_buffer_printf(out, " %08" PRIx32, bits);
}

/* Whatever changes what is computed must be in here: a policy trained for one computation is of no use to
 * another. */
static or_status put_hparams(or_buffer *out, const or_hparams *h)
{
    OR_TRY(or_buffer_printf(out, "%s %d %d %d %d %d %d %d %d %d %d %d %d %d", h->family, h->n_layers,
                            h->d_model, h->n_heads, h->n_kv_heads, h->head_dim, h->d_ff, h->n_vocab,
                            h->n_context, (int)h->rope, h->rope_original_context, h->tied_head, h->bos,
                            h->eos));
    OR_TRY(put_bits(out, h->norm_eps));
    OR_TRY(put_bits(out, h->rope_theta));
    OR_TRY(put_bits(out, h->rope_factor));
    OR_TRY(put_bits(out, h->rope_low_freq_factor));
    OR_TRY(put_bits(out, h->rope_high_freq_factor));
    if (h->rotary_pairs) OR_TRY(or_buffer_puts(out, " pairs"));
    if (h->rope == OR_ROPE_NONE) /* not Llama: whose text, and so its policies, stay as they were */
        OR_TRY(or_buffer_printf(out, " %d %d %d %d %d", h->d_embed, h->norm_first, h->final_norm, h->biases,
                                h->gated_ff));
    return or_buffer_puts(out, "\n");
}

/* Names as JSON strings, so that no name, whatever is in it, can look like the end of its line. */
static or_status put_tensor(or_buffer *out, const or_tensor *tensor)
{
    OR_TRY(or_json_put_string(out, tensor->name));
    OR_TRY(or_json_put_string(out, tensor->stored));
    for (int i = 0; i < tensor->n_dims; i++) OR_TRY(or_buffer_printf(out, " %" PRId64, tensor->dims[i]));
    return or_buffer_printf(out, " at %zu %" PRIu64 "\n", tensor->file, tensor->offset);
}

/* The layers of the files that are left, where some are dropped. */
static or_status put_kept(or_buffer *out, const or_checkpoint *checkpoint)
{
    if (!checkpoint->kept) return OR_OK;
    OR_TRY(or_buffer_puts(out, "kept"));
    for (int i = 0; i < checkpoint->hparams.n_layers; i++)
        OR_TRY(or_buffer_printf(out, " %d", checkpoint->kept[i]));
    return or_buffer_puts(out, "\n");
}

/* The fingerprint is the hash of a text, one line for the hyperparameters and one per tensor, so that it is
 * the same on every machine. Trained policies carry it: another text means that none of them fits any more.
 * */
static or_status make_fingerprint(or_checkpoint *checkpoint)
{
    or_buffer text = {0};
    or_status status = put_hparams(&text, &checkpoint->hparams);
    if (status == OR_OK) status = put_kept(&text, checkpoint);
    for (size_t i = 0; i < checkpoint->n_tensors && status == OR_OK; i++)
        status = put_tensor(&text, &checkpoint->tensors[i]);
    if (status == OR_OK) checkpoint->fingerprint = XXH3_64bits(text.data, text.size);
    or_buffer_free(&text);
    return status;
}

/* What open() added before it failed is released by close(), which takes a checkpoint that is not sealed. */
or_status or_checkpoint_open_without(const char *path, const char *layers, or_checkpoint **out)
{
    or_checkpoint *checkpoint = NULL;
    or_status status = OR_OK;
    const or_format_ops *format = NULL;
    *out = NULL;
    for (size_t i = 0; i < FORMATS && !format; i++)
        if (formats[i]->probe(path)) format = formats[i];
    if (!format) return refuse_path(path);

    OR_TRY(OR_NEW(checkpoint, 1));
    checkpoint->format = format;
    OR_TRY_GOTO(close, or_strdup(path, &checkpoint->path));
    OR_TRY_GOTO(close, format->open(checkpoint));
    checkpoint->file_layers = checkpoint->hparams.n_layers;
    if (layers) OR_TRY_GOTO(close, or_checkpoint_drop(checkpoint, layers));
    OR_TRY_GOTO(close, make_fingerprint(checkpoint));
    *out = checkpoint;
    return OR_OK;

close:
    or_checkpoint_close(checkpoint);
    return status;
}

or_status or_checkpoint_open(const char *path, or_checkpoint **checkpoint)
{
    return or_checkpoint_open_without(path, NULL, checkpoint);
}

/* Takes a half-filled one, too: maps are there only once it is sealed. stored is freed with name. */
void or_checkpoint_close(or_checkpoint *checkpoint)
{
    if (!checkpoint) return;
    for (size_t i = 0; checkpoint->maps && i < checkpoint->n_tensors; i++) or_map_close(&checkpoint->maps[i]);
    or_local_close(checkpoint->local);
    free(checkpoint->kept);
    free(checkpoint->maps);
    free(checkpoint->is_read);
    for (size_t i = 0; i < checkpoint->n_tensors; i++) free((char *)checkpoint->tensors[i].name);
    free(checkpoint->tensors);
    for (size_t i = 0; i < checkpoint->n_files; i++) free(checkpoint->files[i].path);
    free(checkpoint->files);
    free(checkpoint->path);
    free(checkpoint);
}

/* The size is kept for the checks of offsets; the file itself is opened anew whenever it is needed. */
or_status or_checkpoint_add_file(or_checkpoint *checkpoint, const char *path, size_t *index)
{
    OR_RESERVE(checkpoint->files, checkpoint->file_capacity, checkpoint->n_files + 1);
    or_checkpoint_file file = {0};
    OR_TRY(or_file_size(path, &file.size));
    OR_TRY(or_strdup(path, &file.path));
    *index = checkpoint->n_files++;
    checkpoint->files[*index] = file;
    return OR_OK;
}

/* Both texts go into one block, so that freeing the name frees them. The rest of *tensor is plain numbers. */
or_status or_checkpoint_add_tensor(or_checkpoint *checkpoint, const or_tensor *tensor)
{
    OR_RESERVE(checkpoint->tensors, checkpoint->tensor_capacity, checkpoint->n_tensors + 1);
    const size_t name_size = strlen(tensor->name) + 1, stored_size = strlen(tensor->stored) + 1;
    char *texts = NULL;
    OR_TRY(OR_NEW(texts, name_size + stored_size));
    memcpy(texts, tensor->name, name_size);
    memcpy(texts + name_size, tensor->stored, stored_size);

    or_tensor *added = &checkpoint->tensors[checkpoint->n_tensors++];
    *added = *tensor;
    added->name = texts;
    added->stored = texts + name_size;
    return OR_OK;
}

/* Files in their order, and in each the tensors from its beginning on. */
static int compare_places(const void *a, const void *b)
{
    const or_tensor *x = a, *y = b;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const or_tensor *)a)->name, ((const or_tensor *)b)->name);
}

/* With the tensors in the order of their places, one can only overlap the next that has bytes. */
static or_status check_overlaps(const or_checkpoint *checkpoint)
{
    const or_tensor *before = NULL;
    for (size_t i = 0; i < checkpoint->n_tensors; i++) {
        const or_tensor *tensor = &checkpoint->tensors[i];
        if (tensor->bytes == 0) continue;
        if (before && before->file == tensor->file && before->offset + before->bytes > tensor->offset)
            return or_fail(OR_ERR_INPUT, "model refused", checkpoint->files[tensor->file].path,
                           "tensors \"%s\" and \"%s\" overlap, expected bytes of their own", before->name,
                           tensor->name);
        before = tensor;
    }
    return OR_OK;
}

/* Sorted by name, two of one name are neighbours, wherever they lie. Which one counts would be a guess. */
static or_status check_names(const or_checkpoint *checkpoint)
{
    for (size_t i = 1; i < checkpoint->n_tensors; i++) {
        const or_tensor *first = &checkpoint->tensors[i - 1], *second = &checkpoint->tensors[i];
        if (strcmp(first->name, second->name) == 0)
            return or_fail(OR_ERR_INPUT, "model refused", checkpoint->files[second->file].path,
                           "found tensor \"%s\" twice, the other in %s, expected it once", second->name,
                           checkpoint->files[first->file].path);
    }
    return OR_OK;
}

/* Sorts twice: by place, to find overlaps, and by name, as they stay. From then on the array does not move,
 * so pointers into it may be handed out; maps[i] and is_read[i] belong to tensors[i]. */
or_status or_checkpoint_seal(or_checkpoint *checkpoint)
{
    const size_t n = checkpoint->n_tensors;
    if (n == 0)
        return or_fail(OR_ERR_INPUT, "model refused", checkpoint->path,
                       "found no tensors, expected the weights of a model");
    qsort(checkpoint->tensors, n, sizeof(or_tensor), compare_places);
    OR_TRY(check_overlaps(checkpoint));
    qsort(checkpoint->tensors, n, sizeof(or_tensor), compare_names);
    OR_TRY(check_names(checkpoint));
    OR_TRY(OR_NEW(checkpoint->maps, n));
    return OR_NEW(checkpoint->is_read, n);
}

/* Bisection, by the order in which the tensors were sealed. */
const or_tensor *or_checkpoint_named(const or_checkpoint *checkpoint, const char *name)
{
    const or_tensor key = {.name = name};
    return bsearch(&key, checkpoint->tensors, checkpoint->n_tensors, sizeof(or_tensor), compare_names);
}

/* What the file calls the tensor that Hugging Face calls `name`: `text` or name itself. */
static const char *own_name(const or_checkpoint *checkpoint, const char *name, char text[OR_TENSOR_NAME])
{
    char whole[OR_TENSOR_NAME];
    const char *hf = or_checkpoint_whole_name(checkpoint, name, whole);
    const char *own = checkpoint->format->rename ? checkpoint->format->rename(hf, text) : hf;
    return own == whole ? strcpy(text, whole) : own;
}

const or_tensor *or_checkpoint_find(const or_checkpoint *checkpoint, const char *name)
{
    char text[OR_TENSOR_NAME];
    return or_checkpoint_named(checkpoint, own_name(checkpoint, name, text));
}

/* "[2, 3]". `text` has room for 8 numbers of int64_t. */
static const char *shape_text(int n_dims, const int64_t *dims, char text[256])
{
    int used = snprintf(text, 256, "[");
    for (int i = 0; i < n_dims; i++)
        used += snprintf(text + used, 256 - (size_t)used, "%s%" PRId64, i ? ", " : "", dims[i]);
    snprintf(text + used, 256 - (size_t)used, "]");
    return text;
}

/* Messages call the tensor what its file calls it, which is what the user can look for, and name the shard
 * where it was found. */
or_status or_checkpoint_require(const or_checkpoint *checkpoint, const char *name, int64_t rows,
                                int64_t columns, const or_tensor **out)
{
    const int64_t wanted[2] = {rows, columns};
    const int n_wanted = columns ? 2 : 1;
    char found_text[256], wanted_text[256], own[OR_TENSOR_NAME];
    const or_tensor *tensor = or_checkpoint_find(checkpoint, name);
    shape_text(n_wanted, wanted, wanted_text);
    if (!tensor)
        return or_fail(OR_ERR_INPUT, "model refused", checkpoint->path,
                       "found no tensor \"%s\", expected one of shape %s", own_name(checkpoint, name, own),
                       wanted_text);

    const char *file = checkpoint->files[tensor->file].path;
    if (tensor->dtype == OR_DTYPE_OTHER)
        return or_fail(
            OR_ERR_INPUT, "model refused", file,
            "tensor \"%s\" is of type %s, expected weights of type f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, "
            "q5_1 or q2_k .. q6_k",
            tensor->name, tensor->stored);
    /* A [1, n] matrix is no vector [n]: transposed or reshaped weights are not guessed at. */
    bool same = tensor->n_dims == n_wanted;
    for (int i = 0; same && i < n_wanted; i++) same = tensor->dims[i] == wanted[i];
    if (!same)
        return or_fail(OR_ERR_INPUT, "model refused", file, "tensor \"%s\" has shape %s, expected %s",
                       tensor->name, shape_text(tensor->n_dims, tensor->dims, found_text), wanted_text);
    *out = tensor;
    return OR_OK;
}

const char *or_checkpoint_path(const or_checkpoint *checkpoint)
{
    return checkpoint->path;
}

const char *or_checkpoint_format(const or_checkpoint *checkpoint)
{
    return checkpoint->format->name;
}

size_t or_checkpoint_files(const or_checkpoint *checkpoint)
{
    return checkpoint->n_files;
}

const char *or_checkpoint_file_path(const or_checkpoint *checkpoint, size_t file)
{
    return checkpoint->files[file].path;
}

const or_hparams *or_checkpoint_hparams(const or_checkpoint *checkpoint)
{
    return &checkpoint->hparams;
}

size_t or_checkpoint_count(const or_checkpoint *checkpoint)
{
    return checkpoint->n_tensors;
}

const or_tensor *or_checkpoint_at(const or_checkpoint *checkpoint, size_t i)
{
    return &checkpoint->tensors[i];
}

uint64_t or_checkpoint_fingerprint(const or_checkpoint *checkpoint)
{
    return checkpoint->fingerprint;
}
