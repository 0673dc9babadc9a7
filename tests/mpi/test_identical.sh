#!/usr/bin/env bash
# The demo's results.jsonl is the same, byte for byte, at 1, 2, 3, 4, 5 and 16 ranks, with waves of 64 and 4096
# tokens, 1 and 2 threads, even and uneven plans.
# shellcheck source-path=SCRIPTDIR source=../support.sh
. "$(dirname "$0")/../support.sh"

limit=(--limit "$ROWS")

# run NAME RANKS ARGS...
run() {
    local name=$1 ranks=$2
    shift 2
    on "$ranks" eval --config "$demo/job.json" --output "$scratch/$name" --quiet "${limit[@]}" "$@" ||
        fail "$name: code $?"
    [ "$name" = base ] || same "$scratch/base/results.jsonl" "$scratch/$name/results.jsonl"
}

run base 1 --threads 1
[ "$(wc -l <"$scratch/base/results.jsonl")" -ge $((20 * ROWS)) ] || fail "too few results"
run two 2 --threads 1
run three 3 --threads 2
run four 4 --threads 1 --wave-tokens 64
run five 5 --threads 2 --wave-tokens 64
run sixteen 16 --threads 1
run threads 1 --threads 2 --wave-tokens 64
run uneven2 2 --threads 1 --plan 3,13
run uneven3 3 --threads 1 --plan 1,2,13 --wave-tokens 500
echo '{"layers": [7, 1, 4, 4]}' >"$scratch/plan.json"
run uneven4 4 --threads 2 --plan "$scratch/plan.json"
