/* scale.c - fitting the scale of features, and its form in policy.json. */
#include "scale.h"

#include <math.h>

/* Two passes, the mean first: sums of squares alone lose their digits where a feature varies little. */
void or_scale_fit(const double *x, size_t rows, int width, or_scale *scale)
{
    for (int j = 0; j < width; j++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < rows; i++) sum += x[i * (size_t)width + (size_t)j];
        double mean = sum / (double)rows;
        for (size_t i = 0; i < rows; i++) {
            double d = x[i * (size_t)width + (size_t)j] - mean;
            squares += d * d;
        }
        double deviation = sqrt(squares / (double)rows);
        scale->offset[j] = mean;
        scale->scale[j] = deviation > 1e-12 ? 1 / deviation : 0;
    }
}

or_status or_numbers_put(or_buffer *json, const char *key, const double *values, int count)
{
    OR_TRY(or_buffer_printf(json, "\n    \"%s\": [", key));
    for (int i = 0; i < count; i++) {
        if (i > 0) OR_TRY(or_buffer_puts(json, ", "));
        OR_TRY(or_json_put_double(json, values[i]));
    }
    return or_buffer_puts(json, "]");
}

or_status or_numbers_read(const cJSON *object, const char *key, const char *where, const char *each,
                          int count, double low, double *values)
{
    const cJSON *array;
    OR_TRY(or_json_array(object, key, where, &array));
    if (cJSON_GetArraySize(array) != count)
        return or_fail(OR_ERR_INPUT, "wrong field", where, "\"%s\" has %d elements, expected one per %s: %d",
                       key, cJSON_GetArraySize(array), each, count);
    int i = 0;
    for (const cJSON *item = array->child; item; item = item->next) {
        double value = item->valuedouble;
        if (!cJSON_IsNumber(item) || !isfinite(value) || value < low)
            return or_fail(OR_ERR_INPUT, "wrong field", where,
                           "element %d of \"%s\" is out of range, expected a finite number%s", i + 1, key,
                           low == 0 ? " from 0" : "");
        values[i++] = value;
    }
    return OR_OK;
}

or_status or_scale_put(const or_scale *scale, int width, or_buffer *json)
{
    OR_TRY(or_numbers_put(json, "offset", scale->offset, width));
    OR_TRY(or_buffer_puts(json, ","));
    return or_numbers_put(json, "scale", scale->scale, width);
}

or_status or_scale_read(const cJSON *object, const char *where, int width, or_scale *scale)
{
    OR_TRY(or_numbers_read(object, "offset", where, "feature", width, -HUGE_VAL, scale->offset));
    return or_numbers_read(object, "scale", where, "feature", width, 0, scale->scale);
}
