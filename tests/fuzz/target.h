/* target.h - what the fuzz targets share. A target is fuzz_<name>.c, a folder of seeds corpus/<name> and a line in
 * CMakeLists.txt; libFuzzer calls LLVMFuzzerTestOneInput() with one input after the other.
 */
#ifndef OFFRAMP_TESTS_TARGET_H
#define OFFRAMP_TESTS_TARGET_H

#include <offramp/status.h>

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The folder in memory that this process keeps its inputs in; removed at exit. */
const char *target_folder(void);

/* Writes the input under this name in the folder. Returns its path. */
const char *target_put(const char *name, const uint8_t *data, size_t size);

/* Copies a seed into the folder, for a target whose input needs company. */
void target_copy_seed(const char *name, const char *seed);

/* Ends the process as found guilty unless the status is right for a bad file and the message names it. */
void target_judge(or_status status, const char *path);

#endif
