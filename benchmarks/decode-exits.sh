#!/usr/bin/env bash
# Decoding throughput with exits over that without, against the work saved: a model of TinyLlama 1.1B's shape on 2 ranks of
# one thread, 32 sequences at a time, five runs of each in turn, medians. Exits follow the curves of configs/survivors.
# What the work saved would allow is 1 / (1 - saved); at least 0.9 of it is asked for.
#   OFFRAMP=build/offramp benchmarks/decode-exits.sh [DTYPE [TOKENS]]     (bf16, 32)
#
# A stage that every token passes limits the rate, so a run with exits has a plan of its own, in which both ranks have as
# much to do by the curve. Runs then alternate by opening the model anew. SAME_PLAN=1 keeps the plan of the run without.
set -euo pipefail
offramp=${OFFRAMP:-offramp}
here=$(dirname "$0")
dtype=${1:-bf16} tokens=${2:-32}

# balance CURVE: the plan, of two ranks, whose slower one is the fastest. A wave has the rows of half the batch. A layer takes
# as long as its rows, but no less than 4 do, which is reading its weights (measured: bf16, one core with AVX-512); the output
# projection counts as 1.5 layers, on each rank where tokens leave.
balance() {
    jq -r '. as $s | (length - 1) as $n | def time($share): [4, 16 * $share] | max;
        def head($share): if $share > 0 then 1.5 * time($share) else 0 end;
        [range(1; $n) as $k | {
            plan: "\($k),\($n - $k)",
            most: ([([$s[:$k][] | time(.)] | add) + head(1 - $s[$k]), ([$s[$k:$n][] | time(.)] | add) + head($s[$k])] | max)
        }] | min_by(.most).plan' "$1"
}

full=$(jq -n '[range(22) | 1] + [0]' | balance /dev/stdin)
for curve in "$here"/../configs/survivors/22-saves-*.json; do
    plans=(--plan "$full")
    [ -n "${SAME_PLAN:-}" ] || plans+=(--exit-plan "$(balance "$curve")")
    mpirun --oversubscribe --bind-to none -n 2 "$offramp" bench --shape "$here/../configs/models/tinyllama-1.1b.json" \
        --dtype "$dtype" -n "$tokens" -b 32 -t 1 -r 5 --survivors "$curve" "${plans[@]}" -o jsonl --quiet </dev/null |
        jq -c --arg curve "$(basename "$curve" .json)" '. + {curve: $curve}'
done | jq -rs '
    "| curve | plan | t/s | exits: plan | t/s | work saved | ratio | 0.9 / (1 - saved) | |", "|---|---|---:|---|---:|---:|---:|---:|---|",
    (group_by(.curve)[] | (.[] | select(.exits == null)) as $full | (.[] | select(.exits)) as $exits |
     (0.9 / (1 - $exits.work_saved)) as $asked |
     "| \($full.curve) | \($full.plan | join(",")) | \($full.median | . * 100 | round / 100) | \($exits.plan | join(","))" +
     " | \($exits.median | . * 100 | round / 100) | \($exits.work_saved * 1000 | round / 10) %" +
     " | \($exits.ratio * 1000 | round / 1000) | \($asked * 1000 | round / 1000)" +
     " | \(if $exits.ratio >= $asked then "reached" else "missed" end) |")'
