#!/usr/bin/env bash
# Makes the demo's exit policy for generated text, by the project's own commands: 150 texts of 64 tokens at full depth behind
# prompts of the training rows; a task whose rows ask for the next token at every third position of them; its trace; and an
# SVM calibrated to agree with full depth at so many positions. Writes configs/demo/policy/generation.json (or into FOLDER).
#   OFFRAMP=build/offramp configs/demo/train-generation.sh [FOLDER [AGREEMENT]]     (0.95)
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp}
output=${1:-$demo/policy} agreement=${2:-0.95}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$demo/prompts.sh" train 15 >"$scratch/prompts.jsonl"
"$offramp" run --kernels reference --model "$demo/model" --input "$scratch/prompts.jsonl" --output "$scratch/texts.jsonl" --max-tokens 64 \
    --ignore-eos --quiet

# A row's input is the text up to a position and its output the rest, so that the trace's prompt ends between the same two
# tokens. Where a position lies within a character there is no such text.
jq -c .prompt "$scratch/prompts.jsonl" | "$offramp" tokenize --model "$demo/model" --bos >"$scratch/prompts.ids"
jq -nc --slurpfile prompts "$scratch/prompts.ids" --slurpfile texts "$scratch/texts.jsonl" '
    range($texts | length) as $i | ($prompts[$i] + $texts[$i].tokens) as $all | ($prompts[$i] | length) as $n |
    range(0; 64; 3) | $all[:$n + .], $all' |
    "$offramp" tokenize --model "$demo/model" --decode |
    jq -nc '[inputs] | range(0; length; 2) as $i | .[$i] as $part | .[$i + 1] |
        select(startswith($part) and . != $part) | {input: $part, output: .[($part | length):]}' >"$scratch/rows.jsonl"
jq -n '{name: "generation", format: "jsonl", test: "rows.jsonl", input: "input", output: "output",
    prompt: "{input}", answer: "{output}", separator: "\n", metric: "first_token"}' >"$scratch/task.json"

mkdir -p "$output"
"$offramp" trace --kernels reference --model "$demo/model" --task "$scratch/task.json" --output "$scratch/trace.csv" --quiet
"$offramp" train --trace "$scratch/trace.csv" --classifier svm --features gap,top_prob,layer,stable --for generation \
    --target-agreement "$agreement" --output "$output/generation.json"
