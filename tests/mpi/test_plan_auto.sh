#!/usr/bin/env bash
# --plan auto on 1, 2, 3 ranks: measured anew in every job, so its layers are nobody's business here - but each rank has
# some, they add up, the answers are those of the even plan byte for byte, and what was predicted is said beside what was
# measured. --adapt moves to another plan between tasks, with the same answers. What is refused.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

eval=(eval --config "$demo/job.json" --limit "$ROWS" --threads 1)
on 1 "${eval[@]}" --output "$scratch/even" --quiet || fail "even plan: code $?"

layers() { # FOLDER: "0..16" as 1-16 or 1-7,8-16 from run.json
    jq -r '[.ranks[].layers | "\(.[0])-\(.[1])"] | join(",")' "$1/run.json"
}
for ranks in 1 2 3; do
    on "$ranks" "${eval[@]}" --output "$scratch/$ranks" --plan auto >"$scratch/out" 2>"$scratch/err" || fail "$ranks ranks: code $?"
    same "$scratch/even/results.jsonl" "$scratch/$ranks/results.jsonl"
    grep -qE '^offramp: (rank 0: )?predicted: [0-9.e+]+ tokens/s \([0-9.e+]+ requests/s\), the even plan [0-9.e+]+ \([0-9.]+x\)$' "$scratch/err" ||
        { cat "$scratch/err"; fail "$ranks ranks: nothing is said of the plan"; }
    grep -qE '^offramp: (rank 0: )?plan [0-9,]+$' "$scratch/err" || { cat "$scratch/err"; fail "$ranks ranks: the plan is not said"; }
    grep -qE '^predicted [0-9.e+]+ requests/s, measured [0-9.e+]+ \([0-9.]+ of it\)$' "$scratch/out" ||
        { cat "$scratch/out"; fail "$ranks ranks: nothing is said of what was predicted"; }
    jq -e '[.groups[] | .predicted_requests_per_second > 0] | all' "$scratch/$ranks/summary.json" >/dev/null ||
        fail "$ranks ranks: no predictions in summary.json"
    jq -e --argjson ranks "$ranks" '(.ranks | length) == $ranks and .ranks[0].layers[0] == 1 and .ranks[-1].layers[1] == 16 and
        all(range(1; $ranks) as $r | .ranks[$r].layers[0] == .ranks[$r - 1].layers[1] + 1; .)' \
        "$scratch/$ranks/run.json" >/dev/null || fail "$ranks ranks: layers $(layers "$scratch/$ranks")"
done

# without measuring nothing is predicted
jq -e '[.groups[] | .predicted_requests_per_second == null] | all' "$scratch/even/summary.json" >/dev/null ||
    fail "predictions without --plan auto"

# everybody is expected to leave behind layer 1 or 2: the first rank gets those, and little more
echo '[1, 1, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0.001, 0]' \
    >"$scratch/early.json"
tasks=()
for task in color_v_animal_3 fruit_v_animal_3 next_item; do tasks+=(--task "$demo/tasks/$task.json"); done
exits=(eval --model "$demo/model" "${tasks[@]}" --shots 2 --policy "$demo/policy/svm.json" --limit "$ROWS" --threads 1)
on 1 "${exits[@]}" --output "$scratch/one" --quiet || fail "with exits: code $?"
on 2 "${exits[@]}" --output "$scratch/early" --plan auto --survivors "$scratch/early.json" --quiet || fail "--survivors: code $?"
same "$scratch/one/results.jsonl" "$scratch/early/results.jsonl"
[ "$(jq '.ranks[0].layers[1]' "$scratch/early/run.json")" -le 3 ] || fail "--survivors: layers $(layers "$scratch/early")"

# the job begins with a plan for that, sees otherwise, and moves on; a job that is stopped and resumed does so again
on 2 "${exits[@]}" --output "$scratch/adapt" --plan auto --adapt --survivors "$scratch/early.json" >"$scratch/out" 2>"$scratch/err" ||
    { cat "$scratch/err"; fail "--adapt: code $?"; }
same "$scratch/one/results.jsonl" "$scratch/adapt/results.jsonl"
grep -qE 'plan [0-9]+,[0-9]+ from now on: its slowest stage is thought to be [0-9.]+ times as fast' "$scratch/err" ||
    { cat "$scratch/err"; fail "--adapt did not move"; }

# a job of the even plan says what those who left suggest
on 2 "${eval[@]}" --output "$scratch/two" --plan 15,1 >"$scratch/out" || fail "plan 15,1: code $?"
grep -qE '^who left suggests --plan [0-9]+,[0-9]+: its slowest stage would be [0-9.]+ times as fast \(by multiply-adds\)$' \
    "$scratch/out" || { cat "$scratch/out"; fail "nothing is suggested"; }

# continuations
echo '{"id": 1, "prompt": "one two"}' >"$scratch/in.jsonl"
for plan in even auto; do
    on 2 run --model "$demo/model" --policy "$demo/policy/generation.json" --input "$scratch/in.jsonl" --output \
        "$scratch/$plan.jsonl" --max-tokens 20 --plan $plan --quiet || fail "run --plan $plan: code $?"
done
same "$scratch/even.jsonl" "$scratch/auto.jsonl"

# ---- what is refused ----
expect 2 'found --survivors, expected --plan auto' 2 "${eval[@]}" --output "$scratch/no" --survivors "$scratch/early.json"
expect 2 'found --adapt, expected --plan auto' 0 "${eval[@]}" --output "$scratch/no" --adapt
expect 3 'no-such.json' 2 "${eval[@]}" --output "$scratch/no" --plan auto --survivors "$scratch/no-such.json"
echo '[1, 0]' >"$scratch/short.json"
expect 3 'found 2 shares' 2 "${eval[@]}" --output "$scratch/no" --plan auto --survivors "$scratch/short.json"
expect 2 'more ranks than layers' 17 "${eval[@]}" --output "$scratch/no" --plan auto
expect 3 'no split over 2 ranks' 2 "${eval[@]}" --output "$scratch/no" --plan auto --memory-per-rank 4M
[ ! -e "$scratch/no/journal.jsonl" ] || fail "a refused job left a journal"
