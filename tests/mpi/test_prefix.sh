#!/usr/bin/env bash
# Prompts that begin alike, with 5 and 20 demonstrations, and with passages that several questions share: results.jsonl,
# trace.csv and lens' lines are the same, byte for byte, with and without the prefix cache, on 1, 2 and 3 ranks, with waves
# of 64 and 1024 tokens, and where there is room for some pages only, or for none.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

# sentences N SEED: so many rows of a task like SST-2.
sentences() {
    awk -v n="$1" -v seed="$2" 'BEGIN {
        srand(seed)
        words = split("the a film story plot actor scene is was feels so very quite never always good bad warm dull bright funny " \
            "long short moving empty clever and but with without charm heart wit pace", word, " ")
        for (i = 0; i < n; i++) {
            text = ""
            for (w = 0; w < 8 + int(rand() * 16); w++) text = text (w ? " " : "") word[1 + int(rand() * words)]
            printf "{\"text\": \"%s\", \"label\": \"%s\"}\n", text, rand() < 0.5 ? "positive" : "negative"
        }
    }'
}
sentences 40 1 >"$scratch/train.jsonl"
sentences "$(sampled && echo 8 || echo 16)" 2 >"$scratch/test.jsonl"
jq -n '{name: "reviews", format: "jsonl", train: "train.jsonl", test: "test.jsonl", input: "text", output: "label",
    prompt: "Q: {text}\nA:", answer: " {label}", separator: "\n\n", metric: "first_token"}' >"$scratch/reviews.json"
# questions about passages, which take turns: a page that is needed again was used long ago
sentences 24 3 | jq -c -s --slurpfile passages <(sentences 60 4) '
    to_entries[] | {text: (([range(10) as $i | $passages[.key % 6 * 10 + $i].text] | join(". ")) + ". " + .value.text),
                    label: .value.label}' >"$scratch/passages.jsonl"
jq '.name = "passages" | .test = "passages.jsonl"' "$scratch/reviews.json" >"$scratch/passages.json"

# run NAME RANKS TASK ARGS...
run() {
    local name=$1 ranks=$2 task=$3
    shift 3
    on "$ranks" eval --model "$demo/model" --task "$scratch/$task.json" --policy "$demo/policy/svm.json" --dense \
        --threads 1 --quiet --output "$scratch/$name" "$@" || fail "$name: code $?"
}

# shared NAME CONDITION: of the share of prompt tokens, in the groups of summary.json, that others had computed.
shared() {
    jq -e "all(.groups[]; (.prompt_tokens_shared / .prompt_tokens) as \$share | $2)" "$scratch/$1/summary.json" >/dev/null ||
        fail "$1: $(jq -c '[.groups[] | [.shots, .policy, .prompt_tokens, .prompt_tokens_shared]]' "$scratch/$1/summary.json"), expected $2"
}

run alone 1 reviews --shots 5,20 --no-prefix-cache
shared alone "\$share == 0"
jq -e 'any(.groups[]; .layers_saved > 0.02)' "$scratch/alone/summary.json" >/dev/null || fail "nobody has left early"
cases=("1 1024" "2 64" "3 1024" "3 64")
sampled && cases=("1 1024" "3 64")
for case in "${cases[@]}"; do
    read -r ranks wave <<<"$case"
    name=$ranks-$wave
    run "$name" "$ranks" reviews --shots 5,20 --wave-tokens "$wave"
    same "$scratch/alone/results.jsonl" "$scratch/$name/results.jsonl"
    shared "$name" "\$share > (if .shots == 20 then 0.8 else 0.5 end)"
done
# what the stages have computed is less, what exits save is the same
jq -e --slurpfile alone "$scratch/alone/summary.json" '. as $with | all(range(.groups | length);
    $with.groups[.].flops_ratio == $alone[0].groups[.].flops_ratio and
    $with.groups[.].stages[0].rows_in < 0.6 * $alone[0].groups[.].stages[0].rows_in and
    $with.groups[.].stages[0].requests_in == $with.groups[.].n)' \
    "$scratch/1-1024/summary.json" >/dev/null || fail "figures with shared prefixes are not as they should be"

run many 1 passages --no-prefix-cache
cases=("1 64 0" "1 1024 3M" "2 1024 1K" "3 64 400K" "2 64 1M")
sampled && cases=("${cases[@]:0:3}")
for case in "${cases[@]}"; do
    read -r ranks wave memory <<<"$case"
    run "many-$ranks-$wave-$memory" "$ranks" passages --wave-tokens "$wave" --kv-memory "$memory"
    same "$scratch/many/results.jsonl" "$scratch/many-$ranks-$wave-$memory/results.jsonl"
done
shared many-1-64-0 "\$share > 0.5"
shared many-1-1024-3M "\$share > 0 and \$share < 0.5" # six passages do not fit: pages go, and are computed again
shared many-2-1024-1K "\$share == 0"                  # no room for a page

for task in reviews passages; do
    trace=(trace --model "$demo/model" --task "$scratch/$task.json" --shots 5 --limit "$ROWS" --threads 1 --quiet)
    on 1 "${trace[@]}" --no-prefix-cache --output "$scratch/$task.csv" || fail "trace of $task: code $?"
    for case in "2 64 0" "3 200 1M"; do
        read -r ranks wave memory <<<"$case"
        on "$ranks" "${trace[@]}" --wave-tokens "$wave" --kv-memory "$memory" --output "$scratch/with.csv" ||
            fail "trace of $task, $case: code $?"
        same "$scratch/$task.csv" "$scratch/with.csv"
    done
done

jq -c '{id: input_line_number, prompt: .text}' "$scratch/passages.jsonl" >"$scratch/prompts.jsonl"
lens=(lens --model "$demo/model" --input "$scratch/prompts.jsonl" --threads 1)
on 1 "${lens[@]}" --quiet --no-prefix-cache --output "$scratch/alone.jsonl" || fail "lens: code $?"
on 2 "${lens[@]}" --verbose --wave-tokens 100 --output "$scratch/with.jsonl" >"$scratch/out" 2>&1 || fail "lens, shared: code $?"
same "$scratch/alone.jsonl" "$scratch/with.jsonl"
grep -q 'prompt tokens: [0-9]*, shared [1-9]' "$scratch/out" || fail "lens does not say what was shared"
