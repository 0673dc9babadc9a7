#!/usr/bin/env bash
# Writes a study of a model over the tasks of AdaInfer: make-study.sh DATA_FOLDER OUTPUT_FOLDER NAME=MODEL
# SST-2, AG News, CommonsenseQA, the demo's rule tasks, and MMLU in lm-evaluation-harness's four groups, of which half of
# the test rows train (their train files have five rows). Then:
#   mpirun -n 2 offramp study OUTPUT_FOLDER/study.json --output results/study
set -euo pipefail
if [ $# -ne 3 ] || [[ $3 != ?*=?* ]]; then
    echo "usage: $0 DATA_FOLDER OUTPUT_FOLDER NAME=MODEL" >&2
    exit 2
fi
tasks=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
data=$(cd "$1" && pwd) output=$2 name=${3%%=*}
model=$(realpath -e -- "${3#*=}")
"$tasks/make-mmlu.sh" "$data" "$output/mmlu"
jq --arg tasks "$tasks" --arg data "$data" --arg name "$name" --arg model "$model" '
    with_entries({key: "mmlu-\(.key)",
                  value: {tasks: (.value | map("mmlu/mmlu_\(.).json")), halves: true, data: $data}}) as $mmlu |
    {models: {($name): $model},
     groups: ({sst2: {tasks: ["\($tasks)/sst2.json"], data: $data},
               ag_news: {tasks: ["\($tasks)/ag_news.json"], data: $data},
               rules: {tasks: ["\($tasks)/../demo/tasks/*.json"], data: "\($tasks)/../demo/tasks"},
               commonsense_qa: {tasks: ["\($tasks)/commonsense_qa.json"], data: $data}} + $mmlu),
     shots: [0, 5], train_rows: 1000, test_rows: 500,
     policies: {svm: {guarantee: 0.95},
                "svm-task": {guarantee: 0.95, on: "task"},
                crf: {classifier: "crf", guarantee: 0.95},
                gap: {classifier: "gap", target_agreement: 0, threshold: 0.8},
                top_prob: {classifier: "top_prob", guarantee: 0.95},
                fixed: {classifier: "fixed", target_agreement: 0, threshold: 0.75},
                paper: {paper: true},
                shortgpt: {drop: 4}},
     ablation: {features: ["gap", "top_prob", "cosines", "layer", "stable", "reliability"]},
     generalisation: ["svm"],
     check: 100}' "$tasks/mmlu-groups.json" >"$output/study.json"
echo "$output/study.json"
