#!/usr/bin/env bash
# Runs the fuzz targets of a build folder made with -DOFFRAMP_FUZZ=ON, as many at a time as there are cores:
#
#   tests/fuzz/run.sh BUILD SECONDS [TARGET...]     targets: gguf safetensors config tokenizer sentencepiece; all by default
#
# What a target learns stays in BUILD/corpus/<target>, and is where the next run goes on; the seeds in the source
# tree are only read. Fails when an input crashes, hangs, leaks or takes too much memory, and says where it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
build=$(cd "$1" && pwd)
seconds=$2
shift 2
[ $# -gt 0 ] || set -- gguf safetensors config tokenizer sentencepiece

# An input is a few kilobytes, and so is everything that may be made of it: single allocations are limited, too.
fuzz() {
    local target=$1 learnt=$build/corpus/$1 found=$build/found/$1 log=$build/fuzz-$1.log
    mkdir -p "$learnt" "$found"
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -malloc_limit_mb=128 -print_final_stats=1 -artifact_prefix="$found/" "$learnt" "$here/corpus/$target" \
        >"$log" 2>&1 && {
        printf 'fuzz_%s: %s inputs in %s s, no findings\n' "$target" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" "$seconds"
        return
    }
    grep -E -m1 'ERROR: |runtime error: |^fuzz target: ' "$log" || tail -n 3 "$log"
    printf 'FAILED: fuzz_%s, log %s, to run it again:\n' "$target" "$log"
    printf '    %s/tests/fuzz/fuzz_%s %s\n' "$build" "$target" \
        "$(sed -n 's/.*Test unit written to //p' "$log")"
    return 1
}
export -f fuzz
export build seconds here
printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'
