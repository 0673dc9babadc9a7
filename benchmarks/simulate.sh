#!/usr/bin/env bash
# Simulated beside real runs: a model of TinyLlama 1.1B's shape on 1 to 4 ranks of one thread, prompts that are scored
# and continuations, at full depth and with exits. What a layer takes is measured between the runs, by as many processes
# at a time as there are cores (RANKS, where they are fewer); ranks beyond that share the cores, which the simulation is
# told (--cores). Medians; `busy` are the shares of the stages' time.
#   OFFRAMP=build/offramp benchmarks/simulate.sh
#
# From the environment, with these defaults:
#   SHAPE=configs/models/tinyllama-1.1b.json   also with dtype and layers: FILE.json,dtype=q8_0
#   RANKS="1 2 3 4" RUNS=3 CORES=2             CORES: of this machine
#   CURVES=configs/survivors/22-saves-*.json   who leaves where
#   LENGTH=100 PROMPTS=100                     tokens of a prompt, prompts of a run
#   TOKENS=32 BATCH=32                         tokens of a continuation, continuations at a time
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} shape=${SHAPE:-$here/../configs/models/tinyllama-1.1b.json}
read -ra ranks <<<"${RANKS:-1 2 3 4}"
read -ra curves <<<"${CURVES:-$(echo "$here"/../configs/survivors/22-saves-*.json)}"
runs=${RUNS:-3} cores=${CORES:-2} length=${LENGTH:-100} prompts=${PROMPTS:-100} tokens=${TOKENS:-32} batch=${BATCH:-32}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# plan RANKS KIND OPTION...
plan() {
    local work=(--length "$length" --requests "$prompts")
    [ "$2" = prompts ] || work=(--length 1 --batch "$batch" --tokens "$tokens" --requests "$batch")
    "$offramp" plan --model "$shape" --ranks "$1" --threads 1 "${work[@]}" "${@:3}"
}

# measure RANKS KIND: $scratch/costs, as of so many ranks that all work
measure() {
    local busy=$(($1 < cores ? $1 : cores)) i pids=()
    for ((i = 0; i < busy; i++)); do
        plan "$1" "$2" --save-costs "$scratch/cost.$i" >"$scratch/plan.$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    jq -n --argjson ranks "$1" '[inputs.ranks[0]] as $own | {ranks: [range($ranks) | $own[. % ($own | length)]]}' \
        "$scratch"/cost.[0-9] >"$scratch/costs"
    rm "$scratch"/cost.[0-9]
}

# simulate RANKS KIND CURVE: {rate, busy}; CURVE "": full depth
simulate() {
    local exits=()
    [ -z "$3" ] || exits=(--survivors "$3")
    plan "$1" "$2" --simulate --costs "$scratch/costs" --cores "$cores" "${exits[@]}" |
        awk '/^ *seconds/ {getline; rate = $3} /^stage .*busy/ {on = 1; next} on {busy = busy sep $8; sep = ", "}
             END {printf "{\"rate\": %s, \"busy\": [%s]}\n", rate, busy}'
}

# real RANKS KIND CURVE: the same of a run without, and with CURVE one with exits
real() {
    local work=(-p "$length" -b "$prompts") exits=()
    [ "$2" = prompts ] || work=(-n "$tokens" -b "$batch")
    [ -z "$3" ] || exits=(--survivors "$3")
    mpirun --oversubscribe --bind-to none -n "$1" "$offramp" bench --model "$shape" "${work[@]}" -t 1 -r 1 -o jsonl \
        --plan even --verbose "${exits[@]}" </dev/null 2>"$scratch/verbose" >"$scratch/rows"
    # the stages of the last run
    sed -n 's/.*, stage [0-9]*, .*: busy \([0-9.]*\) s .* of \([0-9.]*\) s;.*/\1 \2/p' "$scratch/verbose" | tail -n "$1" |
        awk '{busy = busy sep 100 * $1 / $2; sep = ", "} END {printf "[%s]\n", busy}' >"$scratch/busy"
    jq -sc --slurpfile busy "$scratch/busy" '.[-1] | {rate: .tokens_per_second, busy: $busy[0]}' "$scratch/rows"
}

for ((run = 0; run < runs; run++)); do
    for kind in prompts continuations; do
        for n in "${ranks[@]}"; do
            for curve in "" "${curves[@]}"; do
                measure "$n" "$kind"
                echo "{\"kind\": \"$kind\", \"ranks\": $n, \"curve\": \"$(basename "$curve" .json)\"," \
                    "\"simulated\": $(simulate "$n" "$kind" "$curve"), \"real\": $(real "$n" "$kind" "$curve")}"
            done
        done
    done
done | tee "${LOG:-$scratch/log}" | jq -rs '
    def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def digits($n): . * $n | round / $n;
    def busy: map(.busy) | transpose | map(median | round | tostring) | join(" ");
    "| | ranks | exits | tokens/s | simulated | simulated / real | busy %, by stage | simulated |",
    "|---|---:|---|---:|---:|---:|---|---|",
    (group_by([.kind, .ranks, .curve])[] | .[0] as $first |
     "| \($first.kind) | \($first.ranks) | \(if $first.curve == "" then "none" else $first.curve end)" +
     " | \(map(.real.rate) | median | digits(10)) | \(map(.simulated.rate) | median | digits(10))" +
     " | \(map(.simulated.rate / .real.rate) | median | digits(1000)) | \(map(.real) | busy) | \(map(.simulated) | busy) |")'
