/* svm_file.h - a libsvm model file checked in memory before libsvm sees it. */
#ifndef OFFRAMP_EXIT_SVM_FILE_H
#define OFFRAMP_EXIT_SVM_FILE_H

#include <offramp/status.h>

#include <stddef.h>

/* Checks that the `size` bytes of `text`, a NUL behind them, are a whole model as svm_save_model() writes it:
 * C-SVC of the two classes 1 and -1, linear or RBF, every number finite, feature indices ascending within
 * 1..n_features, as many support vectors as announced and nothing behind them. OR_ERR_INPUT names line, what
 * was found and what was expected. */
or_status or_svm_file_check(const char *text, size_t size, const char *where, int n_features);

#endif
