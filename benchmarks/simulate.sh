#!/usr/bin/env bash
# Simulated beside real runs: a model of TinyLlama 1.1B's shape on 1 to 4 ranks of one thread, prompts that are scored
# and continuations, at full depth and with exits. Between the runs it is measured what a layer takes in a process that
# works alone, and how much more slowly in as many as there are cores: they share memory, a clock, or the units of a
# core. Ranks beyond that share the cores. Both are told to the simulation as --cores. Medians; `busy` are the shares of
# the stages' time.
#   OFFRAMP=build/offramp benchmarks/simulate.sh
#
# From the environment, with these defaults:
#   SHAPE=configs/models/tinyllama-1.1b.json    also with dtype and layers: FILE.json,dtype=q8_0
#   RANKS="1 2 3 4" RUNS=3 CORES=2              CORES: of this machine
#   CURVES=configs/survivors/22-saves-*.json    who leaves where
#   LENGTH=32 PROMPTS=64 WAVE=256               tokens of a prompt, prompts of a run, --wave-tokens
#   TOKENS=32 BATCH=32                          tokens of a continuation, continuations at a time
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} shape=${SHAPE:-$here/../configs/models/tinyllama-1.1b.json}
read -ra ranks <<<"${RANKS:-1 2 3 4}"
read -ra curves <<<"${CURVES:-$(echo "$here"/../configs/survivors/22-saves-*.json)}"
runs=${RUNS:-3} cores=${CORES:-2} wave=${WAVE:-256}
length=${LENGTH:-32} prompts=${PROMPTS:-64} tokens=${TOKENS:-32} batch=${BATCH:-32}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# plan RANKS KIND OPTION...
plan() {
    local work=(--length "$length" --requests "$prompts")
    [ "$2" = prompts ] || work=(--length 1 --batch "$batch" --tokens "$tokens" --requests "$batch")
    "$offramp" plan --model "$shape" --ranks "$1" --threads 1 --wave-tokens "$wave" "${work[@]}" "${@:3}"
}

# measure RANKS KIND: $scratch/costs of a rank that works alone, and in $scratch/cores how many cores' worth of work is
# done when as many work as can
measure() {
    local busy=$(($1 < cores ? $1 : cores)) i pids=()
    plan "$1" "$2" --save-costs "$scratch/costs" >"$scratch/plan"
    for ((i = 0; i < busy; i++)); do
        plan "$1" "$2" --save-costs "$scratch/busy.$i" >"$scratch/plan.$i" &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    # by the time of a layer for the most rows; one alone is one, whatever two measurements say
    jq -s 'map(.ranks[0].layer[-1][1]) | .[0] as $alone | .[1:] | if length == 1 then 1 else map($alone / .) | add end' "$scratch/costs" "$scratch"/busy.[0-9] \
        >"$scratch/cores"
    rm "$scratch"/busy.[0-9]
}

# simulate RANKS KIND OPTION...: {rate, busy}
simulate() {
    plan "$1" "$2" --simulate --costs "$scratch/costs" --cores "$(cat "$scratch/cores")" "${@:3}" |
        awk '/^ *seconds/ {getline; rate = $3} /^stage .*busy/ {on = 1; next} on {busy = busy sep $8; sep = ", "}
             END {printf "{\"rate\": %s, \"busy\": [%s]}\n", rate, busy}'
}

# real RANKS KIND CURVE: the same, a line for full depth and one with exits
real() {
    local work=(-p "$length" -b "$prompts")
    [ "$2" = prompts ] || work=(-n "$tokens" -b "$batch")
    mpirun --oversubscribe --bind-to none -n "$1" "$offramp" bench --model "$shape" "${work[@]}" -t 1 -r 1 -o jsonl \
        --plan even --wave-tokens "$wave" --verbose --survivors "$3" </dev/null 2>"$scratch/verbose" >"$scratch/rows"
    # busy of the stages of the first run, then of those of the second
    sed -n 's/.*, stage [0-9]*, .*: busy \([0-9.]*\) s .* of \([0-9.]*\) s;.*/\1 \2/p' "$scratch/verbose" |
        awk '{print 100 * $1 / $2}' | jq -s --argjson n "$1" '[.[:$n], .[$n:]]' >"$scratch/busy"
    jq -sc --slurpfile busy "$scratch/busy" 'to_entries[] | {rate: .value.tokens_per_second, busy: $busy[0][.key]}' \
        "$scratch/rows"
}

# row KIND RANKS EXITS SIMULATED REAL
row() {
    echo "{\"cores\": $(cat "$scratch/cores"), \"kind\": \"$1\", \"ranks\": $2, \"exits\": \"$3\", \"simulated\": $4, \"real\": $5}"
}

for ((run = 0; run < runs; run++)); do
    for n in "${ranks[@]}"; do
        for kind in prompts continuations; do
            for curve in "${curves[@]}"; do
                measure "$n" "$kind"
                real "$n" "$kind" "$curve" >"$scratch/real"
                full=$(simulate "$n" "$kind")
                exits=$(simulate "$n" "$kind" --survivors "$curve")
                row "$kind" "$n" none "$full" "$(sed -n 1p "$scratch/real")"
                row "$kind" "$n" "$(basename "$curve" .json)" "$exits" "$(sed -n 2p "$scratch/real")"
            done
        done
    done
done | tee "${LOG:-$scratch/log}" | jq -rs '
    def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
    def digits($n): . * $n | round / $n;
    def busy: map(.busy) | transpose | map(median | round | tostring) | join(" ");
    "| | ranks | exits | tokens/s | simulated | simulated / real | busy %, by stage | simulated |",
    "|---|---:|---|---:|---:|---:|---|---|",
    (group_by([.kind, .ranks, .exits])[] |
     "| \(.[0].kind) | \(.[0].ranks) | \(.[0].exits) | \(map(.real.rate) | median | digits(10))" +
     " | \(map(.simulated.rate) | median | digits(10)) | \(map(.simulated.rate / .real.rate) | median | digits(1000))" +
     " | \(map(.real) | busy) | \(map(.simulated) | busy) |")'
