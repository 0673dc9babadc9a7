#!/usr/bin/env bash
# Prompts for generation with the demo model, as requests of `offramp run`: N of each demo task, two rows of its train or
# test file with their answers and the question of the next row.
#   configs/demo/prompts.sh train|test N
set -euo pipefail
demo=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
split=$1 count=$2

for file in "$demo"/data/*."$split".json; do
    jq -c --argjson n "$count" --arg task "$(basename "$file" ".$split.json")" '
        . as $rows | range($n) | {id: [$task, .],
            prompt: ([$rows[., . + 1] | "Q: \(.input)\nA: \(.output)\n\n"] + ["Q: \($rows[. + 2].input)\nA:"] | add)}' "$file"
done
