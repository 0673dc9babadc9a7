#!/bin/sh
# Writes a task file for each task of rules-groups.json: make-rules.sh DATA_FOLDER OUTPUT_FOLDER [SEED]
# The data are function-vectors' DATA_FOLDER/rules/<task>.json, [{"input": .., "output": ..}, ..], one file
# each. Here a fifth of the inputs, drawn by the seed (1), becomes OUTPUT_FOLDER/data/<task>.test.json, and the
# rest the .train.json, for demonstrations and for traces to train policies on. Rows of one input stay
# together: none is asked that was shown.
# Then: offramp eval --task OUTPUT_FOLDER/antonym.json ...
set -eu
if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 DATA_FOLDER OUTPUT_FOLDER [SEED]" >&2
    exit 2
fi
data=$1 output=$2 seed=${3:-1}
case $seed in
'' | *[!0-9]* | ??????????*)
    echo "$0: seed $seed: expected a whole number of up to 9 digits" >&2
    exit 2
    ;;
esac
groups=$(dirname "$0")/rules-groups.json
# With --data for other tasks, or without: a task file names its data by their whole path.
mkdir -p "$output/data"
output=$(cd "$output" && pwd)

# A draw for each input by the minimal standard generator (Park and Miller 1988), whose products doubles hold;
# the first ten say little else than the seed. Tasks over the same words put the same ones aside.
split='def next: . * 48271 % 2147483647;
    group_by(.input) as $inputs | (reduce range(10) as $i ($seed + 1; next)) as $begin |
    [foreach range($inputs | length) as $i ($begin; next; [., $i])] | sort | map($inputs[.[1]]) |
    {test: .[:length / 5 | floor] | add, train: .[length / 5 | floor:] | add}'

for task in $(jq -r '.[][]' "$groups"); do
    rows=$data/rules/$task.json
    if ! jq -e 'type == "array" and (map(.input) | unique | length) >= 5 and all(.[]; (.input | type) == "string" and (.output | type) == "string")' \
        "$rows" >/dev/null 2>&1; then
        echo "$0: $rows: found no such rows, expected [{\"input\": .., \"output\": ..}, ..] of function-vectors" >&2
        exit 3
    fi
    for half in test train; do
        jq --argjson seed "$seed" "$split | .$half" "$rows" >"$output/data/$task.$half.json"
    done
    jq -n --arg name "$task" --arg data "$output/data/$task" '{name: $name, format: "json", train: "\($data).train.json",
        test: "\($data).test.json", prompt: "Q: {input}\nA:", answer: " {output}", separator: "\n\n",
        metric: "first_token"}' >"$output/$task.json"
done
echo "$(jq '[.[][]] | length' "$groups") task files in $output"
