#!/usr/bin/env bash
# Answers do not depend on company with weights of any type: the demo model, filled up with zeros to 256 columns, in each of
# them. Prompts are scored with waves of 1, 7, 64 and 4096 tokens at 1, 2 and 3 ranks, 1 and 2 threads; and continued alone,
# in batches of 3 and all at once: the files are the same, byte for byte.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

types=(bf16 f16 f32 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k)
sampled && types=(bf16 q8_0 q4_k)
mkdir "$scratch/wide"
cp "$demo"/model/tokenizer* "$scratch/wide"
"$WIDEN_MODEL" "$demo/model" "$scratch/wide" || fail "widen_model: code $?"
gap_policy "$scratch/policy.json" 16 0.5 '[3, 6, 9, 12]'
demo_requests 1 | jq -c '. + {max_tokens: 6}' >"$scratch/in.jsonl"

# score NAME RANKS ARGS...
score() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" eval --model "$scratch/model.gguf" --task "$demo/tasks/next_item.json" --shots 2 --limit 6 --quiet \
        --policy "$scratch/policy.json" --allow-other-model --output "$scratch/$name" "$@" || fail "$type, $name: code $?"
    [ "$name" = base ] || same "$scratch/base/results.jsonl" "$scratch/$name/results.jsonl"
}

# extend NAME RANKS ARGS...
extend() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" run --model "$scratch/model.gguf" --input "$scratch/in.jsonl" --output "$scratch/$name.jsonl" --quiet \
        --policy "$scratch/policy.json" --allow-other-model "$@" || fail "$type, $name: code $?"
    [ "$name" = text ] || same "$scratch/text.jsonl" "$scratch/$name.jsonl"
}

for type in "${types[@]}"; do
    "$OFFRAMP" quantize "$scratch/wide" "$scratch/model.gguf" --type "$type" --quiet || fail "quantize --type $type: code $?"
    score base 1 --threads 1 --wave-tokens 4096
    score one 1 --threads 2 --wave-tokens 1
    score seven 2 --threads 1 --wave-tokens 7
    score sixtyfour 3 --threads 1 --wave-tokens 64
    [ "$(wc -l <"$scratch/base/results.jsonl")" -eq 6 ] || fail "$type: too few results"
    extend text 1 --threads 1
    extend alone 1 --threads 2 --batch 1
    extend three 2 --threads 1 --batch 3 --wave-tokens 16
    rm -rf "$scratch"/{base,one,seven,sixtyfour,model.gguf} "$scratch"/{text,alone,three}.jsonl*
done
exit 0
