/* cost_file.c - reading and writing costs of ranks. The form is in cost_file.h. A key that is not known is refused: a
 * misspelt "bandwidth" would make the link infinitely fast. */
#include "cost_file.h"

#include "file.h"
#include "json.h"

#include <string.h>

static const char refused[] = "costs refused";

enum { SECONDS_MAX = 1000000, ROWS_MAX = 1 << 30 };
static const double BANDWIDTH_MAX = 1e15;
static const int64_t MEMORY_MAX = INT64_C(1) << 53; /* what a JSON number carries exactly */

/* ---- reading ------------------------------------------------------------------------------------------ */

/* Refuses members whose names are none of `keys`, which ends with NULL. */
static or_status check_keys(const cJSON *object, const char *where, const char *const *keys)
{
    for (const cJSON *item = object->child; item; item = item->next) {
        const char *const *key = keys;
        while (*key && strcmp(*key, item->string) != 0) key++;
        if (!*key)
            return or_fail(OR_ERR_INPUT, refused, where, "found \"%.40s\", expected only known keys",
                           item->string);
    }
    return OR_OK;
}

/* A number from 0 to `high`; absent: *value stays. */
static or_status read_number(const cJSON *object, const char *key, const char *where, double high,
                             double *value)
{
    OR_TRY(or_json_opt_number(object, key, where, value));
    if (*value >= 0 && *value <= high) return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, where, "\"%s\" is %g, expected a number from 0 to %g", key, *value,
                   high);
}

/* [rows, seconds] behind those that the curve has. */
static or_status read_point(const cJSON *point, const char *key, const char *where, or_cost_curve *curve)
{
    const int n = curve->n_points;
    const cJSON *rows = cJSON_GetArrayItem(point, 0), *seconds = cJSON_GetArrayItem(point, 1);
    if (!cJSON_IsArray(point) || cJSON_GetArraySize(point) != 2 || !cJSON_IsNumber(rows) ||
        !cJSON_IsNumber(seconds))
        return or_fail(OR_ERR_INPUT, refused, where, "point %d of \"%s\" is no [rows, seconds]", n + 1, key);
    const double before = n > 0 ? curve->rows[n - 1] : 0, x = rows->valuedouble, y = seconds->valuedouble;
    if (!(x > before && x <= ROWS_MAX))
        return or_fail(OR_ERR_INPUT, refused, where,
                       "point %d of \"%s\" is of %g rows, expected more than %g and at most %d", n + 1, key,
                       x, before, ROWS_MAX);
    if (!(y > 0 && y <= SECONDS_MAX)) /* rates are requests over seconds */
        return or_fail(OR_ERR_INPUT, refused, where,
                       "point %d of \"%s\" takes %g seconds, expected more than 0 and at most %d", n + 1, key,
                       y, SECONDS_MAX);
    curve->rows[n] = x;
    curve->seconds[n] = y;
    curve->n_points++;
    return OR_OK;
}

static or_status read_curve(const cJSON *object, const char *key, const char *where, or_cost_curve *curve)
{
    const cJSON *points;
    OR_TRY(or_json_array(object, key, where, &points));
    const int n = cJSON_GetArraySize(points);
    if (n < 1 || n > OR_COST_POINTS)
        return or_fail(OR_ERR_INPUT, refused, where, "\"%s\" has %d points, expected 1 to %d", key, n,
                       (int)OR_COST_POINTS);
    for (const cJSON *point = points->child; point; point = point->next)
        OR_TRY(read_point(point, key, where, curve));
    return OR_OK;
}

static or_status read_rank(const cJSON *entry, const char *where, or_rank_cost *rank)
{
    static const char *const keys[] = {"count",   "layer",     "ramp",   "embed",
                                       "latency", "bandwidth", "memory", NULL};
    int64_t memory = 0;
    *rank = (or_rank_cost){0};
    if (!cJSON_IsObject(entry))
        return or_fail(OR_ERR_INPUT, refused, where, "found no object, expected {...}");
    OR_TRY(check_keys(entry, where, keys));
    OR_TRY(read_curve(entry, "layer", where, &rank->layer));
    if (or_json_find(entry, "ramp")) OR_TRY(read_curve(entry, "ramp", where, &rank->ramp));
    OR_TRY(read_number(entry, "embed", where, SECONDS_MAX, &rank->embed));
    OR_TRY(read_number(entry, "latency", where, SECONDS_MAX, &rank->latency));
    OR_TRY(read_number(entry, "bandwidth", where, BANDWIDTH_MAX, &rank->bandwidth));
    OR_TRY(or_json_opt_int(entry, "memory", where, 0, MEMORY_MAX, &memory));
    rank->memory = (uint64_t)memory;
    return OR_OK;
}

/* An entry's ranks, as many as are still wanted. Entries behind those are read too, so that a wrong one is seen. */
static or_status read_entry(const cJSON *entry, const char *where, int wanted, or_costs *costs)
{
    or_rank_cost rank;
    int64_t count = entry->next ? 1 : OR_PLAN_STAGES;
    OR_TRY(read_rank(entry, where, &rank));
    OR_TRY(or_json_opt_int(entry, "count", where, 1, OR_PLAN_STAGES, &count));
    for (; count > 0 && costs->n_ranks < wanted; count--) costs->ranks[costs->n_ranks++] = rank;
    return OR_OK;
}

static or_status read_ranks(const cJSON *json, const char *path, int wanted, or_costs *costs)
{
    const cJSON *entries;
    int number = 0;
    OR_TRY(or_json_array(json, "ranks", path, &entries));
    for (const cJSON *entry = entries->child; entry; entry = entry->next) {
        char *where = NULL;
        OR_TRY(or_format(&where, "%s, entry %d of \"ranks\"", path, ++number));
        or_status status = read_entry(entry, where, wanted, costs);
        free(where);
        OR_TRY(status);
    }
    if (costs->n_ranks == wanted) return OR_OK;
    return or_fail(OR_ERR_INPUT, refused, path, "it is of %d ranks, expected %d or more", costs->n_ranks,
                   wanted);
}

or_status or_costs_read(const char *path, int n_ranks, or_costs *costs)
{
    static const char *const keys[] = {"measured_on", "ranks", NULL};
    cJSON *json = NULL;
    const char *measured_on = NULL;
    or_status status;
    *costs = (or_costs){0};
    OR_TRY(OR_NEW(costs->ranks, (size_t)n_ranks));
    OR_TRY(or_json_load(path, &json));
    OR_TRY_GOTO(done, check_keys(json, path, keys));
    OR_TRY_GOTO(done, or_json_opt_string(json, "measured_on", path, &measured_on));
    if (measured_on) OR_TRY_GOTO(done, or_strdup(measured_on, &costs->measured_on));
    status = read_ranks(json, path, n_ranks, costs);
done:
    cJSON_Delete(json);
    return status;
}

void or_costs_free(or_costs *costs)
{
    free(costs->ranks);
    free(costs->measured_on);
    *costs = (or_costs){0};
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static bool same_curve(const or_cost_curve *a, const or_cost_curve *b)
{
    const size_t bytes = (size_t)a->n_points * sizeof *a->rows;
    return a->n_points == b->n_points && memcmp(a->rows, b->rows, bytes) == 0 &&
           memcmp(a->seconds, b->seconds, bytes) == 0;
}

static bool same_rank(const or_rank_cost *a, const or_rank_cost *b)
{
    return same_curve(&a->layer, &b->layer) && same_curve(&a->ramp, &b->ramp) && a->embed == b->embed &&
           a->latency == b->latency && a->bandwidth == b->bandwidth && a->memory == b->memory;
}

static or_status put_curve(or_buffer *out, const char *before, const or_cost_curve *curve)
{
    OR_TRY(or_buffer_puts(out, before));
    for (int i = 0; i < curve->n_points; i++) {
        OR_TRY(or_buffer_puts(out, i ? ", [" : "["));
        OR_TRY(or_json_put_double(out, curve->rows[i]));
        OR_TRY(or_buffer_puts(out, ", "));
        OR_TRY(or_json_put_double(out, curve->seconds[i]));
        OR_TRY(or_buffer_puts(out, "]"));
    }
    return or_buffer_puts(out, "]");
}

/* 0 is what is absent. */
static or_status put_number(or_buffer *out, const char *before, double value)
{
    if (value == 0) return OR_OK;
    OR_TRY(or_buffer_puts(out, before));
    return or_json_put_double(out, value);
}

static or_status put_rank(or_buffer *out, const or_rank_cost *rank, int count)
{
    OR_TRY(or_buffer_puts(out, "    {"));
    if (count > 0) OR_TRY(or_buffer_printf(out, "\"count\": %d, ", count));
    OR_TRY(put_curve(out, "\"layer\": [", &rank->layer));
    if (rank->ramp.n_points > 0) OR_TRY(put_curve(out, ", \"ramp\": [", &rank->ramp));
    OR_TRY(put_number(out, ", \"embed\": ", rank->embed));
    OR_TRY(put_number(out, ", \"latency\": ", rank->latency));
    OR_TRY(put_number(out, ", \"bandwidth\": ", rank->bandwidth));
    OR_TRY(put_number(out, ", \"memory\": ", (double)rank->memory));
    return or_buffer_puts(out, "}");
}

static or_status put_costs(or_buffer *out, const or_costs *costs)
{
    OR_TRY(or_buffer_puts(out, "{\n"));
    if (costs->measured_on) {
        OR_TRY(or_buffer_puts(out, "  \"measured_on\": "));
        OR_TRY(or_json_put_string(out, costs->measured_on));
        OR_TRY(or_buffer_puts(out, ",\n"));
    }
    OR_TRY(or_buffer_puts(out, "  \"ranks\": [\n"));
    for (int first = 0, end; first < costs->n_ranks; first = end) {
        for (end = first + 1; end < costs->n_ranks; end++)
            if (!same_rank(&costs->ranks[first], &costs->ranks[end])) break;
        const bool all = end - first == costs->n_ranks;
        OR_TRY(put_rank(out, &costs->ranks[first], all ? 0 : end - first));
        OR_TRY(or_buffer_puts(out, end < costs->n_ranks ? ",\n" : "\n"));
    }
    return or_buffer_puts(out, "  ]\n}\n");
}

or_status or_costs_write(const char *path, const or_costs *costs)
{
    or_buffer out = {0};
    or_status status = put_costs(&out, costs);
    if (status == OR_OK) status = or_file_write(path, out.data, out.size);
    or_buffer_free(&out);
    return status;
}
