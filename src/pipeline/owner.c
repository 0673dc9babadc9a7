/* owner.c - see owner.h. */
#include "owner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void or_owner_self(or_owner *owner)
{
    const char *job = getenv("SLURM_JOB_ID"), *restart = getenv("SLURM_RESTART_COUNT");
    *owner = (or_owner){.pid = getpid(), .restart = restart ? atoll(restart) : 0};
    if (gethostname(owner->host, sizeof owner->host - 1) != 0) strcpy(owner->host, "?");
    if (job) snprintf(owner->job, sizeof owner->job, "%s", job);
}

or_status or_owner_put(or_buffer *out, const or_owner *owner)
{
    OR_TRY(or_buffer_puts(out, "{\"host\":"));
    OR_TRY(or_json_put_string(out, owner->host));
    OR_TRY(or_buffer_printf(out, ",\"pid\":%" PRId64 ",\"job\":", owner->pid));
    OR_TRY(or_json_put_string(out, owner->job));
    return or_buffer_printf(out, ",\"restart\":%" PRId64 "}", owner->restart);
}

static void read_text(const cJSON *json, const char *name, char *text, size_t size)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    snprintf(text, size, "%s", cJSON_IsString(item) ? item->valuestring : "");
}

static int64_t read_number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 9e15
               ? (int64_t)item->valuedouble
               : 0;
}

/* What is not there decides nothing: such an owner has no successor. */
void or_owner_read(const cJSON *head, or_owner *owner)
{
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(head, "owner");
    *owner = (or_owner){0};
    if (!cJSON_IsObject(json)) return;
    read_text(json, "host", owner->host, sizeof owner->host);
    read_text(json, "job", owner->job, sizeof owner->job);
    owner->pid = read_number(json, "pid");
    owner->restart = read_number(json, "restart");
}

bool or_owner_succeeds(const or_owner *next, const or_owner *owner)
{
    return owner->job[0] != '\0' && strcmp(next->job, owner->job) == 0 && next->restart > owner->restart;
}
