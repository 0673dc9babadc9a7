/* fuzz_sentencepiece.c - the input is the tokenizer.model of a folder. */
#include "exercise.h"
#include "target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target_put("tokenizer.model", data, size);
    target_judge(exercise_tokenizer(target_folder()), target_folder());
    return 0;
}
