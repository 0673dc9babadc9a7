#!/usr/bin/env bash
# stories260K.gguf, greedily: from "Once upon a time" on, every token that the full model says is the next of the text
# that llama2.c writes with these weights. By induction that is the continuation at temperature 0. On 1 and 3 ranks.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

need_data models/stories260K
model=$DATA/models/stories260K/stories260K.gguf
jq -Rs 'rtrimstr("\n")' "$DATA/models/stories260K/expected_stdout_t0_n200.txt" >"$scratch/text"
"$OFFRAMP" tokenize --model "$model" --bos <"$scratch/text" >"$scratch/ids" || fail "tokenize: code $?"
"$OFFRAMP" tokenize --model "$model" --decode <"$scratch/ids" | jq . | cmp - "$scratch/text" || fail "decoding"
prompt=$(echo '"Once upon a time"' | "$OFFRAMP" tokenize --model "$model" --bos | jq length)
[ "$(jq length "$scratch/ids")" -ge 200 ] || fail "the text has fewer than 200 tokens"
jq -c --argjson from "$prompt" '. as $ids | range($from; length) | {id: ., tokens: $ids[:.]}' "$scratch/ids" >"$scratch/in"
for ranks in 1 3; do
    on "$ranks" lens --model "$model" --input "$scratch/in" --output "$scratch/out" --threads 1 --quiet ||
        fail "lens: code $?"
    jq -e --slurpfile ids "$scratch/ids" -s 'all(.layers[-1].token == $ids[0][.id])' "$scratch/out" >/dev/null ||
        fail "the continuation differs on $ranks ranks"
done
