/* exercise.h - does with a file whatever offramp may do with it, for the fuzz targets and for test_header_fields.c.
 *
 * Each call returns the status of the first step that failed. A file may be refused, so that OR_OK and OR_ERR_INPUT
 * are right, with a message that names the file; memory that ran out or a wrong use is a fault of ours.
 */
#ifndef OFFRAMP_TESTS_EXERCISE_H
#define OFFRAMP_TESTS_EXERCISE_H

#include <offramp/status.h>

/* Opens a GGUF file and asks for all of its tensors, and by every accessor for each key of corpus/gguf. */
or_status exercise_gguf(const char *path);

/* Opens a model, walks over its tensors, maps all that its layers bind, and runs three tokens through them. */
or_status exercise_model(const char *path);

/* Opens the tokenizer of a model, encodes a text, and decodes it again and every token of the vocabulary. */
or_status exercise_tokenizer(const char *path);

#endif
