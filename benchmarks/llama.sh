#!/usr/bin/env bash
# offramp beside llama.cpp, on the same file of random weights: prompts, decoding, decoding in batches, and scoring of many
# prompts, in runs that alternate (A B A B ...), with the medians of both.
#   LLAMA_CPP=DIR OFFRAMP=build/offramp benchmarks/llama.sh
#
# DIR has llama-bench and llama-batched-bench, there or in bin or build/bin. From the environment, with these defaults:
#   SHAPE=configs/models/tinyllama-1.1b.json   also with other layers, as in configs/models/llama-2-70b.json,layers=4
#   TYPES="bf16 q8_0 q4_0 q4_k" THREADS="1 2" RUNS=5
#   PROMPT=512 TOKENS=64 BATCHES="8 32"        tokens of the prompt, of each continuation; continuations at a time
#   PROMPTS=100 LENGTH=100                     that many prompts of that many tokens are scored, one token of answer each
#   SCORING="5 20 50"                          in batches of so many by llama.cpp, whose best one counts
#   MODELS=DIR                                 keeps the model files there (a folder of its own that goes at the end)
#   LIMITS=build/tests                         benchmark_peak and benchmark_read-bandwidth, for the last two columns
# In five minutes: TYPES=bf16 THREADS=2 RUNS=3 PROMPT=128 TOKENS=8 BATCHES=8 PROMPTS=10 SCORING=5.
#
# Both decode from one token of context on. llama.cpp scans the cells of all sequences for each, so larger batches of prompts
# need not be faster there; its rate of scoring is of prompt and answer tokens together, since it computes the answers in a
# step of their own. It keeps keys and values in float16, offramp in float32.
# of peak: GFLOP/s (two for each multiply-add) over what the cores reach in the type's widest instruction, bfloat16 or
# int8 (benchmarks/peak.c). of bandwidth: bytes of weights that a step reads, by steps a second, over what was read at best
# beside the runs (benchmarks/read-bandwidth.c).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp} limits=${LIMITS:-$here/../build/tests}
shape=${SHAPE:-$here/../configs/models/tinyllama-1.1b.json}
read -ra types <<<"${TYPES:-bf16 q8_0 q4_0 q4_k}"
read -ra threads <<<"${THREADS:-1 2}"
read -ra batches <<<"${BATCHES:-8 32}"
read -ra scoring <<<"${SCORING:-5 20 50}"
runs=${RUNS:-5} prompt=${PROMPT:-512} tokens=${TOKENS:-64} prompts=${PROMPTS:-100} length=${LENGTH:-100}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
models=${MODELS:-$scratch}

fail() { printf '%s\n' "$*" >&2; exit 1; }

# binary NAME: the path of llama.cpp's program
binary() {
    local folder
    for folder in "${LLAMA_CPP:?the folder of the binaries of llama.cpp}" "$LLAMA_CPP/bin" "$LLAMA_CPP/build/bin"; do
        [ ! -x "$folder/$1" ] || { echo "$folder/$1"; return; }
    done
    fail "no $1 in $LLAMA_CPP, in its bin or build/bin"
}
llama_bench=$(binary llama-bench)
llama_batched=$(binary llama-batched-bench)

# A shape has no tokenizer, which a GGUF file must have: one of single bytes lies beside this copy of the shape.
words=${shape#*.json}
cp "${shape%"$words"}" "$scratch/shape.json"
jq -n 'def byte: "0123456789ABCDEF" as $hex | "<0x" + $hex[. / 16 | floor | .:. + 1] + $hex[. % 16:. % 16 + 1] + ">";
    (["<unk>", "<s>", "</s>"] + [range(256) | byte]) as $texts |
    {normalizer: {type: "Sequence", normalizers: [{type: "Prepend", prepend: "▁"}, {type: "Replace", pattern: {String: " "}, content: "▁"}]},
     added_tokens: [range(3) | {id: ., content: $texts[.], special: true}],
     model: {type: "BPE", unk_token: "<unk>", byte_fallback: true, fuse_unk: true, merges: [],
             vocab: ($texts | to_entries | map({(.value): .key}) | add)}}' >"$scratch/tokenizer.json"

# model_of TYPE: the path of its file, which is made if it is not there
model_of() {
    local name file
    name=$(basename "${shape%"$words"}" .json)${words//[^a-z0-9_]/-}
    file=$models/$name-$1.gguf
    [ -e "$file" ] || "$offramp" quantize "$scratch/shape.json$words" "$file" --type "$1" --quiet >&2
    echo "$file"
}

# ours MODEL THREADS OPTION...: rows as {who, test, rate, gflops}
ours() {
    "$offramp" bench --model "$1" -t "$2" -r 1 --quiet -o jsonl "${@:3}" |
        jq -c '{who: "offramp", test, rate: .median, gflops}'
}

# theirs MODEL THREADS: the same tests
theirs() {
    local model=$1
    "$llama_bench" -m "$model" -t "$2" -p "$prompt" -n "$tokens" -r 1 -o jsonl 2>"$scratch/log" |
        jq -c '{who: "llama", test: (if .n_gen > 0 then "tg\(.n_gen)" else "pp\(.n_prompt)" end), rate: .avg_ts}'
    batched "$model" "$2" 1 "$tokens" "${batches[@]}" |
        jq -c '{who: "llama", test: "tg\(.tg) b\(.pl)", rate: .speed_tg}'
    batched "$model" "$2" "$length" 1 "${scoring[@]}" |
        jq -cs --argjson prompts "$prompts" 'max_by(.speed) | {who: "llama", test: "pp\(.pp) b\($prompts)", rate: .speed}'
}

# batched MODEL THREADS PROMPT TOKENS BATCH...: lines of llama-batched-bench; it wants a context for all sequences of a batch
batched() {
    local list most
    list=$(IFS=,; echo "${*:5}")
    most=$(printf '%s\n' "${@:5}" | sort -n | tail -1)
    "$llama_batched" -m "$1" -t "$2" -tb "$2" -c $(((most * ($3 + $4) + 255) / 256 * 256)) -npp "$3" -ntg "$4" -npl "$list" \
        --output-format jsonl 2>"$scratch/log" </dev/null | grep '^{' || { tail -3 "$scratch/log" >&2; fail "llama-batched-bench failed"; }
}

# limit_of PROGRAM THREADS LINE: the number of that many threads in the line that begins so; 0 without the program
limit_of() {
    [ -x "$limits/$1" ] || { echo 0; return; }
    "$limits/$1" "$2" | awk -v begin="$3" 'index($0, begin) == 1 { found = $NF } END { print found + 0 }'
}

# rounds TYPE THREADS: all runs of both, and the bandwidth beside them
rounds() {
    local model run
    model=$(model_of "$1")
    for ((run = 0; run < runs; run++)); do
        ours "$model" "$2" -p "$prompt" -n "$tokens"
        ours "$model" "$2" -n "$tokens" -b "$(IFS=,; echo "${batches[*]}")"
        ours "$model" "$2" -p "$length" -b "$prompts"
        theirs "$model" "$2"
        jq -nc --argjson rate "$(limit_of benchmark_read-bandwidth "$2" read)" '{who: "bandwidth", $rate}'
    done
}

echo "| type | threads | test | offramp t/s | llama.cpp t/s | ratio | GFLOP/s | of peak | of bandwidth |"
echo "|---|---:|---|---:|---:|---:|---:|---:|---:|"
for type in "${types[@]}"; do
    kind=int8
    case $type in f32 | bf16) kind=$type ;; f16) kind=f32 ;; esac
    step=$("$offramp" inspect "$(model_of "$type")" --json | jq '.bytes - .embedding_bytes')
    for n in "${threads[@]}"; do
        rounds "$type" "$n" >"$scratch/rows"
        jq -rs --arg type "$type" --argjson threads "$n" --argjson step "$step" \
            --argjson peak "$(limit_of benchmark_peak "$n" "peak $kind")" '
            def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
            def round_to($n): . * $n | round / $n;
            def share($whole): if . == null or $whole == 0 then "" else "\(100 * . / $whole | round_to(10)) %" end;
            (map(select(.who == "bandwidth").rate) | max) as $bandwidth | . as $all |
            reduce (.[] | select(.who == "offramp").test) as $test ([]; if index($test) then . else . + [$test] end) | .[] as $test |
            ($all | map(select(.test == $test and .who == "offramp"))) as $ours |
            ($all | map(select(.test == $test and .who == "llama").rate) | median) as $theirs |
            ($ours | map(.rate) | median) as $rate | ($ours | map(.gflops) | median) as $gflops |
            (($test | capture(" b(?<n>.*)$").n // "1") | tonumber) as $batch |
            (if $test | startswith("tg") then $rate / $batch * $step / 1e9 else null end) as $read |
            "| \($type) | \($threads) | \($test) | \($rate | round_to(100)) | \($theirs | round_to(100)) | \($rate / $theirs | round_to(100))" +
            " | \($gflops | round_to(10)) | \($gflops | share($peak)) | \($read | share($bandwidth)) |"' "$scratch/rows"
    done
done
