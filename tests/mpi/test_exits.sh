#!/usr/bin/env bash
# With a policy, requests that exit on a stage are never seen by the next one, on 1, 3 and 4 ranks: the counts
# of summary.json add up, and agree with the exit layers in results.jsonl.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

check() {
    local ranks=$1 folder=$scratch/$1
    shift
    on "$ranks" eval --config "$demo/job.json" --limit "$ROWS" --threads 1 --output "$folder" --quiet "$@" ||
        fail "$ranks ranks: code $?"
    jq -e --argjson ranks "$ranks" '
        [.groups[] | (.n as $n | .stages as $s | .survivors as $alive |
            ($s | length) == $ranks
            and $s[0].requests_in == $n and $s[-1].requests_out == 0
            and all($s[]; .requests_in == .exits + .requests_out)
            and all(range(1; $ranks); $s[.].requests_in == $s[. - 1].requests_out)
            and ([$s[].exits] | add) == $n
            and all($s[]; .requests_in == $alive[.layers[0] - 1] and .requests_out == $alive[.layers[1]]))] | all' \
        "$folder/summary.json" >/dev/null || fail "$ranks ranks: the stages' counts do not add up"
    jq -e -s '[.[0].groups[] as $g | [.[1:][] | select(.task == $g.task and .policy == $g.policy)] as $r
            | ($r | length) == $g.n
            and (([$r[].exit_layer] | add / length) - $g.exit_layer_mean | fabs) < 1e-9
            and all($g.stages[]; . as $s | .exits == ([$r[] | select(.exit_layer >= $s.layers[0]
                                                                 and .exit_layer <= $s.layers[1])] | length))] | all' \
        "$folder/summary.json" "$folder/results.jsonl" >/dev/null || fail "$ranks ranks: results and counts differ"
    jq -e '[.groups[] | select(.policy != "full")] | any(.layers_saved > 0.05)' "$folder/summary.json" >/dev/null ||
        fail "no request left early"
    jq -e '[.groups[] | select(.policy == "full")] | all(.layers_saved == 0 and .flops_ratio == 1)' \
        "$folder/summary.json" >/dev/null || fail "full depth saves layers"
}

check 1
check 3
check 4 --plan 2,3,4,7
