#!/usr/bin/env bash
# Bad GGUF files, alone and on 2 ranks, and a quantize that cannot work: one line that says what, the right exit code,
# and nothing left behind. Damage byte by byte: unit/test_gguf; keys and tensors one by one: unit/test_gguf_*.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

good=$scratch/good.gguf
bad=$scratch/bad.gguf
on 0 quantize "$demo/model" "$good" --type q8_0 --quiet || fail "quantize: code $?"
echo '{"id": 1, "prompt": "The dog is"}' >"$scratch/in.jsonl"
lens=(--input "$scratch/in.jsonl" --output "$scratch/lens.jsonl" --quiet)

# refused PART [FILE]: by inspect, and by lens on 2 ranks
refused() {
    local file=${2:-$bad}
    expect 3 "/${file##*/}.*$1" 0 inspect "$file"
    expect 3 "$1" 2 lens --model "$file" "${lens[@]}"
    [ ! -e "$scratch/lens.jsonl" ] || fail "lens wrote its output"
}
# edited SED-EXPRESSION: the good file with other bytes, as many
edited() {
    LC_ALL=C sed "$1" "$good" >"$bad"
    cmp -s "$good" "$bad" && fail "nothing was changed by $1"
    [ "$(wc -c <"$good")" -eq "$(wc -c <"$bad")" ] || fail "the size was changed by $1"
}

# ---- files ----
: >"$bad"; refused 'found a file that is no model, expected .* or a GGUF file'
edited '1s/^GGUF/GGML/'; refused 'found a file that is no model'
edited '1s/^GGUF\x03/GGUF\x01/'; refused 'it is of version 1, expected 2 or 3'
head -c 20 "$good" >"$bad"; refused 'cut off?'
head -c 5000 "$good" >"$bad"; refused 'cut off?'
head -c 3000000 "$good" >"$bad"; refused 'tensor "blk.*cut off?'
head -c $(($(wc -c <"$good") - 1)) "$good" >"$bad"; refused 'tensor "output.weight".*cut off?'
refused 'No such file' "$scratch/nowhere.gguf"
printf 'GGUF\3\0\0\0' >"$bad" # part 2 of 3: no tensors, two keys of u32
printf '\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0' >>"$bad"
printf '\10\0\0\0\0\0\0\0split.no\4\0\0\0\1\0\0\0\13\0\0\0\0\0\0\0split.count\4\0\0\0\3\0\0\0' >>"$bad"
refused 'it is part 2 of 3, expected the first (its name ends in -00001-of-00003.gguf)'

# ---- models ----
edited 's/\(general.architecture\x08\x00\x00\x00\x05\x00*\)llama/\1mamba/'; refused 'architecture "mamba" is not supported'
edited 's/llama.block_count/llama.block_kount/'; refused '"llama.block_count" is missing'
edited 's/blk.15.ffn_up.weight/blk.15.ffn_up.weighd/'; refused '"blk.15.ffn_up.weighd" is not one of a llama model'

# without a vocabulary it is a model, which can be asked with tokens and not with text
edited 's/tokenizer.ggml.model/tokenizer.ggml.modal/'
"$OFFRAMP" inspect "$bad" >/dev/null || fail "inspect of a file without vocabulary: code $?"
for ranks in 0 2; do
    expect 3 'tokenizer.ggml.model" is missing' $ranks lens --model "$bad" "${lens[@]}"
done
expect 3 'tokenizer.ggml.model" is missing' 0 quantize "$bad" "$scratch/x.gguf" --type f16
echo '{"id": 1, "tokens": [1, 2]}' >"$scratch/in.jsonl"
on 2 lens --model "$bad" "${lens[@]}" || fail "lens of tokens without vocabulary: code $?"
rm "$scratch/lens.jsonl"

# ---- quantize ----
output=$scratch/output
mkdir "$output"
# not_written CODE PART ARGS...: quantize of these ends so and leaves nothing
not_written() {
    local code=$1 part=$2
    shift 2
    expect "$code" "$part" 0 quantize "$@"
    [ -z "$(ls -A "$output")" ] || fail "quantize $* left $(ls -A "$output")"
}
not_written 2 'expected a model and a file to write'
not_written 2 'expected a model and a file to write' "$good" --type q8_0
not_written 2 'expected --type' "$good" "$output/x.gguf"
not_written 2 'type is "q9_0", expected f32, f16, bf16' "$good" "$output/x.gguf" --type q9_0
not_written 2 'found "more"' "$good" "$output/x.gguf" more --type q8_0
not_written 3 'nowhere' "$scratch/nowhere" "$output/x.gguf" --type q8_0
not_written 3 'file cannot be written .*below/x.gguf' "$good" "$output/below/x.gguf" --type q8_0
not_written 3 'no regular file' "$good" "$output" --type q8_0
head -c 3000000 "$good" >"$bad"
not_written 3 'cut off?' "$bad" "$output/x.gguf" --type q8_0
expect 3 'file cannot be written' 2 quantize "$good" "$output/below/x.gguf" --type q8_0 # said once

cp -r "$demo/model" "$scratch/infinite" # the last weight of the file
printf '\200\177' | dd of="$scratch/infinite/model.safetensors" bs=1 conv=notrunc status=none \
    seek=$(($(wc -c <"$scratch/infinite/model.safetensors") - 2))
not_written 3 'a weight that is not finite' "$scratch/infinite" "$output/x.gguf" --type q4_0

cp "$good" "$scratch/self.gguf"
expect 3 'it is a file of the model itself' 0 quantize "$scratch/self.gguf" "$scratch/self.gguf" --type q8_0
same "$good" "$scratch/self.gguf"

# files that may not be read: root may read all, so it asks as somebody else
as_other=()
[ "$(id -u)" -ne 0 ] || as_other=(setpriv --reuid=65534 --clear-groups)
if "${as_other[@]}" test -x "$OFFRAMP" 2>/dev/null; then
    chmod 755 "$scratch"
    mkdir "$scratch/closed"
    chmod 000 "$scratch/self.gguf" "$scratch/closed"
    for model in "$scratch/self.gguf" "$scratch/closed"; do
        "${as_other[@]}" "$OFFRAMP" inspect "$model" 2>"$scratch/err"
        code=$?
        grep -q '^offramp: .*Permission denied' "$scratch/err" || { cat "$scratch/err"; fail "$model may not be read, and it does not say so"; }
        [ "$code" -eq 3 ] || fail "$model may not be read: code $code"
    done
    chmod 700 "$scratch/closed"
else
    echo "not checked: files that may not be read; nobody but root may run $OFFRAMP"
fi
mkfifo "$scratch/pipe"
expect 3 'no regular file' 0 quantize "$good" "$scratch/pipe" --type q8_0

# a disk that is full: no file may have more than 1 MiB
(trap '' XFSZ && ulimit -f 1024 && not_written 1 'file cannot be written .*x.gguf' "$good" "$output/x.gguf" --type f16) ||
    exit 1

need_data models/tiny-opt-random
not_written 3 'GGUF files of family "opt" are not written' "$DATA/models/tiny-opt-random" "$output/x.gguf" --type q8_0
need_data tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf
refused 'architecture "gpt2" is not supported, expected llama' "$DATA/tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf"
need_data tokenizers/gguf-vocabs/ggml-vocab-llama-spm.gguf
refused 'found no tensors, expected the weights of a model' "$DATA/tokenizers/gguf-vocabs/ggml-vocab-llama-spm.gguf"
