#!/usr/bin/env bash
# A study of three demo tasks: the same files at 1 and 2 ranks, in parts, and after it lost some of its traces; its figures
# are those of `offramp eval` with the policies that it trained; bad configs are refused on all ranks.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

jq -n --arg demo "$demo" '{
    models: {demo: "\($demo)/model"},
    groups: {word: ["\($demo)/tasks/word_length.json"], choice: ["\($demo)/tasks/[cf]*_v_animal_3.json"]},
    shots: [0, 2], train_rows: 120, test_rows: 24, check: 12,
    policies: {svm: {target_agreement: 0.9}, one: {classifier: "crf", target_agreement: 0.9, on: "all"},
               gap: {classifier: "gap", target_agreement: 0, on: "task"}, shortgpt: {drop: 4}},
    ablation: {features: ["gap", "cosines"], target_agreement: 0.9}, generalisation: ["svm"]}' >"$scratch/study.json"
study=(study "$scratch/study.json" --threads 1 --progress never)

on 1 "${study[@]}" --output "$scratch/one/study" >"$scratch/said" || fail "1 rank: code $?"
grep -q '^checked [1-9][0-9]* instances by real runs' "$scratch/said" || fail "nothing was checked: $(cat "$scratch/said")"
for part in 1 2; do
    on 2 "${study[@]}" --output "$scratch/two/study" --part $part/2 --quiet || fail "part $part of 2, 2 ranks: code $?"
    [ -e "$scratch/two/study/study.json" ] && fail "part $part wrote tables"
done
# 3 tasks x 2 shots x (train, test), each with its side file
[ "$(find "$scratch/two/study/traces" -name '*.csv' | wc -l)" -eq 12 ] || fail "the two parts are not all traces"
on 2 "${study[@]}" --output "$scratch/two/study" --quiet || fail "after the parts, 2 ranks: code $?"
for file in study.json results.csv tables.md tables.tex; do same "$scratch/one/study/$file" "$scratch/two/study/$file"; done
diff -r "$scratch/one/study/traces" "$scratch/two/study/traces" || fail "traces of 1 and 2 ranks differ"
diff -r "$scratch/one/study/policies" "$scratch/two/study/policies" || fail "policies of 1 and 2 ranks differ"

# SIGUSR1 while it traces: all ranks end with 75, and the same command goes on
timeout 600 mpirun -n 2 "$OFFRAMP" "${study[@]}" --output "$scratch/three/study" --quiet </dev/null >"$scratch/out" 2>&1 &
job=$!
for _ in $(seq 3000); do
    [ -n "$(find "$scratch/three/study/traces" -name '*.csv' 2>/dev/null)" ] && break
    sleep 0.02
done
pkill -USR1 -P "$job" mpirun
wait "$job"
code=$?
[ "$code" -eq 75 ] || { cat "$scratch/out"; fail "stopped study: code $code, expected 75"; }
[ ! -e "$scratch/three/study/study.json" ] || fail "the stop came too late to show anything"
on 2 "${study[@]}" --output "$scratch/three/study" --quiet || fail "after the stop, 2 ranks: code $?"
same "$scratch/one/study/study.json" "$scratch/three/study/study.json"

# who is in it
jq -e '(.results | map([.task, .shots, .policy]) | unique | length) == 36 and (.results | map(.n) | unique) == [24] and
    (.policies | length) == 6 and (.features | map(.features) | length) == 3 and (.generalisation | length) == 4 and
    (.traces | length) == 6 and .checked.instances == 72 and .checked.differ == 0 and
    (.results | map(select(.policy == "oracle")) | all(.agreement == 1)) and
    (.results | map(select(.policy == "shortgpt")) | all(.exit_layer_mean == 12)) and
    (.results | map(select(.policy == "svm" and .layers_saved > 0.1)) | length > 0)' "$scratch/one/study/study.json" >/dev/null ||
    fail "study.json does not hold what the config asks for: $(cat "$scratch/one/study/study.json")"

# the figures of a real run with the policy of the group
on 2 eval --model "$demo/model" --task "$demo/tasks/color_v_animal_3.json" --task "$demo/tasks/fruit_v_animal_3.json" \
    --shots 0,2 --limit 24 --policy "$scratch/one/study/policies/demo/svm@choice.json" --dense --threads 1 --quiet \
    --output "$scratch/eval" || fail "eval: code $?"
figures='{task, shots, n, accuracy, stderr, agreement, exit_layer_mean, exit_layer_var, layers_saved} |
    map_values(if type == "number" then . * 1e9 | round else . end)'
jq -c ".results[] | select(.policy == \"svm\" and .group == \"choice\") | $figures" "$scratch/one/study/study.json" >"$scratch/replayed"
jq -c ".groups[] | select(.policy == \"svm@choice\") | $figures" "$scratch/eval/summary.json" >"$scratch/run"
[ "$(wc -l <"$scratch/run")" -eq 4 ] || fail "summary.json: $(cat "$scratch/eval/summary.json")"
same "$scratch/replayed" "$scratch/run"

on 0 report "$scratch/one/study" --format md --output "$scratch/report.md" --quiet || fail "report: code $?"
same "$scratch/report.md" "$scratch/one/study/tables.md"

# an answer that is a text has no accuracy here; rows that are too long are left out; who cannot be trained is, too
mkdir "$scratch/odd"
jq -c '.[:12][]' "$demo/data/word_length.test.json" >"$scratch/odd/test.jsonl"
jq -nc '{input: ("word " * 3000), output: "x"}' >>"$scratch/odd/test.jsonl"
jq -nc '{name: "odd", format: "jsonl", test: "test.jsonl", prompt: "Q: {input}\nA:", metric: "f1"}' \
    >"$scratch/odd/[odd].json"
jq -n --arg demo "$demo" '{models: {demo: "\($demo)/model"}, groups: {odd: ["[odd].json"]}, shots: [100, 0],
    policies: {svm: {guarantee: 0.95}, gap: {classifier: "gap", target_agreement: 0}}, ablation: {features: ["gap"]}}' \
    >"$scratch/odd/study.json"
on 2 study "$scratch/odd/study.json" --threads 1 --output "$scratch/odd/out" >"$scratch/said" 2>&1 || fail "odd study: code $?"
grep -q '1 of 13 rows are too long' "$scratch/said" || fail "nothing is said of the long row: $(cat "$scratch/said")"
grep -q 'no policy gap for odd: there are no train rows' "$scratch/said" || fail "nothing is said of gap: $(cat "$scratch/said")"
jq -e '(.results | map(.policy) | unique) == ["full", "oracle"] and (.results | all(.accuracy == null and .n == 12)) and
    .features == []' "$scratch/odd/out/study.json" >/dev/null || fail "odd: $(cat "$scratch/odd/out/study.json")"
on 0 report "$scratch/odd/out" --format tex --output "$scratch/odd.tex" --quiet || fail "report of the odd study: code $?"

refuse() { # PART FILTER: the config changed so is refused
    jq "$2" "$scratch/study.json" >"$scratch/bad.json"
    expect 3 "$1" 2 study "$scratch/bad.json" --output "$scratch/bad" --quiet
}
refuse 'it has "shot"' '.shot = [1]'
refuse '"models" is empty' '.models = {}'
refuse 'no task file' '.groups.word = ["nowhere/*.json"]'
refuse '"shots" holds -1' '.shots = [-1]'
refuse '"shots" holds 2 twice' '.shots = [2, 0, 2]'
refuse 'enough train rows' '.shots = [5000]'
refuse 'it has "data"' '.data = "x"'
refuse 'gap.*looks at gap alone' '.ablation = {classifier: "gap", features: ["cosines"]}'
refuse 'policy svm.*"kernel"' '.policies.svm.kernel = "x"'
refuse 'policy svm.*"guarantee"' '.policies.svm = {paper: true, guarantee: 0.9}'
refuse '"on" is "rank"' '.policies.svm.on = "rank"'
refuse 'full or oracle' '.policies.oracle = {}'
refuse '"features" holds size' '.ablation.features = ["size"]'
refuse '"generalisation" holds one' '.generalisation = ["one"]'
refuse 'two tasks of the name word_length' '.groups.choice = .groups.word'
refuse 'policy svm.*tree' '.policies.svm.classifier = "tree"'
refuse 'drops 16 layers of 16' '.policies.shortgpt.drop = 16'
refuse 'nowhere' '.models.other = "/nowhere"'
refuse 'policy svm.*target agreement' '.policies.svm.target_agreement = 2'
expect 2 'expected a config' 2 study --output "$scratch/bad"
expect 2 '\-\-part is "3/2"' 2 study "$scratch/study.json" --part 3/2 --output "$scratch/bad"
expect 3 'nothing.json' 2 study "$scratch/nothing.json" --output "$scratch/bad"
