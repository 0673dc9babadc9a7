#!/usr/bin/env bash
# What two ranks are worth, and what exits are: prompts that are scored on a model of TinyLlama 1.1B's shape, in one run,
# interleaved, medians. The last column of the first table is asked for: 2 ranks x 1 thread at least 0.95 of 1 rank x 2
# threads, and 1.9 of 1 x 1; that of the second: with exits 0.95 / (1 - work saved) of the run without, by --plan auto.
#   OFFRAMP=build/offramp benchmarks/throughput.sh
#
# From the environment, with these defaults:
#   SHAPE=configs/models/tinyllama-1.1b.json   also with dtype and layers: FILE.json,dtype=q8_0
#   LENGTH=100 PROMPTS=400 RUNS=5              tokens of a prompt, prompts of a run, runs
#   CURVES=configs/survivors/22-saves-*.json   who leaves where
#   OPTIONS=""                                 more for bench, as --kernels avx512
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} shape=${SHAPE:-$here/../configs/models/tinyllama-1.1b.json}
length=${LENGTH:-100} prompts=${PROMPTS:-400} runs=${RUNS:-5}
read -ra options <<<"${OPTIONS:-}"
read -ra curves <<<"${CURVES:-$(echo "$here"/../configs/survivors/22-saves-*.json)}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# score RANKS THREADS OPTION...: rows of bench
score() {
    mpirun --oversubscribe --bind-to none -n "$1" "$offramp" bench --model "$shape" -p "$length" -b "$prompts" -t "$2" \
        -o jsonl --quiet "${@:3}" "${options[@]}" </dev/null
}

for ((run = 0; run < runs; run++)); do
    score 1 1 -r 1 | jq -c '{who: "1x1", rate: .prompts_per_second}'
    score 1 2 -r 1 | jq -c '{who: "1x2", rate: .prompts_per_second}'
    score 2 1 -r 1 | jq -c '{who: "2x1", rate: .prompts_per_second}'
done >"$scratch/ranks"
jq -rs '
    def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def rates($who): map(select(.who == $who).rate);
    def over($a; $b): [rates($a), rates($b)] | transpose | map(.[0] / .[1]) | median | . * 1000 | round / 1000;
    "| ranks x threads | prompts/s | 2 x 1 over it |", "|---|---:|---:|",
    ("1x1", "1x2", "2x1") as $who | "| \($who) | \(rates($who) | median | . * 100 | round / 100) | \(over("2x1"; $who)) |"' \
    "$scratch/ranks"
echo
for curve in "${curves[@]}"; do
    for plan in even auto; do
        score 2 1 -r "$runs" --survivors "$curve" --plan "$plan" |
            jq -c --arg curve "$(basename "$curve" .json)" --arg plan "$plan" '. + {curve: $curve, how: $plan}'
    done
done | jq -rs '
    def digits($n): . * $n | round / $n;
    "| curve | --plan | layers | prompts/s | predicted / measured | layers with exits | prompts/s | predicted / measured | work saved | ratio | predicted | asked |",
    "|---|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    (group_by([.curve, .how])[] | (.[] | select(.exits == null)) as $full | (.[] | select(.exits)) as $exits |
     ($full.plan | map(tostring) | join(",")) as $even | ($exits.plan | map(tostring) | join(",")) as $own |
     def said: if .predicted then .predicted / .tokens_per_second | digits(1000) else "" end;
     "| \($full.curve) | \($full.how) | \($even) | \($full.prompts_per_second | digits(100)) | \($full | said) | \($own)" +
     " | \($exits.prompts_per_second | digits(100)) | \($exits | said)" +
     " | \($exits.work_saved * 100 | digits(10)) % | \($exits.ratio | digits(1000))" +
     " | \(if $exits.predicted then $exits.predicted / $full.predicted | digits(1000) else "" end)" +
     " | \(0.95 / (1 - $exits.work_saved) | digits(1000)) |")'
