#!/usr/bin/env bash
# llama.cpp runs what `offramp quantize` writes, in every type, and says what we say: its greedy continuation is ours, up
# to tokens whose logits are closer than its own rounding of activations. LLAMA_CPP=dir names the folder of its
# binaries; without it only the structure of the files is checked.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

types=(f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q2_k q3_k q4_k q5_k q6_k)
prompt=$'Q: The film is a delight from beginning to end\nA:'
wide=$scratch/wide # the demo model with rows that are whole blocks of every type
mkdir "$wide"
cp "$demo"/model/tokenizer* "$wide"
"$WIDEN_MODEL" "$demo/model" "$wide" || fail "widen_model: code $?"

llama=
for name in llama-completion llama-cli; do
    for folder in "${LLAMA_CPP:-}" "${LLAMA_CPP:-}/bin" "${LLAMA_CPP:-}/build/bin"; do
        [ -n "${LLAMA_CPP:-}" ] && [ -z "$llama" ] && [ -x "$folder/$name" ] && llama=$folder/$name
    done
done
[ -z "${LLAMA_CPP:-}" ] || [ -n "$llama" ] || fail "no llama-completion or llama-cli in $LLAMA_CPP"
[ -n "$llama" ] || echo "without LLAMA_CPP=dir: only the structure of the files is checked"

# structure FILE TYPE: all matrices are of that type, vectors f32, and the data fill the file
structure() {
    "$OFFRAMP" inspect "$1" --json | jq -e --arg type "${2^^}" --argjson size "$(stat -c %s "$1")" '
        ([.tensors[] | select(.shape | length == 2) | .type] | unique) == [$type]
        and ([.tensors[] | select(.shape | length == 1) | .type] | unique) == ["F32"]
        and (.tensors | length) == 147 and all(.tensors[]; .offset % 32 == 0)
        and (([.tensors[] | .offset + .bytes] | max) as $last | $last <= $size and $size < $last + 32)' >/dev/null ||
        fail "$1 is not what llama.cpp expects"
}

# agree FILE TYPE: what llama.cpp continues with is, token for token, near the top of our logits
agree() {
    local flags=()
    case $llama in *llama-cli) flags=(-no-cnv) ;; esac
    timeout 300 "$llama" -m "$1" -p "$prompt" -n 12 --temp 0 -t 1 --no-warmup "${flags[@]}" </dev/null \
        >"$scratch/text" 2>"$scratch/log" || { tail -3 "$scratch/log"; fail "llama.cpp does not run $1"; }
    local from
    from=$(jq -n --arg p "$prompt" '$p' | "$OFFRAMP" tokenize --model "$1" --bos | jq length)
    jq -Rs 'sub("^ "; "") | sub("( \\[end of text\\])?\n*$"; "")' "$scratch/text" |
        "$OFFRAMP" tokenize --model "$1" --bos >"$scratch/ids"
    [ "$(jq length "$scratch/ids")" -gt $((from + 2)) ] || { cat "$scratch/text"; fail "llama.cpp said nothing with $1"; }
    jq -c --argjson from "$from" '. as $ids | range($from; length) | {id: ., tokens: $ids[:.]}' "$scratch/ids" >"$scratch/in"
    on 0 lens --model "$1" --input "$scratch/in" --output "$scratch/out" --threads 1 --quiet || fail "lens: code $?"
    jq -se --slurpfile ids "$scratch/ids" '
        all($ids[0][.id] as $token | .logits_top10 as $best
            | any($best[]; .[0] == $token and .[1] > $best[0][1] - 0.5))' "$scratch/out" >/dev/null ||
        fail "llama.cpp and we disagree on $2"
}

for type in "${types[@]}"; do
    on 0 quantize "$wide" "$scratch/$type.gguf" --type "$type" --quiet || fail "quantize: code $?"
    structure "$scratch/$type.gguf" "$type"
    [ -z "$llama" ] || agree "$scratch/$type.gguf" "$type"
    rm "$scratch/$type.gguf"
done
