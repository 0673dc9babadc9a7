#!/usr/bin/env bash
# configs/tasks: groups that hold every subject and every rule task once, rule tasks whose two halves share no
# input and are the same every time, and sums that fit the data sets - with rows that are made up here, and
# with the real ones where they are.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

tasks=$SOURCE/configs/tasks

# members GROUPS COUNT: all of them, of which there are so many, and none twice
members() {
    jq -r '.[][]' "$tasks/$1-groups.json" | sort >"$scratch/$1"
    [ "$(wc -l <"$scratch/$1")" -eq "$2" ] && [ -z "$(uniq -d "$scratch/$1")" ] || fail "$1-groups.json: expected $2 different ones"
}
members mmlu 57
members rules 50
jq -e '[keys_unsorted[], (.[] | length)] == ["stem", "humanities", "social_sciences", "other", 19, 13, 12, 13]' \
    "$tasks/mmlu-groups.json" >/dev/null || fail "MMLU's groups are not those of lm-evaluation-harness"

# every file that a task file of ours reads has a sum, but for AG News' train file
grep -v '^#' "$tasks/SHA256SUMS" | cut -c 67- | sort >"$scratch/summed"
{
    sed 's|.*|mmlu/dev/&_dev.csv\nmmlu/test/&_test.csv|' "$scratch/mmlu"
    sed 's|.*|rules/&.json|' "$scratch/rules"
    jq -r '.train // empty, .test' "$tasks"/{sst2,ag_news,commonsense_qa,squad}.json | grep -v ag_news/train
} | sort >"$scratch/read"
same "$scratch/read" "$scratch/summed"

# check DIR: what README.md says; its output
check() { (cd "$1" && sha256sum --check --ignore-missing --quiet) <"$tasks/SHA256SUMS" 2>&1; }

mkdir -p "$scratch/cut/squad"
echo '{"data": [' >"$scratch/cut/squad/dev-v1.1.json"
check "$scratch/cut" >"$scratch/out" && fail "a file that was cut is not noticed"
grep -qx 'squad/dev-v1.1.json: FAILED' "$scratch/out" || fail "sha256sum said $(cat "$scratch/out")"

# ---- rule tasks ----
# made FOLDER DATA SEED
made() { "$tasks/make-rules.sh" "$2" "$1" "$3" >"$scratch/out" || fail "make-rules.sh $2, seed $3: code $?"; }

# halves FOLDER DATA: of every task, a fifth of the inputs is asked and none of them is shown; no row is lost
halves() {
    local task
    while read -r task; do
        jq -en --slurpfile all "$2/rules/$task.json" --slurpfile test "$1/data/$task.test.json" --slurpfile train "$1/data/$task.train.json" '
            def inputs_of: map(.input) | unique;
            ($test[0] + $train[0] | sort) == ($all[0] | sort) and
            ($test[0] | inputs_of | length) == ($all[0] | inputs_of | length / 5 | floor) and
            ($test[0] | inputs_of) - ($train[0] | inputs_of) == ($test[0] | inputs_of)' >/dev/null || fail "$1: $task is split wrongly"
    done <"$scratch/rules"
}

# one_prompt FOLDER TASK: is traced, with demonstrations, wherever --data is
one_prompt() {
    on 1 trace --model "$demo/model" --data "$scratch" --task "$1/$2.json" --shots 2 --limit 1 --quiet --output "$scratch/trace.csv" ||
        fail "trace of $2: code $?"
    [ "$(wc -l <"$scratch/trace.csv")" -eq 17 ] || fail "trace of $2 has $(wc -l <"$scratch/trace.csv") lines, expected 17"
}

mkdir -p "$scratch/data/rules"
while read -r task; do # 31 words, of which ten have a second answer
    jq -n --arg task "$task" '[range(41) | {input: "\($task) “\(. % 31)”", output: "\(.)"}]' >"$scratch/data/rules/$task.json"
done <"$scratch/rules"
made "$scratch/first" "$scratch/data" 1
(cd "$scratch" && made again data 1)
made "$scratch/other" "$scratch/data" 2
halves "$scratch/first" "$scratch/data"
halves "$scratch/other" "$scratch/data"
diff -r "$scratch/first/data" "$scratch/again/data" || fail "the same seed draws others"
cmp -s "$scratch/first/data/antonym.test.json" "$scratch/other/data/antonym.test.json" && fail "another seed draws the same"
one_prompt "$scratch/again" country-capital

# refused CODE PART ARGS...
refused() {
    local code=$1 part=$2 got
    shift 2
    "$tasks/make-rules.sh" "$@" >"$scratch/out" 2>&1
    got=$?
    [ "$got" -eq "$code" ] && [ "$(wc -l <"$scratch/out")" -eq 1 ] && grep -q "$part" "$scratch/out" ||
        fail "make-rules.sh $*: code $got, \"$(cat "$scratch/out")\", expected $code and \"$part\""
}
refused 2 'usage: ' "$scratch/data"
refused 2 'expected a whole number' "$scratch/data" "$scratch/no" -1
refused 3 'rules/adjective_v_verb_3.json: found no such rows' "$scratch" "$scratch/no"
echo '[{"input": "a"}]' >"$scratch/data/rules/adjective_v_verb_5.json"
refused 3 'rules/adjective_v_verb_5.json: found no such rows' "$scratch/data" "$scratch/no"

# ---- the data sets ----
need_data data/rules
need_data data/mmlu
# a copy of SQuAD that was written anew has another sum than the published one
check "$DATA/data" | grep -v -e '^squad/dev-v1.1.json: FAILED$' -e '^sha256sum: WARNING: 1 computed' >"$scratch/out"
[ ! -s "$scratch/out" ] || fail "sums differ: $(cat "$scratch/out")"
made "$scratch/real" "$DATA/data" 1
halves "$scratch/real" "$DATA/data"
one_prompt "$scratch/real" singular-plural
"$tasks/make-mmlu.sh" "$DATA/data" "$scratch/real-mmlu" >"$scratch/out" || fail "make-mmlu.sh: code $?"
sed 's|.*|mmlu_&.json|' "$scratch/mmlu" >"$scratch/read"
(cd "$scratch/real-mmlu" && printf '%s\n' *) | LC_ALL=C sort | cmp - <(LC_ALL=C sort "$scratch/read") || fail "other subjects than in the groups"
