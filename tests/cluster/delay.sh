#!/usr/bin/env bash
# delay.sh [MS] - what a delay of MS milliseconds (50) between hosts costs: scores the demo's instances on two hosts without and with it,
# in turns, REPEATS (3) times each, and prints instances per second and their ratio. Requests in flight hide the delay:
# more of them, with --wave-tokens or rows (LIMIT), hide more.
# shellcheck source-path=SCRIPTDIR source=support.sh
. "$(dirname "$0")/support.sh"
delay=${1:-50}

"$cluster/hosts.sh" up 2 || fail "the hosts do not come up"
args=(eval --config "$demo/job.json" --limit "${LIMIT:-0}" --threads 1 --quiet)
rate() { # NAME: instances per second while groups run, without start and loading
    launch_on_hosts 2 "${args[@]}" --output "$scratch/$1" </dev/null || fail "$1: code $?"
    jq '[.groups[].n] as $n | [.groups[] | .n / .requests_per_second] | ($n | add) / add' "$scratch/$1/summary.json"
}
for ((k = 1; k <= ${REPEATS:-3}; k++)); do
    "$cluster/net.sh" wan off
    near=$(rate "near$k")
    "$cluster/net.sh" wan "$delay" || fail "no delay"
    far=$(rate "far$k")
    same "$scratch/near1/results.jsonl" "$scratch/far$k/results.jsonl"
    jq -nr --argjson near "$near" --argjson far "$far" --arg ms "$delay" \
        '"\($near | round) instances/s, with \($ms) ms between the hosts \($far | round): \($far / $near * 100 | round) %"'
done
