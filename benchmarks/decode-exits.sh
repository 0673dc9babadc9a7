#!/usr/bin/env bash
# Decoding throughput with exits over that without, against the work saved: a model of TinyLlama 1.1B's shape on 2 ranks of
# one thread, 32 sequences at a time, five runs of each in turn, medians. Exits follow the curves of configs/survivors.
# What the work saved would allow is 1 / (1 - saved); at least 0.9 of it is asked for.
#   OFFRAMP=build/offramp benchmarks/decode-exits.sh [DTYPE [TOKENS]]     (bf16, 32)
#
# A stage that every token passes limits the rate, so runs with and without exits have plans of their own (--plan auto),
# and alternate by opening the model anew. PLAN=even keeps one plan for both. OPTIONS: more for bench, as --kernels avx512.
set -euo pipefail
offramp=${OFFRAMP:-offramp}
here=$(dirname "$0")
dtype=${1:-bf16} tokens=${2:-32}
read -ra options <<<"${OPTIONS:-}"

for curve in "$here"/../configs/survivors/22-saves-*.json; do
    mpirun --oversubscribe --bind-to none -n 2 "$offramp" bench --shape "$here/../configs/models/tinyllama-1.1b.json" \
        --dtype "$dtype" -n "$tokens" -b 32 -t 1 -r 5 --survivors "$curve" --plan "${PLAN:-auto}" -o jsonl --quiet \
        "${options[@]}" </dev/null |
        jq -c --arg curve "$(basename "$curve" .json)" '. + {curve: $curve}'
done | jq -rs '
    "| curve | plan | t/s | exits: plan | t/s | predicted | work saved | ratio | 0.9 / (1 - saved) | |",
    "|---|---|---:|---|---:|---:|---:|---:|---:|---|",
    (group_by(.curve)[] | (.[] | select(.exits == null)) as $full | (.[] | select(.exits)) as $exits |
     (0.9 / (1 - $exits.work_saved)) as $asked |
     "| \($full.curve) | \($full.plan | join(",")) | \($full.median | . * 100 | round / 100) | \($exits.plan | join(","))" +
     " | \($exits.median | . * 100 | round / 100) | \($exits.predicted // "" | if . == "" then . else . * 100 | round / 100 end)" +
     " | \($exits.work_saved * 1000 | round / 10) %" +
     " | \($exits.ratio * 1000 | round / 1000) | \($asked * 1000 | round / 1000)" +
     " | \(if $exits.ratio >= $asked then "reached" else "missed" end) |")'
