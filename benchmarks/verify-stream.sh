#!/usr/bin/env bash
# One sequence at a time over two ranks: tokens per second without exits, and under --kv verify, which gives the same text.
# Ten of the demo's texts, 64 tokens each; five runs of each in turn; medians. The exit policy has its one ramp after layer
# 12, the last one of rank 0 under its plan; without exits both plans are shown.
#   OFFRAMP=build/offramp benchmarks/verify-stream.sh
set -euo pipefail
offramp=${OFFRAMP:-offramp}
demo=$(dirname "$0")/../configs/demo
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$demo/prompts.sh" test 1 >"$scratch/prompts.jsonl"

# rate FILE OPTION...: a run's tokens per second, appended to FILE
rate() {
    local to=$1
    shift
    rm -f "$scratch"/texts*
    mpirun --oversubscribe --bind-to none -n 2 "$offramp" run --model "$demo/model" --input "$scratch/prompts.jsonl" \
        --output "$scratch/texts" --max-tokens 64 --ignore-eos --batch 1 --threads 1 "$@" </dev/null 2>/dev/null |
        awk 'NR == 2 { print $4 }' >>"$scratch/$to"
}
for _ in 1 2 3 4 5; do
    rate even --plan 8,8
    rate uneven --plan 12,4
    rate verify --plan 12,4 --policy "$demo/policy/generation.json" --kv verify
done
# of the runs side by side
paste "$scratch/even" "$scratch/uneven" "$scratch/verify" | awk '{ print $3 / ($1 > $2 ? $1 : $2) }' >"$scratch/ratio"
median() { sort -g "$1" | sed -n 3p; }
echo "| | plan | t/s |"
echo "|---|---|---:|"
echo "| full depth | 8,8 | $(median "$scratch/even") |"
echo "| full depth | 12,4 | $(median "$scratch/uneven") |"
echo "| verify | 12,4 | $(median "$scratch/verify") |"
echo
echo "verify over the faster of the two: $(median "$scratch/ratio")"
