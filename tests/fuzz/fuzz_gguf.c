/* fuzz_gguf.c - the input is a GGUF file: container, model, vocabulary. */
#include "exercise.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = target_put("model.gguf", data, size);
    target_judge(exercise_gguf(path), path);
    target_judge(exercise_model(path), path);
    target_judge(exercise_tokenizer(path), path);
    return 0;
}
