#!/usr/bin/env bash
# The most memory that each rank's process came to have, beside the bytes of the weights that it holds: its layers, the output
# projection, and on rank 0 the embedding. A shape's weights are in memory; of a model's file its mapped pages count.
#   OFFRAMP=build/offramp benchmarks/memory.sh [MODEL [RANKS]]     (configs/models/tinyllama-1.1b.json, "1 2")
#
# From the environment: TYPES="bf16 q8_0 q4_0 q4_k", of a shape's weights (of a file "" means its own), and what is run,
# OPTIONS="-p 512 -n 8 -b 4". --wave-tokens and kept keys and values are in the peak, and so is packing, if it makes copies.
set -euo pipefail
offramp=${OFFRAMP:-offramp}
here=$(dirname "$0")
model=${1:-$here/../configs/models/tinyllama-1.1b.json}
read -ra options <<<"${OPTIONS:--p 512 -n 8 -b 4}"
types=${TYPES-bf16 q8_0 q4_0 q4_k}

# peaks RANKS PATH: rows of the table, from the last line, in which a rank's peak is that of the whole run
peaks() {
    local run=("$offramp")
    [ "$1" -eq 1 ] || run=(mpirun --oversubscribe --bind-to none -n "$1" "$offramp")
    "${run[@]}" bench --model "$2" -t 1 -r 1 "${options[@]}" -o jsonl --quiet </dev/null | tail -n 1 |
        jq -r --argjson inspected "$("$offramp" inspect "$2" --json | jq 'del(.tensors)')" '
        def mib: . / 1048576 * 10 | round / 10;
        . as $row | $inspected as $m | ([$m.head_bytes, $m.embedding_bytes] | max) as $tied |
        range(.ranks) as $rank | ($row.plan[:$rank] | add // 0) as $first |
        (if $m.share_layers then $first + 1 else $first + $row.plan[$rank] end) as $last |
        (if $m.tied_head then $tied else $m.head_bytes + (if $rank == 0 then $m.embedding_bytes else 0 end) end
         + ($m.layer_bytes[$first:$last] | add)) as $weights |
        "| \($row.type) | \($row.ranks) | \($rank) | \($weights | mib) | \($row.peaks[$rank] | mib)" +
        " | \($row.peaks[$rank] / $weights * 1000 | round / 1000) |"'
}

echo "| type | ranks | rank | weights MiB | peak MiB | ratio |"
echo "|---|---:|---:|---:|---:|---:|"
for ranks in ${2:-1 2}; do
    [ -n "$types" ] || peaks "$ranks" "$model"
    for type in $types; do peaks "$ranks" "$model,dtype=$type"; done
done
