#!/usr/bin/env bash
# Requests per second of the demo model on SST-2's dev sentences behind 0, 5 and 20 demonstrations, with and without the
# prefix cache, at full depth and with the demo's policy: five runs of each in turn, medians; the answers are compared.
#   OFFRAMP=build/offramp benchmarks/prefix.sh DIR [ROWS]     (DIR: see configs/tasks/README.md; 200)
set -euo pipefail
offramp=${OFFRAMP:-offramp} data=$1 rows=${2:-200}
configs=$(cd "$(dirname "${BASH_SOURCE[0]}")/../configs" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
machines=("1 2" "2 1") # ranks, threads of each

for round in 1 2 3 4 5; do
    for machine in "${machines[@]}"; do
        read -r ranks threads <<<"$machine"
        for cache in no-prefix-cache prefix-cache; do
            more=()
            [ "$cache" = prefix-cache ] || more=(--no-prefix-cache)
            folder=$scratch/$round-$ranks-$cache
            mpirun --oversubscribe --bind-to none -n "$ranks" "$offramp" eval --model "$configs/demo/model" --data "$data" \
                --task "$configs/tasks/sst2.json" --shots 0,5,20 --policy "$configs/demo/policy/svm.json" --dense \
                --limit "$rows" --threads "$threads" --quiet "${more[@]}" --output "$folder" </dev/null
            cmp "$folder/results.jsonl" "$scratch/1-1-no-prefix-cache/results.jsonl"
            jq -c --arg machine "$ranks x $threads" --arg cache "$cache" \
                '.groups[] | {machine: $machine, cache: $cache, shots, policy, rate: .requests_per_second,
                    tokens: .prompt_tokens, shared: .prompt_tokens_shared}' "$folder/summary.json"
        done
    done
done | jq -rs '
    def median: sort | .[length / 2 | floor];
    "| ranks x threads | shots | policy | tokens a prompt | of them shared | requests/s without | with | ratio (median) |",
    "|---|---:|---|---:|---:|---:|---:|---:|",
    (group_by([.machine, .shots, .policy])[] |
     [.[] | select(.cache == "prefix-cache")] as $with | [.[] | select(.cache != "prefix-cache")] as $without |
     "| \(.[0].machine) | \(.[0].shots) | \(.[0].policy) | \($with[0].tokens / '"$rows"' | round)" +
     " | \(1000 * $with[0].shared / $with[0].tokens | round / 10) %" +
     " | \([$without[].rate] | median | round) | \([$with[].rate] | median | round)" +
     " | \([range($with | length) as $i | $with[$i].rate / $without[$i].rate] | median * 100 | round / 100) |")'
