/* fuzz_safetensors.c - the input is the model.safetensors of a folder. */
#include "exercise.h"
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    target_copy_seed("config.json", "config/llama.json");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target_put("model.safetensors", data, size);
    target_judge(exercise_model(target_folder()), target_folder());
    return 0;
}
