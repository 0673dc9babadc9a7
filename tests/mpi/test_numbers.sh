#!/usr/bin/env bash
# Numbers that become infinite or NaN in some prompts, or behind some tokens (tests/tools/fault_model.c), fail these
# requests, with the layer at which they do, and no other: the others' results are the bytes that they have without
# them, at 1, 2 and 4 ranks, under all KV policies, with replicas and after --resume. Then the code is 1.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# fault NAME WEIGHT TOKEN:LAYER...: a model; with WEIGHT 0 the same, and nothing fails.
fault() {
    mkdir "$scratch/$1"
    cp "$demo"/model/tokenizer* "$demo/model/config.json" "$scratch/$1"
    "$FAULT_MODEL" "$demo/model" "$scratch/$1" "${@:2}" || fail "fault_model $*: code $?"
}
tokens=(2912:7 934:0 1674:12 2230:16 2748:7 4085:12 771:0 579:16)
fault faulty 3e38 "${tokens[@]}"
fault sound 0 "${tokens[@]}"
gap_policy "$scratch/middling.json" 16 0.3 '[4, 6, 8, 10, 12, 14]'
policy=(--allow-other-model --policy "$scratch/middling.json")

# go CODE RANKS ARGS...: its message, if any, in $scratch/message
go() {
    local code=$1 got
    shift
    OMPI_MCA_odls_base_sigkill_timeout=0 on "$@" >"$scratch/out" 2>"$scratch/err"
    got=$?
    grep '^offramp: ' "$scratch/err" >"$scratch/message"
    [ "$got" -eq "$code" ] || { cat "$scratch/err"; fail "offramp ${*:2} ($1 ranks): code $got, expected $code"; }
}

# others FILE SOUND: the results in FILE without an error are SOUND's
others() {
    jq -c 'select(.error | not) | del(.dense_token)' "$1" >"$scratch/others"
    jq -c --slurpfile all "$1" 'select($all[input_line_number - 1].error | not) | del(.dense_token)' "$2" |
        cmp - "$scratch/others" || fail "$1: what did not fail is not as in $2"
}

# ---- scored ----
# The indices that fail, and their layers: the token is embedded as NaN, or infinite after 7, 12 and 16 layers.
score() {
    local folder=$1
    shift
    go "$@" --task "$demo/tasks/word_length.json" --shots 2 --limit 24 --dense --threads 1 --output "$scratch/$folder" \
        "${policy[@]}"
}
score sound 0 0 eval --model "$scratch/sound" --wave-tokens 256
score base 1 0 eval --model "$scratch/faulty" --wave-tokens 256
grep -q 'requests failed: [0-9]* of 48, the first is task word_length, 2 shots, policy full, index 4: numbers are not finite after layer 7$' \
    "$scratch/message" || { cat "$scratch/err"; fail "another message"; }
grep -q '^failed, counted as wrong: 4 of 24 of word_length, 2 shots, full$' "$scratch/out" || fail "no line of what failed"
results=$scratch/base/results.jsonl
jq -es 'map(select(.error and .policy == "full") | [.index, .exit_layer, .token, .correct, .error]) == [
        [4, 7, -1, false, "numbers are not finite after layer 7"],
        [5, 1, -1, false, "numbers are not finite after layer 1"],
        [11, 16, -1, false, "numbers are not finite after layer 16"],
        [13, 12, -1, false, "numbers are not finite after layer 12"]]' "$results" >/dev/null || fail "other rows failed"
jq -es 'any(.policy == "middling" and .dense_token == -1 and .error == null and .exit_layer < 16)' "$results" \
    >/dev/null || fail "none has left before it would have failed"
others "$results" "$scratch/sound/results.jsonl"
jq -e '[.groups[].failed] == ([.totals[].failed]) and .groups[0].failed == 4 and .groups[0].accuracy <= 20 / 24 and
    .groups[0].exit_layer_mean == 16 and .groups[0].flops_ratio == 1' "$scratch/base/summary.json" >/dev/null ||
    fail "another summary"

score two 1 2 eval --model "$scratch/faulty" --replicas 2 --timeline "$scratch/timeline.json"
same "$results" "$scratch/two/results.jsonl"
[ -s "$scratch/timeline.json" ] || fail "no timeline of a run of which requests failed"
score four 1 4 eval --model "$scratch/faulty" --plan 2,3,4,7 --wave-tokens 64 --no-prefix-cache
same "$results" "$scratch/four/results.jsonl"
cp "$scratch/message" "$scratch/said"

# cut off in the middle, and as it is: what failed is not asked again
sed -i 30q "$scratch/four/journal.jsonl"
rm "$scratch/four/results.jsonl"
score four 1 2 eval --model "$scratch/faulty" --resume
same "$results" "$scratch/four/results.jsonl"
same "$scratch/said" "$scratch/message"
lines=$(wc -l <"$scratch/four/journal.jsonl")
score four 1 0 eval --model "$scratch/faulty" --resume
same "$results" "$scratch/four/results.jsonl"
same "$scratch/said" "$scratch/message"
[ "$(wc -l <"$scratch/four/journal.jsonl")" -eq "$lines" ] || fail "a finished run was run again"
go 0 0 report "$scratch/base" --output "$scratch/report.html"

# ---- generated ----
# Some prompts have a token that fails, others come upon one in the middle of what they draw.
{
    jq -c '.[:16] | to_entries[] | {id: .key, prompt: "Q: near\nA: 4\n\nQ: upon\nA: 4\n\nQ: \(.value.input)\nA:"}' \
        "$demo/data/word_length.test.json"
    jq -cn 'range(8) | {id: "r\(.)", tokens: [1, (range(.; . + 12) | . * 37 % 3000 + 300)]}'
} >"$scratch/in.jsonl"
continue_all() {
    local name=$1
    shift
    go "$@" --input "$scratch/in.jsonl" --output "$scratch/$name" --max-tokens 16 --ignore-eos --threads 1 --quiet
}
continue_all full-sound 0 0 run --model "$scratch/sound"
continue_all full 1 0 run --model "$scratch/faulty"
grep -q 'requests failed: [0-9]* of 24, the first is that of line 3 with the id 2: numbers are not finite after layer 7$' \
    "$scratch/message" || { cat "$scratch/err"; fail "another message"; }
others "$scratch/full" "$scratch/full-sound"
jq -es 'map(.error // empty) | length > 6 and length < 18 and (unique | length) == 4' "$scratch/full" >/dev/null ||
    fail "too few or too many continuations failed"
for kv in deferred propagate verify; do
    more=(--kv "$kv" "${policy[@]}")
    continue_all "$kv" 1 0 run --model "$scratch/faulty" "${more[@]}"
    if [ "$kv" != verify ]; then # that is compared with full depth
        continue_all "$kv-sound" 0 0 run --model "$scratch/sound" "${more[@]}"
        others "$scratch/$kv" "$scratch/$kv-sound"
    fi
    jq -es 'any(.error)' "$scratch/$kv" >/dev/null || fail "$kv: none failed"
    continue_all "$kv-two" 1 2 run --model "$scratch/faulty" --replicas 2 --batch 5 "${more[@]}"
    same "$scratch/$kv" "$scratch/$kv-two"
    continue_all "$kv-four" 1 4 run --model "$scratch/faulty" --wave-tokens 16 --no-prefix-cache "${more[@]}"
    same "$scratch/$kv" "$scratch/$kv-four"
done
# what is verified is full depth's, also where and why it fails
jq -c '[.id, .tokens, .error]' "$scratch/full" >"$scratch/a"
jq -c '[.id, .tokens, .error]' "$scratch/verify" | cmp - "$scratch/a" || fail "verify and full depth fail differently"
cp "$scratch/message" "$scratch/said"
sed -i 9q "$scratch/verify-four.journal"
rm "$scratch/verify-four"
continue_all verify-four 1 2 run --model "$scratch/faulty" --resume --kv verify "${policy[@]}"
same "$scratch/verify" "$scratch/verify-four"
same "$scratch/said" "$scratch/message"

# ---- the others, and damaged weights ----
go 0 2 trace --model "$scratch/faulty" --task "$demo/tasks/word_length.json" --shots 2 --limit 24 --output "$scratch/trace.csv"
grep -q 'word_length, 2 shots: 4 of 24 rows are left out, numbers are not finite: of row 5 after layer 7' "$scratch/err" ||
    fail "trace does not say what it leaves out"
[ "$(cut -d, -f3 "$scratch/trace.csv" | sort -u | wc -l)" -eq 21 ] || fail "the trace has other rows"
expect 1 'prompts failed: [0-9]* of 24, the first has the id 4: numbers are not finite after layer 7' 2 lens --model "$scratch/faulty" --input \
    "$scratch/in.jsonl" --output "$scratch/lens"
jq -es 'length == 24 and .[4].error == "numbers are not finite after layer 7" and (.[0].layers | length) == 16' \
    "$scratch/lens" >/dev/null || fail "another lens"
expect 1 'prompt failed: numbers are not finite after layer 1; are the weights damaged?' 0 run --model "$scratch/faulty" \
    --prompt 'Q: long'
fault damaged 3e38 13:3
go 1 0 eval --model "$scratch/damaged" --task "$demo/tasks/word_length.json" --shots 2 --limit 4 --quiet \
    --output "$scratch/none"
grep -q 'failed: 4 of 4, .*, index 0: numbers are not finite after layer 3; are the weights damaged?$' "$scratch/message" ||
    { cat "$scratch/err"; fail "damaged weights are not named"; }
go 0 0 report "$scratch/none" --output "$scratch/report.html"
expect 1 'after layer 3.*are the weights damaged?' 0 trace --model "$scratch/damaged" --task \
    "$demo/tasks/word_length.json" --shots 2 --limit 4 --quiet --output "$scratch/none.csv"
