#!/usr/bin/env bash
# Requests per second of the demo model over its tasks on two ranks of one thread: at full depth and with the demo's
# policy, by the even plan and by --plan auto, in turn, medians. Prompts share nothing (--no-prefix-cache), so that
# what exits save is all that differs. Asked for is 0.95 / (1 - work saved) of full depth by --plan auto.
#   OFFRAMP=build/offramp benchmarks/policy.sh
#
# From the environment, with these defaults:
#   RANKS=2 RUNS=5   SPLIT=test   LIMIT=0 (rows a task; 0: all)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} demo=$here/../configs/demo
ranks=${RANKS:-2} runs=${RUNS:-5} split=${SPLIT:-test} limit=${LIMIT:-0}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tasks=()
for task in "$demo"/tasks/*.json; do tasks+=(--task "$task"); done

# score NAME OPTION...: seconds of all groups, those predicted, and the work saved
score() {
    local folder=$scratch/$1
    rm -rf "$folder"
    mpirun --oversubscribe --bind-to none -n "$ranks" "$offramp" eval --model "$demo/model" "${tasks[@]}" --shots 2 \
        --split "$split" --limit "$limit" --threads 1 --no-prefix-cache --quiet "${@:2}" --output "$folder" </dev/null
    jq -c --arg name "$1" '.groups | {name: $name, n: map(.n) | add,
        seconds: map(.n / .requests_per_second) | add,
        predicted: (if .[0].predicted_requests_per_second then map(.n / .predicted_requests_per_second) | add else null end),
        saved: (1 - (map(.flops_ratio * .prompt_tokens) | add) / (map(.prompt_tokens) | add))}' "$folder/summary.json"
}

policy=(--policy "$demo/policy/svm.json")
for ((run = 0; run < runs; run++)); do
    score full-even
    score full-auto --plan auto
    score svm-even "${policy[@]}"
    score svm-auto --plan auto "${policy[@]}"
done | jq -rs '
    def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def digits($n): . * $n | round / $n;
    . as $all | (map(select(.name == "full-auto").seconds)) as $full |
    "| policy, plan | requests/s | predicted / measured | work saved | over full depth, auto | asked | 1 / (1 - saved) |",
    "|---|---:|---:|---:|---:|---:|---:|",
    (group_by(.name)[] | . as $rows | .[0] as $first |
     "| \($first.name) | \(map(.n / .seconds) | median | digits(1))" +
     " | \(if $first.predicted then map(.seconds / .predicted) | median | digits(1000) else "" end)" +
     " | \($first.saved * 100 | digits(10)) %" +
     " | \([range(length) as $i | $full[$i] / $rows[$i].seconds] | median | digits(1000))" +
     " | \(0.95 / (1 - $first.saved) | digits(1000)) | \(1 / (1 - $first.saved) | digits(1000)) |")'
