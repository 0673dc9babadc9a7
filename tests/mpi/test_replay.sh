#!/usr/bin/env bash
# Must hold: a real run leaves where the replay of its requests' trace says, with the same token, instance by instance,
# with every kind of classifier at 1, 2 and 3 ranks: what a crf carries from ramp to ramp crosses the ranks.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

tasks=()
for task in word_length fruit_v_animal_3 animal_v_object_3; do tasks+=(--task "$demo/tasks/$task.json"); done
run=(--model "$demo/model" "${tasks[@]}" --shots 2 --threads 1 --quiet)
on 1 trace "${run[@]}" --split train --demos per-instance --limit 200 --output "$scratch/train.csv" || fail "trace: code $?"
on 2 trace "${run[@]}" --limit "$ROWS" --output "$scratch/test.csv" || fail "trace of the test rows: code $?"

policies=()
for kind in svm crf gap; do
    on 0 train --trace "$scratch/train.csv" --classifier "$kind" --target-agreement 0.95 --quiet \
        --output "$scratch/$kind.json" || fail "train $kind: code $?"
    "$REPLAY" "$scratch/$kind.json" "$scratch/test.csv" | jq -cS . >"$scratch/$kind.replayed"
    [ "${PIPESTATUS[0]}" -eq 0 ] || fail "replay of $kind"
    [ "$(jq -s 'map(.exit_layer) | unique | length' "$scratch/$kind.replayed")" -gt 3 ] ||
        fail "$kind: all leave at the same few layers"
    policies+=(--policy "$scratch/$kind.json")
done

for ranks in 1 2 3; do
    on "$ranks" eval "${run[@]}" --limit "$ROWS" "${policies[@]}" --output "$scratch/$ranks" || fail "$ranks ranks: code $?"
    for kind in svm crf gap; do
        jq -cS --arg kind "$kind" 'select(.policy == $kind) | {task, index, token, exit_layer}' \
            "$scratch/$ranks/results.jsonl" >"$scratch/$kind.run"
        [ -s "$scratch/$kind.run" ] || fail "no results of $kind"
        cmp "$scratch/$kind.replayed" "$scratch/$kind.run" || fail "$kind at $ranks ranks is not what the replay says"
    done
done
