#!/usr/bin/env bash
# Makes the demo's exit policy anew, by the project's own commands: traces of the demo tasks' training rows,
# then an SVM calibrated to 0.99 agreement with full depth, on features that suit ten tasks in one (README). Writes configs/demo/policy/ (or the folder given). With the
# reference kernels, whose bits are the same on every machine, so that anyone gets the same files.
#   OFFRAMP=build/offramp configs/demo/train-policy.sh [FOLDER]
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
offramp=${OFFRAMP:-offramp}
output=${1:-$demo/policy}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

tasks=()
for task in "$demo"/tasks/*.json; do tasks+=(--task "$task"); done
mkdir -p "$output"
"$offramp" trace --kernels reference --model "$demo/model" "${tasks[@]}" --split train --demos per-instance --shots 2 \
    --output "$scratch/trace.csv"
"$offramp" train --trace "$scratch/trace.csv" --classifier svm --features gap,top_prob,layer,stable \
    --target-agreement 0.99 --output "$output/svm.json"
