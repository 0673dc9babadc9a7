/* kv_policy.c - the names of what becomes of keys and values in skipped layers. */
#include <offramp/pipeline.h>

#include <string.h>

static const char *const names[OR_KV_POLICIES] = {"deferred", "propagate", "verify"};

const char *or_kv_policy_name(or_kv_policy policy)
{
    return names[policy];
}

int or_kv_policy_find(const char *name)
{
    for (int policy = 0; policy < OR_KV_POLICIES; policy++)
        if (strcmp(names[policy], name) == 0) return policy;
    return -1;
}
