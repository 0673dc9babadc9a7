#!/usr/bin/env bash
# Tasks whose answers are generated (exact_match, f1): results.jsonl is the same, byte for byte, at any number of
# ranks, continuations in flight and with and without shared beginnings; --kv verify gives full depth's texts; a run
# that was killed or stopped goes on; scores are those of the texts.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# task NAME METRIC MORE: a demo task with another metric, in $scratch
task() {
    jq -c --arg data "$demo/data" --arg metric "$2" --argjson more "$3" \
        '.metric = $metric | .train = ($data + "/" + (.train | sub(".*/"; ""))) | .test = ($data + "/" + (.test | sub(".*/"; ""))) | . + $more' \
        "$demo/tasks/$1.json" >"$scratch/$1.json"
}
task color_v_animal_3 exact_match '{"max_tokens": 6}'
task person-sport f1 '{"max_tokens": 12, "stop": ["\n", "."]}'

args=(eval --model "$demo/model" --policy "$demo/policy/svm.json" --dense --threads 1 --quiet --shots 2
    --task "$scratch/color_v_animal_3.json" --task "$scratch/person-sport.json" --limit $((3 * ROWS)))

# run NAME RANKS ARGS...
run() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" "${args[@]}" --output "$scratch/$name" "$@" || fail "$name: code $?"
}

lines() { if [ -e "$1/journal.jsonl" ]; then wc -l <"$1/journal.jsonl"; else echo 0; fi; }

run base 1
results=$scratch/base/results.jsonl
total=$(wc -l <"$results")
[ "$total" -eq $((12 * ROWS)) ] || fail "$total results, expected $((12 * ROWS))"
jq -e -s 'all(.[]; (.exit_layers | length) >= 1 and .exit_layers[0] == .exit_layer and has("answer_token") == false)' \
    "$results" >/dev/null || fail "a result lacks what a generated answer has"
jq -e -s '[.[] | select(.policy == "svm") | .exit_layers[]] | add / length < 15.5' "$results" >/dev/null ||
    fail "nothing has left early"
# the summary's accuracy is the mean score, the agreement that of whole texts
jq -e -s --slurpfile summary "$scratch/base/summary.json" '
    . as $all | all($summary[0].groups[]; . as $group |
        [$all[] | select(.task == $group.task and .policy == $group.policy)] as $own |
        ([$own[].score] | add / length - $group.accuracy | fabs) < 1e-9 and
        ([$own[] | if .correct then 1 else 0 end] | add / length - $group.exact_match | fabs) < 1e-9 and
        ($group.policy == "full" or
            ([$own[] | if .text == .dense_text then 1 else 0 end] | add / length - $group.agreement | fabs) < 1e-9) and
        $group.flops_ratio > 0)' "$results" >/dev/null || fail "summary.json does not follow from results.jsonl"
jq -e '.groups[0].accuracy > 0.9' "$scratch/base/summary.json" >/dev/null || fail "the demo model does not answer"

for kv in deferred propagate verify; do
    [ "$kv" = deferred ] || run "$kv" 1 --kv "$kv"
    first=$scratch/$([ "$kv" = deferred ] && echo base || echo "$kv")/results.jsonl
    for case in "2 32" "3 1" "2 5"; do
        read -r ranks batch <<<"$case"
        run "$kv-$ranks-$batch" "$ranks" --kv "$kv" --batch "$batch"
        same "$first" "$scratch/$kv-$ranks-$batch/results.jsonl"
    done
done
run unshared 2 --no-prefix-cache --wave-tokens 64 --kv-memory 16M
same "$results" "$scratch/unshared/results.jsonl"
jq -e -s 'all(.[] | select(.policy == "svm"); .text == .dense_text)' "$scratch/verify/results.jsonl" >/dev/null ||
    fail "--kv verify has given another text than full depth"

# start RANKS FOLDER SHARE: runs in the background until SHARE per cent of the results are in the journal.
start() {
    local ranks=$1 folder=$2 wanted=$(($3 * total / 100)) more=()
    [ -e "$folder/journal.jsonl" ] && more=(--resume)
    mpirun -n "$ranks" "$OFFRAMP" "${args[@]}" --batch 2 --output "$folder" "${more[@]}" </dev/null >"$scratch/out" 2>&1 &
    job=$!
    while [ "$(lines "$folder")" -lt "$wanted" ]; do
        kill -0 "$job" 2>/dev/null || return 1
        sleep 0.01
    done
}

start 2 "$scratch/broken" 20 || fail "the job was over before it could be killed"
pid=$(rank_pid 1 eval)
[ -n "$pid" ] || fail "no rank to kill"
kill -9 "$pid"
wait "$job"
[ ! -e "$scratch/broken/results.jsonl" ] || fail "a killed job has finished"
start 2 "$scratch/broken" 50 || fail "the job was over before it could be stopped"
kill -USR1 "$job"
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped job: code $code, expected 75"; }
[ "$(lines "$scratch/broken")" -lt "$total" ] || fail "the stop came too late to show anything"
expect 3 "another run's journal" 1 "${args[@]}" --output "$scratch/broken" --resume --kv verify
run broken 3 --resume
same "$results" "$scratch/broken/results.jsonl"
[ "$(lines "$scratch/broken")" -eq $((total + 1)) ] || fail "the journal does not hold every result once"

expect 2 '--kv is "none", expected deferred' 1 "${args[@]}" --output "$scratch/none" --kv none
task color_v_animal_3 exact_match '{"max_tokens": 4000}'
expect 3 'answer does not fit (color_v_animal_3): row 1 has' 2 "${args[@]}" --output "$scratch/none"

# a trace records the first token, which has no answer token to compare with
task color_v_animal_3 exact_match '{}'
on 2 trace --model "$demo/model" --task "$scratch/color_v_animal_3.json" --limit 4 --quiet --output "$scratch/trace.csv" ||
    fail "trace: code $?"
[ "$(grep -c ',-1$' "$scratch/trace.csv")" -eq 64 ] || fail "the trace does not say that there is no answer token"

# SQuAD's own questions, where they are there
if [ -e "$DATA/data/squad/dev-v1.1.json" ]; then
    squad=(eval --model "$demo/model" --task "$SOURCE/configs/tasks/squad-f1.json" --data "$DATA/data" --limit 3
        --threads 1 --quiet)
    on 1 "${squad[@]}" --output "$scratch/squad1" || fail "squad: code $?"
    on 2 "${squad[@]}" --wave-tokens 100 --output "$scratch/squad2" || fail "squad on 2 ranks: code $?"
    same "$scratch/squad1/results.jsonl" "$scratch/squad2/results.jsonl"
fi
