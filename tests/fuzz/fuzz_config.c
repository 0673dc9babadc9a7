/* fuzz_config.c - the input is the config.json of a folder. */
#include "exercise.h"
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    target_copy_seed("model.safetensors", "safetensors/families.safetensors");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target_put("config.json", data, size);
    target_judge(exercise_model(target_folder()), target_folder());
    return 0;
}
