/* test_header_fields.c - every field of the seeds of the fuzz targets, replaced by values that hurt.
 *
 * Each file is opened, and used if it opens (exercise.h). It may be read or refused by name, and nothing else; the
 * sanitizers watch. What is certain to be refused is said at GGUF_EXPECTED and JSON_EXPECTED below. Unlike fuzzing
 * this needs no clang, does the same on every machine, and leaves no field out.
 */
#include "support.h"

#include "exercise.h"
#include "file.h"
#include "threads.h"

#include <math.h>
#include <stdbool.h>

static char about[512]; /* what was done to which file */

/* The file is read (unless `part` is given) or refused: by name, and with `part` in the message. */
static void judge(or_status status, const char *path, const char *part)
{
    const char *message = or_status_message();
    if (status == OR_OK && !part) return;
    if (status != OR_ERR_INPUT || !strstr(message, path) || !strstr(message, part ? part : ""))
        fail_msg("%s: status %d, message \"%s\", expected %d with \"%s\" and \"%s\" in it", about,
                 (int)status, message, OR_ERR_INPUT, path, part ? part : "");
}

static or_buffer read_seed(const char *seed)
{
    char name[128];
    or_buffer bytes = {0};
    snprintf(name, sizeof name, "tests/fuzz/corpus/%s", seed);
    assert_ok(or_file_read(source_path(name), &bytes));
    return bytes;
}

/* ---- GGUF: the fields ------------------------------------------------------------------------------------- */

typedef enum field_kind {
    VERSION,
    COUNT, /* of tensors, of keys */
    LENGTH,
    TYPE,  /* of a value */
    ITEMS, /* of an array */
    VALUE,
    DIMS, /* how many */
    DIM,
    TENSOR_TYPE,
    OFFSET
} field_kind;

typedef struct field {
    field_kind kind;
    size_t at;
    unsigned width; /* bytes: 1, 2, 4, 8 */
} field;

typedef struct place {
    size_t at, size;
} place;

enum { FIELDS = 1024, NAMES = 64 };

typedef struct walk {
    const or_buffer *file;
    size_t at, n_fields, n_names, n_keys; /* the first n_keys names are keys, the others tensors */
    field fields[FIELDS];
    place names[NAMES];
} walk;

/* Notes the field and moves behind it. */
static uint64_t take_field(walk *w, field_kind kind, unsigned width, bool note)
{
    uint64_t value = 0;
    assert_true(w->at + width <= w->file->size && w->n_fields < FIELDS);
    memcpy(&value, w->file->data + w->at, width);
    if (note) w->fields[w->n_fields++] = (field){kind, w->at, width};
    w->at += width;
    return value;
}

static void take_name(walk *w)
{
    const uint64_t size = take_field(w, LENGTH, 8, true);
    assert_true(w->n_names < NAMES);
    w->names[w->n_names++] = (place){w->at, (size_t)size};
    w->at += size;
}

static void take_value(walk *w, uint64_t type, bool note)
{
    static const unsigned widths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8)
        w->at += take_field(w, LENGTH, 8, note);
    else
        take_field(w, VALUE, widths[type], note);
}

static void take_key(walk *w)
{
    take_name(w);
    uint64_t type = take_field(w, TYPE, 4, true);
    if (type != 9) {
        take_value(w, type, true);
        return;
    }
    type = take_field(w, TYPE, 4, true);
    const uint64_t items = take_field(w, ITEMS, 8, true);
    for (uint64_t i = 0; i < items; i++)
        take_value(w, type, i < 3 || i + 1 == items); /* all are read alike */
}

static void take_tensor(walk *w)
{
    take_name(w);
    for (uint64_t dims = take_field(w, DIMS, 4, true); dims > 0; dims--) take_field(w, DIM, 8, true);
    take_field(w, TENSOR_TYPE, 4, true);
    take_field(w, OFFSET, 8, true);
}

static walk *walk_over(const or_buffer *file)
{
    walk *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->file = file;
    w->at = 4;
    take_field(w, VERSION, 4, true);
    uint64_t tensors = take_field(w, COUNT, 8, true);
    w->n_keys = take_field(w, COUNT, 8, true);
    for (uint64_t i = 0; i < w->n_keys; i++) take_key(w);
    for (; tensors > 0; tensors--) take_tensor(w);
    return w;
}

/* ---- GGUF: what is done to them --------------------------------------------------------------------------- */

/* GGUF_EXPECTED: part of the message that a field with this value is refused with for sure, or NULL. Seeds
 * are smaller than 2^31 bytes by far. */
static const char *gguf_expected(field_kind kind, uint64_t value)
{
    const bool huge = value >= UINT64_C(1) << 31;
    switch (kind) {
    case VERSION:
        return value == 2 || value == 3 ? NULL : "expected 2 or 3";
    case COUNT:
        return huge ? "announces" : NULL;
    case LENGTH:
    case ITEMS:
        return huge ? "cut off?" : NULL;
    case TYPE:
        return value > 12 ? "is of type" : NULL;
    case DIMS:
        return value < 1 || value > 4 ? "dimensions, expected 1..4" : NULL;
    case DIM:
        return value == 0 || value > INT64_MAX ? "below 2^63" : huge ? "expected" : NULL;
    case OFFSET:
        return !huge ? NULL : value % 32 ? "expected a multiple of" : "end behind the file's";
    default:
        return NULL;
    }
}

typedef struct gguf_case {
    const char *seed;
    bool model, tokenizer;
} gguf_case;

static void try_gguf(const gguf_case *c, const or_buffer *file, const char *part)
{
    static const char *folder;
    if (!folder) folder = scratch_folder();
    const char *path = path_in(folder, "model.gguf");
    put_file(path, file->data, file->size);
    judge(exercise_gguf(path), path, part);
    if (c->model) judge(exercise_model(path), path, part);
    if (c->tokenizer) judge(exercise_tokenizer(path), path, NULL);
}

/* 2^n - 1 and 2^n for these n, and what is near the old value. Returns how many. */
static size_t list_values(uint64_t old, uint64_t values[32])
{
    static const int powers[] = {0, 1, 7, 8, 16, 31, 32, 53, 61, 62, 63};
    const uint64_t others[] = {old - 1,         old + 1,   old * 2, old + 32, old + UINT32_MAX + 1,
                               UINT64_MAX - 31, UINT64_MAX};
    size_t n = 0;
    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) {
        values[n++] = (UINT64_C(1) << powers[i]) - 1;
        values[n++] = UINT64_C(1) << powers[i];
    }
    memcpy(values + n, others, sizeof others);
    return n + sizeof others / sizeof *others;
}

static void try_values(const gguf_case *c, or_buffer *file, const field *f)
{
    uint64_t old = 0, values[32];
    memcpy(&old, file->data + f->at, f->width);
    const size_t n = list_values(old, values);
    for (size_t i = 0; i < n; i++) {
        const uint64_t value = values[i] & (UINT64_MAX >> (64 - 8 * f->width));
        snprintf(about, sizeof about, "%s, field of kind %d at byte %zu is %llu instead of %llu", c->seed,
                 (int)f->kind, f->at, (unsigned long long)value, (unsigned long long)old);
        memcpy(file->data + f->at, &value, f->width);
        try_gguf(c, file, value == old ? NULL : gguf_expected(f->kind, value));
    }
    memcpy(file->data + f->at, &old, f->width);
}

/* Every name becomes every other one of its length. */
static void try_names(const gguf_case *c, or_buffer *file, const walk *w)
{
    for (size_t i = 0; i < w->n_names; i++) {
        const place *to = &w->names[i];
        const size_t begin = i < w->n_keys ? 0 : w->n_keys, end = i < w->n_keys ? w->n_keys : w->n_names;
        char old[64];
        assert_true(to->size < sizeof old);
        memcpy(old, file->data + to->at, to->size);
        for (size_t from = begin; from < end; from++) {
            if (from == i || w->names[from].size != to->size) continue;
            snprintf(about, sizeof about, "%s, name %zu is that of %zu", c->seed, i, from);
            memcpy(file->data + to->at, file->data + w->names[from].at, to->size);
            try_gguf(c, file, "is given twice");
        }
        memcpy(file->data + to->at, old, to->size);
    }
}

static void gguf_fields_are_read_or_refused(void **state)
{
    (void)state;
    static const gguf_case cases[] = {
        {"gguf/kinds.gguf", false, false},       {"gguf/bpe.gguf", false, true},
        {"gguf/llama-f32-spm.gguf", true, true}, {"gguf/llama-halves.gguf", true, false},
        {"gguf/llama-blocks.gguf", true, false}, {"gguf/llama-k-blocks.gguf", true, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        or_buffer file = read_seed(cases[i].seed);
        const char *path = path_in(scratch_folder(), "valid.gguf");
        put_file(path, file.data, file.size);
        assert_ok(exercise_gguf(path));
        if (cases[i].model) assert_ok(exercise_model(path));
        walk *w = walk_over(&file);
        for (size_t f = 0; f < w->n_fields; f++) try_values(&cases[i], &file, &w->fields[f]);
        try_names(&cases[i], &file, w);
        free(w);
        or_buffer_free(&file);
    }
}

/* ---- JSON: the tokens ------------------------------------------------------------------------------------- */

/* A string, number, true, false or null of a JSON text. */
typedef struct token {
    size_t at, size;
    char key[48];      /* the member that it is, or is in */
    bool is_key;       /* it is a member's name itself */
    int depth, lowest; /* of braces and brackets around it; on the way from the token before */
    bool is_last;      /* of an array or object */
} token;

static size_t token_size(const char *text)
{
    if (*text != '"') return strcspn(text, ",]}: \n");
    size_t size = 1;
    while (text[size] != '"') size += text[size] == '\\' ? 2 : 1;
    return size + 1;
}

/* The next token from t->at + t->size on; false when there is none. */
static bool next_token(const char *text, token *t)
{
    size_t at = t->at + t->size;
    t->lowest = t->depth;
    for (; text[at] && strchr("{}[],: \n", text[at]); at++) {
        t->depth += strchr("{[", text[at]) ? 1 : strchr("}]", text[at]) ? -1 : 0;
        if (t->depth < t->lowest) t->lowest = t->depth;
    }
    if (!text[at]) return false;
    t->at = at;
    t->size = token_size(text + at);
    const char *behind = text + at + t->size;
    behind += strspn(behind, " \n");
    t->is_key = *behind == ':';
    t->is_last = *behind == ']' || *behind == '}';
    if (t->is_key) snprintf(t->key, sizeof t->key, "%.*s", (int)t->size - 2, text + at + 1);
    return true;
}

/* ---- JSON: what is done to them --------------------------------------------------------------------------- */

/* A file in a folder that makes a model or tokenizer of it. */
typedef struct json_file {
    const char *seed, *name; /* as in corpus/, and in the folder of a model */
    or_status (*exercise)(const char *path);
    const char *(*expected)(const token *t, const char *value); /* JSON_EXPECTED: as gguf_expected() */
    const char *folder;
    or_buffer text;
    bool framed;    /* safetensors: the text's length stands before it, */
    or_buffer data; /* and this behind */
} json_file;

static bool is_whole(const char *value, double end)
{
    char *behind;
    const double number = strtod(value, &behind);
    return *behind == '\0' && number >= 0 && number < end && number == floor(number);
}

static const char *safetensors_expected(const token *t, const char *value)
{
    if (strcmp(t->key, "shape") == 0)
        return !is_whole(value, 0x1p53) ? "dimension" : is_whole(value, 0x1p31) ? NULL : "expected";
    if (strcmp(t->key, "data_offsets") == 0)
        return !is_whole(value, 0x1p53)  ? "\"data_offsets\""
               : is_whole(value, 0x1p31) ? NULL
               : t->is_last              ? "cut off?"
                                         : "expected begin <= end";
    return NULL;
}

static const char *config_expected(const token *t, const char *value)
{
    static const char *const counts[] = {
        "hidden_size", "intermediate_size",      "ffn_dim", "num_hidden_layers", "num_attention_heads",
        "vocab_size",  "max_position_embeddings"};
    const bool fits = is_whole(value, 0x1p31) && strtod(value, NULL) >= 1;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (strcmp(t->key, counts[i]) == 0 && !fits && strcmp(value, "null") != 0) return counts[i];
    return NULL;
}

static const char *nothing_expected(const token *t, const char *value)
{
    (void)t, (void)value;
    return NULL;
}

/* The file with this instead of the token. */
static void try_text(const json_file *f, const token *t, const char *value, const char *part)
{
    or_buffer file = {0};
    const char *old = f->text.data + t->at;
    const uint64_t size = f->text.size - t->size + strlen(value);
    if (f->framed) assert_ok(or_buffer_append(&file, &size, sizeof size));
    assert_ok(or_buffer_append(&file, f->text.data, t->at));
    assert_ok(or_buffer_puts(&file, value));
    assert_ok(or_buffer_puts(&file, old + t->size));
    assert_ok(or_buffer_append(&file, f->data.data, f->data.size));
    put_file(path_in(f->folder, f->name), file.data, file.size);
    or_buffer_free(&file);
    snprintf(about, sizeof about, "%s, \"%s\": %.*s is %.60s", f->seed, t->key, (int)t->size, old, value);
    judge(f->exercise(f->folder), f->folder, part);
}

/* A value, or element, becomes another. */
static void try_value(const json_file *f, const token *t, const char *value)
{
    const bool same = strlen(value) == t->size && memcmp(value, f->text.data + t->at, t->size) == 0;
    try_text(f, t, value, same ? NULL : f->expected(t, value));
}

static void try_numbers(const json_file *f, const token *t)
{
    static const int powers[] = {0, 1, 7, 31, 32, 53, 62, 63};
    static const char *const others[] = {"-1", "0.5", "18446744073709551616", "1e400", "-1e400", "1e-400"};
    for (size_t i = 0; i < 2 * sizeof powers / sizeof *powers; i++) {
        char value[32];
        snprintf(value, sizeof value, "%llu", (1ull << powers[i / 2]) - i % 2);
        try_value(f, t, value);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) try_value(f, t, others[i]);
}

static void try_others(const json_file *f, const token *t)
{
    static const char *const values[] = {"null", "true", "[]", "{}", "[[]]", "{\"a\": 1}", "\"x\"", "\"\""};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) try_value(f, t, values[i]);
}

/* What is no JSON or no text, and is refused in any place; strings without end among it. */
static void try_broken(const json_file *f, const token *t)
{
    static const struct {
        const char *value, *part;
    } broken[] = {{"\"x", "not JSON"},         {"\"\\u0000\"", "NUL"}, {"\"\xff\"", "UTF-8"},
                  {"\"\\ud800\"", "not JSON"}, {"1 2", "not JSON"},    {"]", "not JSON"}};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        try_text(f, t, broken[i].value, broken[i].part);
}

/* The member before `t` in the same object. */
static bool find_sibling(const char *text, const token *t, token *sibling)
{
    *sibling = (token){0};
    for (token at = {0}; next_token(text, &at) && at.at <= t->at;) {
        if (at.lowest < t->depth) sibling->size = 0; /* another object began or ended in between */
        if (at.is_key && at.depth == t->depth && at.at < t->at) *sibling = at;
    }
    return sibling->size > 0;
}

/* A member's name becomes another, also that of the member before it. */
static void try_keys(const json_file *f, const token *t)
{
    token sibling;
    char value[96];
    try_text(f, t, "\"\"", NULL);
    try_text(f, t, "\"dtype\"", NULL);
    if (!find_sibling(f->text.data, t, &sibling)) return;
    snprintf(value, sizeof value, "%.*s", (int)sibling.size, f->text.data + sibling.at);
    try_text(f, t, value, "\" twice, expected it once");
}

static void try_tokens(const json_file *f)
{
    assert_ok(f->exercise(f->folder)); /* as it is */
    for (token t = {0}; next_token(f->text.data, &t);) {
        try_broken(f, &t);
        if (t.is_key) {
            try_keys(f, &t);
        } else {
            try_numbers(f, &t);
            try_others(f, &t);
        }
    }
}

/* ---- JSON: the files -------------------------------------------------------------------------------------- */

/* Copies a seed into the folder. */
static void copy_seed(const char *seed, const char *folder, const char *name)
{
    or_buffer bytes = read_seed(seed);
    put_file(path_in(folder, name), bytes.data, bytes.size);
    or_buffer_free(&bytes);
}

static void try_json_seed(json_file f, const char *company, const char *company_name)
{
    f.folder = scratch_folder();
    copy_seed(f.seed, f.folder, f.name);
    if (company) copy_seed(company, f.folder, company_name);
    f.text = read_seed(f.seed);
    try_tokens(&f);
    or_buffer_free(&f.text);
}

static void config_fields_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const seeds[] = {"config/llama.json", "config/llama-linear.json", "config/llama3.json",
                                        "config/opt.json", "config/opt-post-norm.json"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        const json_file f = {
            .seed = seeds[i], .name = "config.json", .exercise = exercise_model, .expected = config_expected};
        try_json_seed(f, "safetensors/families.safetensors", "model.safetensors");
    }
}

static void tokenizer_fields_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const seeds[] = {"tokenizer/spm.json", "tokenizer/spm-metaspace.json",
                                        "tokenizer/bpe-splits.json"};
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        const json_file f = {.seed = seeds[i],
                             .name = "tokenizer.json",
                             .exercise = exercise_tokenizer,
                             .expected = nothing_expected};
        try_json_seed(f, NULL, NULL);
    }
}

static void safetensors_fields_are_read_or_refused(void **state)
{
    (void)state;
    static const char *const seeds[] = {"safetensors/tied-bf16.safetensors",
                                        "safetensors/others-f16.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        json_file f = {.seed = seeds[i],
                       .name = "model.safetensors",
                       .exercise = exercise_model,
                       .expected = safetensors_expected,
                       .folder = scratch_folder(),
                       .framed = true};
        or_buffer whole = read_seed(seeds[i]);
        uint64_t size;
        memcpy(&size, whole.data, sizeof size);
        assert_ok(or_buffer_append(&f.text, whole.data + 8, size));
        assert_ok(or_buffer_append(&f.data, whole.data + 8 + size, whole.size - 8 - size));
        copy_seed(seeds[i], f.folder, f.name);
        copy_seed("config/llama.json", f.folder, "config.json");
        try_tokens(&f);
        or_buffer_free(&f.data);
        or_buffer_free(&f.text);
        or_buffer_free(&whole);
    }
}

/* The one field of a safetensors file that is not JSON: the length of its header. */
static void safetensors_lengths_are_refused(void **state)
{
    (void)state;
    static const char seed[] = "safetensors/f32.safetensors";
    const char *folder = scratch_folder(), *path = path_in(folder, "model.safetensors");
    or_buffer file = read_seed(seed);
    uint64_t old, values[32];
    memcpy(&old, file.data, sizeof old);
    copy_seed("config/llama.json", folder, "config.json");
    const size_t n = list_values(old, values);
    for (size_t i = 0; i < n; i++) {
        snprintf(about, sizeof about, "%s, header of %llu bytes", seed, (unsigned long long)values[i]);
        memcpy(file.data, &values[i], sizeof values[i]);
        put_file(path, file.data, file.size);
        judge(exercise_model(folder), path, values[i] > file.size - 8 ? "found a header of" : "");
    }
    or_buffer_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_fields_are_read_or_refused),
        cmocka_unit_test(safetensors_fields_are_read_or_refused),
        cmocka_unit_test(safetensors_lengths_are_refused),
        cmocka_unit_test(config_fields_are_read_or_refused),
        cmocka_unit_test(tokenizer_fields_are_read_or_refused),
    };
    or_threads_set(1); /* the seeds are too small for more */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
