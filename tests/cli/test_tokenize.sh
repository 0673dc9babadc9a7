#!/usr/bin/env bash
# offramp tokenize on byte-level BPE: a GPT-2 folder (OPT's) and GGUF vocabularies, to ids and back.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# check MODEL ORACLE: ids equal the oracle's, and decode to its texts.
check() {
    jq -c .ids "$2" >"$scratch/ids" && jq -c .text "$2" >"$scratch/texts" || fail "$2 cannot be read"
    "$OFFRAMP" tokenize --model "$1" <"$scratch/texts" | jq -c . >"$scratch/got"
    cmp "$scratch/got" "$scratch/ids" || fail "$1: other ids"
    "$OFFRAMP" tokenize --decode --model "$1" <"$scratch/ids" | jq -c . >"$scratch/got"
    cmp "$scratch/got" "$scratch/texts" || fail "$1: other texts"
}

need_data oracles/tokenize-opt.jsonl
need_data models/tiny-opt-random
need_data tokenizers/gguf-vocabs
check "$DATA/models/tiny-opt-random" "$DATA/oracles/tokenize-opt.jsonl"

ids=$(echo '"Hello world"' | "$OFFRAMP" tokenize --bos --model "$DATA/models/tiny-opt-random")
[ "$ids" = '[2, 31414, 232]' ] || fail "OPT's prompt is $ids"
ids=$(echo '"Hello world"' | "$OFFRAMP" tokenize --model "$DATA/tokenizers/gguf-vocabs/ggml-vocab-gpt-2.gguf")
[ "$ids" = '[15496, 995]' ] || fail "GPT-2's ids are $ids"
ids=$(echo '"Hello world"' | "$OFFRAMP" tokenize --bos --model "$DATA/tokenizers/gguf-vocabs/ggml-vocab-llama-spm.gguf")
[ "$ids" = '[1, 15043, 3186]' ] || fail "Llama-2's prompt is $ids"

expect 3 'expected one of them' 0 tokenize --model "$scratch"
printf 'GGUF\003' >"$scratch/cut.gguf"
expect 3 'cut.gguf' 0 tokenize --model "$scratch/cut.gguf"
