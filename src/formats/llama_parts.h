/* llama_parts.h - what a Llama layer consists of: for binding it, for writing it (export.c), and for making
 * one up (shape.c). */
#ifndef OFFRAMP_FORMATS_LLAMA_PARTS_H
#define OFFRAMP_FORMATS_LLAMA_PARTS_H

#include <offramp/checkpoint.h>

/* A tensor of a layer: what its name has behind "model.layers.N.", and its shape; columns 0: a vector. The
 * rows of `rotated` ones belong to heads whose numbers are turned in pairs. */
typedef struct or_llama_part {
    const char *name;
    int rows, columns;
    bool rotated;
} or_llama_part;

enum { OR_LLAMA_PARTS = 9, OR_LLAMA_NAME = 128 };

/* The parts in the order of the computation, and the whole name of one. */
void or_llama_list_parts(const or_hparams *hparams, or_llama_part parts[OR_LLAMA_PARTS]);
const char *or_llama_part_name(const or_llama_part *part, int layer, char text[OR_LLAMA_NAME]);

#endif
