/* format_json.c - one JSON array of objects, as the function-vectors tasks have it:
 *
 *   [{"input": "produce", "output": "P"}, {"input": "finch", "output": "F"}]
 */
#include "dataset.h"

static or_status read_json(const char *text, size_t size, or_dataset *dataset)
{
    cJSON *array = NULL;
    OR_TRY(or_json_parse(text, size, dataset->path, &array));
    or_status status = OR_OK;
    if (!cJSON_IsArray(array))
        status = or_dataset_refuse(dataset, 0, "found no array, expected [{...}, {...}]");
    size_t place = 1;
    for (const cJSON *row = array->child; row && status == OR_OK; row = row->next)
        status = or_dataset_add_object(dataset, row, place++);
    cJSON_Delete(array);
    return status;
}

const or_dataset_format or_format_json = {
    .name = "json", .unit = "row", .input = "input", .output = "output", .read = read_json};
