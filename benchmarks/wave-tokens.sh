#!/usr/bin/env bash
# Seconds that the demo job takes with different --wave-tokens on 2 ranks of one thread: all sizes in turn, five
# rounds, medians. Small waves let the stages overlap on small jobs; large ones fill the matrix products.
#   OFFRAMP=build/offramp benchmarks/wave-tokens.sh
set -euo pipefail
offramp=${OFFRAMP:-offramp}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sizes=(256 512 1024 2048 4096)

for round in 1 2 3 4 5; do
    for size in "${sizes[@]}"; do
        begin=$(date +%s%N)
        mpirun --oversubscribe -n 2 "$offramp" eval --config demo/job.json --threads 1 --wave-tokens "$size" \
            --output "$scratch/$round-$size" --quiet </dev/null
        echo "$(($(date +%s%N) - begin))" >>"$scratch/$size"
    done
done
echo "| --wave-tokens | seconds (median of 5) |"
echo "|---|---|"
for size in "${sizes[@]}"; do
    sort -n "$scratch/$size" | sed -n 3p | awk -v size="$size" '{printf "| %d | %.2f |\n", size, $1 / 1e9}'
done
