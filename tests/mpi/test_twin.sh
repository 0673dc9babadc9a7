#!/usr/bin/env bash
# A sharded folder of 80 layers and its GGUF twin give byte-identical results.jsonl, in f32 and in bf16, at 1, 3 and
# 5 ranks; so do they with a policy.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# run NAME RANKS MODEL ARGS...
run() {
    local name=$1 ranks=$2 model=$3
    shift 3
    on "$ranks" eval --model "$model" --task "$demo/tasks/word_length.json" --task "$demo/tasks/next_item.json" \
        --shots 2 --limit "$ROWS" --threads 1 --quiet --output "$scratch/$name" "$@" || fail "$name: code $?"
}

for type in F32 BF16; do
    small=${type,,}
    folder=$scratch/$small
    twin=$scratch/$small.gguf
    synthetic "$folder" 80 64 128 4 2 4096 15 "$type"
    [ "$(find "$folder" -name '*.safetensors' | wc -l)" -eq 15 ] || fail "expected 15 shards"
    on 0 quantize "$folder" "$twin" --type "$small" --quiet || fail "quantize: code $?"
    run "$small-folder" 3 "$folder"
    run "$small-twin" 1 "$twin"
    same "$scratch/$small-folder/results.jsonl" "$scratch/$small-twin/results.jsonl"
    run "$small-twin5" 5 "$twin" --plan 1,30,19,29,1 --wave-tokens 64
    same "$scratch/$small-folder/results.jsonl" "$scratch/$small-twin5/results.jsonl"
done

# A policy that lets many leave early: the gap itself, trained to agree half of the time.
on 1 trace --model "$scratch/f32" --task "$demo/tasks/word_length.json" --shots 2 --limit 60 --threads 1 --quiet \
    --output "$scratch/trace.csv" || fail "trace: code $?"
on 0 train --trace "$scratch/trace.csv" --classifier gap --target 0.5 --output "$scratch/gap.json" --quiet ||
    fail "train: code $?"
run policy-folder 2 "$scratch/f32" --policy "$scratch/gap.json"
run policy-twin 4 "$scratch/f32.gguf" --policy "$scratch/gap.json" --allow-other-model
same "$scratch/policy-folder/results.jsonl" "$scratch/policy-twin/results.jsonl"
