/* svm.c - support vector machine over libsvm (Chang and Lin, ACM TIST 2011): C-SVC, linear or RBF kernel.
 *
 *   score(x) = sum_i coef_i K(sv_i, z) - rho,   z_j = (x_j - offset_j) scale_j,
 *   K(u, v) = u.v  or  exp(-gamma |u - v|^2)
 *
 * turned so that above 0 is the side of "this token stays". offset and scale (scale.h) bring every feature to
 * mean 0 and variance 1; without that the RBF kernel would see little but the widest feature.
 *
 * On disk: offset, scale and the name and hash of the model file in policy.json, the model file beside it in
 * libsvm's own format. libsvm writes support vectors with 8 digits, so the model that fit() returns has been
 * through such a file (in memory) and save() writes those very bytes: what was calibrated is what runs. The
 * sum itself is not libsvm's but svm_sum.c's, which is several times as fast.
 */
#include "classifier.h"
#include "file.h"
#include "policy_internal.h"
#include "scale.h"
#include "svm_file.h"
#include "svm_sum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <svm.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

/* Kernel rows that libsvm keeps while it solves; 4000 rows of floats, the default, fit into it. */
enum { CACHE_MB = 64 };

typedef struct svm {
    struct svm_model *model;
    or_svm_sum sum; /* the same, as it is asked */
    or_buffer text; /* the model file */
    int n_features;
    double sign; /* libsvm's decision value is positive for the model's first label */
    or_scale scale;
} svm;

static void svm_release(void *model)
{
    svm *self = model;
    if (!self) return;
    if (self->model) svm_free_and_destroy_model(&self->model);
    or_svm_sum_free(&self->sum);
    or_buffer_free(&self->text);
    free(self);
}

/* z [n_features] and the end mark that libsvm wants. */
static void scale_row(const svm *self, const double *x, struct svm_node *z)
{
    for (int j = 0; j < self->n_features; j++)
        z[j] = (struct svm_node){j + 1, or_scale_at(&self->scale, x, j)};
    z[self->n_features] = (struct svm_node){-1, 0};
}

/* Two classes have one decision value; `value` is the sum above before its sign is turned. */
static double svm_score(const void *model, const double *x, double *message)
{
    const svm *self = model;
    double z[OR_FEATURE_COUNT];
    (void)message; /* each ramp is judged by itself */
    for (int j = 0; j < self->n_features; j++) z[j] = or_scale_at(&self->scale, x, j);
    return self->sign * or_svm_sum_at(&self->sum, z);
}

static uint64_t svm_cost(const void *model)
{
    const svm *self = model;
    /* per support vector: the distance, the kernel and its coefficient */
    return (uint64_t)svm_get_nr_sv(self->model) * ((uint64_t)self->n_features + 2);
}

/* A file in memory that has a path, which is all that libsvm reads from and writes to. */
typedef struct memory_file {
    int fd;
    char path[40];
} memory_file;

static or_status memory_file_open(memory_file *file)
{
    file->fd = memfd_create("offramp-svm", MFD_CLOEXEC);
    if (file->fd < 0)
        return or_fail(OR_ERR_FAILED, "no memory file", NULL, "memfd_create: %m, needed for the svm model");
    snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
    return OR_OK;
}

/* Makes self->model of self->text, which is checked before libsvm sees it. `where` names it in messages. */
static or_status parse_model(svm *self, const char *where)
{
    OR_TRY(or_svm_file_check(self->text.data, self->text.size, where, self->n_features));
    memory_file file;
    OR_TRY(memory_file_open(&file));
    or_status status = OR_OK;
    FILE *out = fopen(file.path, "wb");
    bool written = out && fwrite(self->text.data, 1, self->text.size, out) == self->text.size;
    if (out && fclose(out) != 0) written = false;
    if (written) self->model = svm_load_model(file.path);
    if (!written)
        status = or_fail(OR_ERR_FAILED, "memory file cannot be written", file.path, "%m");
    else if (!self->model)
        status = or_fail(OR_ERR_INPUT, "svm model refused", where, "libsvm cannot read it, train it anew");
    close(file.fd);
    if (status != OR_OK) return status;
    int labels[2];
    /* 1 and -1, or the other way round (checked) */
    svm_get_labels(self->model, labels);
    self->sign = labels[0] == 1 ? 1 : -1;
    return or_svm_sum_make(self->model, self->n_features, &self->sum);
}

/* libsvm tells of its progress on stdout, where the command's own output goes. */
static void be_silent(const char *text)
{
    (void)text;
}

/* Solves the problem and writes the model file into self->text. The solved model borrows its vectors from
 * `problem`, which goes when svm_fit() returns; the one read back from the text has its own. */
static or_status solve(svm *self, const struct svm_problem *problem, const struct svm_parameter *parameter)
{
    const char *wrong = svm_check_parameter(problem, parameter);
    if (wrong) return or_fail(OR_ERR_USAGE, "svm cannot be fitted", NULL, "libsvm says: %s", wrong);
    memory_file file;
    OR_TRY(memory_file_open(&file));
    svm_set_print_string_function(be_silent);
    or_status status = OR_OK;
    struct svm_model *solved = svm_train(problem, parameter);
    if (svm_save_model(file.path, solved) != 0)
        status = or_fail(OR_ERR_FAILED, "memory file cannot be written", file.path, "%m");
    if (status == OR_OK) status = or_file_read(file.path, &self->text);
    svm_free_and_destroy_model(&solved);
    close(file.fd);
    return status;
}

/* The kernel's gamma; where none is given svm-train's default, which suits features of variance 1. */
static double width(const or_train_options *options, int n_features)
{
    return options->gamma > 0 ? options->gamma : 1.0 / n_features;
}

/* eps and shrinking are svm-train's defaults. A row that would leave wrongly (-1) costs c * error_weight, one
 * that would stay needlessly c. */
static or_status svm_fit(const or_fit_rows *rows, const or_train_options *options, void **model)
{
    svm *self = NULL;
    struct svm_node *nodes = NULL, **x = NULL;
    double *y = NULL;
    or_status status = OR_OK;
    size_t stride = (size_t)rows->n_features + 1;
    OR_TRY_GOTO(unwind, OR_NEW(self, 1));
    OR_TRY_GOTO(unwind, OR_NEW(nodes, rows->rows * stride));
    OR_TRY_GOTO(unwind, OR_NEW(x, rows->rows));
    OR_TRY_GOTO(unwind, OR_NEW(y, rows->rows));
    self->n_features = rows->n_features;
    or_scale_fit(rows->x, rows->rows, rows->n_features, &self->scale);
    for (size_t i = 0; i < rows->rows; i++) {
        x[i] = nodes + i * stride;
        scale_row(self, rows->x + i * (size_t)rows->n_features, x[i]);
        y[i] = rows->right[i] ? 1 : -1;
    }
    struct svm_problem problem = {.l = (int)rows->rows, .y = y, .x = x};
    struct svm_parameter parameter = {.svm_type = C_SVC,
                                      .kernel_type = strcmp(options->kernel, "rbf") == 0 ? RBF : LINEAR,
                                      .gamma = width(options, rows->n_features),
                                      .cache_size = CACHE_MB,
                                      .eps = 1e-3,
                                      .C = options->c,
                                      .nr_weight = 1,
                                      .weight_label = (int[]){-1},
                                      .weight = (double[]){options->error_weight},
                                      .shrinking = 1};
    OR_TRY_GOTO(unwind, solve(self, &problem, &parameter));
    OR_TRY_GOTO(unwind, parse_model(self, "the model just fitted"));
    *model = self;
unwind:
    free(y);
    free(x);
    free(nodes);
    if (status != OR_OK) svm_release(self);
    return status;
}

/* The path of a file in the folder of `path`; malloc'ed. */
static or_status beside(const char *path, const char *name, char **file)
{
    char *folder = NULL;
    OR_TRY(or_path_folder(path, &folder));
    or_status status = or_path_join(folder, name, file);
    free(folder);
    return status;
}

/* Writes POLICY.svm beside POLICY.json and appends
 *
 *   "svm": {"file": "POLICY.svm", "hash": "16 hexadecimal digits", "offset": [...], "scale": [...]} */
static or_status svm_save(const void *model, const char *path, or_buffer *json)
{
    const svm *self = model;
    char *stem = NULL, *name = NULL, *file = NULL;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, or_policy_stem(path, &stem));
    OR_TRY_GOTO(unwind, or_format(&name, "%s.svm", stem));
    OR_TRY_GOTO(unwind, beside(path, name, &file));
    OR_TRY_GOTO(unwind, or_file_write(file, self->text.data, self->text.size));
    OR_TRY_GOTO(unwind, or_buffer_puts(json, ",\n  \"svm\": {\n    \"file\": "));
    OR_TRY_GOTO(unwind, or_json_put_string(json, name));
    uint64_t hash = XXH3_64bits(self->text.data, self->text.size);
    OR_TRY_GOTO(unwind, or_buffer_printf(json, ",\n    \"hash\": \"%016" PRIx64 "\",", hash));
    OR_TRY_GOTO(unwind, or_scale_put(&self->scale, self->n_features, json));
    OR_TRY_GOTO(unwind, or_buffer_puts(json, "\n  }"));
unwind:
    free(file);
    free(name);
    free(stem);
    return status;
}

/* Reads the model file into self->text and compares its hash with the one that policy.json wrote down. */
static or_status read_model_file(svm *self, const cJSON *entry, const char *path, char **file)
{
    const char *name;
    uint64_t hash, found;
    OR_TRY(or_json_string(entry, "file", path, &name));
    /* the file is beside policy.json and nowhere else, so that the two can be copied together */
    if (strchr(name, '/') || name[0] == '\0')
        return or_fail(OR_ERR_INPUT, "wrong field", path,
                       "\"file\" is \"%s\", expected the name of a file beside this one", name);
    OR_TRY(or_policy_read_hash(entry, "hash", path, &hash));
    OR_TRY(beside(path, name, file));
    OR_TRY(or_file_read(*file, &self->text));
    found = XXH3_64bits(self->text.data, self->text.size);
    if (found == hash) return OR_OK;
    return or_fail(OR_ERR_INPUT, "svm model refused", *file,
                   "its hash is %016" PRIx64 ", %s says %016" PRIx64
                   ": damaged or of another policy, copy both files again",
                   found, path, hash);
}

/* Hash before libsvm's text: a file of another policy is named as such, not as one that breaks the format. */
static or_status svm_open(const cJSON *policy, const char *path, int n_features, void **model)
{
    const cJSON *entry;
    OR_TRY(or_json_object(policy, "svm", path, &entry));
    svm *self = NULL;
    char *file = NULL;
    or_status status = OR_OK;
    OR_TRY_GOTO(unwind, OR_NEW(self, 1));
    self->n_features = n_features;
    OR_TRY_GOTO(unwind, or_scale_read(entry, path, n_features, &self->scale));
    OR_TRY_GOTO(unwind, read_model_file(self, entry, path, &file));
    OR_TRY_GOTO(unwind, parse_model(self, file));
    *model = self;
unwind:
    free(file);
    if (status != OR_OK) svm_release(self);
    return status;
}

/* gamma as it was used, not the 0 that asks for the default. */
static or_status svm_describe(const or_train_options *options, int n_features, or_buffer *json)
{
    OR_TRY(or_buffer_printf(json, "\"kernel\": \"%s\", \"c\": ", options->kernel));
    OR_TRY(or_json_put_double(json, options->c));
    if (strcmp(options->kernel, "rbf") == 0) {
        OR_TRY(or_buffer_puts(json, ", \"gamma\": "));
        OR_TRY(or_json_put_double(json, width(options, n_features)));
    }
    OR_TRY(or_buffer_puts(json, ", \"error_weight\": "));
    OR_TRY(or_json_put_double(json, options->error_weight));
    return or_buffer_puts(json, ", ");
}

const or_classifier_ops or_classifier_svm = {
    .name = "svm",
    .features = 1u << OR_FEATURE_GAP | 1u << OR_FEATURE_LAYER | 1u << OR_FEATURE_STABLE |
                1u << OR_FEATURE_RELIABILITY,
    .threshold = 0,
    .max_rows = 4000, /* its time grows with the square of the rows at least */
    .fit = svm_fit,
    .score = svm_score,
    .cost = svm_cost,
    .save = svm_save,
    .load = svm_open,
    .describe = svm_describe,
    .free = svm_release,
};
