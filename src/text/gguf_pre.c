/* gguf_pre.c - llama.cpp's names of the ways in which byte-level BPE cuts text ("tokenizer.ggml.pre"), for
 * those whose patterns are known here: the pre-tokenizers in the tokenizer.json of the models. Another is
 * one line. */
#include "gguf_vocab.h"

#include "split.h"

const or_gguf_pre or_gguf_pres[] = {
    {"gpt-2", {or_split_gpt2}, false},
    {"llama-bpe", {or_split_llama3}, true},
    {"llama3", {or_split_llama3}, true},
    {"llama-v3", {or_split_llama3}, true},
    {"smollm", {or_split_digit, or_split_gpt2}, false},
    {"starcoder", {or_split_digit, or_split_gpt2}, false},
    {"refact", {or_split_digit, or_split_gpt2}, false},
    {NULL, {NULL}, false},
};
