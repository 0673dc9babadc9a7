#!/bin/sh
# Writes one task file per MMLU subject from mmlu.json: make-mmlu.sh DATA_FOLDER OUTPUT_FOLDER
# A subject is a file DATA_FOLDER/mmlu/test/<subject>_test.csv; its demonstrations are in mmlu/dev/<subject>_dev.csv.
# Then: offramp eval --data DATA_FOLDER --task OUTPUT_FOLDER/mmlu_anatomy.json ...
set -eu
if [ $# -ne 2 ]; then
    echo "usage: $0 DATA_FOLDER OUTPUT_FOLDER" >&2
    exit 2
fi
data=$1 output=$2
template=$(dirname "$0")/mmlu.json
mkdir -p "$output"
count=0
for test in "$data"/mmlu/test/*_test.csv; do
    [ -e "$test" ] || continue
    subject=$(basename "$test" _test.csv)
    case $subject in
    *[!a-z0-9_]*)
        echo "$0: $test: expected a name of small letters, digits and _" >&2
        exit 3
        ;;
    esac
    if [ ! -e "$data/mmlu/dev/${subject}_dev.csv" ]; then
        echo "$0: $data/mmlu/dev/${subject}_dev.csv: not found, expected the subject's demonstrations" >&2
        exit 3
    fi
    words=$(echo "$subject" | tr _ ' ')
    sed -e "s/abstract_algebra/$subject/g" -e "s/abstract algebra/$words/g" "$template" >"$output/mmlu_$subject.json"
    count=$((count + 1))
done
if [ "$count" -eq 0 ]; then
    echo "$0: $data/mmlu/test: found no *_test.csv, expected one per subject" >&2
    exit 3
fi
echo "$count task files in $output"
