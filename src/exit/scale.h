/* scale.h - features brought to mean 0 and variance 1 over the fitted rows, and lists of numbers in
 * policy.json.
 *
 *   z_j = (x_j - offset_j) scale_j
 *
 * A feature that never varied has scale 0: it says nothing, whatever it is later. Pure, but for
 * or_numbers_*(), which append to and read JSON; all errors are OR_ERR_INPUT with the file's name, or lack of
 * memory.
 */
#ifndef OFFRAMP_EXIT_SCALE_H
#define OFFRAMP_EXIT_SCALE_H

#include "json.h"

#include <offramp/policy.h>

typedef struct or_scale {
    double offset[OR_FEATURE_COUNT], scale[OR_FEATURE_COUNT];
} or_scale;

/* Of x [rows, width] row-major, rows > 0. */
void or_scale_fit(const double *x, size_t rows, int width, or_scale *scale);

static inline double or_scale_at(const or_scale *scale, const double *x, int j)
{
    return (x[j] - scale->offset[j]) * scale->scale[j];
}

/* Appends "\n    \"offset\": [...],\n    \"scale\": [...]", and reads them back from their object. */
or_status or_scale_put(const or_scale *scale, int width, or_buffer *json);
or_status or_scale_read(const cJSON *object, const char *where, int width, or_scale *scale);

/* Appends "\n    \"key\": [...]", with as many digits as read back to the same doubles. */
or_status or_numbers_put(or_buffer *json, const char *key, const double *values, int count);

/* values [count], each finite and at least `low`; `each` says in messages what there is one number for. */
or_status or_numbers_read(const cJSON *object, const char *key, const char *where, const char *each,
                          int count, double low, double *values);

#endif
