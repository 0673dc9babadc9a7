#!/usr/bin/env bash
# OPT in both layouts: lens gives the same bytes on 1, 2 and 4 ranks, with waves of one request and of many, and with
# 1 and 2 threads; and inspect says what is different about it.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# lens NAME RANKS ARGS...: of $model, compared with the first one.
lens() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" lens --model "$model" --input "$scratch/in.jsonl" --output "$scratch/$name" --quiet "$@" ||
        fail "$model, $name: code $?"
    [ "$name" = base ] || same "$scratch/base" "$scratch/$name"
}

for name in tiny-opt-random tiny-opt-350m-layout-random; do
    need_data models/$name
    need_data oracles/features-$name.jsonl
    model=$DATA/models/$name
    jq -c '{id: input_line_number, tokens: .ids}' "$DATA/oracles/features-$name.jsonl" >"$scratch/in.jsonl"
    lens base 1 --threads 1
    [ "$(wc -l <"$scratch/base")" -eq "$(wc -l <"$scratch/in.jsonl")" ] || fail "prompts are missing"
    lens single 1 --threads 2 --wave-tokens 1
    lens two 2 --threads 1 --wave-tokens 4096
    lens four 4 --threads 1 --wave-tokens 50
    lens uneven 2 --threads 2 --wave-tokens 100 --plan "1,$(($(jq .num_hidden_layers "$model/config.json") - 1))"
    "$OFFRAMP" inspect "$model" >"$scratch/text" || fail "inspect: code $?"
    grep -q 'with biases' "$scratch/text" || fail "inspect does not speak of biases"
    grep -q 'learned positions' "$scratch/text" || fail "inspect does not speak of positions"
done
grep -q 'norms after each sum, no final norm' "$scratch/text" || fail "inspect does not speak of norms"
grep -q 'embedding 32' "$scratch/text" || fail "inspect does not speak of the narrow embedding"

# The prompt may be as long as there are learned positions, and no longer.
jq -nc '{id: 1, tokens: [range(512)]}' >"$scratch/in.jsonl"
lens base 1
jq -nc '{id: 1, tokens: [range(513)]}' >"$scratch/in.jsonl"
expect 3 '513 tokens, expected 1..512' 1 lens --model "$model" --input "$scratch/in.jsonl" --output "$scratch/no"
