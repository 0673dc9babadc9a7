/* plan.c - reading and making layer splits. A wrong --plan is OR_ERR_USAGE, a wrong file OR_ERR_INPUT;
 * both get the same checks, stage by stage while they are read and as a whole at the end. Pure functions
 * but for reading the file. */
#include <offramp/plan.h>

#include "file.h"
#include "json.h"

#include <string.h>

/* A rank needs a layer, and or_plan.bound has room for OR_PLAN_STAGES. */
static or_status check_ranks(int n_layers, int n_ranks)
{
    if (n_ranks >= 1 && n_ranks <= n_layers && n_ranks <= OR_PLAN_STAGES) return OR_OK;
    return or_fail(OR_ERR_USAGE, "more ranks than layers", NULL,
                   "started with %d ranks, the model has %d layers and a rank needs at least one", n_ranks,
                   n_layers);
}

or_status or_plan_even(int n_layers, int n_ranks, or_plan *plan)
{
    OR_TRY(check_ranks(n_layers, n_ranks));
    *plan = (or_plan){.n_stages = n_ranks};
    for (int s = 0; s < n_ranks; s++)
        plan->bound[s + 1] = plan->bound[s] + n_layers / n_ranks + (s < n_layers % n_ranks ? 1 : 0);
    return OR_OK;
}

/* Appends a stage of `layers` layers. */
static or_status add_stage(or_plan *plan, long layers, int n_layers, const char *text, or_status refusal)
{
    if (layers < 1 || layers > n_layers || plan->n_stages == OR_PLAN_STAGES)
        return or_fail(refusal, "wrong plan", text, "stage %d has %ld layers, expected 1..%d",
                       plan->n_stages + 1, layers, n_layers);
    plan->bound[plan->n_stages + 1] = plan->bound[plan->n_stages] + (int)layers;
    plan->n_stages++;
    return OR_OK;
}

static or_status parse_list(const char *text, int n_layers, or_plan *plan)
{
    for (const char *at = text;;) {
        char *end;
        long layers = strtol(at, &end, 10);
        if (end == at || (*end != ',' && *end != '\0'))
            return or_fail(OR_ERR_USAGE, "wrong plan", text,
                           "expected even, layers per rank as in 10,20,25,25, or a file plan.json");
        OR_TRY(add_stage(plan, layers, n_layers, text, OR_ERR_USAGE));
        if (*end == '\0') return OR_OK;
        at = end + 1;
    }
}

/* {"layers": [10, 20, 25, 25]}. An array of anything else is refused, not rounded. */
static or_status parse_file(const char *path, int n_layers, or_plan *plan)
{
    cJSON *root = NULL;
    const cJSON *layers;
    OR_TRY(or_json_load(path, &root));
    or_status status = or_json_array(root, "layers", path, &layers);
    for (const cJSON *item = status == OR_OK ? layers->child : NULL; status == OR_OK && item;
         item = item->next)
        status = cJSON_IsNumber(item) && item->valuedouble == item->valueint
                     ? add_stage(plan, item->valueint, n_layers, path, OR_ERR_INPUT)
                     : or_fail(OR_ERR_INPUT, "wrong plan", path, "\"layers\" must hold whole numbers");
    cJSON_Delete(root);
    return status;
}

/* A text with a slash or ".json" in it is the name of a file; no list has either. bound[0] is 0 as the
 * rest is. */
or_status or_plan_parse(const char *text, int n_layers, int n_ranks, or_plan *plan)
{
    if (strcmp(text, "even") == 0) return or_plan_even(n_layers, n_ranks, plan);
    OR_TRY(check_ranks(n_layers, n_ranks));
    *plan = (or_plan){0};
    bool file = strstr(text, ".json") || strchr(text, '/');
    OR_TRY(file ? parse_file(text, n_layers, plan) : parse_list(text, n_layers, plan));
    or_status refusal = file ? OR_ERR_INPUT : OR_ERR_USAGE;
    if (plan->n_stages != n_ranks)
        return or_fail(refusal, "wrong plan", text, "it is for %d ranks, started with %d", plan->n_stages,
                       n_ranks);
    if (plan->bound[plan->n_stages] != n_layers)
        return or_fail(refusal, "wrong plan", text, "its layers add up to %d, the model has %d",
                       plan->bound[plan->n_stages], n_layers);
    return OR_OK;
}

bool or_plan_is_auto(const char *text)
{
    return text && strcmp(text, "auto") == 0;
}

or_status or_plan_format(const or_plan *plan, char **text)
{
    or_buffer out = {0};
    or_status status = OR_OK;
    for (int s = 0; s < plan->n_stages && status == OR_OK; s++)
        status = or_buffer_printf(&out, "%s%d", s ? "," : "", plan->bound[s + 1] - plan->bound[s]);
    if (status == OR_OK) status = or_strdup(out.data, text);
    or_buffer_free(&out);
    return status;
}
