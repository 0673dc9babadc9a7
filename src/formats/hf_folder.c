/* hf_folder.c - a Hugging Face folder: config.json, and model.safetensors or shards with their index.
 *
 * Weights are looked for as transformers does: model.safetensors first, which wins when both are there; then
 * model.safetensors.index.json, {"weight_map": {"<tensor>": "<shard file>", ...}}. Every tensor that the map
 * names must be in the shard it names; what a shard holds beyond the map is kept. Other *.safetensors files
 * of the folder (adapters, original weights) are not looked at.
 *
 * How to write the next format: a file like this one with a const or_format_ops; probe() looks at
 * the path, and no further than a few bytes; open() fills checkpoint->hparams, adds files and tensors, and
 * seals (checkpoint_internal.h). Then one line in the table of checkpoint.c. A format with number types of its
 * own also needs them in or_dtype and in the kernels of src/compute/.
 */
#include "checkpoint_internal.h"

#include "json.h"
#include "log.h"

#include <string.h>

/* The shards that an index names: sorted, each once. File i of the checkpoint is shard i. */
typedef struct shard_list {
    const char **names; /* owned by the JSON tree */
    size_t count, capacity;
} shard_list;

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A shard lies in the folder itself: a name that leads out of it is refused. */
static or_status check_shard_name(const cJSON *item, const char *index)
{
    const char *name = cJSON_GetStringValue(item);
    if (name && name[0] && !strchr(name, '/') && !strstr(name, "..")) return OR_OK;
    return or_fail(OR_ERR_INPUT, "model refused", index,
                   "\"weight_map\" puts tensor \"%s\" in \"%s\", expected the name of a file in the folder",
                   item->string, name ? name : "(no text)");
}

/* Sorted by name, so that the order of files, which is in the fingerprint, is not that of the JSON's keys. */
static or_status list_shards(const cJSON *map, const char *index, shard_list *shards)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, map)
    {
        OR_TRY(check_shard_name(item, index));
        OR_RESERVE(shards->names, shards->capacity, shards->count + 1);
        shards->names[shards->count++] = item->valuestring;
    }
    if (shards->count == 0) return OR_OK;
    qsort(shards->names, shards->count, sizeof *shards->names, compare_texts);
    size_t kept = 1;
    for (size_t i = 1; i < shards->count; i++)
        if (strcmp(shards->names[i], shards->names[kept - 1]) != 0) shards->names[kept++] = shards->names[i];
    shards->count = kept;
    return OR_OK;
}

/* A download that was broken off leaves an index whose shards are not all there: told by the shard's path. */
static or_status read_shard(or_checkpoint *checkpoint, const char *name)
{
    char *path = NULL;
    OR_TRY(or_path_join(checkpoint->path, name, &path));
    or_status status = or_path_exists(path)
                           ? or_safetensors_read(checkpoint, path)
                           : or_fail(OR_ERR_INPUT, "model refused", path,
                                     "the index names this shard but it is not there, expected all shards");
    free(path);
    return status;
}

/* Asked of the sealed checkpoint: each tensor of the map is there, and in the shard that the map says. */
static or_status check_map(const or_checkpoint *checkpoint, const cJSON *map, const char *index,
                           const shard_list *shards)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, map)
    {
        const or_tensor *tensor = or_checkpoint_named(checkpoint, item->string);
        if (!tensor || strcmp(shards->names[tensor->file], item->valuestring) != 0)
            return or_fail(OR_ERR_INPUT, "model refused", index,
                           "\"weight_map\" puts tensor \"%s\" in \"%s\", which has none, expected it there",
                           item->string, item->valuestring);
    }
    return OR_OK;
}

/* `shards` points into `json`, which therefore lives until the map has been checked. */
static or_status read_index(or_checkpoint *checkpoint, const char *index)
{
    cJSON *json = NULL;
    const cJSON *map;
    shard_list shards = {0};
    or_status status;
    OR_TRY(or_json_load(index, &json));
    OR_TRY_GOTO(done, or_json_object(json, "weight_map", index, &map));
    OR_TRY_GOTO(done, list_shards(map, index, &shards));
    for (size_t i = 0; i < shards.count; i++) OR_TRY_GOTO(done, read_shard(checkpoint, shards.names[i]));
    OR_TRY_GOTO(done, or_checkpoint_seal(checkpoint));
    status = check_map(checkpoint, map, index, &shards);
done:
    free(shards.names);
    cJSON_Delete(json);
    return status;
}

/* True, and *path (malloc'ed) set, when the folder holds `name`. */
static or_status look_for(const or_checkpoint *checkpoint, const char *name, char **path, bool *there)
{
    OR_TRY(or_path_join(checkpoint->path, name, path));
    *there = or_path_exists(*path);
    return OR_OK;
}

/* No weights were found: says so, with the way out when there are PyTorch's. */
static or_status refuse_weights(const or_checkpoint *checkpoint)
{
    static const char *const pickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < sizeof pickled / sizeof *pickled; i++) {
        char *path = NULL;
        bool there;
        OR_TRY(look_for(checkpoint, pickled[i], &path, &there));
        free(path);
        if (there)
            return or_fail(OR_ERR_INPUT, "model refused", checkpoint->path,
                           "found only pytorch_model.bin, expected safetensors: convert it "
                           "(load it in transformers, save_pretrained(..., safe_serialization=True))");
    }
    return or_fail(OR_ERR_INPUT, "model refused", checkpoint->path,
                   "found neither model.safetensors nor model.safetensors.index.json, expected one of them");
}

static or_status read_weights(or_checkpoint *checkpoint)
{
    char *single = NULL, *index = NULL;
    bool has_single, has_index;
    or_status status;
    OR_TRY_GOTO(done, look_for(checkpoint, "model.safetensors", &single, &has_single));
    OR_TRY_GOTO(done, look_for(checkpoint, "model.safetensors.index.json", &index, &has_index));
    if (has_single) {
        if (has_index) or_log_detail("%s: using model.safetensors, not the index", checkpoint->path);
        OR_TRY_GOTO(done, or_safetensors_read(checkpoint, single));
        status = or_checkpoint_seal(checkpoint);
    } else if (has_index) {
        status = read_index(checkpoint, index);
    } else {
        status = refuse_weights(checkpoint);
    }
done:
    free(index);
    free(single);
    return status;
}

/* A folder that may not be read would look like one without config.json, so that is asked first. */
static or_status open_folder(or_checkpoint *checkpoint)
{
    char *config = NULL;
    bool there;
    const char *problem = or_path_problem(checkpoint->path);
    if (problem) return or_fail(OR_ERR_INPUT, "model refused", checkpoint->path, "%s", problem);
    OR_TRY(look_for(checkpoint, "config.json", &config, &there));
    or_status status = there ? or_hf_config_read(config, &checkpoint->hparams)
                             : or_fail(OR_ERR_INPUT, "model refused", checkpoint->path,
                                       "found no config.json, expected %s", or_format_hf_folder.accepts);
    free(config);
    return status == OR_OK ? read_weights(checkpoint) : status;
}

const or_format_ops or_format_hf_folder = {
    .name = "safetensors",
    .accepts = "a Hugging Face folder (config.json with *.safetensors)",
    .probe = or_path_is_folder,
    .open = open_folder,
};
