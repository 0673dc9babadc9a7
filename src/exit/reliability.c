/* reliability.c - counting what ramps showed, looking it up, and its form in policy.json:
 *
 *   "reliability": {
 *     "others": -1.7,
 *     "tokens": [13, 6374, 8178],
 *     "values": [-4.2, 2.1, 0.3]}
 */
#include "reliability.h"

#include "scale.h"

#include <math.h>
#include <stdlib.h>

static int by_token(const void *a, const void *b)
{
    int32_t x = ((const or_shown *)a)->token, y = ((const or_shown *)b)->token;
    return (x > y) - (x < y);
}

/* Of `rows` rows, `right` of them right; finite while both kinds occur among all of them. */
static double log_odds(double right, double rows)
{
    return log(right / (rows - right));
}

or_status or_reliability_make(or_shown *rows, size_t count, or_reliability *table)
{
    or_reliability made = {0};
    size_t right = 0;
    or_status status = OR_OK;
    for (size_t i = 0; i < count; i++) right += rows[i].right;
    /* half a row of each kind keeps the odds finite where all are right, or none */
    const double share = ((double)right + 0.5) / ((double)count + 1);
    made.others = log_odds(share, 1);
    qsort(rows, count, sizeof *rows, by_token);
    OR_TRY_GOTO(unwind, OR_NEW(made.tokens, count / OR_RELIABLE + 1));
    OR_TRY_GOTO(unwind, OR_NEW(made.values, count / OR_RELIABLE + 1));
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from, right = 0; to < count && rows[to].token == rows[from].token; to++)
            right += rows[to].right;
        if (to - from < OR_RELIABLE) continue;
        made.tokens[made.count] = rows[from].token;
        made.values[made.count++] =
            log_odds((double)right + OR_RELIABLE * share, (double)(to - from) + OR_RELIABLE);
    }
    *table = made;
unwind:
    if (status != OR_OK) or_reliability_free(&made);
    return status;
}

void or_reliability_free(or_reliability *table)
{
    free(table->values);
    free(table->tokens);
    *table = (or_reliability){0};
}

double or_reliability_of(const or_reliability *table, int32_t token)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table->tokens[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table->count && table->tokens[low] == token ? table->values[low] : table->others;
}

or_status or_reliability_put(const or_reliability *table, or_buffer *json)
{
    OR_TRY(or_buffer_puts(json, ",\n  \"reliability\": {\n    \"others\": "));
    OR_TRY(or_json_put_double(json, table->others));
    OR_TRY(or_buffer_puts(json, ",\n    \"tokens\": ["));
    for (size_t i = 0; i < table->count; i++)
        OR_TRY(or_buffer_printf(json, "%s%d", i > 0 ? ", " : "", table->tokens[i]));
    OR_TRY(or_buffer_puts(json, "],"));
    OR_TRY(or_numbers_put(json, "values", table->values, (int)table->count));
    return or_buffer_puts(json, "}");
}

/* Ascending, so that each is there once and can be found by halving. */
static or_status read_tokens(const cJSON *tokens, const char *where, or_reliability *table)
{
    double last = -1;
    for (const cJSON *item = tokens->child; item; item = item->next) {
        double token = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(token > last && token <= INT32_MAX) || token != floor(token))
            return or_fail(OR_ERR_INPUT, "wrong field", where,
                           "element %zu of \"tokens\" is %g after %g, expected tokens ascending from 0",
                           table->count + 1, token, last);
        table->tokens[table->count++] = (int32_t)token;
        last = token;
    }
    return OR_OK;
}

or_status or_reliability_read(const cJSON *policy, const char *where, or_reliability *table)
{
    const cJSON *entry, *tokens;
    or_reliability made = {0};
    or_status status = OR_OK;
    OR_TRY(or_json_object(policy, "reliability", where, &entry));
    OR_TRY(or_json_number(entry, "others", where, &made.others));
    OR_TRY(or_json_array(entry, "tokens", where, &tokens));
    const size_t size = (size_t)cJSON_GetArraySize(tokens);
    OR_TRY_GOTO(unwind, OR_NEW(made.tokens, size));
    OR_TRY_GOTO(unwind, OR_NEW(made.values, size));
    OR_TRY_GOTO(unwind, read_tokens(tokens, where, &made));
    OR_TRY_GOTO(unwind, or_numbers_read(entry, "values", where, "token", (int)size, -HUGE_VAL, made.values));
    *table = made;
unwind:
    if (status != OR_OK) or_reliability_free(&made);
    return status;
}
