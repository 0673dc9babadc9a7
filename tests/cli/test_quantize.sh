#!/usr/bin/env bash
# offramp quantize: every type of the demo model and of one wide enough for blocks of 256, what it prints, what is in the
# file, and that offramp computes with it; from a folder and from a GGUF file the same bytes; a file appears when it is
# complete, and replaces the one that was there.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

wide=$scratch/wide
synthetic "$wide" 2 256 512 4 2 4096 1 BF16
echo '{"id": 1, "prompt": "The dog is"}' >"$scratch/in.jsonl"

# quantize MODEL TYPE ARGS...: to $scratch/TYPE.gguf, its lines in $scratch/said and $scratch/noted
quantize() {
    local model=$1 type=$2
    shift 2
    on 0 quantize "$model" "$scratch/$type.gguf" --type "$type" "$@" >"$scratch/said" 2>"$scratch/noted" ||
        { cat "$scratch/noted"; fail "quantize --type $type: code $?"; }
}
# holds TYPE BYTES BLOCK: all matrices of $scratch/$type.gguf are of TYPE, of so many bytes a block, and the norms F32; the
# command has said how much that is.
holds() {
    "$OFFRAMP" inspect "$scratch/$type.gguf" --json >"$scratch/inspect" || fail "inspect $type: code $?"
    jq -e --arg type "${1^^}" --argjson bytes "$2" --argjson block "$3" '
        (.tensors | map(select((.shape | length) == 2))) as $m | (.tensors | map(select((.shape | length) == 1))) as $v
        | ($m | length) == .n_layers * 7 + 2 and ($v | length) == .n_layers * 2 + 1
        and all($m[]; .type == $type and .bytes == .shape[0] * .shape[1] / $block * $bytes)
        and all($v[]; .type == "F32" and .bytes == .shape[0] * 4)
        and .bytes == (.tensors | map(.bytes) | add)' "$scratch/inspect" >/dev/null || fail "$type is not all $1"
    "$OFFRAMP" inspect "$scratch/$type.gguf" >"$scratch/text"
    grep -qE "^  blk.1.ffn_up.weight +${1^^} " "$scratch/text" || fail "inspect does not name $1"
    local said
    said=$(sed -n "s|^$scratch/$type.gguf: \([0-9.]*\) MiB of tensors from [0-9.]* MiB, in [0-9.]* s\$|\1|p" "$scratch/said")
    jq -e --argjson said "${said:-0}" '.bytes / 1048576 | . - $said | fabs < 0.006 * $said' "$scratch/inspect" >/dev/null ||
        fail "quantize said $(cat "$scratch/said") of $(jq .bytes "$scratch/inspect") bytes"
}
lens() {
    on 0 lens --model "$1" --input "$scratch/in.jsonl" --output "$2" --threads 1 --kernels reference --quiet || fail "lens --model $1: code $?"
}
top() { jq '.logits_top10[0][0]' "$1"; }

# ---- the demo model: rows of 128 and 384, which are no blocks of 256 ----
lens "$demo/model" "$scratch/folder"
for entry in f32:f32:4:1 f16:f16:2:1 bf16:bf16:2:1 q8_0:q8_0:34:32 q5_1:q5_1:24:32 q5_0:q5_0:22:32 q4_1:q4_1:20:32 \
    q4_0:q4_0:18:32 q6_k:q8_0:34:32 q5_k:q5_1:24:32 q4_k:q5_0:22:32 q3_k:q4_0:18:32 q2_k:q4_0:18:32; do
    IFS=: read -r type stored bytes block <<<"$entry"
    quantize "$demo/model" "$type"
    holds "$stored" "$bytes" "$block"
    if [ "$type" = "$stored" ]; then
        [ ! -s "$scratch/noted" ] || fail "$type: $(cat "$scratch/noted")"
    else
        [ "$(cat "$scratch/noted")" = "offramp: 114 of 114 matrices are stored in another type: their rows are no whole blocks of $type" ] ||
            fail "$type: $(cat "$scratch/noted")"
    fi
    lens "$scratch/$type.gguf" "$scratch/$type.lens"
    [ "$(jq '.layers | length' "$scratch/$type.lens")" -eq 16 ] || fail "$type: lens has not 16 layers"
done
same "$scratch/folder" "$scratch/bf16.lens"
same "$scratch/folder" "$scratch/f32.lens"
[ "$(top "$scratch/q8_0.lens")" = "$(top "$scratch/folder")" ] || fail "q8_0 says another token than bf16"
cmp -s "$scratch/q8_0.lens" "$scratch/folder" && fail "q8_0 gives the very numbers of bf16"

# ---- from a GGUF file the same as from the folder: the name in the file is the path's last part ----
mkdir "$scratch/twin"
mv "$scratch/f32.gguf" "$scratch/twin/model"
cp "$scratch/q8_0.gguf" "$scratch/expected.gguf"
before=$(stat -c %i "$scratch/q8_0.gguf")
quantize "$scratch/twin/model" q8_0 --quiet # over the file that is there
same "$scratch/expected.gguf" "$scratch/q8_0.gguf"
[ "$(stat -c %i "$scratch/q8_0.gguf")" != "$before" ] || fail "the file was not replaced by a whole one"
[ -z "$(cat "$scratch/said" "$scratch/noted")" ] || fail "--quiet said something"
quantize "$demo/model" q4_0 --threads 1
cp "$scratch/q4_0.gguf" "$scratch/one.gguf"
quantize "$demo/model" q4_0 --threads 2
same "$scratch/one.gguf" "$scratch/q4_0.gguf"
on 2 quantize "$demo/model" "$scratch/two.gguf" --type q4_0 >"$scratch/said" || fail "quantize on 2 ranks: code $?"
[ "$(wc -l <"$scratch/said")" -eq 1 ] || fail "2 ranks did it twice"
same "$scratch/one.gguf" "$scratch/two.gguf"

# ---- rows of whole 256-blocks ----
for entry in q6_k:210 q5_k:176 q4_k:144 q3_k:110 q2_k:84; do
    type=${entry%:*}
    quantize "$wide" "$type"
    holds "$type" "${entry#*:}" 256
    [ ! -s "$scratch/noted" ] || fail "$type: $(cat "$scratch/noted")"
    lens "$scratch/$type.gguf" "$scratch/$type.lens"
done

# ---- killed while it writes ----
synthetic "$scratch/large" 16 1024 4096 8 8 4096 1 HOLES # 550 MB as bf16, twice that in the file
cp "$scratch/one.gguf" "$scratch/killed.gguf"
"$OFFRAMP" quantize "$scratch/large" "$scratch/killed.gguf" --type f32 --threads 1 --quiet &
job=$!
until find "$scratch" -name 'killed.gguf.tmp.*' -size +1024k | grep -q .; do
    kill -0 "$job" 2>/dev/null || fail "quantize ended before it was killed"
    sleep 0.01
done
kill -KILL "$job"
wait "$job" 2>/dev/null
same "$scratch/one.gguf" "$scratch/killed.gguf" # as it was
