#!/usr/bin/env bash
# delay.sh [MS] - what a delay of MS milliseconds (50) between hosts costs a job with requests enough: PROMPTS (20000) prompts of
# 64 tokens on four hosts with and without it, in turns, REPEATS (5) times each; prints tokens per second and their ratio.
# Without means by the same switch (wan.c), whose own work is no cost of the delay. To fill and to drain the pipeline takes
# some 0.6 s at 50 ms, once a run: a task is a run by itself.
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"
delay=${1:-50}

"$cluster/hosts.sh" up 4 || fail "the hosts do not come up"
rate() { # tokens per second of a run, after one that is not counted
    launch_on_hosts 4 bench --model "$demo/model" -p 64 -b "${PROMPTS:-20000}" -r 1 -t 1 -o jsonl </dev/null 2>"$scratch/err" >"$scratch/row" ||
        { cat "$scratch/err" >&2; fail "code $?"; }
    jq .tokens_per_second "$scratch/row"
}
for ((k = 1; k <= ${REPEATS:-5}; k++)); do
    "$cluster/net.sh" wan 0 || fail "no switch"
    near=$(rate) || exit 1
    "$cluster/net.sh" wan "$delay" || fail "no delay"
    far=$(rate) || exit 1
    jq -n "$far / $near" >>"$scratch/ratios"
    jq -nr --argjson near "$near" --argjson far "$far" --arg ms "$delay" \
        '"\($near | round) tokens/s, with \($ms) ms between the hosts \($far | round): \($far / $near * 100 | round) %"'
done
printf 'median ratio: %.3f\n' "$(sort -n "$scratch/ratios" | sed -n "$(((k) / 2))p")"
