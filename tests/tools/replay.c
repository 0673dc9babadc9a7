/* replay.c - what a policy does to the requests of a trace, for comparing it with a real run:
 *
 *   replay POLICY TRACE
 *
 * A line per instance, in the order of the trace: {"task":"sst2","index":17,"token":6374,"exit_layer":9}
 */
#include <offramp/offramp.h>

#include <stdio.h>

#include "tool.h"

int main(int argc, char **argv)
{
    or_policy *policy;
    or_trace trace = {0};
    if (argc != 3) die("expected: replay POLICY TRACE");
    if (or_policy_load(argv[1], &policy) != OR_OK || or_trace_read(argv[2], &trace) != OR_OK ||
        or_policy_check(policy, trace.meta.n_layers, trace.meta.fingerprint, true) != OR_OK)
        die(or_status_message());
    for (size_t i = 0; i < trace.count; i++) {
        const or_trace_item *item = &trace.items[i];
        int32_t token;
        const int exit = or_policy_replay(policy, item, trace.meta.n_layers, &token);
        printf("{\"task\":\"%s\",\"index\":%lld,\"token\":%d,\"exit_layer\":%d}\n", item->task,
               (long long)item->index, token, exit);
    }
    or_trace_free(&trace);
    or_policy_free(policy);
    return 0;
}
