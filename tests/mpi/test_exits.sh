#!/usr/bin/env bash
# With a policy, requests that exit on a stage are never seen by the next one, on 1, 3 and 4 ranks: the counts
# of summary.json add up, and agree with the exit layers in results.jsonl. The same of offramp run's tokens, where a
# later stage sees only what goes deeper.
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

# ---- continuations ----
# continue_all RANKS POLICY ARGS...: its table of stages, "stage layers in exits out" a line, in $scratch/stages
continue_all() {
    local ranks=$1 policy=$2
    shift 2
    rm -f "$scratch"/tokens*
    on "$ranks" run --model "$demo/model" --allow-other-model --policy "$policy" --input "$scratch/in.jsonl" --output \
        "$scratch/tokens" --threads 1 --max-tokens 6 "$@" >"$scratch/said" || fail "run, $ranks ranks: code $?"
    awk '$2 ~ /^[0-9]+\.\.[0-9]+$/ { print $1, $2, $3, $4, $5 }' "$scratch/said" >"$scratch/stages"
    [ "$(wc -l <"$scratch/stages")" -eq "$ranks" ] || { cat "$scratch/said"; fail "no table of $ranks stages"; }
}

# Prompts without a common beginning, each in one piece: a token is one rider of as many stages as it needs.
jq -cn 'range(20) | {id: ., tokens: [range(.; . + 12) | . * 37 % 3000 + 300]}' >"$scratch/in.jsonl"
gap_policy "$scratch/bad.json" 16 0 '[2, 8]'
gap_policy "$scratch/border.json" 16 0 '[8]'
gap_policy "$scratch/middling.json" 16 0.05 '[2, 4, 6, 8, 10, 12, 14]'
for policy in bad border; do
    for kv in deferred propagate; do
        continue_all 2 "$scratch/$policy.json" --kv "$kv" --ignore-eos
        # under propagate a prompt's tokens before the last one are run to the full depth by themselves
        deep=0
        [ "$kv" = deferred ] || deep=20
        printf '0 1..8 %d 120 %d\n1 9..16 %d %d 0\n' $((120 + deep)) "$deep" "$deep" "$deep" |
            cmp - "$scratch/stages" || { cat "$scratch/said"; fail "$policy, $kv: stage 1 saw what has left"; }
    done
done
for ranks in 2 4; do
    continue_all "$ranks" "$scratch/middling.json"
    while read -r stage layers came left went; do
        [ "$came" -eq $((left + went)) ] || fail "stage $stage: $came came, $left left and $went went on"
        jq -es --argjson first "${layers%..*}" --argjson last "${layers#*..}" --argjson left "$left" \
            '[.[].exit_layers[] | select(. >= $first and . <= $last)] | length == $left' "$scratch/tokens" >/dev/null ||
            { cat "$scratch/said"; fail "stage $stage of $ranks: its exits are not those of the results"; }
    done <"$scratch/stages"
done
jq -es '[.[].exit_layers[]] | any(. <= 8) and any(. > 8)' "$scratch/tokens" >/dev/null || fail "all tokens left in one half"
