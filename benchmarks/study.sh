#!/usr/bin/env bash
# What training, replay and a report take of a trace of 10,000 instances by 80 layers, made up here: an instance's token is
# final from a depth of its own on, with a large gap; before, it is another one, mostly with a small gap.
#   OFFRAMP=build/offramp REPLAY=build/tests/replay benchmarks/study.sh [INSTANCES [LAYERS]]
set -euo pipefail
offramp=${OFFRAMP:-offramp} replay=${REPLAY:?} instances=${1:-10000} layers=${2:-80}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

awk -v n="$instances" -v layers="$layers" 'BEGIN {
    srand(1)
    print "task,shots,index,layer,gap,top_prob,cos_attn,cos_mlp,cos_hidden,token,final_token,answer_token"
    for (i = 0; i < n; i++) {
        final = int(rand() * 40); token = 100; clear = 1 + int(layers * (0.2 + 0.8 * rand()))
        for (l = 1; l <= layers; l++) {
            if (rand() < 0.3) token = 100 + int(rand() * 500)
            right = l >= clear
            gap = (right || rand() < 0.01 ? 0.7 : 0.2) + 0.3 * (rand() - 0.5)
            printf "made-up,0,%d,%d,%.7g,%.7g,%.7g,%.7g,%.7g,%d,%d,%d\n", i, l, gap, gap + 0.1 * rand(), rand(), rand(),
                0.5 + 0.5 * rand(), right ? final : token, final, final
        }
    }
}' >"$scratch/trace.csv"
printf '{"format": "offramp-trace-1", "fingerprint": "0123456789abcdef", "layers": %d, "instances": %d, "layer_macs": 1e9,
 "ramp_macs": 1e7, "vocab": 32000, "row_macs": 1e8}\n' "$layers" "$instances" >"$scratch/trace.csv.json"
ls -sh "$scratch/trace.csv" | awk '{print "trace: " $1}'

timed() { # NAME COMMAND...
    local name=$1 TIMEFORMAT='%R'
    shift
    printf '%-34s %8.2f s\n' "$name" "$({ time "$@" >/dev/null 2>"$scratch/err" || cat "$scratch/err" >&2; } 2>&1)"
}
for kind in svm crf gap; do
    timed "train $kind" "$offramp" train --trace "$scratch/trace.csv" --classifier $kind --output "$scratch/$kind.json" --quiet
done
timed "train svm with a guarantee" "$offramp" train --trace "$scratch/trace.csv" --guarantee 0.95 --output "$scratch/g.json" --quiet
for kind in svm crf gap; do timed "read the trace, replay $kind" "$replay" "$scratch/$kind.json" "$scratch/trace.csv"; done
timed "report" "$offramp" report "$scratch/trace.csv" --output "$scratch/report.html"
