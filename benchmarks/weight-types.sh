#!/usr/bin/env bash
# What a weight type costs: for every type, how often the demo model's next token is that of its bf16 weights, over the
# demo tasks, with its accuracy and its size. Prints the table of docs/weight-types.md. The demo's rows are too short
# for blocks of 256, so the model is filled up with zeros first (tests/tools/widen_model.c): same answers.
#
#   benchmarks/weight-types.sh [BUILD]        BUILD: the build folder with tests (build)
#
# KERNELS=avx512 takes that set instead of the first that is usable (which may round activations, too).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
offramp=$build/offramp demo=$root/configs/demo

mkdir "$work/wide"
cp "$demo"/model/tokenizer* "$work/wide"
"$build/tests/widen_model" "$demo/model" "$work/wide"

tasks=()
for task in "$demo"/tasks/*.json; do tasks+=(--task "$task"); done

# run NAME MODEL: all demo tasks at full depth
run() {
    "$offramp" eval --model "$2" "${tasks[@]}" --shots 2 --quiet --output "$work/$1" ${KERNELS:+--kernels "$KERNELS"}
}

run bf16-as-shipped "$demo/model"
run f32 "$work/wide"
echo "| type | bits a weight | next token as bf16 | accuracy |"
echo "|---|---|---|---|"
for type in bf16 f16 q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 q3_k q2_k; do
    "$offramp" quantize "$work/wide" "$work/model.gguf" --type "$type" --quiet
    run "$type" "$work/model.gguf"
    bits=$("$offramp" inspect "$work/model.gguf" --json |
        jq '[.tensors[] | select(.shape | length == 2)] | (map(.bytes) | add) * 8 / (map(.shape[0] * .shape[1]) | add)')
    jq -rn --arg type "$type" --argjson bits "$bits" --slurpfile was "$work/bf16-as-shipped/results.jsonl" \
        --slurpfile is "$work/$type/results.jsonl" '
        ($is | length) as $n | ([range($n) | select($is[.].token == $was[.].token)] | length) as $same
        | ([$is[] | select(.correct)] | length) as $right
        | "| \($type) | \($bits * 100 | round / 100) | \($same * 10000 / $n | round / 100) % | \($right * 10000 / $n | round / 100) % |"'
done
cmp -s <(jq -c '[.index, .token]' "$work/f32/results.jsonl") <(jq -c '[.index, .token]' "$work/bf16-as-shipped/results.jsonl") &&
    echo "(filled up, in f32: the same tokens as the model as shipped)"
